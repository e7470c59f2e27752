//! Statements that fill an operand of the tensor cores element by element, run by threads.
//!
//! In: a statement at the ring's loop whose target is an operand's buffer, with loops mapped to
//! threads. Out: its iterators over an element of the buffer, and for which elements it runs.
//! Keeps: an element that the product does not touch becomes zero, whatever the statement would
//! write there, so that tiles may reach over the ends of what is touched, also where these are
//! those of a triangle: products with zero are added then, as is allowed without `strict`.
//! Why here: the copy engine cannot convert, compute, change a layout or read rows of any length.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::kernel::{Store, TypedKind};
use warploom_ir::nest::{AssignOp, Constraint};
use warploom_ir::schedule::{Tree, TreeLoop};
use warploom_ir::target::Place;
use warploom_isl::{DimType, Map};

use super::elements::iterators_of;
use super::factor::converted;
use super::operand::Operand;
use super::product::{Product, elements};
use super::{Answer, Site, misplaced, place_of, unfit};
use crate::footprint::{Iterations, fresh};
use crate::poly_isl::Model;
use crate::steps::stage::all_accesses;

/// A statement that fills an operand.
pub(super) struct Filling {
    pub(super) buffer: Name,
    /// Its store, over its iterators.
    pub(super) store: Store<Affine>,
    /// What the iterators are called.
    pub(super) iterators: Vec<Name>,
    /// What they are, over [`Self::names`].
    pub(super) values: Vec<Affine>,
    /// The elements for which it runs, over the same names; all others are zero.
    pub(super) guard: Vec<Constraint>,
    /// Names of the coordinates of the ring's loop, then of the element's indices in the buffer.
    pub(super) names: Vec<Name>,
    /// For each array that is read: bytes of an element, those that its rows are a multiple of
    /// (at most 16), and the dimension of the buffer that its rows run along.
    pub(super) sources: Vec<Source>,
}

/// An array that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) bytes: i64,
    /// Neighbours that can be read at once.
    pub(super) wide: i64,
    pub(super) along: Option<usize>,
}

/// Bytes of the widest access of a thread.
const WIDE: i64 = 16;

