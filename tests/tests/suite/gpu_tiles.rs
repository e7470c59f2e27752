//! Automatic GPU schedules with shared memory: transpositions, permutations and contractions are
//! sealed, compute what the nests say in every order of threads, and assemble without spills.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Schedule, Target, compile};
use warploom_ir::interp;
use warploom_ir::interp::kernel::{ParallelOrder, run_with};
use warploom_tests::random_inputs;

const GPUS: [Target; 3] = [Target::Sm80, Target::Sm90a, Target::Sm100a];

pub(super) fn nest(text: &str) -> Nest {
    text.parse().unwrap_or_else(|d| panic!("{d}\n{text}"))
}

pub(super) fn scheduled(nest: &Nest) -> Schedule {
    compile::auto_for(nest, Target::Sm80).unwrap_or_else(|d| panic!("{d}"))
}

/// The text of the sealed kernel of the automatic schedule, after it was run against the nest.
pub(super) fn same(text: &str, sizes: &[(&str, i64)]) -> String {
    let nest = nest(text);
    agrees(&nest, &scheduled(&nest), sizes)
}

/// The text of the sealed kernel of a schedule, after it was run against the nest.
pub(super) fn agrees(nest: &Nest, schedule: &Schedule, sizes: &[(&str, i64)]) -> String {
    let mut values: BTreeMap<Name, i64> =
        nest.params.iter().filter_map(|p| Some((p.name.clone(), p.value?))).collect();
    values.extend(sizes.iter().map(|(n, v)| ((*n).into(), *v)));
    let lowered = compile::lower(schedule).unwrap_or_else(|d| panic!("{d}\n{}", schedule.script()));
    let kernel = lowered.kernel();
    let inputs = random_inputs(nest, &values, 5);
    let want = interp::nest::run(nest, &values, &inputs).expect("every access is in bounds");
    for order in [ParallelOrder::Reverse, ParallelOrder::Shuffled(11)] {
        let have = run_with(kernel, &values, &inputs, order).unwrap_or_else(|d| panic!("{d}"));
        for (array, tensor) in &want {
            assert!(tensor.bytes() == have[array].bytes(), "{array}, {order:?}\n{kernel}");
        }
    }
    kernel.to_string()
}

/// PTX of the automatic schedule for every GPU.
pub(super) fn assembled(text: &str) -> Vec<String> {
    assembled_by(&scheduled(&nest(text)))
}

/// PTX for every GPU, assembled without spills and without memory of the threads.
pub(super) fn assembled_by(schedule: &Schedule) -> Vec<String> {
    let lowered = compile::lower(schedule).unwrap_or_else(|d| panic!("{d}"));
    let go = |target: &Target| {
        let code = lowered.gpu(*target).unwrap_or_else(|d| panic!("{d}"));
        let said = compile::resources(&code).unwrap_or_else(|d| panic!("{d}"));
        let launches = code.ptx.matches(".visible .entry").count();
        let clean = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads";
        assert_eq!(said.matches(clean).count(), launches, "{said}\n{}", code.ptx);
        code.ptx
    };
    GPUS.iter().map(go).collect()
}

/// `Y[…] = X[…]` over four indices in another order.
fn permuted(order: [usize; 4], dtype: &str, extents: [i64; 4]) -> String {
    let names = ["a", "b", "c", "d"];
    let [a, b, c, d] = extents;
    let target: Vec<&str> = order.iter().map(|k| names[*k]).collect();
    let shape: Vec<String> = target.iter().map(|n| n.to_uppercase()).collect();
    let loops: Vec<String> =
        target.iter().map(|n| format!("{n} in 0..{}", n.to_uppercase())).collect();
    format!(
        "param A = {a}, B = {b}, C = {c}, D = {d}\nin X: {dtype}[A, B, C, D]\nout Y: {dtype}[{}]
for {} {{ S: Y[{}] = X[a, b, c, d] }}\n",
        shape.join(", "),
        loops.join(", "),
        target.join(", ")
    )
}

fn orders() -> Vec<[usize; 4]> {
    let mut out = Vec::new();
    for k in 0..256 {
        let order = [k >> 6 & 3, k >> 4 & 3, k >> 2 & 3, k & 3];
        let mut seen = order;
        seen.sort_unstable();
        if seen == [0, 1, 2, 3] {
            out.push(order);
        }
    }
    out
}

#[test]
fn every_permutation_computes_the_same() {
    let all = orders();
    assert_eq!(all.len(), 24);
    for order in all {
        let text = same(&permuted(order, "i32", [3, 34, 2, 37]), &[]);
        // where the last index stays last, whole lines move
        assert_eq!(text.contains("local "), order[3] != 3, "{text}");
    }
}

