//! Automatic orders of loop nests with dependences, from the nest to compiled code.
//!
//! Integer versions of the nests that polyhedral compilers are tried on: whatever order is chosen,
//! the sealed kernel on several threads gives the interpreter's bits.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Schedule, compile};
use warploom_ir::interp;
use warploom_tests::random_inputs;

/// The automatic schedule, after its code was run against the nest.
fn same(text: &str) -> Schedule {
    let nest: Nest = text.parse().unwrap_or_else(|d| panic!("{d}"));
    let schedule = compile::auto(&nest).unwrap_or_else(|d| panic!("{d}"));
    let sizes: BTreeMap<Name, i64> =
        nest.params.iter().map(|p| (p.name.clone(), p.value.expect("sizes are fixed"))).collect();
    let inputs = random_inputs(&nest, &sizes, 5);
    let want = interp::nest::run(&nest, &sizes, &inputs).expect("every access is in bounds");
    let program = compile::compile(&schedule).unwrap_or_else(|d| panic!("{text}{d}"));
    for threads in [1, 3] {
        let have = program.run(&inputs, Some(threads)).unwrap_or_else(|d| panic!("{d}"));
        for (name, tensor) in &have {
            assert!(tensor.bytes() == want[name].bytes(), "{name} of\n{}", schedule.script());
        }
    }
    schedule
}

/// As [`same`], and a loop of the schedule runs on threads.
fn parallel(text: &str) {
    let schedule = same(text);
    assert!(schedule.tree().loops().iter().any(|l| l.marks.parallel), "{}", schedule.script());
}

#[test]
fn seidel() {
    parallel(
        "param T = 23, N = 61\ninout A: i32[N, N]
for t in 0..T { for i in 1..N - 1, j in 1..N - 1 {
  S: A[i, j] = A[i - 1, j - 1] + A[i - 1, j] * 3 + A[i - 1, j + 1] + A[i, j - 1] - A[i, j]
    + A[i, j + 1] + A[i + 1, j - 1] + A[i + 1, j] + A[i + 1, j + 1] } }\n",
    );
}

#[test]
fn jacobi_in_two_dimensions() {
    parallel(
        "param T = 19, N = 151\ninout A: i32[N, N]\ninout B: i32[N, N]
for t in 0..T {
  for i in 1..N - 1, j in 1..N - 1 { S0: B[i, j] = A[i, j - 1] + A[i, j + 1] * 3 - A[i + 1, j] }
  for i in 1..N - 1, j in 1..N - 1 { S1: A[i, j] = B[i, j - 1] - B[i - 1, j] + B[i + 1, j] } }\n",
    );
}

#[test]
fn heat_in_three_dimensions() {
    parallel(
        "param T = 9, N = 41\ninout A: i32[2, N, N, N]
for t in 0..T { for i in 1..N - 1, j in 1..N - 1, k in 1..N - 1 {
  S: A[(t + 1) mod 2, i, j, k] = A[t mod 2, i, j, k] * 3 - A[t mod 2, i - 1, j, k]
    + A[t mod 2, i, j + 1, k] - A[t mod 2, i, j, k - 1] + A[t mod 2, i, j, k + 1] } }\n",
    );
}

#[test]
fn finite_differences_in_the_time_domain() {
    parallel(
        "param T = 23, M = 97, N = 101\ninout X: i32[M, N]\ninout Y: i32[M, N]\ninout H: i32[M, N]
in F: i32[T]
for t in 0..T {
  for j in 0..N { S0: Y[0, j] = F[t] }
  for i in 1..M, j in 0..N { S1: Y[i, j] = Y[i, j] - (H[i, j] - H[i - 1, j]) }
  for i in 0..M, j in 1..N { S2: X[i, j] = X[i, j] - 3 * (H[i, j] - H[i, j - 1]) }
  for i in 0..M - 1, j in 0..N - 1 {
    S3: H[i, j] = H[i, j] - (X[i, j + 1] - X[i, j] + Y[i + 1, j] - Y[i, j]) } }\n",
    );
}

#[test]
fn factorisations_and_a_triangular_system() {
    parallel(
        "param N = 161\ninout A: i32[N, N]
for k in 0..N {
  for i in k + 1..N { S0: A[i, k] = A[i, k] - A[k, k] }
  for i in k + 1..N, j in k + 1..N { S1: A[i, j] = A[i, j] - A[i, k] * A[k, j] } }\n",
    );
    parallel(
        "param N = 121\ninout A: i32[N, N]
for i in 0..N {
  for j in 0..i {
    for k in 0..j { S0: A[i, j] = A[i, j] - A[i, k] * A[j, k] }
    S1: A[i, j] = A[i, j] + A[j, j] }
  for k in 0..i { S2: A[i, i] = A[i, i] - A[i, k] * A[i, k] }
  S3: A[i, i] = abs(A[i, i]) }\n",
    );
    same(
        "param N = 97\nin L: i32[N, N]\nin b: i32[N]\nout x: i32[N]
for i in 0..N {
  S0: x[i] = b[i]
  for j in 0..i { S1: x[i] = x[i] - L[i, j] * x[j] }
  S2: x[i] = x[i] * L[i, i] }\n",
    );
}

#[test]
fn sweeps_in_alternating_directions_and_a_table() {
    parallel(
        "param T = 7, N = 173\ninout U: i32[N, N]\ninout V: i32[N, N]
for t in 0..T {
  for i in 1..N - 1, j in 1..N - 1 { S0: V[j, i] = V[j - 1, i] * 3 + U[i, j] }
  for i in 1..N - 1, j in 1..N - 1 { S1: U[i, j] = U[i, j - 1] - V[i, j] } }\n",
    );
    parallel(
        "param M = 330, N = 350\nin A: i32[M]\nin B: i32[N]\ninout L: i32[M + 1, N + 1]
for i in 1..M + 1, j in 1..N + 1 { S: L[i, j] = max(max(L[i - 1, j], L[i, j - 1]),
  L[i - 1, j - 1] + select(A[i - 1] == B[j - 1], 1, 0)) }\n",
    );
}

#[test]
fn what_is_serial_stays_serial() {
    let serial =
        same("param N = 33\ninout A: i32[N]\nfor i in 1..N { S: A[i] = A[i] * A[i - 1] }\n");
    assert!(!serial.tree().loops().iter().any(|l| l.marks.parallel));
    same(
        "param N = 29\ninout D: i32[N, N]
for k in 0..N, i in 0..N, j in 0..N { S: D[i, j] = min(D[i, j], D[i, k] + D[k, j]) }\n",
    );
}
