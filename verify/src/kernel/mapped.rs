//! The shape of mapped loops: loops and guards of the host, and launches on a GPU inside them.
//!
//! In: a kernel's body. Out: what keeps it from being launched.
//! Keeps: block loops stand perfectly nested at the top of a launch, each place once. Inside them
//! are serial loops, guards, local buffers, stores and *phases*: thread loops perfectly nested in
//! each other, each place once, with no mapped loop in their body. Bounds of mapped loops are known
//! before the launch: of blocks over the parameters and the host's loops, of threads constant; the
//! longest thread loops of a launch give at most [`MAX_THREADS`] threads. A local buffer that is
//! spread across threads stands outside phases.
//! Why here: code generation takes grid and block from the loops without looking for them. Outside
//! phases no variable differs between the threads of a block, so all reach each barrier.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::kernel::device::Device;
use warploom_ir::kernel::{Condition, HostNode, Index, KernelLoop, KernelNode, Local, LoopMode};
use warploom_ir::target::{Axis, Place};

/// Most threads of a block, on every GPU.
const MAX_THREADS: i64 = 1024;
/// Most threads along z.
const MAX_Z: i64 = 64;

/// What keeps the nodes of a body from being launches.
pub(super) fn faults(body: &[KernelNode], params: &BTreeSet<Name>) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    host(&HostNode::of(body), &mut params.clone(), &mut out);
    out
}

fn fault(code: &'static str, text: String) -> Diagnostic {
    Diagnostic::new(code, Blame::Schedule, text)
}

/// `known` are the parameters and the variables of the host's loops.
fn host(nodes: &[HostNode<'_>], known: &mut BTreeSet<Name>, out: &mut Vec<Diagnostic>) {
    for node in nodes {
        match node {
            HostNode::Launch(nodes) => {
                let mut launch = Launch { known, threads: BTreeMap::new(), full: false, out };
                launch.blocks(nodes);
            }
            HostNode::Loop(l, body) => {
                known.insert(l.var.clone());
                host(body, known, out);
                known.remove(&l.var);
            }
            HostNode::If(_, then, otherwise) => {
                host(then, known, out);
                host(otherwise, known, out);
            }
        }
    }
}

/// A launch while it is checked.
struct Launch<'a> {
    known: &'a BTreeSet<Name>,
    /// The longest thread loop of each direction.
    threads: BTreeMap<Axis, i64>,
    /// It was said already that there are too many.
    full: bool,
    out: &'a mut Vec<Diagnostic>,
}

