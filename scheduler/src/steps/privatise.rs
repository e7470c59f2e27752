//! `privatise w at S0.j [as P]`: each iteration of a loop gets a copy of a temporary of its own.
//!
//! Accesses to `w` of the statements below the loop `l` go to `P[…]` instead, which has an index
//! for `l` and one for each loop around it, counted from their least values, before those of `w`.
//! So iterations that only share the place of a scalar or row no longer depend on each other, and
//! `distribute`, `reorder`, `parallel` and lanes become legal. The order stays.
//! Legal: if no value in `w` goes from one iteration to another, into the loop or out of it
//! (`E0729`, with the instance that writes it and the one that reads it).
//! Errors: `E0721` for an unknown array, `E0722` for one that is no temporary or that nothing below
//! the loop uses, `E0723` where an index has no constant number of values.
//! Source: scalar and array expansion, P. Feautrier, Array Expansion (1988).

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::expr::Access;
use warploom_ir::nest::{Array, Role};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Poly, Tree};
use warploom_isl::Map;

use super::stage::{is_taken, known_array, local_name, name_refused};
use super::{overflow, resolve};
use crate::deps::DepContext;
use crate::footprint::Iterations;
use crate::legality::{Answer, Illegal, Instance, smallest_point};

/// The new working nest; the order is as before.
///
/// # Errors
/// See the module's page.
pub(crate) fn privatise(
    deps: &DepContext,
    tree: &Tree,
    array: &Ref,
    at: &Ref,
    name: Option<&Ref>,
) -> std::result::Result<Poly, Box<Illegal>> {
    let poly = deps.poly();
    let target = resolve(tree, at)?;
    let old = known_array(poly, array)?;
    let below = tree.find(&target).map(|l| l.body.statements()).unwrap_or_default();
    let inside: Vec<usize> = (0..poly.statements.len())
        .filter(|k| below.contains(&poly.statements[*k].statement.name))
        .filter(|k| uses(poly, *k, &old.name))
        .collect();
    if old.role != Role::Temp || poly.scopes.contains_key(&old.name) || inside.is_empty() {
        let what = if inside.is_empty() { "is not used there" } else { "is no temporary" };
        let message = format!("loop `{target}` cannot have its own `{}`: it {what}", old.name);
        return Err(Box::new(
            Diagnostic::new("E0722", Blame::Schedule, message).label(array.span, ""),
        )
        .into());
    }
    let iterations = Iterations::of(poly, tree, &target);
    let crossing = deps.ask("following a temporary's values", || {
        crossing(deps, tree, &iterations, &old.name, &inside)
    })?;
    if let Some((writer, reader)) = crossing {
        return Err(refused(deps, &old.name, at, &writer, &reader).into());
    }
    let Some(bounds) = bounds(deps, tree, &iterations, &inside)? else {
        let message = format!("iterations of loop `{target}` cannot have their own `{}`", old.name);
        let help = "fix the sizes, so that the number of iterations is known";
        let error = Diagnostic::new("E0723", Blame::Schedule, message).label(at.span, "");
        return Err(Box::new(error.help(help)).into());
    };
    let (new, span) = match name {
        Some(r) => (r.name.clone(), r.span),
        None => (local_name(&old.name, &target), array.span),
    };
    if is_taken(poly, tree, &new) {
        return Err(name_refused(&new, "is taken", span).into());
    }
    let extent = |(low, high): &(i64, i64)| Affine::constant(high.saturating_sub(*low) + 1);
    let mut shape: Vec<Affine> = bounds.iter().map(extent).collect();
    shape.extend(old.shape.iter().cloned());
    let private = Array { name: new.clone(), shape, ..old.clone() };
    let old = old.name.clone();
    let mut poly = poly.clone();
    poly.arrays.push(private);
    for k in inside {
        let rows = iterations.rows(tree, &poly.statements[k].statement.name);
        let place = |(row, (low, _)): (&Affine, &(i64, i64))| row.sub(&Affine::constant(*low));
        let indices: std::result::Result<Vec<Affine>, _> =
            rows.iter().zip(&bounds).map(place).collect();
        let indices = indices.map_err(overflow(at.span))?;
        redirect(&mut poly, k, &old, &new, &indices);
    }
    Ok(poly)
}

/// Whether a statement reads or writes an array.
fn uses(poly: &Poly, k: usize, array: &Name) -> bool {
    let s = &poly.statements[k].statement;
    s.target.array == *array || s.reads().iter().any(|a| a.array == *array)
}

/// Lets all accesses of a statement to `old` go to `new`, with these indices first.
fn redirect(poly: &mut Poly, k: usize, old: &Name, new: &Name, first: &[Affine]) {
    let mut change = |access: &mut Access| {
        if access.array == *old {
            access.array = new.clone();
            access.indices.splice(0..0, first.iter().cloned());
        }
    };
    poly.statements[k].statement.visit_accesses_mut(&mut change);
}

