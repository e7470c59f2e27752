//! Products on tensor cores whose tiles are boxes over several indices.
//!
//! In: a product, and boxes of sizes that `gpu_box_size` estimates. Out: the steps: tiles of each
//! index, the points of a box as one loop (`coalesce`) that instructions take parts of, operands
//! that the copy engine or threads fill ahead, results that leave as boxes, and blocks that stay
//! and take tile after tile.
//! Keeps: which index is contiguous in a factor is its box's fastest; all other orders are free,
//! and follow the arrays'. Nothing here knows a contraction.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::instruction::{Matrix, PAIR};
use warploom_ir::schedule::Unit;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::target::{Axis, Place};

use super::gpu::{GpuOptions, Paired};
use super::gpu_box_size::{Boxes, Comes, Cut, Leaving, Side, Space, even};
use super::gpu_tensor_product::{Line, Product};
use super::{Auto, stage_at, to_copy_engine};
use crate::model::product::combine;
use crate::steps::stage::local_name;

/// Bytes of a partial sum.
const HELD: i64 = 4;

/// Elements of a large tile.
const LARGE: i64 = 128 * 256;
/// Boxes are clearly faster where they save more than one part in so many.
const CLEARLY: i64 = 10;

/// How blocks take tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    /// Tile after tile, the larger factor's outermost.
    Stay,
    /// The same with the loops outermost whose last tile reaches over the end.
    RaggedFirst,
    /// Each one tile.
    Once,
}

impl Auto {
    /// The product in boxes, where that takes fewer nanoseconds, or clearly less than tiles of one
    /// index by the same estimate, and every step is taken; where pairs of blocks are wanted, the
    /// one that allows them before one that does not.
    pub(super) fn in_boxes(
        &mut self,
        p: &Product,
        (time, paired): (i64, bool),
        options: &GpuOptions,
    ) -> Option<()> {
        let ((found, clearly, boxes), parts) = self.least_boxes(p, options)?;
        let outer = p.others.first().map_or(1, |l| l.extent);
        let slower = found >= time && !clearly;
        match options.paired {
            Paired::Always if boxes.paired == paired && slower => return None,
            Paired::Always if paired && !boxes.paired => return None,
            Paired::Predicted | Paired::Never if slower => return None,
            Paired::Predicted | Paired::Always | Paired::Never => {}
        }
        let before = self.at.clone();
        // some orders of tiles come out as loops with conditions, which no block program has
        for turns in [Turns::Stay, Turns::RaggedFirst, Turns::Once] {
            let done = match parts {
                1 => self.boxed(p, &boxes, turns, options),
                parts => self.boxed_in_parts(p, outer / parts, turns, options),
            };
            if done.is_some() && self.lowers(options.target) {
                return Some(());
            }
            self.at = before.clone();
        }
        // tiles of one index may still be of pairs, where they are wanted
        let alone = GpuOptions { paired: Paired::Never, ..*options };
        let again = boxes.paired && !(options.paired == Paired::Always && paired);
        again.then(|| self.in_boxes(p, (time, paired), &alone)).flatten()
    }

    /// The best boxes, and in how many parts the outermost sum is cut.
    pub(super) fn least_boxes(
        &self,
        p: &Product,
        options: &GpuOptions,
    ) -> Option<((i64, bool, Boxes), i64)> {
        let whole = self.boxes(p, options, 1);
        // large tiles would leave most multiprocessors without work
        let results = self.whole(&p.target) / self.bytes_of(&p.target.array);
        let few = 4 * results < options.multiprocessors * LARGE;
        let outer = p.others.first().map_or(1, |l| l.extent);
        let parts = (2..=options.multiprocessors.min(outer)).filter(|n| few && outer % n == 0);
        let parted = parts.filter_map(|n| Some((self.boxes(p, options, n)?, n)));
        let all = whole.map(|b| (b, 1)).into_iter().chain(parted);
        all.min_by_key(|(b, _)| b.0)
    }