impl Launch<'_> {
    /// The block loops at the top.
    fn blocks(&mut self, nodes: &[KernelNode]) {
        let mut places = BTreeSet::new();
        let mut grid = Vec::new();
        let mut at = nodes;
        while let [KernelNode::Loop(l)] = at {
            let LoopMode::Mapped(place @ Place::Block(_)) = l.mode else { break };
            self.once(l, place, &mut places);
            if !(over(&l.lower, self.known) && over(&l.upper, self.known)) {
                let text = format!(
                    "the bounds of loop `{}`, mapped to {}, depend on a loop of the launch",
                    l.var,
                    place.name()
                );
                self.out.push(fault("E1009", text));
            }
            grid.push(l);
            at = &l.body;
        }
        // the program of a block, alone inside its loops
        if let [KernelNode::Device(d)] = at {
            if let Device::Block(block) = &**d {
                let found = super::taking::faults(block, &grid);
                self.out.extend(found.into_iter().map(|text| fault("E1020", text)));
            }
            return;
        }
        self.block(at);
    }

    fn once(&mut self, l: &KernelLoop, place: Place, places: &mut BTreeSet<Place>) {
        if !places.insert(place) {
            let text = format!("loop `{}` is mapped to {}, as one around it", l.var, place.name());
            self.out.push(fault("E1008", text));
        }
    }

    /// What a block runs.
    fn block(&mut self, nodes: &[KernelNode]) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => match l.mode {
                    LoopMode::Mapped(Place::Thread(_)) => self.phase(l),
                    LoopMode::Mapped(Place::Block(_)) => {
                        self.stray(l, "stands inside something else than other block loops");
                    }
                    LoopMode::Serial | LoopMode::Parallel | LoopMode::Vector | LoopMode::Unroll => {
                        self.block(&l.body);
                    }
                },
                KernelNode::If(_, then, otherwise) => {
                    self.block(then);
                    self.block(otherwise);
                }
                KernelNode::Local(l) => {
                    self.across(l);
                    self.block(&l.body);
                }
                KernelNode::Store(_) => {}
                KernelNode::Device(d) => self.device(d),
            }
        }
    }

    /// Thread loops in each other, from the outermost.
    fn phase(&mut self, outermost: &KernelLoop) {
        let mut places = BTreeSet::new();
        let mut at = outermost;
        loop {
            if let LoopMode::Mapped(place @ Place::Thread(axis)) = at.mode {
                self.once(at, place, &mut places);
                self.thread_loop(at, place, axis);
            }
            match at.body.as_slice() {
                [KernelNode::Loop(l)] if matches!(l.mode, LoopMode::Mapped(Place::Thread(_))) => {
                    at = l;
                }
                body => return self.thread(body),
            }
        }
    }

    fn thread_loop(&mut self, l: &KernelLoop, place: Place, axis: Axis) {
        let Some(n) = trip(l) else {
            let (var, place) = (&l.var, place.name());
            let text = format!("the bounds of loop `{var}`, mapped to {place}, are not constant");
            return self.out.push(fault("E1009", text));
        };
        if axis == Axis::Z && n > MAX_Z {
            return self.out.push(too_many(l, n, MAX_Z));
        }
        let longest = self.threads.entry(axis).or_insert(1);
        *longest = n.max(*longest);
        let all = self.threads.values().fold(1_i64, |all, n| all.saturating_mul(*n));
        if all > MAX_THREADS && !self.full {
            self.full = true;
            self.out.push(too_many(l, all, MAX_THREADS));
        }
    }

    /// What a thread runs: no mapped loop, and local buffers of its own.
    fn thread(&mut self, nodes: &[KernelNode]) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => {
                    if let LoopMode::Mapped(_) = l.mode {
                        self.stray(l, "stands inside a thread loop, but not right inside it");
                    }
                    self.thread(&l.body);
                }
                KernelNode::If(_, then, otherwise) => {
                    self.thread(then);
                    self.thread(otherwise);
                }
                KernelNode::Local(l) => {
                    if !l.across.is_empty() {
                        let text = format!(
                            "the local buffer `{}` is spread across threads inside a thread loop",
                            l.name
                        );
                        let help = "inside a thread loop each thread has a buffer of its own";
                        self.out.push(fault("E1011", text).help(help));
                    }
                    self.thread(&l.body);
                }
                KernelNode::Store(_) => {}
                KernelNode::Device(d) => self.device(d),
            }
        }
    }

    fn device(&mut self, node: &Device) {
        if let Device::Block(_) = node {
            let text = "a block program is not alone inside the loops mapped to blocks";
            self.out.push(fault("E1016", text.to_owned()));
        }
    }

    fn stray(&mut self, l: &KernelLoop, what: &str) {
        let LoopMode::Mapped(place) = l.mode else { return };
        let text = format!("loop `{}`, mapped to {}, {what}", l.var, place.name());
        self.out.push(fault("E1008", text).help("distribute or reorder the loops around it"));
    }

    /// The places that a local buffer is spread across.
    fn across(&mut self, l: &Local) {
        let threads = l.across.iter().all(|p| matches!(p, Place::Thread(_)));
        let different = l.across.iter().collect::<BTreeSet<_>>().len() == l.across.len();
        if !(threads && different && l.across.len() <= l.shape.len()) {
            let text = format!(
                "the local buffer `{}` is spread across places that are not different threads' \
                 numbers, one for each of its first dimensions",
                l.name
            );
            self.out.push(fault("E1011", text));
        }
    }
}

fn too_many(l: &KernelLoop, found: i64, limit: i64) -> Diagnostic {
    let text =
        format!("with loop `{}` a block has {found} threads, and {limit} are possible", l.var);
    fault("E1010", text)
}

/// How many iterations a loop with constant bounds has.
pub(super) fn trip(l: &KernelLoop) -> Option<i64> {
    match (&l.lower, &l.upper) {
        (Index::Const(a), Index::Const(b)) => {
            let length = i128::from(*b) - i128::from(*a);
            let step = i128::from(l.step.max(1));
            i64::try_from((length + step - 1).div_euclid(step)).ok()
        }
        _ => None,
    }
}

/// Whether an index uses known variables only.
pub(super) fn over(index: &Index, known: &BTreeSet<Name>) -> bool {
    match index {
        Index::Const(_) => true,
        Index::Var(name) => known.contains(name),
        Index::Add(a, b) | Index::Sub(a, b) | Index::Min(a, b) | Index::Max(a, b) => {
            over(a, known) && over(b, known)
        }
        Index::Mul(_, a) | Index::FloorDiv(a, _) | Index::Mod(a, _) => over(a, known),
        Index::Select(c, a, b) => over_condition(c, known) && over(a, known) && over(b, known),
    }
}

fn over_condition(c: &Condition, known: &BTreeSet<Name>) -> bool {
    match c {
        Condition::Ge(a, b) | Condition::Eq(a, b) => over(a, known) && over(b, known),
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().all(|p| over_condition(p, known))
        }
    }
}

#[cfg(test)]
mod tests;
