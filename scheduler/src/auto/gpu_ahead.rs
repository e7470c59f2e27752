//! Loads ahead of what a thread does one after another.
//!
//! In: a mapped schedule. Out: some iterations of the innermost loop of each sum, and of other
//! serial loops where few threads run, as code, so that what they load is on its way together.
//! Keeps: the order of all iterations. Where few threads run, nothing but its own loads hides the
//! time that a thread waits for memory: it has more of them on their way, where the loop is as long
//! for all threads, so that all but the last few iterations need no guard.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Marks, Tree, TreeLoop};

use super::Auto;
use super::gpu::{divides, is_mapped, tensorized};
use super::tiles::{Stride, stride};
use crate::steps::ancestors;

/// Iterations whose loads a thread has on their way at once.
const AHEAD: i64 = 8;
/// Where few threads run, the most first.
const FAR_AHEAD: [i64; 2] = [32, 16];
/// Most threads that are few: four warps for each multiprocessor of a large GPU.
const FEW: i64 = 1 << 14;
/// Most loads on their way of one thread.
const LOADS: i64 = 64;
/// Most statements of a loop that is no sum.
const STATEMENTS: usize = 4;

impl Auto {
    /// Unrolls some iterations of the sums that a thread makes one after another.
    pub(super) fn loads_ahead(&mut self) -> Result<()> {
        let tree = self.at.tree().clone();
        for name in &tree.statements() {
            let Some((inner, ahead)) = self.ahead(&tree, name)? else { continue };
            let before = self.at.clone();
            let done = self
                .halves(&inner, ahead)
                .is_some_and(|(_, some)| self.step(StepKind::Unroll(Ref::from(some))));
            if !done {
                self.at = before;
            }
        }
        self.recurrences_ahead()
    }

    /// Unrolls some iterations of the other innermost loops of threads.
    fn recurrences_ahead(&mut self) -> Result<()> {
        let tree = self.at.tree().clone();
        for l in tree.loops() {
            let statements = l.body.statements();
            let innermost = l.body.loops().is_empty() && statements.len() <= STATEMENTS;
            let Some(first) = statements.first().filter(|_| innermost) else { continue };
            let mut around = ancestors(&tree, first);
            around.pop();
            let threads = self.threads_around(&around)?;
            let few = threads.is_some_and(|n| (2..=FEW).contains(&n));
            let long = self.length(l)?.is_some_and(|n| n >= 4 * AHEAD);
            // a loop over points of a tile may be told by those around it
            let plain = l.marks == Marks::default() && !divides(l);
            if !plain || tensorized(&tree, first) || !few || !long {
                continue;
            }
            let before = self.at.clone();
            let done = self
                .halves(&l.name, AHEAD)
                .is_some_and(|(_, some)| self.step(StepKind::Unroll(Ref::from(some))));
            if !done {
                self.at = before;
            }
        }
        Ok(())
    }

    /// The threads that mapped loops make together, where that is known.
    fn threads_around(&mut self, around: &[&TreeLoop]) -> Result<Option<i64>> {
        let mut threads = Some(1_i64);
        for l in around.iter().filter(|l| l.marks.map.is_some()) {
            threads = threads.zip(self.length(l)?).map(|(a, b)| a.saturating_mul(b));
        }
        Ok(threads)
    }

    /// The loop of a sum, and how many of its iterations become code.
    fn ahead(&mut self, tree: &Tree, name: &Name) -> Result<Option<(Name, i64)>> {
        let poly = self.at.poly().clone();
        let Some(s) = poly.statement(name).map(|s| s.statement.clone()) else { return Ok(None) };
        let mut around = ancestors(tree, name);
        // a loop of the host that has launches beside this statement stays as it is
        let own = |l: &&TreeLoop| l.marks == Marks::default() && !is_mapped(l);
        let Some(inner) = around.pop().filter(own) else { return Ok(None) };
        let iter = inner.rows.get(name).and_then(|row| row.as_var());
        let still = iter.is_some_and(|i| stride(&s.target, i) == Stride::None);
        let long = self.length(inner)?.is_none_or(|n| n >= 4 * AHEAD);
        if tensorized(tree, name) || !still || !long || !s.op.is_update() {
            return Ok(None);
        }
        let threads = self.threads_around(&around)?;
        let loads = i64::try_from(s.value.reads().len()).unwrap_or(LOADS).max(1);
        let far = self.length(inner)?.filter(|_| threads.is_some_and(|n| n <= FEW));
        let fits = |n: i64| FAR_AHEAD.into_iter().find(|a| n >= 4 * a && a * loads <= LOADS);
        Ok(Some((inner.name.clone(), far.and_then(fits).unwrap_or(AHEAD))))
    }
}
