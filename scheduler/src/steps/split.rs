//! `split k by 8`: strip-mining.
//!
//! `k { X }` -> `k.0 { k.1 { X } }` with the rows `floor(k / 8)` and `k`: the inner loop keeps the
//! row itself, as in `tile`.
//! Legal: always; the order does not change.
//! Errors: `E0714` for a marked loop.

use warploom_ir::diag::Result;
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

use super::{resolve, tile, unmarked};

/// Splits the loop; `names` is empty or holds the outer and the inner loop's name.
pub(crate) fn split(tree: &Tree, target: &Ref, size: i64, names: &[Ref]) -> Result<Tree> {
    let name = resolve(tree, target)?;
    unmarked(target, tree.find(&name).expect("a resolved loop exists"), "split")?;
    tile(tree, std::slice::from_ref(target), &[size], names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refs, refused, tree as t};

    #[test]
    fn the_inner_loop_keeps_the_row() {
        let before = t("loop S0.k [S0: k + 1] { S0 } S1");
        let after = "loop S0.k.0 [S0: floor((k + 1) / 8)] { loop S0.k.1 [S0: k + 1] { S0 } } S1";
        becomes(split(&before, &Ref::new("k"), 8, &[]), after);
        let after = "loop a [S0: floor((k + 1) / 8)] { loop b [S0: k + 1] { S0 } } S1";
        becomes(split(&before, &Ref::new("S0.k"), 8, &refs(&["a", "b"])), after);
    }

    #[test]
    fn a_marked_loop_is_refused() {
        let before = t("loop k [S: k] unroll { S }");
        refused(split(&before, &Ref::new("k"), 8, &[]), "E0714", "`split` first");
    }
}
