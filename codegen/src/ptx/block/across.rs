//! Stores over the elements of a fragment by the threads that hold them.
//!
//! Keeps: rows and columns are digits of the thread's number plus a constant for each of its
//! registers, so that what divides them is known where it can be, and LLVM shares what is not.

use std::collections::BTreeMap;
use std::ops::Range;

use warploom_ir::affine::Name;
use warploom_ir::instruction::fragment::Digit;
use warploom_ir::kernel::device::{Across, Slice};
use warploom_ir::kernel::{Index, KernelNode};

use super::{Pairing, Registers};
use crate::llvm::build::Value;
use crate::llvm::convert::half_elem;
use crate::llvm::emit::{BufferRegs, Emitter};
use crate::llvm::lin::{Cond, Lin};
use crate::llvm::memory::mem_elem;
use crate::llvm::tile::{Tile, TileKey};

/// Slots of the elements of the register that is gone through, for each fragment.
pub(super) type Parts = BTreeMap<Name, Vec<String>>;

/// Whether an index has a quotient or a remainder in it.
fn divides(index: &Index) -> bool {
    match index {
        Index::Const(_) | Index::Var(_) => false,
        Index::FloorDiv(..) | Index::Mod(..) => true,
        Index::Mul(_, a) => divides(a),
        Index::Add(a, b)
        | Index::Sub(a, b)
        | Index::Min(a, b)
        | Index::Max(a, b)
        | Index::Select(_, a, b) => divides(a) || divides(b),
    }
}

/// The element of a fragment at this place.
pub(super) fn key(array: &Name, dims: &[Lin]) -> TileKey {
    TileKey { array: array.clone(), dims: dims.to_vec(), width: 1, partial: None }
}

