//! Checks a text before isl parses it.
//!
//! Why here: isl's parser is recursive without a limit, so deeply nested input would overflow the
//! stack, which no error path can catch.

use crate::error::{Error, ErrorKind, Result};

/// Brackets may nest this deep.
const MAX_DEPTH: usize = 200;
/// Unary operators and quantifiers may follow each other this often.
const MAX_RUN: usize = 200;
/// Lines may be indented this far (a level of a schedule tree needs two or more columns).
const MAX_INDENT: usize = 800;

/// Refuses a text that nests too deep for isl's recursive parser.
pub(crate) fn check(text: &str, call: &'static str) -> Result<()> {
    let refuse = |what: &str| Err(Error::own(call, ErrorKind::Parse, what));
    let (mut depth, mut run) = (0usize, 0usize);
    for word in text.split_inclusive(|c: char| !c.is_alphanumeric()) {
        for c in word.chars() {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            match c {
                '-' | '!' | '¬' | '(' | '[' | '{' | ':' => run += 1,
                '0'..='9' | ')' | ']' | '}' | ';' => run = 0,
                _ => {}
            }
        }
        let bare = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        if matches!(bare, "not" | "exists" | "exist" | "if" | "else") {
            run += 1;
        }
        if depth > MAX_DEPTH || run > MAX_RUN {
            return refuse("nested too deeply");
        }
    }
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    if text.lines().any(|line| indent(line) > MAX_INDENT) {
        return refuse("indented too far");
    }
    Ok(())
}
