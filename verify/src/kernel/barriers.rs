//! Barriers of a block program that cannot work, whatever the sizes.
//!
//! In: a block program. Out: a line for each barrier whose phases are never complete, or that more
//! threads arrive at than it counts. Why here: what else a barrier orders is found by running
//! (`interp`), but these need no sizes.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::instruction::{Action, find};
use warploom_ir::kernel::device::{Block, Call, Device, Operand, WARP};
use warploom_ir::kernel::{KernelLoop, KernelNode};

/// Most teams of a block that can run: each has a warp.
const MAX_TEAMS: i64 = 32;

/// What the calls of a block do to its barriers.
#[derive(Default)]
struct Uses {
    /// The first box load, or request, whose bytes each counts.
    loads: BTreeMap<Name, String>,
    /// Where bytes are announced, and where somebody waits.
    expected: BTreeSet<Name>,
    awaited: BTreeSet<Name>,
    /// Most threads that arrive together.
    arrivals: BTreeMap<Name, i64>,
    /// Teams around that all run what is looked at: their numbers and how many there are.
    teams: Vec<(Name, i64)>,
    /// The first matrix instruction that only a commit tells the end of, and the first commit to
    /// each barrier.
    issued: Option<String>,
    commits: BTreeMap<Name, String>,
}

/// What is wrong with the barriers of a block program.
pub(super) fn faults(block: &Block) -> Vec<String> {
    let mut uses = Uses::default();
    for role in &block.roles {
        uses.nodes(&role.body, role.warps.saturating_mul(WARP));
    }
    let mut out = Vec::new();
    for (name, call) in &uses.loads {
        if !uses.expected.contains(name) {
            out.push(format!("`{call}`: nobody announces its bytes with `mbarrier.expect`"));
        }
        if !uses.awaited.contains(name) {
            out.push(format!("`{call}`: nobody waits for its end"));
        }
    }
    for (name, call) in uses.commits.iter().filter(|(name, _)| !uses.awaited.contains(*name)) {
        out.push(format!("`{call}`: nobody waits for `{name}`"));
    }
    if let (Some(call), true) = (&uses.issued, uses.commits.is_empty()) {
        out.push(format!("`{call}`: nothing tells when it is done: commit it to a barrier"));
    }
    for barrier in &block.barriers {
        let threads = uses.arrivals.get(&barrier.name).copied().unwrap_or(0);
        if threads > barrier.count {
            let (name, count) = (&barrier.name, barrier.count);
            out.push(format!("`{name}` counts {count} arrivals, and {threads} threads arrive"));
        }
    }
    out
}

/// The barrier that an operand is a slot of.
fn barrier(call: &Call, operand: usize) -> Option<Name> {
    match call.operands.get(operand)? {
        Operand::Tile(tile) => Some(tile.array.clone()),
        Operand::Value(_) => None,
    }
}

/// Whether a call is the same for each value of a variable.
fn fixed(call: &Call, var: &Name) -> bool {
    let without = |name: &str| (*name != **var).then_some(0);
    call.indices().into_iter().all(|i| i.eval(&without).is_some())
}

/// How many of so many teams surely have the same iterations of a loop.
fn alike(l: &KernelLoop, var: &Name, count: i64) -> i64 {
    let bounds = [&l.lower, &l.upper].map(|e| e.uses(var).then_some(e));
    let of_team = |team: i64| {
        let own = |name: &str| (*name == **var).then_some(team);
        bounds.map(|bound| bound.map(|e| e.eval(&own)))
    };
    let mut same: BTreeMap<_, i64> = BTreeMap::new();
    for team in 0..count.min(MAX_TEAMS) {
        let own = of_team(team);
        if own.contains(&Some(None)) {
            return 1;
        }
        *same.entry(own).or_default() += 1;
    }
    same.into_values().max().unwrap_or(1)
}

impl Uses {
    /// `threads` run each node together.
    fn nodes(&mut self, nodes: &[KernelNode], threads: i64) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => {
                    // teams with iterations of their own arrive at other times
                    let teams = self.teams.clone();
                    for (var, count) in &mut self.teams {
                        *count = alike(l, var, *count);
                    }
                    self.nodes(&l.body, threads);
                    self.teams = teams;
                }
                KernelNode::If(_, a, b) => {
                    // perhaps for some of the teams only
                    let teams = std::mem::take(&mut self.teams);
                    self.nodes(a, threads);
                    self.nodes(b, threads);
                    self.teams = teams;
                }
                KernelNode::Local(l) => self.nodes(&l.body, threads),
                KernelNode::Store(_) => {}
                KernelNode::Device(d) => match &**d {
                    Device::Call(call) => self.call(call, threads),
                    Device::One(body) => self.nodes(body, 1),
                    Device::Teams(t) => {
                        self.teams.push((t.var.clone(), t.count));
                        self.nodes(&t.body, t.warps.saturating_mul(WARP));
                        self.teams.pop();
                    }
                    Device::Fragment(f) => self.nodes(&f.body, threads),
                    Device::Taking(t) => {
                        self.nodes(&t.body, threads);
                        self.nodes(&t.last, threads);
                    }
                    Device::Choosing(c) => {
                        // perhaps for some of the teams only
                        let teams = std::mem::take(&mut self.teams);
                        self.nodes(&c.body, threads);
                        self.nodes(&c.last, threads);
                        self.teams = teams;
                    }
                    Device::Across(_) | Device::Share(_) | Device::Block(_) => {}
                },
            }
        }
    }

    fn call(&mut self, call: &Call, threads: i64) {
        let Some(action) = find(&call.instruction).map(|i| i.action) else { return };
        let loads = matches!(action, Action::BoxLoad | Action::BoxMulticast | Action::BoxPair);
        let asks = matches!(action, Action::Take | Action::TakeMulticast);
        let place = if loads { 2 } else { usize::from(asks) };
        let tensor = |a: &Action| matches!(a, Action::Matrix(m) if m.tensor);
        if tensor(&action) || matches!(action, Action::ScaleCopy(_)) {
            self.issued.get_or_insert_with(|| call.to_string());
            return;
        }
        let Some(name) = barrier(call, place) else { return };
        if matches!(
            action,
            Action::TensorCommit | Action::TensorCommitCluster | Action::TensorCommitPair
        ) {
            self.commits.entry(name.clone()).or_insert_with(|| call.to_string());
            let most = self.arrivals.entry(name).or_insert(0);
            *most = (*most).max(1);
            return;
        }
        if place > 0 {
            self.loads.entry(name).or_insert_with(|| call.to_string());
        } else if action == Action::Expect {
            self.expected.insert(name);
        } else if action == Action::Wait {
            self.awaited.insert(name);
        } else if matches!(action, Action::Arrive | Action::ArriveCluster | Action::CopyArrive) {
            let teams = self.teams.iter().filter(|(var, _)| fixed(call, var));
            let all = teams.fold(threads, |n, (_, count)| n.saturating_mul(*count));
            let most = self.arrivals.entry(name).or_insert(0);
            *most = all.max(*most);
        }
    }
}
