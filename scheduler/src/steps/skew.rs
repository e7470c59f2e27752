//! `skew j by 2*i`: the rows of `j` gain twice those of `i`.
//!
//! `i { j { X } }` -> `i { j { X } }` with the row `j + 2*i` for `j`.
//! Legal: always by itself (within one iteration of `i` the row only moves); what it is for is the
//! `tile` or `reorder` behind it.
//! Errors: `E0712` if `i` is not around `j`.

use warploom_ir::diag::Result;
use warploom_ir::planted::{Bug, planted};
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

use super::{edit, overflow, refuse, resolve};

/// Adds `factor` times the rows of `by` to those of `target`.
pub(crate) fn skew(tree: &Tree, target: &Ref, factor: i64, by: &Ref) -> Result<Tree> {
    let (inner, outer) = (resolve(tree, target)?, resolve(tree, by)?);
    let around = tree.find(&outer).expect("a resolved loop exists");
    if around.body.find(&inner).is_none() {
        let message = format!("loop `{outer}` is not around loop `{inner}`");
        let help = "a loop is skewed by a loop outside it";
        return Err(Box::new(refuse(by.span, message).help(help)));
    }
    edit(tree.clone(), &inner, &mut |mut l| {
        for (statement, row) in &mut l.rows {
            let other = around.rows.get(statement).expect("every statement below has a row");
            let factor = if planted(Bug::SkewSign) { -factor } else { factor };
            let sum = other.scale(factor).and_then(|other| row.add(&other));
            *row = sum.map_err(overflow(target.span))?;
        }
        Ok(Tree::Loop(l))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    const BODY: &str = "loop i [S: i, T: i + 1] { loop j [S: j, T: j] { S T } }";

    #[test]
    fn each_statement_uses_its_own_row() {
        becomes(
            skew(&t(BODY), &Ref::new("j"), 2, &Ref::new("i")),
            "loop i [S: i, T: i + 1] { loop j [S: j + 2*i, T: j + 2*i + 2] { S T } }",
        );
    }

    #[test]
    fn only_by_an_outer_loop() {
        refused(skew(&t(BODY), &Ref::new("i"), 1, &Ref::new("j")), "E0712", "not around");
        refused(skew(&t(BODY), &Ref::new("j"), 1, &Ref::new("j")), "E0712", "not around");
        let big = t("loop i [S: 4611686018427387904*i] { loop j [S: j] { S } }");
        refused(skew(&big, &Ref::new("j"), 2, &Ref::new("i")), "E0716", "64 bits");
    }
}
