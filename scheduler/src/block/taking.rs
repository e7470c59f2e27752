//! Blocks that go on to tiles that no block has begun: who asks, and how every role hears of it.
//!
//! In: the loop mapped to blocks that is taken (`take t by 2`), and what a role does in one of its
//! iterations. Out: the loop over the iterations that a block has, around that; the role that asks.
//! Keeps: answer `n` lies in slot `n mod ahead`. `given` tells that it has come, `read` that every
//! thread of the cluster has read it, and so that it may be overwritten. One warp asks for the
//! iteration behind the next ones while the others are busy; it reads the answers as they do, since
//! nobody asks again after a no. Blocks of a cluster go on together: the first asks for all, and
//! each expects the answer that comes to it.
//! Why here: rings, tiles and their parities count iterations of this loop like those of others.
//! Source: CUTLASS, `PipelineCLCFetchAsync` (who arrives where; a fence between reads of an answer
//! and what overwrites it).

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::ANSWER_BYTES;
use warploom_ir::kernel::device::{
    Barrier, CLUSTER, Device, Operand, Role, Shared, Slice, Taking, WARP,
};
use warploom_ir::kernel::{Condition, Index, KernelLoop, KernelNode};
use warploom_ir::schedule::Tree;
use warploom_ir::target::Place;

use super::roles::{
    Around, Program, Scope, call, number, one, parity, remainder, slot, tile, unused, var,
};
use super::{Plan, Site, misplaced};

/// Words of an answer.
const WORDS: i64 = ANSWER_BYTES / DType::U64.size_bytes() as i64;

/// The loop that is taken.
pub(super) struct Taken {
    /// Its name in the tree.
    label: Name,
    /// How many answers there are at once.
    ahead: i64,
}

/// What the program calls the loop, its answers and their barriers.
pub(super) struct Answers {
    /// The loop's variable and label.
    of: [Name; 2],
    ahead: i64,
    buffer: Name,
    given: Name,
    read: Name,
}

/// Refuses a loop that is taken where nothing is tensorized.
pub(crate) fn none(tree: &Tree) -> Result<()> {
    match tree.loops().iter().find(|l| l.marks.taken.is_some()) {
        None => Ok(()),
        Some(l) => {
            let text = format!("loop `{}` is taken, and its blocks are no block program", l.name);
            let help = "leave `take` out: blocks without roles start one after the other by \
                        themselves";
            Err(Box::new(misplaced(text).help(help)))
        }
    }
}

impl Taken {
    /// The loop that is taken around these statements, if one is.
    pub(super) fn of(site: &Site<'_>) -> Result<Option<Self>> {
        let loops = site.tree.loops();
        let Some(l) = loops.iter().find(|l| l.marks.taken.is_some()) else { return Ok(None) };
        let outside = &site.path[..site.outside];
        let blocks = outside.iter().filter(|l| matches!(l.marks.map, Some(Place::Block(_))));
        let names: Vec<&Name> = blocks.map(|l| &l.name).collect();
        if names != [&l.name] {
            let refusal = misplaced(format!(
                "loop `{}` is taken, and is not the one loop mapped to blocks around `{}`",
                l.name,
                site.name()
            ));
            let help = "number the tiles by one loop: `raster m.0, n.0 as t`, `map t to block.x`";
            return Err(Box::new(refusal.help(help)));
        }
        Ok(l.marks.taken.map(|ahead| Self { label: l.name.clone(), ahead }))
    }
}

impl Plan {
    /// Whether blocks can take iterations: their roles are those of sums in tensor memory.
    pub(super) fn check_taken(&self) -> Result<()> {
        let Some(taken) = self.taken.as_ref().filter(|_| !self.main().matrix.tensor) else {
            return Ok(());
        };
        let refusal = misplaced(format!(
            "loop `{}` is taken by cluster launch control, which GPUs from sm_100a on have, and \
             `{}` is no instruction whose sums are in tensor memory",
            taken.label,
            self.main().instruction
        ));
        let help = "name a `tcgen05.mma` instruction, or share the tiles out in turn: `split t by \
                    132`, `skew t.1 by -132*t.0`, `reorder t.1, t.0`, `map t.1 to block.x`";
        Err(Box::new(refusal.help(help)))
    }
}

