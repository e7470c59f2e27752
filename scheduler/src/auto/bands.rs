//! Tiles, wavefronts and lanes for nests that isl's scheduler ordered.
//!
//! In: a schedule after its `order` step, and the parts that isl ordered. Out: the same schedule
//! with permutable bands tiled, the tile loops skewed where the outermost is not parallel (tiles of
//! one wavefront then are), and innermost parallel loops along contiguous elements as lanes.
//! Keeps: every choice is a step that may be refused.

use warploom_ir::affine::{Atom, Name};
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, Step, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop};

use super::Auto;
use super::costs::{advance, in_lanes, one_by_one};
use super::holes::Hole;
use super::order::{Kind, Part, children, nested};
use crate::steps::ancestors;

/// Iterations of a tile along the first, the middle and the last loop of a band of two, three and
/// more loops: work for some 50 microseconds, so that meeting at a wavefront's end costs little,
/// on data that stays in the cache of one core.
const TILES: [[i64; 3]; 3] = [[64, 1, 2048], [16, 32, 256], [8, 16, 128]];
/// Iterations of a tile where sizes are not known: tiles of one size in all directions are what isl
/// generates loops over quickly.
const SYMBOLIC_TILE: i64 = 32;
/// Tiles wanted along the two loops that a wavefront runs over, for several threads to have work.
const WANTED_TILES: i64 = 4;
/// Fewest iterations of a tile along these.
const SMALLEST: i64 = 8;

impl Auto {
    /// Tiles and lanes for a part; the statements that need no more. One that is alone below a
    /// parallel loop does: it is like one in an order of its own.
    pub(super) fn part(&mut self, part: &Part) -> Result<Vec<Name>> {
        let names = part.names(self.at.poly());
        if part.kind != Kind::Bands {
            self.inner_lanes(&names)?;
            return Ok(names);
        }
        let mut done = Vec::new();
        let inside = |t: &Tree| t.statements().iter().all(|s| names.contains(s));
        for nest in children(self.at.tree()).into_iter().filter(inside) {
            let statements = nest.statements();
            let tree = self.at.tree().clone();
            if let (Tree::Loop(outer), [_]) = (&nest, statements.as_slice())
                && self.free(&tree, &outer.name)?
            {
                continue;
            }
            let band = part.band(self.at.poly(), &statements);
            let points = self.tile_band(&nest, band)?;
            self.order_points(&points, &statements)?;
            done.extend(statements);
        }
        Ok(done)
    }

    /// No dependence between iterations of a loop.
    fn free(&mut self, tree: &Tree, name: &str) -> Result<bool> {
        self.session.deps(&self.at)?.independent(tree, name)
    }

    /// The order of loops that may be permuted, outermost first, and lanes inside them: that which
    /// takes least time of one with each loop innermost, and with the last but one innermost once
    /// the last is skewed by it, so that its iterations do not depend on each other.
    fn order_points(&mut self, points: &[Name], statements: &[Name]) -> Result<()> {
        let before = self.at.clone();
        self.inner_lanes(statements)?;
        let Some(mut least) = self.estimate(statements)? else { return Ok(()) };
        if points.len() < 2 || self.lanes_everywhere(statements) {
            return Ok(());
        }
        let mut best = self.at.clone();
        let last = points.len() - 1;
        let to_ref = |name: &Name| Ref::from(name.clone());
        let with_last = |k: usize| -> StepKind {
            let others = points.iter().enumerate().filter(|(other, _)| *other != k);
            let mut loops: Vec<Ref> = others.map(|(_, name)| to_ref(name)).collect();
            loops.push(to_ref(&points[k]));
            StepKind::Reorder { loops }
        };
        let (target, by) = (to_ref(&points[last]), to_ref(&points[last - 1]));
        let skewed = [StepKind::Skew { target, factor: 1, by }, with_last(last - 1)];
        let mut trials: Vec<StepKind> = (0..last).rev().map(with_last).collect();
        trials.push(StepKind::Atomically(skewed.map(Step::from).to_vec()));
        for trial in trials {
            self.at = before.clone();
            if !self.step(trial) {
                continue;
            }
            self.inner_lanes(statements)?;
            let time = self.estimate(statements)?.unwrap_or(i64::MAX);
            if time < least {
                (least, best) = (time, self.at.clone());
            }
        }
        self.at = best;
        Ok(())
    }

