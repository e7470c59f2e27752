//! Tensor memory: the 32-bit descriptors of the instructions that accumulate there, and how its
//! lanes and columns are loaded.
//!
//! Tensor memory is 128 lanes of 512 columns of 32 bits for each block. An accumulator of 128 rows
//! has row `i`, column `j` in lane `i`, column `j`. Scales of factors take 32 lanes, which are
//! there four times, and four columns for 128 rows: that of row `i` and step `s` of the sum is byte
//! `s mod 4` of lane `i mod 32`, column `i / 32`. An instruction takes one, two or four steps that
//! follow each other in a column.
//! In: a matrix instruction and which of its operands are transposed. Out: the descriptor; and, bit
//! by bit, what a descriptor says, as the hardware reads it.
//! Sources: PTX ISA 8.8, 9.7.16.4.2 (instruction descriptors, tables 42 to 44), 9.7.16.2.3.1.1
//! (fragments of shape `.32x32b`), 9.7.16.1 (addresses), 9.7.16.10.7 (scales, `scale_vec::1X`,
//! `2X` and `4X`).
//! Why here: emission writes descriptors, and the interpreter decodes them instead of looking at
//! the instruction they were made from, so that a wrong field shows as a wrong product.

use super::Matrix;
use super::fragment::{Digit, FragmentLayout};
use crate::dtype::DType;

/// Lanes of tensor memory.
pub const LANES: i64 = 128;
/// Columns of tensor memory.
pub const COLUMNS: i64 = 512;
/// Columns are allocated in powers of two from this number.
pub const LEAST_COLUMNS: i64 = 32;

/// Rows of a factor whose scales are a block, the lanes of it, and bytes of each in four columns.
pub const SCALED_ROWS: i64 = 128;
/// Lanes of scales; each of the four quarters of all lanes has the same.
pub const SCALE_LANES: i64 = 32;
/// Bytes of a lane of a block of scales.
pub const SCALE_BYTES: i64 = 16;
/// Bytes of a column, one for each step of the sum.
pub const STEPS: i64 = 4;

/// Lanes of a buffer in tensor memory of this type; `None` where there is none.
#[must_use]
pub const fn lanes(dtype: DType) -> Option<i64> {
    match (dtype, dtype.size_bytes()) {
        (DType::Ue8m0 | DType::Ue4m3, _) => Some(SCALE_LANES),
        (_, 4) => Some(LANES),
        _ => None,
    }
}

/// Lane, column and byte of the scale of a row at a step of the sum.
#[must_use]
pub const fn scale(row: i64, step: i64) -> [i64; 3] {
    [row % SCALE_LANES, row / SCALE_LANES, step]
}

/// Columns that a block allocates to have `columns` of them; `None` where there are not so many.
#[must_use]
pub fn allocated(columns: i64) -> Option<i64> {
    let powers = std::iter::successors(Some(LEAST_COLUMNS), |n| Some(2 * n));
    powers.take_while(|n| *n <= COLUMNS).find(|n| *n >= columns)
}

/// The layout of 128 lanes and so many columns in the registers of four warps: a thread has a lane.
#[must_use]
pub fn loaded(columns: i64) -> FragmentLayout {
    FragmentLayout {
        rows: LANES,
        cols: columns,
        threads: vec![Digit::rows(LANES, 1)],
        values: vec![Digit::cols(columns, 1)],
    }
}

/// Families of types that one instruction takes, by their number in LLVM's intrinsics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `f16` and `bf16`.
    F16,
    /// `tf32`.
    Tf32,
    /// Eight bits and fewer, floating point.
    F8f6f4,
    /// Eight-bit integers.
    I8,
    /// Eight bits and fewer, floating point, with scales of 32 terms.
    Mxf8f6f4,
    /// Four bits, with powers of two for 32 terms each as scales.
    Mxf4,
    /// Four bits, with scales of eight bits for 16 terms each.
    Mxf4nvf4,
}

impl Kind {
    /// The kind of an instruction; `None` where none takes its factors.
    #[must_use]
    pub const fn of(m: &Matrix) -> Option<Self> {
        let scales = match m.scales {
            Some(s) => Some(s.dtype),
            None => None,
        };
        match (m.a, scales) {
            (DType::F16 | DType::Bf16, None) => Some(Self::F16),
            (DType::Tf32, None) => Some(Self::Tf32),
            (DType::E4m3 | DType::E5m2, None) => Some(Self::F8f6f4),
            (DType::I8 | DType::U8, None) => Some(Self::I8),
            (DType::E4m3 | DType::E5m2, Some(DType::Ue8m0)) => Some(Self::Mxf8f6f4),
            (DType::E2m1, Some(DType::Ue8m0)) => Some(Self::Mxf4),
            (DType::E2m1, Some(DType::Ue4m3)) => Some(Self::Mxf4nvf4),
            _ => None,
        }
    }

