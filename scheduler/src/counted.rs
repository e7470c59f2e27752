//! Which dependences count when the iterations of a loop are to run together.
//!
//! In: a dependence and what runs the iterations. Out: whether it keeps them apart.
//! Keeps: a matrix instruction that adds its terms one after the other keeps the order of a sum. So
//! what a statement's `+=` has of itself alone may be carried by the loop that it sums over: other
//! elements of the accumulator are other sums, and lowering sees to it that terms ascend.
//! Why here: legality asks it of each conflict, and knows no instruction.

use warploom_ir::instruction::{Action, find};
use warploom_ir::nest::AssignOp;
use warploom_ir::schedule::Tensor;

use crate::deps::{Conflict, DepContext, DepKind};

/// The place of the summed index among a matrix instruction's three.
const SUM: usize = 2;

/// Which dependences count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Counted {
    /// All.
    All,
    /// All but those of reductions that may be reordered.
    InOrder,
    /// Of these, all but those of sums that are added in order.
    Across,
}

impl Counted {
    /// Those that count for an index of a matrix instruction.
    pub(crate) fn by(tensor: &Tensor) -> Self {
        let in_order = match find(&tensor.instruction).map(|i| i.action) {
            Some(Action::Matrix(m)) => m.adder.in_order(),
            _other => false,
        };
        if in_order && tensor.index == SUM { Self::Across } else { Self::InOrder }
    }

    /// Whether a dependence counts.
    pub(crate) fn counts(self, deps: &DepContext, c: &Conflict) -> bool {
        match self {
            Self::All => true,
            Self::InOrder => c.kind != DepKind::Reduction,
            Self::Across => c.kind != DepKind::Reduction && !summed(deps, c),
        }
    }
}

/// Whether both ends are one sum's updates of its element, which it reads nowhere else.
fn summed(deps: &DepContext, c: &Conflict) -> bool {
    let s = &deps.model.poly.statements[c.source.statement].statement;
    let reads = s.value.reads().into_iter().chain(s.guard.iter().flat_map(|g| g.reads()));
    let apart = !reads.into_iter().any(|a| a.array == s.target.array);
    let updates = c.source.update && c.target.update;
    let one = c.source.statement == c.target.statement && updates;
    one && apart && s.op == AssignOp::Add && !s.strict
}
