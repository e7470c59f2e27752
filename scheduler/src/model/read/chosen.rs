//! Iterations that data choose, as if all of them were.
//!
//! In: a kernel's nodes. Out: nodes in which they are loops.
//! Keeps: nothing else changes. A prediction is the time of the data that choose most: what they
//! leave out takes next to nothing, and which they are is not known when it is made.

use warploom_ir::kernel::device::{Choosing, Device};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, Local};

use crate::specialize::rename;

/// The nodes in which every iteration runs.
pub(super) fn all(nodes: &[KernelNode]) -> Vec<KernelNode> {
    nodes.iter().flat_map(in_node).collect()
}

fn in_node(node: &KernelNode) -> Vec<KernelNode> {
    let made = match node {
        KernelNode::Loop(l) => KernelNode::Loop(KernelLoop { body: all(&l.body), ..l.clone() }),
        KernelNode::If(c, a, b) => KernelNode::If(c.clone(), all(a), all(b)),
        KernelNode::Local(l) => KernelNode::Local(Local { body: all(&l.body), ..l.clone() }),
        KernelNode::Store(_) => node.clone(),
        KernelNode::Device(d) => match &**d {
            Device::Choosing(c) => return every(c),
            other => other.map_bodies(&mut |body| all(body)).into(),
        },
    };
    vec![made]
}

/// The loop over all iterations, and what runs behind the last one.
fn every(c: &Choosing) -> Vec<KernelNode> {
    let [iteration, count] = &c.vars;
    let first = || Box::new(c.lower.clone());
    let so_far = Index::Sub(Box::new(Index::Var(iteration.clone())), first());
    let body = all(&c.body).iter().map(|n| rename(n, count, &so_far)).collect();
    let before = |e| Index::Sub(Box::new(e), Box::new(Index::Const(1)));
    let end = before(c.upper.clone());
    let last = before(Index::Sub(Box::new(c.upper.clone()), first()));
    let at_end = |n: &KernelNode| rename(&rename(n, iteration, &end), count, &last);
    let mut out = vec![KernelNode::Loop(c.all(body))];
    out.extend(all(&c.last).iter().map(at_end));
    out
}
