//! Staging: what is copied, where, and what is refused.

use warploom_ir::kernel::Kernel;

use crate::steps::testing::{FUSED, agree, buffer, lowered, refused_script as refused};

const MATMUL: &str = "param M, N, K
in A: f32[M, K]
in B: f32[K, N]
out C: f32[M, N]
for m in 0..M, n in 0..N { S0: C[m, n] = 0 }
for m in 0..M, n in 0..N { for k in 0..K { S1: C[m, n] += A[m, k] * B[k, n] order fixed } }
";
const TILED: &str = "tile S1.m, S1.n, k by 12, 32, 8
tile S1.m.1, S1.n.1 by 4, 16 as m.1, n.1, m.2, n.2
reorder k.1, m.2, n.2
";
const PACKED: &str = "stage B at k.0 as Bp layout 1/16, 0, 1%16
stage A at k.0 as Ap layout 0/4, 1, 0%4
parallel S1.m.0
vectorize n.2; unroll m.2; vectorize Bp.2
";

#[test]
fn panels_of_a_matmul() {
    let (nest, kernel) = lowered(MATMUL, &format!("{TILED}{PACKED}"));
    for (m, n, k) in [(24, 64, 16), (13, 37, 9), (1, 1, 1), (30, 33, 8)] {
        agree(&nest, &kernel, &[("M", m), ("N", n), ("K", k)]);
    }
    assert_eq!(buffer(&kernel.body, "Bp").unwrap().0, [2, 8, 16]);
    assert_eq!(buffer(&kernel.body, "Ap").unwrap().0, [3, 8, 4]);
    // The innermost index of both panels is a loop variable: lanes are contiguous.
    let text = kernel.to_string();
    assert!(text.contains("Ap[-3 * S1_m_0 + m_1, -8 * k_0 + k_1, m_2]"), "{text}");
    assert!(text.contains("Bp[-2 * S1_n_0 + n_1, -8 * k_0 + k_1, n_2]"), "{text}");
}

#[test]
fn transposed_operands_and_plain_layouts() {
    let text = MATMUL
        .replace("A: f32[M, K]", "A: bf16[K, M]")
        .replace("B: f32[K, N]", "B: bf16[N, K]")
        .replace("A[m, k]", "A[k, m]")
        .replace("B[k, n]", "B[n, k]");
    let packed = "stage B at k.0 as Bp layout 0/16, 1, 0%16
stage A at m.1 as Ap
parallel S1.m.0; vectorize n.2; unroll m.2";
    let (nest, kernel) = lowered(&text, &format!("{TILED}{packed}"));
    assert_eq!(buffer(&kernel.body, "Bp").unwrap().0, [2, 8, 16]);
    assert_eq!(buffer(&kernel.body, "Ap").unwrap().0, [8, 4]);
    for (m, n, k) in [(24, 64, 16), (13, 37, 9)] {
        agree(&nest, &kernel, &[("M", m), ("N", n), ("K", k)]);
    }
}

const CONTRACTION: &str = "param P = 10
param Q = 7
param R = 6
param S = 9
param T = 5
in A: i32[P, R, Q, S]
in B: i32[S, T, R]
out C: i32[P, Q, T]
for p in 0..P, q in 0..Q, t in 0..T { S0: C[p, q, t] = 0 }
for p in 0..P, q in 0..Q, t in 0..T, r in 0..R, s in 0..S {
  S1: C[p, q, t] += A[p, r, q, s] * B[s, t, r] order fixed
}
";

#[test]
fn a_contraction_over_two_indices() {
    let script = "tile S1.p, S1.t, r, s by 4, 4, 4, 4
stage A at s.0 as Ap layout 2, 3, 1, 0
stage B at r.0 layout 1/2, 0, 2, 1%2
parallel S1.p.0; vectorize Ap.3";
    let (nest, kernel) = lowered(CONTRACTION, script);
    agree(&nest, &kernel, &[]);
    assert_eq!(buffer(&kernel.body, "Ap").unwrap().0, [7, 4, 4, 4]);
    assert_eq!(buffer(&kernel.body, "B_r_0").unwrap().0, [2, 9, 4, 2]);
}

