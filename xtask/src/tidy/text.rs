//! Rules about every text file: whitespace, and names that hold on one machine only.
//!
//! In: path and text. Out: violations. The patterns are written in pieces, so that this file
//! passes its own rules.

use super::Violation;

/// Folders of the machine a file was written on.
const MACHINE: [&str; 4] =
    [concat!("/wo", "rk"), concat!("/tm", "p/"), concat!("/ro", "ot"), concat!("/ho", "me/")];

/// Hosts and settings that tie a build to one package registry or mirror.
const REGISTRY: [&str; 11] = [
    concat!("index.crates", ".io"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npmjs", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("deb.debian", ".org"),
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("://local", "host"),
    concat!("://127", ".0.0.1"),
];

/// How a line starts that a merge left where both sides changed the same place.
const CONFLICT: [&str; 3] =
    [concat!("<<<<", "<<< "), concat!(">>>>", ">>> "), concat!("||||", "||| ")];

/// The one source that Cargo.lock may name.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks one text file.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        let mut report = |rule, message: String| {
            found.push(Violation::new(path, idx + 1, rule, message));
        };
        if line.ends_with([' ', '\t', '\r']) {
            report("whitespace", "trailing whitespace".to_owned());
        }
        if CONFLICT.iter().any(|mark| line.starts_with(mark)) {
            report("conflict", "a conflict that was not resolved".to_owned());
        }
        for folder in MACHINE.iter().filter(|folder| names_folder(line, folder)) {
            report("machine-path", format!("`{folder}` names a folder of one machine"));
        }
        for name in REGISTRY.iter().filter(|name| line.contains(**name)) {
            report("registry", format!("`{name}` ties the build to one registry"));
        }
        let foreign = line.starts_with("source = ") && !line.contains(CRATES_IO);
        if path.ends_with("Cargo.lock") && foreign {
            report("registry", "a dependency comes from elsewhere than crates.io".to_owned());
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        let last = text.lines().count();
        found.push(Violation::new(path, last, "whitespace", "no newline at the end"));
    }
    found
}

/// True when `folder` starts an absolute path in `line`: `a/home/` and `/working` do not count.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let inside = |c: char| c.is_alphanumeric() || "_-.~}$)*/".contains(c);
        let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let is_whole = folder.ends_with('/') || !after.is_some_and(goes_on);
        !before.is_some_and(inside) && is_whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<(usize, &'static str)> {
        check(path, text).into_iter().map(|v| (v.line, v.rule)).collect()
    }

    #[test]
    fn whitespace() {
        assert_eq!(rules("a.md", "a \nb\t\nc\n"), [(1, "whitespace"), (2, "whitespace")]);
        assert_eq!(rules("a.md", "a\nb"), [(2, "whitespace")]);
        assert_eq!(rules("a.md", ""), []);
    }

    #[test]
    fn conflicts() {
        for mark in CONFLICT {
            assert_eq!(rules("a.md", &format!("a\n{mark}b\nc\n")), [(2, "conflict")]);
            assert_eq!(rules("a.md", &format!("a {mark}b\n")), []);
        }
    }

    #[test]
    fn machine_paths() {
        for path in [MACHINE[0], MACHINE[2]] {
            assert_eq!(rules("a.rs", &format!("x\n\"{path}/a\"\n")), [(2, "machine-path")]);
            assert_eq!(rules("a.rs", &format!("`{path}`\n")), [(1, "machine-path")]);
            assert_eq!(rules("a.rs", &format!("src{path}/a\n")), []);
            assert_eq!(rules("a.rs", &format!("{path}ing\n")), []);
        }
        for path in [MACHINE[1], MACHINE[3]] {
            assert_eq!(rules("a.rs", &format!("({path}a\n")), [(1, "machine-path")]);
            assert_eq!(rules("a.rs", &format!("https://host{path}a\n")), []);
        }
    }

    #[test]
    fn registries() {
        for name in REGISTRY {
            assert_eq!(rules("Makefile", &format!("x {name} y\n")), [(1, "registry")]);
        }
        assert_eq!(rules("Cargo.lock", &format!("source = \"{CRATES_IO}\"\n")), []);
        assert_eq!(rules("Cargo.lock", "source = \"git+https://x\"\n"), [(1, "registry")]);
    }
}
