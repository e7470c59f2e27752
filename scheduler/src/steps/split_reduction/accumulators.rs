//! How the accumulators of a split reduction are indexed: their elements, domain and loops.
//!
//! In: the corner, extents and names that `split-reduction` found. Out: indices, constraints and
//! loops of the statements that it adds.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Marks, Tree, TreeLoop};

use super::Answer;

/// How accumulators are indexed.
pub(super) struct Accumulators {
    /// The lower corner of what is touched of the target, per dimension, over the coordinates.
    pub(super) offset: Vec<Affine>,
    /// The dimensions along which several elements are touched, with their extents.
    pub(super) kept: Vec<(usize, Affine)>,
    /// The loop's iteration from 0, over the statement's iterators.
    pub(super) lane: Affine,
    /// How many there are.
    pub(super) lanes: Affine,
    /// The loop's index comes last.
    pub(super) last: bool,
    /// Which elements of the target are updated, over coordinates and `elements`.
    pub(super) updated: Vec<Constraint>,
    /// Names for the target's indices in `updated`.
    pub(super) elements: Vec<Name>,
    /// Names of the iterators for the kept dimensions, and of the loop's.
    pub(super) inside: Vec<Name>,
    pub(super) own_lane: Name,
}

impl Accumulators {
    /// Indices in the array's order.
    pub(super) fn ordered(&self, mut inside: Vec<Affine>, lane: Affine) -> Vec<Affine> {
        let at = if self.last { inside.len() } else { 0 };
        inside.insert(at, lane);
        inside
    }

    /// The loop's index and the others.
    pub(super) fn split_indices<'i>(&self, indices: &'i [Affine]) -> (&'i Affine, &'i [Affine]) {
        let both = if self.last { indices.split_last() } else { indices.split_first() };
        both.expect("an accumulator has an index for the loop")
    }

    /// The target's indices at an accumulator.
    pub(super) fn places(&self) -> Answer<Vec<Affine>> {
        let mut out = self.offset.clone();
        for ((k, _), index) in self.kept.iter().zip(&self.inside) {
            out[*k] = out[*k].add(&Affine::var(index.clone()))?;
        }
        Ok(out)
    }

    /// All accumulators of elements that are updated.
    pub(super) fn domain(&self, places: &[Affine]) -> Answer<Vec<Constraint>> {
        let lookup = |v: &str| {
            let at = self.elements.iter().position(|e| &**e == v)?;
            places.get(at).cloned()
        };
        let mut out = Vec::new();
        for c in &self.updated {
            let expr = c.expr.substitute(&lookup)?;
            let trivial = expr.as_constant().is_some_and(|v| v == 0 || v > 0 && !c.equality);
            if !trivial {
                out.push(Constraint { expr, equality: c.equality });
            }
        }
        let extents = self.kept.iter().map(|(_, e)| e).chain([&self.lanes]);
        for (index, extent) in self.inside.iter().chain([&self.own_lane]).zip(extents) {
            let index = Affine::var(index.clone());
            out.push(Constraint::non_negative(extent.add_const(-1)?.sub(&index)?));
            out.push(Constraint::non_negative(index));
        }
        Ok(out)
    }

    /// `P_init.0 { P_init.k.1 { P_init } }`: a loop for each of the target's dimensions, then one
    /// for the accumulators of an element.
    pub(super) fn loops(&self, statement: &Name, lane: &str) -> Tree {
        let dimensions = self.kept.iter().map(|(k, _)| k.to_string());
        let names = dimensions.zip(&self.inside).chain([(lane.to_string(), &self.own_lane)]);
        let names: Vec<_> = names.collect();
        names.into_iter().rev().fold(Tree::Statement(statement.clone()), |body, (own, index)| {
            Tree::Loop(TreeLoop {
                name: format!("{statement}.{own}").into(),
                rows: BTreeMap::from([(statement.clone(), Affine::var(index.clone()))]),
                marks: Marks::default(),
                body: Box::new(body),
            })
        })
    }
}

/// What a row counts, and by how many: `floor(k / 8)` counts `k` by 8.
pub(super) fn tiles_of(row: &Affine) -> (Affine, i64) {
    let mut terms = row.terms();
    let divided = match (terms.next(), terms.next(), row.constant_part()) {
        (Some((Atom::FloorDiv(e, size), 1)), None, 0) => Some((e, *size)),
        _other => None,
    };
    match divided {
        Some((e, size)) => {
            let (whole, inner) = tiles_of(e);
            match inner.checked_mul(size) {
                Some(all) => (whole, all),
                None => (row.clone(), 1),
            }
        }
        None => (row.clone(), 1),
    }
}

/// Most neighbours that one thread or lane takes at once: 16 bytes.
const PIECE: i64 = 16;

/// Whether an expression counts a variable or short pieces of it, from 0 in each tile or not.
pub(super) fn is_digit(e: &Affine, var: &Name) -> bool {
    let inside = |(atom, c): (&Atom, i64)| match atom {
        Atom::Mod(e, _) => c == 1 && is_digit(e, var),
        Atom::FloorDiv(e, size) => c == 1 && *size <= PIECE && is_digit(e, var),
        Atom::Var(_) => false,
    };
    e.coefficient(var) == 1 || e.terms().any(inside)
}
