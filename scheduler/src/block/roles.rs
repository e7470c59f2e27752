//! The nodes of a block program: a role that fills buffers ahead, and one that multiplies.
//!
//! In: the loops that isl made, with pieces of work as leaves. Out: the program.
//! Keeps: iteration `q` of the ring, counted over all loops of the program, has slot `q mod
//! stages`. The producer fills it after the consumers have released what was in it: the wait for
//! phase `q / stages - 1` of `empty`, which is complete from the start for the first round. A
//! consumer releases a slot when the instructions that read it are done: those of the iteration
//! before are, once at most one group is left.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::kernel::device::{
    Barrier, Block, CLUSTER, Call, ClusterLoop, Device, Operand, Role, Shared, Slice, Teams, Tile,
    WARPGROUP,
};
use warploom_ir::kernel::{Condition, Index, KernelLoop, KernelNode, LoopMode, Store};

use super::filling::Filling;
use super::moves::Move;
use super::rounds::{NONE, Runs};
use super::skeleton::{holds, work_of};
use super::tensor_memory::Memory;
use super::{Cluster, Plan, Work, misplaced};
use crate::index::{replace, simplify, substitute};

/// Makes one block program.
pub(super) struct Program<'a> {
    pub(super) plan: &'a Plan,
    pub(super) taken: &'a mut BTreeSet<Name>,
    pub(super) full: Name,
    pub(super) empty: Name,
    /// The barrier of results that leave as boxes of all warpgroups, once a tile has needed it.
    pub(super) free: Option<Name>,
    pub(super) team: Name,
    /// The number of a group of the producer's warps.
    pub(super) group: Name,
    /// The position of the block in its cluster.
    pub(super) cluster: Name,
    pub(super) fragment: Name,
    /// Where the accumulator is, if not in registers.
    pub(super) memory: Option<Memory>,
}

/// A loop of the program around a place.
#[derive(Clone)]
pub(super) struct Around {
    pub(super) label: Name,
    /// The iteration.
    pub(super) at: Index,
    pub(super) lower: Index,
    /// What one of its iterations runs.
    pub(super) each: Runs,
    /// What has run before its first one since the iteration around began.
    pub(super) before: Runs,
}

/// What loop variables of isl's loops are called in a role, and the loops around.
#[derive(Clone, Default)]
pub(super) struct Scope {
    pub(super) renamed: BTreeMap<Name, Index>,
    pub(super) around: Vec<Around>,
}

/// What a role does in one iteration of the accumulator's loop.
pub(super) type Tiles<'a> = fn(&mut Program<'a>, &[KernelNode], &Scope) -> Result<Vec<KernelNode>>;

/// A name that nothing has yet.
pub(super) fn unused(base: &str, taken: &mut BTreeSet<Name>) -> Name {
    let mut name: Name = base.into();
    let mut count = 1;
    while !taken.insert(name.clone()) {
        count += 1;
        name = format!("{base}_{count}").into();
    }
    name
}

pub(super) fn var(name: &Name) -> Index {
    Index::Var(name.clone())
}

pub(super) fn add(a: Index, b: Index) -> Index {
    simplify(&Index::Add(Box::new(a), Box::new(b)))
}

pub(super) fn call(instruction: &str, operands: Vec<Operand>) -> KernelNode {
    Device::Call(Call { instruction: instruction.into(), operands }).into()
}

pub(super) fn number(n: i64) -> Operand {
    Operand::Value(Index::Const(n))
}

pub(super) fn slot(barrier: &Name, at: Index) -> Operand {
    let at = vec![Slice { start: at, extent: None, step: 1 }];
    Operand::Tile(Tile { array: barrier.clone(), at, transposed: false })
}

/// The slot of a ring of so many that iteration `q` uses.
pub(super) fn remainder(q: &Index, slots: i64) -> Index {
    match slots {
        1 => Index::Const(0),
        slots => simplify(&Index::Mod(Box::new(q.clone()), slots)),
    }
}

