//! `split-reduction S1.k.1 at l as P`: each iteration of a reduction's loop gets an accumulator of
//! its own, and the accumulators are combined afterwards.
//!
//! `l { X }` -> `l { P_init: P[…] = identity; X'; P_finish: C[…] op= P[…] }`, where X is the part
//! of the loop's body with the statement `S1: C[…] op= f`, and X' has `S1: P[…] op= f` instead. `P`
//! has an index for the loop, and one for each of C's along which an iteration of `l` touches
//! several elements. Without `at`, `P` is an array of the working nest with C's whole shape, and X
//! the part of the whole schedule that holds `S1`.
//! Legal: if the reduction may be reordered, and every other access to C that has to come after an
//! update of `S1` comes after the finish, and every one that has to come before it before (`E0728`
//! with a witness).
//! Keeps: accumulators are of the type in which `S1` is evaluated; the finish adds them in
//! ascending order, so `order fixed` stays fixed. Accumulators of no instance hold the identity,
//! which changes nothing: -0 for floats' `+`, infinities for `min` and `max`.
//! Source: `rfactor` of P. Suriana et al., Parallel Associative Reductions in Halide (2017).
//! Errors: `E0727` for a loop that cannot be split, `E0712` for loops of several statements,
//! `E0723` for accumulators without constant size.

mod accumulators;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::expr::{Access, Expr};
use warploom_ir::nest::{Array, AssignOp, Constraint, Order, Role, Statement};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Poly, PolyStatement, Scope, Tree};
use warploom_isl::{Extremum, Map, PwAff};

use accumulators::{Accumulators, is_digit, tiles_of};

use super::identity::identity;
use super::stage::{is_taken, local_name, name_refused};
use super::{base, edit, refuse, resolve, sequence};
use crate::deps::{DepContext, DepKind};
use crate::footprint::{Iterations, around, fresh, no_box};
use crate::isl_affine::Names;
use crate::legality::Illegal;
use crate::lower::typed;
use crate::times::times;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// The new working nest and its order.
///
/// # Errors
/// See the module's page.
pub(crate) fn split_reduction(
    deps: &DepContext,
    tree: &Tree,
    target: &Ref,
    at: Option<&Ref>,
    name: Option<&Ref>,
) -> std::result::Result<(Poly, Tree), Box<Illegal>> {
    let split = Reduction::new(deps, tree, target, at)?;
    let name = split.array_name(name, target.span)?;
    let Some(parts) = deps.ask("finding the accumulators", || split.accumulators())? else {
        let reduction = &split.statement().statement.target.array;
        let place = at.map_or(target, |at| at);
        return Err(no_box("split-reduction", reduction, &place.name, place.span).into());
    };
    let (poly, tree) = deps.ask("making the accumulators", || split.build(&name, &parts))?;
    split.check_others(&parts, &poly, &tree, &name)?;
    Ok((poly, tree))
}

/// What is split.
struct Reduction<'a> {
    deps: &'a DepContext,
    tree: &'a Tree,
    /// The statement's place in the poly.
    place: usize,
    /// The loop.
    target: Name,
    /// The loop whose iterations have accumulators, or none.
    at: Option<Name>,
    iterations: Iterations,
    /// Leading coordinates of the target's own accesses, where it is a buffer.
    own: usize,
}

/// An expression without what makes it smaller; parameters are not negative.
fn positive_part(e: &Affine) -> Answer<Affine> {
    let mut sum = Affine::constant(e.constant_part().max(0));
    for (atom, factor) in e.terms().filter(|(_, factor)| *factor > 0) {
        let alone = match atom {
            Atom::Var(name) => Affine::var(name.clone()),
            Atom::FloorDiv(e, size) => positive_part(e)?.floor_div(*size)?,
            Atom::Mod(e, size) => e.modulo(*size)?,
        };
        sum = sum.add(&alone.scale(factor)?)?;
    }
    Ok(sum)
}

/// The refusal of a loop that cannot be split.
fn no_reduction(target: &Ref, why: &str, help: &str) -> Box<Diagnostic> {
    let message = format!("`split-reduction` cannot take loop `{target}`: {why}");
    Box::new(Diagnostic::new("E0727", Blame::Schedule, message).label(target.span, "").help(help))
}