    /// Its number in the intrinsics of LLVM that take one; those of kinds with scales have their
    /// kind in their name.
    #[must_use]
    pub const fn number(self) -> Option<i64> {
        match self {
            Self::F16 => Some(0),
            Self::Tf32 => Some(1),
            Self::F8f6f4 => Some(2),
            Self::I8 => Some(3),
            Self::Mxf8f6f4 | Self::Mxf4 | Self::Mxf4nvf4 => None,
        }
    }

    /// Which bytes of a column can be the first that an instruction takes as scales; none where it
    /// has none. (PTX ISA 8.8, 9.7.16.10.7.2 and 9.7.16.10.7.3: one byte of four, the first or the
    /// last two, all.)
    const fn first_steps(self) -> &'static [u32] {
        match self {
            Self::F16 | Self::Tf32 | Self::F8f6f4 | Self::I8 => &[],
            Self::Mxf8f6f4 => &[0, 1, 2, 3],
            Self::Mxf4 => &[0, 2],
            Self::Mxf4nvf4 => &[0],
        }
    }
}

/// The code of a factor's type among those of its kind.
const fn factor(dtype: DType) -> u32 {
    match dtype {
        DType::Tf32 => 2,
        DType::Bf16 | DType::E5m2 | DType::I8 | DType::E2m1 => 1,
        _ => 0,
    }
}

/// The code of the accumulator's type.
const fn accumulator(dtype: DType) -> u32 {
    match dtype {
        DType::F16 => 0,
        DType::I32 => 2,
        _ => 1,
    }
}

/// The descriptor of an instruction; `transposed` says of A and B whether the summed index is their
/// rows in shared memory, `steps` which byte of a column of scales is the first of each.
#[must_use]
pub fn encode(m: &Matrix, transposed: [bool; 2], steps: [i64; 2]) -> u32 {
    let size = |n: i64| u32::try_from(n).expect("at most 256");
    let scaled = match m.scales {
        None => accumulator(m.acc) << 4,
        Some(s) => {
            let powers = u32::from(s.dtype == DType::Ue8m0);
            size(steps[1]) << 4 | powers << 23 | size(steps[0]) << 29
        }
    };
    scaled
        | factor(m.a) << 7
        | factor(m.b) << 10
        | u32::from(transposed[0]) << 15
        | u32::from(transposed[1]) << 16
        | (size(m.n) >> 3) << 17
        | (size(m.m) >> 4) << 24
}

/// What a descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Rows and columns of D.
    pub extents: [i64; 2],
    /// Element types of A, B and D.
    pub types: [DType; 3],
    /// A and B have the summed index as their rows in shared memory.
    pub transposed: [bool; 2],
    /// The first bytes of columns of scales that are those of A and B, of a kind that has scales.
    pub steps: Option<[i64; 2]>,
}

