//! Running the `warploom` binary in the workspace's root.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `warploom` with `args`, on the CPU's own terms: no variable of the caller reaches it.
pub(crate) fn warploom(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli is a folder");
    Command::new(env!("CARGO_BIN_EXE_warploom"))
        .args(args)
        .current_dir(root)
        .output()
        .expect("it starts")
}

/// Standard output and error of a run as one text.
pub(crate) fn text(output: &Output) -> String {
    let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
    all.push_str(&String::from_utf8_lossy(&output.stderr));
    all
}
