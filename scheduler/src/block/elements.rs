//! Statements that run for each element of the accumulator, on the thread that holds it.
//!
//! In: a chain of loops over the elements, with one or several statements inside. Out: each
//! statement's iterators over the coordinates and the element's place, and the guard that its
//! domain leaves. Keeps: an element belongs to one instance of each statement; whether instances
//! for different elements depend on each other is asked by the kernel's verifier, for which they
//! run at the same time.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Blame;
use warploom_ir::expr::{Access, Literal};
use warploom_ir::kernel::{Store, TypedKind};
use warploom_ir::nest::{Array, AssignOp, Constraint, Order};
use warploom_ir::schedule::Tree;
use warploom_isl::{Map, Set};

use super::determined::all_work;
use super::product::{Product, elements};
use super::totals::Sums;
use super::{Answer, Site, Staged, misplaced, place_of, unfit};
use crate::footprint::{Domain, Iterations, fresh, places_within};
use crate::isl_affine::Names;
use crate::poly_isl::Model;
use crate::steps::stage::all_accesses;

/// Statements that run together for each element.
pub(super) struct Elements {
    /// In order.
    pub(super) statements: Vec<Instance>,
    /// Names of the coordinates of the accumulator's loop, then of the element's indices in the
    /// buffer, then of its row and column in the fragment.
    pub(super) names: Vec<Name>,
    /// The sums that the elements are of.
    pub(super) of: Sums,
}

/// The instance of a statement that belongs to an element.
pub(super) struct Instance {
    /// Its place in the poly.
    pub(super) statement: usize,
    /// Its store, over its iterators and [`Elements::names`].
    pub(super) store: Store<Affine>,
    /// What the iterators are called.
    pub(super) names: Vec<Name>,
    /// Its iterators over [`Elements::names`].
    pub(super) iterators: Vec<Affine>,
    /// When there is one, over the same names.
    pub(super) guard: Vec<Constraint>,
    /// What it writes is multiplied: zeros are written where there is none.
    pub(super) held: bool,
    /// Where it combines the elements of each row, what it updates, over [`Elements::names`].
    pub(super) row: Option<Vec<Affine>>,
}

/// The elements that are multiplied of what a statement writes; none where that is no operand.
pub(super) type Multiplied<'m> = &'m dyn Fn(usize) -> Answer<Option<Map>>;

impl Elements {
    pub(super) fn of(
        site: &Site<'_>,
        model: &Model,
        tree: &Tree,
        (product, of): (&Product, Sums),
        slab: Option<&Name>,
        multiplied: Multiplied<'_>,
    ) -> Answer<Self> {
        let iterations = Iterations::of(site.poly, site.tree, &site.path[of.scope].name);
        let places = fresh(&iterations.names, "e", of.rank);
        let held = held();
        let names = iterations.names.iter().chain(&places).chain(&held).cloned().collect();
        let mut statements = Vec::new();
        for name in chain(tree)? {
            let at = place_of(site.poly, &name);
            let store = redirected(site, at, product, &places, slab)?;
            let around = (&iterations, places.as_slice());
            statements.push(instance(site, model, at, &of, around, store, multiplied(at)?)?);
        }
        if let (true, Some(one)) =
            (statements.len() > 1, statements.iter().find(|i| i.row.is_some()))
        {
            let name = &site.poly.statements[one.statement].statement.name;
            let text = format!("`{name}` combines rows, and shares its loops with others");
            return Err(Box::new(misplaced(text).help("`distribute` them")).into());
        }
        Ok(Self { statements, names, of })
    }

    /// The buffers that the statements write beside the accumulator, but for operands.
    pub(super) fn staged(
        &self,
        site: &Site<'_>,
        product: &Product,
        of: usize,
    ) -> Answer<Vec<(Name, Staged)>> {
        let mut out = Vec::new();
        for instance in &self.statements {
            let s = &site.poly.statements[instance.statement].statement;
            let held = (all_accesses(s).find(|a| a.array == self.of.buffer))
                .map(|a| a.indices[site.poly.scopes[&a.array].coordinates..].to_vec());
            for access in all_accesses(s).filter(|a| a.array != self.of.buffer) {
                let Some(scope) = site.poly.scopes.get(&access.array) else { continue };
                let element = &access.indices[scope.coordinates..];
                let total = product.sums().find(|sums| sums.buffer == access.array);
                let same = match &total {
                    Some(total) => {
                        let own = held.as_deref().map(|own| self.of.element(own));
                        own == Some(total.element(element))
                    }
                    None => held.as_deref() == Some(element),
                };
                if !same || total.is_none() && scope.at != site.path[product.scope].name {
                    return Err(misplaced(format!(
                        "`{}` uses `{}` at another place than the accumulator's element",
                        s.name, access.array
                    ))
                    .into());
                }
                if s.target == *access && !instance.held && total.is_none() {
                    let array = site.poly.array(&access.array);
                    let dtype = array.expect("accesses are of known arrays").dtype;
                    let shape = product.whole();
                    out.push((access.array.clone(), Staged { dtype, shape, of }));
                }
            }
        }
        Ok(out)
    }
}

