//! Elements of fragments that go to memory: neighbours are one store.
//!
//! In: a body that stores every element of a fragment. Out: which of a thread's elements are
//! neighbours in memory, wherever in its registers they are, and their store. Why here: what is
//! permuted in shared memory looks like two unrelated addresses to LLVM, but a chunk of 16 bytes
//! holds both; and it does not see that a thread's first column is even.

use std::collections::BTreeMap;

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

/// Bytes of the widest store.
const WIDEST: i64 = 16;

/// How the next stores of elements are carried out.
#[derive(Clone, Debug)]
pub(super) enum Pairing {
    /// Each by itself.
    Single,
    /// So many together.
    Run {
        /// How many.
        count: usize,
        /// The address of the first, once it is known.
        address: Option<String>,
        /// What has been stored of them.
        values: Vec<Value>,
    },
}

impl Pairing {
    /// The next so many stores are one.
    pub(super) const fn run(count: usize) -> Self {
        Self::Run { count, address: None, values: Vec::new() }
    }
}

impl Emitter<'_> {
    /// The elements of a thread, each at a row and a column, in groups that are neighbours in a
    /// shared buffer without panels; none where the body is something else than one store to such
    /// a buffer, or nothing is a neighbour of anything.
    pub(super) fn runs(&mut self, a: &Across, elements: &[[Lin; 2]]) -> Option<Vec<Vec<usize>>> {
        let [KernelNode::Store(s)] = a.body.as_slice() else { return None };
        let shared = self.state().block.shared.iter().find(|b| b.name == s.array)?.clone();
        let bytes = shared.dtype.size_bytes() as i64;
        let mut own = false;
        s.value.visit(&mut |v| {
            own |= matches!(&v.kind, TypedKind::Read { array, .. } if *array == s.array);
        });
        let plain = s.guard.is_none() && s.op == AssignOp::Set && !own;
        if shared.panel.is_some() || !plain || ![2, 4].contains(&bytes) {
            return None;
        }
        let mut places: BTreeMap<BTreeMap<Atom, i64>, Vec<(i64, usize)>> = BTreeMap::new();
        let mut env = self.env.clone();
        for (number, dims) in elements.iter().enumerate() {
            for (var, lin) in a.vars.iter().zip(dims) {
                env.insert(var.clone(), lin.clone());
            }
            let at: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, &env)).collect();
            let address = self.offset(&shared, &at);
            places.entry(address.terms).or_default().push((address.constant, number));
        }
        let mut out = Vec::new();
        for (terms, mut all) in places {
            all.sort_unstable();
            let mut rest = all.as_slice();
            while let Some((first, _)) = rest.first() {
                let fits = |count: &usize| {
                    let wide = bytes * *count as i64;
                    let aligned = terms.values().chain([first]).all(|c| c % wide == 0);
                    let follow = rest.iter().zip(0..).take(*count);
                    let mut next = follow.map(|((at, _), i)| at - first == bytes * i);
                    *count <= rest.len() && aligned && next.all(|yes| yes)
                };
                let widest = usize::try_from(WIDEST / bytes).expect("4 or 8");
                let wide = [widest, widest / 2, widest / 4].into_iter().filter(|c| *c > 1);
                let count = wide.into_iter().find(fits).unwrap_or(1);
                let (these, after) = rest.split_at(count);
                out.push(these.iter().map(|(_, number)| *number).collect::<Vec<_>>());
                rest = after;
            }
        }
        out.iter().any(|run| run.len() > 1).then_some(out)
    }

    /// Whether the body of an `across` is one store to memory in which the two elements of
    /// each pair of a thread's registers lie side by side. `bases` are row and column of the
    /// thread's first element.
    pub(super) fn stores_pairs(
        &mut self,
        a: &Across,
        layout: &FragmentLayout,
        bases: &[Lin; 2],
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
            env.insert(var.clone(), base.clone());
        }
        let col = &bases[1];
        let mentions = |lin: &Lin| lin.any_atom(&|atom| col.terms.contains_key(atom));
        let mut at: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, &env)).collect();
        // a column is that of the fragment and an even number of others
        let Some(last) = at.pop().map(|last| last.plus(-1, col)) else { return false };
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

    /// Stores an element that is one of several neighbours, all of them with the last one; false
    /// where it is by itself.
    pub(crate) fn paired_store(&mut self, array: &Name, dims: &[Lin], value: &Value) -> bool {
        let Some(program) = &mut self.program else { return false };
        let Pairing::Run { count, address, mut values } =
            std::mem::replace(&mut program.pair, Pairing::Single)
        else {
            return false;
        };
        let address = address.unwrap_or_else(|| self.address(array, dims));
        values.push(value.clone());
        if values.len() < count {
            self.state().pair = Pairing::Run { count, address: Some(address), values };
            return true;
        }
        let regs = &self.buffers[array];
        let (dtype, space, alias) = (regs.dtype, regs.pointer.elem, alias(regs.class));
        let elem = half_elem(dtype).unwrap_or(value.elem);
        let lanes = u32::try_from(count).expect("few");
        let mut whole = Value::register("poison", elem, lanes);
        for (lane, one) in values.iter().enumerate() {
            let one = self.f.cast("bitcast", one, elem);
            let text = format!("insertelement {}, {}, i32 {lane}", whole.arg(), one.arg());
            whole = self.f.def(elem, lanes, &text);
        }
        if dtype.size_bytes() == 2 {
            let words = lanes / 2;
            let ty = if words == 1 { "i32".to_owned() } else { format!("<{words} x i32>") };
            whole = self.f.def("i32", words, &format!("bitcast {} to {ty}", whole.arg()));
        }
        let align = count * dtype.size_bytes();
        let text = format!("store {}, {space} {address}, align {align}{alias}", whole.arg());
        self.f.line(&text);
        true
    }
}
