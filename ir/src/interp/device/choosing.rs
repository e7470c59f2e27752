//! Iterations that data choose: which one is next, and what is known behind the last one.
//!
//! Keeps: a warp that comes to the choice looks at the data, as each thread does; that nobody
//! writes them meanwhile is proved by the verifier.

use super::{Machine, Warp, fault};
use crate::diag::Result;
use crate::kernel::device::Choosing;

impl<'k> Machine<'k, '_> {
    /// Goes on to the next iteration that is chosen; where there is none, the place to jump to.
    pub(super) fn choose(
        &mut self,
        c: &Choosing,
        [last, end]: [usize; 2],
        w: &mut Warp<'k>,
    ) -> Result<Option<usize>> {
        let upper = w.index(&c.upper)?;
        let [iteration, count] = &c.vars;
        while w.env[iteration] < upper {
            if self.value(&c.when, None, w)?.to_bool() == Some(true) {
                w.chosen = Some(w.env[iteration]);
                return Ok(None);
            }
            w.next_iteration(c)?;
        }
        let Some(chosen) = w.chosen else { return Ok(Some(end)) };
        w.env.insert(iteration.clone(), chosen);
        *w.env.entry(count.clone()).or_insert(0) -= 1;
        Ok(Some(last))
    }
}

impl Warp<'_> {
    /// Before the first iteration.
    pub(super) fn start_choosing(&mut self, c: &Choosing) -> Result<()> {
        let lower = self.index(&c.lower)?;
        self.env.insert(c.vars[0].clone(), lower);
        self.env.insert(c.vars[1].clone(), 0);
        self.chosen = None;
        Ok(())
    }

    /// The body has run for an iteration.
    pub(super) fn chosen(&mut self, c: &Choosing) -> Result<()> {
        *self.env.entry(c.vars[1].clone()).or_insert(0) += 1;
        self.next_iteration(c)
    }

    fn next_iteration(&mut self, c: &Choosing) -> Result<()> {
        let next = self.env[&c.vars[0]].checked_add(1);
        let next = next.ok_or_else(|| fault("E0517", "a loop's variable overflows"))?;
        self.env.insert(c.vars[0].clone(), next);
        Ok(())
    }

    /// Nothing is chosen any more.
    pub(super) fn end_choosing(&mut self, c: &Choosing) {
        c.vars.iter().for_each(|var| {
            self.env.remove(var);
        });
    }
}
