//! Kernels as LLVM IR text: what host and GPU code have in common.
//!
//! In: loops, guards, stores and expressions of a sealed kernel. Out: IR text of the functions that
//! the host's or the GPU's module is made of.
//! Why here: the two differ in how a kernel starts and where its memory is, not in its arithmetic.

pub(crate) mod build;
pub(crate) mod convert;
pub(crate) mod emit;
pub(crate) mod expr;
mod guards;
pub(crate) mod lin;
pub(crate) mod memory;
mod moves;
mod quotients;
pub(crate) mod range;
pub(crate) mod storage;
pub(crate) mod team;
pub(crate) mod tile;
