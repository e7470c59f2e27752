//! Binary floating-point formats as data: one correctly rounding encoder and one exact decoder
//! for all of them.
//!
//! In: an exact number `±mantissa · 2^exponent`. Out: the bits of the format, rounded once.
//! Why here: every conversion of the language goes through this page, so that no value is ever
//! rounded twice.

use crate::dtype::DType;
use crate::expr::Rounding;

/// The layout of a binary floating-point type: sign, exponent, significand, high to low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bits of the exponent field.
    pub exponent_bits: u32,
    /// Bits of the significand field (without the hidden one).
    pub significand_bits: u32,
    /// Unused low bits of the storage (13 for tf32, else 0).
    pub padding: u32,
    /// Whether the top exponent holds infinities and NaNs only (IEEE); else it holds numbers and
    /// all ones is the one NaN (OCP "FN"), if there is one.
    pub ieee: bool,
    /// Whether all bits are numbers: what is beyond the greatest, and no number, becomes that.
    pub finite: bool,
    /// Whether there is a sign.
    pub signed: bool,
    /// Whether all bits are an exponent, those of zero too (OCP "E8M0"): there are powers of two
    /// and one NaN, without a sign.
    pub power: bool,
}

/// A float taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// `±mantissa · 2^exponent`; zero has mantissa 0.
    Finite {
        /// The sign bit.
        negative: bool,
        /// The whole significand.
        mantissa: u64,
        /// The weight of its lowest bit.
        exponent: i64,
    },
    /// An infinity.
    Infinite {
        /// The sign bit.
        negative: bool,
    },
    /// Not a number.
    Nan,
}

impl Format {
    /// The format of a floating-point type; `None` for integers and bool.
    #[must_use]
    pub const fn of(dtype: DType) -> Option<Self> {
        let (exponent_bits, significand_bits, padding, ieee) = match dtype {
            DType::F64 => (11, 52, 0, true),
            DType::F32 => (8, 23, 0, true),
            DType::Tf32 => (8, 10, 13, true),
            DType::F16 => (5, 10, 0, true),
            DType::Bf16 => (8, 7, 0, true),
            DType::E4m3 => (4, 3, 0, false),
            DType::E5m2 => (5, 2, 0, true),
            DType::E2m1 => (2, 1, 0, false),
            DType::Ue4m3 => (4, 3, 0, false),
            DType::Ue8m0 => (8, 0, 0, false),
            DType::I64
            | DType::U64
            | DType::I32
            | DType::U32
            | DType::I16
            | DType::U16
            | DType::I8
            | DType::U8
            | DType::Bool => return None,
        };
        let power = matches!(dtype, DType::Ue8m0);
        let signed = !matches!(dtype, DType::Ue8m0 | DType::Ue4m3);
        let finite = matches!(dtype, DType::E2m1);
        Some(Self { exponent_bits, significand_bits, padding, ieee, finite, signed, power })
    }

    const fn bias(self) -> i64 {
        (1 << (self.exponent_bits - 1)) - 1
    }

    const fn exponent_mask(self) -> u64 {
        (1 << self.exponent_bits) - 1
    }

    /// The exponent of the least number with a hidden bit.
    const fn least_exponent(self) -> i64 {
        if self.power { -self.bias() } else { 1 - self.bias() }
    }

    const fn sign(self, negative: bool) -> u64 {
        ((negative && self.signed) as u64) << (self.exponent_bits + self.significand_bits)
    }

    /// The magnitude bits of the largest finite number (before padding).
    const fn max_finite(self) -> u64 {
        let all = (1 << (self.exponent_bits + self.significand_bits)) - 1;
        match (self.ieee, self.finite) {
            (true, _) => all - (1 << self.significand_bits),
            (false, false) => all - 1,
            (false, true) => all,
        }
    }

    /// The largest finite number.
    #[must_use]
    pub fn greatest(self) -> f64 {
        self.positive(self.max_finite())
    }