impl<'a> Reduction<'a> {
    fn new(
        deps: &'a DepContext,
        tree: &'a Tree,
        target: &Ref,
        at: Option<&Ref>,
    ) -> std::result::Result<Self, Box<Illegal>> {
        let poly = deps.poly();
        let name = resolve(tree, target)?;
        let found = tree.find(&name).expect("`resolve` gives names of loops");
        let below = found.body.statements();
        let [statement] = below.as_slice() else {
            let message = format!("loop `{name}` runs several statements");
            let help = format!("first write `distribute {name}`");
            return Err(Box::new(refuse(target.span, message).help(help)).into());
        };
        let place = poly.statements.iter().position(|s| s.statement.name == *statement);
        let place = place.expect("a tree holds statements of its poly");
        let at = match at {
            Some(r) => {
                let outer = resolve(tree, r)?;
                if outer == name || !around(tree, &name).contains(&outer) {
                    let message = format!("loop `{outer}` is not around loop `{name}`");
                    return Err(refuse(r.span, message).into());
                }
                Some(outer)
            }
            None => None,
        };
        let taken = poly.statements[place].iters.clone();
        let iterations = match &at {
            Some(at) => Iterations::avoiding(poly, tree, at, taken),
            None => Iterations::whole(poly),
        };
        let mut split = Self { deps, tree, place, target: name, at, iterations, own: 0 };
        split.check(target)?;
        split.own = split.own_coordinates(target)?;
        Ok(split)
    }

