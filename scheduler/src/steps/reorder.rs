//! `reorder b, a`: interchange.
//!
//! `a { b { X } }` -> `b { a { X } }`. The places that the named loops hold in their chain are
//! filled in the order given; loops between them stay. Marks move with their loops.
//! Legal: if the new order keeps the dependences.
//! Errors: `E0712` for loops that are not perfectly nested.

use warploom_ir::diag::Result;
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

use super::{chain, edit, resolve};

/// Puts the loops in this order.
pub(crate) fn reorder(tree: &Tree, loops: &[Ref]) -> Result<Tree> {
    let targets: Result<Vec<_>> =
        loops.iter().map(|r| Ok((r.clone(), resolve(tree, r)?))).collect();
    let targets = targets?;
    let (first, mut chain) = chain(tree, "reorder", &targets)?;
    let found: Vec<usize> = targets
        .iter()
        .map(|(_, name)| chain.position(name).expect("the chain holds every target"))
        .collect();
    let mut places = found.clone();
    places.sort_unstable();
    let old = chain.loops.clone();
    for (place, from) in places.into_iter().zip(found) {
        chain.loops[place] = old[from].clone();
    }
    let mut result = Some(chain.build());
    edit(tree.clone(), &first, &mut |_| Ok(result.take().expect("one loop has this name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refs, refused, tree as t};

    #[test]
    fn named_places_are_filled_in_order() {
        let before =
            t("loop i [S: i] parallel { loop j [S: j] { loop k [S: k] { loop l [S: l] { S } } } }");
        becomes(
            reorder(&before, &refs(&["l", "i", "k"])),
            "loop l [S: l] { loop j [S: j] { loop i [S: i] parallel { loop k [S: k] { S } } } }",
        );
    }

    #[test]
    fn a_statement_between_is_named() {
        let before = t("loop m [S0: m, S1: m] { S0 loop k [S1: k] { S1 } }");
        refused(reorder(&before, &refs(&["k", "m"])), "E0712", "statement `S0` is inside `m`");
    }
}
