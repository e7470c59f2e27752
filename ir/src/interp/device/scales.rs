//! Scales of factors in tensor memory: copies from shared memory, and where instructions read them.
//!
//! A copy is one of the operations that a thread has issued: it comes after the instructions before
//! it, which read what it overwrites, and before those behind it (PTX ISA 8.8, 9.7.16.6.2, pairs of
//! pipelined instructions; of an instruction and a copy behind it CUTLASS's kernels rely on it).
//! It reads shared memory through a descriptor, decoded bit by bit, and writes all four quarters
//! of the lanes. Keeps: an instruction reads the words and bytes that the manual says, of all
//! quarters.

use super::clock::{Clock, Stamp};
use super::matrix::{Source, undefined};
use super::shared::{Access, Proxy};
use super::stores::outside;
use super::tensor::{Corner, Issued};
use super::{Machine, Warp, fault};
use crate::diag::Result;
use crate::dtype::DType;
use crate::instruction::descriptor::{CHUNK, Fields, Reader, encode};
use crate::instruction::tensor_memory::{
    LANES, SCALE_BYTES, SCALE_LANES, SCALED_ROWS, STEPS, lanes, scale,
};
use crate::instruction::{Matrix, Part, Scaling};
use crate::kernel::device::Tile;
use crate::value::Scalar;

/// A copy on its way.
pub(super) struct ScaleCopy<'k> {
    to: Corner<'k>,
    /// Blocks that each copy from their own shared memory.
    blocks: usize,
    from: Source,
    pub(super) clock: Clock,
    stamp: Stamp,
}

/// Where the scales of a factor are.
#[derive(Clone, Copy)]
pub(super) struct ScalesAt<'k> {
    at: Corner<'k>,
    /// The byte of each column, the first of those that are taken.
    pub(super) step: i64,
}

