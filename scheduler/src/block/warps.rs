//! Products whose factors are in registers: all warps of a block fill slots of the ring and
//! multiply what is in them.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: a program of one role. Before
//! the first product of a tile all slots but one are on their way; then, for each slice, the
//! threads wait for their own copies into its slot, meet, start those of the slice that comes
//! `stages - 1` later, and each warp loads fragments and multiplies: where a slice has an even
//! number of steps, those of the next step, whatever slice that is in, while it multiplies.
//! Requires: loops inside the accumulator's that are nested in each other and, but for the
//! outermost, of known length.
//! Keeps: the slot that is filled in an iteration is the one of the iteration before, which every
//! warp has read before it came to the meeting. Rows in shared memory are as long as the staged
//! buffer's, so that `pad` says where they lie in its banks.

use warploom_ir::diag::Result;
use warploom_ir::kernel::device::{Block, Device, Role, Shared, Teams};
use warploom_ir::kernel::{Condition, Index, KernelLoop, KernelNode, LoopMode, Store};

use super::epilogue::unroll;
use super::operand::Operand as Factor;
use super::roles::{Program, Scope, add, call, conditional, number, remainder, unused, var};
use super::skeleton::{holds, work_of};
use super::warp_steps::{Factors, Slot, Step};
use super::{Answer, Plan, Work, misplaced, unfit};
use crate::index::{difference, replace, replace_condition, simplify, simplify_condition};

/// Bytes at whose multiples rows in shared memory start.
const ROW: i64 = 16;
/// Parts of the fragments: one is loaded while the other is multiplied.
const PARTS: i64 = 2;

/// The loops of a tile's slices, outermost first, and the pieces of work inside all of them.
struct Slices<'n> {
    loops: Vec<&'n KernelLoop>,
    works: Vec<&'n Store<Index>>,
    /// Iterations of all of them together, and of each of them.
    total: Index,
    lengths: Vec<i64>,
}

impl Slices<'_> {
    /// What is known in slice `q`.
    fn scope(&self, scope: &Scope, q: &Index) -> Scope {
        let mut inner = scope.clone();
        let mut around: i64 = self.lengths.iter().skip(1).product();
        for (depth, l) in self.loops.iter().enumerate() {
            let mut count = Index::FloorDiv(Box::new(q.clone()), around);
            if depth > 0 {
                count = Index::Mod(Box::new(count), self.lengths[depth]);
            }
            let lookup = |n: &str| inner.renamed.get(n).cloned();
            let value = add(replace(&l.lower, &lookup), simplify(&count));
            inner.renamed.insert(l.var.clone(), value);
            around /= self.lengths.get(depth + 1).copied().unwrap_or(1);
        }
        inner
    }
}

impl Plan {
    /// Whether a product of fragments has nothing around it that it cannot have.
    pub(super) fn check_warps(&self) -> Answer<()> {
        if !self.main().by_warps() {
            return Ok(());
        }
        let name = &self.main().instruction;
        if self.cluster.is_some() {
            let text = format!("blocks of a cluster have nothing in common for `{name}`");
            return Err(misplaced(text).into());
        }
        for copy in &self.fills {
            let operand = self.main().operand(&copy.buffer).expect("fills are of operands");
            let dims = operand.sides.each_ref().map(|s| s.alone());
            if dims[0].is_none() || dims[1].is_none_or(|d| d + 1 != operand.extents.len()) {
                let text = format!("the rows of `{}` are no one index of `{name}`", copy.buffer);
                let help = format!("let threads fill it: `map {}.0 to thread.x`", copy.buffer);
                return Err(Box::new(unfit(text).help(help)).into());
            }
        }
        Ok(())
    }
}

