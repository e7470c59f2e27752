//! Vector loops whose statements have different bounds.
//!
//! isl gives such statements one loop with guards, and lanes have none. The iterations of a vector
//! loop are independent, so that each part of its body may have a loop of its own.
//! In: a tree and the kernel made of it. Out: a tree to make the kernel of instead.
//! Keeps: the order of the instances that depend on each other.

use warploom_ir::kernel::{KernelNode, LoopMode};
use warploom_ir::schedule::{Poly, Tree, TreeLoop};

use crate::steps::sequence;

/// Whether a vector loop holds a guard.
pub(super) fn guarded(body: &[KernelNode]) -> bool {
    inside(body, false)
}

fn inside(body: &[KernelNode], lanes: bool) -> bool {
    body.iter().any(|node| match node {
        KernelNode::If(_, then, otherwise) => {
            lanes || inside(then, lanes) || inside(otherwise, lanes)
        }
        KernelNode::Loop(l) => inside(&l.body, lanes || l.mode == LoopMode::Vector),
        KernelNode::Local(l) => inside(&l.body, lanes),
        KernelNode::Store(_) | KernelNode::Device(_) => false,
    })
}

/// The tree with every vector loop over a sequence distributed, if there is one. A loop that holds
/// a buffer stays whole: its parts share the buffer.
pub(super) fn apart(poly: &Poly, tree: &Tree) -> Option<Tree> {
    match tree {
        Tree::Statement(_) => None,
        Tree::Sequence(children) => {
            let changed: Vec<_> = children.iter().map(|c| apart(poly, c)).collect();
            changed.iter().any(Option::is_some).then(|| {
                let both = changed.into_iter().zip(children);
                sequence(both.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect())
            })
        }
        Tree::Loop(l) => {
            let buffer = poly.scopes.values().any(|scope| scope.at == l.name);
            match &*l.body {
                Tree::Sequence(children) if l.marks.vectorize && !buffer => {
                    Some(sequence(children.iter().map(|child| part(l, child)).collect()))
                }
                Tree::Sequence(_) | Tree::Statement(_) | Tree::Loop(_) => {
                    let body = Box::new(apart(poly, &l.body)?);
                    Some(Tree::Loop(TreeLoop { body, ..l.clone() }))
                }
            }
        }
    }
}

/// A loop around one child of its body, named after the first statement there.
fn part(l: &TreeLoop, child: &Tree) -> Tree {
    let statements = child.statements();
    let mut part = TreeLoop { body: Box::new(child.clone()), ..l.clone() };
    part.rows.retain(|s, _| statements.contains(s));
    if let Some(first) = statements.first() {
        part.name = format!("{first}.{}", l.name).into();
    }
    Tree::Loop(part)
}
