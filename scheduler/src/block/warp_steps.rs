//! What a warp, or a warpgroup whose first factor is a fragment, does with a slot of the ring:
//! fragments of the factors, and their products.
//!
//! In: the slot, and which step of the slice. Out: loads of a step's fragments and products of
//! fragments that are there.
//! Requires: rows in shared memory without permutation, where both factors are fragments.
//! Keeps: fragments of two steps lie below each other, so that those of the next step are loaded
//! while these are multiplied.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::instruction::Part;
use warploom_ir::kernel::device::{Across, Device, Fragment, Operand, Slice};
use warploom_ir::kernel::{Index, KernelNode, Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Order};

use super::digits::Digits;
use super::epilogue::unroll;
use super::masked::Mask;
use super::moves::divisor;
use super::operand::Operand as Factor;
use super::product::{Counter, Product, is_counter};
use super::roles::{Program, add, by_name, call, number, tile, unused, var};
use crate::index::substitute;

/// Bytes at whose multiples rows in shared memory start.
const ROW: i64 = 16;
/// Bytes of a matrix that `ldmatrix` loads, and most of them at once.
const MATRIX: i64 = 128;
const MATRICES: i64 = 4;

/// Fragments of both factors, in parts: those of one step each.
#[derive(Clone)]
pub(super) struct Factors {
    names: [Name; 2],
    pub(super) parts: i64,
}

/// A slot of the ring, and the coordinates of the iteration whose slice is in it.
pub(super) struct Slot {
    pub(super) at: Index,
    pub(super) coordinates: Vec<Index>,
}

/// A step of a slice: the value of each counter of the sum, and which part its fragments are in.
#[derive(Clone)]
pub(super) struct Step {
    sums: BTreeMap<Name, Index>,
    part: i64,
}