impl Program<'_> {
    /// Names the answers, where the loop around the program is taken; one that runs once is not
    /// there.
    pub(super) fn name_answers(&mut self, around: Option<&KernelLoop>) {
        let Some(taken) = &self.plan.taken else { return };
        let Some(l) = around.filter(|l| l.label == taken.label) else { return };
        self.answers = Some(Answers {
            of: [l.var.clone(), l.label.clone()],
            ahead: taken.ahead,
            buffer: unused("next", self.taken),
            given: unused("given", self.taken),
            read: unused("read", self.taken),
        });
    }

    /// What is known in an iteration that is taken, and the names of its number and of how many
    /// were before; nothing where the block has its own only.
    pub(super) fn taking(&mut self, nodes: &[KernelNode]) -> (Scope, Option<[Name; 2]>) {
        let mut scope = Scope::default();
        let Some([of, label]) = self.answers.as_ref().map(|a| a.of.clone()) else {
            return (scope, None);
        };
        let vars = [unused("tile", self.taken), unused("turn", self.taken)];
        scope.renamed.insert(of, var(&vars[0]));
        let (each, before) = (self.all_runs(nodes), self.none());
        let (at, lower) = (var(&vars[1]), Index::Const(0));
        scope.around.push(Around { label, at, lower, each, before, parts: None });
        (scope, Some(vars))
    }

    /// What a role does in each iteration that the block has, and after the last one.
    pub(super) fn in_taken(
        &self,
        vars: Option<[Name; 2]>,
        mut body: Vec<KernelNode>,
        last: Vec<KernelNode>,
    ) -> Vec<KernelNode> {
        let (Some(vars), Some(answers)) = (vars, &self.answers) else {
            body.extend(last);
            return body;
        };
        let n = var(&vars[1]);
        let at = remainder(&n, answers.ahead);
        let wait = vec![slot(&answers.given, at.clone()), parity(&n, answers.ahead, 0)];
        body.push(call("mbarrier.wait", wait));
        body.push(call("clusterlaunchcontrol.query_cancel", vec![answers.answer(&at)]));
        body.push(call("fence.async", Vec::new()));
        let read = slot(&answers.read, at);
        body.push(match self.plan.cluster.is_some() {
            false => call("mbarrier.arrive", vec![read]),
            true => {
                let first = self.plan.cluster.iter().map(|_| first_block()).collect();
                let first = tile(&CLUSTER.into(), first, false);
                call("mbarrier.arrive.cluster", vec![read, first])
            }
        });
        let of = answers.of[0].clone();
        vec![Device::Taking(Taking { vars, of, body, last }).into()]
    }

    /// Adds the role that asks, with its answers and barriers.
    pub(super) fn asks(
        &mut self,
        shared: &mut Vec<Shared>,
        barriers: &mut Vec<Barrier>,
        roles: &mut Vec<Role>,
    ) {
        let vars = self
            .answers
            .is_some()
            .then(|| [unused("tile", self.taken), unused("turn", self.taken)]);
        let (Some(vars), Some(answers)) = (vars, &self.answers) else { return };
        let n = var(&vars[1]);
        let at = remainder(&n, answers.ahead);
        let given = slot(&answers.given, at.clone());
        let wait = vec![slot(&answers.read, at.clone()), parity(&n, answers.ahead, 1)];
        let expect = call("mbarrier.expect", vec![given.clone(), number(ANSWER_BYTES)]);
        let asked = vec![answers.answer(&at), given];
        let asking = match self.plan.cluster.is_some() {
            false => {
                let ask = call("clusterlaunchcontrol.try_cancel", asked);
                vec![call("mbarrier.wait", wait), expect, ask]
            }
            true => {
                let ask = call("clusterlaunchcontrol.try_cancel.multicast", asked);
                let first = Condition::Eq(var(&self.cluster), Index::Const(0));
                let all = vec![call("mbarrier.wait", wait), ask];
                vec![expect, KernelNode::If(first, all, Vec::new())]
            }
        };
        let body = self.in_taken(Some(vars), vec![one(asking)], Vec::new());
        roles.push(Role { name: "take".into(), warps: 1, registers: None, body });
        let blocks = self.plan.cluster.as_ref().map_or(1, |c| c.count);
        let threads = roles.iter().map(|r| r.warps).sum::<i64>() * WARP;
        let (slots, shape) = (answers.ahead, vec![answers.ahead, WORDS]);
        let (name, dtype) = (answers.buffer.clone(), DType::U64);
        shared.push(Shared { name, dtype, shape, panel: None });
        let count = threads * blocks;
        barriers.push(Barrier { name: answers.given.clone(), slots, count: 1 });
        barriers.push(Barrier { name: answers.read.clone(), slots, count });
    }
}

impl Answers {
    /// The answer in a slot.
    fn answer(&self, at: &Index) -> Operand {
        let words = Slice { start: Index::Const(0), extent: Some(WORDS), step: 1 };
        let slot = Slice { start: at.clone(), extent: None, step: 1 };
        tile(&self.buffer, vec![slot, words], false)
    }
}

/// The first block of a cluster.
const fn first_block() -> Slice {
    Slice { start: Index::Const(0), extent: None, step: 1 }
}
