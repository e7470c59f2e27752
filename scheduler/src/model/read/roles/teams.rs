//! Teams of a role: how many do the same at the same time, and which take turns.
//!
//! In: the teams of a role. Out: what they do, counted for each group of teams that have the same
//! iterations of a loop. Keeps: groups with other iterations than each other's are counted one
//! after the other, as what they do is: only one of them multiplies at a time.

use std::collections::BTreeMap;

use warploom_ir::kernel::KernelNode;
use warploom_ir::kernel::device::Teams;

use super::super::access::{Env, value};
use super::Walk;

impl<'k> Walk<'_, 'k> {
    /// Teams do the same at the same time, but those with other iterations of a loop take turns.
    pub(super) fn teams(&mut self, t: &'k Teams) {
        let (copies, warps) = (self.copies, self.warps);
        self.warps = t.warps as f64;
        let groups = groups(t, &self.env);
        for (first, teams) in &groups {
            self.copies = copies * teams;
            self.env.insert(t.var.clone(), *first);
            self.nodes(&t.body);
        }
        self.tally.groups = self.tally.groups.max(groups.len() as f64);
        self.env.remove(&t.var);
        (self.copies, self.warps) = (copies, warps);
    }
}

/// The first team of those that begin a loop at the same iteration, and how many these are; one
/// group where they all do.
fn groups(t: &Teams, env: &Env) -> Vec<(i64, f64)> {
    let own = t.body.iter().find_map(|n| match n {
        KernelNode::Loop(l) if l.lower.uses(&t.var) => Some(&l.lower),
        KernelNode::Loop(_)
        | KernelNode::If(..)
        | KernelNode::Local(_)
        | KernelNode::Store(_)
        | KernelNode::Device(_) => None,
    });
    let Some(lower) = own else { return vec![(0, t.count as f64)] };
    let mut env = env.clone();
    let mut out: BTreeMap<i64, (i64, f64)> = BTreeMap::new();
    for team in 0..t.count {
        env.insert(t.var.clone(), team);
        out.entry(value(lower, &env)).or_insert((team, 0.0)).1 += 1.0;
    }
    out.into_values().collect()
}
