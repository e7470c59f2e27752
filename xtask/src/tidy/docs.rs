//! Rules about the pages: each can be reached, each link leads somewhere, the changelog is open.
//!
//! In: all files by path. Out: violations. Only inline Markdown links are read: `[text](target)`;
//! in comments of Rust files, every word that ends like a page.

use super::Violation;
use super::source::Source;
use std::collections::BTreeMap;

/// Pages from which every page under docs/ must be linked.
const STARTS: [&str; 2] = ["README.md", "docs/ARCHITECTURE.md"];

/// Checks all pages together.
pub(super) fn check(files: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut linked = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in links(text) {
            let target = resolve(path, &target);
            let folder = format!("{target}/");
            if !files.contains_key(&target) && !files.keys().any(|file| file.starts_with(&folder)) {
                let message = format!("`{target}` does not exist");
                found.push(Violation::new(path, line, "broken-link", message));
            }
            if STARTS.contains(&path.as_str()) {
                linked.push(target);
            }
        }
    }
    for path in files.keys().filter(|path| path.starts_with("docs/") && path.ends_with(".md")) {
        if !STARTS.contains(&path.as_str()) && !linked.contains(path) {
            let message = format!("no link from {}", STARTS.join(" or "));
            found.push(Violation::new(path, 1, "unlinked-page", message));
        }
    }
    found.extend(check_mentions(files));
    let changelog = files.get("CHANGELOG.md").map(String::as_str).unwrap_or_default();
    if !changelog.lines().any(|line| line.trim_end() == "## Unreleased") {
        let message = "no `## Unreleased` section";
        found.push(Violation::new("CHANGELOG.md", 1, "changelog", message));
    }
    found
}

/// A comment may name only pages of this repository, by their path from the root.
fn check_mentions(files: &BTreeMap<String, String>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".rs")) {
        for (idx, line) in Source::new(text, false).lines.iter().enumerate() {
            let is_name = |c: char| c.is_alphanumeric() || "_-./:".contains(c);
            let words = line.comment.split(|c| !is_name(c)).map(|word| word.trim_matches('.'));
            let pages = words.filter(|word| word.ends_with(".md") && !word.contains("://"));
            for page in pages.filter(|page| !files.contains_key(*page)) {
                let message = format!("`{page}` does not exist");
                found.push(Violation::new(path, idx + 1, "broken-link", message));
            }
        }
    }
    found
}

/// Targets of the links to files of this repository, with their lines; code blocks left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (idx, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // What stands between backquotes is code: keep every other piece.
        let prose: String = line.split('`').step_by(2).collect();
        for (at, open) in prose.match_indices("](") {
            let target = prose[at + open.len()..].split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push((idx + 1, target.to_owned()));
            }
        }
    }
    found
}

/// The path that `target` means in the page `page`.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(files: &[(&str, &str)]) -> Vec<(String, usize, &'static str)> {
        let own = |&(path, text): &(&str, &str)| (path.to_owned(), text.to_owned());
        let mut files: BTreeMap<String, String> = files.iter().map(own).collect();
        files.entry("CHANGELOG.md".to_owned()).or_insert("## Unreleased\n".to_owned());
        check(&files).into_iter().map(|v| (v.path, v.line, v.rule)).collect()
    }

    #[test]
    fn pages_need_a_link() {
        let page = ("docs/a.md", "text\n");
        let expected = [("docs/a.md".to_owned(), 1, "unlinked-page")];
        assert_eq!(rules(&[page, ("README.md", "`[a](docs/a.md)`\n")]), expected);
        assert_eq!(rules(&[page, ("README.md", "[a](docs/a.md#part)\n")]), []);
        assert_eq!(rules(&[page, ("docs/ARCHITECTURE.md", "[a](a.md)\n")]), []);
    }

    #[test]
    fn links_lead_somewhere() {
        let expected = [("README.md".to_owned(), 2, "broken-link")];
        assert_eq!(rules(&[("README.md", "\n[a](b.md) [c](https://d.e)\n")]), expected);
        let page = ("docs/decisions/a.md", "[up](../../README.md) [folder](..)\n");
        assert_eq!(rules(&[page, ("README.md", "[a](docs/decisions/a.md) [f](docs)\n")]), []);
        assert_eq!(rules(&[("README.md", "```\n[a](b.md)\n```\n")]), []);
    }

    #[test]
    fn comments_name_pages_that_exist() {
        let page = ("README.md", "");
        let text = "//! See README.md.\n// (docs/a.md) https://b.c/d.md\n\"e.md\"\n";
        let expected = [("ir/src/a.rs".to_owned(), 2, "broken-link")];
        assert_eq!(rules(&[page, ("ir/src/a.rs", text)]), expected);
    }

    #[test]
    fn the_changelog_is_open() {
        let expected = [("CHANGELOG.md".to_owned(), 1, "changelog")];
        assert_eq!(rules(&[("CHANGELOG.md", "## 0.1\n")]), expected);
    }
}
