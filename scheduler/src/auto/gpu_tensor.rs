//! Products on tensor cores: tiles, rings and rasters from a closed-form estimate of the time.
//!
//! In: a nest with one statement that adds products of two elements, and others over the elements
//! of its result. Out: tiles that a block's warpgroups multiply, operands that the copy engine
//! fills ahead, and blocks that take tile after tile.
//! Keeps: which loop is the instruction's `m`, `n` or `k` follows from the accesses, as for every
//! contraction; further loops are batches. Where the copy engine cannot read an operand, threads
//! fill it; where a step or the lowering refuses, the nest is left to the other schedules.
//! Sources: the estimate counts, as that of DeepGEMM does, bytes from the second-level cache and
//! clocks of the tensor cores in each multiprocessor, in whole waves of blocks; the rates are those
//! measured on H200 (4096 operations of 16 bits a clock; 46 bytes a clock from the cache).

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, BinOp};
use warploom_ir::instruction::{Action, Matrix, matrix_instructions, tensor_memory};
use warploom_ir::kernel::TypedKind;
use warploom_ir::nest::{AssignOp, Order, Role as ArrayRole};
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::schedule::{PolyStatement, Tree, TreeLoop, Unit};
use warploom_ir::target::{Axis, Place, Target};

use super::gpu::GpuOptions;
use super::gpu_tensor_loops::Chosen;
use super::tiles::extent;
use super::{Auto, children};
use crate::block;
use crate::block::factor::Factor;
use crate::steps::ancestors;
use crate::steps::stage::local_name;

/// Bytes of a row of an operand's tile along the sum.
const SLICE_BYTES: i64 = 128;
/// Most elements of the sums that a thread holds in registers, and that tensor memory holds.
const REGISTERS: i64 = 128;
const CELLS: i64 = tensor_memory::LANES * tensor_memory::COLUMNS;
/// Most columns of an instruction.
const COLUMNS: i64 = 256;
/// Bytes a clock that one multiprocessor gets from the second-level cache where all ask.
const CACHE: i64 = 46;
/// Bytes a clock that one can get where others are idle.
const PORT: i64 = 64;
/// Bytes a clock from memory, each multiprocessor's share.
const MEMORY: i64 = 16;
/// Bytes a clock of shared memory.
const SHARED: i64 = 128;
/// Elements that one, two and three groups of threads fill an operand with in 8 clocks: loads on
/// their way against the memory's latency, then loads and stores of two bytes.
const FILLED: [i64; 3] = [64, 100, 112];
/// Clocks until the first slices have come, and from the last product to the next tile.
const LATENCY: i64 = 1500;
/// Clocks of one more launch, and from its blocks' first loads to their last stores.
const LAUNCH: i64 = 8000;
/// Bytes of a partial sum.
const HELD: i64 = 4;
/// Fewest slices that are worth a part of the sum.
const FEWEST_SLICES: i64 = 8;
/// Most slices that are worth being in flight.
const STAGES: i64 = 8;
/// Bytes of a row of a slab of results, and slabs in shared memory at once.
const SLAB_BYTES: i64 = 128;
const SLABS: i64 = 2;
/// Most sums that a thread holds where slices have sums of their own, which are as many again.
const PARTIAL_SUMS: i64 = 96;
/// Blocks of a cluster.
const PAIR: i64 = 2;
/// Most rows of tiles that neighbouring blocks share.
const GROUP: i64 = 16;

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
    /// Further sums, around the sum.
    pub(super) others: Vec<Line>,
    pub(super) factors: [Access; 2],
    /// Who fills each of them.
    pub(super) fillers: [Filler; 2],
    pub(super) target: Access,
    /// An instruction of the right types, of any number of columns.
    pub(super) matrix: Matrix,
    /// Most terms of partial sums, where the instruction's sums are to be added to others.
    pub(super) partial: Option<i64>,
    /// An array for results that the copy engine can write, and the statement that gives them to
    /// it; none where it is the sums' own.
    pub(super) out: Option<(Option<Name>, Name)>,
}