#[test]
fn permutations_of_every_width_assemble() {
    for dtype in ["f64", "f32", "bf16", "u8"] {
        for (order, staged) in [([3, 2, 1, 0], true), ([0, 2, 1, 3], false)] {
            for ptx in assembled(&permuted(order, dtype, [48, 64, 64, 64])) {
                assert_eq!(ptx.matches("bar.sync").count(), usize::from(staged), "{ptx}");
                assert_eq!(ptx.contains("st.shared") && ptx.contains("ld.shared"), staged);
                let wide = ptx.contains("ld.global.nc.v") && ptx.contains("st.global.v");
                assert!(staged || wide, "16 bytes at once:\n{ptx}");
            }
        }
    }
}

#[test]
fn lines_move_in_pieces_of_16_bytes_where_they_start_there() {
    let text = |n: i64| {
        format!(
            "param M = 64, N = {n}\nin X: f32[M, N]\nin B: f32[N]\nout Y: f32[M, N]
for i in 0..M, j in 0..N {{ S: Y[i, j] = max(X[i, j] + B[j], 0.0) }}\n"
        )
    };
    for (n, wide) in [(4096, true), (100, true), (4098, false)] {
        for ptx in assembled(&text(n)) {
            assert_eq!(ptx.contains("st.global.v4"), wide, "{n}:\n{ptx}");
        }
    }
    for n in [1, 7, 100, 301] {
        same(&text(n).replace("f32", "i32").replace("0.0", "0"), &[]);
    }
}

/// A product of operands with these accesses.
fn product(params: &str, dtype: &str, a: &str, b: &str) -> String {
    let shape = |access: &str| access.to_uppercase();
    format!(
        "param {params}\nin A: {dtype}[{}]\nin B: {dtype}[{}]\nout C: {dtype}[M, N]
for m in 0..M, n in 0..N {{
  S0: C[m, n] = 0
  for k in 0..K {{ S1: C[m, n] += A[{a}] * B[{b}] order fixed }}
}}\n",
        shape(a),
        shape(b)
    )
}

#[test]
fn tiles_of_products_compute_the_same() {
    for (a, b) in [("m, k", "k, n"), ("k, m", "n, k")] {
        for (params, whole) in [
            ("M = 64, N = 96, K = 32", true),
            ("M = 65, N = 47, K = 19", false),
            ("M = 17, N = 200, K = 3", false),
        ] {
            let kernel = same(&product(params, "i32", a, b), &[]);
            assert!(kernel.contains("across thread.y, thread.x"), "{kernel}");
            assert!(!whole || !kernel.contains("if "), "whole tiles need no guard\n{kernel}");
        }
    }
}

/// Products of many matrices: enough blocks for large tiles.
fn batch(b: i64, m: i64, n: i64, k: i64) -> String {
    format!(
        "param B = {b}, M = {m}, N = {n}, K = {k}\nin X: i32[B, M, K]\nin Y: i32[B, K, N]
out Z: i32[B, M, N]
for b in 0..B, m in 0..M, n in 0..N {{ S0: Z[b, m, n] = 0 }}
for b in 0..B, m in 0..M, n in 0..N, k in 0..K {{
  S1: Z[b, m, n] += X[b, m, k] * Y[b, k, n] order fixed
}}\n"
    )
}

#[test]
fn tiles_are_as_large_as_blocks_are_many() {
    for (text, tile) in [
        (batch(64, 120, 130, 2), "i32[16, 16, 1, 4, 4]"),
        (batch(64, 33, 40, 3), "i32[16, 16, 1, 2, 2]"),
        (batch(3, 40, 70, 20), "i32[16, 16, 1]"),
    ] {
        let kernel = same(&text, &[]);
        assert!(kernel.contains(tile), "{tile}\n{kernel}");
    }
}

#[test]
fn sums_of_products_stay_in_registers() {
    for (a, b) in [("m, k", "k, n"), ("k, m", "n, k")] {
        for dtype in ["f32", "bf16"] {
            let text = product("M = 4096, N = 4096, K = 4096", dtype, a, b);
            for ptx in assembled(&text) {
                assert!(ptx.contains("fma.rn"), "{ptx}");
                assert_eq!(ptx.matches("bar.sync").count(), 2, "{ptx}");
                assert!(ptx.contains("ld.shared.v"), "{ptx}");
                assert!(!ptx.contains(".local"), "{ptx}");
            }
        }
    }
}

