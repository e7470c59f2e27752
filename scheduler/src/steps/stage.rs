//! `stage A at l as Ap layout 1/16, 0, 1%16 pad 1`: what one iteration of a loop touches of an
//! array is in a buffer while it runs.
//!
//! `l { X }` -> `l { Ap.0 { Ap.1 { Ap: Ap[…] = A[…] } } X' }`, where X' reads `Ap`. The buffer has
//! the size of the fixed box around what X touches (along dimensions of which X touches every
//! second element, say, without those between), its rows `pad` elements more. Only elements
//! that X reads are copied; all of the box that is in bounds where every element is defined and the
//! exact set is no conjunction, or a copy before all loops is of most of the array anyway.
//! Where X writes the array too, X' does so in the buffer: copied in first is what X reads before
//! it writes it (often nothing), copied back last, by `Ap_back`, is what X writes. A temporary that
//! nothing outside an iteration touches is not copied back: the buffer takes its place. Where all
//! of this is under one guard on data, the copies are too.
//! Without `at` the copy is an array of the nest, made before the outermost loop around S1 (and,
//! where it is written, copied back behind it), so that other iterations may overwrite what S1
//! still needs.
//! `for S1` stages all accesses of a statement, `for S1.2` one of them: 0 is the target if that is
//! the array's, then come reads as in the text, each once.
//! Legal: if all that touches the array below the loop uses the buffer, or touches in the same
//! iteration nothing that the buffer's users write and writes nothing that they touch: then no
//! access comes between a copy and its uses. Reads alone may be staged too where each gets a value
//! from before the iteration.
//! Errors: `E0721` for names, `E0722` for an array that cannot be staged, `E0723` for a box without
//! constant size, `E0724` for a layout.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::expr::{Access, Expr};
use warploom_ir::nest::{Array, AssignOp, Constraint, Role, Statement};
use warploom_ir::schedule::step::{LayoutTerm, Ref};
use warploom_ir::schedule::{Marks, Poly, PolyStatement, Scope, Tree, TreeLoop};
use warploom_ir::target::Place;
use warploom_isl::Map;

use super::{ancestors, edit, sequence};
use crate::deps::DepContext;
use crate::footprint::{Box_, Iterations, fresh, no_box, within};
use crate::layout::Layout;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

mod uses;
mod written;

pub(crate) use uses::accesses;
use uses::{Part, Use, Uses, seen_by_others, unknown, uses};
use written::Elements;

/// Rows of a box that is copied whole come in so many.
const ROWS: i64 = 8;

/// The operands of the step.
pub(crate) struct Stage<'a> {
    /// The array.
    pub(crate) array: &'a Ref,
    /// The statements, or single accesses of them, that are redirected, or none for all.
    pub(crate) readers: &'a [Ref],
    /// The loop; without one the nest around the named accesses.
    pub(crate) at: Option<&'a Ref>,
    /// The buffer's name.
    pub(crate) name: Option<&'a Ref>,
    /// The buffer's layout.
    pub(crate) layout: &'a [LayoutTerm],
    /// Elements without use at the end of its rows.
    pub(crate) pad: i64,
    /// Thread numbers that its first indices are.
    pub(crate) across: &'a [Place],
}

