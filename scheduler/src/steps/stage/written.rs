//! Staging an array that the loop writes: what is copied in, and what is copied back.
//!
//! In: the accesses below the loop. Out: elements for each iteration: those whose value from before
//! the iteration is read in it, and those that it writes (none where nothing else sees them).
//! Keeps: the flow (isl's dataflow analysis, last writers) of each read says whether its value
//! comes from the same iteration. A store that may not happen (under a data-dependent guard) leaves
//! the old value, which then is copied in with everything that the iteration touches, if it is
//! copied back; but where all that touches the array is under one guard, which is the same for the
//! whole iteration, it happens or nothing does, and the copies are under that guard.

use std::cell::OnceCell;

use warploom_ir::affine::Name;
use warploom_ir::expr::{Access, Expr};
use warploom_ir::nest::{Constraint, Role};
use warploom_ir::schedule::PolyStatement;
use warploom_isl::{DimType, Map, Set};

use super::{Answer, Below, Moved, Use, Uses, all_accesses, places};
use crate::flow::{flow, runs};
use crate::footprint::Iterations;
use crate::pairs::Pair;
use crate::times::times;

/// The elements that are copied in each iteration.
pub(super) struct Elements {
    /// With the equalities that isl finds in them: which it knows depends on what it was asked
    /// before, and so does the order of bounds where those of several indices are of each other.
    pub(super) all: Map,
    exact: OnceCell<Option<Vec<Constraint>>>,
}

impl Elements {
    pub(super) fn of(all: &Map) -> Answer<Self> {
        Ok(Self { all: all.detect_equalities()?, exact: OnceCell::new() })
    }

    /// As constraints over the coordinates and the names of their indices.
    pub(super) fn exact(&self, iterations: &Iterations) -> Answer<&Option<Vec<Constraint>>> {
        if let Some(known) = self.exact.get() {
            return Ok(known);
        }
        let places = places(self.all.dim(DimType::Out)?);
        let found = iterations.constraints(&self.all, &places)?;
        Ok(self.exact.get_or_init(|| found))
    }
}

