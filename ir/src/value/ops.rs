//! Arithmetic on scalars of the compute types: f64, f32, the integers and bool.
//!
//! In: an operator and operands of one type. Out: the result, or [`UndefinedOp`] where the
//! language gives the operator no meaning on that type.

use super::float::{Format, Parts};
use super::{Scalar, mask};
use crate::dtype::DType;
use crate::expr::{BinOp, Rounding, UnOp};
use crate::nest::AssignOp;

/// The operator has no meaning on operands of these types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} is not defined on {types}")]
pub struct UndefinedOp {
    /// The operator.
    pub op: String,
    /// The operands' types.
    pub types: String,
}

type Outcome = Result<Scalar, UndefinedOp>;

#[cold]
fn undefined(op: &dyn std::fmt::Debug, operands: &[Scalar]) -> UndefinedOp {
    let types: Vec<&str> = operands.iter().map(|s| s.dtype.name()).collect();
    UndefinedOp { op: format!("{op:?}"), types: types.join(" and ") }
}

/// An operator of one operand.
///
/// # Errors
/// [`UndefinedOp`].
pub fn unary(op: UnOp, a: Scalar) -> Outcome {
    let result = match op {
        UnOp::Exponent => exponent(a),
        UnOp::IsFinite => a.dtype.is_float().then(|| Scalar::bool(a.to_f64().is_finite())),
        UnOp::Neg
        | UnOp::Not
        | UnOp::Abs
        | UnOp::Rint
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
        | UnOp::Erf => match a.dtype {
            DType::F32 => unary_f32(op, a.as_f32_bits()).map(Scalar::f32),
            DType::F64 => unary_f64(op, f64::from_bits(a.bits)).map(Scalar::f64),
            DType::Bool if op == UnOp::Not => Some(Scalar::bool(a.bits == 0)),
            _ if a.dtype.is_int() => unary_int(op, a),
            _ => None,
        },
    };
    result.ok_or_else(|| undefined(&op, &[a]))
}

/// Writes one function of floats for f32 and f64 alike.
macro_rules! unary_float {
    ($name:ident, $t:ty, $erf:path) => {
        fn $name(op: UnOp, x: $t) -> Option<$t> {
            Some(match op {
                UnOp::Neg => -x,
                UnOp::Abs => x.abs(),
                UnOp::Rint => x.round_ties_even(),
                UnOp::Floor => x.floor(),
                UnOp::Ceil => x.ceil(),
                UnOp::Trunc => x.trunc(),
                UnOp::Exp => x.exp(),
                UnOp::Exp2 => x.exp2(),
                UnOp::Log => x.ln(),
                UnOp::Log2 => x.log2(),
                UnOp::Sqrt => x.sqrt(),
                UnOp::Rsqrt => 1.0 / x.sqrt(),
                UnOp::Tanh => x.tanh(),
                UnOp::Erf => $erf(x),
                UnOp::Not | UnOp::Exponent | UnOp::IsFinite => return None,
            })
        }
    };
}
unary_float!(unary_f32, f32, libm::erff);
unary_float!(unary_f64, f64, libm::erf);

fn unary_int(op: UnOp, a: Scalar) -> Option<Scalar> {
    let bits = match op {
        UnOp::Neg => a.bits.wrapping_neg(),
        UnOp::Not => !a.bits,
        UnOp::Abs => {
            if a.as_i64() < 0 && a.dtype.is_signed_int() {
                a.bits.wrapping_neg()
            } else {
                a.bits
            }
        }
        UnOp::Rint
        | UnOp::Floor
        | UnOp::Ceil
        | UnOp::Trunc
        | UnOp::Exponent
        | UnOp::IsFinite
        | UnOp::Exp
        | UnOp::Exp2
        | UnOp::Log
        | UnOp::Log2
        | UnOp::Sqrt
        | UnOp::Rsqrt
        | UnOp::Tanh
        | UnOp::Erf => return None,
    };
    Some(Scalar { dtype: a.dtype, bits: bits & mask(a.dtype) })
}

fn exponent(a: Scalar) -> Option<Scalar> {
    let value = match Format::of(a.dtype)?.decode(a.bits) {
        Parts::Finite { mantissa: 0, .. } => i64::from(i32::MIN),
        Parts::Finite { mantissa, exponent, .. } => {
            exponent + i64::from(63 - mantissa.leading_zeros())
        }
        Parts::Infinite { .. } | Parts::Nan => i64::from(i32::MAX),
    };
    Some(Scalar::from_i64(DType::I32, value))
}

