//! Versions of inner loops with constant trip counts.
//!
//! In: a kernel's body. Out: the same, where a nest of vector or unrolled loops whose last tile is
//! partial stands twice or three times: for full tiles with constant bounds, where only the vector
//! loop is full, and as it was. Vector and unrolled loops start at 0 where their start is affine.
//! Keeps: the same instances in the same order.
//! Why here: code generation keeps accumulators in registers only where trip counts are constant.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::kernel::{Condition, Index, KernelLoop, KernelNode, Local, LoopMode, Store};
use warploom_ir::planted::{Bug, planted};

use crate::index::{
    difference, operands, replace, replace_condition, simplify, simplify_condition, to_affine,
};

/// Specialises every nest of vector and unrolled loops in a body.
pub(crate) fn specialize(body: Vec<KernelNode>) -> Vec<KernelNode> {
    body.into_iter().flat_map(node).collect()
}

/// The same body with a name of its own for each loop variable; `taken` are names to avoid.
pub(crate) fn distinct(body: Vec<KernelNode>, taken: &mut BTreeSet<Name>) -> Vec<KernelNode> {
    let mut out = Vec::new();
    for node in body {
        out.push(match node {
            KernelNode::Loop(l) => distinct_loop(l, taken),
            KernelNode::If(c, a, b) => KernelNode::If(c, distinct(a, taken), distinct(b, taken)),
            node @ (KernelNode::Store(_) | KernelNode::Device(_)) => node,
            KernelNode::Local(l) => KernelNode::Local(with_body(l, |b| distinct(b, taken))),
        });
    }
    out
}

fn distinct_loop(mut l: KernelLoop, taken: &mut BTreeSet<Name>) -> KernelNode {
    let mut name = l.var.clone();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{}_{count}", l.var).into();
    }
    if name != l.var {
        let value = Index::Var(name.clone());
        l.body = l.body.iter().map(|n| rename(n, &l.var, &value)).collect();
        l.var = name;
    }
    l.body = distinct(l.body, taken);
    KernelNode::Loop(l)
}

fn node(node: KernelNode) -> Vec<KernelNode> {
    match node {
        KernelNode::Loop(l) if is_inner(&l) => vec![versions(normalize(l))],
        KernelNode::Loop(mut l) => {
            l.body = specialize(l.body);
            vec![hoist(l)]
        }
        KernelNode::If(c, then, otherwise) => {
            let (then, otherwise) = (specialize(then), specialize(otherwise));
            match simplify_condition(&c) {
                Condition::All(parts) if parts.is_empty() => then,
                Condition::Any(parts) if parts.is_empty() => otherwise,
                c => vec![KernelNode::If(c, then, otherwise)],
            }
        }
        node @ (KernelNode::Store(_) | KernelNode::Device(_)) => vec![node],
        KernelNode::Local(l) => vec![KernelNode::Local(with_body(l, specialize))],
    }
}

/// A local buffer with its body changed.
fn with_body(l: Local, f: impl FnOnce(Vec<KernelNode>) -> Vec<KernelNode>) -> Local {
    Local { body: f(l.body), ..l }
}

fn is_inner(l: &KernelLoop) -> bool {
    matches!(l.mode, LoopMode::Vector | LoopMode::Unroll)
}

/// Every vector and unrolled loop starts at 0 and has step 1, where that can be written.
fn normalize(mut l: KernelLoop) -> KernelLoop {
    if is_inner(&l) && l.step == 1 && l.lower != Index::Const(0) && to_affine(&l.lower).is_some() {
        let start = l.lower.clone();
        let length = Index::Sub(Box::new(l.upper.clone()), Box::new(start.clone()));
        l.upper = simplify(&length);
        l.lower = Index::Const(0);
        let var = Index::Var(l.var.clone());
        let value = simplify(&Index::Add(Box::new(start), Box::new(var)));
        let name = l.var.clone();
        l.body = l.body.iter().map(|n| rename(n, &name, &value)).collect();
    }
    l.body = normalize_all(l.body);
    l
}

fn normalize_all(nodes: Vec<KernelNode>) -> Vec<KernelNode> {
    nodes
        .into_iter()
        .map(|n| match n {
            KernelNode::Loop(inner) => KernelNode::Loop(normalize(inner)),
            KernelNode::If(c, a, b) => KernelNode::If(c, normalize_all(a), normalize_all(b)),
            node @ (KernelNode::Store(_) | KernelNode::Device(_)) => node,
            KernelNode::Local(l) => KernelNode::Local(with_body(l, normalize_all)),
        })
        .collect()
}

