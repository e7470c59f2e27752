//! Contestants for comparisons: other compilers, libraries and kernels that people wrote, which run
//! on our arrays, device and stream; and the comparison itself.
//!
//! In: a problem and contestants. Out: checked results, times taken in turn, a table and a chart.
//! Requires nothing to build; at run time a library or tool, or the contestant says that it is
//! missing.

mod arrays;
pub mod chart;
pub mod compare;
mod cublaslt;
mod cuda;
mod expression;
pub mod gap;
mod gcc;
mod manifest;
mod numpy;
mod process;
mod state;
pub mod suite;

pub use cublaslt::{CublasLt, Plan, Product};
pub use gcc::{CCode, FLAGS, version as gcc_version};
pub use manifest::{Argument, Language, Launch, Manifest, Problem, Width, product};
pub use numpy::Numpy;
pub use process::Process;
pub use state::gpu_state;
