//! Launches: a kernel whose block loops stand perfectly nested below the host's loops and guards,
//! and around a program of phases.
//!
//! In: a kernel, best with its sizes bound. Out: the same kernel, where serial loops and guards
//! around the outermost mapped loops are the host's, and each launch inside them starts with block
//! loops, their bounds over the parameters and the host's loops. Inside them thread loops are
//! perfectly nested in each other, start at 0 and have a constant length. What that adds to the
//! iterations, a guard cuts off, which in the program of a block is inside each role. Guards that
//! the bounds make true are gone. A serial loop whose launches would all be of one block is inside
//! one launch of one block.
//! Keeps: each instance runs once. Iterations of mapped loops are independent, so their loops may
//! be distributed, block loops move outside thread loops, and guards move inside.
//! Where a block loop is inside a serial one of a launch or a local buffer it stays there, and so
//! does a thread loop in a serial one in a thread loop; the verifier says so.

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::kernel::device::{Device, any_program};
use warploom_ir::kernel::{Condition, Index, Kernel, KernelLoop, KernelNode, Local, LoopMode};
use warploom_ir::target::{Axis, Place};

use crate::index::{constant, difference, operands, simplify, simplify_condition, to_affine};
use crate::specialize::{distinct, rename};

/// The kernel as launches.
#[must_use]
pub fn launches(kernel: &Kernel) -> Kernel {
    if !kernel.body.iter().any(KernelNode::has_mapped) {
        return kernel.clone();
    }
    let body = host(kernel.body.clone(), &mut Vec::new());
    let mut taken: BTreeSet<Name> = kernel.params.iter().cloned().collect();
    Kernel { body: distinct(body, &mut taken), ..kernel.clone() }
}

/// The mapped loops around a body, outermost first; their own bodies are empty.
struct Nest {
    loops: Vec<KernelLoop>,
    body: Vec<KernelNode>,
}

fn nodes(loops: Vec<KernelLoop>, body: Vec<KernelNode>) -> Vec<KernelNode> {
    (loops.into_iter().rev()).fold(body, |body, l| vec![KernelNode::Loop(KernelLoop { body, ..l })])
}

/// Block loops around what a block runs, inside these serial loops.
fn launch(nest: Nest, serial: &mut Vec<Range>) -> Vec<KernelNode> {
    let (nest, mut ranges) = bounded(nest, &[], serial);
    let (blocks, threads): (Vec<_>, Vec<_>) =
        nest.loops.into_iter().partition(|l| place(l).is_some_and(is_block));
    ranges.retain(|r| blocks.iter().any(|l| l.var == r.var));
    nodes(blocks, phases(nodes(threads, nest.body), &ranges, serial))
}

/// What a block runs, with its thread loops perfectly nested in each other.
fn phases(body: Vec<KernelNode>, ranges: &[Range], serial: &mut Vec<Range>) -> Vec<KernelNode> {
    let mut out = Vec::new();
    for node in body {
        match node {
            KernelNode::Loop(l) if place(&l).is_some() => {
                for nest in distributed(KernelNode::Loop(l), is_thread) {
                    let (nest, around) = bounded(nest, ranges, serial);
                    let body = unrolled(nest.body, &all(&around, serial));
                    out.extend(nodes(nest.loops, body));
                }
            }
            KernelNode::Loop(l) => {
                serial.push(range(&l, &all(ranges, serial)));
                let body = phases(l.body, ranges, serial);
                serial.pop();
                out.push(KernelNode::Loop(KernelLoop { body, ..l }));
            }
            KernelNode::If(c, a, b) => {
                let (a, b) = (phases(a, ranges, serial), phases(b, ranges, serial));
                out.push(KernelNode::If(c, a, b));
            }
            KernelNode::Local(l) => {
                let body = phases(l.body, ranges, serial);
                out.push(KernelNode::Local(Local { body, ..l }));
            }
            node @ (KernelNode::Store(_) | KernelNode::Device(_)) => out.push(node),
        }
    }
    out
}

