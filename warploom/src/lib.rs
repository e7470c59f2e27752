//! Warploom's public API: specs to nests, schedules, compiled programs, verified results.
//!
//! Why here: the crates below meet only in this one; users and the command line see nothing else.
#![forbid(unsafe_code)]

pub mod anytime;
mod bind;
pub mod cache;
pub mod calibrate;
pub mod compile;
mod contracts;
pub mod device;
pub mod doctor;
mod handwritten;
pub mod io;
pub mod jit;
pub mod lent;
pub mod measure;
pub mod ozaki;
mod random;
pub mod reduce;
pub mod resources;
mod sealed;
mod slice;
mod spec;
pub mod tune;
pub mod verify;

pub use bind::{Sizes, bind, bind_some, parse_sizes};
pub use handwritten::KernelFile;
pub use random::fill_random;
pub use spec::{Spec, SpecTypes, inputs, outputs};
pub use warploom_ir::affine::Name;
pub use warploom_ir::diag::{self, Diagnostic};
pub use warploom_ir::dtype::DType;
pub use warploom_ir::einsum::Einsum;
pub use warploom_ir::kernel::{Index, Kernel};
pub use warploom_ir::nest::{Accumulation, Array, Keeps, Nest, Role};
pub use warploom_ir::schedule::Tree;
pub use warploom_ir::schedule::step::{LayoutTerm, Script, Step};
pub use warploom_ir::target::Target;
pub use warploom_ir::tensor::Tensor;
/// Limits the time that all analyses of a thread take together.
pub use warploom_isl::within;
pub use warploom_scheduler::{
    Dependence, GpuOptions, Paired, Schedule, Session, explain, model, report,
};
pub use warploom_scheduler::{TensorCores, tensor_cores};
