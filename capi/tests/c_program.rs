//! A C program against the header and the shared library, and the same from Python.
//!
//! Requires a C compiler and Python, which the tests of the command need too.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command; what it printed is the message when it fails.
fn runs(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// The folder of the shared library, which is built before this program.
fn libraries() -> PathBuf {
    let program = std::env::current_exe().expect("a test has a file");
    let folder = program.parent().expect("in a folder");
    let found = [folder, folder.parent().expect("below target")];
    let holds = |f: &&Path| f.join("libwarploom_c.so").exists();
    found.into_iter().find(holds).expect("cargo builds the library first").to_owned()
}

/// Away from the user's cache.
fn alone(command: &mut Command) -> &mut Command {
    command.env("WARPLOOM_NO_CACHE", "1")
}

#[test]
fn c() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("einsum");
    let library = libraries().join("libwarploom_c.so");
    let strict = ["-std=c99", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"];
    runs(
        Command::new("cc")
            .args(strict)
            .arg("-I")
            .arg(here.join("include"))
            .arg(here.join("tests/einsum.c"))
            .arg(&library)
            .arg(format!("-Wl,-rpath,{}", libraries().display()))
            .arg("-o")
            .arg(&program),
    );
    assert!(runs(alone(&mut Command::new(&program))).starts_with("warploom "));
}

#[test]
fn python() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = here.join("../examples/python/einsum.py");
    let library = libraries().join("libwarploom_c.so");
    let text = runs(alone(Command::new("python3").arg(script).arg(library).arg("cpu")));
    assert!(text.contains("equal"), "{text}");
}
