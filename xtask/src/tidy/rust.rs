//! Rules about Rust files: headers, sizes, and words that are allowed only in some places.
//!
//! In: path and text. Out: violations, and notices that fail nothing. Why not clippy: these rules
//! depend on where a file lies, which a lint's configuration cannot say.

use super::Violation;
use super::edges::Package;
use super::source::{Source, has_word};
use std::collections::BTreeMap;

const SOFT_LINES: usize = 600;
const HARD_LINES: usize = 700;
const WIDTH: usize = 100;
const MIN_HEADER: usize = 20;

/// Folders whose crates may use `unsafe`: they talk to C or run generated code.
const UNSAFE: [&str; 5] = ["isl", "codegen", "runtime", "contest", "capi"];
/// Folders whose output must not depend on hashing order.
const ORDERED: [&str; 4] = ["ir", "verify", "scheduler", "codegen"];
/// Files that may read environment variables; everything else gets values as arguments.
const ENV: [&str; 1] = ["warploom/src/cache.rs"];

/// The one file with the opcodes of matrix instructions, copies and barriers.
const OPCODES_IN: &str = "ir/src/instruction/table.rs";
/// Beginnings of such opcodes, split so that this file has none.
const OPCODES: [&str; 6] = [
    concat!("wgmma.mma", "_async"),
    concat!("mma.sy", "nc"),
    concat!("matrix.sy", "nc"),
    concat!("cp.async.b", "ulk"),
    concat!("try.wa", "it"),
    concat!("setmax", "nreg"),
];

/// Checks one Rust file; returns violations and notices.
pub(super) fn check(path: &str, text: &str) -> (Vec<Violation>, Vec<Violation>) {
    let source = Source::new(text, is_test_file(path));
    let mut violations = Vec::new();
    violations.extend(check_header(path, text));
    violations.extend(check_words(path, &source));
    for (idx, line) in text.lines().enumerate() {
        let width = line.chars().count();
        if width > WIDTH && !line.contains("://") {
            let message = format!("{width} columns; the limit is {WIDTH}");
            violations.push(Violation::new(path, idx + 1, "width", message));
        }
    }
    for (idx, line) in text.lines().enumerate().filter(|_| path != OPCODES_IN) {
        let plain = source.lines.get(idx).is_none_or(|l| l.in_test) || line.contains("//");
        if !plain && OPCODES.iter().any(|opcode| line.contains(opcode)) {
            let message = format!("an opcode stands outside {OPCODES_IN}");
            violations.push(Violation::new(path, idx + 1, "opcode", message));
        }
    }
    let mut notices = Vec::new();
    let n_lines = source.lines.iter().filter(|line| !line.in_test).count();
    let message = format!("{n_lines} lines without tests; split the file by concern");
    if n_lines > HARD_LINES {
        violations.push(Violation::new(path, 1, "length", message));
    } else if n_lines > SOFT_LINES {
        notices.push(Violation::new(path, 1, "length", message));
    }
    (violations, notices)
}

/// Files that only test builds see: the package `tests`, `tests` folders and modules.
pub(super) fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| part == "tests") || name == "tests.rs" || name.ends_with("_tests.rs")
}

fn check_header(path: &str, text: &str) -> Option<Violation> {
    let header: usize = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.trim().chars().count())
        .sum();
    if header >= MIN_HEADER {
        return None;
    }
    let message = "the file does not start with a `//!` header that says what it is for";
    Some(Violation::new(path, 1, "header", message))
}

fn check_words(path: &str, source: &Source) -> Vec<Violation> {
    let folder = path.split('/').next().unwrap_or_default();
    let reads_env = folder == "xtask" || path.ends_with("build.rs") || ENV.contains(&path);
    let mut found = Vec::new();
    for (idx, line) in source.lines.iter().enumerate() {
        let mut report = |rule, message: &str| {
            found.push(Violation::new(path, idx + 1, rule, message));
        };
        if !UNSAFE.contains(&folder) && has_word(&line.code, "unsafe") {
            report("unsafe", "`unsafe` is allowed only in isl, codegen, runtime, contest and capi");
        }
        if unnumbered_todo(&line.comment) {
            report("todo", "write the issue's number: `TODO(#12)`");
        }
        if line.in_test {
            continue;
        }
        if line.code.contains(".unwrap()") {
            report("unwrap", "use `expect(\"why it cannot fail\")` or return an error");
        }
        if !reads_env && ["var", "var_os", "vars", "vars_os"].iter().any(|f| reads(&line.code, f)) {
            report("env", "environment variables are read only in warploom/src/cache.rs");
        }
        let hashes = has_word(&line.code, "HashMap") || has_word(&line.code, "HashSet");
        if ORDERED.contains(&folder) && hashes {
            report("hash-order", "use BTreeMap or BTreeSet: results must not depend on hashing");
        }
    }
    found
}

fn reads(code: &str, function: &str) -> bool {
    has_word(code, &format!("env::{function}"))
}

/// True for a to-do mark that is not followed by an issue number in parentheses.
fn unnumbered_todo(comment: &str) -> bool {
    ["TODO", "FIXME"].iter().any(|mark| {
        comment.match_indices(mark).any(|(at, _)| {
            let number = comment[at + mark.len()..].strip_prefix("(#");
            let digits = number.and_then(|rest| rest.split_once(')')).map(|(digits, _)| digits);
            !digits.is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
        })
    })
}

