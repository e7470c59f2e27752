//! A GPU as the clock of a calibration.
//!
//! In: a nest with fixed sizes and its schedule. Out: seconds of its runs. Keeps: the first result
//! is compared with a sample in binary64 before anything is timed, inputs are random (power depends
//! on them), and launches are queued behind a stall as everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use warploom_ir::diag::Result;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_runtime::cuda::{BoundProgram, Device};
use warploom_scheduler::Schedule;

use super::Clock;
use crate::measure::{GpuProblem, GpuTurns, Rounds};
use crate::verify::Judge;
use crate::{compile, fill_random};

/// Seed of the inputs.
const SEED: u64 = 7;
/// Rounds of a short measurement, and of one that lasts until the board is warm, of which the last
/// so many count.
const SHORT: Rounds = Rounds {
    most: 31,
    fewest: 9,
    budget: Duration::from_secs(2),
    warm: 10,
    warm_for: Duration::from_millis(20),
};
const LONG: Rounds = Rounds {
    most: 2000,
    fewest: 20,
    budget: Duration::from_secs(4),
    warm: 20,
    warm_for: Duration::from_millis(100),
};
const WARM: usize = 15;

/// A GPU.
pub struct GpuClock {
    device: Device,
}

impl GpuClock {
    /// The clock of a device.
    #[must_use]
    pub fn new(device: Device) -> Self {
        Self { device }
    }
}

impl Clock for GpuClock {
    fn target(&self) -> Target {
        self.device.target()
    }

    fn multiprocessors(&self) -> i64 {
        i64::from(self.device.info().multiprocessors)
    }

    fn seconds(&mut self, nest: &Nest, schedule: &Schedule, sustained: bool) -> Result<Vec<f64>> {
        let mut inputs = BTreeMap::new();
        fill_random(nest, &mut inputs, SEED)?;
        let problem = GpuProblem::new(&self.device, nest, &inputs)?;
        let code = compile::lower(schedule)?.gpu(self.device.target())?;
        let program = self.device.load(&code)?;
        let sizes = BTreeMap::new();
        let bind = |set| program.bind(set, &sizes);
        let bound: Vec<BoundProgram> = problem.sets().iter().map(bind).collect::<Result<_>>()?;
        problem.prepare()?;
        bound[0].launch()?.wait()?;
        Judge::new(nest, &inputs).check(&problem.results()?)?;
        let mut turns = GpuTurns::ours(&problem, &bound);
        let rounds = if sustained { LONG } else { SHORT };
        let mut times = rounds.measure(&mut [&mut turns])?.pop().unwrap_or_default();
        if sustained {
            times.drain(..times.len().saturating_sub(WARM));
        }
        Ok(times)
    }
}
