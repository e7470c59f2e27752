//! Copies of whole boxes between an array and a buffer of shared memory.
//!
//! In: a copying statement that `stage` made. Out: where the box lies in the array, over the
//! coordinates of the loop that holds the buffer.
//! Keeps: along what is summed a box reaches beyond what the statement copies only outside the
//! array, where the copy engine gives zeros; so do boxes that leave, of which it stores nothing.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::{Access, Expr};
use warploom_ir::instruction::descriptor::{CHUNK, PANELS};
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Tree, Unit};
use warploom_ir::target::Place;
use warploom_isl::{DimType, Map, Set};

use super::product::{Product, elements};
use super::{Answer, Site, misplaced, place_of, unfit};
use crate::footprint::{Box_, Iterations, common, fresh, places_within};
use crate::poly_isl::Model;

/// The dimension of the array that each dimension of the buffer runs along, where it starts with
/// the box; none where that does not hold.
fn dimensions(
    site: &Site<'_>,
    model: &Model,
    at: usize,
    iterations: &Iterations,
    box_: &Box_,
    (ours, theirs, own): (&Access, &Access, usize),
) -> Answer<Option<Vec<usize>>> {
    let rows = iterations.rows(site.tree, &site.poly.statements[at].statement.name);
    // coordinates depend on each other, so what is the same may be written in several ways
    let zero = |e: &Affine| -> Answer<bool> {
        let e = std::slice::from_ref(e);
        let found = iterations.box_around(model, site.tree, at, e)?;
        Ok(found.is_some_and(|b| b.extent == [1] && b.offset[0].as_constant() == Some(0)))
    };
    let mut along = Vec::new();
    for index in &ours.indices[own..] {
        let mut found = None;
        for (d, (theirs, start)) in theirs.indices.iter().zip(&box_.offset).enumerate() {
            let inside = theirs.sub(&iterations.at_rows(start, &rows)?)?;
            let index = index.scale(box_.step[d])?;
            if inside == index || found.is_none() && zero(&inside.sub(&index)?)? {
                found = Some(d);
            }
        }
        match found {
            Some(d) => along.push(d),
            None => return Ok(None),
        }
    }
    Ok(Some(along))
}

/// Bytes of a sector of the cache.
const SECTOR: i64 = 32;
/// Bytes that a thread can copy asynchronously at once.
const CHUNKS: [i64; 3] = [CHUNK, 8, 4];

/// A number that divides an expression whatever its variables are; 0 for zero.
pub(super) fn divisor(e: &Affine) -> i64 {
    e.terms().fold(e.constant_part(), |d, (_, c)| common(d, c)).saturating_abs()
}

/// Whether threads run a piece of work: one of its loops is mapped to them.
pub(super) fn on_threads(tree: &Tree) -> bool {
    tree.loops().iter().any(|l| matches!(l.marks.map, Some(Place::Thread(_))))
}

/// A copy between an array and a buffer.
pub(super) struct Move {
    /// The copying statement.
    pub(super) statement: Name,
    pub(super) buffer: Name,
    pub(super) array: Name,
    /// The first element of the box, per dimension of the array, over [`Self::coordinates`].
    pub(super) start: Vec<Affine>,
    /// Names of the coordinates of the loop that holds the buffer.
    pub(super) coordinates: Vec<Name>,
    /// The array's dimension that each dimension of the buffer runs along.
    pub(super) along: Vec<usize>,
    /// From one element of the box to the next, per dimension of the array.
    pub(super) step: Vec<i64>,
    /// Elements in each dimension of the buffer.
    pub(super) extents: Vec<i64>,
    /// Extents of the array.
    pub(super) shape: Vec<Affine>,
    /// Who copies: the copy engine, or threads asynchronously; none is threads that load and store.
    unit: Option<Unit>,
    /// Bytes that a thread copies at once.
    chunk: i64,
    /// Its rows in memory need not begin with a sector of the cache.
    skewed: bool,
    /// The elements that the statement copies.
    touched: Map,
}