/// A crate in which no file says `unsafe` must forbid it in its library and binaries.
pub(super) fn check_forbid_unsafe(
    packages: &[Package],
    files: &BTreeMap<String, String>,
) -> Vec<Violation> {
    let mut found = Vec::new();
    for package in packages {
        let prefix = format!("{}/", package.folder);
        let mut sources = files.iter().filter(|(path, _)| {
            path.ends_with(".rs") && path.starts_with(&prefix) && !prefix.starts_with('/')
        });
        if sources.any(|(_, text)| Source::new(text, false).has_word("unsafe")) {
            continue;
        }
        for root in &package.roots {
            let text = files.get(root).map(String::as_str).unwrap_or_default();
            let code = Source::new(text, false).lines;
            if !code.iter().any(|line| line.code.trim() == "#![forbid(unsafe_code)]") {
                let message = "the crate has no `unsafe`: say `#![forbid(unsafe_code)]`";
                found.push(Violation::new(root, 1, "forbid-unsafe", message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "//! A file that exists to be checked by a test.\n";

    fn rules(path: &str, body: &str) -> Vec<(usize, &'static str)> {
        let (violations, _) = check(path, &format!("{HEADER}{body}"));
        violations.into_iter().map(|v| (v.line, v.rule)).collect()
    }

    #[test]
    fn opcodes_stand_in_the_table_alone() {
        let line = format!("const A: &str = \"{}\";\n", OPCODES[0]);
        assert_eq!(rules("codegen/src/ptx/mod.rs", &line), [(2, "opcode")]);
        assert_eq!(rules(OPCODES_IN, &line), []);
        assert_eq!(rules("codegen/tests/ptx.rs", &line), []);
    }

    #[test]
    fn a_clean_file_passes() {
        assert_eq!(rules("ir/src/a.rs", "fn f() { g().expect(\"x is set\"); }\n"), []);
    }

    #[test]
    fn headers_must_come_first_and_say_something() {
        assert_eq!(check("ir/src/a.rs", "use x;\n//! late header of the file\n").0.len(), 1);
        assert_eq!(check("ir/src/a.rs", "//! ir.\n").0[0].rule, "header");
    }

    #[test]
    fn words_are_refused_where_they_do_not_belong() {
        assert_eq!(rules("ir/src/a.rs", "unsafe { f() }\n"), [(2, "unsafe")]);
        assert_eq!(rules("isl/src/a.rs", "unsafe { f() }\n"), []);
        assert_eq!(rules("cli/src/a.rs", "f().unwrap();\n"), [(2, "unwrap")]);
        assert_eq!(rules("ir/src/a.rs", "\nstd::env::var(\"X\");\n"), [(3, "env")]);
        assert_eq!(rules("ir/src/a.rs", "env::var_os(\"X\");\n"), [(2, "env")]);
        assert_eq!(rules("warploom/src/cache.rs", "std::env::var(\"X\");\n"), []);
        assert_eq!(rules("ir/src/a.rs", "let x = env!(\"X\");\n"), []);
        assert_eq!(rules("scheduler/src/a.rs", "use x::HashMap;\n"), [(2, "hash-order")]);
        assert_eq!(rules("cli/src/a.rs", "use x::HashMap;\n"), []);
    }

    #[test]
    fn test_code_may_unwrap_but_not_be_unsafe() {
        let body = "#[cfg(test)]\nmod tests {\n f().unwrap();\n unsafe {}\n}\nf().unwrap();\n";
        assert_eq!(rules("ir/src/a.rs", body), [(5, "unsafe"), (7, "unwrap")]);
        assert_eq!(rules("tests/src/lib.rs", "f().unwrap();\n"), []);
        assert_eq!(rules("ir/src/nest/tests.rs", "f().unwrap();\n"), []);
    }

    #[test]
    fn marks_need_an_issue_number() {
        assert_eq!(rules("ir/src/a.rs", concat!("// TO", "DO: later\n")), [(2, "todo")]);
        assert_eq!(rules("ir/src/a.rs", concat!("// FIX", "ME(#x): later\n")), [(2, "todo")]);
        assert_eq!(rules("ir/src/a.rs", concat!("// TO", "DO(#12): later\n")), []);
    }

    #[test]
    fn width_and_length_have_limits() {
        let wide = format!("// {}\n", "x".repeat(98));
        assert_eq!(rules("ir/src/a.rs", &wide), [(2, "width")]);
        let (violations, notices) = check("ir/src/a.rs", &(HEADER.to_owned() + &"\n".repeat(650)));
        assert_eq!((violations.len(), notices.len()), (0, 1));
        assert_eq!(rules("ir/src/a.rs", &"\n".repeat(700)), [(1, "length")]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(900));
        assert_eq!(rules("ir/src/a.rs", &tests), []);
    }

    #[test]
    fn crates_without_unsafe_forbid_it() {
        let root = "isl/src/lib.rs".to_owned();
        let package = Package::for_test("warploom-isl", "isl", &[], &[&root]);
        let found = |text: &str| {
            let files = BTreeMap::from([(root.clone(), text.to_owned())]);
            check_forbid_unsafe(std::slice::from_ref(&package), &files).len()
        };
        assert_eq!(found("fn f() {}\n"), 1);
        assert_eq!(found("// #![forbid(unsafe_code)]\n"), 1);
        assert_eq!(found("#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(found("unsafe fn f() {}\n"), 0);
    }
}
