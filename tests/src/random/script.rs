//! Random steps of every kind for a working nest and its tree.
//!
//! In: poly, tree, random bits. Out: one [`StepKind`]; most have the shape that the step needs, so
//! that it is the dependences that decide.

use std::collections::BTreeMap;

use warploom::{LayoutTerm, Name};
use warploom_ir::affine::Affine;
use warploom_ir::nest::{AssignOp, Role};
use warploom_ir::schedule::step::{Property, Ref, StatementTimes, Step, StepKind};
use warploom_ir::schedule::{Marks, Poly, Tree, TreeLoop};
use warploom_ir::target::Place;

use super::order::above;
use crate::Bits;

/// What scripts are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The processor.
    Cpu,
    /// A GPU: loops are mapped more often.
    Gpu,
}

/// A random step.
pub fn step(poly: &Poly, tree: &Tree, flavour: Flavour, bits: &mut Bits) -> StepKind {
    for _ in 0..40 {
        if let Some(step) = attempt(poly, tree, flavour, bits) {
            return step;
        }
    }
    StepKind::Reverse(any_loop(tree, bits).name.clone().into())
}

fn any_loop<'a>(tree: &'a Tree, bits: &mut Bits) -> &'a TreeLoop {
    let loops = tree.loops();
    loops[bits.below(loops.len())]
}

fn attempt(poly: &Poly, tree: &Tree, flavour: Flavour, bits: &mut Bits) -> Option<StepKind> {
    let l = any_loop(tree, bits);
    let target: Ref = l.name.clone().into();
    let gpu = flavour == Flavour::Gpu;
    let most = if gpu { 63 } else { 50 };
    Some(match bits.below(most) {
        0..=3 => tile(l, bits),
        4..=6 => StepKind::Split { target, size: 1 + bits.below(5) as i64, names: Vec::new() },
        7..=10 => StepKind::Reorder { loops: shuffled(l, bits)? },
        11..=14 => skew(tree, l, bits)?,
        15..=17 => shift(poly, l, bits),
        18 | 19 => StepKind::Reverse(target),
        20 => {
            StepKind::Coalesce { outer: target, inner: inner(l)?.name.clone().into(), name: None }
        }
        21 => StepKind::Fold { outer: target, inner: inner(l)?.name.clone().into(), name: None },
        22..=25 => fuse(tree, bits)?,
        26..=29 => distribute(l, bits)?,
        30 => StepKind::Unroll(target),
        31..=33 => StepKind::Vectorize(target),
        34..=36 => StepKind::Parallel(target),
        37 => StepKind::Map(target, *bits.pick(&Place::ALL)),
        38 | 39 => stage(poly, l, bits)?,
        40 | 41 => fuse_at(poly, tree, l, bits)?,
        42 => StepKind::Order(band(poly, tree, bits)?),
        43 | 44 => StepKind::OrderBy(times(poly, bits)),
        45 => StepKind::Atomically(several(tree, bits)),
        46..=48 => split_reduction(poly, tree, bits)?,
        49 => StepKind::Require(*bits.pick(&[Property::Parallel, Property::Vector]), target),
        _ => map_outer(tree, bits)?,
    })
}

fn inner(l: &TreeLoop) -> Option<&TreeLoop> {
    match &*l.body {
        Tree::Loop(inner) => Some(inner),
        Tree::Sequence(_) | Tree::Statement(_) => None,
    }
}

/// The perfectly nested chain from a loop on.
fn chain(l: &TreeLoop) -> Vec<&TreeLoop> {
    let mut out = vec![l];
    while let Some(next) = inner(out[out.len() - 1]) {
        out.push(next);
    }
    out
}

fn tile(l: &TreeLoop, bits: &mut Bits) -> StepKind {
    let all = chain(l);
    let count = 1 + bits.below(all.len().min(3));
    let loops = all[..count].iter().map(|l| l.name.clone().into()).collect();
    let sizes = (0..count).map(|_| 1 + bits.below(5) as i64).collect();
    StepKind::Tile { loops, sizes, names: Vec::new() }
}

