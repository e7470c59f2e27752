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
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode, Store};

use super::moves::Move;
use super::pingpong::Turns;
use super::product::Product;
use super::rounds::Runs;
use super::scaled::in_shared;
use super::streaming::Division;
use super::taking::Answers;
use super::tensor_memory::Memory;
use super::warp_steps::Factors;
use super::{Cluster, Plan, Staged, misplaced};
use crate::index::{replace, simplify, substitute};

/// Makes one block program.
pub(super) struct Program<'a> {
    pub(super) plan: &'a Plan,
    /// The product whose piece of work is made.
    pub(super) at: usize,
    pub(super) taken: &'a mut BTreeSet<Name>,
    /// For each product, the barriers that say when a slot of its ring is full, and when empty.
    full: Vec<Name>,
    empty: Vec<Name>,
    /// The barrier of results that leave as boxes of all warpgroups, once a tile has needed it.
    pub(super) free: Option<Name>,
    pub(super) team: Name,
    /// The number of a group of the producer's warps.
    pub(super) group: Name,
    /// The position of the block in its cluster.
    pub(super) cluster: Name,
    /// Arrays that rows have been combined into since the team met.
    pub(super) combined: BTreeSet<Name>,
    /// Totals that nodes around have begun.
    pub(super) totals: BTreeSet<Name>,
    /// Where the accumulator is, if not in registers.
    pub(super) memory: Option<Memory>,
    /// The answers that tell which iterations the block takes, if it takes some.
    pub(super) answers: Option<Answers>,
    /// Whose turn it is, where two groups of warpgroups take tiles in turn.
    pub(super) turns: Option<Turns>,
    /// How tiles and their slices are shared out, if they are.
    pub(super) division: Option<Division>,
    /// The fragments of the first factors of products whose sums nodes around have begun.
    pub(super) loaded: BTreeMap<usize, Factors>,
    /// The buffers of operands that only the first tile's iterations of the ring fill, with how
    /// many these are.
    pub(super) lasting: BTreeMap<Name, i64>,
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
    /// Of a loop over parts of tiles, the iterations of the ring that have run in it before.
    pub(super) parts: Option<Index>,
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
        let mut all = |name| plan.products.iter().map(|_| unused(name, taken)).collect();
        let (full, empty) = (all("full"), all("empty"));
        let team = unused("team", taken);
        let group = unused("group", taken);
        let cluster = unused("block", taken);
        Self {
            plan,
            at: plan.root,
            taken,
            full,
            empty,
            free: None,
            team,
            group,
            cluster,
            combined: BTreeSet::new(),
            totals: BTreeSet::new(),
            memory: None,
            answers: None,
            turns: None,
            division: None,
            loaded: BTreeMap::new(),
            lasting: BTreeMap::new(),
        }
    }

    /// The product whose piece of work is made.
    pub(super) fn product(&self) -> &'a Product {
        &self.plan.products[self.at]
    }

    /// The barrier that says when a slot of the product's ring is full.
    pub(super) fn full(&self) -> &Name {
        &self.full[self.at]
    }

    /// The barrier that says when a slot of the product's ring is empty.
    pub(super) fn empty(&self) -> &Name {
        &self.empty[self.at]
    }

    /// The name of the product's sums in registers.
    pub(super) fn fragment(&self) -> Name {
        self.product().accumulator.clone()
    }

    /// The program that runs these nodes.
    pub(super) fn block(mut self, nodes: Vec<KernelNode>) -> Result<Device> {
        let nodes = self.peeled(nodes);
        let (plan, product) = (self.plan, self.product());
        if product.matrix.tensor {
            return self.with_tensor_memory(&nodes);
        }
        if product.by_warps() {
            return self.with_warps(&nodes);
        }
        self.name_turns(&nodes)?;
        self.lasting = self.found_lasting(&nodes);
        let loads =
            self.in_chosen(&nodes, |p, nodes, scope| Ok([p.loading(nodes, scope)?, Vec::new()]))?;
        let warps = WARPGROUP * self.multipliers();
        let by_teams = |p: &Self, works| if plan.joint() { works } else { p.in_teams(works) };
        let mut body = self.in_chosen(&nodes, |p, nodes, scope| {
            let works = p.consumer(nodes, scope, Self::tile, true)?;
            Ok([by_teams(p, works), Vec::new()])
        })?;
        if self.ends_behind(&nodes) && self.drains() {
            let read = one(vec![call("tma.wait.read", vec![number(0)])]);
            self.team = unused("team", self.taken);
            body.extend(by_teams(&self, vec![read]));
        }
        let [few, many] = self.registers(warps);
        // one warp starts copies, but only whole warpgroups move registers
        let alone = few.is_none() && !self.fills_itself();
        let loading = if alone { 1 } else { self.fillers() };
        let roles = vec![
            Role { name: "multiply".into(), warps, registers: many, body },
            Role { name: "load".into(), warps: loading, registers: few, body: loads },
        ];
        let mut barriers = Vec::new();
        for p in 0..plan.products.len() {
            self.at = p;
            barriers.extend(self.ring(self.product().stages));
        }
        self.at = plan.root;
        barriers.extend(self.free_again());
        barriers.extend(self.turn_barrier());
        let (cluster, shared, tensors) = (self.cluster(), self.shared()?, Vec::new());
        Ok(Device::Block(Block { cluster, shared, tensors, barriers, roles }))
    }

    /// What all warpgroups that multiply do, each as a team.
    pub(super) fn in_teams(&self, body: Vec<KernelNode>) -> Vec<KernelNode> {
        match self.multipliers() {
            1 => body,
            count => {
                let (var, warps) = (self.team.clone(), WARPGROUP);
                vec![Device::Teams(Teams { var, count, warps, body }).into()]
            }
        }
    }

    /// The loops over the blocks of a cluster.
    pub(super) fn cluster(&self) -> Vec<ClusterLoop> {
        let looped = |c: &Cluster| ClusterLoop { var: self.cluster.clone(), count: c.count };
        self.plan.cluster.iter().map(looped).collect()
    }

    /// The barriers of the ring of a product's operands.
    pub(super) fn ring(&self, slots: i64) -> Vec<Barrier> {
        // the first block of a pair releases the slots of both
        let all = match self.product().paired() {
            true => 1,
            false => self.releasing() * self.product().teams * self.releasers(),
        };
        vec![
            Barrier { name: self.full().clone(), slots, count: self.arrivals() },
            Barrier { name: self.empty().clone(), slots, count: all },
        ]
    }

    /// The blocks whose warpgroups release a slot: those that get data by this block's copies.
    pub(super) fn releasing(&self) -> i64 {
        let paired = self.product().paired();
        let shared = |f: &Move| !f.asynchronous() && self.shared_by_cluster(f);
        let multicast = paired || self.own_fills().any(shared);
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
        for product in &self.plan.products {
            for factor in &product.operands {
                let [rows, columns] = factor.shape();
                let slots = self.lasting.get(&factor.buffer).copied().unwrap_or(product.stages);
                let shape = match factor.on_chip {
                    true => factor.extents.clone(),
                    false => vec![slots, rows, columns],
                };
                let copied = |f: &Move| f.buffer == factor.buffer && f.asynchronous();
                let panel = match self.plan.fills.iter().any(copied) {
                    // what threads copy may be parts of panels
                    true => Move::panel(&shape, factor.dtype.size_bytes() as i64),
                    false => factor.panel(),
                };
                out.push(panelled(&factor.buffer, factor.dtype, shape, panel)?);
            }
            out.extend(product.scales.iter().map(|s| in_shared(s, product.stages)));
        }
        for (name, Staged { dtype, shape, .. }) in &self.plan.staging {
            let (name, dtype, shape) = (name.clone(), *dtype, self.of_groups(shape));
            if self.plan.joint() {
                out.push(Shared { name, dtype, shape, panel: None });
                continue;
            }
            let panel = Move::panel(&shape, dtype.size_bytes() as i64);
            out.push(panelled(&name, dtype, shape, panel)?);
        }
        for (work, owner) in self.plan.works.iter().zip(&self.plan.owners) {
            let (Some(slabs), product) = (work.slabs(), &self.plan.products[*owner]) else {
                continue;
            };
            let [rows, columns] = slabs.laid([product.fragment[0], slabs.width]);
            let shape = vec![self.multipliers(), slabs.stages, rows, columns];
            let panel = Move::panel(&shape, slabs.dtype.size_bytes() as i64);
            out.push(panelled(&slabs.copy.buffer, slabs.dtype, shape, panel)?);
        }
        Ok(out)
    }

    pub(super) fn slot_of(&self, q: &Index) -> Index {
        remainder(q, self.product().stages)
    }

    /// The parity of a slot's phase in iteration `q`, `later` rounds on.
    pub(super) fn parity(&self, q: &Index, later: i64) -> Operand {
        parity(q, self.product().stages, later)
    }

    /// A loop of isl's with a new variable, and what is known inside.
    pub(super) fn enter(
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
        let inner = self.within(scope, l, [var(&name), lower.clone()], before);
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
            let first = substitute(&cluster.first, &by_name(&self.product().coordinates, &out));
            out.insert(cluster.depth, add(first, var(&self.cluster)));
        }
        out
    }
}

/// How many iterations of these loops ran before, added up: 0 in the first only.
pub(super) fn iteration(around: &[Around]) -> Index {
    around.iter().fold(Index::Const(0), |sum, l| {
        add(sum, Index::Sub(Box::new(l.at.clone()), Box::new(l.lower.clone())))
    })
}

pub(super) fn conditional() -> Box<Diagnostic> {
    Box::new(
        misplaced("work of a block program depends on a condition")
            .help("tile so that every block has the same iterations, or leave `tensorize` out"),
    )
}

/// The store that a node is.
pub(super) const fn stored(node: &KernelNode) -> Option<&Store<Index>> {
    match node {
        KernelNode::Store(store) => Some(store),
        KernelNode::Loop(_) | KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {
            None
        }
    }
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
