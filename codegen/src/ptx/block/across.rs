//! Stores over the elements of a fragment by the threads that hold them.
//!
//! Keeps: rows and columns are a value of the thread plus a constant for each of its registers, so
//! that LLVM shares address computations.

use warploom_ir::instruction::fragment::Digit;
use warploom_ir::kernel::device::Across;

use super::Registers;
use crate::llvm::build::Value;
use crate::llvm::emit::{BufferRegs, Emitter};
use crate::llvm::lin::Lin;
use crate::llvm::memory::mem_elem;
use crate::llvm::tile::{Tile, TileKey};

impl Emitter<'_> {
    /// Row and column of this thread's first element, as i64.
    fn first_element(&mut self, digits: &[Digit], thread: &Value) -> [Value; 2] {
        let mut at = [Value::int("i64", 0), Value::int("i64", 0)];
        let mut rest = thread.clone();
        for d in digits {
            let digit = self.f.bin_int("urem", &rest, d.extent.into());
            let moved = self.f.bin_int("mul nuw nsw", &digit, d.stride.into());
            let side = usize::from(d.along_cols);
            at[side] = self.f.bin("add nuw nsw", &at[side], &moved);
            rest = self.f.bin_int("udiv", &rest, d.extent.into());
        }
        at
    }

    pub(super) fn across(&mut self, a: &Across) {
        let r = self.state().fragments[&a.fragment].clone();
        let thread = self.holder(&r.layout);
        let first = self.first_element(&r.layout.threads, &thread);
        let bases = ["row", "col"].map(|side| format!("{} of {}", side, a.fragment).into());
        for (base, value) in bases.iter().zip(first) {
            self.vars.insert(std::sync::Arc::clone(base), value);
        }
        // fragments of this layout hold the same element in the same place
        let mut same: Vec<_> = self.state().fragments.clone().into_iter().collect();
        same.retain(|(_, other)| other.layout == r.layout && other.tiles == r.tiles);
        for tile in 0..r.tiles[0] * r.tiles[1] {
            for value in 0..r.layout.n_values() {
                let [row, col] = r.layout.origin(value);
                let at = [
                    tile / r.tiles[1] * r.layout.rows + row,
                    tile % r.tiles[1] * r.layout.cols + col,
                ];
                let dims: Vec<Lin> =
                    bases.iter().zip(at).map(|(base, at)| Lin::var(base).offset(at)).collect();
                for (var, lin) in a.vars.iter().zip(&dims) {
                    self.env.insert(var.clone(), lin.clone());
                }
                let number = tile * r.layout.n_values() + value;
                let keys: Vec<TileKey> = same
                    .iter()
                    .map(|(name, other)| self.open(name, other, number, &dims))
                    .collect();
                self.nodes(&a.body);
                for ((_, other), key) in same.iter().zip(keys) {
                    self.close(other, number, &key);
                }
            }
        }
        for var in &a.vars {
            self.env.remove(var);
        }
        for base in &bases {
            self.vars.remove(base);
        }
    }

    /// Makes one element of a fragment an array element whose place is known.
    fn open(
        &mut self,
        name: &std::sync::Arc<str>,
        r: &Registers,
        number: i64,
        dims: &[Lin],
    ) -> TileKey {
        let register = &r.slots[usize::try_from(number / r.packed()).expect("verified")];
        let slot = if r.packed() == 1 {
            register.clone()
        } else {
            let elem = mem_elem(r.dtype);
            let slot = self.f.alloca(elem, 1, 1, 64);
            let all = self.f.def("i32", 1, &format!("load i32, ptr {register}, align 64"));
            let bits = 8 * r.dtype.size_bytes() as i64 * (number % r.packed());
            let low = self.f.bin_int("lshr", &all, bits.into());
            let one = self.f.cast("trunc", &low, elem);
            self.f.line(&format!("store {}, ptr {slot}, align 64", one.arg()));
            slot
        };
        let pointer = Value::register(register.clone(), "ptr", 1);
        let strides = vec![Value::int("i64", 1); 2];
        let regs = BufferRegs { class: None, pointer, strides, dtype: r.dtype, stack: true };
        self.buffers.insert(name.clone(), regs);
        let key = TileKey { array: name.clone(), dims: dims.to_vec(), width: 1, partial: None };
        self.tiles.insert(key.clone(), Tile { slot });
        key
    }

    /// Puts an element back into its register.
    fn close(&mut self, r: &Registers, number: i64, key: &TileKey) {
        let tile = self.tiles.remove(key).expect("opened before");
        self.buffers.remove(&key.array);
        if r.packed() == 1 {
            return;
        }
        let register = &r.slots[usize::try_from(number / r.packed()).expect("verified")];
        let elem = mem_elem(r.dtype);
        let one = self.f.def(elem, 1, &format!("load {elem}, ptr {}, align 64", tile.slot));
        let wide = self.f.cast("zext", &one, "i32");
        let size = 8 * r.dtype.size_bytes() as i64;
        let bits = size * (number % r.packed());
        let moved = self.f.bin_int("shl", &wide, bits.into());
        let all = self.f.def("i32", 1, &format!("load i32, ptr {register}, align 64"));
        let mask = !(((1_i128 << size) - 1) << bits) & 0xffff_ffff;
        let kept = self.f.bin_int("and", &all, mask);
        let new = self.f.bin("or", &kept, &moved);
        self.f.line(&format!("store {}, ptr {register}, align 64", new.arg()));
    }
}
