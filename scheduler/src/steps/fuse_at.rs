//! `fuse-at S0, S1 at l`: what statements write to temporary arrays is computed again where a
//! consumer's loop needs it.
//!
//! `X { S0 } l { Y }` -> `l { X' { S0_at_l } Y' }`, where `S0_at_l` runs for the elements that the
//! iteration reads, writes them to a buffer of the iteration, and Y' reads that. Elements that
//! several iterations read are computed several times. The producers keep their order; they are
//! removed, with the arrays, where nothing else reads what they write.
//! Legal: if every read, of the consumers and of the producers, gets the value of the same instance
//! as before: the flow between instances is computed in both working nests and compared.
//! Errors: `E0721` for names, `E0720` where the producers cannot be moved as a whole, `E0723` for a
//! buffer without constant size, `E0726` with a witness where a read would get another value.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::expr::Access;
use warploom_ir::nest::{Array, Role};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Poly, PolyStatement, Scope, Tree};
use warploom_isl::{Map, Set};

use super::stage::{is_taken, local_name, place, redirect};
use super::{base, resolve, sequence};
use crate::deps::DepContext;
use crate::footprint::{Box_, Iterations, no_box};
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// For each array, coordinates to the elements that are needed.
type Elements = BTreeMap<Name, Map>;

/// Producers' places, and the statements that compute what is needed.
type Recomputed = Vec<(usize, PolyStatement)>;

/// What is recomputed where.
struct Fusion<'a> {
    deps: &'a DepContext,
    tree: &'a Tree,
    at: Name,
    span: Span,
    /// Places of the producers in the poly, in its order.
    producers: Vec<usize>,
    /// The arrays they write.
    arrays: BTreeSet<Name>,
    /// The reads of these arrays below the loop.
    reads: Vec<(usize, Access)>,
    iterations: Iterations,
}

/// A buffer in place of an array.
struct Local {
    name: Name,
    box_: Box_,
}

/// The answer of the step.
pub(crate) struct Fused {
    /// The new working nest.
    pub(crate) poly: Poly,
    /// Its order.
    pub(crate) tree: Tree,
    /// Each new statement and the producer it recomputes, whose iterators are its last ones.
    pub(crate) copies: BTreeMap<Name, Name>,
    /// The arrays that were replaced by buffers below the loop.
    pub(crate) arrays: BTreeSet<Name>,
}

/// Recomputes the producers at the loop; the flow is not checked.
pub(crate) fn fuse_at(
    deps: &DepContext,
    tree: &Tree,
    producers: &[Ref],
    at: &Ref,
) -> Result<Fused> {
    let fusion = Fusion::new(deps, tree, producers, at)?;
    let (elements, instances) = deps.ask("finding what a loop needs", || fusion.needed())?;
    let Some(instances) = instances else {
        return Err(fusion.refuse("the instances that the loop needs are not one convex set"));
    };
    let mut locals = BTreeMap::new();
    for (array, touched) in &elements {
        let box_ =
            deps.ask("finding the size of a buffer", || fusion.iterations.bounding_box(touched))?;
        let box_ = box_.ok_or_else(|| no_box("fuse-at", array, &fusion.at, at.span))?;
        let name = fusion.fresh(local_name(&format!("{array}_at"), &fusion.at));
        locals.insert(array.clone(), Local { name, box_ });
    }
    fusion.build(&locals, &instances)
}

impl<'a> Fusion<'a> {
    fn new(deps: &'a DepContext, tree: &'a Tree, names: &[Ref], at: &Ref) -> Result<Self> {
        let poly = deps.poly();
        let loop_name = resolve(tree, at)?;
        let below = tree.find(&loop_name).map(|l| l.body.statements()).unwrap_or_default();
        let mut producers = BTreeSet::new();
        for r in names {
            let place = poly.statements.iter().position(|s| s.statement.name == r.name);
            producers.insert(place.ok_or_else(|| unknown(poly, r))?);
        }
        let span = names.first().map_or(at.span, |r| r.span);
        let iters = producers.iter().flat_map(|k| poly.statements[*k].iters.iter().cloned());
        let iterations = Iterations::avoiding(poly, tree, &loop_name, iters.collect());
        let mut fusion = Self {
            deps,
            tree,
            at: loop_name,
            span,
            arrays: BTreeSet::new(),
            reads: Vec::new(),
            producers: producers.into_iter().collect(),
            iterations,
        };
        fusion.check_producers(&below)?;
        for (k, s) in poly.statements.iter().enumerate() {
            if below.contains(&s.statement.name) {
                let mine = reads(s).into_iter().filter(|a| fusion.arrays.contains(&a.array));
                fusion.reads.extend(mine.map(|a| (k, a.clone())));
            }
        }
        if fusion.reads.is_empty() {
            let message = format!("nothing in loop `{}` reads what they write", fusion.at);
            return Err(fusion.refuse(&message));
        }
        Ok(fusion)
    }

