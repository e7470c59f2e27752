//! Tensor memory: the 32-bit descriptors of the instructions that accumulate there, and how its
//! lanes and columns are loaded.
//!
//! Tensor memory is 128 lanes of 512 columns of 32 bits for each block. An accumulator of 128 rows
//! has row `i`, column `j` in lane `i`, column `j`.
//! In: a matrix instruction and which of its operands are transposed. Out: the descriptor; and, bit
//! by bit, what a descriptor says, as the hardware reads it.
//! Sources: PTX ISA 8.8, 9.7.16.4.2 (instruction descriptor, table 42), 9.7.16.2.3.1.1 (fragments
//! of shape `.32x32b`), 9.7.16.1 (addresses).
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
}

impl Kind {
    /// The kind of factors of this type; `None` where no instruction takes them.
    #[must_use]
    pub const fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F16 | DType::Bf16 => Some(Self::F16),
            DType::Tf32 => Some(Self::Tf32),
            DType::E4m3 | DType::E5m2 => Some(Self::F8f6f4),
            DType::I8 | DType::U8 => Some(Self::I8),
            _ => None,
        }
    }

    /// Its number in LLVM's intrinsics.
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::F16 => 0,
            Self::Tf32 => 1,
            Self::F8f6f4 => 2,
            Self::I8 => 3,
        }
    }
}

/// The code of a factor's type among those of its kind.
const fn factor(dtype: DType) -> u32 {
    match dtype {
        DType::Tf32 => 2,
        DType::Bf16 | DType::E5m2 | DType::I8 => 1,
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
/// rows in shared memory.
#[must_use]
pub fn encode(m: &Matrix, transposed: [bool; 2]) -> u32 {
    let size = |n: i64| u32::try_from(n).expect("at most 256");
    accumulator(m.acc) << 4
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
}

/// What the hardware takes a descriptor to mean for this kind; `None` where it means nothing.
#[must_use]
pub fn decode(descriptor: u32, kind: Kind) -> Option<Decoded> {
    let field = |from: u32, bits: u32| descriptor >> from & ((1 << bits) - 1);
    let factor = |code: u32| match (kind, code) {
        (Kind::F16, 0) => Some(DType::F16),
        (Kind::F16, 1) => Some(DType::Bf16),
        (Kind::Tf32, 2) => Some(DType::Tf32),
        (Kind::F8f6f4, 0) => Some(DType::E4m3),
        (Kind::F8f6f4, 1) => Some(DType::E5m2),
        (Kind::I8, 0) => Some(DType::U8),
        (Kind::I8, 1) => Some(DType::I8),
        _ => None,
    };
    let sum = match (kind, field(4, 2)) {
        (Kind::F16 | Kind::F8f6f4, 0) => DType::F16,
        (Kind::F16 | Kind::Tf32 | Kind::F8f6f4, 1) => DType::F32,
        (Kind::I8, 2) => DType::I32,
        _ => return None,
    };
    // dense, not saturated, nothing negated, nothing reserved
    let others = [field(0, 4), field(6, 1), field(13, 2), field(23, 1), field(29, 3)];
    if others != [0; 5] {
        return None;
    }
    Some(Decoded {
        extents: [i64::from(field(24, 5)) << 4, i64::from(field(17, 6)) << 3],
        types: [factor(field(7, 3))?, factor(field(10, 3))?, sum],
        transposed: [field(15, 1) == 1, field(16, 1) == 1],
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
        let of = |name, t| encode(&matrix(name), t);
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

    #[test]
    fn instruction_descriptors_decode_to_what_they_were_made_for() {
        let all = matrix_instructions().into_iter().filter_map(|i| match i.action {
            Action::Matrix(m) if m.tensor => Some(m),
            _other => None,
        });
        let mut count = 0;
        for m in all {
            let kind = Kind::of(m.a).expect("a kind for every type of the table");
            for transposed in [[false, false], [true, false], [false, true]] {
                let found = decode(encode(&m, transposed), kind);
                let types = [m.a, m.b, m.acc];
                assert_eq!(found, Some(Decoded { extents: [m.m, m.n], types, transposed }));
            }
            count += 1;
        }
        assert_eq!(count, (16 + 8) * 11, "16 widths of 11 combinations of types, 8 for pairs");
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
