//! Running the `warploom` binary in the workspace's root.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `warploom` with `args`.
pub(crate) fn warploom(args: &[&str]) -> Output {
    command(args).output().expect("it starts")
}

/// `warploom` with `args`, in the workspace's root and without the user's tuning records
/// and compiled code.
pub(crate) fn command(args: &[&str]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("cli is a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_warploom"));
    command.args(args).current_dir(root);
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-records"));
    command.env("WARPLOOM_NO_CACHE", "1");
    command
}

/// Standard output and error of a run as one text.
pub(crate) fn text(output: &Output) -> String {
    let mut all = String::from_utf8_lossy(&output.stdout).into_owned();
    all.push_str(&String::from_utf8_lossy(&output.stderr));
    all
}
