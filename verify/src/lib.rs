//! Verifiers: what code generation accepts, proven or refused with reasons.
//!
//! In: nests and kernels, from lowering or from a person. Out: the same value, sealed,
//! or diagnostics.
//! Why here: the verifier shares no code with lowering, so that neither hides the other's faults.
#![forbid(unsafe_code)]

pub mod kernel;
mod kernel_proofs;
pub mod nest;

pub use kernel::kernel;
pub use nest::nest;

/// A value that its verifier accepted. Only this crate can make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The value.
    #[must_use]
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The value, unsealed.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}