impl Program<'_> {
    /// Fragments of both factors for so many steps.
    pub(super) fn factors(&mut self, parts: i64) -> Factors {
        let name = |p: &mut Self, base: &str| unused(&format!("{}_{base}", p.fragment()), p.taken);
        Factors { names: [name(self, "a"), name(self, "b")], parts }
    }

    /// A body in which they are there.
    pub(super) fn with_factors(&self, factors: &Factors, body: Vec<KernelNode>) -> KernelNode {
        let inner = self.with_factor(1, factors, body);
        self.with_factor(0, factors, vec![inner])
    }

    /// A body in which one of them is there.
    fn with_factor(&self, side: usize, factors: &Factors, body: Vec<KernelNode>) -> KernelNode {
        let product = self.product();
        let letter = ["a", "b"][side];
        let fragment = Fragment {
            name: factors.names[side].clone(),
            dtype: product.matrix.dtype([Part::A, Part::B][side]),
            shape: [factors.parts * product.fragment[side], product.matrix.k],
            layout: format!("{}.{letter}", product.instruction).into(),
            body,
        };
        Device::Fragment(fragment).into()
    }

    /// The fragments of a product's first factor, those of all steps of a slice, are there from
    /// now on, if the instruction takes it from registers.
    pub(super) fn opens_first_factor(&mut self, p: usize) {
        self.at = p;
        let product = self.product();
        if product.matrix.fragment_a {
            let factors = self.factors(product.steps());
            self.loaded.insert(p, factors);
        }
    }

    /// A body in which the first factor's fragments are there, if it has some.
    pub(super) fn with_first_factor(&mut self, body: Vec<KernelNode>) -> Vec<KernelNode> {
        match self.loaded.remove(&self.at) {
            Some(factors) => vec![self.with_factor(0, &factors, body)],
            None => body,
        }
    }

    /// How many instructions of a warp a step has.
    pub(super) fn products_of_step(&self) -> i64 {
        let product = self.product();
        let [rows, columns] = product.matrix.extents(Part::D);
        product.fragment[0] / rows * (product.fragment[1] / columns)
    }

    /// The steps of a slice, where they take parts of fragments in turn.
    pub(super) fn steps(&self, parts: i64) -> Vec<Step> {
        let product = self.product();
        let sums: Vec<&Counter> = product.counters.iter().filter(|c| is_sum(c)).collect();
        let step = |number: i64| {
            let mut rest = number;
            let digit = |c: &&Counter| {
                let value = Index::Const(rest.rem_euclid(c.extent));
                rest = rest.div_euclid(c.extent);
                (c.var.clone(), value)
            };
            Step { sums: sums.iter().rev().map(digit).collect(), part: number.rem_euclid(parts) }
        };
        (0..product.steps()).map(step).collect()
    }

    /// The products of a slot, by one warp, each step's fragments loaded before.
    pub(super) fn multiplied_by_warp(&mut self, factors: &Factors, at: &Slot) -> Vec<KernelNode> {
        let product = self.product();
        let sums: Vec<&Counter> = product.counters.iter().filter(|c| is_sum(c)).collect();
        let mut values = BTreeMap::new();
        let around = self.counted(&sums, &mut values);
        let step = Step { sums: values, part: 0 };
        let mut body = self.loaded_step(factors, &step, at);
        body.extend(self.multiplied_step(factors, &step));
        nest(around, vec![self.with_factors(factors, body)])
    }

    /// Loads a step's fragments from a slot.
    pub(super) fn loaded_step(
        &mut self,
        factors: &Factors,
        step: &Step,
        at: &Slot,
    ) -> Vec<KernelNode> {
        (0..2).flat_map(|side| self.taken_by_warp(side, factors, step, at)).collect()
    }

    /// The products of a step's fragments.
    pub(super) fn multiplied_step(&mut self, factors: &Factors, step: &Step) -> Vec<KernelNode> {
        let product = self.product();
        let tiles: Vec<&Counter> =
            product.counters.iter().filter(|c| !c.team && !c.reduction).collect();
        let mut values = self.counts(step);
        let inner = self.counted(&tiles, &mut values);
        let lookup = |n: &str| values.get(n).cloned();
        let start = product.tile.each_ref().map(|e| substitute(e, &lookup));
        let [rows, cols] = product.matrix.extents(Part::D);
        let slice =
            |start: &Index, n: i64| Slice { start: start.clone(), extent: Some(n), step: 1 };
        let operands = vec![
            tile(&self.fragment(), vec![slice(&start[0], rows), slice(&start[1], cols)], false),
            self.taken_part(0, factors, step, &start[0]),
            self.taken_part(1, factors, step, &start[1]),
            number(1),
        ];
        nest(inner, vec![call(&product.instruction, operands)])
    }

    /// The tile of a factor's fragments whose rows have this start in what a team holds.
    pub(super) fn taken_part(
        &self,
        side: usize,
        factors: &Factors,
        step: &Step,
        start: &Index,
    ) -> Operand {
        let [rows, terms] = self.product().matrix.extents([Part::A, Part::B][side]);
        let at = [(self.row_of(side, step, start), rows), (Index::Const(0), terms)];
        let part = at.map(|(start, n)| Slice { start, extent: Some(n), step: 1 });
        tile(&factors.names[side], part.to_vec(), false)
    }

    /// The values of the counters around a step.
    fn counts(&self, step: &Step) -> BTreeMap<Name, Index> {
        let sums = step.sums.iter().map(|(name, value)| (name.clone(), value.clone()));
        self.team_counters().into_iter().chain(sums).collect()
    }

    /// The row of a factor's fragments where that of a tile is.
    fn row_of(&self, side: usize, step: &Step, start: &Index) -> Index {
        add(start.clone(), Index::Const(step.part * self.product().fragment[side]))
    }

    /// Unrolled loops over counters; those that run once are 0.
    fn counted(
        &mut self,
        counters: &[&Counter],
        values: &mut BTreeMap<Name, Index>,
    ) -> Vec<(Name, i64)> {
        let mut loops = Vec::new();
        for counter in counters {
            let value = if counter.extent == 1 {
                Index::Const(0)
            } else {
                let name = unused(&counter.var, self.taken);
                loops.push((name.clone(), counter.extent));
                var(&name)
            };
            values.insert(counter.var.clone(), value);
        }
        loops
    }

    /// Loads a factor's fragment: as matrices where shared memory holds them as they are or in a
    /// way that can be transposed, else element by element.
    pub(super) fn taken_by_warp(
        &mut self,
        side: usize,
        factors: &Factors,
        step: &Step,
        slot: &Slot,
    ) -> Vec<KernelNode> {
        let product = self.product();
        let name = &factors.names[side];
        let factor = &product.operands[side];
        let size = product.matrix.extents([Part::A, Part::B][side])[0];
        let mine: Vec<&Counter> = (product.counters.iter())
            .filter(|c| !c.team && product.tile[side].vars().contains(&c.var))
            .collect();
        let mut values = self.counts(step);
        let mut loops = self.counted(&mine, &mut values);
        let own = own(factor);
        let bytes = factor.dtype.size_bytes() as i64;
        let divides = |d: usize, n: i64| divisor(&factor.tile[d].0) % n == 0;
        let matrices = bytes < 8 && (!factor.transposed || bytes == 2);
        let k = product.matrix.k;
        if !matrices || !divides(own[0], 8) || !divides(own[1], ROW / bytes) {
            let body = self.elements_by_warp((side, name), step, slot, &values);
            return nest(loops, vec![body]);
        }
        let mut rows = size;
        let even =
            |c: &&Counter, e: &Affine| e.terms().any(|(atom, n)| n == size && is_counter(atom, c));
        if let (Some(last), Some(counter)) = (loops.last_mut(), mine.last())
            && last.1 % 2 == 0
            && values[&counter.var] == var(&last.0)
            && 2 * size * k * bytes / MATRIX <= MATRICES
            && even(counter, &product.tile[side])
            && even(counter, &factor.tile[own[0]].0)
        {
            rows *= 2;
            last.1 /= 2;
            values.insert(counter.var.clone(), Index::Mul(2, Box::new(var(&last.0))));
        }
        let lookup = |n: &str| values.get(n).cloned();
        let start = self.row_of(side, step, &substitute(&product.tile[side], &lookup));
        let held = Slice { start, extent: Some(rows), step: 1 };
        let all = Slice { start: Index::Const(0), extent: Some(k), step: 1 };
        let mut from = vec![Slice { start: slot.at.clone(), extent: None, step: 1 }];
        for d in [0, 1] {
            let extent = Some(if d == own[0] { rows } else { k });
            from.push(Slice { start: substitute(&factor.tile[d].0, &lookup), extent, step: 1 });
        }
        let operands =
            vec![tile(name, vec![held, all], false), tile(&factor.buffer, from, factor.transposed)];
        nest(loops, vec![call("ldmatrix", operands)])
    }

    /// Loads a tile of a factor's fragment element by element.
    fn elements_by_warp(
        &mut self,
        (side, name): (usize, &Name),
        step: &Step,
        slot: &Slot,
        values: &BTreeMap<Name, Index>,
    ) -> KernelNode {
        let product = self.product();
        let factor = &product.operands[side];
        let [size, k] = product.matrix.extents([Part::A, Part::B][side]);
        let vars = self.element();
        let own = own(factor);
        let lookup = |n: &str| values.get(n).cloned();
        let start = self.row_of(side, step, &substitute(&product.tile[side], &lookup));
        let mut indices = vec![slot.at.clone()];
        for d in [0, 1] {
            let first = substitute(&factor.tile[d].0, &lookup);
            indices.push(if d == own[0] {
                let inside = add(var(&vars[0]), Index::Mul(-1, Box::new(start.clone())));
                add(first, inside)
            } else {
                add(first, var(&vars[1]))
            });
        }
        let dtype = factor.dtype;
        let kind = TypedKind::Read { array: factor.buffer.clone(), indices: indices.clone() };
        let element = Typed { dtype, kind };
        let copied = self.plan.fills.iter().any(|f| f.buffer == factor.buffer);
        let value = match factor.value.as_ref().filter(|_| copied) {
            Some(value) => value.with(&element, dtype),
            None => element,
        };
        let value = match &factor.mask {
            Some(mask) => masked(mask, value, slot, (factor, &indices[1..])),
            None => value,
        };
        let store = Store {
            statement: name.clone(),
            array: name.clone(),
            dtype,
            indices: vars.iter().map(var).collect(),
            op: AssignOp::Set,
            value,
            guard: None,
            order: Order::Serial,
            strict: false,
        };
        let part = vec![
            Slice { start, extent: Some(size), step: 1 },
            Slice { start: Index::Const(0), extent: Some(k), step: 1 },
        ];
        let body = vec![KernelNode::Store(store)];
        let (fragment, reduce) = (name.clone(), false);
        Device::Across(Across { vars, fragment, part, reduce, body }).into()
    }
}