    /// The least positive number, a subnormal where there are some.
    #[must_use]
    pub fn least(self) -> f64 {
        self.positive(if self.power { 0 } else { 1 })
    }

    /// The least positive number whose significand has its hidden bit.
    #[must_use]
    pub fn least_normal(self) -> f64 {
        self.positive(if self.power { 0 } else { 1 << self.significand_bits })
    }

    /// The number with these magnitude bits (before padding); every format's are exact in f64.
    fn positive(self, magnitude: u64) -> f64 {
        match self.decode(magnitude << self.padding) {
            Parts::Finite { mantissa, exponent, .. } => {
                let weight = Self::of(DType::F64).expect("f64 is a float");
                f64::from_bits(weight.encode(false, mantissa, exponent, Rounding::Nearest, false))
            }
            Parts::Infinite { .. } => f64::INFINITY,
            Parts::Nan => f64::NAN,
        }
    }

    /// The quiet NaN that arithmetic gives: positive, no payload. The greatest number of a format
    /// without NaNs.
    #[must_use]
    pub const fn nan(self) -> u64 {
        let exponent = self.exponent_mask() << self.significand_bits;
        let fraction = if self.ieee {
            1 << (self.significand_bits - 1)
        } else {
            (1 << self.significand_bits) - 1
        };
        (exponent | fraction) << self.padding
    }

    /// Infinity, or NaN where the format has none; the largest finite number when saturating. NaN
    /// where it is negative and the format has no sign.
    #[must_use]
    pub const fn infinity(self, negative: bool, saturate: bool) -> u64 {
        if !self.signed && negative {
            return self.nan();
        }
        let magnitude = if saturate || self.finite {
            self.max_finite()
        } else if self.ieee {
            self.exponent_mask() << self.significand_bits
        } else {
            return self.nan();
        };
        (self.sign(negative) | magnitude) << self.padding
    }

    /// A finite number beyond the largest finite one: rounding decides, as in IEEE 754.
    const fn overflow(self, negative: bool, rounding: Rounding, saturate: bool) -> u64 {
        let stays = match rounding {
            Rounding::Nearest => false,
            Rounding::Zero => true,
            Rounding::Up => negative,
            Rounding::Down => !negative,
        };
        self.infinity(negative, saturate || stays)
    }

    /// The bits of `±mantissa · 2^exponent`, rounded once.
    ///
    /// Overflow gives infinity (NaN where the format has none) unless the rounding or `saturate`
    /// keeps the largest finite number. In a format without a sign a negative number becomes NaN;
    /// in one of powers of two a number in the middle between two becomes the larger one, and what
    /// is below the least one, zero too, becomes that.
    #[must_use]
    pub fn encode(
        self,
        negative: bool,
        mantissa: u64,
        exponent: i64,
        rounding: Rounding,
        saturate: bool,
    ) -> u64 {
        if !self.signed && (negative || self.power) {
            if mantissa == 0 {
                return 0;
            } else if negative {
                return self.nan();
            }
        }
        let sign = self.sign(negative);
        if mantissa == 0 {
            return sign << self.padding;
        }
        let top = exponent.saturating_add(i64::from(63 - mantissa.leading_zeros()));
        if top > self.bias() + 1 {
            return self.overflow(negative, rounding, saturate);
        }
        let least = self.least_exponent();
        let scale = top.max(least);
        let shift = scale - i64::from(self.significand_bits) - exponent;
        let kept = if shift <= 0 {
            mantissa << -shift
        } else {
            round_shift(mantissa, shift, negative, rounding)
        };
        // `kept` carries its hidden one into the exponent field, and a carry of the rounding too
        let field = u64::try_from(scale - least).expect("scale is at least the least exponent");
        let mut magnitude = (field << self.significand_bits) + kept;
        if self.power {
            // there the hidden one is in no field, and nothing is below the least number
            magnitude = magnitude.saturating_sub(1);
        }
        if magnitude > self.max_finite() {
            return self.overflow(negative, rounding, saturate);
        }
        (sign | magnitude) << self.padding
    }

