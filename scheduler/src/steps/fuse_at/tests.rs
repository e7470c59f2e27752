//! Recomputation at a consumer's loop: what is computed where, and what is refused.

use crate::steps::testing::{agree, buffer, lowered, refused_script as refused, replay};

const BLUR: &str = "param N, M
in A: f64[N, M + 2]
temp T: f64[N, M]
out B: f64[N, M]
for i in 0..N, j in 0..M { S0: T[i, j] = (A[i, j] + A[i, j + 1] + A[i, j + 2]) / 3.0 }
for i in 0..N - 2, j in 0..M { S1: B[i, j] = (T[i, j] + T[i + 1, j] + T[i + 2, j]) / 3.0 }
for i in N - 2..N, j in 0..M { S2: B[i, j] = 0 }
";

#[test]
fn halos_are_recomputed() {
    let script = "tile S1.i, S1.j by 4, 8
fuse-at S0 at S1.j.0
parallel S1.i.0; vectorize S0_at_S1_j_0.j";
    let (nest, kernel) = lowered(BLUR, script);
    let text = kernel.to_string();
    assert_eq!(buffer(&kernel.body, "T_at_S1_j_0").unwrap().0, [6, 8]);
    // The producer and its array are gone: nothing else reads them.
    assert!(!text.contains("temp T") && !text.contains("S0:"), "{text}");
    for (n, m) in [(3, 1), (8, 16), (13, 19)] {
        agree(&nest, &kernel, &[("N", n), ("M", m)]);
    }
}

#[test]
fn producers_may_read_what_they_write() {
    let text = "param N
in A: i64[N]
temp T: i64[N]
out B: i64[N]
for i in 0..N { S0: T[i] = A[i] S1: T[i] = T[i] * 3 + 1 }
for i in 0..N { S2: B[i] = T[i] - 7 }
";
    let (nest, kernel) = lowered(text, "split S2.i by 4; fuse-at S0, S1 at S2.i.1");
    assert!(!kernel.to_string().contains("temp T"), "{kernel}");
    agree(&nest, &kernel, &[("N", 9)]);
}

/// Two steps of a cross-shaped stencil: what is needed of `T` and `U` is not convex.
const CROSSES: &str = "param N
assume N >= 6
in A: i64[N, N]
temp T: i64[N, N]
temp U: i64[N, N]
out B: i64[N, N]
for i in 0..N, j in 0..N { S0: T[i, j] = A[i, j] * 2 }
for i in 1..N-1, j in 1..N-1 { S1: U[i, j] = T[i-1, j] + T[i+1, j] - T[i, j-1] + T[i, j+1] }
for i in 0..N, j in 0..N { S3: B[i, j] = 0 }
for i in 2..N-2, j in 2..N-2 { S2: B[i, j] = U[i-1, j] + U[i+1, j] - U[i, j-1] + U[i, j+1] }
";

#[test]
fn hulls_of_crosses_stay_in_the_iterations_there_are() {
    let script = "tile S2.i, S2.j by 8, 16; fuse-at S0, S1 at S2.j.0; parallel S2.i.0";
    let (nest, kernel) = lowered(CROSSES, script);
    assert_eq!(buffer(&kernel.body, "T_at_S2_j_0").unwrap().0, [12, 20]);
    assert!(kernel.to_string().contains("for S2_i_0 in 0.."), "{kernel}");
    for n in [6, 12, 21] {
        agree(&nest, &kernel, &[("N", n)]);
    }
}

#[test]
fn producers_that_others_read_stay() {
    let text = BLUR.replace("S2: B[i, j] = 0", "S2: B[i, j] = T[i, j]");
    let (nest, kernel) = lowered(&text, "split S1.i by 4; split S1.j by 8; fuse-at S0 at S1.j.0");
    assert!(kernel.to_string().contains("temp T"), "{kernel}");
    agree(&nest, &kernel, &[("N", 9), ("M", 5)]);
    let both = "split S1.i by 4; split S1.j by 8; fuse-at S0 at S1.j.0; fuse-at S0 at S2.j";
    let (nest, kernel) = lowered(&text, both);
    assert!(!kernel.to_string().contains("temp T"), "{kernel}");
    agree(&nest, &kernel, &[("N", 9), ("M", 5)]);
}

const CHAINED: &str = "param M, N, K, P
in A: i32[M, K]
in B: i32[K, N]
in D: i32[N, P]
temp T: i32[M, N]
out C: i32[M, P]
for m in 0..M, n in 0..N {
  S0: T[m, n] = 0
  for k in 0..K { S1: T[m, n] += A[m, k] * B[k, n] order fixed }
}
for m in 0..M, p in 0..P {
  S2: C[m, p] = 0
  for n in 0..N { S3: C[m, p] += max(T[m, n], 0) * D[n, p] order fixed }
}
";

#[test]
fn a_reduction_is_recomputed_with_its_start() {
    let script = "distribute p; distribute S2.m
tile S3.m, S3.p, S3.n by 4, 64, 8
fuse-at S0, S1 at S3.n.0
parallel S3.m.0";
    let (nest, kernel) = lowered(CHAINED, script);
    assert_eq!(buffer(&kernel.body, "T_at_S3_n_0").unwrap().0, [4, 8]);
    assert!(!kernel.to_string().contains("temp T"), "{kernel}");
    agree(&nest, &kernel, &[("M", 9), ("N", 11), ("K", 5), ("P", 7)]);
}

