//! Wavefronts of tiles on GPUs: recurrences in several directions, from the nest to machine code.
//!
//! Integer nests: the automatic schedule has tiles where it should, computes the nest's bits in
//! every order of blocks and threads, and assembles for every GPU.

use warploom::Schedule;
use warploom_ir::schedule::step::{Step, StepKind};

use super::gpu_tiles::{agrees, assembled_by, nest, scheduled};

/// The sizes of the tiles whose wavefronts are launches.
fn sides(schedule: &Schedule) -> Option<Vec<i64>> {
    schedule.script().steps.iter().find_map(|step| match &step.kind {
        StepKind::Atomically(inside) => match inside.as_slice() {
            [Step { kind: StepKind::Tile { sizes, .. }, .. }, ..] => Some(sizes.clone()),
            _other => None,
        },
        _other => None,
    })
}

/// The automatic schedule at two sizes, one of which tiles do not divide, has tiles of these sides;
/// its kernel computes the nest's bits.
fn in_tiles(text: &str, sizes: [i64; 2], want: &[i64]) {
    for n in sizes {
        let nest = nest(&text.replacen("param N", &format!("param N = {n}"), 1));
        let schedule = scheduled(&nest);
        agrees(&nest, &schedule, &[("N", n)]);
        assembled_by(&schedule);
        assert_eq!(sides(&schedule).as_deref(), Some(want), "{}", schedule.script());
    }
}

#[test]
fn a_factorisation_in_place() {
    in_tiles(
        "param N\ninout A: i32[N, N]
for k in 0..N {
  for i in k + 1..N { S0: A[i, k] = A[i, k] - A[k, k] }
  for i in k + 1..N, j in k + 1..N { S1: A[i, j] = A[i, j] - A[i, k] * A[k, j] } }\n",
        [48, 53],
        &[16, 16, 16],
    );
}

#[test]
fn a_factorisation_of_a_triangle_row_by_row() {
    in_tiles(
        "param N\ninout A: i32[N, N]
for i in 0..N {
  for j in 0..i {
    for k in 0..j { S0: A[i, j] = A[i, j] - A[i, k] * A[j, k] }
    S1: A[i, j] = A[i, j] + A[j, j] }
  for k in 0..i { S2: A[i, i] = A[i, i] - A[i, k] * A[i, k] }
  S3: A[i, i] = abs(A[i, i]) }\n",
        [48, 45],
        &[16, 16, 16],
    );
}

#[test]
fn a_triangular_system() {
    in_tiles(
        "param N\nin L: i32[N, N]\nin b: i32[N]\ninout x: i32[N]
for i in 0..N {
  for j in 0..i { S1: x[i] = x[i] - L[i, j] * x[j] }
  S2: x[i] = x[i] * L[i, i] + b[i] }\n",
        [1280, 1101],
        &[32, 128],
    );
}

#[test]
fn a_stencil_along_one_dimension_is_tiled_in_time() {
    in_tiles(
        "param N\ninout A: i32[N]\ninout B: i32[N]
for t in 0..40 {
  for i in 1..N - 1 { S0: B[i] = A[i - 1] + 3 * A[i] - A[i + 1] }
  for i in 1..N - 1 { S1: A[i] = B[i - 1] - B[i] + 2 * B[i + 1] } }\n",
        [1280, 1101],
        &[32, 128],
    );
}

#[test]
fn a_table_whose_elements_follow_two_neighbours() {
    in_tiles(
        "param N\nin A: i32[N]\nin B: i32[N]\ninout L: i32[N + 1, N + 1]
for i in 1..N + 1, j in 1..N + 1 { S: L[i, j] = max(max(L[i - 1, j], L[i, j - 1]),
  L[i - 1, j - 1] + select(A[i - 1] == B[j - 1], 1, 0)) }\n",
        [1120, 1050],
        &[32, 32],
    );
}
