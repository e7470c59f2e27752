//! The device a program runs on: the GPU where there is one, and what is said where there is none.

use crate::common::{text, warploom};

/// Whether `doctor` finds a GPU that can be used.
fn has_gpu() -> bool {
    let output = warploom(&["doctor"]);
    assert_eq!(output.status.code(), Some(0));
    text(&output).lines().any(|line| line.starts_with("ok") && line.contains("cuda:0"))
}

const MATMUL: [&str; 5] = ["run", "mk,kn->mn", "--size", "m=65,n=48,k=33", "--verify"];

#[test]
fn a_named_gpu_runs_or_the_environment_is_to_blame() {
    let output = warploom(&[&MATMUL[..], &["--device", "cuda"]].concat());
    let said = text(&output);
    if has_gpu() {
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("cuda:0: compiled") && said.contains("verified"), "{said}");
    } else {
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("E1110") && said.contains("--device cpu"), "{said}");
    }
}

#[test]
fn without_a_name_the_gpu_if_there_is_one() {
    let said = text(&warploom(&MATMUL));
    let expected = if has_gpu() { "cuda:0: compiled" } else { "cpu: compiled" };
    assert!(said.contains(expected) && said.contains("verified"), "{said}");
}

#[test]
fn a_script_for_the_cpu_runs_there() {
    let script = "examples/schedules/matmul_tiled.sched";
    let nest = "examples/nests/matmul.nest";
    let args = ["run", nest, "--size", "M=256,N=256,K=256", "--schedule", script, "--verify"];
    let output = warploom(&args);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("cpu: compiled"), "{said}");
}

#[test]
fn json_names_the_device() {
    let output = warploom(&[&MATMUL[..], &["--json"]].concat());
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(said["device"], if has_gpu() { "cuda:0" } else { "cpu" });
}
