//! Dependences, legality, schedule steps and lowering (docs/ARCHITECTURE.md).
//!
//! In: a nest as [`warploom_ir::schedule::Poly`] and a [`warploom_ir::schedule::Tree`]. Out: what
//! depends on what, whether an order is legal and why not, and kernels.
//! Keeps: isl objects stay inside [`DepContext`] and single calls; every isl call runs under a
//! deadline, so nothing here hangs.
//!
//! ```text
//! let (poly, tree) = Poly::from_nest(&nest)?;
//! let deps = DepContext::new(&poly, &tree, &nest.source)?;
//! deps.check_order(&new_tree)?;             // Err(Box<Illegal>): diagnostic + witness
//! deps.check_parallel(&new_tree, "m")?;
//! deps.check_vector(&new_tree, "n")?;
//! deps.coincident(&new_tree, "k")?;         // Ok(None) or Ok(Some(why not))
//! let kernel = lower(&poly, &new_tree, &nest.source)?;
//! ```
#![forbid(unsafe_code)]

mod auto;
mod block;
mod counted;
mod deps;
pub mod explain;
mod flow;
mod footprint;
mod index;
mod isl_affine;
mod kept;
mod launches;
mod layout;
mod legality;
mod locals;
mod lower;
pub mod model;
mod pairs;
mod poly_isl;
mod ranges;
pub mod report;
mod schedule;
mod scopes;
mod specialize;
mod steps;
mod suggest;
mod tensor_cores;
mod ties;
mod times;
mod trouble;

pub use auto::{
    Choices, CpuOptions, Explored, GpuOptions, Hole, HoleOption, Paired, auto_cpu, auto_gpu,
    auto_gpu_lowered, explore, plain_gpu,
};
pub use deps::{DepContext, DepKind, Dependence};
pub use launches::launches;
pub use legality::{Illegal, Instance, Why, Witness};
pub use lower::lower;
pub use schedule::{Applied, Schedule, Session};
pub use tensor_cores::{TensorCores, tensor_cores};
