//! Kernels as PTX.
//!
//! In: a sealed kernel and a GPU target. Out: [`GpuCode`]: PTX text of one module, a function for
//! each launch of the kernel, and what the host does around them.
//! Keeps: mapped loops become the indices of blocks and threads, in a node without any one thread
//! runs all of it; loads and stores go to global memory, local buffers to memory of the thread.
//! Why here: LLVM knows the instructions; which loop runs where was decided before.

mod machine;
mod math;
mod module;
mod tools;

pub use tools::{Nvdisasm, Ptxas};

use warploom_ir::abi::GpuCode;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::{HostNode, Kernel, KernelNode};
use warploom_ir::target::{GpuLimits, Target};
use warploom_verify::Verified;

/// Most bytes of local buffers of one thread.
const MAX_THREAD_BYTES: i64 = 256 << 10;

/// PTX of a kernel.
///
/// # Errors
/// `E0903` for a target that is no GPU, `E1202` for what the target has no code for yet, `E1201`
/// where LLVM refuses the module (our defect).
pub fn compile(kernel: &Verified<Kernel>, target: Target) -> Result<GpuCode> {
    let limits = check(kernel.get(), target)?;
    let module = module::module(kernel.get());
    let ptx = machine::assembly(&module.text, target, limits)?;
    Ok(GpuCode { kernel: kernel.get().clone(), target, ptx, steps: module.steps })
}

/// The LLVM IR of a kernel as handed to LLVM.
///
/// # Errors
/// As [`compile`].
pub fn emit_llvm(kernel: &Verified<Kernel>, target: Target) -> Result<String> {
    check(kernel.get(), target)?;
    Ok(module::module(kernel.get()).text)
}

/// The limits of the target, where it has code for all of the kernel.
fn check(kernel: &Kernel, target: Target) -> Result<GpuLimits> {
    let limits = target.gpu().ok_or_else(|| {
        Box::new(Diagnostic::new(
            "E0903",
            Blame::Unsupported,
            format!("there is no PTX for {target}"),
        ))
    })?;
    if let Some(name) = math::missing(&kernel.body) {
        return Err(unsupported(&format!("there is no code for `{name}` on a GPU yet")));
    }
    let bytes = most_local_bytes(&HostNode::of(&kernel.body));
    if bytes > MAX_THREAD_BYTES {
        return Err(unsupported(&format!(
            "the local buffers of one thread take {bytes} bytes, and at most {MAX_THREAD_BYTES} \
             are possible"
        )));
    }
    Ok(limits)
}

/// What a GPU has no code for yet.
fn unsupported(what: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new("E1202", Blame::Unsupported, what)
            .help("run this kernel with --device cpu"),
    )
}

/// Most bytes of local buffers of a thread of a launch.
fn most_local_bytes(nodes: &[HostNode<'_>]) -> i64 {
    let most = |node: &HostNode<'_>| match node {
        HostNode::Launch(nodes) => nodes.iter().map(local_bytes).fold(0, i64::saturating_add),
        HostNode::Loop(_, body) => most_local_bytes(body),
        HostNode::If(_, a, b) => most_local_bytes(a).max(most_local_bytes(b)),
    };
    nodes.iter().map(most).max().unwrap_or(0)
}

/// Bytes of all local buffers below: unrolled copies share memory, neighbours of one size too.
fn local_bytes(node: &KernelNode) -> i64 {
    let sum = |nodes: &[KernelNode]| nodes.iter().map(local_bytes).fold(0_i64, i64::saturating_add);
    match node {
        KernelNode::Loop(l) => sum(&l.body),
        KernelNode::If(_, a, b) => sum(a).saturating_add(sum(b)),
        KernelNode::Store(_) => 0,
        KernelNode::Local(l) => l.bytes().unwrap_or(i64::MAX).saturating_add(sum(&l.body)),
    }
}
