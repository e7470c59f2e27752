//! Clusters: blocks that run together and reach each other's shared memory.
//!
//! Keeps: blocks of a cluster are neighbours along x of the grid, in row-major order of the loops
//! over them. All meet when their barriers are ready and before any of them ends, because until
//! then another one may still arrive at its barriers.

use warploom_ir::instruction::{Code, find};
use warploom_ir::kernel::KernelNode;
use warploom_ir::kernel::device::{Block, Device, Tile};
use warploom_ir::target::Target;

use super::{SHARED_POINTER, implied, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;

/// Shared memory of any block of the cluster.
const CLUSTER_POINTER: &str = "ptr addrspace(7)";

/// The lowest bit of a block's number in an address of the cluster's shared memory (CUTLASS,
/// `Sm100MmaPeerBitMask`).
const BLOCK_BIT: i128 = 24;

/// What clusters need and the target lacks.
pub(super) fn missing(nodes: &[KernelNode], target: Target) -> Option<String> {
    let clustered = |node: &KernelNode| match node {
        KernelNode::Device(d) => matches!(&**d, Device::Block(b) if !b.cluster.is_empty()),
        KernelNode::Loop(_) | KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Store(_) => {
            false
        }
    };
    let below = |node: &KernelNode| match node {
        KernelNode::Loop(l) => missing(&l.body, target),
        KernelNode::If(_, a, b) => missing(a, target).or_else(|| missing(b, target)),
        KernelNode::Local(l) => missing(&l.body, target),
        KernelNode::Store(_) | KernelNode::Device(_) => None,
    };
    let there = find("cluster").is_some_and(|i| i.targets.contains(&target));
    let here = !there && nodes.iter().any(clustered);
    here.then(|| format!("cluster of blocks on {target}")).or_else(|| nodes.iter().find_map(below))
}

impl Emitter<'_> {
    /// Gives the loops over the cluster's blocks their values.
    pub(super) fn enter_cluster(&mut self, block: &Block) {
        if block.cluster.is_empty() {
            return;
        }
        let rank = self.f.def("i32", 1, &format!("call i32 {}()", implied("cluster.block")));
        let mut rest = rank;
        for l in block.cluster.iter().rev() {
            let number = self.f.bin_int("urem", &rest, l.count.into());
            let number = self.f.cast("zext nneg", &number, "i64");
            self.vars.insert(l.var.clone(), number);
            self.ranges.insert(l.var.clone(), (0, l.count - 1));
            rest = self.f.bin_int("udiv", &rest, l.count.into());
        }
    }

    /// Waits until no block can reach another's barriers any more.
    pub(super) fn leave_cluster(&mut self, block: &Block) {
        if !block.cluster.is_empty() && !block.barriers.is_empty() {
            self.meet_cluster("cluster.end");
        }
        for l in &block.cluster {
            self.vars.remove(&l.var);
        }
    }

    /// All threads of the cluster arrive, and wait.
    pub(super) fn meet_cluster(&mut self, arrive: &str) {
        for name in [arrive, "cluster.wait"] {
            self.f.line(&format!("call void {}()", implied(name)));
        }
    }

    /// The number in the cluster of the first block of a tile, as i32, and how much further each
    /// of the others is.
    fn blocks(&mut self, tile: &Tile) -> (Value, Vec<i64>) {
        let counts: Vec<i64> = self.state().block.cluster.iter().map(|l| l.count).collect();
        let mut first = Lin::default();
        let mut further = vec![0];
        for ((start, slice), count) in self.starts(tile).iter().zip(&tile.at).zip(counts) {
            first = Lin::default().plus(count, &first).plus(1, start);
            let extent = slice.extent.unwrap_or(1);
            let along = |n: &i64| (0..extent).map(|i| n * count + i).collect::<Vec<_>>();
            further = further.iter().flat_map(along).collect();
        }
        (self.narrow(&first), further)
    }

    /// The same place in the shared memory of the first block of the pair. An address in a block's
    /// own shared memory is one in the cluster's, with the block's number from [`BLOCK_BIT`] on.
    pub(super) fn of_first(&mut self, own: &str) -> String {
        let text = format!("ptrtoint {SHARED_POINTER} {own} to i32");
        let address = self.f.def("i32", 1, &text);
        let first = self.f.bin_int("and", &address, !(1 << BLOCK_BIT) & 0xffff_ffff);
        let text = format!("inttoptr {} to {SHARED_POINTER}", first.arg());
        self.f.def(SHARED_POINTER, 1, &text).text
    }

    /// A bit for each block of a tile, as i16.
    pub(super) fn blocks_mask(&mut self, tile: &Tile) -> Value {
        let (first, further) = self.blocks(tile);
        let bits = further.iter().fold(0_i64, |bits, n| bits | 1 << n);
        let mask = self.f.bin("shl", &Value::int("i32", bits.into()), &first);
        self.f.cast("trunc", &mask, "i16")
    }

    /// One arrival of this thread at a barrier of each of these blocks.
    pub(super) fn arrive_cluster(&mut self, code: &Code, barrier: &Tile, tile: &Tile) {
        let own = self.slot(barrier);
        let (first, further) = self.blocks(tile);
        for by in further {
            let block = self.f.bin_int("add nuw nsw", &first, by.into());
            let name = implied("cluster.address");
            let text =
                format!("call {CLUSTER_POINTER} {name}({SHARED_POINTER} {own}, {})", block.arg());
            let there = self.f.def(CLUSTER_POINTER, 1, &text).text;
            self.f
                .line(&format!("call void {}({CLUSTER_POINTER} {there}, i32 1)", intrinsic(code)));
        }
    }
}
