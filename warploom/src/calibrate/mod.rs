//! Calibration: numbers of a GPU that the performance model predicts with, measured on it.
//!
//! In: a clock for schedules, the machine as it is described. Out: a [`Calibration`]: what each
//! microbenchmark took, and the number with which the model predicts that. Keeps: one number after
//! the other, each from a probe that depends on it; a number that a probe does not depend on stays
//! as it is described, and says so. What is measured is checked first.

mod clock;
mod file;
mod probes;

use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::Schedule;
use warploom_scheduler::model::{Constant, Machine, predict_kernel};

use crate::compile;
use crate::measure::Percentiles;

pub use clock::GpuClock;
pub use file::{Calibration, Machines, Probed};
pub use probes::{PROBES, Probe};

/// What runs and times schedules: a GPU, or what stands for one.
pub trait Clock {
    /// What code is made for.
    fn target(&self) -> Target;

    /// Multiprocessors of the device.
    fn multiprocessors(&self) -> i64;

    /// Seconds of runs of a schedule whose result is right; for seconds, until they do not change
    /// any more, where `sustained`.
    ///
    /// # Errors
    /// A wrong result, a failure of the device.
    fn seconds(&mut self, nest: &Nest, schedule: &Schedule, sustained: bool) -> Result<Vec<f64>>;
}

/// A number is looked for within this factor of what is described.
const FACTOR: f64 = 8.0;
/// A probe tells a number if one that is half as large again changes its time by so much.
const TOLD: f64 = 0.04;
const HALF_AGAIN: f64 = 1.5;
/// Halvings of the interval in which a number lies.
const HALVINGS: usize = 60;

/// Runs all probes.
///
/// # Errors
/// A wrong result or a failure of the device. What the compiler refuses for the target leaves a
/// number as it is described.
pub fn calibrate(
    clock: &mut dyn Clock,
    described: Machine,
    device: &str,
    tell: &mut dyn FnMut(&Probed),
) -> Result<Calibration> {
    let mut machine = Machine { multiprocessors: clock.multiprocessors() as f64, ..described };
    let mut out = Calibration::new(device, &described);
    for probe in &PROBES {
        let (probed, found) = probed(clock, &machine, probe)?;
        tell(&probed);
        out.probes.push(probed);
        machine = found;
    }
    Ok(out)
}

/// Runs one probe; the machine with what it tells.
fn probed(clock: &mut dyn Clock, machine: &Machine, probe: &Probe) -> Result<(Probed, Machine)> {
    let nest = probe.nest()?;
    let mut out = Probed::new(probe);
    let made = probe
        .schedule(&nest, clock.target(), clock.multiprocessors())
        .and_then(|schedule| Ok((compile::lower(&schedule)?.kernel().clone(), schedule)));
    let (kernel, schedule) = match made {
        Ok(made) => made,
        Err(d) => {
            out.why = Some(format!("{}: {}", d.code, d.message));
            return Ok((out, *machine));
        }
    };
    let predicted = |m: &Machine| predict_kernel(&kernel, m).map(|p| p.time);
    let constant = probe.tells;
    let more = constant.with(machine, constant.of(machine) * HALF_AGAIN);
    let less = constant.with(machine, constant.of(machine) / HALF_AGAIN);
    let (Some(before), Some(more), Some(less)) =
        (predicted(machine), predicted(&more), predicted(&less))
    else {
        out.why = Some("its time is not predicted".to_owned());
        return Ok((out, *machine));
    };
    out.predicted_us = before * 1e6;
    if (more / before - 1.0).abs().max((less / before - 1.0).abs()) < TOLD {
        out.why = Some(format!("its time does not depend on it on {}", clock.target()));
        return Ok((out, *machine));
    }
    let times = clock.seconds(&nest, &schedule, probe.sustained)?;
    let median = Percentiles::of(times.clone()).median;
    if !(median.is_finite() && median > 0.0) {
        let text = format!("{} took {median:e} seconds: the clock is of no use", probe.name);
        return Err(Box::new(Diagnostic::new("E1114", Blame::Environment, text)));
    }
    out.us = times.iter().map(|t| (t * 1e9).round() / 1e3).collect();
    match solved(machine, constant, &|m| predicted(m).unwrap_or(before), median) {
        Some(value) => {
            out.value = Some(value);
            Ok((out, constant.with(machine, value)))
        }
        None => {
            out.why = Some("no value near what is described predicts its time".to_owned());
            Ok((out, *machine))
        }
    }
}

/// The value of a constant with which so many seconds are predicted.
fn solved(
    machine: &Machine,
    constant: Constant,
    predicted: &dyn Fn(&Machine) -> f64,
    seconds: f64,
) -> Option<f64> {
    let described = constant.of(machine);
    let time = |value: f64| predicted(&constant.with(machine, value));
    let (mut low, mut high) = (described / FACTOR, described * FACTOR);
    let rises = time(high) > time(low);
    let below = |value: f64| (time(value) < seconds) == rises;
    if !below(low) || below(high) {
        return None;
    }
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        *(if below(middle) { &mut low } else { &mut high }) = middle;
    }
    Some((low * high).sqrt())
}

#[cfg(test)]
mod tests;