fn shuffled(l: &TreeLoop, bits: &mut Bits) -> Option<Vec<Ref>> {
    let all = chain(l);
    if all.len() < 2 {
        return None;
    }
    let count = 2 + bits.below(all.len() - 1);
    let mut names: Vec<Ref> = all[..count].iter().map(|l| l.name.clone().into()).collect();
    let (a, b) = (bits.below(count), bits.below(count - 1));
    names.swap(a, if b >= a { b + 1 } else { b });
    Some(names)
}

/// The loops above and including the one of this name.
fn around(tree: &Tree, l: &TreeLoop) -> Vec<Name> {
    let statements = l.body.statements();
    let mut all = above(tree, &statements[0]).unwrap_or_default();
    let at = all.iter().position(|n| *n == l.name).map_or(0, |k| k + 1);
    all.truncate(at);
    all
}

fn skew(tree: &Tree, l: &TreeLoop, bits: &mut Bits) -> Option<StepKind> {
    let mut outer = around(tree, l);
    outer.pop();
    let by = outer.get(bits.below(outer.len()))?.clone().into();
    let factor = *bits.pick(&[1, 1, 2, -1, 3]);
    Some(StepKind::Skew { target: l.name.clone().into(), factor, by })
}

fn shift(poly: &Poly, l: &TreeLoop, bits: &mut Bits) -> StepKind {
    let statements = l.body.statements();
    let base = l.name.split_once('.').map_or(&*l.name, |(_, base)| base);
    let simple = !base.contains('.') && base.chars().all(char::is_alphabetic);
    let target = if simple && statements.len() > 1 && bits.below(3) > 0 {
        Ref::new(&format!("{}.{base}", bits.pick(&statements)))
    } else {
        l.name.clone().into()
    };
    let mut by = Affine::constant(bits.below(7) as i64 - 3);
    if bits.below(5) == 0 {
        by = by.add(&Affine::var(poly.params[0].name.clone())).expect("it is small");
    }
    StepKind::Shift { target, by }
}

fn fuse(tree: &Tree, bits: &mut Bits) -> Option<StepKind> {
    fn pairs(tree: &Tree, out: &mut Vec<(Name, Name)>) {
        match tree {
            Tree::Loop(l) => pairs(&l.body, out),
            Tree::Statement(_) => {}
            Tree::Sequence(children) => {
                for two in children.windows(2) {
                    if let [Tree::Loop(a), Tree::Loop(b)] = two {
                        out.push((a.name.clone(), b.name.clone()));
                    }
                }
                children.iter().for_each(|c| pairs(c, out));
            }
        }
    }
    let mut all = Vec::new();
    pairs(tree, &mut all);
    let (first, second) = all.get(bits.below(all.len()))?.clone();
    let shift = if bits.below(2) == 0 { 0 } else { bits.below(5) as i64 - 2 };
    Some(StepKind::Fuse { first: first.into(), second: second.into(), shift, name: None })
}

fn distribute(l: &TreeLoop, bits: &mut Bits) -> Option<StepKind> {
    let Tree::Sequence(children) = &*l.body else { return None };
    let at = (bits.below(2) == 0).then(|| {
        let later = &children[1 + bits.below(children.len() - 1)];
        later.statements()[0].clone().into()
    });
    Some(StepKind::Distribute { target: l.name.clone().into(), at, names: Vec::new() })
}

fn stage(poly: &Poly, l: &TreeLoop, bits: &mut Bits) -> Option<StepKind> {
    let statements = l.body.statements();
    let of = |s: &Name| poly.statement(s).map(|s| s.statement.value.reads());
    let reads: Vec<_> = statements.iter().filter_map(of).flatten().collect();
    let access = reads.get(bits.below(reads.len()))?;
    let rank = access.indices.len();
    let mut layout = Vec::new();
    if bits.below(3) == 0 && rank > 0 {
        let whole = |d| LayoutTerm { dimension: d, modulus: None, divisor: 1 };
        layout = (0..rank).rev().map(whole).collect();
        if bits.below(2) == 0 {
            let split = rank - 1;
            layout.retain(|t| t.dimension != split);
            layout.insert(0, LayoutTerm { dimension: split, modulus: None, divisor: 2 });
            layout.push(LayoutTerm { dimension: split, modulus: Some(2), divisor: 1 });
        }
    }
    // some accesses of a statement or one of them, now and then outside all loops
    let reader = |bits: &mut Bits| -> Name {
        let name = bits.pick(&statements).clone();
        if bits.below(2) == 0 { name } else { format!("{name}.{}", bits.below(3)).into() }
    };
    let readers = if bits.below(3) == 0 { vec![reader(bits).into()] } else { Vec::new() };
    let whole = !readers.is_empty() && bits.below(3) == 0;
    let (array, at) = (access.array.clone().into(), (!whole).then(|| l.name.clone().into()));
    let across = Vec::new();
    Some(StepKind::Stage { array, readers, at, name: None, layout, pad: 0, across })
}

