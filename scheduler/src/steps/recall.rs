//! `recall A at l`: what an iteration of a loop reads of an array is what was there when it began.
//!
//! `l { X { S: A[i, j] = f(A[i, j], A[i, k], …) } }` ->
//! `l { Al.0 { Al: Al[…] = A[…] } X { S' S'_2 } }`.
//! Where S reads what an earlier iteration of `l` left (or nothing wrote), S' reads a copy that is
//! made first; where it reads what this iteration has written, the value is computed again from
//! copies, and so on. Instances for which that differs become statements of their own (`S_2`, …).
//! What S' reads and overwrites itself stays where it is. Copies are arrays of the nest with an
//! index for `l` and each loop around it, so that they may be made elsewhere by other steps.
//! Afterwards nothing in an iteration depends on what else is done in it.
//! Legal: if each read has one writer in the iteration or none, for every instance of a part of the
//! statement, this ends, and what is computed again gives the same bits: the array is written by
//! plain assignments without guards, in 32 bits or more, of integers or without products that might
//! be fused with sums.
//! Errors: `E0721` for names, `E0723` for a number of iterations or elements that is not known,
//! `E0735` where values cannot be computed again.
//! Source: renaming and forward substitution, D. Kuck et al., Dependence Graphs and Compiler
//! Optimizations (1981); parts of domains, M. Griebl, P. Feautrier, C. Lengauer, Index Set
//! Splitting (2000).

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::expr::{Access, BinOp, Expr};
use warploom_ir::nest::{Array, AssignOp, Statement};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::{Map, Set};

use super::privatise::bounds;
use super::stage::{is_taken, known_array, local_name, place};
use super::{resolve, sequence};
use crate::deps::{DepContext, DepKind};
use crate::footprint::{Iterations, no_box};
use crate::isl_affine::Names;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

mod copies;

use copies::Copied;

/// Values that are computed again from values that are computed again …, at most.
const DEEPEST: usize = 4;
/// Parts of one statement, at most.
const PARTS: usize = 16;

/// The operands, and what stands below the loop.
struct Recall<'a> {
    deps: &'a DepContext,
    tree: &'a Tree,
    array: &'a Array,
    at: Name,
    span: Span,
    iterations: Iterations,
    /// The statements that use the array below the loop.
    inside: Vec<usize>,
}

/// Instances of a statement that get their values in the same way.
struct Piece {
    statement: usize,
    instances: Set,
    /// The statement's value, where reads of what was there before are of [`BEFORE`].
    value: Expr,
}

/// What an access to the array as it was before an iteration is called until there are copies.
const BEFORE: &str = "@before";

/// An instance at which a value is computed again.
struct Again {
    /// From the instances of the part to those of the statement.
    map: Map,
    /// Its iterators over those of the part.
    at: Vec<Affine>,
    depth: usize,
}

/// The new working nest and its order.
///
/// # Errors
/// See the module's page.
pub(crate) fn recall(
    deps: &DepContext,
    tree: &Tree,
    array: &Ref,
    at: &Ref,
) -> Result<(Poly, Tree)> {
    let poly = deps.poly();
    let target = resolve(tree, at)?;
    let known = known_array(poly, array)?;
    let below = tree.find(&target).map(|l| l.body.statements()).unwrap_or_default();
    let uses = |s: &Statement| {
        below.contains(&s.name)
            && (s.target.array == known.name || s.reads().iter().any(|a| a.array == known.name))
    };
    let inside = (0..poly.statements.len()).filter(|k| uses(&poly.statements[*k].statement));
    let recall = Recall {
        deps,
        tree,
        array: known,
        iterations: Iterations::of(poly, tree, &target),
        at: target,
        span: array.span,
        inside: inside.collect(),
    };
    recall.check()?;
    let mut pieces = Vec::new();
    for &k in &recall.inside {
        let found = deps.ask("following what an iteration writes", || recall.pieces(k))?;
        pieces.extend(found.ok_or_else(|| {
            recall.refuse(&format!(
                "where `{}` reads what the iteration writes, the values cannot be computed again",
                poly.statements[k].statement.name
            ))
        })?);
    }
    let copied = deps.ask("finding what is copied", || recall.copied(&pieces))?;
    if copied.is_empty() {
        return Err(recall.refuse("nothing reads it there that other instances overwrite"));
    }
    recall.build(pieces, &copied)
}

