//! The launch that adds up the parts of tiles that blocks have shared out.
//!
//! In: how slices were shared out, and the pieces of work that use the sums of a tile. Out: a
//! launch in which a thread has some elements of a tile's row: it adds their parts and runs the
//! statements that the threads of a block program run for elements of whole tiles.
//! Keeps: parts are added in the order of the sum, whoever computed them, so results are the same
//! on every run. What left through shared memory is stored where its box would have taken it.
//! Why here: statements over elements are made for fragments, of which a register is one.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Literal;
use warploom_ir::kernel::{
    Condition, Index, KernelLoop, KernelNode, Local, LoopMode, Store, Typed, TypedKind,
};
use warploom_ir::nest::{AssignOp, Order};
use warploom_ir::target::{Axis, Place};

use super::Work;
use super::digits::Digits;
use super::elements::{Elements, Instance};
use super::epilogue::condition;
use super::moves::Move;
use super::roles::{Program, Scope, add, by_name, unused, var};
use super::rounds::fixed;
use super::skeleton::work_of;
use super::slabs::Slabs;
use super::streaming::{Division, near};
use crate::index::{simplify, simplify_condition, substitute};

/// Threads of a block, and how many of them neighbours of a row have at most.
const THREADS: i64 = 256;
const ROW: i64 = 64;
/// Elements of a thread, whose parts are on their way at once: so far apart that all neighbours of
/// a row are loaded together.
const SEVERAL: i64 = 4;

/// Elements of a tile: their row and column in the thread's sums and in the accumulator.
struct Element {
    held: [Index; 2],
    at: [Index; 2],
}

/// The largest number up to `most` that divides.
fn divisor(of: i64, most: i64) -> i64 {
    (1..=most.max(1)).rev().find(|d| of % d == 0).unwrap_or(1)
}

fn over(var: &Name, count: i64, mode: LoopMode, body: Vec<KernelNode>) -> KernelNode {
    let (label, lower, upper) = (var.clone(), Index::Const(0), Index::Const(count));
    KernelNode::Loop(KernelLoop { var: var.clone(), label, lower, upper, step: 1, mode, body })
}

fn mapped(var: &Name, count: i64, place: Place, body: Vec<KernelNode>) -> KernelNode {
    over(var, count, LoopMode::Mapped(place), body)
}

