//! Products on tensor cores: tiles, rings and rasters, of sizes that `gpu_tensor_size` estimates.
//!
//! In: a nest with one statement that adds products of two elements, and others over the elements
//! of its result. Out: tiles that a block's warpgroups multiply, operands that the copy engine
//! fills ahead, and blocks that take tile after tile.
//! Keeps: which loop is the instruction's `m`, `n` or `k` follows from the accesses, as for every
//! contraction; further loops are batches. Where the copy engine cannot read an operand, threads
//! fill it; where a step or the lowering refuses, the nest is left to the other schedules.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::Access;
use warploom_ir::instruction::{Action, Instruction, Matrix, PAIR, matrix_instructions};
use warploom_ir::nest::{AssignOp, Order, Role as ArrayRole};
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement, Tree, TreeLoop, Unit};
use warploom_ir::target::{Axis, Place, Target};

use super::gpu::{GpuOptions, Paired};
use super::gpu_scaled::{accesses, blocked};
use super::gpu_tensor_choices::Turns;
use super::gpu_tensor_loops::Chosen;
use super::gpu_tensor_size::{GATHERED, SLABS, Size, Stored, Tiles};
use super::tiles::extent;
use super::{Auto, children, gpu_tensor_choices, stage_at, to_copy_engine};
use crate::block::factor::Factor;
use crate::block::multiplied::Multiplied;
use crate::deps::DepKind;
use crate::steps::ancestors;
use crate::steps::stage::local_name;

/// Most columns of an instruction.
const COLUMNS: i64 = 256;
/// Most dimensions of an array that the copy engine moves boxes of.
const RANK: usize = 5;

/// What is known of a product.
pub(super) struct Product {
    pub(super) statement: Name,
    /// Loops and iterators of rows, columns and the sum, with their extents.
    pub(super) row: Line,
    pub(super) column: Line,
    pub(super) sum: Line,
    /// Loops around the rows and columns, outermost first: those of both factors, and further rows
    /// and columns.
    pub(super) batch: Vec<Line>,
    /// Those of them that are further rows, and further columns.
    pub(super) more: [Vec<Line>; 2],
    /// Further sums, around the sum.
    pub(super) others: Vec<Line>,
    pub(super) factors: [Access; 2],
    /// The scale of each of them, where it multiplies by scales.
    pub(super) scales: Option<[Access; 2]>,
    /// Who fills each of them, and whether the instruction takes its elements as they are.
    pub(super) fillers: [Filler; 2],
    pub(super) plain: [bool; 2],
    pub(super) target: Access,
    /// What was asked for.
    pub(super) by: By,
    /// An instruction of the right types, of any number of columns.
    pub(super) matrix: Matrix,
    /// Most terms of partial sums, where the instruction's sums are to be added to others.
    pub(super) partial: Option<i64>,
    /// An array for results that the copy engine can write, and the statement that gives them to
    /// it; none where it is the sums' own.
    pub(super) out: Given<Name>,
    /// Where results go in the end: the statement that gives them to another array, if one does.
    pub(super) leaving: Given<Access>,
}

/// Where sums are given to, with the statement that does so, if there is one.
type Given<T> = Option<(Option<Name>, T)>;

impl Product {
    /// Whether neighbours of a tile's results are far from each other in memory.
    pub(super) fn scattered(&self) -> bool {
        self.leaving.as_ref().is_some_and(|(_, access)| {
            let last = access.indices.last().and_then(Affine::as_var);
            ![&self.row, &self.column].iter().any(|l| Some(&l.iter) == last)
        })
    }

    /// Whether threads turn the elements of a factor around for each tile.
    pub(super) fn turned(&self, factor: usize) -> bool {
        matches!(&self.fillers[factor], Filler::Threads(order) if !order.is_sorted())
    }

    /// All loops of the sum, the outermost first.
    pub(super) fn sums(&self) -> Vec<&Line> {
        self.others.iter().chain([&self.sum]).collect()
    }
}

/// Who brings a factor to shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// The copy engine, or asynchronous copies of threads.
    Engine,
    /// Threads, with the array's dimensions in this order: those of the array, or the sum's last
    /// where the instruction cannot take it otherwise.
    Threads(Vec<usize>),
}