    /// The product in boxes, each over some iterations of the outermost sum.
    fn boxed_in_parts(
        &mut self,
        p: &Product,
        length: i64,
        turns: Turns,
        options: &GpuOptions,
    ) -> Option<()> {
        let parts = self.in_parts(p, length)?;
        let (_, _, boxes) = self.boxes(&parts, options, 1)?;
        self.boxed(&parts, &boxes, turns, options)
    }

    /// The best boxes for a product whose outermost sum is cut into so many parts, their estimated
    /// nanoseconds, and whether these are clearly fewer than those of tiles of one index; nothing
    /// where no tile is a box of several indices.
    fn boxes(&self, p: &Product, options: &GpuOptions, parts: i64) -> Option<(i64, bool, Boxes)> {
        let several = p.more.iter().any(|lines| !lines.is_empty()) || !p.others.is_empty();
        let threads = [0, 1].map(|f| !self.as_it_is(p, f));
        if !p.matrix.shared || p.loaded.is_some() || p.partial.is_some() || !several {
            return None;
        }
        let main = [&p.row, &p.column, &p.sum];
        let more = [&p.more[0], &p.more[1], &p.others];
        let mut sides = [0, 1, 2].map(|side| side_of(p, (main[side], more[side]), side, threads));
        if let Some(outer) = p.others.first() {
            let own = sides[2].iter_mut().find(|l| l.line.iter == outer.iter)?;
            own.line.extent /= parts;
        }
        let iter = |e: &Affine| e.as_var().cloned();
        let last = p.factors.each_ref().map(|f| iter(f.indices.last()?));
        let (out_access, out) = match &p.leaving {
            Some((_, access)) if parts == 1 => (access, self.bytes_of(&access.array)),
            _partial => (&p.target, HELD.max(self.bytes_of(&p.target.array))),
        };
        let leaving = match &p.leaving {
            _ if parts > 1 => Leaving::Scattered,
            Some((Some(_), access)) if self.by_engine(access) => Leaving::Engine,
            Some((Some(_), _)) => Leaving::Threads,
            Some((None, _)) | None => Leaving::Scattered,
        };
        let apart = |l: &&Line| !p.more.iter().flatten().any(|m| m.iter == l.iter);
        let space = Space {
            sides,
            last,
            threads,
            copies: !p.matrix.tensor,
            pitch: [&p.factors[0], &p.factors[1], out_access].map(|a| self.pitch(a)),
            results: out_access.indices.iter().map(iter).collect(),
            leaving,
            batch: p.batch.iter().filter(apart).map(|l| l.extent).product::<i64>() * parts,
            factor: p.matrix.a.size_bytes() as i64,
            out,
            bytes: p.factors.iter().chain([&p.target]).map(|a| self.whole(a)).sum(),
            deep: p.matrix.m,
            depth: p.matrix.k,
            tensor: p.matrix.tensor,
            pairs: if p.by.pairs { options.paired } else { Paired::Never },
            shared: i64::from(options.target.gpu()?.shared_bytes),
            multiprocessors: options.multiprocessors,
        };
        let (clocks, alone, boxes) = space.best()?;
        if alone.is_some_and(|n| n <= clocks) {
            return None;
        }
        let clearly = alone.map_or(!boxes.paired, |n| clocks < n - n / CLEARLY);
        let sums = parts * self.whole(&p.target) / self.bytes_of(&p.target.array);
        // clocks of its own measured rates (`gpu_box_size`), beside times of the performance model
        let m = options.machine()?;
        let seconds = m.fitted.launch + clocks as f64 / m.clock;
        let combined = if parts > 1 { combine(sums as f64, &m) } else { 0.0 };
        Some((((seconds + combined) * 1e9) as i64, clearly, boxes))
    }

    /// Whether the copy engine can bring a factor, whose elements are the instruction's.
    fn as_it_is(&self, p: &Product, factor: usize) -> bool {
        let access = &p.factors[factor];
        let uses = |l: &Line| access.indices.last().is_some_and(|e| e.vars().contains(&l.iter));
        let sum = p.sums().into_iter().any(|l| uses(l) && alone(p, l));
        let own = [&p.row, &p.column][factor];
        let transposed = uses(own) || p.more[factor].iter().any(uses);
        let lies = sum || transposed && p.matrix.transposable;
        p.plain[factor] && lies && !p.by.threads && self.by_engine(access)
    }

