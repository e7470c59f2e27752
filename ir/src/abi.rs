//! What compiled code and the runtime agree on.
//!
//! Code generation makes a [`HostCode`] or a [`GpuCode`], the runtime calls it; neither crate sees
//! the other.

use serde::{Deserialize, Serialize};

use crate::affine::Name;
use crate::diag::Result;
use crate::kernel::{Condition, Index, Kernel};
use crate::target::Target;

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

/// One launch of a function of a [`GpuCode`].
///
/// Its arguments are, in this order: one device pointer (64 bits, aligned to 16 bytes) for each of
/// [`Kernel::buffers`], one i64 for each of [`Kernel::params`], one i64 for each [`GpuLoop`]
/// around it, the outermost first, and 128 bytes for each [`TensorMap`], as the driver encodes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuLaunch {
    /// The function's name in the PTX text.
    pub entry: String,
    /// Blocks along x, y and z, over the parameters and the loops around it. Where one is not
    /// positive there is nothing to launch.
    pub grid: [Index; 3],
    /// Neighbouring blocks along x that run together; 1 where each is alone. The function states
    /// it, and the grid is a multiple of it.
    pub cluster: u32,
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared_bytes: u32,
    /// Columns of tensor memory that a block allocates.
    pub tensor_columns: u32,
    /// Boxes that the copy engine moves.
    pub maps: Vec<TensorMap>,
    /// Positions in [`Kernel::buffers`] of arrays that are copied in pieces, and the bytes of a
    /// piece, which their rows are multiples of.
    pub chunked: Vec<(usize, i64)>,
}

/// What the copy engine moves at once of an array: a box as wide as a panel
/// ([`crate::instruction::descriptor`]). Elements outside the array are zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorMap {
    /// The array's position in [`Kernel::buffers`].
    pub buffer: usize,
    /// The box, in elements, one number for each dimension of the array.
    pub extents: Vec<i64>,
    /// From one of its elements to the next in the array, for each dimension.
    pub steps: Vec<i64>,
    /// Bytes of a panel in shared memory: 16, 32, 64 or 128.
    pub panel: i64,
}

/// A loop `for var in lower..upper step step` around launches, run by the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuLoop {
    /// The variable, unique in the kernel.
    pub var: Name,
    /// First value, over the parameters and the loops around it.
    pub lower: Index,
    /// Exclusive end, over the same.
    pub upper: Index,
    /// Distance, positive.
    pub step: i64,
    /// What runs in each iteration.
    pub body: Vec<GpuStep>,
}

/// What the host does to run a kernel on a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuStep {
    /// Starts a function.
    Launch(GpuLaunch),
    /// Steps for each value of a variable, in order.
    Loop(GpuLoop),
    /// Condition, then, otherwise.
    If(Condition, Vec<GpuStep>, Vec<GpuStep>),
}

/// A kernel as PTX text, with the launches that run it.
///
/// The launches run one after the other: each sees all that the ones before it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuCode {
    /// The kernel it was made from.
    pub kernel: Kernel,
    /// The machine it is made for.
    pub target: Target,
    /// The PTX text of one module.
    pub ptx: String,
    /// What to do, in order.
    pub steps: Vec<GpuStep>,
}

impl GpuCode {
    /// Every launch, whatever loops and guards are around it, in the order of the steps.
    #[must_use]
    pub fn launches(&self) -> Vec<&GpuLaunch> {
        fn collect<'c>(steps: &'c [GpuStep], out: &mut Vec<&'c GpuLaunch>) {
            for step in steps {
                match step {
                    GpuStep::Launch(launch) => out.push(launch),
                    GpuStep::Loop(l) => collect(&l.body, out),
                    GpuStep::If(_, then, otherwise) => {
                        collect(then, out);
                        collect(otherwise, out);
                    }
                }
            }
        }
        let mut out = Vec::new();
        collect(&self.steps, &mut out);
        out
    }
}
