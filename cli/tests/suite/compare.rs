//! `compare` on the CPU: contestants of all kinds, each checked before its time counts.

use std::fs;
use std::path::Path;

use crate::common::{text, warploom};
use serde_json::Value;

const SPEC: [&str; 9] = [
    "compare",
    "mk,kn->mn",
    "--size",
    "m=40,n=48,k=24",
    "--device",
    "cpu",
    "--budget",
    "0s",
    "--no-records",
];

fn compared(more: &[&str]) -> Value {
    let args: Vec<&str> = SPEC.iter().chain(more).chain(&["--json"]).copied().collect();
    let done = warploom(&args);
    assert!(done.status.success(), "{}", text(&done));
    serde_json::from_slice(&done.stdout).expect("it prints JSON")
}

fn one<'v>(value: &'v Value, name: &str) -> &'v Value {
    let all = value["contestants"].as_array().expect("there are contestants");
    all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Files of a kernel of one's own.
fn entered(folder: &Path, name: &str, body: &str) -> String {
    fs::write(folder.join(format!("{name}.c")), body).expect("the folder takes files");
    let manifest = format!(
        "name = \"{name}\"\nfile = \"{name}.c\"\nentry = \"gemm\"\nspec = \"ij,jl->il\"\n\
         dtype = \"f32\"\narguments = [\"A\", \"B\", \"C\", \"i: i32\", \"l: i64\", \"j\"]\n"
    );
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, manifest).expect("the folder takes files");
    path.display().to_string()
}

const RIGHT: &str = "void gemm(const float *a, const float *b, float *c, int m, long long n,
          long long k) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int l = 0; l < k; l++) sum += a[i * k + l] * b[l * n + j];
            c[i * n + j] = sum;
        }
}";

#[test]
fn contestants_of_all_kinds_are_checked_and_take_as_many_turns() {
    let folder = tempfile::tempdir().unwrap();
    let own = entered(folder.path(), "own", RIGHT);
    // one element is left out
    let wrong = RIGHT.replace("c[i * n + j] = sum;", "if (i != 3 || j != 5) c[i * n + j] = sum;");
    let wrong = entered(folder.path(), "wrong", &wrong);
    let broken = entered(folder.path(), "broken", "void gemm(");
    let script = folder.path().join("text.sched");
    fs::write(&script, "unroll k\n").unwrap();
    let script = script.display().to_string();
    let with = ["--schedule", &script, "--with", "gcc", "numpy", "cublaslt", &own, &wrong, &broken];
    let value = compared(&with);
    for name in ["automatic", "text", "gcc", "own"] {
        let line = one(&value, name);
        assert_eq!(line["n"], 9, "{line}");
        assert!(line["us"].as_f64().unwrap() > 0.0 && line["rate"].as_f64().unwrap() > 0.0);
        assert_eq!(line["checked"], "the interpreter in binary64");
        assert!(line["error"].as_f64().unwrap() <= line["bound"].as_f64().unwrap());
    }
    assert_eq!(one(&value, "automatic")["against_first"], "no difference");
    assert_eq!(one(&value, "wrong")["code"], "E0950");
    assert_eq!(one(&value, "broken")["code"], "E0971");
    assert_eq!(one(&value, "cublaslt")["code"], "E0973");
    // NumPy may not be there; then its line says so
    let numpy = one(&value, "numpy");
    assert!(numpy["n"] == 9 || numpy["code"] == "E0970", "{numpy}");
    assert_eq!(value["operations"], 2.0 * 40.0 * 48.0 * 24.0);
}

#[test]
fn a_table_and_a_chart_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let chart = folder.path().join("chart.svg");
    let path = chart.display().to_string();
    let args: Vec<&str> =
        SPEC.iter().chain(&["--with", "gcc", "--chart", &path]).copied().collect();
    let done = warploom(&args);
    let said = text(&done);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("automatic") && said.contains("FLOP/s") && said.contains("|#"), "{said}");
    assert!(said.contains("fastest: ") || said.contains("no winner"), "{said}");
    let svg = fs::read_to_string(chart).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("gcc"));
}

#[test]
fn nests_have_contestants_too() {
    let args = ["examples/nests/seidel2d.nest", "--size", "T=4,N=20", "--device", "cpu"];
    let more = ["--budget", "0s", "--no-records", "--with", "gcc", "numpy", "--json"];
    let args: Vec<&str> = ["compare"].iter().chain(&args).chain(&more).copied().collect();
    let done = warploom(&args);
    assert!(done.status.success(), "{}", text(&done));
    let value: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(one(&value, "gcc")["n"], 9);
    assert_eq!(one(&value, "numpy")["code"], "E0973");
}

#[test]
fn manifests_that_are_wrong_end_the_command() {
    let done = warploom(&[&SPEC[..], &["--with", "no/such.toml"]].concat());
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    assert!(text(&done).contains("E0972"));
}

#[test]
fn the_gap_between_two_schedules_is_laid_to_their_steps() {
    let folder = tempfile::tempdir().unwrap();
    let script = |name: &str, steps: &str| {
        let path = folder.path().join(format!("{name}.sched"));
        fs::write(&path, steps).unwrap();
        path.display().to_string()
    };
    let slow = script("slow", "tile S1.m, S1.n by 8, 16\nsplit k by 4\n");
    let fast = script("fast", "tile S1.m, S1.n by 8, 16\nsplit k by 12\nunroll k.1\n");
    let distributed = |steps: &str| format!("distribute n\ndistribute m\n{steps}");
    for path in [&slow, &fast] {
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, distributed(&text)).unwrap();
    }
    let given = ["--schedule", &slow, &fast, "--with", "gcc", "--gap", "slow", "fast"];
    let found = compared(&given);
    let parts = found["gap"].as_array().expect("a gap");
    let steps = |k: usize, which: &str| parts[k][which].clone();
    assert_eq!(parts.len(), 2, "{found}");
    assert_eq!(steps(0, "without"), serde_json::json!(["split k by 4"]));
    assert_eq!(steps(0, "with"), serde_json::json!(["split k by 12"]));
    assert_eq!(steps(1, "without"), serde_json::json!([]));
    assert_eq!(steps(1, "with"), serde_json::json!(["unroll k.1"]));
    // what lies between took part, was checked and has the time between both
    let between = one(&found, "slow + 1");
    assert_eq!(between["us"], parts[0]["us_after"]);
    assert_eq!(between["us"], parts[1]["us_before"]);
    assert!(between["error"].as_f64().unwrap() <= between["bound"].as_f64().unwrap());
    assert_eq!(one(&found, "fast")["us"], parts[1]["us_after"]);
    let args = [&SPEC[..], &given[..]].concat();
    let shown = text(&warploom(&args));
    assert!(shown.contains("from slow to fast:") && shown.contains("+ unroll k.1"), "{shown}");
    for wrong in [["slow", "gcc"], ["slow", "slow"], ["nobody", "slow"]] {
        let args = [&SPEC[..], &["--schedule", &slow, "--gap"], &wrong].concat();
        let refused = warploom(&args);
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains("E0973"), "{}", text(&refused));
    }
}