    /// The product in boxes; `None` where a step is refused.
    fn boxed(&mut self, p: &Product, b: &Boxes, turns: Turns, options: &GpuOptions) -> Option<()> {
        let apart = |l: &&Line| !p.more.iter().flatten().any(|m| m.iter == l.iter);
        let batch: Vec<Name> = p.batch.iter().filter(apart).map(|l| l.name.clone()).collect();
        let mut tiles: Vec<(Name, Option<&Cut>)> = batch.into_iter().map(|n| (n, None)).collect();
        let mut points: Vec<Name> = Vec::new();
        // the larger factor's tiles are the outer ones: all that need one of them run together
        let larger = usize::from(self.whole(&p.factors[0]) < self.whole(&p.factors[1]));
        let deep = usize::from(b.swapped);
        let order = if larger == deep { [0, 1] } else { [1, 0] };
        for side in order {
            for cut in &b.sides[side] {
                match cut.size {
                    1 => tiles.push((cut.line.name.clone(), Some(cut))),
                    size => {
                        let (tile, point) = self.halves(&cut.line.name, size)?;
                        tiles.push((tile, Some(cut)));
                        points.push(point);
                    }
                }
            }
        }
        if let Some(last) = b.neighbours.as_ref() {
            // blocks beside each other write what lies beside each other
            tiles.sort_by_key(|(_, cut)| cut.is_some_and(|c| c.line.iter == *last));
        }
        if turns == Turns::RaggedFirst {
            tiles.sort_by_key(|(_, cut)| !cut.is_some_and(|c| c.line.extent % c.size != 0));
        }
        let mut tiles: Vec<Name> = tiles.into_iter().map(|t| t.0).collect();
        let all: Vec<Name> = tiles.iter().chain(&points).cloned().collect();
        self.ordered(&all).then_some(())?;
        let member = if b.paired { Some(self.pair_of_blocks(b, &mut tiles)?) } else { None };
        let blocks = match turns {
            Turns::Stay | Turns::RaggedFirst => options.multiprocessors * b.resident,
            Turns::Once => i64::MAX,
        };
        let members = if b.paired { PAIR } else { 1 };
        let at = self.turns(p, tiles, member, [b.tiles, blocks].map(|n| n / members))?;
        for point in points.iter().rev() {
            let target = Ref::from(point.clone());
            // a statement alone in its loops needs no other loop
            let _alone = self.step(StepKind::Distribute { target, at: None, names: Vec::new() });
        }
        self.instructions(p, b, &at)
    }

    /// The two blocks of a pair have tiles of rows beside each other: their loop, which is taken
    /// out of one over tiles.
    fn pair_of_blocks(&mut self, b: &Boxes, tiles: &mut [Name]) -> Option<Name> {
        let several = b.sides[0].iter().rev().find(|cut| even(&cut.line, cut.size))?;
        let line = &several.line.name;
        let tile = if several.size == 1 { line.clone() } else { format!("{line}.0").into() };
        let place = tiles.iter().position(|t| *t == tile)?;
        let (pair, row) = self.halves(&tile, PAIR)?;
        let (target, by) = (Ref::from(row.clone()), Ref::from(pair.clone()));
        self.must(StepKind::Skew { target, factor: -PAIR, by })?;
        tiles[place] = pair;
        let mut order: Vec<Name> = tiles.to_vec();
        order.push(row.clone());
        self.ordered(&order).then_some(row)
    }

