//! The performance model: how long a kernel takes on a GPU, computed from what it does.
//!
//! In: a kernel whose sizes are bound (any: from a schedule or by hand), and a machine; for the
//! automatic schedules, which rank tiles before there is a kernel, the [`Work`] of a product.
//! Out: a [`Prediction`]: seconds, the parts, and the resource that limits it.
//! Keeps: one set of formulas (`work`, `prediction`) for both; numbers of machines stand in
//! `machine`, those that were fitted say so. docs/performance-model.md says how well it predicts.

mod constant;
mod machine;
mod prediction;
pub(crate) mod product;
mod read;
mod work;

use warploom_ir::kernel::Kernel;

pub use constant::Constant;
pub use machine::{A100, B200, Fitted, H100, H200, Machine, Products};
pub use prediction::{Part, Prediction, predict};
pub use read::{Pattern, patterns, works};
pub use work::{LINE, Ring, Rows, Work, arrival, instruction, port_bytes};

/// The time of a kernel with bound sizes, all its launches; `None` where a size is open.
#[must_use]
pub fn predict_kernel(kernel: &Kernel, m: &Machine) -> Option<Prediction> {
    let works = works(kernel, m)?;
    Prediction::sum(&works.iter().map(|(n, w)| (*n, predict(w, m))).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