/// What a thread runs, where every loop that is to be unrolled has a constant length if it has a
/// greatest one: a guard cuts off the rest, so that indices of registers become constants.
fn unrolled(body: Vec<KernelNode>, ranges: &[Range]) -> Vec<KernelNode> {
    let each = |node| match node {
        KernelNode::Loop(mut l) => {
            let fixed = |i: &Index| matches!(i, Index::Const(_));
            if l.mode == LoopMode::Unroll && !(fixed(&l.lower) && fixed(&l.upper)) {
                let mut guards = Vec::new();
                if let Some(base) = counted(&mut l, ranges, &mut guards) {
                    let value = value_of(&l, base);
                    let body = l.body.iter().map(|n| rename(n, &l.var, &value)).collect();
                    let guarded = KernelNode::If(Condition::All(guards), body, Vec::new());
                    let (least, greatest) = (l.lower.clone(), before(&l.upper));
                    l.body =
                        decided(vec![guarded], &[Range { var: l.var.clone(), least, greatest }]);
                    l.step = 1;
                }
            }
            let body = unrolled(l.body, ranges);
            KernelNode::Loop(KernelLoop { body, ..l })
        }
        KernelNode::If(c, a, b) => KernelNode::If(c, unrolled(a, ranges), unrolled(b, ranges)),
        KernelNode::Local(l) => {
            let body = unrolled(l.body, ranges);
            KernelNode::Local(Local { body, ..l })
        }
        node @ (KernelNode::Store(_) | KernelNode::Device(_)) => node,
    };
    body.into_iter().map(each).collect()
}

/// Lets a loop count from 0 to its greatest constant length, and adds the guards for that; what to
/// add to its step times the count.
fn counted(l: &mut KernelLoop, ranges: &[Range], guards: &mut Vec<Condition>) -> Option<Index> {
    let (base, length) = length(l, ranges)?;
    let at = Index::Mul(l.step, Box::new(Index::Var(l.var.clone())));
    let at = simplify(&Index::Add(Box::new(base.clone()), Box::new(at)));
    guards.push(Condition::Ge(at.clone(), l.lower.clone()));
    guards.push(Condition::Ge(before(&l.upper), at));
    l.lower = Index::Const(0);
    l.upper = Index::Const((length + l.step - 1).div_euclid(l.step));
    Some(base)
}

/// What the variable of a loop that counts from 0 stood for.
fn value_of(l: &KernelLoop, base: Index) -> Index {
    let value = Index::Mul(l.step, Box::new(Index::Var(l.var.clone())));
    simplify(&Index::Add(Box::new(base), Box::new(value)))
}

fn is_block(place: Place) -> bool {
    matches!(place, Place::Block(_))
}

fn is_thread(place: Place) -> bool {
    matches!(place, Place::Thread(_))
}

fn place(l: &KernelLoop) -> Option<Place> {
    match l.mode {
        LoopMode::Mapped(place) => Some(place),
        LoopMode::Serial | LoopMode::Parallel | LoopMode::Vector | LoopMode::Unroll => None,
    }
}

/// Whether a serial loop's launches are all of one block.
fn in_one_block(l: &KernelLoop) -> bool {
    l.mode == LoopMode::Serial && !any_mapped(&l.body, is_block) && !any_program(&l.body)
}

/// A loop over the one block of a launch, to be put around `l`.
fn one_block(l: &KernelLoop) -> KernelLoop {
    KernelLoop {
        var: format!("{}_block", l.var).into(),
        label: l.label.clone(),
        lower: Index::Const(0),
        upper: Index::Const(1),
        step: 1,
        mode: LoopMode::Mapped(Place::Block(Axis::X)),
        body: Vec::new(),
    }
}

/// The nodes that the host runs, inside serial loops of its own.
fn host(nodes: Vec<KernelNode>, serial: &mut Vec<Range>) -> Vec<KernelNode> {
    let mut out = Vec::new();
    for node in nodes {
        match node {
            node if !node.has_mapped() => out.push(node),
            KernelNode::Loop(ref l) if in_one_block(l) => {
                // its threads meet where the host would start them again
                out.extend(launch(Nest { loops: vec![one_block(l)], body: vec![node] }, serial));
            }
            KernelNode::Loop(l) if place(&l).is_none() => {
                serial.push(range(&l, serial));
                let body = host(l.body, serial);
                serial.pop();
                out.push(KernelNode::Loop(KernelLoop { body, ..l }));
            }
            KernelNode::If(c, a, b) => {
                out.push(KernelNode::If(c, host(a, serial), host(b, serial)));
            }
            node @ (KernelNode::Loop(_)
            | KernelNode::Local(_)
            | KernelNode::Store(_)
            | KernelNode::Device(_)) => {
                let nests = distributed(node, is_block).into_iter();
                out.extend(nests.flat_map(|nest| launch(nest, serial)));
            }
        }
    }
    out
}

