//! Where a program runs: this machine's processor or one of its GPUs.
//!
//! In: a name such as `cuda:1`, or none. Out: the processor or an open device. Keeps: a device that
//! is named and cannot be used is an error, never silently another one.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
pub use warploom_runtime::cuda::{
    BoundProgram, Device, DeviceBuffer, DeviceInfo, Devices, ForeignLaunch, LaunchHandle,
    LentProgram, LoadedProgram, Timed, time_launches,
};
use warploom_scheduler::Schedule;

use crate::compile;

/// What runs a program.
#[derive(Clone)]
pub enum Executor {
    /// This machine's processor.
    Cpu,
    /// A GPU.
    Cuda(Device),
}

impl Executor {
    /// The first GPU that is new enough, else the processor.
    ///
    /// # Errors
    /// A GPU that is there and cannot be opened.
    pub fn best() -> Result<Self> {
        let found = Devices::list().unwrap_or_default();
        match found.iter().find(|info| info.target().is_some()) {
            Some(info) => Device::open(info.ordinal).map(Self::Cuda),
            None => Ok(Self::Cpu),
        }
    }

    /// What code is made for.
    #[must_use]
    pub fn target(&self) -> Target {
        match self {
            Self::Cpu => Target::Cpu,
            Self::Cuda(device) => device.target(),
        }
    }

    /// The executor of a name: `cpu`, `cuda` (the first) or `cuda:i`.
    ///
    /// # Errors
    /// `E0905` for a name that is no device; `E1110`, `E1116` for a GPU that is not there or too
    /// old.
    pub fn named(name: &str) -> Result<Self> {
        match parse(name)? {
            None => Ok(Self::Cpu),
            Some(ordinal) => Device::open(ordinal).map(Self::Cuda),
        }
    }
}

impl Executor {
    /// Compiles a schedule, runs it once with these inputs, at sizes that the nest leaves open, and
    /// gives its outputs.
    ///
    /// # Errors
    /// What the compilation refuses, inputs that do not fit, a failure of the device.
    pub fn run(
        &self,
        schedule: &Schedule,
        inputs: &BTreeMap<Name, Tensor>,
        sizes: &BTreeMap<Name, i64>,
    ) -> Result<BTreeMap<Name, Tensor>> {
        let device = match self {
            Self::Cpu => return compile::compile(schedule)?.run_at(inputs, sizes, None),
            Self::Cuda(device) => device,
        };
        let code = compile::lower(schedule)?.gpu(device.target())?;
        let program = device.load(&code)?;
        let arrays = program.arrays(inputs, sizes)?;
        program.bind(&arrays, sizes)?.launch()?.wait()?;
        program.written(&arrays)
    }
}

/// `None` for the processor, else the number of a GPU.
fn parse(name: &str) -> Result<Option<usize>> {
    let ordinal = match name {
        "cpu" => return Ok(None),
        "cuda" => Some(0),
        other => other
            .strip_prefix("cuda:")
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok()),
    };
    ordinal.map(Some).ok_or_else(|| {
        Box::new(
            Diagnostic::input("E0905", format!("`{name}` is no device"))
                .help("the devices are cpu and cuda[:i]"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_devices() {
        assert_eq!(parse("cpu").unwrap(), None);
        assert_eq!(parse("cuda").unwrap(), Some(0));
        assert_eq!(parse("cuda:0").unwrap(), Some(0));
        assert_eq!(parse("cuda:17").unwrap(), Some(17));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda1", "CUDA"] {
            assert_eq!(parse(wrong).unwrap_err().code, "E0905", "{wrong}");
        }
        let huge = "cuda:99999999999999999999999";
        assert_eq!(parse(huge).unwrap_err().code, "E0905");
    }

    #[test]
    fn a_device_that_is_not_there_is_no_other_one() {
        assert!(matches!(Executor::named("cpu").unwrap(), Executor::Cpu));
        let gpus = Devices::list().unwrap_or_default();
        let usable = gpus.iter().any(|info| info.target().is_some());
        assert_eq!(matches!(Executor::best().unwrap(), Executor::Cuda(_)), usable);
        let d = Executor::named("cuda:4096").err().expect("no machine has as many");
        assert_eq!((d.code, d.blame.exit_code()), ("E1110", 3));
    }
}
