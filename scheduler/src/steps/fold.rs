//! `fold i, j as ij`: two perfectly nested loops become one, and so do the dimensions that they
//! walk along.
//!
//! `i { j { C[…, i, j, …] } }` -> `ij { C'[…, ij, …] }`, where `C'` is `C` with one dimension for
//! the two. In memory nothing moves: the caller's array keeps its extents, and the kernel's buffer
//! says them (`of [72, 72]`). Other accesses to such arrays get `extent * i + j`. Unlike
//! `coalesce`, which leaves a quotient and a remainder of the loop in the accesses, what follows
//! sees one index: tiles that cross the ends of rows, boxes of the copy engine, longer vectors.
//! Legal: if all accesses below the loops that move with one of the iterators have them as
//! neighbouring indices of arrays whose second extent is the inner loop's: then instances and
//! elements are only numbered another way, and the order stays.
//! Errors: `E0712` for loops that are not perfectly nested, `E0714` for a marked loop, `E0715` for
//! extents that are no numbers or do not start at zero, `E0733` for accesses that are others.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::expr::{Access, Expr};
use warploom_ir::nest::{Constraint, Role, Statement};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Marks, Poly, PolyStatement, Tree, TreeLoop};

use super::coalesce::{perfect, unbounded};
use super::stage::all_accesses;
use super::{edit, overflow, unmarked};

/// The operands of the step.
pub(crate) struct Fold<'a> {
    /// The outer loop.
    pub(crate) outer: &'a Ref,
    /// The loop right inside it.
    pub(crate) inner: &'a Ref,
    /// The result's name; the outer loop's by default.
    pub(crate) name: Option<&'a Ref>,
}

/// The two iterators of a statement, outer and inner, and the one that they become.
struct Pair {
    iters: [Name; 2],
    whole: Name,
}

/// Folds the loops: the new working nest and its order.
///
/// # Errors
/// See the module's page.
pub(crate) fn fold(poly: &Poly, tree: &Tree, step: &Fold<'_>) -> Result<(Poly, Tree)> {
    let (around, inside) = perfect(tree, step.outer, step.inner)?;
    unmarked(step.outer, &around, "fold")?;
    unmarked(step.inner, &inside, "fold")?;
    let called = step.name.map_or_else(|| around.name.clone(), |r| r.name.clone());
    let mut pairs = BTreeMap::new();
    let mut extents = [None; 2];
    for s in poly.statements.iter().filter(|s| around.rows.contains_key(&s.statement.name)) {
        let pair = pair(poly, s, step, [&around, &inside], &called)?;
        for (loop_, (iter, extent)) in
            [step.outer, step.inner].iter().zip(pair.iters.iter().zip(&mut extents))
        {
            let own = count(poly, s, iter).filter(|n| extent.is_none_or(|e| e == *n));
            *extent = Some(own.ok_or_else(|| unbounded(loop_, &loop_.name))?);
        }
        pairs.insert(s.statement.name.clone(), pair);
    }
    let [Some(_), Some(extent)] = extents else {
        return Err(unbounded(step.inner, &step.inner.name));
    };
    let places = places(poly, &pairs, extent, step)?;
    let poly = folded(poly, &pairs, &places, extent, step)?;
    let rows: BTreeMap<Name, Affine> =
        pairs.iter().map(|(s, pair)| (s.clone(), Affine::var(pair.whole.clone()))).collect();
    let tree = edit(tree.clone(), &around.name, &mut |_| {
        let (name, marks, body) = (called.clone(), Marks::default(), inside.body.clone());
        Ok(Tree::Loop(TreeLoop { name, rows: rows.clone(), marks, body }))
    })?;
    Ok((poly, tree))
}

/// The iterators that two loops are of a statement, which move nothing else.
fn pair(
    poly: &Poly,
    s: &PolyStatement,
    step: &Fold<'_>,
    loops: [&TreeLoop; 2],
    called: &Name,
) -> Result<Pair> {
    let name = &s.statement.name;
    let iter = |l: &TreeLoop| l.rows.get(name).and_then(Affine::as_var).cloned();
    let (Some(outer), Some(inner)) = (iter(loops[0]), iter(loops[1])) else {
        let text = format!("the loops are no iterators of `{name}`: `fold` comes before others");
        return Err(super::refuse(step.outer.span, text));
    };
    let iters = [outer, inner];
    let taken = |n: &Name| s.iters.contains(n) && !iters.contains(n);
    let param = poly.params.iter().any(|p| p.name == *called);
    let plain = called.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let whole = if plain && !param && !taken(called) { called } else { &iters[0] };
    Ok(Pair { whole: whole.clone(), iters })
}

