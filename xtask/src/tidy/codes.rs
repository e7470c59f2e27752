//! Error codes: each one that the code reports has a row in docs/errors.md, and the other way.
//!
//! In: all files by path. Out: violations at the first use of a code, or at its row. A code is a
//! string literal such as `"E0101"` outside of tests; a row of the page begins with it.

use super::Violation;
use super::rust::is_test_file;
use super::source::Source;
use std::collections::BTreeMap;

const PAGE: &str = "docs/errors.md";

/// Compares the codes of the source with the rows of the page.
pub(super) fn check(files: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut used: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    let rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
    for (path, text) in rust.filter(|(path, _)| !path.starts_with("xtask/")) {
        let source = Source::new(text, is_test_file(path));
        for (idx, (raw, line)) in text.lines().zip(&source.lines).enumerate() {
            if line.in_test || !line.code.contains('"') {
                continue;
            }
            for code in raw.split('"').skip(1).step_by(2).filter(|word| is_code(word)) {
                used.entry(code.to_owned()).or_insert((path, idx + 1));
            }
        }
    }
    let mut found = Vec::new();
    let page = files.get(PAGE).map(String::as_str).unwrap_or_default();
    let rows = rows(page);
    for (code, (path, line)) in &used {
        if !rows.iter().any(|(row, _)| row == code) {
            let message = format!("{code} has no row in {PAGE}");
            found.push(Violation::new(path, *line, "error-code", message));
        }
    }
    for (idx, (code, line)) in rows.iter().enumerate() {
        if !used.contains_key(*code) {
            let message = format!("nothing reports {code}");
            found.push(Violation::new(PAGE, *line, "error-code", message));
        }
        if rows[..idx].iter().any(|(earlier, _)| earlier == code) {
            let message = format!("a second row for {code}");
            found.push(Violation::new(PAGE, *line, "error-code", message));
        }
    }
    found
}

fn is_code(word: &str) -> bool {
    word.len() == 5 && word.starts_with('E') && word[1..].chars().all(|c| c.is_ascii_digit())
}

/// The codes that begin a row of a table, with their lines.
fn rows(page: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    for (idx, line) in page.lines().enumerate() {
        let Some(cells) = line.strip_prefix("| ") else { continue };
        let code = cells.split('|').next().unwrap_or_default().trim().trim_matches('`');
        if is_code(code) {
            found.push((code, idx + 1));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(code: &str, page: &str) -> Vec<String> {
        let files = [("ir/src/a.rs", code), (PAGE, page)];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        check(&BTreeMap::from(files)).into_iter().map(|found| found.to_string()).collect()
    }

    #[test]
    fn codes_and_rows_must_agree() {
        let code = "// \"E0009\"\nlet a = f(\"x\", \"E0001\");\n#[cfg(test)]\nmod t {\"E0008\"}\n";
        assert_eq!(messages(code, "| E0001 | text |\n"), [""; 0]);
        let expected = ["ir/src/a.rs:2: error-code: E0001 has no row in docs/errors.md"];
        assert_eq!(messages(code, "E0001\n"), expected);
        let expected = [
            "docs/errors.md:2: error-code: nothing reports E0002",
            "docs/errors.md:3: error-code: a second row for E0001",
        ];
        assert_eq!(messages(code, "| `E0001` | a |\n| E0002 | b |\n| E0001 | c |\n"), expected);
    }
}