/// Whether a loop below is mapped to such a place.
fn any_mapped(nodes: &[KernelNode], such: fn(Place) -> bool) -> bool {
    nodes.iter().any(|node| match node {
        KernelNode::Loop(l) => place(l).is_some_and(such) || any_mapped(&l.body, such),
        KernelNode::If(_, a, b) => any_mapped(a, such) || any_mapped(b, such),
        KernelNode::Local(l) => any_mapped(&l.body, such),
        KernelNode::Store(_) | KernelNode::Device(_) => false,
    })
}

/// Nodes that follow each other as nests whose bodies hold no loop mapped to such a place;
/// neighbours without one stay together.
fn list(nodes: Vec<KernelNode>, such: fn(Place) -> bool) -> Vec<Nest> {
    let mut out: Vec<Nest> = Vec::new();
    let mut plain = Vec::new();
    for node in nodes {
        if any_mapped(std::slice::from_ref(&node), such) {
            out.extend(together(&mut plain));
            out.extend(distributed(node, such));
        } else {
            plain.push(node);
        }
    }
    out.extend(together(&mut plain));
    out
}

fn together(plain: &mut Vec<KernelNode>) -> Option<Nest> {
    let body = std::mem::take(plain);
    (!body.is_empty()).then(|| Nest { loops: Vec::new(), body })
}

fn distributed(node: KernelNode, such: fn(Place) -> bool) -> Vec<Nest> {
    match node {
        KernelNode::Loop(mut l) if place(&l).is_some() => {
            let mut inside = list(std::mem::take(&mut l.body), such);
            for nest in &mut inside {
                nest.loops.insert(0, l.clone());
            }
            inside
        }
        KernelNode::If(c, then, otherwise) => {
            let mut out = list(then, such);
            for nest in &mut out {
                let body = std::mem::take(&mut nest.body);
                nest.body = vec![KernelNode::If(c.clone(), body, Vec::new())];
            }
            for mut nest in list(otherwise, such) {
                nest.body = vec![KernelNode::If(c.clone(), Vec::new(), nest.body)];
                out.push(nest);
            }
            out
        }
        node @ (KernelNode::Loop(_)
        | KernelNode::Local(_)
        | KernelNode::Store(_)
        | KernelNode::Device(_)) => {
            vec![Nest { loops: Vec::new(), body: vec![node] }]
        }
    }
}

/// The least and greatest value of a variable, over the parameters.
#[derive(Clone)]
struct Range {
    var: Name,
    least: Index,
    greatest: Index,
}

fn range(l: &KernelLoop, around: &[Range]) -> Range {
    Range {
        var: l.var.clone(),
        least: extreme(&l.lower, around, false),
        greatest: extreme(&before(&l.upper), around, true),
    }
}

/// Ranges of mapped loops and of the serial ones around them, over the parameters alone.
fn all(ranges: &[Range], serial: &[Range]) -> Vec<Range> {
    let over_params = |r: &Range| Range {
        var: r.var.clone(),
        least: extreme(&r.least, serial, false),
        greatest: extreme(&r.greatest, serial, true),
    };
    ranges.iter().map(over_params).chain(serial.iter().cloned()).collect()
}

