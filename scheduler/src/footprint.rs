//! Which elements an iteration of a loop touches, and the box they lie in.
//!
//! In: a tree, a loop of it, statements below the loop. Out: the *coordinates* of an iteration (the
//! values of the rows of the loops from the root to that loop) and relations from coordinates to
//! elements or instances.
//! Keeps: exact relations; only the box is larger than what it holds.
//! Why here: `stage` and `fuse-at` copy and recompute exactly this.

mod digits;

use warploom_ir::affine::{Affine, Name, Overflow};
use warploom_ir::diag::{Blame, Diagnostic, Span};
use warploom_ir::nest::Constraint;
use warploom_ir::planted::{Bug, planted};
use warploom_ir::schedule::{Poly, Tree};
use warploom_isl::{DimType, Map};

use crate::isl_affine::Names;
use crate::poly_isl::Model;
use crate::trouble::Trouble;
pub(crate) use digits::{Domain, common};

type Answer<T> = std::result::Result<T, Trouble>;

/// The iterations of a loop by their coordinates.
pub(crate) struct Iterations {
    /// The loops from the root to this one.
    pub(crate) loops: Vec<Name>,
    /// An iterator for each, for the statements that a step adds.
    pub(crate) names: Vec<Name>,
    /// The parameters.
    pub(crate) params: Vec<Name>,
}

impl Iterations {
    /// The iterations of the loop of this name, which must exist.
    pub(crate) fn of(poly: &Poly, tree: &Tree, at: &str) -> Self {
        Self::avoiding(poly, tree, at, Vec::new())
    }

    /// The same with iterators that have none of these names.
    pub(crate) fn avoiding(poly: &Poly, tree: &Tree, at: &str, mut taken: Vec<Name>) -> Self {
        let loops = around(tree, at);
        let params: Vec<Name> = poly.params.iter().map(|p| p.name.clone()).collect();
        taken.extend(params.iter().cloned());
        let names = fresh(&taken, "c", loops.len());
        Self { loops, names, params }
    }

    /// The whole schedule as one iteration, which has no coordinates.
    pub(crate) fn whole(poly: &Poly) -> Self {
        let params = poly.params.iter().map(|p| p.name.clone()).collect();
        Self { loops: Vec::new(), names: Vec::new(), params }
    }

    /// The coordinates of a statement's instances. The statement stands below the loop.
    pub(crate) fn rows(&self, tree: &Tree, statement: &str) -> Vec<Affine> {
        let all = tree.loops();
        let row = |name: &Name| {
            let found = all.iter().find(|l| l.name == *name).and_then(|l| l.rows.get(statement));
            found.expect("a loop around a statement has a row for it").clone()
        };
        self.loops.iter().map(row).collect()
    }

    /// The value of an expression over the coordinates at an instance with these rows.
    pub(crate) fn at_rows(&self, e: &Affine, rows: &[Affine]) -> Answer<Affine> {
        let lookup = |v: &str| {
            let at = self.names.iter().position(|n| &**n == v)?;
            rows.get(at).cloned()
        };
        Ok(e.substitute(&lookup)?)
    }

    /// Coordinates to what `access` maps a statement's instances to.
    pub(crate) fn touched(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        access: &Map,
    ) -> Answer<Map> {
        let rows = self.rows(tree, &model.poly.statements[statement].statement.name);
        Ok(model.rows(statement, &rows)?.reverse()?.apply_range(access)?)
    }

    /// Coordinates to what indices of a statement are.
    pub(crate) fn elements(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        indices: &[Affine],
    ) -> Answer<Map> {
        let rows = self.rows(tree, &model.poly.statements[statement].statement.name);
        model.pairs(statement, &rows, indices)
    }

    /// Coordinates to what indices are, as if no guard left out iterations of the statement; none
    /// where none does.
    pub(crate) fn unguarded(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        indices: &[Affine],
    ) -> Answer<Option<Map>> {
        let Some(all) = model.unguarded(statement)? else { return Ok(None) };
        let rows = self.rows(tree, &model.poly.statements[statement].statement.name);
        let known = model.everywhere(statement, &rows)?.intersect_domain(&all)?;
        Ok(Some(known.reverse()?.apply_range(&model.everywhere(statement, indices)?)?))
    }

