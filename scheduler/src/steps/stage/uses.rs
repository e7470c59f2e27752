//! Which accesses a copy serves, and whether those that stay let it.
//!
//! In: the operands of `stage`. Out: the part of the tree that the copy is made for, the accesses
//! to redirect and the others there.

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::expr::Access;
use warploom_ir::nest::Statement;
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Poly, Tree};

use super::{Answer, Below, Stage};
use crate::steps::{resolve, sequence};

/// An access that is redirected: its statement's place in the poly.
pub(super) type Use = (usize, Access);

/// Accesses to the array below the loop.
#[derive(Default)]
pub(super) struct Uses {
    pub(super) reads: Vec<Use>,
    /// Targets of statements, where the array is written.
    pub(super) writes: Vec<Use>,
}

impl Uses {
    pub(super) fn all(&self) -> Vec<&Use> {
        self.reads.iter().chain(&self.writes).collect()
    }
}

/// What a copy is made for: an iteration of a loop, or a child of the tree's outermost sequence.
pub(super) struct Part {
    pub(super) at: Option<Name>,
    /// The statements in it.
    pub(super) below: Vec<Name>,
}

impl Part {
    pub(super) fn of(poly: &Poly, tree: &Tree, step: &Stage<'_>) -> Result<Self> {
        if let Some(at) = step.at {
            let at = resolve(tree, at)?;
            let below = tree.find(&at).map(|l| l.body.statements()).unwrap_or_default();
            return Ok(Self { at: Some(at), below });
        }
        let first = step.readers.first().map(|r| r.name.split('.').next().unwrap_or(&r.name));
        let holds = |t: &Tree| first.is_some_and(|f| t.statements().iter().any(|s| **s == *f));
        let found = children(tree).into_iter().find(holds);
        let Some(child) = found.filter(|_| !poly.scopes.contains_key(&step.array.name)) else {
            let message = format!("`{}` cannot be staged outside all loops", step.array);
            return Err(refused(step, message));
        };
        Ok(Self { at: None, below: child.statements() })
    }

    /// How a message names it.
    pub(super) fn name(&self) -> String {
        match (&self.at, self.below.first()) {
            (Some(at), _) => format!("loop `{at}`"),
            (None, first) => format!("the nest of `{}`", first.map_or("", |f| &**f)),
        }
    }

    /// The tree with these before and after this child.
    pub(super) fn around(
        &self,
        tree: &Tree,
        mut first: Option<Tree>,
        mut last: Option<Tree>,
    ) -> Tree {
        let mut out = Vec::new();
        for child in children(tree) {
            if child.statements() == self.below {
                out.extend(first.take());
                out.push(child);
                out.extend(last.take());
            } else {
                out.push(child);
            }
        }
        sequence(out)
    }
}

/// The children of a sequence, or the tree itself.
fn children(tree: &Tree) -> Vec<Tree> {
    match tree {
        Tree::Sequence(children) => children.clone(),
        Tree::Loop(_) | Tree::Statement(_) => vec![tree.clone()],
    }
}

/// The accesses to the array below the loop: those to redirect, and the others.
pub(super) fn uses(poly: &Poly, step: &Stage<'_>, part: &Part) -> Result<(Uses, Uses)> {
    let (below, array) = (&part.below, &step.array.name);
    let chosen: Vec<(usize, Option<usize>)> =
        step.readers.iter().map(|r| chosen(poly, part, array, r)).collect::<Result<_>>()?;
    let (mut staged, mut others) = (Uses::default(), Uses::default());
    let inside = |k: &usize| below.contains(&poly.statements[*k].statement.name);
    for k in (0..poly.statements.len()).filter(inside) {
        let s = &poly.statements[k].statement;
        for (n, access) in accesses(s, array).into_iter().enumerate() {
            let named = chosen.iter().any(|c| c.0 == k && c.1.is_none_or(|c| c == n));
            let into = if chosen.is_empty() || named { &mut staged } else { &mut others };
            if s.reads().contains(&&access) {
                into.reads.push((k, access.clone()));
            }
            if s.target == access {
                into.writes.push((k, access));
            }
        }
    }
    if staged.reads.is_empty() && staged.writes.is_empty() {
        return Err(refused(step, format!("nothing touches `{array}` in {}", part.name())));
    }
    Ok((staged, others))
}

