//! Reads the times inside `order { … }`.
//!
//! In: `S0[i, j] -> [i, 0, j]`, one a line or joined by `;`. Out: [`StatementTimes`].

use crate::diag::Result;

use super::lex::{Reader, Token};
use super::{MAX_DEPTH, affine, name};
use crate::schedule::step::StatementTimes;

/// Whether times stand here rather than a tree: a name with a bracket right behind it.
pub(super) fn starts(r: &mut Reader) -> bool {
    r.skip_lines(true);
    matches!((r.peek(), r.ahead(1)), (Token::Word(_), Token::Punct('[')))
}

/// One entry for each statement, up to the closing brace.
pub(super) fn times(r: &mut Reader) -> Result<Vec<StatementTimes>> {
    let mut out = Vec::new();
    while starts(r) {
        let statement = name(r)?;
        let iters = list(r, name)?;
        r.expect('-')?;
        r.expect('>')?;
        let start = r.span();
        let times = list(r, |r| affine(r, 0))?;
        if times.len() > MAX_DEPTH {
            let message = format!("a time has more than {MAX_DEPTH} parts");
            return Err(r.error(start.to(r.last_span()), message));
        }
        out.push(StatementTimes { statement, iters, times });
        if !matches!(r.peek(), Token::Newline | Token::Punct(';' | '}')) {
            return Err(r.expected("`;`, the end of the line or `}`"));
        }
    }
    Ok(out)
}

/// `[a, b, c]`, which may be empty.
fn list<T>(r: &mut Reader, item: impl Fn(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
    let mut out = Vec::new();
    r.expect('[')?;
    loop {
        r.skip_lines(false);
        if r.eat(']') {
            return Ok(out);
        }
        out.push(item(r)?);
        r.skip_lines(false);
        if !r.eat(',') && *r.peek() != Token::Punct(']') {
            return Err(r.expected("`,` or `]`"));
        }
    }
}
