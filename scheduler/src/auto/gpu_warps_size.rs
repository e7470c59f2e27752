//! Sizes of tiles for products whose factors are in registers, those that the performance model
//! predicts to be fastest.
//!
//! In: a product's extents and types, and the GPU's sizes. Out: a block's tile, a warp's part of
//! it, the slices of the sum and how many are in flight.
//! Keeps: what such a product asks of the GPU is counted in `model::product`.

use warploom_ir::instruction::Matrix;
use warploom_ir::target::Target;

use super::gpu_warps::padding;
use crate::block::fragment_parts;
use crate::model::product::{Warped, combine};
use crate::model::{Machine, predict};

/// 32-bit registers of a multiprocessor, those that a thread has for sums and with fragments, and
/// those it needs beside.
const REGISTERS: i64 = 64 << 10;
const HELD: i64 = 144;
const LIVE: i64 = 224;
const OTHERS: i64 = 64;
/// Most registers of a thread.
const MOST: i64 = 255;
/// Bytes of shared memory that a block can have on every GPU that runs code for sm_80.
const EVERY: i64 = 99 << 10;
/// Most blocks of a multiprocessor that are counted on, and most warps of a block.
const RESIDENT: i64 = 4;
const WARPS: i64 = 8;
/// Fewest slices that are worth a part of the sum.
const FEWEST_SLICES: i64 = 8;
/// Estimates that are off by less than one part in so many are about the same.
const ABOUT: i64 = 40;
/// Rows and columns of tiles, beside all that there are, and of how many warps they can be; what
/// they are multiples of; bytes of a slice along the sum; slices in shared memory.
const SIDES: [i64; 8] = [128, 96, 64, 48, 32, 24, 16, 8];
const PARTS: [i64; 5] = [1, 2, 3, 4, 8];
const UNIT: i64 = 8;
const SLICES: [i64; 2] = [128, 64];
const STAGES: [i64; 3] = [4, 3, 2];

/// Sizes of the tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WarpTiles {
    /// Rows and columns of a block's tile, and of a warp's part of it, of the result.
    pub(super) block: [i64; 2],
    pub(super) warp: [i64; 2],
    /// The instruction's rows are the result's columns.
    pub(super) swapped: bool,
    /// Iterations of the sum in a slice, and slices in shared memory.
    pub(super) slice: i64,
    pub(super) stages: i64,
    /// Blocks of a multiprocessor.
    pub(super) resident: i64,
    /// Iterations of the sum that a block takes, where others take the rest.
    pub(super) part: Option<i64>,
}

/// What the time depends on.
pub(super) struct WarpSize {
    /// Rows, columns and terms of the result.
    pub(super) rows: i64,
    pub(super) columns: i64,
    pub(super) sum: i64,
    pub(super) batch: i64,
    /// Iterations of further sums.
    pub(super) others: i64,
    /// Bytes of the three arrays, and of a result.
    pub(super) bytes: i64,
    pub(super) out: i64,
    /// The sum is in the order of the text, so that it has no parts.
    pub(super) in_order: bool,
    /// Neighbours of a tile's results are far from each other in memory.
    pub(super) scattered: bool,
    /// Rows of a factor in shared memory run along its own index, not along the sum.
    pub(super) transposed: [bool; 2],
    pub(super) matrix: Matrix,
    pub(super) target: Target,
    pub(super) multiprocessors: i64,
    pub(super) machine: Machine,
}

impl WarpTiles {
    /// How many steps' fragments warps hold at once.
    fn parts(&self, matrix: &Matrix) -> i64 {
        let products = self.warp[0] * self.warp[1] / (matrix.m * matrix.n);
        fragment_parts(products, self.slice / matrix.k, self.stages)
    }

    fn warps(&self) -> i64 {
        self.block[0] / self.warp[0] * (self.block[1] / self.warp[1])
    }
}

impl WarpSize {
    /// The tiles that ask least of the cache, then of shared memory, among those with about the
    /// least predicted time; the first of equals.
    pub(super) fn best(&self) -> Option<WarpTiles> {
        let parts = |whole| [Some(whole), self.parts(whole)].into_iter().flatten();
        let timed: Vec<(i64, WarpTiles)> =
            self.candidates().flat_map(parts).map(|t| (self.time(&t), t)).collect();
        let least = timed.iter().map(|(time, _)| *time).min()?;
        let about = timed.into_iter().filter(|(time, _)| *time <= least + least / ABOUT);
        about.min_by_key(|(time, t)| (self.brought(t), self.loaded(t), *time)).map(|(_, t)| t)
    }

