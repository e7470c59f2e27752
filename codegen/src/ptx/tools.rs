//! NVIDIA's `ptxas` and `nvdisasm`: optional tools that say what a GPU would run.
//!
//! In: PTX. Out: registers, memory and spills of each function, as `ptxas -v` prints them, and the
//! machine code (SASS); or what `ptxas` refuses. Where they are looked for: the search path, then
//! the Python environment that the set-up script makes in this folder or one above.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, io, process};

use warploom_ir::abi::GpuCode;
use warploom_ir::diag::{Blame, Diagnostic, Result};

/// The assembler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ptxas(Tool);

/// The disassembler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvdisasm(Tool);

impl Ptxas {
    /// Finds it.
    ///
    /// # Errors
    /// `E1203`: it is not there.
    pub fn find() -> Result<Self> {
        Tool::find("ptxas").map(Self)
    }

    /// The line that names its release.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.0.release
    }

    /// Assembles the code and returns what `ptxas -v` says of it.
    ///
    /// # Errors
    /// `E1203`: it cannot be started, or it refuses the PTX.
    pub fn resources(&self, code: &GpuCode) -> Result<String> {
        self.assemble(code, Path::new("/dev/null"))
    }

    /// Assembles the code into a file.
    fn assemble(&self, code: &GpuCode, out: &Path) -> Result<String> {
        let refused = |why: &str| {
            error(format!("ptxas does not assemble the code for {}: {why}", code.target))
        };
        let failed = |e: io::Error| refused(&e.to_string());
        let mut child = Command::new(&self.0.path)
            .arg(format!("-arch={}", code.target))
            .arg("-v")
            .arg("-o")
            .arg(out)
            .arg("-")
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

impl Nvdisasm {
    /// Finds it.
    ///
    /// # Errors
    /// `E1203`: it is not there.
    pub fn find() -> Result<Self> {
        Tool::find("nvdisasm").map(Self)
    }

    /// The machine code that the assembler makes of the code, as text.
    ///
    /// # Errors
    /// `E1203`: a tool cannot be started, or refuses its input.
    pub fn sass(&self, ptxas: &Ptxas, code: &GpuCode) -> Result<String> {
        let cubin = Scratch::new();
        ptxas.assemble(code, &cubin.0)?;
        let out = Command::new(&self.0.path).arg("-c").arg(&cubin.0).output();
        let out = out.map_err(|e| error(format!("nvdisasm does not start: {e}")))?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&out.stderr);
        Err(error(format!("nvdisasm does not read the code for {}: {}", code.target, why.trim())))
    }
}

fn error(text: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E1203", Blame::Environment, text))
}

/// A file of our own that is gone in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("warploom-{}-{number}.cubin", process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // where the assembler refused there is no file
        let _ = fs::remove_file(&self.0);
    }
}

/// A program that was found, and what it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tool {
    path: PathBuf,
    release: String,
}

impl Tool {
    fn find(name: &str) -> Result<Self> {
        let mut candidates = vec![PathBuf::from(name)];
        if let Ok(here) = env::current_dir() {
            candidates.extend(here.ancestors().flat_map(|folder| in_environment(folder, name)));
        }
        let found = candidates.into_iter().find_map(|path| {
            let release = release(&path)?;
            Some(Self { path, release })
        });
        found.ok_or_else(|| {
            let text = format!("`{name}` is not found: neither on the search path nor in .venv");
            Box::new(
                Diagnostic::new("E1203", Blame::Environment, text).help("run scripts/setup.sh"),
            )
        })
    }
}

/// What a tool calls itself, where it starts.
fn release(path: &Path) -> Option<String> {
    let output = Command::new(path).arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|l| l.contains("release")).unwrap_or("found").trim();
    output.status.success().then(|| line.to_owned())
}

/// Where the Python packages have a tool, below a folder.
fn in_environment(folder: &Path, name: &str) -> Vec<PathBuf> {
    let Ok(entries) = folder.join(".venv/lib").read_dir() else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path().join("site-packages/nvidia/cu13/bin").join(name))
        .filter(|p| p.is_file())
        .collect();
    found.sort();
    found
}