/// What multiplies, and who brings factors.
#[derive(Clone, Copy)]
pub(super) struct By {
    /// Instructions take their factors from registers, else from shared memory.
    pub(super) warps: bool,
    /// Threads fill both operands.
    pub(super) threads: bool,
    /// Pairs of blocks may multiply together.
    pub(super) pairs: bool,
}

/// A loop of a product.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) name: Name,
    pub(super) iter: Name,
    pub(super) extent: i64,
}

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

    /// What a nest's one product is.
    pub(super) fn product_of(
        &mut self,
        top: &TreeLoop,
        options: &GpuOptions,
        by: By,
    ) -> Option<Product> {
        let poly = self.at.poly().clone();
        let names = top.body.statements();
        let mut updates = names
            .iter()
            .filter_map(|n| poly.statement(n))
            .filter(|s| s.statement.op == AssignOp::Add && s.statement.order != Order::Serial);
        let (s, None) = (updates.next()?, updates.next()) else { return None };
        let target = s.statement.target.clone();
        let store = crate::lower::typed(&poly, &self.at.nest().source, s).ok()?;
        let mut product = Multiplied::of(&store.value)?;
        let (mut factors, mut scales) = accesses(s, &mut product)?;
        let tree = self.at.tree().clone();
        let around = ancestors(&tree, &s.statement.name);
        let own = around.iter().copied().skip_while(|l| l.name != top.name);
        let mut lines = parts_of(&poly, own, s, &target, &factors)?;
        // the results' last dimension is the instruction's columns
        let end = target.indices.last().and_then(Affine::as_var);
        if lines[0].iter().any(|l| Some(&l.iter) == end) {
            factors.reverse();
            product.factors.reverse();
            if let Some(scales) = &mut scales {
                scales.reverse();
            }
            lines.swap(0, 1);
        }
        let Chosen { row, column, sum, batch, more, others } =
            Chosen::of(lines, &factors, &target)?;
        let (matrix, fillers, plain) =
            self.brought((s, &product), &factors, [&row, &column, &sum], (options.target, by))?;
        let whole = matrix.adder.keeps(matrix.acc.precision_bits());
        let partial = s.statement.keeps.and_then(|k| k.over).filter(|_| !whole).map(i64::from);
        let (out, leaving) = self.results_of(&names, s, [&row, &column]);
        Some(Product {
            statement: s.statement.name.clone(),
            row,
            column,
            sum,
            batch,
            more,
            others,
            factors,
            scales,
            fillers,
            plain,
            target,
            by,
            matrix,
            partial,
            out,
            leaving,
        })
    }

    /// An array for a product's results that the copy engine can write, and where they go in the
    /// end: each with the statement that gives them to it, if it is not the sums' own.
    fn results_of(
        &self,
        names: &[Name],
        s: &PolyStatement,
        own: [&Line; 2],
    ) -> (Given<Name>, Given<Access>) {
        let (poly, target) = (self.at.poly(), &s.statement.target);
        let results = names.iter().filter_map(|n| poly.statement(n)).filter(|o| {
            o.statement.name != s.statement.name
                && o.statement.target.array != target.array
                && o.statement.value.reads().iter().any(|a| a.array == target.array)
        });
        // a tile of the results is rows of a box where its dimensions are the last two
        let boxed = |a: &Access| {
            let two = a.indices.iter().rev().take(2);
            let tile = |e: &Affine| own.iter().any(|l| e.as_var() == Some(&l.iter));
            two.filter(|e| tile(e)).count() == 2 && self.by_engine(a)
        };
        let results: Vec<&PolyStatement> = results.collect();
        let leaving = match results.as_slice() {
            [] => Some((None, target.clone())),
            [one] => Some((Some(one.statement.name.clone()), one.statement.target.clone())),
            _several => None,
        };
        let mut outs = results.into_iter().filter(|o| boxed(&o.statement.target));
        let out = match outs.next().map(|o| &o.statement) {
            Some(s) => Some((Some(s.name.clone()), s.target.array.clone())),
            None => {
                let kept = poly.array(&target.array).is_some_and(|a| a.role != ArrayRole::Temp);
                (kept && boxed(target)).then(|| (None, target.array.clone()))
            }
        };
        (out, leaving)
    }

    /// The instruction for a statement, and who brings each of its factors to shared memory.
    fn brought(
        &self,
        (s, product): (&PolyStatement, &Multiplied),
        factors: &[Access; 2],
        [row, column, sum]: [&Line; 3],
        (target, by): (Target, By),
    ) -> Option<(Matrix, [Filler; 2], [bool; 2])> {
        let (poly, values) = (self.at.poly(), &product.factors);
        let matrix = instruction(poly, s, product, (target, by.warps))?;
        let plain = [values[0].plain(matrix.a), values[1].plain(matrix.b)];
        let fillers = [(0, row), (1, column)].map(|(i, own)| {
            match self.filler(&factors[i], [own, sum], &matrix, by) {
                Filler::Engine if !plain[i] => {
                    Filler::Threads((0..factors[i].indices.len()).collect())
                }
                other => other,
            }
        });
        // no thread writes half a byte
        let whole = !matrix.a.packed() || fillers.iter().all(|f| *f == Filler::Engine);
        whole.then_some((matrix, fillers, plain))
    }

    /// Who brings a factor to shared memory, along whose rows the sum has to run, or the rows or
    /// columns that are its own where it can be transposed.
    fn filler(&self, factor: &Access, [own, sum]: [&Line; 2], matrix: &Matrix, by: By) -> Filler {
        let uses = |d: usize, l: &Line| factor.indices[d].vars().contains(&l.iter);
        let along = |d: &usize| uses(*d, sum);
        let rank = factor.indices.len();
        let last = rank == 0 || along(&(rank - 1)) || matrix.transposable && uses(rank - 1, own);
        let piece = if matrix.shared { 16 } else { 4.max(self.bytes_of(&factor.array)) };
        let boxes = dense(factor) && (!matrix.shared || rank <= RANK);
        if last && boxes && !by.threads && self.in_pieces(factor, piece) {
            return Filler::Engine;
        }
        let (inner, mut order): (Vec<usize>, Vec<usize>) =
            (0..rank).partition(|d| !last && along(d));
        order.extend(inner);
        Filler::Threads(order)
    }

    /// Whether the copy engine can move boxes of an array: rows of whole 16 bytes.
    pub(super) fn by_engine(&self, access: &Access) -> bool {
        self.extents(access).len() <= RANK && dense(access) && self.in_pieces(access, 16)
    }

    /// Whether the rows of an array are whole pieces of so many bytes.
    fn in_pieces(&self, access: &Access, bytes: i64) -> bool {
        let row = self.extents(access).last().copied().flatten();
        row.is_some_and(|n| n * self.bits_of(&access.array) % (8 * bytes) == 0)
    }

    /// Extents of an array, where they are known.
    pub(super) fn extents(&self, access: &Access) -> Vec<Option<i64>> {
        let poly = self.at.poly();
        let shape = poly.array(&access.array).map_or(&[][..], |a| &a.shape);
        shape.iter().map(|e| poly.fixed(e)).collect()
    }

    /// Bytes of a row of an array in memory; none where that is not known.
    pub(super) fn pitch(&self, access: &Access) -> i64 {
        let row = self.extents(access).last().copied().flatten();
        row.unwrap_or(0) * self.bits_of(&access.array) / 8
    }

    /// Bytes of an array; none where its size is not known.
    pub(super) fn whole(&self, access: &Access) -> i64 {
        let count = self.extents(access).into_iter().product::<Option<i64>>().unwrap_or(0);
        count.saturating_mul(self.bits_of(&access.array)) / 8
    }

    fn bits_of(&self, array: &str) -> i64 {
        self.at.poly().array(array).map_or(64, |a| a.dtype.bits() as i64)
    }

    pub(super) fn bytes_of(&self, array: &str) -> i64 {
        self.at.poly().array(array).map_or(8, |a| a.dtype.size_bytes() as i64)
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
        let at = self.blocks(p, [tile(&m), tile(&n)], turns, options)?;
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
        options: &GpuOptions,
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
        let Turns { persistent, cluster, group } = turns;
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
        if persistent {
            let blocks = options.multiprocessors / cluster;
            let (outer, each) = self.halves(&name, blocks)?;
            let (target, by) = (Ref::from(each.clone()), Ref::from(outer.clone()));
            self.must(StepKind::Skew { target, factor: -blocks, by })?;
            (block, turn) = (each, Some(outer));
        }
        let mut order = vec![block.clone()];
        order.extend(member.iter().cloned().chain(turn).chain(tiles));
        self.ordered(&order).then_some(())?;
        self.must(map(&block, Axis::X))?;
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
        let whole = width == if tiles.swapped { tiles.rows } else { tiles.columns };
        let at = match statement {
            _ if whole => at.clone(),
            Some(statement) => {
                let row = self.loop_of(statement, &p.row.iter)?;
                let column = self.loop_of(statement, &p.column.iter)?;
                self.slabs(vec![row], &column, width)?
            }
            // the copy back has a loop for each dimension
            None => {
                let back = format!("{}_back", local_name(out, at));
                let own = |e: &Affine| e.as_var() == Some(&p.column.iter);
                let column = p.target.indices.iter().position(own)?;
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
        matrix_instructions().into_iter().find_map(|i| match i.action {
            Action::Matrix(m) if m == wanted => Some(i.name.into()),
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
            out: out.unwrap_or(held),
            staged: out.is_some(),
            kept: p.out.as_ref().is_some_and(|o| o.0.is_none()),
            scattered: p.scattered(),
            shared,
            multiprocessors: options.multiprocessors,
            machine: options.machine()?,
            matrix: p.matrix,
            scales: self.scales_near(p),
            blocked: blocked(p),
            deep: p.matrix.m,
            tensor: p.matrix.tensor,
            pairs: if p.by.pairs && p.matrix.tensor { options.paired } else { Paired::Never },
        })
    }
}

/// The loops around a product by what moves along them: the target and the first factor, the target
/// and the second, both factors, all three.
fn parts_of<'t>(
    poly: &Poly,
    own: impl Iterator<Item = &'t TreeLoop>,
    s: &PolyStatement,
    target: &Access,
    factors: &[Access; 2],
) -> Option<[Vec<Line>; 4]> {
    let mut lines = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for l in own {
        let iter = l.rows.get(&s.statement.name)?.as_var()?.clone();
        let uses = |a: &Access| a.indices.iter().any(|e| e.vars().contains(&iter));
        let part = match (uses(target), uses(&factors[0]), uses(&factors[1])) {
            (true, true, false) => 0,
            (true, false, true) => 1,
            (false, true, true) => 2,
            (true, true, true) => 3,
            _other => return None,
        };
        let extent = extent(poly, s, &iter)?;
        lines[part].push(Line { name: l.name.clone(), iter, extent });
    }
    Some(lines)
}

