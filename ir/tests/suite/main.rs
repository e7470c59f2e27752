//! The tests of texts and diagnostics.
//!
//! Why one program: each program of tests links the whole compiler, which takes disk and time.

mod einsum;
mod nest_errors;
mod nest_text;
