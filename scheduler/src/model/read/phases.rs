//! Launches of phases as [`Work`]: loops mapped to threads, and what a block does between them.
//!
//! In: a launch without a block program. Out: work, and bytes from and to memory.
//! Keeps: a thread loads once what unrolled loops around an access do not move, and in one access
//! what they move to a neighbour; a phase waits once for memory in each iteration of its serial
//! loops.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::kernel::device::WARP;
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, Local, LoopMode, Store};
use warploom_ir::target::{Axis, Place};

use super::super::machine::Machine;
use super::super::work::{LINE, Work};
use super::access::{Env, Pattern, TURN, WIDEST, lines, place, runs, sectors, turns, value};
use super::values::{self, ADDRESS, Element, store};
use super::{Counted, Launch, Used, count, depends, iterations, rare};

/// Most blocks of a multiprocessor.
const MOST_BLOCKS: f64 = 32.0;
/// Registers of a thread beside its own buffers.
const REGISTERS: f64 = 32.0;
/// Clocks until an element of shared memory is there.
const SHARED_LATENCY: f64 = 30.0;
/// Iterations of unrolled loops that stand for all where it matters at which byte of a line an
/// access begins.
const PLACES: i64 = 4;

/// Where a local buffer lies.
#[derive(Clone)]
struct Held {
    shape: Vec<i64>,
    element: i64,
    registers: bool,
}

/// An unrolled loop around a store: its variable, first value, step and iterations.
type Unrolled = (Name, i64, i64, i64);

struct Walk<'a, 'k> {
    launch: &'a Launch<'k>,
    m: &'a Machine,
    env: Env,
    times: f64,
    /// Threads of the block along x, y and z.
    threads: [i64; 3],
    held: BTreeMap<Name, Held>,
    /// Bytes of shared memory and registers of a thread, now and at most.
    shared: [i64; 2],
    registers: [i64; 2],
    /// Clocks until what earlier phases asked memory for has come: later ones hide it until one
    /// uses what lies in shared memory.
    pending: f64,
    work: Work,
    used: Used,
    patterns: BTreeSet<Pattern>,
}

/// The loops of a phase: place and loop, the innermost last.
type Phase<'k> = Vec<(Axis, &'k KernelLoop)>;

/// The work of a launch of phases.
pub(super) fn work(launch: &Launch<'_>, m: &Machine) -> Counted {
    let blocks = launch.blocks() as f64;
    let samples = launch.samples();
    let (mut all, mut most, mut used) = (Work::of(blocks, 1.0), 0.0_f64, Used::new());
    let mut patterns = BTreeSet::new();
    for number in &samples {
        let share = 1.0 / samples.len() as f64;
        let mut walk = Walk {
            launch,
            m,
            env: launch.block(*number),
            times: 1.0,
            threads: [1; 3],
            held: BTreeMap::new(),
            shared: [0; 2],
            registers: [0; 2],
            pending: 0.0,
            work: Work::of(blocks, 1.0),
            used: Used::new(),
            patterns: BTreeSet::new(),
        };
        extents(launch.body, &walk.env.clone(), &mut walk.threads);
        walk.nodes(launch.body);
        let one = Work { main: walk.work.main + walk.pending, ..walk.work };
        most = most.max(one.main);
        all.resident = walk.resident();
        all.add(&one, share);
        patterns.append(&mut walk.patterns);
        for (name, (read, written)) in walk.used {
            let sum = used.entry(name).or_insert((0.0, 0.0));
            *sum = (sum.0 + read * share, sum.1 + written * share);
        }
    }
    all.fill = m.fitted.block + m.fitted.cold;
    // many blocks of different lengths follow each other on a multiprocessor and even out
    let waves = blocks / (m.multiprocessors * all.resident);
    all.uneven = 1.0 + (most / all.main.max(1.0) - 1.0).max(0.0) / waves.max(1.0);
    for (name, (read, written)) in &mut used {
        let whole = launch.arrays[name].bytes;
        (*read, *written) = (read.min(whole), written.min(whole));
    }
    Counted { work: all, used, patterns }
}

