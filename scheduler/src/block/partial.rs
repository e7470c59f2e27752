//! Partial sums of two slices at a time, the first one's added to the accumulator while the second
//! one's are summed up.
//!
//! In: a loop of slices of known length, with nothing but products inside. Out: products into two
//! fragments, so that tensor cores have work while a warpgroup adds.
//! Requires: registers for both fragments beside the accumulator, slots for both slices.
//! Keeps: partial sums are added in the order of the slices, as without this. All products are
//! done at the end of an iteration: the assembler takes no others to be apart from what reads sums.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::kernel::device::{WARP, WARPGROUP};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode, Store};

use super::Work;
use super::product::Product;
use super::roles::{Program, Scope, add, call, number, unused, var};
use super::skeleton::holds;
use super::warp_steps::Slot;
use crate::index::{difference, replace, simplify};

/// Most registers of a thread that sums and partial sums may take together.
const MOST: i64 = 192;

/// A loop of slices, and where it is.
struct Slices<'s> {
    inside: &'s KernelLoop,
    store: &'s Store<Index>,
    scope: &'s Scope,
    lower: Index,
    count: i64,
}

impl Product {
    /// Sums of the accumulator that a thread of a warpgroup holds.
    pub(super) fn sums_of_thread(&self) -> i64 {
        self.fragment.iter().product::<i64>() / (WARPGROUP * WARP)
    }

    /// Registers of a thread of a warpgroup for the first factor's fragments of a slice.
    pub(super) fn factor_of_thread(&self) -> i64 {
        let elements = self.fragment[0] * self.matrix.k * self.steps() / (WARPGROUP * WARP);
        elements * self.matrix.a.size_bytes() as i64 / 4
    }

    /// Whether registers hold the accumulator and two partial sums, and the ring both slices.
    pub(super) fn parts_in_turn(&self) -> bool {
        self.partial
            && !self.matrix.fragment_a
            && self.stages >= 2
            && 3 * self.sums_of_thread() <= MOST
    }
}

impl Program<'_> {
    /// All iterations of a loop, if partial sums take turns there.
    pub(super) fn partial_sums_in_turn(
        &mut self,
        l: &KernelLoop,
        scope: &Scope,
    ) -> Result<Option<Vec<KernelNode>>> {
        let product = |w: usize| matches!(self.plan.works[w], Work::Product);
        let products: Vec<&KernelNode> = l.body.iter().filter(|n| holds(n, &product)).collect();
        let [KernelNode::Store(store)] = products.as_slice() else { return Ok(None) };
        let count = difference(&l.upper, &l.lower).filter(|n| *n >= 2);
        let (Some(count), 1) = (count, l.step) else { return Ok(None) };
        if !self.product().parts_in_turn() {
            return Ok(None);
        }
        let lower = replace(&l.lower, &|n: &str| scope.renamed.get(n).cloned());
        let slices = Slices { inside: l, store, scope, lower, count };
        let names = [(); 2].map(|()| unused("partial", self.taken));
        let body = self.turns(&slices, &names)?;
        let wrapped =
            names.iter().rev().fold(body, |body, name| vec![self.fragment_of_sums(name, body)]);
        Ok(Some(wrapped))
    }

    /// Pairs of slices, and what is left.
    fn turns(&mut self, slices: &Slices<'_>, [even, odd]: &[Name; 2]) -> Result<Vec<KernelNode>> {
        let pair = unused(&slices.inside.var, self.taken);
        let first = Index::Mul(2, Box::new(var(&pair)));
        let second = add(first.clone(), Index::Const(1));
        let mut body = self.summed(slices, even, first.clone())?;
        body.extend(self.summed(slices, odd, second.clone())?);
        body.extend(self.added_after(slices, even, first, 1)?);
        body.extend(self.added_after(slices, odd, second, 0)?);
        let mut out = vec![KernelNode::Loop(KernelLoop {
            var: pair,
            label: slices.inside.label.clone(),
            lower: Index::Const(0),
            upper: Index::Const(slices.count / 2),
            step: 1,
            mode: LoopMode::Serial,
            body,
        })];
        if slices.count % 2 != 0 {
            let last = Index::Const(slices.count - 1);
            out.extend(self.summed(slices, even, last.clone())?);
            out.extend(self.added_after(slices, even, last, 0)?);
        }
        Ok(out)
    }

    /// Starts the products of a slice.
    fn summed(&mut self, slices: &Slices<'_>, sum: &Name, i: Index) -> Result<Vec<KernelNode>> {
        let scope = self.slice_at(slices, i);
        let coordinates = self.values(&scope, slices.store);
        let (mut out, at) = self.slot_there(&scope)?;
        let slot = Slot { at, coordinates };
        out.extend(self.products_into(sum, &slot, &Index::Const(0), None));
        Ok(out)
    }

    /// Adds the sums of a slice when no products but so many slices' are on their way.
    fn added_after(
        &mut self,
        slices: &Slices<'_>,
        sum: &Name,
        i: Index,
        left: i64,
    ) -> Result<Vec<KernelNode>> {
        let scope = self.slice_at(slices, i);
        let q = self.count(&scope)?;
        let at = self.slot_of(&q);
        Ok(vec![call("wgmma.wait", vec![number(left)]), self.release(at), self.added(sum)])
    }

    /// The place of a slice.
    fn slice_at(&self, slices: &Slices<'_>, i: Index) -> Scope {
        let value = simplify(&add(slices.lower.clone(), i));
        self.within(slices.scope, slices.inside, [value, slices.lower.clone()], self.none())
    }
}