/// Stages the array: the new working nest and its order.
pub(crate) fn stage(deps: &DepContext, tree: &Tree, step: &Stage<'_>) -> Result<(Poly, Tree)> {
    let poly = deps.poly();
    let array = known_array(poly, step.array)?;
    let part = Part::of(poly, tree, step)?;
    if part.at.is_none() && array.dtype.packed() {
        return Err(halves(array, step.array.span));
    }
    let (uses, others) = uses(poly, step, &part)?;
    let iterations = match &part.at {
        Some(at) => Iterations::of(poly, tree, at),
        None => Iterations::whole(poly),
    };
    let all = [uses.all(), others.all()].concat();
    let own = own_coordinates(poly, tree, step, &iterations, &all)?;
    let below = Below { deps, tree, iterations: &iterations, own };
    if !deps.ask("comparing accesses", || below.apart(&uses, &others))? {
        return Err(seen_by_others(poly, step, &part, (&uses, &others)));
    }
    let (moved, box_, ragged) =
        deps.ask("finding what a loop touches", || below.found(array, &part, &uses))?;
    let Some(box_) = box_ else {
        let at = part.at.as_deref().unwrap_or("of the nest");
        return Err(no_box("stage", &array.name, at, step.array.span));
    };
    let layout = Layout::new(step.layout, &box_.extent, step.array.span)?;
    let name = buffer_name(poly, tree, step, &part)?;
    let made = deps.ask("making the copies", || {
        let (iterations, layout) = (&iterations, &layout);
        let copy = Copy { name: &name, array, own, iterations, layout, ragged };
        let Some(copies) = moved.copies(&copy, &box_)? else { return Ok(None) };
        let mut poly = poly.clone();
        for (k, access) in uses.all() {
            let rows = iterations.rows(tree, &poly.statements[*k].statement.name);
            let new = copy.redirected(access, &rows, &box_)?;
            redirect(&mut poly.statements[*k].statement, access, &new);
        }
        Ok(Some((poly, copies)))
    })?;
    let Some((mut poly, copies)) = made else {
        return Err(partly_defined(&array.name, step.array.span));
    };
    let mut shape = layout.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last = last.saturating_add(step.pad);
    }
    let shape = shape.into_iter().map(Affine::constant).collect();
    let (dtype, span, staged) = (array.dtype, Span::NONE, array.name.clone());
    poly.arrays.push(Array { name: name.clone(), role: Role::Temp, dtype, shape, span });
    let (coordinates, across) = (iterations.names.len(), step.across.to_vec());
    if let Some(at) = part.at.clone() {
        poly.scopes.insert(name, Scope { at, coordinates, across });
    }
    let mut rows = BTreeMap::new();
    let [first, last] = copies.map(|copy| {
        let (statement, loops) = copy?;
        let mine = iterations.names.iter().cloned().map(Affine::var).collect();
        rows.insert(statement.statement.name.clone(), mine);
        poly.statements.push(statement);
        Some(loops)
    });
    let tree = match part.at {
        Some(_) => place(tree, &iterations.loops, first, last, &rows)?,
        None => part.around(tree, first, last),
    };
    let used = |s: &PolyStatement| all_accesses(&s.statement).any(|a| a.array == staged);
    if !poly.statements.iter().any(used) {
        poly.arrays.retain(|a| a.name != staged);
        poly.scopes.remove(&staged);
    }
    Ok((poly, tree))
}

/// A copy in memory of an array whose elements share bytes.
fn halves(array: &Array, span: Span) -> Box<Diagnostic> {
    let text = format!(
        "two elements of `{}` share a byte, which two threads of a copy in memory could write",
        array.name
    );
    let help = "stage it at a loop: buffers there have a byte for each element";
    Box::new(Diagnostic::new("E0734", Blame::Schedule, text).label(span, "here").help(help))
}

/// What stands below the loop, for questions to isl.
struct Below<'a> {
    deps: &'a DepContext,
    tree: &'a Tree,
    iterations: &'a Iterations,
    /// Leading coordinates of the array's own accesses.
    own: usize,
}