impl Move {
    /// The copy that a subtree is, right inside the loop `around`.
    pub(super) fn of(site: &Site<'_>, model: &Model, tree: &Tree, around: &str) -> Answer<Self> {
        let names = tree.statements();
        let unit = match tree {
            Tree::Loop(l) => l.marks.unit,
            Tree::Sequence(_) | Tree::Statement(_) => None,
        };
        let copies = |u: &Unit| matches!(u, Unit::CopyEngine | Unit::AsyncCopy);
        let [name] = names.as_slice() else {
            return Err(misplaced("a box is what one statement copies").into());
        };
        let at = place_of(site.poly, name);
        let s = &site.poly.statements[at];
        let unit = unit.filter(copies);
        let (Expr::Read(read), None, true) =
            (&s.statement.value, &s.origin, unit.is_some() || on_threads(tree))
        else {
            return Err(misplaced(format!(
                "`{name}` is no copy that `stage` made, so it cannot be copied as a box"
            ))
            .into());
        };
        let scoped = |a: &Access| site.poly.scopes.contains_key(&a.array);
        let target = &s.statement.target;
        let (ours, theirs) = match (scoped(target), scoped(read)) {
            (true, false) if s.statement.guard.is_none() => (target, read),
            (true, false) => {
                let text = format!("`{name}` is under a guard, and boxes of operands are not");
                return Err(misplaced(text).into());
            }
            (false, true) => (read, target),
            _both => {
                let text = format!("`{name}` copies between two buffers or two arrays");
                return Err(misplaced(text).into());
            }
        };
        let iterations = Iterations::of(site.poly, site.tree, around);
        let touched = elements(site, model, at, &iterations, &theirs.indices)?;
        let seen = iterations.seen_grid(model, site.tree, at, &theirs.indices);
        let found = seen.map_or_else(|| iterations.grid(model, &touched), |seen| Ok(Some(seen)))?;
        let Some(mut box_) = found else {
            return Err(unfit(format!("what `{name}` copies is no box")).into());
        };
        let own = site.poly.scopes[&ours.array].coordinates;
        let mut along = dimensions(site, model, at, &iterations, &box_, (ours, theirs, own))?;
        if along.is_none()
            && let Some(all) = iterations.unguarded(model, site.tree, at, &theirs.indices)?
        {
            // guards may bound what is copied by the array's ends, where the box does not start
            if let Some(whole) = iterations.grid(model, &all)? {
                along = dimensions(site, model, at, &iterations, &whole, (ours, theirs, own))?;
                box_ = whole;
            }
        }
        let along = along.ok_or_else(|| {
            unfit(format!("`{name}` changes the layout, which a copy of a box cannot"))
        })?;
        let extents = along.iter().map(|d| box_.extent[*d]).collect();
        Ok(Self {
            statement: name.clone(),
            buffer: ours.array.clone(),
            array: theirs.array.clone(),
            start: box_.offset,
            step: box_.step,
            coordinates: iterations.names,
            along,
            extents,
            shape: site.poly.array(&theirs.array).map(|a| a.shape.clone()).unwrap_or_default(),
            unit,
            chunk: CHUNK,
            skewed: false,
            touched,
        })
    }