/// The parity of the phase of a slot in iteration `q`, `later` rounds on.
pub(super) fn parity(q: &Index, slots: i64, later: i64) -> Operand {
    let round = Index::FloorDiv(Box::new(q.clone()), slots);
    let round = add(round, Index::Const(later));
    let parity = Index::Mod(Box::new(round), 2);
    Operand::Value(match simplify(&parity) {
        Index::Const(c) => Index::Const(c),
        // the verifier knows a parity by its form
        _moving => parity,
    })
}

pub(super) fn one(body: Vec<KernelNode>) -> KernelNode {
    Device::One(body).into()
}

impl<'a> Program<'a> {
    pub(super) fn new(plan: &'a Plan, taken: &'a mut BTreeSet<Name>) -> Self {
        let full = unused("full", taken);
        let empty = unused("empty", taken);
        let team = unused("team", taken);
        let group = unused("group", taken);
        let cluster = unused("block", taken);
        let fragment = plan.product.accumulator.clone();
        let memory = None;
        Self { plan, taken, full, empty, free: None, team, group, cluster, fragment, memory }
    }

    /// The program that runs these nodes.
    pub(super) fn block(mut self, nodes: Vec<KernelNode>) -> Result<Device> {
        let nodes = self.peeled(nodes);
        let (plan, product) = (self.plan, &self.plan.product);
        if product.matrix.tensor {
            return self.with_tensor_memory(&nodes);
        }
        if product.by_warps() {
            return self.with_warps(&nodes);
        }
        let loads = self.loading(&nodes)?;
        let works = self.consumer(&nodes, &Scope::default(), Self::tile, true)?;
        let warps = WARPGROUP * product.teams;
        let body = if plan.joint() { works } else { self.in_teams(works) };
        let [few, many] = self.registers(warps);
        // one warp starts copies, but only whole warpgroups move registers
        let alone = few.is_none() && !self.fills_itself();
        let loading = if alone { 1 } else { self.fillers() };
        let roles = vec![
            Role { name: "multiply".into(), warps, registers: many, body },
            Role { name: "load".into(), warps: loading, registers: few, body: loads },
        ];
        let (cluster, mut barriers) = (self.cluster(), self.ring(plan.stages));
        barriers.extend(self.free_again());
        let (shared, tensors) = (self.shared()?, Vec::new());
        Ok(Device::Block(Block { cluster, shared, tensors, barriers, roles }))
    }

    /// What all warpgroups that multiply do, each as a team.
    pub(super) fn in_teams(&self, body: Vec<KernelNode>) -> Vec<KernelNode> {
        match self.plan.product.teams {
            1 => body,
            count => {
                let (var, warps) = (self.team.clone(), WARPGROUP);
                vec![Device::Teams(Teams { var, count, warps, body }).into()]
            }
        }
    }

    /// What the producer's warps do.
    pub(super) fn loading(&mut self, nodes: &[KernelNode]) -> Result<Vec<KernelNode>> {
        let loads = self.producer(nodes, &Scope::default())?;
        Ok(if self.fills_itself() { self.in_groups(loads) } else { vec![one(loads)] })
    }

    /// The loops over the blocks of a cluster.
    pub(super) fn cluster(&self) -> Vec<ClusterLoop> {
        let looped = |c: &Cluster| ClusterLoop { var: self.cluster.clone(), count: c.count };
        self.plan.cluster.iter().map(looped).collect()
    }

    /// The barriers of the operands' ring.
    pub(super) fn ring(&self, slots: i64) -> Vec<Barrier> {
        // the first block of a pair releases the slots of both
        let all = match self.plan.product.paired() {
            true => 1,
            false => self.releasing() * self.plan.product.teams * self.releasers(),
        };
        vec![
            Barrier { name: self.full.clone(), slots, count: self.arrivals() },
            Barrier { name: self.empty.clone(), slots, count: all },
        ]
    }

