//! What values an interpreter computes with: the exact types, or binary64 with error magnitudes.

use crate::dtype::DType;
use crate::expr::{BinOp, Literal, Rounding, UnOp};
use crate::nest::AssignOp;
use crate::value::{self, Scalar, UndefinedOp};

type Outcome<V> = Result<V, UndefinedOp>;

/// A way to compute. `dtype` arguments are the nominal types of the typed expression.
pub(crate) trait Domain {
    /// A value.
    type V: Copy;
    /// A value of a tensor.
    fn load(value: Scalar) -> Self::V;
    /// The value as a scalar of the nominal type.
    fn scalar(value: Self::V, dtype: DType) -> Scalar;
    /// An operator of one operand.
    fn unary(op: UnOp, a: Self::V) -> Outcome<Self::V>;
    /// An operator of two operands.
    fn binary(op: BinOp, a: Self::V, b: Self::V) -> Outcome<Self::V>;
    /// `a·b + c`.
    fn fma(a: Self::V, b: Self::V, c: Self::V) -> Outcome<Self::V>;
    /// A conversion written in the expression.
    fn convert(v: Self::V, from: DType, to: DType, rounding: Rounding, saturate: bool) -> Self::V;
    /// The conversion to the target's type at a store.
    fn store(v: Self::V, from: DType, to: DType) -> Self::V;

    /// A literal of a type.
    fn literal(dtype: DType, literal: Literal) -> Self::V {
        Self::load(Scalar::from_literal(dtype, literal))
    }

    /// An index as a value of a type.
    fn index(dtype: DType, index: i64) -> Self::V {
        Self::load(Scalar::from_i64(dtype, index))
    }

    /// The bits as another type; `None` where sizes differ.
    fn bitcast(v: Self::V, from: DType, to: DType) -> Option<Self::V> {
        Self::scalar(v, from).bitcast(to).map(Self::load)
    }

    /// What an assignment makes of the old and the new value.
    fn combine(op: AssignOp, old: Self::V, new: Self::V) -> Outcome<Self::V> {
        match op {
            AssignOp::Set => Ok(new),
            AssignOp::Add => Self::binary(BinOp::Add, old, new),
            AssignOp::Mul => Self::binary(BinOp::Mul, old, new),
            AssignOp::Min => Self::binary(BinOp::Min, old, new),
            AssignOp::Max => Self::binary(BinOp::Max, old, new),
        }
    }
}

/// The language's own types and roundings.
pub(crate) struct Exact;

impl Domain for Exact {
    type V = Scalar;

    fn load(value: Scalar) -> Scalar {
        value
    }

    fn scalar(value: Scalar, _: DType) -> Scalar {
        value
    }

    fn unary(op: UnOp, a: Scalar) -> Outcome<Scalar> {
        value::unary(op, a)
    }

    fn binary(op: BinOp, a: Scalar, b: Scalar) -> Outcome<Scalar> {
        value::binary(op, a, b)
    }

    fn fma(a: Scalar, b: Scalar, c: Scalar) -> Outcome<Scalar> {
        value::fma(a, b, c)
    }

    fn convert(v: Scalar, _: DType, to: DType, rounding: Rounding, saturate: bool) -> Scalar {
        v.convert(to, rounding, saturate)
    }

    fn store(v: Scalar, _: DType, to: DType) -> Scalar {
        v.convert(to, Rounding::Nearest, false)
    }
}

/// A float of any type as a binary64 (integers and bools stay what they are), with the magnitude
/// that its rounding error is proportional to: the value computed with every term's absolute
/// value, to first order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    pub(crate) value: Scalar,
    pub(crate) bound: f64,
}

/// Binary64 arithmetic; only casts that the user wrote round to narrower types.
pub(crate) struct Widened;

impl Domain for Widened {
    type V = Wide;

    fn load(value: Scalar) -> Wide {
        let bound = value.to_f64().abs();
        let value = if value.dtype().is_float() { Scalar::f64(value.to_f64()) } else { value };
        Wide { value, bound }
    }

    fn scalar(v: Wide, dtype: DType) -> Scalar {
        v.value.convert(dtype, Rounding::Nearest, false)
    }

    fn unary(op: UnOp, a: Wide) -> Outcome<Wide> {
        let value = value::unary(op, a.value)?;
        let (r, x) = (value.to_f64().abs(), a.value.to_f64().abs());
        let relative = if x == 0.0 { 0.0 } else { a.bound / x };
        let bound = match op {
            UnOp::Neg | UnOp::Abs => a.bound,
            UnOp::Exp | UnOp::Exp2 => r * (1.0 + a.bound),
            UnOp::Log | UnOp::Log2 => r + relative,
            UnOp::Sqrt | UnOp::Rsqrt => r * relative.max(1.0),
            UnOp::Not
            | UnOp::Rint
            | UnOp::Floor
            | UnOp::Ceil
            | UnOp::Trunc
            | UnOp::Exponent
            | UnOp::IsFinite => r,
            UnOp::Tanh | UnOp::Erf => r + a.bound,
        };
        Ok(Wide { value, bound })
    }

    fn binary(op: BinOp, a: Wide, b: Wide) -> Outcome<Wide> {
        let value = value::binary(op, a.value, b.value)?;
        let (r, y) = (value.to_f64().abs(), b.value.to_f64().abs());
        let bound = match op {
            BinOp::Add | BinOp::Sub => a.bound + b.bound,
            BinOp::Mul => a.bound * b.bound,
            // a / b with both errors: (ba + |r|·bb) / |b|
            BinOp::Div => (a.bound + r * b.bound) / y,
            BinOp::Min | BinOp::Max => a.bound.max(b.bound),
            BinOp::Pow => {
                let x = a.value.to_f64().abs();
                r * (1.0 + y * (a.bound / x).max(1.0) + b.bound * x.ln().abs())
            }
            BinOp::Ldexp => a.bound * (b.value.to_f64()).exp2(),
            BinOp::FloorDiv
            | BinOp::Mod
            | BinOp::And
            | BinOp::Or
            | BinOp::Xor
            | BinOp::Shl
            | BinOp::Shr
            | BinOp::MulHi
            | BinOp::Lt
            | BinOp::Le
            | BinOp::Gt
            | BinOp::Ge
            | BinOp::Eq
            | BinOp::Ne => r,
        };
        Ok(Wide { value, bound })
    }

    fn fma(a: Wide, b: Wide, c: Wide) -> Outcome<Wide> {
        let value = value::fma(a.value, b.value, c.value)?;
        Ok(Wide { value, bound: a.bound * b.bound + c.bound })
    }

    fn convert(v: Wide, from: DType, to: DType, rounding: Rounding, saturate: bool) -> Wide {
        if from.is_float() && to.is_float() && from.widens_to(to) && !saturate {
            return v;
        }
        let rounded = v.value.convert(to, rounding, saturate);
        let value = if to.is_float() { Scalar::f64(rounded.to_f64()) } else { rounded };
        Wide { value, bound: v.bound }
    }

    fn store(v: Wide, from: DType, to: DType) -> Wide {
        if from.is_float() && to.is_float() {
            v
        } else {
            Self::convert(v, from, to, Rounding::Nearest, false)
        }
    }
}
