//! Tests of the instruction table: places are unique, names are unique, descriptors decode to the
//! tile that they were made for, and the declared nests are what the adders compute.

use std::collections::BTreeSet;

use super::descriptor::{Fields, PANELS, Reader, address, encode, panel_offset, swizzle};
use super::*;
use crate::value::Scalar;

#[test]
fn every_element_of_a_fragment_has_one_place() {
    for instruction in matrix_instructions() {
        let Action::Matrix(matrix) = instruction.action else { panic!("not a matrix") };
        for part in [Part::A, Part::B, Part::D] {
            let Some(layout) = matrix.layout(part) else { continue };
            let threads = if matrix.shared { 128 } else { 32 };
            assert_eq!(layout.n_threads(), threads, "{} {part:?}", instruction.name);
            let mut seen = BTreeSet::new();
            for thread in 0..threads {
                for value in 0..layout.n_values() {
                    let at = layout.element(thread, value);
                    assert!(at[0] < layout.rows && at[1] < layout.cols, "{}", instruction.name);
                    assert!(seen.insert(at), "{} {part:?} {at:?}", instruction.name);
                }
            }
            assert_eq!(seen.len() as i64, layout.rows * layout.cols, "{}", instruction.name);
        }
    }
}

/// The formulas of the PTX manual for some fragments.
#[test]
fn fragments_are_those_of_the_manual() {
    let d = layout("wgmma.m64n256k16.f32.bf16.bf16.d").unwrap();
    let a = layout("mma.m16n8k16.f32.bf16.bf16.a").unwrap();
    let b = layout("mma.m16n8k32.i32.i8.i8.b").unwrap();
    let wide = layout("wgmma.rs.m64n8k8.f32.tf32.tf32.a").unwrap();
    let narrow = layout("wgmma.rs.m64n8k32.f32.e4m3.e5m2.a").unwrap();
    for t in 0..128 {
        let row = |i| 16 * (t / 32) + t % 32 / 4 + 8 * (i % 2);
        for i in 0..4 {
            assert_eq!(wide.element(t, i), [row(i), t % 4 + 4 * (i / 2)]);
        }
        for i in 0..16 {
            let col = 4 * (t % 4) + i % 4 + 16 * (i / 8);
            assert_eq!(narrow.element(t, i), [row(i / 4), col]);
        }
        for i in 0..128 {
            let row = 16 * (t / 32) + t % 32 / 4 + 8 * (i / 2 % 2);
            assert_eq!(d.element(t, i), [row, 8 * (i / 4) + 2 * (t % 4) + i % 2]);
        }
    }
    for lane in 0..32 {
        for i in 0..8 {
            let row = lane / 4 + if i % 4 >= 2 { 8 } else { 0 };
            let col = lane % 4 * 2 + i % 2 + if i >= 4 { 8 } else { 0 };
            assert_eq!(a.element(lane, i), [row, col]);
            let k = lane % 4 * 4 + i % 4 + if i >= 4 { 16 } else { 0 };
            assert_eq!(b.element(lane, i), [lane / 4, k]);
        }
    }
}

#[test]
fn names_are_unique_and_found() {
    let all = matrix_instructions();
    let names: BTreeSet<_> = all.iter().map(|i| i.name.clone()).collect();
    assert_eq!(names.len(), all.len());
    for instruction in all {
        assert_eq!(find(&instruction.name), Some(instruction));
    }
    for gone in ["wgmma.m64n200k32.i32.i8.i8", "wgmma.m64n260k16.f32.f16.f16", "mma", "rcp"] {
        assert_eq!(find(gone), None, "{gone}");
    }
}

