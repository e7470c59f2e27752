//! Finds loops by the names a step wrote, and checks new names.
//!
//! In: a [`Ref`]: a loop's name, a name qualified by a statement (`S1.k`: the loop `k` above
//! `S1`), or the part behind the statement where only one loop has it. Out: the loop's own name,
//! or `E0705` (none, with the nearest) or `E0711` (several).

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Poly, Tree, TreeLoop};

/// The loops around a statement, outermost first; empty if the tree has not the statement.
pub(crate) fn ancestors<'a>(tree: &'a Tree, statement: &str) -> Vec<&'a TreeLoop> {
    tree.loops()
        .into_iter()
        .filter(|l| l.body.statements().iter().any(|s| &**s == statement))
        .collect()
}

/// A loop's name without the statement that qualifies it.
pub(crate) fn base<'a>(tree: &Tree, name: &'a str) -> &'a str {
    match name.split_once('.') {
        Some((head, rest)) if tree.statements().iter().any(|s| &**s == head) => rest,
        Some(_) | None => name,
    }
}

/// The name of the loop that `r` means.
///
/// # Errors
/// `E0705` if there is none, `E0711` if there are several.
pub(crate) fn resolve(tree: &Tree, r: &Ref) -> Result<Name> {
    if let Some(l) = tree.find(&r.name) {
        return Ok(l.name.clone());
    }
    let found: Vec<&TreeLoop> = match r.qualified() {
        Some((statement, rest)) if !ancestors(tree, statement).is_empty() => {
            let above = ancestors(tree, statement);
            let exact: Vec<_> = above.iter().copied().filter(|l| &*l.name == rest).collect();
            let by_base = |l: &&TreeLoop| base(tree, &l.name) == rest;
            if exact.is_empty() { above.into_iter().filter(by_base).collect() } else { exact }
        }
        Some(_) | None => {
            tree.loops().into_iter().filter(|l| base(tree, &l.name) == &*r.name).collect()
        }
    };
    match found.as_slice() {
        [] => Err(unknown(tree, r)),
        [one] => Ok(one.name.clone()),
        several => {
            let names: Vec<String> = several.iter().map(|l| format!("`{}`", l.name)).collect();
            Err(Box::new(
                Diagnostic::input("E0711", format!("`{r}` could be {}", names.join(" or ")))
                    .label(r.span, "")
                    .help(format!("write {}", names[0])),
            ))
        }
    }
}

fn unknown(tree: &Tree, r: &Ref) -> Box<Diagnostic> {
    let names: Vec<Name> = tree.loops().iter().map(|l| l.name.clone()).collect();
    let nearest = names
        .iter()
        .flat_map(|n| [(distance(&r.name, n), n), (distance(&r.name, base(tree, n)), n)])
        .min_by_key(|(d, _)| *d)
        .filter(|(d, _)| *d <= 2.max(r.name.len() / 2))
        .map(|(_, n)| format!("did you mean `{n}`? "))
        .unwrap_or_default();
    let list: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    let help = match list.len() {
        0 => "there are no loops here".to_string(),
        _more => format!("{nearest}the loops are {}", list.join(", ")),
    };
    Box::new(
        Diagnostic::input("E0705", format!("there is no loop `{r}`")).label(r.span, "").help(help),
    )
}

/// Refuses a statement that the nest has not.
pub(crate) fn no_statement(poly: &Poly, name: &str, span: Span) -> Box<Diagnostic> {
    let names: Vec<String> =
        poly.statements.iter().map(|s| format!("`{}`", s.statement.name)).collect();
    Box::new(
        Diagnostic::input("E0706", format!("there is no statement `{name}`"))
            .label(span, "")
            .help(format!("the statements are {}", names.join(", "))),
    )
}

/// The number of letters to insert, delete or replace; long names are cut at 64 letters.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Checks that no two loops of a tree have one name.
///
/// # Errors
/// `E0713`.
pub(crate) fn unique(tree: &Tree, span: Span) -> Result<()> {
    let mut seen = BTreeSet::new();
    match tree.loops().into_iter().find(|l| !seen.insert(l.name.clone())) {
        None => Ok(()),
        Some(l) => Err(Box::new(
            Diagnostic::new(
                "E0713",
                Blame::Schedule,
                format!("the step makes a second loop named `{}`", l.name),
            )
            .label(span, "")
            .help("give the result another name with `as`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::tree;

    const TWO: &str = "loop S0.i [S0: i] { S0 } loop S1.i [S1: i] { loop k [S1: k] { S1 } }";

    #[test]
    fn names_are_found_with_and_without_their_statement() {
        let t = tree(TWO);
        let find = |name: &str| resolve(&t, &Ref::new(name)).map(|n| n.to_string());
        assert_eq!(find("S1.i").unwrap(), "S1.i");
        assert_eq!(find("S1.k").unwrap(), "k");
        assert_eq!(find("k").unwrap(), "k");
        assert_eq!(find("i").unwrap_err().code, "E0711");
        assert!(find("i").unwrap_err().message.contains("`S0.i` or `S1.i`"));
        let fused = tree("loop S0.i [S0: i, S1: i] { S0 S1 }");
        assert_eq!(&*resolve(&fused, &Ref::new("S1.i")).unwrap(), "S0.i");
    }

    #[test]
    fn an_unknown_loop_names_the_nearest_and_all() {
        let e = resolve(&tree(TWO), &Ref::new("S2.k")).unwrap_err();
        assert_eq!((e.code, e.blame), ("E0705", Blame::Input));
        let help = e.help.unwrap();
        assert!(help.contains("did you mean"), "{help}");
        assert!(help.contains("the loops are `S0.i`, `S1.i`, `k`"), "{help}");
        let far = resolve(&tree(TWO), &Ref::new("elephants")).unwrap_err().help.unwrap();
        assert!(!far.contains("did you mean"), "{far}");
    }
}
