//! `cargo xtask tidy`: the rules of CONTRIBUTING.md that a program can check.
//!
//! In: the files git knows of (tracked, or new and not ignored) and `cargo metadata`. Out: a
//! [`Report`]. Keeps: a rule never reads a file itself; it gets path and text and returns
//! violations, which is what makes each of them testable with a few lines of text.

mod codes;
mod docs;
mod edges;
mod rust;
mod source;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// One broken rule at one place; prints as `path:line: rule: message`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// Path relative to the root of the repository.
    pub(crate) path: String,
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// Short name of the rule.
    pub(crate) rule: &'static str,
    /// What is wrong, and what to do instead.
    pub(crate) message: String,
}

impl Violation {
    fn new(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Violation { path: path.to_owned(), line, rule, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.message)
    }
}

/// What one run of tidy found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Broken rules, sorted by path and line.
    pub(crate) violations: Vec<Violation>,
    /// Remarks that fail nothing, such as a file near its length limit.
    pub(crate) notices: Vec<Violation>,
    /// Number of text files read.
    pub(crate) n_files: usize,
}

/// Checks the repository at `root`. Errors when git or cargo cannot be asked.
pub(crate) fn check(root: &Path) -> Result<Report, String> {
    let files = read_files(root)?;
    let metadata = output(root, "cargo", &["metadata", "--format-version=1", "--no-deps"])?;
    let metadata = serde_json::from_str(&metadata)
        .map_err(|e| format!("cargo metadata printed what is no JSON: {e}"))?;
    let packages = edges::packages(&metadata, root)?;

    let mut report = Report { n_files: files.len(), ..Report::default() };
    for (path, text) in &files {
        report.violations.extend(text::check(path, text));
        if path.ends_with(".rs") {
            let (violations, notices) = rust::check(path, text);
            report.violations.extend(violations);
            report.notices.extend(notices);
        }
    }
    report.violations.extend(edges::check(&packages));
    report.violations.extend(rust::check_forbid_unsafe(&packages, &files));
    report.violations.extend(docs::check(&files));
    report.violations.extend(codes::check(&files));
    report.violations.sort();
    report.notices.sort();
    Ok(report)
}

/// Text of every file git knows of, by path; binary files, links and a fuzzer's inputs, of which
/// each byte counts, are left out.
fn read_files(root: &Path) -> Result<BTreeMap<String, String>, String> {
    let args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = output(root, "git", &args)?;
    let mut files = BTreeMap::new();
    for path in
        listed.split('\0').filter(|path| !path.is_empty() && !path.starts_with("fuzz/seeds/"))
    {
        let full = root.join(path);
        if !full.symlink_metadata().is_ok_and(|data| data.is_file()) {
            continue; // deleted in the work tree, or a link
        }
        let bytes = std::fs::read(&full).map_err(|e| format!("cannot read {path}: {e}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            files.insert(path.to_owned(), text);
        }
    }
    Ok(files)
}

fn output(root: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let command = format!("{program} {}", args.join(" "));
    let done = Command::new(program).args(args).current_dir(root).output();
    let done = done.map_err(|e| format!("cannot start `{command}`: {e}"))?;
    if !done.status.success() {
        return Err(format!("`{command}` failed: {}", String::from_utf8_lossy(&done.stderr)));
    }
    String::from_utf8(done.stdout).map_err(|e| format!("`{command}` printed no UTF-8: {e}"))
}
