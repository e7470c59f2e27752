//! A kernel of PolyBench in plain CUDA, compiled by nvcc on the spot, in a process of its own
//! (bench/handwritten/polybench).

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use warploom::{Name, Tensor};

use super::problem::{self, Problem};
use warploom::measure::Contestant;
use warploom_contest::Process;

/// What nvcc is told.
pub(crate) const FLAGS: [&str; 2] = ["-O3", "-arch=native"];

/// The process.
pub(crate) struct Cuda {
    process: Process,
    /// The compiler's version.
    pub(crate) version: String,
    limit: Duration,
}

/// Compiles a kernel in `folder`; the path of the program.
pub(crate) fn build(kernel: &str, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let binary = folder.join("cuda_peer");
    let source = format!("bench/handwritten/polybench/{kernel}.cu");
    let done = Command::new("nvcc").args(FLAGS).arg("-o").arg(&binary).arg(source).output();
    let done = done.map_err(|e| format!("cannot start nvcc: {e}"))?;
    if !done.status.success() {
        return Err(format!("nvcc failed: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(binary)
}

impl Cuda {
    /// Starts a program that [`build`] made, on a problem.
    pub(crate) fn start(
        binary: &Path,
        problem: &Problem,
        limit: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let nest = &problem.nest;
        let arrays = problem::arrays(nest);
        let sizes: Vec<i64> = nest.params.iter().filter_map(|p| p.value).collect();
        let mut lines = format!("{} {}", arrays.len(), sizes.len());
        for size in sizes {
            let _ = write!(lines, " {size}");
        }
        for name in &arrays {
            let bytes = problem::size_bytes(nest, name)?;
            let file = problem.files.get(name).map_or("-".into(), |f| f.display().to_string());
            let _ = write!(lines, "\n{bytes} {file}");
        }
        let mut process = Process::start(&mut Command::new(binary), "the CUDA version")?;
        let version = process.ask_within(&lines, limit)?;
        Ok(Self { process, version, limit })
    }

    /// Runs once; the outputs.
    pub(crate) fn outputs(
        &mut self,
        problem: &Problem,
        folder: &Path,
    ) -> Result<BTreeMap<Name, Tensor>, Box<dyn Error>> {
        self.process.ask_within(&format!("save {}", folder.display()), self.limit)?;
        let nest = &problem.nest;
        let wanted = warploom::outputs(nest);
        let mut out = BTreeMap::new();
        for (k, name) in problem::arrays(nest).into_iter().enumerate() {
            if wanted.contains(&name) {
                let file = folder.join(format!("{k}.bin"));
                let tensor = problem::read(nest, &name, &file)?;
                out.insert(name, tensor);
            }
        }
        Ok(out)
    }
}

impl Contestant for Cuda {
    type Error = Box<dyn Error>;

    fn turn(&mut self, warm: usize) -> Result<f64, Box<dyn Error>> {
        Ok(self.process.ask_within(&format!("turn {warm}"), self.limit)?.parse()?)
    }
}