impl Program<'_> {
    /// The launch behind that of the loop `l` over tiles.
    pub(super) fn combined_parts(
        mut self,
        (division, parts): (&Division, &Name),
        l: &KernelLoop,
    ) -> KernelNode {
        let product = self.product();
        let [rows, columns] = product.sides.each_ref().map(Digits::whole);
        let several = divisor(columns / divisor(columns, ROW), SEVERAL);
        let wide = divisor(columns / several, ROW);
        let deep = divisor(rows, THREADS / wide);
        let [tile, member, piece, row, column, next] =
            ["tile", "member", "piece", "row", "column", "next"]
                .map(|name| unused(name, self.taken));
        self.cluster = member.clone();
        let beside = columns / several / wide;
        let first = [
            Index::Mul(deep, Box::new(Index::FloorDiv(Box::new(var(&piece)), beside))),
            Index::Mul(several * wide, Box::new(Index::Mod(Box::new(var(&piece)), beside))),
        ];
        let [i, j] = first.map(|e| simplify(&e));
        let ahead = simplify(&Index::Mul(wide, Box::new(var(&next))));
        let at = [add(i, var(&row)), add(add(j, ahead), var(&column))];
        let element = Element { held: [Index::Const(0), var(&next)], at };
        let each = |body| over(&next, several, LoopMode::Unroll, body);
        let mut body = self.summed_up((division, parts), &var(&tile), &element, &each);
        let whole = add(var(&tile), Index::Const(division.whole));
        for node in fixed(&l.body, &l.var, &whole) {
            if let KernelNode::Store(store) = &node {
                let after = self.after_sum(store, &element);
                body.extend((!after.is_empty()).then(|| each(after)));
            }
        }
        let sums = KernelNode::Local(Local {
            name: self.fragment(),
            dtype: product.matrix.acc,
            shape: vec![1, several],
            across: Vec::new(),
            body,
        });
        let [y, x] = [Axis::Y, Axis::X].map(Place::Thread);
        let phase = mapped(&column, wide, x, vec![sums]);
        let phase = mapped(&row, deep, y, vec![phase]);
        let pieces = rows / deep * beside;
        let mut out = mapped(&piece, pieces, Place::Block(Axis::X), vec![phase]);
        if let Some(c) = &self.plan.cluster {
            out = mapped(&member, c.count, Place::Block(Axis::Z), vec![out]);
        }
        mapped(&tile, division.left(), Place::Block(Axis::Y), vec![out])
    }

    /// The sums of elements' parts, in the order of the blocks that have them.
    fn summed_up(
        &mut self,
        (d, parts): (&Division, &Name),
        tile: &Index,
        e: &Element,
        each: &dyn Fn(Vec<KernelNode>) -> KernelNode,
    ) -> Vec<KernelNode> {
        let product = self.product();
        let (sums, dtype) = (self.fragment(), product.matrix.acc);
        let part = unused("part", self.taken);
        let owner = |slice: i64| {
            let at = Index::Mul(d.slices, Box::new(tile.clone()));
            let at = add(at, Index::Const(slice));
            simplify(&Index::FloorDiv(Box::new(at), d.share))
        };
        let begins = Index::Mul(d.share, Box::new(var(&part)));
        let begins = Index::FloorDiv(Box::new(begins), d.slices);
        let number = Index::Sub(Box::new(tile.clone()), Box::new(begins));
        let mut indices = vec![var(&part)];
        indices.extend(self.plan.cluster.iter().map(|_| var(&self.cluster)));
        indices.push(simplify(&number));
        let [row, column] = e.at.clone();
        let near = near(product);
        indices.push(simplify(&Index::FloorDiv(Box::new(column.clone()), near)));
        indices.extend([row, simplify(&Index::Mod(Box::new(column), near))]);
        let update = |op, order, kind| {
            KernelNode::Store(Store {
                statement: "combine".into(),
                array: sums.clone(),
                indices: e.held.to_vec(),
                dtype,
                op,
                value: Typed { dtype, kind },
                guard: None,
                order,
                strict: false,
            })
        };
        let zero = TypedKind::Literal(Literal::Int(0));
        let read = TypedKind::Read { array: parts.clone(), indices };
        let added = update(AssignOp::Add, Order::Fixed, read);
        let all = KernelLoop {
            var: part.clone(),
            label: part,
            lower: owner(0),
            upper: add(owner(d.slices - 1), Index::Const(1)),
            step: 1,
            mode: LoopMode::Serial,
            body: vec![each(vec![added])],
        };
        vec![each(vec![update(AssignOp::Set, Order::Serial, zero)]), KernelNode::Loop(all)]
    }

    /// What a piece of work does with an element once its sum is there.
    fn after_sum(&self, store: &Store<Index>, e: &Element) -> Vec<KernelNode> {
        let Some(work) = work_of(store).map(|w| &self.plan.works[w]) else { return Vec::new() };
        let coordinates = self.values(&Scope::default(), store);
        match work {
            Work::Elements(elements) => self.statements(elements, &coordinates, e, None),
            Work::Slabs(slabs) => self.statements(&slabs.elements, &coordinates, e, Some(slabs)),
            Work::Product | Work::Fill(_) | Work::Threads(_) | Work::Drain(_) | Work::Nothing => {
                Vec::new()
            }
        }
    }

    /// The statements for an element, each where it runs for it.
    fn statements(
        &self,
        elements: &Elements,
        coordinates: &[Index],
        e: &Element,
        slabs: Option<&Slabs>,
    ) -> Vec<KernelNode> {
        let values = elements.of.values(coordinates, &e.at, &e.held);
        let lookup = by_name(&elements.names, &values);
        let one = |instance: &Instance| {
            let mut store = instance.stored_at(&lookup);
            let target = match slabs {
                Some(slabs) => Some(self.in_slabs(slabs, coordinates, e)),
                None => self.drained(&store, coordinates),
            };
            if let Some((array, indices)) = target {
                (store.array, store.indices) = (array, indices);
            }
            let guard = instance.guard.iter().map(|c| condition(c, &lookup)).collect();
            let store = KernelNode::Store(store);
            match simplify_condition(&Condition::All(guard)) {
                Condition::All(parts) if parts.is_empty() => store,
                guard => KernelNode::If(guard, vec![store], Vec::new()),
            }
        };
        elements.statements.iter().map(one).collect()
    }

    /// Where an element goes that leaves in a slab.
    fn in_slabs(&self, slabs: &Slabs, coordinates: &[Index], e: &Element) -> (Name, Vec<Index>) {
        let copy = &slabs.copy;
        let dims = self.product().sides.each_ref().map(Digits::alone);
        let place = by_name(&copy.coordinates, coordinates);
        let lookup = |n: &str| if *n == *slabs.var { Some(Index::Const(0)) } else { place(n) };
        let side = |b: usize| dims.iter().position(|d| *d == Some(b)).map(|s| e.at[s].clone());
        (copy.array.clone(), inside(copy, &lookup, &side))
    }

    /// Where an element goes that is written to a buffer which leaves as a box.
    fn drained(&self, store: &Store<Index>, coordinates: &[Index]) -> Option<(Name, Vec<Index>)> {
        let copy = self.plan.works.iter().find_map(|work| match work {
            Work::Drain(copy) if copy.buffer == store.array => Some(copy),
            Work::Drain(_)
            | Work::Product
            | Work::Fill(_)
            | Work::Threads(_)
            | Work::Elements(_)
            | Work::Slabs(_)
            | Work::Nothing => None,
        })?;
        let lookup = by_name(&copy.coordinates, coordinates);
        let place = |b: usize| store.indices.get(b).cloned();
        Some((copy.array.clone(), inside(copy, &lookup, &place)))
    }
}

/// The element of the array that a place in a box is.
fn inside(
    copy: &Move,
    lookup: &dyn Fn(&str) -> Option<Index>,
    place: &dyn Fn(usize) -> Option<Index>,
) -> Vec<Index> {
    let at = |(d, start): (usize, &Affine)| {
        let start = substitute(start, lookup);
        let b = copy.along.iter().position(|a| *a == d);
        b.and_then(place).map_or_else(|| start.clone(), |place| add(start.clone(), place))
    };
    copy.start.iter().enumerate().map(at).collect()
}