    /// Lanes for statements that share their innermost loop: along it, or else strips of a loop
    /// around it that nothing else shares and whose iterations are independent.
    pub(super) fn lanes_together(&mut self, statements: &[Name]) -> Result<()> {
        self.inner_lanes(statements)?;
        let inside = |l: &&TreeLoop| l.body.statements() == statements;
        let chain: Vec<TreeLoop> =
            self.at.tree().loops().into_iter().filter(inside).cloned().collect();
        if self.lanes_everywhere(statements) || chain.len() < 2 {
            return Ok(());
        }
        let (before, poly) = (self.at.clone(), self.at.poly().clone());
        let size = statements.iter().map(|s| self.register(&poly, s)).max().unwrap_or(1)
            * self.options.vectors;
        for l in &chain[..chain.len() - 1] {
            let part = |k: u8| Name::from(format!("{}.{k}", l.name));
            let mut loops: Vec<Name> = Vec::new();
            for other in &chain {
                loops.push(if other.name == l.name { part(0) } else { other.name.clone() });
            }
            loops.push(part(1));
            let target = Ref::from(l.name.clone());
            let strips = StepKind::Split { target, size, names: Vec::new() };
            let order = StepKind::Reorder { loops: loops.into_iter().map(Ref::from).collect() };
            if self.step(StepKind::Atomically(vec![Step::from(strips), Step::from(order)])) {
                self.inner_lanes(statements)?;
                if self.lanes_everywhere(statements) {
                    return Ok(());
                }
            }
            self.at = before.clone();
        }
        Ok(())
    }

    /// Whether the innermost loop around each of these statements is lanes.
    fn lanes_everywhere(&self, statements: &[Name]) -> bool {
        let lanes =
            |s: &Name| ancestors(self.at.tree(), s).last().is_some_and(|l| l.marks.vectorize);
        statements.iter().all(lanes)
    }

    /// Tiles the outermost loops of a nest and lets its tiles run as a wavefront; the loops inside
    /// a tile, which may be permuted.
    fn tile_band(&mut self, nest: &Tree, band: usize) -> Result<Vec<Name>> {
        let mut loops = nested(nest);
        loops.truncate(band);
        let tree = self.at.tree().clone();
        let names: Vec<Name> = loops.iter().map(|l| l.name.clone()).collect();
        if loops.len() < 2 || self.free(&tree, &loops[0].name)? {
            return Ok(names.into_iter().skip(1).collect());
        }
        let fixed = self.at.poly().params.iter().all(|p| p.value.is_some());
        let mut sizes = Vec::new();
        let last = loops.len() - 1;
        for (k, l) in loops.iter().enumerate() {
            let size = TILES[last.min(3) - 1][if k == last { 2 } else { k.min(1) }];
            sizes.push(match (fixed, k) {
                (false, _) => SYMBOLIC_TILE,
                (true, 0 | 1) => self.fewer(l, size)?,
                (true, _) => size,
            });
        }
        let others = scaled(&sizes);
        let sizes = self.choose(Hole::new(&names[0], "band", &["tiles"], sizes, others));
        let targets: Vec<Ref> = loops.iter().map(|l| Ref::from(l.name.clone())).collect();
        let tile = |k: usize| Ref::from(Name::from(format!("{}.0", loops[k].name)));
        let tiles = StepKind::Tile { loops: targets, sizes, names: Vec::new() };
        let skew = StepKind::Skew { target: tile(1), factor: 1, by: tile(0) };
        let swap = StepKind::Reorder { loops: vec![tile(1), tile(0)] };
        let wavefront = [tiles.clone(), skew, swap].map(Step::from).to_vec();
        if !self.step(StepKind::Atomically(wavefront)) && !self.step(tiles) {
            return Ok(names);
        }
        Ok(names.into_iter().map(|name| Name::from(format!("{name}.1"))).collect())
    }

    /// A size of tiles along a loop, smaller where the loop is short.
    fn fewer(&mut self, l: &TreeLoop, size: i64) -> Result<i64> {
        let mut longest = 0;
        for (statement, row) in &l.rows {
            match self.session.deps(&self.at)?.row_bounds(statement, row)? {
                Some((low, high)) => {
                    longest = longest.max(high.saturating_sub(low).saturating_add(1));
                }
                None => return Ok(size),
            }
        }
        Ok(size.min((longest / WANTED_TILES).max(SMALLEST)))
    }

