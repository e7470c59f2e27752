//! Sizes of a product's tiles on tensor cores, those first that the performance model predicts to
//! be fastest.
//!
//! In: a product's extents, types and bytes, and the GPU. Out: tiles, stages of the ring, slabs of
//! results, parts of the sum, groups of tiles that share rows.
//! Keeps: what a product asks of the GPU is counted in `model::product`, what that costs by the
//! same formulas as for a kernel.

use warploom_ir::instruction::tensor_memory::{SCALED_ROWS, STEPS};
use warploom_ir::instruction::{Matrix, PAIR, tensor_memory};

use super::gpu::Paired;
use super::gpu_tensor_choices::{FEWEST_STAGES, Grid, Turns};
use crate::block;
use crate::block::pingpong::GROUPS;
use crate::model::product::{Operand, Results, Tiled, combine, combine_parts};
use crate::model::{Machine, predict};

/// Bytes of a row of an operand's tile along the sum.
const SLICE_BYTES: i64 = 128;
/// Rows of boxes, those first that are taken if they divide a line of a tile.
const PANELS: [i64; 3] = [128, 64, 32];
/// Most elements of the sums that a thread holds in registers.
const REGISTERS: i64 = 128;
/// Loads that one takes of an element whose neighbours in memory are not in the tile.
pub(super) const GATHERED: i64 = 8;
/// Bytes of a partial sum, and of a row of sectors that neighbouring threads write.
const HELD: i64 = 4;
/// Fewest slices that are worth a part of the sum.
const FEWEST_SLICES: i64 = 8;
/// Most slices that are worth being in flight.
const STAGES: i64 = 8;
/// Bytes of a row of a slab of results, and slabs in shared memory at once.
const SLAB_BYTES: i64 = 128;
pub(super) const SLABS: i64 = 2;
/// Most sums that a thread holds where slices have sums of their own, which are as many again.
const PARTIAL_SUMS: i64 = 96;
/// Swapped tiles, where the others have no rows to spare, and tiles that two groups take in turn
/// are taken if they are predicted to be faster by more than one in so many: what turning results
/// costs is not measured well, and in turns 64 products of 512³ were predicted to be 3 % faster and
/// took 5 % longer. So are tiles that blocks share out in parts.
const CLEARLY: i64 = 20;
/// Elements of results that threads write to shared memory in a clock where banks clash.
const CLASHING: f64 = 5.0;
/// Words of a line of the cache.
const LINE_WORDS: i64 = 32;
/// Most rows of tiles that neighbouring blocks share.
const GROUP: i64 = 16;

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
    /// Columns of the tile that are written to shared memory at once, or of the results where that
    /// is the whole tile; none where threads write to memory themselves.
    pub(super) slab: Option<i64>,
    /// Iterations of the sum, or of the outermost of several, that a block takes where others take
    /// the rest.
    pub(super) part: Option<i64>,
    /// Two blocks with neighbouring rows multiply together, each with half of the columns' operand.
    pub(super) paired: bool,
    /// Two groups of so many warpgroups take tiles in turn.
    pub(super) pingpong: bool,
}

impl Tiles {
    /// Whether all results are written to shared memory before they leave.
    pub(super) fn leaves_whole(&self) -> bool {
        self.slab == Some(if self.swapped { self.rows } else { self.columns })
    }
}

/// How a factor lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Neighbours follow each other along the sum, else along the result.
    pub(super) along_sum: bool,
    /// Bytes from one row to the next.
    pub(super) pitch: i64,
}

