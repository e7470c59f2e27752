//! What one launch asks of a GPU: the numbers that a prediction is computed from.
//!
//! In: counts, from a kernel's text (`read`) or from the sizes of tiles before there is one
//! (`crate::auto`). Out: a [`Work`]. Keeps: the costs of copies, matrix instructions and pipelines
//! stand here once, so that both ways to a `Work` use the same ones.
//! Sources: DeepGEMM's heuristics for the idea of bytes from the cache against clocks of the matrix
//! units; the rest is stated at each function.

use warploom_ir::instruction::{Matrix, Part};

use super::machine::Machine;
use crate::footprint::common;

/// What a launch does: of one block on average, and of all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Blocks of the grid.
    pub blocks: f64,
    /// Blocks that a multiprocessor has at once.
    pub resident: f64,
    /// The work of the block that has most over that of the average one; at least 1.
    pub uneven: f64,
    /// Clocks of a block in which the matrix units are busy.
    pub tensor: f64,
    /// Bytes into and out of shared memory by a block's main part.
    pub shared: f64,
    /// Bytes that enter a block's multiprocessor, where short rows count for more.
    pub port: f64,
    /// Clocks in which instructions of a block are started.
    pub issue: f64,
    /// Clocks that the main part of a block takes where it has a multiprocessor for itself: its
    /// longest role, or what waits for it.
    pub main: f64,
    /// Clocks from the main part's end until the results are on their way; the part of them that
    /// other roles of the block hide is not in it.
    pub epilogue: f64,
    /// Clocks in which results leave: blocks of a multiprocessor take turns.
    pub leaving: f64,
    /// Clocks in which threads write results, or read them in shared memory, and do nothing else.
    pub written: f64,
    /// Clocks of a block before its first data are there, and after its last store.
    pub fill: f64,
    /// Bytes from the second-level cache and to it, by all blocks.
    pub cache: f64,
    /// Bytes from memory and to it, by all blocks.
    pub memory: f64,
    /// Joules of products.
    pub joules: f64,
}

/// A ring of slices that copies bring and others use.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// Slices of a block.
    pub slices: f64,
    /// Bytes of one.
    pub bytes: f64,
    /// Slices that can be in flight.
    pub stages: f64,
}

/// Clocks until a slice of so many bytes has come after it was asked for.
#[must_use]
pub fn arrival(bytes: f64, m: &Machine) -> f64 {
    m.fitted.latency + bytes / m.fitted.port
}

impl Ring {
    /// Clocks that the ring takes at least. A stage is free again when the slice after it has come
    /// (only then are the instructions that used it waited for), so that all stages but one hide
    /// the time of arrival.
    #[must_use]
    pub fn clocks(&self, m: &Machine) -> f64 {
        self.slices * arrival(self.bytes, m) / (self.stages - 1.0).max(1.0)
    }
}

impl Work {
    /// Nothing, on a grid of so many blocks.
    #[must_use]
    pub fn of(blocks: f64, resident: f64) -> Self {
        Self { blocks, resident, uneven: 1.0, ..Self::default() }
    }

    /// Adds a share of the work of one block.
    pub(super) fn add(&mut self, one: &Self, share: f64) {
        self.tensor += one.tensor * share;
        self.shared += one.shared * share;
        self.port += one.port * share;
        self.issue += one.issue * share;
        self.main += one.main * share;
        self.epilogue += one.epilogue * share;
        self.leaving += one.leaving * share;
        self.written += one.written * share;
        self.fill += one.fill * share;
        self.cache += one.cache * share;
        self.joules += one.joules * share;
    }

    /// A copy of a box into shared memory, of `from_cache` times as many bytes where other blocks'
    /// copies bring the rest.
    pub fn copy(&mut self, rows: &Rows, from_cache: f64, m: &Machine) {
        self.port += rows.count * port_bytes(rows.bytes, m);
        self.shared += rows.count * rows.bytes;
        self.cache += rows.requested() * from_cache * self.blocks;
    }