/// An operator of two operands: of one type, except that `Ldexp` takes a float and an i32.
///
/// # Errors
/// [`UndefinedOp`], also when the types of the operands differ.
pub fn binary(op: BinOp, a: Scalar, b: Scalar) -> Outcome {
    let result = if op == BinOp::Ldexp {
        ldexp(a, b)
    } else if a.dtype != b.dtype {
        None
    } else {
        match a.dtype {
            DType::F32 => binary_f32(op, a.as_f32_bits(), b.as_f32_bits()),
            DType::F64 => binary_f64(op, f64::from_bits(a.bits), f64::from_bits(b.bits)),
            DType::Bool => binary_bool(op, a.bits, b.bits),
            DType::I64 | DType::I32 | DType::I16 | DType::I8 => binary_signed(op, a, b),
            DType::U64 | DType::U32 | DType::U16 | DType::U8 => binary_unsigned(op, a, b),
            DType::Tf32
            | DType::F16
            | DType::Bf16
            | DType::E4m3
            | DType::E5m2
            | DType::E2m1
            | DType::Ue8m0
            | DType::Ue4m3 => None,
        }
    };
    result.ok_or_else(|| undefined(&op, &[a, b]))
}

macro_rules! binary_float {
    ($name:ident, $t:ident) => {
        fn $name(op: BinOp, a: $t, b: $t) -> Option<Scalar> {
            let value = match op {
                BinOp::Add => a + b,
                BinOp::Sub => a - b,
                BinOp::Mul => a * b,
                BinOp::Div => a / b,
                BinOp::Pow => a.powf(b),
                BinOp::Min | BinOp::Max if a.is_nan() || b.is_nan() => $t::NAN,
                // equal operands differ in the sign of zero at most
                BinOp::Min if a == b => {
                    if a.is_sign_negative() {
                        a
                    } else {
                        b
                    }
                }
                BinOp::Max if a == b => {
                    if a.is_sign_negative() {
                        b
                    } else {
                        a
                    }
                }
                BinOp::Min => {
                    if a < b {
                        a
                    } else {
                        b
                    }
                }
                BinOp::Max => {
                    if a > b {
                        a
                    } else {
                        b
                    }
                }
                BinOp::Lt => return Some(Scalar::bool(a < b)),
                BinOp::Le => return Some(Scalar::bool(a <= b)),
                BinOp::Gt => return Some(Scalar::bool(a > b)),
                BinOp::Ge => return Some(Scalar::bool(a >= b)),
                BinOp::Eq => return Some(Scalar::bool(a == b)),
                BinOp::Ne => return Some(Scalar::bool(a != b)),
                BinOp::FloorDiv
                | BinOp::Mod
                | BinOp::And
                | BinOp::Or
                | BinOp::Xor
                | BinOp::Shl
                | BinOp::Shr
                | BinOp::MulHi
                | BinOp::Ldexp => return None,
            };
            Some(Scalar::$t(value))
        }
    };
}
binary_float!(binary_f32, f32);
binary_float!(binary_f64, f64);

fn binary_bool(op: BinOp, a: u64, b: u64) -> Option<Scalar> {
    let value = match op {
        BinOp::And | BinOp::Min => a & b != 0,
        BinOp::Or | BinOp::Max => a | b != 0,
        BinOp::Xor | BinOp::Ne => a != b,
        BinOp::Eq => a == b,
        BinOp::Lt => a < b,
        BinOp::Le => a <= b,
        BinOp::Gt => a > b,
        BinOp::Ge => a >= b,
        BinOp::Add
        | BinOp::Sub
        | BinOp::Mul
        | BinOp::Div
        | BinOp::FloorDiv
        | BinOp::Mod
        | BinOp::Pow
        | BinOp::Shl
        | BinOp::Shr
        | BinOp::MulHi
        | BinOp::Ldexp => return None,
    };
    Some(Scalar::bool(value))
}

fn binary_signed(op: BinOp, a: Scalar, b: Scalar) -> Option<Scalar> {
    let (x, y) = (a.as_i64(), b.as_i64());
    let width = 8 * a.dtype.size_bytes() as i64;
    let value = match op {
        BinOp::Add => x.wrapping_add(y),
        BinOp::Sub => x.wrapping_sub(y),
        BinOp::Mul => x.wrapping_mul(y),
        BinOp::FloorDiv => floor_div(x, y),
        BinOp::Mod => x.wrapping_sub(y.wrapping_mul(floor_div(x, y))),
        BinOp::Min => x.min(y),
        BinOp::Max => x.max(y),
        BinOp::And => x & y,
        BinOp::Or => x | y,
        BinOp::Xor => x ^ y,
        BinOp::Shl => {
            if (0..width).contains(&y) {
                x << y
            } else {
                0
            }
        }
        BinOp::Shr => x >> (if (0..width).contains(&y) { y } else { 63 }),
        BinOp::MulHi => ((i128::from(x) * i128::from(y)) >> width) as i64,
        BinOp::Lt => return Some(Scalar::bool(x < y)),
        BinOp::Le => return Some(Scalar::bool(x <= y)),
        BinOp::Gt => return Some(Scalar::bool(x > y)),
        BinOp::Ge => return Some(Scalar::bool(x >= y)),
        BinOp::Eq => return Some(Scalar::bool(x == y)),
        BinOp::Ne => return Some(Scalar::bool(x != y)),
        BinOp::Div | BinOp::Pow | BinOp::Ldexp => return None,
    };
    Some(Scalar { dtype: a.dtype, bits: value.cast_unsigned() & mask(a.dtype) })
}

