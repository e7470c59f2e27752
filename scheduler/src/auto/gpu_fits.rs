//! Whether a schedule with tensor cores becomes a block program that a GPU can run.
//!
//! In: the schedule as it stands. Out: yes or no. Why here: estimates of sizes leave out what only
//! the program has, and where it cannot be, other schedules are tried.

use warploom_ir::kernel::KernelNode;
use warploom_ir::kernel::device::{Block, Device};
use warploom_ir::target::Target;

use super::Auto;
use super::gpu::LOWER;
use crate::block;

impl Auto {
    /// Whether the schedule is a block program whose buffers fit into shared memory.
    pub(super) fn lowers(&self, target: Target) -> bool {
        let (poly, source) = (self.at.poly(), &self.at.nest().source);
        let Ok(kernel) = block::lower(poly, self.at.tree(), source, LOWER) else { return false };
        let most = target.gpu().map_or(0, |gpu| i64::from(gpu.shared_bytes));
        let mut all = Vec::new();
        blocks(&kernel.body, &mut all);
        all.iter().all(|b| b.bytes().is_some_and(|bytes| bytes <= most))
    }
}

/// The block programs among nodes.
fn blocks<'k>(nodes: &'k [KernelNode], out: &mut Vec<&'k Block>) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => blocks(&l.body, out),
            KernelNode::If(_, a, b) => {
                blocks(a, out);
                blocks(b, out);
            }
            KernelNode::Local(l) => blocks(&l.body, out),
            KernelNode::Device(device) => {
                if let Device::Block(b) = &**device {
                    out.push(b);
                }
            }
            KernelNode::Store(_) => {}
        }
    }
}
