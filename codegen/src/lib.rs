//! Code generation: verified kernels to host machine code, PTX, LLVM IR text and C.
//!
//! In: [`warploom_verify::Verified`] kernels. Out: [`host::HostModule`],
//! [`warploom_ir::abi::GpuCode`], IR text, C text.
//! Keeps: the only crate that sees LLVM.

pub mod c;
pub mod host;
mod llvm;
pub mod ptx;

/// LLVM's version, as in `22.1.0`.
#[must_use]
pub fn llvm_version() -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    format!("{major}.{minor}.{patch}")
}
