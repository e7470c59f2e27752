//! The [`Work`] of a product in tiles, before there is a kernel: what searches rank by.
//!
//! In: sizes of tiles, how operands come and results leave. Out: a [`Work`], as `read` would count
//! it from the kernel that these sizes become. Keeps: costs are those of `work`; what is counted
//! here instead of being read is stated at each line, and tests hold both against each other.

use warploom_ir::instruction::Matrix;

use super::machine::Machine;
use super::work::{Ring, Rows, SCHEDULERS, Work, arrival, in_turns, uneven};

/// Registers of a thread beside sums and results.
const OTHERS: f64 = 40.0;
/// Share of the cache that keeps what was used before.
const KEPT: f64 = 0.7;
/// Bytes of a partial sum, and of a row of an operand that threads copy.
const HELD: f64 = 4.0;
const ROW: f64 = 128.0;
/// Elements of a part that a warp's rows have side by side.
const PART_RUN: f64 = 64.0;
/// Elements of parts that a multiprocessor's threads add up at once.
const ADDED: f64 = 8192.0;
/// Threads of a warpgroup.
const GROUP: f64 = 128.0;
/// Bytes that a warpgroup turns around in a clock: `mk,kn->mn` of tf32, 4096, took 657 us.
const TURNED: f64 = 6.5;
/// Accesses for one of fragments that threads load from rows along the other index: two of four
/// rows begin in the same banks.
const CLASHES: f64 = 2.0;
/// Loads of a thread that are on their way at once.
pub(crate) const FLYING: f64 = 16.0;

/// How a slice of an operand comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    /// Its bytes.
    pub(crate) bytes: f64,
    /// Bytes of a row of its boxes, and from one to the next.
    pub(crate) row: f64,
    pub(crate) pitch: f64,
    /// Blocks that load it together.
    pub(crate) shared_by: f64,
    /// Loads of each thread that fills it, where threads do.
    pub(crate) filled: f64,
    /// Bytes of it for each of them, where they turn around what is contiguous.
    pub(crate) turned: f64,
}

/// How a tile of results leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Results {
    /// Through shared memory, where so many elements are written in a clock, and in boxes one
    /// after the other with rows of so many bytes.
    Boxes { boxes: f64, row: f64, written: f64 },
    /// Threads write so many elements to each row of neighbours that they reach together.
    Threads(f64),
}

/// A product in tiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiled {
    /// The instruction of the tile's columns.
    pub(crate) matrix: Matrix,
    /// Rows and columns of a tile, as the instruction has them.
    pub(crate) tile: [f64; 2],
    /// Tiles, and blocks that go through them; the same number where each has one.
    pub(crate) tiles: f64,
    pub(crate) blocks: f64,
    /// Blocks stay, with registers dealt to roles: one is on a multiprocessor.
    pub(crate) stay: bool,
    /// Parts of tiles that a block writes on average, where blocks share out to the last slice.
    pub(crate) parts: f64,
    /// Groups of warpgroups that take tiles in turn, or one.
    pub(crate) groups: f64,
    /// Warpgroups that multiply a tile, or one thread for all.
    pub(crate) teams: f64,
    /// Slices of a tile, and how many are in flight.
    pub(crate) slices: f64,
    pub(crate) stages: f64,
    /// Instructions of a slice.
    pub(crate) instructions: f64,
    pub(crate) operands: [Operand; 2],
    /// Lines of the cache from which threads load the scales of a slice.
    pub(crate) scales: f64,
    pub(crate) results: Results,
    /// A thread has its results beside its sums before they leave.
    pub(crate) converted: bool,
    /// Bytes of an element of the results.
    pub(crate) out: f64,
    /// Bytes of shared memory of a block.
    pub(crate) shared: f64,
    /// Bytes of all arrays, and what blocks that run at the same time load over what they share.
    pub(crate) bytes: f64,
    pub(crate) apart: f64,
}

impl Tiled {
    /// Blocks that a multiprocessor has room for.
    fn resident(&self, m: &Machine) -> f64 {
        if self.stay {
            return 1.0;
        }
        let held = self.tile[0] * self.tile[1] / self.teams / GROUP;
        let staged = if self.converted { self.out / 4.0 } else { 0.0 };
        let held = if self.matrix.tensor { OTHERS } else { held * (1.0 + staged) + OTHERS };
        let threads = self.teams * GROUP + 32.0;
        let registers = (m.registers / (held.min(255.0) * threads)).floor();
        (m.shared_bytes / (self.shared + 1024.0)).floor().min(registers).max(1.0)
    }

    /// Clocks of a tile's results by the threads, those in which they leave, and those in which
    /// they are written to where they leave from.
    fn epilogue(&self, results: Results, m: &Machine) -> [f64; 3] {
        let f = &m.fitted;
        let elements = self.tile[0] * self.tile[1];
        let warps = (self.teams * 4.0 / SCHEDULERS).ceil().max(f.dependent / 2.0);
        let each = elements / self.teams / GROUP;
        let row = |bytes: f64| elements * self.out / bytes * f.stored.max(bytes / m.shared);
        match results {
            Results::Boxes { boxes, row: bytes, written } => {
                let waits = boxes * (f.slab + 2.0 * f.meeting);
                [waits + each * warps, row(bytes), elements / written]
            }
            Results::Threads(run) => [each * 2.0 * warps + elements / run * f.scattered, 0.0, 0.0],
        }
    }