impl Emitter<'_> {
    /// Row and column of this thread's first element of a fragment, and the names of the values
    /// that they are made of: the digits of its number where the body divides them, else a value
    /// each, which takes fewer registers.
    pub(super) fn first_element(&mut self, a: &Across, digits: &[Digit]) -> ([Lin; 2], Vec<Name>) {
        let r = self.state().fragments[&a.fragment].clone();
        let mut rest = self.holder(&r.layout);
        let divided = matches!(
            a.body.as_slice(),
            [KernelNode::Store(s)] if s.indices.iter().any(divides)
        );
        let mut at = [Lin::default(), Lin::default()];
        let mut sums = [Value::int("i64", 0), Value::int("i64", 0)];
        let mut names = Vec::new();
        for (number, d) in digits.iter().enumerate() {
            let digit = self.f.bin_int("urem", &rest, d.extent.into());
            let side = usize::from(d.along_cols);
            if divided {
                let name: Name = format!("digit {number} of {}", a.fragment).into();
                let atom = Lin::digit(&name, d.extent);
                at[side] = at[side].plus(d.stride, &atom);
                self.vars.insert(name.clone(), digit);
                names.push(name);
            } else {
                let moved = self.f.bin_int("mul nuw nsw", &digit, d.stride.into());
                sums[side] = self.f.bin("add nuw nsw", &sums[side], &moved);
            }
            rest = self.f.bin_int("udiv", &rest, d.extent.into());
        }
        if divided {
            return (at, names);
        }
        let names = ["row", "col"].map(|side| Name::from(format!("{side} of {}", a.fragment)));
        for (name, sum) in names.iter().zip(sums) {
            self.vars.insert(name.clone(), sum);
        }
        (names.each_ref().map(Lin::var), names.to_vec())
    }

    /// Rows and columns of the part that is gone across; none where it is all. Its steps are such
    /// that a register is in it for all threads or for none.
    fn part_of(&self, a: &Across) -> Vec<Range<i64>> {
        let range = |s: &Slice| {
            let start = Lin::of(&s.start, &self.env).as_constant();
            let start = start.expect("verified: known after unrolling");
            start..start + s.extent.unwrap_or(1)
        };
        a.part.iter().map(range).collect()
    }

    /// The numbers of the elements that the body is for, in a thread's order, and their rows and
    /// columns beside those of the thread's first one.
    pub(super) fn elements_of(&self, a: &Across, r: &Registers) -> Vec<(i64, [i64; 2])> {
        let inside = self.part_of(a);
        let mut elements = Vec::new();
        for tile in 0..r.tiles[0] * r.tiles[1] {
            for value in 0..r.layout.n_values() {
                let [row, col] = r.layout.origin(value);
                let at = [
                    tile / r.tiles[1] * r.layout.rows + row,
                    tile % r.tiles[1] * r.layout.cols + col,
                ];
                if inside.iter().zip(at).all(|(range, i)| range.contains(&i)) {
                    elements.push((tile * r.layout.n_values() + value, at));
                }
            }
        }
        elements
    }

    /// The body for each register of the fragment, or of a part of it.
    pub(super) fn across(&mut self, a: &Across) {
        if a.reduce {
            return self.reduce_rows(a);
        }
        // a condition on the row is asked once for all elements of a row that a thread has: those
        // of others cost nothing
        let guarded = match a.body.as_slice() {
            [KernelNode::If(holds, body, otherwise)]
                if otherwise.is_empty() && !holds.uses(&a.vars[1]) =>
            {
                Some((holds, Across { body: body.clone(), ..a.clone() }))
            }
            _others => None,
        };
        let inside = guarded.as_ref().map_or(a, |(_, inside)| inside);
        let r = self.state().fragments[&a.fragment].clone();
        let (bases, names) = self.first_element(inside, &r.layout.threads);
        let elements = self.elements_of(a, &r);
        match &guarded {
            None => self.across_elements(inside, (&r, &bases), &elements),
            Some((holds, _)) => {
                let mut rows: BTreeMap<i64, Vec<(i64, [i64; 2])>> = BTreeMap::new();
                for element in elements {
                    rows.entry(element.1[0]).or_default().push(element);
                }
                for (row, elements) in rows {
                    self.env.insert(a.vars[0].clone(), bases[0].offset(row));
                    let holds = Cond::of(holds, &self.env);
                    let stored = |e: &mut Self| e.across_elements(inside, (&r, &bases), &elements);
                    self.branch(&holds, stored, |_| {});
                }
            }
        }
        for name in &names {
            self.vars.remove(name);
        }
    }

    /// The body for these elements of a thread, whose first one has this row and column.
    fn across_elements(
        &mut self,
        a: &Across,
        (r, bases): (&Registers, &[Lin; 2]),
        elements: &[(i64, [i64; 2])],
    ) {
        // fragments of this layout hold the same element in the same place
        let mut same: Vec<_> = self.state().fragments.clone().into_iter().collect();
        same.retain(|(_, other)| other.layout == r.layout && other.tiles == r.tiles);
        let pairs = self.stores_pairs(a, &r.layout, bases);
        let mut parts = Parts::new();
        let dims: Vec<[Lin; 2]> = elements
            .iter()
            .map(|(_, at)| [0, 1].map(|side| bases[side].offset(at[side])))
            .collect();
        // elements of a register that holds several go one after the other
        let apart = same.iter().all(|(_, other)| other.packed() == 1);
        let runs = if pairs || !apart { None } else { self.runs(a, &dims) };
        let each = || (0..elements.len()).map(|e| vec![e]).collect();
        for run in runs.unwrap_or_else(each) {
            if run.len() > 1 {
                self.state().pair = Pairing::run(run.len());
            }
            for e in run {
                let ((number, _), dims) = (elements[e], &dims[e]);
                for (var, lin) in a.vars.iter().zip(dims) {
                    self.env.insert(var.clone(), lin.clone());
                }
                for (name, other) in &same {
                    self.open(name, other, number, dims, &mut parts);
                }
                if pairs && number % 2 == 0 {
                    self.state().pair = Pairing::run(2);
                }
                self.nodes(&a.body);
                for (name, other) in &same {
                    self.close(name, other, number, dims, &mut parts);
                }
            }
        }
        for var in &a.vars {
            self.env.remove(var);
        }
    }

    /// Makes one element of a fragment an array element whose place is known.
    pub(super) fn open(
        &mut self,
        name: &Name,
        r: &Registers,
        number: i64,
        dims: &[Lin],
        parts: &mut Parts,
    ) {
        let packed = usize::try_from(r.packed()).expect("1, 2 or 4");
        let number = usize::try_from(number).expect("not negative");
        let register = r.slots[number / packed].clone();
        if packed > 1 && number % packed == 0 {
            parts.insert(name.clone(), self.unpacked(r, &register));
        }
        let slot = if packed > 1 { parts[name][number % packed].clone() } else { register.clone() };
        let pointer = Value::register(register, "ptr", 1);
        let strides = vec![Value::int("i64", 1); 2];
        let (class, dtype, packed, stack) = (None, r.dtype, false, true);
        let regs = BufferRegs { class, pointer, strides, dtype, packed, stack };
        self.buffers.insert(name.clone(), regs);
        self.tiles.insert(key(name, dims), Tile { slot });
    }

    /// Ends what `open` began; after the last element of a register all go back into it.
    pub(super) fn close(
        &mut self,
        name: &Name,
        r: &Registers,
        number: i64,
        dims: &[Lin],
        parts: &mut Parts,
    ) {
        self.tiles.remove(&key(name, dims));
        self.buffers.remove(name);
        let packed = r.packed();
        if packed == 1 || (number + 1) % packed != 0 {
            return;
        }
        let register = &r.slots[usize::try_from(number / packed).expect("not negative")];
        // pairs of floats are a vector, so that two conversions become one instruction
        let (memory, lanes) = (mem_elem(r.dtype), packed as u32);
        let elem = half_elem(r.dtype).unwrap_or(memory);
        let mut whole = Value::register("poison", elem, lanes);
        for (lane, slot) in parts.remove(name).unwrap_or_default().iter().enumerate() {
            let one = self.f.def(memory, 1, &format!("load {memory}, ptr {slot}, align 64"));
            let one = self.f.cast("bitcast", &one, elem);
            let text = format!("insertelement {}, {}, i32 {lane}", whole.arg(), one.arg());
            whole = self.f.def(elem, lanes, &text);
        }
        let bits = self.f.def("i32", 1, &format!("bitcast {} to i32", whole.arg()));
        // kept here: computed where it is used, it would keep more values alive than its own
        let bits = self.f.def(
            "i32",
            1,
            &format!("call i32 asm sideeffect \"\", \"=r,0\"({})", bits.arg()),
        );
        self.f.line(&format!("store {}, ptr {register}, align 64", bits.arg()));
    }

    /// The elements of a register, each in a slot of its own.
    fn unpacked(&mut self, r: &Registers, register: &str) -> Vec<String> {
        let elem = mem_elem(r.dtype);
        let all = self.f.def("i32", 1, &format!("load i32, ptr {register}, align 64"));
        let bits = 8 * r.dtype.size_bytes() as i64;
        let one = |part: i64| {
            let slot = self.f.alloca(elem, 1, 1, 64);
            let low = self.f.bin_int("lshr", &all, (bits * part).into());
            let one = self.f.cast("trunc", &low, elem);
            self.f.line(&format!("store {}, ptr {slot}, align 64", one.arg()));
            slot
        };
        (0..r.packed()).map(one).collect()
    }
}
