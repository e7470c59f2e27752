//! The role that multiplies and uses the sums.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: the loops around accumulators,
//! with the sums of each product in registers where nothing further outside uses them; the loops of
//! its ring; and the pieces that use sums, in the tree's order.
//! Keeps: a slot is released once the instructions that read it are done. Where nothing else stands
//! in a ring's loop, those of one iteration run while the next ones start; else they end first.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::diag::Result;
use warploom_ir::kernel::device::{Device, Teams};
use warploom_ir::kernel::{Condition, Index, KernelNode, Store, TypedKind};

use super::elements::{Elements, Instance};
use super::roles::{
    Program, Scope, Tiles, add, call, conditional, iteration, number, one, slot, stored, unused,
};
use super::skeleton::{holds, work_of};
use super::totals::begins;
use super::warp_steps::Slot;
use super::{Work, misplaced};
use crate::index::{replace, simplify};

/// The products whose sums are in registers, with how many loops of the program are around them.
pub(super) type Opened = BTreeMap<usize, usize>;

impl<'a> Program<'a> {
    /// A consumer: loops around the accumulator, then what is inside one of its iterations. Copies
    /// out of the block that it starts are waited for in the end.
    pub(super) fn consumer(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
        tile: Tiles<'a>,
        copies: bool,
    ) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let product = |w: usize| matches!(plan.works[w], Work::Product);
        let scopes = plan.main().outer_scopes();
        let outer = |node: &&KernelNode| {
            matches!(node, KernelNode::Loop(l) if scopes.contains(&l.label))
                && holds(node, &product)
        };
        match nodes.iter().filter(outer).count() {
            0 => {
                self.at = plan.root;
                return tile(self, nodes, scope);
            }
            count if count < nodes.len() => {
                return Err(misplaced("loops around the accumulator's hold other work"));
            }
            _all => {}
        }
        let mut out = Vec::new();
        let mut before = self.none();
        for node in nodes {
            let KernelNode::Loop(l) = node else { continue };
            let (mut made, inner) = self.enter(l, scope, before.clone())?;
            before = self.after(&before, l);
            made.body = self.consumer(&l.body, &inner, tile, copies)?;
            out.push(KernelNode::Loop(self.in_turns(made)));
        }
        if scope.around.is_empty() && copies && self.drains() {
            out.push(one(vec![call("tma.wait.read", vec![number(0)])]));
        }
        Ok(out)
    }

    /// Whether copies that leave the block are waited for once all tiles are done.
    pub(super) fn drains(&self) -> bool {
        let engine = |w: &Work| match w {
            Work::Drain(copy) => !copy.threads(),
            other => other.slabs().is_some(),
        };
        self.plan.works.iter().any(engine)
    }

    /// What a team does in one iteration of a loop that holds accumulators, with those in registers
    /// that nothing outside uses; and the copies of boxes that follow when all teams have done it.
    pub(super) fn held(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
        outside: &Opened,
    ) -> Result<(Vec<KernelNode>, Vec<KernelNode>)> {
        let plan = self.plan;
        let mut opened = outside.clone();
        let mut new = Vec::new();
        for p in 0..plan.products.len() {
            if !opened.contains_key(&p) && self.opens(p, nodes) {
                opened.insert(p, scope.around.len());
                new.push(p);
                self.opens_first_factor(p);
            }
        }
        let totals = self.totals_begun(nodes);
        let (mut body, mut leaving) = (Vec::new(), Vec::new());
        let mut drained = BTreeSet::new();
        let mut before = self.none();
        for node in nodes {
            if let Some(p) = self.multiplies(node, &opened) {
                self.at = p;
                body.extend(self.ended(node, scope, opened[&p])?);
                body.extend(self.staging_free(nodes, scope)?);
                continue;
            }
            match node {
                KernelNode::Loop(l) if holds(node, &|w| self.sums(w)) => {
                    let (mut made, inner) = self.enter(l, scope, before.clone())?;
                    before = self.after(&before, l);
                    let (inside, boxes) = self.held(&l.body, &inner, &opened)?;
                    if !boxes.is_empty() {
                        let text = format!("boxes of all warpgroups leave inside `{}`", l.label);
                        return Err(misplaced(text));
                    }
                    made.body = inside;
                    body.push(KernelNode::Loop(made));
                    for p in opened.keys() {
                        let own = |w: usize| plan.owners[w] == *p && self.is_product(w);
                        if holds(node, &own) {
                            self.at = *p;
                            body.extend(self.staging_free(nodes, scope)?);
                        }
                    }
                }
                KernelNode::Store(store) => {
                    let made = self.used(store, scope, &mut drained)?;
                    let to = if self.boxed(store) { &mut leaving } else { &mut body };
                    to.extend(made);
                }
                KernelNode::Loop(_)
                | KernelNode::If(..)
                | KernelNode::Local(_)
                | KernelNode::Device(_) => {}
            }
        }
        let last = scope.around.is_empty();
        if last && nodes.iter().any(|n| self.slabs_of(n)) {
            body.push(one(vec![call("tma.wait.read", vec![number(0)])]));
        }
        for p in new.into_iter().rev() {
            self.at = p;
            let partial = self.product().partial && self.product().starts_at_zero;
            if partial || self.begins_in_part() {
                body.insert(0, self.zeroed());
            }
            body = self.with_first_factor(body);
            body = vec![self.fragment_of_sums(&self.fragment(), body)];
        }
        for total in totals {
            body = vec![self.total_ended(&total, body)];
        }
        Ok((body, leaving))
    }

    /// Whether sums begin with elements of another array, which are not there for all of them.
    pub(super) fn begins_in_part(&self) -> bool {
        let fragment = self.fragment();
        let own = self.plan.works.iter().zip(&self.plan.owners).filter(|(_, p)| **p == self.at);
        let mut elements = own.filter_map(|(work, _)| work.elements());
        let begins = |i: &Instance| i.store.array == fragment && !i.guard.is_empty();
        elements.any(|e| e.statements.iter().any(begins))
    }

    /// The threads of a team meet before they read what one of them has combined of a row.
    fn rows_there(&mut self, elements: &Elements) -> Vec<KernelNode> {
        let mut reads = false;
        for Instance { store, .. } in &elements.statements {
            store.value.visit(&mut |v| {
                reads |= matches!(&v.kind, TypedKind::Read { array, .. }
                    if self.combined.contains(array));
            });
        }
        let combined = elements.statements.iter().filter(|i| i.row.is_some());
        if reads {
            self.combined.clear();
        }
        self.combined.extend(combined.map(|i| i.store.array.clone()));
        if reads { vec![call("sync", Vec::new())] } else { Vec::new() }
    }

    fn is_product(&self, work: usize) -> bool {
        matches!(self.plan.works[work], Work::Product)
    }

    /// Whether a piece of work belongs to those who multiply.
    pub(super) fn sums(&self, work: usize) -> bool {
        !matches!(self.plan.works[work], Work::Fill(_) | Work::Threads(_) | Work::Nothing)
    }

    /// Whether the sums of a product begin and end with these nodes: not all that uses them is
    /// inside loops of its accumulator's.
    fn opens(&self, p: usize, nodes: &[KernelNode]) -> bool {
        let product = &self.plan.products[p];
        let of_total = |w: usize| {
            let elements = self.plan.works[w].elements();
            elements.is_some_and(|e| e.of.buffer != product.accumulator)
        };
        let own = |w: usize| self.plan.owners[w] == p && self.sums(w) && !of_total(w);
        begins(nodes, product.scopes(), &own)
    }

    /// The product whose products a node is, and nothing else that those who multiply do.
    fn multiplies(&self, node: &KernelNode, opened: &Opened) -> Option<usize> {
        let such = |p: &usize| {
            let (works, owners) = (&self.plan.works, &self.plan.owners);
            let own = |w: usize| owners[w] == *p && matches!(works[w], Work::Product);
            holds(node, &own) && !holds(node, &|w| self.sums(w) && !own(w))
        };
        opened.keys().copied().find(such)
    }

    /// Products until they are done, with their slots released.
    fn ended(&mut self, node: &KernelNode, scope: &Scope, from: usize) -> Result<Vec<KernelNode>> {
        let level = scope.around.len();
        let mut out = self.turn_begins(scope)?;
        out.extend(self.products(std::slice::from_ref(node), scope, [from, level])?);
        out.extend(self.turn_ends(scope)?);
        out.push(call("wgmma.wait", vec![number(0)]));
        out.extend(self.release_last(node, scope)?);
        Ok(out)
    }

    /// Before elements are written where copies of the iteration before may still read.
    fn staging_free(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let drain = |w: usize| plan.owners[w] == self.at && matches!(plan.works[w], Work::Drain(_));
        let drains = nodes.iter().filter_map(stored).filter_map(work_of).any(drain);
        if scope.around.is_empty() || !drains {
            return Ok(Vec::new());
        }
        if plan.joint() {
            return self.until_free(scope);
        }
        Ok(vec![one(vec![call("tma.wait.read", vec![number(0)])]), call("sync", Vec::new())])
    }

    /// Whether a piece of work is a box that all warpgroups have written.
    fn boxed(&self, store: &Store<Index>) -> bool {
        let work = work_of(store).map(|w| &self.plan.works[w]);
        self.plan.joint() && matches!(work, Some(Work::Drain(_)))
    }

    fn slabs_of(&self, node: &KernelNode) -> bool {
        stored(node).and_then(work_of).is_some_and(|w| self.plan.works[w].slabs().is_some())
    }

    /// A piece of work that uses sums; `drained` are the products whose elements copies have been
    /// fenced for.
    fn used(
        &mut self,
        store: &Store<Index>,
        scope: &Scope,
        drained: &mut BTreeSet<usize>,
    ) -> Result<Vec<KernelNode>> {
        let (plan, again) = (self.plan, !scope.around.is_empty());
        let Some(work) = work_of(store) else { return Ok(Vec::new()) };
        self.at = plan.owners[work];
        let values = self.values(scope, store);
        Ok(match &plan.works[work] {
            Work::Elements(elements) => {
                let first = self.team_starts();
                let mut out = self.rows_there(elements);
                out.push(self.elements(elements, &values, first));
                if elements.statements.iter().any(|i| i.held) {
                    // the team multiplies its own rows of it
                    out.push(call("fence.async", Vec::new()));
                    out.push(call("sync", Vec::new()));
                }
                out
            }
            Work::Drain(copy) if plan.joint() => vec![match copy.threads() {
                true => self.threads_leave(copy, &values),
                false => self.box_leaves(copy, &values),
            }],
            Work::Drain(copy) => self.drain(copy, &values, !drained.insert(self.at), again),
            Work::Slabs(slabs) => {
                let before = match slabs.count % slabs.stages {
                    0 => Index::Const(0),
                    _left => Index::Mul(slabs.count, Box::new(self.own_tiles(scope)?)),
                };
                vec![self.slabs(slabs, &values, &simplify(&before))]
            }
            Work::Product | Work::Fill(_) | Work::Threads(_) | Work::Nothing => Vec::new(),
        })
    }

    /// The loops inside the accumulator's, down to the instructions. `from` loops of the program
    /// are around the accumulator, and `level` around the place where only products follow.
    pub(super) fn products(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
        [from, level]: [usize; 2],
    ) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let product = |w: usize| matches!(plan.works[w], Work::Product);
        let mut out = Vec::new();
        for node in nodes.iter().filter(|n| holds(n, &product)) {
            match node {
                KernelNode::Loop(l) => {
                    if let Some(all) = self.partial_sums_in_turn(l, scope)? {
                        out.extend(all);
                        continue;
                    }
                    let (mut made, inner) = self.enter(l, scope, self.none())?;
                    made.body = self.products(&l.body, &inner, [from, level])?;
                    out.push(KernelNode::Loop(made));
                }
                KernelNode::Store(_) if self.product().matrix.tensor => {
                    out.extend(self.issued(scope, from)?);
                }
                KernelNode::Store(store) => {
                    let coordinates = self.values(scope, store);
                    out.extend(self.instructions(scope, &coordinates, [from, level])?);
                }
                KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {
                    return Err(conditional());
                }
            }
        }
        Ok(out)
    }

    /// One iteration of the ring, for a consumer.
    fn instructions(
        &mut self,
        scope: &Scope,
        coordinates: &[Index],
        [from, level]: [usize; 2],
    ) -> Result<Vec<KernelNode>> {
        let q = self.count(scope)?;
        let first = iteration(&scope.around[from..]);
        let (mut out, at) = self.slot_there(scope)?;
        if self.product().partial {
            out.push(self.partial_sum(at, coordinates));
            return Ok(out);
        }
        let (stages, fragment) = (self.product().stages, self.fragment());
        if stages == 1 {
            out.extend(self.products_done(&fragment, (at, coordinates), &first));
            return Ok(out);
        }
        let slot = Slot { at, coordinates: coordinates.to_vec() };
        let before = match scope.around.len() > level {
            true => {
                let before = self.slot_of(&add(q, Index::Const(stages - 1)));
                let later = Condition::Ge(iteration(&scope.around[level..]), Index::Const(1));
                vec![KernelNode::If(later, vec![self.release(before)], Vec::new())]
            }
            false => Vec::new(),
        };
        if self.product().matrix.fragment_a {
            out.extend(self.products_in_steps(&fragment, &slot, &first, before));
            return Ok(out);
        }
        out.extend(self.products_into(&fragment, &slot, &first, None));
        if !before.is_empty() {
            out.push(call("wgmma.wait", vec![number(1)]));
            out.extend(before);
        }
        Ok(out)
    }

    /// Waits until the slot of an iteration of the ring is there; the slot.
    pub(super) fn slot_there(&mut self, scope: &Scope) -> Result<(Vec<KernelNode>, Index)> {
        let q = self.count(scope)?;
        let at = self.slot_of(&q);
        let wait = vec![slot(self.full(), at.clone()), self.parity(&q, 0)];
        let mut out = vec![call("mbarrier.wait", wait)];
        if self.copies_ring() {
            // what threads copied are ordinary writes, which whoever multiplies fences
            out.push(call("fence.async", Vec::new()));
        }
        Ok((out, at))
    }

    /// A slot may be filled again. Where threads do that, each warp says so for what it has read:
    /// the others may still wait for their products.
    pub(super) fn release(&mut self, at: Index) -> KernelNode {
        let arrive = one(vec![match self.releasing() {
            1 => call("mbarrier.arrive", vec![slot(self.empty(), at)]),
            count => {
                let operands = vec![slot(self.empty(), at), self.all_blocks(count)];
                call("mbarrier.arrive.cluster", operands)
            }
        }]);
        match self.releasers() {
            1 => arrive,
            count => {
                let (var, body) = (unused("warp", self.taken), vec![arrive]);
                Device::Teams(Teams { var, count, warps: 1, body }).into()
            }
        }
    }

    /// The release of the last slot of a tile, where another tile follows.
    fn release_last(&mut self, node: &KernelNode, scope: &Scope) -> Result<Option<KernelNode>> {
        if scope.around.is_empty() || self.product().stages == 1 || self.product().partial {
            return Ok(None);
        }
        let inner = self.last(std::slice::from_ref(node), scope);
        let q = self.count(&inner)?;
        let at = self.slot_of(&q);
        Ok(Some(self.release(at)))
    }

    /// The place of the last product below some nodes.
    pub(super) fn last(&self, nodes: &[KernelNode], scope: &Scope) -> Scope {
        let plan = self.plan;
        let mut inner = scope.clone();
        let mut nodes = nodes;
        let own = |w: usize| plan.owners[w] == self.at && matches!(plan.works[w], Work::Product);
        loop {
            let mut loops = nodes.iter().filter_map(|n| match n {
                KernelNode::Loop(l) if holds(n, &own) => Some(l),
                KernelNode::Loop(_)
                | KernelNode::If(..)
                | KernelNode::Local(_)
                | KernelNode::Store(_)
                | KernelNode::Device(_) => None,
            });
            let Some(mut l) = loops.next() else { return inner };
            let mut before = self.none();
            for next in loops {
                before = self.after(&before, l);
                l = next;
            }
            let lookup = |n: &str| inner.renamed.get(n).cloned();
            let (lower, upper) = (replace(&l.lower, &lookup), replace(&l.upper, &lookup));
            let last = simplify(&Index::Sub(Box::new(upper), Box::new(Index::Const(1))));
            inner = self.within(&inner, l, [last, lower], before);
            nodes = &l.body;
        }
    }
}
