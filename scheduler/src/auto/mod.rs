//! A schedule for the CPU found automatically: a script of ordinary, checked steps.
//!
//! In: a schedule (usually a nest in its own order) and the machine's sizes. Out: the schedule
//! after the steps that were chosen; its script replays without this module.
//! Keeps: every choice is made from relations (which index strides which access, which loop carries
//! which dependence), never from the shape of a known operation; a step that is refused is left
//! out, so the answer is always legal.
//!
//! Where the outermost loop of a nest carries a dependence, and where neighbouring elementwise
//! statements can share their loops, isl's scheduler is asked for the order (one `order` step);
//! permutable bands become tiles that run as wavefronts.
//! For each other statement, on its own where its loops can be distributed: the loop along which
//! most accesses are contiguous becomes lanes; for a reduction with reuse in two directions,
//! `contraction` makes register tiles, cache tiles and packed operands; the outermost loop without
//! a carried dependence runs on threads.

mod bands;
mod contraction;
mod gpu;
mod gpu_reduce;
mod host;
mod order;
mod partial;
mod solver;
mod threads;
mod tiles;

use std::collections::BTreeMap;
use std::time::Duration;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Step, StepKind};

pub use gpu::{GpuOptions, auto_gpu};

use crate::lower::lower_within;
use crate::{Schedule, Session};
use order::{Kind, children};

/// Time in which loops must be generated for an order of isl's, else the text's is taken: skewed
/// tiles of symbolic sizes can take isl very long.
const LOWER: Duration = Duration::from_secs(4);

/// What the schedule is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuOptions {
    /// Bytes of a vector register.
    pub vector_bytes: i64,
    /// Registers' worth of lanes in a row of the register tile.
    pub vectors: i64,
    /// Rows of the register tile.
    pub rows: i64,
    /// Iterations of a row loop in a cache tile.
    pub row_tile: i64,
    /// Iterations of a lane loop in a cache tile.
    pub lane_tile: i64,
    /// Iterations of a reduction in a cache tile.
    pub reduction_tile: i64,
    /// Fewest iterations of a parallel loop that keep the threads busy.
    pub tasks: i64,
}

impl Default for CpuOptions {
    fn default() -> Self {
        Self {
            vector_bytes: 32,
            vectors: 2,
            rows: 6,
            row_tile: 96,
            lane_tile: 256,
            reduction_tile: 256,
            tasks: 4,
        }
    }
}

/// The schedule with steps for the CPU added.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn auto_cpu(schedule: &Schedule, options: &CpuOptions) -> Result<Schedule> {
    let mut auto = Auto {
        at: schedule.clone(),
        session: Session::new(),
        options: *options,
        extents: BTreeMap::new(),
    };
    auto.distribute();
    let done = auto.parts_by_isl();
    for name in auto.at.tree().statements().iter().filter(|name| !done.contains(name)) {
        auto.statement(name)?;
    }
    auto.threads()?;
    Ok(auto.at)
}

struct Auto {
    at: Schedule,
    session: Session,
    options: CpuOptions,
    /// Iterations of loops that were split, where known.
    extents: BTreeMap<Name, i64>,
}

impl Auto {
    /// Orders, tiles and lanes by isl where that helps; the statements that are done.
    fn parts_by_isl(&mut self) -> Vec<Name> {
        let before = self.at.clone();
        let parts = self.reorder();
        let tiled = parts.iter().try_for_each(|part| self.part(part)).is_ok();
        let skewed = parts.iter().any(|p| p.kind == Kind::Bands);
        let (tree, source) = (self.at.tree(), &self.at.nest().source);
        if !tiled || skewed && lower_within(self.at.poly(), tree, source, LOWER).is_err() {
            self.at = before;
            return Vec::new();
        }
        parts.iter().flat_map(|p| p.names(self.at.poly())).collect()
    }

    /// Adds a step if it is legal; says whether it was.
    fn step(&mut self, step: StepKind) -> bool {
        match self.at.attempt(&mut self.session, &Step::from(step)) {
            Ok(next) => {
                self.at = next;
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests;
