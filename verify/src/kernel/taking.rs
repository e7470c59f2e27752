//! Blocks that take iterations of others: who asks, who reads the answers, and where they lie.
//!
//! In: a block program and the loops mapped to blocks around it. Out: a line for each thing that
//! cannot work, whatever the sizes.
//! Keeps: the grid has one loop, along x, so that a block's number is an iteration; a role reads
//! one answer for each iteration, which all its threads run; what a barrier counts of an answer is
//! what was announced. That reads, waits and requests are in order is found by running (`interp`).

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::instruction::{ANSWER_BYTES, Action, find};
use warploom_ir::kernel::device::{Block, Call, Device, Operand, Taking};
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode};
use warploom_ir::target::{Axis, Place};

/// What is wrong with what a block takes.
pub(super) fn faults(block: &Block, grid: &[&KernelLoop]) -> Vec<String> {
    let mut found =
        Found { out: Vec::new(), blocks: block.cluster_size().unwrap_or(1), ..Found::default() };
    for role in &block.roles {
        let mut takes = false;
        for node in &role.body {
            match taking(node) {
                Some(_) if takes => {
                    found.out.push(format!("role `{}` takes iterations twice", role.name));
                }
                Some(t) => {
                    takes = true;
                    found.taken(t, grid);
                }
                None => found.nodes(std::slice::from_ref(node), false),
            }
        }
    }
    let elsewhere = found.read.difference(&found.asked);
    let unasked = elsewhere.map(|name| format!("nobody asks for the answers in `{name}`"));
    let mut out: Vec<String> = unasked.collect();
    out.extend(found.calls.iter().filter_map(|call| found.mixed(call)));
    found.out.append(&mut out);
    found.out
}

fn taking(node: &KernelNode) -> Option<&Taking> {
    let KernelNode::Device(d) = node else { return None };
    let Device::Taking(t) = &**d else { return None };
    Some(t)
}

/// The call that a node is, and what it does.
fn called(node: &KernelNode) -> Option<(&Call, Action)> {
    let KernelNode::Device(d) = node else { return None };
    let Device::Call(call) = &**d else { return None };
    Some((call, find(&call.instruction)?.action))
}

/// The array that an operand is a part of.
fn array(call: &Call, operand: usize) -> Option<&Name> {
    match call.operands.get(operand)? {
        Operand::Tile(tile) => Some(&tile.array),
        Operand::Value(_) => None,
    }
}

#[derive(Default)]
struct Found<'k> {
    out: Vec<String>,
    /// Blocks of the cluster.
    blocks: i64,
    /// Buffers that answers come to and are read from, and barriers that count them.
    asked: BTreeSet<Name>,
    read: BTreeSet<Name>,
    counted: BTreeSet<Name>,
    /// All other calls.
    calls: Vec<&'k Call>,
}

impl<'k> Found<'k> {
    /// A role's iterations.
    fn taken(&mut self, t: &'k Taking, grid: &[&KernelLoop]) {
        let along_x = |l: &&KernelLoop| {
            l.var == t.of && l.mode == LoopMode::Mapped(Place::Block(Axis::X)) && l.step == 1
        };
        if !matches!(grid, [l] if along_x(l)) {
            self.out.push(format!(
                "`{}` takes iterations of `{}`, which is not the one loop over blocks, along x",
                t.vars[0], t.of
            ));
        }
        let answers = t.body.iter().filter_map(called).filter(|c| c.1 == Action::Answer);
        let answers: Vec<&Call> = answers.map(|c| c.0).collect();
        if answers.len() != 1 {
            self.out.push(format!(
                "right inside `for {}, {} taking {}` one `clusterlaunchcontrol.query_cancel` says \
                 what follows, and there are {}",
                t.vars[0],
                t.vars[1],
                t.of,
                answers.len()
            ));
        }
        self.read.extend(answers.iter().filter_map(|call| array(call, 0)).cloned());
        for node in &t.body {
            if called(node).is_none_or(|c| c.1 != Action::Answer) {
                self.nodes(std::slice::from_ref(node), true);
            }
        }
        self.nodes(&t.last, false);
    }

    /// Nodes that read no answer; requests are `allowed` in iterations only.
    fn nodes(&mut self, nodes: &'k [KernelNode], allowed: bool) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => self.nodes(&l.body, allowed),
                KernelNode::If(_, a, b) => {
                    self.nodes(a, allowed);
                    self.nodes(b, allowed);
                }
                KernelNode::Local(l) => self.nodes(&l.body, allowed),
                KernelNode::Store(_) => {}
                KernelNode::Device(d) => match &**d {
                    Device::Call(call) => self.call(call, allowed),
                    Device::Taking(t) => self.out.push(format!(
                        "`for {}, {} taking {}` does not stand right inside its role",
                        t.vars[0], t.vars[1], t.of
                    )),
                    other => {
                        for body in other.bodies() {
                            self.nodes(body, allowed);
                        }
                    }
                },
            }
        }
    }

    fn call(&mut self, call: &'k Call, allowed: bool) {
        let action = find(&call.instruction).map(|i| i.action);
        match action {
            Some(Action::Take | Action::TakeMulticast) => {
                if !allowed {
                    self.out.push(format!("`{call}` is outside the iterations that are taken"));
                }
                let all = action == Some(Action::TakeMulticast);
                if all != (self.blocks > 1) {
                    self.out.push(format!(
                        "`{call}`: a cluster of {} blocks asks for an answer to {}",
                        self.blocks,
                        if all { "all of them: leave `.multicast` out" } else { "one of them" }
                    ));
                }
                self.asked.extend(array(call, 0).cloned());
                self.counted.extend(array(call, 1).cloned());
            }
            Some(Action::Answer) => self.out.push(format!(
                "`{call}` does not stand right inside iterations that are taken, once"
            )),
            Some(_) | None => self.calls.push(call),
        }
    }

    /// Why a call has no business with a buffer or barrier of answers.
    fn mixed(&self, call: &Call) -> Option<String> {
        let action = find(&call.instruction)?.action;
        let touches = |of: &BTreeSet<Name>| {
            (0..call.operands.len()).any(|k| array(call, k).is_some_and(|name| of.contains(name)))
        };
        if touches(&self.asked) {
            return Some(format!(
                "`{call}` touches answers, which only `query_cancel` understands"
            ));
        }
        if !touches(&self.counted) {
            return None;
        }
        let bytes = Operand::Value(Index::Const(ANSWER_BYTES));
        let fits = match action {
            Action::Expect => call.operands.get(1) == Some(&bytes),
            Action::Wait => true,
            _other => false,
        };
        (!fits).then(|| {
            format!(
                "`{call}`: the barrier counts answers, of {ANSWER_BYTES} bytes each, announced by \
                 `mbarrier.expect`"
            )
        })
    }
}
