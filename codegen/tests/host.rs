//! Compiled kernels against plain Rust.

mod support;

use support::*;
use warploom_codegen::host::{HostOptions, Stage, emit_llvm, inspect};
use warploom_ir::kernel::LoopMode;

const FMA: &str = "call <16 x float> @llvm.fmuladd.v16f32(";

fn matmul_reference(a: &[f32], b: &[f32], c: &mut [f32], (m, n, k): (usize, usize, usize)) {
    for i in 0..m {
        for j in 0..n {
            for p in 0..k {
                c[i * n + j] += a[i * k + p] * b[p * n + j];
            }
        }
    }
}

fn check_matmul(mode: LoopMode, threads: usize) {
    let (m, n, k) = (18, 48, 37);
    let (a, b, mut want) = (noise(m * k, 1), noise(k * n, 2), noise(m * n, 3));
    let mut buffers = [Bytes::f32(&a), Bytes::f32(&b), Bytes::f32(&want)];
    matmul_reference(&a, &b, &mut want, (m, n, k));
    call(&matmul(mode), &mut buffers, &[m as i64, n as i64, k as i64], threads);
    assert_eq!(buffers[2].to_f32(), want);
}

#[test]
fn matmul_serial() {
    check_matmul(LoopMode::Serial, 1);
}

#[test]
fn matmul_parallel() {
    check_matmul(LoopMode::Parallel, 1);
    check_matmul(LoopMode::Parallel, 3);
}

/// The accumulators stay in registers: the loop over k stores nothing.
#[test]
fn matmul_inner_loop_has_no_store() {
    let kernel = sealed(matmul(LoopMode::Serial));
    assert!(emit_llvm(&kernel).contains("llvm.fmuladd.v16f32"));
    let ir = inspect(&kernel, &HostOptions::default(), Stage::Llvm).unwrap();
    let blocks: Vec<&str> = ir.split("\n\n").collect();
    let inner: Vec<&&str> = blocks.iter().filter(|b| b.contains(FMA)).collect();
    assert!(!inner.is_empty(), "{ir}");
    for block in inner {
        // LLVM may have repeated the body
        assert_eq!(block.matches(FMA).count() % 6, 0, "{block}");
        assert!(!block.contains("store"), "{block}");
    }
    assert_eq!(ir.matches(" store <16 x float>").count() % 6, 0, "{ir}");
}
