//! The shape of mapped loops: loops and guards of the host, and launches on a GPU inside them.
//!
//! In: a kernel's body. Out: what keeps it from being launched.
//! Keeps: mapped loops stand perfectly nested at the top of a launch, each place once; their bounds
//! are known before the launch: of blocks over the parameters and the host's loops, of threads
//! constant; a block has at most [`MAX_THREADS`] threads.
//! Why here: code generation takes grid and block from the loops without looking for them.

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::kernel::{Condition, HostNode, Index, KernelLoop, KernelNode, LoopMode};
use warploom_ir::target::{Axis, Place};

/// Most threads of a block, on every GPU.
const MAX_THREADS: i64 = 1024;
/// Most threads along z.
const MAX_Z: i64 = 64;

/// What keeps the nodes of a body from being launches.
pub(super) fn faults(body: &[KernelNode], params: &BTreeSet<Name>) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    host(&HostNode::of(body), &mut params.clone(), &mut out);
    out
}

fn fault(code: &'static str, text: String) -> Diagnostic {
    Diagnostic::new(code, Blame::Schedule, text)
}

/// `known` are the parameters and the variables of the host's loops.
fn host(nodes: &[HostNode<'_>], known: &mut BTreeSet<Name>, out: &mut Vec<Diagnostic>) {
    for node in nodes {
        match node {
            HostNode::Launch([one]) => launch(one, known, out),
            HostNode::Launch(nodes) => nodes.iter().for_each(|n| stray(n, out)),
            HostNode::Loop(l, body) => {
                known.insert(l.var.clone());
                host(body, known, out);
                known.remove(&l.var);
            }
            HostNode::If(_, then, otherwise) => {
                host(then, known, out);
                host(otherwise, known, out);
            }
        }
    }
}

fn launch(node: &KernelNode, known: &BTreeSet<Name>, out: &mut Vec<Diagnostic>) {
    let (mut places, mut threads) = (BTreeSet::new(), 1_i64);
    let mut at = node;
    while let Some((l, place)) = mapped(at) {
        if !places.insert(place) {
            let text = format!("loop `{}` is mapped to {}, as one around it", l.var, place.name());
            out.push(fault("E1008", text));
        }
        match place {
            Place::Thread(axis) => match trip(l) {
                Some(n) if axis == Axis::Z && n > MAX_Z => out.push(too_many(l, n, MAX_Z)),
                Some(n) => threads = threads.saturating_mul(n.max(1)),
                None => {
                    let text = format!(
                        "the bounds of loop `{}`, mapped to {}, are not constant",
                        l.var,
                        place.name()
                    );
                    out.push(fault("E1009", text));
                }
            },
            Place::Block(_) => {
                if !(over(&l.lower, known) && over(&l.upper, known)) {
                    let text = format!(
                        "the bounds of loop `{}`, mapped to {}, depend on a loop of the launch",
                        l.var,
                        place.name()
                    );
                    out.push(fault("E1009", text));
                }
            }
        }
        if threads > MAX_THREADS {
            out.push(too_many(l, threads, MAX_THREADS));
            threads = 1;
        }
        let [inside] = l.body.as_slice() else {
            return l.body.iter().for_each(|n| stray(n, out));
        };
        at = inside;
    }
    stray(at, out);
}

fn too_many(l: &KernelLoop, found: i64, limit: i64) -> Diagnostic {
    let text =
        format!("with loop `{}` a block has {found} threads, and {limit} are possible", l.var);
    fault("E1010", text)
}

fn mapped(node: &KernelNode) -> Option<(&KernelLoop, Place)> {
    match node {
        KernelNode::Loop(l) => match l.mode {
            LoopMode::Mapped(place) => Some((l, place)),
            LoopMode::Serial | LoopMode::Parallel | LoopMode::Vector | LoopMode::Unroll => None,
        },
        KernelNode::If(..) | KernelNode::Store(_) | KernelNode::Local(_) => None,
    }
}

/// Mapped loops below the top of a launch.
fn stray(node: &KernelNode, out: &mut Vec<Diagnostic>) {
    match node {
        KernelNode::Loop(l) => {
            if let Some((l, place)) = mapped(node) {
                let text = format!(
                    "loop `{}` is mapped to {}, but the nest around it does not consist of mapped \
                     loops alone",
                    l.var,
                    place.name()
                );
                out.push(fault("E1008", text).help("distribute or reorder the loops around it"));
            }
            l.body.iter().for_each(|n| stray(n, out));
        }
        KernelNode::If(_, then, otherwise) => {
            then.iter().chain(otherwise).for_each(|n| stray(n, out));
        }
        KernelNode::Local(l) => l.body.iter().for_each(|n| stray(n, out)),
        KernelNode::Store(_) => {}
    }
}

/// How many iterations a loop with constant bounds has.
fn trip(l: &KernelLoop) -> Option<i64> {
    match (&l.lower, &l.upper) {
        (Index::Const(a), Index::Const(b)) => {
            let length = i128::from(*b) - i128::from(*a);
            let step = i128::from(l.step.max(1));
            i64::try_from((length + step - 1).div_euclid(step)).ok()
        }
        _ => None,
    }
}

/// Whether an index uses known variables only.
fn over(index: &Index, known: &BTreeSet<Name>) -> bool {
    match index {
        Index::Const(_) => true,
        Index::Var(name) => known.contains(name),
        Index::Add(a, b) | Index::Sub(a, b) | Index::Min(a, b) | Index::Max(a, b) => {
            over(a, known) && over(b, known)
        }
        Index::Mul(_, a) | Index::FloorDiv(a, _) | Index::Mod(a, _) => over(a, known),
        Index::Select(c, a, b) => over_condition(c, known) && over(a, known) && over(b, known),
    }
}

fn over_condition(c: &Condition, known: &BTreeSet<Name>) -> bool {
    match c {
        Condition::Ge(a, b) | Condition::Eq(a, b) => over(a, known) && over(b, known),
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().all(|p| over_condition(p, known))
        }
    }
}

#[cfg(test)]
mod tests;