impl Below<'_> {
    /// What is copied, the box around what is staged, and whether all of that is copied in.
    fn found(
        &self,
        array: &Array,
        part: &Part,
        uses: &Uses,
    ) -> Answer<(Moved, Option<Box_>, bool)> {
        let (moved, box_) = (self.moved(uses)?, self.box_of(array, part, uses)?);
        let ragged = part.at.is_some() && moved.ragged(array, self.iterations)?;
        Ok((moved, box_.map(|b| if ragged { rounded(b) } else { b }), ragged))
    }

    /// The box around what is staged; a copy before all loops has the indices of its array.
    fn box_of(&self, array: &Array, part: &Part, uses: &Uses) -> Answer<Option<Box_>> {
        match whole_array(self.deps.poly(), array).filter(|_| part.at.is_none()) {
            Some(all) => Ok(Some(all)),
            None => {
                if let Some(seen) = self.seen(uses) {
                    return Ok(Some(seen));
                }
                let touched = self.touched(&uses.all())?;
                let exact = self.iterations.grid(&self.deps.model, &touched)?;
                exact.map(|exact| self.unguarded(uses, exact)).transpose()
            }
        }
    }

    /// The box, where it is seen without isl that all uses have the same.
    fn seen(&self, uses: &Uses) -> Option<Box_> {
        let of = |(k, access): &Use| {
            let indices = &access.indices[self.own..];
            self.iterations.seen_grid(&self.deps.model, self.tree, *k, indices)
        };
        let all = uses.all();
        let (first, others) = all.split_first()?;
        let first = of(first)?;
        others.iter().all(|u| of(u).as_ref() == Some(&first)).then_some(first)
    }

    /// The box that is as large, or not much larger, and moves with the accesses: guards may bound
    /// what is touched by the array's ends, and then indices in a box at these would depend on
    /// where the iteration is.
    fn unguarded(&self, uses: &Uses, mut exact: Box_) -> Answer<Box_> {
        let (model, tree, own) = (&self.deps.model, self.tree, self.own);
        let mut all: Option<Map> = None;
        let mut guarded = false;
        for (k, access) in uses.all() {
            let indices = &access.indices[own..];
            let found = self.iterations.unguarded(model, tree, *k, indices)?;
            guarded |= found.is_some();
            let mine = match found {
                Some(found) => found,
                None => self.touched(&[&(*k, access.clone())])?,
            };
            all = Some(all.map_or(Ok(mine.clone()), |t| t.union(&mine))?);
        }
        let Some(all) = all.filter(|_| guarded) else { return Ok(exact) };
        let Some(wide) = self.iterations.grid(model, &all.coalesce()?)? else { return Ok(exact) };
        for d in 0..exact.extent.len() {
            let moves = |offset: &Affine| -> Answer<usize> {
                let mut count = 0;
                for (k, access) in uses.all() {
                    let rows =
                        self.iterations.rows(tree, &model.poly.statements[*k].statement.name);
                    let from = self.iterations.at_rows(offset, &rows)?;
                    count += access.indices[own + d].sub(&from)?.vars().len();
                }
                Ok(count)
            };
            let near = wide.extent[d] <= 2 * exact.extent[d];
            if near && moves(&wide.offset[d])? < moves(&exact.offset[d])? {
                exact.offset[d] = wide.offset[d].clone();
                (exact.extent[d], exact.step[d]) = (wide.extent[d], wide.step[d]);
            }
        }
        Ok(exact)
    }

    /// The elements that accesses touch in each iteration; there is at least one access.
    fn touched(&self, uses: &[&Use]) -> Answer<Map> {
        let mut touched: Option<Map> = None;
        for (k, access) in uses {
            let indices = &access.indices[self.own..];
            let mine = self.iterations.elements(&self.deps.model, self.tree, *k, indices)?;
            touched = Some(touched.map_or(Ok(mine.clone()), |t| t.union(&mine))?);
        }
        Ok(touched.expect("there is an access to redirect").coalesce()?)
    }
}

/// All elements of an array of known size: its copy has the same indices.
fn whole_array(poly: &Poly, array: &Array) -> Option<Box_> {
    let extent = array.shape.iter().map(|e| poly.fixed(e)).collect::<Option<Vec<i64>>>()?;
    let (offset, step) = (vec![Affine::constant(0); extent.len()], vec![1; extent.len()]);
    Some(Box_ { offset, extent, step })
}

/// What is copied before and after an iteration.
struct Moved {
    before: Option<Elements>,
    after: Option<Elements>,
    /// Under which condition, where not always.
    guard: Option<Expr>,
}

impl Moved {
    /// Whether the edges of what is copied in follow the elements' own remainders, in an array that
    /// nothing writes: to copy all of the box costs less than a test for each element.
    fn ragged(&self, array: &Array, iterations: &Iterations) -> Answer<bool> {
        let (Role::In, Some(before)) = (&array.role, &self.before) else { return Ok(false) };
        let places = places(array.shape.len());
        let own = |(a, _): (&Atom, i64)| match a {
            Atom::Var(_) => false,
            Atom::FloorDiv(e, _) | Atom::Mod(e, _) => e.vars().iter().any(|v| places.contains(v)),
        };
        let follows = |c: &Constraint| !c.equality && c.expr.terms().any(own);
        Ok(before.exact(iterations)?.as_ref().is_some_and(|exact| exact.iter().any(follows)))
    }