/// Who brings a factor to shared memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// The copy engine.
    Engine,
    /// Threads, with the array's dimensions in this order: those of the array, or the sum's last
    /// where the instruction cannot take it otherwise.
    Threads(Vec<usize>),
}

/// A loop of a product.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) name: Name,
    pub(super) iter: Name,
    pub(super) extent: i64,
}

/// Sizes of the tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    /// Rows and columns of a block's tile of the result, as the instruction has them.
    pub(super) rows: i64,
    pub(super) columns: i64,
    /// Iterations of the sum in a slice.
    pub(super) slice: i64,
    /// Warpgroups, one below the other.
    pub(super) teams: i64,
    /// The instruction's rows are the result's columns.
    pub(super) swapped: bool,
    /// Slices in flight.
    pub(super) stages: i64,
    /// Columns of the results that are written to shared memory at once; none where threads write
    /// to memory themselves.
    pub(super) slab: Option<i64>,
    /// Iterations of the sum that a block takes, where others take the rest.
    pub(super) part: Option<i64>,
}

impl Auto {
    /// Maps products to tensor cores, where the target has instructions that lowering can use.
    pub(super) fn on_tensor_cores(&mut self, options: &GpuOptions) {
        for nest in children(&self.at.tree().clone()) {
            let Tree::Loop(top) = nest else { continue };
            let before = self.at.clone();
            let done = self.product_of(&top, options).and_then(|p| self.tensorized(&p, options));
            let (poly, source) = (self.at.poly(), &self.at.nest().source);
            if done.is_none() || !block::fits(poly, self.at.tree(), source) {
                self.at = before;
            }
        }
    }

    /// What a nest's one product is.
    fn product_of(&mut self, top: &TreeLoop, options: &GpuOptions) -> Option<Product> {
        let poly = self.at.poly().clone();
        let names = top.body.statements();
        let mut updates = names
            .iter()
            .filter_map(|n| poly.statement(n))
            .filter(|s| s.statement.op == AssignOp::Add && s.statement.order != Order::Serial);
        let (s, None) = (updates.next()?, updates.next()) else { return None };
        let target = s.statement.target.clone();
        let mut factors: [Access; 2] =
            <[&Access; 2]>::try_from(s.statement.value.reads()).ok()?.map(Access::clone);
        let tree = self.at.tree().clone();
        let mut lines = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for l in ancestors(&tree, &s.statement.name) {
            let iter = l.rows.get(&s.statement.name)?.as_var()?.clone();
            let uses = |a: &Access| a.indices.iter().any(|e| e.vars().contains(&iter));
            let part = match (uses(&target), uses(&factors[0]), uses(&factors[1])) {
                (true, true, false) => 0,
                (true, false, true) => 1,
                (false, true, true) => 2,
                (true, true, true) => 3,
                _other => return None,
            };
            let extent = extent(&poly, s, &iter)?;
            lines[part].push(Line { name: l.name.clone(), iter, extent });
        }
        // the results' last dimension is the instruction's columns
        let end = target.indices.last().and_then(Affine::as_var);
        if lines[0].iter().any(|l| Some(&l.iter) == end) {
            factors.reverse();
            lines.swap(0, 1);
        }
        let Chosen { row, column, sum, batch, others } = Chosen::of(lines, &factors, &target)?;
        let (matrix, fillers) = self.brought(s, &factors, [&row, &column, &sum], options.target)?;
        let whole = matrix.adder.keeps(matrix.acc.precision_bits());
        let partial = s.statement.keeps.and_then(|k| k.over).filter(|_| !whole).map(i64::from);
        let results = names.iter().filter_map(|n| poly.statement(n)).filter(|o| {
            o.statement.name != s.statement.name
                && o.statement.target.array != target.array
                && o.statement.value.reads().iter().any(|a| a.array == target.array)
        });
        // a tile of the results is rows of a box where its dimensions are the last two
        let boxed = |a: &Access| {
            let two = a.indices.iter().rev().take(2);
            let tile = |e: &Affine| [&row, &column].iter().any(|l| e.as_var() == Some(&l.iter));
            two.filter(|e| tile(e)).count() == 2 && self.by_engine(a)
        };
        let mut outs = results.filter(|o| boxed(&o.statement.target));
        let out = match outs.next().map(|o| &o.statement) {
            Some(s) => Some((Some(s.name.clone()), s.target.array.clone())),
            None => {
                let kept = poly.array(&target.array).is_some_and(|a| a.role != ArrayRole::Temp);
                (kept && boxed(&target)).then(|| (None, target.array.clone()))
            }
        };
        Some(Product {
            statement: s.statement.name.clone(),
            row,
            column,
            sum,
            batch,
            others,
            factors,
            fillers,
            target,
            matrix,
            partial,
            out,
        })
    }

