//! The order of a schedule for reading: instances in time order, the tree with its dependences.
//!
//! In: a poly, a tree and the parameters' values. Out: plain values with a text form.
//! Keeps: at most as many instances as asked for are listed. Work and data are in `explain`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Result, Source};
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::DimType;

use crate::deps::{DepContext, LIMIT, with_source};
use crate::legality::Instance;
use crate::poly_isl::Model;
use crate::times::times;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// A poly whose parameters have these values.
fn at_sizes(poly: &Poly, sizes: &BTreeMap<Name, i64>) -> Poly {
    let mut fixed = poly.clone();
    for p in &mut fixed.params {
        p.value = sizes.get(&p.name).copied().or(p.value);
    }
    fixed
}

/// An instance in time order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub instance: Instance,
    /// Its time: static positions and rows, outermost first.
    pub time: Vec<i64>,
    /// The values of the parallel loops around it, outermost first: equal on one thread.
    pub thread: Vec<i64>,
}

/// All instances in the order of the tree, at given sizes.
///
/// # Errors
/// `E0601` when there are more than `limit` or it takes too long.
pub fn timeline(
    poly: &Poly,
    tree: &Tree,
    sizes: &BTreeMap<Name, i64>,
    source: &Source,
    limit: usize,
) -> Result<Vec<Step>> {
    let order = times(poly, tree).map_err(|d| with_source(d, source))?;
    let list = || -> Answer<Vec<Step>> {
        let model = Model::new(&at_sizes(poly, sizes))?;
        let ctx = model.ctx.clone();
        ctx.with_deadline(LIMIT, || {
            let mut out = Vec::new();
            for (k, s) in model.poly.statements.iter().enumerate() {
                let set = &model.domains[k];
                let n = set.dim(DimType::Param)?;
                let set = set.project_out(DimType::Param, 0, n)?;
                for point in set.points(limit.saturating_sub(out.len()))? {
                    out.push(step(&model, tree, s, &order.rows[k], &point.coordinates()?));
                }
            }
            out.sort_by(|a, b| a.time.cmp(&b.time));
            Ok(out)
        })
    };
    list().map_err(|t| with_source(t.explain("listing instances"), source))
}

fn step(
    model: &Model,
    tree: &Tree,
    s: &PolyStatement,
    rows: &[warploom_ir::affine::Affine],
    at: &[i64],
) -> Step {
    let value = |e: &warploom_ir::affine::Affine| {
        let lookup = |name: &str| {
            let iter = s.iters.iter().position(|i| &**i == name).and_then(|i| at.get(i).copied());
            let param = || model.poly.params.iter().find(|p| &*p.name == name)?.value;
            iter.or_else(param)
        };
        e.eval(&lookup).unwrap_or_default()
    };
    let name = &s.statement.name;
    let parallel = tree
        .loops()
        .into_iter()
        .filter(|l| {
            (l.marks.parallel || l.marks.map.is_some()) && l.body.statements().contains(name)
        })
        .filter_map(|l| l.rows.get(name));
    Step {
        instance: Instance { statement: name.clone(), at: at.to_vec() },
        time: rows.iter().map(value).collect(),
        thread: parallel.map(value).collect(),
    }
}

/// The tree with each loop's rows, marks, and why it is parallel or not.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn tree_text(deps: &DepContext, tree: &Tree) -> Result<String> {
    let mut out = String::new();
    node_text(deps, tree, tree, 0, &mut out)?;
    Ok(out)
}

fn node_text(
    deps: &DepContext,
    whole: &Tree,
    node: &Tree,
    depth: usize,
    out: &mut String,
) -> Result<()> {
    let pad = "  ".repeat(depth);
    match node {
        Tree::Statement(name) => {
            let _ = writeln!(out, "{pad}{name}");
        }
        Tree::Sequence(children) => {
            let _ = writeln!(out, "{pad}sequence");
            for child in children {
                node_text(deps, whole, child, depth + 1, out)?;
            }
        }
        Tree::Loop(l) => {
            let mut rows: Vec<String> =
                l.rows.iter().map(|(s, row)| format!("{s}: {row}")).collect();
            rows.sort();
            let marks: String = l.marks.words().iter().map(|word| format!(" {word}")).collect();
            let why = match deps.coincident(whole, &l.name)? {
                None => "independent iterations".to_string(),
                Some(why) => why.to_string(),
            };
            let _ = writeln!(out, "{pad}loop {} [{}]{marks}  # {why}", l.name, rows.join("; "));
            node_text(deps, whole, &l.body, depth + 1, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use warploom_ir::nest::Nest;

    const MATMUL: &str = "param M, N, K
in A: f32[M, K]
in B: f32[K, N]
inout C: f32[M, N]
for m in 0..M, n in 0..N, k in 0..K { S: C[m, n] += A[m, k] * B[k, n] order fixed }
";

    fn sizes(m: i64, n: i64, k: i64) -> BTreeMap<Name, i64> {
        [("M", m), ("N", n), ("K", k)].into_iter().map(|(s, v)| (s.into(), v)).collect()
    }

    #[test]
    fn the_timeline_is_the_order_of_the_tree() {
        let nest: Nest = MATMUL.parse().unwrap();
        let (poly, tree) = Poly::from_nest(&nest).unwrap();
        let steps = timeline(&poly, &tree, &sizes(2, 1, 2), &nest.source, 100).unwrap();
        let at: Vec<_> = steps.iter().map(|s| s.instance.at.clone()).collect();
        assert_eq!(at, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]);
        let error = timeline(&poly, &tree, &sizes(9, 9, 9), &nest.source, 10).unwrap_err();
        assert_eq!(error.code, "E0601");
    }

    #[test]
    fn the_tree_says_why() {
        let nest: Nest = MATMUL.parse().unwrap();
        let (poly, tree) = Poly::from_nest(&nest).unwrap();
        let deps = DepContext::new(&poly, &tree, &nest.source).unwrap();
        let text = tree_text(&deps, &tree).unwrap();
        assert!(text.contains("loop m [S: m]  # independent iterations"), "{text}");
        assert!(text.contains("# reduction dependence over distance 1"), "{text}");
    }
}
