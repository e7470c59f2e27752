//! PyTorch in a process of its own, which waits between requests (bench/torch_peer.py).

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::problem::{self, Problem};
use warploom::measure::Contestant;
use warploom::measure::Percentiles;
use warploom_contest::Process;

/// The longest that an answer may take: the first needs PyTorch's start, and compiling is slow.
const LIMIT: Duration = Duration::from_secs(120);

/// The process.
pub(crate) struct Torch {
    process: Process,
    /// Versions of PyTorch and CUDA.
    pub(crate) version: String,
}

/// The error of the element that comes closest to its bound, and that bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) error: f64,
    pub(crate) bound: f64,
}

impl Torch {
    /// Starts it; `mode` is `eager` or `compiled`.
    pub(crate) fn start(mode: &str) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new("python3");
        let command = command.args(["bench/torch_peer.py", mode]);
        let mut process = Process::start(command, "python3 with PyTorch")?;
        let version = process.ask_within("version", LIMIT)?;
        Ok(Self { process, version })
    }

    /// Seconds of a copy on the device that reads `bytes` and writes as many.
    pub(crate) fn copy(&mut self, bytes: usize) -> Result<Percentiles, Box<dyn Error>> {
        let answer = self.process.ask_within(&format!("copy {bytes}"), LIMIT)?;
        Ok(Percentiles::of(serde_json::from_str(&answer)?))
    }

    /// Sets a problem up on `sets` sets of arrays.
    pub(crate) fn prepare(
        &mut self,
        operation: &str,
        problem: &Problem,
        sets: usize,
    ) -> Result<(), Box<dyn Error>> {
        let mut operands = Vec::new();
        for name in warploom::inputs(&problem.nest) {
            let array = problem.nest.array(&name).ok_or("an input that is not there")?;
            let file = problem.files.get(&name).ok_or("an input without a file")?;
            let shape = problem::extents(&problem.nest, &name)?;
            let dtype = array.dtype.name();
            operands.push(serde_json::json!({ "dtype": dtype, "shape": shape, "file": file }));
        }
        let line =
            serde_json::json!({ "operation": operation, "operands": operands, "sets": sets });
        self.process.ask_within(&line.to_string(), LIMIT).map(drop)
    }

    /// The largest errors of a result in a file and of its own, by the operation in binary64.
    pub(crate) fn judge(&mut self, result: &Path) -> Result<[Judged; 2], Box<dyn Error>> {
        let answer = self.process.ask_within(&format!("check {}", result.display()), LIMIT)?;
        let [ours, own]: [(f64, f64); 2] = serde_json::from_str(&answer)?;
        Ok([ours, own].map(|(error, bound)| Judged { error, bound }))
    }
}

impl Contestant for Torch {
    type Error = Box<dyn Error>;

    fn turn(&mut self, warm: usize) -> Result<f64, Box<dyn Error>> {
        Ok(self.process.ask_within(&format!("turn {warm}"), LIMIT)?.parse()?)
    }
}
