//! The producer's threads: an iteration of the ring in which they fill operands themselves.
//!
//! In: the statements that fill operands, at an iteration of the ring. Out: nodes that let the
//! threads fill their share, and arrive; who arrives how often, where threads fill or copy.
//! Several groups of warps take iterations in turn, so that their loads are on their way together.
//! Keeps: the tensor cores see what threads wrote once each of them has fenced it and its warp has
//! arrived: a phase of `full` counts one arrival of each warp, and one with the bytes of copies.
//! Neighbouring threads read neighbours in memory.

use warploom_ir::affine::Name;
use warploom_ir::kernel::device::{Device, Share, Teams, WARP, WARPGROUP};
use warploom_ir::kernel::{Condition, Index, KernelNode, Store};

use super::digits::Digits;
use super::epilogue::{condition, stored_at};
use super::factor::nothing;
use super::filling::Filling;
use super::moves::Move;
use super::operand::Operand as Factor;
use super::product::Product;
use super::roles::{Program, add, by_name, call, one, slot, unused, var};
use super::scaled::Shares;
use crate::index::{simplify, simplify_condition};

/// Bytes of a chunk of shared memory, and of a word.
const CHUNK: i64 = 16;
const WORD: i64 = 4;
/// Bytes that a thread turns around at once, in registers.
const SQUARE: i64 = 128;

/// Registers of a thread that only starts copies, and the most that others can have.
const FEW: i64 = 24;
/// Fewest registers beside the accumulator that its code can do with.
const LEAST: i64 = 48;
/// Registers of a thread that fills operands, and most groups of such threads.
const FILLING: i64 = 64;
const GROUPS: i64 = 3;
const MANY: i64 = 240;
/// Registers that a thread needs beside its part of the accumulator.
const OTHERS: i64 = 64;
/// Registers of a multiprocessor.
const REGISTERS: i64 = 64 << 10;

/// How an operand's elements are shared out.
struct Dealt {
    vars: Vec<Name>,
    extents: Vec<i64>,
    piece: Vec<i64>,
    /// Row and column of the buffer's last two dimensions.
    at: [Index; 2],
}

/// Groups of the producer's warps that fill operands, where each thread of so many warpgroups holds
/// so many sums.
pub(crate) fn groups(held: i64, teams: i64, stages: i64) -> i64 {
    // the assembler gives all threads what a thread's share of all registers is
    let share = |groups: i64| REGISTERS / (WARP * WARPGROUP * (groups + teams)) / 8 * 8;
    let fits = |groups: &i64| share(*groups) >= held + LEAST;
    (1..=GROUPS.min(stages)).rev().find(fits).unwrap_or(1)
}

