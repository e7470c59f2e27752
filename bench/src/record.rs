//! What a line of a record says of where and when it was measured.
//!
//! In: `nvidia-smi`, the processor's name; the file `commit` that a bundle has, else git. Out:
//! columns. Keeps: what cannot be found out is written as `unknown`, and never stops a measurement.

use std::fs;
use std::process::Command;

/// Columns of [`Machine::columns`].
pub(crate) const COLUMNS: &str = "gpu,driver,commit,date";

/// Columns of [`state`].
pub(crate) const STATE: &str = "sm_mhz,memory_mhz,watts";

/// Columns of [`host`].
pub(crate) const HOST: &str = "date,commit,processor";

/// Where and when.
pub(crate) struct Machine {
    gpu: String,
    driver: String,
    commit: String,
    date: String,
}

impl Machine {
    /// Looks once.
    pub(crate) fn look() -> Self {
        let asked = smi("name,driver_version");
        let (gpu, driver) = asked.split_once(", ").unwrap_or((&asked, "unknown"));
        Self {
            gpu: gpu.to_owned(),
            driver: driver.to_owned(),
            commit: commit(),
            date: answer("date", &["-u", "+%F"]),
        }
    }

    /// The fields of [`COLUMNS`].
    pub(crate) fn columns(&self) -> String {
        let Self { gpu, driver, commit, date } = self;
        format!("{gpu},{driver},{commit},{date}")
    }
}

/// When and on which processor, the fields of [`HOST`].
pub(crate) fn host() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown", |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{},{},{model} ({threads} threads)", answer("date", &["-u", "+%F"]), commit())
}

/// The commit that was built.
fn commit() -> String {
    let bundled = fs::read_to_string("commit").ok().map(|text| text.trim().to_owned());
    bundled.unwrap_or_else(|| answer("git", &["describe", "--always", "--dirty", "--exclude=*"]))
}

/// Clocks and power just after a measurement, the fields of [`STATE`].
pub(crate) fn state() -> String {
    warploom_contest::gpu_state(0).unwrap_or_else(|| "unknown,unknown,unknown".to_owned())
}

/// What `nvidia-smi` says of the first GPU.
fn smi(query: &str) -> String {
    let query = format!("--query-gpu={query}");
    answer("nvidia-smi", &[&query, "--format=csv,noheader,nounits", "--id=0"])
}

/// The first line that a command prints.
fn answer(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().ok();
    let text = output.filter(|o| o.status.success()).map(|o| o.stdout);
    let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let line = text.as_deref().and_then(|t| t.lines().next()).map(str::trim);
    line.filter(|l| !l.is_empty()).unwrap_or("unknown").to_owned()
}
