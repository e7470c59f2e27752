//! `bench` without the GPU that is asked for: code is made, assembled where there is an assembler,
//! and interpreted; what could not be done is said, and all of it is in the report.

use std::path::Path;

use crate::common::{text, warploom};

fn report(path: &str) -> serde_json::Value {
    let read = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&read).unwrap_or_else(|e| panic!("{e}\n{read}"))
}

#[test]
fn a_report_says_what_could_not_be_done() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/bench.json");
    let words = ["bench", "mk,nk->mn bf16", "--target", "sm_100a", "--no-timing", "--report", file];
    let out = warploom(&words);
    let shown = text(&out);
    assert_eq!(out.status.code(), Some(0), "{shown}");
    assert!(shown.contains("conformance: 2 of 2 passed"), "blocks of their own, pairs\n{shown}");
    assert!(shown.contains("tcgen05.mma.pair.m256"), "{shown}");
    let all = report(file);
    let notes = all["notes"].to_string();
    let here = shown.contains("on the GPU") && notes.contains("as was asked");
    assert!(here || notes.contains("not run, and nothing was timed"), "{notes}");
    let cases = all["conformance"].as_array().expect("a list");
    assert_eq!(cases.len(), 2, "{all:#}");
    for case in cases {
        assert_eq!(case["passed"], true, "{case:#}");
        assert!(case["interpreted"]["error"].is_number(), "{case:#}");
        assert!(case["functions"][0]["tensor_columns"].as_i64() >= Some(32), "{case:#}");
    }
    assert!(all["timed"].as_array().is_some_and(Vec::is_empty), "{all:#}");
}

#[test]
fn a_bundle_is_a_folder_with_one_command() {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/bundle");
    let out = warploom(&["bench", "--bundle", folder]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out));
    let run = Path::new(folder).join("run.sh");
    let more = ["km,kn->mn tf32", "--target", "sm_103a", "--no-timing"];
    let done = std::process::Command::new(&run).args(more).output().expect("it starts");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    assert_eq!(report(&format!("{folder}/warploom-bench.json"))["target"], "sm_103a");
    let readme =
        std::fs::read_to_string(Path::new(folder).join("README.txt")).expect("it is there");
    assert!(readme.contains("./run.sh") && readme.contains("send that file back"), "{readme}");
}

#[test]
fn what_bench_does_not_know_is_refused() {
    let out = warploom(&["bench", "no such case"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out).contains("no case is called `no such case`"), "{}", text(&out));
    let out = warploom(&["bench", "--target", "cpu"]);
    assert!(text(&out).contains("E0907"), "{}", text(&out));
}
