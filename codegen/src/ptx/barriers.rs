//! What the threads of a block share: where local buffers lie in shared memory, and where threads
//! wait for each other.
//!
//! In: what a block runs (the body of a launch's block loops). Out: an offset for each local buffer
//! outside thread loops, and the nodes before which all threads meet.
//! A node (a phase, or what the first thread runs alone: a store, or a loop or guard without
//! phases) needs a barrier before it where it touches memory that a node since the last barrier
//! touched, at least one of them to write and not both on the first thread. What a loop's iteration
//! leaves behind meets the next one: the answer for a loop's body is that of the least state that
//! holds before every iteration.
//! Keeps: buffers that are not inside each other may lie in the same bytes, and then count as the
//! same memory here. Which elements are touched is asked only so far: where both phases touch the
//! elements of the thread's own number, no thread needs another one. What is written in neither of
//! the stretches that a barrier stands between is told, as values of it outlive the barrier.
//! Why here: fork and join of threads is the kernel's meaning; how a machine joins them is codegen.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Index, Kernel, KernelLoop, KernelNode, Local, LoopMode, Typed};
use warploom_ir::kernel::{Store, TypedKind};
use warploom_ir::target::Place;

use crate::llvm::lin::{Env, Lin};
use crate::llvm::team::{thread_loops, trip};

/// What [`plan`] answers.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Nodes before which the threads of the block meet.
    pub(crate) barriers: BTreeSet<*const KernelNode>,
    /// Bytes of shared memory, from and to, that may be written between a barrier and the ones
    /// next to it.
    pub(crate) around: BTreeMap<*const KernelNode, BTreeSet<(i64, i64)>>,
    /// Offsets of local buffers in shared memory, in bytes.
    pub(crate) offsets: BTreeMap<*const Local, i64>,
    /// Bytes of shared memory of a block.
    pub(crate) bytes: i64,
}

/// Memory that several threads of a block can touch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Global(Name),
    Shared { from: i64, to: i64, buffer: *const Local },
}

impl Memory {
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Global(a), Self::Global(b)) => a == b,
            (
                Self::Shared { from, to, .. },
                Self::Shared { from: other_from, to: other_to, .. },
            ) => from < other_to && other_from < to,
            (Self::Global(_), Self::Shared { .. }) | (Self::Shared { .. }, Self::Global(_)) => {
                false
            }
        }
    }
}

/// The dimensions whose index is the number of the thread that touches an element: axis, dimension,
/// index of the first thread, distance of neighbours; one for each axis with several threads.
type Owner = Vec<(usize, usize, i64, i64)>;

/// Elements that threads touch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Elements {
    memory: Memory,
    /// Each belongs to one thread.
    owner: Option<Owner>,
}

impl Elements {
    /// Whether a thread may meet what another one touched.
    fn meet(&self, other: &Self) -> bool {
        let own = self.owner.is_some() && self == other;
        !own && self.memory.overlaps(&other.memory)
    }
}

/// What some threads touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Touched {
    reads: BTreeSet<Elements>,
    writes: BTreeSet<Elements>,
}

impl Touched {
    fn add(&mut self, other: &Self) {
        self.reads.extend(other.reads.iter().cloned());
        self.writes.extend(other.writes.iter().cloned());
    }

    fn conflicts(&self, later: &Self) -> bool {
        let meet = |a: &BTreeSet<Elements>, b: &BTreeSet<Elements>| {
            a.iter().any(|x| b.iter().any(|y| x.meet(y)))
        };
        meet(&self.writes, &later.reads)
            || meet(&self.writes, &later.writes)
            || meet(&self.reads, &later.writes)
    }

    /// The bytes of shared memory that are written.
    fn written(&self) -> BTreeSet<(i64, i64)> {
        let bytes = |e: &Elements| match e.memory {
            Memory::Shared { from, to, .. } => Some((from, to)),
            Memory::Global(_) => None,
        };
        self.writes.iter().filter_map(bytes).collect()
    }
}

/// What was touched since the threads met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Since {
    /// In phases.
    all: Touched,
    /// By the first thread alone.
    first: Touched,
    /// The barriers where that may have been.
    met: BTreeSet<*const KernelNode>,
}

impl Since {
    fn add(&mut self, other: &Self) {
        self.all.add(&other.all);
        self.first.add(&other.first);
        self.met.extend(&other.met);
    }

    /// The bytes of shared memory that were written.
    fn written(&self) -> BTreeSet<(i64, i64)> {
        self.all.written().union(&self.first.written()).copied().collect()
    }

    fn conflicts(&self, later: &Self) -> bool {
        self.all.conflicts(&later.all)
            || self.all.conflicts(&later.first)
            || self.first.conflicts(&later.all)
    }
}