    /// Bytes that blocks bring, beside what all of them do, in parts of their tiles.
    fn brought(&self, t: &WarpTiles) -> i64 {
        let [rows, columns] = [(self.rows, 0), (self.columns, 1)].map(|(n, s)| up(n, t.block[s]));
        rows * columns * (t.block[0] + t.block[1])
    }

    /// Bytes that warps load from shared memory, in the same way.
    fn loaded(&self, t: &WarpTiles) -> i64 {
        t.warps() * (t.warp[0] + t.warp[1])
    }

    fn candidates(&self) -> impl Iterator<Item = WarpTiles> {
        let depths = || SLICES.into_iter().flat_map(|bytes| STAGES.map(|n| (bytes, n)));
        let all = [false, true].into_iter().flat_map(move |swapped| {
            let least = |side: usize| if (side == 0) == swapped { UNIT } else { self.matrix.m };
            let [rows, columns] = [(0, self.rows), (1, self.columns)]
                .map(|(side, extent)| sides(extent, least(side)));
            let pairs = rows
                .into_iter()
                .flat_map(move |row| columns.clone().into_iter().map(move |column| [row, column]));
            pairs.flat_map(move |[row, column]| {
                depths().map(move |(bytes, stages)| {
                    let slice = bytes / self.factor();
                    let (block, warp) = ([row.0, column.0], [row.1, column.1]);
                    let (resident, part) = (1, None);
                    WarpTiles { block, warp, swapped, slice, stages, resident, part }
                })
            })
        });
        all.filter_map(|t| self.fits(t))
    }

    fn factor(&self) -> i64 {
        self.matrix.a.size_bytes() as i64
    }

    /// The tiles, where registers and shared memory hold them, with the blocks that run at once.
    fn fits(&self, t: WarpTiles) -> Option<WarpTiles> {
        let warps = t.warps();
        let held = t.warp[0] * t.warp[1] / 32 * (self.matrix.acc.size_bytes() as i64) / 4;
        let fragments = (t.warp[0] + t.warp[1]) * self.matrix.k * self.factor() / 128;
        let fragments = fragments * t.parts(&self.matrix);
        let whole = t.slice % self.matrix.k == 0;
        if warps > WARPS || held > HELD || held + fragments > LIVE || !whole {
            return None;
        }
        let gpu = i64::from(self.target.gpu()?.shared_bytes);
        let limit = if self.target == Target::Sm80 { gpu.min(EVERY) } else { gpu };
        let each = (self.held(&t, 0) + self.held(&t, 1)) * t.stages;
        if each > limit {
            return None;
        }
        let registers = (held + fragments + OTHERS).min(MOST) * 32 * warps;
        let resident = (gpu / (each + 1024)).min(REGISTERS / registers).clamp(1, RESIDENT);
        Some(WarpTiles { resident, ..t })
    }

    /// Bytes of a slice of a factor in shared memory.
    fn held(&self, t: &WarpTiles, side: usize) -> i64 {
        let (own, sum) = (t.block[side], t.slice);
        let (rows, row) = if self.transposed[side] { (sum, own) } else { (own, sum) };
        rows * (row + padding(row, self.factor(), self.transposed[side])) * self.factor()
    }

    /// Tiles of the result.
    fn blocks(&self, t: &WarpTiles) -> i64 {
        up(self.rows, t.block[0]) * up(self.columns, t.block[1]) * self.batch
    }

    /// Blocks that one wave of tiles leaves without work take parts of the sum, all as long.
    fn parts(&self, whole: WarpTiles) -> Option<WarpTiles> {
        let free = self.multiprocessors / self.blocks(&whole);
        let slices = self.sum / whole.slice;
        let fits = |n: &i64| slices % n == 0 && slices / n >= FEWEST_SLICES;
        let alone = self.sum % whole.slice == 0 && self.others == 1 && !self.in_order;
        let parts = (2..=free).rev().find(fits).filter(|_| alone)?;
        Some(WarpTiles { part: Some(self.sum / parts), ..whole })
    }

