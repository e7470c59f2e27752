//! Elementwise statements over a product's tile join its kernel: the examples with epilogues, on
//! every target with tensor cores of that kind.

use warploom::compile;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_tests::tensor::agrees_on;

/// So many launches, the product's on tensor cores, compute what the nest says, bit for bit.
fn kernels(text: &str, sizes: &str, launches: usize) {
    let text = text.replacen("param M, N, K", &format!("param {sizes}"), 1);
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    for target in [Target::Sm90a, Target::Sm100a] {
        let schedule = compile::auto_for(&nest, target).unwrap_or_else(|e| panic!("{e}"));
        let (kernel, _report) = agrees_on(&nest, &schedule, target);
        assert_eq!(kernel.matches("block {").count(), 1, "{kernel}");
        let program = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}")).program();
        assert_eq!(program.launches.len(), launches, "{kernel}");
    }
}

fn one_kernel(text: &str, sizes: &str) {
    kernels(text, sizes, 1);
}

#[test]
fn bias_and_gelu() {
    let text = include_str!("../../../examples/nests/gemm_bias_gelu.nest");
    one_kernel(text, "M = 128, N = 64, K = 96");
    one_kernel(text, "M = 70, N = 72, K = 40");
}

#[test]
fn residual_and_norm_of_rows() {
    let text = include_str!("../../../examples/nests/gemm_residual_rms.nest");
    one_kernel(text, "M = 128, N = 64, K = 96");
}

#[test]
fn scales_of_rows_and_columns() {
    let text = include_str!("../../../examples/nests/gemm_fp8_scaled.nest");
    one_kernel(text, "M = 128, N = 64, K = 256");
}

#[test]
fn dequantisation() {
    let text = include_str!("../../../examples/nests/gemm_int8_dequant.nest");
    one_kernel(text, "M = 128, N = 64, K = 96");
}

/// A product that shares its loops with other statements gets a nest of its own.
#[test]
fn sums_over_rows_beside_a_product() {
    let text = include_str!("../../../examples/nests/gemm_row_norms.nest");
    kernels(text, "M = 128, N = 64, K = 96", 3);
}

/// What is computed from a sum over the product's rows cannot stay in its nest.
#[test]
fn rows_scaled_by_their_own_sums() {
    let text = "param M, N, K
in A: bf16[M, K]  in B: bf16[K, N]  out C: f32[M, N]  temp T: f32[M, N]  temp r: f32[M]
for m in 0..M {
  R0: r[m] = 0
  for n in 0..N {
    S0: T[m, n] = 0
    for k in 0..K { S1: T[m, n] += cast_f32(A[m, k]) * cast_f32(B[k, n]) order fixed }
    S3: r[m] = max(r[m], T[m, n])
  }
  for n in 0..N { S4: C[m, n] = T[m, n] - r[m] }
}
";
    kernels(text, "M = 64, N = 32, K = 64", 4);
}