/// The instruction for a statement's types, with the fewest columns: one that takes the factors as
/// they are, else one that takes their values.
fn instruction(
    poly: &Poly,
    s: &PolyStatement,
    product: &Multiplied,
    (target, warps): (Target, bool),
) -> Option<Matrix> {
    let acc: DType = poly.array(&s.statement.target.array).map(|a| a.dtype)?;
    let bits = s.statement.keeps.map_or(acc.precision_bits(), |k| k.bits);
    let [a, b] = &product.factors;
    let scaled = product.scaled_by();
    let all = matrix_instructions();
    let such = |fits: &dyn Fn(&Factor, DType) -> bool, bits: u32| {
        all.iter().find_map(|i| match i.action {
            Action::Matrix(m) => {
                let sums = m.shared != warps && m.acc == acc && m.adder.keeps(bits);
                let same = m.scales.map(|s| s.dtype) == scaled;
                let there = sums && same && i.targets.contains(&target);
                (there && fits(a, m.a) && fits(b, m.b)).then_some(m)
            }
            _other => None,
        })
    };
    let plain = |f: &Factor, dtype: DType| f.plain(dtype);
    match such(&plain, bits) {
        // one that takes them and drops bits of the sums is for the user to ask for
        None if scaled.is_some() || such(&plain, 0).is_some() => None,
        None => such(&|f, dtype| f.fits(dtype), bits),
        found => found,
    }
}

/// Whether each iterator moves an access by one element of a row, if along it: pieces of rows have
/// no gaps.
fn dense(access: &Access) -> bool {
    let row = access.indices.last();
    row.is_none_or(|e| e.vars().iter().all(|v| e.coefficient(v) == 1))
}
