//! Scalar types: names, sizes and the rules that give an arithmetic expression its type.
//!
//! Why here: the interpreter, the verifier and code generation must agree on these rules to the
//! bit, so they stand once, below all of them.

use std::fmt;
use std::str::FromStr;

/// A scalar type of the language (docs/ARCHITECTURE.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// IEEE 754 binary64.
    F64,
    /// IEEE 754 binary32.
    F32,
    /// TensorFloat-32: binary32 storage, 10 explicit significand bits.
    Tf32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: 8 exponent bits, 7 explicit significand bits.
    Bf16,
    /// OCP FP8 E4M3 (no infinities, one NaN pattern per sign).
    E4m3,
    /// OCP FP8 E5M2.
    E5m2,
    /// OCP FP4 E2M1: ±0, 0.5, 1, 1.5, 2, 3, 4 and 6; four bits, of which two elements of an array
    /// share a byte.
    E2m1,
    /// OCP E8M0: a power of two from 2^-127 to 2^127, or NaN; no sign and no zero.
    Ue8m0,
    /// E4M3 without a sign: the highest bit of its byte means nothing.
    Ue4m3,
    /// Signed 64-bit integer, two's complement.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
    /// Truth value, one byte, 0 or 1.
    Bool,
}

impl DType {
    /// Every type, in the order of the documentation.
    pub const ALL: [Self; 19] = [
        Self::F64,
        Self::F32,
        Self::Tf32,
        Self::F16,
        Self::Bf16,
        Self::E4m3,
        Self::E5m2,
        Self::E2m1,
        Self::Ue8m0,
        Self::Ue4m3,
        Self::I64,
        Self::U64,
        Self::I32,
        Self::U32,
        Self::I16,
        Self::U16,
        Self::I8,
        Self::U8,
        Self::Bool,
    ];

    /// The name used in every text form (`f32`, `e4m3`, …).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::E4m3 => "e4m3",
            Self::E5m2 => "e5m2",
            Self::E2m1 => "e2m1",
            Self::Ue8m0 => "ue8m0",
            Self::Ue4m3 => "ue4m3",
            Self::I64 => "i64",
            Self::U64 => "u64",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }

    /// Bits of an element of an array that a caller gives, and of panels in shared memory: two
    /// elements of four bits share a byte there, the first in its lower half.
    #[must_use]
    pub const fn bits(self) -> usize {
        match self {
            Self::E2m1 => 4,
            _whole => 8 * self.size_bytes(),
        }
    }

    /// Whether elements share bytes in arrays.
    #[must_use]
    pub const fn packed(self) -> bool {
        self.bits() < 8
    }

    /// Bytes of so many neighbours in an array; `None` where they are too many to count.
    #[must_use]
    pub fn bytes_of(self, count: usize) -> Option<usize> {
        let per_byte = if self.packed() { 8 / self.bits() } else { 1 };
        count.div_ceil(per_byte).checked_mul(self.size_bytes())
    }

    /// Bytes of an element by itself: in registers, and in memory that the kernel's own threads
    /// write, where no two elements share a byte.
    #[must_use]
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::Tf32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::E4m3
            | Self::E5m2
            | Self::E2m1
            | Self::Ue8m0
            | Self::Ue4m3
            | Self::I8
            | Self::U8
            | Self::Bool => 1,
        }
    }

    /// True for the floating-point types.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(
            self,
            Self::F64
                | Self::F32
                | Self::Tf32
                | Self::F16
                | Self::Bf16
                | Self::E4m3
                | Self::E5m2
                | Self::E2m1
                | Self::Ue8m0
                | Self::Ue4m3
        )
    }

    /// True for the signed and unsigned integers (not `bool`).
    #[must_use]
    pub const fn is_int(self) -> bool {
        self.is_signed_int() || self.is_unsigned_int()
    }

    /// True for `i8` … `i64`.
    #[must_use]
    pub const fn is_signed_int(self) -> bool {
        matches!(self, Self::I64 | Self::I32 | Self::I16 | Self::I8)
    }

    /// True for `u8` … `u64`.
    #[must_use]
    pub const fn is_unsigned_int(self) -> bool {
        matches!(self, Self::U64 | Self::U32 | Self::U16 | Self::U8)
    }

    /// Bits of the significand with the hidden one (floats) or of the magnitude (integers).
    #[must_use]
    pub const fn precision_bits(self) -> u32 {
        match self {
            Self::F64 => 53,
            Self::F32 => 24,
            Self::Tf32 | Self::F16 => 11,
            Self::Bf16 => 8,
            Self::E4m3 | Self::Ue4m3 => 4,
            Self::E5m2 => 3,
            Self::E2m1 => 2,
            Self::Ue8m0 => 1,
            Self::I64 => 63,
            Self::U64 => 64,
            Self::I32 => 31,
            Self::U32 => 32,
            Self::I16 => 15,
            Self::U16 => 16,
            Self::I8 => 7,
            Self::U8 => 8,
            Self::Bool => 1,
        }
    }

    /// The type in which arithmetic on this type is done: floats narrower than `f32` compute in
    /// `f32` (each operand converts exactly), every other type computes in itself.
    #[must_use]
    pub const fn compute_type(self) -> Self {
        match self {
            Self::Tf32
            | Self::F16
            | Self::Bf16
            | Self::E4m3
            | Self::E5m2
            | Self::E2m1
            | Self::Ue8m0
            | Self::Ue4m3 => Self::F32,
            Self::F64
            | Self::F32
            | Self::I64
            | Self::U64
            | Self::I32
            | Self::U32
            | Self::I16
            | Self::U16
            | Self::I8
            | Self::U8
            | Self::Bool => self,
        }
    }

    /// True when every value of `self` is a value of `wide`, so that converting loses nothing.
    #[must_use]
    pub fn widens_to(self, wide: Self) -> bool {
        if self == wide || self == Self::Bool {
            return true;
        }
        if self.is_float() {
            return wide.is_float()
                && match self {
                    Self::F64 => false,
                    Self::F32 => wide == Self::F64,
                    Self::Tf32 | Self::F16 | Self::Bf16 => {
                        matches!(wide, Self::F64 | Self::F32)
                            || (self != Self::Tf32 && wide == Self::Tf32)
                    }
                    Self::E4m3 | Self::E5m2 => {
                        matches!(wide, Self::F64 | Self::F32 | Self::Tf32 | Self::F16)
                            || wide == Self::Bf16
                    }
                    Self::E2m1 | Self::Ue4m3 => {
                        matches!(wide, Self::F64 | Self::F32 | Self::Tf32 | Self::F16)
                            || matches!(wide, Self::Bf16 | Self::E4m3)
                            || (self == Self::E2m1 && wide == Self::E5m2)
                    }
                    Self::Ue8m0 => {
                        matches!(wide, Self::F64 | Self::F32 | Self::Tf32 | Self::Bf16)
                    }
                    Self::I64
                    | Self::U64
                    | Self::I32
                    | Self::U32
                    | Self::I16
                    | Self::U16
                    | Self::I8
                    | Self::U8
                    | Self::Bool => false,
                };
        }
        if wide == Self::Bool {
            return false;
        }
        // an unsigned type fits a signed one with more magnitude bits; never signed to unsigned
        (wide.is_float() || self.is_unsigned_int() || wide.is_signed_int())
            && self.precision_bits() <= wide.precision_bits()
    }

    /// The smallest type both widen to, or `None` where there is none (`i64` with `f64`,
    /// `u64` with `i64`): the user then writes a cast.
    ///
    /// Candidates are tried from narrow to wide: integers, then `f32`, then `f64`.
    #[must_use]
    pub fn join(self, other: Self) -> Option<Self> {
        if self == other {
            return Some(self);
        }
        const ORDER: [DType; 15] = [
            DType::U8,
            DType::I8,
            DType::U16,
            DType::I16,
            DType::U32,
            DType::I32,
            DType::U64,
            DType::I64,
            DType::E4m3,
            DType::E5m2,
            DType::Bf16,
            DType::F16,
            DType::Tf32,
            DType::F32,
            DType::F64,
        ];
        ORDER.into_iter().find(|&t| self.widens_to(t) && other.widens_to(t))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no scalar type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown type `{0}`; the types are f64 f32 tf32 f16 bf16 e4m3 e5m2 e2m1 ue8m0 \
     ue4m3 i64 u64 i32 u32 i16 u16 i8 u8 bool"
)]
pub struct UnknownDType(pub String);