    fn poly(&self) -> &'a Poly {
        self.deps.poly()
    }

    fn refuse(&self, why: &str) -> Box<Diagnostic> {
        let names: Vec<String> =
            self.producers.iter().map(|k| format!("`{}`", self.name(*k))).collect();
        let message = format!("{} cannot be fused at loop `{}`: {why}", names.join(", "), self.at);
        Box::new(Diagnostic::new("E0720", Blame::Schedule, message).label(self.span, "").help(
            "name all statements that write the temporary arrays, and a loop of what reads them",
        ))
    }

    fn name(&self, k: usize) -> &Name {
        &self.poly().statements[k].statement.name
    }

    /// The producers are all writers of temporary arrays, outside the loop and outside buffers.
    fn check_producers(&mut self, below: &[Name]) -> Result<()> {
        let poly = self.poly();
        for &k in &self.producers {
            let s = &poly.statements[k];
            let name = &s.statement.name;
            if below.contains(name) {
                return Err(self.refuse(&format!("`{name}` is in that loop already")));
            }
            let mut touched = reads(s);
            touched.push(&s.statement.target);
            if let Some(a) = touched.iter().find(|a| poly.scopes.contains_key(&a.array)) {
                let why = format!("`{name}` uses `{}`, a buffer of another loop", a.array);
                return Err(self.refuse(&why));
            }
            let array = &s.statement.target.array;
            match poly.array(array).map(|a| &a.role) {
                Some(Role::Temp) => {}
                Some(Role::In | Role::Out | Role::InOut | Role::Const(_)) | None => {
                    let why = format!("`{name}` writes `{array}`, which is not temporary");
                    return Err(self.refuse(&why));
                }
            }
            let other = |(j, o): &(usize, &PolyStatement)| {
                o.statement.target.array == *array && !self.producers.contains(j)
            };
            if let Some((_, o)) = poly.statements.iter().enumerate().find(other) {
                let why = format!("`{}` writes `{array}` too", o.statement.name);
                return Err(self.refuse(&why));
            }
        }
        let written = |k: &usize| poly.statements[*k].statement.target.array.clone();
        self.arrays = self.producers.iter().map(written).collect();
        Ok(())
    }

    /// For each array the elements an iteration needs, and for each producer the instances that
    /// write them, as pairs; the instances also as constraints, if they are conjunctions.
    fn needed(&self) -> Answer<(Elements, Option<Recomputed>)> {
        let mut elements = Elements::new();
        for (k, access) in &self.reads {
            let element = self.deps.model.access(*k, access)?;
            let mine = self.iterations.touched(&self.deps.model, self.tree, *k, &element)?;
            add(&mut elements, &access.array, &mine)?;
        }
        self.close(&mut elements)?;
        if let Some(found) = self.recomputed(&elements)? {
            return Ok((elements, Some(found)));
        }
        for map in elements.values_mut() {
            let hull = |set: &Set| set.compute_divs()?.coalesce()?.simple_hull()?.to_set();
            // The hull may reach into iterations that there are not.
            let iterations = hull(&map.domain()?)?;
            *map = Set::unwrap(&hull(&map.wrap()?)?)?.intersect_domain(&iterations)?;
        }
        self.close(&mut elements)?;
        let found = self.recomputed(&elements)?;
        Ok((elements, found))
    }

    /// Coordinates to the instances of a producer that write the elements.
    fn writers(&self, k: usize, elements: &Elements) -> Answer<Option<Map>> {
        let target = &self.poly().statements[k].statement.target;
        let Some(needed) = elements.get(&target.array) else {
            return Ok(None);
        };
        let writes = self.deps.model.access(k, target)?;
        Ok(Some(needed.apply_range(&writes.reverse()?)?.coalesce()?))
    }

    /// Adds the elements that the instances writing the elements read of the arrays themselves.
    fn close(&self, elements: &mut Elements) -> Answer<()> {
        for _round in 0..self.producers.len() + 2 {
            let before = elements.clone();
            for &k in &self.producers {
                let Some(instances) = self.writers(k, &before)? else {
                    continue;
                };
                let s = &self.poly().statements[k];
                for access in reads(s).into_iter().filter(|a| self.arrays.contains(&a.array)) {
                    let read = self.deps.model.access(k, access)?;
                    add(elements, &access.array, &instances.apply_range(&read)?)?;
                }
            }
            let mut grown = before.len() < elements.len();
            for (array, map) in elements.iter() {
                grown |= before.get(array).map_or(Ok(true), |b| map.is_subset(b).map(|s| !s))?;
            }
            if !grown {
                return Ok(());
            }
        }
        Err(self.refuse("what they write depends on ever more of what they write").into())
    }

    /// The statements that compute the elements, with the producers' own accesses.
    fn recomputed(&self, elements: &Elements) -> Answer<Option<Recomputed>> {
        let mut out = Vec::new();
        for &k in &self.producers {
            let Some(instances) = self.writers(k, elements)? else {
                continue;
            };
            if instances.is_empty()? {
                continue;
            }
            let s = &self.poly().statements[k];
            let Some(domain) = self.iterations.constraints(&instances, &s.iters)? else {
                return Ok(None);
            };
            let iters = self.iterations.names.iter().chain(&s.iters).cloned().collect();
            out.push((k, PolyStatement { iters, domain, ..s.clone() }));
        }
        Ok(Some(out))
    }

    /// A name that nothing has.
    fn fresh(&self, name: Name) -> Name {
        let mut free = name.clone();
        let mut count = 1;
        while is_taken(self.poly(), self.tree, &free) {
            count += 1;
            free = format!("{name}_{count}").into();
        }
        free
    }

    /// The new working nest and its order.
    fn build(
        &self,
        locals: &BTreeMap<Name, Local>,
        recomputed: &[(usize, PolyStatement)],
    ) -> Result<Fused> {
        let mut poly = self.poly().clone();
        let mut renamed: BTreeMap<Name, Name> = BTreeMap::new();
        for (k, access) in &self.reads {
            let rows = self.iterations.rows(self.tree, self.name(*k));
            let new = self.local_access(locals, access, &rows)?;
            redirect(&mut poly.statements[*k].statement, access, &new);
        }
        let coordinates: Vec<Affine> =
            self.iterations.names.iter().cloned().map(Affine::var).collect();
        for (k, s) in recomputed {
            let name = self.fresh(local_name(&format!("{}_at", self.name(*k)), &self.at));
            let mut s = s.clone();
            // first: a read of the element that is written is redirected with the target
            let target = self.local_access(locals, &s.statement.target, &coordinates)?;
            for access in reads(&s).into_iter().cloned().collect::<Vec<_>>() {
                if locals.contains_key(&access.array) {
                    let new = self.local_access(locals, &access, &coordinates)?;
                    redirect(&mut s.statement, &access, &new);
                }
            }
            s.statement.target = target;
            renamed.insert(self.name(*k).clone(), name.clone());
            s.statement.name = name;
            poly.statements.push(s);
        }
        for (array, local) in locals {
            let dtype = poly.array(array).expect("producers write known arrays").dtype;
            let shape = local.box_.extent.iter().map(|n| Affine::constant(*n)).collect();
            let (name, role, span) = (local.name.clone(), Role::Temp, Span::NONE);
            poly.arrays.push(Array { name: name.clone(), role, dtype, shape, span });
            let coordinates = coordinates.len();
            poly.scopes
                .insert(name, Scope { at: self.at.clone(), coordinates, across: Vec::new() });
        }
        let rows = renamed.values().map(|n| (n.clone(), coordinates.clone())).collect();
        let tree = match self.loops(&renamed) {
            Some(first) => place(self.tree, &self.iterations.loops, Some(first), None, &rows)?,
            None => self.tree.clone(),
        };
        let dead = self.dead(&poly);
        poly.statements.retain(|s| !dead.contains(&s.statement.name));
        poly.arrays.retain(|a| {
            !self.arrays.contains(&a.name)
                || poly.statements.iter().any(|s| s.statement.target.array == a.name)
        });
        let tree = prune(&tree, &|s| !dead.contains(s)).expect("the loop's statements are left");
        let copies = renamed.into_iter().map(|(old, new)| (new, old)).collect();
        Ok(Fused { poly, tree, copies, arrays: self.arrays.clone() })
    }

    /// An access to a buffer in place of one to its array.
    fn local_access(
        &self,
        locals: &BTreeMap<Name, Local>,
        access: &Access,
        rows: &[Affine],
    ) -> Result<Access> {
        let local = &locals[&access.array];
        let make = || -> Answer<Vec<Affine>> {
            let mut indices = rows.to_vec();
            for (index, offset) in access.indices.iter().zip(&local.box_.offset) {
                indices.push(index.sub(&self.iterations.at_rows(offset, rows)?)?);
            }
            Ok(indices)
        };
        let indices = make().map_err(|t| t.explain("indexing a buffer"))?;
        Ok(Access { array: local.name.clone(), indices, span: access.span })
    }

    /// The producers' part of the tree, with the new statements' names; nothing where the loop
    /// never runs.
    fn loops(&self, renamed: &BTreeMap<Name, Name>) -> Option<Tree> {
        let mine = prune(self.tree, &|s| renamed.contains_key(s))?;
        let mut taken: BTreeSet<Name> =
            self.tree.loops().into_iter().map(|l| l.name.clone()).collect();
        Some(self.rename(&mine, renamed, &mut taken))
    }

    fn rename(
        &self,
        tree: &Tree,
        renamed: &BTreeMap<Name, Name>,
        taken: &mut BTreeSet<Name>,
    ) -> Tree {
        match tree {
            Tree::Statement(name) => Tree::Statement(renamed[name].clone()),
            Tree::Sequence(children) => {
                sequence(children.iter().map(|c| self.rename(c, renamed, taken)).collect())
            }
            Tree::Loop(l) => {
                let first = l.body.statements().into_iter().next().map(|s| renamed[&s].clone());
                let own = base(self.tree, &l.name);
                let plain = format!("{}.{own}", first.expect("pruned loops hold statements"));
                let mut name: Name = plain.as_str().into();
                let mut count = 1;
                while !taken.insert(name.clone()) {
                    count += 1;
                    name = format!("{plain}_{count}").into();
                }
                let rows = l.rows.iter().map(|(s, row)| (renamed[s].clone(), row.clone()));
                let mut l = l.clone();
                l.rows = rows.collect();
                // Threads belong to the consumer's loops now.
                l.marks.parallel = false;
                l.marks.map = None;
                l.name = name;
                l.body = Box::new(self.rename(&l.body, renamed, taken));
                Tree::Loop(l)
            }
        }
    }

    /// The producers whose results nothing reads any more.
    fn dead(&self, poly: &Poly) -> BTreeSet<Name> {
        let mut dead: BTreeSet<Name> =
            self.producers.iter().map(|k| self.name(*k).clone()).collect();
        loop {
            let alive = poly.statements.iter().filter(|s| !dead.contains(&s.statement.name));
            let read: BTreeSet<Name> =
                alive.flat_map(|s| reads(s).into_iter().map(|a| a.array.clone())).collect();
            let before = dead.len();
            dead.retain(|name| {
                poly.statement(name).is_some_and(|s| !read.contains(&s.statement.target.array))
            });
            if dead.len() == before {
                return dead;
            }
        }
    }
}

