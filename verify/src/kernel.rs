//! Structure and types of a kernel: names, ranks, loops, operand types, literals.
//!
//! In: any kernel value. Out: the kernel sealed, or every fault found.
//! Keeps: after this, code generation can rely on the doc comments of [`warploom_ir::kernel`]
//! without a check of its own.

mod barriers;
mod calls;
mod device;
mod mapped;
mod rows;
mod taking;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::kernel::device::Shared;
use warploom_ir::kernel::{
    Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, Local, LoopMode, MAX_LOCAL_BYTES,
    Store, Typed, TypedKind,
};
use warploom_ir::nest::Role;

use crate::Verified;

/// Deepest nesting of loops and of expressions, so that no later stage runs out of stack.
const MAX_DEPTH: usize = 200;

/// Checks a kernel and seals it.
///
/// # Errors
/// Every fault found, at least one.
pub fn kernel(k: Kernel) -> Result<Verified<Kernel>, Vec<Diagnostic>> {
    let mut checker = Checker::default();
    checker.kernel(&k);
    if checker.faults.is_empty() {
        checker.faults = crate::kernel_proofs::prove(&k);
    }
    if checker.faults.is_empty() { Ok(Verified(k)) } else { Err(checker.faults) }
}

#[derive(Default)]
struct Checker {
    arrays: BTreeMap<Name, Buffer>,
    /// Variables in scope.
    scope: BTreeSet<Name>,
    /// Every loop variable seen.
    seen: BTreeSet<Name>,
    faults: Vec<Diagnostic>,
    /// The block program around what is checked.
    context: device::Context,
}

/// What stands around a node.
#[derive(Clone, Copy)]
struct Around {
    vector: bool,
    depth: usize,
    /// Bytes of the local buffers around it.
    local_bytes: i64,
    /// Copies of it that unrolled loops of a role make.
    copies: i64,
}

impl Checker {
    fn fault(&mut self, code: &'static str, text: impl Into<String>) {
        self.faults.push(Diagnostic::new(code, Blame::Schedule, text));
    }

    fn kernel(&mut self, k: &Kernel) {
        for p in &k.params {
            if !self.scope.insert(p.clone()) {
                self.fault("E1001", format!("parameter `{p}` is declared twice"));
            }
        }
        for b in &k.buffers {
            for extent in &b.shape {
                self.index(extent, &format!("the shape of `{}`", b.name), 0);
            }
            if !b.folds() {
                let text =
                    format!("`{}` has other extents than the caller's array, folded", b.name);
                self.fault("E1018", text);
            }
            if self.arrays.insert(b.name.clone(), b.clone()).is_some() {
                self.fault("E1001", format!("buffer `{}` is declared twice", b.name));
            }
            if b.packed() && b.role != Role::In {
                let text = format!(
                    "two elements of `{}` share a byte, which two threads could write: arrays of \
                     {} are only read",
                    b.name, b.dtype
                );
                self.fault("E1019", text);
            }
            self.table(b);
        }
        self.nodes(&k.body, Around { vector: false, depth: 0, local_bytes: 0, copies: 1 });
        let params: BTreeSet<Name> = k.params.iter().cloned().collect();
        self.faults.extend(mapped::faults(&k.body, &params));
    }

    /// A constant table has as many literals as its shape holds, and they fit.
    fn table(&mut self, b: &Buffer) {
        let Role::Const(values) = &b.role else { return };
        let mut size = Some(1_usize);
        for extent in &b.shape {
            size = match extent {
                Index::Const(v) => {
                    size.zip(usize::try_from(*v).ok()).and_then(|(a, b)| a.checked_mul(b))
                }
                _ => None,
            };
        }
        if size != Some(values.len()) {
            self.fault(
                "E1005",
                format!(
                    "constant `{}` has {} values, not as many as its shape",
                    b.name,
                    values.len()
                ),
            );
        }
        if let Some(bad) = values.iter().find(|v| !types::literal_fits(**v, b.dtype)) {
            self.fault("E1004", format!("{bad:?} is no value of `{}`: {}", b.name, b.dtype));
        }
    }