/// A statement's accesses to an array, each once: the target, then reads as in the text.
pub(crate) fn accesses(s: &Statement, array: &Name) -> Vec<Access> {
    let mut out: Vec<Access> = Vec::new();
    for access in std::iter::once(&s.target).chain(s.reads()) {
        if access.array == *array && !out.contains(access) {
            out.push(access.clone());
        }
    }
    out
}

/// What `S1` or `S1.2` stands for: a statement below a loop and, where there is a number, which of
/// its accesses to the array.
fn chosen(poly: &Poly, part: &Part, array: &Name, r: &Ref) -> Result<(usize, Option<usize>)> {
    let below = &part.below;
    let (name, number) = match r.name.rsplit_once('.') {
        Some((name, number)) => (name, Some(number)),
        None => (&*r.name, None),
    };
    let found = poly.statements.iter().position(|s| &*s.statement.name == name);
    let Some(k) = found.filter(|_| below.iter().any(|b| &**b == name)) else {
        let names: Vec<String> = below.iter().map(|n| format!("`{n}`")).collect();
        let message = format!("there is no statement `{name}` in {}", part.name());
        return Err(unknown(message, r.span, "statements there", &names));
    };
    let Some(number) = number else { return Ok((k, None)) };
    let all = accesses(&poly.statements[k].statement, array);
    match number.parse::<usize>().ok().filter(|n| *n < all.len()) {
        Some(n) => Ok((k, Some(n))),
        None => {
            let names: Vec<String> = (0..all.len()).map(|n| format!("`{name}.{n}`")).collect();
            let message = format!("`{name}` has no access number {number} to `{array}`");
            Err(unknown(message, r.span, "accesses there", &names))
        }
    }
}

pub(super) fn refused(step: &Stage<'_>, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0722", Blame::Schedule, message).label(step.array.span, ""))
}

/// The refusal of a copy some of whose elements other accesses write or see.
pub(super) fn seen_by_others(
    poly: &Poly,
    step: &Stage<'_>,
    part: &Part,
    (staged, others): (&Uses, &Uses),
) -> Box<Diagnostic> {
    let writer = others.writes.first().or(staged.writes.first());
    let writer = writer.map_or("", |(k, _)| &*poly.statements[*k].statement.name);
    let message = format!(
        "some accesses to `{}` cannot be staged at {}: `{writer}` writes it there, and either the \
         copy or the array would not have the new value",
        step.array,
        part.name()
    );
    let help = "stage all accesses to it there, without `for`";
    Box::new(refused(step, message).help(help))
}

pub(super) fn unknown(
    message: String,
    span: Span,
    what: &str,
    names: &[String],
) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::input("E0721", message)
            .label(span, "")
            .help(format!("the {what} are {}", names.join(", "))),
    )
}

impl Below<'_> {
    /// Whether in each iteration what the staged accesses write is not touched by others, and what
    /// others write not by the staged ones; reads alone may also see it as it was before.
    pub(super) fn apart(&self, staged: &Uses, others: &Uses) -> Answer<bool> {
        if staged.writes.is_empty() && !others.writes.is_empty() {
            for read in &staged.reads {
                let before = self.outside(read, &others.writes)?;
                if !self.deps.model.domains[read.0].subtract(&before)?.is_empty()? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        let pairs = [(&staged.writes, others.all()), (&others.writes, staged.all())];
        for (writes, all) in pairs {
            if !writes.is_empty() && !all.is_empty() {
                let writes = self.touched(&writes.iter().collect::<Vec<_>>())?;
                if !writes.intersect(&self.touched(&all)?)?.is_empty()? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