    /// The copies in and back; `None` if undefined elements would be copied.
    fn copies(&self, copy: &Copy<'_>, box_: &Box_) -> Answer<Option<[Option<Made>; 2]>> {
        let mut out = [None, None];
        let both = [(&self.before, Direction::In), (&self.after, Direction::Back)];
        for (place, (elements, direction)) in out.iter_mut().zip(both) {
            let Some(elements) = elements else { continue };
            let Some(mut made) = copy.statement(box_, elements, direction)? else {
                return Ok(None);
            };
            made.0.statement.guard.clone_from(&self.guard);
            *place = Some(made);
        }
        Ok(Some(out))
    }
}

/// Rows of a box in eights, which threads share evenly.
fn rounded(mut box_: Box_) -> Box_ {
    for n in box_.extent.iter_mut().rev().skip(1).filter(|n| **n > ROWS) {
        *n = (*n + ROWS - 1) / ROWS * ROWS;
    }
    box_
}

/// Names for the indices of an element.
fn places(rank: usize) -> Vec<Name> {
    (0..rank).map(|k| format!("@{k}").into()).collect()
}

/// A copying statement and its loops.
type Made = (PolyStatement, Tree);

/// Where a copy goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// To the buffer.
    In,
    /// To the array.
    Back,
}

/// Puts subtrees first and last into the innermost of these loops (outermost first); `rows` are the
/// rows of their statements in them.
pub(crate) fn place(
    tree: &Tree,
    loops: &[Name],
    mut first: Option<Tree>,
    mut last: Option<Tree>,
    rows: &BTreeMap<Name, Vec<Affine>>,
) -> Result<Tree> {
    let mut tree = tree.clone();
    for (depth, at) in loops.iter().enumerate() {
        let innermost = depth + 1 == loops.len();
        tree = edit(tree, at, &mut |mut l| {
            l.rows.extend(rows.iter().map(|(s, rows)| (s.clone(), rows[depth].clone())));
            if innermost {
                let all = [first.take(), Some(*l.body), last.take()];
                l.body = Box::new(sequence(all.into_iter().flatten().collect()));
            }
            Ok(Tree::Loop(l))
        })?;
    }
    Ok(tree)
}

/// Every access of a statement, its target first.
pub(crate) fn all_accesses(statement: &Statement) -> impl Iterator<Item = &Access> {
    let guard = statement.guard.iter().flat_map(|g| g.reads());
    std::iter::once(&statement.target).chain(statement.value.reads()).chain(guard)
}

/// Replaces an access, the target's included.
pub(crate) fn redirect(statement: &mut Statement, old: &Access, new: &Access) {
    let mut change = |access: &mut Access| {
        if access == old {
            let span = access.span;
            *access = Access { span, ..new.clone() };
        }
    };
    statement.visit_accesses_mut(&mut change);
}

/// The array a step names.
pub(crate) fn known_array<'a>(poly: &'a Poly, r: &Ref) -> Result<&'a Array> {
    poly.array(&r.name).ok_or_else(|| {
        let names: Vec<String> = poly.arrays.iter().map(|a| format!("`{}`", a.name)).collect();
        unknown(format!("there is no array `{r}`"), r.span, "arrays", &names)
    })
}

/// How many of the loop's coordinates are those of the array itself, where it is a buffer.
fn own_coordinates(
    poly: &Poly,
    tree: &Tree,
    step: &Stage<'_>,
    iterations: &Iterations,
    uses: &[&Use],
) -> Result<usize> {
    let Some(scope) = poly.scopes.get(&step.array.name) else {
        return Ok(0);
    };
    let n = scope.coordinates;
    let same = |(k, access): &&Use| {
        let rows = iterations.rows(tree, &poly.statements[*k].statement.name);
        rows.get(..n) == access.indices.get(..n)
    };
    if uses.iter().all(same) {
        return Ok(n);
    }
    let message = format!(
        "`{}` is a buffer whose loops have changed since it was made, so it cannot be staged here",
        step.array
    );
    Err(Box::new(
        Diagnostic::new("E0722", Blame::Schedule, message)
            .label(step.array.span, "")
            .help("stage it right after the step that makes it"),
    ))
}

