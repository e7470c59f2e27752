//! Tensor memory: matrix instructions of one thread that accumulate there, and loads from it.
//!
//! An instruction is done when a commit after it arrives at its barrier: that is when nothing else
//! in the cluster can go on, and everything the thread issued before happens then, in order. At
//! barriers of other blocks it arrives later still, when somebody waits there. A load reads when it
//! is waited for. Operands are read through both descriptors, decoded bit by bit.
//! Keeps: an access that is not ordered after a conflicting one is an error, whatever the values;
//! across threads that takes a fence on each side, of which a commit is one.

use std::collections::VecDeque;

use super::clock::{Clock, Stamp};
use super::matrix::{Rows, Source, undefined};
use super::registers::Registers;
use super::scales::{ScaleCopy, ScalesAt};
use super::shared::{Access, Proxy};
use super::stores::outside;
use super::{Machine, Warp, fault, race};
use crate::affine::Name;
use crate::diag::Result;
use crate::instruction::tensor_memory::{
    COLUMNS, Decoded, Kind, LANES, decode, encode, lanes, loaded,
};
use crate::instruction::{Matrix, Part};
use crate::kernel::device::{Block, Tensor, Tile, WARP};
use crate::value::Scalar;

/// 32 bits of tensor memory.
#[derive(Clone, Debug, Default)]
struct Cell {
    value: Option<Scalar>,
    written: Option<Stamp>,
    /// Reads since then, one for each agent.
    read: Vec<Stamp>,
}

/// The tensor memory of a cluster's blocks.
pub(super) struct TensorMemory<'k> {
    block: &'k Block,
    /// Of each block, lane after lane.
    cells: Vec<Vec<Cell>>,
    columns: i64,
}

/// A part of a buffer: the first lane and column of its block's tensor memory.
#[derive(Clone, Copy)]
pub(super) struct Corner<'k> {
    pub(super) name: &'k str,
    pub(super) rank: usize,
    pub(super) lane: i64,
    pub(super) column: i64,
}

/// A matrix instruction on its way.
pub(super) struct Product<'k> {
    to: Corner<'k>,
    matrix: Matrix,
    descriptor: u32,
    keep: bool,
    sources: [Source; 2],
    scales: Option<[ScalesAt<'k>; 2]>,
    clock: Clock,
    stamp: Stamp,
}

/// What a thread has issued.
pub(super) enum Issued<'k> {
    Product(Box<Product<'k>>),
    /// Scales on their way.
    Copy(Box<ScaleCopy<'k>>),
    /// An arrival at this slot of these blocks.
    Commit(Name, i64, Vec<usize>),
}

/// A commit on its way to another block's barrier.
pub(super) struct Told {
    rank: usize,
    name: Name,
    slot: i64,
    clock: Clock,
}

/// All that a thread has issued and that is not done, and what those that are done knew.
#[derive(Default)]
pub(super) struct Pipe<'k> {
    pub(super) issued: VecDeque<Issued<'k>>,
    /// Of all instructions since the pipe began.
    clock: Clock,
    /// The shape of the last instruction, and what it knows: the next one of this shape follows it.
    last: Option<([i64; 3], Clock)>,
    /// What the last copy of scales knows: all instructions behind it follow it.
    copied: Option<Clock>,
}

impl Pipe<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.issued.is_empty()
    }

    /// A copy of scales is issued: it follows what was issued before.
    pub(super) fn copied_behind(&mut self, clock: &mut Clock) {
        let before = self.last.iter().map(|(_, clock)| clock).chain(&self.copied);
        before.for_each(|before| clock.follow(before));
        self.copied = Some(clock.clone());
    }
}

/// A load of some columns of tensor memory into a tile of a fragment.
pub(super) struct TensorLoad<'k> {
    fragment: &'k str,
    tile: i64,
    from: Corner<'k>,
    clock: Clock,
    stamp: Stamp,
}