    /// The instruction for a statement, and who brings each of its factors to shared memory.
    fn brought(
        &self,
        s: &PolyStatement,
        factors: &[Access; 2],
        [row, column, sum]: [&Line; 3],
        target: Target,
    ) -> Option<(Matrix, [Filler; 2])> {
        let poly = self.at.poly();
        let store = crate::lower::typed(poly, &self.at.nest().source, s).ok()?;
        let TypedKind::Binary(BinOp::Mul, a, b) = &store.value.kind else { return None };
        let mut values = [Factor::of(a)?, Factor::of(b)?];
        if values[0].array != factors[0].array {
            values.reverse();
        }
        if values.iter().zip(factors).any(|(v, f)| v.array != f.array) {
            return None;
        }
        let matrix = instruction(poly, s, &values, target)?;
        let plain = [values[0].plain(matrix.a), values[1].plain(matrix.b)];
        let fillers = [(0, row), (1, column)].map(|(i, own)| {
            let filler = self.filler(&factors[i], [own, sum], matrix.transposable);
            match filler {
                Filler::Engine if !plain[i] => {
                    Filler::Threads((0..factors[i].indices.len()).collect())
                }
                other => other,
            }
        });
        Some((matrix, fillers))
    }

    /// Who brings a factor to shared memory, along whose rows the sum has to run, or the rows or
    /// columns that are its own where it can be transposed.
    fn filler(&self, factor: &Access, [own, sum]: [&Line; 2], transposable: bool) -> Filler {
        let uses = |d: usize, l: &Line| factor.indices[d].vars().contains(&l.iter);
        let along = |d: &usize| uses(*d, sum);
        let rank = factor.indices.len();
        let last = rank == 0 || along(&(rank - 1)) || transposable && uses(rank - 1, own);
        if last && self.by_engine(factor) {
            return Filler::Engine;
        }
        let (inner, mut order): (Vec<usize>, Vec<usize>) =
            (0..rank).partition(|d| !last && along(d));
        order.extend(inner);
        Filler::Threads(order)
    }

    /// Whether the copy engine can move boxes of an array: rows of whole 16 bytes.
    fn by_engine(&self, access: &Access) -> bool {
        let poly = self.at.poly();
        let fixed = |name: &str| poly.params.iter().find(|p| &*p.name == name)?.value;
        poly.array(&access.array).is_some_and(|a| {
            let row = a.shape.last().and_then(|e| e.eval(&fixed));
            row.is_some_and(|n| n * (a.dtype.size_bytes() as i64) % 16 == 0)
        })
    }

    /// Bytes of an array; none where its size is not known.
    fn whole(&self, access: &Access) -> i64 {
        let poly = self.at.poly();
        let fixed = |name: &str| poly.params.iter().find(|p| &*p.name == name)?.value;
        let shape = poly.array(&access.array).map(|a| a.shape.iter().map(|e| e.eval(&fixed)));
        let count = shape.and_then(|s| s.product::<Option<i64>>()).unwrap_or(0);
        count.saturating_mul(self.bytes_of(&access.array))
    }