/// What the time depends on.
pub(super) struct Size {
    pub(super) rows: i64,
    pub(super) columns: i64,
    pub(super) sum: i64,
    pub(super) batch: i64,
    /// Iterations of further sums, and of the outermost of all.
    pub(super) others: i64,
    pub(super) outer: i64,
    /// Bytes of the three arrays.
    pub(super) bytes: i64,
    /// Bits of an element of the factors, and bytes of one of the result.
    pub(super) factor: i64,
    pub(super) out: i64,
    /// Threads fill the operand of the rows, and that of the columns: in times of a load that
    /// neighbours share; 0 where the copy engine does.
    pub(super) threads: [i64; 2],
    /// Those threads turn what is contiguous around.
    pub(super) turned: [bool; 2],
    /// How the operands of the rows and of the columns lie in memory.
    pub(super) stored: [Stored; 2],
    /// Most iterations of the sum in a slice, which then has sums of its own.
    pub(super) partial: Option<i64>,
    /// Data may leave out tiles.
    pub(super) chosen: bool,
    /// Sums may be added in parts by different blocks, and what uses them does so element by
    /// element.
    pub(super) divisible: bool,
    /// The results go through shared memory.
    pub(super) staged: bool,
    /// The sums are the results: threads write small tiles of them themselves.
    pub(super) kept: bool,
    /// Neighbours of a tile's results are far from each other in memory.
    pub(super) scattered: bool,
    /// Bytes of shared memory of a multiprocessor.
    pub(super) shared: i64,
    pub(super) multiprocessors: i64,
    pub(super) machine: Machine,
    /// An instruction of the right types, of any number of columns.
    pub(super) matrix: Matrix,
    /// Whether the instruction's rows must be the result's columns, or must not.
    pub(super) swapped: Option<bool>,
    /// Whether scales of neighbouring rows and of neighbouring columns are neighbours in memory,
    /// where there are scales.
    pub(super) scales: Option<[bool; 2]>,
    /// Scales lie in blocks of rows: a tile has whole blocks, or one has whole tiles.
    pub(super) blocked: bool,
    /// Rows of an instruction.
    pub(super) deep: i64,
    /// The sums are in tensor memory, and one thread multiplies.
    pub(super) tensor: bool,
    /// Where instructions of pairs of blocks may be taken.
    pub(super) pairs: Paired,
}

impl Size {
    /// The tiles with the least estimated time; the first of equals.
    pub(super) fn best(&self) -> Option<Tiles> {
        let mut best: Option<((bool, i64), Tiles)> = None;
        for swapped in [false, true] {
            for rows in [128, 64, 256] {
                for columns in [256, 192, 128, 64, 32, 16, 8] {
                    let Some(whole) = self.tiles(rows, columns, swapped) else { continue };
                    for tiles in self.ways(whole) {
                        let turns = self.usual(&tiles);
                        let time = self.time_in(&tiles, turns);
                        let turned =
                            swapped && self.rows >= self.deep || tiles.pingpong || turns.streamed;
                        let time = time + i64::from(turned) * time / CLEARLY;
                        let time = (self.pairs == Paired::Always && !tiles.paired, time);
                        if best.as_ref().is_none_or(|b| time < b.0) {
                            best = Some((time, tiles));
                        }
                    }
                }
            }
        }
        best.map(|b| b.1)
    }

    /// No more slices in flight than a tile has: several blocks may then be on a multiprocessor.
    fn few(&self, whole: Tiles) -> Option<Tiles> {
        let stages = (up(self.sum, whole.slice) * self.others).max(FEWEST_STAGES);
        (stages < whole.stages).then_some(Tiles { stages, ..whole })
    }

    /// These tiles, parts of their sum on different blocks, pairs of blocks, groups in turn.
    pub(super) fn ways(&self, whole: Tiles) -> Vec<Tiles> {
        let others = [self.parts(whole), self.few(whole), self.paired(whole)];
        let together = std::iter::once(whole).chain(others.into_iter().flatten());
        together.chain(self.in_turns(whole)).collect()
    }

    /// Pairs of blocks that multiply together: the room that half of an operand leaves is for
    /// further slices.
    fn paired(&self, whole: Tiles) -> Option<Tiles> {
        let even = up(self.rows, whole.rows) % PAIR == 0 && whole.columns % (16 * PAIR) == 0;
        let fits = self.pairs != Paired::Never && even && !whole.swapped;
        let stages = self.stages(&whole, whole.rows + whole.columns / PAIR);
        fits.then_some(Tiles { paired: true, stages, ..whole })
    }

