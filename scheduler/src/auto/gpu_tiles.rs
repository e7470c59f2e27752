//! Contractions on a GPU: block tiles in shared memory, register tiles of the threads.
//!
//! In: a reduction alone in its loops with reuse in two directions (`contraction` says which loops
//! play which part). Out: tiles of the rows, the lanes and one sum; a block keeps its sums in its
//! threads' registers, copies a slice of both operands to shared memory, and multiplies it.
//! Keeps: 16 × 16 threads. A thread has up to two pieces of four rows and of four lanes, so that
//! neighbouring threads read neighbouring pieces of 16 bytes from different banks.
//! Loops of other kinds (batches, further rows and lanes) run on blocks; further sums are serial.
//! Where a step is refused the statement is left to the plain schedule.
//! Source: the tiles are those of V. Volkov, J. Demmel, Benchmarking GPUs to tune dense linear
//! algebra (2008), and of NVIDIA's CUTLASS for FP32 without tensor cores.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::target::{Axis, Place};

use super::Auto;
use super::contraction::Contraction;
use super::holes::Hole;
use super::tiles::{Role, Stride, own_chain, stride};

/// Threads of a block along x and along y.
const SIDE: i64 = 16;
/// Most neighbouring rows or lanes of a thread.
const PIECE: i64 = 4;
/// Iterations of the sum for which operands are staged at once.
const SLICE: i64 = 16;
/// Where all blocks run at once: no other block hides the time that one waits for a slice, so few
/// of them are better. Threads copy them in strips.
const DEEP: i64 = 64;
/// Most blocks that run at once on a large GPU, most bytes of their slices together and of one, and
/// the largest of their tiles, whose threads have little to do between slices.
const AT_ONCE: i64 = 1024;
const ALL_STAGED: i64 = 24 << 20;
const STAGED: i64 = 48 << 10;
const SMALL: i64 = 32;
/// Of which a thread repeats the code for so many.
const UNROLL: i64 = 4;
/// Tiles of rows and lanes, the best first.
const TILES: [i64; 4] = [128, 64, 32, 16];
/// Fewest blocks that keep a GPU busy.
const BLOCKS: i64 = 256;
/// Elements at the end of a staged row: another bank, still a multiple of 16 bytes.
const PAD: i64 = 4;

/// A tile of rows or lanes: `pieces` of `piece` neighbours for each thread.
#[derive(Clone, Copy)]
struct Tile {
    size: i64,
    piece: i64,
}

impl Tile {
    fn new(size: i64) -> Self {
        Self { size, piece: PIECE.min(size / SIDE) }
    }

    /// Rows or lanes of all threads' first pieces.
    const fn span(self) -> i64 {
        SIDE * self.piece
    }

    /// The digits of a place in the tile: the thread, which of its pieces, and where in it.
    fn digits(self, dimension: usize) -> [LayoutTerm; 3] {
        let several = (self.size > self.span()).then_some(self.span());
        [
            LayoutTerm { dimension, modulus: several, divisor: self.piece },
            LayoutTerm { dimension, modulus: None, divisor: self.span() },
            LayoutTerm { dimension, modulus: Some(self.piece), divisor: 1 },
        ]
    }
}

/// A loop over the tile of a thread, in its parts.
struct Split {
    block: Name,
    thread: Name,
    /// The loops that one thread runs, outermost first.
    mine: Vec<Name>,
}

/// The dimension of an access that is this iterator alone, if no other uses it.
fn dimension(access: &Access, iter: &Name) -> Option<usize> {
    let mut uses = (0..access.indices.len()).filter(|k| access.indices[*k].vars().contains(iter));
    let found = uses.next()?;
    let alone = uses.next().is_none() && access.indices[found] == Affine::var(iter.clone());
    alone.then_some(found)
}

/// Sizes of a block's work.
#[derive(Clone, Copy)]
struct Sizes {
    rows: Tile,
    lanes: Tile,
    /// Iterations of the sum for which operands are staged at once, and repeated as code.
    slice: i64,
    unroll: i64,
}

