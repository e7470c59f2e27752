//! isl's scheduler: an order of some statements that brings dependent instances close together.
//!
//! In: dependences and the statements to order. Out: a time for each statement and the length of
//! its outermost band, whose members may be permuted; nothing when isl takes too long, finds no
//! order, or gives one that our rows cannot hold.
//! Keeps: the caller checks the order as it checks any other, so a mistake here cannot make an
//! illegal schedule. Reductions whose order may change bind nothing but make a loop not parallel.
//! Source: [Bondhugula08] for the algorithm; `whole_component` stays off, it may take minutes.

use warploom_ir::affine::{Affine, Name};
use warploom_isl::{
    DimType, NodeKind, ScheduleConstraints, ScheduleNode, ScheduleOptions, UnionMap, UnionSet,
};

use crate::deps::{DepContext, DepKind, LIMIT};
use crate::isl_affine::Names;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// Operations of isl for one run of its scheduler, several times what nests take for which it finds
/// an order. Not a time: the answer must not depend on how fast the machine is.
const QUOTA: u32 = 300_000;

/// isl's order of one statement.
#[derive(Clone, Debug)]
pub(super) struct Solved {
    /// The statement's index in the poly.
    pub(super) statement: usize,
    /// Its time.
    pub(super) rows: Vec<Affine>,
    /// Loops of its outermost band.
    pub(super) band: usize,
}

/// isl's order of these statements, under `serialize_sccs` or not.
pub(super) fn solve(deps: &DepContext, chosen: &[usize], apart: bool) -> Option<Vec<Solved>> {
    let options = ScheduleOptions { serialize_sccs: apart, ..ScheduleOptions::default() };
    solve_with(deps, chosen, &options, QUOTA)
}

/// isl's order of these statements under these options, where that takes isl no more than `quota`
/// operations.
pub(super) fn solve_with(
    deps: &DepContext,
    chosen: &[usize],
    options: &ScheduleOptions,
    quota: u32,
) -> Option<Vec<Solved>> {
    let ask = || -> Answer<Option<Vec<Solved>>> {
        let root = constraints(deps, chosen)?.compute_schedule(options)?.root()?;
        let mut found: Vec<Solved> = chosen
            .iter()
            .map(|&statement| Solved { statement, rows: Vec::new(), band: 0 })
            .collect();
        Ok(read(deps, &root, chosen, &mut found)?.then_some(found))
    };
    let limited = || deps.model.ctx.with_quota(quota, ask);
    deps.model.ctx.with_deadline(LIMIT, limited).ok().flatten()
}

fn constraints(deps: &DepContext, chosen: &[usize]) -> Answer<ScheduleConstraints> {
    let ctx = &deps.model.ctx;
    let mut domain = UnionSet::empty(ctx)?;
    for k in chosen {
        domain = domain.add_set(&deps.model.domains[*k])?;
    }
    let (mut all, mut reductions) = (UnionMap::empty(ctx)?, UnionMap::empty(ctx)?);
    for (index, c) in deps.conflicts.iter().enumerate() {
        let inside = |k: usize| chosen.contains(&k);
        if c.same_as != index || !inside(c.source.statement) || !inside(c.target.statement) {
            continue;
        }
        let into = if c.kind == DepKind::Reduction { &mut reductions } else { &mut all };
        *into = into.add_map(&deps.relation(c)?)?;
    }
    let within = |map: &UnionMap| map.intersect_domain(&domain)?.intersect_range(&domain);
    // A chain of updates that may be reordered does not order its ends: then all pairs are needed.
    let validity =
        if reductions.is_empty()? { within(&deps.neighbours()?)? } else { all.coalesce()? };
    let flow = within(&deps.last_writers()?)?;
    Ok(ScheduleConstraints::on_domain(&domain)?
        .set_context(&deps.model.context)?
        .set_validity(&validity)?
        .set_coincidence(&validity.union(&reductions)?)?
        .set_proximity(&flow)?)
}

/// Adds what a node says to the times of the statements that reach it; false where a row cannot be
/// held.
fn read(
    deps: &DepContext,
    node: &ScheduleNode,
    here: &[usize],
    found: &mut [Solved],
) -> Answer<bool> {
    match node.kind()? {
        NodeKind::Leaf => {
            // isl leaves statements at one time where any order of them will do: that of the text
            if here.len() > 1 {
                for (position, k) in (0..).zip(here) {
                    for s in found.iter_mut().filter(|s| s.statement == *k) {
                        s.rows.push(Affine::constant(position));
                    }
                }
            }
            Ok(true)
        }
        NodeKind::Band => {
            Ok(band(deps, node, here, found)? && read(deps, &node.child(0)?, here, found)?)
        }
        NodeKind::Sequence | NodeKind::Set => {
            for (position, child) in (0..).zip(node.children()?) {
                let names = statements(&child.filter()?)?;
                let below: Vec<usize> =
                    here.iter().copied().filter(|k| names.contains(k)).collect();
                for s in found.iter_mut().filter(|s| below.contains(&s.statement)) {
                    s.rows.push(Affine::constant(position));
                }
                if !read(deps, &child.child(0)?, &below, found)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        NodeKind::Domain | NodeKind::Context | NodeKind::Mark | NodeKind::Filter => {
            read(deps, &node.child(0)?, here, found)
        }
        NodeKind::Expansion | NodeKind::Extension | NodeKind::Guard => Ok(false),
    }
}

/// The indices of the statements that a set has instances of.
fn statements(set: &UnionSet) -> Answer<Vec<usize>> {
    let names: std::result::Result<Vec<_>, _> =
        set.sets()?.iter().map(|s| s.tuple_name()).collect();
    Ok(names?.into_iter().flatten().filter_map(|n| number(&n)).collect())
}

/// The k of isl's name `s{k}`.
fn number(name: &str) -> Option<usize> {
    name.get(1..)?.parse().ok()
}

fn band(
    deps: &DepContext,
    node: &ScheduleNode,
    here: &[usize],
    found: &mut [Solved],
) -> Answer<bool> {
    let partial = node.band_partial_schedule()?;
    let members = node.band_n_member()?;
    let params: Vec<Name> = deps.model.poly.params.iter().map(|p| p.name.clone()).collect();
    for member in 0..members {
        let mut rows = vec![None; deps.model.poly.statements.len()];
        for function in partial.at(member)?.pw_affs()? {
            let name = function.space()?.domain()?.tuple_name(DimType::Set)?;
            let Some(k) = name.as_deref().and_then(number).filter(|k| *k < rows.len()) else {
                return Ok(false);
            };
            let pieces = function.pieces()?;
            let [(_, only)] = pieces.as_slice() else {
                return Ok(false);
            };
            let names = Names { params: &params, dims: &deps.model.poly.statements[k].iters };
            rows[k] = Some(names.affine(only)?);
        }
        for s in found.iter_mut().filter(|s| here.contains(&s.statement)) {
            let Some(row) = rows[s.statement].take() else {
                return Ok(false);
            };
            s.rows.push(row);
        }
    }
    let depth = if node.band_permutable()? { members } else { 1 };
    for s in found.iter_mut().filter(|s| s.band == 0 && here.contains(&s.statement)) {
        s.band = depth;
    }
    Ok(true)
}