#[test]
fn batches_and_several_sums() {
    assembled(&batch(64, 120, 130, 20));
    let several = "param P = 33, Q = 3, R = 5, S = 9, T = 40\nin A: i32[P, R, Q, S]
in B: i32[S, T, R]\nout C: i32[P, Q, T]
for p in 0..P, q in 0..Q, t in 0..T { S0: C[p, q, t] = 0 }
for p in 0..P, q in 0..Q, t in 0..T, r in 0..R, s in 0..S {
  S1: C[p, q, t] += A[p, r, q, s] * B[s, t, r] order fixed
}\n";
    assert!(same(several, &[]).contains("across"));
    assembled(several);
}

/// A product with a symmetric matrix of which one triangle is stored, with a scalar for a sum.
const SYMMETRIC: &str = "param M = 37, N = 41\nin A: i32[M, M]\nin B: i32[M, N]
inout C: i32[M, N]\ntemp w: i32
for i in 0..M, j in 0..N {
  S0: w = 0
  for k in 0..i {
    S1: C[k, j] += B[i, j] * A[i, k]
    S2: w += B[k, j] * A[i, k]
  }
  S3: C[i, j] = 3 * C[i, j] + B[i, j] * A[i, i] + w
}\n";

#[test]
fn statements_move_apart_and_sums_over_triangles_run_in_tiles() {
    let kernel = same(SYMMETRIC, &[]);
    // both products, and no loop outside the blocks
    assert_eq!(kernel.matches("i32[16, 16] across thread.y, thread.x").count(), 2, "{kernel}");
    assert_eq!(kernel.matches("\n  for ").count(), kernel.matches(" block.y").count(), "{kernel}");
    assembled(SYMMETRIC);
}

#[test]
fn rows_of_a_temporary_get_a_copy_each() {
    let text = "param R = 5, Q = 6, P = 23\ninout A: i32[R, Q, P]\nin C: i32[P, P]\ntemp w: i32[P]
for r in 0..R, q in 0..Q {
  for p in 0..P {
    S0: w[p] = 0
    for s in 0..P { S1: w[p] += A[r, q, s] * C[s, p] }
  }
  for p in 0..P { S2: A[r, q, p] = w[p] }
}\n";
    let kernel = same(text, &[]);
    assert!(kernel.contains("temp w_q: i32[5, 6, 23]"), "{kernel}");
    let outermost = kernel.lines().filter(|l| l.starts_with("  for ")).collect::<Vec<_>>();
    assert!(outermost.iter().all(|l| l.contains(" block.")), "{kernel}");
    assembled(text);
}

#[test]
fn products_of_an_array_with_itself_over_a_triangle() {
    let text = "param M = 35, N = 21\nin A: i32[N, M]\nout C: i32[M, M]
for i in 0..M, j in i..M {
  S0: C[i, j] = 0
  for k in 0..N { S1: C[i, j] += A[k, i] * A[k, j] }
  S2: C[j, i] = C[i, j]
}\n";
    let kernel = same(text, &[]);
    assert_eq!(kernel.matches(": i32[16, 20] {").count(), 2, "both accesses are staged\n{kernel}");
    assembled(text);
}

#[test]
fn what_is_overwritten_later_is_copied_first() {
    let text = "param M = 37, N = 41\nin A: i32[M, M]\ninout B: i32[M, N]
for i in 0..M, j in 0..N {
  for k in i + 1..M { S0: B[i, j] += A[k, i] * B[k, j] }
  S1: B[i, j] = 3 * B[i, j]
}\n";
    let kernel = same(text, &[]);
    assert!(kernel.contains("temp B_S0_1_copy: i32[37, 41]"), "{kernel}");
    assert!(kernel.contains("across thread.y, thread.x"), "{kernel}");
    assembled(text);
}

#[test]
fn diagonals_of_a_table_are_one_launch_each_with_sums_in_registers() {
    let text = "param N = 23\nin W: i32[N]\ninout T: i32[N, N]
for i in N - 1 downto 0, j in i + 1..N {
  S0: T[i, j] max= T[i, j - 1]
  if i + 1 < N {
    if i < j - 1 { S1: T[i, j] max= T[i + 1, j - 1] + W[i] * W[j] }
  }
  for k in i + 1..j { S2: T[i, j] max= T[i, k] + T[k + 1, j] }
}\n";
    let kernel = same(text, &[]);
    assert_eq!(kernel.matches(" block.x").count(), 1, "{kernel}");
    assert!(kernel.contains(": i32[1, 1] {"), "{kernel}");
    assembled(text);
}