/// The hole of a statement's tiles: those that leave enough blocks come first. `bytes` are those of
/// an element.
fn sizes(name: &str, c: &Contraction, bytes: i64) -> Option<Hole> {
    let extent = |r: &Role| r.extent.unwrap_or(i64::from(u16::MAX));
    let (rows, lanes) = c.row.extent.zip(c.lane.extent)?;
    let others = c.batch.iter().chain(&c.along).chain(&c.across).map(extent);
    let others = others.fold(1_i64, i64::saturating_mul);
    let count = |n: i64, size: i64| (n + size - 1) / size;
    let fits = |size: &&i64| **size <= rows.min(lanes) * 2 - SIDE;
    let blocks = |size: i64| count(rows, size).saturating_mul(count(lanes, size));
    let blocks = |size: i64| blocks(size).saturating_mul(others);
    let fitting: Vec<&i64> = TILES.iter().filter(fits).collect();
    let size =
        fitting.iter().copied().find(|s| blocks(**s) >= BLOCKS).or(fitting.last().copied())?;
    let sum = c.sums.iter().filter_map(|r| r.extent).max().unwrap_or(0);
    let staged = c.fixed.iter().chain(&c.moving).filter(|read| !read.indices.is_empty()).count();
    let staged = DEEP * (size + PAD) * bytes * staged as i64;
    let at_once = blocks(*size) <= AT_ONCE && blocks(*size) * staged <= ALL_STAGED;
    let deep = at_once && staged <= STAGED && *size <= SMALL && sum > DEEP / 2;
    let slice = if deep { DEEP } else { SLICE };
    let mut others = Vec::new();
    for lanes in &fitting {
        for rows in &fitting {
            for slice in [8, SLICE, 32] {
                others.extend([2, UNROLL, 8].map(|unroll| vec![**rows, **lanes, slice, unroll]));
            }
        }
    }
    let usual = vec![*size, *size, slice, UNROLL];
    Some(Hole::new(name, "tiles", &["rows", "lanes", "slice", "unroll"], usual, others))
}

