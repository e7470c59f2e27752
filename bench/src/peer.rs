//! NumPy in a process of its own, which waits between requests (bench/numpy_peer.py).

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The Python that `make setup` makes.
const PYTHON: &str = ".venv/bin/python";

/// The process.
pub(crate) struct Numpy {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Numpy {
    /// Starts it for one problem; also gives the version of NumPy and its BLAS.
    pub(crate) fn start(
        spec: &str,
        operands: &[PathBuf],
    ) -> Result<(Self, String), Box<dyn Error>> {
        let mut child = Command::new(PYTHON)
            .arg("bench/numpy_peer.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {PYTHON} (run `make setup` first): {e}"))?;
        let input = child.stdin.take().ok_or("the peer has no standard input")?;
        let output = BufReader::new(child.stdout.take().ok_or("the peer has no standard output")?);
        let mut peer = Self { child, input, output };
        let problem = serde_json::json!({ "spec": spec, "operands": operands });
        let version = peer.ask(&problem.to_string())?;
        Ok((peer, version))
    }

    fn ask(&mut self, line: &str) -> Result<String, Box<dyn Error>> {
        writeln!(self.input, "{line}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        if answer.is_empty() {
            return Err("the peer ended early".into());
        }
        Ok(answer.trim().to_owned())
    }

    /// Runs the einsum once; its seconds.
    pub(crate) fn seconds(&mut self) -> Result<f64, Box<dyn Error>> {
        Ok(self.ask("go")?.parse()?)
    }

    /// Largest relative errors of the tensor in a file and of NumPy's own result.
    pub(crate) fn errors(&mut self, tensor: &Path) -> Result<(f64, f64), Box<dyn Error>> {
        Ok(serde_json::from_str(&self.ask(&format!("check {}", tensor.display()))?)?)
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Result<(), Box<dyn Error>> {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait()?;
        Ok(())
    }
}
