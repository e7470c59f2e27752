//! The command `reduce`: what stays, what goes, what is written, and what it refuses.

use std::fs;
use std::path::Path;

use crate::common::{text, warploom};

const NEST: &str = "param N = 12
in A: f32[N + 2] in B: f32[N] inout X: f32[N + 2] out Y: f32[N]
for i in 0..N {
  S0: X[i + 1] = X[i] * 0.5 + A[i + 2]
  if i >= 3 { S1: X[i] max= B[i] * A[i] order any }
  S2: Y[i] = B[i] + 1.5
}
";

/// Runs `reduce` on a nest and a script in `folder` and returns exit code, output, and both files.
fn reduce(
    folder: &Path,
    script: &str,
    more: &[&str],
) -> (Option<i32>, String, Option<[String; 2]>) {
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(path("a.nest"), NEST).expect("the folder is there");
    fs::write(path("a.sched"), script).expect("the folder is there");
    let (nest, sched, out) = (path("a.nest"), path("a.sched"), path("small"));
    let mut args = vec!["reduce", &nest, "--schedule", &sched, "-o", &out];
    args.extend(more);
    let output = warploom(&args);
    let files = ["small.nest", "small.sched"].map(|f| fs::read_to_string(path(f)));
    let [Ok(a), Ok(b)] = files else { return (output.status.code(), text(&output), None) };
    (output.status.code(), text(&output), Some([a, b]))
}

#[test]
fn an_illegal_step_is_reduced_to_what_makes_it_illegal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = "split i by 4\nunroll i.1\nparallel i.0\n";
    let (code, printed, files) = reduce(folder.path(), script, &[]);
    let [nest, sched] = files.expect(&printed);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("smaller pairs taken"), "{printed}");
    assert!(nest.lines().count() <= 6 && sched.lines().count() <= 2, "{nest}{sched}");
    // the written files show the same error
    let path = |name: &str| folder.path().join(name).display().to_string();
    let again = warploom(&["check", &path("small.nest"), "--schedule", &path("small.sched")]);
    assert!(text(&again).contains("E0702"), "{}", text(&again));
}

#[test]
fn a_command_says_what_must_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = "grep -q 'max=' {nest} && grep -q unroll {sched}";
    let (code, printed, files) =
        reduce(folder.path(), "split i by 4\nunroll i.1\n", &["--check", check, "--json"]);
    let [nest, sched] = files.expect(&printed);
    assert_eq!(code, Some(0), "{printed}");
    assert!(nest.contains("max=") && !nest.contains("Y["), "{nest}");
    assert!(nest.lines().count() <= 5 && sched.contains("unroll"), "{nest}{sched}");
    let json: serde_json::Value = serde_json::from_str(&printed).expect(&printed);
    assert_eq!(json["nest"], nest);
}

#[test]
fn what_does_not_fail_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases: [(&str, &[&str], &str); 4] = [
        ("unroll i\n", &[], "is right"),
        ("parallel i\n", &["--code", "E0950"], "gives E0702, not E0950"),
        ("unroll i\n", &["--check", "false"], "does not exit with 0"),
        ("frobnicate i\n", &[], "E0700"),
    ];
    for (script, more, words) in cases {
        let (code, printed, files) = reduce(folder.path(), script, more);
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains(words) && files.is_none(), "{printed}");
    }
}
