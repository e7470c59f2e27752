//! Reductions over the rows of a fragment.
//!
//! Keeps: the order in which values are combined, which is that of the interpreter: each thread its
//! own elements in ascending order, then threads in pairs that are 1, 2, 4, … apart. All threads of
//! a warp exchange; the first that holds a row updates its target.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::device::{Across, Reduction};
use warploom_ir::kernel::{Index, KernelNode, Store, Typed, TypedKind};

use super::across::{Parts, key};
use super::implied;
use crate::llvm::build::Value;
use crate::llvm::emit::{BufferRegs, Emitter};
use crate::llvm::expr::identity;
use crate::llvm::lin::Lin;
use crate::llvm::memory::mem_elem;
use crate::llvm::tile::Tile;

/// A value of this thread in a slot of its own, as an array of one element.
struct Own {
    name: Name,
    slot: String,
}

impl Own {
    fn read(&self, dtype: DType) -> Typed<Index> {
        let (array, indices) = (self.name.clone(), vec![Index::Const(0)]);
        Typed { dtype, kind: TypedKind::Read { array, indices } }
    }

    /// A store to it in the place of another one's target.
    fn store(&self, of: &Store<Index>, value: Typed<Index>) -> KernelNode {
        let (array, indices, dtype) = (self.name.clone(), vec![Index::Const(0)], value.dtype);
        KernelNode::Store(Store { array, indices, dtype, value, ..of.clone() })
    }
}

/// A body with another node in the place of its store.
fn with_store(body: &[KernelNode], store: &KernelNode) -> Vec<KernelNode> {
    body.iter()
        .map(|node| match node {
            KernelNode::If(c, then, otherwise) => {
                KernelNode::If(c.clone(), with_store(then, store), otherwise.clone())
            }
            KernelNode::Store(_) => store.clone(),
            other @ (KernelNode::Loop(_) | KernelNode::Local(_) | KernelNode::Device(_)) => {
                other.clone()
            }
        })
        .collect()
}

impl Emitter<'_> {
    /// Updates the target of each row that this thread's warp holds.
    pub(super) fn reduce_rows(&mut self, a: &Across) {
        let r = self.state().fragments[&a.fragment].clone();
        let Reduction { store, guards } = a.reduction().expect("verified");
        let holders = r.layout.holders_of_row().expect("verified");
        let (bases, names) = self.first_element(a, &r.layout.threads);
        let mut same: Vec<_> = self.state().fragments.clone().into_iter().collect();
        same.retain(|(_, other)| other.layout == r.layout && other.tiles == r.tiles);
        let dtype = store.value.dtype;
        let [sum, other] = ["combined", "other"].map(|what| self.own(what, a, dtype));
        let body = with_store(&a.body, &sum.store(store, store.value.clone()));
        let mut rows: BTreeMap<i64, Vec<(i64, [i64; 2])>> = BTreeMap::new();
        for (number, at) in self.elements_of(a, &r) {
            rows.entry(at[0]).or_default().push((number, at));
        }
        let mut parts = Parts::new();
        for (row, elements) in rows {
            self.set(&sum, &identity(store.op, dtype));
            self.env.insert(a.vars[0].clone(), bases[0].offset(row));
            for (number, at) in elements {
                let dims = [0, 1].map(|side| bases[side].offset(at[side]));
                self.env.insert(a.vars[1].clone(), dims[1].clone());
                for (name, other) in &same {
                    self.open(name, other, number, &dims, &mut parts);
                }
                self.nodes(&body);
                for (name, other) in &same {
                    self.close(name, other, number, &dims, &mut parts);
                }
            }
            self.env.remove(&a.vars[1]);
            let mut apart = 1;
            while apart < holders {
                self.exchange(&sum, &other, apart, dtype);
                self.nodes(&[sum.store(store, other.read(dtype))]);
                apart *= 2;
            }
            let update = Store { value: sum.read(dtype), ..store.clone() };
            let mut node = KernelNode::Store(update);
            for guard in guards.iter().rev().filter(|g| !g.uses(&a.vars[1])) {
                node = KernelNode::If((*guard).clone(), vec![node], Vec::new());
            }
            self.first_of(holders, node);
        }
        for name in [&sum.name, &other.name] {
            self.buffers.remove(name);
            self.tiles.remove(&key(name, &[Lin::constant(0)]));
        }
        self.env.remove(&a.vars[0]);
        for name in &names {
            self.vars.remove(name);
        }
    }

    /// A slot for a value of each thread.
    fn own(&mut self, what: &str, a: &Across, dtype: DType) -> Own {
        let name: Name = format!("{what} of {}", a.fragment).into();
        let slot = self.f.alloca(mem_elem(dtype), 1, 1, 64);
        let pointer = Value::register(slot.clone(), "ptr", 1);
        let strides = vec![Value::int("i64", 1)];
        let (class, packed, stack) = (None, false, true);
        let regs = BufferRegs { class, pointer, strides, dtype, packed, stack };
        self.buffers.insert(name.clone(), regs);
        self.tiles.insert(key(&name, &[Lin::constant(0)]), Tile { slot: slot.clone() });
        Own { name, slot }
    }

    fn set(&mut self, own: &Own, value: &Value) {
        self.f.line(&format!("store {}, ptr {}, align 64", value.arg(), own.slot));
    }

    /// What the thread `apart` from this one has, by all threads of the warp.
    fn exchange(&mut self, from: &Own, to: &Own, apart: i64, dtype: DType) {
        let elem = mem_elem(dtype);
        let mine = self.f.def(elem, 1, &format!("load {elem}, ptr {}, align 64", from.slot));
        let swap = |e: &mut Self, bits: &Value| {
            let name = implied("exchange");
            let text = format!("call i32 {name}(i32 -1, {}, i32 {apart}, i32 31)", bits.arg());
            e.f.def("i32", 1, &text)
        };
        let theirs = if dtype.size_bytes() == 4 {
            let bits = self.f.cast("bitcast", &mine, "i32");
            let bits = swap(self, &bits);
            self.f.cast("bitcast", &bits, elem)
        } else {
            let bits = self.f.cast("bitcast", &mine, "i64");
            let low = self.f.cast("trunc", &bits, "i32");
            let high = self.f.bin_int("lshr", &bits, 32);
            let high = self.f.cast("trunc", &high, "i32");
            let (low, high) = (swap(self, &low), swap(self, &high));
            let (low, high) = (self.f.cast("zext", &low, "i64"), self.f.cast("zext", &high, "i64"));
            let high = self.f.bin_int("shl", &high, 32);
            let bits = self.f.bin("or", &low, &high);
            self.f.cast("bitcast", &bits, elem)
        };
        self.set(to, &theirs);
    }

    /// A node for the first of so many neighbouring threads.
    fn first_of(&mut self, holders: i64, node: KernelNode) {
        let lane = self.state().lane.clone();
        let place = self.f.bin_int("and", &lane, (holders - 1).into());
        let first = self.f.cmp_int("eq", &place, 0);
        let (yes, end) = (self.f.label("first"), self.f.label("end"));
        self.f.cond_br(&first, &yes, &end);
        self.f.start(&yes);
        self.nodes(&[node]);
        self.f.br(&end);
        self.f.start(&end);
    }
}