/// Factors with their scales, one for as many neighbours each: what adders align is the whole
/// product.
fn times(factors: &[Scalar], by: &[f64]) -> Vec<Scalar> {
    let each = factors.len() / by.len().max(1);
    let one = |(group, by): (&[Scalar], &f64)| {
        group.iter().map(|f| Scalar::f64(f.to_f64() * by)).collect::<Vec<_>>()
    };
    factors.chunks(each.max(1)).zip(by).flat_map(one).collect()
}

impl<'k> TensorMemory<'k> {
    pub(super) fn new(block: &'k Block, blocks: usize) -> Result<Self> {
        let columns = if block.tensors.is_empty() { Some(0) } else { block.columns() };
        let fits = |t: &Tensor| match t.shape.as_slice() {
            [.., own, _] => Some(*own) == lanes(t.dtype) && t.shape.iter().all(|e| *e > 0),
            _ => false,
        };
        let Some(columns) = columns.filter(|_| block.tensors.iter().all(fits)) else {
            let text = format!("tensor memory has {LANES} lanes and {COLUMNS} columns");
            return Err(fault("E0521", &text));
        };
        let n = usize::try_from(columns * LANES).expect("a small number");
        Ok(Self { block, cells: vec![vec![Cell::default(); n]; blocks], columns })
    }

    pub(super) fn find(&self, name: &str) -> Option<&'k Tensor> {
        self.block.tensors.iter().find(|t| &*t.name == name)
    }

    /// The first column of one of the buffers.
    pub(super) fn first(&self, buffer: &Tensor) -> i64 {
        self.block.column(&buffer.name).expect("it is in this block")
    }

    fn cell(&mut self, at: Corner<'k>, by: [i64; 2]) -> &mut Cell {
        let flat = (at.lane + by[0]) * self.columns + at.column + by[1];
        &mut self.cells[at.rank][usize::try_from(flat).expect("compared with the buffer")]
    }

    pub(super) fn read(
        &mut self,
        at: Corner<'k>,
        by: [i64; 2],
        (clock, stamp): (&Clock, Stamp),
    ) -> Result<Option<Scalar>> {
        let cell = self.cell(at, by);
        if cell.written.is_some_and(|w| !clock.follows(w)) {
            return Err(race(at.name, "a matrix instruction writes it and nothing orders the two"));
        }
        cell.read.retain(|r| r.agent != stamp.agent && !clock.follows(*r));
        cell.read.push(stamp);
        Ok(cell.value)
    }

    pub(super) fn write(
        &mut self,
        at: Corner<'k>,
        by: [i64; 2],
        value: Scalar,
        (clock, stamp): (&Clock, Stamp),
    ) -> Result<()> {
        let cell = self.cell(at, by);
        let written = cell.written.is_some_and(|w| !clock.follows(w));
        if written || cell.read.iter().any(|r| !clock.follows(*r)) {
            return Err(race(at.name, "it is written again and nothing orders the two"));
        }
        *cell = Cell { value: Some(value), written: Some(stamp), read: Vec::new() };
        Ok(())
    }
}