const STENCIL: &str = "param N
in A: f64[N]
out B: f64[N]
for i in 2..N - 2 { S: B[i] = A[i - 2] + A[i] * A[i + 2] }
";

#[test]
fn windows_of_a_stencil() {
    let (nest, kernel) = lowered(STENCIL, "split i by 8; stage A at i.0 as W; parallel i.0");
    assert_eq!(buffer(&kernel.body, "W").unwrap().0, [12]);
    for n in [3, 5, 12, 20, 29] {
        agree(&nest, &kernel, &[("N", n)]);
    }
}

#[test]
fn some_readers_only() {
    let text = "param N\nin A: f64[N]\nout B: f64[N]\nout C: f64[N]
for i in 0..N { S: B[i] = A[i]; T: C[i] = A[N - 1 - i] }\n";
    let (nest, kernel) = lowered(text, "split i by 4; stage A for S at i.0 as W");
    let stores = kernel.to_string();
    assert!(stores.contains("S: B[i_1]:f64 = W["), "{stores}");
    assert!(stores.contains("= A[-i_1 + N + -1]") || stores.contains("= A["), "{stores}");
    agree(&nest, &kernel, &[("N", 11)]);
}

#[test]
fn single_accesses() {
    // the last of the table's diagonals, where the target is not among what is read
    let text = "param N\ninout T: i32[N, N]
for d in 1..N, i in 0..N - d, k in i + 1..i + d {
  S: T[i, i + d] max= T[i, k] + T[k, i + d] }\n";
    let (nest, kernel) = lowered(text, "stage T for S.0 at i as best");
    let stores = kernel.to_string();
    assert!(stores.contains("best[0, 0]:i32 max= add.i32(T[i, k]"), "{stores}");
    agree(&nest, &kernel, &[("N", 9)]);
    let (nest, kernel) = lowered(text, "split k by 4; stage T for S.1 at k.0 as left");
    agree(&nest, &kernel, &[("N", 9)]);
    let e = refused(text, "stage T for S.0 at d", "E0723", "");
    assert!(e.diagnostic.to_string().contains("box"), "{e}");
    let prefix = "param N\ninout T: i32[N]\nfor i in 1..N { S: T[i] += T[i - 1] }\n";
    refused(prefix, "split i by 4; stage T for S.0 at i.0", "E0722", "`S` writes it there");
    refused(prefix, "split i by 4; stage T for S.1 at i.0", "E0722", "`S` writes it there");
    let (nest, kernel) = lowered(prefix, "split i by 4; stage T for S at i.0");
    agree(&nest, &kernel, &[("N", 11)]);
}

#[test]
fn a_copy_of_an_array() {
    let text = "param N = 9\ninout B: i32[N, N]\nout C: i32[N]
for i in 0..N { Z: C[i] = 2 * B[i, i] }
for i in 0..N - 1, j in 0..N { S: B[i, j] += B[i + 1, j] * 3 }
for i in 0..N { T: C[i] += B[i, i] }\n";
    let (nest, kernel) = lowered(text, "stage B for S.1 as old; parallel S.i");
    assert!(kernel.to_string().contains("temp old: i32[9, 9]"), "{kernel}");
    agree(&nest, &kernel, &[("N", 9)]);
    refused(text, "parallel S.i", "E0702", "");
    // all that S writes goes to the copy and back behind the nest
    let (nest, kernel) = lowered(text, "stage B for S as other");
    assert!(kernel.to_string().contains("other_back: B["), "{kernel}");
    agree(&nest, &kernel, &[("N", 9)]);
    let sum = "param N = 9\ninout B: i32[N]\nfor i in 1..N { S: B[i] += B[i - 1] }\n";
    refused(sum, "stage B for S.1", "E0722", "at the nest of `S`");
}

