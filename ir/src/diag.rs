//! Diagnostics: one error value for every crate, with blame, spans, witness and help.
//!
//! In: what went wrong and where. Out: text with carets, or JSON.
//! Keeps: `Blame` decides the exit code in one place (docs/ARCHITECTURE.md).

use std::fmt;
use std::sync::Arc;

/// A half-open byte range in the source text a value was read from; `0..0` when it had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of nothing: the value did not come from text.
    pub const NONE: Self = Self { start: 0, end: 0 };

    /// A span over `start..end`, saturating at 4 GiB.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let clip = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
        Self { start: clip(start), end: clip(end) }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A named text that spans point into. Compares equal to every other source: where a value was
/// written is no part of what it means.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// A file name, or a word such as `einsum`.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

impl Source {
    /// A source of this name and text.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

impl PartialEq for Source {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Source {}

/// Who has to act: it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The spec, file or argument is wrong (exit code 1).
    Input,
    /// The schedule is illegal (exit code 2).
    Schedule,
    /// We do not support this, with the reason (exit code 2).
    Unsupported,
    /// The device or the environment failed (exit code 3).
    Environment,
    /// A result did not match its reference (exit code 4).
    Mismatch,
}

impl Blame {
    /// The process exit code of this blame (docs/ARCHITECTURE.md).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Input => 1,
            Self::Schedule | Self::Unsupported => 2,
            Self::Environment => 3,
            Self::Mismatch => 4,
        }
    }
}

/// A place in the source with a short remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The source it points into; `None` means the diagnostic's own source.
    pub source: Option<Source>,
    /// Where.
    pub span: Span,
    /// What about it; may be empty.
    pub text: String,
}

/// An error (or a refusal) that a person can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code such as `E0101`, listed in docs/errors.md.
    pub code: &'static str,
    /// Who has to act.
    pub blame: Blame,
    /// One sentence without a final full stop.
    pub message: String,
    /// The text that labels point into, if any.
    pub source: Option<Source>,
    /// Places, the main one first.
    pub labels: Vec<Label>,
    /// A concrete example that shows the problem (two instances and the array element, a point
    /// out of bounds, …).
    pub witness: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic with a code, a blame and a message.
    #[must_use]
    pub fn new(code: &'static str, blame: Blame, message: impl Into<String>) -> Self {
        Self {
            code,
            blame,
            message: message.into(),
            source: None,
            labels: Vec::new(),
            witness: None,
            help: None,
        }
    }

    /// Input is wrong.
    #[must_use]
    pub fn input(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Blame::Input, message)
    }

    /// Adds a place in the diagnostic's own source.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { source: None, span, text: text.into() });
        self
    }

    /// Adds a place in another source.
    #[must_use]
    pub fn label_in(mut self, source: &Source, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { source: Some(source.clone()), span, text: text.into() });
        self
    }

    /// Sets the source that labels point into.
    #[must_use]
    pub fn in_source(mut self, source: &Source) -> Self {
        self.source = Some(source.clone());
        self
    }

    /// Sets the example.
    #[must_use]
    pub fn witness(mut self, text: impl Into<String>) -> Self {
        self.witness = Some(text.into());
        self
    }

    /// Sets what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

/// The line number (from 1), column (from 1, in characters) and text of the line holding `at`.
fn locate(text: &str, at: usize) -> (usize, usize, &str) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |p| p + 1);
    let end = text[at..].find('\n').map_or(text.len(), |p| at + p);
    let line = text[..start].matches('\n').count() + 1;
    (line, text[start..at].chars().count() + 1, &text[start..end])
}

/// Characters of a line that are shown; a longer line is clipped.
const SHOWN: usize = 160;
/// Characters before the span that a clipped line keeps.
const BEFORE: usize = 60;

/// The part of a line around a column (from 1), and the column within it.
fn clip(text: &str, column: usize) -> (String, usize) {
    if text.chars().nth(SHOWN).is_none() {
        return (text.to_owned(), column);
    }
    let first = (column - 1).saturating_sub(BEFORE);
    let mut rest = text.chars().skip(first);
    let mut shown = if first > 0 { "…".to_owned() } else { String::new() };
    let column = column - first + shown.chars().count();
    shown.extend(rest.by_ref().take(SHOWN));
    if rest.next().is_some() {
        shown.push('…');
    }
    (shown, column)
}

fn write_label(f: &mut fmt::Formatter<'_>, source: &Source, label: &Label) -> fmt::Result {
    let (line, column, text) = locate(&source.text, label.span.start as usize);
    let wide = (label.span.end.saturating_sub(label.span.start)).max(1) as usize;
    let name = if source.name.is_empty() { "<text>" } else { &source.name };
    writeln!(f, "  --> {name}:{line}:{column}")?;
    let (text, column) = clip(text, column);
    let room = text.chars().count().saturating_sub(column - 1).max(1);
    let pad: String =
        text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    writeln!(f, "   | {text}")?;
    let carets = "^".repeat(wide.min(room));
    writeln!(f, "   | {pad}{carets} {}", label.text)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.message)?;
        for label in &self.labels {
            if let Some(source) = label.source.as_ref().or(self.source.as_ref()) {
                write_label(f, source, label)?;
            }
        }
        if let Some(witness) = &self.witness {
            writeln!(f, "   = example: {witness}")?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "   = help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// `Result` with a [`Diagnostic`].
pub type Result<T, E = Box<Diagnostic>> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_under_the_span() {
        let source = Source::new("a.nest", "in A: f32[M]\nin B: f99[M]\n");
        let d = Diagnostic::input("E0101", "unknown type `f99`")
            .in_source(&source)
            .label(Span::new(19, 22), "not a type")
            .help("write f32");
        let text = d.to_string();
        assert!(text.contains("a.nest:2:7"), "{text}");
        assert!(text.contains("   |       ^^^ not a type"), "{text}");
    }

    #[test]
    fn long_lines_are_clipped_around_the_span() {
        let shown = |text: &str, at: usize, wide: usize| {
            let d = Diagnostic::input("E0101", "wrong")
                .in_source(&Source::new("a.nest", text))
                .label(Span::new(at, at + wide), "here");
            let shown = d.to_string();
            let lines: Vec<Vec<char>> = shown.lines().map(|l| l.chars().collect()).collect();
            assert!(lines.iter().all(|l| l.len() <= SHOWN + 20), "{shown}");
            let marked = lines[3].iter().zip(&lines[2]).filter(|(caret, _)| **caret == '^');
            (lines[1].iter().collect::<String>(), marked.map(|(_, c)| *c).collect::<String>())
        };
        let half = "é, ".repeat(12_500);
        let text = format!("{half}wrong{half}");
        assert_eq!(text.chars().count(), 75_005);
        assert_eq!(text.len(), 100_005);
        let (place, marked) = shown(&text, half.len(), 5);
        assert_eq!((place.as_str(), marked.as_str()), ("  --> a.nest:1:37501", "wrong"));
        assert_eq!(shown(&text, 0, 1).1, "é");
        assert_eq!(shown(&text, text.len() - 2, 2).1, ", ");
        let (_, all) = shown(&text, 0, text.len());
        assert_eq!(all.chars().count(), SHOWN + 1, "it ends with the clipped line");
    }
}
