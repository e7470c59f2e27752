//! Matrix instructions: fragments, and operands in shared memory through descriptors.
//!
//! A group of asynchronous instructions belongs to the four warps of a team: it is done only when
//! all of them have issued it, and its operands are read when the first of them waits for it.

use std::rc::Rc;

use super::clock::{Clock, Stamp};
use super::registers::Registers;
use super::shared::{Access, Proxy};
use super::{Machine, Outcome, Team, Warp, fault};
use crate::diag::Result;
use crate::dtype::DType;
use crate::instruction::descriptor::{Fields, Reader, address, encode};
use crate::instruction::{Matrix, Part};
use crate::kernel::device::{Tile, WARP};
use crate::value::Scalar;

/// The rows of an operand; none where an element is undefined.
pub(super) type Rows = Vec<Option<Vec<Scalar>>>;

/// An operand in shared memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) descriptor: u64,
    pub(super) reader: Reader,
    pub(super) transposed: bool,
}

/// One warp's share of an instruction that was issued.
pub(super) struct Pending<'k> {
    warp: usize,
    /// The number of the warp's block in the cluster.
    rank: usize,
    matrix: Matrix,
    fragment: &'k str,
    tile: i64,
    keep: bool,
    /// A is a fragment: its name, the tile, and its elements when the instruction was issued.
    fragment_a: Option<(&'k str, i64, Rc<Rows>)>,
    /// The factors from shared memory: A, if it is no fragment, and B.
    sources: [Option<Source>; 2],
    clock: Clock,
    stamp: Stamp,
    operands: Option<[Rc<Rows>; 2]>,
}

/// A group of a team.
#[derive(Default)]
pub(super) struct Group<'k> {
    pending: Vec<Pending<'k>>,
    commits: usize,
    clock: Clock,
}

pub(super) fn undefined(what: &str) -> Box<crate::diag::Diagnostic> {
    fault("E0516", &format!("a matrix instruction reads undefined elements of {what}"))
}

/// Adds this warp's part of a product to its accumulators.
fn multiply(
    d: &mut Registers,
    matrix: &Matrix,
    (tile, first, keep): (i64, i64, bool),
    rows: &Rows,
    cols: &Rows,
) -> Result<()> {
    let layout = d.layout.clone();
    for lane in 0..WARP {
        for value in 0..layout.n_values() {
            let [row, col] = layout.element(first + lane, value);
            let slot = d.slot(lane, tile, value);
            let acc = if keep { d.accumulator(slot)? } else { Scalar::zero(matrix.acc) };
            // of an asynchronous instruction a warp has its own 16 rows
            let a = rows[row as usize % rows.len()].as_ref().ok_or_else(|| undefined("A"))?;
            let b = cols[col as usize].as_ref().ok_or_else(|| undefined("B"))?;
            d.set(slot, matrix.adder.add(acc, a, b));
        }
    }
    Ok(())
}

/// How an element of a fragment is read.
type Read = fn(&Registers, usize) -> Result<Scalar>;

/// The rows of a tile of a fragment that a warp holds: all of them, or its 16 of a warpgroup's.
fn gather(f: &Registers, tile: i64, read: Read) -> Result<Rows> {
    let rows = f.layout.rows * WARP / f.layout.n_threads();
    let mut out = vec![vec![Scalar::zero(f.dtype); f.layout.cols as usize]; rows as usize];
    for lane in 0..WARP {
        for value in 0..f.layout.n_values() {
            let [r, c] = f.layout.element(lane, value);
            out[r as usize][c as usize] = read(f, f.slot(lane, tile, value))?;
        }
    }
    Ok(out.into_iter().map(Some).collect())
}

