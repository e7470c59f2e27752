//! Elements of fragments that go to memory: two neighbours are one store.
//!
//! In: a body that stores every element of a fragment. Out: whether neighbours in a thread's
//! registers are neighbours in memory too, and their store. Why here: what is permuted in shared
//! memory looks like two unrelated addresses to LLVM, but a chunk of 16 bytes holds both; and it
//! does not see that a thread's first column is even.

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::fragment::{Digit, FragmentLayout};
use warploom_ir::kernel::device::Across;
use warploom_ir::kernel::{Index, KernelNode, TypedKind};
use warploom_ir::nest::AssignOp;

use crate::llvm::build::Value;
use crate::llvm::convert::half_elem;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::{Atom, Lin};
use crate::llvm::storage::alias;

/// How the next store to shared memory is carried out.
#[derive(Clone, Debug)]
pub(super) enum Pairing {
    /// By itself.
    Single,
    /// With the one after it.
    First,
    /// With the one before it, of this value to this address.
    Second(String, Value),
}

impl Emitter<'_> {
    /// Whether the body of an `across` is one store to memory in which the two elements of
    /// each pair of a thread's registers lie side by side. `bases` are row and column of the
    /// thread's first element.
    pub(super) fn stores_pairs(
        &mut self,
        a: &Across,
        layout: &FragmentLayout,
        bases: &[Name; 2],
    ) -> bool {
        let even = |d: &Digit| !d.along_cols || d.stride % 2 == 0;
        let neighbours = layout.values.first() == Some(&Digit::cols(2, 1))
            && layout.values[1..].iter().chain(&layout.threads).all(even);
        let [KernelNode::Store(s)] = a.body.as_slice() else { return false };
        let Some((dtype, whole)) = self.rows_of_pairs(&s.array) else { return false };
        let mut own = false;
        s.value.visit(&mut |v| {
            own |= matches!(&v.kind, TypedKind::Read { array, .. } if *array == s.array);
        });
        let size = [2, 4, 8].contains(&dtype.size_bytes());
        if !neighbours || s.guard.is_some() || s.op != AssignOp::Set || own || !whole || !size {
            return false;
        }
        let mut env = self.env.clone();
        for (var, base) in a.vars.iter().zip(bases) {
            env.insert(var.clone(), Lin::var(base));
        }
        let col = Lin::var(&bases[1]);
        let mentions = |lin: &Lin| lin.any_atom(&|atom| *atom == Atom::Var(bases[1].clone()));
        let mut at: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, &env)).collect();
        // a column is that of the fragment and an even number of others
        let Some(last) = at.pop().map(|last| last.plus(-1, &col)) else { return false };
        !at.iter().any(mentions) && !mentions(&last) && last.is_multiple(2)
    }

    /// The type of an array in memory, and whether each of its rows starts at an even element.
    fn rows_of_pairs(&mut self, array: &Name) -> Option<(DType, bool)> {
        let shared = self.state().block.shared.iter().find(|b| b.name == *array);
        if let Some(shared) = shared {
            return Some((shared.dtype, shared.shape.last().is_some_and(|n| n % 2 == 0)));
        }
        let buffer = self.kernel.buffers.iter().find(|b| b.name == *array)?;
        let even = matches!(buffer.shape.last(), Some(Index::Const(n)) if n % 2 == 0);
        Some((buffer.dtype, even))
    }

    /// Stores an element of a pair, the first of them together with the second; false where it is
    /// no part of one.
    pub(crate) fn paired_store(&mut self, array: &Name, dims: &[Lin], value: &Value) -> bool {
        let Some(program) = &mut self.program else { return false };
        match std::mem::replace(&mut program.pair, Pairing::Single) {
            Pairing::Single => return false,
            Pairing::First => {
                let address = self.address(array, dims);
                self.state().pair = Pairing::Second(address, value.clone());
            }
            Pairing::Second(address, first) => {
                let regs = &self.buffers[array];
                let (dtype, space, alias) = (regs.dtype, regs.pointer.elem, alias(regs.class));
                let elem = half_elem(dtype).unwrap_or(value.elem);
                let mut pair = Value::register("poison", elem, 2);
                for (lane, one) in [&first, value].into_iter().enumerate() {
                    let one = self.f.cast("bitcast", one, elem);
                    let text = format!("insertelement {}, {}, i32 {lane}", pair.arg(), one.arg());
                    pair = self.f.def(elem, 2, &text);
                }
                if dtype.size_bytes() == 2 {
                    pair = self.f.def("i32", 1, &format!("bitcast {} to i32", pair.arg()));
                }
                let align = 2 * dtype.size_bytes();
                let text = format!("store {}, {space} {address}, align {align}{alias}", pair.arg());
                self.f.line(&text);
            }
        }
        true
    }
}
