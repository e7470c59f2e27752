//! Tensor memory: allocated before the roles start and freed when they have ended, accumulated in
//! by one thread, loaded by four warps.
//!
//! Keeps: the block's first warp allocates and frees. Everybody reads the address after it was
//! written, and nobody touches tensor memory after the meeting before it is freed.

use warploom_ir::instruction::descriptor::Reader;
use warploom_ir::instruction::tensor_memory::{Kind, STEPS, encode};
use warploom_ir::instruction::{Code, Matrix};
use warploom_ir::kernel::device::{Block, Tile};

use super::{SHARED_POINTER, implied, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;

/// A pointer to tensor memory.
const TENSOR_POINTER: &str = "ptr addrspace(6)";
/// The first bit of the lane in an address; below it are columns.
const LANE_BIT: i128 = 16;

impl Emitter<'_> {
    /// Code that the block's first warp runs.
    fn first_warp(&mut self, body: impl FnOnce(&mut Self)) {
        let warp = self.state().team.warp.clone();
        let (yes, end) = (self.f.label("first"), self.f.label("end"));
        let first = self.f.cmp_int("eq", &warp, 0);
        self.f.cond_br(&first, &yes, &end);
        self.f.start(&yes);
        body(self);
        self.f.br(&end);
        self.f.start(&end);
    }

    /// All threads of the block meet, between accesses to tensor memory.
    fn meet_block(&mut self) {
        for name in ["tcgen05.fence.before", "sync.block", "tcgen05.fence.after"] {
            let operand = if name == "sync.block" { "i32 0" } else { "" };
            self.f.line(&format!("call void {}({operand})", implied(name)));
        }
    }

    /// The address in shared memory where the address in tensor memory is written.
    fn address_of_tensors(&mut self, block: &Block) -> String {
        let at = block.address("").expect("verified: within the limits of every GPU");
        self.pointer(&Value::int("i32", at.into()))
    }

    /// An intrinsic for this block's tensor memory, or for that of its pair (PTX ISA, 9.7.16.5: all
    /// instructions on tensor memory of a kernel have one group).
    fn grouped(block: &Block, name: &str) -> String {
        implied(&if block.paired() { format!("{name}.pair") } else { name.to_owned() })
    }

    pub(super) fn allocate_tensors(&mut self, block: &Block) {
        if block.tensors.is_empty() {
            return;
        }
        let columns = block.columns().expect("verified: there are so many columns");
        let at = self.address_of_tensors(block);
        self.first_warp(|e| {
            let allocate = Self::grouped(block, "tensor.allocate");
            e.f.line(&format!("call void {allocate}({SHARED_POINTER} {at}, i32 {columns})"));
            // a block that comes later to this multiprocessor may allocate too
            e.f.line(&format!("call void {}()", Self::grouped(block, "tensor.allocated")));
        });
        self.meet_block();
        let base = self.f.def("i32", 1, &format!("load volatile i32, {SHARED_POINTER} {at}"));
        self.state().tensors = Some(base);
    }

    pub(super) fn free_tensors(&mut self, block: &Block) {
        let Some(base) = self.state().tensors.clone() else { return };
        let columns = block.columns().expect("verified: there are so many columns");
        if block.paired() {
            // the other block's may still be in use
            self.f.line(&format!("call void {}()", implied("tcgen05.fence.before")));
            self.meet_cluster("cluster.end");
            self.f.line(&format!("call void {}()", implied("tcgen05.fence.after")));
        } else {
            self.meet_block();
        }
        self.first_warp(|e| {
            let text = format!("inttoptr {} to {TENSOR_POINTER}", base.arg());
            let pointer = e.f.def(TENSOR_POINTER, 1, &text);
            let free = Self::grouped(block, "tensor.free");
            e.f.line(&format!("call void {free}({}, i32 {columns})", pointer.arg()));
        });
    }

    /// A pointer to a tile in tensor memory, in this warp's lanes where that is asked.
    fn tensor_pointer(&mut self, tile: &Tile, own: bool) -> Value {
        let block = &self.state().block;
        let tensor = block.tensors.iter().find(|t| t.name == tile.array);
        let tensor = tensor.expect("verified: a buffer in tensor memory");
        let (mut shape, each) = (tensor.shape.clone(), tensor.per_column());
        let first = block.column(&tile.array).expect("found above");
        let mut column = Lin::default();
        let lanes = shape.len() - 2;
        let mut starts = self.starts(tile);
        if let ([.., extent], [.., start]) = (shape.as_mut_slice(), starts.as_mut_slice())
            && each > 1
        {
            (*extent, *start) = (*extent / each, start.floor_div(each));
        }
        let dims = starts.into_iter().zip(&shape).enumerate();
        for (_, (start, extent)) in dims.filter(|(d, _)| *d != lanes) {
            column = Lin::default().plus(*extent, &column).plus(1, &start);
        }
        let offset = self.narrow(&Lin::constant(first).plus(1, &column));
        let base = self.state().tensors.clone().expect("allocated when the block starts");
        let mut address = self.f.bin("add", &base, &offset);
        if own {
            let warp = self.state().team.warp.clone();
            let lane = self.f.bin_int("shl", &warp, LANE_BIT + 5);
            address = self.f.bin("add", &address, &lane);
        }
        self.f.def(TENSOR_POINTER, 1, &format!("inttoptr {} to {TENSOR_POINTER}", address.arg()))
    }

    /// The byte of each column of a tile of scales that an instruction takes.
    fn scale_step(&self, tile: &Tile) -> i64 {
        let last = self.starts(tile).last().and_then(Lin::as_constant);
        last.expect("checked: constant after unrolling") % STEPS
    }

    /// A product of shared memory that one thread issues, of factors with scales where they have
    /// some.
    pub(super) fn tensor_product(
        &mut self,
        m: &Matrix,
        code: &Code,
        (tiles, scales): ([&Tile; 3], Option<[&Tile; 2]>),
        keep: &Lin,
    ) {
        let to = self.tensor_pointer(tiles[0], false).arg();
        let [a, b] = [tiles[1], tiles[2]].map(|t| self.descriptor(t, Reader::Thread).arg());
        let keep = match keep.as_constant() {
            Some(v) => format!("i1 {}", v != 0),
            None => {
                let value = self.lin(keep);
                self.f.cmp_int("ne", &value, 0).arg()
            }
        };
        let steps = scales.map_or([0; 2], |both| both.map(|tile| self.scale_step(tile)));
        let descriptor = encode(m, [tiles[1].transposed, tiles[2].transposed], steps);
        let more = match scales {
            Some(both) => both.map(|tile| self.tensor_pointer(tile, false).arg()).join(", "),
            None => {
                let kind = Kind::of(m).and_then(Kind::number);
                format!("i32 {}", kind.expect("the table's types have a kind"))
            }
        };
        // nothing of A is kept for later
        let (name, group) = (intrinsic(code), m.blocks);
        self.f.line(&format!(
            "call void {name}({to}, {a}, {b}, i32 {descriptor}, {keep}, {more}, i32 {group}, \
             i32 0)"
        ));
    }

    /// A copy of scales from shared memory.
    pub(super) fn scale_copy(&mut self, code: &Code, tensor: &Tile, shared: &Tile) {
        let to = self.tensor_pointer(tensor, false).arg();
        let from = self.descriptor(shared, Reader::Thread).arg();
        self.f.line(&format!("call void {}({to}, {from})", intrinsic(code)));
    }

    /// An arrival when this thread's products are done.
    pub(super) fn tensor_commit(&mut self, code: &Code, barrier: &Tile, blocks: Option<&Tile>) {
        let slot = self.slot(barrier);
        let mask = blocks.map(|tile| format!(", {}", self.blocks_mask(tile).arg()));
        let (name, mask) = (intrinsic(code), mask.unwrap_or_default());
        self.f.line(&format!("call void {name}({SHARED_POINTER} {slot}{mask})"));
    }

    /// Loads the columns of a tile into a fragment.
    pub(super) fn tensor_load(&mut self, code: &Code, fragment: &Tile, tensor: &Tile) {
        let from = self.tensor_pointer(tensor, true).arg();
        let at = self.tiles_of(fragment)[0];
        let r = self.state().fragments[&fragment.array].clone();
        let n = r.per_tile();
        let ty = if n == 1 { "i32".to_owned() } else { format!("<{n} x i32>") };
        let text = format!("call {ty} {}({from}, i1 false)", intrinsic(code));
        let whole = self.f.def("i32", u32::try_from(n).expect("at most 128"), &text);
        let mut values = Vec::new();
        for i in 0..n {
            let one = match n {
                1 => whole.clone(),
                _ => self.f.def("i32", 1, &format!("extractelement {}, i32 {i}", whole.arg())),
            };
            values.push(self.f.cast("bitcast", &one, r.elem));
        }
        self.store_registers(&fragment.array, at, &values);
    }
}
