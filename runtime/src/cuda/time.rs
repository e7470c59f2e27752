//! Times of launches by the device's clock.
//!
//! In: one launch for each set of inputs. Out: quantiles. Keeps: launches run one after the
//! other on one stream, and no launch meets the inputs of the one before it in cache where several
//! sets are given.

use std::time::Duration;

use warploom_ir::diag::Result;

use super::device::Place;
use super::driver::{Event, Stream};
use super::foreign::ForeignLaunch;
use super::handle::LaunchHandle;
use super::program::BoundProgram;
use crate::host::{Timing, error, quantiles};

/// What [`time_launches`] takes.
#[derive(Clone, Copy)]
pub enum Timed<'a> {
    /// A program of ours.
    Program(&'a BoundProgram),
    /// Another library's work.
    Foreign(&'a ForeignLaunch),
}

impl<'a> From<&'a BoundProgram> for Timed<'a> {
    fn from(program: &'a BoundProgram) -> Self {
        Self::Program(program)
    }
}

impl<'a> From<&'a ForeignLaunch> for Timed<'a> {
    fn from(launch: &'a ForeignLaunch) -> Self {
        Self::Foreign(launch)
    }
}

impl<'a> From<&Timed<'a>> for Timed<'a> {
    fn from(launch: &Self) -> Self {
        *launch
    }
}

impl Timed<'_> {
    /// Does what is done once, with so many runs about to come: it is not to be timed.
    fn prepare(&self, runs: usize) {
        match self {
            Self::Program(program) => program.prepare(runs as u64),
            Self::Foreign(_) => {}
        }
    }

    /// Puts `work` on the first stream, in the order of the buffers that are touched.
    fn submit(&self, work: impl FnOnce(&Stream) -> Result<()>) -> Result<LaunchHandle> {
        match self {
            Self::Program(program) => program.submit(Place::First, work),
            Self::Foreign(launch) => launch.submit(Place::First, work),
        }
    }

    /// Puts all of it on a stream.
    fn enqueue(&self, stream: &Stream) -> Result<()> {
        match self {
            Self::Program(program) => program.enqueue(stream),
            Self::Foreign(launch) => launch.enqueue(stream),
        }
    }
}

/// Launches `programs` in turn: `warmup` times, then `runs` times (at least once) with a clock.
///
/// All launches are queued before the first is waited for, so the host's time is hidden where a
/// launch takes longer than to queue one (some microseconds).
///
/// # Errors
/// `E1101` for no program; a launch's own failure.
pub fn time_launches<'a, L>(programs: &'a [L], warmup: usize, runs: usize) -> Result<Timing>
where
    Timed<'a>: From<&'a L>,
{
    if programs.is_empty() {
        return Err(error("E1101", "there is no program to time".to_owned()));
    }
    let (each, all) = (programs.len(), warmup + runs.max(1));
    for (i, program) in programs.iter().enumerate().take(all) {
        Timed::from(program).prepare((all - i).div_ceil(each));
    }
    let mut turn = programs.iter().cycle();
    let mut next = || Timed::from(turn.next().expect("a cycle over at least one never ends"));
    let mut last = None;
    for _ in 0..warmup {
        let program = next();
        last = Some(program.submit(|stream| program.enqueue(stream))?);
    }
    let mut events = Vec::with_capacity(runs.max(1));
    for _ in 0..runs.max(1) {
        let program = next();
        let handle = program.submit(|stream| {
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
