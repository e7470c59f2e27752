//! Launches of other libraries' code, in the order of the buffers they touch.
//!
//! In: what puts work on a stream, and the buffers that the work reads and writes. Out: a launch
//! that waits and is waited for as ours are, and that [`super::time_launches`] takes beside them.
//! Why here: a contestant that shares our stream, our memory and our clock is compared with us and
//! not with another harness.

use std::ffi::c_void;
use std::sync::Arc;

use warploom_ir::diag::Result;

use super::buffer::{DeviceBuffer, Touched};
use super::device::{Device, Place};
use super::driver::Stream;
use super::handle::LaunchHandle;
use super::order::Access;

/// Kept until the work has ended.
struct Inner {
    device: Device,
    buffers: Touched,
    /// What puts the work on a stream.
    work: Box<dyn Fn(*mut c_void) -> Result<()> + Send + Sync>,
}

/// Work of another library, ready to launch any number of times.
pub struct ForeignLaunch(Arc<Inner>);

impl ForeignLaunch {
    /// Work that reads and writes these buffers. `work` is called once for each launch, with the
    /// driver's stream (a `CUstream`), whose context is the thread's current one.
    ///
    /// # Safety
    /// `work` puts work on that stream alone, whatever the thread; this touches no memory but those
    /// buffers, as stated, and what lives as long as `work` does.
    pub unsafe fn new(
        device: &Device,
        reads: &[DeviceBuffer],
        writes: &[DeviceBuffer],
        work: impl Fn(*mut c_void) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let reads = reads.iter().map(|b| (b.clone(), Access::Read));
        let writes = writes.iter().map(|b| (b.clone(), Access::Write));
        let buffers = Touched::new(reads.chain(writes).collect());
        Self(Arc::new(Inner { device: device.clone(), buffers, work: Box::new(work) }))
    }

    /// Launches it, after all earlier launches that it conflicts with.
    ///
    /// # Errors
    /// What the work says, `E1114`, `E1115` where the driver fails.
    pub fn launch(&self) -> Result<LaunchHandle> {
        self.submit(Place::Any, |stream| self.enqueue(stream))
    }

    /// Puts `work` on a stream in the order of these buffers.
    pub(super) fn submit(
        &self,
        place: Place,
        work: impl FnOnce(&Stream) -> Result<()>,
    ) -> Result<LaunchHandle> {
        let alive: Arc<dyn Send + Sync> = Arc::clone(&self.0) as _;
        self.0.device.submit(&self.0.buffers, alive, place, work)
    }

    /// Puts all of it on a stream.
    pub(super) fn enqueue(&self, stream: &Stream) -> Result<()> {
        (self.0.work)(stream.current()?)
    }
}
