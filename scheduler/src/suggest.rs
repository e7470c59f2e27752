//! The nearest legal step to a refused one.
//!
//! In: a schedule and a step that breaks a dependence. Out: a sentence that names a step (or two)
//! that the same checker accepts, the first of a short list; nothing where none of them is legal.
//! Keeps: at most [`MOST`] steps are tried, so that a refusal stays quick.
//! Why here: a refusal should say what to write instead.

use warploom_ir::affine::Name;
use warploom_ir::schedule::step::{Ref, Step, StepKind};

use crate::footprint::around;
use crate::legality::Illegal;
use crate::schedule::{Schedule, Session};
use crate::steps::resolve;

/// How many alternatives are tried.
const MOST: usize = 24;

/// What to write instead of `step`.
pub(crate) fn nearest(
    schedule: &Schedule,
    session: &mut Session,
    step: &Step,
    illegal: &Illegal,
) -> Option<String> {
    illegal.witness.as_ref()?;
    match &step.kind {
        StepKind::Tile { loops, sizes, .. } => {
            let fewer = (1..loops.len()).rev().map(|n| {
                let (loops, sizes) = (loops[..n].to_vec(), sizes[..n].to_vec());
                vec![StepKind::Tile { loops, sizes, names: Vec::new() }]
            });
            let all = skews(schedule, loops, &step.kind).into_iter().chain(fewer);
            first_legal(schedule, session, all.collect())
        }
        StepKind::Reorder { loops } => {
            first_legal(schedule, session, skews(schedule, loops, &step.kind))
        }
        StepKind::Fuse { first, second, shift, name } => {
            let shifted = (1..=8).map(|d| {
                let (first, second) = (first.clone(), second.clone());
                let shift = shift.saturating_add(d);
                vec![StepKind::Fuse { first, second, shift, name: name.clone() }]
            });
            first_legal(schedule, session, shifted.collect())
        }
        StepKind::Parallel(_) => independent(schedule, session, StepKind::Parallel),
        StepKind::Map(_, place) => independent(schedule, session, |l| StepKind::Map(l, *place)),
        StepKind::Vectorize(_) => independent(schedule, session, StepKind::Vectorize),
        StepKind::SplitReduction { .. } if illegal.diagnostic.code == "E0727" => {
            independent(schedule, session, StepKind::Parallel)
        }
        StepKind::SplitReduction { target, name, .. } => {
            let inner = resolve(schedule.tree(), target).ok()?;
            let loops = around(schedule.tree(), &inner).into_iter().filter(|l| *l != inner);
            let placed = loops.map(|l| {
                let (target, at, name) = (target.clone(), Some(Ref::from(l)), name.clone());
                vec![StepKind::SplitReduction { target, at, name }]
            });
            first_legal(schedule, session, placed.collect())
        }
        StepKind::Split { .. }
        | StepKind::Unit(..)
        | StepKind::Tensorize { .. }
        | StepKind::Take { .. }
        | StepKind::Stream { .. }
        | StepKind::Ring { .. }
        | StepKind::Privatise { .. }
        | StepKind::Recall { .. }
        | StepKind::Distribute { .. }
        | StepKind::Skew { .. }
        | StepKind::Shift { .. }
        | StepKind::Coalesce { .. }
        | StepKind::Raster { .. }
        | StepKind::Unroll(_)
        | StepKind::Reverse(_)
        | StepKind::Order(_)
        | StepKind::OrderBy(_)
        | StepKind::Stage { .. }
        | StepKind::Fold { .. }
        | StepKind::FuseAt { .. }
        | StepKind::Atomically(_)
        | StepKind::Require(..)
        | StepKind::RequireCode(_) => None,
    }
}

/// The step behind a skew of one of its loops by another that is around it.
fn skews(schedule: &Schedule, loops: &[Ref], step: &StepKind) -> Vec<Vec<StepKind>> {
    let tree = schedule.tree();
    let names: Vec<Name> = loops.iter().filter_map(|r| resolve(tree, r).ok()).collect();
    let mut out = Vec::new();
    for factor in [1, 2, 3] {
        for inner in &names {
            for outer in names.iter().filter(|o| *o != inner) {
                if tree.find(outer).is_some_and(|l| l.body.find(inner).is_some()) {
                    let (target, by) = (Ref::from(inner.clone()), Ref::from(outer.clone()));
                    out.push(vec![StepKind::Skew { target, factor, by }, step.clone()]);
                }
            }
        }
    }
    out
}

fn first_legal(
    schedule: &Schedule,
    session: &mut Session,
    candidates: Vec<Vec<StepKind>>,
) -> Option<String> {
    candidates.into_iter().take(MOST).find_map(|steps| {
        let mut at = schedule.clone();
        for step in &steps {
            at = at.attempt(session, &Step::from(step.clone())).ok()?;
        }
        let texts: Vec<String> = steps.iter().map(ToString::to_string).collect();
        Some(format!("this is legal: `{}`", texts.join("; ")))
    })
}

/// The loops that may be marked.
fn independent(
    schedule: &Schedule,
    session: &mut Session,
    mark: impl Fn(Ref) -> StepKind,
) -> Option<String> {
    let names: Vec<Name> = schedule.tree().loops().iter().map(|l| l.name.clone()).collect();
    let legal: Vec<String> = names
        .into_iter()
        .take(MOST)
        .filter(|name| {
            let step = Step::from(mark(Ref::from(name.clone())));
            schedule.attempt(session, &step).is_ok()
        })
        .map(|name| format!("`{}`", mark(Ref::from(name))))
        .collect();
    (!legal.is_empty()).then(|| format!("this is legal: {}", legal.join(", ")))
}