impl<'a> Program<'a> {
    /// The program of warps that run these nodes.
    pub(super) fn with_warps(mut self, nodes: &[KernelNode]) -> Result<Device> {
        let body = self.in_chosen(nodes, |p, nodes, scope| {
            Ok([p.consumer(nodes, scope, Self::tile_by_warps, false)?, Vec::new()])
        })?;
        let shared = self.product().operands.iter().map(|o| padded(o, self.product().stages));
        let shared = shared.collect::<Result<Vec<Shared>>>()?;
        let warps = self.product().teams;
        let roles = vec![Role { name: "multiply".into(), warps, registers: None, body }];
        let (cluster, tensors, barriers) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Device::Block(Block { cluster, shared, tensors, barriers, roles }))
    }

    /// One iteration of the accumulator's loop.
    fn tile_by_warps(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let own =
            |w: usize| matches!(plan.works[w], Work::Product | Work::Fill(_) | Work::Threads(_));
        let ring: Vec<KernelNode> = nodes.iter().filter(|n| holds(n, &own)).cloned().collect();
        let mut body = Vec::new();
        if !scope.around.is_empty() {
            // the slots of the tile before have been read
            body.push(call("sync", Vec::new()));
        }
        if self.begins_in_part() {
            body.push(self.zeroed());
        }
        let mut done = false;
        for node in nodes {
            if holds(node, &own) {
                if !std::mem::replace(&mut done, true) {
                    if self.product().starts_at_zero {
                        body.push(self.zeroed());
                    }
                    body.extend(self.where_added(&ring, scope)?);
                }
                continue;
            }
            let KernelNode::Store(store) = node else { continue };
            if let Some(Work::Elements(elements)) = work_of(store).map(|w| &plan.works[w]) {
                let values = self.values(scope, store);
                body.push(self.by_warp(|p| {
                    let first = p.team_starts();
                    vec![p.elements(elements, &values, first)]
                }));
            }
        }
        Ok(vec![self.fragment_of_sums(&self.fragment(), body)])
    }

    /// All slices of a tile that has some: some tiles of a triangle have elements to work on and no
    /// terms.
    fn where_added(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let [KernelNode::If(c, then, otherwise)] = nodes else { return self.slices(nodes, scope) };
        if !otherwise.is_empty() {
            return Err(conditional());
        }
        let lookup = |n: &str| scope.renamed.get(n).cloned();
        let there = replace_condition(c, &lookup);
        Ok(vec![KernelNode::If(there, self.where_added(then, scope)?, Vec::new())])
    }

    /// What each warp does by itself.
    fn by_warp(&mut self, body: impl FnOnce(&mut Self) -> Vec<KernelNode>) -> KernelNode {
        self.team = unused("warp", self.taken);
        let (var, count) = (self.team.clone(), self.product().teams);
        let body = body(self);
        Device::Teams(Teams { var, count, warps: 1, body }).into()
    }

    /// All slices of a tile.
    fn slices(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        let slices = self.nested(nodes, scope)?;
        let ahead = self.product().stages - 1;
        let mut out = Vec::new();
        if ahead > 0 {
            let name = unused("ahead", self.taken);
            let at = var(&name);
            let mut body = self.filled_slice(&slices, scope, &at, &at);
            if !matches!(slices.total, Index::Const(n) if n >= ahead) {
                body = Self::where_any(&slices, &at, body);
            }
            body.extend(self.end_of_copies());
            out.push(unroll(&name, ahead, body));
        }
        let steps = self.steps(PARTS);
        if fragment_parts(self.products_of_step(), steps.len() as i64, self.product().stages) > 1 {
            out.extend(self.slices_in_parts(&slices, scope, &steps));
        } else {
            out.extend(self.slices_in_turn(&slices, scope));
        }
        Ok(out)
    }

    /// Slices whose fragments are loaded when all warps have met.
    fn slices_in_turn(&mut self, slices: &Slices<'_>, scope: &Scope) -> Option<KernelNode> {
        let stages = self.product().stages;
        let ahead = stages - 1;
        let factors = self.factors(1);
        self.counted_slices(slices, [Index::Const(0), slices.total.clone()], |p, q| {
            let mut body = Vec::new();
            let later = add(q.clone(), Index::Const(ahead));
            if ahead == 0 {
                body.push(call("sync", Vec::new()));
                body.extend(p.filled_slice(slices, scope, q, &Index::Const(0)));
                body.extend(p.end_of_copies());
                body.extend(p.arrived(0));
            } else {
                body.extend(p.arrived(ahead - 1));
                let at = remainder(&later, stages);
                let next = p.filled_slice(slices, scope, &later, &at);
                body.extend(Self::where_any(slices, &later, next));
                body.extend(p.end_of_copies());
            }
            let at = p.taken_slot(slices, scope, q);
            body.push(p.by_warp(|p| p.multiplied_by_warp(&factors, &at)));
            body
        })
    }

    /// Slices whose steps load the fragments of the next one while they multiply; the last step
    /// those of the next slice. What is ahead of the last slices is there already, so that these
    /// are loops of their own.
    fn slices_in_parts(
        &mut self,
        slices: &Slices<'_>,
        scope: &Scope,
        steps: &[Step],
    ) -> Vec<KernelNode> {
        let ahead = self.product().stages - 1;
        let factors = self.factors(PARTS);
        let total = &slices.total;
        let less = |n: i64| match total {
            Index::Const(total) => Index::Const((total - n).max(0)),
            total => {
                let left = add(total.clone(), Index::Const(-n));
                Index::Max(Box::new(left), Box::new(Index::Const(0)))
            }
        };
        let mut body = self.arrived(ahead - 1);
        let first = self.taken_slot(slices, scope, &Index::Const(0));
        body.push(self.by_warp(|p| p.loaded_step(&factors, &steps[0], &first)));
        let (filling, last) = (less(ahead), less(1));
        body.extend(self.counted_slices(slices, [Index::Const(0), filling.clone()], |p, q| {
            let later = add(q.clone(), Index::Const(ahead));
            let at = p.slot_of(&later);
            let mut body = p.filled_slice(slices, scope, &later, &at);
            body.extend(p.slice_in_parts((slices, scope), &factors, steps, q));
            body
        }));
        body.extend(self.counted_slices(slices, [filling, last.clone()], |p, q| {
            p.slice_in_parts((slices, scope), &factors, steps, q)
        }));
        let at = self.taken_slot(slices, scope, &last);
        body.push(self.by_warp(|p| {
            let later = steps[1..].iter().map(Some).chain([None]);
            let one = |(step, next): (&Step, Option<&Step>)| {
                let mut body = next.map_or_else(Vec::new, |n| p.loaded_step(&factors, n, &at));
                body.extend(p.multiplied_step(&factors, step));
                body
            };
            steps.iter().zip(later).flat_map(one).collect()
        }));
        let any = Self::where_any(slices, &Index::Const(0), body);
        vec![self.with_factors(&factors, any)]
    }

    /// A slice that is not the last one: each step loads what the next one multiplies.
    fn slice_in_parts(
        &mut self,
        (slices, scope): (&Slices<'_>, &Scope),
        factors: &Factors,
        steps: &[Step],
        q: &Index,
    ) -> Vec<KernelNode> {
        let mut body = self.end_of_copies();
        let at = self.taken_slot(slices, scope, q);
        for (step, next) in steps.iter().zip(&steps[1..]) {
            body.push(self.by_warp(|p| {
                let mut body = p.loaded_step(factors, next, &at);
                body.extend(p.multiplied_step(factors, step));
                body
            }));
        }
        let next = self.taken_slot(slices, scope, &add(q.clone(), Index::Const(1)));
        body.extend(self.arrived(self.product().stages - 2));
        if let (Some(first), Some(last)) = (steps.first(), steps.last()) {
            body.push(self.by_warp(|p| {
                let mut body = p.loaded_step(factors, first, &next);
                body.extend(p.multiplied_step(factors, last));
                body
            }));
        }
        body
    }

    /// A loop over these slices; nothing where there are none.
    fn counted_slices(
        &mut self,
        slices: &Slices<'_>,
        [lower, upper]: [Index; 2],
        body: impl FnOnce(&mut Self, &Index) -> Vec<KernelNode>,
    ) -> Option<KernelNode> {
        if difference(&upper, &lower).is_some_and(|n| n <= 0) {
            return None;
        }
        let label = slices.loops.last().map(|l| &l.var);
        let name = unused(label.map_or("slice", |l| l), self.taken);
        let body = body(self, &var(&name));
        Some(KernelNode::Loop(KernelLoop {
            label: slices.loops.last().map_or_else(|| name.clone(), |l| l.label.clone()),
            var: name,
            lower,
            upper,
            step: 1,
            mode: LoopMode::Serial,
            body,
        }))
    }

    /// Marks the end of this thread's copies of a slice, if there are any.
    fn end_of_copies(&self) -> Vec<KernelNode> {
        let copies = !self.plan.fills.is_empty();
        copies.then(|| call("cp.async.commit", Vec::new())).into_iter().collect()
    }

    /// Waits until all copies are done but those of so many slices.
    fn arrived(&self, left: i64) -> Vec<KernelNode> {
        let copies = !self.plan.fills.is_empty();
        let own = copies.then(|| call("cp.async.wait", vec![number(left)]));
        own.into_iter().chain([call("sync", Vec::new())]).collect()
    }

    /// The loops of a tile's slices.
    fn nested<'n>(&self, nodes: &'n [KernelNode], scope: &Scope) -> Result<Slices<'n>> {
        let plan = self.plan;
        let own =
            |w: usize| matches!(plan.works[w], Work::Product | Work::Fill(_) | Work::Threads(_));
        let apart = || misplaced("the loops of a tile's slices are not nested in each other");
        let (mut loops, mut nodes): (Vec<&KernelLoop>, _) = (Vec::new(), nodes);
        let works = loop {
            let inside: Vec<&KernelNode> = nodes.iter().filter(|n| holds(n, &own)).collect();
            let store = |n: &&'n KernelNode| match n {
                KernelNode::Store(s) => Some(s),
                KernelNode::Loop(_)
                | KernelNode::If(..)
                | KernelNode::Local(_)
                | KernelNode::Device(_) => None,
            };
            let all: Option<Vec<&Store<Index>>> = inside.iter().map(store).collect();
            match (all, inside.as_slice()) {
                (Some(works), _) => break works,
                (None, [KernelNode::Loop(l)]) if l.step == 1 => {
                    loops.push(l);
                    nodes = &l.body;
                }
                (None, _) => return Err(apart()),
            }
        };
        let mut total = Index::Const(1);
        let mut lengths = Vec::new();
        for (depth, l) in loops.iter().enumerate() {
            match (difference(&l.upper, &l.lower), depth) {
                (Some(n), 0) => {
                    total = Index::Const(n.max(0));
                    lengths.push(n);
                }
                (None, 0) => {
                    let lookup = |n: &str| scope.renamed.get(n).cloned();
                    let [upper, lower] = [&l.upper, &l.lower].map(|e| replace(e, &lookup));
                    total = simplify(&Index::Sub(Box::new(upper), Box::new(lower)));
                    lengths.push(1);
                }
                (Some(n), _) if n > 0 => {
                    total = simplify(&Index::Mul(n, Box::new(total)));
                    lengths.push(n);
                }
                (_, _) => {
                    let text = format!("how often loop `{}` runs is not known", l.label);
                    let help = "fix the sizes: `--size` or `param K = 512`";
                    return Err(Box::new(misplaced(text).help(help)));
                }
            }
        }
        Ok(Slices { loops, works, total, lengths })
    }

    /// The copies and stores of slice `q` into slot `at`.
    fn filled_slice(
        &mut self,
        slices: &Slices<'_>,
        scope: &Scope,
        q: &Index,
        at: &Index,
    ) -> Vec<KernelNode> {
        let (plan, inner) = (self.plan, slices.scope(scope, q));
        let mut body = Vec::new();
        for store in &slices.works {
            let values = self.values(&inner, store);
            match work_of(store).map(|w| &plan.works[w]) {
                Some(Work::Fill(f)) => {
                    let copy = &plan.fills[*f];
                    let factor = self.product().operand(&copy.buffer);
                    let factor = factor.expect("fills are of operands");
                    body.push(call(&copy.instruction(), copy.matrix(factor, at, &values)));
                }
                Some(Work::Threads(filling)) => body.push(self.share(filling, &values, at)),
                Some(
                    Work::Product
                    | Work::Elements(_)
                    | Work::Drain(_)
                    | Work::Slabs(_)
                    | Work::Nothing,
                )
                | None => {}
            }
        }
        body
    }

    /// The slot of slice `q`, whose fragments are loaded.
    fn taken_slot(&self, slices: &Slices<'_>, scope: &Scope, q: &Index) -> Slot {
        let product = |s: &&&Store<Index>| {
            work_of(s).is_some_and(|w| matches!(self.plan.works[w], Work::Product))
        };
        let masks = self.product().operands.iter().any(|o| o.mask.is_some());
        let found = slices.works.iter().find(product).filter(|_| masks);
        let inner = slices.scope(scope, q);
        let coordinates = found.map_or_else(Vec::new, |s| self.values(&inner, s));
        Slot { at: self.slot_of(q), coordinates }
    }

    /// What is to be done for slice `q`, where there is such a slice.
    fn where_any(slices: &Slices<'_>, q: &Index, body: Vec<KernelNode>) -> Vec<KernelNode> {
        let last = add(slices.total.clone(), Index::Const(-1));
        match simplify_condition(&Condition::Ge(last, q.clone())) {
            Condition::All(parts) if parts.is_empty() => body,
            there => vec![KernelNode::If(there, body, Vec::new())],
        }
    }
}