    /// A box of results out of shared memory.
    pub fn leave(&mut self, rows: &Rows, m: &Machine) {
        self.leaving += rows.count * m.fitted.stored.max(rows.bytes / m.shared);
        self.cache += rows.count * rows.bytes * self.blocks;
    }

    /// `count` matrix instructions of a block. Operands from shared memory are read again by each,
    /// and take as long as their bytes at least.
    pub fn multiply(&mut self, matrix: &Matrix, count: f64, m: &Machine) -> f64 {
        let clocks = count * instruction(matrix, m);
        self.tensor += clocks;
        if matrix.shared {
            self.shared += count * operand_bytes(matrix);
        }
        let products = count * products(matrix);
        let width = matrix.a.bits() as f64 / 16.0;
        self.joules += products * m.fitted.product * width.max(0.25) * self.blocks;
        clocks
    }
}

/// Clocks of the main part and those of the epilogue that nothing hides, where so many groups take
/// a block's tiles in turn: each does its own one after the other, and all main parts wait for each
/// other; behind the last tile nothing follows.
pub(super) fn in_turns(main: f64, epilogue: f64, [groups, tiles]: [f64; 2]) -> (f64, f64) {
    match groups > 1.0 {
        true => (main.max((main + epilogue) / groups), epilogue / tiles),
        false => (main, epilogue),
    }
}

/// Schedulers of a multiprocessor, over which warps are dealt.
pub(crate) const SCHEDULERS: f64 = 4.0;

/// How much longer the tensor cores take where so many warps multiply at once: six on four
/// schedulers keep two of them busy half of the time.
pub(crate) fn uneven(warps: f64) -> f64 {
    (warps / SCHEDULERS).ceil() * SCHEDULERS / warps
}

/// Bytes of a line of the second-level cache, for which a request is made.
pub const LINE: f64 = 128.0;

/// The rows of a box that lie inside an array.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// How many.
    pub count: f64,
    /// Bytes of each.
    pub bytes: f64,
    /// Lines of the cache that a row has a part of, on average.
    pub lines: f64,
}

impl Rows {
    /// Rows that begin where lines do.
    #[must_use]
    pub fn aligned(count: f64, bytes: f64) -> Self {
        Self { count, bytes, lines: (bytes / LINE).ceil() }
    }

    /// Rows of which each begins so many whole bytes after the one before.
    #[must_use]
    pub fn apart(count: f64, bytes: f64, pitch: f64) -> Self {
        // rows begin at all multiples of this in a line, equally often; with n of them, lines are
        // the mean of ceil((k + bytes / step) / n) for k below n
        let step = common(pitch as i64, LINE as i64) as f64;
        Self { count, bytes, lines: ((bytes / step).ceil() * step + LINE - step) / LINE }
    }

    /// Bytes of the cache's time: a request takes as long as a whole line.
    fn requested(&self) -> f64 {
        self.count * self.bytes.max(self.lines * LINE)
    }
}

/// Bytes of a row of a box as the port of a multiprocessor counts them.
#[must_use]
pub fn port_bytes(bytes: f64, m: &Machine) -> f64 {
    let least = m.fitted.row * m.fitted.port;
    if bytes >= 128.0 { bytes } else { bytes.max(least) }
}

/// Products that a matrix instruction starts in one multiprocessor: half of a pair's.
fn products(matrix: &Matrix) -> f64 {
    (matrix.m / matrix.blocks * matrix.n * matrix.k) as f64
}

/// Bytes of the factors that a matrix instruction reads from shared memory in one multiprocessor.
fn operand_bytes(matrix: &Matrix) -> f64 {
    let bytes = |part: Part| {
        let [rows, columns] = matrix.held(part);
        rows * columns * matrix.dtype(part).bits() as i64 / 8
    };
    [Part::A, Part::B].into_iter().filter(|p| matrix.from_shared(*p)).map(bytes).sum::<i64>() as f64
}

/// Clocks of a matrix instruction that follows others.
#[must_use]
pub fn instruction(matrix: &Matrix, m: &Machine) -> f64 {
    let products = products(matrix) / m.rate(matrix);
    match matrix.shared {
        true => products.max(operand_bytes(matrix) / m.shared),
        false => products,
    }
}
