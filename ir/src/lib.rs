//! Warploom's representations as plain values: nests, schedules, kernels, diagnostics.
//!
//! Keeps: no unsafe code, no C library, no I/O. Everything here can be built, printed, parsed and
//! compared with nothing else alive, and is `Send + Sync`.
#![forbid(unsafe_code)]

pub mod abi;
pub mod affine;
pub mod diag;
pub mod dtype;
pub mod einsum;
pub mod expr;
pub mod instruction;
pub mod interp;
pub mod kernel;
pub mod lex;
pub mod nest;
pub mod planted;
pub mod program;
pub mod schedule;
pub mod system;
pub mod target;
pub mod tensor;
pub mod typing;
pub mod value;
