//! Products on tensor cores: tiles, rings and rasters, of sizes that `gpu_tensor_size` estimates.
//!
//! In: a nest with one statement that adds products of two elements, and others over the elements
//! of its result. Out: tiles that a block's warpgroups multiply, operands that the copy engine
//! fills ahead, and blocks that take tile after tile.
//! Keeps: which loop is the instruction's `m`, `n` or `k` follows from the accesses, as for every
//! contraction; further loops are batches. Where the copy engine cannot read an operand, threads
//! fill it; where a step or the lowering refuses, the nest is left to the other schedules.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::instruction::{Action, Instruction, Matrix, PAIR, matrix_instructions};
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop, Unit};
use warploom_ir::target::{Axis, Place};

use super::gpu::{GpuOptions, Paired};
use super::gpu_scaled::blocked;
use super::gpu_tensor_choices::Turns;
use super::gpu_tensor_product::{By, Filler, Product};
use super::gpu_tensor_size::{GATHERED, SLABS, Size, Stored, Tiles};
use super::{Auto, children, gpu_tensor_choices, stage_at, to_copy_engine};
use crate::deps::DepKind;
use crate::steps::stage::local_name;

/// Most columns of an instruction.
const COLUMNS: i64 = 256;

impl Auto {
    /// Maps products to tensor cores, where the target has instructions that lowering can use.
    pub(super) fn on_tensor_cores(&mut self, options: &GpuOptions) {
        self.products_of(&self.at.tree().clone(), options);
    }

    /// Maps the products among these nests, and those inside loops whose iterations depend on each
    /// other, which are the host's.
    fn products_of(&mut self, tree: &Tree, options: &GpuOptions) {
        for nest in children(tree) {
            let Tree::Loop(top) = nest else { continue };
            if self.holds_nests(&top) {
                self.products_of(&top.body, options);
                continue;
            }
            let plain = By { warps: false, threads: false, pairs: false };
            let product = self.product_of(&top, options, plain);
            if !self.as_it_pays(&top, product, options, Self::by_blocks) {
                self.on_warps(&top, options);
            }
        }
    }

    /// Maps a nest's product to instructions that take operands from shared memory; false where
    /// there are none or a step is refused.
    fn by_blocks(&mut self, top: &TreeLoop, options: &GpuOptions) -> bool {
        let before = self.at.clone();
        // where a copy is refused, threads may do what it was for
        let there = |i: &Instruction| i.action.paired() && i.targets.contains(&options.target);
        let pairs = options.paired != Paired::Never && matrix_instructions().iter().any(there);
        let ways = [(false, pairs), (false, false), (true, false)];
        ways[usize::from(!pairs)..].iter().any(|&(threads, pairs)| {
            let by = By { warps: false, threads, pairs };
            let product = self.product_of(top, options, by);
            let done = product.and_then(|p| self.tensorized(&p, options));
            let done = done.is_some() && self.lowers(options.target);
            if !done {
                self.at = before.clone();
            }
            done
        })
    }

    /// Whether a loop has nests inside of which several have loops of their own, and carries
    /// dependences that are no reduction's.
    fn holds_nests(&mut self, top: &TreeLoop) -> bool {
        let nests = |t: &Tree| children(t).iter().filter(|c| matches!(c, Tree::Loop(_))).count();
        let mut body = &*top.body;
        while let Tree::Loop(l) = body {
            body = &l.body;
        }
        let tree = self.at.tree().clone();
        let deps = self.session.deps(&self.at);
        let found = deps.and_then(|deps| deps.coincident(&tree, &top.name));
        nests(body) > 1
            && found.is_ok_and(|why| why.is_some_and(|why| why.kind != DepKind::Reduction))
    }