fn partly_defined(array: &str, span: Span) -> Box<Diagnostic> {
    let message = format!(
        "what is touched of `{array}` there is not one convex set, and the elements between may be \
         undefined or not the loop's to write, so they cannot be copied"
    );
    Box::new(
        Diagnostic::new("E0722", Blame::Schedule, message)
            .label(span, "")
            .help("stage the reads of one statement at a time (`stage A for S1 at …`)"),
    )
}

/// A name for the buffer that nothing has.
fn buffer_name(poly: &Poly, tree: &Tree, step: &Stage<'_>, part: &Part) -> Result<Name> {
    let (name, span) = match step.name {
        Some(r) => (r.name.clone(), r.span),
        None => {
            // buffers of several accesses to one array have different names
            let what = match step.readers {
                [one] if one.name.contains('.') => format!("{}_{}", step.array.name, one.name),
                _ => step.array.name.to_string(),
            };
            let first = local_name(&what, part.at.as_deref().unwrap_or("copy"));
            let more = (2..).map(|k| Name::from(format!("{first}_{k}")));
            let numbered = !step.readers.is_empty();
            let free = |n: &Name| !numbered || !is_taken(poly, tree, n);
            let name = std::iter::once(first.clone()).chain(more).find(free);
            (name.expect("only finitely many names are taken"), step.array.span)
        }
    };
    if name.contains('.') {
        return Err(name_refused(&name, "has a dot in it", span));
    }
    if is_taken(poly, tree, &name) {
        return Err(name_refused(&name, "is taken", span));
    }
    Ok(name)
}

/// `B_k_0` for `B` at `k.0`.
pub(crate) fn local_name(what: &str, at: &str) -> Name {
    format!("{what}_{at}").replace('.', "_").into()
}

/// Whether an array, statement, parameter or loop has the name.
pub(crate) fn is_taken(poly: &Poly, tree: &Tree, name: &str) -> bool {
    poly.array(name).is_some()
        || poly.statement(name).is_some()
        || poly.params.iter().any(|p| &*p.name == name)
        || tree.find(name).is_some()
        || !ancestors(tree, name).is_empty()
}

/// The refusal of a name for a buffer.
pub(crate) fn name_refused(name: &str, why: &str, span: Span) -> Box<Diagnostic> {
    let message = format!("the buffer cannot be called `{name}`: the name {why}");
    Box::new(
        Diagnostic::new("E0713", Blame::Schedule, message)
            .label(span, "")
            .help("give it another name with `as`"),
    )
}

/// The copy of a box.
struct Copy<'a> {
    name: &'a Name,
    array: &'a Array,
    /// Leading coordinates of the array's own accesses.
    own: usize,
    iterations: &'a Iterations,
    layout: &'a Layout,
    /// All of the box is copied in where that is in bounds.
    ragged: bool,
}

