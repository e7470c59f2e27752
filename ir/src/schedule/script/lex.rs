//! The words of a script, and the reader that walks over them.
//!
//! In: text. Out: tokens with spans; errors `E0700` (a character or number that cannot be).
//! Keeps: spans are byte ranges of the text; newlines are tokens because they end a step.
//! Why here: a script's names hold dots (`m.0`, `S1.k`), which no other text of ours has.

use crate::diag::{Diagnostic, Result, Source, Span};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A name: letters, digits, `_`, and parts joined by dots.
    Word(String),
    /// A number without a sign.
    Int(u64),
    /// One of `, ; : ( ) { } [ ] + - * / % > < =`.
    Punct(char),
    /// The end of a line.
    Newline,
    /// The end of the text.
    End,
}

impl Token {
    /// How a message names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Int(value) => format!("`{value}`"),
            Self::Punct(c) => format!("`{c}`"),
            Self::Newline => "the end of the line".into(),
            Self::End => "the end of the script".into(),
        }
    }
}

/// Tokens with a position.
pub(super) struct Reader {
    source: Source,
    tokens: Vec<(Token, Span)>,
    at: usize,
}

/// The error of a script that does not parse.
pub(super) fn syntax(source: &Source, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::input("E0700", message).in_source(source).label(span, ""))
}

impl Reader {
    /// Splits the text.
    pub(super) fn new(source: &Source) -> Result<Self> {
        let text: &str = &source.text;
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let start = at;
            at += c.len_utf8();
            let token = match c {
                '\n' => Token::Newline,
                '#' => {
                    at = text[start..].find('\n').map_or(text.len(), |n| start + n);
                    continue;
                }
                c if c.is_whitespace() => continue,
                ',' | ';' | ':' | '(' | ')' | '{' | '}' | '[' | ']' | '+' | '-' | '*' | '/'
                | '%' | '>' | '<' | '=' => Token::Punct(c),
                c if c.is_ascii_digit() => {
                    at = start + length(&text[start..], |c| c.is_ascii_alphanumeric() || c == '_');
                    let digits = &text[start..at];
                    let value = number(digits).ok_or_else(|| {
                        let message = format!("`{digits}` is not a number of 64 bits");
                        syntax(source, Span::new(start, at), message)
                    })?;
                    Token::Int(value)
                }
                c if c.is_ascii_alphabetic() || c == '_' => {
                    at = start + word_length(&text[start..]);
                    Token::Word(text[start..at].into())
                }
                c => {
                    let message = format!("`{}` cannot stand in a script", c.escape_debug());
                    return Err(syntax(source, Span::new(start, at), message));
                }
            };
            tokens.push((token, Span::new(start, at)));
        }
        tokens.push((Token::End, Span::new(at, at)));
        Ok(Self { source: source.clone(), tokens, at: 0 })
    }

    /// The token at the reader's place.
    pub(super) fn peek(&self) -> &Token {
        self.ahead(0)
    }

    /// The token `n` places further on.
    pub(super) fn ahead(&self, n: usize) -> &Token {
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)].0
    }

    /// Where the token at the reader's place stands.
    pub(super) fn span(&self) -> Span {
        self.tokens[self.at].1
    }

    /// Where the token before the reader's place stands.
    pub(super) fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1)].1
    }

    /// Takes a token; at the end it stays there.
    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    /// Takes the punctuation if it is next.
    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = *self.peek() == Token::Punct(c);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes the word if it is next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(w) if w == word);
        if found {
            self.at += 1;
        }
        found
    }

    /// Takes line ends and, if asked, semicolons.
    pub(super) fn skip_lines(&mut self, semicolons: bool) {
        while *self.peek() == Token::Newline || (semicolons && *self.peek() == Token::Punct(';')) {
            self.at += 1;
        }
    }

    /// The error `expected …, found …` at the reader's place.
    pub(super) fn expected(&self, what: &str) -> Box<Diagnostic> {
        self.error(self.span(), format!("expected {what}, found {}", self.peek().describe()))
    }

    /// An error at a place.
    pub(super) fn error(&self, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        syntax(&self.source, span, message)
    }

    /// Takes the punctuation or fails.
    pub(super) fn expect(&mut self, c: char) -> Result<()> {
        if self.eat(c) { Ok(()) } else { Err(self.expected(&format!("`{c}`"))) }
    }

    /// Takes the word or fails.
    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }
}

/// `200`, or `200K` for as many times 1024.
fn number(text: &str) -> Option<u64> {
    match text.strip_suffix('K') {
        Some(digits) => digits.parse::<u64>().ok()?.checked_mul(1024),
        None => text.parse().ok(),
    }
}

fn length(text: &str, keep: impl Fn(char) -> bool) -> usize {
    text.find(|c| !keep(c)).unwrap_or(text.len())
}

/// The bytes of the word the text starts with; a dot belongs to it when a letter or digit follows.
fn word_length(text: &str) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = length(text, part);
    while text[at..].starts_with('.') && text[at + 1..].starts_with(part) {
        at += 1 + length(&text[at + 1..], part);
    }
    at
}
