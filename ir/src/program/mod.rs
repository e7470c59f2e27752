//! The Program: the launches of a kernel, which of them must wait for which, and where
//! temporaries live.
//!
//! In: a kernel. Out: its launches in order with what they read and write, the edges between them
//! without those that others imply, and temporaries in slots of memory that are shared by those
//! whose lives do not meet.
//! Keeps: a launch inside loops of the host is one node; what it touches lives as long as the
//! outermost of these loops. A plain value whose text form parses back to it.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::tred::{
    dag_to_toposorted_adjacency_list, dag_transitive_reduction_closure as reduce,
};
use petgraph::graph::DiGraph;
use petgraph::visit::EdgeRef;

use crate::affine::Name;
use crate::instruction;
use crate::kernel::device::{Call, Device, Operand};
use crate::kernel::{HostNode, Index, Kernel, KernelNode, Typed, TypedKind};
use crate::nest::Role;

/// What one launch touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// Variables of the host's loops around it, the outermost first.
    pub loops: Vec<Name>,
    /// Buffers it reads.
    pub reads: BTreeSet<Name>,
    /// Buffers it writes.
    pub writes: BTreeSet<Name>,
}

/// A launch that must wait for an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The earlier launch.
    pub from: usize,
    /// The later launch.
    pub to: usize,
    /// The buffers of the later one for which it waits.
    pub buffers: BTreeSet<Name>,
}

/// A temporary and when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// The buffer.
    pub name: Name,
    /// The first launch that touches it.
    pub first: usize,
    /// The last launch that touches it.
    pub last: usize,
}

/// Launches, their order and their memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The kernel whose functions are launched.
    pub kernel: Kernel,
    /// In the order of the kernel's text.
    pub launches: Vec<Launch>,
    /// Least set of edges from which all others follow.
    pub edges: Vec<Edge>,
    /// Memory for temporaries: those of one slot share it, one after the other.
    pub slots: Vec<Vec<Temporary>>,
}

impl Program {
    /// The program of a kernel.
    #[must_use]
    pub fn of(kernel: Kernel) -> Self {
        let mut collected = Collected::default();
        collected.nodes(&HostNode::of(&kernel.body), &mut Vec::new());
        for launch in &mut collected.launches {
            // what is the block's own has names that no buffer has
            let buffer = |name: &Name| kernel.buffers.iter().any(|b| b.name == *name);
            launch.reads.retain(buffer);
            launch.writes.retain(buffer);
        }
        let slots = slots(&kernel, &collected);
        let edges = edges(&collected.launches, &slots);
        Self { launches: collected.launches, edges, slots, kernel }
    }

    /// The slot of a temporary; `None` where nothing uses it.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot.iter().any(|t| &*t.name == name))
    }
}

/// Launches, and the range of launches of the outermost loop around each.
#[derive(Default)]
struct Collected {
    launches: Vec<Launch>,
    /// First and last launch of the outermost loop, or the launch itself.
    spans: Vec<(usize, usize)>,
}

impl Collected {
    fn nodes(&mut self, nodes: &[HostNode<'_>], loops: &mut Vec<Name>) {
        for node in nodes {
            let start = self.launches.len();
            match node {
                HostNode::Launch(body) => {
                    let mut launch = Launch { loops: loops.clone(), ..Launch::default() };
                    touched(body, &mut BTreeMap::new(), &mut launch);
                    self.launches.push(launch);
                    self.spans.push((start, start));
                }
                HostNode::Loop(l, body) => {
                    loops.push(l.var.clone());
                    self.nodes(body, loops);
                    loops.pop();
                }
                HostNode::If(_, then, otherwise) => {
                    self.nodes(then, loops);
                    self.nodes(otherwise, loops);
                }
            }
            if let (HostNode::Loop(..), Some(last)) = (node, self.launches.len().checked_sub(1)) {
                self.spans[start..].fill((start, last));
            }
        }
    }
}

/// Adds the buffers that nodes read and write; `locals` counts the local buffers around by name.
fn touched(nodes: &[KernelNode], locals: &mut BTreeMap<Name, usize>, out: &mut Launch) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => touched(&l.body, locals, out),
            KernelNode::If(_, then, otherwise) => {
                touched(then, locals, out);
                touched(otherwise, locals, out);
            }
            KernelNode::Local(l) => {
                *locals.entry(l.name.clone()).or_default() += 1;
                touched(&l.body, locals, out);
                *locals.entry(l.name.clone()).or_default() -= 1;
            }
            KernelNode::Device(device) => {
                if let Device::Call(call) = &**device {
                    called(call, out);
                }
                if let Device::Choosing(c) = &**device {
                    read(&c.when, locals, out);
                }
                device.bodies().into_iter().for_each(|body| touched(body, locals, out));
            }
            KernelNode::Store(s) => {
                if is_buffer(&s.array, locals) {
                    out.writes.insert(s.array.clone());
                    if s.op.is_update() {
                        out.reads.insert(s.array.clone());
                    }
                }
                for value in std::iter::once(&s.value).chain(&s.guard) {
                    read(value, locals, out);
                }
            }
        }
    }
}