/// The nest with bounds that are known before the launch, and the ranges of its variables after
/// those of the mapped loops around it; these may be over the serial loops around.
fn bounded(mut nest: Nest, around: &[Range], serial: &[Range]) -> (Nest, Vec<Range>) {
    let mut ranges: Vec<Range> = around.to_vec();
    let mut guards = Vec::new();
    for position in 0..nest.loops.len() {
        let mut l = nest.loops[position].clone();
        l.lower = simplify(&l.lower);
        l.upper = simplify(&l.upper);
        let base = tight(&mut l, &ranges, serial, &mut guards);
        if let Some(base) = base {
            let value = value_of(&l, base);
            for inner in &mut nest.loops[position + 1..] {
                let node = KernelNode::Loop(inner.clone());
                if let KernelNode::Loop(renamed) = rename(&node, &l.var, &value) {
                    *inner = renamed;
                }
            }
            nest.body = nest.body.iter().map(|n| rename(n, &l.var, &value)).collect();
            l.step = 1;
        }
        ranges.push(range(&l, &ranges));
        nest.loops[position] = l;
    }
    if !guards.is_empty() {
        let body = std::mem::take(&mut nest.body);
        nest.body = vec![KernelNode::If(Condition::All(guards), body, Vec::new())];
    }
    nest.body = in_roles(decided(nest.body, &all(&ranges, serial)));
    (nest, ranges)
}

/// The body, where a guard around nothing but the program of a block is inside each of its roles:
/// all threads of a block agree on it.
fn in_roles(body: Vec<KernelNode>) -> Vec<KernelNode> {
    let (c, then) = match <[KernelNode; 1]>::try_from(body) {
        Ok([KernelNode::If(c, then, otherwise)]) if otherwise.is_empty() => (c, then),
        Ok([node]) => return vec![node],
        Err(body) => return body,
    };
    let mut then = in_roles(then);
    if let [KernelNode::Device(d)] = then.as_mut_slice()
        && let Device::Block(block) = &mut **d
        && block.cluster.is_empty()
    {
        for role in &mut block.roles {
            let body = std::mem::take(&mut role.body);
            role.body = vec![KernelNode::If(c.clone(), body, Vec::new())];
        }
        return then;
    }
    vec![KernelNode::If(c, then, Vec::new())]
}

fn before(end: &Index) -> Index {
    simplify(&Index::Sub(Box::new(end.clone()), Box::new(Index::Const(1))))
}

/// Gives a loop bounds that are known before the launch, and adds guards for what they let in.
/// Where its variable counts from 0 then, the answer is what to add to the count.
fn tight(
    l: &mut KernelLoop,
    ranges: &[Range],
    serial: &[Range],
    guards: &mut Vec<Condition>,
) -> Option<Index> {
    let constant = |i: &Index| matches!(i, Index::Const(_));
    let known = |i: &Index| !ranges.iter().any(|r| i.uses(&r.var));
    let fits = match place(l) {
        Some(Place::Thread(_)) => constant(&l.lower) && constant(&l.upper),
        Some(Place::Block(_)) | None => known(&l.lower) && known(&l.upper),
    };
    if fits {
        return None;
    }
    let var = Index::Var(l.var.clone());
    if let Some(Place::Thread(_)) = place(l)
        && let Some(base) = counted(l, &all(ranges, serial), guards)
    {
        return Some(base);
    }
    let lower = extreme(&l.lower, ranges, false);
    // With a step the phase of the iterations is that of the lower bound.
    if l.step == 1 || lower == l.lower {
        guards.push(Condition::Ge(var.clone(), l.lower.clone()));
        guards.push(Condition::Ge(before(&l.upper), var));
        l.upper = extreme(&l.upper, ranges, true);
        l.lower = lower;
    }
    None
}

/// A start and the greatest length of a loop, from two of its bounds: constant, or else at most so
/// much while the variables around are in these ranges.
fn length(l: &KernelLoop, ranges: &[Range]) -> Option<(Index, i64)> {
    let (mut lower, mut upper) = (Vec::new(), Vec::new());
    operands(&l.lower, false, &mut lower);
    operands(&l.upper, true, &mut upper);
    if l.step != 1 && lower.len() > 1 {
        return None;
    }
    let most = |end: &Index, base: &Index| {
        let length = Index::Sub(Box::new(end.clone()), Box::new(base.clone()));
        match extreme(&simplify(&length), ranges, true) {
            Index::Const(most) => Some(most),
            _ => None,
        }
    };
    let shortest = |length: &dyn Fn(&Index, &Index) -> Option<i64>| {
        let mut best: Option<(Index, i64)> = None;
        for base in lower.iter().filter(|b| to_affine(b).is_some()) {
            for length in upper.iter().filter_map(|end| length(end, base)) {
                if best.as_ref().is_none_or(|b| length < b.1) {
                    best = Some(((*base).clone(), length));
                }
            }
        }
        best
    };
    shortest(&difference).or_else(|| shortest(&most)).filter(|(_, length)| *length > 0)
}

