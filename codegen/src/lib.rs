//! Code generation: verified kernels to host machine code, PTX, LLVM IR text and C.
//!
//! In: [`warploom_verify::Verified`] kernels. Out: [`host::HostModule`],
//! [`warploom_ir::abi::GpuCode`], IR text, C text.
//! Keeps: the only crate that sees LLVM.

pub mod c;
pub mod host;
mod llvm;
pub mod ptx;
