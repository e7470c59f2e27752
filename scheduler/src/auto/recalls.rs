//! Nests whose iterations read rows and columns that they overwrite.
//!
//! In: a schedule whose nests have been distributed. Out: the same schedule where a nest reads
//! copies of what was there when an iteration of its outermost loop began (`recall`), if an
//! estimate says that it takes less time then than in any other order: all that an iteration does
//! is one launch. Copies are made where the iteration before writes what they hold.
//! Keeps: only nests are tried whose reads are the same for many instances of an iteration, as then
//! little is copied, and what an iteration reads of its own results ends soon. No array of copies
//! takes more room than the largest array that there was.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::{Access, Expr};
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement, Tree, TreeLoop};

use super::Auto;
use super::gpu::GpuOptions;
use super::host::GAIN;
use super::order::{Kind, Part, children, order_step, own};
use super::private::elements;
use super::solver::Solved;

impl Auto {
    /// Recalls arrays in nests that then take less time.
    pub(super) fn recalls(&mut self, options: &GpuOptions) -> Result<()> {
        for nest in children(&self.at.tree().clone()) {
            let (Tree::Loop(top), names) = (&nest, nest.statements()) else { continue };
            for array in broadcast(self.at.poly(), top) {
                self.recalled(top, &names, &array, options)?;
            }
        }
        Ok(())
    }

    /// Recalls an array in a nest, if the nest takes less time then.
    fn recalled(
        &mut self,
        top: &TreeLoop,
        names: &[Name],
        array: &Name,
        options: &GpuOptions,
    ) -> Result<()> {
        let (text, known) = (own(self.at.tree(), names), self.at.tree().statements());
        let (before, array) = (self.at.clone(), Ref::from(array.clone()));
        if !self.step(StepKind::Recall { array, at: Ref::from(top.name.clone()) }) {
            return Ok(());
        }
        if !small(before.poly(), self.at.poly()) {
            self.at = before;
            return Ok(());
        }
        let mut all = names.to_vec();
        all.extend(self.at.tree().statements().into_iter().filter(|s| !known.contains(s)));
        self.copies_where_written(&all, &top.name);
        let recalled = std::mem::replace(&mut self.at, before);
        let Some(text) = text else { return Ok(()) };
        let mut now = self.price(&text)?.time;
        let parts = self.parts()?;
        let part = parts.iter().find(|p| p.names(self.at.poly()).iter().any(|n| names.contains(n)));
        if let Some((time, _)) = part.map(|p| self.better(p, options)).transpose()?.flatten() {
            now = now.min(time);
        }
        let before = std::mem::replace(&mut self.at, recalled);
        let time = own(self.at.tree(), &all).map(|nest| self.price(&nest)).transpose()?;
        if time.is_none_or(|price| price.time >= now * GAIN) {
            self.at = before;
        }
        Ok(())
    }

    /// Moves the copies among these statements to where the iteration before writes what they hold,
    /// if it does.
    fn copies_where_written(&mut self, names: &[Name], outer: &Name) {
        let (poly, tree) = (self.at.poly().clone(), self.at.tree().clone());
        let (Some(top), Ok(parts)) = (tree.find(outer), self.parts()) else { return };
        let index = |n: &Name| poly.statements.iter().position(|s| s.statement.name == *n);
        let chosen: Option<Vec<usize>> = names.iter().map(index).collect();
        let Some(mut chosen) = chosen else { return };
        chosen.sort_by_key(|k| copied(&poly.statements[*k]).is_some());
        let mut solved = Vec::new();
        for (place, k) in (0..).zip(&chosen) {
            let s = &poly.statements[*k];
            let writer = chosen.iter().map(|w| &poly.statements[*w]);
            let rows: Option<(Vec<Affine>, _)> = match copied(s) {
                Some(_) => writer.into_iter().find_map(|w| Some((time_at(w, s, top)?, w))),
                None => Some((s.iters.iter().cloned().map(Affine::var).collect(), s)),
            };
            // the loops of the statement that writes, as they are in its own order
            let Some((values, of)) = rows else { return };
            let lookup = |v: &str| {
                let at = of.iters.iter().position(|i| &**i == v)?;
                values.get(at).cloned()
            };
            let loops = tree.loops().into_iter().filter_map(|l| l.rows.get(&of.statement.name));
            let rows: std::result::Result<Vec<Affine>, _> =
                loops.map(|row| row.substitute(&lookup)).collect();
            let Ok(mut rows) = rows else { return };
            rows.push(Affine::constant(place));
            solved.push(Solved { statement: *k, rows, band: 0 });
        }
        let mut all: Vec<Part> = Vec::new();
        for part in parts {
            if !part.statements().iter().any(|k| chosen.contains(k)) {
                all.push(part);
            } else if !solved.is_empty() {
                all.push(Part { solved: std::mem::take(&mut solved), kind: Kind::Bands });
            }
        }
        let step = order_step(&poly, &all);
        self.step(step);
    }
}

/// Whether no array that is new takes more room than the largest of those there were.
fn small(before: &Poly, after: &Poly) -> bool {
    let most = before.arrays.iter().filter_map(|a| elements(a, before)).max();
    let mut new = after.arrays.iter().filter(|a| before.array(&a.name).is_none());
    new.all(|a| elements(a, after).zip(most).is_some_and(|(n, most)| n <= most))
}

/// What a statement copies, if it stands for nothing in the nest and only copies.
fn copied(s: &PolyStatement) -> Option<&Access> {
    match &s.statement.value {
        Expr::Read(access) if s.origin.is_none() => Some(access),
        _other => None,
    }
}

/// The iterators of a writer, over those of a copy, in the iteration of the outermost loop before
/// the copy's, where the writer writes what is copied.
fn time_at(writer: &PolyStatement, copy: &PolyStatement, top: &TreeLoop) -> Option<Vec<Affine>> {
    let (target, read) = (&writer.statement.target, copied(copy)?);
    let row = top.rows.get(&writer.statement.name)?.as_var()?;
    let own = top.rows.get(&copy.statement.name)?;
    let value = |iter: &Name| {
        if iter == row {
            return own.add_const(-1).ok();
        }
        let d = target.indices.iter().position(|e| e.as_var() == Some(iter))?;
        read.indices.get(d).cloned()
    };
    (target.array == read.array).then(|| writer.iters.iter().map(value).collect())?
}

/// Arrays that a nest writes and of which its statements read, but for what they overwrite, only
/// elements that are the same along some loop inside the outermost.
fn broadcast(poly: &Poly, top: &TreeLoop) -> Vec<Name> {
    let below = top.body.statements();
    let inside: Vec<&PolyStatement> =
        poly.statements.iter().filter(|s| below.contains(&s.statement.name)).collect();
    let others = |s: &PolyStatement, array: &Name| -> Vec<Access> {
        let other = |a: &&Access| a.array == *array && **a != s.statement.target;
        s.statement.value.reads().into_iter().filter(other).cloned().collect()
    };
    let same = |s: &PolyStatement, read: &Access| {
        let outer = top.rows.get(&s.statement.name).and_then(Affine::as_var);
        let moves = |i: &Name| read.indices.iter().any(|e| e.vars().contains(i));
        s.iters.iter().any(|i| Some(i) != outer && !moves(i))
    };
    let mut out: Vec<Name> = Vec::new();
    for array in inside.iter().map(|s| &s.statement.target.array) {
        let some = inside.iter().any(|s| !others(s, array).is_empty());
        let all = inside.iter().all(|s| others(s, array).iter().all(|read| same(s, read)));
        if some && all && !out.contains(array) {
            out.push(array.clone());
        }
    }
    out
}
