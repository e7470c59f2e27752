//! How many instructions a value takes.
//!
//! In: a typed expression. Out: instructions of a thread.
//! Keeps: counts are of what code generation emits for a function, rounded; indices cost by the
//! access, not by their terms, because loops over neighbours share them.

use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, UnOp};
use warploom_ir::kernel::{Index, Store, Typed, TypedKind};
use warploom_ir::nest::AssignOp;

/// Instructions for the address of an access.
pub(super) const ADDRESS: f64 = 1.0;

/// A read or written element: array and indices.
pub(super) type Element<'a> = (&'a warploom_ir::affine::Name, &'a [Index], DType);

/// Instructions of a value beside its accesses, which are pushed to `reads`.
pub(super) fn count<'a>(value: &'a Typed<Index>, reads: &mut Vec<Element<'a>>) -> f64 {
    let wide = if value.dtype == DType::F64 { 2.0 } else { 1.0 };
    match &value.kind {
        TypedKind::Literal(_) => 0.0,
        TypedKind::Index(_) => 1.0,
        TypedKind::Read { array, indices } => {
            let element: Element<'a> = (array, indices, value.dtype);
            if !reads.contains(&element) {
                reads.push(element);
            }
            0.0
        }
        TypedKind::Unary(op, a) => count(a, reads) + wide * unary(*op),
        TypedKind::Binary(op, a, b) => count(a, reads) + count(b, reads) + wide * binary(*op),
        TypedKind::Fma(a, b, c) => count(a, reads) + count(b, reads) + count(c, reads) + wide,
        TypedKind::Select(a, b, c) => count(a, reads) + count(b, reads) + count(c, reads) + 1.0,
        TypedKind::Convert { value, .. } => count(value, reads) + 1.0,
        TypedKind::Bitcast(value) => count(value, reads),
    }
}

fn unary(op: UnOp) -> f64 {
    match op {
        UnOp::Neg | UnOp::Not | UnOp::Abs | UnOp::IsFinite => 1.0,
        UnOp::Rint | UnOp::Floor | UnOp::Ceil | UnOp::Trunc | UnOp::Exponent => 2.0,
        UnOp::Exp | UnOp::Exp2 | UnOp::Rsqrt => 16.0,
        UnOp::Log | UnOp::Log2 | UnOp::Sqrt => 16.0,
        UnOp::Tanh => 25.0,
        UnOp::Erf => 45.0,
    }
}

fn binary(op: BinOp) -> f64 {
    match op {
        BinOp::Add
        | BinOp::Sub
        | BinOp::Mul
        | BinOp::Min
        | BinOp::Max
        | BinOp::And
        | BinOp::Or
        | BinOp::Xor
        | BinOp::Shl
        | BinOp::Shr
        | BinOp::Lt
        | BinOp::Le
        | BinOp::Gt
        | BinOp::Ge
        | BinOp::Eq
        | BinOp::Ne
        | BinOp::MulHi => 1.0,
        BinOp::Ldexp => 3.0,
        BinOp::Div => 16.0,
        BinOp::FloorDiv | BinOp::Mod => 20.0,
        BinOp::Pow => 40.0,
    }
}

/// Instructions of a store beside its accesses, all it reads, and whether its target is read too.
pub(super) fn store(s: &Store<Index>) -> (f64, Vec<Element<'_>>, bool) {
    let mut reads = Vec::new();
    let mut n = count(&s.value, &mut reads);
    if let Some(guard) = &s.guard {
        n += count(guard, &mut reads) + 1.0;
    }
    let update = s.op != AssignOp::Set;
    // an update whose value is a product is one instruction with it
    let product = matches!(s.value.kind, TypedKind::Binary(BinOp::Mul, ..));
    n += if update && !product { 1.0 } else { 0.0 };
    n += if s.dtype == s.value.dtype { 0.0 } else { 1.0 };
    (n, reads, update)
}
