//! Rows and sums on a GPU: which loops run where, and that the kernel computes the same.

use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;

use crate::steps::testing::agree;
use crate::{GpuOptions, Schedule, auto_gpu, launches, lower};

/// The chosen script and kernel, after the kernel was compared with the nest at these sizes.
fn chosen(text: &str, sizes: &[(&str, i64)]) -> (Schedule, Kernel) {
    let nest: Nest = text.parse().unwrap();
    let start = Schedule::new(&nest).unwrap();
    let schedule = auto_gpu(&start, &GpuOptions::default()).unwrap();
    assert_eq!(start.replay(schedule.script()).unwrap(), schedule, "the script makes the schedule");
    let kernel = lower(schedule.poly(), schedule.tree(), &nest.source).unwrap();
    let kernel = launches(&kernel);
    agree(&nest, &kernel, sizes);
    (schedule, kernel)
}

/// A softmax in integers, so that every order gives the same bits.
const NORMALISED: &str = "param M, N
in A: i32[M, N]
out B: i32[M, N]
temp m: i32[M]
temp s: i32[M]
for i in 0..M {
  S0: m[i] = -1000000
  for j in 0..N { S1: m[i] max= A[i, j] order fixed }
  S2: s[i] = 0
  for j in 0..N { S3: s[i] += A[i, j] - m[i] order fixed }
  for j in 0..N { S4: B[i, j] = s[i] * (A[i, j] - m[i]) }
}
";

#[test]
fn a_chain_over_rows_is_one_launch() {
    let (s, kernel) = chosen(NORMALISED, &[("M", 3), ("N", 700)]);
    assert_eq!(kernel.body.len(), 1, "{}\n{kernel}", s.script());
    let fixed = NORMALISED.replace("param M, N", "param M = 40\nparam N = 256");
    let (s, kernel) = chosen(&fixed, &[]);
    // eight rows of 32 threads in a block
    assert_eq!(kernel.body.len(), 1, "{}\n{kernel}", s.script());
    let text = kernel.to_string();
    assert!(text.contains("i32[8, 32]") && text.contains("thread.y"), "{text}");
    assert!(!text.contains("if "), "nothing is left to guard\n{text}");
}

/// The loop over a row holds two statements, one of which needs the other.
#[test]
fn statements_of_a_row_are_taken_apart() {
    let text = "param M, N
in X: i32[M, N]
out Y: i32[M, N]
temp E: i32[M, N]
temp s: i32[M]
for i in 0..M {
  S0: s[i] = 0
  for j in 0..N {
    S1: E[i, j] = 3 * X[i, j]
    S2: s[i] += E[i, j] order fixed
  }
  for j in 0..N { S3: Y[i, j] = E[i, j] - s[i] }
}
";
    let (s, kernel) = chosen(text, &[("M", 3), ("N", 70)]);
    assert_eq!(kernel.body.len(), 1, "{}\n{kernel}", s.script());
}

#[test]
fn sums_with_few_results_run_in_parts() {
    let dot = "param N = 100000
in a: i32[N]
in b: i32[N]
out c: i32[]
S0: c[] = 0
for k in 0..N { S1: c[] += a[k] * b[k] order fixed }";
    let (s, kernel) = chosen(dot, &[]);
    let script = s.script().to_string();
    assert!(script.contains("split k by 2048"), "{script}");
    assert!(kernel.to_string().contains("0..49 block.x"), "{script}\n{kernel}");
    let columns = "param M = 3000
param N = 20
in A: i32[M, N]
inout s: i32[N]
for i in 0..M, j in 0..N { S: s[j] += A[i, j] order fixed }";
    let (s, kernel) = chosen(columns, &[]);
    assert!(s.script().to_string().contains("split-reduction"), "{}\n{kernel}", s.script());
    let total = "param M = 300
param N = 700
in A: i32[M, N]
inout c: i32[]
for i in 0..M, j in 0..N { S: c[] += A[i, j] order fixed }";
    let (s, kernel) = chosen(total, &[]);
    assert!(s.script().to_string().contains("split-reduction i.0\n"), "{}", s.script());
    assert!(kernel.to_string().contains("block.x"), "{kernel}");
}

#[test]
fn other_nests_are_left_alone() {
    let product = "param M, N, K
in A: i32[M, K]
in B: i32[N, K]
inout C: i32[M, N]
for m in 0..M, n in 0..N, k in 0..K { S: C[m, n] += A[m, k] * B[n, k] order fixed }";
    let kept = product.replace("order fixed", "order serial");
    let short = "param M\nin A: i32[M, 9]\ninout s: i32[M]
for i in 0..M, j in 0..9 { S: s[i] += A[i, j] order fixed }";
    for text in [product, &kept, short] {
        let (s, _) =
            chosen(text, &[("M", 5), ("N", 6), ("K", 40)][..if text == short { 1 } else { 3 }]);
        assert!(!s.script().to_string().contains("split-reduction"), "{}", s.script());
    }
}

#[test]
fn columns_are_reduced_by_the_warps_of_a_block() {
    let text = "in A: i32[20, 40, 50]
out B: i32[40, 50]
temp s: i32[40, 50]
for i in 0..40 {
  for j in 0..50 {
    S0: s[i, j] = 0
    for l in 0..20 { S1: s[i, j] += A[l, i, j] order fixed }
    S2: B[i, j] = s[i, j] + 1
  }
}
";
    let (s, kernel) = chosen(text, &[]);
    assert_eq!(kernel.body.len(), 1, "{}\n{kernel}", s.script());
    let script = s.script().to_string();
    assert!(script.contains("map S2.j.1 to thread.x"), "{script}");
    assert!(script.contains("map l.1 to thread.y"), "{script}");
    // few columns are no work for many blocks
    let (s, _) = chosen(&text.replace("40", "3"), &[]);
    assert!(!s.script().to_string().contains("map l.1 to thread.y"), "{}", s.script());
}

/// Rows of many elements of 16 bits under a function that takes long: four pieces for each thread,
/// 128 threads in a block, one row or four.
#[test]
fn busy_threads_take_more_of_a_row() {
    let text = "param M, N\nin X: bf16[M, N]  out Y: bf16[M, N]\ntemp s: f32[M]
for i in 0..M {\n  S0: s[i] = 0\n  for j in 0..N { S1: s[i] += exp(X[i, j]) order fixed }
  for j in 0..N { S2: Y[i, j] = exp(X[i, j]) / s[i] }\n}\n";
    let script = |text: &str, m: &str, n: &str| {
        let text = text.replace("param M, N", &format!("param M = {m}\nparam N = {n}"));
        let start = Schedule::new(&text.parse().unwrap()).unwrap();
        auto_gpu(&start, &GpuOptions::default()).unwrap().script().to_string()
    };
    let long = script(text, "6144", "4096");
    assert!(long.contains("split S1.j.0 by 128\n"), "{long}");
    assert!(long.contains("split S1.j.0.0 by 4\n"), "{long}");
    let short = script(text, "24576", "1024");
    assert!(short.contains("split i by 4\n") && short.contains("split S1.j.0 by 32\n"), "{short}");
    // without the function, and with 32 bits, registers for more blocks are worth more
    let plain = script(&text.replace("exp(X[i, j])", "X[i, j]"), "6144", "4096");
    assert!(plain.contains("split S1.j.0 by 256\n"), "{plain}");
    let wide = script(&text.replace("bf16", "f32"), "3072", "4096");
    assert!(wide.contains("split S1.j.0 by 256\n"), "{wide}");
}