    /// The blocks whose warpgroups release a slot: those that get data by this block's copies.
    pub(super) fn releasing(&self) -> i64 {
        let paired = self.plan.product.paired();
        let multicast = paired || self.plan.fills.iter().any(|f| self.shared_by_cluster(f));
        self.plan.cluster.as_ref().filter(|_| multicast).map_or(1, |c| c.count)
    }

    /// Whether all blocks of the cluster copy the same box.
    pub(super) fn shared_by_cluster(&self, copy: &Move) -> bool {
        self.plan.cluster.as_ref().is_some_and(|c| {
            let position = &copy.coordinates[c.depth];
            copy.start.iter().all(|e| !e.vars().contains(position))
        })
    }

    pub(super) fn shared(&self) -> Result<Vec<Shared>> {
        let mut out = Vec::new();
        for factor in &self.plan.product.operands {
            let [rows, columns] = factor.shape();
            let shape = vec![self.plan.stages, rows, columns];
            let panel = factor.panel();
            out.push(panelled(&factor.buffer, factor.dtype, shape, panel)?);
        }
        for (name, (dtype, shape)) in &self.plan.staging {
            let (name, dtype, shape) = (name.clone(), *dtype, shape.clone());
            if self.plan.joint() {
                out.push(Shared { name, dtype, shape, panel: None });
                continue;
            }
            let panel = Move::panel(&shape, dtype.size_bytes() as i64);
            out.push(panelled(&name, dtype, shape, panel)?);
        }
        for slabs in self.plan.works.iter().filter_map(Work::slabs) {
            let product = &self.plan.product;
            let shape = vec![product.teams, slabs.stages, product.fragment[0], slabs.width];
            let panel = Move::panel(&shape, slabs.dtype.size_bytes() as i64);
            out.push(panelled(&slabs.copy.buffer, slabs.dtype, shape, panel)?);
        }
        Ok(out)
    }

    pub(super) fn slot_of(&self, q: &Index) -> Index {
        remainder(q, self.plan.stages)
    }

    /// The parity of a slot's phase in iteration `q`, `later` rounds on.
    pub(super) fn parity(&self, q: &Index, later: i64) -> Operand {
        parity(q, self.plan.stages, later)
    }

    /// A loop of isl's with a new variable, and what is known inside.
    fn enter(
        &mut self,
        l: &KernelLoop,
        scope: &Scope,
        before: Runs,
    ) -> Result<(KernelLoop, Scope)> {
        if l.step != 1 {
            let text = format!("loop `{}` of a block program has a step", l.label);
            return Err(misplaced(text));
        }
        let lookup = |n: &str| scope.renamed.get(n).cloned();
        let (lower, upper) = (replace(&l.lower, &lookup), replace(&l.upper, &lookup));
        let name = unused(&l.var, self.taken);
        let mut inner = scope.clone();
        inner.renamed.insert(l.var.clone(), var(&name));
        inner.around.push(self.around(l, var(&name), lower.clone(), before));
        let made = KernelLoop {
            var: name,
            label: l.label.clone(),
            lower,
            upper,
            step: l.step,
            mode: LoopMode::Serial,
            body: Vec::new(),
        };
        Ok((made, inner))
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
        let mut copies: Vec<(&Move, &Store<Index>)> = Vec::new();
        let mut fillings: Vec<(&Filling, Vec<Index>)> = Vec::new();
        let mut before = NONE;
        for node in nodes.iter().filter(|n| holds(n, &fill)) {
            match node {
                KernelNode::Loop(l) => {
                    let (mut made, inner) = self.enter(l, scope, before)?;
                    before = self.after(before, l);
                    made.body = self.producer(&l.body, &inner)?;
                    out.push(KernelNode::Loop(made));
                }
                KernelNode::Store(store) => match work_of(store).map(|w| &plan.works[w]) {
                    Some(Work::Fill(f)) => copies.push((&plan.fills[*f], store)),
                    Some(Work::Threads(f)) => fillings.push((f, self.values(scope, store))),
                    Some(
                        Work::Product
                        | Work::Elements(_)
                        | Work::Drain(_)
                        | Work::Slabs(_)
                        | Work::Nothing,
                    )
                    | None => {}
                },
                KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {
                    return Err(conditional());
                }
            }
        }
        if !copies.is_empty() || !fillings.is_empty() {
            out.extend(self.loads(&copies, &fillings, scope)?);
        }
        Ok(out)
    }