    /// Lanes for the innermost loops around these statements, apart from each other where that
    /// makes them parallel.
    pub(super) fn inner_lanes(&mut self, names: &[Name]) -> Result<()> {
        for name in innermost(self.at.tree(), names) {
            let tree = self.at.tree().clone();
            if self.has_lanes(&tree, &name)? {
                self.lanes_of(&name)?;
                continue;
            }
            let before = self.at.clone();
            let below = tree.find(&name).map(|l| l.body.statements()).unwrap_or_default();
            let target = Ref::from(name);
            if below.len() < 2
                || !self.step(StepKind::Distribute { target, at: None, names: Vec::new() })
            {
                continue;
            }
            let mut any = false;
            for part in innermost(self.at.tree(), &below) {
                let tree = self.at.tree().clone();
                if self.has_lanes(&tree, &part)? {
                    self.lanes_of(&part)?;
                    any = true;
                }
            }
            if !any {
                self.at = before;
            }
        }
        Ok(())
    }

    /// Whether the iterations of an innermost loop are independent, and contiguous in most accesses
    /// of every statement.
    pub(super) fn has_lanes(&mut self, tree: &Tree, name: &Name) -> Result<bool> {
        let poly = self.at.poly().clone();
        let Some(l) = tree.find(name) else { return Ok(false) };
        let good = |statement: &Name| {
            let s = poly.statement(statement)?;
            let advance = advance(tree, s, name)?;
            let register = self.register(&poly, statement);
            Some(in_lanes(s, &advance, register) < one_by_one(s, &advance, false))
        };
        Ok(l.body.statements().iter().all(|s| good(s) == Some(true)) && self.free(tree, name)?)
    }

    /// Makes a loop's iterations lanes: all within a tile and where the loop is too short for
    /// threads, else a few registers at a time, so that threads may share the strips out.
    fn lanes_of(&mut self, name: &Name) -> Result<()> {
        let poly = self.at.poly().clone();
        let Some(l) = self.at.tree().find(name).cloned() else { return Ok(()) };
        if in_tile(self.at.tree(), &l) || !self.worth(&l)? {
            self.step(StepKind::Vectorize(Ref::from(name.clone())));
            return Ok(());
        }
        let statements = l.body.statements();
        let width = statements.iter().map(|s| self.register(&poly, s)).min().unwrap_or(1)
            * self.options.vectors;
        let before = self.at.clone();
        let target = Ref::from(name.clone());
        let inner = Ref::from(Name::from(format!("{name}.1")));
        let done = self.step(StepKind::Split { target, size: width, names: Vec::new() })
            && self.step(StepKind::Vectorize(inner));
        if !done {
            self.at = before;
        }
        Ok(())
    }
}

/// Tiles that are half or twice as long in some directions.
fn scaled(sizes: &[i64]) -> Vec<Vec<i64>> {
    let mut all = vec![Vec::new()];
    for size in sizes {
        let lengths = [size / 2, *size, size.saturating_mul(2)];
        let longer = |start: &Vec<i64>| {
            let with = |n: &i64| start.iter().copied().chain([*n]).collect::<Vec<_>>();
            lengths.iter().filter(|n| **n > 0).map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Whether a loop around this one runs over its tiles.
fn in_tile(tree: &Tree, l: &TreeLoop) -> bool {
    l.rows.iter().any(|(statement, row)| {
        let tiles = |o: &&TreeLoop| {
            let divides = |(a, _): (&Atom, i64)| matches!(a, Atom::FloorDiv(e, _) if **e == *row);
            o.rows.get(statement).is_some_and(|r| r.terms().any(divides))
        };
        ancestors(tree, statement).iter().any(tiles)
    })
}

/// The loops around these statements that hold no loop.
fn innermost(tree: &Tree, names: &[Name]) -> Vec<Name> {
    tree.loops()
        .into_iter()
        .filter(|l| l.body.loops().is_empty())
        .filter(|l| l.body.statements().iter().all(|s| names.contains(s)))
        .map(|l| l.name.clone())
        .collect()
}