impl<'k> Machine<'k, '_> {
    /// The start of a tile of scales of so many blocks of rows: its column, and the byte of it.
    fn scale_corner(
        &self,
        tile: &Tile,
        (extents, step): (&[i64], i64),
        w: &Warp<'k>,
    ) -> Result<ScalesAt<'k>> {
        let wrong = |text: &str| fault("E0521", &format!("`{tile}` {text}"));
        let held = self.tensors.find(&tile.array);
        let Some(buffer) = held.filter(|t| lanes(t.dtype) == Some(SCALE_LANES)) else {
            return Err(wrong("is no buffer of scales in tensor memory"));
        };
        let tail = tile.at.iter().rev().take(extents.len());
        let inner = tail.clone().all(|s| s.extent.is_some())
            && tail.clone().skip(1).all(|s| s.step == 1)
            && tile.at.last().is_some_and(|s| s.step == step);
        if !inner || tile.extents() != extents || tile.transposed {
            return Err(wrong("has not the lanes and bytes of scales"));
        }
        let at: Vec<i64> = tile.at.iter().map(|s| w.index(&s.start)).collect::<Result<_>>()?;
        let reach = |s: &crate::kernel::device::Slice| (s.extent.unwrap_or(1) - 1) * s.step + 1;
        let inside =
            at.len() == buffer.shape.len()
                && at.iter().zip(&tile.at).zip(&buffer.shape).all(|((i, s), e)| {
                    *i >= 0 && i.checked_add(reach(s)).is_some_and(|end| end <= *e)
                });
        let [lane, byte] = if inside { buffer.place(&at) } else { [0, 0] };
        if !inside || lane != 0 {
            return Err(outside(&tile.array, &at));
        }
        let first = self.tensors.first(buffer);
        let (column, step) = (first + byte / STEPS, byte % STEPS);
        let at = Corner { name: &buffer.name, rank: w.rank, lane, column };
        Ok(ScalesAt { at, step })
    }

    /// The scales of a factor of an instruction.
    pub(super) fn scales_of(
        &self,
        tile: &Tile,
        matrix: &Matrix,
        part: Part,
        w: &Warp<'k>,
    ) -> Result<ScalesAt<'k>> {
        let extents = [matrix.scaled_blocks(part), SCALE_LANES, STEPS];
        let found = self.scale_corner(tile, (&extents, STEPS), w)?;
        let dtype = self.tensors.find(&tile.array).map(|t| t.dtype);
        if dtype != matrix.scales.map(|s| s.dtype) {
            return Err(fault("E0521", &format!("`{tile}` has not the type of the scales")));
        }
        Ok(found)
    }

    /// Issues a copy of a block of scales.
    pub(super) fn scale_copy(
        &mut self,
        blocks: i64,
        [tensor, shared]: [&'k Tile; 2],
        w: &mut Warp<'k>,
    ) -> Result<()> {
        self.first_of(blocks, w)?;
        let wrong = |text: &str| fault("E0521", &format!("`{shared}` {text}"));
        let extents = [SCALE_LANES, SCALE_BYTES];
        let ScalesAt { at: to, step } = self.scale_corner(tensor, (&extents, 1), w)?;
        let dtype = self.tensors.find(&tensor.array).map(|t| t.dtype);
        let buffer = self.shared.find(&shared.array);
        let Some(buffer) = buffer.filter(|s| Some(s.dtype) == dtype && s.panel == Some(CHUNK))
        else {
            return Err(wrong("is no shared buffer of scales with panels of 16 bytes"));
        };
        let at: Vec<i64> = shared.at.iter().map(|s| w.index(&s.start)).collect::<Result<_>>()?;
        let tail = shared.at.iter().rev().take(2).all(|s| s.extent.is_some());
        let last: Vec<i64> = (at.iter().zip(&shared.at))
            .map(|(i, s)| i.saturating_add(s.extent.unwrap_or(1) - 1))
            .collect();
        self.shared_address(&shared.array, &last)?;
        self.shared_address(&shared.array, &at)?;
        let ([.., row, byte], [.., rows, _]) = (at.as_slice(), buffer.shape.as_slice()) else {
            return Err(wrong("has no rows and columns"));
        };
        let whole = tail && !shared.transposed && shared.extents() == extents && step == 0;
        if !whole || row % 8 != 0 || byte % CHUNK != 0 {
            return Err(wrong("has not the rows and bytes of a block of scales"));
        }
        let start = self.block.address(&shared.array).expect("found above") + buffer.offset(&at);
        let fields = Fields::of(*rows, CHUNK, false);
        let reader = Reader::Thread;
        let descriptor = encode(start, fields, reader);
        let from = Source { descriptor, reader, transposed: false };
        let (mut clock, stamp) = self.fork(w);
        clock.settle(stamp);
        let pipe = self.pipes.entry(w.number).or_default();
        pipe.copied_behind(&mut clock);
        let blocks = usize::try_from(blocks).expect("one or two");
        let copy = ScaleCopy { to, blocks, from, clock, stamp };
        pipe.issued.push_back(Issued::Copy(Box::new(copy)));
        Ok(())
    }

    /// Copies a block of scales.
    pub(super) fn copy_scales(&mut self, c: &ScaleCopy<'k>) -> Result<()> {
        for member in 0..c.blocks {
            let rank = c.to.rank + member;
            let access = Access { clock: &c.clock, stamp: c.stamp, proxy: Proxy::Async, rank };
            let rows = self.described(c.from, (0..SCALE_LANES, SCALE_BYTES), DType::U8, access)?;
            for (lane, row) in (0..).zip(&rows) {
                let row = row.as_ref().ok_or_else(|| undefined("scales in shared memory"))?;
                for (column, bytes) in (0..).zip(row.chunks(4)) {
                    let word = bytes.iter().rev().fold(0, |word, b| word << 8 | b.bits());
                    let word = Scalar::from_bits(DType::U32, word);
                    for quarter in 0..LANES / SCALE_LANES {
                        let at = [quarter * SCALE_LANES + lane, column];
                        let to = Corner { rank, ..c.to };
                        self.tensors.write(to, at, word, (&c.clock, c.stamp))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The scales of the first rows from this step on, of the block of this rank.
    pub(super) fn scales_read(
        &mut self,
        from: &ScalesAt<'k>,
        (rows, first): (i64, i64),
        (rank, matrix): (usize, &Matrix),
        who: (&Clock, Stamp),
    ) -> Result<Vec<Vec<f64>>> {
        let Some(Scaling { dtype, .. }) = matrix.scales else { return Ok(Vec::new()) };
        let at = Corner { rank, ..from.at };
        let mut out = Vec::new();
        for row in 0..rows {
            let [lane, column, byte] = scale(row % SCALED_ROWS, first);
            // blocks of rows follow each other
            let column = column + row / SCALED_ROWS * (SCALED_ROWS / SCALE_LANES);
            let mut found = None;
            for quarter in 0..LANES / SCALE_LANES {
                let cell = [quarter * SCALE_LANES + lane, column];
                let word = self.tensors.read(at, cell, who)?;
                let word = word.ok_or_else(|| undefined(at.name))?;
                if found.is_some_and(|other| other != word) {
                    let text = format!("`{}` is not the same in all quarters of lanes", at.name);
                    return Err(fault("E0521", &text));
                }
                found = Some(word);
            }
            let word = found.expect("there are quarters").bits();
            let one = |step| Scalar::from_bits(dtype, word >> (8 * (byte + step)) & 0xff).to_f64();
            out.push((0..matrix.steps()).map(one).collect());
        }
        Ok(out)
    }
}
