//! Tiles whose results leave as a box that all warpgroups have written.
//!
//! In: the works of a tile. Out: what the warpgroups do with it: each its sums, which it writes to
//! the staging buffer, then all together the copy. Where tile follows tile, the products of the
//! next one run while the results of the last one leave: a barrier says when the buffer is free.
//! Keeps: the thread that starts copies of the copy engine is the one that waits for them; threads
//! that copy themselves arrive once for each warp.

use warploom_ir::diag::Result;
use warploom_ir::kernel::device::{Barrier, Device, Teams, WARPGROUP};
use warploom_ir::kernel::{Condition, Index, KernelNode};

use super::consumer::Opened;
use super::roles::{Program, Scope, call, number, one, parity, slot, unused, var};
use super::{Work, moves::Move};

impl Program<'_> {
    /// One iteration of the accumulator's loop.
    pub(super) fn tile(&mut self, nodes: &[KernelNode], scope: &Scope) -> Result<Vec<KernelNode>> {
        if !self.plan.joint() {
            return Ok(self.held(nodes, scope, &Opened::default())?.0);
        }
        let again = !scope.around.is_empty();
        self.team = unused("team", self.taken);
        let (mut team, leaving) = self.held(nodes, scope, &Opened::default())?;
        let (mut stores, shares): (Vec<KernelNode>, Vec<KernelNode>) = leaving
            .into_iter()
            .partition(|n| matches!(n, KernelNode::Device(d) if matches!(**d, Device::Call(_))));
        if !stores.is_empty() {
            team.push(call("fence.async", Vec::new()));
        }
        let mut out = self.in_teams(team);
        out.push(call("sync", Vec::new()));
        let copied = !shares.is_empty();
        out.extend(shares);
        let free = self.free.clone().filter(|_| copied);
        let arrive = free.map(|free| call("mbarrier.arrive", vec![slot(&free, Index::Const(0))]));
        if !stores.is_empty() {
            stores.push(call("tma.commit", Vec::new()));
            if !again || copied {
                stores.push(call("tma.wait.read", vec![number(0)]));
            }
            stores.extend(arrive.clone());
            out.push(one(stores));
        }
        if let Some(arrive) = arrive {
            let (var, count) = (unused("warp", self.taken), self.leavers());
            let body = vec![call("sync", Vec::new()), one(vec![arrive])];
            out.push(Device::Teams(Teams { var, count, warps: 1, body }).into());
        }
        Ok(out)
    }

    /// Warps that copy results.
    fn leavers(&self) -> i64 {
        WARPGROUP * self.product().teams
    }

    /// Who copies results: the copy engine, and threads.
    fn copied_by(&self) -> [bool; 2] {
        let by = |threads: bool| {
            let such = |m: &Move| m.threads() == threads;
            self.plan.works.iter().any(|w| matches!(w, Work::Drain(m) if such(m)))
        };
        [by(false), by(true)]
    }

    /// Waits until the results of the tile before have left the staging buffer.
    pub(super) fn until_free(&mut self, scope: &Scope) -> Result<Vec<KernelNode>> {
        let [engine, threads] = self.copied_by();
        if !engine && !threads {
            return Ok(Vec::new());
        }
        let free = match &self.free {
            Some(free) => free.clone(),
            None => unused("free", self.taken),
        };
        self.free = Some(free.clone());
        let tiles = self.count(scope)?;
        let at = || slot(&free, Index::Const(0));
        let mut out = Vec::new();
        if !threads {
            // the thread that started the copies is in the first team
            let read = call("tma.wait.read", vec![number(0)]);
            let first = one(vec![read, call("mbarrier.arrive", vec![at()])]);
            out.push(match self.product().teams {
                1 => first,
                _several => {
                    let own = Condition::Eq(var(&self.team), Index::Const(0));
                    KernelNode::If(own, vec![first], Vec::new())
                }
            });
        }
        // where threads copy, all have arrived behind the tile before; else one just now
        let later = i64::from(threads);
        out.push(call("mbarrier.wait", vec![at(), parity(&tiles, 1, later)]));
        Ok(out)
    }

    /// The barrier that [`Self::until_free`] waits for, if it did.
    pub(super) fn free_again(&self) -> Option<Barrier> {
        let [engine, threads] = self.copied_by();
        let warps = if threads { self.leavers() } else { 0 };
        let count = warps + i64::from(engine);
        self.free.clone().map(|name| Barrier { name, slots: 1, count })
    }
}