/// What the hardware takes a descriptor to mean for this kind; `None` where it means nothing.
#[must_use]
pub fn decode(descriptor: u32, kind: Kind) -> Option<Decoded> {
    let field = |from: u32, bits: u32| descriptor >> from & ((1 << bits) - 1);
    let factor = |code: u32| match (kind, code) {
        (Kind::F16, 0) => Some(DType::F16),
        (Kind::F16, 1) => Some(DType::Bf16),
        (Kind::Tf32, 2) => Some(DType::Tf32),
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 0) => Some(DType::E4m3),
        (Kind::F8f6f4 | Kind::Mxf8f6f4, 1) => Some(DType::E5m2),
        (Kind::I8, 0) => Some(DType::U8),
        (Kind::I8, 1) => Some(DType::I8),
        (Kind::Mxf4 | Kind::Mxf4nvf4, 1) => Some(DType::E2m1),
        _ => None,
    };
    let sum = match (kind, field(4, 2)) {
        (Kind::Mxf8f6f4 | Kind::Mxf4 | Kind::Mxf4nvf4, _step) => DType::F32,
        (Kind::F16 | Kind::F8f6f4, 0) => DType::F16,
        (Kind::F16 | Kind::Tf32 | Kind::F8f6f4, 1) => DType::F32,
        (Kind::I8, 2) => DType::I32,
        _ => return None,
    };
    // dense, not saturated, nothing negated, nothing reserved
    let others = match kind {
        // powers of two in bit 23
        Kind::Mxf8f6f4 => [field(23, 1) ^ 1, field(24, 3), field(31, 1)],
        // nothing transposed, 64 terms and not 96
        Kind::Mxf4 => [field(23, 1) ^ 1, field(24, 3) | field(15, 2), field(31, 1)],
        Kind::Mxf4nvf4 => [field(23, 1), field(24, 3) | field(15, 2), field(31, 1)],
        Kind::F16 | Kind::Tf32 | Kind::F8f6f4 | Kind::I8 => [field(23, 1), 0, field(29, 3)],
    };
    if [field(0, 4), field(6, 1), field(13, 2)] != [0; 3] || others != [0; 3] {
        return None;
    }
    let (possible, steps) = (kind.first_steps(), [field(29, 2), field(4, 2)]);
    let scaled = !possible.is_empty();
    if scaled && !steps.iter().all(|s| possible.contains(s)) {
        return None;
    }
    Some(Decoded {
        extents: [i64::from(field(24, 5)) << 4, i64::from(field(17, 6)) << 3],
        types: [factor(field(7, 3))?, factor(field(10, 3))?, sum],
        transposed: [field(15, 1) == 1, field(16, 1) == 1],
        steps: scaled.then(|| steps.map(i64::from)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction::{Action, find, matrix_instructions};

    fn matrix(name: &str) -> Matrix {
        match find(name).map(|i| i.action) {
            Some(Action::Matrix(m)) => m,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// PTX ISA 8.8, 9.7.16.4.2, table 42: fields of dense instructions.
    #[test]
    fn instruction_descriptors_are_those_of_the_manual() {
        let of = |name, t| encode(&matrix(name), t, [0; 2]);
        // D type F32 in bits 4-5, BF16 in 7-9 and 10-12, N / 8 from 17, M / 16 from 24
        let plain = of("tcgen05.mma.m128n256k16.f32.bf16.bf16", [false; 2]);
        assert_eq!(plain, 1 << 4 | 1 << 7 | 1 << 10 | 32 << 17 | 8 << 24);
        assert_eq!(plain, 0x0840_0490, "the value that CUTLASS's fields give");
        let turned = of("tcgen05.mma.m128n256k16.f32.bf16.bf16", [true, false]);
        assert_eq!(turned ^ plain, 1 << 15, "transpose A");
        let turned = of("tcgen05.mma.m128n256k16.f32.bf16.bf16", [false, true]);
        assert_eq!(turned ^ plain, 1 << 16, "transpose B");
        let f16 = of("tcgen05.mma.m128n64k16.f32.f16.f16", [false; 2]);
        assert_eq!(f16, 1 << 4 | 8 << 17 | 8 << 24);
        let tf32 = of("tcgen05.mma.m128n16k8.f32.tf32.tf32", [false; 2]);
        assert_eq!(tf32, 1 << 4 | 2 << 7 | 2 << 10 | 2 << 17 | 8 << 24);
        let mixed = of("tcgen05.mma.m128n32k32.f32.e4m3.e5m2", [false; 2]);
        assert_eq!(mixed, 1 << 4 | 1 << 10 | 4 << 17 | 8 << 24);
        let integer = of("tcgen05.mma.m128n48k32.i32.i8.i8", [false; 2]);
        assert_eq!(integer, 2 << 4 | 1 << 7 | 1 << 10 | 6 << 17 | 8 << 24);
        // the rows of a pair are those of both blocks
        let pair = of("tcgen05.mma.pair.m256n256k16.f32.bf16.bf16", [false; 2]);
        assert_eq!(pair, 0x1040_0490, "the value that CUTLASS's fields give");
    }

    /// PTX ISA 8.8, 9.7.16.4.2, table 43: fields of `.kind::mxf8f6f4`.
    #[test]
    fn descriptors_with_scales_are_those_of_the_manual() {
        let of = |name, t, steps| encode(&matrix(name), t, steps);
        let plain = of("tcgen05.mma.m128n256k32.f32.e4m3.e4m3.ue8m0", [false; 2], [0; 2]);
        // powers of two in bit 23, N / 8 from 17, M / 128 from 27, nothing where D's type is else
        assert_eq!(plain, 32 << 17 | 1 << 23 | 1 << 27);
        let mixed = "tcgen05.mma.pair.m256n64k32.f32.e4m3.e5m2.ue8m0";
        let turned = of(mixed, [true, false], [3, 1]);
        // A's byte of a column from bit 29, B's from 4
        assert_eq!(turned, 1 << 4 | 1 << 10 | 1 << 15 | 8 << 17 | 1 << 23 | 2 << 27 | 3 << 29);
        assert_eq!(decode(plain ^ 1 << 23, Kind::Mxf8f6f4), None, "scales of another type");
        assert_eq!(decode(plain | 1 << 31, Kind::Mxf8f6f4), None, "reserved");
        assert_eq!(decode(plain, Kind::F8f6f4), None, "without scales");
    }

    /// PTX ISA 8.8, 9.7.16.4.2, table 44: fields of `.kind::mxf4` and `.kind::mxf4nvf4`.
    #[test]
    fn descriptors_of_four_bits_are_those_of_the_manual() {
        let of = |name, steps| encode(&matrix(name), [false; 2], steps);
        // E2M1 is 1 from 7 and from 10, N / 8 from 17, powers of two in 23, M / 128 from 27
        let plain = of("tcgen05.mma.m128n256k64.f32.e2m1.e2m1.ue8m0", [0; 2]);
        assert_eq!(plain, 1 << 7 | 1 << 10 | 32 << 17 | 1 << 23 | 1 << 27);
        let last = of("tcgen05.mma.m128n256k64.f32.e2m1.e2m1.ue8m0", [2, 2]);
        assert_eq!(last ^ plain, 2 << 4 | 2 << 29, "the last two bytes of a column");
        let pair = of("tcgen05.mma.pair.m256n64k64.f32.e2m1.e2m1.ue4m3", [0; 2]);
        assert_eq!(pair, 1 << 7 | 1 << 10 | 8 << 17 | 2 << 27);
        for (wrong, kind) in [
            (plain | 1 << 4, Kind::Mxf4),
            (plain | 1 << 12, Kind::Mxf4),
            (plain | 1 << 15, Kind::Mxf4),
            (plain | 1 << 31, Kind::Mxf4),
            (plain, Kind::Mxf4nvf4),
            (plain, Kind::Mxf8f6f4),
            (pair, Kind::Mxf4),
            (pair | 2 << 29, Kind::Mxf4nvf4),
        ] {
            let found = decode(wrong, kind).map(|d| d.types[0]);
            assert_ne!(found, Some(DType::E2m1), "{wrong:#x} {kind:?}");
        }
    }

    /// PTX ISA 8.8, 9.7.16.10.7.2.1 and 9.7.16.10.7.3.1: 32 rows in each column, a byte for each
    /// step; 9.7.16.9.2: the 32 lanes are copied four times.
    #[test]
    fn scales_are_where_the_manual_says() {
        let at = [(0, 0), (31, 3), (32, 0), (127, 2), (128, 1), (255, 3)].map(|(i, s)| scale(i, s));
        let wanted = [[0, 0, 0], [31, 0, 3], [0, 1, 0], [31, 3, 2], [0, 4, 1], [31, 7, 3]];
        assert_eq!(at, wanted);
    }

    #[test]
    fn instruction_descriptors_decode_to_what_they_were_made_for() {
        let all = matrix_instructions().iter().filter_map(|i| match i.action {
            Action::Matrix(m) if m.tensor => Some(m),
            _other => None,
        });
        let mut count = 0;
        for m in all {
            let kind = Kind::of(&m).expect("a kind for every type of the table");
            let ways = [[false, false], [true, false], [false, true]];
            for transposed in ways.into_iter().take(if m.a.packed() { 1 } else { 3 }) {
                let taken = [[0, 0], [2, 1], [2, 0], [0, 0], [0, 0]][m.steps() as usize];
                let found = decode(encode(&m, transposed, taken), kind);
                let (types, steps) = ([m.a, m.b, m.acc], m.scales.map(|_| taken));
                assert_eq!(found, Some(Decoded { extents: [m.m, m.n], types, transposed, steps }));
            }
            count += 1;
        }
        assert_eq!(count, (16 + 8) * 17, "16 widths of 17 combinations of types, 8 for pairs");
        assert_eq!(decode(1 << 2, Kind::F16), None, "sparse");
        assert_eq!(decode(1 << 4, Kind::I8), None, "integers into f32");
    }

    /// PTX ISA 8.8, 9.7.16.7.1: `tcgen05.alloc` takes powers of two from 32 to 512.
    #[test]
    fn columns_are_allocated_in_powers_of_two() {
        let found = [1, 32, 33, 256, 257, 512, 513].map(|n| allocated(n).unwrap_or(0));
        assert_eq!(found, [32, 32, 64, 256, 512, 512, 0]);
    }

    /// PTX ISA 8.8, 9.7.16.2.3.1.1: thread `t` of a warp has lane `t`, register `i` column `i`.
    #[test]
    fn a_thread_loads_its_lane() {
        let layout = loaded(32);
        for thread in 0..128 {
            for column in 0..32 {
                assert_eq!(layout.element(thread, column), [thread, column]);
            }
        }
        assert_eq!((layout.n_threads(), layout.n_values()), (128, 32));
        for wrong in ["x3", "x256", "x0", "x032", "x"] {
            assert_eq!(find(&format!("tcgen05.ld.32x32b.{wrong}")), None, "{wrong}");
        }
    }
}
