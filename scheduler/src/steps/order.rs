//! `order { … }`: the whole order given outright.
//!
//! The tree is replaced. This is how an answer of isl's scheduler is recorded, so that replaying a
//! script never runs the solver.
//! Legal: if the new order keeps the dependences and every mark in it is legal.
//! Errors: `E0712` for a tree that does not hold every statement once, or a loop without a row for
//! exactly the statements below it, or a row over something that is neither an iterator of its
//! statement nor a parameter.

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Result, Span};
use warploom_ir::schedule::{Poly, Tree};

use super::{no_statement, refuse, sequence};

/// Checks the new tree against the statements and flattens its sequences.
pub(crate) fn order(poly: &Poly, tree: &Tree, span: Span) -> Result<Tree> {
    let mut seen = BTreeSet::new();
    for name in tree.statements() {
        if poly.statement(&name).is_none() {
            return Err(no_statement(poly, &name, span));
        }
        if !seen.insert(name.clone()) {
            return Err(refuse(span, format!("statement `{name}` occurs twice")));
        }
    }
    if let Some(s) = poly.statements.iter().find(|s| !seen.contains(&s.statement.name)) {
        return Err(refuse(span, format!("statement `{}` is missing", s.statement.name)));
    }
    for l in tree.loops() {
        let below: BTreeSet<Name> = l.body.statements().into_iter().collect();
        if let Some(s) = below.iter().find(|s| !l.rows.contains_key(*s)) {
            return Err(refuse(span, format!("loop `{}` has no row for statement `{s}`", l.name)));
        }
        for (statement, row) in &l.rows {
            let Some(known) = poly.statement(statement).filter(|_| below.contains(statement))
            else {
                let message =
                    format!("loop `{}` has a row for `{statement}`, which is not inside", l.name);
                return Err(refuse(span, message));
            };
            let param = |v: &Name| poly.params.iter().any(|p| p.name == *v);
            if let Some(v) = row.vars().iter().find(|v| !known.iters.contains(*v) && !param(v)) {
                let message = format!(
                    "the row of `{statement}` in loop `{}` uses `{v}`, which is neither an \
                     iterator of `{statement}` nor a parameter",
                    l.name
                );
                return Err(refuse(span, message));
            }
        }
    }
    Ok(flatten(tree.clone()))
}

fn flatten(tree: Tree) -> Tree {
    match tree {
        Tree::Loop(mut l) => {
            l.body = Box::new(flatten(*l.body));
            Tree::Loop(l)
        }
        Tree::Sequence(children) => sequence(children.into_iter().map(flatten).collect()),
        leaf @ Tree::Statement(_) => leaf,
    }
}
