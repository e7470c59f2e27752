//! Reads the tree inside `order { … }`.
//!
//! In: `loop NAME [S0: row, S1: row] marks { … }`, `seq { … }` and statement names; two or more
//! inside braces are a sequence. Out: a [`Tree`].

use std::collections::BTreeMap;

use crate::diag::Result;

use super::lex::{Reader, Token};
use super::{MAX_DEPTH, affine, name};
use crate::schedule::{Marks, Tree, TreeLoop};
use crate::target::Place;

/// What stands inside braces, up to the closing one.
pub(super) fn children(r: &mut Reader, depth: usize) -> Result<Tree> {
    let mut found = list(r, depth)?;
    match found.len() {
        0 => Err(r.expected("a loop, a sequence or a statement")),
        1 => Ok(found.remove(0)),
        _more => Ok(Tree::Sequence(found)),
    }
}

fn list(r: &mut Reader, depth: usize) -> Result<Vec<Tree>> {
    if depth >= MAX_DEPTH {
        return Err(r.error(r.span(), format!("loops nest deeper than {MAX_DEPTH}")));
    }
    let mut out = Vec::new();
    loop {
        r.skip_lines(true);
        match (r.peek().clone(), r.ahead(1), r.ahead(2)) {
            (Token::Word(w), Token::Word(_), Token::Punct('[')) if w == "loop" => {
                r.next();
                out.push(tree_loop(r, depth)?);
            }
            (Token::Word(w), Token::Punct('{'), _) if w == "seq" => {
                r.next();
                r.next();
                out.push(Tree::Sequence(list(r, depth + 1)?));
                r.expect('}')?;
            }
            (Token::Word(_), _, _) => out.push(Tree::Statement(name(r)?.name)),
            (Token::Int(_) | Token::Punct(_) | Token::Newline | Token::End, _, _) => {
                return Ok(out);
            }
        }
    }
}

fn tree_loop(r: &mut Reader, depth: usize) -> Result<Tree> {
    let loop_name = name(r)?.name;
    let rows = rows(r)?;
    let mut marks = Marks::default();
    while let Token::Word(word) = r.peek().clone() {
        match word.as_str() {
            "parallel" => marks.parallel = true,
            "vectorize" => marks.vectorize = true,
            "unroll" => marks.unroll = true,
            word => match Place::named(word) {
                Some(place) => marks.map = Some(place),
                None => {
                    return Err(r.expected("`parallel`, `vectorize`, `unroll`, a place or `{`"));
                }
            },
        }
        r.next();
    }
    r.expect('{')?;
    let body = children(r, depth + 1)?;
    r.expect('}')?;
    Ok(Tree::Loop(TreeLoop { name: loop_name, rows, marks, body: Box::new(body) }))
}

/// `[S0: row, S1: row]`.
fn rows(r: &mut Reader) -> Result<BTreeMap<crate::affine::Name, crate::affine::Affine>> {
    let mut rows = BTreeMap::new();
    r.expect('[')?;
    loop {
        r.skip_lines(false);
        if r.eat(']') {
            return Ok(rows);
        }
        let statement = name(r)?;
        r.expect(':')?;
        r.skip_lines(false);
        let row = affine(r, 0)?;
        if rows.insert(statement.name.clone(), row).is_some() {
            let message = format!("a second row for `{}`", statement.name);
            return Err(r.error(statement.span, message));
        }
        r.skip_lines(false);
        if !r.eat(',') && *r.peek() != Token::Punct(']') {
            return Err(r.expected("`,` or `]`"));
        }
    }
}