    fn bytes_of(&self, array: &str) -> i64 {
        self.at.poly().array(array).map_or(8, |a| a.dtype.size_bytes() as i64)
    }

    /// Carries it out; `None` where a step is refused.
    fn tensorized(&mut self, p: &Product, options: &GpuOptions) -> Option<()> {
        let tiles = self.best(p, options)?;
        match tiles.part {
            Some(length) => {
                let parts = self.in_parts(p, length)?;
                self.tiled(&parts, tiles, options)
            }
            None => self.tiled(p, tiles, options),
        }
    }

    /// The product in tiles of these sizes.
    fn tiled(&mut self, p: &Product, tiles: Tiles, options: &GpuOptions) -> Option<()> {
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
        let at = self.blocks(p, [tile(&m), tile(&n)], [along, across], options)?;
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
        let instruction = self.named(&p.matrix, width, swapped)?;
        let loops = [deep, wide, k].map(Ref::from);
        self.must(StepKind::Tensorize { loops, instruction: Ref::from(instruction) })?;
        let stages = tiles.stages;
        self.must(StepKind::Ring { target: Ref::from(ring), stages })
    }

    /// Puts tiles on blocks: each on one where all fit at once, else in groups of rows that
    /// neighbouring blocks share. The innermost loop that a block's tile belongs to.
    fn blocks(
        &mut self,
        p: &Product,
        [m, n]: [Name; 2],
        [along, across]: [i64; 2],
        options: &GpuOptions,
    ) -> Option<Name> {
        let count = |l: &Line, size: i64| (l.extent + size - 1) / size;
        let (rows, columns) = (count(&p.row, along), count(&p.column, across));
        let places = [Axis::Z, Axis::Y, Axis::X];
        let map = |l: &Name, axis| StepKind::Map(Ref::from(l.clone()), Place::Block(axis));
        let batches: i64 = p.batch.iter().map(|l| l.extent).product();
        if rows * columns * batches <= options.multiprocessors || !p.batch.is_empty() {
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
        // two blocks with neighbouring rows load half of the columns' operand each, for both
        let pairs = if rows % PAIR == 0 { PAIR } else { 1 };
        let (mut m, mut member) = (m, None);
        if pairs > 1 {
            let (pair, row) = self.halves(&m, pairs)?;
            let (target, by) = (Ref::from(row.clone()), Ref::from(pair.clone()));
            self.must(StepKind::Skew { target, factor: -pairs, by })?;
            (m, member) = (pair, Some(row));
        }
        let blocks = options.multiprocessors / pairs;
        let group = group(rows / pairs, columns, [along * pairs, across], blocks);
        let mut tiles = vec![m.clone(), n.clone()];
        if group > 1 {
            let (outer, inner) = self.halves(&m, group)?;
            tiles = vec![outer, n, inner];
            let order: Vec<Name> = tiles.iter().chain(&member).cloned().collect();
            self.ordered(&order).then_some(())?;
        } else if let Some(row) = &member {
            self.ordered(&[m, n, row.clone()]).then_some(())?;
        }
        let name = Name::from(format!("{}_tile", p.statement));
        let loops = tiles.iter().cloned().map(Ref::from).collect();
        self.must(StepKind::Raster { loops, name: Ref::from(name.clone()) })?;
        let (turn, block) = self.halves(&name, blocks)?;
        let (target, by) = (Ref::from(block.clone()), Ref::from(turn.clone()));
        self.must(StepKind::Skew { target, factor: -blocks, by })?;
        let last = tiles.last().cloned();
        let mut order = vec![block.clone()];
        order.extend(member.iter().cloned().chain([turn]).chain(tiles));
        self.ordered(&order).then_some(())?;
        self.must(map(&block, Axis::X))?;
        if let Some(row) = member {
            self.must(StepKind::Unit(Ref::from(row), Unit::Cluster))?;
        }
        last
    }

    /// Stages accumulator, operands and results, and gives copies to the copy engine.
    fn staged(&mut self, p: &Product, at: &Name, ring: &Name, tiles: Tiles) -> Option<()> {
        let stage = |array: &Name, at: &Name| StepKind::Stage {
            array: Ref::from(array.clone()),
            readers: Vec::new(),
            at: Some(Ref::from(at.clone())),
            name: None,
            layout: Vec::new(),
            pad: 0,
            across: Vec::new(),
        };
        self.must(stage(&p.target.array, at))?;
        let engine = |l: String| StepKind::Unit(Ref::from(Name::from(l)), Unit::CopyEngine);
        for (factor, filler) in p.factors.iter().zip(&p.fillers) {
            let first = format!("{}.0", local_name(&factor.array, ring));
            let Filler::Threads(order) = filler else {
                self.must(stage(&factor.array, ring))?;
                self.must(engine(first))?;
                continue;
            };
            let mut step = stage(&factor.array, ring);
            if let (StepKind::Stage { layout, .. }, false) = (&mut step, order.is_sorted()) {
                let whole = |dim: &usize| LayoutTerm { dimension: *dim, modulus: None, divisor: 1 };
                layout.extend(order.iter().map(whole));
            }
            self.must(step)?;
            self.must(StepKind::Map(Ref::from(Name::from(first)), Place::Thread(Axis::X)))?;
        }
        let Some(((statement, out), width)) = p.out.as_ref().zip(tiles.slab) else {
            return Some(());
        };
        let whole = width == if tiles.swapped { tiles.rows } else { tiles.columns };
        let at = match statement {
            _ if whole => at.clone(),
            Some(statement) => {
                let row = self.loop_of(statement, &p.row.iter)?;
                let column = self.loop_of(statement, &p.column.iter)?;
                self.slabs(row, &column, width)?
            }
            // the copy back has a loop for each dimension
            None => {
                let back = format!("{}_back", local_name(out, at));
                let dim = |l: &Line| {
                    let own = |e: &Affine| e.as_var() == Some(&l.iter);
                    let at = p.target.indices.iter().position(own)?;
                    Some(Name::from(format!("{back}.{at}")))
                };
                self.slabs(dim(&p.row)?, &dim(&p.column)?, width)?
            }
        };
        self.must(stage(out, &at))?;
        self.must(engine(format!("{}_back.0", local_name(out, &at))))
    }

    /// A loop over slabs of a statement's results, which has these loops; its name.
    fn slabs(&mut self, row: Name, column: &Name, width: i64) -> Option<Name> {
        let (slab, column) = self.halves(column, width)?;
        self.ordered(&[slab.clone(), row, column]).then_some(())?;
        let target = Ref::from(slab.clone());
        self.must(StepKind::Ring { target, stages: SLABS })?;
        Some(slab)
    }

    /// The instruction with so many columns; the factors are the other way round where its rows are
    /// the result's columns.
    fn named(&self, matrix: &Matrix, columns: i64, swapped: bool) -> Option<Name> {
        let (a, b) = if swapped { (matrix.b, matrix.a) } else { (matrix.a, matrix.b) };
        let wanted = Matrix { n: columns, a, b, ..*matrix };
        matrix_instructions().into_iter().find_map(|i| match i.action {
            Action::Matrix(m) if m == wanted => Some(i.name.into()),
            _other => None,
        })
    }

    /// The tiles with the least estimated time.
    fn best(&self, p: &Product, options: &GpuOptions) -> Option<Tiles> {
        let factor = p.matrix.a.size_bytes() as i64;
        let out = p.out.as_ref().map(|o| self.bytes_of(&o.1));
        let held = self.bytes_of(&p.target.array);
        let shared = i64::from(options.target.gpu()?.shared_bytes);
        let size = Size {
            rows: p.row.extent,
            columns: p.column.extent,
            sum: p.sum.extent,
            batch: p.batch.iter().map(|l| l.extent).product(),
            others: p.others.iter().map(|l| l.extent).product(),
            bytes: p.factors.iter().chain([&p.target]).map(|a| self.whole(a)).sum(),
            factor,
            threads: [0, 1].map(|i| p.fillers[i] != Filler::Engine),
            partial: p.partial.map(|terms| terms / p.matrix.k * p.matrix.k),
            out: out.unwrap_or(held),
            staged: out.is_some(),
            kept: p.out.as_ref().is_some_and(|o| o.0.is_none()),
            shared,
            multiprocessors: options.multiprocessors,
            deep: p.matrix.m,
            tensor: p.matrix.tensor,
        };
        size.best()
    }
}

/// What the estimate depends on.
pub(super) struct Size {
    pub(super) rows: i64,
    pub(super) columns: i64,
    pub(super) sum: i64,
    pub(super) batch: i64,
    /// Iterations of further sums.
    pub(super) others: i64,
    /// Bytes of the three arrays.
    pub(super) bytes: i64,
    /// Bytes of an element of the factors and of the result.
    pub(super) factor: i64,
    pub(super) out: i64,
    /// Threads fill the operand of the rows, and that of the columns.
    pub(super) threads: [bool; 2],
    /// Most iterations of the sum in a slice, which then has sums of its own.
    pub(super) partial: Option<i64>,
    /// The results go through shared memory.
    pub(super) staged: bool,
    /// The sums are the results: threads write small tiles of them themselves.
    pub(super) kept: bool,
    /// Bytes of shared memory of a multiprocessor.
    pub(super) shared: i64,
    pub(super) multiprocessors: i64,
    /// Rows of an instruction.
    pub(super) deep: i64,
    /// The sums are in tensor memory, and one thread multiplies.
    pub(super) tensor: bool,
}

impl Size {
    /// The tiles with the least estimated time; the first of equals.
    pub(super) fn best(&self) -> Option<Tiles> {
        let mut best: Option<(i64, Tiles)> = None;
        for swapped in [false, true] {
            for rows in [128, 64, 256] {
                for columns in [256, 192, 128, 64, 32, 16, 8] {
                    let Some(whole) = self.tiles(rows, columns, swapped) else { continue };
                    for tiles in [Some(whole), self.parts(whole)].into_iter().flatten() {
                        let time = self.clocks(&tiles);
                        if best.as_ref().is_none_or(|b| time < b.0) {
                            best = Some((time, tiles));
                        }
                    }
                }
            }
        }
        best.map(|b| b.1)
    }