impl Filling {
    /// What a subtree right inside the ring's loop does, where its loops are mapped to threads.
    pub(super) fn of(
        site: &Site<'_>,
        model: &Model,
        tree: &Tree,
        product: &Product,
    ) -> Answer<Option<Self>> {
        let names = tree.statements();
        let [name] = names.as_slice() else { return Ok(None) };
        let mapped = |l: &&TreeLoop| matches!(l.marks.map, Some(Place::Thread(_)));
        if !tree.loops().iter().any(mapped) {
            return Ok(None);
        }
        let at = place_of(site.poly, name);
        let s = &site.poly.statements[at].statement;
        let Some(operand) = product.operand(&s.target.array) else { return Ok(None) };
        if operand.dtype.packed() {
            let text = format!(
                "two elements of `{}` share a byte in shared memory: threads cannot fill it",
                operand.buffer
            );
            let help = format!(
                "let the copy engine bring it, from rows of whole 16 bytes along the sum: \
                 `map {}.0 to tma`",
                operand.buffer
            );
            return Err(Box::new(unfit(text).help(help)).into());
        }
        let mut store = crate::lower::typed(site.poly, site.source, &site.poly.statements[at])?;
        if store.op != AssignOp::Set || store.guard.is_some() {
            let text = format!("`{name}` does not set each of the elements that it fills");
            return Err(unfit(text).into());
        }
        let scoped = |a: &&Access| site.poly.scopes.contains_key(&a.array) && **a != s.target;
        if let Some(other) = all_accesses(s).find(scoped) {
            let text = format!("`{name}` reads the buffer `{}`", other.array);
            let help = "threads that fill an operand read arrays only: leave it out of `stage`";
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        let iterations = Iterations::of(site.poly, site.tree, &site.path[product.ring].name);
        let places = fresh(&iterations.names, "e", operand.extents.len());
        let own = site.poly.scopes[&s.target.array].coordinates;
        let element = &s.target.indices[own..];
        let values = iterators_of(site, model, at, &iterations, &places, element)?;
        let Some(values) = values else {
            let text =
                format!("`{name}` runs several times for an element of `{}`", operand.buffer);
            return Err(unfit(text).into());
        };
        let guard = guard(site, model, (at, element), (product, operand), &iterations, &places)?;
        if let Some(factor) = &operand.value {
            store.value = factor.with(&converted(store.value, store.dtype), operand.dtype);
            store.dtype = operand.dtype;
        }
        let iterators = site.poly.statements[at].iters.clone();
        let sources = sources(model, &store, &iterators, &values, &places);
        Ok(Some(Self {
            buffer: operand.buffer.clone(),
            store,
            iterators,
            values,
            guard,
            names: iterations.names.iter().chain(&places).cloned().collect(),
            sources,
        }))
    }

    /// Whether its value moves along a coordinate.
    pub(super) fn value_moves(&self, coordinate: &Name) -> bool {
        let along = |(name, value): (&Name, &Affine)| {
            value.vars().contains(coordinate).then_some(name.clone())
        };
        let own: Vec<Name> = self.iterators.iter().zip(&self.values).filter_map(along).collect();
        let moves = |e: &Affine| own.iter().any(|i| e.vars().contains(i));
        let mut found = false;
        self.store.value.visit(&mut |v| match &v.kind {
            TypedKind::Index(e) => found |= moves(e),
            TypedKind::Read { indices, .. } => found |= indices.iter().any(&moves),
            _computed => {}
        });
        found
    }

    /// The arrays that it reads.
    pub(super) fn reads(&self) -> Vec<Name> {
        let mut out = Vec::new();
        self.store.value.visit(&mut |v| {
            if let TypedKind::Read { array, .. } = &v.kind {
                out.push(array.clone());
            }
        });
        out
    }
}

/// The elements that the statement sets and the product touches, as conditions on elements of the
/// operand's buffer.
fn guard(
    site: &Site<'_>,
    model: &Model,
    (at, element): (usize, &[Affine]),
    (product, operand): (&Product, &Operand),
    iterations: &Iterations,
    places: &[Name],
) -> Answer<Vec<Constraint>> {
    let name = &site.poly.statements[at].statement.name;
    let set = elements(site, model, at, iterations, element)?;
    let mut filled = set.intersect(&product.touched(site, model, operand)?)?;
    if operand.parts > 1 {
        filled = of_pair(site, model, iterations)?.apply_range(&filled)?;
    }
    let mut among = product.padded.clone().map_or_else(|| filled.domain(), Ok)?;
    if !product.apart {
        let run = product.running(model)?;
        if !run.is_subset(&among)? {
            among = run;
        }
    }
    let guard = product.conditions(model, operand, (&filled, &among), places)?;
    Ok(guard.ok_or_else(|| {
        unfit(format!("the elements of `{}` that `{name}` fills are no convex set", operand.buffer))
    })?)
}

/// Iterations with those of the other block of the pair at the same place: a block fills its part
/// of what both need, also where it has no results itself.
fn of_pair(site: &Site<'_>, model: &Model, iterations: &Iterations) -> Answer<Map> {
    let others = fresh(&iterations.names, "other", iterations.names.len());
    let same = |(at, (own, other)): (usize, (&Name, &Name))| {
        let apart = Affine::var(own.clone()).sub(&Affine::var(other.clone()));
        (at != site.outside).then(|| apart.map(Constraint::zero))
    };
    let pairs = iterations.names.iter().zip(&others).enumerate();
    let facts = pairs.filter_map(same).collect::<Result<Vec<_>, _>>()?;
    model.relation(&iterations.names, &others, &facts)
}

/// Whether the elements of each iteration are all combinations of indices along each dimension.
pub(super) fn independent(touched: &Map) -> Answer<bool> {
    let rank = touched.dim(DimType::Out)?;
    let mut all: Option<Map> = None;
    for d in 0..rank {
        let behind = touched.project_out(DimType::Out, d + 1, rank - d - 1)?;
        let alone = behind.project_out(DimType::Out, 0, d)?;
        all = Some(match all {
            Some(before) => before.flat_range_product(&alone)?,
            None => alone,
        });
    }
    match all {
        Some(all) => Ok(all.is_subset(touched)?),
        None => Ok(true),
    }
}

/// How each read of the value lies in memory.
fn sources(
    model: &Model,
    store: &Store<Affine>,
    iterators: &[Name],
    values: &[Affine],
    places: &[Name],
) -> Vec<Source> {
    let lookup = |v: &str| {
        let at = iterators.iter().position(|n| &**n == v)?;
        values.get(at).cloned()
    };
    let mut out = Vec::new();
    store.value.visit(&mut |v| {
        let TypedKind::Read { array, indices } = &v.kind else { return };
        let bytes = v.dtype.size_bytes() as i64;
        let row = model.poly.array(array).and_then(|a| model.fixed(a.shape.last()?));
        let even = |wide: &i64| row.is_some_and(|n| n % wide == 0);
        let wide = [16, 8, 4, 2].into_iter().filter(|w| w * bytes <= WIDE).find(even).unwrap_or(1);
        let last = indices.last().and_then(|e| e.substitute(&lookup).ok());
        let moves = |place: &Name| {
            let step = |e: &Affine| {
                let term = e.terms().find(|(atom, _)| {
                    matches!(atom, warploom_ir::affine::Atom::Var(name) if name == place)
                });
                term.is_some_and(|(_, c)| c == 1)
            };
            last.as_ref().is_some_and(step)
        };
        let along = places.iter().rposition(moves);
        out.push(Source { bytes, wide, along });
    });
    out
}
