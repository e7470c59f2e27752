//! A warp's part of a fragment.

use super::fault;
use crate::diag::Result;
use crate::dtype::DType;
use crate::instruction::fragment::FragmentLayout;
use crate::instruction::layout;
use crate::kernel::Index;
use crate::kernel::device::{Fragment, Tile, WARP};
use crate::value::Scalar;

/// The registers of the 32 threads of a warp for one fragment.
pub(super) struct Registers {
    pub(super) name: String,
    pub(super) layout: FragmentLayout,
    pub(super) dtype: DType,
    /// Tiles along rows and columns.
    pub(super) tiles: [i64; 2],
    values: Vec<Option<Scalar>>,
    /// Instructions on all of them that have not been waited for.
    pub(super) busy: usize,
    /// For each tile the instructions that read it and have not been waited for.
    readers: Vec<usize>,
}

impl Registers {
    pub(super) fn new(f: &Fragment, warps: usize) -> Result<Self> {
        let Some(layout) = layout(&f.layout) else {
            return Err(fault("E0521", &format!("`{}` is no operand in registers", f.layout)));
        };
        let [rows, cols] = f.shape;
        let whole = rows > 0 && cols > 0 && rows % layout.rows == 0 && cols % layout.cols == 0;
        if !whole || rows.saturating_mul(cols) > 1 << 20 {
            let text = format!("`{}` is no whole number of tiles of `{}`", f.name, f.layout);
            return Err(fault("E0521", &text));
        }
        // a warp's fragment is one for each warp of a larger team
        if layout.n_threads() != WARP && layout.n_threads() != WARP * warps as i64 {
            let text = format!("`{}` belongs to {} threads", f.name, layout.n_threads());
            return Err(fault("E0521", &text));
        }
        let tiles = [rows / layout.rows, cols / layout.cols];
        let n = tiles[0] * tiles[1] * layout.n_values() * WARP;
        let values = vec![None; usize::try_from(n).expect("below 2^20 elements a thread")];
        let readers = vec![0; usize::try_from(tiles[0] * tiles[1]).expect("fewer than elements")];
        let (name, dtype) = (f.name.to_string(), f.dtype);
        Ok(Self { name, layout, dtype, tiles, values, busy: 0, readers })
    }

    /// Where a thread's element of a tile lies.
    pub(super) fn slot(&self, lane: i64, tile: i64, value: i64) -> usize {
        let slot = (lane * self.tiles[0] * self.tiles[1] + tile) * self.layout.n_values() + value;
        usize::try_from(slot).expect("positions are not negative")
    }

    pub(super) fn set(&mut self, slot: usize, value: Scalar) {
        self.values[slot] = Some(value);
    }

    /// A value.
    ///
    /// # Errors
    /// `E0516` none was written; `E0522` a matrix instruction still works on it.
    pub(super) fn get(&self, slot: usize) -> Result<Scalar> {
        self.idle_at(slot)?;
        self.factor(slot)
    }

    /// As [`Registers::get`], for instructions that read it and may not be done.
    pub(super) fn factor(&self, slot: usize) -> Result<Scalar> {
        self.values[slot].ok_or_else(|| {
            fault("E0516", &format!("an element of `{}` is read before it is written", self.name))
        })
    }

    /// As [`Registers::get`], for the instruction that works on it.
    pub(super) fn accumulator(&self, slot: usize) -> Result<Scalar> {
        self.values[slot].ok_or_else(|| {
            let text = format!("`{}` is added to before it has a value", self.name);
            fault("E0516", &text)
        })
    }

    /// The number of a warp's first thread, where the warp is so far from its team's first.
    pub(super) fn first_thread(&self, warp: usize) -> i64 {
        if self.layout.n_threads() == WARP { 0 } else { warp as i64 * WARP }
    }

    /// An instruction begins to read a tile.
    pub(super) fn begin(&mut self, tile: i64) {
        self.readers[usize::try_from(tile).expect("a tile that was found")] += 1;
    }

    /// An instruction that read a tile was waited for.
    pub(super) fn end(&mut self, tile: i64) {
        self.readers[usize::try_from(tile).expect("a tile that was found")] -= 1;
    }

    /// Whether instructions that have not been waited for work on some of it.
    pub(super) fn in_use(&self) -> bool {
        self.busy > 0 || self.readers.iter().any(|n| *n > 0)
    }

    /// No instruction works on an element.
    pub(super) fn idle_at(&self, slot: usize) -> Result<()> {
        let each = usize::try_from(self.layout.n_values()).expect("positive");
        let read = self.readers[slot / each % self.readers.len()] > 0;
        if self.busy == 0 && !read {
            return Ok(());
        }
        let text =
            format!("`{}` is used before the matrix instructions on it are waited for", self.name);
        Err(fault("E0522", &text))
    }

    /// The tiles that a slice of the fragment names, row by row.
    pub(super) fn tiles_of(
        &self,
        tile: &Tile,
        index: &dyn Fn(&Index) -> Result<i64>,
    ) -> Result<Vec<i64>> {
        let wrong = || fault("E0521", &format!("`{tile}` is no whole number of tiles"));
        let [rows, cols] = tile.at.as_slice() else { return Err(wrong()) };
        let range = |slice: &crate::kernel::device::Slice, size: i64, tiles: i64| {
            let (start, extent) = (index(&slice.start)?, slice.extent.ok_or_else(wrong)?);
            let inside = start >= 0 && start.saturating_add(extent) <= size.saturating_mul(tiles);
            if !inside || start % size != 0 || extent % size != 0 {
                return Err(wrong());
            }
            Ok(start / size..(start + extent) / size)
        };
        let rows = range(rows, self.layout.rows, self.tiles[0])?;
        let cols = range(cols, self.layout.cols, self.tiles[1])?;
        Ok(rows.flat_map(|r| cols.clone().map(move |c| r * self.tiles[1] + c)).collect())
    }
}
