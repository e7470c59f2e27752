//! What a GPU does just after a measurement: clocks and power, as `nvidia-smi` tells them.

use std::process::Command;

/// `sm_mhz,memory_mhz,watts` of a device; none where `nvidia-smi` does not say.
#[must_use]
pub fn gpu_state(ordinal: usize) -> Option<String> {
    let output = Command::new("nvidia-smi")
        .args(["--query-gpu=clocks.sm,clocks.mem,power.draw", "--format=csv,noheader,nounits"])
        .arg(format!("--id={ordinal}"))
        .output()
        .ok()
        .filter(|o| o.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().map(str::trim).filter(|l| l.split(", ").count() == 3)?;
    Some(line.replace(", ", ","))
}
