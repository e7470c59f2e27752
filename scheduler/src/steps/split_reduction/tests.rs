//! Split reductions: accumulators local to a loop and for the whole nest, and what is refused.

use warploom_ir::schedule::step::StepKind;

use crate::steps::testing::{agree, buffer, lowered, refused_script as refused, replay};

const ROWS: &str = "param M, N
in A: i32[M, N]
in x: i32[N]
out y: i32[M]
for i in 0..M {
  S0: y[i] = 0
  for k in 0..N { S1: y[i] += A[i, k] * x[k] order fixed }
}
";

const SIZES: [(i64, i64); 6] = [(0, 0), (1, 1), (3, 8), (2, 37), (5, 64), (4, 3)];

/// Runs the script at several sizes and compares every bit.
fn rows(script: &str) -> warploom_ir::kernel::Kernel {
    let (nest, kernel) = lowered(ROWS, script);
    for (m, n) in SIZES {
        agree(&nest, &kernel, &[("M", m), ("N", n)]);
    }
    kernel
}

#[test]
fn strided_partials_in_lanes() {
    let kernel = rows("split k by 8\nsplit-reduction k.1 at i as P\nvectorize k.1");
    assert_eq!(buffer(&kernel.body, "P").unwrap().0, [8]);
    let text = kernel.to_string();
    assert!(text.contains("P_init: P[P_init_k_1]:i32 = 0:i32"), "{text}");
}

#[test]
fn blocked_partials_of_a_tile() {
    let kernel = rows("split k by 8\nsplit k.0 by 4\nsplit-reduction k.0.1 at i as P");
    assert_eq!(buffer(&kernel.body, "P").unwrap().0, [4]);
    rows("split k by 8\nsplit-reduction k.1 at k.0 as P\nunroll k.1");
}

#[test]
fn an_array_of_partials_for_the_whole_nest() {
    let script = "distribute i\nsplit S1.k by 8\nreorder S1.k.0, S1.i, S1.k.1
split-reduction S1.k.0 as P
parallel S1.k.0\nparallel P_init.0\nparallel P_finish.0";
    let kernel = rows(script);
    let array = kernel.buffers.iter().find(|b| &*b.name == "P").expect("a temporary array");
    assert_eq!(array.shape.len(), 2, "{kernel}");
    rows("distribute i\nsplit S1.k by 8\nsplit-reduction S1.k.1");
}

#[test]
fn a_finish_is_split_again() {
    let script = "split k by 256\nsplit-reduction k.1 at i as P\nparallel k.1
split P_finish.k.1 by 16
split-reduction P_finish.k.1.0 at i as Q";
    let text = "param M = 3\nparam N = 700".to_string() + ROWS.strip_prefix("param M, N").unwrap();
    let (nest, kernel) = lowered(&text, script);
    agree(&nest, &kernel, &[]);
    assert_eq!(buffer(&kernel.body, "P").unwrap().0, [256]);
    assert_eq!(buffer(&kernel.body, "Q").unwrap().0, [16]);
}

const COLUMNS: &str = "param M, N
in A: i64[M, N]
inout s: i64[N]
for i in 0..M, j in 0..N { S: s[j] += A[i, j] order any }
";

#[test]
fn columns_keep_their_order() {
    let script = "split i by 4\nsplit-reduction i.0 as P\nparallel i.0";
    let (nest, kernel) = lowered(COLUMNS, script);
    for (m, n) in [(0, 3), (1, 1), (9, 5), (8, 2)] {
        agree(&nest, &kernel, &[("M", m), ("N", n)]);
    }
    let text = kernel.to_string();
    // the partial sums' index comes first, so that neighbouring columns are neighbours
    assert!(text.contains("S: P[i_0, j]:i64 +="), "{text}");
    let tiled = "tile i, j by 8, 4\nsplit i.1 by 4\nreorder j.0, i.0, i.1.0, i.1.1, j.1
split-reduction i.1.0 at j.0 as P\nvectorize j.1";
    let (nest, kernel) = lowered(COLUMNS, tiled);
    for (m, n) in [(9, 5), (17, 8)] {
        agree(&nest, &kernel, &[("M", m), ("N", n)]);
    }
    assert_eq!(buffer(&kernel.body, "P").unwrap().0, [2, 4]);
}

#[test]
fn reductions_that_are_empty_at_some_sizes() {
    let text = |loops: &str| {
        format!(
            "param M, N\nin A: i32[M + 1]\ninout s: i32\n\
             for {loops} {{ S1: s[] += A[i] order fixed }}\n"
        )
    };
    let sizes = [(0, 0), (0, 4), (1, 0), (2, 1), (7, 3), (9, 9), (3, 8)];
    for loops in ["i in 2..M - 1", "i in N..M", "i in 3..M - N step 2", "i in 1..M step 4"] {
        let (nest, kernel) = lowered(&text(loops), "split-reduction i as P");
        for (m, n) in sizes {
            agree(&nest, &kernel, &[("M", m), ("N", n)]);
        }
    }
}