struct Planner {
    /// Where the buffers around a node lie; those of a thread lie nowhere.
    scope: BTreeMap<Name, Option<Memory>>,
    top: i64,
    plan: Plan,
}

/// Plans what a block runs; nothing is shared where it has no thread loop.
pub(crate) fn plan(kernel: &Kernel, body: &[KernelNode]) -> Plan {
    if !has_phase(body) {
        return Plan::default();
    }
    let global = |n: &Name| (n.clone(), Some(Memory::Global(n.clone())));
    let scope = kernel.buffers.iter().map(|b| global(&b.name)).collect();
    let mut planner = Planner { scope, top: 0, plan: Plan::default() };
    planner.nodes(body, Since::default());
    planner.plan
}

/// Whether there is a thread loop below.
pub(crate) fn has_phase(nodes: &[KernelNode]) -> bool {
    nodes.iter().any(|node| match node {
        KernelNode::Loop(l) => is_phase(l) || has_phase(&l.body),
        KernelNode::If(_, a, b) => has_phase(a) || has_phase(b),
        KernelNode::Local(l) => has_phase(&l.body),
        // the threads of a block program divide themselves
        KernelNode::Store(_) | KernelNode::Device(_) => false,
    })
}

/// Whether a loop's iterations run on the threads of a block.
pub(crate) fn is_phase(l: &KernelLoop) -> bool {
    matches!(l.mode, LoopMode::Mapped(Place::Thread(_)))
}

/// Whether the first thread of a block runs a node outside phases alone: a store, or a loop or
/// guard with no phase and no shared buffer inside.
pub(crate) fn is_alone(node: &KernelNode) -> bool {
    match node {
        KernelNode::Loop(l) => !is_phase(l) && l.body.iter().all(is_alone),
        KernelNode::If(_, a, b) => a.iter().chain(b).all(is_alone),
        KernelNode::Store(_) => true,
        KernelNode::Local(_) | KernelNode::Device(_) => false,
    }
}

impl Planner {
    fn nodes(&mut self, nodes: &[KernelNode], before: Since) -> Since {
        nodes.iter().fold(before, |at, node| self.node(node, at))
    }

    fn node(&mut self, node: &KernelNode, before: Since) -> Since {
        match node {
            KernelNode::Loop(l) if is_phase(l) => self.meet(node, before),
            KernelNode::Store(_) => self.meet(node, before),
            KernelNode::Loop(_) | KernelNode::If(..) if is_alone(node) => self.meet(node, before),
            KernelNode::Loop(l) => self.run_loop(l, before),
            KernelNode::If(_, then, otherwise) => {
                let mut after = self.nodes(then, before.clone());
                after.add(&self.nodes(otherwise, before));
                after
            }
            KernelNode::Local(l) => self.local(l, before),
            KernelNode::Device(_) => before,
        }
    }

    /// The body again until what holds before it holds after it too; the last answer stays.
    fn run_loop(&mut self, l: &KernelLoop, before: Since) -> Since {
        let runs = match (&l.lower, &l.upper) {
            (Index::Const(a), Index::Const(b)) => a < b,
            _ => false,
        };
        let mut entry = before;
        loop {
            let after = self.nodes(&l.body, entry.clone());
            let mut next = entry.clone();
            next.add(&after);
            if next == entry {
                return if runs { after } else { entry };
            }
            entry = next;
        }
    }

    fn local(&mut self, l: &Local, before: Since) -> Since {
        let below = self.top;
        let mut memory = None;
        if l.across.is_empty() {
            self.plan.offsets.insert(ptr::from_ref(l), below);
            self.top += l.bytes().expect("verified: positive extents, few bytes");
            memory = Some(Memory::Shared { from: below, to: self.top, buffer: ptr::from_ref(l) });
        }
        self.scope.insert(l.name.clone(), memory);
        self.plan.bytes = self.plan.bytes.max(self.top);
        let after = self.nodes(&l.body, before);
        self.top = below;
        self.scope.remove(&l.name);
        after
    }

    /// A node that threads run, after a barrier where it needs one.
    fn meet(&mut self, node: &KernelNode, mut before: Since) -> Since {
        let at = ptr::from_ref(node);
        let mut mine = Since::default();
        self.touched(node, if is_alone(node) { &mut mine.first } else { &mut mine.all }, &[]);
        if before.conflicts(&mine) {
            self.plan.barriers.insert(at);
            self.plan.around.entry(at).or_default().extend(before.written());
            before = Since { met: BTreeSet::from([at]), ..Since::default() };
        } else {
            self.plan.barriers.remove(&at);
        }
        for barrier in &before.met {
            self.plan.around.entry(*barrier).or_default().extend(mine.written());
        }
        before.add(&mine);
        before
    }

