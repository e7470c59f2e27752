//! The lexer and token cursor shared by nests, formulas and kernels; scripts, where a line's end is
//! a token, have their own.
//!
//! In: a [`Source`]. Out: tokens with byte spans, the last one [`Tok::End`].
//! Keeps: every byte sequence gives tokens or a diagnostic with a span, never a panic; comments run
//! from `#` to the end of the line.

use crate::affine::Name;
use crate::diag::{Diagnostic, Result, Source, Span};

/// The deepest nesting of brackets, blocks and operands that a text may have.
pub const MAX_DEPTH: u32 = 128;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum Tok {
    /// `[A-Za-z_][A-Za-z0-9_]*`, or a dotted loop name where the caller asked for those.
    Ident(Name),
    /// A decimal integer.
    Int(u64),
    /// A hexadecimal integer: a bit pattern.
    Hex(u64),
    /// A number with a point or an exponent.
    Float(f64),
    /// An operator or bracket.
    Punct(&'static str),
    /// The end of the text.
    End,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub tok: Tok,
    /// Where.
    pub span: Span,
}

/// Longest first, so that the first match is the right one.
const PUNCTS: [&str; 30] = [
    "..=", "..", "->", "+=", "*=", "<=", ">=", "==", "!=", "+", "-", "*", "/", "(", ")", "[", "]",
    "{", "}", ",", ":", ";", ".", "%", "@", "=", "<", ">", "&", "|",
];

/// Splits a text into tokens. With `dotted`, a name may contain dots (`S1.k.0`).
///
/// # Errors
/// `E0101` for a character that starts no token, `E0102` for a malformed number.
pub fn lex(source: &Source, dotted: bool) -> Result<Vec<Token>> {
    let text: &str = &source.text;
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let b = bytes[at];
        if b.is_ascii_whitespace() {
            at += 1;
        } else if b == b'#' {
            at = text[at..].find('\n').map_or(bytes.len(), |n| at + n);
        } else {
            let (tok, end) = token(source, at, dotted)?;
            out.push(Token { tok, span: Span::new(at, end) });
            at = end;
        }
    }
    out.push(Token { tok: Tok::End, span: Span::new(bytes.len(), bytes.len()) });
    Ok(out)
}

fn token(source: &Source, at: usize, dotted: bool) -> Result<(Tok, usize)> {
    let text: &str = &source.text;
    let b = text.as_bytes()[at];
    if b.is_ascii_digit() {
        return number(source, at);
    }
    if b.is_ascii_alphabetic() || b == b'_' {
        let end = name_end(text.as_bytes(), at, dotted);
        return Ok((Tok::Ident(text[at..end].into()), end));
    }
    if let Some(p) = PUNCTS.into_iter().find(|p| text.as_bytes()[at..].starts_with(p.as_bytes())) {
        return Ok((Tok::Punct(p), at + p.len()));
    }
    let c = text[at..].chars().next().unwrap_or(' ');
    Err(Diagnostic::input("E0101", format!("unexpected character `{}`", c.escape_debug()))
        .in_source(source)
        .label(Span::new(at, at + c.len_utf8()), "no token starts like this")
        .help("names are ASCII letters, digits and `_`; comments start with `#`")
        .into())
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn name_end(bytes: &[u8], at: usize, dotted: bool) -> usize {
    let mut end = at;
    while end < bytes.len()
        && (is_word(bytes[end])
            || (dotted && bytes[end] == b'.' && bytes.get(end + 1).is_some_and(|&b| is_word(b))))
    {
        end += 1;
    }
    end
}

fn number(source: &Source, at: usize) -> Result<(Tok, usize)> {
    let bytes = source.text.as_bytes();
    let digits = |mut from: usize| {
        while bytes.get(from).is_some_and(u8::is_ascii_digit) {
            from += 1;
        }
        from
    };
    let bad = |end: usize, what: &str| {
        Diagnostic::input("E0102", format!("malformed number: {what}"))
            .in_source(source)
            .label(Span::new(at, end), "")
    };
    let word_end = |from: usize| name_end(bytes, from, false);
    if bytes[at] == b'0' && matches!(bytes.get(at + 1), Some(b'x' | b'X')) {
        let end = word_end(at + 2);
        return match u64::from_str_radix(&source.text[at + 2..end], 16) {
            Ok(value) => Ok((Tok::Hex(value), end)),
            Err(_) => Err(bad(end, "`0x` takes 1 to 16 hexadecimal digits").into()),
        };
    }
    let mut end = digits(at);
    let mut float = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end = digits(end + 1);
        float = true;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let stop = digits(end + 1 + sign);
        if stop > end + 1 + sign {
            end = stop;
            float = true;
        }
    }
    if bytes.get(end).is_some_and(|&b| is_word(b)) {
        return Err(bad(word_end(end), "letters follow the digits")
            .help("names start with a letter or `_`; write products with `*`")
            .into());
    }
    if !float {
        return source.text[at..end].parse().map(|v| (Tok::Int(v), end)).map_err(|_| {
            bad(end, "it exceeds 64 bits").help("write it as a float, such as 1e30").into()
        });
    }
    match source.text[at..end].parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Tok::Float(value), end)),
        Ok(_) | Err(_) => Err(bad(end, "it exceeds f64").help("write `inf` for infinity").into()),
    }
}

