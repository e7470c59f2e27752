//! Copies of pieces of 4, 8 or 16 bytes by each thread of a team.

use warploom_ir::affine::Name;
use warploom_ir::instruction::Code;
use warploom_ir::kernel::device::{Slice, Tile};

use super::{SHARED_POINTER, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;
use crate::llvm::memory::mem_elem;

impl Emitter<'_> {
    /// This team's threads take chunk after chunk; one that is outside the array becomes zero.
    pub(super) fn chunks(&mut self, code: &Code, piece: i64, to: &Tile, from: &Tile) {
        let shared = self.shared(to);
        let bytes = shared.dtype.size_bytes() as i64;
        let extents = to.extents();
        let total = extents.iter().product::<i64>() * bytes / piece;
        let team = self.state().team.clone();
        let (lane, threads) = (self.state().lane.clone(), 32 * team.warps);
        let first = self.f.bin_int("shl", &team.warp, 5);
        let thread = self.f.bin("or", &first, &lane);
        let thread = self.f.cast("zext nneg", &thread, "i64");
        for turn in 0..(total + threads - 1) / threads {
            let chunk = self.f.bin_int("add nuw nsw", &thread, (turn * threads).into());
            let end = (total < (turn + 1) * threads).then(|| {
                // the last pieces are some of the threads'
                let (some, end) = (self.f.label("some"), self.f.label("all"));
                let there = self.f.cmp_int("ult", &chunk, total.into());
                self.f.cond_br(&there, &some, &end);
                self.f.start(&some);
                end
            });
            let positions = self.positions(&chunk, &extents, piece / bytes);
            let target = self.moved(to, &positions);
            let offset = self.offset(&shared, &target);
            let target = self.place(&offset, shared.panel);
            let source = self.moved(from, &positions);
            let (pointer, size) = self.inside(piece, from, &source);
            let name = intrinsic(code);
            let source = format!("ptr addrspace(1) {pointer}, {}", size.arg());
            self.f.line(&format!("call void {name}({SHARED_POINTER} {target}, {source})"));
            for i in 0..positions.len() {
                self.vars.remove(&*format!("chunk {i}"));
            }
            if let Some(end) = end {
                self.f.br(&end);
                self.f.start(&end);
            }
        }
    }

    /// The position of a chunk in the tile, in elements, as variables `chunk 0`, `chunk 1`, ….
    fn positions(&mut self, chunk: &Value, extents: &[i64], wide: i64) -> Vec<Lin> {
        let mut rest = chunk.clone();
        let mut out = Vec::new();
        for (i, extent) in extents.iter().enumerate().rev() {
            let last = i + 1 == extents.len();
            let n = if last { extent / wide } else { *extent };
            let digit = self.f.bin_int("urem", &rest, n.into());
            rest = self.f.bin_int("udiv", &rest, n.into());
            let value =
                if last { self.f.bin_int("mul nuw nsw", &digit, wide.into()) } else { digit };
            let name: Name = format!("chunk {i}").into();
            self.vars.insert(name.clone(), value);
            out.push(Lin::var(&name));
        }
        out.reverse();
        out
    }

    /// A tile's elements at a position.
    fn moved(&self, tile: &Tile, positions: &[Lin]) -> Vec<Lin> {
        let mut positions = positions.iter();
        let starts = self.starts(tile);
        let step = |(start, slice): (&Lin, &Slice)| match slice.extent {
            Some(_) => start.plus(slice.step, positions.next().expect("as many as extents")),
            None => start.clone(),
        };
        starts.iter().zip(&tile.at).map(step).collect()
    }

    /// The address of an array's element, and how many of the bytes of a piece there are inside the
    /// array: all or none.
    fn inside(&mut self, piece: i64, tile: &Tile, at: &[Lin]) -> (String, Value) {
        let shape = {
            let buffer = self.kernel.buffers.iter().find(|b| b.name == tile.array);
            buffer.expect("verified: one of the kernel's").shape.clone()
        };
        let regs = self.buffers[&tile.array].clone();
        let mut holds = Value::literal("i1", "true");
        let mut flat = Value::int("i64", 0);
        for ((lin, extent), stride) in at.iter().zip(&shape).zip(&regs.strides) {
            let (i, extent) = (self.lin(lin), Lin::of(extent, &self.env));
            let extent = self.lin(&extent);
            // a negative index is beyond any extent, seen without its sign
            let within = self.f.cmp("ult", &i, &extent);
            holds = self.f.bin("and", &holds, &within);
            let moved = self.f.bin("mul", &i, stride);
            flat = self.f.bin("add", &flat, &moved);
        }
        let flat = self.f.select(&holds, &flat, &Value::int("i64", 0));
        let elem = mem_elem(regs.dtype);
        let space = regs.pointer.elem;
        let text = format!("getelementptr {elem}, {space} {}, {}", regs.pointer.text, flat.arg());
        let pointer = self.f.def(space, 1, &text).text;
        let size = self.f.select(&holds, &Value::int("i32", piece.into()), &Value::int("i32", 0));
        (pointer, size)
    }
}
