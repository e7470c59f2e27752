//! Guards on data that are the same in all iterations of a loop: tested once, before it.
//!
//! In: a loop of one thread. Out: where all its stores have one guard, which reads nothing that the
//! loop writes or counts, that guard, and the loop without it.
//! Keeps: the loops' structure; an iteration has no effect where its guards do not hold.
//! Why here: LLVM makes predicates of such guards and runs all iterations of loops that do nothing.

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{
    Condition, Index, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind,
};

/// What is inside a loop.
#[derive(Default)]
struct Inside<'k> {
    vars: BTreeSet<&'k Name>,
    written: BTreeSet<&'k Name>,
    guards: Vec<Option<&'k Typed<Index>>>,
}

impl<'k> Inside<'k> {
    /// Adds a loop; false where it holds more than loops of this thread and stores.
    fn add(&mut self, l: &'k KernelLoop) -> bool {
        self.vars.insert(&l.var);
        let own = matches!(l.mode, LoopMode::Serial | LoopMode::Unroll);
        own && l.body.iter().all(|node| match node {
            KernelNode::Loop(inner) => self.add(inner),
            KernelNode::Store(s) => {
                self.written.insert(&s.array);
                self.guards.push(s.guard.as_ref());
                true
            }
            KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => false,
        })
    }

    /// Whether an expression is the same in all iterations.
    fn still(&self, t: &Typed<Index>) -> bool {
        match &t.kind {
            TypedKind::Literal(_) => true,
            TypedKind::Index(index) => self.fixed(index),
            TypedKind::Read { array, indices } => {
                !self.written.contains(array) && indices.iter().all(|i| self.fixed(i))
            }
            TypedKind::Unary(_, a) | TypedKind::Bitcast(a) => self.still(a),
            TypedKind::Convert { value, .. } => self.still(value),
            TypedKind::Binary(_, a, b) => self.still(a) && self.still(b),
            TypedKind::Fma(a, b, c) | TypedKind::Select(a, b, c) => {
                self.still(a) && self.still(b) && self.still(c)
            }
        }
    }

    fn fixed(&self, index: &Index) -> bool {
        match index {
            Index::Const(_) => true,
            Index::Var(name) => !self.vars.contains(name),
            Index::Mul(_, a) | Index::FloorDiv(a, _) | Index::Mod(a, _) => self.fixed(a),
            Index::Add(a, b) | Index::Sub(a, b) | Index::Min(a, b) | Index::Max(a, b) => {
                self.fixed(a) && self.fixed(b)
            }
            Index::Select(c, a, b) => self.holds_still(c) && self.fixed(a) && self.fixed(b),
        }
    }

    fn holds_still(&self, c: &Condition) -> bool {
        match c {
            Condition::Ge(a, b) | Condition::Eq(a, b) => self.fixed(a) && self.fixed(b),
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().all(|p| self.holds_still(p))
            }
        }
    }
}

/// The guard of all that a loop does, and the loop without it.
pub(super) fn shared(l: &KernelLoop) -> Option<(Typed<Index>, KernelLoop)> {
    let mut inside = Inside::default();
    let plain = inside.add(l);
    let guard = inside.guards.first().copied().flatten()?;
    let one = inside.guards.iter().all(|g| *g == Some(guard));
    (plain && one && inside.still(guard)).then(|| (guard.clone(), unguarded(l)))
}

fn unguarded(l: &KernelLoop) -> KernelLoop {
    let node = |node: &KernelNode| match node {
        KernelNode::Loop(inner) => KernelNode::Loop(unguarded(inner)),
        KernelNode::Store(s) => KernelNode::Store(Store { guard: None, ..s.clone() }),
        KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => node.clone(),
    };
    KernelLoop { body: l.body.iter().map(node).collect(), ..l.clone() }
}
