//! Every numbered example runs to its end: its assertions hold.

use std::process::Command;

fn runs(program: &str) {
    let output = Command::new(program).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
}

#[test]
fn einsum() {
    runs(env!("CARGO_BIN_EXE_01_einsum"));
}

#[test]
fn schedule() {
    runs(env!("CARGO_BIN_EXE_02_schedule"));
}

#[test]
fn ozaki_fused() {
    runs(env!("CARGO_BIN_EXE_03_ozaki_fused"));
}