fn fuse_at(poly: &Poly, tree: &Tree, l: &TreeLoop, bits: &mut Bits) -> Option<StepKind> {
    let temp = |s: &Name| {
        let target = poly.statement(s)?.statement.target.array.clone();
        matches!(poly.array(&target)?.role, Role::Temp).then_some(target)
    };
    let all = tree.statements();
    let below = l.body.statements();
    let writers: Vec<&Name> =
        all.iter().filter(|s| temp(s).is_some() && !below.contains(s)).collect();
    let one = writers.get(bits.below(writers.len()))?;
    let array = temp(one)?;
    let same = |s: &&&Name| temp(s).is_some_and(|t| t == array);
    let producers = writers.iter().filter(same).map(|s| (**s).clone().into()).collect();
    Some(StepKind::FuseAt { producers, at: l.name.clone().into() })
}

/// Of any loop over one update alone; products first, as few as they are.
fn split_reduction(poly: &Poly, tree: &Tree, bits: &mut Bits) -> Option<StepKind> {
    let operator = |l: &TreeLoop| match l.body.statements().as_slice() {
        [only] => poly.statement(only).map(|s| s.statement.op),
        _ => None,
    };
    let loops = tree.loops();
    let over = |wanted: &dyn Fn(AssignOp) -> bool| -> Vec<&TreeLoop> {
        loops.iter().copied().filter(|l| operator(l).is_some_and(wanted)).collect()
    };
    let (products, updates) = (over(&|op| op == AssignOp::Mul), over(&|op| op.is_update()));
    let from = if products.is_empty() || bits.below(4) == 0 { updates } else { products };
    let l = *from.get(bits.below(from.len().max(1)))?;
    let mut outer = around(tree, l);
    outer.pop();
    let at = outer.get(bits.below(outer.len() + 1)).map(|n| n.clone().into());
    Some(StepKind::SplitReduction { target: l.name.clone().into(), at, name: None })
}

/// The tree with the loops above one statement in another order, given outright.
fn band(poly: &Poly, tree: &Tree, bits: &mut Bits) -> Option<Tree> {
    let statement = bits.pick(&tree.statements()).clone();
    let one = poly.statement(&statement)?;
    let mut iters = one.iters.clone();
    if iters.is_empty() {
        return None;
    }
    for k in (1..iters.len()).rev() {
        let other = bits.below(k + 1);
        iters.swap(k, other);
    }
    let mut body = Tree::Statement(statement.clone());
    for (k, iter) in iters.iter().enumerate().rev() {
        let mut row = Affine::var(iter.clone());
        if k > 0 && bits.below(3) == 0 {
            row = row.add(&Affine::var(iters[0].clone())).expect("it is small");
        } else if bits.below(4) == 0 {
            row = row.scale(-1).expect("it is small");
        }
        let rows = BTreeMap::from([(statement.clone(), row)]);
        let name = format!("{statement}_{iter}").into();
        body = Tree::Loop(TreeLoop { name, rows, marks: Marks::default(), body: Box::new(body) });
    }
    if tree.statements().len() == 1 {
        return Some(body);
    }
    // the others stay as they are, before or behind
    let rest = without(tree, &statement)?;
    let both = if bits.below(2) == 0 { vec![rest, body] } else { vec![body, rest] };
    let mut children = Vec::new();
    for child in both {
        match child {
            Tree::Sequence(inner) => children.extend(inner),
            Tree::Loop(_) | Tree::Statement(_) => children.push(child),
        }
    }
    Some(Tree::Sequence(children))
}