/// The statements inside a chain of loops.
fn chain(tree: &Tree) -> Answer<Vec<Name>> {
    match tree {
        Tree::Loop(l) if l.marks.words().is_empty() => chain(&l.body),
        Tree::Loop(l) => {
            let text = format!("loop `{}` over elements of the accumulator is marked", l.name);
            Err(misplaced(text).into())
        }
        Tree::Statement(name) => Ok(vec![name.clone()]),
        Tree::Sequence(children) => children
            .iter()
            .map(|child| match child {
                Tree::Statement(name) => Ok(name.clone()),
                Tree::Loop(_) | Tree::Sequence(_) => Err(misplaced(
                    "loops over elements of the accumulator hold others: `distribute` them",
                )
                .into()),
            })
            .collect(),
    }
}

/// The indices that a statement accesses the accumulator, or these sums, at.
fn place<'a>(site: &'a Site<'_>, at: usize, sums: &Name) -> Answer<&'a [Affine]> {
    let s = &site.poly.statements[at].statement;
    let mut found: Option<&Access> = None;
    for access in all_accesses(s).filter(|a| a.array == *sums) {
        if found.is_some_and(|f| f.indices != access.indices) {
            let text = format!("`{}` uses several elements of the accumulator", s.name);
            return Err(unfit(text).into());
        }
        found = Some(access);
    }
    let Some(access) = found else {
        return Err(misplaced(format!(
            "`{}` stands in a block program and does not touch the accumulator `{sums}`",
            s.name
        ))
        .into());
    };
    Ok(&access.indices[site.poly.scopes[&access.array].coordinates..])
}

fn instance(
    site: &Site<'_>,
    model: &Model,
    at: usize,
    sums: &Sums,
    (iterations, places): (&Iterations, &[Name]),
    store: Store<Affine>,
    multiplied: Option<Map>,
) -> Answer<Instance> {
    let name = &site.poly.statements[at].statement.name;
    let element = place(site, at, &sums.buffer)?;
    let iterators = iterators_of(site, model, at, iterations, places, element)?;
    let several =
        || unfit(format!("`{name}` runs several times for an element of the accumulator"));
    let iterators = iterators.ok_or_else(several)?;
    let mut touched = elements(site, model, at, iterations, element)?;
    let held = multiplied.is_some();
    if let Some(multiplied) = multiplied {
        touched = touched.intersect(&multiplied)?;
    }
    // where it runs in some iterations alone, the others' are no elements of its own
    let (mut among, all) = (touched.domain()?, all_work(site, model, iterations)?);
    if !all.is_subset(&among)? {
        among = all;
    }
    let whole = whole(model, iterations, places, sums, &among)?;
    let guard = iterations.constraints(&touched.gist(&whole)?, places)?;
    let Some(guard) = guard else {
        return Err(Box::new(warploom_ir::diag::Diagnostic::new(
            "E0732",
            Blame::Unsupported,
            format!("the elements for which `{name}` runs are no convex set"),
        ))
        .into());
    };
    let names = site.poly.statements[at].iters.clone();
    let row = row_target(site, model, at, sums, (iterations, places), &store)?;
    Ok(Instance { statement: at, store, names, iterators, guard, held, row })
}

/// What a statement updates for all elements of a row of the accumulator, over the coordinates and
/// the row's place; none where it is not one element.
fn row_target(
    site: &Site<'_>,
    model: &Model,
    at: usize,
    sums: &Sums,
    (iterations, places): (&Iterations, &[Name]),
    store: &Store<Affine>,
) -> Answer<Option<Vec<Affine>>> {
    let s = &site.poly.statements[at].statement;
    if !store.op.is_update() || site.poly.scopes.contains_key(&s.target.array) {
        return Ok(None);
    }
    let element = place(site, at, &sums.buffer)?;
    let dims: Vec<usize> = sums.sides[0].0.iter().map(|digit| digit.dim).collect();
    let row: Vec<Affine> = dims.iter().map(|d| element[*d].clone()).collect();
    let rows = [iterations.rows(site.tree, &s.name), row].concat();
    let hull = model.pairs(at, &rows, &s.target.indices)?.range_simple_fixed_box_hull()?;
    if !hull.is_valid()? || hull.size()?.to_i64s()?.iter().any(|n| *n != 1) {
        return Ok(None);
    }
    let rounded = matches!(store.op, AssignOp::Add | AssignOp::Mul) && store.dtype.is_float();
    if rounded && store.order == Order::Serial {
        return Err(unfit(format!(
            "`{}` sums rows in the order of the text, and threads hold parts of them (`order \
             fixed`)",
            s.name
        ))
        .into());
    }
    let row = dims.iter().map(|d| places[*d].clone());
    let names: Vec<Name> = iterations.names.iter().cloned().chain(row).collect();
    Ok(Some(Names { params: &iterations.params, dims: &names }.affines(&hull.offset()?)?))
}

