//! NumPy in a process of its own, which waits between requests (bench/numpy_peer.py).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::Process;

/// The Python that `make setup` makes.
const PYTHON: &str = ".venv/bin/python";

/// The process.
pub(crate) struct Numpy {
    process: Process,
}

impl Numpy {
    /// Starts it for one problem; also gives the version of NumPy and its BLAS.
    pub(crate) fn start(
        spec: &str,
        operands: &[PathBuf],
    ) -> Result<(Self, String), Box<dyn Error>> {
        let what = format!("{PYTHON} (run `make setup` first)");
        let mut command = Command::new(PYTHON);
        let mut process = Process::start(command.arg("bench/numpy_peer.py"), &what)?;
        let problem = serde_json::json!({ "spec": spec, "operands": operands });
        let version = process.ask(&problem.to_string())?;
        Ok((Self { process }, version))
    }

    /// Runs the einsum once; its seconds.
    pub(crate) fn seconds(&mut self) -> Result<f64, Box<dyn Error>> {
        self.process.seconds()
    }

    /// Largest relative errors of the tensor in a file and of NumPy's own result.
    pub(crate) fn errors(&mut self, tensor: &Path) -> Result<(f64, f64), Box<dyn Error>> {
        Ok(serde_json::from_str(&self.process.ask(&format!("check {}", tensor.display()))?)?)
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Result<(), Box<dyn Error>> {
        self.process.stop()
    }
}