impl<'k> Machine<'k, '_> {
    /// Checks the accumulator and gives its one tile.
    fn accumulator(tile: &Tile, w: &Warp<'k>, matrix: &Matrix, part: Part) -> Result<i64> {
        let wrong = |text: &str| fault("E0521", &format!("`{tile}` {text}"));
        let Some(d) = w.fragments.get(&*tile.array) else {
            return Err(wrong("is no fragment"));
        };
        let tiles = d.tiles_of(tile, &|i| w.index(i))?;
        let fits = matrix.layout(part).as_ref() == Some(&d.layout) && d.dtype == matrix.dtype(part);
        match (tiles.as_slice(), fits) {
            ([one], true) => Ok(*one),
            (_, false) => Err(wrong("has not the layout of this operand")),
            (_, true) => Err(wrong("is not one tile of this operand")),
        }
    }

    /// A product of fragments.
    pub(super) fn registers_product(
        &mut self,
        matrix: &Matrix,
        tiles: [&Tile; 3],
        keep: bool,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let mut at = [0; 3];
        for (i, part) in [Part::D, Part::A, Part::B].into_iter().enumerate() {
            at[i] = Self::accumulator(tiles[i], w, matrix, part)?;
        }
        let a = gather(&w.fragments[&*tiles[1].array], at[1], Registers::get)?;
        let b = gather(&w.fragments[&*tiles[2].array], at[2], Registers::get)?;
        let d = w.fragments.get_mut(&*tiles[0].array).expect("checked above");
        multiply(d, matrix, (at[0], 0, keep), &a, &b)
    }

    /// The descriptor of an operand: its tile is the buffer's last two dimensions' part.
    pub(super) fn source(
        &self,
        tile: &Tile,
        matrix: &Matrix,
        part: Part,
        w: &Warp<'k>,
    ) -> Result<Source> {
        let wrong = |text: &str| fault("E0521", &format!("`{tile}` {text}"));
        let Some(buffer) = self.shared.find(&tile.array) else {
            return Err(wrong("is no shared buffer"));
        };
        let (Some(panel), [.., rows, _]) = (buffer.panel, buffer.shape.as_slice()) else {
            return Err(wrong("has no panels"));
        };
        if tile.matrix() != Some(matrix.held(part)) || buffer.dtype != matrix.dtype(part) {
            return Err(wrong("has not the extents or the type of this operand"));
        }
        let tail = tile.at.iter().rev().take(2).all(|s| s.extent.is_some());
        if !tail || (tile.transposed && !matrix.transposable) {
            return Err(wrong("is not laid out as this operand can be"));
        }
        let at: Vec<i64> = tile.at.iter().map(|s| w.index(&s.start)).collect::<Result<_>>()?;
        let last: Vec<i64> = at
            .iter()
            .zip(&tile.at)
            .map(|(i, s)| i.saturating_add(s.extent.unwrap_or(1) - 1))
            .collect();
        self.shared_address(&tile.array, &last)?;
        self.shared_address(&tile.array, &at)?;
        let start = self.block.address(&tile.array).expect("found above") + buffer.offset(&at);
        let [.., row, col] = at.as_slice() else { return Err(wrong("has no rows and columns")) };
        let across = if tile.transposed { panel } else { 16.max(32.min(panel)) };
        if row % 8 != 0 || col % buffer.wide(across) != 0 {
            return Err(wrong("does not start where a descriptor can"));
        }
        let fields = Fields::of(*rows, panel, tile.transposed);
        let reader = if matrix.tensor { Reader::Thread } else { Reader::Warpgroup };
        let (descriptor, transposed) = (encode(start, fields, reader), tile.transposed);
        Ok(Source { descriptor, reader, transposed })
    }

    /// Issues an asynchronous product of shared memory, or of a fragment with it.
    pub(super) fn shared_product(
        &mut self,
        matrix: &Matrix,
        tiles: [&'k Tile; 3],
        keep: bool,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        if !w.fenced {
            let text = "registers were touched since the last wgmma.fence";
            return Err(fault("E0521", text));
        }
        let tile = Self::accumulator(tiles[0], w, matrix, Part::D)?;
        let mut a = None;
        let mut fragment_a = None;
        if matrix.fragment_a {
            let at = Self::accumulator(tiles[1], w, matrix, Part::A)?;
            let name: &'k str = &tiles[1].array;
            let registers = w.fragments.get_mut(name).expect("checked above");
            fragment_a = Some((name, at, Rc::new(gather(registers, at, Registers::factor)?)));
            registers.begin(at);
        } else {
            a = Some(self.source(tiles[1], matrix, Part::A, w)?);
        }
        let b = Some(self.source(tiles[2], matrix, Part::B, w)?);
        let (clock, stamp) = self.fork(w);
        let fragment: &'k str = &tiles[0].array;
        w.fragments.get_mut(fragment).expect("checked above").busy += 1;
        let pending = Pending {
            warp: w.number,
            rank: w.rank,
            matrix: *matrix,
            fragment,
            tile,
            keep,
            fragment_a,
            sources: [a, b],
            clock,
            stamp,
            operands: None,
        };
        self.group(w.team(), w.committed).pending.push(pending);
        Ok(())
    }

    fn group(&mut self, team: Team, number: usize) -> &mut Group<'k> {
        let groups = self.groups.entry(team).or_default();
        if groups.len() <= number {
            groups.resize_with(number + 1, Group::default);
        }
        &mut groups[number]
    }

    /// Closes this warp's part of a group.
    pub(super) fn commit(&mut self, w: &mut Warp<'k>) {
        let group = self.group(w.team(), w.committed);
        group.commits += 1;
        for p in group.pending.iter().filter(|p| p.warp == w.number) {
            group.clock.merge(&p.clock);
        }
        w.committed += 1;
    }

    /// Waits for all but the last `left` groups.
    pub(super) fn wait_matrix(&mut self, left: usize, w: &mut Warp<'k>) -> Result<Outcome> {
        let (team, until) = (w.team(), w.committed.saturating_sub(left));
        if (w.retired..until).any(|g| self.group(team, g).commits < team.warps) {
            return Ok(Outcome::Blocked);
        }
        for number in w.retired..until {
            let mut group = std::mem::take(self.group(team, number));
            for i in 0..group.pending.len() {
                if group.pending[i].operands.is_none() {
                    group.pending[i].operands = Some(self.operands(&group.pending, i, team)?);
                }
            }
            w.clock.merge(&group.clock);
            for p in &mut group.pending {
                if p.warp == w.number {
                    retire(p, w)?;
                }
            }
            *self.group(team, number) = group;
            w.retired = number + 1;
        }
        Ok(Outcome::Done)
    }

    /// Reads the operands of instruction `i` of a group: this warp's rows of A, all of B once.
    fn operands(&mut self, group: &[Pending<'k>], i: usize, team: Team) -> Result<[Rc<Rows>; 2]> {
        let p = &group[i];
        let mate = group[..i].iter().rev().find(|o| o.sources[1] == p.sources[1]);
        let rows = (p.warp - team.first) as i64 * 16;
        let a = match &p.fragment_a {
            Some((_, _, rows)) => Rc::clone(rows),
            None => Rc::new(self.fetch(p, 0, rows..rows + 16, p.matrix.a)?),
        };
        let b = match mate.and_then(|mate| mate.operands.as_ref()) {
            Some([_, b]) => Rc::clone(b),
            None => Rc::new(self.fetch(p, 1, 0..p.matrix.n, p.matrix.b)?),
        };
        Ok([a, b])
    }

    fn fetch(
        &mut self,
        p: &Pending<'k>,
        operand: usize,
        rows: std::ops::Range<i64>,
        dtype: DType,
    ) -> Result<Rows> {
        let access = Access { clock: &p.clock, stamp: p.stamp, proxy: Proxy::Async, rank: p.rank };
        let source = p.sources[operand].expect("a factor is a fragment or has a descriptor");
        self.described(source, (rows, p.matrix.k), dtype, access)
    }

    /// The elements that a descriptor stands for: these rows, and so many of the summed index.
    pub(super) fn described(
        &mut self,
        from: Source,
        (rows, k): (std::ops::Range<i64>, i64),
        dtype: DType,
        access: Access<'_>,
    ) -> Result<Rows> {
        let Source { descriptor, reader, transposed } = from;
        let mut element = |mn: i64, k: i64| {
            let at = address(descriptor, reader, [mn, k], dtype.bits() as i64, transposed);
            let at = at.ok_or_else(|| fault("E0521", "a descriptor that means nothing"))?;
            self.shared.load(at, (dtype, k % 2), access)
        };
        let mut out = Vec::new();
        for mn in rows {
            let row: Result<Vec<Option<Scalar>>> = (0..k).map(|k| element(mn, k)).collect();
            out.push(row?.into_iter().collect());
        }
        Ok(out)
    }
}

/// The instruction's sums become values of the warp's registers.
fn retire(p: &mut Pending<'_>, w: &mut Warp<'_>) -> Result<()> {
    let Some([a, b]) = p.operands.take() else { return Ok(()) };
    let first = (w.number - w.team().first) as i64 * WARP;
    let d = w.fragments.get_mut(p.fragment).expect("a fragment outlives its instructions");
    multiply(d, &p.matrix, (p.tile, first, p.keep), &a, &b)?;
    d.busy -= 1;
    if let Some((name, tile, _)) = &p.fragment_a {
        w.fragments.get_mut(*name).expect("a fragment outlives its instructions").end(*tile);
    }
    Ok(())
}