    fn nodes(&mut self, nodes: &[KernelNode], around: Around) {
        if around.depth > MAX_DEPTH {
            self.fault("E1003", "loops and guards are nested too deeply");
            return;
        }
        let inner = Around { depth: around.depth + 1, ..around };
        for node in nodes {
            match node {
                KernelNode::Loop(l) => self.run_loop(l, inner),
                KernelNode::If(c, then, otherwise) => {
                    if around.vector {
                        self.fault("E1003", "a vector loop contains a guard");
                    }
                    self.condition(c, "a guard", 0);
                    self.nodes(then, inner);
                    self.nodes(otherwise, inner);
                }
                KernelNode::Store(s) => {
                    if !self.context.may_store() {
                        let text = format!("no thread is told to run statement `{}`", s.statement);
                        self.fault("E1016", text);
                    }
                    self.store(s);
                }
                KernelNode::Device(d) => self.device(d, inner),
                KernelNode::Local(l) => {
                    if self.context.team.is_some() {
                        let text = format!("the local buffer `{}` is inside a role", l.name);
                        self.fault("E1016", text);
                    }
                    self.local(l, inner);
                }
            }
        }
    }

    fn local(&mut self, l: &Local, mut around: Around) {
        if let Some(bad) = l.shape.iter().find(|e| **e <= 0) {
            let text = format!("the local buffer `{}` has the extent {bad}", l.name);
            self.fault("E1006", text);
        } else {
            let all = l.bytes().and_then(|b| b.checked_add(around.local_bytes));
            if let Some(all) = all.filter(|b| *b <= MAX_LOCAL_BYTES) {
                around.local_bytes = all;
            } else {
                let size = all.map_or("more than 64 bits can count".to_owned(), |b| b.to_string());
                let text = format!(
                    "the local buffers up to `{}` take {size} bytes together, and at most \
                     {MAX_LOCAL_BYTES} are allowed",
                    l.name
                );
                self.fault("E1007", text);
            }
        }
        if self.arrays.contains_key(&l.name) {
            self.fault("E1001", format!("the name `{}` is used by two buffers", l.name));
            return;
        }
        let buffer = Buffer {
            name: l.name.clone(),
            role: Role::Temp,
            dtype: l.dtype,
            shape: l.shape.iter().map(|e| Index::Const(*e)).collect(),
            of: None,
        };
        self.arrays.insert(l.name.clone(), buffer);
        self.nodes(&l.body, around);
        self.arrays.remove(&l.name);
    }

    fn run_loop(&mut self, l: &KernelLoop, mut around: Around) {
        let place = format!("the bounds of loop `{}`", l.var);
        self.index(&l.lower, &place, 0);
        self.index(&l.upper, &place, 0);
        if l.step <= 0 {
            self.fault("E1003", format!("loop `{}` has the step {}", l.var, l.step));
        }
        if around.vector && l.mode != LoopMode::Unroll {
            self.fault("E1003", format!("loop `{}` inside a vector loop is not unrolled", l.var));
        }
        if !self.seen.insert(l.var.clone()) || self.scope.contains(&l.var) {
            self.fault("E1001", format!("the name `{}` is used by two loops", l.var));
            return;
        }
        self.role_loop(l, &mut around);
        around.vector |= l.mode == LoopMode::Vector;
        self.scope.insert(l.var.clone());
        self.nodes(&l.body, around);
        self.scope.remove(&l.var);
    }

    fn store(&mut self, s: &Store<Index>) {
        let place = format!("statement `{}`", s.statement);
        self.access(&s.array, &s.indices, s.dtype, &place);
        if self.arrays.get(&s.array).is_some_and(|b| matches!(b.role, Role::In | Role::Const(_))) {
            self.fault("E1002", format!("{place} writes `{}`, which is only read", s.array));
        }
        self.typed(&s.value, &place, 0);
        if let Some(guard) = &s.guard {
            self.typed(guard, &place, 0);
            if guard.dtype != warploom_ir::dtype::DType::Bool {
                self.fault("E1004", format!("the guard of {place} is {}, not bool", guard.dtype));
            }
        }
        if !types::combines(s.op, s.value.dtype) {
            let (op, dtype) = (s.op.text(), s.value.dtype);
            self.fault("E1004", format!("{place}: `{op}` is not defined on {dtype}"));
        }
    }

