//! Conversion of a scalar to any type.
//!
//! In: a value, the type wanted, a rounding, whether to saturate. Out: the value, rounded once.

use super::float::{Format, Parts, decompose, round_to_integral};
use super::{Scalar, mask};
use crate::dtype::DType;
use crate::expr::Rounding;

impl Scalar {
    /// This value as another type.
    ///
    /// To float: one rounding; beyond the largest finite number infinity (NaN for e4m3) unless
    /// the rounding points back (`rtz` never overflows) or `saturate` clamps, infinities too.
    /// To integer: rounded to an integer, then modulo 2^n (infinities and NaN give 0), or clamped
    /// with `saturate` (NaN gives 0). To bool: `!= 0`. Between integers: modulo 2^n or clamped.
    #[must_use]
    pub fn convert(self, to: DType, rounding: Rounding, saturate: bool) -> Self {
        if self.dtype == to && !(saturate && to.is_float()) {
            return self;
        }
        if to == DType::Bool {
            return Self::bool(if self.dtype.is_float() {
                self.to_f64() != 0.0
            } else {
                self.bits != 0
            });
        }
        let bits = match (self.dtype.is_float(), Format::of(to)) {
            (true, Some(format)) => self.float_to_float(to, format, rounding, saturate),
            (true, None) => float_to_int(self.to_f64(), to, rounding, saturate),
            (false, Some(format)) => self.int_to_float(to, format, rounding, saturate),
            (false, None) => self.int_to_int(to, saturate),
        };
        Self { dtype: to, bits: bits & mask(to) }
    }

    fn float_to_float(self, to: DType, format: Format, rounding: Rounding, saturate: bool) -> u64 {
        let value = self.to_f64();
        if !saturate && to == DType::F64 {
            return value.to_bits();
        }
        if !saturate && to == DType::F32 && rounding == Rounding::Nearest {
            return u64::from((value as f32).to_bits());
        }
        format.from_f64(value, rounding, saturate)
    }

    fn int_to_float(self, to: DType, format: Format, rounding: Rounding, saturate: bool) -> u64 {
        let (negative, magnitude) = if self.dtype.is_signed_int() {
            (self.as_i64() < 0, self.as_i64().unsigned_abs())
        } else {
            (false, self.bits)
        };
        if to == DType::F64 && magnitude < 1 << 53 {
            let value = magnitude as f64;
            return if negative { -value } else { value }.to_bits();
        }
        format.encode(negative, magnitude, 0, rounding, saturate)
    }

    fn int_to_int(self, to: DType, saturate: bool) -> u64 {
        let value = self.as_i64();
        if !saturate {
            return value.cast_unsigned();
        }
        let (low, high) = int_range(to);
        let exact = if self.dtype.is_signed_int() { i128::from(value) } else { self.bits.into() };
        exact.clamp(low, high) as u64
    }
}

/// Least and greatest value of an integer type (bool: 0 and 1; floats: 0 and 0).
#[must_use]
pub const fn int_range(dtype: DType) -> (i128, i128) {
    let bits = dtype.precision_bits();
    if dtype.is_signed_int() {
        (-(1 << bits), (1 << bits) - 1)
    } else if dtype.is_float() {
        (0, 0)
    } else {
        (0, (1 << bits) - 1)
    }
}

fn float_to_int(value: f64, to: DType, rounding: Rounding, saturate: bool) -> u64 {
    let rounded = round_to_integral(value, rounding);
    match decompose(rounded) {
        Parts::Nan => 0,
        Parts::Infinite { negative } => match (saturate, negative) {
            (false, _) => 0,
            (true, true) => int_range(to).0 as u64,
            (true, false) => int_range(to).1 as u64,
        },
        Parts::Finite { .. } if saturate => {
            // `as` clamps at ±2^127, far outside every type
            let (low, high) = int_range(to);
            (rounded as i128).clamp(low, high) as u64
        }
        Parts::Finite { negative, mantissa, exponent } => {
            let magnitude = match exponent {
                64.. => 0,
                0..64 => mantissa << exponent,
                -63..0 => mantissa >> -exponent,
                _ => 0,
            };
            if negative { magnitude.wrapping_neg() } else { magnitude }
        }
    }
}
