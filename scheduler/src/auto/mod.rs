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
//! permutable bands become tiles that run as wavefronts, with the best lanes inside. Where neither
//! isl nor the text has independent iterations, the sides of a pivot run apart (`phases`).
//! For each other statement, on its own where its loops can be distributed: the loop along which
//! accesses cost least becomes lanes; for a reduction with reuse in two directions, `contraction`
//! makes register tiles, cache tiles and packed operands; the outermost loop without a carried
//! dependence runs on threads where that is worth their meeting.
//! Where sizes are fixed, a nest is planned in isl's order and in the text's, and `estimate`
//! chooses: the text's where isl's gains nothing and its tiles need not keep data in a cache.

mod bands;
mod components;
mod contraction;
mod contraction_sizes;
mod copies;
mod costs;
mod estimate;
mod gpu;
mod gpu_ahead;
mod gpu_apart;
mod gpu_box_cost;
mod gpu_box_size;
mod gpu_boxes;
mod gpu_fits;
mod gpu_lines;
mod gpu_packed;
mod gpu_parts;
mod gpu_rare;
mod gpu_reduce;
mod gpu_scaled;
mod gpu_slant;
mod gpu_tensor;
mod gpu_tensor_choices;
mod gpu_tensor_loops;
mod gpu_tensor_pingpong;
mod gpu_tensor_product;
mod gpu_tensor_size;
mod gpu_tiles;
mod gpu_transpose;
mod gpu_warps;
mod gpu_warps_size;
mod gpu_wavefronts;
mod holes;
mod host;
mod order;
mod partial;
mod phases;
mod private;
mod recalls;
mod solver;
mod sweeps;
mod threads;
mod tiles;

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::kernel::Kernel;
use warploom_ir::schedule::Unit;
use warploom_ir::schedule::step::{Ref, Step, StepKind};

use gpu::auto_gpu_with;
pub use gpu::{GpuOptions, Paired, auto_gpu, auto_gpu_lowered, plain_gpu};
pub use holes::{Choices, Explored, Hole, HoleOption, explore};

use crate::lower::lower_within;
use crate::{Schedule, Session};
use order::{Kind, Part, children};

/// Operations of isl in which loops must be generated for an order of isl's, else the text's is
/// taken: skewed tiles of symbolic sizes can take isl very long.
const LOWER: u32 = 10_000_000;

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
    Ok(auto_cpu_with(schedule, options, &Choices::default())?.schedule)
}

/// [`auto_cpu`] with sizes that the caller chooses.
pub(crate) fn auto_cpu_with(
    schedule: &Schedule,
    options: &CpuOptions,
    choices: &Choices,
) -> Result<Explored> {
    let mut auto = Auto::new(schedule, options, choices);
    let schedule = auto.for_cpu()?;
    Ok(Explored { schedule, holes: auto.holes })
}

struct Auto {
    at: Schedule,
    session: Session,
    options: CpuOptions,
    /// Iterations of loops that were split, where known.
    extents: BTreeMap<Name, i64>,
    /// Statements that keep the order of the text.
    textual: Vec<Name>,
    /// Choices are asked for, else the usual ones are taken.
    exploring: bool,
    /// Sizes that the caller chooses.
    given: Choices,
    /// Choices so far.
    holes: Vec<Hole>,
    /// The last schedule that was lowered, and its kernel.
    lowered: Option<(Schedule, Kernel)>,
}

impl Auto {
    fn new(schedule: &Schedule, options: &CpuOptions, choices: &Choices) -> Self {
        Self {
            at: schedule.clone(),
            session: Session::new(),
            options: *options,
            extents: BTreeMap::new(),
            textual: Vec::new(),
            exploring: true,
            given: choices.clone(),
            holes: Vec::new(),
            lowered: None,
        }
    }