/// The iterators of a statement over the coordinates of a loop and an element that it accesses;
/// `None` where several instances do.
pub(super) fn iterators_of(
    site: &Site<'_>,
    model: &Model,
    at: usize,
    iterations: &Iterations,
    places: &[Name],
    element: &[Affine],
) -> Answer<Option<Vec<Affine>>> {
    let s = &site.poly.statements[at];
    let rows = iterations.rows(site.tree, &s.statement.name);
    let known = [rows.as_slice(), element].concat();
    let names: Vec<Name> = iterations.names.iter().chain(places).cloned().collect();
    let own: Vec<Affine> = s.iters.iter().cloned().map(Affine::var).collect();
    let seen = Domain::of(site.poly, s).and_then(|d| d.boxed(&known, &names, &own));
    if let Some(seen) = seen {
        return Ok(seen.extent.iter().all(|n| *n == 1).then_some(seen.offset));
    }
    let hull = model.rows(at, &known)?.reverse()?.range_simple_fixed_box_hull()?;
    if !hull.is_valid()? || hull.size()?.to_i64s()?.iter().any(|n| *n != 1) {
        return Ok(None);
    }
    Ok(Some(Names { params: &iterations.params, dims: &names }.affines(&hull.offset()?)?))
}

/// The store whose accesses to the accumulator, and to the buffer of slabs, are to fragments, and
/// those to staging buffers at the element's place.
fn redirected(
    site: &Site<'_>,
    at: usize,
    product: &Product,
    places: &[Name],
    slab: Option<&Name>,
) -> Answer<Store<Affine>> {
    let mut s = site.poly.statements[at].clone();
    let held = held();
    let mut change = |access: &mut Access| {
        let Some(scope) = site.poly.scopes.get(&access.array) else { return };
        let own = product.in_registers(&access.array) || slab == Some(&access.array);
        let names = if own { held.as_slice() } else { places };
        access.indices.truncate(scope.coordinates);
        access.indices.extend(names.iter().cloned().map(Affine::var));
    };
    s.statement.visit_accesses_mut(&mut change);
    // the fragment has two dimensions, whatever the buffer has
    let mut poly = site.poly.clone();
    let held_there = |a: &&mut Array| product.in_registers(&a.name) || slab == Some(&a.name);
    for array in poly.arrays.iter_mut().filter(held_there) {
        array.shape = vec![Affine::constant(1); held.len()];
    }
    Ok(crate::lower::typed(&poly, site.source, &s)?)
}

/// Names for the row and column of an element in a fragment; no user's name has an `@`.
fn held() -> [Name; 2] {
    ["@row".into(), "@column".into()]
}

/// All elements of the accumulator in the iterations of a relation.
fn whole(
    model: &Model,
    iterations: &Iterations,
    places: &[Name],
    sums: &Sums,
    among: &Set,
) -> Answer<Map> {
    let facts = places_within(places, &sums.whole())?;
    let all = model.relation(&iterations.names, places, &facts)?;
    Ok(all.intersect_domain(among)?)
}

/// Whether a piece sets every element that the products add to, to zero, and products follow in
/// each iteration of the accumulator's loop.
pub(super) fn zeros(
    site: &Site<'_>,
    model: &Model,
    tree: &Tree,
    product: &Product,
) -> Answer<bool> {
    let names = chain(tree)?;
    let [name] = names.as_slice() else { return Ok(false) };
    let at = place_of(site.poly, name);
    let s = &site.poly.statements[at];
    let store = crate::lower::typed(site.poly, site.source, s)?;
    let zero = match &store.value.kind {
        TypedKind::Literal(Literal::Int(n)) => *n == 0,
        // of either sign: that of a sum of zeros is not promised by the instructions
        TypedKind::Literal(Literal::Float(x)) => *x == 0.0,
        _other => false,
    };
    if !zero || store.guard.is_some() || store.op != AssignOp::Set {
        return Ok(false);
    }
    if s.statement.target.array != product.accumulator {
        return Ok(false);
    }
    let iterations = Iterations::of(site.poly, site.tree, &site.path[product.scope].name);
    let own = &product.accumulator;
    let set = elements(site, model, at, &iterations, place(site, at, own)?)?;
    let added =
        elements(site, model, site.statement, &iterations, place(site, site.statement, own)?)?;
    Ok(set.is_subset(&added)?)
}