impl Program<'_> {
    /// Whether the producer's threads fill operands themselves, or copy into them asynchronously.
    pub(super) fn fills_itself(&self) -> bool {
        self.stores_itself() || self.plan.fills.iter().any(Move::asynchronous)
    }

    /// Whether the producer's threads fill operands themselves.
    fn stores_itself(&self) -> bool {
        self.plan.works.iter().any(|w| w.threads().is_some())
    }

    /// Warps of the producer.
    pub(super) fn fillers(&self) -> i64 {
        WARPGROUP * self.groups()
    }

    /// Groups of the producer's warps, each of which fills slots of its own.
    fn groups(&self) -> i64 {
        if !self.stores_itself() {
            // what is on its way asynchronously takes no registers
            return 1;
        }
        let filled = self.plan.works.iter().zip(&self.plan.owners);
        let filled = filled.filter(|(work, _)| work.threads().is_some());
        let stages = filled.map(|(_, p)| self.plan.products[*p].stages).min().unwrap_or(1);
        let most = groups(self.held_by_thread(), self.multipliers(), stages);
        // the warp that asks for tiles takes the registers of a group: warps get them in fours
        if self.answers.is_some() { most.min(GROUPS - 1) } else { most }
    }

    /// Registers for the sums that a thread holds at once.
    fn held_by_thread(&self) -> i64 {
        let of = |product: &Product| {
            if !product.scales.is_empty() {
                // those who fill them hold no sums, which are in tensor memory
                return 0;
            }
            let sums = match (product.partial, product.parts_in_turn()) {
                (false, _) => 1,
                (true, false) => 2,
                (true, true) => 3,
            };
            let words: i64 = product.totals.iter().map(|t| t.dtype.size_bytes() as i64 / 4).sum();
            let factor = if product.matrix.fragment_a { product.factor_of_thread() } else { 0 };
            (sums + words) * product.sums_of_thread() + factor
        };
        self.plan.products.iter().map(of).sum()
    }

    /// What all groups do, each as a team.
    pub(super) fn in_groups(&self, body: Vec<KernelNode>) -> Vec<KernelNode> {
        match self.groups() {
            1 => body,
            count => {
                let (var, warps) = (self.group.clone(), WARPGROUP);
                vec![Device::Teams(Teams { var, count, warps, body }).into()]
            }
        }
    }

    /// What one of the groups does in iteration `q` of the ring: they take turns.
    pub(super) fn in_turn(&self, body: Vec<KernelNode>, q: &Index) -> Vec<KernelNode> {
        match self.groups() {
            1 => body,
            count => {
                let turn = simplify(&Index::Mod(Box::new(q.clone()), count));
                vec![KernelNode::If(Condition::Eq(turn, var(&self.group)), body, Vec::new())]
            }
        }
    }

    /// Whether they fill operands of the product at hand.
    fn fills_ring(&self) -> bool {
        let works = self.plan.works.iter().zip(&self.plan.owners);
        works.into_iter().any(|(work, owner)| *owner == self.at && work.threads().is_some())
    }

    /// Whether they copy operands of the product at hand asynchronously.
    pub(super) fn copies_ring(&self) -> bool {
        self.own_fills().any(Move::asynchronous)
    }

    /// The copies into operands of the product at hand.
    pub(super) fn own_fills(&self) -> impl Iterator<Item = &Move> {
        let product = self.product();
        self.plan.fills.iter().filter(|f| product.operand(&f.buffer).is_some())
    }

    /// Warps of a warpgroup that release a slot: one for all, or each where threads fill it or read
    /// it.
    pub(super) fn releasers(&self) -> i64 {
        let matrix = &self.product().matrix;
        let threads = self.fills_ring() || self.copies_ring() || matrix.fragment_a;
        if threads && !matrix.tensor { WARPGROUP } else { 1 }
    }

    /// Arrivals at `full` in each phase.
    pub(super) fn arrivals(&self) -> i64 {
        let product = self.product();
        let engine = self.own_fills().any(|f| !f.asynchronous());
        let warps = if self.fills_ring() { WARPGROUP } else { 0 };
        let threads = if self.copies_ring() { WARPGROUP * WARP } else { 0 };
        // the threads of both blocks of a pair tell the first
        warps * product.matrix.blocks + threads + i64::from(engine)
    }

    /// Registers of each thread of the two roles; none where a thread's share of all is enough.
    pub(super) fn registers(&self, warps: i64) -> [Option<i64>; 2] {
        let held = self.held_by_thread();
        let producer = WARP * self.fillers();
        let share = REGISTERS / (WARP * warps + producer);
        if held + OTHERS <= share {
            return [None, None];
        }
        let few = if self.fills_itself() { FILLING } else { FEW };
        // what the block starts with, in steps of 8 for each thread, is all there is to share
        let threads = WARP * warps + producer;
        let all = REGISTERS / threads / 8 * 8 * threads;
        let left = (all - few * producer) / (WARP * warps);
        [Some(few), Some(MANY.min(left / 8 * 8))]
    }

    /// One iteration of the ring, for threads that fill slot `at`.
    pub(super) fn filled(
        &mut self,
        fillings: &[(&Filling, Vec<Index>)],
        at: &Index,
    ) -> Vec<KernelNode> {
        let mut out = Vec::new();
        for (filling, values) in fillings {
            out.push(self.share(filling, values, at));
        }
        out.push(call("fence.async", Vec::new()));
        let arrive = self.told_first(slot(self.full(), at.clone()));
        let body = vec![call("sync", Vec::new()), one(vec![arrive])];
        let (var, count) = (unused("warp", self.taken), WARPGROUP);
        out.push(Device::Teams(Teams { var, count, warps: 1, body }).into());
        out
    }

    /// A statement for each element of an operand's slot, shared out among the team's threads.
    pub(super) fn share(
        &mut self,
        filling: &Filling,
        coordinates: &[Index],
        at: &Index,
    ) -> KernelNode {
        let factor = self.product().operand(&filling.buffer).expect("fillings are of operands");
        let scales = self.product().scaled_by(&filling.buffer);
        let (dealt, own) = match scales {
            true => {
                let Shares { vars, extents, at, inside } = self.scales_dealt(factor);
                let mut piece = vec![1; extents.len()];
                piece.splice(extents.len() - 1.., extents.last().copied());
                (Dealt { vars, extents, piece, at }, inside)
            }
            false => {
                let dealt = self.dealt(filling, factor);
                (dealt, Vec::new())
            }
        };
        let mut elements = dealt.at.clone();
        if factor.parts > 1 {
            // the part that this block of a pair holds
            let (own, held) = (factor.own(), factor.shape()[factor.own()]);
            elements[own] =
                add(Index::Mul(held, Box::new(var(&self.cluster))), elements[own].clone());
        }
        let places = Digits::element(&factor.sides, &elements, factor.extents.len());
        let mut inside = vec![at.clone()];
        inside.extend(dealt.at.iter().cloned());
        if scales {
            inside.splice(1.., own);
        }
        let mut values = coordinates[..filling.names.len() - places.len()].to_vec();
        values.extend(places);
        let lookup = by_name(&filling.names, &values);
        let mut store = stored_at(&filling.store, (&filling.iterators, &filling.values), &lookup);
        store.indices = inside;
        let zero = Store { value: nothing(store.dtype), ..store.clone() };
        let conditions = filling.guard.iter().map(|c| condition(c, &lookup)).collect();
        let store = KernelNode::Store(store);
        let body = match simplify_condition(&Condition::All(conditions)) {
            Condition::All(parts) if parts.is_empty() => store,
            guard => KernelNode::If(guard, vec![store], vec![KernelNode::Store(zero)]),
        };
        let Dealt { vars, extents, piece, .. } = dealt;
        Device::Share(Share { vars, extents, piece, body: vec![body] }).into()
    }

    /// Which thread fills which elements where the array's rows run along the slower of two digits
    /// of the columns: a thread turns squares around whose rows it reads and whose columns it
    /// writes, both as wide as they can be. Neighbours read neighbours along these rows.
    fn across_digits(
        &mut self,
        filling: &Filling,
        factor: &Factor,
        [row, column]: [&Name; 2],
    ) -> Option<Dealt> {
        let held = factor.held(1);
        let [slow, fast] = held.0.as_slice() else { return None };
        let sources = filling.sources.iter().filter(|s| s.along == Some(slow.dim));
        let wide = sources.map(|s| s.wide).filter(|w| slow.extent % w == 0).max()?;
        let bytes = factor.dtype.size_bytes() as i64;
        let written = [CHUNK, WORD].into_iter().map(|n| (n / bytes).max(1));
        let written = written.into_iter().find(|n| fast.extent % n == 0)?;
        // with tensor memory all threads have as many registers: half is enough for them
        let held = if self.product().matrix.tensor { SQUARE / 2 } else { SQUARE };
        let most = (held / (written * bytes)).min(CHUNK / bytes);
        let digit = unused("digit", self.taken);
        let first = Index::Mul(fast.extent, Box::new(var(&digit)));
        Some(Dealt {
            at: [var(row), add(first, var(column))],
            vars: vec![column.clone(), row.clone(), digit],
            extents: vec![fast.extent, factor.shape()[0], slow.extent],
            piece: vec![written, 1, wide.min(most)],
        })
    }

    /// Which thread fills which elements.
    fn dealt(&mut self, filling: &Filling, factor: &Factor) -> Dealt {
        // neighbours of the matrix are neighbours along the last dimensions of both sides
        let sides = [factor.held(0), factor.held(1)];
        let matrix = sides.each_ref().map(|s| s.0.last().expect("a side is a dimension"));
        let [rows, columns] = factor.shape();
        let bytes = factor.dtype.size_bytes() as i64;
        let wide = |d: usize| -> Option<i64> {
            let along = filling.sources.iter().filter(|s| s.along == Some(matrix[d].dim));
            let even = |wide: &i64| matrix[d].extent % wide == 0;
            along.map(|s| s.wide).filter(even).max()
        };
        let [row, column] = ["row", "column"].map(|name| unused(name, self.taken));
        let word = (WORD / bytes).max(1);
        if let (Some(wide), None) = (wide(0), wide(1)) {
            // a thread reads along the rows and writes words along the columns; neighbours write
            // the words of a chunk, and eight rows, whose chunks are permuted, lie in all banks
            let chunk = CHUNK / bytes;
            let outer = unused("chunk", self.taken);
            let first = Index::Mul(chunk, Box::new(var(&outer)));
            let at = [var(&row), add(simplify(&first), var(&column))];
            return Dealt {
                vars: vec![outer, row, column],
                extents: vec![columns / chunk, rows, chunk],
                piece: vec![1, wide.min(CHUNK / bytes).min(WORD), word],
                at,
            };
        }
        if let Some(dealt) = self.across_digits(filling, factor, [&row, &column]) {
            return dealt;
        }
        let wide = wide(1).unwrap_or(1).clamp(word, CHUNK / bytes);
        Dealt {
            at: [var(&row), var(&column)],
            vars: vec![row, column],
            extents: vec![rows, columns],
            piece: vec![1, wide],
        }
    }
}
