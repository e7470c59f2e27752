//! Calling compiled code: arguments in, pool callback out, panics kept on their side.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use warploom_ir::abi::{HostArg, HostCode, Pool};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Role;

use super::scratch::Scratch;
use super::{HostOptions, jit};

/// Chunks per thread: enough to balance triangular loops.
const CHUNKS_PER_THREAD: usize = 4;

type Body = unsafe extern "C" fn(*const c_void, i64, i64, *mut u8);
type RunParallel = extern "C" fn(*const CallContext<'_>, Body, *const c_void, i64);
type Entry =
    unsafe extern "C" fn(*const *mut u8, *const i64, RunParallel, *const CallContext<'_>, *mut u8);

/// What a call hands through the code to its parallel loops.
struct CallContext<'a> {
    pool: &'a dyn Pool,
    /// Memory for the local buffers of tasks.
    tasks: &'a Scratch,
    /// A task had no memory and did not run.
    starved: AtomicBool,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
}

/// A pointer that may go to other threads.
struct Shared(*const c_void);

// SAFETY: it points to the loop's environment, which is only read while tasks run; the arrays it
// leads to are accessed without races, as the verifier proved.
unsafe impl Sync for Shared {}

impl Shared {
    const fn get(&self) -> *const c_void {
        self.0
    }
}

/// Runs a parallel loop's iterations `0..n`.
extern "C" fn run_parallel(
    context: *const CallContext<'_>,
    body: Body,
    env: *const c_void,
    n: i64,
) {
    // SAFETY: the code passes on the pointer it got from `call`, which outlives the call.
    let context = unsafe { &*context };
    let Ok(n) = usize::try_from(n) else { return };
    if n == 0 || context.panic.borrow().is_some() {
        return;
    }
    let threads = context.pool.threads().max(1);
    let chunks = if threads == 1 { 1 } else { n.min(threads * CHUNKS_PER_THREAD) };
    let env = Shared(env);
    let (tasks, starved) = (context.tasks, &context.starved);
    let task = |i: usize| {
        let at = |i: usize| (n / chunks * i + (n % chunks).min(i)) as i64;
        // SAFETY: the outlined body of this loop with its own environment and a block that no
        // other task uses, as large as the code said; compiled code does not unwind.
        let run = |scratch| unsafe { body(env.get(), at(i), at(i + 1), scratch) };
        if tasks.with(run).is_none() {
            starved.store(true, Ordering::Relaxed);
        }
    };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| context.pool.run(chunks, &task))) {
        *context.panic.borrow_mut() = Some(panic);
    }
}

/// A kernel's machine code.
pub struct HostModule {
    kernel: Kernel,
    code: jit::Loaded,
    /// Memory for the local buffers outside parallel loops.
    calls: Scratch,
    /// Memory for the local buffers in parallel loops.
    tasks: Scratch,
}

impl std::fmt::Debug for HostModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostModule").field("kernel", &self.kernel.name).finish_non_exhaustive()
    }
}

impl HostModule {
    pub(crate) fn new(kernel: &Kernel, options: &HostOptions) -> Result<Self> {
        let code = jit::load(kernel, options)?;
        let [calls, tasks] = code.scratch.map(Scratch::new);
        Ok(Self { kernel: kernel.clone(), code, calls, tasks })
    }

    /// Checks one argument and gives its address.
    fn argument(&self, i: usize, arg: &mut HostArg<'_>, params: &[i64]) -> Result<*mut u8> {
        let buffer = &self.kernel.buffers[i];
        let wrong = |what: String| {
            Box::new(Diagnostic::input("E1102", format!("argument `{}` {what}", buffer.name)))
        };
        let lookup =
            |name: &str| self.kernel.params.iter().position(|p| &**p == name).map(|p| params[p]);
        let extent =
            |e: &warploom_ir::kernel::Index| e.eval(&lookup).and_then(|v| usize::try_from(v).ok());
        let elements = buffer.shape.iter().try_fold(1_usize, |n, e| n.checked_mul(extent(e)?));
        let bytes = elements
            .and_then(|n| buffer.dtype.bytes_of(n))
            .filter(|b| isize::try_from(*b).is_ok())
            .ok_or_else(|| wrong("has no representable shape for these sizes".into()))?;
        let written = !matches!(buffer.role, Role::In | Role::Const(_));
        let (address, len) = match arg {
            HostArg::Read(_) if written => {
                return Err(wrong("is written but given to read".into()));
            }
            HostArg::Read(data) => (data.as_ptr().cast_mut(), data.len()),
            HostArg::Write(data) => (data.as_mut_ptr(), data.len()),
        };
        if len != bytes {
            return Err(wrong(format!("has {len} bytes, but its shape needs {bytes}")));
        }
        if len > 0 && !(address as usize).is_multiple_of(64) {
            return Err(wrong("is not aligned to 64 bytes".into()));
        }
        Ok(address)
    }
}

impl HostCode for HostModule {
    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn call(&self, buffers: &mut [HostArg<'_>], params: &[i64], pool: &dyn Pool) -> Result<()> {
        let (want, got) = (self.kernel.buffers.len(), buffers.len());
        if want != got || self.kernel.params.len() != params.len() {
            return Err(Box::new(Diagnostic::input(
                "E1101",
                format!(
                    "the kernel takes {want} buffers and {} sizes, not {got} and {}",
                    self.kernel.params.len(),
                    params.len()
                ),
            )));
        }
        let addresses: Vec<*mut u8> = buffers
            .iter_mut()
            .enumerate()
            .map(|(i, arg)| self.argument(i, arg, params))
            .collect::<Result<_>>()?;
        let starved = AtomicBool::new(false);
        let context = CallContext { pool, tasks: &self.tasks, starved, panic: RefCell::new(None) };
        // SAFETY: `entry` is the compiled kernel with this signature, alive as long as `self`;
        // lengths and access were checked above, and the verifier sealed the kernel, so every
        // access stays inside its buffer and written buffers are not shared; `scratch` has as many
        // bytes as the code said.
        let ran = self.calls.with(|scratch| unsafe {
            let entry: Entry = std::mem::transmute::<usize, Entry>(self.code.entry());
            entry(addresses.as_ptr(), params.as_ptr(), run_parallel, &raw const context, scratch);
        });
        if let Some(panic) = context.panic.into_inner() {
            resume_unwind(panic);
        }
        if ran.is_none() || context.starved.into_inner() {
            let bytes = self.code.scratch.iter().max().copied().unwrap_or(0);
            let text = format!("no memory for the kernel's local buffers, {bytes} bytes a thread");
            return Err(Box::new(Diagnostic::new("E1107", Blame::Environment, text)));
        }
        Ok(())
    }
}
