//! Which operators are defined on which types, as `ir::value` computes them.

use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, UnOp};
use warploom_ir::kernel::{Typed, TypedKind};
use warploom_ir::nest::AssignOp;

/// True where arithmetic is done in the type itself.
fn computes(t: DType) -> bool {
    t.compute_type() == t
}

fn compute_float(t: DType) -> bool {
    matches!(t, DType::F32 | DType::F64)
}

/// Whether a literal is a value of the type (floats round).
pub(super) fn literal_fits(literal: Literal, t: DType) -> bool {
    match literal {
        Literal::Bool(_) => t == DType::Bool,
        Literal::Float(_) => t.is_float(),
        Literal::Int(v) => {
            let top = 1_i128 << t.precision_bits();
            let low = if t.is_signed_int() { -top } else { 0 };
            t.is_float() || (t.is_int() && (low..top).contains(&v.into()))
        }
    }
}

/// Whether an assignment operator is defined on the type of the value.
pub(super) fn combines(op: AssignOp, t: DType) -> bool {
    match op {
        AssignOp::Set => true,
        AssignOp::Add | AssignOp::Mul => computes(t) && t != DType::Bool,
        AssignOp::Min | AssignOp::Max => computes(t),
    }
}

fn require(ok: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(why()) }
}

/// Checks the types of one node against its operands'.
pub(super) fn node<I>(t: &Typed<I>) -> Result<(), String> {
    match &t.kind {
        TypedKind::Literal(v) => {
            require(literal_fits(*v, t.dtype), || format!("{v:?} is no value of {}", t.dtype))
        }
        TypedKind::Index(_) => {
            require(t.dtype != DType::Bool, || "an index cannot be a bool".to_owned())
        }
        TypedKind::Read { .. } | TypedKind::Convert { .. } => Ok(()),
        TypedKind::Unary(op, a) => unary(*op, a.dtype, t.dtype),
        TypedKind::Binary(op, a, b) => binary(*op, a.dtype, b.dtype, t.dtype),
        TypedKind::Fma(a, b, c) => {
            let same = [a.dtype, b.dtype, c.dtype].iter().all(|d| *d == t.dtype);
            let ok = same && (compute_float(t.dtype) || t.dtype.is_int());
            require(ok, || format!("fma of {}, {} and {}", a.dtype, b.dtype, c.dtype))
        }
        TypedKind::Select(c, a, b) => {
            let ok = c.dtype == DType::Bool && a.dtype == t.dtype && b.dtype == t.dtype;
            require(ok, || format!("select by {} of {} and {}", c.dtype, a.dtype, b.dtype))
        }
        TypedKind::Bitcast(a) => require(a.dtype.bits() == t.dtype.bits(), || {
            format!("{} and {} differ in size", a.dtype, t.dtype)
        }),
    }
}

fn unary(op: UnOp, a: DType, result: DType) -> Result<(), String> {
    let (defined, want) = match op {
        UnOp::Neg | UnOp::Abs => (compute_float(a) || a.is_int(), a),
        UnOp::Not => (a == DType::Bool || a.is_int(), a),
        UnOp::Exponent => (a.is_float(), DType::I32),
        UnOp::IsFinite => (a.is_float(), DType::Bool),
        UnOp::Rint
        | UnOp::Floor
        | UnOp::Ceil
        | UnOp::Trunc
        | UnOp::Exp
        | UnOp::Exp2
        | UnOp::Log
        | UnOp::Log2
        | UnOp::Sqrt
        | UnOp::Rsqrt
        | UnOp::Tanh
        | UnOp::Erf => (compute_float(a), a),
    };
    require(defined && want == result, || format!("{op:?} of {a} as {result} is not defined"))
}

fn binary(op: BinOp, a: DType, b: DType, result: DType) -> Result<(), String> {
    let (defined, want) = match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul => (compute_float(a) || a.is_int(), a),
        BinOp::Div | BinOp::Pow => (compute_float(a), a),
        BinOp::Min | BinOp::Max => (computes(a), a),
        BinOp::FloorDiv | BinOp::Mod | BinOp::Shl | BinOp::Shr | BinOp::MulHi => (a.is_int(), a),
        BinOp::And | BinOp::Or | BinOp::Xor => (a.is_int() || a == DType::Bool, a),
        BinOp::Ldexp => (compute_float(a), a),
        BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge | BinOp::Eq | BinOp::Ne => {
            (computes(a), DType::Bool)
        }
    };
    let second = if op == BinOp::Ldexp { DType::I32 } else { a };
    require(defined && want == result && b == second, || {
        format!("{op:?} of {a} and {b} as {result} is not defined")
    })
}