impl FromStr for DType {
    type Err = UnknownDType;

    fn from_str(s: &str) -> Result<Self, UnknownDType> {
        Self::ALL.into_iter().find(|t| t.name() == s).ok_or_else(|| UnknownDType(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::DType::{self, *};

    #[test]
    fn names_round_trip() {
        for t in DType::ALL {
            assert_eq!(t.name().parse::<DType>().unwrap(), t);
        }
        assert!("c64".parse::<DType>().is_err());
    }

    #[test]
    fn two_elements_of_four_bits_share_a_byte() {
        let bytes = |t: DType| [0, 1, 2, 7].map(|n| t.bytes_of(n));
        assert_eq!(bytes(E2m1), [0, 1, 1, 4].map(Some));
        assert_eq!(bytes(F16), [0, 2, 4, 14].map(Some));
        assert_eq!(F16.bytes_of(usize::MAX), None);
        assert!(DType::ALL.into_iter().all(|t| t.packed() == (t == E2m1)));
    }

    #[test]
    fn join_is_the_smallest_lossless_type() {
        assert_eq!(Bf16.join(F16), Some(Tf32.join(Tf32).map_or(F32, |_| Tf32)));
        assert_eq!(I8.join(U8), Some(I16));
        assert_eq!(I32.join(F32), Some(F64));
        assert_eq!(U64.join(I64), None);
        assert_eq!(I64.join(F64), None);
        assert_eq!(E4m3.join(Bf16), Some(Bf16));
        assert_eq!(E4m3.join(Ue8m0), Some(Bf16));
        assert_eq!(F16.join(Ue8m0), Some(Tf32));
        assert_eq!(E2m1.join(E5m2), Some(E5m2));
        assert_eq!(E2m1.join(Ue4m3), Some(E4m3));
        assert_eq!(E5m2.join(Ue4m3), Some(Bf16));
    }
}