/// A bound of an index from above or below, over the parameters.
fn extreme(index: &Index, ranges: &[Range], above: bool) -> Index {
    let go = |i: &Index, above: bool| Box::new(extreme(i, ranges, above));
    let depends = |i: &Index| ranges.iter().any(|r| i.uses(&r.var));
    simplify(&match index {
        Index::Const(_) => index.clone(),
        Index::Var(name) => match ranges.iter().find(|r| r.var == *name) {
            Some(range) => if above { &range.greatest } else { &range.least }.clone(),
            None => index.clone(),
        },
        Index::Add(a, b) => Index::Add(go(a, above), go(b, above)),
        Index::Sub(a, b) => Index::Sub(go(a, above), go(b, !above)),
        Index::Mul(c, a) => Index::Mul(*c, go(a, above == (*c >= 0))),
        Index::FloorDiv(a, d) => Index::FloorDiv(go(a, above), *d),
        Index::Mod(a, d) if depends(a) => Index::Const(if above { *d - 1 } else { 0 }),
        Index::Mod(..) => index.clone(),
        Index::Min(a, b) => Index::Min(go(a, above), go(b, above)),
        Index::Max(a, b) => Index::Max(go(a, above), go(b, above)),
        Index::Select(c, a, b) => {
            let (x, y) = (go(a, above), go(b, above));
            match (ranges.iter().any(|r| c.uses(&r.var)), above) {
                (false, _) => Index::Select(c.clone(), x, y),
                (true, true) => Index::Max(x, y),
                (true, false) => Index::Min(x, y),
            }
        }
    })
}

/// The nodes without the guards that the ranges decide.
fn decided(nodes: Vec<KernelNode>, ranges: &[Range]) -> Vec<KernelNode> {
    let mut out = Vec::new();
    for node in nodes {
        match node {
            KernelNode::If(c, a, b) => {
                let (a, b) = (decided(a, ranges), decided(b, ranges));
                match decide(&simplify_condition(&c), ranges) {
                    Condition::All(parts) if parts.is_empty() => out.extend(a),
                    Condition::Any(parts) if parts.is_empty() => out.extend(b),
                    c => out.push(KernelNode::If(c, a, b)),
                }
            }
            KernelNode::Loop(l) => {
                let body = decided(l.body, ranges);
                out.push(KernelNode::Loop(KernelLoop { body, ..l }));
            }
            KernelNode::Local(l) => {
                let body = decided(l.body, ranges);
                out.push(KernelNode::Local(Local { body, ..l }));
            }
            node @ (KernelNode::Store(_) | KernelNode::Device(_)) => out.push(node),
        }
    }
    out
}

fn decide(c: &Condition, ranges: &[Range]) -> Condition {
    let all = |parts: &[Condition]| parts.iter().map(|p| decide(p, ranges)).collect();
    simplify_condition(&match c {
        Condition::Ge(a, b) => {
            // every part of a maximum below, or every part of a minimum above
            let (mut above, mut below) = (Vec::new(), Vec::new());
            operands(a, true, &mut above);
            operands(b, false, &mut below);
            let pairs = above.iter().flat_map(|x| below.iter().map(move |y| (*x, *y)));
            Condition::All(pairs.filter_map(|(x, y)| undecided(x, y, ranges)).collect())
        }
        Condition::Eq(..) => c.clone(),
        Condition::All(parts) => Condition::All(all(parts)),
        Condition::Any(parts) => Condition::Any(all(parts)),
    })
}

/// `a >= b`, unless it always holds.
fn undecided(a: &Index, b: &Index, ranges: &[Range]) -> Option<Condition> {
    let apart = simplify(&Index::Sub(Box::new(a.clone()), Box::new(b.clone())));
    match (extreme(&apart, ranges, false), extreme(&apart, ranges, true)) {
        (Index::Const(least), _) if least >= 0 => None,
        (_, Index::Const(most)) if most < 0 => Some(constant(false)),
        _ => Some(Condition::Ge(a.clone(), b.clone())),
    }
}

#[cfg(test)]
mod tests;