impl Auto {
    /// Maps a contraction in tiles; says whether the statement is one.
    pub(super) fn in_tiles(&mut self, name: &Name) -> Result<bool> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(mut roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(false);
        };
        // rows of a triangle count with the longest
        let chain = own_chain(self.at.tree(), name);
        for (role, l) in roles.iter_mut().zip(&chain).filter(|(r, _)| r.extent.is_none()) {
            role.extent = self.length(l)?;
        }
        let Some(c) = Contraction::of(s, &roles) else { return Ok(false) };
        let bytes = poly.array(&s.statement.target.array).map_or(8, |a| a.dtype.size_bytes());
        let Some(hole) = sizes(name, &c, bytes as i64) else { return Ok(false) };
        let [rows, lanes, slice, unroll] = *self.choose(hole) else { return Ok(false) };
        let sizes = Sizes { rows: Tile::new(rows), lanes: Tile::new(lanes), slice, unroll };
        let before = self.at.clone();
        if self.product((name, &s.statement.target), &c, sizes).is_some() {
            return Ok(true);
        }
        self.at = before;
        Ok(false)
    }

    /// Carries it out; `None` where a step is refused.
    fn product(
        &mut self,
        (name, target): (&Name, &Access),
        c: &Contraction,
        Sizes { rows, lanes, slice, unroll }: Sizes,
    ) -> Option<()> {
        let near = |r: &&Role| {
            let mut reads = c.moving.iter().chain(&c.fixed);
            reads.any(|a| stride(a, &r.iter) == Stride::One)
        };
        let sum = c.sums.iter().rev().find(near).or(c.sums.last())?;
        let others = || c.sums.iter().filter(|r| r.name != sum.name).map(|r| r.name.clone());
        let batch: Vec<Role> = c.batch.iter().chain(&c.across).chain(&c.along).cloned().collect();
        let mut order: Vec<Name> = batch.iter().map(|r| r.name.clone()).collect();
        order.extend([c.row.name.clone(), c.lane.name.clone()]);
        order.extend(others().chain([sum.name.clone()]));
        self.ordered(&order).then_some(())?;
        let (y, x) = (self.thread_tiles(&c.row, rows)?, self.thread_tiles(&c.lane, lanes)?);
        let depth = slice;
        let (slice, inside) = self.halves(&sum.name, depth)?;
        let (step, unrolled) = self.halves(&inside, unroll)?;
        let count = |r: &Role, t: Tile| r.extent.map(|n| (n + t.size - 1) / t.size);
        let mut blocks =
            vec![(x.block.clone(), count(&c.lane, lanes)), (y.block.clone(), count(&c.row, rows))];
        let mut order = vec![y.block.clone(), x.block.clone()];
        order.extend(others().chain([slice.clone(), y.thread.clone(), x.thread.clone(), step]));
        let mine: Vec<Name> = [unrolled].into_iter().chain(y.mine).chain(x.mine).collect();
        order.extend(mine.iter().cloned());
        self.ordered(&order).then_some(())?;
        self.keep_sums((name, target), c, &x.block, (rows, lanes))?;
        let mut staged = 0;
        for (reads, role, tile) in [(&c.fixed, &c.row, rows), (&c.moving, &c.lane, lanes)] {
            for read in reads {
                if let Some(k) = dimension(read, &sum.iter) {
                    let m = dimension(read, &role.iter)?;
                    self.stage_slice((name, read), (k, m), (tile, depth), &slice)?;
                    staged += 1;
                }
            }
        }
        blocks.extend(self.one_loop(&batch)?);
        let done = self.on_threads(&[y.thread, x.thread], mine.iter());
        (staged >= 2 && done && self.places(&blocks, &[])).then_some(())
    }

    /// Blocks, threads and what each of them runs of a loop.
    fn thread_tiles(&mut self, role: &Role, tile: Tile) -> Option<Split> {
        let (block, mut inside) = self.halves(&role.name, tile.size)?;
        let mut mine = Vec::new();
        if tile.size > tile.span() {
            let (outer, rest) = self.halves(&inside, tile.span())?;
            mine.push(outer);
            inside = rest;
        }
        let thread = self.piece_of(&inside, tile, &mut mine)?;
        Some(Split { block, thread, mine })
    }

    /// Splits what remains of a tile behind its first loop into threads and their pieces.
    fn piece_of(&mut self, inside: &Name, tile: Tile, mine: &mut Vec<Name>) -> Option<Name> {
        if tile.piece == 1 {
            return Some(inside.clone());
        }
        let (thread, piece) = self.halves(inside, tile.piece)?;
        if let Some(outer) = mine.first() {
            self.counted_from(&thread, SIDE, outer).then_some(())?;
        }
        mine.push(piece);
        Some(thread)
    }

    /// Keeps the target's tile in registers.
    fn keep_sums(
        &mut self,
        (name, target): (&Name, &Access),
        c: &Contraction,
        at: &Name,
        (rows, lanes): (Tile, Tile),
    ) -> Option<()> {
        let (m, n) = (dimension(target, &c.row.iter)?, dimension(target, &c.lane.iter)?);
        let [y, rows_outer, rows_inner] = rows.digits(m);
        let [x, lanes_outer, lanes_inner] = lanes.digits(n);
        let mut layout = vec![y, x];
        let rest = (0..target.indices.len()).filter(|k| *k != m && *k != n);
        layout.extend(rest.map(|dimension| LayoutTerm { dimension, modulus: None, divisor: 1 }));
        for (tile, outer, inner) in
            [(rows, rows_outer, rows_inner), (lanes, lanes_outer, lanes_inner)]
        {
            layout.extend((tile.size > tile.span()).then_some(outer));
            layout.extend((tile.piece > 1).then_some(inner));
        }
        let across = vec![Place::Thread(Axis::Y), Place::Thread(Axis::X)];
        for copy in self.stage_new((name, target), at, layout, 0, across)? {
            let loops: Vec<Name> =
                own_chain(self.at.tree(), &copy).into_iter().map(|l| l.name).collect();
            let (threads, mine) = loops.split_at(2.min(loops.len()));
            let threads: [Name; 2] = threads.to_vec().try_into().ok()?;
            self.on_threads(&threads, mine.iter()).then_some(())?;
        }
        Some(())
    }

    /// Stages a slice of an operand with its dimension `m` innermost; threads copy neighbours along
    /// the dimension along which the array is contiguous.
    fn stage_slice(
        &mut self,
        (name, read): (&Name, &Access),
        (k, m): (usize, usize),
        (tile, slice): (Tile, i64),
        at: &Name,
    ) -> Option<()> {
        let last = read.indices.len() - 1;
        let plain = |dimension| LayoutTerm { dimension, modulus: None, divisor: 1 };
        let mut layout: Vec<LayoutTerm> =
            (0..read.indices.len()).filter(|d| *d != k && *d != m).map(plain).collect();
        layout.extend([plain(k), plain(m)]);
        let [copy] =
            <[Name; 1]>::try_from(self.stage_new((name, read), at, layout, PAD, Vec::new())?)
                .ok()?;
        let loops: Vec<Name> =
            own_chain(self.at.tree(), &copy).into_iter().map(|l| l.name).collect();
        let [rest @ .., sum, line] = loops.as_slice() else { return None };
        let (mut threads, mut mine) = (Vec::new(), Vec::new());
        let sum = if slice == DEEP {
            let (outer, inner) = self.strips_of(sum, SIDE)?;
            mine.push(outer);
            inner
        } else {
            sum.clone()
        };
        if last == k {
            let (outer, y) = self.strips_of(line, SIDE)?;
            threads.extend([y, sum]);
            mine.push(outer);
        } else {
            let inside = if tile.size > tile.span() {
                let (outer, inside) = self.halves(line, tile.span())?;
                mine.push(outer);
                inside
            } else {
                line.clone()
            };
            let x = self.piece_of(&inside, tile, &mut mine)?;
            threads.extend([sum, x]);
        }
        let order: Vec<Name> = threads.iter().chain(&mine).chain(rest).cloned().collect();
        self.ordered(&order).then_some(())?;
        let threads: [Name; 2] = threads.try_into().ok()?;
        self.on_threads(&threads, mine.iter().chain(rest)).then_some(())
    }

    /// Maps two loops to the threads of a block, and unrolls what each runs.
    fn on_threads<'n>(
        &mut self,
        [y, x]: &[Name; 2],
        mut mine: impl Iterator<Item = &'n Name>,
    ) -> bool {
        let map = |l: &Name, axis| StepKind::Map(Ref::from(l.clone()), Place::Thread(axis));
        self.step(map(y, Axis::Y))
            && self.step(map(x, Axis::X))
            && mine.all(|l| self.step(StepKind::Unroll(Ref::from(l.clone()))))
    }
}
