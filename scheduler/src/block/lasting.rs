//! Operands whose slices are the same for all tiles of a block.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: the operands that stay where
//! they are, with a slot for each iteration of the ring's loop, which those of the first tile fill;
//! and what the producer does in these alone.
//! Keeps: who reads such an operand has waited for the slots of the first tile, with which it came,
//! so all teams take all tiles, in one order, and each tile has all iterations: nothing where tiles
//! are left out or taken as they come, where teams take them in turn, and in clusters. No more room
//! than the ring has without them.
//! Why here: a matrix of 72 x 72 that a tensor of 72^4 is multiplied with was 40 % of all copies.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Condition, Index, KernelNode};

use super::Work;
use super::moves::Move;
use super::roles::{Program, Scope, by_name, stored};
use super::skeleton::work_of;
use crate::index::substitute;

/// What stands for the iteration of the ring's loop in [`Start::at`].
const RING: &str = "iteration of the ring";

/// Where a copy into an operand starts.
struct Start<'s> {
    copy: &'s Move,
    /// The first element, over the iteration of the ring's loop.
    at: Vec<Index>,
    /// How often that loop runs, from 0 on; nothing where it is no such loop.
    count: Option<i64>,
}

impl Program<'_> {
    /// The buffers of operands whose copies depend on nothing but the ring's loop, with how often
    /// that runs; none where all are such.
    pub(super) fn found_lasting(&self, nodes: &[KernelNode]) -> BTreeMap<Name, i64> {
        let plan = self.plan;
        let known = plan.cluster.is_none()
            && plan.taken.is_none()
            && plan.streamed.is_none()
            && plan.pong.is_none()
            && plan.chosen.is_none();
        let [product] = plan.products.as_slice() else { return BTreeMap::new() };
        if !known {
            return BTreeMap::new();
        }
        let mut starts = Vec::new();
        self.starts(nodes, &mut BTreeMap::new(), &mut starts);
        let by_threads = product.matrix.fragment_a.then(|| &product.operands[0].buffer);
        let lasts = |copy: &Move| {
            let mut own = starts.iter().filter(|s| s.copy.buffer == copy.buffer);
            let first = own.next().filter(|_| Some(&copy.buffer) != by_threads)?;
            let ring = |name: &str| (name == RING).then_some(0);
            let fixed = first.at.iter().all(|i| i.eval(&ring).is_some());
            let same = own.all(|s| s.at == first.at && s.count == first.count);
            first.count.filter(|count| fixed && same && *count <= product.stages)
        };
        let found: BTreeMap<Name, i64> = (plan.fills.iter())
            .filter_map(|copy| Some((copy.buffer.clone(), lasts(copy)?)))
            .collect();
        let others = product.operands.iter().any(|o| !found.contains_key(&o.buffer));
        if others { found } else { BTreeMap::new() }
    }

    /// Each copy into an operand, inside loops of which some are known to run from 0 on.
    fn starts<'s>(
        &'s self,
        nodes: &[KernelNode],
        around: &mut BTreeMap<Name, i64>,
        out: &mut Vec<Start<'s>>,
    ) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => {
                    if let (Index::Const(0), Index::Const(count), 1) = (&l.lower, &l.upper, l.step)
                    {
                        around.insert(l.var.clone(), *count);
                    }
                    self.starts(&l.body, around, out);
                    around.remove(&l.var);
                }
                KernelNode::If(_, then, otherwise) => {
                    self.starts(then, around, out);
                    self.starts(otherwise, around, out);
                }
                KernelNode::Store(_) => {
                    let found = stored(node).and_then(|s| Some((s, &self.plan.works[work_of(s)?])));
                    let Some((store, Work::Fill(f))) = found else { continue };
                    let copy = &self.plan.fills[*f];
                    let mut values = self.values(&Scope::default(), store);
                    let Some(ring) = values.last_mut() else { continue };
                    let count = match &*ring {
                        Index::Const(0) => Some(1),
                        Index::Var(v) => around.get(v).copied(),
                        _other => None,
                    };
                    *ring = Index::Var(RING.into());
                    let place = by_name(&copy.coordinates, &values);
                    let at = copy.start.iter().map(|e| substitute(e, &place)).collect();
                    out.push(Start { copy, at, count });
                }
                KernelNode::Local(_) | KernelNode::Device(_) => {}
            }
        }
    }

    /// The slot of an operand in the iteration of the ring at these coordinates, of which others
    /// have slot `at`.
    pub(super) fn own_slot(&self, buffer: &Name, at: &Index, coordinates: &[Index]) -> Index {
        let last = coordinates.last().filter(|_| self.lasting.contains_key(buffer));
        last.unwrap_or(at).clone()
    }

    /// What is done in iterations `q` of the ring that are the first tile's, and what in others.
    pub(super) fn in_first_tile(
        &self,
        q: &Index,
        first: Vec<KernelNode>,
        others: Vec<KernelNode>,
    ) -> Vec<KernelNode> {
        let last = self.lasting.values().max().map_or(0, |count| count - 1);
        match q {
            Index::Const(q) if *q <= last => first,
            Index::Const(_) => others,
            moving => {
                let early = Condition::Ge(Index::Const(last), moving.clone());
                vec![KernelNode::If(early, first, others)]
            }
        }
    }
}
