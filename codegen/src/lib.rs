//! Code generation: verified kernels to host machine code, LLVM IR text and C.
//!
//! In: [`warploom_verify::Verified`] kernels. Out: [`host::HostModule`], IR text, C text.
//! Keeps: the only crate that sees LLVM.

pub mod c;
pub mod host;
