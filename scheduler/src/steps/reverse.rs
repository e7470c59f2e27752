//! `reverse l`: from last to first.
//!
//! Rows `r` -> `-r`.
//! Legal: if the new order keeps the dependences (none is carried by the loop).
//! Errors: `E0716` for a coefficient that has no negative.

use warploom_ir::diag::Result;
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

use super::{edit, overflow, resolve};

/// Reverses the loop.
pub(crate) fn reverse(tree: &Tree, target: &Ref) -> Result<Tree> {
    let name = resolve(tree, target)?;
    edit(tree.clone(), &name, &mut |mut l| {
        for row in l.rows.values_mut() {
            *row = row.scale(-1).map_err(overflow(target.span))?;
        }
        Ok(Tree::Loop(l))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    #[test]
    fn rows_are_negated() {
        let before = t("loop i [S: i - 3] { S }");
        becomes(reverse(&before, &Ref::new("i")), "loop i [S: 3 - i] { S }");
        refused(reverse(&before, &Ref::new("j")), "E0705", "the loops are `i`");
        let least = t("loop i [S: -9223372036854775808*i] { S }");
        refused(reverse(&least, &Ref::new("i")), "E0716", "64 bits");
    }
}
