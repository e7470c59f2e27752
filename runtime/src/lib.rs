//! Execution of compiled programs: host kernels, threads, timing.
//!
//! In: machine code behind [`warploom_ir::abi::HostCode`] and tensors. Out: tensors, or a
//! diagnostic that names the argument that does not fit.
#![forbid(unsafe_code)]

pub mod host;
