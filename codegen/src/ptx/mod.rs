//! Kernels as PTX.
//!
//! In: a sealed kernel and a GPU target. Out: [`GpuCode`]: PTX text of one module, a function for
//! each launch of the kernel, and what the host does around them.
//! Keeps: mapped loops become the indices of blocks and threads, in a node without any one thread
//! runs all of it; loads and stores go to global memory, local buffers to shared memory where they
//! stand outside thread loops, else to memory of the thread.
//! Why here: LLVM knows the instructions; which loop runs where was decided before.

pub(crate) mod barriers;
pub(crate) mod block;
mod machine;
pub(crate) mod math;
mod module;
mod tools;

pub use tools::{Nvdisasm, Ptxas};

use barriers::Plan;
use warploom_ir::abi::GpuCode;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::device::Block;
use warploom_ir::kernel::{HostNode, Kernel, KernelNode};
use warploom_ir::target::{GpuLimits, Target};
use warploom_verify::Verified;

/// Most bytes of local buffers of one thread.
const MAX_THREAD_BYTES: i64 = 256 << 10;

/// PTX of a kernel.
///
/// # Errors
/// `E0903` for a target that is no GPU, `E1202` for what the target has no code for yet, `E1204`
/// for more shared memory than it has, `E1201` where LLVM refuses the module (our defect).
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
    if let Some(what) = block::missing(kernel, target) {
        let text = format!("there is no {}", what.text);
        let refused = Diagnostic::new("E1205", Blame::Unsupported, text).help(what.help);
        return Err(Box::new(refused));
    }
    check_memory(kernel, &HostNode::of(&kernel.body), target, limits)?;
    Ok(limits)
}

/// Whether the local buffers of each launch fit its threads and blocks.
fn check_memory(
    kernel: &Kernel,
    nodes: &[HostNode<'_>],
    target: Target,
    limits: GpuLimits,
) -> Result<()> {
    for node in nodes {
        let launch = match node {
            HostNode::Launch(launch) => launch,
            HostNode::Loop(_, body) => {
                check_memory(kernel, body, target, limits)?;
                continue;
            }
            HostNode::If(_, then, otherwise) => {
                check_memory(kernel, then, target, limits)?;
                check_memory(kernel, otherwise, target, limits)?;
                continue;
            }
        };
        let plan = module::shared(kernel, launch);
        let bytes = sum(launch, &plan);
        if bytes > MAX_THREAD_BYTES {
            return Err(unsupported(&format!(
                "the local buffers of one thread take {bytes} bytes, and at most \
                 {MAX_THREAD_BYTES} are possible"
            )));
        }
        let program = module::program(launch);
        if program.is_some_and(|b| block::meetings(b) > block::MEETINGS) {
            return Err(unsupported("more than 15 teams of a block meet"));
        }
        let bytes = program.and_then(Block::bytes).unwrap_or(plan.bytes);
        if bytes > i64::from(limits.shared_bytes) {
            let most = limits.shared_bytes;
            let text = format!(
                "the buffers that the threads of a block share take {bytes} bytes, and {target} \
                 has {most}"
            );
            let help = "stage less at a time: smaller tiles, or a loop further in";
            let refused = Diagnostic::new("E1204", Blame::Schedule, text).help(help);
            return Err(Box::new(refused));
        }
    }
    Ok(())
}

/// What a GPU has no code for yet.
fn unsupported(what: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new("E1202", Blame::Unsupported, what)
            .help("run this kernel with --device cpu"),
    )
}

/// Bytes of all local buffers below that a thread has for itself: unrolled copies share memory,
/// neighbours of one size too.
fn sum(nodes: &[KernelNode], plan: &Plan) -> i64 {
    nodes.iter().map(|n| thread_bytes(n, plan)).fold(0_i64, i64::saturating_add)
}

fn thread_bytes(node: &KernelNode, plan: &Plan) -> i64 {
    match node {
        KernelNode::Loop(l) => sum(&l.body, plan),
        KernelNode::If(_, a, b) => sum(a, plan).saturating_add(sum(b, plan)),
        KernelNode::Store(_) => 0,
        KernelNode::Device(d) => d.bodies().into_iter().map(|b| sum(b, plan)).max().unwrap_or(0),
        KernelNode::Local(l) => {
            let shared = plan.offsets.contains_key(&std::ptr::from_ref(l));
            let own = if shared { Some(0) } else { l.bytes_per_thread() };
            own.unwrap_or(i64::MAX).saturating_add(sum(&l.body, plan))
        }
    }
}
