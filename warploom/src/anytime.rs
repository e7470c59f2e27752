//! Programs that run at once, and faster later.
//!
//! In: a nest whose sizes are fixed, and where it runs. Out: [`Anytime`], whose runs take the best
//! code there is: first that of a plain schedule, which takes little time to make; then that of the
//! automatic or of a remembered schedule; then, if asked for, that of a tuned one.
//! Keeps: every level computes what the nest says; what a later level meets, such as a schedule
//! that is refused, leaves the level before in place and is told by [`Anytime::wait`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_scheduler::Schedule;

use crate::compile::{self, Program};
use crate::device::{Executor, LoadedProgram};
use crate::jit::Jit;
use crate::tune::{Records, TuneOptions, tune};

/// How good the code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A schedule that is quick to find.
    Plain,
    /// The automatic schedule, or one that was tuned before.
    Chosen,
    /// The fastest of those that were measured here.
    Tuned,
}

/// Tuning in the background.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    /// How it is done.
    pub options: TuneOptions,
    /// Where what it finds is kept.
    pub records: Option<Records>,
}

/// Code where it runs.
#[derive(Clone)]
pub enum Ready {
    /// On this machine's processor.
    Cpu(Program),
    /// On a GPU.
    Cuda(LoadedProgram),
}

impl Ready {
    /// Runs once with these inputs and gives the outputs.
    ///
    /// # Errors
    /// Inputs that do not fit, no memory, a failure of the device.
    pub fn run(&self, inputs: &BTreeMap<Name, Tensor>) -> Result<BTreeMap<Name, Tensor>> {
        let none = BTreeMap::new();
        match self {
            Self::Cpu(program) => program.run_at(inputs, &none, None),
            Self::Cuda(program) => {
                let arrays = program.arrays(inputs, &none)?;
                program.bind(&arrays, &none)?.launch()?.wait()?;
                program.written(&arrays)
            }
        }
    }
}

/// What is there.
struct State {
    level: Level,
    ready: Ready,
    /// Nothing better is being made.
    done: bool,
    /// Why a later level is not there.
    refused: Option<Box<Diagnostic>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Shared {
    /// A thread that panicked left a state that is whole: it is only replaced at once.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, level: Level, ready: Ready) {
        let mut state = self.state();
        (state.level, state.ready) = (level, ready);
        self.changed.notify_all();
    }
}

/// A program that gets better while it is used. Dropping it ends what is made in the background at
/// the next opportunity, without waiting.
pub struct Anytime {
    shared: Arc<Shared>,
}

impl Drop for Anytime {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// What the background works with.
struct Work {
    jit: Arc<Jit>,
    nest: Nest,
    executor: Executor,
    tuning: Option<Tuning>,
}

impl Anytime {
    /// Code for a nest whose sizes are fixed: what is remembered, else the plain schedule's, while
    /// a thread makes the better ones.
    ///
    /// # Errors
    /// What the verifier finds in the nest; what the plain schedule or the device meets.
    pub fn begin(
        jit: &Arc<Jit>,
        nest: &Nest,
        executor: &Executor,
        tuning: Option<Tuning>,
    ) -> Result<Self> {
        let target = executor.target();
        let (jit, nest, executor) = (Arc::clone(jit), nest.clone(), executor.clone());
        let work = Work { jit, nest, executor, tuning };
        let (level, ready) = match work.remembered(target)? {
            Some(ready) => (Level::Chosen, ready),
            None => (Level::Plain, work.plain(target)?),
        };
        let done = level == Level::Chosen && work.tuning.is_none();
        let state = Mutex::new(State { level, ready, done, refused: None });
        let (changed, stop) = (Condvar::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { state, changed, stop });
        if !done {
            let begun = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("warploom anytime".to_owned());
            let spawned = thread.spawn(move || work.improve(&begun, level));
            spawned.map_err(|e| {
                let text = format!("cannot start a thread: {e}");
                Box::new(Diagnostic::new("E1106", Blame::Environment, text))
            })?;
        }
        Ok(Self { shared })
    }

    /// How good the code is by now.
    #[must_use]
    pub fn level(&self) -> Level {
        self.shared.state().level
    }

    /// The best code by now.
    #[must_use]
    pub fn ready(&self) -> Ready {
        self.shared.state().ready.clone()
    }

    /// Waits until nothing better is being made.
    ///
    /// # Errors
    /// Why a later level could not be made; runs take the level before.
    pub fn wait(&self) -> Result<Level> {
        let mut state = self.shared.state();
        while !state.done {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.refused.clone().map_or(Ok(state.level), Err)
    }

    /// Runs once with the best code by now, and gives the outputs.
    ///
    /// # Errors
    /// As [`Ready::run`].
    pub fn run(&self, inputs: &BTreeMap<Name, Tensor>) -> Result<BTreeMap<Name, Tensor>> {
        self.ready().run(inputs)
    }
}

/// Says that nothing better comes, also where the thread panics.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.state().done = true;
        self.0.changed.notify_all();
    }
}

impl Work {
    /// Code that is in memory or in a folder.
    fn remembered(&self, target: Target) -> Result<Option<Ready>> {
        Ok(match &self.executor {
            Executor::Cpu => self.jit.host_if_made(&self.nest).map(|m| Ready::Cpu(m.code)),
            Executor::Cuda(device) => match self.jit.gpu_if_made(&self.nest, target) {
                Some(made) => Some(Ready::Cuda(device.load(&made.code)?)),
                None => None,
            },
        })
    }