/// A node with a variable replaced.
pub(crate) fn rename(node: &KernelNode, name: &Name, value: &Index) -> KernelNode {
    let lookup = |v: &str| (v == &**name).then(|| value.clone());
    let index = |i: &Index| simplify(&replace(i, &lookup));
    let all = |nodes: &[KernelNode]| nodes.iter().map(|n| rename(n, name, value)).collect();
    match node {
        KernelNode::Loop(l) => KernelNode::Loop(KernelLoop {
            lower: index(&l.lower),
            upper: index(&l.upper),
            body: all(&l.body),
            ..l.clone()
        }),
        KernelNode::If(c, a, b) => {
            KernelNode::If(simplify_condition(&replace_condition(c, &lookup)), all(a), all(b))
        }
        KernelNode::Store(s) => KernelNode::Store(store(s, &index)),
        KernelNode::Local(l) => KernelNode::Local(Local { body: all(&l.body), ..l.clone() }),
        KernelNode::Device(d) => {
            let d = d.map_index(&mut |i| index(i));
            d.map_bodies(&mut |body| all(body)).into()
        }
    }
}

fn store(s: &Store<Index>, f: &dyn Fn(&Index) -> Index) -> Store<Index> {
    s.map_index(&mut |i| f(i))
}

/// A loop of the nest whose trip count is constant where a condition holds.
struct Partial {
    var: Name,
    mode: LoopMode,
    start: Index,
    full: i64,
    condition: Condition,
}

/// The versions of a nest of inner loops.
fn versions(l: KernelLoop) -> KernelNode {
    let mut partial = Vec::new();
    let mut inside = Vec::new();
    collect(&l, &mut inside, &mut partial);
    let whole = KernelNode::Loop(l);
    if partial.is_empty() {
        return whole;
    }
    let version = |of: &[&Partial], otherwise: KernelNode| {
        let mut full = whole.clone();
        for p in of {
            full = with_trip(full, p);
        }
        let conditions = of.iter().map(|p| p.condition.clone()).collect();
        let condition = simplify_condition(&Condition::All(conditions));
        KernelNode::If(condition, vec![full], vec![otherwise])
    };
    let all: Vec<&Partial> = partial.iter().collect();
    let lanes: Vec<&Partial> = partial.iter().filter(|p| p.mode == LoopMode::Vector).collect();
    let rest = if lanes.is_empty() || lanes.len() == all.len() {
        whole.clone()
    } else {
        version(&lanes, whole.clone())
    };
    version(&all, rest)
}

/// The loops in a nest whose trip count is constant if all but one bound at each end hold; the
/// condition for that says it for all iterations of the loops `inside` around it.
fn collect(l: &KernelLoop, inside: &mut Vec<KernelLoop>, out: &mut Vec<Partial>) {
    if l.step == 1 && is_inner(l) {
        out.extend(partial(l, inside));
    }
    inside.push(KernelLoop { body: Vec::new(), ..l.clone() });
    collect_in(&l.body, inside, out);
    inside.pop();
}

fn partial(l: &KernelLoop, inside: &[KernelLoop]) -> Option<Partial> {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    operands(&l.lower, false, &mut starts);
    operands(&l.upper, true, &mut ends);
    if starts.len() + ends.len() <= 2 {
        return None;
    }
    let trips = starts.iter().filter_map(|start| {
        let trip = ends.iter().filter_map(|end| difference(end, start)).min()?;
        Some((trip, *start))
    });
    let (full, start) = trips.filter(|(trip, _)| *trip > 0).min_by_key(|(trip, _)| *trip)?;
    let seen = full - i64::from(planted(Bug::TileRemainder));
    let end = simplify(&Index::Add(Box::new(start.clone()), Box::new(Index::Const(seen))));
    let mut conditions = Vec::new();
    for other in starts {
        conditions.push((start.clone(), other.clone()));
    }
    for other in ends {
        conditions.push((other.clone(), end.clone()));
    }
    let all = conditions
        .into_iter()
        .map(|(a, b)| throughout(&Index::Sub(Box::new(a), Box::new(b)), inside))
        .collect::<Option<Vec<_>>>()?;
    let condition = simplify_condition(&Condition::All(all));
    Some(Partial { var: l.var.clone(), mode: l.mode, start: start.clone(), full, condition })
}