/// Tokens read one after another, with the errors that go with them.
#[derive(Clone, Debug)]
pub struct Cursor {
    source: Source,
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

impl Cursor {
    /// A cursor at the start of a text; `dotted` as in [`lex`].
    ///
    /// # Errors
    /// Those of [`lex`].
    pub fn new(source: &Source, dotted: bool) -> Result<Self> {
        Ok(Self { source: source.clone(), tokens: lex(source, dotted)?, at: 0, depth: 0 })
    }

    /// The text.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// The next token.
    #[must_use]
    pub fn peek(&self) -> &Tok {
        self.peek_at(0)
    }

    /// The token `ahead` places after the next one.
    #[must_use]
    pub fn peek_at(&self, ahead: usize) -> &Tok {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)].tok
    }

    /// Where the next token stands.
    #[must_use]
    pub fn span(&self) -> Span {
        self.tokens[self.at.min(self.tokens.len() - 1)].span
    }

    /// Where the last token taken stands.
    #[must_use]
    pub fn last_span(&self) -> Span {
        self.tokens[self.at.saturating_sub(1).min(self.tokens.len() - 1)].span
    }

    /// Takes the next token; at the end it stays there.
    pub fn bump(&mut self) -> Token {
        let token = self.tokens[self.at.min(self.tokens.len() - 1)].clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Whether the next token is this operator.
    #[must_use]
    pub fn at_punct(&self, p: &str) -> bool {
        matches!(self.peek(), Tok::Punct(q) if *q == p)
    }

    /// Whether the next token is this word.
    #[must_use]
    pub fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), Tok::Ident(name) if &**name == word)
    }

    /// Takes this operator if it is next.
    pub fn eat(&mut self, p: &str) -> bool {
        let hit = self.at_punct(p);
        if hit {
            self.bump();
        }
        hit
    }

    /// Takes this word if it is next.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let hit = self.at_word(word);
        if hit {
            self.bump();
        }
        hit
    }

    /// Takes this operator.
    ///
    /// # Errors
    /// `E0103` if something else is next.
    pub fn expect(&mut self, p: &str) -> Result<Span> {
        if self.at_punct(p) { Ok(self.bump().span) } else { Err(self.unexpected(&quoted(p))) }
    }

    /// Takes this word.
    ///
    /// # Errors
    /// `E0103` if something else is next.
    pub fn expect_word(&mut self, word: &str) -> Result<Span> {
        if self.at_word(word) { Ok(self.bump().span) } else { Err(self.unexpected(&quoted(word))) }
    }

    /// Takes a name; `what` says of what, for the message.
    ///
    /// # Errors
    /// `E0103` if something else is next.
    pub fn ident(&mut self, what: &str) -> Result<(Name, Span)> {
        match self.peek().clone() {
            Tok::Ident(name) => Ok((name, self.bump().span)),
            Tok::Int(_) | Tok::Hex(_) | Tok::Float(_) | Tok::Punct(_) | Tok::End => {
                Err(self.unexpected(what))
            }
        }
    }

    /// Takes an integer with an optional minus sign.
    ///
    /// # Errors
    /// `E0103` if something else is next, `E0102` beyond 64 bits.
    pub fn integer(&mut self, what: &str) -> Result<i64> {
        let start = self.span();
        let negative = self.eat("-");
        let value = match self.peek() {
            Tok::Int(v) if negative => 0i64.checked_sub_unsigned(*v),
            Tok::Int(v) => i64::try_from(*v).ok(),
            #[expect(clippy::cast_possible_wrap, reason = "hexadecimal is a bit pattern")]
            Tok::Hex(v) if negative => (*v as i64).checked_neg(),
            #[expect(clippy::cast_possible_wrap, reason = "hexadecimal is a bit pattern")]
            Tok::Hex(v) => Some(*v as i64),
            Tok::Ident(_) | Tok::Float(_) | Tok::Punct(_) | Tok::End => {
                return Err(self.unexpected(what));
            }
        };
        self.bump();
        value.ok_or_else(|| {
            self.error("E0102", "an integer exceeds 64 bits", start.to(self.last_span()), "")
        })
    }

    /// An error that points at `span`.
    #[must_use]
    pub fn error(
        &self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        help: &str,
    ) -> Box<Diagnostic> {
        let d = Diagnostic::input(code, message).in_source(&self.source).label(span, "");
        Box::new(if help.is_empty() { d } else { d.help(help) })
    }

    /// `E0103`: `what` was wanted, something else stands here.
    #[must_use]
    pub fn unexpected(&self, what: &str) -> Box<Diagnostic> {
        let found = match self.peek() {
            Tok::Ident(name) => quoted(name),
            Tok::Int(v) => quoted(&v.to_string()),
            Tok::Hex(v) => quoted(&format!("{v:#x}")),
            Tok::Float(v) => quoted(&format!("{v:?}")),
            Tok::Punct(p) => quoted(p),
            Tok::End => "the end of the text".to_owned(),
        };
        self.error("E0103", format!("expected {what}, found {found}"), self.span(), "")
    }

    /// Enters one level of nesting.
    ///
    /// # Errors
    /// `E0104` beyond [`MAX_DEPTH`].
    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("nesting is deeper than {MAX_DEPTH} levels");
        Err(self.error("E0104", message, self.span(), "use temporaries to split it"))
    }

    /// Leaves one level of nesting.
    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Counts levels from here on, for what may nest as deep wherever it stands; the levels so far.
    pub const fn count_from(&mut self, depth: u32) -> u32 {
        std::mem::replace(&mut self.depth, depth)
    }
}

