//! What tests across crates share: suites of cases that come from elsewhere.
#![forbid(unsafe_code)]

pub mod einsum;

pub use einsum::{EinsumCase, Expected, einsum_suite};
