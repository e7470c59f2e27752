//! What of a factor is an element of an operand in shared memory, and what the product adds.
//!
//! In: a factor of the tensorized statement: an element of a buffer, converted or computed with,
//! also with numbers that stand for themselves (`alpha * A[i, k]`).
//! Out: the value that the instruction takes, in a type whose values are all values of the
//! instruction's. Keeps: what is left out converts without loss, so the product is the same.
//! Why here: threads compute this value on the way to shared memory, where the copy engine cannot,
//! or on the way from there to registers.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, Rounding, UnOp};
use warploom_ir::kernel::{Index, Typed, TypedKind};
use warploom_ir::value::float::Format;

/// A factor without the conversions that widen it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Factor {
    /// The one array that it reads, but for arrays without dimensions.
    pub(crate) array: Name,
    /// Its value.
    pub(crate) value: Typed<Affine>,
}

impl Factor {
    /// The factor, where it reads one element, numbers and no index.
    pub(crate) fn of(value: &Typed<Affine>) -> Option<Self> {
        let mut inner = value;
        while let TypedKind::Convert { value, .. } = &inner.kind {
            if !lossless(value.dtype, inner.dtype) {
                break;
            }
            inner = value;
        }
        let (mut arrays, mut numbers, mut others) = (Vec::new(), Vec::new(), false);
        inner.visit(&mut |v| match &v.kind {
            TypedKind::Read { array, indices } if indices.is_empty() => numbers.push(array.clone()),
            TypedKind::Read { array, .. } => arrays.push(array.clone()),
            TypedKind::Index(_) => others = true,
            TypedKind::Literal(_)
            | TypedKind::Unary(..)
            | TypedKind::Binary(..)
            | TypedKind::Fma(..)
            | TypedKind::Select(..)
            | TypedKind::Convert { .. }
            | TypedKind::Bitcast(_) => {}
        });
        if arrays.is_empty() {
            arrays = numbers;
        }
        let first = arrays.first().cloned();
        let array = first.filter(|a| !others && arrays.iter().all(|other| other == a))?;
        Some(Self { array, value: inner.clone() })
    }

    /// Whether an instruction that multiplies this type can take its values.
    pub(crate) fn fits(&self, dtype: DType) -> bool {
        lossless(self.value.dtype, dtype)
    }

    /// Whether an element of its array is the value of this type, as it is.
    pub(crate) fn plain(&self, dtype: DType) -> bool {
        matches!(self.value.kind, TypedKind::Read { .. }) && self.value.dtype == dtype
    }

    /// The value in this type, where `element` stands for the element that it reads.
    pub(crate) fn with<I: Clone>(&self, element: &Typed<I>, dtype: DType) -> Typed<I> {
        converted(put(&self.value, (&self.array, element)), dtype)
    }

    /// The numbers that it reads beside the element.
    pub(crate) fn numbers(&self) -> Vec<Name> {
        let mut out = Vec::new();
        self.value.visit(&mut |v| {
            if let TypedKind::Read { array, .. } = &v.kind
                && *array != self.array
            {
                out.push(array.clone());
            }
        });
        out
    }

    /// Whether it is zero where the element is, as long as the numbers that it reads are finite.
    pub(crate) fn keeps_zero(&self) -> bool {
        zero(&self.value, &self.array)
    }
}

/// The zero of a type.
pub(super) fn nothing(dtype: DType) -> Typed<Index> {
    let literal = if dtype.is_float() { Literal::Float(0.0) } else { Literal::Int(0) };
    Typed { dtype, kind: TypedKind::Literal(literal) }
}

/// Whether a value is zero with an element of this array.
fn zero(value: &Typed<Affine>, array: &Name) -> bool {
    match &value.kind {
        TypedKind::Read { array: read, .. } => read == array,
        TypedKind::Unary(UnOp::Neg | UnOp::Abs, a) => zero(a, array),
        TypedKind::Binary(BinOp::Mul, a, b) => {
            zero(a, array) && finite(b) || finite(a) && zero(b, array)
        }
        TypedKind::Convert { value, .. } => zero(value, array),
        TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Unary(..)
        | TypedKind::Binary(..)
        | TypedKind::Fma(..)
        | TypedKind::Select(..)
        | TypedKind::Bitcast(_) => false,
    }
}

/// Whether a value is a number.
fn finite(value: &Typed<Affine>) -> bool {
    match &value.kind {
        TypedKind::Literal(Literal::Float(x)) => x.is_finite(),
        TypedKind::Literal(Literal::Int(_)) => true,
        TypedKind::Read { indices, .. } => indices.is_empty(),
        TypedKind::Unary(UnOp::Neg | UnOp::Abs, a) => finite(a),
        TypedKind::Convert { value, .. } => finite(value),
        TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Unary(..)
        | TypedKind::Binary(..)
        | TypedKind::Fma(..)
        | TypedKind::Select(..)
        | TypedKind::Bitcast(_) => false,
    }
}

/// A value in a type, rounded to nearest.
pub(crate) fn converted<I>(value: Typed<I>, dtype: DType) -> Typed<I> {
    if value.dtype == dtype {
        return value;
    }
    let (rounding, value) = (Rounding::Nearest, Box::new(value));
    Typed { dtype, kind: TypedKind::Convert { rounding, saturate: false, value } }
}

