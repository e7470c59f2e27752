//! `order { S0[i, j] -> [i, 0, j]; S1[i, j] -> [i, 1, j] }`: the whole order as times.
//!
//! Instances run in the lexicographic order of their times. Constants at one place of all times
//! become a sequence, other places a loop; statements share the loops of equal beginnings. Shorter
//! times are continued with 0. A loop is named after the iterator it is the first to run over,
//! with the first statement before it where several loops would have the name.
//! Legal: if no two instances have one time and the new order keeps the dependences.
//! Errors: `E0712` for a statement that is unknown, missing or there twice, a wrong number of
//! iterators, one name for two of them, or a time over something that is neither an iterator nor a
//! parameter; `E0703` (from the caller) for two instances at one time.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Result, Span};
use warploom_ir::schedule::step::StatementTimes;
use warploom_ir::schedule::{Marks, Poly, PolyStatement, Tree, TreeLoop};

use super::{no_statement, overflow, refuse, sequence};

/// A tree and the times it was made from.
pub(crate) struct Timed {
    /// The order.
    pub(crate) tree: Tree,
    /// For each statement of the poly, its time over its own iterators; all of one length.
    pub(crate) rows: Vec<Vec<Affine>>,
}

/// The tree of these times.
pub(crate) fn order_by(poly: &Poly, given: &[StatementTimes], span: Span) -> Result<Timed> {
    let mut found: BTreeMap<Name, Vec<Affine>> = BTreeMap::new();
    for entry in given {
        let (name, at) = (&entry.statement.name, entry.statement.span);
        let Some(s) = poly.statement(name) else {
            return Err(no_statement(poly, name, at));
        };
        if found.insert(name.clone(), times(poly, s, entry)?).is_some() {
            return Err(refuse(at, format!("statement `{name}` has a second time")));
        }
    }
    let longest = found.values().map(Vec::len).max().unwrap_or(0);
    let mut rows = Vec::new();
    for s in &poly.statements {
        let name = &s.statement.name;
        let Some(mut row) = found.remove(name) else {
            return Err(refuse(span, format!("statement `{name}` has no time")));
        };
        row.resize(longest, Affine::constant(0));
        rows.push(row);
    }
    let entries: Vec<Entry> = poly
        .statements
        .iter()
        .zip(&rows)
        .map(|(statement, rows)| Entry { statement, rows })
        .collect();
    let all: Vec<&Entry> = entries.iter().collect();
    let mut tree = build(&all, 0, &mut Vec::new());
    qualify(&mut tree);
    Ok(Timed { tree, rows })
}

/// An entry's time over the statement's own iterators.
fn times(poly: &Poly, s: &PolyStatement, entry: &StatementTimes) -> Result<Vec<Affine>> {
    let (name, at) = (&s.statement.name, entry.statement.span);
    if entry.iters.len() != s.iters.len() {
        let message = format!(
            "statement `{name}` has {} iterators, not {}",
            s.iters.len(),
            entry.iters.len()
        );
        let names: Vec<String> = s.iters.iter().map(ToString::to_string).collect();
        let help = format!("write `{name}[{}]`, or other names", names.join(", "));
        return Err(Box::new(refuse(at, message).help(help)));
    }
    for (k, iter) in entry.iters.iter().enumerate() {
        if entry.iters[..k].contains(iter) {
            return Err(refuse(iter.span, format!("`{iter}` names two iterators of `{name}`")));
        }
    }
    let param = |v: &str| poly.params.iter().any(|p| &*p.name == v);
    let bound = |v: &str| entry.iters.iter().position(|i| &*i.name == v);
    let mut out = Vec::new();
    for time in &entry.times {
        if let Some(v) = time.vars().iter().find(|v| bound(v).is_none() && !param(v)) {
            let message = format!(
                "the time of `{name}` uses `{v}`, which is neither one of its iterators nor a \
                 parameter"
            );
            return Err(refuse(at, message));
        }
        let own = |v: &str| bound(v).map(|k| Affine::var(s.iters[k].clone()));
        out.push(time.substitute(&own).map_err(overflow(at))?);
    }
    Ok(out)
}

struct Entry<'a> {
    statement: &'a PolyStatement,
    rows: &'a [Affine],
}

