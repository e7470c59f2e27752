//! Compiled code that later runs take from a folder.

use std::fs;

use crate::common::{command, text};

const RUN: [&str; 8] =
    ["run", "mk,kn->mn", "--device", "cpu", "--verify", "--seed", "5", "--no-records"];

/// Runs with arguments, and a folder; gives the words before "in … ms".
fn origin(folder: &str, more: &[&str]) -> String {
    let output = command(&[&RUN[..], &["--cache", folder], more].concat()).output();
    let output = output.expect("it starts");
    let all = text(&output);
    assert!(output.status.success() && all.contains("verified"), "{all}");
    let line = all.lines().find(|l| l.starts_with("cpu: ")).expect("the line of times");
    line.split(' ').nth(1).expect("where the code came from").to_owned()
}

#[test]
fn the_second_run_takes_the_code_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap();
    let size = ["--size", "m=20,n=12,k=33"];
    assert_eq!(origin(place, &size), "compiled");
    assert_eq!(origin(place, &size), "cached");
    assert_eq!(origin(place, &["--size", "m=20,n=12,k=34"]), "compiled");
    assert_eq!(origin(place, &[&size[..], &["--dtype", "f64"]].concat()), "compiled");
    let script = folder.path().join("a.sched");
    fs::write(&script, "tile m, n by 4, 4\n").unwrap();
    let scheduled = [&size[..], &["--schedule", script.to_str().unwrap()]].concat();
    assert_eq!(origin(place, &scheduled), "compiled");
    assert_eq!(origin(place, &scheduled), "cached");
    for entry in fs::read_dir(folder.path()).unwrap().flatten() {
        let bytes = fs::read(entry.path()).unwrap();
        fs::write(entry.path(), &bytes[..bytes.len() / 2]).unwrap();
    }
    assert_eq!(origin(place, &size), "compiled");
    assert_eq!(origin(place, &size), "cached");
}

#[test]
fn without_a_cache_nothing_is_kept_and_a_bad_folder_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = [&RUN[..], &["--size", "m=4,n=4,k=4"]].concat();
    for _ in 0..2 {
        let mut none = command(&[&run[..], &["--no-cache"]].concat());
        let output = none
            .env_remove("WARPLOOM_NO_CACHE")
            .env("XDG_CACHE_HOME", folder.path())
            .output()
            .unwrap();
        assert!(text(&output).contains("cpu: compiled in"), "{}", text(&output));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let bad = file.join("code");
    let output = command(&[&run[..], &["--cache", bad.to_str().unwrap()]].concat()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("E0966") && text(&output).contains("--no-cache"));
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
}
