//! Boxes of the copy engine, and the tensor maps that describe them.
//!
//! A tile as wide as several panels is a copy for each panel. Rows of a shared buffer may be
//! several dimensions of the array: the copy engine writes them row-major. Of elements that share
//! bytes it moves the bytes, of which a row has half as many.

use warploom_ir::abi::TensorMap;
use warploom_ir::instruction::descriptor::CHUNK;
use warploom_ir::instruction::{Action, Code, PAIR, find};
use warploom_ir::kernel::Kernel;
use warploom_ir::kernel::device::{Block, Call, Shared, Tile};

use super::calls::tile;
use super::{SHARED_POINTER, calls, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;

/// The map of one panel of a copy between a tile of an array and a shared buffer.
fn map_of(kernel: &Kernel, shared: &Shared, global: &Tile) -> TensorMap {
    let position = kernel.buffers.iter().position(|b| b.name == global.array);
    let mut extents: Vec<i64> = global.at.iter().map(|s| s.extent.unwrap_or(1)).collect();
    if let (Some(last), Some(panel)) = (extents.last_mut(), shared.panel) {
        *last = shared.wide(panel);
    }
    // rows without panels are not permuted, as those of 16 bytes
    let panel = shared.panel.unwrap_or(CHUNK);
    let steps = global.at.iter().map(|s| s.step).collect();
    TensorMap { buffer: position.expect("verified: one of the kernel's"), extents, steps, panel }
}

/// The shared and the global tile of a copy of the copy engine.
fn operands(call: &Call) -> Option<(&Tile, &Tile)> {
    match find(&call.instruction)?.action {
        Action::BoxLoad | Action::BoxMulticast | Action::BoxPair => {
            Some((tile(&call.operands[0]), tile(&call.operands[1])))
        }
        Action::BoxStore => Some((tile(&call.operands[1]), tile(&call.operands[0]))),
        _ => None,
    }
}

/// The maps that a block program needs, each once.
pub(in crate::ptx) fn tensor_maps(kernel: &Kernel, block: &Block) -> Vec<TensorMap> {
    let mut all = Vec::new();
    block.roles.iter().for_each(|r| calls(&r.body, &mut all));
    let mut maps: Vec<TensorMap> = Vec::new();
    for (shared, global) in all.into_iter().filter_map(operands) {
        let shared = block.shared.iter().find(|s| s.name == shared.array);
        let map = map_of(kernel, shared.expect("verified: a shared buffer"), global);
        if !maps.contains(&map) {
            maps.push(map);
        }
    }
    maps
}

impl Emitter<'_> {
    /// A box to the block's own shared memory, or to that of some blocks of its cluster; of a pair
    /// the first block's barrier counts it.
    pub(super) fn box_load(
        &mut self,
        code: &Code,
        [to, from, barrier]: [&Tile; 3],
        blocks: Option<&Tile>,
        pair: bool,
    ) {
        let mut barrier = self.slot(barrier);
        if pair {
            barrier = self.of_first(&barrier);
        }
        let mask = blocks.map(|blocks| self.blocks_mask(blocks));
        let (multicast, group) = (mask.is_some(), if pair { PAIR } else { 0 });
        let mask = mask.unwrap_or_else(|| Value::int("i16", 0)).arg();
        for (address, map, at) in self.panels(to, from) {
            let whole =
                self.f.def("i64", 1, &format!("ptrtoint {SHARED_POINTER} {address} to i64"));
            // an address of the block's own memory is one of the cluster's
            let space = "ptr addrspace(7)";
            let target = self.f.def(space, 1, &format!("inttoptr {} to {space}", whole.arg()));
            let name = intrinsic(code).replace("{n}", &at.1.to_string());
            self.f.line(&format!(
                "call void {name}({}, {SHARED_POINTER} {barrier}, ptr %map{map}, {}, \
                 {mask}, i64 0, i1 {multicast}, i1 false, i32 {group})",
                target.arg(),
                at.0
            ));
        }
    }

    pub(super) fn box_store(&mut self, code: &Code, to: &Tile, from: &Tile) {
        for (address, map, at) in self.panels(from, to) {
            let name = intrinsic(code).replace("{n}", &at.1.to_string());
            self.f.line(&format!(
                "call void {name}({SHARED_POINTER} {address}, ptr %map{map}, {}, i64 0, i1 false)",
                at.0
            ));
        }
    }

    /// For each panel of a tile: its address, its map, its coordinates and how many they are.
    fn panels(&mut self, shared: &Tile, global: &Tile) -> Vec<(String, usize, (String, usize))> {
        let buffer = self.shared(shared);
        let map = map_of(self.kernel, &buffer, global);
        let number = self.state().maps.iter().position(|m| *m == map).expect("collected before");
        let wide = *map.extents.last().expect("verified: it has columns");
        let cols = shared.extents().last().copied().unwrap_or(0);
        let mut out = Vec::new();
        for first in (0..cols).step_by(usize::try_from(wide).expect("positive")) {
            let mut inside = self.starts(shared);
            let mut outside = self.starts(global);
            for at in [&mut inside, &mut outside] {
                let last = at.last_mut().expect("verified: it has columns");
                *last = last.offset(first);
            }
            let offset = self.offset(&buffer, &inside);
            let offset = self.narrow(&offset);
            let address = self.pointer(&offset);
            // the copy engine counts from the innermost dimension
            if buffer.packed() {
                let last = outside.last_mut().expect("verified: it has columns");
                *last = last.floor_div(2);
            }
            let list: Vec<String> =
                outside.iter().rev().map(|lin: &Lin| self.narrow(lin).arg()).collect();
            out.push((address, number, (list.join(", "), list.len())));
        }
        out
    }
}
