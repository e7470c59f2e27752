//! Times of launches by the device's clock.
//!
//! In: one bound program for each set of inputs. Out: quantiles. Keeps: launches run one after the
//! other on one stream, and no launch meets the inputs of the one before it in cache where several
//! sets are given.

use std::time::Duration;

use warploom_ir::diag::Result;

use super::device::Place;
use super::driver::Event;
use super::program::BoundProgram;
use crate::host::{Timing, error, quantiles};

/// Launches `programs` in turn: `warmup` times, then `runs` times (at least once) with a clock.
///
/// All launches are queued before the first is waited for, so the host's time is hidden where a
/// launch takes longer than to queue one (some microseconds).
///
/// # Errors
/// `E1101` for no program; a launch's own failure.
pub fn time_launches(programs: &[BoundProgram], warmup: usize, runs: usize) -> Result<Timing> {
    if programs.is_empty() {
        return Err(error("E1101", "there is no program to time".to_owned()));
    }
    let mut turn = programs.iter().cycle();
    let mut next = || turn.next().expect("a cycle over at least one never ends");
    let mut last = None;
    for _ in 0..warmup {
        let program = next();
        last = Some(program.submit(Place::First, |stream| program.enqueue(stream))?);
    }
    let mut events = Vec::with_capacity(runs.max(1));
    for _ in 0..runs.max(1) {
        let program = next();
        let handle = program.submit(Place::First, |stream| {
            let start = Event::record_time(stream)?;
            program.enqueue(stream)?;
            events.push((start, Event::record_time(stream)?));
            Ok(())
        })?;
        last = Some(handle);
    }
    if let Some(last) = last {
        last.wait()?;
    }
    let times = events.iter().map(|(start, end)| {
        Ok(Duration::from_secs_f64(f64::from(end.since(start)?).max(0.0) / 1e3))
    });
    Ok(quantiles(times.collect::<Result<_>>()?))
}
