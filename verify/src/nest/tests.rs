//! Tests of the nest verifier: what passes for every size, and the exact witness of what does not.

use warploom_ir::diag::{Diagnostic, Source};
use warploom_ir::nest::Nest;

use super::nest;

fn findings(text: &str) -> Vec<Diagnostic> {
    match nest(Nest::parse(Source::new("t.nest", text)).unwrap()) {
        Ok(_) => Vec::new(),
        Err(found) => found,
    }
}

fn accepted(text: &str) {
    let found = findings(text);
    assert!(found.is_empty(), "{}", found[0]);
}

fn refused(text: &str, code: &str, witness: &str) {
    let found = findings(text);
    let hit = found.iter().find(|d| d.code == code);
    let hit = hit.unwrap_or_else(|| panic!("no {code} among {found:?}"));
    assert_eq!(hit.witness.as_deref(), Some(witness));
    assert!(hit.source.is_some());
}

const MATMUL: &str = "param M, N, K\nin A: f32[M, K]\nin B: f32[K, N]\nout C: f32[M, N]\n\
    for m in 0..M, n in 0..N {\n  S0: C[m, n] = 0\n  for k in 0..K {\n    \
    S1: C[m, n] += A[m, k] * B[k, n]\n  }\n}\n";

#[test]
fn matmul_is_proved_for_all_sizes() {
    accepted(MATMUL);
}

#[test]
fn convolution_is_proved_for_all_sizes() {
    accepted(
        "param N, R\nin X: f32[N + R, N + R]\nin W: f32[R, R]\nout Y: f32[N, N]\n\
         for i in 0..N, j in 0..N {\n  Y[i, j] = 0\n  for r in 0..R, s in 0..R {\n    \
         Y[i, j] += X[i + r, j + s] * W[r, s]\n  }\n}\n",
    );
}

#[test]
fn triangular_factorisation_is_proved_for_all_sizes() {
    accepted(
        "param N\ninout A: f64[N, N]\nfor k in 0..N {\n  for i in k + 1..N {\n    \
         A[i, k] = A[i, k] / A[k, k]\n    for j in k + 1..N {\n      \
         A[i, j] += -A[i, k] * A[k, j]\n    }\n  }\n}\n",
    );
}

#[test]
fn one_too_far_is_shown_exactly() {
    refused(
        &MATMUL.replace("k in 0..K", "k in 0..K + 1"),
        "E0801",
        "with M = 1, N = 1, K = 0, S1[0,0,0] touches A[0,0], but the extents are [1,0]",
    );
    refused(
        "in X: f32[8]\nout Y: f32[8]\nfor i in 0..8 {\n  S: Y[i] = X[i - 1]\n}\n",
        "E0801",
        "S[0] touches X[-1], but the extents are [8]",
    );
}

#[test]
fn reading_what_nothing_wrote_is_refused() {
    refused(
        &MATMUL.replace("  S0: C[m, n] = 0\n", ""),
        "E0802",
        "with M = 1, N = 1, K = 1, S1[0,0,0] reads C[0,0], which nothing wrote before",
    );
    refused(
        "out Y: f32[4]\nfor i in 0..4 {\n  Y[i] = 1\n}\ntemp T: f32[4]\n\
         for i in 0..4 {\n  if i >= 1 {\n    T[i] = 1\n  }\n}\n\
         for i in 0..4 {\n  S: Y[i] = T[i]\n}\n",
        "E0802",
        "S[0] reads T[0], which nothing wrote before",
    );
}

#[test]
fn order_decides_what_is_defined() {
    let text = |header: &str, index: &str| {
        format!(
            "out Y: f32[9]\nY[8] = 1\nY[0] = 1\nfor i in {header} {{\n  S: Y[i] = Y[{index}]\n}}\n"
        )
    };
    accepted(&text("1..8", "i - 1"));
    accepted(&text("7 downto 1", "i + 1"));
    refused(&text("7 downto 1", "i - 1"), "E0802", "S[2] reads Y[1], which nothing wrote before");
}