    /// Blocks that one wave of tiles leaves without work take parts of the sum, all as long.
    fn parts(&self, whole: Tiles) -> Option<Tiles> {
        let free = self.multiprocessors / self.blocks(&whole);
        let slices = self.sum / whole.slice;
        let fits = |n: &i64| slices % n == 0 && slices / n >= FEWEST_SLICES;
        let alone = self.sum % whole.slice == 0 && self.others == 1;
        let parts = (2..=free).rev().find(fits).filter(|_| alone)?;
        Some(Tiles { part: Some(self.sum / parts), slab: None, ..whole })
    }

    /// Tiles of the result.
    fn blocks(&self, t: &Tiles) -> i64 {
        let (deep, wide) =
            if t.swapped { (self.columns, self.rows) } else { (self.rows, self.columns) };
        up(deep, t.rows) * up(wide, t.columns) * self.batch
    }

    fn tiles(&self, rows: i64, columns: i64, swapped: bool) -> Option<Tiles> {
        let (deep, wide) =
            if swapped { (self.columns, self.rows) } else { (self.rows, self.columns) };
        // no tile is much larger than what it covers
        if columns >= wide + 8.max(wide / 4)
            || rows >= 2 * deep.max(self.deep)
            || rows % self.deep != 0
            || (self.tensor && columns % 16 != 0)
            || columns * 2 < wide.min(64)
        {
            return None;
        }
        let teams = if self.tensor { 1 } else { (rows / self.deep).min(2) };
        let slice = (SLICE_BYTES / self.factor).min(self.partial.unwrap_or(i64::MAX));
        // both operands' panels are whole rows of 16 bytes in either direction
        let held = rows / teams * columns / 128;
        let room = match (self.tensor, self.partial) {
            (true, _) => tensor_memory::COLUMNS,
            (false, None) => REGISTERS,
            (false, Some(_)) => PARTIAL_SUMS,
        };
        // a tile leaves in slabs where the instruction's columns are the results'
        let width = SLAB_BYTES / self.out;
        let parts = columns % width == 0 && columns > width && [2, 4].contains(&self.out);
        let slab = match (self.staged, swapped, parts) {
            (false, _, _) => None,
            (true, false, true) => Some(width),
            (true, _, _) if self.kept => None,
            (true, false, false) => Some(columns),
            (true, true, _) => Some(rows),
        };
        let results = match slab {
            None => 0,
            Some(_) if !swapped && parts => rows * SLAB_BYTES * SLABS.min(columns / width),
            Some(_) => rows * columns * self.out,
        };
        let each = (rows + columns) * slice * self.factor;
        let stages = ((self.shared - results - 2048) / each).min(STAGES);
        (slice > 0 && held <= room && stages >= if self.tensor { 3 } else { 2 }).then_some(Tiles {
            rows,
            columns,
            slice,
            teams,
            swapped,
            stages,
            slab,
            part: None,
        })
    }