/// The reads of a statement; the target of an update is none of them.
fn reads(s: &PolyStatement) -> Vec<&Access> {
    let mut out = s.statement.value.reads();
    out.extend(s.statement.guard.iter().flat_map(|g| g.reads()));
    out
}

fn add(elements: &mut Elements, array: &Name, map: &Map) -> Answer<()> {
    let sum = match elements.get(array) {
        Some(known) => known.union(map)?.coalesce()?,
        None => map.clone(),
    };
    elements.insert(array.clone(), sum);
    Ok(())
}

/// A tree with some of its statements; nothing where none is left.
fn prune(tree: &Tree, keep: &dyn Fn(&Name) -> bool) -> Option<Tree> {
    match tree {
        Tree::Statement(name) => keep(name).then(|| tree.clone()),
        Tree::Sequence(children) => {
            let left: Vec<Tree> = children.iter().filter_map(|c| prune(c, keep)).collect();
            (!left.is_empty()).then(|| sequence(left))
        }
        Tree::Loop(l) => {
            let body = prune(&l.body, keep)?;
            let mut l = l.clone();
            l.rows.retain(|s, _| keep(s));
            l.body = Box::new(body);
            Some(Tree::Loop(l))
        }
    }
}

fn unknown(poly: &Poly, r: &Ref) -> Box<Diagnostic> {
    let names: Vec<String> =
        poly.statements.iter().map(|s| format!("`{}`", s.statement.name)).collect();
    Box::new(
        Diagnostic::new("E0721", Blame::Schedule, format!("there is no statement `{r}`"))
            .label(r.span, "")
            .help(format!("the statements are {}", names.join(", "))),
    )
}

#[cfg(test)]
mod tests;
