//! Sums over threads: a reduction with too few results for the threads is split.
//!
//! In: a schedule and the name of a statement, before its lanes and tiles are chosen. Out: the same
//! schedule, where the longest loop of a reduction that may be reordered runs over parts of equal
//! size, outermost, each with partial results of its own (`split-reduction`).
//! Keeps: the size of the parts does not depend on how many threads there are, so that a result is
//! the same on every machine.

use warploom_ir::affine::Name;
use warploom_ir::schedule::step::{Ref, StepKind};

use super::Auto;
use super::tiles::{Role, own_chain};
use crate::footprint::around;

/// Fewest instances for which threads are woken.
const WORTH: i64 = 1 << 18;
/// Iterations of a part where the loop's extent is not known, and the unit of a part's size.
const PART: i64 = 1 << 16;
const UNIT: i64 = 64;

impl Auto {
    /// Runs a reduction whose independent loops are too short for the threads over parts of its
    /// longest loop: the loop over parts, now outermost, and what the loops inside are.
    pub(super) fn parts_of_sum(
        &mut self,
        name: &Name,
        roles: &[Role],
    ) -> Option<(Name, Vec<Role>)> {
        let first = own_chain(self.at.tree(), name).into_iter().next()?;
        let (free, sums): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|r| r.free);
        let size = |roles: &[&Role]| {
            roles.iter().try_fold(1_i64, |n, r| Some(n.saturating_mul(r.extent?)))
        };
        let few = size(&free).is_some_and(|n| n < self.options.tasks);
        let small = size(&roles.iter().collect::<Vec<_>>()).is_some_and(|n| n < WORTH);
        let alone = around(self.at.tree(), &first.name).len() == 1;
        if small || !few || !alone || sums.iter().any(|r| !r.reduces) {
            return None;
        }
        let sum = sums.into_iter().max_by_key(|r| r.extent.unwrap_or(i64::MAX))?;
        let parts = 2 * self.options.tasks;
        let part = sum.extent.map_or(PART, |e| (e / parts / UNIT * UNIT).max(UNIT));
        let (outer, inner) = self.split(name, sum, part)?;
        let mut order: Vec<Name> =
            own_chain(self.at.tree(), name).into_iter().map(|l| l.name).collect();
        order.retain(|l| *l != outer);
        order.insert(0, outer.clone());
        self.innermost(name, &order);
        let inside = |r: &Role| match r.name == sum.name {
            true => Role { name: inner.clone(), extent: Some(part), ..r.clone() },
            false => r.clone(),
        };
        Some((outer, roles.iter().map(inside).collect()))
    }

    /// Gives each iteration of a statement's loop over parts partial results of its own.
    pub(super) fn partial_results(&mut self, parts: Name) -> bool {
        self.step(StepKind::SplitReduction { target: Ref::from(parts), at: None, name: None })
    }
}