#[test]
fn outputs_must_be_covered() {
    refused(
        "out Y: f32[6]\nfor i in 0..6 step 2 {\n  Y[i] = 1\n}\nY[1] = 1\nY[5] = 1\n",
        "E0803",
        "Y[3]",
    );
    accepted("out Y: f32[6]\nfor i in 0..6 step 2 {\n  Y[i] = 1\n  Y[i + 1] = 1\n}\n");
}

#[test]
fn steps_start_at_their_own_end() {
    // 5, 3, 1 from the top; 0, 2, 4 from the bottom.
    accepted(
        "out Y: f32[6]\nfor i in 5 downto 0 step 2 {\n  Y[i] = 1\n}\n\
         for i in 0..6 step 2 {\n  Y[i] = 1\n}\n",
    );
    refused(
        "out Y: f32[6]\nfor i in 5 downto 0 step 2 {\n  Y[i] = 1\n}\n\
         for i in 1..6 step 2 {\n  Y[i] = 1\n}\nY[0] = 1\nY[2] = 1\n",
        "E0803",
        "Y[4]",
    );
}

#[test]
fn guarded_writes_count() {
    accepted("in X: f32[4]\nout Y: f32[4]\nfor i in 0..4 {\n  Y[i] = X[i] when X[i] > 0\n}\n");
}

#[test]
fn nests_made_by_hand_are_checked() {
    let mut bad = Nest::parse(Source::new("t.nest", MATMUL)).unwrap();
    bad.params.pop();
    let found = nest(bad).unwrap_err();
    assert!(found.iter().any(|d| d.code == "E0806"), "{found:?}");
}

/// The code and message for a sum of `A[i, k]` in f32 over K = 1000 with these promises.
fn sum_exactly(promises: &str, value: &str, order: &str) -> Vec<(&'static str, String)> {
    let text = format!(
        "param K = 1000\nin A: f32[4, K]\nout Y: f32[4]\n{promises}\n\
         for i in 0..4 {{\n  Y[i] = 0\n  for k in 0..K {{ Y[i] += {value} order {order} }}\n}}\n"
    );
    match nest(Nest::parse(Source::new("t.nest", &text)).unwrap()) {
        Ok(_) => Vec::new(),
        Err(found) => found.into_iter().map(|d| (d.code, d.message)).collect(),
    }
}

#[test]
fn exact_sums_are_proved_by_ranges() {
    // 1000 · 127² = 16,129,000 is below 2^24 = 16,777,216; 1000 · 130² = 16,900,000 is not
    let square = "A[i, k] * A[i, k]";
    let within = "assume -127 <= A <= 127, integer";
    assert_eq!(sum_exactly(within, square, "exact"), []);
    let found = sum_exactly("assume -130 <= A <= 130, integer", square, "exact");
    let [(code, message)] = found.as_slice() else { panic!("{found:?}") };
    assert!(*code == "E0808" && message.contains("1000 updates of at most 16900"), "{message}");
    for (promises, value) in [
        ("", square),
        ("assume -127 <= A <= 127", square),
        (within, "A[i, k] / 2"),
        (within, "exp(A[i, k])"),
    ] {
        let found = sum_exactly(promises, value, "exact");
        assert!(matches!(found.as_slice(), [("E0808", _)]), "{promises} {value}: {found:?}");
        assert_eq!(sum_exactly(promises, value, "any"), []);
    }
}

#[test]
fn exact_sums_of_integers_and_maxima_need_no_ranges() {
    accepted(
        "in A: i8[4, 9]\nout Y: i32[4]\nout Z: f32[4]\nin B: f32[4, 9]\nfor i in 0..4 {\n  \
         Y[i] = 0\n  Z[i] = 0\n  for k in 0..9 {\n    Y[i] += A[i, k] * A[i, k] order exact\n    \
         Z[i] max= B[i, k] order exact\n  }\n}\n",
    );
}
