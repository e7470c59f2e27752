//! A kernel's body as the host of a GPU runs it: launches, and the loops and guards around them.
//!
//! In: the nodes of a body. Out: a tree whose leaves are launches. Why here: the verifier and code
//! generation must agree where a launch begins, and share nothing else.

use super::device::Device;
use super::{Condition, Kernel, KernelLoop, KernelNode, LoopMode};

/// What the host does with a piece of a kernel's body.
#[derive(Clone, Debug, PartialEq)]
pub enum HostNode<'k> {
    /// Launches a mapped loop, or neighbouring nodes without any, which one thread runs.
    Launch(&'k [KernelNode]),
    /// Runs the body once for each value, in order.
    Loop(&'k KernelLoop, Vec<Self>),
    /// Condition, then, otherwise.
    If(&'k Condition, Vec<Self>, Vec<Self>),
}

impl<'k> HostNode<'k> {
    /// The nodes of a body: loops and guards around mapped loops are the host's.
    #[must_use]
    pub fn of(nodes: &'k [KernelNode]) -> Vec<Self> {
        let mut out = Vec::new();
        let mut start = 0;
        for (position, node) in nodes.iter().enumerate() {
            if !node.has_mapped() {
                continue;
            }
            out.extend(Self::plain(&nodes[start..position]));
            start = position + 1;
            out.push(match node {
                KernelNode::Loop(l) if !matches!(l.mode, LoopMode::Mapped(_)) => {
                    Self::Loop(l, Self::of(&l.body))
                }
                KernelNode::If(c, then, otherwise) => {
                    Self::If(c, Self::of(then), Self::of(otherwise))
                }
                KernelNode::Loop(_)
                | KernelNode::Local(_)
                | KernelNode::Store(_)
                | KernelNode::Device(_) => Self::Launch(std::slice::from_ref(node)),
            });
        }
        out.extend(Self::plain(&nodes[start..]));
        out
    }

    fn plain(nodes: &'k [KernelNode]) -> Option<Self> {
        (!nodes.is_empty()).then_some(Self::Launch(nodes))
    }
}

impl Kernel {
    /// Whether any loop runs on blocks or threads of a GPU.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.body.iter().any(KernelNode::has_mapped)
    }
}

impl KernelNode {
    /// Whether it is or holds a loop that runs on blocks or threads of a GPU, or the program of a
    /// block.
    #[must_use]
    pub fn has_mapped(&self) -> bool {
        let any = |nodes: &[Self]| nodes.iter().any(Self::has_mapped);
        match self {
            Self::Loop(l) => matches!(l.mode, LoopMode::Mapped(_)) || any(&l.body),
            Self::If(_, a, b) => any(a) || any(b),
            Self::Local(l) => any(&l.body),
            Self::Store(_) => false,
            Self::Device(d) => matches!(**d, Device::Block(_)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    /// A line for each node, indented.
    fn lines(nodes: &[HostNode<'_>], depth: usize, out: &mut Vec<String>) {
        for node in nodes {
            let indent = " ".repeat(depth);
            match node {
                HostNode::Launch(nodes) => out.push(format!("{indent}launch {}", nodes.len())),
                HostNode::Loop(l, body) => {
                    out.push(format!("{indent}for {}", l.var));
                    lines(body, depth + 1, out);
                }
                HostNode::If(_, a, b) => {
                    out.push(format!("{indent}if"));
                    lines(a, depth + 1, out);
                    lines(b, depth + 1, out);
                }
            }
        }
    }

    #[test]
    fn loops_and_guards_around_mapped_loops_are_the_hosts() {
        let text = "kernel k(N) {
          out A: i32[N, N]
          for t in 0..N {
            S: A[t, 0]:i32 = 1:i32 order serial
            for s in 0..N { T: A[t, s]:i32 = 2:i32 order serial }
            if N >= 2 * t {
              for i in t..N block.x { U: A[t, i]:i32 = 3:i32 order serial }
            } else { V: A[t, 1]:i32 = 1:i32 order serial }
          }
          for r in 0..N { W: A[r, 0]:i32 = 4:i32 order serial }
        }";
        let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let mut out = Vec::new();
        lines(&HostNode::of(&kernel.body), 0, &mut out);
        assert_eq!(out, ["for t", " launch 2", " if", "  launch 1", "  launch 1", "launch 1"]);
        let one = &kernel.body[1..];
        assert_eq!(HostNode::of(one), [HostNode::Launch(one)]);
    }
}