    /// The copy as one into an operand's buffer.
    pub(super) fn filling(
        mut self,
        site: &Site<'_>,
        model: &Model,
        product: &Product,
    ) -> Answer<Self> {
        let operand = product.operand(&self.buffer).expect("the caller found the operand");
        if product.scaled_by(&self.buffer) {
            let text = format!("`{}` holds scales, which are no box in shared memory", self.buffer);
            let help = format!("let threads fill it: `map {}.0 to thread.x`", self.buffer);
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        let whole = site.poly.array(&self.array).is_some_and(|a| a.dtype == operand.dtype);
        if operand.value.is_some() && !(whole && operand.computes_late(product)) {
            let text = format!("the product computes with elements of `{}` first", self.buffer);
            let help = format!(
                "let threads fill it with what the product takes: `map {}.0 to thread.x`",
                self.buffer
            );
            return Err(Box::new(unfit(text).help(help)).into());
        }
        let [own, other] = match product.by_warps() {
            true => [Unit::AsyncCopy, Unit::CopyEngine],
            false => [Unit::CopyEngine, Unit::AsyncCopy],
        };
        let either = !product.by_warps() && !product.matrix.tensor && self.unit == Some(other);
        if self.unit != Some(own) && !either {
            let text = format!(
                "`{}` is copied to `{}`, and operands of `{}` are not",
                self.buffer,
                other.name(),
                product.instruction
            );
            let help = format!("write `map {}.0 to {}`", self.buffer, own.name());
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        self.extents.clone_from(&operand.extents);
        if !product.apart {
            // what else such boxes hold is asked of all operands together
            if self.unit.is_some() {
                self.in_rows(site, model)?;
            }
            return Ok(self);
        }
        let own = &operand.sides[usize::from(operand.transposed)];
        let own: Vec<usize> = own.0.iter().map(|d| self.along[d.dim]).collect();
        self.checked(site, model, &own)
    }

    /// The copy as one out of a buffer of elements of the accumulator.
    pub(super) fn draining(
        mut self,
        site: &Site<'_>,
        model: &Model,
        extents: Vec<i64>,
        product: &Product,
    ) -> Answer<Self> {
        self.extents = extents;
        if self.step.iter().any(|step| *step != 1) {
            let text = format!("what `{}` stores lies apart in `{}`", self.statement, self.array);
            let help = "threads store what they hold: leave out the buffer";
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        if self.unit == Some(Unit::AsyncCopy) || product.by_warps() {
            let text = format!("`{}` does not leave the block by the copy engine", self.buffer);
            let help = "threads store what they hold: leave out the buffer";
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        self.checked(site, model, &[])
    }

    /// Whether the box holds nothing of the array but what the statement copies, and is one that
    /// its unit can copy. Along `free` dimensions it may hold anything: rows and columns of
    /// the product that are not stored.
    fn checked(mut self, site: &Site<'_>, model: &Model, free: &[usize]) -> Answer<Self> {
        if self.unit.is_some() {
            self.in_rows(site, model)?;
        }
        let mut touched = self.touched.clone();
        let mut boxed = self.boxed(site, model, &touched.domain()?)?;
        let mut gone = free.to_vec();
        gone.sort_unstable();
        for d in gone.into_iter().rev() {
            boxed = boxed.project_out(DimType::Out, d, 1)?;
            touched = touched.project_out(DimType::Out, d, 1)?;
        }
        if boxed.is_subset(&touched)? {
            return Ok(self);
        }
        Err(unfit(format!(
            "the box that `{}` would copy holds elements of `{}` that it does not touch",
            self.statement, self.array
        ))
        .into())
    }

    /// Whether its unit can copy boxes of the array: rows of whole chunks, which are rows of the
    /// buffer.
    fn in_rows(&mut self, site: &Site<'_>, model: &Model) -> Answer<()> {
        let array = site.poly.array(&self.array).expect("accesses are of known arrays");
        let bits = array.dtype.bits() as i64;
        let last = array.shape.len().checked_sub(1);
        if last.is_none() || self.along.last() != last.as_ref() {
            return Err(unfit(format!(
                "the last dimension of `{}` is not that of `{}`, so its rows are no rows of a box",
                self.array, self.buffer
            ))
            .into());
        }
        let row = array.shape.last().and_then(|e| model.fixed(e));
        let start = self.start.last().map_or(0, divisor);
        let width = self.extents.last().copied().unwrap_or(1);
        let whole = |chunk: &&i64| {
            let divides = |n: i64| n * bits % (8 * **chunk) == 0;
            8 * **chunk >= bits && row.is_some_and(divides) && divides(start) && divides(width)
        };
        if self.unit == Some(Unit::AsyncCopy) {
            if array.dtype.packed() {
                let text =
                    format!("elements of `{}` share bytes, which no thread copies", array.name);
                return Err(unfit(text).into());
            }
            let Some(chunk) = CHUNKS.iter().find(whole) else {
                let text = format!(
                    "the rows of `{}`, or where the tiles start in them, are no known multiple of \
                     4 bytes, which asynchronous copies need",
                    self.array
                );
                let help = format!("let threads fill it: `map {}.0 to thread.x`", self.buffer);
                return Err(Box::new(unfit(text).help(help)).into());
            };
            self.chunk = *chunk;
            let sectors = |n: i64| n * bits % (8 * SECTOR) == 0;
            self.skewed = !row.is_some_and(sectors) || !sectors(start);
        } else if row.is_none_or(|n| n * bits % (8 * CHUNK) != 0) {
            return Err(unfit(format!(
                "the rows of `{}` are no known multiple of 16 bytes, which the copy engine needs",
                self.array
            ))
            .into());
        }
        Ok(())
    }

    /// The elements of the array in the box of each of these iterations.
    fn boxed(&self, site: &Site<'_>, model: &Model, among: &Set) -> Answer<Map> {
        let array = site.poly.array(&self.array).expect("accesses are of known arrays");
        let places = fresh(&self.coordinates, "e", array.shape.len());
        let mut facts: Vec<Constraint> = Vec::new();
        for (d, place) in places.iter().enumerate() {
            let e = Affine::var(place.clone());
            let size = self.along.iter().position(|a| *a == d).map_or(1, |at| self.extents[at]);
            let from = e.sub(&self.start[d])?;
            let step = self.step[d];
            if step > 1 {
                facts.push(Constraint::zero(from.modulo(step)?));
            }
            let bounds = [
                from.clone(),
                Affine::constant((size - 1) * step).sub(&from)?,
                e.clone(),
                array.shape[d].add_const(-1)?.sub(&e)?,
            ];
            facts.extend(bounds.map(Constraint::non_negative));
        }
        let all = model.relation(&self.coordinates, &places, &facts)?;
        Ok(all.intersect_domain(among)?)
    }

    /// The elements of its buffer that are elements of the array in these iterations.
    pub(super) fn held(&self, model: &Model, among: &Set) -> Answer<Map> {
        let places = fresh(&self.coordinates, "e", self.extents.len());
        let mut facts = places_within(&places, &self.extents)?;
        for (d, (start, shape)) in self.start.iter().zip(&self.shape).enumerate() {
            let inside = self.along.iter().position(|a| *a == d);
            let inside = inside.map_or(Affine::constant(0), |at| Affine::var(places[at].clone()));
            let element = start.add(&inside.scale(self.step[d])?)?;
            facts.push(Constraint::non_negative(element.clone()));
            facts.push(Constraint::non_negative(shape.add_const(-1)?.sub(&element)?));
        }
        let all = model.relation(&self.coordinates, &places, &facts)?;
        Ok(all.intersect_domain(among)?)
    }

    /// The elements of the array that its boxes hold in these iterations and the statement does not
    /// copy in any.
    pub(super) fn beside_own(&self, site: &Site<'_>, model: &Model, among: &Set) -> Answer<Set> {
        let all = self.boxed(site, model, among)?.range()?;
        Ok(all.subtract(&self.touched.range()?)?)
    }

    /// The iterations among these in which its box holds no element of the array: it is zeros.
    pub(super) fn beside(&self, site: &Site<'_>, model: &Model, among: &Set) -> Answer<Set> {
        Ok(among.subtract(&self.boxed(site, model, among)?.domain()?)?)
    }

    /// The instruction by which threads copy. Past the first cache a row that begins inside a
    /// sector is a request for each chunk, through it for each line.
    pub(super) fn instruction(&self) -> String {
        match self.skewed && self.chunk == CHUNK {
            true => format!("cp.async.ca.{}", self.chunk),
            false => format!("cp.async.{}", self.chunk),
        }
    }

    /// Whether threads copy asynchronously.
    pub(super) fn asynchronous(&self) -> bool {
        self.unit == Some(Unit::AsyncCopy)
    }

    /// Whether threads load and store what is copied.
    pub(super) const fn threads(&self) -> bool {
        self.unit.is_none()
    }

    /// Bytes of a panel of the buffer: the widest that divides its rows.
    pub(super) fn panel(extents: &[i64], bytes: i64) -> Option<i64> {
        let row = extents.last()? * bytes;
        PANELS.iter().copied().filter(|p| row % p == 0).max()
    }
}