/// How many values an iterator has, from zero on, whatever the others are; nothing where that is
/// not known.
fn count(poly: &Poly, s: &PolyStatement, iter: &Name) -> Option<i64> {
    let (mut low, mut high) = (None::<i64>, None::<i64>);
    for c in s.domain.iter().filter(|c| c.expr.vars().contains(iter)) {
        let factor = c.expr.coefficient(iter);
        let rest = c.expr.sub(&Affine::var(iter.clone()).scale(factor).ok()?).ok()?;
        let value = poly.fixed(&rest).filter(|_| !c.equality)?;
        match factor {
            1 => low = low.max(Some(value.checked_neg()?)),
            -1 => high = Some(high.map_or(value, |h| h.min(value))),
            _others => return None,
        }
    }
    high?.checked_add(1).filter(|n| low == Some(0) && *n > 0)
}

/// Which dimension of each array is folded with the next one.
fn places(
    poly: &Poly,
    pairs: &BTreeMap<Name, Pair>,
    extent: i64,
    step: &Fold<'_>,
) -> Result<BTreeMap<Name, usize>> {
    let mut out = BTreeMap::new();
    for (s, pair) in pairs {
        let Some(s) = poly.statement(s).map(|s| &s.statement) else { continue };
        let [outer, inner] = &pair.iters;
        for access in all_accesses(s) {
            let moves = |e: &Affine| e.vars().iter().any(|v| v == outer || v == inner);
            let moving: Vec<usize> =
                (0..access.indices.len()).filter(|d| moves(&access.indices[*d])).collect();
            let place = match moving.as_slice() {
                [] => continue,
                [d, e] => {
                    let array = poly.array(&access.array);
                    let along = array.and_then(|a| poly.fixed(&a.shape[*e]));
                    let own = poly.scopes.contains_key(&access.array);
                    let both = access.indices[*d].as_var() == Some(outer)
                        && access.indices[*e].as_var() == Some(inner);
                    (d + 1 == *e && both && along == Some(extent) && !own).then_some(*d)
                }
                _others => None,
            };
            let place = place.ok_or_else(|| refused(step, s, access))?;
            if *out.entry(access.array.clone()).or_insert(place) != place {
                return Err(refused(step, s, access));
            }
        }
        if let Some(text) = used_as_values(s, pair) {
            return Err(super::refuse(step.outer.span, text));
        }
    }
    Ok(out)
}

/// What to say where a statement uses the iterators as numbers.
fn used_as_values(s: &Statement, pair: &Pair) -> Option<String> {
    let mut found = false;
    let mut look = |e: &Expr| {
        if let Expr::Index(value) = e {
            found |= value.vars().iter().any(|v| pair.iters.contains(v));
        }
    };
    s.value.visit(&mut look);
    if let Some(guard) = &s.guard {
        guard.visit(&mut look);
    }
    found.then(|| format!("`{}` computes with the loops' values", s.name))
}

fn refused(step: &Fold<'_>, s: &Statement, access: &Access) -> Box<Diagnostic> {
    let (outer, inner) = (step.outer, step.inner);
    let text = format!(
        "`{access}` of `{}` has no neighbouring dimensions for `{outer}` and all of `{inner}`",
        s.name
    );
    let d = Diagnostic::new("E0733", Blame::Schedule, text).label(step.outer.span, "");
    let help = format!("stage `{}` without a loop, in a layout where they are", access.array);
    Box::new(d.help(help))
}

/// The working nest with one iterator for two, and one dimension.
fn folded(
    poly: &Poly,
    pairs: &BTreeMap<Name, Pair>,
    places: &BTreeMap<Name, usize>,
    extent: i64,
    step: &Fold<'_>,
) -> Result<Poly> {
    let mut new = poly.clone();
    for array in &mut new.arrays {
        let Some(&place) = places.get(&array.name) else { continue };
        let shape = array.shape.iter().map(|e| poly.fixed(e)).collect::<Option<Vec<_>>>();
        let shape = shape.ok_or_else(|| unbounded(step.outer, &step.outer.name))?;
        let whole = Affine::constant(shape[place]).scale(extent);
        array.shape = shape.iter().copied().map(Affine::constant).collect();
        array.shape.splice(place..place + 2, [whole.map_err(overflow(step.outer.span))?]);
        if !matches!(array.role, Role::Temp) && !poly.folded.contains_key(&array.name) {
            new.folded.insert(array.name.clone(), shape);
        }
    }
    for s in &mut new.statements {
        let pair = pairs.get(&s.statement.name);
        if let Some(pair) = pair {
            renumbered(poly, s, pair, extent).map_err(overflow(step.outer.span))?;
        }
        let mut broken = None;
        let mut change = |access: &mut Access| {
            let Some(&place) = places.get(&access.array) else { return };
            let [outer, inner] = [0, 1].map(|d| access.indices[place + d].clone());
            let both = match pair {
                Some(pair) if outer.as_var() == Some(&pair.iters[0]) => {
                    Ok(Affine::var(pair.whole.clone()))
                }
                Some(_) | None => outer.scale(extent).and_then(|e| e.add(&inner)),
            };
            match both {
                Ok(both) => drop(access.indices.splice(place..place + 2, [both])),
                Err(error) => broken = Some(error),
            }
        };
        s.statement.visit_accesses_mut(&mut change);
        if let Some(error) = broken {
            return Err(overflow(step.outer.span)(error));
        }
    }
    Ok(new)
}