const STAGES: &str = "param N
in A: i64[N + 4]
temp T: i64[N + 2]
temp U: i64[N]
out B: i64[N]
for i in 0..N + 2 { S0: T[i] = A[i] + A[i + 2] }
for i in 0..N { S1: U[i] = T[i] * T[i + 2] }
for i in 0..N { S2: B[i] = U[i] - U[N - 1 - i] }
";

#[test]
fn a_chain_of_producers() {
    // Both windows of U are recomputed, and of T what they need.
    let text = STAGES.replace(" - U[N - 1 - i]", " - A[i]");
    let (nest, kernel) = lowered(&text, "split S2.i by 8; fuse-at S0, S1 at S2.i.0");
    assert_eq!(buffer(&kernel.body, "T_at_S2_i_0").unwrap().0, [10]);
    agree(&nest, &kernel, &[("N", 21)]);
    let (nest, kernel) =
        lowered(&text, "split S2.i by 8; fuse-at S1 at S2.i.0; fuse-at S0 at S2.i.0");
    agree(&nest, &kernel, &[("N", 21)]);
}

#[test]
fn windows_at_both_ends_need_a_larger_buffer_than_there_is() {
    refused(STAGES, "split S2.i by 8; fuse-at S1 at S2.i.0", "E0723", "constant size");
}

#[test]
fn a_staged_copy_of_what_is_recomputed() {
    let script = "tile S1.i, S1.j by 4, 8
fuse-at S0 at S1.i.0 # whole rows
";
    refused(BLUR, script, "E0723", "constant size");
    let script = "tile S1.i, S1.j by 4, 8
fuse-at S0 at S1.j.0
stage A at S1.j.0 as Ap
stage T_at_S1_j_0 at S1.i.1 as R layout 1, 0
parallel S1.i.0";
    let (nest, kernel) = lowered(BLUR, script);
    assert_eq!(buffer(&kernel.body, "Ap").unwrap().0, [6, 10]);
    assert_eq!(buffer(&kernel.body, "R").unwrap().0, [8, 3]);
    agree(&nest, &kernel, &[("N", 13), ("M", 19)]);
}

const OVERWRITTEN: &str = "param N
assume N >= 1
inout A: f64[N]
temp T: f64[N]
out B: f64[N]
for i in 0..N { S0: T[i] = A[i] }
for i in 0..N { S1: A[i] = 0 }
for i in 0..N { S2: B[i] = T[i] }
";

#[test]
fn inputs_overwritten_between_are_refused() {
    let e = refused(OVERWRITTEN, "fuse-at S0 at S2.i", "E0726", "`S0_at_S2_i` would not read `A`");
    let w = e.witness.expect("the refusal is about two instances");
    assert_eq!((w.first.to_string().as_str(), w.array.as_ref()), ("S1[0]", "A"));
    let (nest, kernel) =
        lowered(&OVERWRITTEN.replace("A[i] = 0", "A[i] = A[i]"), "fuse S1.i, S2.i");
    agree(&nest, &kernel, &[("N", 3)]);
}

#[test]
fn a_temporary_that_is_used_again_is_refused() {
    let text = "param N\\nassume N >= 2\\nin A: f64[N]\\ntemp T: f64[1]\\nout B: f64[N]
for i in 0..N { S0: T[0] = A[i]; S1: B[i] = T[0] }\\n"
        .replace("\\n", "\n");
    refused(&text, "distribute i", "E0701", "");
    // Below a loop around the consumer alone.
    let text = text.replace("S1: B[i] = T[0]", "for j in 0..1 { S1: B[i] = T[0] }");
    let e = refused(&text, "fuse-at S0 at j", "E0726", "S1[0,0] must read what S0[0] writes");
    assert!(e.witness.is_some());
}

#[test]
fn what_cannot_be_moved_is_refused() {
    refused(BLUR, "fuse-at S9 at S1.i", "E0721", "no statement `S9`");
    refused(BLUR, "fuse-at S1 at S0.i", "E0720", "`B`, which is not temporary");
    refused(BLUR, "fuse-at S0 at S0.i", "E0720", "in that loop already");
    refused(BLUR, "fuse-at S0 at S2.i", "E0720", "nothing in loop `S2.i` reads");
    refused(CHAINED, "fuse-at S1 at S2.m", "E0720", "`S0` writes `T` too");
    refused(BLUR, "fuse-at S0 at S1.q", "E0705", "no loop");
}

#[test]
fn later_steps_keep_the_buffer_or_are_refused() {
    let script = "tile S1.i, S1.j by 4, 8\nfuse-at S0 at S1.j.0\n";
    assert!(replay(BLUR, &format!("{script}parallel S1.i.0; parallel S1.j.0")).is_ok());
    refused(BLUR, &format!("{script}distribute S1.j.0"), "E0725", "`T_at_S1_j_0`");
    let (nest, kernel) = lowered(BLUR, &format!("{script}split S1.i.0 by 2"));
    agree(&nest, &kernel, &[("N", 13), ("M", 19)]);
}

#[test]
fn consumers_that_never_run() {
    let text = "param N\nin A: f64[N]\ntemp T: f64[N]\nout B: f64[N]
for i in 0..N { S0: T[i] = A[i] }
for i in 0..N { S1: B[i] = 0; for j in 0..0 { S2: B[i] = T[j] } }\n";
    let (nest, kernel) = lowered(text, "fuse-at S0 at j");
    agree(&nest, &kernel, &[("N", 3)]);
    let text = CHAINED.replace("param M, N, K, P", "param M, P\nparam N = 5\nparam K = 0");
    let script = "distribute p; distribute S2.m; fuse-at S0, S1 at S3.n";
    let (nest, kernel) = lowered(&text, script);
    agree(&nest, &kernel, &[("M", 3), ("P", 4)]);
}