    /// Carries it out; `None` where a step is refused.
    fn tensorized(&mut self, p: &Product, options: &GpuOptions) -> Option<()> {
        let size = self.size_of(p, options)?;
        let best = size.best();
        let time = best.map_or(i64::MAX, |tiles| size.time(&tiles));
        let paired = best.is_some_and(|tiles| tiles.paired);
        // boxes have no place for scales
        if p.scales.is_none() && self.in_boxes(p, (time, paired), options).is_some() {
            return Some(());
        }
        let (tiles, turns) = match (self.exploring, best) {
            (false, Some(tiles)) => (tiles, size.usual(&tiles)),
            (true, _) | (false, None) => {
                let hole = gpu_tensor_choices::hole(&p.statement, &size)?;
                gpu_tensor_choices::read(&self.choose(hole))?
            }
        };
        match tiles.part {
            Some(length) => {
                let before = self.at.clone();
                let parts = self.in_parts(p, length);
                // its parts are a batch
                let done = parts.and_then(|p| self.tiled(&p, tiles, Turns::PLAIN, options));
                if done.is_some() && self.lowers(options.target) {
                    return done;
                }
                // some orders of tiles come out as loops with conditions
                self.at = before;
                self.tiled(p, Tiles { part: None, ..tiles }, turns, options)
            }
            None if turns.streamed => {
                let before = self.at.clone();
                let done = self.tiled(p, tiles, turns, options);
                if done.is_some() && self.lowers(options.target) {
                    return done;
                }
                self.at = before;
                self.tiled(p, tiles, Turns { streamed: false, ..turns }, options)
            }
            None => self.tiled(p, tiles, turns, options),
        }
    }

    /// The product in tiles of these sizes.
    fn tiled(
        &mut self,
        p: &Product,
        tiles: Tiles,
        turns: Turns,
        options: &GpuOptions,
    ) -> Option<()> {
        let Tiles { rows, columns, slice, swapped, .. } = tiles;
        let (along, across) = if swapped { (columns, rows) } else { (rows, columns) };
        let (m, n) = (p.row.name.clone(), p.column.name.clone());
        let order: Vec<Name> =
            p.batch.iter().map(|l| l.name.clone()).chain([m.clone(), n.clone()]).collect();
        self.ordered(&order).then_some(())?;
        let (loops, sizes) =
            (vec![Ref::from(m.clone()), Ref::from(n.clone())], vec![along, across]);
        self.must(StepKind::Tile { loops, sizes, names: Vec::new() })?;
        let tile = |l: &Name| Name::from(format!("{l}.0"));
        let point = |l: &Name| Name::from(format!("{l}.1"));
        let at = self.blocks(p, [tile(&m), tile(&n)], turns, (options, tiles.pingpong))?;
        for l in [&n, &m] {
            let parted =
                StepKind::Distribute { target: Ref::from(point(l)), at: None, names: Vec::new() };
            // a statement alone in its loops needs no other loop
            let _alone = self.step(parted);
        }
        let s = &p.statement;
        let own = |auto: &Self, iter: &Name| auto.loop_of(s, iter);
        let others = p.others.iter().map(|l| l.name.clone());
        let (ring, k) = self.halves(&p.sum.name, slice)?;
        let (m, n) = (own(self, &p.row.iter)?, own(self, &p.column.iter)?);
        let inside = [ring.clone(), m.clone(), n.clone(), k.clone()];
        self.ordered(&others.chain(inside).collect::<Vec<_>>()).then_some(())?;
        let (deep, wide) = if swapped { (n, m) } else { (m, n) };
        let (team, deep) = self.halves(&deep, p.matrix.m)?;
        let (inner, k) = self.halves(&k, p.matrix.k)?;
        let mut order = vec![ring.clone(), team.clone()];
        // a warpgroup may have several instructions' rows
        let team = if rows / p.matrix.m > tiles.teams {
            let (team, below) = self.halves(&team, rows / p.matrix.m / tiles.teams)?;
            order = vec![ring.clone(), team.clone(), below];
            team
        } else {
            team
        };
        order.extend([inner, deep.clone(), wide.clone(), k.clone()]);
        self.ordered(&order).then_some(())?;
        self.staged(p, &at, &ring, tiles)?;
        if tiles.teams > 1 {
            self.must(StepKind::Unit(Ref::from(team), Unit::Warpgroup))?;
        }
        let width = columns.min(COLUMNS);
        let members = if tiles.paired { PAIR } else { 1 };
        let (blocks, m) = (p.matrix.blocks * members, p.matrix.m * members);
        let instruction = self.named(&Matrix { blocks, m, ..p.matrix }, width, swapped)?;
        let loops = [deep, wide, k].map(Ref::from);
        self.must(StepKind::Tensorize { loops, instruction: Ref::from(instruction) })?;
        let stages = tiles.stages;
        self.must(StepKind::Ring { target: Ref::from(ring), stages })
    }

