//! What compiled host code and the runtime agree on.
//!
//! Code generation makes a [`HostCode`], the runtime calls it; neither crate sees the other.

use crate::diag::Result;
use crate::kernel::Kernel;

/// One buffer argument of a call, row-major, native endian, aligned to 64 bytes.
#[derive(Debug)]
pub enum HostArg<'a> {
    /// Read by the kernel.
    Read(&'a [u8]),
    /// Written (and perhaps read) by the kernel.
    Write(&'a mut [u8]),
}

/// Runs independent tasks on several threads.
pub trait Pool: Sync {
    /// How many tasks may run at the same time.
    fn threads(&self) -> usize;
    /// Runs `task(0)` … `task(n - 1)`, each once, and returns when all have ended.
    fn run(&self, n: usize, task: &(dyn Fn(usize) + Sync));
}

/// Machine code of a kernel for the host.
pub trait HostCode: Send + Sync {
    /// The kernel it was made from.
    fn kernel(&self) -> &Kernel;
    /// Runs the kernel.
    ///
    /// `buffers` and `params` are in the order of [`Kernel::buffers`] and [`Kernel::params`].
    ///
    /// # Errors
    /// A buffer's length or access does not fit the kernel, or the code's stated failure.
    fn call(&self, buffers: &mut [HostArg<'_>], params: &[i64], pool: &dyn Pool) -> Result<()>;
}
