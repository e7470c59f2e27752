//! Kernels as machine code of this process.
//!
//! In: a sealed kernel. Out: [`HostModule`], which the runtime calls through
//! [`warploom_ir::abi::HostCode`].

mod call;
mod jit;
mod math;
mod module;
mod scratch;

pub use call::HostModule;
pub use jit::Stage;

use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::Kernel;
use warploom_verify::Verified;

/// How to compile for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// Run LLVM's optimisation pipeline.
    pub optimize: bool,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self { optimize: true }
    }
}

/// Machine code of a kernel, for this machine with all its features.
///
/// # Errors
/// `E1202` for a block program; LLVM refuses the module, or the code calls something that does not
/// exist (both our defects).
pub fn compile(kernel: &Verified<Kernel>, options: &HostOptions) -> Result<HostModule> {
    if kernel.get().has_block_program() {
        let text = "a block program runs on a GPU, not on a processor";
        return Err(Box::new(Diagnostic::new("E1202", Blame::Unsupported, text)));
    }
    HostModule::new(kernel.get(), options)
}

/// The LLVM IR of a kernel as handed to LLVM, for this machine.
///
/// # Panics
/// The kernel has a block program, which a processor cannot run.
#[must_use]
pub fn emit_llvm(kernel: &Verified<Kernel>) -> String {
    jit::emitted(kernel.get()).text
}

/// The kernel's code after optimisation: IR or assembly.
///
/// # Errors
/// As [`compile`].
pub fn inspect(kernel: &Verified<Kernel>, options: &HostOptions, stage: Stage) -> Result<String> {
    jit::inspect(kernel.get(), options, stage)
}