    fn touched(&self, node: &KernelNode, out: &mut Touched, threads: &[(&KernelLoop, usize)]) {
        let mut all = |nodes: &[KernelNode], threads: &[(&KernelLoop, usize)]| {
            nodes.iter().for_each(|node| self.touched(node, &mut *out, threads));
        };
        match node {
            KernelNode::Loop(l) if is_phase(l) => {
                let (threads, body) = thread_loops(l);
                all(body, &threads);
            }
            KernelNode::Loop(l) => all(&l.body, threads),
            KernelNode::If(_, a, b) => {
                all(a, threads);
                all(b, threads);
            }
            KernelNode::Local(l) => all(&l.body, threads),
            KernelNode::Store(s) => self.store(s, out, threads),
            KernelNode::Device(_) => {}
        }
    }

    fn store(&self, s: &Store<Index>, out: &mut Touched, threads: &[(&KernelLoop, usize)]) {
        // a name that is not in scope is a buffer inside the thread loop: the thread's own
        let at = |name: &Name, indices: &[Index]| {
            let memory = self.scope.get(name).cloned().flatten()?;
            Some(Elements { memory, owner: owner(indices, threads) })
        };
        out.writes.extend(at(&s.array, &s.indices));
        if s.op.is_update() {
            out.reads.extend(at(&s.array, &s.indices));
        }
        let mut reads = |value: &Typed<Index>| {
            value.visit(&mut |v| {
                if let TypedKind::Read { array, indices } = &v.kind {
                    out.reads.extend(at(array, indices));
                }
            });
        };
        reads(&s.value);
        if let Some(guard) = &s.guard {
            reads(guard);
        }
    }
}