    /// Puts tiles on blocks: each on one, or in groups of rows that neighbouring blocks share. The
    /// innermost loop that a block's tile belongs to.
    fn blocks(
        &mut self,
        p: &Product,
        [m, n]: [Name; 2],
        turns: Turns,
        (options, pingpong): (&GpuOptions, bool),
    ) -> Option<Name> {
        let places = [Axis::Z, Axis::Y, Axis::X];
        let map = |l: &Name, axis| StepKind::Map(Ref::from(l.clone()), Place::Block(axis));
        if turns == Turns::PLAIN {
            let batch = p.batch.iter().map(|l| l.name.clone());
            let all: Vec<Name> = batch.chain([m, n.clone()]).collect();
            if all.len() > places.len() {
                let name = Name::from(format!("{}_tile", p.statement));
                let loops = all.into_iter().map(Ref::from).collect();
                self.must(StepKind::Raster { loops, name: Ref::from(name.clone()) })?;
                self.must(map(&name, Axis::X))?;
                return Some(n);
            }
            for (l, axis) in all.iter().zip(&places[places.len() - all.len()..]) {
                self.must(map(l, *axis))?;
            }
            return Some(n);
        }
        let Turns { persistent, cluster, group, streamed } = turns;
        let (mut m, mut member) = (m, None);
        if cluster > 1 {
            let (pair, row) = self.halves(&m, cluster)?;
            let (target, by) = (Ref::from(row.clone()), Ref::from(pair.clone()));
            self.must(StepKind::Skew { target, factor: -cluster, by })?;
            (m, member) = (pair, Some(row));
        }
        let mut tiles = vec![m.clone(), n.clone()];
        if group > 1 {
            let (outer, inner) = self.halves(&m, group)?;
            tiles = vec![outer, n, inner];
            let order: Vec<Name> = tiles.iter().chain(&member).cloned().collect();
            self.ordered(&order).then_some(())?;
        } else if let Some(row) = &member {
            self.ordered(&[m, n, row.clone()]).then_some(())?;
        }
        let tiles: Vec<Name> = p.batch.iter().map(|l| l.name.clone()).chain(tiles).collect();
        let name = Name::from(format!("{}_tile", p.statement));
        let loops = tiles.iter().cloned().map(Ref::from).collect();
        self.must(StepKind::Raster { loops, name: Ref::from(name.clone()) })?;
        let last = tiles.last().cloned();
        let (mut block, mut turn) = (name.clone(), None);
        let blocks = options.multiprocessors / cluster;
        if persistent && !streamed {
            let (outer, each) = self.halves(&name, blocks)?;
            let (target, by) = (Ref::from(each.clone()), Ref::from(outer.clone()));
            self.must(StepKind::Skew { target, factor: -blocks, by })?;
            (block, turn) = (each, Some(outer));
        }
        let mut order = vec![block.clone()];
        order.extend(member.iter().chain(&turn).cloned().chain(tiles));
        self.ordered(&order).then_some(())?;
        self.must(map(&block, Axis::X))?;
        if streamed {
            self.must(StepKind::Stream { target: Ref::from(block), blocks })?;
        }
        if let Some(turn) = turn.filter(|_| pingpong) {
            self.must(StepKind::Unit(Ref::from(turn), Unit::PingPong))?;
        }
        if let Some(row) = member {
            self.must(StepKind::Unit(Ref::from(row), Unit::Cluster))?;
        }
        last
    }

    /// Stages accumulator, operands and results, and gives copies to the copy engine.
    fn staged(&mut self, p: &Product, at: &Name, ring: &Name, tiles: Tiles) -> Option<()> {
        self.must(stage_at(&p.target.array, at))?;
        for (factor, filler) in p.factors.iter().zip(&p.fillers) {
            let first = format!("{}.0", local_name(&factor.array, ring));
            let Filler::Threads(order) = filler else {
                self.must(stage_at(&factor.array, ring))?;
                self.must(to_copy_engine(first))?;
                continue;
            };
            let mut step = stage_at(&factor.array, ring);
            if let (StepKind::Stage { layout, .. }, false) = (&mut step, order.is_sorted()) {
                let whole = |dim: &usize| LayoutTerm { dimension: *dim, modulus: None, divisor: 1 };
                layout.extend(order.iter().map(whole));
            }
            self.must(step)?;
            self.must(StepKind::Map(Ref::from(Name::from(first)), Place::Thread(Axis::X)))?;
        }
        self.scales_staged(p, ring)?;
        let Some(((statement, out), width)) = p.out.as_ref().zip(tiles.slab) else {
            return Some(());
        };
        let [own, other] = if tiles.swapped { [&p.row, &p.column] } else { [&p.column, &p.row] };
        let at = match statement {
            _ if tiles.leaves_whole() => at.clone(),
            Some(statement) => {
                let row = self.loop_of(statement, &other.iter)?;
                let column = self.loop_of(statement, &own.iter)?;
                self.slabs(vec![row], &column, width)?
            }
            // the copy back has a loop for each dimension
            None => {
                let back = format!("{}_back", local_name(out, at));
                let along = |e: &Affine| e.as_var() == Some(&own.iter);
                let column = p.target.indices.iter().position(along)?;
                let dim = |at: usize| Name::from(format!("{back}.{at}"));
                let others = (0..p.target.indices.len()).filter(|at| *at != column);
                self.slabs(others.map(dim).collect(), &dim(column), width)?
            }
        };
        self.must(stage_at(out, &at))?;
        self.must(to_copy_engine(format!("{}_back.0", local_name(out, &at))))
    }

