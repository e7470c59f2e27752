//! How long statements take under a schedule.
//!
//! In: a schedule with its marks. Out: an estimate, in sixteenths of a cycle, or nothing where
//! sizes are not known.
//! Keeps: it rests on loops' extents and on `costs`; it serves to compare two schedules of the same
//! statements and to tell work for which it pays to wake threads.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::Result;
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Tree, TreeLoop};

use super::Auto;
use super::costs::{CYCLE, advance, in_lanes, one_by_one};
use crate::steps::ancestors;

/// Until threads have begun a loop's iterations and met at its end: about two microseconds.
pub(super) const MEETING: i64 = 6000 * CYCLE;

/// Threads that are counted on.
const THREADS: i64 = 2;

/// Bytes that stay in the cache of one core: half of what is usual.
const CACHED: i64 = 256 << 10;

/// An instance about which nothing is known.
const UNKNOWN: i64 = 4 * CYCLE;

impl Auto {
    /// The time of these statements, with all threads' meetings.
    pub(super) fn estimate(&mut self, names: &[Name]) -> Result<Option<i64>> {
        let tree = self.at.tree().clone();
        let mut total = 0_i64;
        for name in names {
            let Some(all) = self.about(name)? else { return Ok(None) };
            let time = all.saturating_mul(self.cost(&tree, name)?);
            let parallel = ancestors(&tree, name).iter().any(|l| l.marks.parallel);
            total = total.saturating_add(if parallel { time / THREADS } else { time });
        }
        for l in tree.loops().into_iter().filter(|l| l.marks.parallel) {
            let Some(name) = l.body.statements().into_iter().find(|s| names.contains(s)) else {
                continue;
            };
            let Some(meetings) = self.runs(&tree, &name, l)? else { return Ok(None) };
            total = total.saturating_add(meetings.saturating_mul(MEETING));
        }
        Ok(Some(total))
    }

    /// Whether all arrays that these statements touch fit the cache of one core.
    pub(super) fn in_cache(&self, names: &[Name]) -> bool {
        let poly = self.at.poly();
        let mut arrays: BTreeSet<&Name> = BTreeSet::new();
        for s in poly.statements.iter().map(|s| &s.statement).filter(|s| names.contains(&s.name)) {
            arrays.insert(&s.target.array);
            arrays.extend(s.reads().into_iter().map(|a| &a.array));
        }
        let bytes = |name: &Name| {
            let array = poly.array(name)?;
            let extents = array.shape.iter().map(|e| poly.fixed(e));
            let elements = extents.reduce(|a, b| a?.checked_mul(b?)).unwrap_or(Some(1))?;
            elements.checked_mul(i64::try_from(array.dtype.size_bytes()).ok()?)
        };
        let all = arrays.into_iter().map(bytes).reduce(|a, b| a?.checked_add(b?));
        all.flatten().is_some_and(|all| all <= CACHED)
    }

    /// The time of one run of a loop by one thread.
    pub(super) fn one_run(&mut self, l: &TreeLoop) -> Result<Option<i64>> {
        let tree = self.at.tree().clone();
        let mut total = 0_i64;
        for name in l.body.statements() {
            let all = self.about(&name)?;
            let Some((all, runs)) = all.zip(self.runs(&tree, &name, l)?) else { return Ok(None) };
            let time = all.saturating_mul(self.cost(&tree, &name)?);
            total = total.saturating_add(time / runs.max(1));
        }
        Ok(Some(total))
    }

    /// Instances of a statement in the box around its domain.
    pub(super) fn instances(&mut self, name: &Name) -> Result<Option<i64>> {
        let iters = self.at.poly().statement(name).map(|s| s.iters.clone()).unwrap_or_default();
        let rows: Vec<Affine> = iters.into_iter().map(Affine::var).collect();
        self.box_of(name, &rows.iter().collect::<Vec<_>>())
    }

    /// Instances of a statement, about: each bound of an iterator by another halves the box.
    fn about(&mut self, name: &Name) -> Result<Option<i64>> {
        let poly = self.at.poly();
        let Some(s) = poly.statement(name) else { return Ok(None) };
        let bounds = |c: &&Constraint| {
            let several = s.iters.iter().filter(|i| c.expr.coefficient(i) != 0).count() > 1;
            several && !c.equality
        };
        let most = s.iters.len().saturating_sub(1);
        let halves = s.domain.iter().filter(bounds).count().min(most);
        Ok(self.instances(name)?.map(|n| n >> halves.min(62)))
    }

    /// How often a loop around a statement runs.
    fn runs(&mut self, tree: &Tree, name: &Name, l: &TreeLoop) -> Result<Option<i64>> {
        let around = ancestors(tree, name);
        let outside = around.iter().take_while(|o| o.name != l.name);
        let rows: Vec<&Affine> = outside.filter_map(|o| o.rows.get(name)).collect();
        self.box_of(name, &rows)
    }

    /// The product of the extents of rows; of a row that runs in tiles, the tile's.
    fn box_of(&mut self, name: &Name, rows: &[&Affine]) -> Result<Option<i64>> {
        let mut product = 1_i64;
        for row in rows {
            let bounds = self.session.deps(&self.at)?.row_bounds(name, row)?;
            let Some((low, high)) = bounds else { return Ok(None) };
            let extent = high.saturating_sub(low).saturating_add(1);
            let tile = rows.iter().filter_map(|outer| tile_of(outer, row)).min();
            product = product.saturating_mul(extent.min(tile.unwrap_or(extent)));
        }
        Ok(Some(product))
    }

    /// The time of one instance.
    fn cost(&mut self, tree: &Tree, name: &Name) -> Result<i64> {
        let poly = self.at.poly().clone();
        let Some(s) = poly.statement(name) else { return Ok(UNKNOWN) };
        let around = ancestors(tree, name);
        let Some(inner) = around.last() else { return Ok(one_by_one(s, &Vec::new(), false)) };
        let Some(advance) = advance(tree, s, &inner.name) else { return Ok(UNKNOWN) };
        if inner.marks.vectorize {
            return Ok(in_lanes(s, &advance, self.register(&poly, name)));
        }
        let chain = !self.session.deps(&self.at)?.independent(tree, &inner.name)?;
        Ok(one_by_one(s, &advance, chain))
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