/// Least and greatest values of the rows of the loops; nothing where they are not known.
pub(super) fn bounds(
    deps: &DepContext,
    tree: &Tree,
    iterations: &Iterations,
    inside: &[usize],
) -> Result<Option<Vec<(i64, i64)>>> {
    let mut out: Vec<Option<(i64, i64)>> = vec![None; iterations.loops.len()];
    for k in inside {
        let name = &deps.poly().statements[*k].statement.name;
        for (row, bounds) in iterations.rows(tree, name).iter().zip(&mut out) {
            let Some((low, high)) = deps.row_bounds(name, row)? else { return Ok(None) };
            let (least, greatest) = bounds.unwrap_or((low, high));
            *bounds = Some((least.min(low), greatest.max(high)));
        }
    }
    Ok(out.into_iter().collect())
}

/// An instance that writes a value and one that reads it, not in one iteration.
fn crossing(
    deps: &DepContext,
    tree: &Tree,
    iterations: &Iterations,
    array: &Name,
    inside: &[usize],
) -> Answer<Option<(Instance, Instance)>> {
    let (poly, model) = (deps.poly(), &deps.model);
    let flow = deps.last_writers_of(array)?;
    let users: Vec<usize> = (0..poly.statements.len()).filter(|k| uses(poly, *k, array)).collect();
    for &a in &users {
        for &b in users.iter().filter(|b| inside.contains(b) || inside.contains(&a)) {
            let still = [Affine::constant(0)];
            let all = model.rows(a, &still)?.apply_range(&model.rows(b, &still)?.reverse()?)?;
            let mut pairs: Map = flow.extract_map(&all.space()?)?;
            if inside.contains(&a) && inside.contains(&b) {
                let rows = |k: usize| {
                    let rows = iterations.rows(tree, &poly.statements[k].statement.name);
                    model.rows(k, &rows)
                };
                pairs = pairs.subtract(&rows(a)?.apply_range(&rows(b)?.reverse()?)?)?;
            }
            if pairs.is_empty()? {
                continue;
            }
            let point = smallest_point(&model.ctx, &pairs)?;
            let (_, rest) = point[1..].split_at(poly.params.len());
            let (first, second) = rest.split_at(poly.statements[a].iters.len());
            let instance = |k: usize, at: &[i64]| Instance {
                statement: poly.statements[k].statement.name.clone(),
                at: at.to_vec(),
            };
            return Ok(Some((instance(a, first), instance(b, second))));
        }
    }
    Ok(None)
}

fn refused(
    deps: &DepContext,
    array: &Name,
    at: &Ref,
    writer: &Instance,
    reader: &Instance,
) -> Box<Diagnostic> {
    let message = format!("iterations of loop `{at}` share values in `{array}`");
    let span = |i: &Instance| deps.poly().statement(&i.statement).map(|s| s.statement.span);
    let mut diagnostic = Diagnostic::new("E0729", Blame::Schedule, message)
        .in_source(&deps.source)
        .witness(format!("{reader} reads what {writer} writes, in another iteration"))
        .help("name a loop inside which every value is written before it is read");
    if let Some(span) = span(writer) {
        diagnostic = diagnostic.label(span, "writes it");
    }
    if let Some(span) = span(reader).filter(|_| reader.statement != writer.statement) {
        diagnostic = diagnostic.label(span, "reads it");
    }
    Box::new(diagnostic)
}

#[cfg(test)]
mod tests {
    use crate::steps::testing::{agree, lowered, refused_script};

    const ROWS: &str = "param M = 5, N = 7\nin A: i32[M, N]\nout B: i32[M, N]\ntemp w: i32
temp r: i32[N]
for i in 0..M {
  for j in 0..N { S0: w = A[i, j] * 3 S1: r[j] = w + j }
  for j in N - 1 downto 0 { S2: w = r[j] - 1 S3: B[i, j] = w * w } }\n";

    /// The nest and the script's kernel give the same.
    fn equal(nest: &str, script: &str) {
        let (nest, kernel) = lowered(nest, script);
        agree(&nest, &kernel, &[("M", 5), ("N", 7)]);
    }

    #[test]
    fn iterations_with_copies_of_their_own_are_independent() {
        equal(ROWS, "privatise r at i\nprivatise w at S0.j as P\nprivatise w at S2.j");
        equal(
            ROWS,
            "privatise w at S0.j\nprivatise w at S2.j\nprivatise r at i\nparallel i
distribute S0.j\nvectorize S0.j\nvectorize S1.j\nparallel S2.j",
        );
        refused_script(ROWS, "parallel i", "E0702", "");
    }

    #[test]
    fn values_that_cross_iterations_are_refused() {
        let sum = "param N = 5\nin A: i32[N]\nout B: i32[N]\ntemp w: i32
S0: w = 1\nfor i in 0..N { S1: w = w + A[i] S2: B[i] = w }\n";
        let error = refused_script(sum, "privatise w at i", "E0729", "share values");
        assert!(error.diagnostic.to_string().contains("S1[0] reads what S0[] writes"), "{error}");
        refused_script(ROWS, "privatise r at S0.j", "E0729", "S2[0,");
        refused_script(ROWS, "privatise A at i", "E0722", "no temporary");
        refused_script(ROWS, "privatise r at nothing", "E0705", "");
        refused_script(ROWS, "privatise w at S0.j as B", "E0713", "");
        let open = "param N\nin A: i32[N]\nout B: i32[N]\ntemp w: i32
for i in 0..N { S0: w = A[i] S1: B[i] = w }\n";
        refused_script(open, "privatise w at i", "E0723", "");
    }
}
