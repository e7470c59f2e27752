//! Pairs of blocks whose tensor cores multiply together: what each of the two holds and does.
//!
//! In: an instruction of a pair, and the loop over the blocks of a cluster. Out: whether they fit;
//! the calls in which a pair differs from blocks of their own.
//! Keeps: of the instruction's rows each block has half, as tiles of its own, and half of the
//! columns' operand, which both need: where blocks of their own load parts of it for each other,
//! those of a pair leave them where they are. Bytes of both come to the first block's `full`, its
//! one thread multiplies for both, and its commits tell both.
//! Why here: all else, loops, rings, copies, results, is as for blocks of their own.

use warploom_ir::diag::Result;
use warploom_ir::instruction::PAIR;
use warploom_ir::kernel::device::{CLUSTER, Operand, Slice};
use warploom_ir::kernel::{Condition, Index, KernelNode};
use warploom_ir::nest::Constraint;

use super::roles::{Program, call, tile, var};
use super::{Plan, Work, misplaced};

impl Plan {
    /// Whether blocks are in pairs, each of which has half of the columns' operand, where the
    /// instruction is one of pairs.
    pub(super) fn check_pair(&self) -> Result<()> {
        if !self.main().paired() {
            return Ok(());
        }
        let name = &self.main().instruction;
        let Some(cluster) = self.cluster.as_ref().filter(|c| c.count == PAIR) else {
            let refusal = misplaced(format!(
                "`{name}` multiplies for two blocks, and no loop of {PAIR} iterations right inside \
                 the blocks' is mapped to a cluster"
            ));
            let help = "split the loop over tiles of rows by 2 and map the inner one to `cluster`";
            return Err(Box::new(refusal.help(help)));
        };
        let columns = &self.main().operands[1].buffer;
        let mut moves = self.fills.iter().filter(|f| f.buffer == *columns).any(|f| {
            let position = &f.coordinates[cluster.depth];
            f.start.iter().any(|e| e.vars().contains(position))
        });
        for filling in self.works.iter().filter_map(Work::threads) {
            let position = &filling.names[cluster.depth];
            let guarded = |c: &Constraint| c.expr.vars().contains(position);
            let moved = filling.guard.iter().any(guarded) || filling.value_moves(position);
            moves |= filling.buffer == *columns && moved;
        }
        if moves {
            let refusal = misplaced(format!(
                "the two blocks of a pair multiply by the same `{columns}`, of which each holds \
                 half, and here it moves along the loop over them"
            ));
            let help = "let the loop over the blocks of the cluster be one over rows";
            return Err(Box::new(refusal.help(help)));
        }
        Ok(())
    }
}

impl Program<'_> {
    /// What the first block of a pair alone does, or each block where there are no pairs.
    pub(super) fn by_first(&self, body: Vec<KernelNode>) -> Vec<KernelNode> {
        if !self.product().paired() {
            return body;
        }
        let first = Condition::Eq(var(&self.cluster), Index::Const(0));
        vec![KernelNode::If(first, body, Vec::new())]
    }

    /// An arrival at this slot of the first block of a pair, or of the block itself.
    pub(super) fn told_first(&self, slot: Operand) -> KernelNode {
        if !self.product().paired() {
            return call("mbarrier.arrive", vec![slot]);
        }
        let first = Slice { start: Index::Const(0), extent: None, step: 1 };
        call("mbarrier.arrive.cluster", vec![slot, tile(&CLUSTER.into(), vec![first], false)])
    }

    /// An arrival at this slot of all blocks that wait for it, when the products so far are done.
    pub(super) fn committed(&self, slot: Operand) -> KernelNode {
        match self.releasing() {
            1 => call("tcgen05.commit", vec![slot]),
            count if self.product().paired() => {
                call("tcgen05.commit.pair", vec![slot, self.all_blocks(count)])
            }
            count => call("tcgen05.commit.cluster", vec![slot, self.all_blocks(count)]),
        }
    }

    /// An arrival at this slot of the blocks that store results, when the products are done.
    pub(super) fn finished(&self, slot: Operand) -> KernelNode {
        match self.product().paired() {
            true => self.committed(slot),
            false => call("tcgen05.commit", vec![slot]),
        }
    }
}