    /// Puts so many tiles on at most so many blocks, each of which takes one after the other, or on
    /// pairs of blocks, if there is a loop over their members; the innermost loop around a tile.
    fn turns(
        &mut self,
        p: &Product,
        tiles: Vec<Name>,
        member: Option<Name>,
        [count, blocks]: [i64; 2],
    ) -> Option<Name> {
        let name = Name::from(format!("{}_tile", p.statement));
        let last = tiles.last().cloned()?;
        let loops = tiles.iter().cloned().map(Ref::from).collect();
        self.must(StepKind::Raster { loops, name: Ref::from(name.clone()) })?;
        let (mut block, mut turn) = (name, None);
        if count > blocks {
            let (outer, own) = self.halves(&block, blocks)?;
            let (target, by) = (Ref::from(own.clone()), Ref::from(outer.clone()));
            self.must(StepKind::Skew { target, factor: -blocks, by })?;
            (block, turn) = (own, Some(outer));
        }
        let mut order = vec![block.clone()];
        order.extend(member.iter().cloned().chain(turn).chain(tiles));
        self.ordered(&order).then_some(())?;
        self.must(StepKind::Map(Ref::from(block), Place::Block(Axis::X)))?;
        if let Some(member) = member {
            self.must(StepKind::Unit(Ref::from(member), Unit::Cluster))?;
        }
        Some(last)
    }

    /// The loops of instructions inside a tile's, and what is staged around them.
    fn instructions(&mut self, p: &Product, b: &Boxes, at: &Name) -> Option<()> {
        let s = &p.statement;
        let mut outer = Vec::new();
        let mut points: [Vec<Name>; 3] = Default::default();
        for cut in &b.sides[2] {
            let name = self.loop_of(s, &cut.line.iter)?;
            if cut.size == 1 {
                outer.push(name);
                continue;
            }
            let (tile, point) = self.halves(&name, cut.size)?;
            outer.push(tile);
            points[2].push(point);
        }
        // the slices of what is contiguous follow each other, first of what threads turn around:
        // they read the rest of its rows' sectors next
        if let Some(at) = turned_first(p, b) {
            let tile = outer.remove(at);
            outer.push(tile);
        }
        let ring = outer.last().cloned()?;
        for (cuts, points) in b.sides.iter().zip(&mut points).take(2) {
            for cut in cuts.iter().filter(|c| c.size > 1) {
                points.push(self.loop_of(s, &cut.line.iter)?);
            }
        }
        let order: Vec<Name> = outer.iter().chain(points.iter().flatten()).cloned().collect();
        self.ordered(&order).then_some(())?;
        let [deep, wide, sum] = ["deep", "wide", "sum"].map(|side| format!("{s}_{side}"));
        let deep = self.run_together(&points[0], deep)?;
        let wide = self.run_together(&points[1], wide)?;
        let sum = self.run_together(&points[2], sum)?;
        let whole = |side: usize| b.sides[side].iter().map(|c| c.size).product::<i64>();
        let (team, deep) = self.halves(&deep, p.matrix.m)?;
        let (inner, sum) = self.halves(&sum, p.matrix.k)?;
        let blocks = whole(0) / p.matrix.m;
        let mut order = vec![ring.clone(), team.clone()];
        // a warpgroup may have several instructions' rows
        let team = if blocks > b.teams {
            let (team, below) = self.halves(&team, blocks / b.teams)?;
            order = vec![ring.clone(), team.clone(), below];
            team
        } else {
            team
        };
        order.extend([inner, deep.clone(), wide.clone(), sum.clone()]);
        self.ordered(&order).then_some(())?;
        self.staged_boxes(p, b, [at, &ring])?;
        if b.teams > 1 && !p.matrix.tensor {
            self.must(StepKind::Unit(Ref::from(team), Unit::Warpgroup))?;
        }
        let members = if b.paired { PAIR } else { 1 };
        let (blocks, m) = (p.matrix.blocks * members, p.matrix.m * members);
        let matrix = Matrix { blocks, m, ..p.matrix };
        let instruction = self.named(&matrix, whole(1), b.swapped)?;
        let loops = [deep, wide, sum].map(Ref::from);
        self.must(StepKind::Tensorize { loops, instruction: Ref::from(instruction) })?;
        self.must(StepKind::Ring { target: Ref::from(ring), stages: b.stages })
    }

    /// One loop of the points of several, which are right inside each other.
    fn run_together(&mut self, points: &[Name], name: String) -> Option<Name> {
        let (first, rest) = points.split_first()?;
        let (mut all, name) = (first.clone(), Name::from(name));
        for inner in rest {
            let (outer, inner) = (Ref::from(all), Ref::from(inner.clone()));
            self.must(StepKind::Coalesce { outer, inner, name: Some(Ref::from(name.clone())) })?;
            all = name.clone();
        }
        Some(all)
    }

