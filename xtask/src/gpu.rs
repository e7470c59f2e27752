//! `cargo xtask gpu`: a folder to take to a machine that has a GPU and no Rust.
//!
//! In: the workspace; Debian's static libraries of LLVM. Out: `gpu-bundle/` with the packed
//! command, tests of the device, benchmarks, fuzz targets and examples, and a script that runs
//! them. Requires `git`, `nice`, `ldd`, `strip`, `tar` and `xz`, and a C++ compiler for the fuzz
//! targets.
//! Keeps: the development build is not touched, this one has a target folder of its own. Why an
//! `llvm-config` of its own: llvm-sys asks it how to link, and its cargo features for static and
//! dynamic linking exclude each other, so every crate between here and there would need both.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Answers llvm-sys: no shared LLVM, none of Polly (its isl is not ours), no z3 or libxml2, which
/// only parts of LLVM need that we do not link.
const LLVM_CONFIG: &str = r#"#!/bin/sh
case "$*" in *--link-shared*) exit 1 ;; esac
found=$(llvm-config-22 "$@") || exit
case "$*" in
*--libnames*) echo "$found" | tr ' ' '\n' | grep -v Polly | tr '\n' ' ' ;;
*--system-libs*) echo "$found" | tr ' ' '\n' | grep -v -e z3 -e xml2 | tr '\n' ' ' ;;
*) echo "$found" ;;
esac
"#;

/// What the benchmarks read beside the examples: the contestants.
const CONTESTANTS: [&str; 2] = ["bench/torch_peer.py", "bench/c_peer.c"];

/// What the fuzz targets begin with.
const SEEDS: [&str; 2] = ["fuzz/dict", "fuzz/seeds"];

/// Runs tests, example nests and benchmarks on the GPU, and prints a table last.
const RUN: &str = include_str!("gpu_run.sh");

/// Builds the bundle in `gpu-bundle/` of `root`.
pub(crate) fn bundle(root: &Path) -> Result<bool, String> {
    let target = root.join("target/gpu");
    let llvm = target.join("llvm");
    write_script(&llvm.join("bin/llvm-config"), LLVM_CONFIG)?;
    let packages = ["build", "-p", "warploom-cli", "-p", "warploom-bench", "-p", "warploom-tests"];
    let command = build(root, &target, &llvm, &packages)?;
    let tests = ["--test", "cuda", "--test", "cuda_fault"];
    let tests = [&["test", "--no-run", "-p", "warploom-runtime"], &tests[..]].concat();
    let mut tests = build(root, &target, &llvm, &tests)?;
    let programs = ["--test", "suite"];
    let programs = [&["test", "--no-run", "-p", "warploom-tests"], &programs[..]].concat();
    tests.extend(build(root, &target, &llvm, &programs)?);
    let out = root.join("gpu-bundle");
    let inside = out.join("warploom");
    if out.exists() {
        fs::remove_dir_all(&out).map_err(|e| format!("cannot empty gpu-bundle: {e}"))?;
    }
    for (name, file) in command.iter().chain(&tests) {
        copy(file, &inside.join(name))?;
        for library in libraries(file)? {
            let name = library.file_name().expect("the path of a file has a name");
            copy(&library, &inside.join("lib").join(name))?;
        }
    }
    let contestants = "bench/handwritten/polybench";
    let examples = ["nests", "kernels", "schedules", "polybench"].map(|f| format!("examples/{f}"));
    for folder in examples.iter().map(String::as_str).chain([contestants]) {
        for file in files(&root.join(folder))? {
            let name = file.file_name().expect("a file that was listed has a name");
            copy(&file, &inside.join(folder).join(name))?;
        }
    }
    for file in CONTESTANTS {
        copy(&root.join(file), &inside.join(file))?;
    }
    fuzz_targets(root, &inside)?;
    write(&inside.join("commit"), &commit(root)?)?;
    write_script(&out.join("run.sh"), RUN)?;
    pack(&out)
}

/// Builds the fuzz targets in their own workspace, and puts them with their seeds into `inside`.
fn fuzz_targets(root: &Path, inside: &Path) -> Result<(), String> {
    for (name, file) in build_in(&root.join("fuzz"), &[], &["build", "--bins"])? {
        let to = inside.join("fuzz/bin").join(name);
        copy(&file, &to)?;
        // the tables of lines are most of their size
        let stripped = Command::new("strip").arg("--strip-debug").arg(&to).status();
        if !stripped.is_ok_and(|status| status.success()) {
            return Err(format!("cannot strip {}", to.display()));
        }
    }
    for folder in SEEDS {
        copy_all(&root.join(folder), &inside.join(folder))?;
    }
    Ok(())
}

/// Copies the files of a folder and of those inside it.
fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let wrong = |e| format!("cannot list {}: {e}", from.display());
    for entry in fs::read_dir(from).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let to = to.join(path.file_name().expect("what was listed has a name"));
        if path.is_dir() { copy_all(&path, &to)? } else { copy(&path, &to)? }
    }
    Ok(())
}

/// Builds and returns the programs with their files.
fn build(
    root: &Path,
    target: &Path,
    llvm: &Path,
    args: &[&str],
) -> Result<Vec<(String, PathBuf)>, String> {
    build_in(root, &[("CARGO_TARGET_DIR", target), ("LLVM_SYS_221_PREFIX", llvm)], args)
}

