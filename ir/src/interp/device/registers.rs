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
    /// Matrix instructions that have not been waited for.
    pub(super) busy: usize,
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
        let dtype = f.dtype;
        Ok(Self { name: f.name.to_string(), layout, dtype, tiles, values, busy: 0 })
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
        self.idle()?;
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

    pub(super) fn idle(&self) -> Result<()> {
        if self.busy == 0 {
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
