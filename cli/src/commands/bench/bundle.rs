//! The folder that a person takes to a machine with a GPU: this program, one command, what it does.
//!
//! Keeps: the program needs nothing beside it; the driver, and cublasLt to compare with, are looked
//! for when it runs.

use std::path::Path;

use warploom::diag::{Diagnostic, Result};
use warploom::io;

use crate::output;

/// What to do, for the person.
const README: &str = "Warploom on your GPU
====================

    ./run.sh

takes some minutes and writes `warploom-bench.json`: please send that file back. Nothing else is
written, nothing is installed, and nothing is sent.

What it does: it compiles matrix products of every type and transposition, contractions, a
convolution and emulated f64 products for the GPU that is there (B200: sm_100a), checks the results
on the GPU against a reference on the processor, and times them beside cublasLt.

What it needs: Linux on x86-64, the NVIDIA driver (for a B200 one that takes PTX 8.8, release 575 or
newer). cuBLAS is looked for in the library path and only needed for the comparison
(LD_LIBRARY_PATH=/usr/local/cuda/lib64 ./run.sh where it is not found); ptxas only for registers and
spills in the tables. What is missing is said in the output and in the file.

Without a GPU, or with another one, `./run.sh --target sm_100a` makes, assembles and interprets the
code for a B200 and says what it could not do. `./run.sh products` does a part; `./warploom bench
--help` has the rest.
";

/// The one command.
const SCRIPT: &str = "#!/bin/sh
# What works on this GPU and how fast, in warploom-bench.json.
cd \"$(dirname \"$0\")\" && exec ./warploom bench --report warploom-bench.json \"$@\"
";

/// Writes the folder.
pub(super) fn write(folder: &Path) -> Result<()> {
    let failed = |what: &str, e: &std::io::Error| {
        let text = format!("cannot write {what} in {}: {e}", folder.display());
        Box::new(Diagnostic::input("E0535", text).help("name a folder that can be made"))
    };
    std::fs::create_dir_all(folder).map_err(|e| failed("the folder", &e))?;
    let program = std::env::current_exe().map_err(|e| failed("this program", &e))?;
    // permissions are copied too
    std::fs::copy(program, folder.join("warploom")).map_err(|e| failed("this program", &e))?;
    io::save_text(&folder.join("README.txt"), README)?;
    let script = folder.join("run.sh");
    io::save_text(&script, SCRIPT)?;
    executable(&script).map_err(|e| failed("the script", &e))?;
    output::print(&format!(
        "{} holds the program and run.sh, which writes one file to send back\n",
        folder.display()
    ))
}

/// Lets a script be started.
#[cfg(unix)]
fn executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn executable(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