    fn poly(&self) -> &'a Poly {
        self.deps.poly()
    }

    fn statement(&self) -> &'a PolyStatement {
        &self.poly().statements[self.place]
    }

    /// The statement is a reduction along the loop that may be reordered.
    fn check(&self, target: &Ref) -> std::result::Result<(), Box<Illegal>> {
        let s = &self.statement().statement;
        let name = &s.name;
        if !s.op.is_update() {
            let why = format!("`{name}` is not an update (`+=`, `*=`, `min=`, `max=`)");
            return Err(no_reduction(target, &why, "name a loop of a reduction").into());
        }
        let mut reads = s.value.reads();
        reads.extend(s.guard.iter().flat_map(|g| g.reads()));
        if reads.iter().any(|a| a.array == s.target.array) {
            let why = format!("`{name}` reads `{}` while it updates it", s.target.array);
            let help = "only sums of other arrays' elements have partial sums";
            return Err(no_reduction(target, &why, help).into());
        }
        let Some(found) = self.deps.coincident(self.tree, &self.target)? else {
            let why = "its iterations are independent already";
            return Err(no_reduction(target, why, "mark it as it is").into());
        };
        if found.kind == DepKind::Reduction {
            return Ok(());
        }
        let why = match s.order {
            Order::Serial => format!("`{name}` is a sum in the order of the text (`order serial`)"),
            Order::Fixed | Order::Any | Order::Exact => {
                format!("its iterations depend on each other by more than `{}`", s.op.text())
            }
        };
        let help = format!(
            "write `order fixed` behind `{name}` if other roundings will do, or run another loop \
             in parallel"
        );
        let message = format!("`split-reduction` cannot take loop `{target}`: {why}");
        let diagnostic = Diagnostic::new("E0727", Blame::Schedule, message)
            .in_source(&self.deps.source)
            .label(s.span, "this statement")
            .witness(found.witness.to_string())
            .help(help);
        let witness = Some(found.witness);
        Err(Box::new(Illegal { diagnostic: Box::new(diagnostic), witness }))
    }

    /// How many of the coordinates are those of the target itself, where it is a buffer.
    fn own_coordinates(&self, target: &Ref) -> Result<usize> {
        let access = &self.statement().statement.target;
        let Some(scope) = self.poly().scopes.get(&access.array) else {
            return Ok(0);
        };
        let n = scope.coordinates;
        let rows = self.iterations.rows(self.tree, &self.statement().statement.name);
        if rows.get(..n) == access.indices.get(..n) && rows.len() >= n {
            return Ok(n);
        }
        let why = format!("`{}` is a buffer of loop `{}`", access.array, scope.at);
        let help = format!("write `at {}` or a loop inside it", scope.at);
        Err(no_reduction(target, &why, &help))
    }

    /// A name that nothing has, for the array.
    fn array_name(&self, given: Option<&Ref>, span: Span) -> Result<Name> {
        let (name, span) = match given {
            Some(r) => (r.name.clone(), r.span),
            None => (local_name(&self.statement().statement.target.array, &self.target), span),
        };
        if name.contains('.') {
            return Err(name_refused(&name, "has a dot in it", span));
        }
        for taken in [name.clone(), init_name(&name), finish_name(&name)] {
            if is_taken(self.poly(), self.tree, &taken) {
                return Err(name_refused(&taken, "is taken", span));
            }
        }
        Ok(name)
    }

    /// The loop's row at the statement, counted from 0 in each run of the loop if a loop between
    /// it and the accumulators runs over tiles of it; and how many values it then has.
    fn lane(&self) -> Answer<(Affine, Option<i64>)> {
        let name = &self.statement().statement.name;
        let loops = self.tree.loops();
        let row = |l: &Name| -> &Affine {
            let found = loops.iter().find(|o| o.name == *l).and_then(|l| l.rows.get(name));
            found.expect("a loop around a statement has a row for it")
        };
        let mine = row(&self.target);
        let (whole, size) = tiles_of(mine);
        let outside = &self.iterations.loops;
        let between = around(self.tree, &self.target);
        let between = between.iter().filter(|l| **l != self.target && !outside.contains(l));
        let count = between
            .map(|l| tiles_of(row(l)))
            .filter(|(other, larger)| *other == whole && *larger > size && larger % size == 0)
            .map(|(_, larger)| larger / size)
            .min();
        Ok(match count {
            Some(count) => (mine.modulo(count)?, Some(count)),
            None => (mine.clone(), None),
        })
    }

    /// How accumulators are indexed; nothing where they have no constant size.
    fn accumulators(&self) -> Answer<Option<Accumulators>> {
        let s = self.statement();
        let indices = &s.statement.target.indices[self.own..];
        let (lane, count) = self.lane()?;
        let touched = |values: &[Affine]| {
            self.iterations.elements(&self.deps.model, self.tree, self.place, values)
        };
        let both: Vec<Affine> = indices.iter().chain([&lane]).cloned().collect();
        let Some((mut offset, mut extent)) = self.corner(&touched(&both)?, count)? else {
            return Ok(None);
        };
        let first = offset.pop().expect("the loop has an index");
        let lanes = extent.pop().expect("the loop has an extent");
        let rows = self.iterations.rows(self.tree, &s.statement.name);
        let own_lane = lane.sub(&self.iterations.at_rows(&first, &rows)?)?;
        let kept: Vec<(usize, Affine)> =
            extent.into_iter().enumerate().filter(|(_, e)| e.as_constant() != Some(1)).collect();
        let mut taken: Vec<Name> = self.iterations.params.clone();
        taken.extend(self.iterations.names.iter().cloned());
        let elements = fresh(&taken, "e", indices.len());
        let Some(updated) = self.iterations.constraints(&touched(indices)?, &elements)? else {
            return Err(self.not_convex().into());
        };
        let inside = fresh(&taken, "b", kept.len());
        let [name] = <[Name; 1]>::try_from(fresh(&taken, "l", 1)).expect("one name was asked for");
        Ok(Some(Accumulators {
            offset,
            kept,
            last: self.contiguous(&lane),
            lane: own_lane,
            lanes,
            updated,
            elements,
            inside,
            own_lane: name,
        }))
    }

    fn not_convex(&self) -> Box<Diagnostic> {
        let name = &self.statement().statement.name;
        let message = format!(
            "`split-reduction` cannot take loop `{}`: the elements that `{name}` updates are not \
             one convex set",
            self.target
        );
        Box::new(
            Diagnostic::new("E0727", Blame::Schedule, message)
                .in_source(&self.deps.source)
                .label(self.statement().statement.span, "this statement")
                .help("name a loop further in with `at`, or split the statement's domain"),
        )
    }

    /// The lower corner and the extents of what iterations touch: a box of constant size in each
    /// iteration of a loop, else the target's shape and the loop's bounds over the parameters.
    fn corner(
        &self,
        touched: &Map,
        count: Option<i64>,
    ) -> Answer<Option<(Vec<Affine>, Vec<Affine>)>> {
        if self.at.is_some() {
            let Some(found) = self.iterations.bounding_box(touched)? else {
                return Ok(None);
            };
            let extent = found.extent.into_iter().map(Affine::constant).collect();
            return Ok(Some((found.offset, extent)));
        }
        let target = &self.statement().statement.target.array;
        let shape = &self.poly().array(target).expect("a statement's target is known").shape;
        let mut offset = vec![Affine::constant(0); shape.len()];
        let mut extent = shape.clone();
        let values = touched.range()?;
        let (first, last) = match (count, touched.is_empty()?) {
            (_, true) => (Affine::constant(0), Affine::constant(0)),
            (Some(count), false) => (Affine::constant(0), Affine::constant(count - 1)),
            (None, false) => {
                let first = self.bound(&values.dim_min(shape.len())?)?;
                let last = self.bound(&values.dim_max(shape.len())?)?;
                match first.zip(last) {
                    Some(bounds) => bounds,
                    None => return Ok(None),
                }
            }
        };
        let Some(lanes) = self.never_negative(last.sub(&first)?.add_const(1)?)? else {
            return Ok(None);
        };
        extent.push(lanes);
        offset.push(first);
        Ok(Some((offset, extent)))
    }

    /// An extent that is not negative at any sizes: the one given, or a larger one where the loop
    /// has no iteration at some sizes. Accumulators of no iteration hold the identity.
    fn never_negative(&self, extent: Affine) -> Answer<Option<Affine>> {
        let params = &self.iterations.params;
        let least = |extent: &Affine| -> Answer<Extremum> {
            let [name] = <[Name; 1]>::try_from(fresh(params, "x", 1)).expect("one name");
            let not_negative = |p: &Name| Constraint::non_negative(Affine::var(p.clone()));
            let mut facts: Vec<Constraint> = params.iter().map(not_negative).collect();
            facts.push(Constraint::zero(Affine::var(name.clone()).sub(extent)?));
            let value = self.deps.model.relation(&[], &[name], &facts)?.range()?;
            Ok(value.dim_min_val(0)?)
        };
        match least(&extent)? {
            Extremum::Empty => return Ok(Some(extent)),
            Extremum::Value(v) => match v.floor()?.to_i64()? {
                0.. => return Ok(Some(extent)),
                below => return Ok(Some(extent.add_const(below.saturating_neg())?)),
            },
            Extremum::Unbounded => {}
        }
        let larger = positive_part(&extent)?;
        let never_below_zero = |e: &Affine| -> Answer<bool> {
            Ok(match least(e)? {
                Extremum::Value(v) => !v.is_neg()?,
                Extremum::Empty => true,
                Extremum::Unbounded => false,
            })
        };
        let enough = never_below_zero(&larger)? && never_below_zero(&larger.sub(&extent)?)?;
        Ok(enough.then_some(larger))
    }

    /// A bound as one expression over the parameters.
    fn bound(&self, value: &PwAff) -> Answer<Option<Affine>> {
        match value.coalesce()?.pieces()?.as_slice() {
            [(_, one)] => {
                let names = Names { params: &self.iterations.params, dims: &[] };
                names.affine(one).map(Some)
            }
            _several => Ok(None),
        }
    }

    /// Whether neighbouring accumulators belong to neighbouring elements of what is read.
    fn contiguous(&self, lane: &Affine) -> bool {
        let moves = |a: &Access| {
            let last = a.indices.last();
            last.is_some_and(|e| {
                e.vars().iter().any(|v| e.coefficient(v) == 1 && is_digit(lane, v))
            })
        };
        self.statement().statement.value.reads().into_iter().any(moves)
    }

    /// The new working nest and its order.
    fn build(&self, name: &Name, acc: &Accumulators) -> Answer<(Poly, Tree)> {
        let old = self.statement();
        let mut poly = self.poly().clone();
        let dtype = typed(&poly, &self.deps.source, old)?.value.dtype;
        let rows = self.iterations.rows(self.tree, &old.statement.name);
        let indices = &old.statement.target.indices;
        let mut mine = Vec::new();
        for (k, _) in &acc.kept {
            let offset = self.iterations.at_rows(&acc.offset[*k], &rows)?;
            mine.push(indices[self.own + k].sub(&offset)?);
        }
        let access = |coordinates: &[Affine], inside: Vec<Affine>, lane: Affine| {
            let tail = acc.ordered(inside, lane);
            let indices = coordinates.iter().cloned().chain(tail).collect();
            Access { array: name.clone(), indices, span: Span::NONE }
        };
        let partial = access(&rows, mine, acc.lane.clone());
        let coordinates: Vec<Affine> =
            self.iterations.names.iter().cloned().map(Affine::var).collect();
        let inside: Vec<Affine> = acc.inside.iter().cloned().map(Affine::var).collect();
        let read = access(&coordinates, inside, Affine::var(acc.own_lane.clone()));
        let places = acc.places()?;
        let mut whole = coordinates[..self.own].to_vec();
        whole.extend(places.iter().cloned());
        let neutral = identity(old.statement.op, dtype);
        let init = Statement::plain(init_name(name), read.clone(), AssignOp::Set, neutral);
        let finish = Statement {
            name: finish_name(name),
            target: Access { indices: whole, ..old.statement.target.clone() },
            value: Expr::Read(read),
            guard: None,
            ..old.statement.clone()
        };
        let domain = acc.domain(&places)?;
        let iters: Vec<Name> = (self.iterations.names.iter().chain(&acc.inside))
            .chain([&acc.own_lane])
            .cloned()
            .collect();
        poly.statements[self.place].statement.target =
            Access { span: old.statement.target.span, ..partial };
        for statement in [init, finish] {
            let (iters, domain) = (iters.clone(), domain.clone());
            poly.statements.push(PolyStatement { statement, iters, domain, origin: None });
        }
        let extents = acc.kept.iter().map(|(_, e)| e.clone()).collect();
        let shape = acc.ordered(extents, acc.lanes.clone());
        let (name, role, span) = (name.clone(), Role::Temp, Span::NONE);
        if let Some(at) = &self.at {
            let scope =
                Scope { at: at.clone(), coordinates: coordinates.len(), across: Vec::new() };
            poly.scopes.insert(name.clone(), scope);
        }
        poly.arrays.push(Array { name: name.clone(), role, dtype, shape, span });
        let tree = self.placed(&name, acc)?;
        Ok((poly, tree))
    }

    /// The tree with the initialisation before and the finish behind what holds the statement.
    fn placed(&self, name: &Name, acc: &Accumulators) -> Result<Tree> {
        let statement = &self.statement().statement.name;
        let lane = base(self.tree, &self.target);
        let init = acc.loops(&init_name(name), lane);
        let finish = acc.loops(&finish_name(name), lane);
        let around = |body: Tree| {
            let children = match body {
                Tree::Sequence(children) => children,
                one @ (Tree::Loop(_) | Tree::Statement(_)) => vec![one],
            };
            let mut out = Vec::new();
            for child in children {
                if child.statements().contains(statement) {
                    out.extend([init.clone(), child, finish.clone()]);
                } else {
                    out.push(child);
                }
            }
            sequence(out)
        };
        let Some(at) = &self.at else {
            return Ok(around(self.tree.clone()));
        };
        let mut tree = self.tree.clone();
        for (l, coordinate) in self.iterations.loops.iter().zip(&self.iterations.names) {
            tree = edit(tree, l, &mut |mut found| {
                for new in [init_name(name), finish_name(name)] {
                    found.rows.insert(new, Affine::var(coordinate.clone()));
                }
                if l == at {
                    found.body = Box::new(around(*found.body));
                }
                Ok(Tree::Loop(found))
            })?;
        }
        Ok(tree)
    }

    /// Every other access to the target stays on its side of the updates, which now happen at the
    /// finish.
    fn check_others(
        &self,
        acc: &Accumulators,
        poly: &Poly,
        tree: &Tree,
        name: &Name,
    ) -> std::result::Result<(), Box<Illegal>> {
        let new = times(poly, tree)?;
        let finish = finish_name(name);
        let at = poly.statements.iter().position(|s| s.statement.name == finish);
        let at = at.expect("the finish was added");
        let moved = self.deps.ask("placing the updates", || {
            let rows = self.iterations.rows(self.tree, &self.statement().statement.name);
            let target = &poly.statements[self.place].statement.target;
            // the finish has the accumulator's coordinates and indices as iterators
            let (lanes, inside) = acc.split_indices(&target.indices[rows.len()..]);
            let values: Vec<&Affine> = rows.iter().chain(inside).chain([lanes]).collect();
            let iters = &poly.statements[at].iters;
            let lookup = |v: &str| {
                let k = iters.iter().position(|i| &**i == v)?;
                values.get(k).map(|e| (*e).clone())
            };
            let row = |e: &Affine| Ok(e.substitute(&lookup)?);
            new.rows[at].iter().map(row).collect::<Answer<Vec<Affine>>>()
        })?;
        self.deps.check_moved(self.place, &moved, &new)
    }
}

fn init_name(array: &Name) -> Name {
    format!("{array}_init").into()
}

fn finish_name(array: &Name) -> Name {
    format!("{array}_finish").into()
}

#[cfg(test)]
mod tests;