    /// Clocks until all is done.
    fn clocks(&self, t: &Tiles) -> i64 {
        let parts = t.part.map_or(1, |length| up(self.sum, length));
        let blocks = self.blocks(t) * parts;
        let waves = up(blocks, self.multiprocessors);
        let slices = up(t.part.unwrap_or(self.sum), t.slice) * self.others;
        // the instruction's rows take as long as its operands' bytes take to be read, at least
        let operands = (self.deep + t.columns) * SLICE_BYTES / SHARED;
        let products = (t.rows / self.deep) * operands.max(t.columns * SLICE_BYTES / 64);
        let busy = blocks.min(self.multiprocessors);
        let cache = (CACHE * self.multiprocessors / busy).min(PORT);
        let bytes = (t.rows + t.columns) * SLICE_BYTES / cache;
        let results = t.rows * t.columns * self.out / 32;
        let [a, b] = if t.swapped { [1, 0] } else { [0, 1] }.map(|i| i64::from(self.threads[i]));
        let sums = if self.partial.is_some() { 2 } else { 1 };
        let held = sums * t.rows / t.teams * t.columns / 128;
        let groups = block::filler::groups(held, t.teams, t.stages);
        let rate = usize::try_from(groups - 1).ok().and_then(|at| FILLED.get(at)).unwrap_or(&1);
        let filled = 8 * (t.rows * a + t.columns * b) * t.slice / rate;
        let one = slices * products.max(bytes).max(filled);
        let tiles = if self.tensor && 2 * t.rows * t.columns <= CELLS {
            // one tile is stored while the next one is multiplied
            waves * one.max(results) + results + LATENCY
        } else {
            waves * (one + results + LATENCY)
        };
        let memory = self.bytes / (MEMORY * self.multiprocessors);
        // of what others hide a little shows: wide tiles read their operands less often
        let hidden = (waves * slices * (t.rows / self.deep) * operands + tiles.min(memory)) / 16;
        let sums = parts * self.rows * self.columns * self.batch * HELD;
        let combined = t.part.map_or(0, |_| LAUNCH + 2 * sums / (CACHE * self.multiprocessors));
        tiles.max(memory) + hidden + combined
    }
}

fn up(n: i64, d: i64) -> i64 {
    (n + d - 1) / d
}

/// The instruction for a statement's types, with the fewest columns: one that takes the factors as
/// they are, else one that takes their values.
fn instruction(
    poly: &warploom_ir::schedule::Poly,
    s: &PolyStatement,
    values: &[Factor; 2],
    target: Target,
) -> Option<Matrix> {
    let acc: DType = poly.array(&s.statement.target.array).map(|a| a.dtype)?;
    let bits = s.statement.keeps.map_or(acc.precision_bits(), |k| k.bits);
    let [a, b] = values;
    let all = matrix_instructions();
    let such = |fits: &dyn Fn(&Factor, DType) -> bool, bits: u32| {
        all.iter().find_map(|i| match i.action {
            Action::Matrix(m) => {
                let sums = m.shared && m.acc == acc && m.adder.keeps(bits);
                let there = sums && i.targets.contains(&target);
                (there && fits(a, m.a) && fits(b, m.b)).then_some(m)
            }
            _other => None,
        })
    };
    let plain = |f: &Factor, dtype: DType| f.plain(dtype);
    match such(&plain, bits) {
        // one that takes them and drops bits of the sums is for the user to ask for
        None if such(&plain, 0).is_some() => None,
        None => such(&|f, dtype| f.fits(dtype), bits),
        found => found,
    }
}

/// Rows of tiles in a group: as few rows and columns as possible for all tiles that run at once.
fn group(rows: i64, columns: i64, [along, across]: [i64; 2], blocks: i64) -> i64 {
    let touched = |g: i64| {
        let width = ((blocks + g - 1) / g).min(columns);
        let deep = (blocks + g * width - 1) / (g * width) * g;
        deep.min(rows) * along + width * across
    };
    let divisors = (1..=GROUP.min(rows)).filter(|g| rows % g == 0);
    divisors.min_by_key(|g| touched(*g)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(rows: i64, columns: i64, sum: i64) -> Size {
        Size {
            rows,
            columns,
            sum,
            batch: 1,
            others: 1,
            bytes: 2 * ((rows + columns) * sum + rows * columns),
            factor: 2,
            threads: [false; 2],
            partial: None,
            out: 2,
            staged: true,
            kept: false,
            shared: 227 << 10,
            multiprocessors: 132,
            deep: 64,
            tensor: false,
        }
    }

    #[test]
    fn large_products_take_large_tiles() {
        let t = size(8192, 8192, 8192).best().unwrap();
        assert_eq!((t.rows, t.columns, t.teams, t.swapped), (128, 256, 2, false));
        assert!(t.stages >= 3, "{t:?}");
    }

    #[test]
    fn few_rows_become_columns() {
        let t = size(16, 8192, 8192).best().unwrap();
        assert!(t.swapped && t.columns == 16 && t.rows == 64, "{t:?}");
    }

    #[test]
    fn small_products_keep_many_multiprocessors_busy() {
        let t = size(1024, 1024, 1024).best().unwrap();
        assert!(t.rows * t.columns <= 128 * 128, "{t:?}");
    }

    #[test]
    fn long_sums_are_parted_where_that_pays() {
        let t = size(64, 64, 1 << 20).best().unwrap();
        assert_eq!((t.part, t.slab), (Some(8192), None), "{t:?}");
        // memory takes as long either way
        assert_eq!(size(64, 8192, 8192).best().unwrap().part, None);
        assert_eq!(size(256, 256, 512).best().unwrap().part, None);
        // equal parts only
        assert_eq!(size(64, 64, 64 * 1021).best().unwrap().part, None);
    }

    #[test]
    fn groups_share_rows() {
        assert_eq!(group(64, 32, [128, 256], 132) % 8, 0);
        assert_eq!(group(7, 32, [128, 256], 132), 7);
        assert_eq!(group(1, 32, [128, 256], 132), 1);
    }
}
