//! `recall` against the interpreter, and its refusals.

use crate::steps::testing::{agree, lowered, refused_script, replay};

const PATHS: &str = "param N = 7\ninout P: i32[N, N]
for k in 0..N, i in 0..N, j in 0..N { S: P[i, j] = min(P[i, j], P[i, k] + P[k, j]) }\n";

/// The nest and the script's kernel give the same.
fn equal(nest: &str, script: &str) {
    let (nest, kernel) = lowered(nest, script);
    agree(&nest, &kernel, &[]);
}

#[test]
fn what_an_iteration_has_written_is_computed_again() {
    refused_script(PATHS, "parallel i", "E0702", "");
    equal(PATHS, "recall P at k\nparallel i\nvectorize j");
    let sums = PATHS.replace("i32", "f64").replace("min(P[i, j],", "max(P[i, j], 1.5 -");
    equal(&sums, "recall P at k\nparallel i\nparallel j");
    // copies are arrays of the nest: another step makes them in the iteration before
    equal(
        PATHS,
        "recall P at k
order { S[k, i, j] -> [k, i, j, 0]; S_2[k, i, j] -> [k, i, j, 1]; S_3[k, i, j] -> [k, i, j, 2]
  S_4[k, i, j] -> [k, i, j, 3]; P_k[c0, b0] -> [c0 - 1, b0, c0, 4]
  P_k_2[c0, b1] -> [c0 - 1, c0, b1, 5] }\nparallel i\nparallel j",
    );
}

#[test]
fn several_statements_and_other_readers() {
    let nest = "param N = 6\ninout A: i32[N, N]\nout B: i32[N, N]
for k in 0..N {
  for i in k + 1..N { S0: A[i, k] = A[i, k] - 2 * A[k, k] }
  for i in k + 1..N, j in k + 1..N { S1: A[i, j] = A[i, j] - A[i, k] * A[k, j] }
  for i in 0..N { S2: B[k, i] = A[i, k] + i } }\n";
    equal(nest, "recall A at k\nparallel S1.i\nparallel j\nparallel S2.i");
}

#[test]
fn all_pairs_of_reads_in_several_domains() {
    let reads = ["A[i, k]", "A[k, j]", "A[k, k]", "A[j, i]", "A[i, i]", "A[j, k]", "A[i, 3 - k]"];
    let domains = ["i in 0..4, j in 0..4", "i in k..4, j in 0..3", "i in 0..4, j in 0..i + 1"];
    let (mut accepted, mut all) = (0, 0);
    for domain in domains {
        for (n, x) in reads.iter().enumerate() {
            for y in &reads[n..] {
                let nest = format!(
                    "param N = 4\ninout A: i32[N, N]\nout B: i32[N, N, N]
for k in 0..N {{ for {domain} {{ S: A[i, j] = min(A[i, j], 3 * {x} - {y}) }}
  for i in 0..N, j in 0..N {{ T: B[k, i, j] = A[j, i] }} }}\n"
                );
                all += 1;
                if replay(&nest, "recall A at k").is_ok() {
                    accepted += 1;
                    equal(&nest, "recall A at k");
                }
            }
        }
    }
    // the others read results of instances whose own reads differ
    assert!(accepted >= 3 && accepted < all, "{accepted} of {all}");
}

#[test]
fn what_cannot_be_computed_again_is_refused() {
    let with = |value: &str| {
        let head = "param N = 5\ninout P: f64[N, N]\ninout Q: f64[N]\nin W: i32[N]\n";
        let loops = "for k in 0..N { for i in 0..N, j in 0..N";
        format!("{head}{loops} {{ {value} }} for i in 0..N {{ T: Q[i] = 1.5 }} }}\n")
    };
    let refused = |value: &str, words: &str| {
        refused_script(&with(value), "recall P at k", "E0735", words);
    };
    refused("S: P[i, j] = P[i, j] - P[i, k] * P[k, j]", "has a product");
    refused("S: P[i, j] += P[i, k]", "no plain assignment");
    refused("S: P[i, j] = P[i, k] when P[j, k] > 1.5", "has a guard");
    refused("S: P[i, j] = P[i, k] + Q[j]", "another array that the loop writes");
    refused("S: P[i, j] = select(W[i] > 2, P[i, k], 1.5)", "operands of another type");
    refused("S: P[i, j] = P[i, j] + 1.5", "nothing reads it");
    // each element from its neighbour's new value, to the end of the row
    let nest = with("S: P[i, j] = P[i, max(j, 1) - 1] + 1.5").replace("max(j, 1)", "j");
    let nest = nest.replace("j in 0..N", "j in 1..N");
    refused_script(&nest, "recall P at k", "E0735", "cannot be computed again");
    refused_script(&nest, "recall Q at k", "E0735", "");
    refused_script(PATHS, "recall R at k", "E0721", "");
    refused_script(PATHS, "recall P at m", "E0705", "");
    refused_script(&PATHS.replace("N = 7", "N"), "recall P at k", "E0723", "recall");
}
