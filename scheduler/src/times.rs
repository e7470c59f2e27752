//! The time vectors of a tree: for each statement, its static positions and rows, outermost first.
//!
//! Keeps: all vectors of one tree have the same length (at least 1), padded with 0; two statements
//! share components as far as they share nodes of the tree, so comparing the vectors
//! lexicographically is the order of the tree.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::schedule::{Poly, Tree, TreeLoop};

/// The time vectors of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// For each statement of the poly, in its order.
    pub(crate) rows: Vec<Vec<Affine>>,
    /// For each loop: its component, and the loops around it, outermost first.
    pub(crate) loops: BTreeMap<Name, usize>,
}

/// The time vectors of `tree`.
///
/// # Errors
/// `E0704` if the tree does not hold every statement once with a row in each loop around it.
pub(crate) fn times(poly: &Poly, tree: &Tree) -> Result<Times> {
    let mut walk = Walk { poly, found: BTreeMap::new(), loops: BTreeMap::new() };
    walk.node(tree, &mut Vec::new())?;
    let longest = walk.found.values().map(Vec::len).max().unwrap_or(0).max(1);
    let mut rows = Vec::new();
    for s in &poly.statements {
        let mut row = walk
            .found
            .remove(&s.statement.name)
            .ok_or_else(|| malformed(&format!("misses statement `{}`", s.statement.name)))?;
        row.resize(longest, Affine::constant(0));
        rows.push(row);
    }
    Ok(Times { rows, loops: walk.loops })
}

/// The components of two time vectors that can decide which is earlier, where `equal` says which
/// components are equal in all pairs of interest: those up to the first pair of different numbers,
/// without pairs that are equal; at least one.
pub(crate) fn deciding(
    first: &[Affine],
    second: &[Affine],
    equal: &dyn Fn(&Affine, &Affine) -> bool,
) -> (Vec<Affine>, Vec<Affine>) {
    let mut out = (Vec::new(), Vec::new());
    for (a, b) in first.iter().zip(second) {
        let numbers = a.as_constant().zip(b.as_constant());
        if numbers.is_some_and(|(a, b)| a == b) || equal(a, b) {
            continue;
        }
        out.0.push(a.clone());
        out.1.push(b.clone());
        if numbers.is_some() {
            break;
        }
    }
    if out.0.is_empty() {
        out = (vec![Affine::constant(0)], vec![Affine::constant(0)]);
    }
    out
}

fn malformed(what: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new("E0704", Blame::Schedule, format!("the schedule tree {what}"))
            .help("give every statement one place, and every loop around it a row for it"),
    )
}

/// A component of a time vector on the way down.
enum Part<'a> {
    Static(i64),
    Loop(&'a TreeLoop),
}

struct Walk<'a> {
    poly: &'a Poly,
    found: BTreeMap<Name, Vec<Affine>>,
    loops: BTreeMap<Name, usize>,
}

impl<'a> Walk<'a> {
    fn node(&mut self, tree: &'a Tree, path: &mut Vec<Part<'a>>) -> Result<()> {
        match tree {
            Tree::Loop(l) => {
                if self.loops.insert(l.name.clone(), path.len()).is_some() {
                    return Err(malformed(&format!("has two loops named `{}`", l.name)));
                }
                path.push(Part::Loop(l));
                self.node(&l.body, path)?;
                path.pop();
            }
            Tree::Sequence(children) => {
                for (position, child) in (0..).zip(children) {
                    path.push(Part::Static(position));
                    self.node(child, path)?;
                    path.pop();
                }
            }
            Tree::Statement(name) => self.statement(name, path)?,
        }
        Ok(())
    }

    fn statement(&mut self, name: &Name, path: &[Part<'a>]) -> Result<()> {
        let known = self
            .poly
            .statement(name)
            .ok_or_else(|| malformed(&format!("names an unknown statement `{name}`")))?;
        let mut row = Vec::new();
        for part in path {
            row.push(match part {
                Part::Static(position) => Affine::constant(*position),
                Part::Loop(l) => {
                    let row = l.rows.get(name).ok_or_else(|| {
                        malformed(&format!("has no row for `{name}` in loop `{}`", l.name))
                    })?;
                    let free = |v: &Name| {
                        !known.iters.contains(v) && !self.poly.params.iter().any(|p| p.name == *v)
                    };
                    if let Some(v) = row.vars().iter().find(|v| free(v)) {
                        let what = format!("uses the unknown `{v}` in loop `{}`", l.name);
                        return Err(malformed(&what));
                    }
                    row.clone()
                }
            });
        }
        if self.found.insert(name.clone(), row).is_some() {
            return Err(malformed(&format!("holds statement `{name}` twice")));
        }
        Ok(())
    }
}