    /// Stages accumulator, operands and results, which the copy engine moves.
    fn staged_boxes(&mut self, p: &Product, b: &Boxes, [at, ring]: [&Name; 2]) -> Option<()> {
        self.must(stage_at(&p.target.array, at))?;
        for (factor, comes) in p.factors.iter().zip(b.comes) {
            let first = format!("{}.0", local_name(&factor.array, ring));
            let mut step = stage_at(&factor.array, ring);
            if let (Comes::Turned, StepKind::Stage { layout, .. }) = (comes, &mut step) {
                layout.extend(turned_layout(factor, &b.sides[2]));
            }
            self.must(step)?;
            let target = Ref::from(Name::from(first));
            self.must(match comes {
                Comes::Engine => StepKind::Unit(target, Unit::CopyEngine),
                Comes::Copied => StepKind::Unit(target, Unit::AsyncCopy),
                Comes::Turned => StepKind::Map(target, Place::Thread(Axis::X)),
            })?;
        }
        let Some((_, out)) = &p.leaving else { return Some(()) };
        let back = format!("{}_back.0", local_name(&out.array, at));
        if b.leaving != Leaving::Scattered {
            self.must(stage_at(&out.array, at))?;
        }
        match b.leaving {
            Leaving::Scattered => {}
            Leaving::Engine => self.must(to_copy_engine(back))?,
            Leaving::Threads => {
                self.must(StepKind::Map(Ref::from(Name::from(back)), Place::Thread(Axis::X)))?;
            }
        }
        Some(())
    }
}

/// The place among the sums of what is contiguous in a factor that threads turn around.
fn turned_first(p: &Product, b: &Boxes) -> Option<usize> {
    let turned = b.comes.iter().position(|c| *c == Comes::Turned)?;
    let last = p.factors[turned].indices.last()?.as_var()?;
    b.sides[2].iter().position(|cut| cut.line.iter == *last)
}

/// Whether a loop shares no dimension of a factor with others: one of the sum that does moves
/// boxes.
fn alone(p: &Product, l: &Line) -> bool {
    let indices = p.factors.iter().flat_map(|f| &f.indices);
    let mut indices = indices.filter(|e| e.vars().contains(&l.iter));
    indices.all(|e| e.as_var() == Some(&l.iter))
}

/// The loops of a side in the order of its digits.
fn side_of(
    p: &Product,
    (main, more): (&Line, &[Line]),
    side: usize,
    threads: [bool; 2],
) -> Vec<Side> {
    let own = if side == 2 { 0..2 } else { side..side + 1 };
    let factors: &[Access] = &p.factors[own.clone()];
    let place = |l: &Line| {
        let uses = |e: &Affine| e.vars().contains(&l.iter);
        factors[0].indices.iter().position(uses)
    };
    let last = |l: &Line| {
        own.clone().any(|f| {
            let end = p.factors[f].indices.last();
            !threads[f] && end.and_then(Affine::as_var) == Some(&l.iter)
        })
    };
    let boxed = |l: &Line| side < 2 || alone(p, l);
    let mut lines: Vec<&Line> = more.iter().chain([main]).collect();
    lines.sort_by_key(|l| (boxed(l), last(l), place(l)));
    lines.into_iter().map(|l| Side { line: l.clone(), boxed: boxed(l) }).collect()
}

/// The dimensions of a factor with those of the sum last, in the order of its digits.
fn turned_layout(factor: &Access, sums: &[Cut]) -> Vec<LayoutTerm> {
    let is =
        |d: &usize, cut: &Cut| cut.size > 1 && factor.indices[*d].as_var() == Some(&cut.line.iter);
    let all = 0..factor.indices.len();
    let mut order: Vec<usize> = all.clone().filter(|d| !sums.iter().any(|s| is(d, s))).collect();
    for cut in sums {
        order.extend(all.clone().filter(|d| is(d, cut)));
    }
    let whole = |dimension| LayoutTerm { dimension, modulus: None, divisor: 1 };
    order.into_iter().map(whole).collect()
}