    /// Slices in flight that fit beside a tile's results, where one is so many rows of operands.
    pub(super) fn stages(&self, t: &Tiles, held: i64) -> i64 {
        let each = held * self.bytes_of(t.slice) + self.scales_of(t);
        ((self.shared - self.staged_bytes(t) - 2048) / each).min(STAGES)
    }

    /// Bytes of so many neighbours of a factor.
    const fn bytes_of(&self, terms: i64) -> i64 {
        terms * self.factor / 8
    }

    /// Words of four steps each that a row's scales of a slice are.
    fn words(&self, slice: i64) -> i64 {
        self.matrix.scales.map_or(0, |s| up(up(slice, s.terms), STEPS))
    }

    /// Bytes of the scales of a slice: words for each row of whole blocks.
    fn scales_of(&self, t: &Tiles) -> i64 {
        let bytes = self.words(t.slice) * STEPS;
        [t.rows, t.columns].map(|n| up(n, SCALED_ROWS) * SCALED_ROWS * bytes).iter().sum()
    }

    /// Bytes of shared memory of results on their way out.
    fn staged_bytes(&self, t: &Tiles) -> i64 {
        let groups = if t.pingpong { GROUPS } else { 1 };
        match t.slab {
            None => 0,
            Some(width) if !t.leaves_whole() => {
                groups * t.rows * SLAB_BYTES * SLABS.min(t.columns / width)
            }
            Some(_) => groups * t.rows * t.columns * self.out,
        }
    }

    /// Blocks that one wave of tiles leaves without work take parts of the sum, all as long.
    pub(super) fn parts(&self, whole: Tiles) -> Option<Tiles> {
        let free = self.multiprocessors / self.blocks(&whole);
        let slices = up(self.sum, whole.slice) * self.others;
        // in whole slices where it is the sum itself that is cut
        let units = if self.others > 1 { self.outer } else { self.sum / whole.slice };
        let fits = |n: &i64| units % n == 0 && slices / n >= FEWEST_SLICES;
        let even = self.others > 1 || self.sum % whole.slice == 0;
        let parts = (2..=free).rev().find(fits).filter(|_| even)?;
        Some(Tiles { part: Some(self.outer / parts), slab: None, ..whole })
    }

    /// Tiles of the result.
    fn blocks(&self, t: &Tiles) -> i64 {
        let (deep, wide) =
            if t.swapped { (self.columns, self.rows) } else { (self.rows, self.columns) };
        up(deep, t.rows) * up(wide, t.columns) * self.batch
    }

    /// Tiles of so many rows and columns, if they fit the product, the memory and the registers.
    pub(super) fn tiles(&self, rows: i64, columns: i64, swapped: bool) -> Option<Tiles> {
        let (deep, wide) =
            if swapped { (self.columns, self.rows) } else { (self.rows, self.columns) };
        // no tile is much larger than what it covers
        if self.swapped.is_some_and(|only| only != swapped)
            || columns >= wide + 8.max(wide / 4)
            || rows >= 2 * deep.max(self.deep)
            || rows % self.deep != 0
            || (self.tensor && columns % 16 != 0)
            || (self.blocked && columns % SCALED_ROWS != 0 && SCALED_ROWS % columns != 0)
            || columns * 2 < wide.min(64)
        {
            return None;
        }
        let teams = if self.tensor { 1 } else { (rows / self.deep).min(2) };
        let slice = (8 * SLICE_BYTES / self.factor).min(self.partial.unwrap_or(i64::MAX));
        // both operands' panels are whole rows of 16 bytes in either direction
        let held = rows / teams * columns / 128;
        let room = match (self.tensor, self.partial) {
            (true, _) if self.scales.is_some() => {
                // two copies of the sums beside the scales of a slice
                let scales =
                    [rows, columns].map(|n| up(n, SCALED_ROWS) * STEPS * self.words(slice));
                (tensor_memory::COLUMNS - scales.iter().sum::<i64>()) / 2
            }
            (true, _) => tensor_memory::COLUMNS,
            (false, None) => REGISTERS,
            (false, Some(_)) => PARTIAL_SUMS,
        };
        // a tile leaves in slabs of the instruction's columns, whole matrices of 16-bit elements
        let width = SLAB_BYTES / self.out;
        let each = self.out == 4 && !self.tensor;
        let stored = if swapped { each } else { [2, 4].contains(&self.out) };
        let slab = match (self.staged, columns % width == 0 && columns > width && stored) {
            (false, _) => None,
            (true, true) => Some(width),
            (true, false) if self.kept => None,
            (true, false) => Some(if swapped { rows } else { columns }),
        };
        if slice <= 0 || held > room {
            return None;
        }
        let (part, stages, paired, pingpong) = (None, 0, false, false);
        let tiles =
            Tiles { rows, columns, slice, teams, swapped, stages, slab, part, paired, pingpong };
        let stages = self.stages(&tiles, rows + columns);
        (stages >= if self.tensor { 3 } else { 2 }).then_some(Tiles { stages, ..tiles })
    }

