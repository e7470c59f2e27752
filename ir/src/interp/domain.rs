//! What values an interpreter computes with: the exact types, or binary64 with error bounds.
//!
//! The bounds are those of a running error analysis ([Higham02] §3.3), to first order within an
//! expression: each value carries the most that a computation in the nest's own types can be off.
//! A reduction's terms may be added in any order, each sum rounded: (1+u)^n - 1 of the magnitude.

use crate::dtype::DType;
use crate::expr::{BinOp, Literal, Rounding, UnOp};
use crate::nest::{AssignOp, Keeps};
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

    /// A statement's value, in whose evaluation in a type so many operations round.
    fn evaluated(v: Self::V, _operations: u32, _dtype: DType) -> Self::V {
        v
    }

    /// What an assignment makes of the old and the new value, evaluated in the first type, stored
    /// as the second, where additions may drop bits.
    fn combine(
        op: AssignOp,
        old: Self::V,
        new: Self::V,
        _types: [DType; 2],
        _keeps: Option<Keeps>,
    ) -> Outcome<Self::V> {
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

/// A float of any type as a binary64 (integers and bools stay what they are).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    pub(crate) value: Scalar,
    /// The value computed with every term's absolute value, to first order.
    magnitude: f64,
    /// The most that the terms are off.
    error: f64,
    /// Sum of the unit roundoffs of the updates since.
    updates: f64,
    /// What additions since may have dropped, as a multiple of the magnitude.
    dropped: f64,
}

impl Wide {
    const fn new(value: Scalar, magnitude: f64, error: f64) -> Self {
        Self { value, magnitude, error, updates: 0.0, dropped: 0.0 }
    }

    /// The most that a computation in the nest's types is off.
    pub(crate) fn bound(&self) -> f64 {
        self.error + scaled((self.updates + self.dropped).exp_m1(), self.magnitude)
    }
}

/// A product that is zero where the factor is, whatever the magnitude.
fn scaled(factor: f64, magnitude: f64) -> f64 {
    if factor == 0.0 { 0.0 } else { factor * magnitude }
}

/// The largest relative error of one rounding to a type, in the computation or the reference; 0
/// for integers.
fn roundoff(dtype: DType) -> f64 {
    if !dtype.is_float() {
        return 0.0;
    }
    let bits = i32::try_from(dtype.precision_bits()).unwrap_or(53);
    let u = 2_f64.powi(-bits) + f64::EPSILON / 2.0;
    u / (1.0 - u)
}

/// The roundoff of a store from an evaluation in type `from`; 0 where the store is exact.
fn store_roundoff(from: DType, to: DType) -> f64 {
    let exact = from == from.compute_type() && from.widens_to(to);
    if exact || !from.is_float() || !to.is_float() { 0.0 } else { roundoff(from).max(roundoff(to)) }
}

/// What additions may have dropped after one more: up to 2^(1-N), as the largest of what is added
/// may be twice its power of two; partial sums lose no more together than one of them could.
fn dropped(before: f64, keeps: Option<Keeps>) -> f64 {
    let Some(Keeps { bits, over }) = keeps else { return before };
    let each = 2_f64.powi(1 - i32::try_from(bits).unwrap_or(53));
    (before + each).min(over.map_or(f64::INFINITY, |terms| f64::from(terms) * each))
}

/// Errors of a function that jumps: by one where the operand is off.
fn jump(error: f64) -> f64 {
    if error > 0.0 { error + 1.0 } else { 0.0 }
}

/// Binary64 arithmetic; only casts that the user wrote round to narrower types.
pub(crate) struct Widened;

impl Domain for Widened {
    type V = Wide;

    fn load(value: Scalar) -> Wide {
        let magnitude = value.to_f64().abs();
        let value = if value.dtype().is_float() { Scalar::f64(value.to_f64()) } else { value };
        Wide::new(value, magnitude, 0.0)
    }

    fn scalar(v: Wide, dtype: DType) -> Scalar {
        v.value.convert(dtype, Rounding::Nearest, false)
    }

    fn unary(op: UnOp, a: Wide) -> Outcome<Wide> {
        let value = value::unary(op, a.value)?;
        let (r, x, e) = (value.to_f64().abs(), a.value.to_f64().abs(), a.bound());
        let relative = if x == 0.0 { 0.0 } else { a.magnitude / x };
        let over = scaled(e, 1.0 / x);
        let (magnitude, error) = match op {
            UnOp::Neg | UnOp::Abs => (a.magnitude, e),
            UnOp::Exp | UnOp::Exp2 => (r * (1.0 + a.magnitude), scaled(e, r)),
            UnOp::Log | UnOp::Log2 => (r + relative, std::f64::consts::LOG2_E * over),
            UnOp::Sqrt | UnOp::Rsqrt => (r * relative.max(1.0), scaled(over, r)),
            UnOp::Rint | UnOp::Floor | UnOp::Ceil | UnOp::Trunc | UnOp::Exponent => (r, jump(e)),
            UnOp::Not | UnOp::IsFinite => (r, 0.0),
            UnOp::Tanh | UnOp::Erf => (r + a.magnitude, std::f64::consts::FRAC_2_SQRT_PI * e),
        };
        Ok(Wide::new(value, magnitude, error))
    }

