//! A Rust file as tidy sees it: per line the code, the comments, and whether it is test code.
//!
//! In: the text of a file. Out: [`Source`], where strings, characters and comments no longer hide
//! in the code. Requires: text that rustc accepts; on other text it still ends, with some answer.
//! Why not a real parser: rules look for words, and this keeps tidy free of dependencies.

/// One line of a file.
#[derive(Debug, Default, Clone)]
pub(crate) struct Line {
    /// The code, with the insides of literals and all comments left out.
    pub(crate) code: String,
    /// The text of the comments.
    pub(crate) comment: String,
    /// True for a line inside an item that only test builds see.
    pub(crate) in_test: bool,
}

/// A file, line by line.
#[derive(Debug)]
pub(crate) struct Source {
    /// The lines, in order.
    pub(crate) lines: Vec<Line>,
}

impl Source {
    /// Splits `text`; `all_test` says that the whole file is test code.
    pub(crate) fn new(text: &str, all_test: bool) -> Self {
        let mut lexer = Lexer { rest: text, lines: vec![Line::default()] };
        while lexer.token() {}
        let mut lines = lexer.lines;
        if text.ends_with('\n') {
            lines.pop();
        }
        if all_test {
            lines.iter_mut().for_each(|line| line.in_test = true);
        } else {
            mark_tests(&mut lines);
        }
        Source { lines }
    }

    /// True when a line of the code, test or not, has this word.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.lines.iter().any(|line| has_word(&line.code, word))
    }
}

/// True when `word` stands in `code` and is not part of a longer identifier.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_name) && !after.is_some_and(is_name)
    })
}

struct Lexer<'a> {
    rest: &'a str,
    lines: Vec<Line>,
}

impl Lexer<'_> {
    /// Takes one token; false at the end of the text.
    fn token(&mut self) -> bool {
        let rest = self.rest;
        let Some(first) = rest.chars().next() else { return false };
        if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            self.take(end, false, true);
        } else if rest.starts_with("/*") {
            self.take(block_comment_end(rest), false, true);
        } else if first == '"' {
            self.literal(1, string_end(&rest[1..]));
        } else if first == '\'' {
            match char_end(rest) {
                Some(end) => self.literal(1, end - 1),
                None => self.take(1, true, false), // a lifetime
            }
        } else if first.is_alphabetic() || first == '_' {
            self.word();
        } else {
            self.take(first.len_utf8(), true, false);
        }
        true
    }

    /// Takes an identifier, or a literal with a prefix such as `r#"…"#`, `b"…"`, `b'…'`.
    fn word(&mut self) {
        let rest = self.rest;
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        self.take(end, true, false);
        let n_hashes = after.len() - after.trim_start_matches('#').len();
        if matches!(name, "r" | "br" | "cr") && after[n_hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(n_hashes));
            let body = &after[n_hashes + 1..];
            let len = body.find(&close).map_or(body.len(), |at| at + close.len());
            self.literal(n_hashes + 1, len);
        }
    }

    /// Takes a literal: `open` bytes of code, then `len` bytes that no rule looks at.
    fn literal(&mut self, open: usize, len: usize) {
        self.take(open, true, false);
        self.take(len, false, false);
    }

    /// Moves `n_bytes` of text on, to the code or the comments of the current line, or to nothing.
    fn take(&mut self, n_bytes: usize, to_code: bool, to_comment: bool) {
        let (taken, rest) = self.rest.split_at(n_bytes);
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.lines.push(Line::default());
                continue;
            }
            let line = self.lines.last_mut().expect("a lexer starts with one line");
            if to_code {
                line.code.push(c);
            }
            if to_comment {
                line.comment.push(c);
            }
        }
    }
}

/// Length of the (possibly nested) block comment that `text` starts with.
fn block_comment_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Length of a string's inside with its closing quote.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character literal `text` starts with; none when the quote begins a lifetime.
fn char_end(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?; // the escaped character, which may be a quote
        return chars.find(|&(_, c)| c == '\'').map(|(at, _)| at + 1);
    }
    chars.next().filter(|&(_, c)| c == '\'').map(|(at, _)| at + 1)
}

/// Marks the items that carry `#[cfg(test)]` (or `cfg(all(test, …))`) and those with `#[test]`.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        let code = lines[at].code.trim_start();
        let is_test = code.starts_with("#[test]")
            || (code.starts_with("#[cfg(") && has_word(code, "test") && !has_word(code, "not"));
        let end = if is_test { item_end(&lines[at..]) + at } else { at };
        if is_test {
            lines[at..=end].iter_mut().for_each(|line| line.in_test = true);
        }
        at = end + 1;
    }
}

/// Index of the line where the item that starts at line 0 ends: at its closing brace or semicolon.
fn item_end(lines: &[Line]) -> usize {
    let (mut braces, mut other) = (0_i64, 0_i64);
    for (idx, line) in lines.iter().enumerate() {
        for c in line.code.chars() {
            match c {
                '{' => braces += 1,
                '(' | '[' => other += 1,
                ')' | ']' => other -= 1,
                '}' => {
                    braces -= 1;
                    if braces == 0 && other == 0 {
                        return idx;
                    }
                }
                ';' if braces == 0 && other == 0 => return idx,
                _ => {}
            }
        }
    }
    lines.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        Source::new(text, false).lines.into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn literals_and_comments_are_not_code() {
        assert_eq!(code("let a = \"unsafe\"; // unsafe\n"), ["let a = \"; "]);
        assert_eq!(code("a /* x /* y */ z */ b\n"), ["a  b"]);
        assert_eq!(code("r#\"a \" unsafe\"# + b\n"), ["r#\" + b"]);
        assert_eq!(code("\"a\nb\" c\n"), ["\"", " c"]);
        assert_eq!(code("br\"\\\" d\n"), ["br\" d"]);
        assert_eq!(code("\"\\\"\" e"), ["\" e"]);
    }

    #[test]
    fn lifetimes_are_told_from_characters() {
        assert_eq!(code("fn f<'a>(x: &'a str) {}\n"), ["fn f<'a>(x: &'a str) {}"]);
        assert_eq!(code("'\"' a '\\'' b '\\u{1F}' c\n"), ["' a ' b ' c"]);
    }

    #[test]
    fn test_items_are_marked_to_their_end() {
        let text = "fn a() {}\n#[cfg(test)]\nmod t {\n  fn b() {}\n}\nfn c() {}\n#[cfg(test)]\n\
                    use x;\nfn d() {}\n#[test]\nfn e() {\n}\n#[cfg(not(test))]\nfn f() {}\n";
        let marks: Vec<bool> = Source::new(text, false).lines.iter().map(|l| l.in_test).collect();
        let expected = [0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0].map(|mark| mark == 1);
        assert_eq!(marks, expected);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("pub unsafe fn", "unsafe"));
        assert!(!has_word("forbid(unsafe_code)", "unsafe"));
    }

    #[test]
    fn broken_text_still_ends() {
        for text in ["\"", "/*", "'", "'\\", "r#\"", "/*/", "#[cfg(test)]", "}", "\u{e9}'"] {
            let source = Source::new(text, false);
            assert_eq!(source.lines.len(), 1, "{text}");
        }
    }
}
