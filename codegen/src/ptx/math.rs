//! Functions that a GPU has no instruction for: which there is no code for yet.
//!
//! Why here: a host calls its library for them, and nothing links PTX.

use warploom_ir::expr::{BinOp, UnOp};
use warploom_ir::kernel::{Index, KernelNode, Typed, TypedKind};

/// A function in these nodes that there is no code for, if there is one.
pub(super) fn missing(nodes: &[KernelNode]) -> Option<&'static str> {
    nodes.iter().find_map(|node| match node {
        KernelNode::Loop(l) => missing(&l.body),
        KernelNode::If(_, a, b) => missing(a).or_else(|| missing(b)),
        KernelNode::Local(l) => missing(&l.body),
        KernelNode::Store(s) => {
            let mut found = None;
            for value in std::iter::once(&s.value).chain(&s.guard) {
                value.visit(&mut |v| found = found.or_else(|| function(v)));
            }
            found
        }
    })
}

fn function(value: &Typed<Index>) -> Option<&'static str> {
    match &value.kind {
        TypedKind::Unary(op, _) => match op {
            UnOp::Exp | UnOp::Exp2 | UnOp::Log | UnOp::Log2 | UnOp::Tanh | UnOp::Erf => {
                Some(op.name())
            }
            UnOp::Neg
            | UnOp::Not
            | UnOp::Abs
            | UnOp::Rint
            | UnOp::Floor
            | UnOp::Ceil
            | UnOp::Trunc
            | UnOp::Sqrt
            | UnOp::Rsqrt
            | UnOp::Exponent
            | UnOp::IsFinite => None,
        },
        TypedKind::Binary(BinOp::Pow, ..) => Some(BinOp::Pow.name()),
        TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Read { .. }
        | TypedKind::Binary(..)
        | TypedKind::Fma(..)
        | TypedKind::Select(..)
        | TypedKind::Convert { .. }
        | TypedKind::Bitcast(_) => None,
    }
}
