//! A kernel's launches as [`Work`]: what its text says that blocks do, counted.
//!
//! In: a kernel whose sizes are bound. Out: a [`Work`] for each launch, with how often the host
//! makes it. Keeps: nothing is executed; loops are counted, and where what a loop does depends on
//! its variable some of its iterations stand for all.
//! Why here: a kernel may come from any schedule or from a person, so whatever it does is read off
//! its text and not off the choices that made it.

mod access;
mod chosen;
mod phases;
mod rare;
mod roles;
mod sites;
mod taken;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::kernel::device::Device;
use warploom_ir::kernel::{HostNode, Index, Kernel, KernelLoop, KernelNode, LoopMode};
use warploom_ir::nest::Role;
use warploom_ir::target::{Axis, Place};

use super::machine::Machine;
use super::work::Work;
pub use access::Pattern;

use access::{Env, value};

/// Most iterations that stand for all of a loop, and most blocks for all of a grid.
const SAMPLES: i64 = 6;
const BLOCKS: i64 = 48;
/// Share of the second-level cache that keeps what was used before.
const KEPT: f64 = 0.7;

/// An array of a kernel.
struct Array {
    shape: Vec<i64>,
    /// Of an element.
    bits: i64,
    bytes: f64,
    temporary: bool,
}

/// What is known of a launch.
struct Launch<'k> {
    arrays: BTreeMap<Name, Array>,
    /// Loops over blocks: variable, first value, step and iterations; those along x first.
    grid: Vec<(Name, i64, i64, i64)>,
    /// What each block runs.
    body: &'k [KernelNode],
    /// The host's loops.
    env: Env,
}

/// The launches of a kernel in order, and how often each is made; `None` where a size is open.
#[must_use]
pub fn works(kernel: &Kernel, m: &Machine) -> Option<Vec<(f64, Work)>> {
    Some(read(kernel, m)?.out)
}

/// How warps access arrays and buffers, each pattern once; `None` where a size is open. Products of
/// `wgmma` and `tcgen05` read shared memory in the order that their panels are made for, and are
/// not among them.
#[must_use]
pub fn patterns(kernel: &Kernel, m: &Machine) -> Option<BTreeSet<Pattern>> {
    Some(read(kernel, m)?.patterns)
}

fn read<'m>(kernel: &Kernel, m: &'m Machine) -> Option<Reader<'m>> {
    let mut arrays = BTreeMap::new();
    for b in &kernel.buffers {
        let shape: Vec<i64> = b.shape.iter().map(|e| e.eval(&|_| None)).collect::<Option<_>>()?;
        let bits = b.dtype.bits() as i64;
        let bytes = shape.iter().fold(bits as f64 / 8.0, |n, e| n * *e as f64);
        let temporary = b.role == Role::Temp;
        arrays.insert(b.name.clone(), Array { shape, bits, bytes, temporary });
    }
    if !kernel.params.is_empty() {
        return None;
    }
    let mut launch = Launch { arrays, grid: Vec::new(), body: &[], env: Env::new() };
    let (warm, patterns) = (BTreeSet::new(), BTreeSet::new());
    let mut reader = Reader { m, warm, out: Vec::new(), patterns };
    let body = taken::in_turn(&chosen::all(&kernel.body), m);
    reader.host(&HostNode::of(&body), &mut launch, 1.0);
    Some(reader)
}

struct Reader<'m> {
    m: &'m Machine,
    /// Arrays that a launch before has used.
    warm: BTreeSet<Name>,
    out: Vec<(f64, Work)>,
    patterns: BTreeSet<Pattern>,
}

impl Reader<'_> {
    fn host<'k>(&mut self, nodes: &[HostNode<'k>], launch: &mut Launch<'k>, times: f64) {
        for node in nodes {
            match node {
                HostNode::Launch(nodes) => self.launch(nodes, launch, times),
                HostNode::Loop(l, body) => {
                    for (at, weight) in iterations(l, &launch.env, true) {
                        launch.env.insert(l.var.clone(), at);
                        self.host(body, launch, times * weight);
                    }
                    launch.env.remove(&l.var);
                }
                HostNode::If(c, then, otherwise) => {
                    let env = &launch.env;
                    let holds = c.holds(&|n| env.get(n).copied()).unwrap_or(true);
                    self.host(if holds { then } else { otherwise }, launch, times);
                }
            }
        }
    }

    fn launch<'k>(&mut self, nodes: &'k [KernelNode], launch: &mut Launch<'k>, times: f64) {
        (launch.grid, launch.body) = (Vec::new(), nodes);
        while let [KernelNode::Loop(l)] = launch.body {
            let LoopMode::Mapped(Place::Block(axis)) = l.mode else { break };
            let low = value(&l.lower, &launch.env);
            let trips = count(low, value(&l.upper, &launch.env), l.step);
            launch.grid.push((l.var.clone(), low, l.step, trips));
            let last = launch.grid.len() - 1;
            // neighbours along x are neighbours in the order in which blocks start
            if axis == Axis::X {
                launch.grid.swap(0, last);
            }
            launch.body = &l.body;
        }
        if launch.blocks() == 0 {
            return;
        }
        let mut work = match block_program(launch.body, &mut Vec::new()) {
            Some((block, clusters)) => roles::work(launch, block, &clusters, self.m),
            None => phases::work(launch, self.m),
        };
        self.keep(launch, &mut work);
        self.patterns.append(&mut work.patterns);
        self.out.push((times, work.work));
    }

    /// What is in the cache from launches before does not come from memory again.
    fn keep(&mut self, launch: &Launch<'_>, Counted { work, used, .. }: &mut Counted) {
        let all: f64 = launch.arrays.values().map(|a| a.bytes).sum();
        let fits = all <= KEPT * self.m.cache_bytes;
        for (name, (read, written)) in used {
            let array = &launch.arrays[name];
            let warm = fits && self.warm.contains(name);
            work.memory += if warm { 0.0 } else { *read };
            work.memory += if fits && array.temporary { 0.0 } else { *written };
            self.warm.insert(name.clone());
        }
    }
}

