//! The chores of the workspace: `cargo xtask <command>`.
//!
//! In: the repository this binary was built from. Out: one line per violation on standard output
//! and exit code 1 when there is any. Requires `git` and `cargo` on the path. Keeps nothing.
//! Why here: a rule that only people check is a rule that is broken; this crate depends on no
//! crate of ours, so that it also runs when they do not compile.
#![forbid(unsafe_code)]

mod gpu;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask <command>

  tidy    check what the compiler does not: crate edges, headers, sizes, forbidden words, docs
  ci      cargo fmt --check, clippy with warnings denied, tidy
  gpu     gpu-bundle/: the command and examples for a machine with a GPU and no Rust";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args.as_slice() {
        ["tidy"] => run_tidy(&root()),
        ["ci"] => run_ci(&root()),
        ["gpu"] => gpu::bundle(&root()),
        ["help" | "-h" | "--help"] => {
            println!("{USAGE}");
            Ok(true)
        }
        [] => Err(format!("a command is missing\n{USAGE}")),
        other => Err(format!("unknown command `{}`\n{USAGE}", other.join(" "))),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(2)
        }
    }
}

/// The root of the repository: the parent of this crate's folder, as `cargo run` names it. The
/// folder of the build serves when the binary is started by hand; it can be that of another clone
/// when clones share a target folder.
fn root() -> PathBuf {
    let named = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    here.parent().expect("the folder of xtask lies inside the repository").to_path_buf()
}

fn run_tidy(root: &Path) -> Result<bool, String> {
    let report = tidy::check(root)?;
    for notice in &report.notices {
        eprintln!("note: {notice}");
    }
    for violation in &report.violations {
        println!("{violation}");
    }
    let n_violations = report.violations.len();
    println!("tidy: {} files checked, {n_violations} violations", report.n_files);
    Ok(n_violations == 0)
}

/// Runs every check even when one fails, so that a person sees all that is wrong at once.
fn run_ci(root: &Path) -> Result<bool, String> {
    let formatted = cargo(root, &["fmt", "--all", "--check"])?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    let linted = cargo(root, &clippy)?;
    let tidy = run_tidy(root)?;
    Ok(formatted && linted && tidy)
}

fn cargo(root: &Path, args: &[&str]) -> Result<bool, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program).args(args).current_dir(root).status();
    let status = status.map_err(|e| format!("cannot start cargo {}: {e}", args.join(" ")))?;
    if !status.success() {
        eprintln!("xtask: `cargo {}` failed", args.join(" "));
    }
    Ok(status.success())
}