/// Runs cargo in a folder.
fn build_in(
    folder: &Path,
    environment: &[(&str, &Path)],
    args: &[&str],
) -> Result<Vec<(String, PathBuf)>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new("nice")
        .args(["-n", "10"])
        .arg(cargo)
        .args(args)
        .args(["--release", "--locked", "--message-format", "json-render-diagnostics"])
        .envs(environment.iter().copied())
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start nice and cargo: {e}"))?;
    if !output.status.success() {
        return Err(format!("`cargo {}` failed", args.join(" ")));
    }
    let found = executables(&String::from_utf8_lossy(&output.stdout));
    if found.is_empty() {
        return Err(format!("`cargo {}` made no program", args.join(" ")));
    }
    Ok(found)
}

/// The short name of the commit that is built, with `-dirty` where files differ from it.
fn commit(root: &Path) -> Result<String, String> {
    let describe = ["describe", "--always", "--dirty", "--exclude=*"];
    let output = Command::new("git").args(describe).current_dir(root).output();
    let output = output.map_err(|e| format!("cannot start git: {e}"))?;
    if !output.status.success() {
        return Err("git describe failed".to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The programs that cargo's messages name.
fn executables(messages: &str) -> Vec<(String, PathBuf)> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| {
            let file = message["executable"].as_str()?;
            Some((message["target"]["name"].as_str()?.to_owned(), PathBuf::from(file)))
        })
        .collect()
}

/// Shared libraries of C and C++ themselves: every machine has its own.
const SYSTEM: [&str; 5] = ["libc.so", "libm.so", "libgcc_s.so", "libstdc++.so", "linux-vdso.so"];

/// The other shared libraries of a program; some machines lack them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new("ldd").arg(program).output();
    let output = output.map_err(|e| format!("cannot start ldd: {e}"))?;
    Ok(library_paths(&String::from_utf8_lossy(&output.stdout)))
}

/// The paths in what `ldd` prints, such as `libz.so.1 => /lib/libz.so.1 (0x7f)`.
fn library_paths(listed: &str) -> Vec<PathBuf> {
    listed
        .lines()
        .filter_map(|line| line.trim().split_once(" => "))
        .filter(|(name, _)| !SYSTEM.iter().any(|s| name.starts_with(s)))
        .filter_map(|(_, path)| path.split_whitespace().next())
        .map(PathBuf::from)
        .collect()
}

/// Packs the folder `warploom` beside the script and removes it.
fn pack(out: &Path) -> Result<bool, String> {
    // every program has LLVM in it: with a window over several of them it is packed once
    let status = Command::new("tar")
        .args(["--owner=0", "--group=0", "-cJf", "warploom.tar.xz", "warploom"])
        .env("XZ_OPT", "--lzma2=preset=2,dict=384MiB -T1")
        .current_dir(out)
        .status()
        .map_err(|e| format!("cannot start tar: {e}"))?;
    if !status.success() {
        return Err("tar failed".to_owned());
    }
    let unpacked = out.join("warploom");
    fs::remove_dir_all(&unpacked).map_err(|e| format!("cannot remove {unpacked:?}: {e}"))?;
    let packed = out.join("warploom.tar.xz");
    let size = fs::metadata(&packed).map_err(|e| format!("cannot see {packed:?}: {e}"))?.len();
    println!("gpu-bundle/warploom.tar.xz: {:.1} MB", size as f64 / 1e6);
    println!("on the machine with the GPU: sh gpu-bundle/run.sh");
    Ok(true)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |e| format!("cannot list {}: {e}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

fn make_parent(path: &Path) -> Result<(), String> {
    let parent = path.parent().expect("the path of a file has a folder");
    fs::create_dir_all(parent).map_err(|e| format!("cannot make {}: {e}", parent.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    make_parent(to)?;
    let copied = fs::copy(from, to).map(drop);
    copied.map_err(|e| format!("cannot copy {} to {}: {e}", from.display(), to.display()))
}

/// Writes a script that may be executed, where it is not there already: a newer file would make
/// cargo build LLVM's bindings again.
fn write_script(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write(path, text)?;
    make_executable(path).map_err(|e| format!("cannot mark {}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    make_parent(path)?;
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_read_from_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"ir"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"warploom"},"executable":"/x/warploom"}
not json
{"reason":"build-finished","success":true}"#;
        let expected = [("warploom".to_owned(), PathBuf::from("/x/warploom"))];
        assert_eq!(executables(messages), expected);
    }

    #[test]
    fn libraries_are_read_from_ldd() {
        let listed = "\tlinux-vdso.so.1 (0x7f)\n\tlibz.so.1 => /lib/libz.so.1 (0x7f)\n\
                      \tlibc.so.6 => /lib/libc.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x0)";
        assert_eq!(library_paths(listed), [PathBuf::from("/lib/libz.so.1")]);
    }

    #[test]
    fn every_example_nest_has_sizes_in_the_script() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the repository");
        for file in files(&root.join("examples/nests")).unwrap() {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            let line = RUN.lines().find(|l| l.split(' ').next() == Some(&name));
            assert!(line.is_some(), "xtask/src/gpu_run.sh has no line for {name}");
        }
    }
}
