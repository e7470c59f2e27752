//! Whether a schedule with tensor cores becomes a block program that a GPU can run.
//!
//! In: the schedule as it stands. Out: yes or no, and the program, which need not be made again.
//! Why here: estimates of sizes leave out what only the program has, and where it cannot be, other
//! schedules are tried.

use warploom_ir::kernel::device::{Block, Device, any_program};
use warploom_ir::kernel::{Kernel, KernelNode, LoopMode};
use warploom_ir::target::Target;

use super::Auto;
use super::gpu::LOWER;
use crate::{Schedule, block, launches};

impl Auto {
    /// Whether the schedule has block programs that are alone in their blocks and whose buffers fit
    /// into shared memory; the kernel is kept.
    pub(super) fn lowers(&mut self, target: Target) -> bool {
        if self.lowered.as_ref().is_some_and(|(of, _)| same(of, &self.at)) {
            return true;
        }
        let Ok(deps) = self.session.deps(&self.at) else { return false };
        let (tree, source) = (self.at.tree(), &self.at.nest().source);
        let Ok(kernel) = block::lower(&deps.model, tree, source, LOWER) else { return false };
        let most = target.gpu().map_or(0, |gpu| i64::from(gpu.shared_bytes));
        let mut all = Vec::new();
        blocks(&kernel.body, &mut all);
        let alone = !launches(&kernel).body.iter().any(|node| guarded(node, false));
        let fits = alone && all.iter().all(|b| b.bytes().is_some_and(|bytes| bytes <= most));
        self.lowered = fits.then(|| (self.at.clone(), kernel));
        fits
    }

    /// The schedule, and its kernel where that was made while the schedule was sought.
    pub(super) fn with_kernel(self) -> (Schedule, Option<Kernel>) {
        let kernel = self.lowered.filter(|(of, _)| same(of, &self.at)).map(|(_, kernel)| kernel);
        (self.at, kernel)
    }
}

/// Whether two schedules have one order of one working nest.
fn same(a: &Schedule, b: &Schedule) -> bool {
    a.poly() == b.poly() && a.tree() == b.tree()
}

/// Whether a block program of a launch stands under a guard, as those of clusters over triangles
/// do.
fn guarded(node: &KernelNode, launched: bool) -> bool {
    match node {
        KernelNode::Loop(l) => {
            let launched = launched || matches!(l.mode, LoopMode::Mapped(_));
            l.body.iter().any(|n| guarded(n, launched))
        }
        KernelNode::If(_, a, b) if launched => any_program(a) || any_program(b),
        KernelNode::If(_, a, b) => a.iter().chain(b).any(|n| guarded(n, launched)),
        KernelNode::Local(l) => l.body.iter().any(|n| guarded(n, launched)),
        KernelNode::Store(_) | KernelNode::Device(_) => false,
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