    /// The box around what indices of a statement are in each iteration.
    pub(crate) fn box_around(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        indices: &[Affine],
    ) -> Answer<Option<Box_>> {
        if let Some(seen) = self.seen_box(model, tree, statement, indices) {
            return Ok(Some(seen));
        }
        self.bounding_box(&self.elements(model, tree, statement, indices)?)
    }

    /// The one value that an index of a statement has in each iteration; none where it has several.
    pub(crate) fn value(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        index: &Affine,
    ) -> Answer<Option<Affine>> {
        let found = self.box_around(model, tree, statement, std::slice::from_ref(index))?;
        let one = found.filter(|b| b.extent == [1]);
        Ok(one.and_then(|b| b.offset.into_iter().next()))
    }

    /// [`Self::bounding_box`] around what indices of a statement are in each iteration, where no
    /// relation is needed to see it.
    pub(crate) fn seen_box(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        indices: &[Affine],
    ) -> Option<Box_> {
        let seen = self.seen(&model.poly, tree, statement, indices)?;
        Some(Box_ { step: vec![1; seen.step.len()], ..seen })
    }

    /// [`Self::grid`] around what indices of a statement are in each iteration, where no relation
    /// is needed to see it.
    pub(crate) fn seen_grid(
        &self,
        model: &Model,
        tree: &Tree,
        statement: usize,
        indices: &[Affine],
    ) -> Option<Box_> {
        let mut seen = self.seen(&model.poly, tree, statement, indices)?;
        for (extent, step) in seen.extent.iter_mut().zip(&seen.step) {
            *extent = (*extent - 1) / step + 1;
        }
        Some(seen)
    }

    /// The smallest box by arithmetic alone, with the distances of its elements.
    fn seen(&self, poly: &Poly, tree: &Tree, statement: usize, indices: &[Affine]) -> Option<Box_> {
        let statement = &poly.statements[statement];
        let rows = self.rows(tree, &statement.statement.name);
        let mut out = Domain::of(poly, statement)?.boxed(&rows, &self.names, indices)?;
        if let (Some(last), true) = (out.extent.last_mut(), planted(Bug::StageFootprint)) {
            *last = (*last - 1).max(1);
        }
        Some(out)
    }

    /// The box around the elements that a relation gives for each iteration.
    pub(crate) fn bounding_box(&self, touched: &Map) -> Answer<Option<Box_>> {
        if touched.is_empty()? {
            let rank = touched.dim(DimType::Out)?;
            return Ok(Some(Box_ {
                offset: vec![Affine::constant(0); rank],
                extent: vec![1; rank],
                step: vec![1; rank],
            }));
        }
        let hull = touched.range_simple_fixed_box_hull()?;
        if !hull.is_valid()? {
            return Ok(None);
        }
        let names = Names { params: &self.params, dims: &self.names };
        let offset = names.affines(&hull.offset()?)?;
        let mut extent = hull.size()?.to_i64s()?;
        if let (Some(last), true) = (extent.last_mut(), planted(Bug::StageFootprint)) {
            *last = (*last - 1).max(1);
        }
        let step = vec![1; extent.len()];
        Ok(Some(Box_ { offset, extent, step }))
    }

    /// The box around what a relation gives, or the one around what it would give without guards
    /// where that is as large and starts at the same place in all iterations.
    pub(crate) fn tidy(&self, touched: &Map, unguarded: Option<&Map>) -> Answer<Option<Box_>> {
        let exact = self.bounding_box(touched)?;
        let Some(all) = unguarded else { return Ok(exact) };
        let fixed = |b: &Box_| b.offset.iter().all(|o| o.as_constant().is_some());
        let same = |b: &Box_| fixed(b) && exact.as_ref().is_none_or(|e| e.extent == b.extent);
        Ok(match self.bounding_box(all)? {
            Some(wide) if exact.as_ref().is_none_or(|e| !fixed(e)) && same(&wide) => Some(wide),
            Some(_) | None => exact,
        })
    }

