//! The nests and scripts of `examples/`, and scripts with every step.
//!
//! Why here: suites that go over "everything we have" share one list.

use std::fs;
use std::path::{Path, PathBuf};

/// A nest's text, its name, and scripts that are meant for it.
#[derive(Clone, Debug)]
pub struct Example {
    /// The file's name without its ending.
    pub name: String,
    /// The text.
    pub text: String,
    /// Texts of scripts.
    pub scripts: Vec<String>,
}

/// Scripts with every step, by the example they are for; not all of them are legal.
const SCRIPTS: &[(&str, &str)] = &[
    ("matmul", "distribute n\ndistribute m\ntile S1.m, S1.n, k by 4, 4, 4"),
    ("matmul", "distribute n\ndistribute m\nreorder k, S1.n\nsplit S1.n by 8\nvectorize S1.n.1"),
    ("matmul", "split k by 8 as lo, hi\nunroll hi\nrequire parallel m\nrequire vector n"),
    ("matmul", "reorder n, m\ncoalesce n, m as nm\nparallel nm"),
    ("matmul", "distribute n as a, b\nfuse a, b as n\nreverse m"),
    ("matmul", "distribute n at S1 as a, b\nreorder m, b\nreorder b, k"),
    ("matmul", "shift m by 2*N - 3\nshift n by floor((N + 3) / 4) - 3*((N) mod 7)"),
    ("matmul", "atomically {\n  reverse k\n  atomically { reverse m; reverse k }\n}"),
    ("matmul", "fuse-at S0 at m"),
    (
        "matmul",
        "distribute n\ndistribute m\ntile S1.m, S1.n by 4, 8\nmap S1.m.0 to block.y
map S1.n.0 to block.x\nmap S1.m.1 to thread.y\nmap S1.n.1 to thread.x",
    ),
    (
        "matmul",
        "order { loop a [S0: m, S1: m] { loop b [S0: n, S1: n] { S0; loop c [S1: k] { S1 } } }
}",
    ),
    ("seidel2d", "skew i by t\nskew j by t\nskew j by i\ntile t, i, j by 4, 8, 8"),
    ("seidel2d", "skew j by -2*i\nreverse t\ncoalesce i, j\nparallel i"),
    ("seidel2d", "shift i by 1\nshift j by N\nreorder j, i"),
    (
        "seidel2d",
        "order { loop t [S: t] { loop w [S: 2*i + j] { loop p [S: i] parallel { S } } } }",
    ),
    ("softmax", "fuse j, j\nparallel i\ndistribute i"),
    ("softmax", "distribute i at S3\nfuse i, i shift -2 as ij"),
    ("lu", "reverse k\ntile i, j by 2, 3\nskew S1.i by k"),
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Names without their ending and texts of a folder's files, by name.
fn texts(folder: &Path, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).expect("the folder of examples is there");
    let mut out = Vec::new();
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|e| e == ending) {
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            out.push((name, fs::read_to_string(&path).expect("the file can be read")));
        }
    }
    out.sort();
    out
}

/// Every nest of `examples/nests`, with the scripts that `examples/schedules` and this file have
/// for it; a `.sched` file belongs to the nest that its first line names (`# For X.nest`), to none
/// where that names a command, else to the one whose name its own starts with.
#[must_use]
pub fn examples() -> Vec<Example> {
    let files = texts(&folder("schedules"), "sched");
    let scripts = |name: &str| {
        let in_files = files.iter().filter(|(file, text)| {
            let named = text.strip_prefix("# For ").and_then(|rest| rest.split_once(".nest"));
            named.map_or(file.split('_').next(), |(nest, _)| Some(nest)) == Some(name)
        });
        let here = SCRIPTS.iter().filter(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
        in_files.map(|(_, text)| text.clone()).chain(here).collect()
    };
    texts(&folder("nests"), "nest")
        .into_iter()
        .map(|(name, text)| Example { scripts: scripts(&name), name, text })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_has_its_nest() {
        let all = examples();
        assert!(all.len() >= 12, "{} nests", all.len());
        let found: usize = all.iter().map(|e| e.scripts.len()).sum();
        let files = texts(&folder("schedules"), "sched");
        let of_nests = files.iter().filter(|(_, text)| !text.starts_with("# For `")).count();
        assert_eq!(found, SCRIPTS.len() + of_nests, "a script names a nest that is not there");
    }
}