#[test]
fn operators_types_and_zeros() {
    for (op, dtype) in
        [("max=", "f32"), ("min=", "f64"), ("*=", "i32"), ("min=", "u64"), ("max=", "i8")]
    {
        let text = format!(
            "param N\nin A: {dtype}[N]\ninout c: {dtype}[]\n\
             for k in 0..N {{ S: c[] {op} A[k] order fixed }}"
        );
        for script in ["split k by 4; split-reduction k.1", "split k by 4; split-reduction k.0"] {
            let (nest, kernel) = lowered(&text, script);
            for n in [0, 1, 3, 9] {
                agree(&nest, &kernel, &[("N", n)]);
            }
        }
    }
    let zeros = "param N
out c: f32[]
S0: c[] = -0.0
for k in 0..N { S1: c[] += -0.0 order fixed }";
    let (nest, kernel) = lowered(zeros, "split k by 4; split-reduction k.1");
    agree(&nest, &kernel, &[("N", 6)]);
}

#[test]
fn narrow_results_have_wide_accumulators() {
    let text = "param N\nin A: f16[N]\nout c: f16[]\nS0: c[] = 0
for k in 0..N { S1: c[] max= A[k] order fixed }";
    let (nest, kernel) = lowered(text, "split k by 4; split-reduction k.1 as P; vectorize k.1");
    let p = kernel.buffers.iter().find(|b| &*b.name == "P").unwrap();
    assert_eq!(p.dtype, warploom_ir::dtype::DType::F32);
    agree(&nest, &kernel, &[("N", 11)]);
}

#[test]
fn guards_and_triangles() {
    let text = "param N
in A: i32[N, N]
out y: i32[N]
for i in 0..N {
  S0: y[i] = 1
  for k in 0..i { S1: y[i] += A[i, k] when A[i, k] > 0 order fixed }
}
";
    let script = "split k by 4\nsplit-reduction k.1 at i as P\nvectorize k.1\nparallel i";
    let (nest, kernel) = lowered(text, script);
    for n in [0, 1, 5, 13] {
        agree(&nest, &kernel, &[("N", n)]);
    }
}

#[test]
fn what_is_no_reduction_is_refused() {
    let e = refused(
        &ROWS.replace("order fixed", "order serial"),
        "split-reduction k at i",
        "E0727",
        "order serial",
    );
    let witness = e.witness.clone().expect("two updates");
    assert_eq!(witness.first.statement, witness.second.statement);
    assert!(e.diagnostic.help.as_ref().unwrap().contains("`parallel i`"), "{e}");
    refused(ROWS, "split-reduction i", "E0712", "several statements");
    refused(ROWS, "distribute i; split-reduction S1.i", "E0727", "independent already");
    refused(ROWS, "distribute i; split-reduction S0.i", "E0727", "not an update");
    refused(ROWS, "split-reduction k at k", "E0712", "not around");
    refused(ROWS, "split-reduction k at i as y", "E0713", "taken");
    refused(ROWS, "split-reduction k at i as a.b", "E0713", "dot");
    refused(ROWS, "split-reduction k at i", "E0723", "constant size");
    let own = "param N\ninout y: i32[N]\nfor k in 0..N { S: y[0] += y[k] order fixed }";
    refused(own, "split-reduction k", "E0727", "reads `y`");
}

/// The row is normalised by its sum, so the sum must be there before.
const NORMALISED: &str = "param M, N
in A: i32[M, N]
out B: i32[M, N]
temp s: i32[M]
for i in 0..M {
  S0: s[i] = 0
  for k in 0..N { S1: s[i] += A[i, k] order fixed }
  for k in 0..N { S2: B[i, k] = A[i, k] - s[i] }
}
";

#[test]
fn a_result_that_comes_too_late_is_refused() {
    let e = refused(NORMALISED, "split S1.k by 4; split-reduction S1.k.1", "E0728", "wrong side");
    let witness = e.witness.clone().expect("the two accesses");
    assert_eq!((&*witness.first.statement, &*witness.second.statement), ("S1", "S2"));
    assert_eq!(witness.element, [0]);
    let help = e.diagnostic.help.clone().unwrap();
    assert!(help.contains("split-reduction S1.k.1 at i"), "{help}");
    let (nest, kernel) = lowered(NORMALISED, "split S1.k by 4; split-reduction S1.k.1 at i");
    for (m, n) in [(1, 1), (3, 7)] {
        agree(&nest, &kernel, &[("M", m), ("N", n)]);
    }
}

#[test]
fn a_loop_becomes_independent() {
    let before = replay(ROWS, "split k by 8").unwrap();
    assert!(before.apply(StepKind::Parallel("k.1".into())).is_err());
    let after = before.split_reduction("k.1", Some("i"), "P").unwrap();
    assert!(after.apply(StepKind::Parallel("k.1".into())).is_ok());
    assert!(after.apply(StepKind::Parallel("k.0".into())).is_err());
}
