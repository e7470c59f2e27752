//! Sums that a guard on data leaves out as a whole: code tests it once, before their loops.
//!
//! In: a loop of a thread. Out: the guard of all that is inside, where it reads data and nothing
//! that moves along the loops.
//! Keeps: such sums count as left out, and what their guard reads once: a prediction is for data of
//! which none need them, such as an emulated product without infinities.
//! Why here: the data are not known when a time is predicted, and the automatic schedule of such
//! sums (`auto/gpu_rare`) expects the same.

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind};
use warploom_ir::nest::AssignOp;

/// The guard that leaves out all that a loop does.
pub(super) fn guard(l: &KernelLoop) -> Option<&Typed<Index>> {
    let (mut vars, mut stores) = (Vec::new(), Vec::new());
    if !inside(l, &mut vars, &mut stores) {
        return None;
    }
    let first = stores.first()?.guard.as_ref()?;
    let same = |s: &&Store<Index>| s.op != AssignOp::Set && s.guard.as_ref() == Some(first);
    let (mut reads, mut moves) = (false, false);
    first.visit_indices(&mut |i| moves |= vars.iter().any(|v| i.uses(v)));
    first.visit(&mut |t| {
        if let TypedKind::Read { array, .. } = &t.kind {
            reads = true;
            moves |= stores.iter().any(|s| s.array == *array);
        }
    });
    (reads && !moves && stores.iter().all(same)).then_some(first)
}

/// Collects the variables and stores of a loop; false where it holds anything else.
fn inside<'k>(
    l: &'k KernelLoop,
    vars: &mut Vec<&'k Name>,
    stores: &mut Vec<&'k Store<Index>>,
) -> bool {
    vars.push(&l.var);
    matches!(l.mode, LoopMode::Serial | LoopMode::Unroll)
        && l.body.iter().all(|node| match node {
            KernelNode::Loop(inner) => inside(inner, vars, stores),
            KernelNode::Store(s) => {
                stores.push(s);
                true
            }
            KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => false,
        })
}
