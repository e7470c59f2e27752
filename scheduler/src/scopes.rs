//! Whether every buffer of the working nest still has one place for each iteration of its loop.
//!
//! In: a poly and a tree. Out: the scopes, at the loops that hold the buffers now, or `E0725`.
//! Keeps: an iteration of the loop and the coordinates of its buffer determine each other: all
//! accesses in one iteration have the same coordinates, and no other iteration has them. So a
//! buffer that lives in one iteration can stand for all elements with those coordinates.
//! A buffer follows its loop: where the loop is gone or no longer fits, the outermost loop around
//! all accesses whose iterations do fit takes its place.
//! Why here: steps know nothing of buffers; this question is asked after each of them.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Span};
use warploom_ir::schedule::{Poly, PolyStatement, Scope, Tree, TreeLoop};
use warploom_isl::Map;

use crate::deps::DepContext;
use crate::kept::decide_each_other;
use crate::legality::Illegal;
use crate::poly_isl::Model;
use crate::times::times;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// An access to a buffer: its statement and the coordinates.
type Use<'a> = (usize, &'a [Affine]);

/// The scopes of the working nest after a step that made this tree.
///
/// # Errors
/// `E0725` where a buffer has no loop any more, `E0601` when isl takes too long.
pub(crate) fn follow(
    deps: &DepContext,
    tree: &Tree,
    span: Span,
) -> Result<BTreeMap<Name, Scope>, Box<Illegal>> {
    let poly = deps.poly();
    let mut out = BTreeMap::new();
    for (array, scope) in &poly.scopes {
        let uses = uses(poly, array, scope.coordinates);
        let loops = common(poly, tree, &uses);
        let preferred = loops.iter().filter(|l| l.name == scope.at);
        let mut found = None;
        for l in preferred.chain(loops.iter().filter(|l| l.name != scope.at)) {
            if fits(deps, tree, &loops, l, &uses)? {
                found = Some(l.name.clone());
                break;
            }
        }
        let Some(at) = found else {
            return Err(broken(array, scope, span).into());
        };
        out.insert(array.clone(), Scope { at, ..scope.clone() });
    }
    Ok(out)
}

/// Every access to a buffer.
fn uses<'a>(poly: &'a Poly, array: &str, coordinates: usize) -> Vec<Use<'a>> {
    let mut out: Vec<Use<'a>> = Vec::new();
    for (k, s) in poly.statements.iter().enumerate() {
        let PolyStatement { statement, .. } = s;
        let mut accesses = statement.value.reads();
        accesses.extend(statement.guard.iter().flat_map(|g| g.reads()));
        accesses.push(&statement.target);
        for access in accesses.into_iter().filter(|a| &*a.array == array) {
            let mine = (k, &access.indices[..coordinates]);
            if !out.contains(&mine) {
                out.push(mine);
            }
        }
    }
    out
}

/// The loops around all uses, outermost first.
fn common<'a>(poly: &Poly, tree: &'a Tree, uses: &[Use<'_>]) -> Vec<&'a TreeLoop> {
    let mut loops = tree.loops();
    loops.retain(|l| {
        let below = l.body.statements();
        uses.iter().all(|(k, _)| below.contains(&poly.statements[*k].statement.name))
    });
    loops
}

/// Whether iterations of a loop and coordinates determine each other.
fn fits(
    deps: &DepContext,
    tree: &Tree,
    loops: &[&TreeLoop],
    at: &TreeLoop,
    uses: &[Use<'_>],
) -> Result<bool, Box<Illegal>> {
    let model = &deps.model;
    let upto = loops.iter().position(|l| l.name == at.name).map_or(0, |p| p + 1);
    let same_rows = |(k, coordinates): &Use<'_>| {
        let name = &model.poly.statements[*k].statement.name;
        coordinates.len() == upto
            && coordinates.iter().zip(loops).all(|(c, l)| l.rows.get(name) == Some(c))
    };
    if uses.iter().all(same_rows) || by_rows(model, &loops[..upto], uses) {
        return Ok(true);
    }
    let times = times(&model.poly, tree)?;
    let Some(&depth) = times.loops.get(&at.name) else {
        return Ok(false);
    };
    Ok(deps.ask("checking the buffers of the schedule", || -> Answer<bool> {
        let mut pairs: Option<Map> = None;
        for (k, coordinates) in uses {
            let iteration = model.rows(*k, &times.rows[*k][..=depth])?;
            let mine = iteration.reverse()?.apply_range(&model.rows(*k, coordinates)?)?;
            pairs = Some(match pairs {
                Some(others) => others.union(&mine)?,
                None => mine,
            });
        }
        pairs.map_or(Ok(true), |p| Ok(p.is_bijective()?))
    })?)
}

/// Whether coordinates and rows are sums of multiples of each other, the same for every use.
fn by_rows(model: &Model, loops: &[&TreeLoop], uses: &[Use<'_>]) -> bool {
    let names: Vec<&Name> =
        uses.iter().map(|(k, _)| &model.poly.statements[*k].statement.name).collect();
    let Some((_, first)) = uses.first() else { return true };
    let coordinates: Vec<Vec<&Affine>> =
        (0..first.len()).map(|d| uses.iter().map(|(_, c)| &c[d]).collect()).collect();
    let rows: Option<Vec<Vec<&Affine>>> =
        loops.iter().map(|l| names.iter().map(|n| l.rows.get(*n)).collect()).collect();
    rows.is_some_and(|rows| decide_each_other(&names, &coordinates, &rows))
}

fn broken(array: &str, scope: &Scope, span: Span) -> Box<Diagnostic> {
    let message = format!(
        "the step takes buffer `{array}` apart: no loop is left whose iterations each have a \
         `{array}` of their own, as those of loop `{}` had",
        scope.at
    );
    Box::new(Diagnostic::new("E0725", Blame::Schedule, message).label(span, "").help(
        "make this step before the one that made the buffer, or keep the statements that use the \
         buffer together in one loop",
    ))
}
