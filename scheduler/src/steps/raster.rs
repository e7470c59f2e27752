//! `raster m.0, n.0 as t`: a loop over the tuples of iterations of nested loops.
//!
//! `a { b { X } }` -> `t { a { b { X } } }` where `t` numbers the pairs in their order; each of the
//! loops `a` and `b` runs once in an iteration of `t`, which can be split and mapped to blocks. For
//! tiles that run at the same time to share rows and columns, which caches then see once, their
//! loops are split and reordered before: `split m.0 by 8`, `reorder m.0.0, n.0, m.0.1`, `raster
//! m.0.0, n.0, m.0.1 as t`. A point loop of a tile counts from the start of its tile.
//! Legal: always; the order does not change.
//! Errors: `E0715` if an extent is not a number, `E0712` for loops that are not perfectly nested,
//! `E0713` for a name that is taken, `E0714` for a marked loop.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Marks, Tree, TreeLoop};

use super::coalesce::{Bounds, local, unbounded};
use super::{edit, overflow, refuse, resolve, unmarked};

/// Puts the loop around the first of these loops, outermost first.
pub(crate) fn raster(tree: &Tree, loops: &[Ref], name: &Ref, bounds: Bounds<'_>) -> Result<Tree> {
    let mut numbers: BTreeMap<Name, Affine> = BTreeMap::new();
    let mut before: Option<&TreeLoop> = None;
    for target in loops {
        let found = resolve(tree, target)?;
        let l = tree.find(&found).expect("a resolved loop exists");
        let right_inside =
            |outer: &TreeLoop| matches!(&*outer.body, Tree::Loop(b) if b.name == found);
        if let Some(outer) = before.filter(|outer| !right_inside(outer)) {
            let outer = &outer.name;
            let message =
                format!("loop `{found}` is not the only thing right inside loop `{outer}`");
            return Err(refuse(target.span, message));
        }
        unmarked(target, l, "raster")?;
        let rows: BTreeMap<Name, Affine> =
            l.rows.iter().map(|(s, row)| (s.clone(), local(tree, s, &found, row))).collect();
        let (low, extent) = range(&rows, l, target, bounds)?;
        for (statement, row) in rows {
            let before = numbers.remove(&statement).unwrap_or_else(|| Affine::constant(0));
            let number = before.scale(extent).and_then(|n| n.add(&row)?.add_const(-low));
            numbers.insert(statement, number.map_err(overflow(target.span))?);
        }
        before = Some(l);
    }
    let outer = resolve(tree, &loops[0])?;
    edit(tree.clone(), &outer, &mut |l| {
        let (name, rows) = (name.name.clone(), numbers.clone());
        let body = Box::new(Tree::Loop(l));
        Ok(Tree::Loop(TreeLoop { name, rows, marks: Marks::default(), body }))
    })
}

/// The least value of a loop's rows, and how many values there are at most.
fn range(
    rows: &BTreeMap<Name, Affine>,
    l: &TreeLoop,
    target: &Ref,
    bounds: Bounds<'_>,
) -> Result<(i64, i64)> {
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for (statement, row) in rows {
        let Some((least, most)) = bounds(statement, row)? else {
            return Err(unbounded(target, &l.name));
        };
        (low, high) = (low.min(least), high.max(most));
    }
    let extent = high.checked_sub(low).and_then(|d| d.checked_add(1));
    extent.filter(|_| low != i64::MIN).map(|e| (low, e)).ok_or_else(|| unbounded(target, &l.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    fn run(text: &str, found: Option<(i64, i64)>) -> Result<Tree> {
        let loops = [Ref::new("i"), Ref::new("j")];
        raster(&t(text), &loops, &Ref::new("t"), &|_, _| Ok(found))
    }

    #[test]
    fn pairs_are_numbered() {
        let before = "loop i [S: i] { loop j [S: j] { S } }";
        let after = "loop t [S: 8*i + j - 9] { loop i [S: i] { loop j [S: j] { S } } }";
        becomes(run(before, Some((1, 8))), after);
        let tiled = "loop o [S: floor(j / 4)] { loop i [S: i] { loop j [S: j] { S } } }";
        let after = "loop o [S: floor(j / 4)] { loop t [S: 4*i + j mod 4] \
                     { loop i [S: i] { loop j [S: j] { S } } } }";
        becomes(run(tiled, Some((0, 3))), after);
    }

    #[test]
    fn others_are_refused() {
        let between = "loop i [S: i, T: i] { loop j [S: j] { S } T }";
        refused(run(between, Some((0, 7))), "E0712", "not the only thing");
        let plain = "loop i [S: i] { loop j [S: j] { S } }";
        refused(run(plain, None), "E0715", "is not a number");
        let marked = "loop i [S: i] parallel { loop j [S: j] { S } }";
        refused(run(marked, Some((0, 7))), "E0714", "marked `parallel`");
    }
}