/// The most threads of any phase, along each axis.
fn extents(nodes: &[KernelNode], env: &Env, threads: &mut [i64; 3]) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => {
                if let LoopMode::Mapped(Place::Thread(axis)) = l.mode {
                    let n = count(value(&l.lower, env), value(&l.upper, env), l.step);
                    let most = &mut threads[axis.index()];
                    *most = n.max(*most);
                }
                extents(&l.body, env, threads);
            }
            KernelNode::If(_, a, b) => {
                extents(a, env, threads);
                extents(b, env, threads);
            }
            KernelNode::Local(l) => extents(&l.body, env, threads),
            KernelNode::Store(_) | KernelNode::Device(_) => {}
        }
    }
}

impl<'k> Walk<'_, 'k> {
    /// Blocks that a multiprocessor has room for.
    fn resident(&self) -> f64 {
        let threads = self.threads.iter().product::<i64>().max(WARP) as f64;
        let registers = (REGISTERS + self.registers[1] as f64 / 4.0) * threads;
        let shared = self.m.shared_bytes / (self.shared[1] as f64 + 1024.0);
        let fits = (self.m.threads / threads).min(self.m.registers / registers).min(shared);
        fits.floor().clamp(1.0, MOST_BLOCKS)
    }

    fn nodes(&mut self, nodes: &'k [KernelNode]) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) if matches!(l.mode, LoopMode::Mapped(Place::Thread(_))) => {
                    self.phase(l);
                }
                KernelNode::Loop(l) => {
                    let times = self.times;
                    let differ = l.body.iter().any(|n| depends(n, &l.var));
                    for (at, weight) in iterations(l, &self.env, differ) {
                        self.env.insert(l.var.clone(), at);
                        self.times = times * weight;
                        self.nodes(&l.body);
                    }
                    self.env.remove(&l.var);
                    self.times = times;
                }
                KernelNode::If(c, then, otherwise) => {
                    let env = &self.env;
                    let holds = c.holds(&|n| env.get(n).copied()).unwrap_or(true);
                    self.nodes(if holds { then } else { otherwise });
                }
                KernelNode::Local(l) => {
                    self.hold(l, !l.across.is_empty());
                    self.nodes(&l.body);
                    self.release(l, !l.across.is_empty());
                }
                // one thread stores between phases
                KernelNode::Store(_) => self.threads_run(&Vec::new(), std::slice::from_ref(node)),
                KernelNode::Device(_) => {}
            }
        }
    }

    fn hold(&mut self, l: &Local, registers: bool) {
        let element = l.dtype.size_bytes() as i64;
        self.held.insert(l.name.clone(), Held { shape: l.shape.clone(), element, registers });
        let (sum, bytes) = match registers {
            true => (&mut self.registers, l.bytes_per_thread()),
            false => (&mut self.shared, l.bytes()),
        };
        sum[0] += bytes.unwrap_or(0);
        sum[1] = sum[1].max(sum[0]);
    }

    fn release(&mut self, l: &Local, registers: bool) {
        let (sum, bytes) = match registers {
            true => (&mut self.registers, l.bytes_per_thread()),
            false => (&mut self.shared, l.bytes()),
        };
        sum[0] -= bytes.unwrap_or(0);
    }

    /// A phase: all threads run what is inside its loops, and meet.
    fn phase(&mut self, outer: &'k KernelLoop) {
        let (mut loops, mut at) = (Phase::new(), outer);
        let inner = loop {
            if let LoopMode::Mapped(Place::Thread(axis)) = at.mode {
                loops.push((axis, at));
            }
            match at.body.as_slice() {
                [KernelNode::Loop(l)] if matches!(l.mode, LoopMode::Mapped(Place::Thread(_))) => {
                    at = l;
                }
                inner => break inner,
            }
        };
        self.threads_run(&loops, inner);
    }

    fn threads_run(&mut self, loops: &Phase<'k>, body: &'k [KernelNode]) {
        let mut lanes: Vec<Env> = Vec::new();
        let mut warps = 1.0;
        for (axis, l) in loops {
            let n = count(value(&l.lower, &self.env), value(&l.upper, &self.env), l.step);
            // threads along x that have nothing to do are in the same warps
            let n = if *axis == Axis::X { n.max(self.threads[0]) } else { n };
            warps *= n as f64;
        }
        for lane in 0..WARP {
            let mut rest = lane;
            let mut env = self.env.clone();
            let numbers = self.threads.map(|n| {
                let number = rest % n;
                rest /= n;
                number
            });
            let mut active = rest == 0;
            for (axis, l) in loops {
                let low = value(&l.lower, &self.env);
                let n = count(low, value(&l.upper, &self.env), l.step);
                active &= numbers[axis.index()] < n;
                env.insert(l.var.clone(), low + l.step * numbers[axis.index()]);
            }
            if active {
                lanes.push(env);
            }
        }
        if lanes.is_empty() {
            return;
        }
        let mut thread = Thread {
            lanes,
            serial: 1.0,
            unrolled: Vec::new(),
            latency: 0.0,
            shares: false,
            n: 0.0,
        };
        self.thread(body, &mut thread);
        let warps = (warps / WARP as f64).ceil().max(1.0);
        self.work.issue += self.times * thread.n * warps / self.m.issue;
        // the instructions of a warp wait for each other where there is nothing to overlap
        let alone = thread.n * (warps / self.m.issue).max(self.m.fitted.dependent / 2.0);
        self.pending = self.pending.max(self.times * thread.latency);
        if thread.shares {
            self.work.main += self.times * self.m.fitted.meeting + self.pending;
            self.pending = 0.0;
        }
        self.work.main += self.times * alone;
    }
}

