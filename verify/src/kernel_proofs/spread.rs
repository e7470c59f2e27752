//! Local buffers that are spread across threads: each thread touches its own part only.
//!
//! In: a store and the loops around it. Out: an access whose first indices are not the numbers of
//! the thread that makes it.
//! Keeps: the number of a thread along a place is the number of the iteration of the thread loop
//! mapped there. A thread loop along another place has one iteration, or several threads would
//! share what each of them keeps for itself.
//! Why here: registers belong to one thread, so no other may name them; as everything about
//! addresses this is proved by isl.

use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::kernel::{Index, KernelLoop, LoopMode};
use warploom_ir::target::Place;

use super::system::{Env, Fault};
use super::{Around, Proofs, Site, Touch, describe, local_of, show, touches};

impl Proofs<'_> {
    /// The first access of a store to a part that is not its thread's; code `E1011`.
    pub(super) fn spread(&self, site: &Site<'_>) -> Result<Option<Diagnostic>, Fault> {
        for touch in touches(site.store) {
            let Some((_, local)) = local_of(site, touch.array) else { continue };
            if local.across.is_empty() {
                continue;
            }
            if let Some(l) = stranger(site, &local.across) {
                let text = format!("loop `{}` has threads that it is not spread across", l.var);
                return Ok(Some(refused(site, touch, &text)));
            }
            for (index, place) in touch.indices.iter().zip(&local.across) {
                let Some(l) = thread_loop(site, *place) else {
                    let text = format!("no loop around it is mapped to {}", place.name());
                    return Ok(Some(refused(site, touch, &text)));
                };
                if let Some(found) = self.other(site, touch, index, l)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// An iteration where `index` is not the number of the iteration of `l`.
    fn other(
        &self,
        site: &Site<'_>,
        touch: Touch<'_>,
        index: &Index,
        l: &KernelLoop,
    ) -> Result<Option<Diagnostic>, Fault> {
        let own = matches!(index, Index::Var(v) if *v == l.var);
        if own && l.lower == Index::Const(0) && l.step == 1 {
            return Ok(None);
        }
        let mut env = Env::new(&self.kernel.params);
        env.enter(&site.around)?;
        let place = env.affine(index)?.scale(l.step)?.add(&env.affine(&l.lower)?)?;
        let variable = env.affine(&Index::Var(l.var.clone()))?;
        env.differ(&place, &variable);
        let Some(point) = env.smallest(self.ctx)? else { return Ok(None) };
        let values = env.values(&point);
        let text = format!("its threads are numbered by loop `{}`", l.var);
        let element = format!("{}[{}]", touch.array, show(touch.indices, &values));
        let witness = format!("{}: {element}", describe(self.kernel, site, &values));
        Ok(Some(refused(site, touch, &text).witness(witness)))
    }
}

fn refused(site: &Site<'_>, touch: Touch<'_>, why: &str) -> Diagnostic {
    let text = format!(
        "statement `{}` touches a part of `{}` that is not its thread's: {why}",
        site.store.statement, touch.array
    );
    Diagnostic::new("E1011", Blame::Schedule, text)
        .help("the first indices of a buffer spread across threads are the thread's own numbers")
}

fn thread_loops<'k>(site: &Site<'k>) -> impl Iterator<Item = (&'k KernelLoop, Place)> {
    let loops = site.around.iter().filter_map(|around| match around {
        Around::Loop(l) => Some(*l),
        Around::Guard(..) | Around::Local(_) => None,
    });
    loops.filter_map(|l| match l.mode {
        LoopMode::Mapped(place @ Place::Thread(_)) => Some((l, place)),
        LoopMode::Mapped(Place::Block(_))
        | LoopMode::Serial
        | LoopMode::Parallel
        | LoopMode::Vector
        | LoopMode::Unroll => None,
    })
}

fn thread_loop<'k>(site: &Site<'k>, place: Place) -> Option<&'k KernelLoop> {
    thread_loops(site).find(|(_, p)| *p == place).map(|(l, _)| l)
}

/// A thread loop of several iterations along none of these places.
fn stranger<'k>(site: &Site<'k>, across: &[Place]) -> Option<&'k KernelLoop> {
    let one = |l: &KernelLoop| match (&l.lower, &l.upper) {
        (Index::Const(a), Index::Const(b)) => b.saturating_sub(*a) <= l.step,
        _ => false,
    };
    thread_loops(site).find(|(l, place)| !across.contains(place) && !one(l)).map(|(l, _)| l)
}
