//! Candidates made and judged: schedule, code, result; raced on the CPU or on a GPU.
//!
//! In: points of the space. Out: what can be raced, or why it cannot. Keeps: schedules and code are
//! made on all cores, results are checked one by one before anything is timed: against the
//! reference, and element by element against the first result that the reference confirmed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_runtime::cuda::BoundProgram;
use warploom_scheduler::{Choices, Schedule, explore};

use super::record::{Candidate, Status};
use super::search::{Lab, Made};
use crate::compile::{self, Program};
use crate::measure::{Contestant, CpuTurns, GpuProblem, GpuTurns, Rounds};
use crate::verify::Judge;

/// The longest that the analyses of one candidate may take.
const ANALYSES: Duration = Duration::from_secs(10);

/// What compiles and runs.
pub(super) trait Machine: Sync {
    /// Code that can run.
    type Code: Send;

    /// What code is made for.
    fn target(&self) -> Target;

    /// Multiprocessors of a GPU.
    fn multiprocessors(&self) -> Option<i64>;

    /// Compiles a schedule.
    fn compile(&self, schedule: &Schedule) -> Result<Self::Code>;

    /// Runs once; the results.
    fn run(&self, code: &Self::Code) -> Result<BTreeMap<Name, Tensor>>;

    /// The seconds of so many rounds of turns.
    fn race(&self, entrants: &[&Self::Code], rounds: Rounds) -> Result<Vec<Vec<f64>>>;
}

/// A machine, a problem, and what its results should be.
pub(super) struct Judged<'a, M> {
    machine: M,
    start: Schedule,
    judge: Judge<'a>,
}

/// What a thread made of a point.
enum Built<C> {
    Code(String, Option<i64>, C),
    Refused(Option<String>, Box<Diagnostic>),
}

impl<'a, M: Machine> Judged<'a, M> {
    pub(super) fn new(
        machine: M,
        nest: &'a Nest,
        inputs: &'a BTreeMap<Name, Tensor>,
    ) -> Result<Self> {
        Ok(Self { machine, start: Schedule::new(nest)?, judge: Judge::new(nest, inputs) })
    }

    /// Makes one point; none where its script is known.
    fn build(&self, point: &Choices, known: &dyn Fn(&str) -> bool) -> Option<Built<M::Code>> {
        let machine = &self.machine;
        let (target, processors) = (machine.target(), machine.multiprocessors());
        warploom_isl::within(ANALYSES, || {
            let explored = match explore(&self.start, target, processors, point) {
                Ok(explored) => explored,
                Err(d) => return Some(Built::Refused(None, d)),
            };
            let script = explored.schedule.script().to_string();
            if known(&script) {
                return None;
            }
            let taken = explored.holes.iter().filter_map(|h| h.options[h.taken].estimate);
            let estimate = taken.reduce(i64::saturating_add);
            Some(match machine.compile(&explored.schedule) {
                Ok(code) => Built::Code(script, estimate, code),
                Err(d) => Built::Refused(Some(script), d),
            })
        })
    }
}

impl<M: Machine> Lab for Judged<'_, M> {
    type Ready = M::Code;

    fn make(
        &mut self,
        points: &[Choices],
        known: &(dyn Fn(&str) -> bool + Sync),
        over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<(Choices, Made<M::Code>)>> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (next, seen) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let built: Mutex<Vec<(usize, Built<M::Code>)>> = Mutex::new(Vec::new());
        let this = &*self;
        std::thread::scope(|scope| {
            for _ in 0..threads.min(points.len()) {
                scope.spawn(|| {
                    loop {
                        let k = next.fetch_add(1, Ordering::Relaxed);
                        let Some(point) = points.get(k).filter(|_| k == 0 || !over()) else {
                            return;
                        };
                        let twice = |script: &str| {
                            let mut seen = seen.lock().expect("no thread panics with it");
                            known(script) || seen.insert(script.to_owned(), k).is_some()
                        };
                        if let Some(one) = this.build(point, &twice) {
                            built.lock().expect("no thread panics with it").push((k, one));
                        }
                    }
                });
            }
        });
        let mut built = built.into_inner().expect("no thread panics with it");
        built.sort_by_key(|(k, _)| *k);
        let mut out = Vec::new();
        for (k, one) in built {
            if k > 0 && over() && !out.is_empty() {
                break;
            }
            out.push((points[k].clone(), self.judged(&points[k], one)?));
        }
        Ok(out)
    }

    fn race(&mut self, entrants: &[&M::Code], rounds: usize) -> Result<Vec<Vec<f64>>> {
        let rounds = Rounds {
            most: rounds,
            fewest: rounds.min(3),
            budget: Duration::from_secs(2),
            warm: 5,
            warm_for: Duration::from_millis(3),
        };
        self.machine.race(entrants, rounds)
    }
}