/// What a thread of a phase does.
struct Thread {
    /// The variables in the threads of a warp that run.
    lanes: Vec<Env>,
    /// Iterations of its serial loops.
    serial: f64,
    unrolled: Vec<Unrolled>,
    /// Clocks it waits for memory.
    latency: f64,
    /// It reads what other threads may have written to shared memory.
    shares: bool,
    /// Instructions.
    n: f64,
}

impl Thread {
    /// The lanes' addresses in one of the iterations of the unrolled loops, but for the loop whose
    /// iterations are one access.
    fn unrolled_at(
        &self,
        k: i64,
        merged: Option<&Name>,
        address: &dyn Fn(&Env) -> i64,
    ) -> Vec<i64> {
        let apart = || self.unrolled.iter().filter(|u| Some(&u.0) != merged);
        let moved = |env: &Env| {
            let mut env = env.clone();
            for (depth, (var, low, step, trips)) in apart().enumerate() {
                let place = k * (1 + 2 * depth as i64) % trips.max(&1);
                env.insert(var.clone(), low + step * place);
            }
            address(&env)
        };
        self.lanes.iter().map(moved).collect()
    }
}

impl<'k> Walk<'_, 'k> {
    fn thread(&mut self, nodes: &'k [KernelNode], t: &mut Thread) {
        for node in nodes {
            match node {
                KernelNode::Loop(l) => self.thread_loop(l, t),
                KernelNode::If(c, then, otherwise) => {
                    let holds = |env: &Env| c.holds(&|n| env.get(n).copied()).unwrap_or(true);
                    let side = if t.lanes.iter().any(holds) { then } else { otherwise };
                    self.thread(side, t);
                }
                KernelNode::Local(l) => {
                    self.hold(l, true);
                    self.thread(&l.body, t);
                    self.release(l, true);
                }
                KernelNode::Store(s) => self.store(s, t),
                KernelNode::Device(_) => {}
            }
        }
    }

    fn thread_loop(&mut self, l: &'k KernelLoop, t: &mut Thread) {
        if let Some(guard) = rare::guard(l) {
            let mut elements = Vec::new();
            let operations = values::count(guard, &mut elements) + 1.0;
            self.computed(operations, elements, t);
            return;
        }
        let env = t.lanes[t.lanes.len() / 2].clone();
        let low = value(&l.lower, &env);
        let trips = count(low, value(&l.upper, &env), l.step);
        let set = |t: &mut Thread, at: i64| {
            t.lanes.iter_mut().for_each(|env| _ = env.insert(l.var.clone(), at));
        };
        if matches!(l.mode, LoopMode::Unroll | LoopMode::Vector) {
            if trips > 0 {
                set(t, low);
                t.unrolled.push((l.var.clone(), low, l.step, trips));
                self.thread(&l.body, t);
                t.unrolled.pop();
            }
            return;
        }
        let outer = std::mem::take(&mut t.unrolled);
        let serial = t.serial;
        let around: i64 = outer.iter().map(|u| u.3).product();
        let differ = l.body.iter().any(|n| depends(n, &l.var));
        for (at, weight) in iterations(l, &env, differ) {
            set(t, at);
            t.serial = serial * weight * around as f64;
            self.thread(&l.body, t);
        }
        (t.unrolled, t.serial) = (outer, serial);
    }

    fn store(&mut self, s: &'k Store<Index>, t: &mut Thread) {
        let (operations, mut elements, update) = store(s);
        if update {
            elements.push((&s.array, &s.indices, s.dtype));
        }
        self.computed(operations, elements, t);
        t.n += self.access((&s.array, &s.indices, s.dtype), t, false).0 * t.serial;
    }

    /// So many instructions on these elements, in each iteration of the loops around.
    fn computed(&mut self, operations: f64, elements: Vec<Element<'k>>, t: &mut Thread) {
        let all: i64 = t.unrolled.iter().map(|u| u.3).product();
        let mut n = operations * all as f64;
        let mut latency = 0.0_f64;
        for element in elements {
            t.shares |= self.held.get(element.0).is_some_and(|h| !h.registers);
            let (instructions, waits) = self.access(element, t, true);
            n += instructions;
            latency = latency.max(waits);
        }
        t.n += n * t.serial;
        t.latency += latency * t.serial;
    }

    /// The instructions of a thread for an access in one serial iteration, and how long it waits.
    fn access(&mut self, element: Element<'k>, t: &Thread, read: bool) -> (f64, f64) {
        let (name, indices, dtype) = element;
        let held = self.held.get(name).cloned();
        let array = self.launch.arrays.get(name);
        let shape = match (&held, array) {
            (Some(h), _) if h.registers => return (0.0, 0.0),
            (Some(h), _) => &h.shape,
            (None, Some(a)) => &a.shape,
            (None, None) => return (0.0, 0.0),
        };
        let bytes = held.as_ref().map_or(dtype.size_bytes() as i64, |h| h.element);
        let address = |env: &Env| bytes * place(indices, shape, env);
        let (mut accesses, mut wide, mut merged) = (1.0, 1, None);
        let first = address(&t.lanes[0]);
        for (var, low, step, trips) in t.unrolled.iter().filter(|u| u.3 > 1) {
            let mut next = t.lanes[0].clone();
            next.insert(var.clone(), low + step);
            let moved = address(&next) - first;
            if moved != 0 {
                accesses *= *trips as f64;
            }
            if moved == bytes {
                wide = (*trips * bytes).min(WIDEST) / bytes;
                merged = Some(var);
            }
        }
        let addresses: Vec<i64> = t.lanes.iter().map(address).collect();
        if addresses.iter().any(|a| a % (wide * bytes) != 0) {
            wide = 1;
        }
        let accesses = accesses / wide as f64;
        let warps = self.threads.iter().product::<i64>().max(WARP) as f64 / WARP as f64;
        let all = self.times * t.serial * accesses * warps;
        let width = wide * bytes;
        self.patterns.insert(Pattern::of(name, held.is_some(), read, &addresses, width));
        if held.is_some() {
            self.work.shared += all * turns(&addresses, wide * bytes) * TURN;
            return (accesses * (1.0 + ADDRESS / 2.0), if read { SHARED_LATENCY } else { 0.0 });
        }
        // rows of a tile begin at other places of a line each: some stand for all
        let merged = merged.filter(|_| wide > 1);
        let at = |k: i64| t.unrolled_at(k, merged, &address);
        let places: Vec<Vec<i64>> = (0..PLACES).map(at).collect();
        let mean = |of: &dyn Fn(&[i64], i64) -> f64| {
            places.iter().map(|a| of(a, width)).sum::<f64>() / PLACES as f64
        };
        let moved = all * mean(&sectors) * 32.0;
        // what several lanes want other warps want too: it is near
        let distinct = addresses.iter().collect::<BTreeSet<_>>().len();
        let wanted = read && 2 * distinct > addresses.len();
        let requests = if wanted { all * mean(&lines) * LINE } else { 0.0 };
        self.work.cache += moved.max(requests) * self.work.blocks;
        if read {
            self.work.port += moved;
        } else {
            self.work.written += all * mean(&runs) * self.m.fitted.scattered;
        }
        let used = self.used.entry(name.clone()).or_insert((0.0, 0.0));
        let side = if read { &mut used.0 } else { &mut used.1 };
        *side += moved * self.work.blocks;
        (accesses * (1.0 + ADDRESS), if read { self.m.fitted.load } else { 0.0 })
    }
}