impl Recall<'_> {
    fn refuse(&self, why: &str) -> Box<Diagnostic> {
        let message = format!("`{}` cannot be recalled at `{}`: {why}", self.array.name, self.at);
        Box::new(Diagnostic::new("E0735", Blame::Schedule, message).label(self.span, "").help(
            "name an array of integers, or of floats that are not multiplied, that plain \
             assignments write, and the loop each iteration of which writes an element once",
        ))
    }

    fn statement(&self, k: usize) -> &Statement {
        &self.deps.poly().statements[k].statement
    }

    fn writes(&self, k: usize) -> bool {
        self.statement(k).target.array == self.array.name
    }

    /// What can be seen of the statements alone.
    fn check(&self) -> Result<()> {
        if self.deps.poly().scopes.contains_key(&self.array.name) {
            return Err(self.refuse("it is a buffer"));
        }
        if !self.inside.iter().any(|k| self.writes(*k)) {
            return Err(self.refuse("nothing writes it there"));
        }
        for &k in &self.inside {
            let s = self.statement(k);
            if s.guard.is_some() {
                return Err(self.refuse(&format!("`{}` has a guard on data", s.name)));
            }
            if self.writes(k) {
                self.check_writer(s)?;
            }
        }
        Ok(())
    }

    /// Whether the bits that a statement stores are those of its value computed elsewhere.
    fn check_writer(&self, s: &Statement) -> Result<()> {
        let poly = self.deps.poly();
        let refuse = |why: &str| Err(self.refuse(&format!("`{}` {why}", s.name)));
        if s.op != AssignOp::Set || s.acc.is_some() {
            return refuse("is no plain assignment");
        }
        if !self.array.dtype.is_int() && multiplies(&s.value) {
            return refuse("has a product, which may be fused with a sum");
        }
        let reads = s.reads();
        let dtype = |a: &Access| poly.array(&a.array).map(|a| a.dtype);
        let narrow = self.array.dtype.bits() < 32;
        if narrow || reads.is_empty() || reads.iter().any(|a| dtype(a) != Some(self.array.dtype)) {
            return refuse("has operands of another type, or of less than 32 bits");
        }
        let below = self.tree.find(&self.at).map(|l| l.body.statements()).unwrap_or_default();
        let writers = poly.statements.iter().map(|s| &s.statement);
        let mut writers = writers.filter(|w| below.contains(&w.name));
        let other = |a: &&Access| a.array != self.array.name;
        if writers.any(|w| reads.iter().any(|a| other(a) && w.target.array == a.array)) {
            return refuse("reads another array that the loop writes");
        }
        Ok(())
    }

    /// From a statement's instances to those that have written, in the same iteration of the loop,
    /// what an access of it reads, with the writers.
    fn sources(&self, k: usize, access: &Access) -> Answer<Vec<(usize, Map)>> {
        let rows = |k: usize| {
            self.deps.model.rows(k, &self.iterations.rows(self.tree, &self.statement(k).name))
        };
        let mut out = Vec::new();
        for c in self.deps.conflicts.iter().filter(|c| c.kind == DepKind::Flow) {
            let (from, to) = (&c.source, &c.target);
            let read = to.statement == k && !to.write && to.access == *access;
            if !read || !self.inside.contains(&from.statement) {
                continue;
            }
            let together = rows(from.statement)?.apply_range(&rows(k)?.reverse()?)?;
            let map = self.deps.relation(c)?.intersect(&together)?.reverse()?.coalesce()?;
            if !map.is_empty()? {
                out.push((from.statement, map));
            }
        }
        Ok(out)
    }

    /// The reads of the array in a statement, each once.
    fn reads(&self, k: usize) -> Vec<Access> {
        let mut out: Vec<Access> = Vec::new();
        for access in self.statement(k).value.reads() {
            if access.array == self.array.name && !out.contains(access) {
                out.push(access.clone());
            }
        }
        out
    }

    /// A statement in parts, each with its value; `None` where that cannot be.
    fn pieces(&self, k: usize) -> Answer<Option<Vec<Piece>>> {
        let mut parts = vec![self.deps.model.domains[k].clone()];
        for access in self.reads(k) {
            for (_, map) in self.sources(k, &access)? {
                let inside = map.domain()?;
                let mut next = Vec::new();
                for part in &parts {
                    for some in [part.subtract(&inside)?, part.intersect(&inside)?] {
                        if !some.is_empty()? {
                            next.push(some.coalesce()?);
                        }
                    }
                }
                parts = next;
            }
        }
        if parts.len() > PARTS {
            return Ok(None);
        }
        let mut out = Vec::new();
        for instances in parts {
            let iters = &self.deps.poly().statements[k].iters;
            let at: Vec<Affine> = iters.iter().cloned().map(Affine::var).collect();
            let each = self.deps.model.rows(k, &at)?;
            let map = each.apply_range(&each.reverse()?)?.intersect_domain(&instances)?;
            let start = Again { map, at, depth: 0 };
            let Some(value) = self.value(k, k, &start)? else { return Ok(None) };
            out.push(Piece { statement: k, instances, value });
        }
        Ok(Some(out))
    }

    /// The value of a statement at some instances, over the iterators of the statement that needs
    /// it; `None` where it is not computed in the same way for all of them.
    fn value(&self, root: usize, k: usize, again: &Again) -> Answer<Option<Expr>> {
        let s = &self.deps.poly().statements[k];
        let reach = again.map.range()?;
        let lookup = |v: &str| {
            let place = s.iters.iter().position(|i| &**i == v)?;
            again.at.get(place).cloned()
        };
        let mut new: Vec<(Access, Expr)> = Vec::new();
        for access in self.reads(k) {
            let mut found = None;
            for (writer, map) in self.sources(k, &access)? {
                let from = map.domain()?;
                if reach.is_disjoint(&from)? {
                    continue;
                }
                if found.is_some() || !reach.is_subset(&from)? || again.depth >= DEEPEST {
                    return Ok(None);
                }
                let target = &self.statement(root).target.array;
                let same = self.deps.poly().array(target).map(|a| a.dtype);
                if same != Some(self.array.dtype) || self.statement(root).acc.is_some() {
                    return Ok(None);
                }
                let Some(next) = self.next(root, again, &map)? else { return Ok(None) };
                let Some(value) = self.value(root, writer, &next)? else { return Ok(None) };
                found = Some(value);
            }
            let own = again.depth == 0 && access == s.statement.target;
            let value = match found {
                Some(value) => value,
                None if own => Expr::Read(access.clone()),
                None => {
                    let moved = |e: &Affine| e.substitute(&lookup);
                    let indices: std::result::Result<_, _> =
                        access.indices.iter().map(moved).collect();
                    let (array, span) = (Name::from(BEFORE), access.span);
                    Expr::Read(Access { array, indices: indices?, span })
                }
            };
            new.push((access, value));
        }
        let moved = |e: &Affine| e.substitute(&lookup);
        Ok(Some(substituted(&s.statement.value, &new, &moved)?))
    }

    /// The instances that wrote what those of `again` read; `None` where they are not one affine
    /// function of the part's.
    fn next(&self, root: usize, again: &Again, writers: &Map) -> Answer<Option<Again>> {
        let map = again.map.apply_range(writers)?.coalesce()?;
        if !map.is_single_valued()? {
            return Ok(None);
        }
        let pieces = map.lexmin_pw_multi_aff()?.pieces()?;
        let [(_, only)] = pieces.as_slice() else { return Ok(None) };
        let dims = &self.deps.poly().statements[root].iters;
        let names = Names { params: &self.iterations.params, dims };
        Ok(Some(Again { at: names.affines(only)?, map, depth: again.depth + 1 }))
    }

    /// The parts and the copies in the nest's place.
    fn build(&self, pieces: Vec<Piece>, copied: &[Copied]) -> Result<(Poly, Tree)> {
        let mut poly = self.deps.poly().clone();
        let mut tree = self.tree.clone();
        let bounds = bounds(self.deps, self.tree, &self.iterations, &self.inside)?;
        let Some(bounds) = bounds else { return Err(self.unknown()) };
        let mut old = vec![false; poly.statements.len()];
        let mut made = Vec::new();
        for piece in pieces {
            let s = &self.deps.poly().statements[piece.statement];
            let names = Names { params: &self.iterations.params, dims: &s.iters };
            let domain = self.deps.ask("dividing a statement", || {
                names.constraints(&piece.instances.detect_equalities()?)
            })?;
            let Some(domain) = domain else {
                let why = format!("a part of `{}` is not one convex set", s.statement.name);
                return Err(self.refuse(&why));
            };
            let mut new = PolyStatement { domain, ..s.clone() };
            new.statement.value = piece.value;
            if std::mem::replace(&mut old[piece.statement], true) {
                new.statement.name = self.fresh(&poly, &tree, &s.statement.name);
                tree = beside(&tree, &s.statement.name, &new.statement.name);
                made.push((poly.statements.len(), piece.statement));
                poly.statements.push(new);
            } else {
                made.push((piece.statement, piece.statement));
                poly.statements[piece.statement] = new;
            }
        }
        let mut first = Vec::new();
        let mut rows = BTreeMap::new();
        for copy in copied {
            let name = self.fresh(&poly, &tree, &local_name(&self.array.name, &self.at));
            let made = self.copy(&mut poly, &name, copy, &bounds, &made)?;
            first.push(made);
            let coordinates = self.iterations.names.iter().cloned().map(Affine::var).collect();
            rows.insert(name, coordinates);
        }
        let tree = place(&tree, &self.iterations.loops, Some(sequence(first)), None, &rows)?;
        Ok((poly, tree))
    }

    fn unknown(&self) -> Box<Diagnostic> {
        no_box("recall", &self.array.name, &self.at, self.span)
    }

    /// A name that nothing has: this one, or with a number.
    fn fresh(&self, poly: &Poly, tree: &Tree, name: &Name) -> Name {
        let numbered = (2..).map(|k| Name::from(format!("{name}_{k}")));
        let mut all = std::iter::once(name.clone()).chain(numbered);
        all.find(|n| !is_taken(poly, tree, n)).expect("only finitely many names are taken")
    }
}