    /// A loop over slabs of a statement's results, which has these loops; its name.
    fn slabs(&mut self, mut rows: Vec<Name>, column: &Name, width: i64) -> Option<Name> {
        let (slab, column) = self.halves(column, width)?;
        rows.insert(0, slab.clone());
        rows.push(column);
        self.ordered(&rows).then_some(())?;
        let target = Ref::from(slab.clone());
        self.must(StepKind::Ring { target, stages: SLABS })?;
        Some(slab)
    }

    /// The instruction with so many columns; the factors are the other way round where its rows are
    /// the result's columns.
    pub(super) fn named(&self, matrix: &Matrix, columns: i64, swapped: bool) -> Option<Name> {
        let (a, b) = if swapped { (matrix.b, matrix.a) } else { (matrix.a, matrix.b) };
        let wanted = Matrix { n: columns, a, b, ..*matrix };
        matrix_instructions().iter().find_map(|i| match i.action {
            Action::Matrix(m) if m == wanted => Some(i.name.as_str().into()),
            _other => None,
        })
    }

    /// What the time of a product depends on.
    pub(super) fn size_of(&self, p: &Product, options: &GpuOptions) -> Option<Size> {
        let factor = p.matrix.a.bits() as i64;
        let out = p.out.as_ref().map(|o| self.bytes_of(&o.1));
        let held = self.bytes_of(&p.target.array);
        let shared = i64::from(options.target.gpu()?.shared_bytes);
        Some(Size {
            rows: p.row.extent,
            columns: p.column.extent,
            sum: p.sum.extent,
            batch: p.batch.iter().map(|l| l.extent).product(),
            others: p.others.iter().map(|l| l.extent).product(),
            outer: p.sums()[0].extent,
            bytes: p.factors.iter().chain([&p.target]).map(|a| self.whole(a)).sum(),
            factor,
            threads: [(0, &p.row), (1, &p.column)].map(|(i, own)| {
                let last = p.factors[i].indices.last().map(Affine::vars).unwrap_or_default();
                let near = [own, &p.sum].iter().any(|l| last.contains(&l.iter));
                match p.fillers[i] {
                    Filler::Engine => 0,
                    Filler::Threads(_) if near => 1,
                    Filler::Threads(_) => GATHERED,
                }
            }),
            turned: [0, 1].map(|i| p.turned(i)),
            stored: [0, 1].map(|i| {
                let a = &p.factors[i];
                let last = a.indices.last().map(Affine::vars).unwrap_or_default();
                Stored { along_sum: last.contains(&p.sum.iter), pitch: self.pitch(a) }
            }),
            partial: p.partial.map(|terms| terms / p.matrix.k * p.matrix.k),
            chosen: p.chosen,
            divisible: !p.in_order && !p.chosen && p.others.is_empty(),
            out: out.unwrap_or(held),
            staged: out.is_some(),
            kept: p.out.as_ref().is_some_and(|o| o.0.is_none()),
            scattered: p.scattered(),
            shared,
            multiprocessors: options.multiprocessors,
            machine: options.machine()?,
            matrix: p.matrix,
            swapped: p.loaded.map(|factor| factor == 1),
            scales: self.scales_near(p),
            blocked: blocked(p),
            deep: p.matrix.m,
            tensor: p.matrix.tensor,
            pairs: if p.by.pairs && p.matrix.tensor { options.paired } else { Paired::Never },
        })
    }
}