    /// The box around the elements that a relation gives for each iteration, without those that
    /// are left out everywhere: along a dimension in which the elements are equally far apart, it
    /// has as many as there are.
    pub(crate) fn grid(&self, model: &Model, touched: &Map) -> Answer<Option<Box_>> {
        let Some(mut out) = self.bounding_box(touched)? else { return Ok(None) };
        let rank = out.extent.len();
        let places = fresh(&[self.names.as_slice(), &self.params].concat(), "e", rank);
        for d in (0..rank).filter(|d| out.extent[*d] > 1).collect::<Vec<_>>() {
            let step = touched.range_stride_info(d)?.stride()?.to_i64()?;
            if step < 2 {
                continue;
            }
            // the first element of the box has to be one of them
            let from = Affine::var(places[d].clone()).sub(&out.offset[d])?.modulo(step)?;
            let on = model.relation(&self.names, &places, &[Constraint::zero(from)])?;
            if touched.is_subset(&on)? {
                out.extent[d] = (out.extent[d] - 1) / step + 1;
                out.step[d] = step;
            }
        }
        Ok(Some(out))
    }

    /// The pairs of a relation from coordinates as constraints over the coordinates' names and
    /// `range`, if they are a conjunction.
    pub(crate) fn constraints(
        &self,
        touched: &Map,
        range: &[Name],
    ) -> Answer<Option<Vec<Constraint>>> {
        let dims: Vec<Name> = self.names.iter().chain(range).cloned().collect();
        let names = Names { params: &self.params, dims: &dims };
        names.constraints(&touched.wrap()?.flatten()?)
    }

    /// A superset of the iterations in which anything is touched, as constraints.
    pub(crate) fn hull_of_domain(&self, touched: &Map) -> Answer<Vec<Constraint>> {
        let names = Names { params: &self.params, dims: &self.names };
        let hull = touched.domain()?.compute_divs()?.simple_hull()?.to_set()?;
        let text = "the hull of a set is one basic set";
        Ok(names.constraints(&hull)?.expect(text))
    }
}

/// A box of elements for each iteration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Box_ {
    /// The lower corner, over the coordinates and parameters.
    pub(crate) offset: Vec<Affine>,
    /// Elements in each dimension.
    pub(crate) extent: Vec<i64>,
    /// From one of them to the next.
    pub(crate) step: Vec<i64>,
}

/// The loops around a loop and itself, outermost first.
pub(crate) fn around(tree: &Tree, at: &str) -> Vec<Name> {
    let holds = |l: &&warploom_ir::schedule::TreeLoop| &*l.name == at || l.body.find(at).is_some();
    tree.loops().into_iter().filter(holds).map(|l| l.name.clone()).collect()
}

/// That each of these indices is in 0 to its extent.
pub(crate) fn within(
    indices: impl IntoIterator<Item = (Affine, i64)>,
) -> std::result::Result<Vec<Constraint>, Overflow> {
    let mut out = Vec::new();
    for (index, extent) in indices {
        out.push(Constraint::non_negative(index.clone()));
        out.push(Constraint::non_negative(Affine::constant(extent - 1).sub(&index)?));
    }
    Ok(out)
}

/// [`within`] of variables.
pub(crate) fn places_within(
    places: &[Name],
    extents: &[i64],
) -> std::result::Result<Vec<Constraint>, Overflow> {
    within(places.iter().cloned().map(Affine::var).zip(extents.iter().copied()))
}

/// `c0, c1, …`, none of which is taken.
pub(crate) fn fresh(taken: &[Name], prefix: &str, count: usize) -> Vec<Name> {
    let mut prefix = prefix.to_string();
    loop {
        let names: Vec<Name> = (0..count).map(|k| format!("{prefix}{k}").into()).collect();
        if !taken.iter().any(|t| names.contains(t)) {
            return names;
        }
        prefix.push('_');
    }
}

/// The refusal where the box has no constant size.
pub(crate) fn no_box(step: &str, array: &str, at: &str, span: Span) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(
            "E0723",
            Blame::Schedule,
            format!(
                "`{step}` cannot make a buffer: what one iteration of loop `{at}` touches of \
                 `{array}` is not inside a box of constant size"
            ),
        )
        .label(span, "")
        .help(
            "tile the loops inside by numbers, so that only these many elements are touched, or \
             choose a loop further in",
        ),
    )
}

#[cfg(test)]
mod tests;
