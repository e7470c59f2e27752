//! NumPy as a contestant: an einsum in a process of its own, which waits between requests.
//!
//! In: an einsum and its operands. Out: turns, results. Requires a Python with NumPy at run time:
//! that of the environment that the set-up script makes, in this folder or one above, else
//! `python3`; without it the contestant says so.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use warploom::diag::{Blame, Diagnostic, Result};
use warploom::measure::Contestant;
use warploom::{DType, Name, Nest, Tensor, inputs, io, outputs};

use crate::process::Process;

/// What the process runs.
const SCRIPT: &str = include_str!("numpy_peer.py");
/// The Python that the set-up script makes.
const PYTHON: &str = ".venv/bin/python";

/// The process.
pub struct Numpy {
    process: Process,
    /// NumPy's version and that of its BLAS.
    pub version: String,
    /// Operands and results.
    folder: tempfile::TempDir,
}

impl Numpy {
    /// Starts it for one problem, whose operands are files.
    ///
    /// # Errors
    /// There is no Python with NumPy, or it does not take the problem.
    pub fn start(spec: &str, operands: &[PathBuf]) -> std::result::Result<Self, Box<dyn Error>> {
        let python = python();
        let what = format!("NumPy ({}; `make setup` installs it)", python.display());
        let mut command = Command::new(&python);
        let mut process = Process::start(command.args(["-c", SCRIPT]), &what)?;
        let problem = serde_json::json!({ "spec": spec, "operands": operands });
        let version = process.ask(&problem.to_string())?;
        Ok(Self { process, version, folder: tempfile::tempdir()? })
    }

    /// Starts it for an einsum with these inputs.
    ///
    /// # Errors
    /// `E0970` where there is no NumPy, or it has not a type of the problem.
    pub fn of(spec: &str, nest: &Nest, data: &BTreeMap<Name, Tensor>) -> Result<Self> {
        use DType::{Bf16, E2m1, E4m3, E5m2, Tf32, Ue4m3, Ue8m0};
        let known = |a: &DType| !matches!(a, Bf16 | E4m3 | E5m2 | E2m1 | Ue8m0 | Ue4m3 | Tf32);
        if let Some(odd) = nest.arrays.iter().map(|a| a.dtype).find(|d| !known(d)) {
            return Err(missing(&format!("NumPy has no {odd}")));
        }
        let folder = tempfile::tempdir().map_err(|e| missing(&e.to_string()))?;
        let mut files = Vec::new();
        for name in inputs(nest) {
            let path = folder.path().join(format!("{name}.npy"));
            if let Some(tensor) = data.get(&name) {
                io::save(&path, &[(&*name, tensor)])?;
            }
            files.push(path);
        }
        let started = Self::start(spec, &files).map_err(|e| missing(&e.to_string()))?;
        Ok(Self { folder, ..started })
    }

    /// Runs the einsum once; its seconds.
    ///
    /// # Errors
    /// The process fails.
    pub fn seconds(&mut self) -> std::result::Result<f64, Box<dyn Error>> {
        self.process.seconds()
    }

    /// Largest relative errors of the tensor in a file and of NumPy's own result.
    ///
    /// # Errors
    /// The process fails.
    pub fn errors(&mut self, tensor: &Path) -> std::result::Result<(f64, f64), Box<dyn Error>> {
        Ok(serde_json::from_str(&self.process.ask(&format!("check {}", tensor.display()))?)?)
    }

    /// NumPy's own result, as the output of a nest.
    ///
    /// # Errors
    /// `E0970` where the process fails.
    pub fn results(&mut self, nest: &Nest) -> Result<BTreeMap<Name, Tensor>> {
        let path = self.folder.path().join("result.npy");
        let asked = self.process.ask(&format!("save {}", path.display()));
        asked.map_err(|e| missing(&e.to_string()))?;
        let tensor = io::load(&path.display().to_string())?;
        Ok(outputs(nest).into_iter().map(|name| (name, tensor.clone())).collect())
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn stop(self) -> std::result::Result<(), Box<dyn Error>> {
        self.process.stop()
    }
}

impl Contestant for Numpy {
    type Error = Box<Diagnostic>;

    fn turn(&mut self, warm: usize) -> Result<f64> {
        let mut last = 0.0;
        for _ in 0..=warm {
            last = self.seconds().map_err(|e| missing(&e.to_string()))?;
        }
        Ok(last)
    }
}

fn missing(why: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0970", Blame::Environment, why.to_owned()))
}

/// The Python to start.
fn python() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(PYTHON)).find(|path| path.exists());
    found.unwrap_or_else(|| PathBuf::from("python3"))
}