/// One iterator for two, in the domain and in what tells the original instance.
fn renumbered(
    poly: &Poly,
    s: &mut PolyStatement,
    pair: &Pair,
    extent: i64,
) -> std::result::Result<(), warploom_ir::affine::Overflow> {
    let [outer, inner] = &pair.iters;
    let rows = count(poly, s, outer).unwrap_or(0);
    let whole = Affine::var(pair.whole.clone());
    let moves = |e: &Affine| e.vars().iter().any(|v| v == outer || v == inner);
    s.domain.retain(|c| !moves(&c.expr));
    let last = Affine::constant(rows).scale(extent)?.add_const(-1)?;
    for expr in [whole.clone(), last.sub(&whole)?] {
        s.domain.push(Constraint { expr, equality: false });
    }
    let parts = [whole.floor_div(extent)?, whole.modulo(extent)?];
    if let Some((_, instance)) = &mut s.origin {
        let part = |name: &str| {
            let place = pair.iters.iter().position(|i| &**i == name)?;
            Some(parts[place].clone())
        };
        for row in instance {
            *row = row.substitute(&part)?;
        }
    }
    s.iters.retain(|i| i != inner);
    for iter in s.iters.iter_mut().filter(|i| *i == outer) {
        *iter = pair.whole.clone();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::steps::testing::{agree, lowered, refused_script};

    /// `bsh,hd->bsd`, with a copy into other places of the same array.
    const LINEAR: &str = "param B = 3, S = 5, H = 4, D = 6
in X: i32[B, S, H]
in W: i32[H, D]
out Y: i32[B, S, D]
out Z: i32[B, S]
for b in 0..B, s in 0..S {
  for d in 0..D { S0: Y[b, s, d] = 0 for h in 0..H { S1: Y[b, s, d] += X[b, s, h] * W[h, d] } } }
for s in 0..S, b in 0..B { S2: Z[b, s] = X[b, s, 1] + Y[b, s, 2] }\n";

    fn equal(script: &str) -> String {
        let (nest, kernel) = lowered(LINEAR, script);
        agree(&nest, &kernel, &[("B", 3), ("S", 5), ("H", 4), ("D", 6)]);
        kernel.to_string()
    }

    #[test]
    fn neighbours_become_one() {
        let text = equal("fold S0.b, S0.s as m");
        for part in ["X: i32[15, 4] of [3, 5, 4]", "Y: i32[15, 6] of [3, 5, 6]", "Y[m, d]"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.contains("Z: i32[B, S]\n"), "{text}");
        equal("fold S0.b, S0.s as m\ntile m, d by 4, 4\nparallel m.0");
        // all three dimensions of Y, where the other array has no third one
        let text =
            equal("fold S0.b, S0.s as m\ndistribute d\ndistribute m\nfold S0.m, S0.d as all");
        assert!(text.contains("Y: i32[90] of [3, 5, 6]"), "{text}");
    }

    #[test]
    fn others_are_refused() {
        refused_script(LINEAR, "fold S2.s, S2.b", "E0733", "stage");
        refused_script(LINEAR, "fold S0.s, d", "E0733", "X[b, s, h]");
        refused_script(LINEAR, "fold S0.b, d", "E0712", "not the only thing");
        refused_script(LINEAR, "parallel S0.b\nfold S0.b, S0.s", "E0714", "marked");
        refused_script(LINEAR, "split S0.s by 2\nfold S0.b, S0.s.0", "E0712", "before others");
        let open = "param N, M\nin A: i32[N, M]\nout B: i32[N, M]
for i in 0..N, j in 0..M { S0: B[i, j] = A[i, j] }\n";
        refused_script(open, "fold i, j", "E0715", "not a number");
        let part = "in A: i32[4, 8]\nout B: i32[4, 8]
for i in 0..4, j in 0..6 { S0: B[i, j] = A[i, j] }\n";
        refused_script(part, "fold i, j", "E0733", "all of `j`");
        let triangle = "in A: i32[4, 4]\nout B: i32[4, 4]
for i in 0..4, j in 0..i + 1 { S0: B[i, j] = A[i, j] }\n";
        refused_script(triangle, "fold i, j", "E0715", "not a number");
        let value = "out B: i32[4, 4]\nfor i in 0..4, j in 0..4 { S0: B[i, j] = i + j }\n";
        refused_script(value, "fold i, j", "E0712", "values");
    }
}