impl Copy<'_> {
    /// The access to the buffer that replaces one to the array.
    fn redirected(&self, access: &Access, rows: &[Affine], box_: &Box_) -> Answer<Access> {
        let mut place = Vec::new();
        let grid = box_.offset.iter().zip(&box_.step);
        for (index, (offset, step)) in access.indices[self.own..].iter().zip(grid) {
            // without a remainder: the first element is on the grid, and so is each other
            let from = index.sub(&self.iterations.at_rows(offset, rows)?)?;
            place.push(from.exact_div(*step).map_or_else(|| from.floor_div(*step), Ok)?);
        }
        let mut indices = rows.to_vec();
        indices.extend(self.layout.index(&place)?);
        Ok(Access { array: self.name.clone(), indices, span: access.span })
    }

    /// The copying statement and its loops; `None` if undefined elements would be copied, or
    /// elements written back that the loop does not write.
    fn statement(
        &self,
        box_: &Box_,
        touched: &Elements,
        direction: Direction,
    ) -> Answer<Option<Made>> {
        let inside = fresh(&self.iterations.params, "b", self.layout.shape.len());
        let buffer: Vec<Affine> = inside.iter().cloned().map(Affine::var).collect();
        let mut element = self.layout.place(&buffer)?;
        for ((e, offset), step) in element.iter_mut().zip(&box_.offset).zip(&box_.step) {
            *e = e.scale(*step)?.add(offset)?;
        }
        let Some(mut domain) = self.domain(box_, touched, &element, direction)? else {
            return Ok(None);
        };
        domain.extend(within(buffer.iter().cloned().zip(self.layout.shape.iter().copied()))?);
        let coordinates: Vec<Affine> =
            self.iterations.names.iter().cloned().map(Affine::var).collect();
        let span = Span::NONE;
        let mut from = coordinates[..self.own].to_vec();
        from.extend(element);
        let ours =
            Access { array: self.name.clone(), indices: [coordinates, buffer].concat(), span };
        let theirs = Access { array: self.array.name.clone(), indices: from, span };
        let (name, target, read): (Name, _, _) = match direction {
            Direction::In => (self.name.clone(), ours, theirs),
            Direction::Back => (format!("{}_back", self.name).into(), theirs, ours),
        };
        let loops = loops(&name, &inside);
        let statement = Statement::plain(name, target, AssignOp::Set, Expr::Read(read));
        let iters = self.iterations.names.iter().chain(&inside).cloned().collect();
        let statement = PolyStatement { statement, iters, domain, origin: None };
        Ok(Some((statement, loops)))
    }

    /// Whether a copy before all loops is of an array of which the box around what is touched is at
    /// least half: then all of it is there, and no bounds are to be kept.
    fn most(&self, box_: &Box_, touched: &Map) -> Answer<bool> {
        if !self.iterations.loops.is_empty() {
            return Ok(false);
        }
        let count = |extent: &[i64]| extent.iter().map(|n| i128::from(*n)).product::<i128>();
        let own = self.iterations.bounding_box(touched)?;
        Ok(own.is_some_and(|own| 2 * count(&own.extent) >= count(&box_.extent)))
    }

    /// What is copied, over the coordinates and the buffer's indices.
    fn domain(
        &self,
        box_: &Box_,
        touched: &Elements,
        element: &[Affine],
        direction: Direction,
    ) -> Answer<Option<Vec<Constraint>>> {
        let places = places(element.len());
        let defined = match self.array.role {
            Role::In | Role::InOut | Role::Const(_) => true,
            Role::Out | Role::Temp => false,
        };
        let most = defined && direction == Direction::In && self.most(box_, &touched.all)?;
        let all = most || self.ragged && direction == Direction::In;
        let exact = if all { None } else { touched.exact(self.iterations)?.clone() };
        if let Some(mut exact) = exact {
            let both =
                |c: &Constraint| places.iter().filter(|p| c.expr.vars().contains(*p)).count() > 1;
            if exact.iter().any(both) {
                exact.sort_by_cached_key(|c| (c.equality, c.expr.to_string()));
            }
            let lookup = |v: &str| {
                let at = places.iter().position(|p| &**p == v)?;
                element.get(at).cloned()
            };
            let moved = |c: &Constraint| {
                Ok(Constraint { expr: c.expr.substitute(&lookup)?, equality: c.equality })
            };
            return exact.iter().map(moved).collect::<Answer<_>>().map(Some);
        }
        if !defined || direction == Direction::Back {
            return Ok(None);
        }
        let mut out = self.iterations.hull_of_domain(&touched.all)?;
        let reach = box_.extent.iter().zip(&box_.step).map(|(size, step)| (size - 1) * step);
        for ((e, extent), (offset, reach)) in
            element.iter().zip(&self.array.shape).zip(box_.offset.iter().zip(reach))
        {
            let last = offset.add_const(reach)?;
            for bound in [e.clone(), extent.add_const(-1)?.sub(e)?, e.sub(offset)?, last.sub(e)?] {
                out.push(Constraint::non_negative(bound));
            }
        }
        Ok(Some(out))
    }
}

/// `Ap.0 { Ap.1 { Ap } }`.
pub(super) fn loops(name: &Name, inside: &[Name]) -> Tree {
    let leaf = Tree::Statement(name.clone());
    inside.iter().enumerate().rev().fold(leaf, |body, (k, index)| {
        Tree::Loop(TreeLoop {
            name: format!("{name}.{k}").into(),
            rows: BTreeMap::from([(name.clone(), Affine::var(index.clone()))]),
            marks: Marks::default(),
            body: Box::new(body),
        })
    })
}

#[cfg(test)]
mod tests;
