//! Tuning: searches the automatic schedule's own choices for the fastest, and remembers them.
//!
//! In: a nest with fixed sizes, inputs, a device, a budget. Out: the schedule to take and a record
//! of all that was tried (docs/tuning.md).
//! Keeps: the automatic schedule is always a candidate, so tuning never gives anything slower than
//! it by its own measurement; what a record says is replayed and checked like any other script.

mod device;
mod lab;
mod record;
mod search;
mod space;
mod store;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_scheduler::{Choices, Schedule, explore};

pub use device::{kind, kind_for};
pub use record::{Candidate, Key, Record, Status};
pub use search::Progress;
pub use store::{Found, Recalled, Records};

use crate::device::Executor;
use crate::measure::GpuProblem;
use lab::{Cpu, Judged};
use search::{Lab, Limits, search};
use space::Space;

/// Fewest candidates in a race beside the leaders; more where more cores compile them.
const BATCH: usize = 8;

/// How tuning is done.
#[derive(Clone, Debug)]
pub struct TuneOptions {
    /// The wall-clock time after which no more candidates are made.
    pub budget: Duration,
    /// The most candidates.
    pub most: usize,
    /// What the random part of the search begins with.
    pub seed: u64,
    /// Threads of the CPU path (all by default).
    pub threads: Option<usize>,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self { budget: Duration::from_secs(10), most: 1000, seed: 0, threads: None }
    }
}

/// What tuning found.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The fastest schedule.
    pub schedule: Schedule,
    /// All that was tried, then and before.
    pub record: Record,
    /// What is to be said of files that were not taken.
    pub notes: Vec<Box<Diagnostic>>,
}

/// Searches for the fastest schedule of a nest whose sizes are fixed. Records, if given, are where
/// it goes on and what it writes after each race; `tell` hears of each; `stop` ends it early.
///
/// # Errors
/// What the automatic schedule meets (it has to run and to be verified, or there is nothing to
/// compare with), and records that cannot be written.
pub fn tune(
    nest: &Nest,
    inputs: &BTreeMap<Name, Tensor>,
    executor: &Executor,
    records: Option<&Records>,
    options: &TuneOptions,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Tuned> {
    let begun = Instant::now();
    match executor {
        Executor::Cpu => {
            let machine = Cpu { inputs, threads: options.threads };
            let mut lab = Judged::new(machine, nest, inputs)?;
            let at = At { target: Target::Cpu, processors: None, kind: kind(executor), begun };
            tune_in(&mut lab, nest, at, records, options, stop, tell)
        }
        Executor::Cuda(device) => {
            let machine = GpuProblem::new(device, nest, inputs)?;
            let mut lab = Judged::new(machine, nest, inputs)?;
            let processors = Some(i64::from(device.info().multiprocessors));
            let at = At { target: device.target(), processors, kind: kind(executor), begun };
            tune_in(&mut lab, nest, at, records, options, stop, tell)
        }
    }
}

/// Where and when.
struct At {
    target: Target,
    processors: Option<i64>,
    kind: String,
    begun: Instant,
}

fn tune_in<L: Lab>(
    lab: &mut L,
    nest: &Nest,
    at: At,
    records: Option<&Records>,
    options: &TuneOptions,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Tuned> {
    let key = Key::new(nest, at.target, &at.kind);
    let found = records.map(|r| r.load(&key)).unwrap_or_default();
    let mut notes: Vec<Box<Diagnostic>> = found.note.into_iter().collect();
    let start = Schedule::new(nest)?;
    let usual = explore(&start, at.target, at.processors, &Choices::default())?;
    let space = Space::new(usual.holes);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let limits = Limits {
        begun: at.begun,
        budget: options.budget,
        batch: BATCH.max(cores),
        most: options.most,
        seed: options.seed,
        stop,
    };
    let record = found.record.unwrap_or_else(|| Record::new(&key));
    let record = search(lab, &space, record, &limits, &mut |record, progress| {
        if let Some(records) = records {
            notes.extend(records.save(&key, record)?);
        }
        tell(progress);
        Ok(())
    })?;
    let best = record.best().ok_or_else(|| {
        Box::new(Diagnostic::input("E0964", "no candidate ran to its end").help("raise --budget"))
    })?;
    let schedule = start.replay(&best.script.parse()?)?;
    Ok(Tuned { schedule, record, notes })
}

#[cfg(test)]
mod tests;