/// A factor's value with another one in the place of the element that it reads; what else it reads
/// are numbers.
fn put<I: Clone>(value: &Typed<Affine>, of: (&Name, &Typed<I>)) -> Typed<I> {
    let go = |v: &Typed<Affine>| Box::new(put(v, of));
    let kind = match &value.kind {
        TypedKind::Read { array, .. } if array == of.0 => return of.1.clone(),
        TypedKind::Read { array, .. } => {
            TypedKind::Read { array: array.clone(), indices: Vec::new() }
        }
        TypedKind::Index(_) => unreachable!("a factor is of no index"),
        TypedKind::Literal(literal) => TypedKind::Literal(*literal),
        TypedKind::Unary(op, a) => TypedKind::Unary(*op, go(a)),
        TypedKind::Binary(op, a, b) => TypedKind::Binary(*op, go(a), go(b)),
        TypedKind::Fma(a, b, c) => TypedKind::Fma(go(a), go(b), go(c)),
        TypedKind::Select(a, b, c) => TypedKind::Select(go(a), go(b), go(c)),
        TypedKind::Convert { rounding, saturate, value } => {
            TypedKind::Convert { rounding: *rounding, saturate: *saturate, value: go(value) }
        }
        TypedKind::Bitcast(a) => TypedKind::Bitcast(go(a)),
    };
    Typed { dtype: value.dtype, kind }
}

/// Whether every value of a type is one of another.
fn lossless(from: DType, to: DType) -> bool {
    if from == to || from == DType::Bool || to == DType::Bool {
        return from == to;
    }
    let bits = |dtype: DType| dtype.bits() as i64;
    match (Format::of(from), Format::of(to)) {
        // no zero, and no sign
        (_, Some(b)) if b.power => false,
        (Some(a), Some(b)) if a.signed && !b.signed => false,
        (Some(a), Some(b)) if !a.finite && b.finite => false,
        (Some(a), Some(b)) => {
            let (a_ends, b_ends) = (ends(a), ends(b));
            let infinite = b.ieee || !a.ieee;
            infinite
                && b.significand_bits >= a.significand_bits
                && b_ends.0 <= a_ends.0
                && a_ends.1 <= b_ends.1
        }
        // one bit of a signed number is its sign, and the least number is a power of two
        (None, Some(b)) => {
            let own = bits(from) - i64::from(from.is_signed_int());
            let signed = b.signed || !from.is_signed_int();
            signed && own <= i64::from(b.significand_bits) + 1 && bits(from) - 1 <= ends(b).1
        }
        // there is no integer for what is not a number
        (Some(_), None) => false,
        (None, None) => match (from.is_signed_int(), to.is_signed_int()) {
            (true, false) => false,
            (false, true) => bits(to) > bits(from),
            (true, true) | (false, false) => bits(to) >= bits(from),
        },
    }
}

/// The exponents of the least and of the greatest powers of two of a format.
fn ends(f: Format) -> (i64, i64) {
    let bias = (1_i64 << (f.exponent_bits - 1)) - 1;
    if f.power {
        return (-bias, bias);
    }
    (1 - bias - i64::from(f.significand_bits), bias + i64::from(!f.ieee))
}

#[cfg(test)]
mod tests {
    use warploom_ir::value::Scalar;

    use super::*;

    /// By all values of a type of up to 16 bits.
    fn keeps_values(from: DType, to: DType) -> bool {
        let nearest = |v: Scalar, to| v.convert(to, Rounding::Nearest, false);
        (0..1_u64 << from.bits()).all(|bits| {
            let value = Scalar::from_bits(from, bits);
            let there = nearest(value, to);
            let back = nearest(there, from);
            let finite = |v: Scalar| v.to_f64().is_finite();
            let same = back.bits() == value.bits() && finite(value) == finite(there);
            same && (value.to_f64() == there.to_f64()) || value.is_nan() && there.is_nan()
        })
    }

    #[test]
    fn what_formats_say_holds_for_every_value() {
        use DType::{Bf16, E2m1, E4m3, E5m2, F16, F32, F64, Tf32, Ue4m3, Ue8m0};
        use DType::{I8, I16, I32, I64, U8, U16, U32, U64};
        let floats = [F64, F32, Tf32, F16, Bf16, E4m3, E5m2, E2m1, Ue8m0, Ue4m3];
        let all = [&floats[..], &[I64, U64, I32, U32, I16, U16, I8, U8]].concat();
        for &from in all.iter().filter(|t| t.size_bytes() <= 2) {
            for &to in &all {
                assert_eq!(lossless(from, to), keeps_values(from, to), "{from} {to}");
            }
        }
    }

    #[test]
    fn widening_conversions_keep_every_value() {
        use DType::{Bf16, E4m3, E5m2, F16, F32, I8, I32, Tf32, U8};
        for (from, to) in [
            (E4m3, Bf16),
            (E4m3, F16),
            (E5m2, F16),
            (I8, Bf16),
            (U8, Bf16),
            (I8, I32),
            (F16, F32),
            (F16, Tf32),
            (Bf16, F32),
            (Tf32, F32),
        ] {
            assert!(lossless(from, to), "{from} {to}");
        }
        for (from, to) in
            [(F16, Bf16), (Bf16, F16), (E4m3, E5m2), (E4m3, I8), (F32, Bf16), (U8, I8), (I32, F32)]
        {
            assert!(!lossless(from, to), "{from} {to}");
        }
    }
}
