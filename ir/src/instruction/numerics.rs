//! What the adders of tensor cores do to a sum.
//!
//! In: an accumulator and the factors of one instruction. Out: the new accumulator.
//! Model of the float adders (arXiv 2511.10909): all products and the accumulator are aligned to
//! the largest exponent, truncated to some fraction bits, summed exactly, and the sum is truncated
//! to f32, or to as few fraction bits as were summed (rounded to nearest-even to f16). On an H200
//! `wgmma` of f16, bf16 and tf32 gives the model's bits; `mma` keeps one bit more than is declared.

use crate::dtype::DType;
use crate::expr::Rounding;
use crate::value::Scalar;
use crate::value::float::Format;

/// How a matrix instruction adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adder {
    /// Integers modulo 2^32.
    Wrapping,
    /// A fused multiply-add for each k in turn, from the accumulator on (decision 0037).
    Sequential,
    /// One sum, aligned to the largest exponent, with this many fraction bits.
    Aligned {
        /// Bits kept below the largest exponent.
        fraction: i32,
    },
}

impl Adder {
    /// Whether a sum has the bits of fused multiply-adds of its terms one after the other, in the
    /// order of the text: what `order serial` without `strict` promises.
    #[must_use]
    pub const fn in_order(self) -> bool {
        match self {
            // in every order, integers have the same bits
            Self::Wrapping | Self::Sequential => true,
            Self::Aligned { .. } => false,
        }
    }

    /// Whether each addition keeps so many bits below the largest of what it adds.
    #[must_use]
    pub const fn keeps(self, bits: u32) -> bool {
        match self {
            Self::Wrapping | Self::Sequential => true,
            Self::Aligned { fraction } => fraction >= bits.cast_signed(),
        }
    }
}

/// The exponent of a finite number that is not zero, as the adder sees it.
fn exponent(value: f64) -> i32 {
    i32::try_from((value.to_bits() >> 52) & 0x7ff).expect("11 bits") - 1023
}

/// A power of two inside the range of f64.
fn power(exponent: i32) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).expect("narrow formats stay normal") << 52)
}

fn aligned(acc: Scalar, a: &[Scalar], b: &[Scalar], fraction: i32) -> f64 {
    let start = acc.to_f64();
    let pairs = || a.iter().zip(b).map(|(a, b)| (a.to_f64(), b.to_f64()));
    let special = !start.is_finite() || pairs().any(|(a, b)| !(a * b).is_finite());
    if special {
        return pairs().fold(start, |sum, (a, b)| sum + a * b);
    }
    let mut top = if start == 0.0 { i32::MIN } else { exponent(start) };
    for (a, b) in pairs() {
        if a != 0.0 && b != 0.0 {
            top = top.max(exponent(a) + exponent(b));
        }
    }
    if top == i32::MIN {
        return pairs().fold(start, |sum, (a, b)| sum + a * b);
    }
    // at most 257 addends below 2^(fraction + 2): the sum is exact in 64 bits. Scaling by two
    // powers keeps every factor normal.
    let (up, down) = ((fraction - top) / 2, (fraction - top) - (fraction - top) / 2);
    let scaled = |v: f64| (v * power(up) * power(down)).trunc() as i64;
    let sum: i64 = scaled(start) + pairs().map(|(a, b)| scaled(a * b)).sum::<i64>();
    sum as f64 * power(-up) * power(-down)
}

impl Adder {
    /// `acc + Σ a[k] · b[k]`.
    ///
    /// # Panics
    /// The types are none that a matrix instruction takes.
    #[must_use]
    pub fn add(self, acc: Scalar, a: &[Scalar], b: &[Scalar]) -> Scalar {
        let dtype = acc.dtype();
        match self {
            Self::Wrapping => {
                let int = |v: &Scalar| v.to_i128().expect("integer operands");
                let sum: i128 = a.iter().zip(b).map(|(a, b)| int(a) * int(b)).sum();
                Scalar::from_bits(dtype, (int(&acc) + sum) as u64)
            }
            Self::Sequential => {
                let pairs = a.iter().zip(b);
                let sum = pairs.fold(acc.to_f64(), |s, (a, b)| a.to_f64().mul_add(b.to_f64(), s));
                Scalar::from_f64(dtype, sum)
            }
            Self::Aligned { fraction } => {
                let sum = aligned(acc, a, b, fraction);
                let rounding = if dtype == DType::F16 { Rounding::Nearest } else { Rounding::Zero };
                let format = Format::of(dtype).expect("a float accumulator");
                let bits = format.from_f64(sum, rounding, false);
                let spare = 23_i32.saturating_sub(fraction).max(0);
                let cut = if dtype == DType::F32 && sum.is_finite() { spare } else { 0 };
                Scalar::from_bits(dtype, bits >> cut << cut)
            }
        }
    }

    /// A bound of `|add - exact|` as a multiple of the largest of |acc|, |a·b| and the result,
    /// for `k` products.
    #[must_use]
    pub fn error_bound(self, k: i64, acc: DType) -> f64 {
        let last = 2.0_f64.powi(1 - acc.precision_bits().cast_signed());
        match self {
            Self::Wrapping => 0.0,
            Self::Sequential => k as f64 * last,
            // an addend may be four times its power of two
            Self::Aligned { fraction } => (k + 1) as f64 * 2.0_f64.powi(-fraction) * 2.0 + last,
        }
    }
}
