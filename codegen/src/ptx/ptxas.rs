//! `ptxas`, NVIDIA's assembler: an optional tool that says what a GPU would run.
//!
//! In: PTX. Out: registers, memory and spills of each function, as `ptxas -v` prints them, or what
//! it refuses. Where it is looked for: the search path, then the Python environment that the set-up
//! script makes in this folder or one above.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use warploom_ir::abi::GpuCode;
use warploom_ir::diag::{Blame, Diagnostic, Result};

/// The assembler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ptxas {
    path: PathBuf,
}

impl Ptxas {
    /// Finds it.
    #[must_use]
    pub fn find() -> Option<Self> {
        let works = |path: &Path| {
            let run = Command::new(path).arg("--version").stdout(Stdio::null()).status();
            run.is_ok_and(|status| status.success())
        };
        let mut candidates = vec![PathBuf::from("ptxas")];
        if let Ok(here) = std::env::current_dir() {
            candidates.extend(here.ancestors().flat_map(in_environment));
        }
        candidates.into_iter().find(|path| works(path)).map(|path| Self { path })
    }

    /// Assembles the code and returns what `ptxas -v` says of it.
    ///
    /// # Errors
    /// `E1203`: it cannot be started, or it refuses the PTX.
    pub fn resources(&self, code: &GpuCode) -> Result<String> {
        let refused = |why: &str| {
            let text = format!("ptxas does not assemble the code for {}: {why}", code.target);
            Box::new(Diagnostic::new("E1203", Blame::Environment, text))
        };
        let failed = |e: std::io::Error| refused(&e.to_string());
        let mut child = Command::new(&self.path)
            .arg(format!("-arch={}", code.target))
            .args(["-v", "-o", "/dev/null", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(code.ptx.as_bytes()).map_err(failed)?;
        }
        let out = child.wait_with_output().map_err(failed)?;
        let mut text = String::from_utf8_lossy(&out.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&out.stderr));
        if out.status.success() { Ok(text) } else { Err(refused(text.trim())) }
    }
}

/// Where the Python package has it, below a folder.
fn in_environment(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.join(".venv/lib").read_dir() else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path().join("site-packages/nvidia/cu13/bin/ptxas"))
        .filter(|p| p.is_file())
        .collect();
    found.sort();
    found
}
