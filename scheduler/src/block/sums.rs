//! The sums of an iteration of the ring: into the accumulator, or into sums of their own.
//!
//! In: the product and the slot that its operands are in. Out: the instructions, unrolled; where
//! the adder keeps fewer bits than the accumulator's type, sums of the iteration alone, which are
//! then added to the accumulator.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::expr::Literal;
use warploom_ir::instruction::Part;
use warploom_ir::kernel::device::{Across, Device, Fragment, Operand, Slice};
use warploom_ir::kernel::{Index, KernelNode, Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Order};

use super::epilogue::unroll;
use super::product::Product;
use super::roles::{Program, add, by_name, call, number, tile, unused, var};
use super::warp_steps::{Factors, Slot, Step};
use super::{Answer, Site, unfit};
use crate::index::substitute;

/// Most groups of instructions that can be left when others are waited for.
const MOST_LEFT: i64 = 7;

/// Fragments of the first factor, and the step whose they are, where instructions take some.
type Loaded<'f> = Option<(&'f Factors, &'f Step)>;

impl Product {
    /// Whether iterations of the ring have sums of their own: the adder keeps fewer bits than the
    /// accumulator's type, and the statement allows that in partial sums only.
    pub(super) fn partial_sums(&self, site: &Site<'_>) -> Answer<bool> {
        let s = &site.poly.statements[site.statement].statement;
        let (adder, acc) = (self.matrix.adder, self.matrix.acc);
        if adder.keeps(acc.precision_bits()) {
            return Ok(false);
        }
        let Some(keeps) = s.keeps.filter(|k| adder.keeps(k.bits)) else {
            let kept = (1..acc.precision_bits()).rev().find(|b| adder.keeps(*b)).unwrap_or(0);
            let refusal = unfit(format!(
                "`{}` would lose bits that its sum promises: the adder of `{}` keeps {kept} below \
                 the largest of what it adds",
                s.name, self.instruction
            ));
            let help = format!(
                "write `keeps {kept} over 128` behind the statement if that will do in partial \
                 sums of 128 terms, or `keeps {kept}` if it will in the whole sum"
            );
            return Err(Box::new(refusal.help(help)).into());
        };
        let Some(most) = keeps.over else { return Ok(false) };
        let counters = self.counters.iter().filter(|c| c.reduction && !c.team);
        let terms = counters.map(|c| c.extent).product::<i64>().saturating_mul(self.matrix.k);
        if terms <= i64::from(most) {
            return Ok(true);
        }
        let ring = &site.path[self.ring].name;
        let text = format!(
            "an iteration of `{ring}` adds {terms} products, and partial sums of `{}` have at most \
             {most} terms",
            s.name
        );
        let help = format!("split the loop that is summed over by {most} or less");
        Err(Box::new(unfit(text).help(help)).into())
    }
}

impl Product {
    /// A fragment of elements that threads hold where they hold the accumulator's.
    pub(super) fn fragment_like(
        &self,
        name: &Name,
        dtype: DType,
        body: Vec<KernelNode>,
    ) -> KernelNode {
        let (name, shape) = (name.clone(), self.fragment);
        let layout = format!("{}.d", self.instruction).into();
        Device::Fragment(Fragment { name, dtype, shape, layout, body }).into()
    }
}

