//! What the threads of a block run together: phases, single stores, shared and spread buffers.
//!
//! In: nodes outside thread loops, where every thread runs the same control flow. Out: phases on
//! the threads that they are mapped to, stores on the first thread alone, barriers where
//! [`crate::ptx::barriers`] says.
//! Keeps: no register tile is opened around several phases, since other threads write between them.

use std::ptr;

use warploom_ir::kernel::{KernelLoop, KernelNode, Local, LoopMode};
use warploom_ir::target::Place;

use super::build::Value;
use super::emit::{BufferRegs, Emitter};
use super::lin::{Env, Lin};
use crate::ptx::barriers::{Plan, is_alone, is_phase};

/// The dynamic shared memory of a block.
pub(crate) const SHARED: &str = "@wl_shared";
/// The type of a pointer to it.
const SHARED_POINTER: &str = "ptr addrspace(3)";
/// All threads of the block meet, and see what each wrote before.
const BARRIER: &str = "call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)";

/// The threads of a block, while code outside their loops is written.
#[derive(Debug)]
pub(crate) struct Team {
    /// Threads along x, y and z.
    pub(crate) block: [u32; 3],
    /// This thread's numbers, as i64.
    pub(crate) numbers: [Value; 3],
    /// Barriers and shared memory.
    pub(crate) plan: Plan,
}

/// How many iterations a loop with constant bounds has.
pub(crate) fn trip(l: &KernelLoop) -> u32 {
    let env = Env::new();
    let length = Lin::of(&l.upper, &env).difference(&Lin::of(&l.lower, &env));
    let length = length.expect("verified: threads have constant bounds");
    let trip = (length - 1).div_euclid(l.step) + 1;
    u32::try_from(trip.max(0)).expect("verified: at most 1024 threads")
}

/// The thread loops in each other from this one on, with their places, and what they run.
pub(crate) fn thread_loops(outermost: &KernelLoop) -> (Vec<(&KernelLoop, usize)>, &[KernelNode]) {
    let mut loops = Vec::new();
    let mut at = outermost;
    loop {
        if let LoopMode::Mapped(Place::Thread(axis)) = at.mode {
            loops.push((at, axis.index()));
        }
        match at.body.as_slice() {
            [KernelNode::Loop(l)] if is_phase(l) => at = l,
            body => return (loops, body),
        }
    }
}

impl Emitter<'_> {
    /// A node outside thread loops.
    pub(super) fn team_node(&mut self, team: Team, node: &KernelNode) {
        if team.plan.barriers.contains(&ptr::from_ref(node)) {
            let around = team.plan.around.get(&ptr::from_ref(node)).cloned().unwrap_or_default();
            let apart = self.storage.shared_but(&around);
            self.f.line(&format!("{BARRIER}{apart}"));
        }
        match node {
            KernelNode::Loop(l) if is_phase(l) => self.phase(&team, l),
            KernelNode::Store(_) => self.alone(&team, node),
            KernelNode::Loop(_) | KernelNode::If(..) if is_alone(node) => self.alone(&team, node),
            KernelNode::Local(l) => return self.team_local(team, l),
            KernelNode::Loop(_) | KernelNode::If(..) | KernelNode::Device(_) => {
                self.team = Some(team);
                return self.control(node);
            }
        }
        self.team = Some(team);
    }

    /// A phase, on the threads that have an iteration of it.
    fn phase(&mut self, team: &Team, outermost: &KernelLoop) {
        let (loops, body) = thread_loops(outermost);
        let mut trips = [1_u32; 3];
        for (l, axis) in &loops {
            trips[*axis] = trip(l);
        }
        if trips.contains(&0) {
            return;
        }
        let end = self.on_threads(team, trips);
        for (l, axis) in &loops {
            let lower = Lin::of(&l.lower, &self.env);
            if trips[*axis] == 1 {
                self.env.insert(l.var.clone(), lower);
                continue;
            }
            let lower = self.lin(&lower);
            let scaled = self.f.bin_int("mul nsw", &team.numbers[*axis], l.step.into());
            let value = self.f.bin("add nsw", &lower, &scaled);
            self.vars.insert(l.var.clone(), value);
        }
        self.nodes(body);
        for (l, _) in &loops {
            self.env.remove(&l.var);
            self.vars.remove(&l.var);
        }
        self.rejoin(end);
    }

    /// What the first thread alone runs.
    fn alone(&mut self, team: &Team, node: &KernelNode) {
        let end = self.on_threads(team, [1; 3]);
        self.control(node);
        self.rejoin(end);
    }

    /// Sends the threads beyond these numbers to the label that is returned.
    fn on_threads(&mut self, team: &Team, trips: [u32; 3]) -> Option<String> {
        let mut inside: Option<Value> = None;
        for (axis, n) in trips.iter().enumerate().filter(|(axis, n)| **n < team.block[*axis]) {
            let test = self.f.cmp_int("ult", &team.numbers[axis], (*n).into());
            inside = Some(match inside {
                Some(all) => self.f.bin("and", &all, &test),
                None => test,
            });
        }
        let inside = inside?;
        let (yes, end) = (self.f.label("phase"), self.f.label("join"));
        self.f.cond_br(&inside, &yes, &end);
        self.f.start(&yes);
        Some(end)
    }

    fn rejoin(&mut self, end: Option<String>) {
        if let Some(end) = end {
            self.f.br(&end);
            self.f.start(&end);
        }
    }

    /// A buffer that the threads share, or of which each has its part.
    fn team_local(&mut self, team: Team, l: &Local) {
        let offset = team.plan.offsets.get(&ptr::from_ref(l)).copied();
        self.team = Some(team);
        let Some(offset) = offset else { return self.local(l) };
        let bytes = l.bytes().expect("verified: positive extents, few bytes");
        let place = format!("getelementptr (i8, {SHARED_POINTER} {SHARED}, i64 {offset})");
        let regs = BufferRegs {
            class: self.storage.shared_class(offset, offset + bytes),
            pointer: Value::register(place, SHARED_POINTER, 1),
            strides: super::storage::strides(l),
            dtype: l.dtype,
            packed: false,
            stack: false,
        };
        self.buffers.insert(l.name.clone(), regs);
        self.nodes(&l.body);
        self.buffers.remove(&l.name);
    }
}
