//! Where the buffers of a schedule exist in its kernel.
//!
//! In: a kernel's body without local buffers, and the scopes of the working nest. Out: the same
//! body with each buffer around what one iteration of its loop runs.
//! Keeps: the stores and their order. Where isl leaves out a loop that runs once, its body stands
//! in its place; a buffer then holds all of these bodies that follow each other, which run one
//! after another, and the loops beside them, in which an iteration may go on.
//! Why here: isl's code has no buffers, and may split a loop or leave it out.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Index, KernelNode, Local, Store, TypedKind};
use warploom_ir::schedule::{Poly, Tree};
use warploom_ir::target::Place;

use crate::footprint::around;

/// Adds the local buffers of `poly` to a body.
pub(crate) fn add_locals(mut body: Vec<KernelNode>, poly: &Poly, tree: &Tree) -> Vec<KernelNode> {
    for (name, scope) in &poly.scopes {
        let Some(array) = poly.array(name) else {
            continue;
        };
        let shape = array.shape.iter().filter_map(Affine::as_constant).collect();
        let path = around(tree, &scope.at).into_iter().collect();
        body = Buffer { name, dtype: array.dtype, shape, across: &scope.across, path }.add(body);
    }
    body
}

/// A buffer that is to be added.
struct Buffer<'a> {
    name: &'a Name,
    dtype: DType,
    shape: Vec<i64>,
    across: &'a [Place],
    /// The loops from the root to the one that holds it.
    path: BTreeSet<Name>,
}

impl Buffer<'_> {
    fn add(&self, nodes: Vec<KernelNode>) -> Vec<KernelNode> {
        let bare = |n: &KernelNode| self.used(n) && !self.on_path(n);
        let inner = |n: &KernelNode| self.used(n) && self.on_path(n);
        if nodes.iter().any(bare) && nodes.iter().any(inner) {
            // the bare nodes may be a part of an iteration whose rest is in the loop beside them;
            // iterations run one after another, so one buffer serves them all
            return self.wrap(nodes);
        }
        let mut out = Vec::new();
        let mut inside = Vec::new();
        for node in nodes {
            if !self.used(&node) || !self.on_path(&node) {
                inside.push(node);
                continue;
            }
            out.extend(self.wrap(std::mem::take(&mut inside)));
            out.push(match node {
                KernelNode::Loop(mut l) => {
                    l.body = self.add(l.body);
                    KernelNode::Loop(l)
                }
                KernelNode::If(c, a, b) => KernelNode::If(c, self.add(a), self.add(b)),
                KernelNode::Local(mut l) => {
                    l.body = self.add(l.body);
                    KernelNode::Local(l)
                }
                leaf @ (KernelNode::Store(_) | KernelNode::Device(_)) => leaf,
            });
        }
        out.extend(self.wrap(inside));
        out
    }

    /// The nodes with the buffer around those that use it and what is between.
    fn wrap(&self, mut nodes: Vec<KernelNode>) -> Vec<KernelNode> {
        let Some(first) = nodes.iter().position(|n| self.used(n)) else {
            return nodes;
        };
        let last = nodes.iter().rposition(|n| self.used(n)).unwrap_or(first);
        let after = nodes.split_off(last + 1);
        let body = nodes.split_off(first);
        let (name, dtype, shape) = (self.name.clone(), self.dtype, self.shape.clone());
        let across = self.across.to_vec();
        nodes.push(KernelNode::Local(Local { name, dtype, shape, across, body }));
        nodes.extend(after);
        nodes
    }

    /// Whether all uses below are inside loops that stand around the buffer or hold it.
    fn on_path(&self, node: &KernelNode) -> bool {
        let all =
            |nodes: &[KernelNode]| nodes.iter().filter(|n| self.used(n)).all(|n| self.on_path(n));
        match node {
            KernelNode::Loop(l) => self.path.contains(&l.label),
            KernelNode::If(_, a, b) => all(a) && all(b),
            KernelNode::Local(l) => all(&l.body),
            KernelNode::Store(_) | KernelNode::Device(_) => false,
        }
    }

    fn used(&self, node: &KernelNode) -> bool {
        let any = |nodes: &[KernelNode]| nodes.iter().any(|n| self.used(n));
        match node {
            KernelNode::Loop(l) => any(&l.body),
            KernelNode::If(_, a, b) => any(a) || any(b),
            KernelNode::Local(l) => any(&l.body),
            KernelNode::Store(s) => self.touched(s),
            KernelNode::Device(_) => false,
        }
    }

    fn touched(&self, store: &Store<Index>) -> bool {
        let mut found = store.array == *self.name;
        for value in std::iter::once(&store.value).chain(&store.guard) {
            value.visit(&mut |v| {
                found |= matches!(&v.kind, TypedKind::Read { array, .. } if array == self.name);
            });
        }
        found
    }
}
