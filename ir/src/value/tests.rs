//! Scalars against independent references: the `half` crate, and a search over all values of a
//! format with exact integer comparison.

use std::cmp::Ordering;

use super::*;
use crate::expr::{BinOp, UnOp};
use crate::tensor::random_word;

/// A random binary64 whose exponent lies around those of the narrow formats.
fn random_f64(i: u64) -> f64 {
    let word = random_word(99, i);
    let exponent = 1023 - 40 + random_word(98, i) % 80;
    // every other one has few significand bits, so that ties occur
    let fraction = if i.is_multiple_of(2) { word >> 12 } else { (word >> 58) << 46 };
    f64::from_bits((word & 1) << 63 | exponent << 52 | fraction)
}

#[test]
fn narrow_floats_round_trip_through_wider_ones() {
    let narrow = |t: &DType| t.is_float() && t.bits() <= 16;
    for dtype in DType::ALL.into_iter().filter(narrow) {
        for bits in 0..1_u64 << dtype.bits() {
            let x = Scalar::from_bits(dtype, bits);
            for wide in [DType::F32, DType::F64] {
                let back = x.convert(wide, Rounding::Nearest, false).convert(
                    dtype,
                    Rounding::Nearest,
                    false,
                );
                assert!(back.same(x), "{dtype} {bits:#x} via {wide}: {back:?}");
            }
        }
    }
}

#[test]
fn decoding_agrees_with_other_crates() {
    for bits in 0..=u16::MAX {
        for (dtype, other) in [
            (DType::F16, half::f16::from_bits(bits).to_f64()),
            (DType::Bf16, half::bf16::from_bits(bits).to_f64()),
        ] {
            let ours = Scalar::from_bits(dtype, bits.into()).to_f64();
            assert!(ours == other || (ours.is_nan() && other.is_nan()), "{dtype} {bits:#x}");
        }
    }
    for bits in 0..=u8::MAX {
        for (dtype, other) in [
            (DType::E4m3, float8::F8E4M3::from_bits(bits).to_f64()),
            (DType::E5m2, float8::F8E5M2::from_bits(bits).to_f64()),
        ] {
            let ours = Scalar::from_bits(dtype, bits.into()).to_f64();
            assert!(ours == other || (ours.is_nan() && other.is_nan()), "{dtype} {bits:#x}");
        }
    }
}

/// OCP Microscaling Formats 1.0, 5.4.1: E8M0 is a biased exponent; 255 is NaN.
#[test]
fn powers_of_two_are_their_exponents() {
    for bits in 0..255 {
        let x = Scalar::from_bits(DType::Ue8m0, bits);
        assert_eq!(x.to_f64(), 2f64.powi(i32::try_from(bits).unwrap() - 127));
        for (factor, rounding, wanted) in [
            (1.49, Rounding::Nearest, 0),
            (1.5, Rounding::Nearest, 1),
            (1.001, Rounding::Up, 1),
            (1.0, Rounding::Up, 0),
            (1.99, Rounding::Down, 0),
            (1.99, Rounding::Zero, 0),
        ] {
            let from = Scalar::f64(x.to_f64() * factor);
            let found = from.convert(DType::Ue8m0, rounding, false);
            assert_eq!(found.bits(), bits + wanted, "{factor} {rounding:?}");
        }
    }
    let to = |v: f64, sat| Scalar::f64(v).convert(DType::Ue8m0, Rounding::Nearest, sat);
    assert!(Scalar::from_bits(DType::Ue8m0, 255).is_nan());
    for (v, bits) in [(0.0, 0), (-0.0, 0), (1e-60, 0), (1e60, 255), (-1.0, 255), (f64::NAN, 255)] {
        assert_eq!(to(v, false).bits(), bits, "{v}");
    }
    assert_eq!([to(1e60, true), to(f64::INFINITY, true)].map(Scalar::bits), [254; 2]);
    assert_eq!(to(f64::NEG_INFINITY, true).bits(), 255);
}

