//! Smaller scripts: with fewer steps, with simpler operands.
//!
//! In: a script. Out: candidates, which need not be legal.

use warploom_ir::affine::Affine;
use warploom_ir::schedule::step::{Ref, Script, Step, StepKind};

/// Every script with a run of steps left out, long runs first, also inside `atomically`.
pub(super) fn without_steps(script: &Script) -> Vec<Script> {
    without(&script.steps).into_iter().map(of).collect()
}

/// Every script with one step simplified.
pub(super) fn simpler_steps(script: &Script) -> Vec<Script> {
    let mut out = Vec::new();
    for (k, step) in script.steps.iter().enumerate() {
        for kind in simpler(&step.kind) {
            let mut steps = script.steps.clone();
            steps[k] = kind.into();
            out.push(of(steps));
        }
    }
    out
}

fn of(steps: Vec<Step>) -> Script {
    Script { steps, ..Script::default() }
}

fn without(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut out = Vec::new();
    let mut length = steps.len();
    while length > 0 {
        for start in (0..=steps.len() - length).step_by(length) {
            let mut left = steps.to_vec();
            left.drain(start..start + length);
            out.push(left);
        }
        length /= 2;
    }
    for (k, step) in steps.iter().enumerate() {
        if let StepKind::Atomically(inner) = &step.kind {
            let mut replace = |with: Vec<Step>| {
                let mut all = steps.to_vec();
                all.splice(k..=k, with);
                out.push(all);
            };
            replace(inner.clone());
            for fewer in without(inner).into_iter().filter(|s| !s.is_empty()) {
                replace(vec![StepKind::Atomically(fewer).into()]);
            }
        }
    }
    out
}

/// Smaller positive numbers.
fn below(n: i64) -> Vec<i64> {
    let mut out: Vec<i64> = [1, 2, n / 2, n - 1].into_iter().filter(|&m| 0 < m && m < n).collect();
    out.dedup();
    out
}

/// Tiles with one smaller size, or without names.
fn simpler_tiles(loops: &[Ref], sizes: &[i64], names: &[Ref]) -> Vec<StepKind> {
    let tile = |sizes: Vec<i64>, names: &[Ref]| StepKind::Tile {
        loops: loops.to_vec(),
        sizes,
        names: names.to_vec(),
    };
    let mut out = Vec::new();
    for (k, size) in sizes.iter().enumerate() {
        for less in below(*size) {
            let mut sizes = sizes.to_vec();
            sizes[k] = less;
            out.push(tile(sizes, names));
        }
    }
    if !names.is_empty() {
        out.push(tile(sizes.to_vec(), &[]));
    }
    out
}

fn simpler(kind: &StepKind) -> Vec<StepKind> {
    let mut out = Vec::new();
    match kind {
        StepKind::Tile { loops, sizes, names } => out.extend(simpler_tiles(loops, sizes, names)),
        StepKind::Split { target, size, names } => {
            let target = || target.clone();
            out.extend(below(*size).into_iter().map(|size| StepKind::Split {
                target: target(),
                size,
                names: names.clone(),
            }));
        }
        StepKind::Skew { target, factor, by } if *factor != 1 => {
            out.push(StepKind::Skew { target: target.clone(), factor: 1, by: by.clone() });
        }
        StepKind::Shift { target, by } if *by != Affine::constant(1) => {
            out.push(StepKind::Shift { target: target.clone(), by: Affine::constant(1) });
        }
        StepKind::Fuse { first, second, shift, name } if *shift != 0 => {
            let (first, second, name) = (first.clone(), second.clone(), name.clone());
            out.push(StepKind::Fuse { first, second, shift: 0, name });
        }
        StepKind::Stage { array, readers, at, name, layout, pad, across }
            if !layout.is_empty() || !readers.is_empty() =>
        {
            let (array, at, name) = (array.clone(), at.clone(), name.clone());
            let plain = |readers, layout| StepKind::Stage {
                array: array.clone(),
                readers,
                at: at.clone(),
                name: name.clone(),
                layout,
                pad: *pad,
                across: across.clone(),
            };
            out.push(plain(Vec::new(), layout.clone()));
            out.push(plain(readers.clone(), Vec::new()));
        }
        StepKind::Skew { .. }
        | StepKind::Shift { .. }
        | StepKind::Fuse { .. }
        | StepKind::Stage { .. }
        | StepKind::Reorder { .. }
        | StepKind::Distribute { .. }
        | StepKind::Coalesce { .. }
        | StepKind::Fold { .. }
        | StepKind::Raster { .. }
        | StepKind::SplitReduction { .. }
        | StepKind::Privatise { .. }
        | StepKind::Recall { .. }
        | StepKind::Unroll(_)
        | StepKind::Vectorize(_)
        | StepKind::Parallel(_)
        | StepKind::Map(..)
        | StepKind::Unit(..)
        | StepKind::Tensorize { .. }
        | StepKind::Take { .. }
        | StepKind::Stream { .. }
        | StepKind::Ring { .. }
        | StepKind::Reverse(_)
        | StepKind::Order(_)
        | StepKind::OrderBy(_)
        | StepKind::FuseAt { .. }
        | StepKind::Atomically(_)
        | StepKind::Require(..)
        | StepKind::RequireCode(_) => {}
    }
    out
}
