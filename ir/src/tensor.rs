//! Tensors: dense row-major arrays of one scalar type in host memory.
//!
//! Keeps: storage aligned to 64 bytes, native endian, exactly as compiled host code reads it: of
//! elements of four bits two share a byte, the first in its lower half, whatever their rows.
//! Sizes are checked before memory is asked for.

use bytemuck::{Pod, Zeroable};

use crate::diag::{Diagnostic, Result};
use crate::dtype::DType;
use crate::value::Scalar;

/// The most bytes one tensor may have: 256 GiB.
pub const MAX_BYTES: u64 = 1 << 38;

/// One aligned unit of storage.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A dense row-major array.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    len: usize,
    lines: Vec<Line>,
}

/// Equal types, shapes and bits.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        let same = self.dtype == other.dtype && self.shape == other.shape;
        // of a last byte that is not full only the element counts
        let whole = self.len * self.dtype.bits() / 8;
        let rest = |t: &Self| (whole < t.size_bytes()).then(|| t.get_flat(t.len - 1));
        same && self.bytes()[..whole] == other.bytes()[..whole] && rest(self) == rest(other)
    }
}

impl Eq for Tensor {}

/// The number of elements of a shape and of its bytes.
///
/// # Errors
/// `E0501` beyond [`MAX_BYTES`].
pub fn checked_size(dtype: DType, shape: &[usize]) -> Result<(usize, usize)> {
    let count = if shape.contains(&0) {
        Some(0)
    } else {
        shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent))
    };
    let bytes = count.and_then(|n| dtype.bytes_of(n));
    match (count, bytes) {
        (Some(count), Some(bytes)) if bytes as u64 <= MAX_BYTES => Ok((count, bytes)),
        (_, _) => Err(Box::new(
            Diagnostic::input(
                "E0501",
                format!("a tensor of type {dtype} and shape {shape:?} exceeds 256 GiB"),
            )
            .help("use smaller sizes"),
        )),
    }
}