    /// What the product asks of the machine.
    pub(crate) fn work(&self, m: &Machine) -> Work {
        let f = &m.fitted;
        let mut w = Work::of(self.blocks, self.resident(m));
        let mine = self.tiles / self.blocks;
        let even = self.parts > 0.0;
        w.uneven = if even { 1.0 } else { mine.ceil() / mine };
        let slices = self.slices * mine;
        for o in self.operands {
            let rows = Rows::apart(slices * o.bytes / o.row, o.row, o.pitch);
            w.copy(&rows, 1.0 / o.shared_by, m);
        }
        w.copy(&Rows::aligned(slices * self.scales, HELD), 1.0, m);
        let tensor = w.multiply(&self.matrix, slices * self.instructions, m);
        let fragments = if self.matrix.fragment_a { self.operands[0].bytes } else { 0.0 };
        w.shared += slices * fragments * CLASHES;
        let bytes: f64 = self.operands.iter().map(|o| o.bytes).sum();
        let ring = Ring { slices, bytes, stages: self.stages };
        let filled: f64 = self.operands.iter().map(|o| o.filled).sum();
        let turned: f64 = self.operands.iter().map(|o| o.turned).sum();
        let filled = slices * ((filled / FLYING).ceil() * f.load).max(turned * GROUP / TURNED);
        let alone = slices * f.slice + tensor;
        let main = alone.max(ring.clocks(m)).max(filled);
        let whole = if even { mine.floor() } else { mine };
        let each = self.epilogue(self.results, m);
        let [epilogue, leaving, written] = each.map(|clocks| clocks * whole);
        (w.leaving, w.written) = (leaving, written);
        let [part, ..] = self.epilogue(Results::Threads(PART_RUN), m);
        let epilogue = epilogue.max(leaving + written) + self.parts * part;
        // sums in tensor memory leave while the next ones are made
        (w.main, w.epilogue) = match self.matrix.tensor && mine > 1.0 {
            true => (main.max(epilogue), main.min(epilogue) / mine),
            false => in_turns(main, epilogue, [self.groups.min(mine), mine]),
        };
        w.fill = f.block + f.cold + arrival(bytes, m);
        let together = self.operands.iter().any(|o| o.shared_by > 1.0);
        w.fill += if together { f.cluster } else { 0.0 };
        w.cache += self.tiles * self.tile[0] * self.tile[1] * self.out;
        let missed = (1.0 - KEPT * m.cache_bytes / self.bytes).clamp(0.0, 1.0);
        w.memory = self.bytes + (self.apart - self.bytes).max(0.0) * missed;
        w
    }
}

/// Seconds until partial sums are added up by a launch of their own: so many elements of them.
pub(crate) fn combine(sums: f64, m: &Machine) -> f64 {
    m.fitted.launch + 2.0 * HELD * sums / (m.cache * m.clock)
}

/// Seconds until parts of tiles are added up by a launch of their own: so many elements of them, of
/// so many of tiles. A thread waits for one part after the other.
pub(crate) fn combine_parts(parts: f64, tiles: f64, m: &Machine) -> f64 {
    let waves = (tiles / (m.multiprocessors * ADDED)).ceil();
    let waits = waves * (m.fitted.block + parts / tiles.max(1.0) * m.fitted.latency);
    combine(parts, m) + waits / m.clock
}

/// A product whose factors warps load into registers from shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Warped {
    /// The instruction, and how many a block runs for a slice.
    pub(crate) matrix: Matrix,
    pub(crate) instructions: f64,
    /// Tiles, each on a block of its own, and blocks of a multiprocessor.
    pub(crate) tiles: f64,
    pub(crate) resident: f64,
    /// Warps of a block, and whether they load fragments while they multiply others.
    pub(crate) warps: f64,
    pub(crate) ahead: bool,
    /// Slices, those in shared memory, bytes of one, and bytes of it that all warps load.
    pub(crate) slices: f64,
    pub(crate) stages: f64,
    pub(crate) bytes: f64,
    pub(crate) loaded: f64,
    /// Elements of results of a block, and how many of a row of neighbours threads reach together.
    pub(crate) results: f64,
    pub(crate) run: f64,
    /// Bytes of an element of them, and of all arrays.
    pub(crate) out: f64,
    pub(crate) all: f64,
}

impl Warped {
    /// What the product asks of the machine.
    pub(crate) fn work(&self, m: &Machine) -> Work {
        let f = &m.fitted;
        let mut w = Work::of(self.tiles, self.resident);
        w.copy(&Rows::aligned(self.slices * self.bytes / ROW, ROW), 1.0, m);
        w.shared += self.slices * self.loaded;
        let tensor = w.multiply(&self.matrix, self.slices * self.instructions, m);
        let ring = Ring { slices: self.slices, bytes: self.bytes, stages: self.stages };
        let issued = self.instructions + (2.0 * self.bytes + self.loaded) / ROW / 4.0;
        w.issue = self.slices * issued / m.issue;
        w.tensor *= uneven(self.warps * w.resident);
        let (alone, steps) = if self.ahead { (0.0, 0.0) } else { (f.alone / self.warps, f.steps) };
        w.tensor *= 1.0 + steps;
        w.main = (tensor * (1.0 + alone)).max(ring.clocks(m));
        let each = self.results / self.warps / 32.0;
        let warps = (self.warps / SCHEDULERS).ceil().max(f.dependent / 2.0);
        let stored = self.results / self.run * f.scattered;
        w.epilogue = each * 2.0 * warps + stored;
        // one by one they hold up what other blocks of the multiprocessor do
        w.written = if self.run > 1.0 { 0.0 } else { stored };
        w.fill = f.block + arrival(self.bytes, m);
        w.cache += self.tiles * self.results * self.out;
        w.memory = self.all;
        w
    }
}