#[test]
fn a_buffer_follows_its_loop() {
    let after = "split k.0 by 2 as ko, ki\nsplit S1.n.0 by 3";
    let (nest, kernel) = lowered(MATMUL, &format!("{TILED}{PACKED}{after}"));
    agree(&nest, &kernel, &[("M", 13), ("N", 37), ("K", 19)]);
}

#[test]
fn steps_that_take_a_buffer_apart_are_refused() {
    let before = "split i by 8; stage A at i.0 as W\n";
    refused(STENCIL, &format!("{before}distribute i.0"), "E0725", "takes buffer `W` apart");
    // The reads run in other orders of the tiles, all of them at once in no iteration.
    let e = refused(STENCIL, &format!("{before}split W.0 by 4\ndistribute i.0"), "E0725", "`W`");
    assert!(e.diagnostic.help.as_ref().is_some_and(|h| h.contains("before the one")));
}

#[test]
fn what_cannot_be_staged_is_refused() {
    refused(STENCIL, "stage A at i.7", "E0705", "no loop `i.7`");
    refused(STENCIL, "stage Q at i", "E0721", "no array `Q`");
    refused(STENCIL, "stage A for T at i", "E0721", "no statement `T`");
    refused(STENCIL, "stage A for S.3 at i", "E0721", "no access number 3");
    refused(MATMUL, "stage A at S0.m", "E0722", "nothing touches `A`");
    refused(MATMUL, "stage B at S1.n", "E0723", "not inside a box of constant size");
    refused(STENCIL, "split i by 4; stage A at i.0 layout 0%2", "E0724", "misses `0/2`");
    refused(STENCIL, "split i by 4; stage A at i.0 as B", "E0713", "is taken");
    let holes = "param N\nin A: f64[N]\ntemp T: f64[2*N]\nout B: f64[N]
for i in 0..N { S0: T[2*i] = A[i] }
for i in 0..N { S1: B[i] = T[2*i] }\n";
    let (nest, kernel) = lowered(holes, "split S1.i by 4; stage T at S1.i.0 as W");
    agree(&nest, &kernel, &[("N", 9)]);
}

#[test]
fn staging_asks_for_a_legal_order() {
    let backwards = "param N\nassume N >= 3\ninout A: f64[N]\nin X: f64[N]
for i in 1..N { S: A[i] = A[i - 1] + X[i] }\n";
    let script = "atomically { reverse i; split i by 4; stage X at i.0; reverse i.0; reverse i.1 }";
    refused(backwards, script, "E0701", "flow dependence");
}

#[test]
fn loops_without_iterations() {
    let text = MATMUL.replace("param M, N, K", "param M = 4\nparam N = 5\nparam K = 0");
    let (nest, kernel) = lowered(&text, "split k by 4; stage B at k.0");
    agree(&nest, &kernel, &[]);
    let never = "param N\nin A: f64[N]\nout B: f64[N]
for i in 0..N { S0: B[i] = 0; for j in 0..0 { S1: B[i] = A[j] } }\n";
    let (nest, kernel) = lowered(never, "stage A at j");
    agree(&nest, &kernel, &[("N", 3)]);
}

#[test]
fn windows_that_are_not_convex() {
    // Two reads far apart: the box between is copied where it is in bounds.
    let text = "param N\nin A: f64[2*N]\nout B: f64[N]
for i in 0..N { S: B[i] = A[2*i] + A[2*N - 1 - 2*i] }\n";
    refused(text, "split i by 4; stage A at i.0", "E0723", "constant size");
    let text = "param N\nin A: i32[N, 9]\nout B: i32[N]
for i in 0..N { S: B[i] = A[i, 1] + A[i, 4] * A[i, 8] }\n";
    let (nest, kernel) = lowered(text, "split i by 4; stage A at i.0 as W layout 1, 0");
    assert_eq!(buffer(&kernel.body, "W").unwrap().0, [8, 4]);
    agree(&nest, &kernel, &[("N", 7)]);
    // The same of a temporary, of which only these columns are defined.
    let text = "param N\nin X: i32[N]\ntemp A: i32[N, 9]\nout B: i32[N]
for i in 0..N { S0: A[i, 1] = X[i]; S1: A[i, 4] = 2; S2: A[i, 8] = 3 }
for i in 0..N { S: B[i] = A[i, 1] + A[i, 4] * A[i, 8] }\n";
    refused(text, "split S.i by 4; stage A at S.i.0", "E0722", "not one convex set");
    let (nest, kernel) = lowered(text, "split S.i by 4; fuse-at S0, S1, S2 at S.i.0");
    agree(&nest, &kernel, &[("N", 7)]);
}

