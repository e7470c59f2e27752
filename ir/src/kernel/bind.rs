//! Fixes parameters of a kernel: every occurrence becomes its value and the parameter goes.
//!
//! Why here: a kernel made for fixed sizes must say so, or its bounds cannot be proved.

use std::collections::BTreeMap;

use super::{Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, Local};
use crate::affine::Name;

type Values = BTreeMap<Name, i64>;

impl Kernel {
    /// The kernel with these parameters replaced by their values.
    #[must_use]
    pub fn bind(&self, values: &Values) -> Self {
        let buffer = |b: &Buffer| Buffer {
            shape: b.shape.iter().map(|e| index(e, values)).collect(),
            ..b.clone()
        };
        Self {
            name: self.name.clone(),
            params: self.params.iter().filter(|p| !values.contains_key(*p)).cloned().collect(),
            buffers: self.buffers.iter().map(buffer).collect(),
            body: nodes(&self.body, values),
        }
    }
}

fn nodes(body: &[KernelNode], values: &Values) -> Vec<KernelNode> {
    body.iter().map(|n| node(n, values)).collect()
}

fn node(n: &KernelNode, values: &Values) -> KernelNode {
    match n {
        KernelNode::Loop(l) => KernelNode::Loop(KernelLoop {
            var: l.var.clone(),
            label: l.label.clone(),
            lower: index(&l.lower, values),
            upper: index(&l.upper, values),
            step: l.step,
            mode: l.mode,
            body: nodes(&l.body, values),
        }),
        KernelNode::If(c, then, otherwise) => {
            KernelNode::If(condition(c, values), nodes(then, values), nodes(otherwise, values))
        }
        KernelNode::Store(s) => KernelNode::Store(s.map_index(&mut |i| index(i, values))),
        KernelNode::Local(l) => KernelNode::Local(Local {
            name: l.name.clone(),
            dtype: l.dtype,
            shape: l.shape.clone(),
            across: l.across.clone(),
            body: nodes(&l.body, values),
        }),
        KernelNode::Device(d) => {
            let d = d.map_index(&mut |i| index(i, values));
            d.map_bodies(&mut |body| nodes(body, values)).into()
        }
    }
}

fn index(i: &Index, values: &Values) -> Index {
    let go = |e: &Index| Box::new(index(e, values));
    match i {
        Index::Const(c) => Index::Const(*c),
        Index::Var(name) => {
            values.get(name).map_or_else(|| Index::Var(name.clone()), |&v| Index::Const(v))
        }
        Index::Add(a, b) => Index::Add(go(a), go(b)),
        Index::Sub(a, b) => Index::Sub(go(a), go(b)),
        Index::Mul(c, a) => Index::Mul(*c, go(a)),
        Index::FloorDiv(a, d) => Index::FloorDiv(go(a), *d),
        Index::Mod(a, d) => Index::Mod(go(a), *d),
        Index::Min(a, b) => Index::Min(go(a), go(b)),
        Index::Max(a, b) => Index::Max(go(a), go(b)),
        Index::Select(c, a, b) => Index::Select(Box::new(condition(c, values)), go(a), go(b)),
    }
}

fn condition(c: &Condition, values: &Values) -> Condition {
    match c {
        Condition::Ge(a, b) => Condition::Ge(index(a, values), index(b, values)),
        Condition::Eq(a, b) => Condition::Eq(index(a, values), index(b, values)),
        Condition::All(all) => Condition::All(all.iter().map(|c| condition(c, values)).collect()),
        Condition::Any(any) => Condition::Any(any.iter().map(|c| condition(c, values)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_parameter_is_gone() {
        let at = Index::Sub(Box::new(Index::Var("N".into())), Box::new(Index::Var("M".into())));
        let values = Values::from([("N".into(), 4)]);
        let want = Index::Sub(Box::new(Index::Const(4)), Box::new(Index::Var("M".into())));
        assert_eq!(index(&at, &values), want);
    }
}
