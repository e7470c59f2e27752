//! Scalars: values of all types with the exact arithmetic of the language.
//!
//! Integers wrap modulo 2^n; floats follow IEEE 754 in the compute types f64 and f32; every
//! conversion rounds once. NaNs are values, their payload has no meaning: results hold the
//! format's positive quiet NaN or what the host's operation gives.
//! Why here: the interpreter is the oracle of everything, and constant folding, tests and
//! reference results use the same functions.

mod convert;
pub mod float;
mod ops;

pub use convert::int_range;
pub use ops::{UndefinedOp, binary, combine, fma, unary};

use crate::dtype::DType;
use crate::expr::{Literal, Rounding};
use float::Format;

/// A value of a type: its storage bits, zero-extended.
///
/// Equality is equality of type and bits; see [`Scalar::same`] for "equal or both NaN".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    dtype: DType,
    bits: u64,
}

/// All ones in the bits that mean something.
const fn mask(dtype: DType) -> u64 {
    let unused = matches!(dtype, DType::Ue4m3) as usize;
    u64::MAX >> (64 - dtype.bits() + unused)
}

impl Scalar {
    /// The value stored as these bits; higher bits are dropped, a bool is true unless 0.
    #[must_use]
    pub const fn from_bits(dtype: DType, bits: u64) -> Self {
        let bits = bits & mask(dtype);
        Self { dtype, bits: if matches!(dtype, DType::Bool) { (bits != 0) as u64 } else { bits } }
    }

    /// Zero (false) of a type.
    #[must_use]
    pub const fn zero(dtype: DType) -> Self {
        Self { dtype, bits: 0 }
    }

    /// A bool.
    #[must_use]
    pub const fn bool(value: bool) -> Self {
        Self { dtype: DType::Bool, bits: value as u64 }
    }

    /// A binary32.
    #[must_use]
    pub const fn f32(value: f32) -> Self {
        Self { dtype: DType::F32, bits: value.to_bits() as u64 }
    }

    /// A binary64.
    #[must_use]
    pub const fn f64(value: f64) -> Self {
        Self { dtype: DType::F64, bits: value.to_bits() }
    }

    /// An integer of any type: wrapped for integers, rounded to nearest-even for floats, `!= 0`
    /// for bool.
    #[must_use]
    pub fn from_i64(dtype: DType, value: i64) -> Self {
        Self { dtype: DType::I64, bits: value.cast_unsigned() }.convert(
            dtype,
            Rounding::Nearest,
            false,
        )
    }

    /// A binary64 in any type, rounded to nearest-even; integers wrap.
    #[must_use]
    pub fn from_f64(dtype: DType, value: f64) -> Self {
        Self::f64(value).convert(dtype, Rounding::Nearest, false)
    }

    /// A literal, rounded to nearest-even to the type.
    #[must_use]
    pub fn from_literal(dtype: DType, value: Literal) -> Self {
        match value {
            Literal::Int(v) => Self::from_i64(dtype, v),
            Literal::Float(v) => Self::from_f64(dtype, v),
            Literal::Bool(v) => Self::bool(v).convert(dtype, Rounding::Nearest, false),
        }
    }

    /// The type.
    #[must_use]
    pub const fn dtype(self) -> DType {
        self.dtype
    }

    /// The storage bits, zero-extended.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// The value as a binary64: exact for floats, bool and integers below 2^53, else rounded to
    /// nearest-even.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self.dtype {
            DType::F64 => f64::from_bits(self.bits),
            DType::F32 | DType::Tf32 => f64::from(self.as_f32_bits()),
            DType::Bf16 => f64::from(f32::from_bits((self.bits as u32) << 16)),
            DType::F16 | DType::E4m3 | DType::E5m2 | DType::E2m1 | DType::Ue8m0 | DType::Ue4m3 => {
                Format::of(self.dtype).expect("these are floats").to_f64(self.bits)
            }
            DType::I64 | DType::I32 | DType::I16 | DType::I8 => self.as_i64() as f64,
            DType::U64 | DType::U32 | DType::U16 | DType::U8 | DType::Bool => self.bits as f64,
        }
    }

    /// The bits of an f32 (or tf32) as that number.
    const fn as_f32_bits(self) -> f32 {
        f32::from_bits(self.bits as u32)
    }

    /// An integer or bool sign-extended to 64 bits; a `u64` above `i64::MAX` comes out negative.
    const fn as_i64(self) -> i64 {
        let unused = 64 - 8 * self.dtype.size_bytes();
        if self.dtype.is_signed_int() {
            (self.bits << unused).cast_signed() >> unused
        } else {
            self.bits.cast_signed()
        }
    }

    /// The exact integer of an integer or bool; `None` for floats.
    #[must_use]
    pub const fn to_i128(self) -> Option<i128> {
        if self.dtype.is_float() {
            None
        } else if self.dtype.is_signed_int() {
            Some(self.as_i64() as i128)
        } else {
            Some(self.bits as i128)
        }
    }

    /// True for a bool that holds, `None` for other types.
    #[must_use]
    pub const fn to_bool(self) -> Option<bool> {
        match self.dtype {
            DType::Bool => Some(self.bits != 0),
            _ => None,
        }
    }

    /// True for a NaN.
    #[must_use]
    pub fn is_nan(self) -> bool {
        self.dtype.is_float() && self.to_f64().is_nan()
    }

    /// Same type and same bits, where all NaNs of a type count as the same.
    #[must_use]
    pub fn same(self, other: Self) -> bool {
        self == other || (self.dtype == other.dtype && self.is_nan() && other.is_nan())
    }

    /// The same bits as another type; `None` where the sizes differ.
    #[must_use]
    pub const fn bitcast(self, dtype: DType) -> Option<Self> {
        if self.dtype.bits() == dtype.bits() {
            Some(Self::from_bits(dtype, self.bits))
        } else {
            None
        }
    }
}

/// Prints the number: the shortest decimal that reads back as the same binary64, or the integer.
impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.to_bool(), self.to_i128()) {
            (Some(b), _) => write!(f, "{b}"),
            (None, Some(i)) => write!(f, "{i}"),
            (None, None) if self.dtype == DType::F32 => write!(f, "{:?}", self.as_f32_bits()),
            (None, None) => write!(f, "{:?}", self.to_f64()),
        }
    }
}

#[cfg(test)]
mod tests;
