//! A nest as C, compiled by gcc, in a process of its own that waits between requests
//! (bench/c_peer.c).

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use warploom::{Name, Nest, Schedule, Tensor, compile};

use warploom_contest::Process;

/// What gcc is told.
pub(crate) const FLAGS: [&str; 2] = ["-O3", "-march=native"];

/// The process.
pub(crate) struct Gcc {
    process: Process,
    /// Names of its buffers.
    buffers: Vec<Name>,
}

impl Gcc {
    /// Emits the nest in the order of its text, compiles it in `folder`, and starts it with these
    /// inputs; also gives the compiler's version. The sizes of the nest are fixed.
    pub(crate) fn start(
        nest: &Nest,
        inputs: &BTreeMap<Name, Tensor>,
        folder: &Path,
    ) -> Result<(Self, String), Box<dyn Error>> {
        let lowered = compile::lower(&Schedule::new(nest)?)?;
        let binary = build(&lowered.c(), lowered.kernel(), folder)?;
        let mut process = Process::start(&mut Command::new(binary), "the compiled C")?;
        let buffers: Vec<Name> = lowered.kernel().buffers.iter().map(|b| b.name.clone()).collect();
        let mut problem = format!("{}", buffers.len());
        for buffer in &lowered.kernel().buffers {
            let extents = buffer.shape.iter().map(|e| {
                let extent = e.eval(&|_| None).and_then(|v| usize::try_from(v).ok());
                extent.ok_or_else(|| format!("`{}` has no fixed shape", buffer.name))
            });
            let elements: usize = extents.product::<Result<_, _>>()?;
            let bytes = buffer.dtype.bytes_of(elements).ok_or("an array is too large")?;
            let path = match inputs.get(&buffer.name) {
                Some(tensor) => {
                    let path = folder.join(format!("{}.bin", buffer.name));
                    fs::write(&path, tensor.bytes())?;
                    path.display().to_string()
                }
                None => "-".to_owned(),
            };
            problem.push_str(&format!("\n{bytes} {path}"));
        }
        let version = process.ask(&problem)?;
        Ok((Self { process, buffers }, version))
    }

    /// Runs the kernel once on the inputs; its seconds.
    pub(crate) fn seconds(&mut self) -> Result<f64, Box<dyn Error>> {
        self.process.seconds()
    }

    /// A buffer after the last run, of the type and shape of `like`.
    pub(crate) fn buffer(
        &mut self,
        name: &Name,
        like: &Tensor,
        folder: &Path,
    ) -> Result<Tensor, Box<dyn Error>> {
        let place = self.buffers.iter().position(|b| b == name).ok_or("no such buffer")?;
        let path = folder.join("result.bin");
        self.process.ask(&format!("save {place} {}", path.display()))?;
        Ok(Tensor::from_bytes(like.dtype(), like.shape(), &fs::read(path)?)?)
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Result<(), Box<dyn Error>> {
        self.process.stop()
    }
}

/// Compiles a kernel's C text beside the peer's; the path of the program.
fn build(
    text: &str,
    kernel: &warploom::Kernel,
    folder: &Path,
) -> Result<std::path::PathBuf, Box<dyn Error>> {
    let name = text
        .strip_prefix("/* kernel ")
        .and_then(|rest| rest.split_once(':'))
        .map(|(name, _)| name)
        .ok_or("the emitted C does not begin with its kernel's name")?;
    let arguments: Vec<String> = (0..kernel.buffers.len()).map(|k| format!("b[{k}]")).collect();
    let arguments = arguments.join(", ");
    let source = folder.join("kernel.c");
    fs::write(&source, format!("{text}\nvoid call(void **b)\n{{\n    {name}({arguments});\n}}\n"))?;
    let binary = folder.join("peer");
    let done = Command::new("gcc")
        .args(FLAGS)
        .arg("-o")
        .args([&binary, &source])
        .args(["bench/c_peer.c", "-lm"])
        .output()
        .map_err(|e| format!("cannot start gcc: {e}"))?;
    if !done.status.success() {
        return Err(format!("gcc failed:\n{}", String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(binary)
}