impl<M: Machine> Judged<'_, M> {
    /// Runs what was built and compares its result.
    fn judged(&mut self, point: &Choices, built: Built<M::Code>) -> Result<Made<M::Code>> {
        let dropped = |status, why: &Diagnostic, estimate, script: String| {
            Made::Dropped(Candidate {
                choices: point.to_string(),
                status,
                best: false,
                why: Some(format!("{}: {}", why.code, why.message)),
                estimate,
                checked: None,
                us: Vec::new(),
                script,
            })
        };
        let (script, estimate, code) = match built {
            Built::Code(script, estimate, code) => (script, estimate, code),
            // the usual schedule is what all others are compared with
            Built::Refused(_, d) if point.0.is_empty() => return Err(d),
            Built::Refused(script, d) => {
                let script = script.unwrap_or_else(|| format!("# {point}\n"));
                return Ok(dropped(Status::Refused, &d, None, script));
            }
        };
        let outputs = match self.machine.run(&code) {
            Ok(outputs) => outputs,
            Err(d) if !self.judge.is_ready() => return Err(d),
            Err(d) => return Ok(dropped(Status::Failed, &d, estimate, script)),
        };
        match self.judge.check(&outputs) {
            Ok(found) => Ok(Made::Ready(script, found.method.to_owned(), code)),
            Err(d) if d.blame != Blame::Mismatch || !self.judge.is_ready() => Err(d),
            Err(d) => Ok(dropped(Status::Wrong, &d, estimate, script)),
        }
    }
}

/// This machine's processor.
pub(super) struct Cpu<'a> {
    pub(super) inputs: &'a BTreeMap<Name, Tensor>,
    pub(super) threads: Option<usize>,
}

/// Several contestants of one kind as [`Rounds::measure`] takes them.
fn measured<C: Contestant<Error = Box<Diagnostic>>>(
    rounds: Rounds,
    mut all: Vec<C>,
) -> Result<Vec<Vec<f64>>> {
    let mut refs: Vec<&mut dyn Contestant<Error = Box<Diagnostic>>> = Vec::new();
    for one in &mut all {
        refs.push(one);
    }
    rounds.measure(&mut refs)
}

impl Machine for Cpu<'_> {
    type Code = Program;

    fn target(&self) -> Target {
        Target::Cpu
    }

    fn multiprocessors(&self) -> Option<i64> {
        None
    }

    fn compile(&self, schedule: &Schedule) -> Result<Program> {
        compile::compile(schedule)
    }

    fn run(&self, code: &Program) -> Result<BTreeMap<Name, Tensor>> {
        code.run(self.inputs, self.threads)
    }

    fn race(&self, entrants: &[&Program], rounds: Rounds) -> Result<Vec<Vec<f64>>> {
        let turns = entrants.iter().map(|p| CpuTurns::new(p, self.inputs, self.threads));
        measured(rounds, turns.collect::<Result<_>>()?)
    }
}

/// A program on each set of arrays.
pub(super) struct Loaded {
    bound: Vec<BoundProgram>,
}

impl Machine for GpuProblem<'_> {
    type Code = Loaded;

    fn target(&self) -> Target {
        self.device().target()
    }

    fn multiprocessors(&self) -> Option<i64> {
        Some(i64::from(self.device().info().multiprocessors))
    }

    fn compile(&self, schedule: &Schedule) -> Result<Loaded> {
        let code = compile::lower(schedule)?.gpu(self.device().target())?;
        let program = self.device().load(&code)?;
        let sizes = BTreeMap::new();
        let bound =
            self.sets().iter().map(|set| program.bind(set, &sizes)).collect::<Result<_>>()?;
        Ok(Loaded { bound })
    }

    fn run(&self, code: &Loaded) -> Result<BTreeMap<Name, Tensor>> {
        self.prepare()?;
        code.bound[0].launch()?.wait()?;
        self.results()
    }

    fn race(&self, entrants: &[&Loaded], rounds: Rounds) -> Result<Vec<Vec<f64>>> {
        measured(rounds, entrants.iter().map(|e| GpuTurns::ours(self, &e.bound)).collect())
    }
}