/// SplitMix64's output function: a bijection of 64-bit words that mixes every bit.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Word `index` of the stream of `seed`: SplitMix64 started at `seed`.
#[must_use]
pub const fn random_word(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

impl Tensor {
    fn filled(dtype: DType, shape: &[usize], line: Line) -> Result<Self> {
        let (len, bytes) = checked_size(dtype, shape)?;
        let count = bytes.div_ceil(64);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| {
            Diagnostic::new(
                "E0502",
                crate::diag::Blame::Environment,
                format!("no memory for a tensor of {bytes} bytes"),
            )
        })?;
        lines.resize(count, line);
        Ok(Self { dtype, shape: shape.to_vec(), len, lines })
    }

    /// A tensor of zeros (false).
    ///
    /// # Errors
    /// `E0501` beyond [`MAX_BYTES`], `E0502` where the system has no memory.
    pub fn zeros(dtype: DType, shape: &[usize]) -> Result<Self> {
        Self::filled(dtype, shape, Line([0; 64]))
    }

    /// A tensor whose every byte is 0xFF: NaN in every float type that has one, -1 or the greatest
    /// integer, true. What is read before it is written shows.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub fn poisoned(dtype: DType, shape: &[usize]) -> Result<Self> {
        Self::filled(dtype, shape, Line([0xff; 64]))
    }

    /// A tensor of these bytes, row-major and native endian.
    ///
    /// # Errors
    /// `E0503` where the number of bytes does not fit; as [`Tensor::zeros`].
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Self> {
        let mut out = Self::zeros(dtype, shape)?;
        out.expect_count("bytes", bytes.len(), out.size_bytes())?;
        out.bytes_mut().copy_from_slice(bytes);
        Ok(out)
    }

    /// A tensor of these values in row-major order, each rounded to nearest-even (integers wrap).
    ///
    /// # Errors
    /// `E0503` where the number of values does not fit; as [`Tensor::zeros`].
    pub fn from_f64s(dtype: DType, shape: &[usize], values: &[f64]) -> Result<Self> {
        let mut out = Self::zeros(dtype, shape)?;
        out.expect_count("values", values.len(), out.len)?;
        for (i, &value) in values.iter().enumerate() {
            out.set_flat(i, Scalar::from_f64(dtype, value));
        }
        Ok(out)
    }

    fn expect_count(&self, what: &str, given: usize, wanted: usize) -> Result<()> {
        if given == wanted {
            return Ok(());
        }
        let (dtype, shape) = (self.dtype, &self.shape);
        Err(Box::new(Diagnostic::input(
            "E0503",
            format!("{given} {what} given, but {dtype}{shape:?} has {wanted}"),
        )))
    }

    /// A tensor of random values, the same on every machine.
    ///
    /// Element `i` depends on `seed` and `i` alone, through word `i` of [`random_word`]. Floats are
    /// uniform in (-1, 1), then rounded to nearest-even to the type (so ±1 may occur in narrow
    /// ones); those without a zero are 2^-4 to 2^3, those without a sign in (0, 1), those of four
    /// bits any of their numbers; signed integers are uniform in -8..8, unsigned
    /// ones in 0..8; bools are fair.
    ///
    /// # Errors
    /// As [`Tensor::zeros`].
    pub fn random(dtype: DType, shape: &[usize], seed: u64) -> Result<Self> {
        let mut out = Self::zeros(dtype, shape)?;
        for i in 0..out.len {
            let word = random_word(seed, i as u64);
            let top = (word >> 60).cast_signed();
            let value = if dtype == DType::Ue8m0 {
                Scalar::from_f64(dtype, f64::from(1 << (top & 7)) / 16.0)
            } else if dtype == DType::E2m1 {
                Scalar::from_bits(dtype, word >> 60)
            } else if dtype.is_float() {
                let unit = ((word >> 11) as f64 + 0.5) / (1_u64 << 52) as f64;
                let value = if dtype == DType::Ue4m3 { unit / 2.0 } else { unit - 1.0 };
                Scalar::from_f64(dtype, value)
            } else if dtype.is_signed_int() {
                Scalar::from_i64(dtype, top - 8)
            } else if dtype.is_unsigned_int() {
                Scalar::from_i64(dtype, top & 7)
            } else {
                Scalar::bool(top & 1 == 1)
            };
            out.set_flat(i, value);
        }
        Ok(out)
    }

    /// The element type.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extents, in elements; none for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True where some extent is 0.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of bytes of all elements.
    #[must_use]
    pub const fn size_bytes(&self) -> usize {
        let bits = self.len * self.dtype.bits();
        bits.div_ceil(8)
    }

    /// The elements' bytes, row-major, native endian, starting at a multiple of 64.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.size_bytes()]
    }

    /// The elements' bytes, to be written. A bool's byte must stay 0 or 1.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let size = self.size_bytes();
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..size]
    }

    /// The elements as a slice of a plain type of the same size (`f32` for f32 and tf32, `u16`
    /// for f16, …); `None` where the size differs.
    #[must_use]
    pub fn as_slice<T: Pod>(&self) -> Option<&[T]> {
        (8 * size_of::<T>() == self.dtype.bits())
            .then(|| bytemuck::try_cast_slice(self.bytes()).ok())
            .flatten()
    }

    /// The position of an element in row-major order; `None` where the rank or an index is out of
    /// bounds.
    #[must_use]
    pub fn offset(&self, indices: &[usize]) -> Option<usize> {
        if indices.len() != self.shape.len() {
            return None;
        }
        let mut flat = 0;
        for (&i, &extent) in indices.iter().zip(&self.shape) {
            if i >= extent {
                return None;
            }
            flat = flat * extent + i;
        }
        Some(flat)
    }

    /// The element at these indices.
    ///
    /// # Panics
    /// Where [`Tensor::offset`] is `None`.
    #[must_use]
    pub fn get(&self, indices: &[usize]) -> Scalar {
        self.get_flat(self.offset(indices).expect("indices are inside the tensor"))
    }

    /// The element at a position in row-major order.
    ///
    /// # Panics
    /// Where `i` is not below [`Tensor::len`].
    #[must_use]
    pub fn get_flat(&self, i: usize) -> Scalar {
        if self.dtype.packed() {
            assert!(i < self.len, "the position is inside the tensor");
            return Scalar::from_bits(self.dtype, u64::from(self.bytes()[i / 2] >> (4 * (i % 2))));
        }
        let size = self.dtype.size_bytes();
        let mut word = [0; 8];
        let bytes = &self.bytes()[i * size..(i + 1) * size];
        // a little-endian word holds its low bytes first
        if cfg!(target_endian = "little") {
            word[..size].copy_from_slice(bytes);
        } else {
            word[8 - size..].copy_from_slice(bytes);
        }
        Scalar::from_bits(self.dtype, u64::from_ne_bytes(word))
    }

    /// Stores an element at a position in row-major order.
    ///
    /// # Panics
    /// Where `i` is not below [`Tensor::len`] or the value's type is not the tensor's.
    pub fn set_flat(&mut self, i: usize, value: Scalar) {
        assert_eq!(value.dtype(), self.dtype, "the value has the tensor's type");
        if self.dtype.packed() {
            assert!(i < self.len, "the position is inside the tensor");
            let (byte, half) = (&mut self.bytes_mut()[i / 2], 4 * (i % 2));
            *byte = *byte & !(0xf << half) | (value.bits() as u8) << half;
            return;
        }
        let size = self.dtype.size_bytes();
        let word = value.bits().to_ne_bytes();
        let part = if cfg!(target_endian = "little") { &word[..size] } else { &word[8 - size..] };
        self.bytes_mut()[i * size..(i + 1) * size].copy_from_slice(part);
    }

    /// Every element as a binary64 (see [`Scalar::to_f64`]), row-major.
    #[must_use]
    pub fn to_f64s(&self) -> Vec<f64> {
        (0..self.len).map(|i| self.get_flat(i).to_f64()).collect()
    }

    /// The indices of a position in row-major order.
    #[must_use]
    pub fn unflatten(&self, flat: usize) -> Vec<usize> {
        let mut rest = flat;
        let mut out = vec![0; self.shape.len()];
        for (slot, &extent) in out.iter_mut().zip(&self.shape).rev() {
            *slot = rest % extent.max(1);
            rest /= extent.max(1);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_aligned_and_row_major() {
        for dtype in DType::ALL {
            let mut t = Tensor::zeros(dtype, &[3, 5]).unwrap();
            assert_eq!(t.bytes().as_ptr() as usize % 64, 0);
            assert_eq!(t.bytes().len(), (15 * dtype.bits()).div_ceil(8));
            t.set_flat(7, Scalar::from_i64(dtype, 1));
            assert_eq!(t.get(&[1, 2]), Scalar::from_i64(dtype, 1));
            assert_eq!(t.to_f64s().iter().sum::<f64>(), 1.0);
            assert_eq!(t.unflatten(7), [1, 2]);
            assert_eq!(Tensor::from_bytes(dtype, &[3, 5], t.bytes()).unwrap(), t);
            assert!(Tensor::from_bytes(dtype, &[5, 2], t.bytes()).is_err());
        }
        let scalar = Tensor::from_f64s(DType::F16, &[], &[1.5]).unwrap();
        assert_eq!((scalar.len(), scalar.get(&[]).to_f64()), (1, 1.5));
        assert!(Tensor::zeros(DType::F32, &[0, 4]).unwrap().is_empty());
    }

    #[test]
    fn halves_of_bytes_are_elements_of_their_own() {
        let mut t =
            Tensor::from_bytes(DType::E2m1, &[3, 3], &[0x21, 0x43, 0x65, 0x87, 0xf9]).unwrap();
        let bits = |t: &Tensor| (0..t.len()).map(|i| t.get_flat(i).bits()).collect::<Vec<_>>();
        assert_eq!(bits(&t), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let other = Tensor::from_bytes(DType::E2m1, &[3, 3], &[0x21, 0x43, 0x65, 0x87, 9]).unwrap();
        assert_eq!(t, other, "what is behind the last element is nothing");
        t.set_flat(4, Scalar::from_f64(DType::E2m1, -6.0));
        assert_eq!(t.bytes(), [0x21, 0x43, 0x6f, 0x87, 0xf9]);
        assert_ne!(t, other);
        assert!(Tensor::from_bytes(DType::E2m1, &[3, 3], &[0; 9]).is_err());
        assert!(t.as_slice::<u8>().is_none());
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        for shape in [&[usize::MAX, usize::MAX][..], &[1 << 40], &[1 << 20, 1 << 20]] {
            assert_eq!(Tensor::zeros(DType::F32, shape).unwrap_err().code, "E0501");
        }
        assert!(Tensor::zeros(DType::F32, &[usize::MAX, usize::MAX, 0]).unwrap().is_empty());
    }

    #[test]
    fn random_values_are_in_range_and_stable() {
        for dtype in DType::ALL {
            let t = Tensor::random(dtype, &[64, 64], 7).unwrap();
            assert_eq!(t, Tensor::random(dtype, &[64, 64], 7).unwrap());
            assert_ne!(t, Tensor::random(dtype, &[64, 64], 8).unwrap());
            let values = t.to_f64s();
            let (low, high) =
                values.iter().fold((f64::MAX, f64::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            if dtype == DType::Ue8m0 {
                assert_eq!((low, high), (0.0625, 8.0));
            } else if dtype == DType::E2m1 {
                assert_eq!((low, high), (-6.0, 6.0));
            } else if dtype == DType::Ue4m3 {
                assert!((0.0..0.01).contains(&low) && (0.95..=1.0).contains(&high), "{low} {high}");
            } else if dtype.is_float() {
                assert!((-1.0..-0.9).contains(&low) && (0.9..=1.0).contains(&high), "{dtype}");
                assert!(mean.abs() < 0.05, "{dtype} {mean}");
            } else if dtype.is_signed_int() {
                assert_eq!((low, high), (-8.0, 7.0));
            } else {
                assert_eq!((low, high), (0.0, if dtype == DType::Bool { 1.0 } else { 7.0 }));
            }
        }
        // the published first output of SplitMix64 for seed 1234567
        assert_eq!(random_word(1_234_567, 0), 6_457_827_717_110_365_317);
    }

    #[test]
    fn poison_shows() {
        for dtype in DType::ALL.into_iter().filter(|t| t.is_float() && *t != DType::E2m1) {
            assert!(Tensor::poisoned(dtype, &[2]).unwrap().get(&[1]).is_nan(), "{dtype}");
        }
    }
}