    /// Nanoseconds until all is done, in the usual turns.
    pub(super) fn time(&self, t: &Tiles) -> i64 {
        self.time_in(t, self.usual(t))
    }

    /// In which order blocks take these tiles if nothing else is asked for. Of small products there
    /// are as many tiles as matter, whatever blocks share: there the model decides.
    pub(super) fn usual(&self, t: &Tiles) -> Turns {
        let grouped = Grid::of(self, t).grouped();
        let plain = || self.time_in(t, Turns::PLAIN) <= self.time_in(t, grouped);
        let batch = self.batch > 1 && !t.paired && !t.pingpong;
        let whole = if batch && plain() { Turns::PLAIN } else { grouped };
        let streamed = Grid::of(self, t).streamed();
        // sums in tensor memory were never measured so
        let pays = || {
            let [parts, whole] = [streamed, whole].map(|turns| self.time_in(t, turns));
            parts + parts / CLEARLY < whole
        };
        if !self.tensor && self.streams(t) && pays() { streamed } else { whole }
    }

    /// Whether blocks can share these tiles out in parts of their sums: some are left after whole
    /// waves.
    pub(super) fn streams(&self, t: &Tiles) -> bool {
        let slots = self.multiprocessors;
        self.divisible && !t.pingpong && t.part.is_none() && self.blocks(t) % slots != 0
    }

    /// Nanoseconds until all is done, in these turns.
    pub(super) fn time_in(&self, t: &Tiles, turns: Turns) -> i64 {
        let m = &self.machine;
        let parts = t.part.map_or(1, |length| up(self.outer, length));
        let mut seconds = predict(&self.tiled(t, turns, parts).work(m), m).time;
        if parts > 1 {
            let sums = parts * self.rows * self.columns * self.batch;
            seconds += combine(sums as f64, m);
        }
        if turns.streamed {
            let elements = (t.rows * t.columns) as f64;
            let [parts, tiles] = self.parts_left(t, turns).map(|n| n as f64 * elements);
            seconds += combine_parts(parts, tiles, m);
        }
        (seconds * 1e9) as i64
    }

    /// Parts of tiles that all blocks write, where they share out those that whole waves leave, and
    /// how many tiles these are: a tile begins a part, and so does a block.
    fn parts_left(&self, t: &Tiles, turns: Turns) -> [i64; 2] {
        let slots = self.multiprocessors / turns.cluster * turns.cluster;
        let left = self.blocks(t) % slots;
        let slices = up(self.sum, t.slice);
        [left + slots.min(left * slices) - 1, left]
    }

    /// How a tile's results of so many bytes each leave.
    fn leaves(&self, t: &Tiles, out: i64) -> Results {
        match t.slab {
            Some(width) if t.part.is_none() => {
                let boxes = if t.leaves_whole() { 1 } else { t.columns / width };
                let line = if t.swapped { t.rows / t.teams } else { width };
                let row = (line * out).min(SLAB_BYTES);
                // wide rows without panels begin in the same banks
                let plain = !t.swapped && width == t.columns && width * out > SLAB_BYTES;
                let written = if plain { CLASHING } else { self.machine.shared / out as f64 };
                Results::Boxes { boxes: boxes as f64, row: row as f64, written }
            }
            _by_threads if self.scattered => Results::Threads(1.0),
            // four threads write eight neighbours
            _by_threads => Results::Threads(8.0),
        }
    }

