//! `shift S1.i by 1`: one statement's iterations of a loop come later.
//!
//! `i { seq { S0 S1 } }`, rows `i` and `i` -> rows `i` and `i + 1`. Without a statement, all rows
//! of the loop move, which changes no order but where tiles start.
//! Legal: if the new order keeps the dependences.
//! Errors: `E0712` for a shift by something that is no parameter.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

use super::{ancestors, edit, overflow, refuse, resolve};

/// Adds `by`, affine in `params`, to the rows.
pub(crate) fn shift(tree: &Tree, target: &Ref, by: &Affine, params: &[Name]) -> Result<Tree> {
    if let Some(v) = by.vars().into_iter().find(|v| !params.contains(v)) {
        let message = format!("a loop is shifted by numbers and parameters, and `{v}` is neither");
        let help = "to add a multiple of another loop write `skew`";
        return Err(Box::new(refuse(target.span, message).help(help)));
    }
    let moved = target.qualified().map(|(s, _)| s).filter(|s| !ancestors(tree, s).is_empty());
    let name = match moved {
        // `S1.i` names the loop above `S1`, even where another one is called that.
        Some(s) => {
            let above = ancestors(tree, s);
            let own = above.iter().find(|l| l.name == target.name);
            own.map_or_else(|| resolve(tree, target), |l| Ok(l.name.clone()))?
        }
        None => resolve(tree, target)?,
    };
    edit(tree.clone(), &name, &mut |mut l| {
        for (statement, row) in &mut l.rows {
            if moved.is_none_or(|s| s == &**statement) {
                *row = row.add(by).map_err(overflow(target.span))?;
            }
        }
        Ok(Tree::Loop(l))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    #[test]
    fn one_statement_or_all() {
        let before = t("loop S0.i [S0: i, S1: i] { S0 S1 }");
        let one = Affine::constant(1);
        let run = |l: &str, by: &Affine| shift(&before, &Ref::new(l), by, &["N".into()]);
        becomes(run("S1.i", &one), "loop S0.i [S0: i, S1: i + 1] { S0 S1 }");
        becomes(run("S0.i", &one), "loop S0.i [S0: i + 1, S1: i] { S0 S1 }");
        becomes(run("i", &Affine::var("N")), "loop S0.i [S0: N + i, S1: N + i] { S0 S1 }");
        refused(run("i", &Affine::var("j")), "E0712", "`j` is neither");
        refused(run("S1.k", &one), "E0705", "no loop `S1.k`");
    }
}