/// A descriptor, decoded as the hardware does, names the bytes of the tile it was made for.
#[test]
fn descriptors_decode_to_their_tiles() {
    for (panel, reader) in
        PANELS.into_iter().flat_map(|p| [Reader::Warpgroup, Reader::Thread].map(|r| (p, r)))
    {
        let address = |d, mn, k, bits, t| address(d, reader, [mn, k], bits, t).expect("known");
        let encode = |start, fields| encode(start, fields, reader);
        for bits in [4, 8, 16, 32] {
            let (rows, cols, base) = (64_i64, 16 * panel.max(64) / bits, 2048_i64);
            let place = |r, c| swizzle(base + panel_offset(r, c, rows, bits, panel), panel);
            let inst_k = 256 / bits;
            for (r0, c0) in [(0, 0), (16, inst_k), (8, cols - inst_k)] {
                if panel < 32 && c0 * bits / 8 % panel != 0 || panel >= 32 && c0 % inst_k != 0 {
                    continue;
                }
                let start = base + panel_offset(r0, c0, rows, bits, panel);
                let d = encode(start, Fields::of(rows, panel, false));
                for mn in 0..16 {
                    for k in 0..inst_k {
                        assert_eq!(address(d, mn, k, bits, false), place(r0 + mn, c0 + k));
                    }
                }
            }
            let types = match reader {
                Reader::Warpgroup => [16, 16],
                Reader::Thread => [8, 16],
            };
            if !types.contains(&bits) {
                continue;
            }
            for (r0, c0) in [(0, 0), (16, 8 * panel / bits)] {
                let start = base + panel_offset(r0, c0, rows, bits, panel);
                let d = encode(start, Fields::of(rows, panel, true));
                for mn in 0..cols - c0 {
                    for k in 0..inst_k {
                        let at = place(r0 + k, c0 + mn);
                        assert_eq!(address(d, mn, k, bits, true), at, "{panel} {mn} {k}");
                    }
                }
            }
        }
    }
    let fields = Fields::of(64, 128, false);
    let high = encode(0, fields, Reader::Warpgroup) >> 32;
    assert_eq!(high, (1 << 30) | 64, "the constant of CUTLASS's K-major 128-byte layout");
}

/// PTX ISA 8.8, 9.7.16.4.1, "Shared memory descriptor": bits 0-13 address, 16-29 leading and 32-45
/// stride offset in units of 16 bytes, 46-48 the constant 1, 61-63 the swizzling mode.
#[test]
fn descriptors_for_tensor_memory_are_those_of_the_manual() {
    let of = |panel| encode(0x4400, Fields::of(64, panel, false), Reader::Thread);
    assert_eq!(of(128), 0x440 | 1 << 16 | 64 << 32 | 1 << 46 | 2 << 61);
    assert_eq!(of(64), 0x440 | 1 << 16 | 32 << 32 | 1 << 46 | 4 << 61);
    assert_eq!(of(32), 0x440 | 1 << 16 | 16 << 32 | 1 << 46 | 6 << 61);
    assert_eq!(of(16), 0x440 | 64 << 16 | 8 << 32 | 1 << 46);
    let wrong = of(128) & !(1 << 46);
    assert_eq!(address(wrong, Reader::Thread, [0, 0], 16, false), None, "no version");
    let wrong = encode(0, Fields::of(64, 128, false), Reader::Warpgroup);
    assert_eq!(address(wrong, Reader::Thread, [0, 0], 16, false), None, "Hopper's");
}

/// Where nothing rounds, the adders compute the nest that the instruction declares.
#[test]
fn adders_compute_the_declared_nest() {
    let bf = |v: f64| Scalar::from_f64(DType::Bf16, v);
    let (a, b) = ([bf(3.0), bf(-5.0), bf(0.0)], [bf(7.0), bf(2.0), bf(1.0)]);
    let adder = Adder::Aligned { fraction: 25 };
    assert_eq!(adder.add(Scalar::f32(0.5), &a, &b), Scalar::f32(11.5));
    assert_eq!(adder.add(Scalar::f32(0.0), &[], &[]), Scalar::f32(0.0));
    // an addend below the last fraction bit is cut off, whatever its sign
    let tiny = [bf(2.0_f64.powi(-26))];
    assert_eq!(adder.add(Scalar::f32(1.0), &tiny, &[bf(1.0)]), Scalar::f32(1.0));
    assert_eq!(adder.add(Scalar::f32(1.0), &tiny, &[bf(-1.0)]), Scalar::f32(1.0));
    assert!(adder.add(Scalar::f32(f32::INFINITY), &a, &b).to_f64().is_infinite());
    // with 13 fraction bits the sum has no more either
    let few = Adder::Aligned { fraction: 13 };
    let sum = few.add(Scalar::f32(1.0 + 1.0 / 8192.0), &[bf(1.0)], &[bf(1.0)]);
    assert_eq!(sum, Scalar::f32(2.0));
    let int = |v| Scalar::from_i64(DType::I8, v);
    let start = Scalar::from_i64(DType::I32, i64::from(i32::MAX));
    let sum = Adder::Wrapping.add(start, &[int(-128)], &[int(-1)]);
    assert_eq!(sum, Scalar::from_i64(DType::I32, i64::from(i32::MAX) + 128));
    for instruction in matrix_instructions() {
        let Action::Matrix(matrix) = instruction.action else { panic!("not a matrix") };
        assert!(matrix.nest().parse::<crate::nest::Nest>().is_ok(), "{}", matrix.nest());
    }
}