    /// The number these bits hold.
    #[must_use]
    pub const fn decode(self, bits: u64) -> Parts {
        let significand_bits = self.significand_bits + self.padding;
        if self.power && bits < self.nan() {
            let exponent = bits as i64 + self.least_exponent();
            return Parts::Finite { negative: false, mantissa: 1, exponent };
        }
        let sign = bits >> (self.exponent_bits + significand_bits) & 1;
        let negative = self.signed && sign == 1;
        let field = bits >> significand_bits & self.exponent_mask();
        let fraction = bits & ((1 << significand_bits) - 1);
        if field == self.exponent_mask() {
            if self.ieee {
                return if fraction == 0 { Parts::Infinite { negative } } else { Parts::Nan };
            }
            if fraction == (1 << significand_bits) - 1 && !self.finite {
                return Parts::Nan;
            }
        }
        let least = 1 - self.bias() - significand_bits as i64;
        if field == 0 {
            Parts::Finite { negative, mantissa: fraction, exponent: least }
        } else {
            let mantissa = fraction | 1 << significand_bits;
            Parts::Finite { negative, mantissa, exponent: least + field as i64 - 1 }
        }
    }

    /// The number as a binary64, exact for every format of the language.
    #[must_use]
    pub fn to_f64(self, bits: u64) -> f64 {
        if self.exponent_bits == 11 {
            return f64::from_bits(bits);
        }
        match self.decode(bits) {
            Parts::Finite { negative, mantissa, exponent } => {
                let scale = f64::from_bits(
                    u64::try_from(exponent + 1023).expect("narrow formats stay normal") << 52,
                );
                let value = mantissa as f64 * scale;
                if negative { -value } else { value }
            }
            Parts::Infinite { negative: false } => f64::INFINITY,
            Parts::Infinite { negative: true } => f64::NEG_INFINITY,
            Parts::Nan => f64::NAN,
        }
    }

    /// A binary64 in this format, rounded once.
    #[must_use]
    pub fn from_f64(self, value: f64, rounding: Rounding, saturate: bool) -> u64 {
        match decompose(value) {
            Parts::Finite { negative, mantissa, exponent } => {
                self.encode(negative, mantissa, exponent, rounding, saturate)
            }
            Parts::Infinite { negative } => self.infinity(negative, saturate),
            Parts::Nan => self.nan(),
        }
    }
}

/// A binary64 taken apart.
#[must_use]
pub const fn decompose(value: f64) -> Parts {
    const FORMAT: Format = Format::of(DType::F64).expect("f64 is a float");
    FORMAT.decode(value.to_bits())
}

/// `mantissa / 2^shift` rounded to an integer, for `shift > 0`.
fn round_shift(mantissa: u64, shift: i64, negative: bool, rounding: Rounding) -> u64 {
    let shift = shift.min(100);
    let wide = u128::from(mantissa);
    let kept = (wide >> shift) as u64;
    let rest = wide & ((1 << shift) - 1);
    let half = 1_u128 << (shift - 1);
    let up = match rounding {
        Rounding::Nearest => rest > half || (rest == half && kept & 1 == 1),
        Rounding::Zero => false,
        Rounding::Up => !negative && rest != 0,
        Rounding::Down => negative && rest != 0,
    };
    kept + u64::from(up)
}

/// A binary64 rounded to an integral value.
#[must_use]
pub fn round_to_integral(value: f64, rounding: Rounding) -> f64 {
    match rounding {
        Rounding::Nearest => value.round_ties_even(),
        Rounding::Zero => value.trunc(),
        Rounding::Up => value.ceil(),
        Rounding::Down => value.floor(),
    }
}