fn floor_div(x: i64, y: i64) -> i64 {
    match y {
        0 => 0,
        -1 => x.wrapping_neg(),
        _ => {
            let quotient = x / y;
            if x % y != 0 && (x < 0) != (y < 0) { quotient - 1 } else { quotient }
        }
    }
}

fn binary_unsigned(op: BinOp, a: Scalar, b: Scalar) -> Option<Scalar> {
    let (x, y) = (a.bits, b.bits);
    let width = 8 * a.dtype.size_bytes() as u64;
    let value = match op {
        BinOp::Add => x.wrapping_add(y),
        BinOp::Sub => x.wrapping_sub(y),
        BinOp::Mul => x.wrapping_mul(y),
        BinOp::FloorDiv => x.checked_div(y).unwrap_or(0),
        BinOp::Mod => x.checked_rem(y).unwrap_or(x),
        BinOp::Min => x.min(y),
        BinOp::Max => x.max(y),
        BinOp::And => x & y,
        BinOp::Or => x | y,
        BinOp::Xor => x ^ y,
        BinOp::Shl => {
            if y < width {
                x << y
            } else {
                0
            }
        }
        BinOp::Shr => {
            if y < width {
                x >> y
            } else {
                0
            }
        }
        BinOp::MulHi => ((u128::from(x) * u128::from(y)) >> width) as u64,
        BinOp::Lt => return Some(Scalar::bool(x < y)),
        BinOp::Le => return Some(Scalar::bool(x <= y)),
        BinOp::Gt => return Some(Scalar::bool(x > y)),
        BinOp::Ge => return Some(Scalar::bool(x >= y)),
        BinOp::Eq => return Some(Scalar::bool(x == y)),
        BinOp::Ne => return Some(Scalar::bool(x != y)),
        BinOp::Div | BinOp::Pow | BinOp::Ldexp => return None,
    };
    Some(Scalar { dtype: a.dtype, bits: value & mask(a.dtype) })
}

fn ldexp(a: Scalar, n: Scalar) -> Option<Scalar> {
    if n.dtype != DType::I32 || a.dtype.compute_type() != a.dtype {
        return None;
    }
    let format = Format::of(a.dtype)?;
    Some(match format.decode(a.bits) {
        Parts::Finite { negative, mantissa, exponent } => {
            let exponent = exponent + n.as_i64();
            let bits = format.encode(negative, mantissa, exponent, Rounding::Nearest, false);
            Scalar { dtype: a.dtype, bits }
        }
        Parts::Infinite { .. } | Parts::Nan => a,
    })
}

/// `a·b + c`, rounded once for floats, modulo 2^n for integers.
///
/// # Errors
/// [`UndefinedOp`], also when the types of the operands differ.
pub fn fma(a: Scalar, b: Scalar, c: Scalar) -> Outcome {
    let error = || undefined(&"fma", &[a, b, c]);
    if a.dtype != b.dtype || b.dtype != c.dtype {
        return Err(error());
    }
    match a.dtype {
        DType::F32 => Ok(Scalar::f32(a.as_f32_bits().mul_add(b.as_f32_bits(), c.as_f32_bits()))),
        DType::F64 => Ok(Scalar::f64(
            f64::from_bits(a.bits).mul_add(f64::from_bits(b.bits), f64::from_bits(c.bits)),
        )),
        _ if a.dtype.is_int() => {
            let bits = a.bits.wrapping_mul(b.bits).wrapping_add(c.bits) & mask(a.dtype);
            Ok(Scalar { dtype: a.dtype, bits })
        }
        _ => Err(error()),
    }
}

/// What an assignment operator makes of the target's old value and the statement's value.
///
/// # Errors
/// [`UndefinedOp`], also when the types of the operands differ.
pub fn combine(op: AssignOp, old: Scalar, value: Scalar) -> Outcome {
    let op = match op {
        AssignOp::Set => return Ok(value),
        AssignOp::Add => BinOp::Add,
        AssignOp::Mul => BinOp::Mul,
        AssignOp::Min => BinOp::Min,
        AssignOp::Max => BinOp::Max,
    };
    binary(op, old, value)
}
