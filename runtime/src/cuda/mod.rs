//! Programs on NVIDIA GPUs, through the driver's API.
//!
//! In: PTX and tensors. Out: launches, tensors, times. Requires nothing to build; at run time a
//! driver for CUDA 12.0 or later and a GPU of compute capability 8.0 or later, or every call says
//! that they are missing.
//! Keeps: launches are ordered by the buffers they touch and by nothing else, and what they need
//! lives until they have ended.

mod args;
mod arguments;
mod buffer;
mod device;
mod driver;
mod foreign;
mod handle;
mod lent;
mod order;
mod program;
mod recorded;
mod replay;
mod steps;
mod time;
mod track;

pub use buffer::DeviceBuffer;
pub use device::{Device, DeviceInfo, Devices};
pub use foreign::ForeignLaunch;
pub use handle::LaunchHandle;
pub use lent::LentProgram;
pub use program::{BoundProgram, LoadedProgram};
pub use time::{Timed, time_launches};
