//! The role that fills operands' buffers ahead.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: the loops that lead to fills,
//! and for each iteration of a ring what fills its slot.
//! Keeps: rings are filled in the order of the script's tree; a slot is filled once the products
//! have released what was in it.

use warploom_ir::diag::Result;
use warploom_ir::kernel::{Index, KernelNode, Store};

use super::Work;
use super::roles::{Program, Scope, call, conditional, number, one, slot, stored};
use super::skeleton::{holds, work_of};

impl Program<'_> {
    /// What the producer's warps do.
    pub(super) fn loading(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
    ) -> Result<Vec<KernelNode>> {
        let loads = self.producer(nodes, scope)?;
        Ok(if self.fills_itself() { self.in_groups(loads) } else { vec![one(loads)] })
    }

    /// The producer: loops that lead to copies into operands.
    pub(super) fn producer(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
    ) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let fill = |w: usize| matches!(plan.works[w], Work::Fill(_) | Work::Threads(_));
        let mut out = Vec::new();
        let mut before = self.none();
        for (at, node) in nodes.iter().enumerate() {
            match node {
                node if !holds(node, &fill) => {}
                KernelNode::Loop(l) => {
                    let (mut made, inner) = self.enter(l, scope, before.clone())?;
                    before = self.after(&before, l);
                    made.body = self.producer(&l.body, &inner)?;
                    out.push(KernelNode::Loop(made));
                }
                KernelNode::Store(_) => {
                    let owner = |n: &KernelNode| {
                        let work = stored(n).and_then(work_of).filter(|w| fill(*w))?;
                        Some(plan.owners[work])
                    };
                    let p = owner(node);
                    // all that fills a slot, where the first of it stands
                    if nodes[..at].iter().any(|n| owner(n) == p) {
                        continue;
                    }
                    let same = nodes[at..].iter().filter(|n| owner(n) == p);
                    let same: Vec<&Store<Index>> = same.filter_map(stored).collect();
                    self.at = p.unwrap_or(plan.root);
                    out.extend(self.loads(&same, scope)?);
                }
                KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {
                    return Err(conditional());
                }
            }
        }
        Ok(out)
    }

    /// One iteration of the ring, for the producer.
    fn loads(&mut self, fills: &[&Store<Index>], scope: &Scope) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let q = self.count(scope)?;
        let at = self.slot_of(&q);
        let (mut loads, mut by_threads) = (Loads::default(), Loads::default());
        let mut fillings = Vec::new();
        for store in fills {
            let values = self.values(scope, store);
            match work_of(store).map(|w| &plan.works[w]) {
                Some(Work::Fill(f)) => {
                    let copy = &plan.fills[*f];
                    let factor = self.product().operand(&copy.buffer);
                    let factor = factor.expect("fills are of operands");
                    let own = self.own_slot(&copy.buffer, &at, &values);
                    let load = self.load(copy, factor, &own, &values);
                    let to = if copy.asynchronous() { &mut by_threads } else { &mut loads };
                    let bytes = factor.shape().iter().product::<i64>() * factor.bits() / 8;
                    to.take(load, bytes, self.lasting.contains_key(&copy.buffer));
                }
                Some(Work::Threads(f)) => fillings.push((f, values)),
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
        let wait = vec![slot(self.empty(), at.clone()), self.parity(&q, 1)];
        let mut out = vec![call("mbarrier.wait", wait)];
        let split = |first, others| self.in_first_tile(&q, first, others);
        let loads = loads.told(split, |bytes| {
            if bytes == 0 {
                return vec![call("mbarrier.arrive", vec![slot(self.full(), at.clone())])];
            }
            let bytes = number(bytes * self.product().matrix.blocks);
            let expect = call("mbarrier.expect", vec![slot(self.full(), at.clone()), bytes]);
            self.by_first(vec![expect])
        });
        if !self.fills_itself() {
            out.extend(loads);
            return Ok(out);
        }
        if !loads.is_empty() {
            out.push(one(loads));
        }
        if self.copies_ring() {
            out.extend(by_threads.told(split, |_bytes| Vec::new()));
            out.push(call("cp.async.arrive", vec![slot(self.full(), at.clone())]));
        }
        if !fillings.is_empty() {
            out.extend(self.filled(&fillings, &at));
        }
        Ok(self.in_turn(out, &q))
    }
}

/// Copies that begin in an iteration of the ring.
#[derive(Default)]
struct Loads {
    /// Those of each iteration, and their bytes.
    each: (Vec<KernelNode>, i64),
    /// Those of the first tile alone.
    first: (Vec<KernelNode>, i64),
}

impl Loads {
    fn take(&mut self, load: KernelNode, bytes: i64, lasting: bool) {
        let (loads, all) = if lasting { &mut self.first } else { &mut self.each };
        loads.push(load);
        *all += bytes;
    }

    /// What begins, behind what tells how many bytes come; `split` takes what the first tile does
    /// and what others do.
    fn told(
        self,
        split: impl FnOnce(Vec<KernelNode>, Vec<KernelNode>) -> Vec<KernelNode>,
        tell: impl Fn(i64) -> Vec<KernelNode>,
    ) -> Vec<KernelNode> {
        let Self { each: (each, bytes), first: (first, more) } = self;
        if first.is_empty() && each.is_empty() {
            return Vec::new();
        }
        let mut out = match first.is_empty() {
            true => tell(bytes),
            false => split([tell(bytes + more), first].concat(), tell(bytes)),
        };
        out.extend(each);
        out
    }
}