/// How many steps' fragments warps hold for slices of so many steps of so many products: steps take
/// parts in turn, so that a slice has to start with the part that its first step takes. With one
/// product to a step, `ptxas` 13.0 lets one of f64 that begins a loop start before the one at the
/// end of the iteration before has given its sums: results are wrong.
pub(crate) const fn fragment_parts(products: i64, steps: i64, stages: i64) -> i64 {
    if products > 1 && stages > 1 && steps % PARTS == 0 { PARTS } else { 1 }
}

/// An operand's slots in shared memory, row-major with the staged buffer's padding.
fn padded(factor: &Factor, stages: i64) -> Result<Shared> {
    let bytes = factor.dtype.size_bytes() as i64;
    let mut shape = vec![stages];
    shape.extend(factor.shape());
    let last = shape.last_mut().expect("it has dimensions");
    *last += factor.pad;
    if *last * bytes % ROW != 0 {
        let text = format!(
            "rows of `{}` have {} bytes in shared memory, no multiple of {ROW}",
            factor.buffer,
            *last * bytes
        );
        let help = format!("`pad` them by a multiple of {}", ROW / bytes);
        return Err(Box::new(misplaced(text).help(help)));
    }
    Ok(Shared { name: factor.buffer.clone(), dtype: factor.dtype, shape, panel: None })
}
