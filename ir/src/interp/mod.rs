//! Interpreters: what a nest and a kernel mean, executed slowly and checked at every step.
//!
//! Both interpreters share the evaluation of typed stores (`code`); they differ in the walk.
//! In: a nest or kernel, sizes, input tensors. Out: output tensors, or a diagnostic that names the
//! instance and the element.
//! Why here: they are the oracle for verification, tests and `--verify`, so they share no code
//! with lowering or code generation.

mod code;
mod device;
mod domain;
pub mod kernel;
pub mod nest;

#[cfg(test)]
mod tests;