/// Whether a name is that of a buffer, and of no local one around.
fn is_buffer(name: &Name, locals: &BTreeMap<Name, usize>) -> bool {
    locals.get(name).is_none_or(|n| *n == 0)
}

/// Adds the buffers that a value reads.
fn read(value: &Typed<Index>, locals: &BTreeMap<Name, usize>, out: &mut Launch) {
    value.visit(&mut |v| {
        if let TypedKind::Read { array, .. } = &v.kind
            && is_buffer(array, locals)
        {
            out.reads.insert(array.clone());
        }
    });
}

/// Adds what an instruction reads and writes; shared buffers and fragments among it.
fn called(call: &Call, out: &mut Launch) {
    let stores = instruction::find(&call.instruction)
        .is_some_and(|i| matches!(i.action, instruction::Action::BoxStore));
    for operand in &call.operands {
        match operand {
            Operand::Tile(tile) if stores => out.writes.insert(tile.array.clone()),
            Operand::Tile(tile) => out.reads.insert(tile.array.clone()),
            Operand::Value(_) => false,
        };
    }
}

/// Temporaries by first use, each in the first slot that is free then.
fn slots(kernel: &Kernel, collected: &Collected) -> Vec<Vec<Temporary>> {
    let temporary = |b: &&crate::kernel::Buffer| matches!(b.role, Role::Temp);
    let life = |name: &Name| {
        let uses = collected.launches.iter().zip(&collected.spans);
        let mut spans =
            uses.filter(|(l, _)| l.reads.contains(name) || l.writes.contains(name)).map(|(_, s)| s);
        let &(first, last) = spans.next()?;
        let last = spans.fold(last, |most, &(_, end)| most.max(end));
        Some(Temporary { name: name.clone(), first, last })
    };
    let mut lives: Vec<Temporary> =
        kernel.buffers.iter().filter(temporary).filter_map(|b| life(&b.name)).collect();
    lives.sort_by_key(|t| t.first);
    let mut slots: Vec<Vec<Temporary>> = Vec::new();
    for t in lives {
        let free = |slot: &&mut Vec<Temporary>| slot.iter().all(|other| other.last < t.first);
        match slots.iter_mut().find(free) {
            Some(slot) => slot.push(t),
            None => slots.push(vec![t]),
        }
    }
    slots
}

/// Which launches must wait for which.
fn edges(launches: &[Launch], slots: &[Vec<Temporary>]) -> Vec<Edge> {
    let place = |name: &Name| slots.iter().position(|s| s.iter().any(|t| t.name == *name));
    let same = |a: &Name, b: &Name| a == b || place(a).is_some_and(|slot| place(b) == Some(slot));
    let conflict = |a: &Launch, b: &Launch| -> BTreeSet<Name> {
        let written = |name: &&Name| a.writes.iter().any(|w| same(w, name));
        let read = |name: &&Name| a.reads.iter().any(|r| same(r, name));
        let late_reads = b.reads.iter().filter(written);
        let late_writes = b.writes.iter().filter(|n| written(n) || read(n));
        late_reads.chain(late_writes).cloned().collect()
    };
    let mut graph: DiGraph<(), BTreeSet<Name>> = DiGraph::new();
    let nodes: Vec<_> = launches.iter().map(|_| graph.add_node(())).collect();
    for (j, late) in launches.iter().enumerate() {
        for (i, early) in launches[..j].iter().enumerate() {
            let buffers = conflict(early, late);
            if !buffers.is_empty() {
                graph.add_edge(nodes[i], nodes[j], buffers);
            }
        }
    }
    // edges go from lower to higher numbers, so the numbers are a topological order
    let (list, _) = dag_to_toposorted_adjacency_list::<_, u32>(&graph, &nodes);
    let (reduced, _) = reduce(&list);
    let mut out: Vec<Edge> = graph
        .edge_references()
        .map(|e| (e.source().index(), e.target().index(), e.weight()))
        .filter(|&(from, to, _)| reduced.contains_edge(number(from), number(to)))
        .map(|(from, to, buffers)| Edge { from, to, buffers: buffers.clone() })
        .collect();
    out.sort_by_key(|e| (e.from, e.to));
    out
}

/// A launch's number as the graph's index.
fn number(launch: usize) -> u32 {
    u32::try_from(launch).expect("a text has fewer launches than 2^32")
}

#[cfg(test)]
mod tests;
