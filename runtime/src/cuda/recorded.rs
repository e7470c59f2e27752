//! A program's launches as one graph of the driver's.
//!
//! In: a program and what its launches get. Out: runs of it, by a graph where there is one. Keeps:
//! a graph's parameters are those of its arguments, with which it goes; its code is there as long
//! as it is; what it takes counts towards the memory limit; where the driver refuses one, the
//! launches are made one by one.

use warploom_ir::diag::Result;

use super::arguments::Given;
use super::device::Device;
use super::driver::{Chain, Graph, Stream};
use super::program::LoadedProgram;

/// Bytes of the device's memory that a launch in a graph is counted as. The driver does not say
/// how many it takes.
const LAUNCH: u64 = 1 << 10;

/// A graph, its share of the memory limit, and the code that it runs: they go in this order.
pub(super) struct Recorded {
    graph: Graph,
    _share: Share,
    _code: LoadedProgram,
}

/// A part of the memory limit.
struct Share {
    device: Device,
    bytes: u64,
}

impl Share {
    fn of(device: &Device, bytes: u64) -> Result<Self> {
        device.reserve(bytes)?;
        Ok(Self { device: device.clone(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.device.forget(self.bytes);
    }
}

impl Recorded {
    /// Of all launches of a program.
    fn new(program: &LoadedProgram, sizes: &[i64], given: &Given) -> Result<Self> {
        let device = program.device();
        let share = Share::of(device, given.count().saturating_mul(LAUNCH))?;
        let mut chain = Chain::new(device.context())?;
        program.each(sizes, given, &mut |function, grid, block, shared_bytes, parameters| {
            // SAFETY: the parameters are what `warploom_ir::abi` says a function of this kernel
            // takes, and `given` has what they point to.
            unsafe { chain.add(function, grid, block, shared_bytes, parameters) }
        })?;
        let graph = chain.finish()?;
        // a launch on another stream does not wait for it
        graph.upload(device.copies())?;
        device.copies().synchronize()?;
        Ok(Self { graph, _share: share, _code: program.clone() })
    }
}

impl LoadedProgram {
    /// Makes a graph of all launches if that pays with so many runs about to come.
    pub(super) fn prepare(&self, sizes: &[i64], given: &Given, runs: u64) {
        if let Some(replay) = given.replay() {
            replay.prepare(runs, || Recorded::new(self, sizes, given));
        }
    }

    /// Starts all launches on a stream, in order: by one call where there is a graph of them.
    pub(super) fn run_on(&self, stream: &Stream, sizes: &[i64], given: &Given) -> Result<()> {
        let recorded = given.replay().and_then(|replay| Some((replay, replay.take()?)));
        if let Some((replay, recorded)) = recorded {
            // SAFETY: it has its code, and was made for these arguments, which who calls this keeps
            // until the end.
            match unsafe { recorded.graph.launch(stream) } {
                Err(refused) if refused.code != "E1115" => replay.forget(),
                done => return done,
            }
        }
        self.enqueue(stream, sizes, given)
    }
}
