//! Execution of compiled programs: host kernels, threads, GPUs, timing.
//!
//! In: machine code behind [`warploom_ir::abi`] and tensors. Out: tensors, or a diagnostic that
//! names the argument that does not fit or the device's failure.

pub mod cuda;
pub mod host;
mod taken;

pub use taken::Taken;