impl Below<'_> {
    /// What is copied around each iteration.
    pub(super) fn moved(&self, uses: &Uses) -> Answer<Moved> {
        if uses.writes.is_empty() {
            let before = Some(Elements::of(&self.touched(&uses.all())?)?);
            return Ok(Moved { before, after: None, guard: None });
        }
        let alone = self.alone(uses);
        let after = match alone && self.one_each(uses)? {
            true => None,
            false => Some(self.touched(&uses.writes.iter().collect::<Vec<_>>())?),
        };
        let statements = &self.deps.poly().statements;
        let guard = self.guard(uses)?;
        let sure = |(k, _): &Use| guard.is_some() || statements[*k].statement.guard.is_none();
        if after.is_some() && !uses.writes.iter().all(sure) {
            let before = Some(Elements::of(&self.touched(&uses.all())?)?);
            let after = after.as_ref().map(Elements::of).transpose()?;
            return Ok(Moved { before, after, guard });
        }
        let made: Vec<Use> = uses.writes.iter().filter(|w| sure(w)).cloned().collect();
        let updates = uses.writes.iter().filter(|(k, _)| statements[*k].statement.op.is_update());
        let mut before: Option<Map> = None;
        for read in uses.reads.iter().chain(updates) {
            let (k, access) = read;
            if self.made_inside(read, &uses.writes, &made)? {
                continue;
            }
            let outside = self.outside(read, &made)?;
            let element = self.deps.model.rows(*k, &access.indices[self.own..])?;
            let element = element.intersect_domain(&outside)?;
            let mine = self.iterations.touched(&self.deps.model, self.tree, *k, &element)?;
            before = Some(before.map_or(Ok(mine.clone()), |b| b.union(&mine))?);
        }
        let before = match before {
            Some(elements) if !elements.is_empty()? => Some(Elements::of(&elements.coalesce()?)?),
            Some(_) | None => None,
        };
        // what iterations write to common elements each of them reads itself
        let after = after.filter(|_| !alone || before.is_some());
        let after = after.as_ref().map(Elements::of).transpose()?;
        Ok(Moved { before, after, guard })
    }

    /// Whether no two iterations touch one element.
    fn one_each(&self, uses: &Uses) -> Answer<bool> {
        let (poly, all) = (self.deps.poly(), uses.all());
        let rows = |k: usize| self.iterations.rows(self.tree, &poly.statements[k].statement.name);
        let seen = all.iter().enumerate().all(|(n, (j, first))| {
            all[..=n].iter().all(|(k, second)| {
                let indices = [&first.indices[self.own..], &second.indices[self.own..]];
                Pair::decides(poly, [*j, *k], indices, [&rows(*j), &rows(*k)])
            })
        });
        Ok(seen || self.touched(&all)?.is_injective()?)
    }

    /// The guard of all that touches the array, over the coordinates, where it is the same for the
    /// whole iteration: nothing below the loop writes what it reads.
    fn guard(&self, uses: &Uses) -> Answer<Option<Expr>> {
        let (model, statements) = (&self.deps.model, &self.deps.poly().statements);
        let mut found: Option<Expr> = None;
        for (k, _) in uses.all() {
            let Some(mut own) = statements[*k].statement.guard.clone() else { return Ok(None) };
            let mut moves = false;
            own.change_indices(&mut |index| -> Answer<()> {
                match self.iterations.value(model, self.tree, *k, index)? {
                    Some(value) => *index = value,
                    None => moves = true,
                }
                Ok(())
            })?;
            if moves || found.as_ref().is_some_and(|f| *f != own) {
                return Ok(None);
            }
            found = Some(own);
        }
        let below = self.below();
        let written = |a: &&Access| {
            let writes = |s: &PolyStatement| s.statement.target.array == a.array;
            statements.iter().any(|s| writes(s) && below.contains(&s.statement.name))
        };
        Ok(found.filter(|guard| !guard.reads().iter().any(written)))
    }

    /// The statements below the loop.
    fn below(&self) -> Vec<Name> {
        match self.iterations.loops.last().and_then(|at| self.tree.find(at)) {
            Some(at) => at.body.statements(),
            None => self.tree.statements(),
        }
    }

    /// Whether the array is a temporary that only statements below the loop touch: where no element
    /// belongs to two iterations, or none reads what another wrote, nothing outside an iteration
    /// sees what it writes.
    fn alone(&self, uses: &Uses) -> bool {
        let poly = self.deps.poly();
        let [(_, first), ..] = uses.writes.as_slice() else { return false };
        let temporary = poly.array(&first.array).is_some_and(|a| matches!(a.role, Role::Temp));
        let all = uses.all();
        let outside = poly.statements.iter().enumerate().any(|(k, s)| {
            all_accesses(&s.statement)
                .any(|a| a.array == first.array && !all.iter().any(|u| u.0 == k && u.1 == *a))
        });
        temporary && !outside
    }

    /// Whether it is seen without isl that each instance reads what a write of the same iteration
    /// has made, of those that are `sure` to happen: the last one is no earlier than that one, so
    /// it is of the same iteration too.
    fn made_inside(&self, (k, access): &Use, writes: &[Use], sure: &[Use]) -> Answer<bool> {
        let (poly, below) = (self.deps.poly(), self.below());
        let writer = |(_, s): &(usize, &PolyStatement)| s.statement.target.array == access.array;
        let mut all = poly.statements.iter().enumerate().filter(writer);
        let known = |(j, s): (usize, &PolyStatement)| {
            writes.contains(&(j, s.statement.target.clone())) || !below.contains(&s.statement.name)
        };
        if !all.all(known) {
            return Ok(false);
        }
        let times = times(poly, self.tree)?.rows;
        let rows = |k: usize| self.iterations.rows(self.tree, &poly.statements[k].statement.name);
        let mine = rows(*k);
        Ok(sure.iter().any(|(j, _)| {
            let (times, rows) = ([&*times[*k], &*times[*j]], rows(*j));
            Pair::written_before(poly, (*k, access), *j, times, [&mine, &rows])
        }))
    }

    /// The instances that read what no write of the same iteration has made.
    pub(super) fn outside(&self, (k, access): &Use, writes: &[Use]) -> Answer<Set> {
        let model = &self.deps.model;
        let poly = self.deps.poly();
        let places: Vec<usize> = (0..poly.statements.len()).collect();
        let runs = runs(poly, self.tree, &places)?;
        let flow = flow(model, &[(*k, access)], &runs)?;
        let rows = |k: usize| self.iterations.rows(self.tree, &poly.statements[k].statement.name);
        let mine = model.rows(*k, &rows(*k))?;
        let mut outside = model.domains[*k].clone();
        for (j, _) in writes {
            let same = model.rows(*j, &rows(*j))?.apply_range(&mine.reverse()?)?;
            let inside = flow.extract_map(&same.space()?)?.intersect(&same)?;
            outside = outside.subtract(&inside.range()?)?;
        }
        Ok(outside)
    }
}
