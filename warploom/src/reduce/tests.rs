//! Pairs shrink to what the question is about, and no further.

use super::*;

fn pair(nest: &str, script: &str) -> Pair {
    let nest = nest.parse().unwrap_or_else(|d| panic!("{d}"));
    Pair { nest, script: script.parse().unwrap_or_else(|d| panic!("{d}")) }
}

const NEST: &str = "param N = 9, M = 7
in A: f32[N, M, 3] in B: i32[N + 4] inout X: f32[N + 1, M] const P: i32[2] = [4, 5]
for i in 0..N {
  for j in max(0, i - 3)..min(M, i + 2) {
    if i + j < 12 and i >= 1 {
      S0: X[i + 1, j] = A[i, j, i mod 3] * 0.5 + select(B[i + 2] > 3, X[i, j], 2.5) when B[i] > 1
    }
  }
  for j in M - 1 downto 0 step 2 { S1: X[i, j] += A[i, j, 1] * A[i, 0, 2] order any strict }
}";

#[test]
fn what_is_not_asked_for_goes() {
    let start =
        pair(NEST, "unroll S1.j\ntile S0.j by 8\natomically { reverse S1.i; reverse S1.i }");
    let has = |p: &Pair| {
        let written = |s: &warploom_ir::nest::Statement| !s.value.reads().is_empty();
        p.nest.statements().iter().any(|s| written(s.statement))
            && p.script.to_string().contains("tile")
    };
    let done = reduce(&start, 100_000, &mut |p| has(p));
    let text = format!("{}{}", done.pair.nest, done.pair.script);
    assert!(has(&done.pair) && done.pair.script.steps.len() == 1, "{text}");
    assert!(done.pair.nest.statements().len() == 1, "{text}");
    assert!(text.lines().count() <= 5, "{text}");
    assert!(done.taken > 5 && done.asked > done.taken);
}

#[test]
fn the_number_of_questions_is_limited_and_nothing_grows() {
    let start = pair(NEST, "unroll S1.j");
    let mut last = size(&start);
    let done = reduce(&start, 25, &mut |p| {
        let now = size(p);
        let smaller = now < last;
        last = last.min(now);
        smaller
    });
    assert!(done.asked <= 25 && done.taken > 0);
    assert_eq!(reduce(&start, 0, &mut |_| true).pair, start);
}

#[test]
fn a_legal_size_is_counted_in_words_and_numbers() {
    let (a, b) = (pair("param N = 4\nout X: i32[N]\nfor i in 0..N { S: X[i] = 1 }", ""), 3);
    let mut smaller = a.clone();
    smaller.nest.params[0].value = Some(b);
    assert_eq!(size(&a).0, size(&smaller).0);
    assert_eq!(size(&a).1 - 1, size(&smaller).1);
}
