//! Kinds of devices, as tuning records name them.
//!
//! In: an executor. Out: a name that all devices share for which one record may serve.

use std::fs;

use warploom_ir::target::Target;
use warploom_runtime::cuda::Devices;

use crate::device::Executor;

/// The kind of an executor's device.
#[must_use]
pub fn kind(executor: &Executor) -> String {
    match executor {
        Executor::Cpu => processor(),
        Executor::Cuda(device) => {
            let info = device.info();
            format!("{}, {} multiprocessors", info.name, info.multiprocessors)
        }
    }
}

/// The kind of this machine's first device that runs code for a target; empty where there is none.
#[must_use]
pub fn kind_for(target: Target) -> String {
    if target == Target::Cpu {
        return processor();
    }
    let found = Devices::list().unwrap_or_default();
    let info = found.iter().find(|info| info.target() == Some(target));
    let name = |i: &warploom_runtime::cuda::DeviceInfo| {
        format!("{}, {} multiprocessors", i.name, i.multiprocessors)
    };
    info.map_or_else(String::new, name)
}

/// The processor's name and threads.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(std::env::consts::ARCH, |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{model}, {threads} threads")
}