impl<'k> Machine<'k, '_> {
    /// The place of a tile of `extents` lanes and columns.
    fn corner(&self, tile: &Tile, extents: [i64; 2], w: &Warp<'k>) -> Result<Corner<'k>> {
        let wrong = |text: &str| fault("E0521", &format!("`{tile}` {text}"));
        let buffer = self.tensors.find(&tile.array);
        let Some(buffer) = buffer.filter(|t| lanes(t.dtype) == Some(LANES)) else {
            return Err(wrong("is no buffer of all lanes in tensor memory"));
        };
        let tail = tile.at.iter().rev().take(2).all(|s| s.extent.is_some());
        if !tail || tile.matrix() != Some(extents) || tile.transposed {
            return Err(wrong("has not the lanes and columns of this operand"));
        }
        let at: Vec<i64> = tile.at.iter().map(|s| w.index(&s.start)).collect::<Result<_>>()?;
        let inside = at.len() == buffer.shape.len()
            && at.iter().zip(&tile.at).zip(&buffer.shape).all(|((i, s), e)| {
                *i >= 0 && i.checked_add(s.extent.unwrap_or(1)).is_some_and(|end| end <= *e)
            });
        if !inside {
            return Err(outside(&tile.array, &at));
        }
        let [lane, column] = buffer.place(&at);
        let first = self.tensors.first(buffer);
        Ok(Corner { name: &buffer.name, rank: w.rank, lane, column: first + column })
    }

    /// Whether a warp's block is the first of so many that an instruction is for.
    pub(super) fn first_of(&self, blocks: i64, w: &Warp<'k>) -> Result<()> {
        let rank = w.rank as i64;
        if rank % blocks == 0 && rank + blocks <= self.shared.blocks() as i64 {
            return Ok(());
        }
        let text = "an instruction of a pair is issued by another block than its first";
        Err(fault("E0521", text))
    }

    /// Issues a product whose sums stay in tensor memory.
    pub(super) fn tensor_product(
        &mut self,
        matrix: &Matrix,
        (tiles, scales): ([&'k Tile; 3], Option<[&'k Tile; 2]>),
        keep: bool,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        self.first_of(matrix.blocks, w)?;
        let to = self.corner(tiles[0], matrix.held(Part::D), w)?;
        let dtype = self.tensors.find(to.name).map(|t| t.dtype);
        if dtype != Some(matrix.acc) || to.lane != 0 {
            let text = format!("`{}` is no accumulator of this instruction", tiles[0]);
            return Err(fault("E0521", &text));
        }
        let a = self.source(tiles[1], matrix, Part::A, w)?;
        let b = self.source(tiles[2], matrix, Part::B, w)?;
        let scales = match scales {
            Some([of_a, of_b]) => Some([
                self.scales_of(of_a, matrix, Part::A, w)?,
                self.scales_of(of_b, matrix, Part::B, w)?,
            ]),
            None => None,
        };
        let (mut clock, stamp) = self.fork(w);
        clock.settle(stamp);
        let shape = [matrix.m, matrix.n, matrix.k];
        let pipe = self.pipes.entry(w.number).or_default();
        // instructions of one shape run one after the other
        if let Some((_, before)) = pipe.last.as_ref().filter(|(s, _)| *s == shape) {
            clock.follow(before);
        }
        if let Some(copied) = &pipe.copied {
            clock.follow(copied);
        }
        pipe.last = Some((shape, clock.clone()));
        let steps = scales.map_or([0; 2], |both| both.map(|s| s.step));
        let descriptor = encode(matrix, [a.transposed, b.transposed], steps);
        let (matrix, sources) = (*matrix, [a, b]);
        let product = Product { to, matrix, descriptor, keep, sources, scales, clock, stamp };
        pipe.issued.push_back(Issued::Product(Box::new(product)));
        Ok(())
    }

    /// An arrival at a barrier when all that this thread has issued is done.
    pub(super) fn tensor_commit(
        &mut self,
        barrier: &Tile,
        blocks: Vec<usize>,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let slot = self.slot(barrier, w)?;
        for rank in &blocks {
            self.phase(*rank, &barrier.array, slot)?;
        }
        let commit = Issued::Commit(barrier.array.clone(), slot, blocks);
        self.pipes.entry(w.number).or_default().issued.push_back(commit);
        Ok(())
    }

    /// The block of a warp.
    fn issuer(&self, warp: usize) -> usize {
        warp / usize::try_from(self.block.warps()).expect("1 to 32 warps")
    }

    fn tell(&mut self, told: &Told) -> Result<()> {
        self.arrival((told.rank, &told.name, told.slot), 1, 0, &told.clock)?;
        self.advance(told.rank, &told.name, told.slot)
    }

    /// A commit arrives at another block, where one is on its way there: one that a warp waits for.
    pub(super) fn told_others(&mut self, warps: &[Warp<'k>]) -> Result<bool> {
        let awaited: Vec<(usize, Name, i64)> =
            warps.iter().filter_map(|w| self.awaits(w)).collect();
        let such = |t: &Told| awaited.contains(&(t.rank, t.name.clone(), t.slot));
        match self.told.iter().position(such) {
            Some(at) => {
                let told = self.told.remove(at);
                self.tell(&told).map(|()| true)
            }
            None => Ok(false),
        }
    }

    /// Carries out what some thread has issued, up to its next commit, which arrives; false where
    /// no commit is on its way.
    pub(super) fn complete(&mut self) -> Result<bool> {
        let commits = |p: &Pipe<'_>| p.issued.iter().any(|i| matches!(i, Issued::Commit(..)));
        let Some(number) = self.pipes.iter().rev().find(|(_, p)| commits(p)).map(|(n, _)| *n)
        else {
            return Ok(false);
        };
        loop {
            let pipe = self.pipes.get_mut(&number).expect("found above");
            match pipe.issued.pop_front().expect("a commit is there") {
                Issued::Product(p) => {
                    self.accumulate(&p)?;
                    let pipe = self.pipes.get_mut(&number).expect("found above");
                    pipe.clock.merge(&p.clock);
                    pipe.clock.fence_before();
                }
                Issued::Copy(c) => {
                    self.copy_scales(&c)?;
                    let pipe = self.pipes.get_mut(&number).expect("found above");
                    pipe.clock.merge(&c.clock);
                    pipe.clock.fence_before();
                }
                Issued::Commit(name, slot, blocks) => {
                    let clock = pipe.clock.clone();
                    let own = self.issuer(number);
                    for rank in blocks {
                        let told = Told { rank, name: name.clone(), slot, clock: clock.clone() };
                        if rank == own {
                            self.tell(&told)?;
                        } else {
                            self.told.push(told);
                        }
                    }
                    return Ok(true);
                }
            }
        }
    }

    /// Adds a product to its accumulator.
    fn accumulate(&mut self, p: &Product<'k>) -> Result<()> {
        let said = Kind::of(&p.matrix).and_then(|kind| decode(p.descriptor, kind));
        let Some(Decoded { extents: [m, n], types: [a, b, acc], transposed, steps }) = said else {
            return Err(fault("E0521", "an instruction descriptor that means nothing"));
        };
        // block after block of a pair has its share of the rows of A, B and D
        let share = p.matrix.blocks;
        let (mut rows, mut cols) = (Vec::new(), Vec::new());
        for member in 0..usize::try_from(share).expect("one or two") {
            let rank = p.to.rank + member;
            let access = Access { clock: &p.clock, stamp: p.stamp, proxy: Proxy::Async, rank };
            let source = |i: usize| Source { transposed: transposed[i], ..p.sources[i] };
            rows.extend(self.described(source(0), (0..m / share, p.matrix.k), a, access)?);
            cols.extend(self.described(source(1), (0..n / share, p.matrix.k), b, access)?);
        }
        let who = (&p.clock, p.stamp);
        let own = m / share;
        let scaled = self.scaled(p, steps, ([own, n], &cols))?;
        for (i, row) in (0..).zip(&rows) {
            let row = row.as_ref().ok_or_else(|| undefined("A"))?;
            // (PTX ISA, 9.7.16.10.5, data path layout A: 128 rows of 256 in each block's lanes)
            let (member, i) = (i / own, i % own);
            let member = usize::try_from(member).expect("below the pair's blocks");
            let to = Corner { rank: p.to.rank + member, ..p.to };
            // a block of a pair multiplies its rows by its copy of the columns' scales
            let factors = scaled.get(member).map(|(by, cols)| {
                let by = &by[usize::try_from(i).expect("below its rows")];
                (times(row, by), cols)
            });
            let (row, cols) = factors.as_ref().map_or((row, &cols), |(row, cols)| (row, cols));
            for (j, col) in (0..).zip(cols) {
                let col = col.as_ref().ok_or_else(|| undefined("B"))?;
                let old = if p.keep {
                    let old = self.tensors.read(to, [i, j], who)?;
                    old.ok_or_else(|| undefined(p.to.name))?
                } else {
                    Scalar::zero(acc)
                };
                self.tensors.write(to, [i, j], p.matrix.adder.add(old, row, col), who)?;
            }
        }
        Ok(())
    }

    /// For each block of an instruction with scales, those of its rows, and the columns with
    /// theirs.
    fn scaled(
        &mut self,
        p: &Product<'k>,
        steps: Option<[i64; 2]>,
        ([own, n], cols): ([i64; 2], &Rows),
    ) -> Result<Vec<(Vec<Vec<f64>>, Rows)>> {
        let (Some([of_a, of_b]), Some([a, b])) = (&p.scales, steps) else { return Ok(Vec::new()) };
        let who = (&p.clock, p.stamp);
        let mut out = Vec::new();
        for member in 0..usize::try_from(p.matrix.blocks).expect("one or two") {
            let rank = p.to.rank + member;
            let rows = self.scales_read(of_a, (own, a), (rank, &p.matrix), who)?;
            let by = self.scales_read(of_b, (n, b), (rank, &p.matrix), who)?;
            let one = |(col, by): (&Option<Vec<Scalar>>, &Vec<f64>)| Some(times(col.as_ref()?, by));
            out.push((rows, cols.iter().zip(&by).map(one).collect()));
        }
        Ok(out)
    }

    /// Issues this warp's part of a load: its 32 lanes.
    pub(super) fn tensor_load(
        &mut self,
        columns: i64,
        fragment: &'k Tile,
        tile: &Tile,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let wrong = |text: &str| fault("E0521", &format!("`{fragment}` {text}"));
        let Some(registers) = w.fragments.get(&*fragment.array) else {
            return Err(wrong("is no fragment"));
        };
        if registers.layout != loaded(columns) {
            return Err(wrong("has not the layout of this load"));
        }
        let from = self.corner(tile, [LANES, columns], w)?;
        let one = registers.tiles_of(fragment, &|i| w.index(i))?;
        let dtype = self.tensors.find(from.name).map(|t| t.dtype);
        let ([one], true) = (one.as_slice(), dtype == Some(registers.dtype)) else {
            return Err(wrong("is not one tile of the tensor memory's type"));
        };
        // a warp reaches the lanes that belong to its number in the block
        let own = w.number - w.rank * usize::try_from(self.block.warps()).unwrap_or(0);
        if own % 4 != w.number - w.team().first {
            return Err(wrong("is loaded by warps that do not reach these lanes"));
        }
        let (fragment, tile) = (&*fragment.array, *one);
        let (clock, stamp) = self.fork(w);
        w.fragments.get_mut(fragment).expect("found above").busy += 1;
        w.tensor_loads.push(TensorLoad { fragment, tile, from, clock, stamp });
        Ok(())
    }

    /// Lets all loads of this warp read.
    pub(super) fn finish_tensor_loads(&mut self, w: &mut Warp<'k>) -> Result<()> {
        let first = (w.number - w.team().first) as i64 * WARP;
        for load in std::mem::take(&mut w.tensor_loads) {
            let registers = w.fragments.get_mut(load.fragment);
            let registers = registers.expect("a fragment outlives its loads");
            self.fill_registers(registers, first, &load)?;
            registers.busy -= 1;
            w.clock.merge(&load.clock);
            w.clock.follow(&load.clock);
        }
        Ok(())
    }

    fn fill_registers(
        &mut self,
        registers: &mut Registers,
        first: i64,
        load: &TensorLoad<'k>,
    ) -> Result<()> {
        let who = (&load.clock, load.stamp);
        for lane in 0..WARP {
            for value in 0..registers.layout.n_values() {
                let at = registers.layout.element(first + lane, value);
                let found = self.tensors.read(load.from, at, who)?;
                let slot = registers.slot(lane, load.tile, value);
                registers.set(slot, found.ok_or_else(|| undefined(load.from.name))?);
            }
        }
        Ok(())
    }
}
