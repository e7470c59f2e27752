//! What tests across crates share: suites of cases that come from elsewhere, the examples as data,
//! and ways to break texts.
#![forbid(unsafe_code)]

pub mod conv;
pub mod corpus;
pub mod einsum;
pub mod inputs;
pub mod instructions;
pub mod mutate;
pub mod polybench;
pub mod programs;
pub mod random;
pub mod tensor;
pub mod weaken;

pub use corpus::{Example, examples};
pub use einsum::{EinsumCase, Expected, einsum_suite};
pub use inputs::random_inputs;
pub use mutate::{Bits, mutate};