impl Program<'_> {
    /// As [`Self::instructions`], into a sum of its own that is then added to the accumulator.
    pub(super) fn partial_sum(&mut self, at: Index, coordinates: &[Index]) -> KernelNode {
        let sum = unused("partial", self.taken);
        let mut body = self.products_done(&sum, (at, coordinates), &Index::Const(0));
        body.push(self.added(&sum));
        self.fragment_of_sums(&sum, body)
    }

    /// The products of a slot until they are done and it is released.
    pub(super) fn products_done(
        &mut self,
        sum: &Name,
        (at, coordinates): (Index, &[Index]),
        first: &Index,
    ) -> Vec<KernelNode> {
        let slot = Slot { at, coordinates: coordinates.to_vec() };
        let mut out = match self.product().matrix.fragment_a {
            true => self.products_in_steps(sum, &slot, first, Vec::new()),
            false => self.products_into(sum, &slot, first, None),
        };
        out.push(call("wgmma.wait", vec![number(0)]));
        out.push(self.release(slot.at));
        out
    }

    /// Starts the products of a slot.
    pub(super) fn products_into(
        &mut self,
        sum: &Name,
        slot: &Slot,
        first: &Index,
        loaded: Loaded<'_>,
    ) -> Vec<KernelNode> {
        let mut out = vec![call("wgmma.fence", Vec::new())];
        let sums = |at| tile(sum, at, false);
        out.extend(self.unrolled(&slot.at, &slot.coordinates, first, (&sums, loaded)));
        out.push(call("wgmma.commit", Vec::new()));
        out
    }

    /// Starts the products of a slot step by step: a step's fragments of the first factor are
    /// loaded once the products of the same step of the slot before have read theirs, while those
    /// of the other steps run. Then nobody reads the slot before, which is released.
    pub(super) fn products_in_steps(
        &mut self,
        sum: &Name,
        slot: &Slot,
        first: &Index,
        released: Vec<KernelNode>,
    ) -> Vec<KernelNode> {
        let factors = self.loaded.get(&self.at).expect("it began with the sums").clone();
        let steps = self.steps(factors.parts);
        let mut out = Vec::new();
        for step in &steps {
            let left = i64::try_from(steps.len() - 1).expect("few");
            out.push(call("wgmma.wait", vec![number(left.min(MOST_LEFT))]));
            out.extend(self.taken_by_warp(0, &factors, step, slot));
            out.extend(self.products_into(sum, slot, first, Some((&factors, step))));
        }
        // between a wait and the loads after it, a branch would make ptxas wait for all products
        out.extend(released);
        out
    }

    /// A fragment of sums of the instruction.
    pub(super) fn fragment_of_sums(&self, name: &Name, body: Vec<KernelNode>) -> KernelNode {
        let product = self.product();
        product.fragment_like(name, product.matrix.dtype(Part::D), body)
    }

    /// Sets the accumulator to zero.
    pub(super) fn zeroed(&mut self) -> KernelNode {
        let acc = self.product().matrix.acc;
        let zero = Typed { dtype: acc, kind: TypedKind::Literal(Literal::Int(0)) };
        self.updated("zero", AssignOp::Set, |_| zero)
    }

    /// Adds a fragment to the accumulator.
    pub(super) fn added(&mut self, sums: &Name) -> KernelNode {
        let dtype = self.product().matrix.acc;
        let read = |indices: &[Index]| Typed {
            dtype,
            kind: TypedKind::Read { array: sums.clone(), indices: indices.to_vec() },
        };
        self.updated("add", AssignOp::Add, read)
    }

    /// Updates every element of the accumulator.
    fn updated(
        &mut self,
        name: &str,
        op: AssignOp,
        value: impl FnOnce(&[Index]) -> Typed<Index>,
    ) -> KernelNode {
        let vars = [unused("i", self.taken), unused("j", self.taken)];
        let indices: Vec<Index> = vars.iter().map(var).collect();
        let store = Store {
            statement: format!("{}_{name}", self.fragment()).into(),
            array: self.fragment(),
            dtype: self.product().matrix.acc,
            value: value(&indices),
            indices,
            op,
            guard: None,
            order: Order::Serial,
            strict: false,
        };
        let body = vec![KernelNode::Store(store)];
        let (fragment, part, reduce) = (self.fragment(), Vec::new(), false);
        Device::Across(Across { vars, fragment, part, reduce, body }).into()
    }

    /// The instructions of an iteration of the ring at these coordinates, all loops unrolled; an
    /// accumulator's tile is the operand for rows and columns of what a team holds. Where fragments
    /// of the first factor are loaded, the instructions of a step.
    pub(super) fn unrolled(
        &mut self,
        at: &Index,
        coordinates: &[Index],
        first: &Index,
        (accumulator, loaded): (&dyn Fn(Vec<Slice>) -> Operand, Loaded<'_>),
    ) -> Vec<KernelNode> {
        let product = self.product();
        let mut values: BTreeMap<Name, Index> = self.team_counters().into_iter().collect();
        let mut loops = Vec::new();
        let mut later = first.clone();
        for counter in &product.counters {
            if counter.team {
                continue;
            }
            let known = loaded.and_then(|(_, step)| step.value(counter));
            if let Some(value) = known.or((counter.extent == 1).then_some(Index::Const(0))) {
                values.insert(counter.var.clone(), value);
            } else {
                let name = unused(&counter.var, self.taken);
                values.insert(counter.var.clone(), var(&name));
                loops.push((name, counter.extent));
            }
            if counter.reduction && !counter.team {
                later = add(later, values[&counter.var].clone());
            }
        }
        let place = by_name(&product.coordinates, coordinates);
        let lookup = |n: &str| values.get(n).cloned().or_else(|| place(n));
        let first_step = loaded.is_none_or(|(_, step)| step.is_first());
        let keep = match (first_step && (product.starts_at_zero || product.partial), later) {
            (false, _) => Index::Const(1),
            (true, Index::Const(c)) => Index::Const(c.min(1)),
            (true, later) => Index::Min(Box::new(later), Box::new(Index::Const(1))),
        };
        let [rows, cols] = product.matrix.held(Part::D);
        let d = (product.tile.iter().zip([rows, cols])).map(|(start, e)| Slice {
            start: substitute(start, &lookup),
            extent: Some(e),
            step: 1,
        });
        let mut operands = vec![accumulator(d.collect())];
        for (side, factor) in product.operands.iter().enumerate() {
            if let (0, Some((factors, step))) = (side, loaded) {
                let start = substitute(&product.tile[0], &lookup);
                operands.push(self.taken_part(0, factors, step, &start));
                continue;
            }
            // a held operand has no slots; what is before its rows and columns is one
            let outer = if factor.on_chip { factor.extents.len() - 2 } else { 1 };
            let start = match factor.on_chip {
                true => Index::Const(0),
                false => self.own_slot(&factor.buffer, at, coordinates),
            };
            let slot = Slice { start, extent: None, step: 1 };
            let dims = factor.tile.iter().map(|(start, extent)| Slice {
                start: substitute(start, &lookup),
                extent: Some(*extent),
                step: 1,
            });
            let all = std::iter::repeat_n(slot, outer).chain(dims).collect();
            operands.push(tile(&factor.buffer, all, factor.transposed));
        }
        for (number, scales) in product.scales.iter().enumerate() {
            let start = scales.tile.each_ref().map(|(start, _)| substitute(start, &lookup));
            operands.push(self.scales_taken(number, start));
        }
        operands.push(Operand::Value(keep));
        let body = vec![call(&product.instruction, operands)];
        let inside = |body, (name, extent): (Name, i64)| vec![unroll(&name, extent, body)];
        loops.into_iter().rev().fold(body, inside)
    }
}
