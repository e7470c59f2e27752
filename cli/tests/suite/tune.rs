//! `tune` and its records, through the real command: processes that are interrupted, killed, or
//! several at once.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::common::{command, text, warploom};
use serde_json::Value;

const SPEC: [&str; 3] = ["mk,kn->mn", "--size", "m=48,n=40,k=32"];

fn with<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    std::iter::once(command).chain(SPEC).chain(more.iter().copied()).collect()
}

fn tuned(folder: &str, most: &str) -> Value {
    let more =
        ["--device", "cpu", "--budget", "10m", "--most", most, "--records", folder, "--json"];
    let done = warploom(&with("tune", &more));
    assert!(done.status.success(), "{}", text(&done));
    serde_json::from_slice(&done.stdout).expect("it prints JSON")
}

/// The script that `emit` takes, and what it says.
fn script(folder: &str) -> (String, String) {
    let done = warploom(&with("emit", &["--stage", "schedule", "--records", folder]));
    assert!(done.status.success(), "{}", text(&done));
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (of(&done.stdout), of(&done.stderr))
}

/// The records in a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    all.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect()
}

#[test]
fn what_was_tuned_is_taken_until_the_record_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let (automatic, _) = script(at);
    let done = tuned(at, "12");
    assert!(done["measured"].as_u64().unwrap() > 1, "{done}");
    assert_eq!((&done["wrong"], &done["interrupted"]), (&Value::from(0), &Value::from(false)));
    assert!(done["automatic"]["us"].as_f64().unwrap() > 0.0);
    let best = done["script"].as_str().unwrap();
    assert_eq!(script(at), (best.to_owned(), String::new()));
    // `run` takes it too, and its result is right
    let ran = warploom(&with("run", &["--verify", "--device", "cpu", "--records", at]));
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", text(&ran));
    let none = warploom(&with("emit", &["--stage", "schedule", "--no-records"]));
    assert_eq!(String::from_utf8_lossy(&none.stdout), automatic);

    let [record] = files(folder.path()).try_into().expect("there is one record");
    let whole = fs::read(&record).unwrap();
    fs::write(&record, &whole[..whole.len() / 3]).unwrap();
    let (taken, said) = script(at);
    assert_eq!(taken, automatic);
    assert!(said.contains("E0960") && said.contains(".refused"), "{said}");
    assert_eq!(script(at), (automatic, String::new()), "it was set aside");
}

#[test]
fn a_script_is_written_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.sched");
    let path = path.to_str().unwrap();
    let more = ["--device", "cpu", "--most", "4", "--no-records", "-o", path];
    let done = warploom(&with("tune", &more));
    assert!(done.status.success(), "{}", text(&done));
    assert!(text(&done).contains("automatic"), "{}", text(&done));
    let checked = warploom(&with("check", &["--schedule", path]));
    assert!(checked.status.success(), "{}", text(&checked));
    for (option, value) in [("--budget", "soon"), ("--budget", "-1s"), ("--device", "cuda:99")] {
        let wrong = warploom(&with("tune", &[option, value]));
        assert!([1, 3].contains(&wrong.status.code().unwrap()), "{}", text(&wrong));
    }
}

/// `tune` with a budget that no test waits for, and its standard error.
fn started(folder: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let at = folder.to_str().expect("temporary folders have plain names");
    let args = with("tune", &["--device", "cpu", "--budget", "1h", "--records", at]);
    let mut command = command(&args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let told = BufReader::new(child.stderr.take().expect("it is piped"));
    (child, told)
}

fn next_line(told: &mut impl BufRead) -> String {
    let mut line = String::new();
    told.read_line(&mut line).expect("it tells how far it is");
    assert!(line.starts_with("tune "), "{line}");
    line
}

#[test]
fn an_interrupt_keeps_the_best_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut told) = started(folder.path());
    next_line(&mut told);
    next_line(&mut told);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    // the pipe is read to its end, so that it can write what it has to say
    told.read_to_string(&mut String::new()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(said.contains("interrupted") && said.contains("tuned"), "{said}");
    let (script, note) = script(folder.path().to_str().unwrap());
    assert!(note.is_empty() && said.ends_with(&script), "{said}\n{script}");
}

#[test]
fn a_kill_at_any_moment_leaves_a_record_that_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    for turn in 0..8_u64 {
        let (mut child, mut told) = started(folder.path());
        for _ in 0..=turn % 3 {
            next_line(&mut told);
        }
        // somewhere in the middle of what it does next
        std::thread::sleep(Duration::from_millis(turn * 7));
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, note) = script(at);
        assert!(note.is_empty(), "{note}");
        assert_eq!(files(folder.path()).len(), 1);
    }
    assert!(tuned(at, "1")["best"]["us"].as_f64().is_some(), "it goes on from there");
}

#[test]
fn two_processes_share_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let more = ["--device", "cpu", "--budget", "10m", "--most", "24", "--records", at, "--json"];
    let start = |seed: &str| {
        let mut command = command(&with("tune", &more));
        command.args(["--seed", seed]).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let both = [start("1"), start("2")];
    let done = both.map(|child| child.wait_with_output().unwrap());
    let measured = done.each_ref().map(|d| {
        assert!(d.status.success());
        serde_json::from_slice::<Value>(&d.stdout).unwrap()["measured"].as_u64().unwrap()
    });
    let (_, note) = script(at);
    assert!(note.is_empty(), "{note}");
    let [record] = files(folder.path()).try_into().expect("there is one record");
    let entries = fs::read_to_string(record).unwrap().matches("[[candidate]]").count() as u64;
    assert!(entries >= measured[0].max(measured[1]), "{entries} of {measured:?}");
}
