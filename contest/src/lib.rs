//! Contestants for comparisons: other libraries, which run on our device, stream and memory.
//!
//! In: a problem and arrays on a device. Out: launches that are timed beside ours. Requires nothing
//! to build; at run time the library, or the contestant says that it is missing.

mod cublaslt;

pub use cublaslt::{CublasLt, Plan, Product};