#[test]
fn a_factorisation_with_a_scalar_sum_updates_what_is_left() {
    let text = "param N = 19\ninout A: i32[N, N]\ntemp w: i32
for i in 0..N {
  for j in 0..i {
    S0: w = A[i, j]
    for k in 0..j { S1: w += -A[i, k] * A[k, j] }
    S2: A[i, j] = w - A[j, j]
  }
  for j in i..N {
    S3: w = A[i, j]
    for k in 0..i { S4: w += -A[i, k] * A[k, j] }
    S5: A[i, j] = w
  }
}\n";
    let kernel = same(text, &[]);
    let steps = kernel.lines().filter(|l| l.starts_with("    for ")).collect::<Vec<_>>();
    // two copies, then for each pivot its row, its column, and both parts of the rest in one launch
    assert!(kernel.contains("  for k in 0..19 {"), "{kernel}");
    assert!(steps.iter().filter(|l| l.contains(" block.")).count() <= 5, "{kernel}");
    assembled(text);
}

#[test]
fn blocks_that_follow_each_other_write_lines_that_continue() {
    for (dtype, tiles) in [("i32", 3), ("i16", 2)] {
        let text = format!(
            "in X: {dtype}[192, 320]\nout Y: {dtype}[320, 192]
for i in 0..192, j in 0..320 {{ S: Y[j, i] = X[i, j] }}\n"
        );
        let kernel = same(&text, &[]);
        let along = format!("for i_0 in 0..{tiles} block.x");
        assert!(kernel.contains(&along) && kernel.contains("for j_0 in 0..5 block.y"), "{kernel}");
    }
}

#[test]
fn narrow_elements_are_transposed_in_pieces() {
    for order in [[3, 2, 1, 0], [0, 1, 3, 2], [3, 0, 1, 2]] {
        for extents in [[8, 3, 16, 24], [64, 2, 72, 64], [8, 3, 16, 8]] {
            let kernel = same(&permuted(order, "i16", extents), &[]);
            assert!(kernel.contains("in 0..8 unroll"), "{kernel}");
        }
        same(&permuted(order, "i16", [5, 3, 34, 37]), &[]);
        for extent in [64, 192, 384] {
            for ptx in assembled(&permuted(order, "bf16", [extent, 64, 64, 64])) {
                let (loads, stores) = ("ld.global.nc.v4.b32", "st.global.v4.b32");
                for (all, wide) in [("ld.global", loads), ("st.global", stores)] {
                    let count = ptx.matches(all).count();
                    // of whole tiles and, at most, of those at an edge
                    assert!((1..=8).contains(&count), "{count} {all}\n{ptx}");
                    assert_eq!(ptx.matches(wide).count(), count, "{ptx}");
                }
            }
        }
    }
}

/// Rows that are scaled by their greatest element and sum.
fn scaled_rows(dtype: &str, m: i64, n: i64) -> String {
    format!(
        "param M = {m}, N = {n}\nin X: {dtype}[M, N]\nout Y: ACC[M, N]
temp top: ACC[M]\ntemp sum: ACC[M]
for i in 0..M {{
  S0: top[i] = 0
  for j in 0..N {{ S1: top[i] max= X[i, j] order any }}
  S2: sum[i] = 0
  for j in 0..N {{ S3: sum[i] += X[i, j] - top[i] order fixed }}
  for j in 0..N {{ S4: Y[i, j] = (X[i, j] - top[i]) * sum[i] }}
}}\n"
    )
    .replace("ACC", if dtype.contains('f') { "f32" } else { "i32" })
}

#[test]
fn rows_are_read_in_pieces_of_16_bytes() {
    for (dtype, n) in
        [("i32", 64), ("i32", 300), ("i32", 301), ("i32", 2056), ("i16", 96), ("i16", 1032)]
    {
        for m in [3, 9] {
            let kernel = same(&scaled_rows(dtype, m, n), &[]);
            assert!(kernel.contains(" thread.x") && !kernel.contains("temp "), "{kernel}");
        }
    }
    for dtype in ["f32", "bf16"] {
        for n in [1024, 4096] {
            for ptx in assembled(&scaled_rows(dtype, 64, n)) {
                assert!(ptx.contains("ld.global.nc.v4.b32"), "{ptx}");
                assert!(ptx.contains("st.global.v4.b32"), "{ptx}");
                assert!(!ptx.contains("ld.global.nc.b32") && !ptx.contains("ld.global.nc.b16"));
            }
        }
    }
}