impl Step {
    /// Whether no step of its slice comes before.
    pub(super) fn is_first(&self) -> bool {
        self.sums.values().all(|value| *value == Index::Const(0))
    }

    /// The value of a counter of the sum.
    pub(super) fn value(&self, counter: &Counter) -> Option<Index> {
        self.sums.get(&counter.var).cloned()
    }
}

impl Product {
    /// Steps of the sum in a slice.
    pub(super) fn steps(&self) -> i64 {
        self.counters.iter().filter(|c| is_sum(c)).map(|c| c.extent).product()
    }
}

/// The value of an element of a factor, at this row and column of a slot, where its mask lets it
/// through.
fn masked(
    mask: &Mask,
    value: Typed<Index>,
    slot: &Slot,
    (factor, at): (&Factor, &[Index]),
) -> Typed<Index> {
    let places = Digits::element(&factor.sides, at, factor.extents.len());
    let values = [slot.coordinates.as_slice(), &places].concat();
    mask.applied(value, &by_name(&mask.names, &values))
}

/// Which side of a factor's matrix is its own index, and which the summed one: 0 for rows.
const fn own(factor: &Factor) -> [usize; 2] {
    if factor.transposed { [1, 0] } else { [0, 1] }
}

/// Unrolled loops inside each other, the first of them outermost.
fn nest(loops: Vec<(Name, i64)>, body: Vec<KernelNode>) -> Vec<KernelNode> {
    let inside = |body, (name, extent): (Name, i64)| vec![unroll(&name, extent, body)];
    loops.into_iter().rev().fold(body, inside)
}

/// Whether a counter is one of a slice's sums.
const fn is_sum(c: &Counter) -> bool {
    c.reduction && !c.team
}
