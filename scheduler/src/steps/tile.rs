//! `tile a, b by 4, 8`: blocks of iterations.
//!
//! `a { b { X } }` -> `a.0 { b.0 { a.1 { b.1 { X } } } }`, with the rows `floor(a / 4)`,
//! `floor(b / 8)`, `a`, `b`. The point loops keep the rows of the loops they come from (not the
//! rows within a tile): inside tile t they run from `4*t` to `4*t + 3`, which isl derives.
//! Loops of the chain that are not named stay where they are, inside the tile loops; the point
//! loops take the named loops' places in the order given.
//! Legal: if the new order keeps the dependences (always where the band is permutable).
//! Errors: `E0712` for loops that are not perfectly nested, `E0714` for a marked loop.

use warploom_ir::diag::Result;
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Marks, Tree, TreeLoop};

use super::{chain, edit, overflow, resolve, unmarked};

/// Tiles the loops; `names` is empty or holds the tile loops' names, then the point loops'.
pub(crate) fn tile(tree: &Tree, loops: &[Ref], sizes: &[i64], names: &[Ref]) -> Result<Tree> {
    let targets: Result<Vec<_>> =
        loops.iter().map(|r| Ok((r.clone(), resolve(tree, r)?))).collect();
    let targets = targets?;
    let (first, mut chain) = chain(tree, "tile", &targets)?;
    let n = targets.len();
    let (mut tiles, mut points, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (k, ((r, name), size)) in targets.iter().zip(sizes).enumerate() {
        let place = chain.position(name).expect("the chain holds every target");
        let l = chain.loops[place].clone();
        unmarked(r, &l, "tile")?;
        let mut rows = l.rows.clone();
        for row in rows.values_mut() {
            *row = row.floor_div(*size).map_err(overflow(r.span))?;
        }
        let called = |which: usize| match names.get(which * n + k) {
            Some(given) => given.name.clone(),
            None => format!("{name}.{which}").into(),
        };
        let outer = TreeLoop { name: called(0), rows, marks: Marks::default(), ..l.clone() };
        tiles.push(outer);
        points.push(TreeLoop { name: called(1), ..l });
        places.push(place);
    }
    places.sort_unstable();
    for (place, point) in places.into_iter().zip(points) {
        chain.loops[place] = point;
    }
    chain.loops.splice(0..0, tiles);
    let mut result = Some(chain.build());
    edit(tree.clone(), &first, &mut |_| Ok(result.take().expect("one loop has this name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refs, refused, tree as t};

    #[test]
    fn tiles_then_points() {
        let before = t("loop i [S: i] { loop j [S: -j] { S } }");
        let after = "loop i.0 [S: floor(i / 4)] { loop j.0 [S: floor((-j) / 8)] {
            loop i.1 [S: i] { loop j.1 [S: -j] { S } } } }";
        becomes(tile(&before, &refs(&["i", "j"]), &[4, 8], &[]), after);
        let named = refs(&["a", "b", "c", "d"]);
        let after = "loop a [S: floor((-j) / 8)] { loop b [S: floor(i / 4)] {
            loop c [S: -j] { loop d [S: i] { S } } } }";
        becomes(tile(&before, &refs(&["j", "i"]), &[8, 4], &named), after);
    }

    #[test]
    fn loops_between_stay_inside() {
        let before = t("loop i [S: i] { loop j [S: j] { loop k [S: k] { S } } }");
        let after = "loop i.0 [S: floor(i / 4)] { loop k.0 [S: floor(k / 4)] {
            loop i.1 [S: i] { loop j [S: j] { loop k.1 [S: k] { S } } } } }";
        becomes(tile(&before, &refs(&["i", "k"]), &[4, 4], &[]), after);
    }

    #[test]
    fn a_sequence_below_all_loops_is_fine_and_between_them_is_not() {
        let before = t("loop i [S: i, T: i] { S loop j [T: j] { T } }");
        becomes(
            tile(&before, &refs(&["i"]), &[4], &[]),
            "loop i.0 [S: floor(i / 4), T: floor(i / 4)] {
                loop i.1 [S: i, T: i] { S loop j [T: j] { T } } }",
        );
        let e = refused(tile(&before, &refs(&["i", "j"]), &[4, 4], &[]), "E0712", "statement `S`");
        assert!(e.help.unwrap().contains("distribute i"));
        refused(tile(&before, &refs(&["j", "j"]), &[4, 4], &[]), "E0712", "twice");
    }

    #[test]
    fn siblings_are_not_nested() {
        let before = t("loop i [S: i] { S } loop j [T: j] { T }");
        let result = tile(&before, &refs(&["i", "j"]), &[4, 4], &[]);
        refused(result, "E0712", "`j` is not inside `i`");
    }

    #[test]
    fn a_marked_loop_is_refused() {
        let before = t("loop i [S: i] parallel { S }");
        refused(tile(&before, &refs(&["i"]), &[4], &[]), "E0714", "marked `parallel`");
    }
}