/// OCP Microscaling Formats 1.0, 5.3.3: the values of E2M1; PTX ISA 8.8, `cvt`: what is beyond the
/// greatest, and a NaN, becomes that.
#[test]
fn four_bits_are_sixteen_numbers() {
    let of = |bits| Scalar::from_bits(DType::E2m1, bits).to_f64();
    let found: Vec<f64> = (0..8).map(of).collect();
    assert_eq!(found, [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    assert!((0..8).all(|bits| of(bits + 8) == -of(bits)) && of(8).is_sign_negative());
    let to = |v: f64, sat| Scalar::f64(v).convert(DType::E2m1, Rounding::Nearest, sat).bits();
    for (v, bits) in [
        (0.25, 0),
        (0.2501, 1),
        (0.75, 2),
        (2.5, 4),
        (3.5, 6),
        (5.0, 6),
        (5.01, 7),
        (7.0, 7),
        (1e30, 7),
        (f64::INFINITY, 7),
        (f64::NEG_INFINITY, 15),
        (-9.0, 15),
        (-0.1, 8),
        (f64::NAN, 7),
    ] {
        assert_eq!([to(v, false), to(v, true)], [bits; 2], "{v}");
    }
}

/// PTX ISA 8.8, 5.2.3: `ue4m3` is `e4m3` without a sign, whose bit is nothing.
#[test]
fn numbers_without_a_sign_are_those_with_one_above_zero() {
    let (signed, unsigned) = (DType::E4m3, DType::Ue4m3);
    for bits in 0..256 {
        let [a, b] = [Scalar::from_bits(unsigned, bits), Scalar::from_bits(signed, bits & 0x7f)];
        assert!(a.bits() == b.bits() && (a.to_f64() == b.to_f64() || a.is_nan() && b.is_nan()));
    }
    let to = |v: f64, t, sat| Scalar::f64(v).convert(t, Rounding::Nearest, sat).bits();
    for i in 0..10_000 {
        let (v, sat) = (random_f64(i).abs(), i % 3 == 0);
        assert_eq!(to(v, unsigned, sat), to(v, signed, sat), "{v}");
        assert_eq!(to(-v, unsigned, sat), 0x7f, "{v}");
    }
    assert_eq!([to(-0.0, unsigned, false), to(f64::INFINITY, unsigned, true)], [0, 0x7e]);
    assert_eq!(Scalar::from_i64(unsigned, -3).bits(), 0x7f);
}

#[test]
fn encoding_agrees_with_half() {
    // from f32: `half` loses low bits of an f64
    for i in 0..200_000 {
        let exact = random_f64(i);
        let x = exact as f32;
        let to = |dtype| Scalar::f32(x).convert(dtype, Rounding::Nearest, false).bits();
        assert_eq!(to(DType::F16), u64::from(half::f16::from_f32(x).to_bits()), "{x:e}");
        assert_eq!(to(DType::Bf16), u64::from(half::bf16::from_f32(x).to_bits()), "{x:e}");
        let generic = Format::of(DType::F32).unwrap().from_f64(exact, Rounding::Nearest, false);
        assert_eq!(generic, u64::from(x.to_bits()));
    }
}

#[test]
fn named_fp8_values() {
    let to = |t, x: f64, saturate| Scalar::f64(x).convert(t, Rounding::Nearest, saturate);
    assert_eq!(Scalar::from_bits(DType::E4m3, 0x7e).to_f64(), 448.0);
    assert!(Scalar::from_bits(DType::E4m3, 0x7f).is_nan());
    assert_eq!(Scalar::from_bits(DType::E4m3, 1).to_f64(), 2f64.powi(-9));
    assert_eq!(to(DType::E4m3, 464.0, false).to_f64(), 448.0);
    assert!(to(DType::E4m3, 464.1, false).is_nan());
    assert_eq!(to(DType::E4m3, f64::NEG_INFINITY, true).to_f64(), -448.0);
    assert!(to(DType::E4m3, f64::NAN, true).is_nan());
    assert_eq!(Scalar::from_bits(DType::E5m2, 0x7b).to_f64(), 57344.0);
    assert_eq!(to(DType::E5m2, 61440.0, false).to_f64(), f64::INFINITY);
    assert_eq!(to(DType::E5m2, 61440.0, true).to_f64(), 57344.0);
}

/// All finite values of a narrow format from -max to max, with -0 left out.
fn values(dtype: DType) -> Vec<f64> {
    let mut out: Vec<f64> = (0..1_u64 << dtype.bits())
        .map(|b| Scalar::from_bits(dtype, b).to_f64())
        .filter(|v| v.is_finite() && v.to_bits() != 1 << 63)
        .collect();
    out.sort_by(f64::total_cmp);
    out
}

/// `x` against the midpoint of `a` and `b`, exactly: all are multiples of 2^-103 below 2^21.
fn against_midpoint(x: f64, a: f64, b: f64) -> Ordering {
    let scale = |v: f64| {
        let float::Parts::Finite { negative, mantissa, exponent } = float::decompose(v) else {
            unreachable!("finite by construction")
        };
        let shift = exponent + 103;
        let m = if shift >= 0 {
            i128::from(mantissa) << shift
        } else {
            assert!(mantissa == 0 || i64::from(mantissa.trailing_zeros()) >= -shift);
            i128::from(mantissa >> (-shift).min(63))
        };
        if negative { -m } else { m }
    };
    (2 * scale(x)).cmp(&(scale(a) + scale(b)))
}

#[test]
fn every_rounding_agrees_with_a_search() {
    for dtype in [DType::E4m3, DType::E5m2, DType::F16, DType::Bf16] {
        let all = values(dtype);
        for i in 0..20_000 {
            let x = random_f64(i) * 2f64.powi(-10);
            let at = all.partition_point(|v| *v < x);
            if at == 0 || at == all.len() || x.abs() > 2f64.powi(20) {
                continue;
            }
            let (low, high) = (all[at - 1], all[at]);
            for rounding in Rounding::ALL {
                let wanted = match rounding {
                    _ if high == x => x,
                    Rounding::Up => high,
                    Rounding::Down => low,
                    Rounding::Zero => {
                        if x < 0.0 {
                            high
                        } else {
                            low
                        }
                    }
                    Rounding::Nearest => match against_midpoint(x, low, high) {
                        Ordering::Less => low,
                        Ordering::Greater => high,
                        Ordering::Equal => {
                            if Scalar::from_f64(dtype, low).bits() & 1 == 0 {
                                low
                            } else {
                                high
                            }
                        }
                    },
                };
                let got = Scalar::f64(x).convert(dtype, rounding, false).to_f64();
                assert_eq!(got, wanted, "{dtype} {rounding:?} {x:e}");
            }
        }
    }
}

#[test]
fn overflow_follows_the_rounding() {
    let max = Scalar::from_bits(DType::F16, 0x7bff).to_f64();
    let to = |x: f64, r| Scalar::f64(x).convert(DType::F16, r, false).to_f64();
    assert_eq!(to(1e30, Rounding::Nearest), f64::INFINITY);
    assert_eq!(to(1e30, Rounding::Zero), max);
    assert_eq!(to(1e30, Rounding::Down), max);
    assert_eq!(to(-1e30, Rounding::Down), f64::NEG_INFINITY);
    assert_eq!(to(-1e30, Rounding::Up), -max);
    assert_eq!(to(65519.9, Rounding::Nearest), max);
    assert_eq!(to(65520.0, Rounding::Nearest), f64::INFINITY);
}

#[test]
fn tf32_keeps_ten_bits() {
    for i in 0..10_000 {
        let x = Scalar::from_f64(DType::Tf32, random_f64(i));
        assert_eq!(x.bits() & 0x1fff, 0);
        let f32 = x.convert(DType::F32, Rounding::Nearest, false);
        assert_eq!(f32.bits(), x.bits());
        let relative = (x.to_f64() / random_f64(i) - 1.0).abs();
        assert!(relative <= 2f64.powi(-11), "{relative:e}");
    }
}

#[test]
fn integers_become_floats_with_one_rounding() {
    // 2^53 + 2^29 + 1: through f64 it would become a tie and go down
    let x = (1_i64 << 53) + (1 << 29) + 1;
    let once = Scalar::from_i64(DType::F32, x).to_f64();
    assert_eq!(once, ((1_i64 << 53) + (1 << 30)) as f64);
    for i in 0..10_000 {
        let word = random_word(5, i) >> (random_word(6, i) % 64);
        let u = Scalar::from_bits(DType::U64, word);
        let s = Scalar::from_bits(DType::I64, word);
        let to = |x: Scalar, t| x.convert(t, Rounding::Nearest, false).bits();
        assert_eq!(to(u, DType::F32), u64::from((word as f32).to_bits()));
        assert_eq!(to(u, DType::F64), (word as f64).to_bits());
        assert_eq!(to(s, DType::F32), u64::from((word.cast_signed() as f32).to_bits()));
        assert_eq!(to(s, DType::F64), (word.cast_signed() as f64).to_bits());
    }
}

#[test]
fn floats_become_integers_wrapped_or_clamped() {
    let to = |x: f64, t, r, s| Scalar::f64(x).convert(t, r, s).to_i128().unwrap();
    assert_eq!(to(300.7, DType::U8, Rounding::Zero, false), 44);
    assert_eq!(to(300.7, DType::U8, Rounding::Zero, true), 255);
    assert_eq!(to(-1.0, DType::U64, Rounding::Zero, false), u64::MAX.into());
    assert_eq!(to(-1.5, DType::I8, Rounding::Nearest, false), -2);
    assert_eq!(to(2.5, DType::I8, Rounding::Nearest, false), 2);
    assert_eq!(to(2.5, DType::I8, Rounding::Up, false), 3);
    assert_eq!(to(-2.5, DType::I8, Rounding::Down, false), -3);
    assert_eq!(to(-2.5, DType::I8, Rounding::Zero, false), -2);
    assert_eq!(to(f64::NAN, DType::I32, Rounding::Zero, false), 0);
    assert_eq!(to(f64::NAN, DType::I32, Rounding::Zero, true), 0);
    assert_eq!(to(f64::INFINITY, DType::I32, Rounding::Zero, true), i32::MAX.into());
    assert_eq!(to(-1e300, DType::I64, Rounding::Zero, true), i64::MIN.into());
    assert_eq!(to(1e300, DType::U64, Rounding::Zero, true), u64::MAX.into());
    assert_eq!(to(1e300, DType::I64, Rounding::Zero, false), 0);
    assert_eq!(to(2f64.powi(63) + 2048.0, DType::U64, Rounding::Zero, false), (1 << 63) + 2048);
    for i in 0..20_000 {
        let x = random_f64(i);
        let wanted = (x.trunc() as i128) as u8;
        assert_eq!(to(x, DType::U8, Rounding::Zero, false), wanted.into(), "{x:e}");
    }
}

#[test]
fn integer_arithmetic_matches_wide_arithmetic() {
    let types = DType::ALL.into_iter().filter(|t| t.is_int());
    let ops = [
        BinOp::Add,
        BinOp::Sub,
        BinOp::Mul,
        BinOp::FloorDiv,
        BinOp::Mod,
        BinOp::MulHi,
        BinOp::Lt,
        BinOp::Min,
        BinOp::Max,
    ];
    for dtype in types {
        let width = 8 * dtype.size_bytes() as u32;
        let special = [0, 1, u64::MAX, 1 << (width - 1), (1 << (width - 1)) - 1, 7, 3];
        for i in 0..3_000_u64 {
            let pick = |k: u64| match special.get(random_word(k, i) as usize % 14) {
                Some(v) => Scalar::from_bits(dtype, *v),
                None => Scalar::from_bits(dtype, random_word(k + 1, i)),
            };
            let (a, b) = (pick(10), pick(20));
            let (x, y) = (a.to_i128().unwrap(), b.to_i128().unwrap());
            let floor = if y == 0 {
                0
            } else {
                x.div_euclid(y) - i128::from(y < 0 && x.rem_euclid(y) != 0)
            };
            for op in ops {
                let got = binary(op, a, b).unwrap();
                let wanted = match op {
                    BinOp::Add => x + y,
                    BinOp::Sub => x - y,
                    BinOp::Mul => x.wrapping_mul(y),
                    BinOp::FloorDiv => {
                        if y < 0 && x.rem_euclid(y) != 0 {
                            -((x + (-y) - 1 - (x + (-y) - 1).rem_euclid(-y)) / -y)
                        } else {
                            floor
                        }
                    }
                    BinOp::Mod => {
                        if y == 0 {
                            x
                        } else {
                            let r = x.rem_euclid(y);
                            if y < 0 && r != 0 { r + y } else { r }
                        }
                    }
                    BinOp::MulHi => {
                        // the low halves of signed and unsigned products agree
                        if dtype == DType::U64 {
                            ((x as u128 * y as u128) >> 64) as i128
                        } else {
                            (x * y) >> width
                        }
                    }
                    BinOp::Lt => i128::from(x < y),
                    BinOp::Min => x.min(y),
                    _ => x.max(y),
                };
                let result = if op == BinOp::Lt { DType::Bool } else { dtype };
                assert_eq!(got, Scalar::from_bits(result, wanted as u64), "{op:?} {dtype} {x} {y}");
            }
        }
    }
}

#[test]
fn shifts_outside_the_width() {
    let i8 = |v| Scalar::from_i64(DType::I8, v);
    let go = |op, a, n| binary(op, i8(a), i8(n)).unwrap().to_i128().unwrap();
    assert_eq!(go(BinOp::Shl, 1, 7), -128);
    assert_eq!((go(BinOp::Shl, 1, 8), go(BinOp::Shl, 1, -1)), (0, 0));
    assert_eq!((go(BinOp::Shr, -3, 1), go(BinOp::Shr, -3, 8), go(BinOp::Shr, 3, -1)), (-2, -1, 0));
}

#[test]
fn minimum_knows_nan_and_signed_zero() {
    let go = |op, a, b| f64::from_bits(binary(op, Scalar::f64(a), Scalar::f64(b)).unwrap().bits());
    assert!(go(BinOp::Min, 1.0, f64::NAN).is_nan() && go(BinOp::Max, f64::NAN, 1.0).is_nan());
    for (a, b) in [(0.0, -0.0), (-0.0, 0.0)] {
        assert!(go(BinOp::Min, a, b).is_sign_negative() && go(BinOp::Max, a, b).is_sign_positive());
    }
}

#[test]
fn ldexp_rounds_once_and_exponent_inverts_it() {
    let ldexp = |x: f32, n: i64| {
        let n = Scalar::from_i64(DType::I32, n);
        f32::from_bits(binary(BinOp::Ldexp, Scalar::f32(x), n).unwrap().bits() as u32)
    };
    assert_eq!(ldexp(1.0, -149), f32::from_bits(1));
    assert_eq!(ldexp(1.5, -150), f32::from_bits(1));
    assert_eq!(ldexp(1.0, -150), 0.0);
    assert_eq!(ldexp(-3.0, i64::from(i32::MIN)).to_bits(), (-0.0_f32).to_bits());
    assert_eq!(ldexp(1.0, i64::from(i32::MAX)), f32::INFINITY);
    assert_eq!(ldexp(f32::from_bits(1), 149), 1.0);
    for n in -149..128 {
        let e = unary(UnOp::Exponent, Scalar::f32(ldexp(1.25, n))).unwrap();
        assert_eq!(e.to_i128(), Some(n.into()));
    }
    let special = [(0.0, i32::MIN), (f32::NEG_INFINITY, i32::MAX), (f32::NAN, i32::MAX)];
    for (x, e) in special {
        assert_eq!(unary(UnOp::Exponent, Scalar::f32(x)).unwrap().to_i128(), Some(e.into()));
    }
}

#[test]
fn fma_rounds_once() {
    let x = 1.0 + f32::EPSILON;
    let exact = fma(Scalar::f32(x), Scalar::f32(x), Scalar::f32(-(x * x))).unwrap();
    assert_eq!(exact.to_f64(), 2f64.powi(-46));
    let i = |v| Scalar::from_i64(DType::I8, v);
    assert_eq!(fma(i(100), i(3), i(1)).unwrap().to_i128(), Some(45));
}

#[test]
fn formats_know_their_extremes() {
    let of = |t| float::Format::of(t).unwrap();
    for (t, greatest, least, normal) in [
        (DType::F64, f64::MAX, f64::from_bits(1), f64::MIN_POSITIVE),
        (DType::F32, f32::MAX.into(), f32::from_bits(1).into(), f32::MIN_POSITIVE.into()),
        (DType::F16, 65504.0, 2f64.powi(-24), 2f64.powi(-14)),
        (DType::Bf16, half::bf16::MAX.to_f64(), 2f64.powi(-133), f32::MIN_POSITIVE.into()),
        (DType::Tf32, f64::from(f32::from_bits(0x7F7F_E000)), 2f64.powi(-136), 2f64.powi(-126)),
        (DType::E5m2, 57344.0, 2f64.powi(-16), 2f64.powi(-14)),
        (DType::E4m3, 448.0, 2f64.powi(-9), 2f64.powi(-6)),
        (DType::E2m1, 6.0, 0.5, 1.0),
        (DType::Ue4m3, 448.0, 2f64.powi(-9), 2f64.powi(-6)),
        (DType::Ue8m0, 2f64.powi(127), 2f64.powi(-127), 2f64.powi(-127)),
    ] {
        assert_eq!(of(t).greatest(), greatest, "{t}");
        assert_eq!(of(t).least(), least, "{t}");
        assert_eq!(of(t).least_normal(), normal, "{t}");
    }
}