/// The statements of a kernel that copy, in order.
fn copies(kernel: &Kernel, buffer: &str) -> Vec<String> {
    let text = kernel.to_string();
    let names = [buffer.to_owned(), format!("{buffer}_back")];
    let named = |l: &str| names.iter().find(|n| l.trim().starts_with(&format!("{n}: "))).cloned();
    text.lines().filter_map(named).collect()
}

#[test]
fn sums_are_kept_in_a_buffer() {
    let tiled = "tile S1.m, S1.n, k by 12, 32, 8\nstage C at S1.n.0 as acc layout 1/4, 0, 1%4\n";
    let (nest, kernel) = lowered(MATMUL, &format!("{tiled}stage B at k.0 as Bp pad 1"));
    for (m, n, k) in [(24, 64, 16), (13, 37, 9), (1, 1, 1), (30, 33, 0)] {
        agree(&nest, &kernel, &[("M", m), ("N", n), ("K", k)]);
    }
    assert_eq!(buffer(&kernel.body, "acc").unwrap().0, [8, 12, 4]);
    assert_eq!(buffer(&kernel.body, "Bp").unwrap().0, [8, 33]);
    assert_eq!(copies(&kernel, "acc").last().unwrap(), "acc_back");
    // further in, the sums are loaded and stored for each slice
    let (nest, kernel) = lowered(MATMUL, "tile S1.m, S1.n, k by 12, 32, 8\nstage C at k.0 as acc");
    agree(&nest, &kernel, &[("M", 13), ("N", 37), ("K", 20)]);
}

#[test]
fn what_is_written_first_is_not_copied_in() {
    let (nest, kernel) = lowered(FUSED, "tile m, n by 4, 8; stage C at n.0 as acc");
    agree(&nest, &kernel, &[("M", 9), ("N", 17), ("K", 5)]);
    assert!(copies(&kernel, "acc").iter().all(|c| c == "acc_back"), "{kernel}");
    // with one update before that, it is
    let text = FUSED.replace("out C", "inout C").replace("S0: C[m, n] = 0", "S0: C[m, n] += 1");
    let (nest, kernel) = lowered(&text, "tile m, n by 4, 8; stage C at n.0 as acc");
    agree(&nest, &kernel, &[("M", 9), ("N", 17), ("K", 5)]);
    assert_eq!(copies(&kernel, "acc")[0], "acc", "{kernel}");
}

/// Rows that are written where data say so.
const CHOSEN: &str = "param N
in X: f64[N, 4]  in s: f64[N]  inout Y: f64[N, 4]
for i in 0..N { for j in 0..4 { S0: Y[i, j] = X[i, j] * 2.0 when 0.0 < s[i] } }
";

