//! Compiled kernels against plain Rust.

use crate::support::*;
use warploom_codegen::host::{HostOptions, Stage, emit_llvm, inspect};
use warploom_ir::kernel::{Kernel, LoopMode};

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

fn local_kernel(name: &str) -> Kernel {
    let (text, _) = (local_kernels().into_iter())
        .find(|(text, _)| text.starts_with(&format!("kernel {name}(")))
        .expect("it is listed");
    text.parse().expect("it reads")
}

/// Buffers whose lives do not overlap share stack slots, and unrolled copies need no more.
#[test]
fn stack_slots_are_used_again() {
    let text = emit_llvm(&sealed(local_kernel("many_small")));
    // in the task: T with V, U with the other V, and V beside T; outside: W and X
    assert_eq!(text.matches(" = alloca [").count(), 5, "{text}");
    assert!(!text.contains("i8, ptr %scratch"), "{text}");
    let text = emit_llvm(&sealed(local_kernel("many_large")));
    assert!(text.contains("i8, ptr %scratch, i64 4416"), "{text}");
}

/// The stack holds 64 KiB of local buffers, scratch memory the rest.
#[test]
fn the_stack_is_limited() {
    let open: String = (0..20).map(|i| format!("local T{i}: f32[1024] {{ ")).collect();
    let store = "S: A[0]:f32 = 1.0:f32 order serial";
    let text = format!("kernel k() {{ out A: f32[1] {open} {store} {} }}", "} ".repeat(20));
    let llvm = emit_llvm(&sealed(text.parse().expect("it reads")));
    assert_eq!(llvm.matches(" = alloca [").count(), 16, "{llvm}");
    assert_eq!(llvm.matches("i8, ptr %scratch").count(), 4, "{llvm}");
}

/// A small tile that is written, summed into and read by constant indices is in registers.
#[test]
fn small_local_buffers_become_registers() {
    let kernel = sealed(local_kernel("tile_small"));
    assert!(emit_llvm(&kernel).contains("alloca [256 x i8]"));
    let ir = inspect(&kernel, &HostOptions::default(), Stage::Llvm).expect("it compiles");
    assert!(!ir.contains("alloca [256 x i8]"), "{ir}");
}
