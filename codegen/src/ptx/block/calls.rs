//! Calls: barriers, fences, waits, and where the operands of the others lie.

use warploom_ir::affine::Name;
use warploom_ir::instruction::descriptor::{panel_offset, swizzle};
use warploom_ir::instruction::{Action, Code, Instruction, find};
use warploom_ir::kernel::Index;
use warploom_ir::kernel::device::{Call, Operand, Shared, Tile};

use super::{SHARED_POINTER, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;

/// The tile that an operand is.
pub(super) fn tile(operand: &Operand) -> &Tile {
    match operand {
        Operand::Tile(tile) => tile,
        Operand::Value(_) => unreachable!("verified: a tile"),
    }
}

/// The number that an operand is.
pub(super) fn number(operand: &Operand) -> &Index {
    match operand {
        Operand::Value(index) => index,
        Operand::Tile(_) => unreachable!("verified: a number"),
    }
}

fn constant(operand: &Operand) -> i64 {
    match number(operand) {
        Index::Const(v) => *v,
        _ => unreachable!("verified: a constant"),
    }
}

/// The bits of an address that the permutation of chunks changes.
fn mask(panel: Option<i64>) -> i64 {
    // what it adds to the address of each row tells the rows that it looks at
    panel.map_or(0, |panel| swizzle(7 << 7, panel) & 0x7f)
}

impl Emitter<'_> {
    pub(super) fn device_call(&mut self, call: &Call) {
        let instruction = find(&call.instruction).expect("verified: it is in the table");
        let (o, code) = (call.operands.as_slice(), &instruction.code);
        match instruction.action {
            Action::Matrix(m) => {
                let tiles = [tile(&o[0]), tile(&o[1]), tile(&o[2])];
                let keep = Lin::of(number(&o[o.len() - 1]), &self.env);
                if m.tensor {
                    let scales = m.scales.map(|_| [tile(&o[3]), tile(&o[4])]);
                    self.tensor_product(&m, code, (tiles, scales), &keep);
                } else if m.shared {
                    self.shared_product(&m, code, tiles, &keep);
                } else {
                    self.registers_product(&m, code, tiles, &keep);
                }
            }
            Action::ScaleCopy(_) => self.scale_copy(code, tile(&o[0]), tile(&o[1])),
            Action::TensorLoad(_) => self.tensor_load(code, tile(&o[0]), tile(&o[1])),
            Action::TensorWait => {
                let Code::Assembly(text) = code else { unreachable!("it is written as text") };
                self.pass_through(text);
            }
            Action::TensorCommit | Action::TensorCommitCluster | Action::TensorCommitPair => {
                self.tensor_commit(code, tile(&o[0]), o.get(1).map(tile));
            }
            Action::LoadMatrix => self.matrices(code, tile(&o[0]), tile(&o[1]), true),
            Action::StoreMatrix => self.matrices(code, tile(&o[1]), tile(&o[0]), false),
            Action::CopyAsync(bytes) => self.chunks(code, bytes, tile(&o[0]), tile(&o[1])),
            Action::BoxLoad | Action::BoxMulticast | Action::BoxPair => {
                let tiles = [tile(&o[0]), tile(&o[1]), tile(&o[2])];
                let pair = instruction.action == Action::BoxPair;
                self.box_load(code, tiles, o.get(3).map(tile), pair);
            }
            Action::BoxStore => self.box_store(code, tile(&o[0]), tile(&o[1])),
            Action::MatrixWait => self.wait_matrix(code, constant(&o[0])),
            Action::CopyWait | Action::BoxWaitRead => {
                let n = constant(&o[0]);
                self.f.line(&format!("call void {}(i32 {n})", intrinsic(code)));
            }
            Action::CopyArrive => {
                let p = self.slot(tile(&o[0]));
                self.f.line(&format!("call void {}({SHARED_POINTER} {p})", intrinsic(code)));
            }
            Action::Arrive => {
                let p = self.slot(tile(&o[0]));
                let text = format!("call i64 {}({SHARED_POINTER} {p}, i32 1)", intrinsic(code));
                self.f.def("i64", 1, &text);
            }
            Action::ArriveCluster => self.arrive_cluster(code, tile(&o[0]), tile(&o[1])),
            Action::Expect => {
                let (p, bytes) = (self.slot(tile(&o[0])), constant(&o[1]));
                let text =
                    format!("call i64 {}({SHARED_POINTER} {p}, i32 {bytes})", intrinsic(code));
                self.f.def("i64", 1, &text);
            }
            Action::Take | Action::TakeMulticast => self.ask(code, tile(&o[0]), tile(&o[1])),
            Action::Answer => self.read_answer(code, tile(&o[0])),
            Action::Wait => self.wait(instruction, tile(&o[0]), number(&o[1])),
            Action::CopyCommit
            | Action::BoxCommit
            | Action::MatrixFence
            | Action::MatrixCommit
            | Action::TensorBefore
            | Action::TensorAfter
            | Action::ProxyFence => self.f.line(&format!("call void {}()", intrinsic(code))),
            Action::Sync => self.sync(code),
            Action::Implied => unreachable!("verified: no call names it"),
        }
    }

    /// The address of a barrier's slot.
    pub(super) fn slot(&mut self, tile: &Tile) -> String {
        let base = self.state().block.address(&tile.array).expect("verified: it is there");
        let slot = Lin::of(&tile.at[0].start, &self.env);
        let at = self.narrow(&Lin::constant(base).plus(8, &slot));
        self.pointer(&at)
    }

    /// Asks until the phase is complete.
    fn wait(&mut self, instruction: &Instruction, at: &Tile, parity: &Index) {
        let p = self.slot(at);
        let parity = Lin::of(parity, &self.env);
        let parity = self.narrow(&parity);
        let (again, done) = (self.f.label("wait"), self.f.label("go"));
        self.f.br(&again);
        self.f.start(&again);
        let name = intrinsic(&instruction.code);
        let text = format!("call i1 {name}({SHARED_POINTER} {p}, {})", parity.arg());
        let complete = self.f.def("i1", 1, &text);
        self.f.cond_br(&complete, &done, &again);
        self.f.start(&done);
    }

    /// All threads of the team meet.
    fn sync(&mut self, code: &Code) {
        let team = self.state().team.clone();
        if team.warps == 1 {
            self.f.line(&format!("call void {}(i32 -1)", super::implied("sync.warp")));
            return;
        }
        let (meeting, threads) = (team.meeting.arg(), 32 * team.warps);
        self.f.line(&format!("call void {}({meeting}, i32 {threads})", intrinsic(code)));
    }

    /// The address of an element of the block program's shared memory; `None` for other arrays.
    pub(crate) fn shared_address(&mut self, array: &Name, dims: &[Lin]) -> Option<String> {
        let block = &self.program.as_ref()?.block;
        let shared = block.shared.iter().find(|s| s.name == *array)?.clone();
        let offset = self.offset(&shared, dims);
        Some(self.place(&offset, shared.panel))
    }

    /// A pointer to a byte offset in shared memory before chunks are permuted.
    pub(super) fn place(&mut self, offset: &Lin, panel: Option<i64>) -> String {
        if mask(panel) == 0 {
            return self.moved_place(offset, None);
        }
        let offset = self.narrow(offset);
        let offset = self.permuted(&offset, panel);
        self.pointer(&offset)
    }

    /// A pointer to a byte offset in shared memory, and `more` bytes on. What is constant of it is
    /// added last: that is part of an access, and neighbours share the rest.
    pub(super) fn moved_place(&mut self, offset: &Lin, more: Option<&Value>) -> String {
        let moving = offset.offset(offset.constant.wrapping_neg());
        let mut moving = self.narrow(&moving);
        if let Some(more) = more {
            moving = self.f.bin("add", &moving, more);
        }
        let first = self.pointer(&moving);
        let constant = Value::int("i32", offset.constant.into());
        let text = format!("getelementptr i8, {SHARED_POINTER} {first}, {}", constant.arg());
        self.f.def(SHARED_POINTER, 1, &text).text
    }

    /// The byte offset in shared memory of a tile's first element before chunks are permuted.
    pub(super) fn offset(&mut self, shared: &Shared, at: &[Lin]) -> Lin {
        let base = self.state().block.address(&shared.name).expect("verified: it is there");
        let bits = shared.bits();
        let flat = |dims: &[Lin], shape: &[i64]| {
            let zero = Lin::default();
            dims.iter()
                .zip(shape)
                .fold(zero, |sum, (i, e)| Lin::default().plus(*e, &sum).plus(1, i))
        };
        let (Some(panel), [outer @ .., row, col], [.., rows, cols]) =
            (shared.panel, at, shared.shape.as_slice())
        else {
            return Lin::constant(base).plus(bits / 8, &flat(at, &shared.shape));
        };
        let outer = flat(outer, &shared.shape);
        let wide = shared.wide(panel);
        let (whole, rest) = match col.as_constant() {
            Some(c) => (Lin::constant(panel_offset(0, c, *rows, bits, panel)), Lin::default()),
            None => {
                let rest = col.modulo(wide);
                // what a descriptor or a box starts at is no inside of a byte
                let rest = if shared.packed() { rest.floor_div(2) } else { rest };
                (Lin::default().plus(rows * panel, &col.floor_div(wide)), rest)
            }
        };
        Lin::constant(base)
            .plus(rows * cols * bits / 8, &outer)
            .plus(panel, row)
            .plus(1, &whole)
            .plus(bits.max(8) / 8, &rest)
    }

    /// The first element of a tile, per dimension of its array.
    pub(super) fn starts(&self, tile: &Tile) -> Vec<Lin> {
        tile.at.iter().map(|s| Lin::of(&s.start, &self.env)).collect()
    }

    /// The shared buffer of a tile.
    pub(super) fn shared(&mut self, tile: &Tile) -> Shared {
        let block = &self.state().block;
        let found = block.shared.iter().find(|s| s.name == tile.array);
        found.expect("verified: a shared buffer").clone()
    }

    /// An offset with its chunks permuted, as i32.
    pub(super) fn permuted(&mut self, offset: &Value, panel: Option<i64>) -> Value {
        let mask = mask(panel);
        if mask == 0 {
            return offset.clone();
        }
        let row = self.f.bin_int("lshr", offset, 3);
        let moved = self.f.bin_int("and", &row, mask.into());
        self.f.bin("xor", offset, &moved)
    }
}