/// Whether an expression has a product that may be fused with a sum.
fn multiplies(e: &Expr) -> bool {
    let mut found = false;
    e.visit(&mut |e| found |= matches!(e, Expr::Binary(BinOp::Mul, ..)));
    found
}

/// The expression at another instance, where these reads have these values.
fn substituted<E>(
    e: &Expr,
    new: &[(Access, Expr)],
    moved: &dyn Fn(&Affine) -> std::result::Result<Affine, E>,
) -> std::result::Result<Expr, E> {
    let of = |e: &Expr| Ok(Box::new(substituted(e, new, moved)?));
    Ok(match e {
        Expr::Literal(_) => e.clone(),
        Expr::Index(index) => Expr::Index(moved(index)?),
        Expr::Read(access) => match new.iter().find(|(old, _)| old == access) {
            Some((_, value)) => value.clone(),
            None => {
                let indices: std::result::Result<_, E> = access.indices.iter().map(moved).collect();
                Expr::Read(Access { indices: indices?, ..access.clone() })
            }
        },
        Expr::Unary(op, a) => Expr::Unary(*op, of(a)?),
        Expr::Binary(op, a, b) => Expr::Binary(*op, of(a)?, of(b)?),
        Expr::Fma(a, b, c) => Expr::Fma(of(a)?, of(b)?, of(c)?),
        Expr::Select(a, b, c) => Expr::Select(of(a)?, of(b)?, of(c)?),
        Expr::Cast { to, rounding, saturate, value } => {
            let value = of(value)?;
            Expr::Cast { to: *to, rounding: *rounding, saturate: *saturate, value }
        }
        Expr::Bitcast(to, a) => Expr::Bitcast(*to, of(a)?),
    })
}

/// The tree with a new statement right behind one, in its loops.
fn beside(tree: &Tree, old: &Name, new: &Name) -> Tree {
    match tree {
        Tree::Statement(name) if name == old => {
            Tree::Sequence(vec![tree.clone(), Tree::Statement(new.clone())])
        }
        Tree::Statement(_) => tree.clone(),
        Tree::Sequence(children) => {
            sequence(children.iter().map(|c| beside(c, old, new)).collect())
        }
        Tree::Loop(l) => {
            let mut l = l.clone();
            if let Some(row) = l.rows.get(old).cloned() {
                l.rows.insert(new.clone(), row);
                l.body = Box::new(beside(&l.body, old, new));
            }
            Tree::Loop(l)
        }
    }
}

#[cfg(test)]
mod tests;