    /// One iteration of the ring, for the producer.
    fn loads(
        &mut self,
        copies: &[(&Move, &Store<Index>)],
        fillings: &[(&Filling, Vec<Index>)],
        scope: &Scope,
    ) -> Result<Vec<KernelNode>> {
        let q = self.count(scope)?;
        let at = self.slot_of(&q);
        let mut bytes = 0;
        let mut loads = Vec::new();
        for (copy, store) in copies {
            let factor = self.plan.product.operand(&copy.buffer);
            let factor = factor.expect("fills are of operands");
            bytes += factor.shape().iter().product::<i64>() * factor.dtype.size_bytes() as i64;
            let values = self.values(scope, store);
            loads.push(self.load(copy, factor, &at, &values));
        }
        let wait = vec![slot(&self.empty, at.clone()), self.parity(&q, 1)];
        let mut out = vec![call("mbarrier.wait", wait)];
        if bytes > 0 {
            let bytes = number(bytes * self.plan.product.matrix.blocks);
            let expect = call("mbarrier.expect", vec![slot(&self.full, at.clone()), bytes]);
            loads.insert(0, self.by_first(vec![expect]).remove(0));
        }
        if fillings.is_empty() {
            out.extend(loads);
            return Ok(out);
        }
        out.extend(self.filled(loads, fillings, &at));
        Ok(self.in_turn(out, &q))
    }

    /// All blocks of the cluster, as an operand.
    pub(super) fn all_blocks(&self, count: i64) -> Operand {
        let all = Slice { start: Index::Const(0), extent: Some(count), step: 1 };
        tile(&CLUSTER.into(), vec![all], false)
    }