/// Where an element's indices tell the thread that touches it.
fn owner(indices: &[Index], threads: &[(&KernelLoop, usize)]) -> Option<Owner> {
    let env = Env::new();
    let several = threads.iter().filter(|(l, _)| trip(l) > 1);
    let numbered = several.map(|(l, axis)| {
        let Index::Const(first) = l.lower else { return None };
        let var = Lin::var(&l.var);
        let mut dims = indices.iter().enumerate();
        let (dim, offset) =
            dims.find_map(|(dim, i)| Some((dim, Lin::of(i, &env).difference(&var)?)))?;
        Some((*axis, dim, first.checked_add(offset)?, l.step))
    });
    let mut owner: Owner = numbered.collect::<Option<_>>()?;
    owner.sort_unstable();
    Some(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands behind each barrier: the statements of the node, in order.
    fn waits(body: &str) -> (Vec<String>, i64) {
        let text = format!(
            "kernel k(N) {{ in A: f32[64]\n out B: f32[64]\n for b in 0..1 block.x {{ {body} }} }}"
        );
        let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        let [KernelNode::Loop(blocks)] = kernel.body.as_slice() else { panic!("{text}") };
        let plan = plan(&kernel, &blocks.body);
        let mut out = Vec::new();
        found(&blocks.body, &plan, &mut out);
        (out, plan.bytes)
    }

    fn found(nodes: &[KernelNode], plan: &Plan, out: &mut Vec<String>) {
        for node in nodes {
            if plan.barriers.contains(&ptr::from_ref(node)) {
                out.push(first(node).expect("a node with a barrier has a statement"));
            }
            match node {
                KernelNode::Loop(l) => found(&l.body, plan, out),
                KernelNode::If(_, a, b) => {
                    found(a, plan, out);
                    found(b, plan, out);
                }
                KernelNode::Local(l) => found(&l.body, plan, out),
                KernelNode::Store(_) | KernelNode::Device(_) => {}
            }
        }
    }

    fn first(node: &KernelNode) -> Option<String> {
        match node {
            KernelNode::Loop(l) => l.body.iter().find_map(first),
            KernelNode::If(_, a, b) => a.iter().chain(b).find_map(first),
            KernelNode::Local(l) => l.body.iter().find_map(first),
            KernelNode::Store(s) => Some(s.statement.to_string()),
            KernelNode::Device(_) => None,
        }
    }

    fn phase(var: &str, statement: &str) -> String {
        format!("for {var} in 0..64 thread.x {{ {statement} order serial }} ")
    }

    #[test]
    fn threads_meet_between_what_one_writes_and_another_reads() {
        let fill = phase("t", "S0: T[t]:f32 = A[t]:f32");
        let use_ = phase("u", "S1: B[u]:f32 = T[63 - u]:f32");
        let other = phase("v", "S2: U[v]:f32 = A[v]:f32");
        let one = format!("local T: f32[64] {{ {fill}{use_} }}");
        assert_eq!(waits(&one), (vec!["S1".into()], 256));
        // in a loop the next iteration may not fill what is still read
        let again = format!("for k in 0..N {{ {one} }}");
        assert_eq!(waits(&again), (vec!["S0".into(), "S1".into()], 256));
        // what others do not touch needs no barrier
        let two = format!("local T: f32[64] {{ local U: f32[64] {{ {fill}{other}{use_} }} }}");
        assert_eq!(waits(&two), (vec!["S1".into()], 512));
        // buffers one after the other share their bytes
        let both = format!("{one} local U: f32[64] {{ {other} }}");
        assert_eq!(waits(&both), (vec!["S1".into(), "S2".into()], 256));
    }

    #[test]
    fn what_one_thread_runs_needs_no_barrier_inside() {
        let fill = phase("t", "S0: T[t]:f32 = A[t]:f32");
        let sum = "S1: B[0]:f32 = 0.0:f32 order serial
            for k in 0..64 { S2: B[0]:f32 += T[k]:f32 order fixed }
            if N >= 1 { S3: B[0]:f32 *= 2.0:f32 order serial } ";
        let use_ = phase("u", "S4: B[u]:f32 += B[0]:f32");
        let one = format!("local T: f32[64] {{ {fill}{sum}{use_} }}");
        assert_eq!(waits(&one).0, ["S2", "S4"]);
    }

    #[test]
    fn one_store_and_registers() {
        let fill = phase("t", "S0: T[t]:f32 = A[t]:f32");
        let store = "S3: B[0]:f32 = T[5]:f32 order serial ";
        let one = format!("local T: f32[64] {{ {fill} if N >= 1 {{ {store} }} }}");
        assert_eq!(waits(&one).0, ["S3"]);
        let spread = "local R: f32[64, 2] across thread.x { ".to_owned()
            + &phase("t", "S0: R[t, 0]:f32 = A[t]:f32")
            + &phase("u", "S1: B[u]:f32 = R[u, 0]:f32")
            + "}";
        assert_eq!(waits(&spread), (Vec::new(), 0));
    }

    #[test]
    fn elements_of_a_threads_own_number_need_no_barrier() {
        let fill = phase("t", "S0: T[t]:f32 = A[t]:f32");
        let waits = |next: &str| waits(&format!("local T: f32[72] {{ {fill}{next} }}")).0;
        assert!(waits(&phase("u", "S1: B[u]:f32 = T[u]:f32")).is_empty());
        assert!(waits(&phase("u", "S1: T[u]:f32 += A[63 - u]:f32")).is_empty());
        // the same elements by other numbers, and other elements
        let later = "for u in 8..72 thread.x { S1: B[u - 8]:f32 = T[u - 8]:f32 order serial } ";
        assert!(waits(later).is_empty());
        assert_eq!(waits(&phase("u", "S1: B[u]:f32 = T[u + 1]:f32")), ["S1"]);
        let twice = "for u in 0..128 step 2 thread.x { S1: B[0]:f32 = T[u]:f32 order serial } ";
        assert_eq!(waits(twice), ["S1"]);
        // the first thread alone, and threads of which several touch an element
        assert_eq!(waits("S1: B[0]:f32 = T[0]:f32 order serial "), ["S1"]);
        let rows = "for v in 0..2 thread.y { for u in 0..64 thread.x {
            S1: B[u]:f32 = T[u]:f32 order serial } } ";
        assert_eq!(waits(rows), ["S1"]);
    }

    /// The bytes that may be written around each barrier, in order of the nodes' addresses.
    fn written(body: &str) -> Vec<Vec<(i64, i64)>> {
        let text = format!(
            "kernel k(N) {{ in A: f32[64]\n out B: f32[64]\n for b in 0..1 block.x {{ {body} }} }}"
        );
        let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        let [KernelNode::Loop(blocks)] = kernel.body.as_slice() else { panic!("{text}") };
        let plan = plan(&kernel, &blocks.body);
        let around = plan.around.iter().filter(|(node, _)| plan.barriers.contains(*node));
        around.map(|(_, bytes)| bytes.iter().copied().collect()).collect()
    }

    #[test]
    fn what_is_written_around_a_barrier() {
        let fill = phase("t", "S0: T[t]:f32 = A[t]:f32");
        let turn = phase("u", "S1: U[u]:f32 = T[63 - u]:f32");
        let back = phase("v", "S2: B[v]:f32 = add.f32(T[63 - v]:f32, U[63 - v]:f32)");
        let two = |body: &str| {
            let mut all = written(&format!("local T: f32[64] {{ local U: f32[64] {{ {body} }} }}"));
            all.sort();
            all
        };
        let (t, u) = ((0, 256), (256, 512));
        // between the barriers T is read alone: what it holds is known behind the second one
        assert_eq!(two(&format!("{fill}{turn}{back}")), [vec![t, u], vec![u]]);
        // in a loop it is filled again, behind a barrier of its own
        let looped = two(&format!("for k in 0..N {{ {fill}{turn}{back} }}"));
        assert_eq!(looped, [vec![t], vec![t, u], vec![u]]);
    }
}
