//! Which loops run on threads.
//!
//! In: a schedule whose loops have their final places. Out: the same schedule with the outermost
//! loop without carried dependences of each nest marked `parallel`, where one run of it is worth
//! waking threads for.

use warploom_ir::affine::{Affine, Atom};
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop};

use super::Auto;

/// Fewest instances in one run of a loop, inside another one that does not run over tiles, for
/// threads to be woken each time: some ten microseconds of work.
const WORTH: i64 = 1 << 14;

impl Auto {
    /// The outermost loop without carried dependences of each nest runs on threads.
    pub(super) fn threads(&mut self) -> Result<()> {
        let mut todo = vec![(self.at.tree().clone(), false)];
        while let Some((node, inside)) = todo.pop() {
            match node {
                Tree::Sequence(children) => todo.extend(children.into_iter().map(|c| (c, inside))),
                Tree::Statement(_) => {}
                Tree::Loop(l) if inside && !self.worth(&l)? => {}
                Tree::Loop(l) => {
                    let tree = self.at.tree().clone();
                    let free = self.session.deps(&self.at)?.independent(&tree, &l.name)?;
                    let tiles = over_tiles(&l);
                    let inner = l.marks.vectorize || l.marks.unroll;
                    if inner || !(free && self.step(StepKind::Parallel(Ref::from(l.name)))) {
                        todo.push((*l.body, inside || !tiles));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether one run of a loop may have many instances; sizes that are not known may be large.
    fn worth(&mut self, l: &TreeLoop) -> Result<bool> {
        let tree = Tree::Loop(l.clone());
        let mut total = 0_i64;
        for statement in tree.statements() {
            let rows: Vec<&Affine> =
                tree.loops().iter().filter_map(|l| l.rows.get(&statement)).collect();
            let mut instances = 1_i64;
            for row in &rows {
                let bounds = self.session.deps(&self.at)?.row_bounds(&statement, row)?;
                let Some((low, high)) = bounds else { return Ok(true) };
                let extent = high.saturating_sub(low).saturating_add(1);
                let tile = rows.iter().filter_map(|outer| tile_of(outer, row)).min();
                instances = instances.saturating_mul(extent.min(tile.unwrap_or(extent)));
            }
            total = total.saturating_add(instances);
        }
        Ok(total >= WORTH)
    }
}

/// The size of tiles of `row` that `outer` runs over.
fn tile_of(outer: &Affine, row: &Affine) -> Option<i64> {
    let size = |(a, _): (&Atom, i64)| match a {
        Atom::FloorDiv(e, size) if **e == *row => Some(*size),
        Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Var(_) => None,
    };
    outer.terms().find_map(size)
}

/// Whether a loop runs over tiles.
fn over_tiles(l: &TreeLoop) -> bool {
    let divides = |(a, _): (&Atom, i64)| matches!(a, Atom::FloorDiv(..));
    l.rows.values().any(|row| row.terms().any(divides))
}