    fn plain(&self, target: Target) -> Result<Ready> {
        compile::check_nest(&self.nest)?;
        self.loaded(&compile::plain_for(&self.nest, target)?)
    }

    /// The code of a schedule, where it runs.
    fn loaded(&self, schedule: &Schedule) -> Result<Ready> {
        let lowered = compile::lower(schedule)?;
        Ok(match &self.executor {
            Executor::Cpu => Ready::Cpu(lowered.host()?),
            Executor::Cuda(device) => Ready::Cuda(device.load(&lowered.gpu(device.target())?)?),
        })
    }

    fn improve(&self, shared: &Shared, from: Level) {
        let done = Done(shared);
        let better = if from < Level::Chosen { self.chosen() } else { Ok(None) };
        let better = better.and_then(|ready| {
            if let Some(ready) = ready {
                shared.publish(Level::Chosen, ready);
            }
            self.tuned(&shared.stop)
        });
        match better {
            Ok(Some(ready)) => shared.publish(Level::Tuned, ready),
            Ok(None) => {}
            Err(d) => shared.state().refused = Some(d),
        }
        drop(done);
    }

    fn chosen(&self) -> Result<Option<Ready>> {
        Ok(Some(match &self.executor {
            Executor::Cpu => Ready::Cpu(self.jit.host(&self.nest, None)?.code),
            Executor::Cuda(device) => {
                let made = self.jit.gpu(&self.nest, None, device.target())?;
                Ready::Cuda(device.load(&made.code)?)
            }
        }))
    }

    /// The fastest of some candidates on random data, unless it is not asked for or not wanted any
    /// more.
    fn tuned(&self, stop: &AtomicBool) -> Result<Option<Ready>> {
        let Some(Tuning { options, records }) = &self.tuning else { return Ok(None) };
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut inputs = BTreeMap::new();
        crate::fill_random(&self.nest, &mut inputs, options.seed)?;
        let (nest, executor) = (&self.nest, &self.executor);
        let found = tune(nest, &inputs, executor, records.as_ref(), options, stop, &mut |_| {})?;
        self.loaded(&found.schedule).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product() -> (Nest, BTreeMap<Name, Tensor>) {
        let text = "in A: i32[30, 20]\nin B: i32[20, 40]\nout C: i32[30, 40]\n\
            for m in 0..30, n in 0..40 {\n  S0: C[m, n] = 0\n  \
            for k in 0..20 { S1: C[m, n] += A[m, k] * B[k, n] }\n}\n";
        let nest: Nest = text.parse().unwrap();
        let mut inputs = BTreeMap::new();
        crate::fill_random(&nest, &mut inputs, 9).unwrap();
        (nest, inputs)
    }

    #[test]
    fn levels_rise_and_all_compute_the_same() {
        let (nest, inputs) = product();
        let want = warploom_ir::interp::nest::run(&nest, &BTreeMap::new(), &inputs).unwrap();
        let jit = Arc::new(Jit::new());
        let options = TuneOptions { most: 2, ..TuneOptions::default() };
        let tuning = Some(Tuning { options, records: None });
        let it = Anytime::begin(&jit, &nest, &Executor::Cpu, tuning).unwrap();
        let mut last = it.level();
        while last < Level::Tuned {
            assert_eq!(it.run(&inputs).unwrap()["C"], want["C"]);
            let now = it.level();
            assert!(now >= last);
            if now == last {
                std::thread::yield_now();
            }
            last = now;
        }
        assert_eq!(it.wait().unwrap(), Level::Tuned);
        assert_eq!(it.run(&inputs).unwrap()["C"], want["C"]);
        // what was made is there at once for the next
        let again = Anytime::begin(&jit, &nest, &Executor::Cpu, None).unwrap();
        assert_eq!((again.level(), again.wait().unwrap()), (Level::Chosen, Level::Chosen));
        assert_eq!(again.run(&inputs).unwrap()["C"], want["C"]);
    }

    #[test]
    fn the_first_code_is_a_plain_one_and_a_bad_nest_has_none() {
        let (nest, inputs) = product();
        let jit = Arc::new(Jit::new());
        let it = Anytime::begin(&jit, &nest, &Executor::Cpu, None).unwrap();
        it.run(&inputs).unwrap();
        assert_eq!(it.wait().unwrap(), Level::Chosen);
        let text = "in A: f32[4]\nout B: f32[4]\nfor i in 0..4 { B[i] = A[i + 1] }\n";
        let wrong: Nest = text.parse().unwrap();
        let refused = Anytime::begin(&jit, &wrong, &Executor::Cpu, None);
        assert_eq!(refused.err().expect("out of bounds").blame, Blame::Input);
    }

    #[test]
    fn plain_schedules_of_gpus_are_quick_and_compute_the_same() {
        use warploom_ir::interp::kernel::{ParallelOrder, run_with};
        let (nest, inputs) = product();
        let want = warploom_ir::interp::nest::run(&nest, &BTreeMap::new(), &inputs).unwrap();
        for target in [Target::Sm80, Target::Sm90a, Target::Sm100a, Target::Sm103a] {
            let schedule = compile::plain_for(&nest, target).unwrap();
            let lowered = compile::lower(&schedule).unwrap();
            assert!(lowered.kernel().is_mapped() && lowered.gpu(target).is_ok());
            let got = run_with(lowered.kernel(), &BTreeMap::new(), &inputs, ParallelOrder::Reverse)
                .unwrap();
            assert_eq!(got["C"], want["C"]);
        }
    }
}