    /// What is known of the product in tiles.
    fn tiled(&self, t: &Tiles, turns: Turns, parts: i64) -> Tiled {
        let tiles = self.blocks(t) * parts;
        let stay = turns.persistent && t.part.is_none();
        let cluster = if t.part.is_none() { turns.cluster } else { 1 };
        let slots = self.multiprocessors / cluster * cluster;
        let blocks = if stay && !turns.streamed { tiles.min(slots) } else { tiles };
        let blocks = if turns.streamed { slots } else { blocks };
        let parted = if turns.streamed { self.parts_left(t, turns)[0] } else { 0 };
        let written = parted * t.rows * t.columns * HELD;
        let terms = self.bytes_of(t.slice);
        let sides = if t.swapped { [1, 0] } else { [0, 1] };
        // blocks of a cluster are neighbours along the result's rows and share its columns'
        // operand, of which those of a pair have half each
        let along = |side: bool| match side == t.swapped && !t.paired {
            true => cluster as f64,
            false => 1.0,
        };
        let members = if t.paired { PAIR } else { 1 };
        let width = t.columns / members;
        let sums = if self.partial.is_some() { 2 } else { 1 };
        let held = sums * t.rows / t.teams * t.columns / 128;
        // those who fill scales hold no sums
        let held = if self.scales.is_some() { 0 } else { held };
        let fillers = (128 * block::filler::groups(held, t.teams, t.stages)) as f64;
        let operand = |side: i64, of: usize, shared_by: f64| {
            let Stored { along_sum, pitch } = self.stored[of];
            let line = if along_sum { terms } else { self.bytes_of(side) };
            Operand {
                bytes: (side * terms) as f64,
                row: panel(line) as f64,
                pitch: pitch as f64,
                shared_by,
                filled: (side * t.slice * self.threads[of]) as f64 / 2.0 / fillers
                    + (side * self.words(t.slice)) as f64 / fillers,
                turned: (i64::from(self.turned[of]) * side * terms) as f64 / fillers,
            }
        };
        let words = [(t.rows, sides[0]), (t.columns, sides[1])].map(|(rows, of)| {
            let near = self.scales.is_some_and(|near| near[of]);
            if near { (rows * self.words(t.slice) / LINE_WORDS) as f64 } else { rows as f64 }
        });
        let out = if t.part.is_some() { HELD } else { self.out };
        let results = self.leaves(t, out);
        let (blocks_of, m) = (self.matrix.blocks * members, self.matrix.m * members);
        Tiled {
            matrix: Matrix { blocks: blocks_of, m, n: t.columns, ..self.matrix },
            tile: [t.rows as f64, t.columns as f64],
            tiles: tiles as f64,
            blocks: blocks as f64,
            stay,
            parts: parted as f64 / blocks as f64,
            groups: if t.pingpong { GROUPS as f64 } else { 1.0 },
            teams: t.teams as f64,
            slices: (up(up(self.sum, t.slice) * self.others, parts)) as f64,
            stages: t.stages as f64,
            instructions: (t.rows / self.deep * up(t.slice, self.matrix.k)) as f64,
            operands: [
                operand(t.rows, sides[0], along(true)),
                operand(width, sides[1], along(false)),
            ],
            scales: if self.scales.is_some() { words.iter().sum() } else { 0.0 },
            results,
            converted: t.slab.is_some() && !t.swapped && out < HELD,
            out: out as f64,
            shared: (self.staged_bytes(t)
                + t.stages * ((t.rows + width) * terms + self.scales_of(t)))
                as f64,
            bytes: (self.bytes + written) as f64,
            apart: self.apart(t, turns),
        }
    }