    /// The coordinates that a piece of work runs at.
    pub(super) fn values(&self, scope: &Scope, store: &Store<Index>) -> Vec<Index> {
        let lookup = |n: &str| scope.renamed.get(n).cloned();
        let mut out: Vec<Index> =
            store.indices.iter().map(|i| simplify(&replace(i, &lookup))).collect();
        if let Some(cluster) = &self.plan.cluster {
            let first = substitute(&cluster.first, &by_name(&self.plan.coordinates, &out));
            out.insert(cluster.depth, add(first, var(&self.cluster)));
        }
        out
    }

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
        let outer = |node: &&KernelNode| {
            matches!(node, KernelNode::Loop(l) if plan.scope.contains(&l.label))
                && holds(node, &product)
        };
        match nodes.iter().filter(outer).count() {
            0 => return tile(self, nodes, scope),
            count if count < nodes.len() => {
                return Err(misplaced("loops around the accumulator's hold other work"));
            }
            _all => {}
        }
        let mut out = Vec::new();
        let mut before = NONE;
        for node in nodes {
            let KernelNode::Loop(l) = node else { continue };
            let (mut made, inner) = self.enter(l, scope, before)?;
            before = self.after(before, l);
            made.body = self.consumer(&l.body, &inner, tile, copies)?;
            out.push(KernelNode::Loop(made));
        }
        if scope.around.is_empty() && copies && self.drains() {
            out.push(one(vec![call("tma.wait.read", vec![number(0)])]));
        }
        Ok(out)
    }

    /// Whether copies that leave the block are waited for once all tiles are done.
    fn drains(&self) -> bool {
        let engine = |w: &Work| match w {
            Work::Drain(copy) => !copy.threads(),
            other => other.slabs().is_some(),
        };
        self.plan.works.iter().any(engine)
    }

    /// What a team does in one iteration of the accumulator's loop, and the stores of boxes that
    /// follow when all teams have done it.
    pub(super) fn sums_of(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
    ) -> Result<(KernelNode, Vec<KernelNode>)> {
        let plan = self.plan;
        let product = |w: usize| matches!(plan.works[w], Work::Product);
        let (again, joint) = (!scope.around.is_empty(), plan.joint());
        let drains = plan.works.iter().any(|w| matches!(w, Work::Drain(_)));
        let (mut body, mut stores) = (Vec::new(), Vec::new());
        let mut drained = false;
        for node in nodes {
            if holds(node, &product) {
                body.extend(self.products(
                    std::slice::from_ref(node),
                    scope,
                    scope.around.len(),
                )?);
                body.push(call("wgmma.wait", vec![number(0)]));
                body.extend(self.release_last(node, scope)?);
                if again && joint {
                    body.extend(self.until_free(scope)?);
                }
                if again && drains && !joint {
                    body.push(one(vec![call("tma.wait.read", vec![number(0)])]));
                    body.push(call("sync", Vec::new()));
                }
                continue;
            }
            let KernelNode::Store(store) = node else { continue };
            match work_of(store).map(|w| &plan.works[w]) {
                Some(Work::Elements(elements)) => {
                    let (values, first) = (self.values(scope, store), self.team_starts());
                    body.push(self.elements(elements, &values, first));
                }
                Some(Work::Drain(copy)) if joint => {
                    let values = self.values(scope, store);
                    stores.push(match copy.threads() {
                        true => self.threads_leave(copy, &values),
                        false => self.box_leaves(copy, &values),
                    });
                }
                Some(Work::Drain(copy)) => {
                    body.extend(self.drain(copy, &self.values(scope, store), drained, again));
                    drained = true;
                }
                Some(Work::Slabs(slabs)) => {
                    let values = self.values(scope, store);
                    let before = match slabs.count % slabs.stages {
                        0 => Index::Const(0),
                        _left => Index::Mul(slabs.count, Box::new(self.count(scope)?)),
                    };
                    body.push(self.slabs(slabs, &values, &simplify(&before)));
                }
                Some(Work::Product | Work::Fill(_) | Work::Threads(_) | Work::Nothing) | None => {}
            }
        }
        if !again && plan.works.iter().any(|w| matches!(w, Work::Slabs(_))) {
            body.push(one(vec![call("tma.wait.read", vec![number(0)])]));
        }
        if plan.product.partial && plan.product.starts_at_zero {
            body.insert(0, self.zeroed());
        }
        Ok((self.sums(&self.fragment, body), stores))
    }

    /// The loops inside the accumulator's, down to the instructions. `from` loops of the program
    /// are around the accumulator.
    pub(super) fn products(
        &mut self,
        nodes: &[KernelNode],
        scope: &Scope,
        from: usize,
    ) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let product = |w: usize| matches!(plan.works[w], Work::Product);
        let mut out = Vec::new();
        for node in nodes.iter().filter(|n| holds(n, &product)) {
            match node {
                KernelNode::Loop(l) => {
                    let (mut made, inner) = self.enter(l, scope, NONE)?;
                    made.body = self.products(&l.body, &inner, from)?;
                    out.push(KernelNode::Loop(made));
                }
                KernelNode::Store(_) if plan.product.matrix.tensor => {
                    out.extend(self.issued(scope, from)?);
                }
                KernelNode::Store(_) => out.extend(self.instructions(scope, from)?),
                KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {
                    return Err(conditional());
                }
            }
        }
        Ok(out)
    }

    /// One iteration of the ring, for a consumer.
    fn instructions(&mut self, scope: &Scope, from: usize) -> Result<Vec<KernelNode>> {
        let q = self.count(scope)?;
        let at = self.slot_of(&q);
        let first = iteration(&scope.around[from..]);
        let wait = vec![slot(&self.full, at.clone()), self.parity(&q, 0)];
        let wait = call("mbarrier.wait", wait);
        if self.plan.product.partial {
            return Ok(vec![wait, self.partial_sum(at)]);
        }
        let mut out = vec![wait, call("wgmma.fence", Vec::new())];
        let fragment = self.fragment.clone();
        out.extend(self.unrolled(&at, &first, &|at| tile(&fragment, at, false)));
        out.push(call("wgmma.commit", Vec::new()));
        let stages = self.plan.stages;
        if stages == 1 {
            out.push(call("wgmma.wait", vec![number(0)]));
            out.push(self.release(Index::Const(0)));
            return Ok(out);
        }
        if scope.around.len() > from {
            out.push(call("wgmma.wait", vec![number(1)]));
            let before = self.slot_of(&add(q, Index::Const(stages - 1)));
            let later = Condition::Ge(first, Index::Const(1));
            out.push(KernelNode::If(later, vec![self.release(before)], Vec::new()));
        }
        Ok(out)
    }

    /// A slot may be filled again. Where threads do that, each warp says so for what it has read:
    /// the others may still wait for their products.
    pub(super) fn release(&mut self, at: Index) -> KernelNode {
        let arrive = one(vec![match self.releasing() {
            1 => call("mbarrier.arrive", vec![slot(&self.empty, at)]),
            count => {
                let operands = vec![slot(&self.empty, at), self.all_blocks(count)];
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
        if scope.around.is_empty() || self.plan.stages == 1 || self.plan.product.partial {
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
        let product = |w: usize| matches!(plan.works[w], Work::Product);
        loop {
            let mut loops = nodes.iter().filter_map(|n| match n {
                KernelNode::Loop(l) if holds(n, &product) => Some(l),
                KernelNode::Loop(_)
                | KernelNode::If(..)
                | KernelNode::Local(_)
                | KernelNode::Store(_)
                | KernelNode::Device(_) => None,
            });
            let Some(mut l) = loops.next() else { return inner };
            let mut before = NONE;
            for next in loops {
                before = self.after(before, l);
                l = next;
            }
            let lookup = |n: &str| inner.renamed.get(n).cloned();
            let (lower, upper) = (replace(&l.lower, &lookup), replace(&l.upper, &lookup));
            let last = simplify(&Index::Sub(Box::new(upper), Box::new(Index::Const(1))));
            inner.renamed.insert(l.var.clone(), last.clone());
            inner.around.push(self.around(l, last, lower, before));
            nodes = &l.body;
        }
    }
}

/// How many iterations of these loops ran before, added up: 0 in the first only.
pub(super) fn iteration(around: &[Around]) -> Index {
    around.iter().fold(Index::Const(0), |sum, l| {
        add(sum, Index::Sub(Box::new(l.at.clone()), Box::new(l.lower.clone())))
    })
}

fn conditional() -> Box<Diagnostic> {
    Box::new(
        misplaced("work of a block program depends on a condition")
            .help("tile so that every block has the same iterations, or leave `tensorize` out"),
    )
}

pub(super) fn tile(array: &Name, at: Vec<Slice>, transposed: bool) -> Operand {
    Operand::Tile(Tile { array: array.clone(), at, transposed })
}

pub(super) fn by_name<'n>(
    names: &'n [Name],
    values: &'n [Index],
) -> impl Fn(&str) -> Option<Index> + 'n {
    move |v| names.iter().position(|n| &**n == v).and_then(|at| values.get(at).cloned())
}

fn panelled(name: &Name, dtype: DType, shape: Vec<i64>, panel: Option<i64>) -> Result<Shared> {
    let Some(panel) = panel else {
        let text = format!("rows of `{name}` are no multiple of 16 bytes: take a larger tile");
        return Err(misplaced(text));
    };
    Ok(Shared { name: name.clone(), dtype, shape, panel: Some(panel) })
}