    fn binary(op: BinOp, a: Wide, b: Wide) -> Outcome<Wide> {
        let value = value::binary(op, a.value, b.value)?;
        let (r, x, y) = (value.to_f64().abs(), a.value.to_f64().abs(), b.value.to_f64().abs());
        let (ea, eb) = (a.bound(), b.bound());
        let (magnitude, error) = match op {
            BinOp::Add | BinOp::Sub => (a.magnitude + b.magnitude, ea + eb),
            BinOp::Mul => {
                (a.magnitude * b.magnitude, scaled(eb, x) + scaled(ea, y) + scaled(ea, eb))
            }
            // a / b with both errors: (ea + |r|·eb) / |b|
            BinOp::Div => {
                ((a.magnitude + r * b.magnitude) / y, scaled(ea + scaled(eb, r), 1.0 / y))
            }
            BinOp::Min | BinOp::Max => {
                let chosen = if value.to_f64() == a.value.to_f64() { a } else { b };
                (chosen.magnitude, ea.max(eb))
            }
            BinOp::Pow => {
                let own = r * (1.0 + y * (a.magnitude / x).max(1.0) + b.magnitude * x.ln().abs());
                (own, scaled(scaled(ea, y / x) + scaled(eb, x.ln().abs()), r))
            }
            BinOp::Ldexp => {
                let factor = b.value.to_f64().exp2();
                (a.magnitude * factor, scaled(ea, factor))
            }
            BinOp::FloorDiv | BinOp::Mod => (r, jump(ea + eb)),
            BinOp::And
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
            | BinOp::Ne => (r, 0.0),
        };
        Ok(Wide::new(value, magnitude, error))
    }

    fn fma(a: Wide, b: Wide, c: Wide) -> Outcome<Wide> {
        let value = value::fma(a.value, b.value, c.value)?;
        let sum = Self::binary(BinOp::Add, Self::binary(BinOp::Mul, a, b)?, c)?;
        Ok(Wide { value, ..sum })
    }

    fn convert(v: Wide, from: DType, to: DType, rounding: Rounding, saturate: bool) -> Wide {
        if from.is_float() && to.is_float() && from.widens_to(to) && !saturate {
            return v;
        }
        let rounded = v.value.convert(to, rounding, saturate);
        let value = if to.is_float() { Scalar::f64(rounded.to_f64()) } else { rounded };
        let off = v.bound();
        // where the operand is off, it may round to the other side: two roundings apart
        let error = match (off > 0.0, to.is_float()) {
            (false, _) => 0.0,
            (true, true) => off + 2.0 * roundoff(to) * (value.to_f64().abs() + off),
            (true, false) => jump(off),
        };
        Wide::new(value, v.magnitude, error)
    }

    fn store(v: Wide, from: DType, to: DType) -> Wide {
        if !(from.is_float() && to.is_float()) {
            return Self::convert(v, from, to, Rounding::Nearest, false);
        }
        let stored = v.value.convert(to, Rounding::Nearest, false).to_f64();
        let exact = v.bound() == 0.0 && stored == v.value.to_f64();
        let u = if exact { 0.0 } else { store_roundoff(from, to) };
        Wide { error: v.error + scaled(u, v.value.to_f64().abs() + v.bound()), ..v }
    }

    fn evaluated(v: Wide, operations: u32, dtype: DType) -> Wide {
        let u = f64::from(operations) * roundoff(dtype.compute_type());
        Wide::new(v.value, v.magnitude, v.bound() + scaled(u.exp_m1(), v.magnitude))
    }

    fn combine(
        op: AssignOp,
        old: Wide,
        new: Wide,
        [from, to]: [DType; 2],
        keeps: Option<Keeps>,
    ) -> Outcome<Wide> {
        let rounding = roundoff(from.compute_type()) + store_roundoff(from, to);
        let combined = |op: BinOp, (a, b): (f64, f64)| -> Outcome<Wide> {
            let Wide { value, magnitude, .. } = Self::binary(op, old, new)?;
            let error = scaled(old.error, a) + scaled(new.bound(), b);
            let updates = old.updates + rounding;
            Ok(Wide { value, magnitude, error, updates, dropped: dropped(old.dropped, keeps) })
        };
        match op {
            AssignOp::Set => Ok(new),
            AssignOp::Add => combined(BinOp::Add, (1.0, 1.0)),
            AssignOp::Mul => combined(BinOp::Mul, (new.magnitude, old.magnitude)),
            AssignOp::Min => Self::binary(BinOp::Min, old, new),
            AssignOp::Max => Self::binary(BinOp::Max, old, new),
        }
    }
}