    /// Nanoseconds until all is done.
    pub(super) fn time(&self, t: &WarpTiles) -> i64 {
        let m = &self.machine;
        let parts = t.part.map_or(1, |length| up(self.sum, length));
        let slices = up(t.part.unwrap_or(self.sum), t.slice) * self.others;
        let (warps, sides) = (t.warps(), t.block[0] + t.block[1]);
        let slice = t.slice * self.factor();
        let matrix = self.matrix;
        let each = matrix.m * matrix.n * matrix.k;
        let warped = Warped {
            matrix,
            instructions: (t.block[0] * t.block[1] * t.slice) as f64 / each as f64,
            tiles: (self.blocks(t) * parts) as f64,
            resident: t.resident as f64,
            warps: warps as f64,
            ahead: t.parts(&self.matrix) > 1,
            slices: slices as f64,
            stages: t.stages as f64,
            bytes: (sides * slice) as f64,
            loaded: (warps * (t.warp[0] + t.warp[1]) * slice) as f64,
            results: (t.block[0] * t.block[1]) as f64,
            run: if self.scattered { 1.0 } else { 8.0 },
            out: self.out as f64,
            all: self.bytes as f64,
        };
        let sums = (parts * self.rows * self.columns * self.batch) as f64;
        let combined = if parts > 1 { combine(sums, m) } else { 0.0 };
        ((predict(&warped.work(m), m).time + combined) * 1e9) as i64
    }
}

/// Rows or columns of a block's tile, and of a warp's part of it, where there are so many and
/// instructions take at least so many: no tile is much larger than what it covers.
fn sides(extent: i64, least: i64) -> Vec<(i64, i64)> {
    let all = up(extent, least) * least;
    let whole = (all < SIDES[0] && !SIDES.contains(&all)).then_some(all);
    let blocks = SIDES.into_iter().chain(whole);
    let blocks = blocks.filter(|b| b % least == 0 && (*b == least || *b < 2 * extent));
    blocks
        .flat_map(|block| {
            let parts = PARTS.into_iter().filter(move |n| block % (n * least) == 0);
            parts.map(move |n| (block, block / n))
        })
        .collect()
}

fn up(n: i64, d: i64) -> i64 {
    (n + d - 1) / d
}

#[cfg(test)]
mod tests {
    use warploom_ir::instruction::{Action, find};

    use super::*;

    fn best(name: &str, target: Target, [rows, columns, sum]: [i64; 3]) -> WarpTiles {
        let Some(Action::Matrix(matrix)) = find(name).map(|i| i.action) else { panic!("{name}") };
        let (a, out) = (matrix.a.size_bytes() as i64, matrix.acc.size_bytes() as i64);
        let size = WarpSize {
            rows,
            columns,
            sum,
            batch: 1,
            others: 1,
            bytes: a * (rows + columns) * sum + out * rows * columns,
            out,
            in_order: false,
            scattered: false,
            transposed: [false, true],
            matrix,
            target,
            multiprocessors: 132,
            machine: Machine::of(target).expect("a GPU"),
        };
        size.best().expect("some tiles fit")
    }

    #[test]
    fn large_products_take_large_tiles_and_small_ones_fill_the_gpu() {
        let f64 = "mma.m16n8k8.f64.f64.f64";
        let large = best(f64, Target::Sm90a, [4096; 3]);
        assert!(large.block[0] * large.block[1] >= 64 * 64, "{large:?}");
        let small = best(f64, Target::Sm90a, [256; 3]);
        assert!(small.block[0] * small.block[1] < 64 * 64, "{small:?}");
        let halves = best("mma.m16n8k16.f32.bf16.bf16", Target::Sm80, [4096; 3]);
        assert_eq!(halves.block, [128, 128], "{halves:?}");
    }

    #[test]
    fn few_rows_are_the_instructions_columns() {
        let t = best("mma.m16n8k16.f32.bf16.bf16", Target::Sm80, [8, 4096, 4096]);
        assert!(t.swapped && t.block[0] == 8, "{t:?}");
        let long = best("mma.m16n8k8.f64.f64.f64", Target::Sm90a, [64, 64, 1 << 16]);
        assert!(long.part.is_some(), "{long:?}");
    }
}