    /// Everything for the CPU.
    fn for_cpu(&mut self) -> Result<Schedule> {
        self.privatise();
        let start = self.at.clone();
        let banded = self.plan()?;
        if banded.is_empty() {
            return Ok(self.at.clone());
        }
        let by_isl = self.estimates(&banded)?;
        let with_bands = self.at.clone();
        self.at = start.clone();
        self.textual = banded.iter().flatten().cloned().collect();
        self.plan()?;
        let by_text = self.estimates(&banded)?;
        // tiles also keep in a cache what does not fit it
        let small: Vec<bool> = banded.iter().map(|names| self.in_cache(names)).collect();
        let worse = |k: usize| {
            let times = by_isl[k].zip(by_text[k]);
            times.is_some_and(|(isl, text)| text < isl / 4 * 3 || small[k] && text <= isl)
        };
        let chosen: Vec<usize> = (0..banded.len()).filter(|k| worse(*k)).collect();
        if chosen.len() < banded.len() {
            if chosen.is_empty() {
                return Ok(with_bands);
            }
            self.at = start;
            self.textual = chosen.iter().flat_map(|k| banded[*k].clone()).collect();
            self.plan()?;
        }
        Ok(self.at.clone())
    }

    /// All steps; the statements of each nest that isl ordered.
    fn plan(&mut self) -> Result<Vec<Vec<Name>>> {
        self.extents.clear();
        self.distribute(true);
        let (done, banded) = self.parts_by_isl();
        for name in self.at.tree().statements().iter().filter(|name| !done.contains(name)) {
            self.statement(name)?;
        }
        for shared in self.shared(&done) {
            self.lanes_together(&shared)?;
        }
        self.threads()?;
        Ok(banded)
    }

    /// The statements of innermost loops that hold several of which none is done.
    fn shared(&self, done: &[Name]) -> Vec<Vec<Name>> {
        let loops = self.at.tree().loops().into_iter().filter(|l| l.body.loops().is_empty());
        let statements = loops.map(|l| l.body.statements());
        statements.filter(|s| s.len() > 1 && !s.iter().any(|name| done.contains(name))).collect()
    }

    fn estimates(&mut self, parts: &[Vec<Name>]) -> Result<Vec<Option<i64>>> {
        parts.iter().map(|names| self.estimate(names)).collect()
    }

    /// Orders, tiles and lanes by isl where that helps; the statements that are done, and those of
    /// each nest in bands.
    fn parts_by_isl(&mut self) -> (Vec<Name>, Vec<Vec<Name>>) {
        let before = self.at.clone();
        let parts = self.reorder();
        let tiled: Result<Vec<Vec<Name>>> = parts.iter().map(|part| self.part(part)).collect();
        let banded: Vec<&Part> = parts.iter().filter(|p| p.kind == Kind::Bands).collect();
        let (tree, source) = (self.at.tree(), &self.at.nest().source);
        let slow = || lower_within(self.at.poly(), tree, source, LOWER).is_err();
        match tiled {
            Ok(done) if banded.is_empty() || !slow() => {
                let banded = banded.iter().map(|p| p.names(self.at.poly())).collect();
                (done.into_iter().flatten().collect(), banded)
            }
            Ok(_) | Err(_) => {
                self.at = before;
                (Vec::new(), Vec::new())
            }
        }
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

    /// Adds a step that others rest on; `None` if it is not legal.
    fn must(&mut self, step: StepKind) -> Option<()> {
        self.step(step).then_some(())
    }
}

/// `stage ARRAY at LOOP`, with nothing else said.
fn stage_at(array: &Name, at: &Name) -> StepKind {
    StepKind::Stage {
        array: Ref::from(array.clone()),
        readers: Vec::new(),
        at: Some(Ref::from(at.clone())),
        name: None,
        layout: Vec::new(),
        pad: 0,
        across: Vec::new(),
    }
}

/// `stage ARRAY for STATEMENT.NUMBER`: an access goes to a copy that is made before all loops.
fn copied_first(array: &Name, statement: &Name, number: usize) -> StepKind {
    StepKind::Stage {
        array: Ref::from(array.clone()),
        readers: vec![Ref::from(Name::from(format!("{statement}.{number}")))],
        at: None,
        name: None,
        layout: Vec::new(),
        pad: 0,
        across: Vec::new(),
    }
}

/// `map LOOP to tma`.
fn to_copy_engine(name: String) -> StepKind {
    StepKind::Unit(Ref::from(Name::from(name)), Unit::CopyEngine)
}

#[cfg(test)]
mod tests;