/// The tree without one statement.
fn without(tree: &Tree, statement: &Name) -> Option<Tree> {
    match tree {
        Tree::Statement(name) => (name != statement).then(|| tree.clone()),
        Tree::Loop(l) => {
            let body = Box::new(without(&l.body, statement)?);
            let mut rows = l.rows.clone();
            rows.remove(statement);
            Some(Tree::Loop(TreeLoop { rows, body, ..l.clone() }))
        }
        Tree::Sequence(children) => {
            let mut left: Vec<Tree> =
                children.iter().filter_map(|c| without(c, statement)).collect();
            match left.len() {
                0 => None,
                1 => left.pop(),
                _ => Some(Tree::Sequence(left)),
            }
        }
    }
}

/// Times for every statement: its iterators, mostly in their order, behind places in a sequence.
fn times(poly: &Poly, bits: &mut Bits) -> Vec<StatementTimes> {
    let same_place = bits.below(2) == 0;
    let mut out = Vec::new();
    for (k, s) in (0..).zip(&poly.statements) {
        let mut iters: Vec<Affine> = s.iters.iter().map(|i| Affine::var(i.clone())).collect();
        if iters.len() > 1 && bits.below(3) == 0 {
            let a = bits.below(iters.len() - 1);
            iters.swap(a, a + 1);
        }
        if iters.len() > 1 && bits.below(4) == 0 {
            let more = iters[0].clone();
            let last = iters.len() - 1;
            iters[last] = iters[last].add(&more).expect("it is small");
        }
        let mut list = Vec::new();
        if !same_place {
            list.push(Affine::constant(k));
        }
        for (d, iter) in iters.into_iter().enumerate() {
            list.push(iter);
            if same_place && d == 0 {
                list.push(Affine::constant(k));
            }
        }
        if list.is_empty() || (same_place && s.iters.is_empty()) {
            list.push(Affine::constant(k));
        }
        out.push(StatementTimes {
            statement: s.statement.name.clone().into(),
            iters: s.iters.iter().map(|i| i.clone().into()).collect(),
            times: list,
        });
    }
    out
}

/// A few steps that keep the names of loops.
fn several(tree: &Tree, bits: &mut Bits) -> Vec<Step> {
    let mut out = Vec::new();
    for _ in 0..2 + bits.below(2) {
        let l = any_loop(tree, bits);
        let kind = match bits.below(3) {
            0 => skew(tree, l, bits),
            1 => Some(StepKind::Shift {
                target: l.name.clone().into(),
                by: Affine::constant(bits.below(3) as i64),
            }),
            _ => None,
        };
        let kind = kind.unwrap_or_else(|| StepKind::Reverse(l.name.clone().into()));
        out.push(kind.into());
    }
    out
}

/// Maps an outermost loop, or the next one inside, to a place that is free there.
fn map_outer(tree: &Tree, bits: &mut Bits) -> Option<StepKind> {
    let tops: Vec<&TreeLoop> = match tree {
        Tree::Loop(l) => vec![l],
        Tree::Sequence(children) => children
            .iter()
            .filter_map(|c| match c {
                Tree::Loop(l) => Some(l),
                Tree::Sequence(_) | Tree::Statement(_) => None,
            })
            .collect(),
        Tree::Statement(_) => Vec::new(),
    };
    let top = tops.get(bits.below(tops.len()))?;
    let all = chain(top);
    let taken: Vec<Place> = all.iter().filter_map(|l| l.marks.map).collect();
    let free: Vec<&&TreeLoop> = all.iter().filter(|l| l.marks.map.is_none()).collect();
    let l = free.first()?;
    let places: Vec<Place> = Place::ALL.into_iter().filter(|p| !taken.contains(p)).collect();
    // points of a tile have constant bounds, which threads need
    let threads = l.name.ends_with(".1");
    let fit: Vec<&Place> =
        places.iter().filter(|p| threads == matches!(p, Place::Thread(_))).collect();
    let place = **fit.get(bits.below(fit.len()))?;
    Some(StepKind::Map(l.name.clone().into(), place))
}