    /// Bytes from memory where blocks that run at the same time share what they load, and those of
    /// different waves nothing.
    fn apart(&self, t: &Tiles, turns: Turns) -> f64 {
        let tile = if t.swapped { [t.columns, t.rows] } else { [t.rows, t.columns] };
        let [rows, columns] = [up(self.rows, tile[0]), up(self.columns, tile[1])];
        let slots = self.multiprocessors.min(rows * columns);
        let deep = (turns.group * turns.cluster).min(rows);
        let width = up(slots, deep).min(columns);
        let deep = up(slots, width).max(deep).min(rows);
        let touched = (deep * tile[0] + width * tile[1]) as f64;
        let waves = (rows * columns) as f64 / (deep * width) as f64;
        let sums = self.bytes_of(self.sum * self.others) as f64;
        let results = (self.rows * self.columns * self.out) as f64;
        (waves * touched * sums + results) * self.batch as f64
    }
}

/// How many of `d` cover `n`.
pub(super) fn up(n: i64, d: i64) -> i64 {
    (n + d - 1) / d
}

/// Bytes of a row of a box, of which several make a line of a tile.
fn panel(line: i64) -> i64 {
    let whole = PANELS.into_iter().find(|p| line % p == 0);
    whole.unwrap_or_else(|| line.min(SLICE_BYTES))
}

/// Rows of tiles in a group: as few rows and columns as possible for all tiles that run at once.
pub(super) fn group(rows: i64, columns: i64, [along, across]: [i64; 2], blocks: i64) -> i64 {
    let touched = |g: i64| {
        let width = up(blocks, g).min(columns);
        let deep = up(blocks, g * width) * g;
        deep.min(rows) * along + width * across
    };
    let divisors = (1..=GROUP.min(rows)).filter(|g| rows % g == 0);
    divisors.min_by_key(|g| touched(*g)).unwrap_or(1)
}

#[cfg(test)]
pub(super) mod tests {
    use warploom_ir::instruction::{Action, find};

    use super::*;

    pub(crate) fn size(rows: i64, columns: i64, sum: i64) -> Size {
        let found = find("wgmma.m64n256k16.f32.bf16.bf16").map(|i| i.action);
        let Some(Action::Matrix(matrix)) = found else { panic!("an instruction") };
        Size {
            rows,
            columns,
            sum,
            batch: 1,
            others: 1,
            outer: sum,
            bytes: 2 * ((rows + columns) * sum + rows * columns),
            factor: 16,
            threads: [0; 2],
            turned: [false; 2],
            stored: [Stored { along_sum: true, pitch: 2 * sum }; 2],
            partial: None,
            chosen: false,
            divisible: true,
            out: 2,
            staged: true,
            kept: false,
            scattered: false,
            shared: 227 << 10,
            multiprocessors: 132,
            machine: crate::model::H200,
            matrix,
            swapped: None,
            scales: None,
            blocked: false,
            deep: 64,
            tensor: false,
            pairs: Paired::Never,
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
    fn tiles_are_shared_out_where_waves_are_half_empty_and_sums_long() {
        // 200 tiles for 132 multiprocessors
        let turns = |s: &Size| s.usual(&s.tiles(128, 256, false).unwrap());
        let long = size(2560, 2560, 16384);
        assert!(turns(&long).streamed, "{:?}", turns(&long));
        assert!(long.usual(&long.best().unwrap()).streamed, "{:?}", long.best());
        // a second launch costs more than the wave
        assert!(!turns(&size(2560, 2560, 512)).streamed);
        // whole waves, and what may not have parts
        assert!(!turns(&size(4224, 4096, 16384)).streamed);
        for other in [
            Size { divisible: false, ..size(2560, 2560, 16384) },
            Size { tensor: true, ..size(2560, 2560, 16384) },
        ] {
            assert!(!turns(&other).streamed);
        }
    }

    #[test]
    fn groups_share_rows() {
        assert_eq!(group(64, 32, [128, 256], 132) % 8, 0);
        assert_eq!(group(7, 32, [128, 256], 132), 7);
        assert_eq!(group(1, 32, [128, 256], 132), 1);
    }
}