/// The tree of entries whose times begin alike up to `depth`; `above` are the loops around.
fn build(entries: &[&Entry], depth: usize, above: &mut Vec<Name>) -> Tree {
    let leaf = |e: &&Entry| Tree::Statement(e.statement.statement.name.clone());
    if entries.iter().all(|e| depth == e.rows.len()) {
        return sequence(entries.iter().map(leaf).collect());
    }
    let constants: Option<Vec<i64>> = entries.iter().map(|e| e.rows[depth].as_constant()).collect();
    if let Some(constants) = constants {
        let mut groups: BTreeMap<i64, Vec<&Entry>> = BTreeMap::new();
        for (value, entry) in constants.into_iter().zip(entries) {
            groups.entry(value).or_default().push(entry);
        }
        let children = groups.values().map(|group| build(group, depth + 1, above));
        return sequence(children.collect());
    }
    let name = base_name(entries, depth, above);
    let rows = entries
        .iter()
        .map(|e| (e.statement.statement.name.clone(), e.rows[depth].clone()))
        .collect();
    above.push(name.clone());
    let body = Box::new(build(entries, depth + 1, above));
    above.pop();
    Tree::Loop(TreeLoop { name, rows, marks: Marks::default(), body })
}

/// The iterator that this loop is the first to run over, or `c` and a number.
fn base_name(entries: &[&Entry], depth: usize, above: &[Name]) -> Name {
    let new = entries.iter().find_map(|e| {
        let vars = e.rows[depth].vars();
        e.statement.iters.iter().rev().find(|i| vars.contains(*i) && !above.contains(*i))
    });
    let taken =
        |n: &Name| above.contains(n) || entries.iter().any(|e| e.statement.iters.contains(n));
    new.cloned().unwrap_or_else(|| {
        (depth..)
            .map(|d| Name::from(format!("c{d}")))
            .find(|n| !taken(n))
            .expect("there are more numbers than names")
    })
}

/// Puts the first statement before the names that several loops have.
fn qualify(tree: &mut Tree) {
    let mut count: BTreeMap<Name, usize> = BTreeMap::new();
    for l in tree.loops() {
        *count.entry(l.name.clone()).or_default() += 1;
    }
    rename(tree, &count);
}

fn rename(tree: &mut Tree, count: &BTreeMap<Name, usize>) {
    match tree {
        Tree::Loop(l) => {
            if count.get(&l.name).is_some_and(|n| *n > 1)
                && let Some(first) = l.body.statements().first()
            {
                l.name = format!("{first}.{}", l.name).into();
            }
            rename(&mut l.body, count);
        }
        Tree::Sequence(children) => children.iter_mut().for_each(|child| rename(child, count)),
        Tree::Statement(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused};
    use warploom_ir::nest::Nest;
    use warploom_ir::schedule::step::{Script, StepKind};

    const NEST: &str = "param N\nin A: f32[N, N]\nout B: f32[N, N]\nout C: f32[N, N]\nout D: f32[N]
for i in 0..N, j in 0..N { S0: B[i, j] = A[i, j] }
for k in 0..N, l in 0..N { S1: C[k, l] = B[k, l] }
for i in 0..N { S2: D[i] = C[i, i] }\n";

    fn made(times: &str) -> Result<Tree> {
        let nest: Nest = NEST.parse().unwrap();
        let (poly, _) = Poly::from_nest(&nest).unwrap();
        let script: Script = format!("order {{ {times} }}").parse().unwrap();
        let StepKind::OrderBy(times) = &script.steps[0].kind else { panic!("{script}") };
        order_by(&poly, times, Span::NONE).map(|timed| timed.tree)
    }

    #[test]
    fn constants_are_sequences_and_equal_beginnings_share_loops() {
        becomes(
            made("S0[i, j] -> [0, i, 0, j]; S1[x, y] -> [0, x, 1, y]; S2[d] -> [1, d]"),
            "loop S0.i [S0: i, S1: k] {
                loop j [S0: j] { S0 }
                loop l [S1: l] { S1 } }
             loop S2.i [S2: i] { S2 }",
        );
    }

    #[test]
    fn other_places_are_loops() {
        becomes(
            made("S0[a, b] -> [floor(a / 4), a + b, a, 5]; S1[k, l] -> [k, l, 7]; S2[i] -> [N]"),
            "loop i [S0: floor(i / 4), S1: k, S2: N] {
                loop j [S0: i + j, S1: l, S2: 0] {
                    loop c2 [S0: i, S1: 7, S2: 0] {
                        seq { S1 S2 S0 } } } }"
                .replace("seq { S1 S2 S0 }", "S1 S2 S0")
                .as_str(),
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let two = "S0[i, j] -> [i, j]; S1[i, j] -> [i, j]";
        refused(made(two), "E0712", "statement `S2` has no time");
        refused(made(&format!("{two}; S9[i] -> [i]")), "E0706", "no statement `S9`");
        refused(made(&format!("{two}; S1[i, j] -> [i]")), "E0712", "second time");
        let e = refused(made("S0[i] -> [i]"), "E0712", "2 iterators, not 1");
        assert!(e.help.unwrap().contains("S0[i, j]"));
        refused(made("S0[i, i] -> [i]"), "E0712", "names two iterators");
        refused(made("S0[i, j] -> [k]"), "E0712", "uses `k`");
    }
}
