//! Launches that the driver starts with one call.
//!
//! In: launches in order. Out: an executable graph in which each waits for the one before it, to be
//! launched any number of times. Keeps: no call on one graph meets another, as the driver wants;
//! a graph that goes while it runs is freed by the driver when it has ended.
//! Why here: calls C, and takes what the other objects of the driver keep to themselves.

use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use cudarc::driver::sys::{self, CUresult};
use warploom_ir::diag::Result;

use super::{Context, Function, Stream};
use crate::cuda::handle::lock;

/// Launches put one after the other, not yet executable.
pub(in crate::cuda) struct Chain {
    raw: sys::CUgraph,
    last: Option<sys::CUgraphNode>,
    context: Arc<Context>,
}

impl Chain {
    /// No launches.
    pub(in crate::cuda) fn new(context: &Arc<Context>) -> Result<Self> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` outlives the call.
        let made = unsafe { sys::cuGraphCreate(&raw mut raw, 0) };
        context.check("no graph can be made", made.result())?;
        Ok(Self { raw, last: None, context: Arc::clone(context) })
    }

    /// Adds a launch behind the others. `parameters` point to what the function takes, which is
    /// copied now.
    ///
    /// # Safety
    /// The function takes these parameters, and what they point to can be read.
    pub(in crate::cuda) unsafe fn add(
        &mut self,
        function: &Function,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        parameters: &[*mut c_void],
    ) -> Result<()> {
        let node = sys::CUDA_KERNEL_NODE_PARAMS {
            func: function.raw,
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: block[0],
            blockDimY: block[1],
            blockDimZ: block[2],
            sharedMemBytes: shared_bytes,
            kernelParams: parameters.as_ptr().cast_mut(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        };
        let before = self.last.as_slice();
        let mut made = std::ptr::null_mut();
        // SAFETY: the graph and the node before live; everything pointed to outlives the call, in
        // which the driver copies the parameters; the rest is the caller's.
        let done = unsafe {
            sys::cuGraphAddKernelNode_v2(
                &raw mut made,
                self.raw,
                before.as_ptr(),
                before.len(),
                &raw const node,
            )
        };
        self.context.check("a launch cannot be put into a graph", done.result())?;
        self.last = Some(made);
        Ok(())
    }

    /// Makes them executable.
    pub(in crate::cuda) fn finish(self) -> Result<Graph> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` outlives the call, the graph lives.
        let made = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut raw, self.raw, 0) };
        self.context.check("a graph cannot be made executable", made.result())?;
        Ok(Graph { raw: Mutex::new(Executable(raw)), context: Arc::clone(&self.context) })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if self.context.set_current().is_ok() {
            // SAFETY: the graph is ours; what was made of it does not need it.
            let _ = unsafe { sys::cuGraphDestroy(self.raw) };
        }
    }
}

/// The driver's pointer, which one thread at a time may use.
struct Executable(sys::CUgraphExec);

// SAFETY: the driver's graphs may be used from any thread, by one at a time.
unsafe impl Send for Executable {}

/// Launches that are started together.
pub(in crate::cuda) struct Graph {
    raw: Mutex<Executable>,
    context: Arc<Context>,
}

impl Graph {
    /// Brings to the device what it needs there, in the order of `stream`, so that the first launch
    /// does not have to.
    pub(in crate::cuda) fn upload(&self, stream: &Stream) -> Result<()> {
        self.call("a graph cannot be brought to the device", |raw| {
            // SAFETY: both live; nobody else uses the graph now.
            unsafe { sys::cuGraphUpload(raw, stream.raw) }
        })
    }

    /// Starts all of it on a stream.
    ///
    /// # Safety
    /// The functions' code is there, and what their parameters point to lives until the work has
    /// ended.
    pub(in crate::cuda) unsafe fn launch(&self, stream: &Stream) -> Result<()> {
        self.call("a graph cannot be launched", |raw| {
            // SAFETY: both live; nobody else uses the graph now; the rest is the caller's.
            unsafe { sys::cuGraphLaunch(raw, stream.raw) }
        })
    }

    fn call(&self, what: &str, call: impl FnOnce(sys::CUgraphExec) -> CUresult) -> Result<()> {
        self.context.bind()?;
        let raw = lock(&self.raw);
        let done = call(raw.0);
        drop(raw);
        self.context.check(what, done.result())
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.set_current().is_ok() {
            let raw = self.raw.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            // SAFETY: the graph is ours and launched no more; where it still runs, the driver frees
            // it behind its end.
            let _ = unsafe { sys::cuGraphExecDestroy(raw.0) };
        }
    }
}

impl Stream {
    /// Whether someone records what is put on it instead of running it.
    pub(in crate::cuda) fn is_recorded(&self) -> Result<bool> {
        self.context.bind()?;
        let mut status = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream lives, and `status` outlives the call.
        let asked = unsafe { sys::cuStreamIsCapturing(self.raw, &raw mut status) };
        self.context.check("a stream cannot be examined", asked.result())?;
        Ok(status != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
    }
}
