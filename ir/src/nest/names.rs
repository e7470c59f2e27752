//! Rules for names in the text of nests: reserved words, duplicates, names of unnamed statements.

use std::collections::BTreeMap;

use super::{Node, Statement};
use crate::affine::Name;
use crate::diag::{Diagnostic, Result, Source, Span};

/// Words that name nothing but themselves.
const RESERVED: [&str; 30] = [
    "param", "in", "out", "inout", "temp", "const", "assume", "integer", "for", "step", "downto",
    "if", "else", "and", "or", "mod", "when", "acc", "keeps", "order", "strict", "true", "false",
    "inf", "nan", "index", "min", "max", "floor", "not",
];

/// Whether a word may not be a name.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// A name declared `again` after its `first` declaration.
pub(super) fn duplicate(
    source: &Source,
    code: &'static str,
    what: &str,
    again: Span,
    first: Span,
) -> Box<Diagnostic> {
    Diagnostic::input(code, format!("{what} is declared twice"))
        .in_source(source)
        .label(again, "")
        .label(first, "first declared here")
        .help("choose another name")
        .into()
}

/// Names the statements that have none: S0, S1, … in textual order, leaving out taken names.
pub(super) fn name_statements(body: &mut [Node], source: &Source) -> Result<()> {
    let mut taken = BTreeMap::new();
    each_statement(body, &mut |s| {
        if s.name.is_empty() {
            return Ok(());
        }
        match taken.insert(s.name.clone(), s.span) {
            None => Ok(()),
            Some(first) => {
                Err(duplicate(source, "E0208", &format!("statement `{}`", s.name), s.span, first))
            }
        }
    })?;
    let mut next = 0u64;
    each_statement(body, &mut |s| {
        while s.name.is_empty() {
            let name: Name = format!("S{next}").into();
            next += 1;
            if !taken.contains_key(&name) {
                s.name = name;
            }
        }
        Ok(())
    })
}

fn each_statement(
    body: &mut [Node],
    f: &mut dyn FnMut(&mut Statement) -> Result<()>,
) -> Result<()> {
    for node in body {
        match node {
            Node::Loop(l) => each_statement(&mut l.body, f)?,
            Node::If(_, inner) => each_statement(inner, f)?,
            Node::Statement(s) => f(s)?,
        }
    }
    Ok(())
}