/// Bytes of each array that come from memory and go there.
type Used = BTreeMap<Name, (f64, f64)>;

/// What one launch does.
struct Counted {
    work: Work,
    used: Used,
    patterns: BTreeSet<Pattern>,
}

impl Launch<'_> {
    /// How many blocks, or clusters of them.
    fn blocks(&self) -> i64 {
        self.grid.iter().fold(1_i64, |n, g| n.saturating_mul(g.3))
    }

    /// The variables of a block by its number.
    fn block(&self, mut number: i64) -> Env {
        let mut env = self.env.clone();
        for (name, low, step, trips) in &self.grid {
            env.insert(name.clone(), low + step * (number % trips));
            number /= trips;
        }
        env
    }

    /// The numbers of blocks that stand for all.
    fn samples(&self) -> Vec<i64> {
        let n = self.blocks();
        let differ = self.grid.iter().any(|g| self.body.iter().any(|node| depends(node, &g.0)));
        let most = if differ { BLOCKS } else { 2 };
        (0..n.min(most)).map(|k| (2 * k + 1) * n / (2 * n.min(most))).collect()
    }
}

/// The block program of a launch, and the loops of its cluster.
fn block_program<'k>(
    body: &'k [KernelNode],
    clusters: &mut Vec<(Name, i64)>,
) -> Option<(&'k warploom_ir::kernel::device::Block, Vec<(Name, i64)>)> {
    let [KernelNode::Device(d)] = body else { return None };
    let Device::Block(block) = &**d else { return None };
    clusters.extend(block.cluster.iter().map(|c| (c.var.clone(), c.count)));
    Some((block, clusters.clone()))
}

/// Iterations from `low` on below `high`.
fn count(low: i64, high: i64, step: i64) -> i64 {
    ((high - low).max(0) + step - 1) / step.max(1)
}

/// Values of a loop's variable that stand for all, and for how many each; one where iterations do
/// not `differ`. Neighbours are among them, so that what alternates is met.
fn iterations(l: &KernelLoop, env: &Env, differ: bool) -> Vec<(i64, f64)> {
    let low = value(&l.lower, env);
    let n = count(low, value(&l.upper, env), l.step);
    let at = |k: i64| low + l.step * k;
    if n <= 0 {
        return Vec::new();
    }
    if !differ {
        return vec![(at(n / 2), n as f64)];
    }
    if n <= SAMPLES {
        return (0..n).map(|k| (at(k), 1.0)).collect();
    }
    let even = n / 2 / 2 * 2;
    let inner = (n - 2) as f64 / 4.0;
    let middle = [1, 2, even, (even + 1).min(n - 2)].map(|k| (at(k), inner));
    [(at(0), 1.0)].into_iter().chain(middle).chain([(at(n - 1), 1.0)]).collect()
}

/// Whether how much a node does depends on a variable: bounds and guards do.
fn depends(node: &KernelNode, name: &Name) -> bool {
    let any = |nodes: &[KernelNode]| nodes.iter().any(|n| depends(n, name));
    match node {
        KernelNode::Loop(l) => l.lower.uses(name) || l.upper.uses(name) || any(&l.body),
        KernelNode::If(c, a, b) => c.uses(name) || any(a) || any(b),
        KernelNode::Store(_) => false,
        KernelNode::Local(l) => any(&l.body),
        KernelNode::Device(d) => match &**d {
            // guards of elements are at the edges: they say what is stored, hardly how much
            Device::Across(_) | Device::Share(_) | Device::Call(_) => false,
            Device::Block(_)
            | Device::Teams(_)
            | Device::One(_)
            | Device::Fragment(_)
            | Device::Taking(_) => d.bodies().into_iter().any(|b| any(b)),
            Device::Choosing(c) => {
                c.lower.uses(name) || c.upper.uses(name) || any(&c.body) || any(&c.last)
            }
        },
    }
}

/// The first elements of a tile.
fn starts(tile: &warploom_ir::kernel::device::Tile) -> Vec<Index> {
    tile.at.iter().map(|s| s.start.clone()).collect()
}