/// The text between backquotes.
fn quoted(text: &str) -> String {
    format!("`{text}`")
}

/// The candidate nearest to `name`, if it is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if name.len() <= 2 { 1 } else { 2 };
    candidates
        .into_iter()
        .map(|c| (distance(name, c), c))
        .filter(|(d, c)| {
            *d <= limit && *d < name.len().max(c.len()) || c.eq_ignore_ascii_case(name)
        })
        .min()
        .map(|(_, c)| c)
}

/// Levenshtein's distance on bytes; long names count as far.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toks(text: &str) -> Vec<Tok> {
        lex(&Source::new("t", text), false).unwrap().into_iter().map(|t| t.tok).collect()
    }

    #[test]
    fn numbers_and_ranges() {
        use Tok::{End, Float, Hex, Int, Punct};
        assert_eq!(toks("0..12"), [Int(0), Punct(".."), Int(12), End]);
        assert_eq!(toks("1.5e-3 2e4 0xff # x"), [Float(1.5e-3), Float(2e4), Hex(255), End]);
        for bad in ["1e999", "99999999999999999999", "0x", "12ab", "é", "\u{0}"] {
            assert!(lex(&Source::new("t", bad), false).is_err(), "{bad}");
        }
    }

    #[test]
    fn dotted_names_are_one_token() {
        let t = lex(&Source::new("t", "S1.k.0..m"), true).unwrap();
        assert_eq!(t[0].tok, Tok::Ident("S1.k.0".into()));
        assert_eq!(t[1].tok, Tok::Punct(".."));
    }

    #[test]
    fn nearest_prefers_small_edits() {
        assert_eq!(nearest("bf61", ["f32", "bf16"]), Some("bf16"));
        assert_eq!(nearest("n", ["M", "N"]), Some("N"));
        assert_eq!(nearest("quux", ["M", "N"]), None);
    }
}