/// That a value is not negative in any iteration of the loops around it, innermost last; nothing
/// where its least value cannot be written.
fn throughout(value: &Index, inside: &[KernelLoop]) -> Option<Condition> {
    let mut least = simplify(value);
    for l in inside.iter().rev() {
        if !least.uses(&l.var) {
            continue;
        }
        let last = Index::Sub(Box::new(l.upper.clone()), Box::new(Index::Const(1)));
        let affine = to_affine(&least)?;
        let factor = affine.coefficient(&l.var);
        let rest = affine.sub(&Affine::var(l.var.clone()).scale(factor).ok()?).ok()?;
        if rest.vars().contains(&l.var) {
            return None;
        }
        let end = if factor > 0 { l.lower.clone() } else { last };
        least = simplify(&replace(&least, &|v| (v == &*l.var).then(|| end.clone())));
    }
    Some(Condition::Ge(least, Index::Const(0)))
}

fn collect_in(nodes: &[KernelNode], inside: &mut Vec<KernelLoop>, out: &mut Vec<Partial>) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => collect(l, inside, out),
            KernelNode::If(_, a, b) => {
                collect_in(a, inside, out);
                collect_in(b, inside, out);
            }
            KernelNode::Store(_) | KernelNode::Device(_) => {}
            KernelNode::Local(l) => collect_in(&l.body, inside, out),
        }
    }
}

/// A node with this loop running its full trip.
fn with_trip(node: KernelNode, full: &Partial) -> KernelNode {
    let all = |nodes: Vec<KernelNode>| nodes.into_iter().map(|n| with_trip(n, full)).collect();
    match node {
        KernelNode::Loop(mut l) => {
            if l.var == full.var {
                let trip = Box::new(Index::Const(full.full));
                l.upper = simplify(&Index::Add(Box::new(full.start.clone()), trip));
                l.lower = full.start.clone();
            }
            l.body = all(l.body);
            KernelNode::Loop(l)
        }
        KernelNode::If(c, a, b) => KernelNode::If(c, all(a), all(b)),
        node @ (KernelNode::Store(_) | KernelNode::Device(_)) => node,
        KernelNode::Local(l) => KernelNode::Local(with_body(l, all)),
    }
}

/// `for x { if c {A} else {B} }` as `if c { for x {A} } else { for x {B} }` where `x` is not in
/// `c` and the loop is serial: a reduction's loop then stands around constant trips only.
fn hoist(mut l: KernelLoop) -> KernelNode {
    if l.mode == LoopMode::Serial && l.body.len() == 1 {
        match l.body.remove(0) {
            KernelNode::If(c, a, b) if !c.uses(&l.var) && !b.is_empty() => {
                let mut other = l.clone();
                l.body = a;
                other.body = b;
                return KernelNode::If(c, vec![hoist(l)], vec![hoist(other)]);
            }
            single => l.body.push(single),
        }
    }
    KernelNode::Loop(l)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use warploom_ir::dtype::DType;
    use warploom_ir::interp::kernel::run;
    use warploom_ir::kernel::Kernel;
    use warploom_ir::tensor::Tensor;

    use super::*;

    const PACKED: &str = "kernel k(N) {
      in A: i32[N]
      out B: i32[N]
      for i in 0..N step 4 {
        local T: i32[4] {
          for j in i..min(i + 4, N) vector { S0: T[j - i]:i32 = A[j]:i32 order serial }
          for k in 0..min(4, N - i) unroll {
            local U: i32[4] {
              for l in 0..min(4, N - i) vector {
                S1: U[l]:i32 = add.i32(T[l]:i32, index.i32(i)) order serial
              }
              S2: B[i + k]:i32 = U[k]:i32 order serial
            }
          }
        }
      }
    }";

    #[test]
    fn versions_of_loops_keep_their_local_buffers() {
        let kernel: Kernel = PACKED.parse().unwrap_or_else(|e| panic!("{e}"));
        let mut special = kernel.clone();
        special.body = distinct(specialize(kernel.body.clone()), &mut BTreeSet::new());
        let text = special.to_string();
        assert!(text.matches("local U").count() > 1 && text.matches("local T").count() == 1);
        for n in [0, 3, 4, 9] {
            let values: Vec<f64> = (0..n).map(f64::from).collect();
            let a = Tensor::from_f64s(DType::I32, &[values.len()], &values).expect("fits");
            let inputs = BTreeMap::from([("A".into(), a)]);
            let sizes = BTreeMap::from([("N".into(), n.into())]);
            let go = |k| run(k, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(go(&special)["B"].to_f64s(), go(&kernel)["B"].to_f64s());
        }
    }
}