    /// An array element: the array exists, with this type and rank.
    fn access(
        &mut self,
        array: &Name,
        indices: &[Index],
        dtype: warploom_ir::dtype::DType,
        place: &str,
    ) {
        match self.arrays.get(array) {
            None => self.fault("E1001", format!("{place} names `{array}`, which is no buffer")),
            Some(b) => {
                let (want, rank) = (b.dtype, b.shape.len());
                if want != dtype {
                    self.fault("E1004", format!("{place}: `{array}` is {want}, not {dtype}"));
                }
                if self.context.shared.get(array).is_some_and(Shared::packed) {
                    let text = format!(
                        "{place}: two elements of `{array}` share a byte: threads have none of them"
                    );
                    self.fault("E1019", text);
                }
                if rank != indices.len() {
                    let n = indices.len();
                    self.fault("E1002", format!("{place}: `{array}` has rank {rank}, not {n}"));
                }
            }
        }
        for index in indices {
            self.index(index, place, 0);
        }
    }

    fn index(&mut self, index: &Index, place: &str, depth: usize) {
        if depth > MAX_DEPTH {
            self.fault("E1003", format!("an index in {place} is nested too deeply"));
            return;
        }
        match index {
            Index::Const(_) => {}
            Index::Var(name) => {
                if !self.scope.contains(name) {
                    let text = format!("{place} uses `{name}`, which is no variable there");
                    self.fault("E1001", text);
                }
            }
            Index::Add(a, b) | Index::Sub(a, b) | Index::Min(a, b) | Index::Max(a, b) => {
                self.index(a, place, depth + 1);
                self.index(b, place, depth + 1);
            }
            Index::Mul(_, a) => self.index(a, place, depth + 1),
            Index::FloorDiv(a, d) | Index::Mod(a, d) => {
                if *d <= 0 {
                    self.fault("E1002", format!("{place} divides by {d}"));
                }
                self.index(a, place, depth + 1);
            }
            Index::Select(c, a, b) => {
                self.condition(c, place, depth + 1);
                self.index(a, place, depth + 1);
                self.index(b, place, depth + 1);
            }
        }
    }

    fn condition(&mut self, c: &Condition, place: &str, depth: usize) {
        if depth > MAX_DEPTH {
            self.fault("E1003", format!("a condition in {place} is nested too deeply"));
            return;
        }
        match c {
            Condition::Ge(a, b) | Condition::Eq(a, b) => {
                self.index(a, place, depth + 1);
                self.index(b, place, depth + 1);
            }
            Condition::All(parts) | Condition::Any(parts) => {
                for part in parts {
                    self.condition(part, place, depth + 1);
                }
            }
        }
    }

    fn typed(&mut self, t: &Typed<Index>, place: &str, depth: usize) {
        if depth > MAX_DEPTH {
            self.fault("E1003", format!("an expression in {place} is nested too deeply"));
            return;
        }
        match &t.kind {
            TypedKind::Literal(_) => {}
            TypedKind::Index(i) => self.index(i, place, depth + 1),
            TypedKind::Read { array, indices } => self.access(array, indices, t.dtype, place),
            TypedKind::Unary(_, a)
            | TypedKind::Bitcast(a)
            | TypedKind::Convert { value: a, .. } => {
                self.typed(a, place, depth + 1);
            }
            TypedKind::Binary(_, a, b) => {
                self.typed(a, place, depth + 1);
                self.typed(b, place, depth + 1);
            }
            TypedKind::Fma(a, b, c) | TypedKind::Select(a, b, c) => {
                self.typed(a, place, depth + 1);
                self.typed(b, place, depth + 1);
                self.typed(c, place, depth + 1);
            }
        }
        if let Err(why) = types::node(t) {
            self.fault("E1004", format!("{place}: {why}"));
        }
    }
}

#[cfg(test)]
mod device_tests;
#[cfg(test)]
mod tests;