#[test]
fn what_one_guard_is_around_is_copied_under_that_guard() {
    let (nest, kernel) = lowered(CHOSEN, "stage Y at i as own");
    agree(&nest, &kernel, &[("N", 9)]);
    assert!(copies(&kernel, "own").iter().all(|c| c == "own_back"), "{kernel}");
    let back = kernel.to_string();
    let back = back.lines().find(|l| l.contains("own_back:")).expect("it is copied back");
    assert!(back.contains(" when lt.bool(0.0:f64, s[i]:f64)"), "{back}");
    // a guard that moves in the iteration, one that not all are under, one that is written there
    let moves = CHOSEN.replace("< s[i]", "< X[i, j]");
    let other = CHOSEN.replace("s[i] }", "s[i]\nS1: Y[i, j] += 1.0 }");
    let written = CHOSEN.replace("in s", "inout s").replace("s[i] }", "s[i]\nS1: s[i] += 1.0 }");
    for text in [moves, other, written] {
        let (nest, kernel) = lowered(&text, "stage Y at i as own");
        agree(&nest, &kernel, &[("N", 9)]);
        assert_eq!(copies(&kernel, "own")[0], "own", "{text}");
        assert!(!kernel.to_string().lines().any(|l| l.contains("own_back:") && l.contains("when")));
    }
}

/// A temporary that each iteration makes for itself, all of them in the same place.
const REUSED: &str = "param N
in X: f64[N, 4]  out Y: f64[N]  temp t: f64[4]
for i in 0..N {
  for j in 0..4 { S0: t[j] = X[i, j] * 2.0 }
  S1: Y[i] = t[0] + t[3]
}
";

#[test]
fn what_iterations_make_for_themselves_is_not_copied_back() {
    let (nest, kernel) = lowered(REUSED, "stage t at i as own");
    agree(&nest, &kernel, &[("N", 5)]);
    let text = kernel.to_string();
    assert!(text.contains("local own") && !text.contains("own_back"), "{text}");
    // the next iteration reads what this one wrote
    let carried = REUSED
        .replace("  S1: Y[i] = t[0] + t[3]\n", "")
        .replace("  for j", "  S2: Y[i] = 1.0\n  if i >= 1 { S1: Y[i] = t[0] + t[1] }\n  for j");
    let (nest, kernel) = lowered(&carried, "stage t at i as own");
    agree(&nest, &kernel, &[("N", 5)]);
    assert!(kernel.to_string().contains("own_back"), "{kernel}");
}

#[test]
fn a_recurrence_reads_one_element_more_than_it_writes() {
    let text =
        "param N\ninout A: i32[N + 1]\nfor i in 0..N { S: A[i + 1] = A[i] * 3 + A[i + 1] }\n";
    let (nest, kernel) = lowered(text, "split i by 8; stage A at i.0 as W");
    assert_eq!(buffer(&kernel.body, "W").unwrap().0, [9]);
    for n in [1, 8, 21] {
        agree(&nest, &kernel, &[("N", n)]);
    }
}

#[test]
fn stores_that_may_not_happen() {
    let text = "param N\nin X: i32[N]\ninout A: i32[N]
for i in 0..N { S: A[i] = X[i] when X[i] > 0 }\n";
    let (nest, kernel) = lowered(text, "split i by 8; stage A at i.0 as W");
    agree(&nest, &kernel, &[("N", 21)]);
    assert_eq!(copies(&kernel, "W").first().unwrap(), "W", "{kernel}");
}

#[test]
fn an_iteration_that_isl_splits_keeps_its_buffer() {
    // isl runs the first iteration's `S0` before the loop that holds the rest of it
    let text = "param N = 5
inout X: u64[N + 3]
in A: u64[2*N + 7]
inout T: u64[N + 4, N + 4]
for i in 0..N {
  for j in i + 1..2 {
    S0: X[i + 1] = X[floor((j) / 2)] - min(X[j + 1], A[2]) strict
    S1: T[i + 1, j + 1] = X[j + 1] strict
  }
  for j in floor((i) / 2)..N + 2 {
    for k in N - 1 downto i + 1 {
      for l in 1..N + 2 {
        if -i + j == 0 { S2: T[i + 1, j + 2] += T[k + 1, l + 1] order exact strict }
      }
    }
  }
}
";
    let (nest, kernel) = lowered(text, "stage X at i layout 0/2, 0%2\n");
    agree(&nest, &kernel, &[]);
}
