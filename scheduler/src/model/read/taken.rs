//! Blocks that take iterations of others, as blocks that share them out in turn.
//!
//! In: a kernel's nodes. Out: nodes in which as many blocks as fit the GPU run at once, each every
//! so many iterations: who takes which does not matter where all take as long.
//! Keeps: nothing else changes, so that both ways are predicted by the same counts. That blocks
//! which are late take less is not counted, nor is how they hear of what they take: a warp asks
//! ahead.

use warploom_ir::instruction::{Action, find};
use warploom_ir::kernel::device::{Device, Taking};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode};
use warploom_ir::target::Place;

use super::super::machine::Machine;
use super::roles::resident;

/// The nodes with iterations that are taken shared out in turn.
pub(super) fn in_turn(nodes: &[KernelNode], m: &Machine) -> Vec<KernelNode> {
    nodes.iter().map(|node| in_node(node, m)).collect()
}

fn in_node(node: &KernelNode, m: &Machine) -> KernelNode {
    match node {
        KernelNode::Loop(l) if matches!(l.mode, LoopMode::Mapped(Place::Block(_))) => {
            KernelNode::Loop(shared_out(l, m).unwrap_or_else(|| l.clone()))
        }
        KernelNode::Loop(l) => {
            KernelNode::Loop(KernelLoop { body: in_turn(&l.body, m), ..l.clone() })
        }
        KernelNode::If(c, a, b) => KernelNode::If(c.clone(), in_turn(a, m), in_turn(b, m)),
        KernelNode::Local(_) | KernelNode::Store(_) | KernelNode::Device(_) => node.clone(),
    }
}

/// A loop over blocks whose iterations are taken.
fn shared_out(l: &KernelLoop, m: &Machine) -> Option<KernelLoop> {
    let [KernelNode::Device(d)] = l.body.as_slice() else { return None };
    let Device::Block(block) = &**d else { return None };
    if !block.roles.iter().flat_map(|r| &r.body).any(|node| taking(node).is_some()) {
        return None;
    }
    let members = block.cluster_size()?.max(1);
    let slots = (m.multiprocessors * resident(block, m)) as i64 / members;
    let (slots, mut out) = (slots.max(1), block.clone());
    for role in &mut out.roles {
        role.body = role.body.iter().flat_map(|node| turns(node, l, slots)).collect();
    }
    let end = Index::Add(Box::new(l.lower.clone()), Box::new(Index::Const(slots)));
    let upper = Index::Min(Box::new(l.upper.clone()), Box::new(end));
    let body = vec![Device::Block(out).into()];
    Some(KernelLoop { upper, body, ..l.clone() })
}

fn taking(node: &KernelNode) -> Option<&Taking> {
    let KernelNode::Device(d) = node else { return None };
    let Device::Taking(t) = &**d else { return None };
    Some(t)
}

/// Every `slots`-th iteration, from the block's own on.
fn turns(node: &KernelNode, grid: &KernelLoop, slots: i64) -> Vec<KernelNode> {
    let Some(t) = taking(node) else { return vec![node.clone()] };
    let var = t.vars[0].clone();
    let turns = KernelLoop {
        label: var.clone(),
        var,
        lower: Index::Var(t.of.clone()),
        upper: grid.upper.clone(),
        step: slots,
        mode: LoopMode::Serial,
        body: work(&t.body),
    };
    let mut out = vec![KernelNode::Loop(turns)];
    out.extend(t.last.iter().cloned());
    out
}

/// What a call does.
fn action(node: &KernelNode) -> Option<Action> {
    let KernelNode::Device(d) = node else { return None };
    let Device::Call(call) = &**d else { return None };
    Some(find(&call.instruction)?.action)
}

/// What runs in an iteration until its answer is waited for.
fn work(body: &[KernelNode]) -> Vec<KernelNode> {
    let end = body.iter().position(|n| action(n) == Some(Action::Answer)).unwrap_or(body.len());
    let waits = end > 0 && action(&body[end - 1]) == Some(Action::Wait);
    let asks = body.iter().any(asks);
    if asks { Vec::new() } else { body[..end - usize::from(waits)].to_vec() }
}

/// Whether a node asks for iterations: nothing waits for whoever does only that.
fn asks(node: &KernelNode) -> bool {
    if matches!(action(node), Some(Action::Take | Action::TakeMulticast)) {
        return true;
    }
    match node {
        KernelNode::Loop(l) => l.body.iter().any(asks),
        KernelNode::If(_, a, b) => a.iter().chain(b).any(asks),
        KernelNode::Local(l) => l.body.iter().any(asks),
        KernelNode::Store(_) => false,
        KernelNode::Device(d) => d.bodies().into_iter().flatten().any(asks),
    }
}
