//! What is chosen, and that it computes the same.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::{Step, StepKind};

use crate::steps::testing::inputs;
use crate::{CpuOptions, Schedule, auto_cpu, lower};

/// The chosen schedule, after its kernel was compared with the nest at these sizes.
fn chosen(text: &str, sizes: &[(&str, i64)]) -> Schedule {
    let nest: Nest = text.parse().unwrap();
    let start = Schedule::new(&nest).unwrap();
    let schedule = auto_cpu(&start, &CpuOptions::default()).unwrap();
    assert_eq!(start.replay(schedule.script()).unwrap(), schedule, "the script makes the schedule");
    let kernel = lower(schedule.poly(), schedule.tree(), &nest.source).unwrap();
    let sizes: BTreeMap<Name, i64> = sizes.iter().map(|(n, v)| ((*n).into(), *v)).collect();
    let inputs = inputs(&nest, &sizes);
    let want = interp::nest::run(&nest, &sizes, &inputs).unwrap();
    let have = interp::kernel::run(&kernel, &sizes, &inputs).unwrap();
    for (name, tensor) in &want {
        assert_eq!(tensor.bytes(), have[name].bytes(), "{name}\n{}", schedule.script());
    }
    schedule
}

fn marked(s: &Schedule, statement: &str) -> (Vec<Name>, Vec<Name>, Vec<Name>) {
    let tree = s.tree();
    let over = tree.loops().into_iter().filter(|l| l.rows.contains_key(statement));
    let (mut parallel, mut lanes, mut unrolled) = (Vec::new(), Vec::new(), Vec::new());
    for l in over {
        let iters: Vec<Name> = l.rows[statement].vars().into_iter().collect();
        for (on, list) in [
            (l.marks.parallel, &mut parallel),
            (l.marks.vectorize, &mut lanes),
            (l.marks.unroll, &mut unrolled),
        ] {
            if on {
                list.extend(iters.iter().cloned());
            }
        }
    }
    (parallel, lanes, unrolled)
}

#[test]
fn a_product_gets_lanes_rows_and_threads() {
    let text = "param M, N, K\nin A: f32[M, K]\nin B: f32[K, N]\nout C: f32[M, N]
for m in 0..M, n in 0..N {\n  S0: C[m, n] = 0
  for k in 0..K { S1: C[m, n] += A[m, k] * B[k, n] order fixed }\n}\n";
    let s = chosen(text, &[("M", 13), ("N", 37), ("K", 5)]);
    let (parallel, lanes, rows) = marked(&s, "S1");
    assert_eq!((parallel, lanes, rows), (vec!["n".into()], vec!["n".into()], vec!["m".into()]));
}

#[test]
fn a_product_with_a_transposed_operand_finds_the_other_lanes() {
    let text = "param M, N, K\nin A: f64[K, M]\nin B: f64[N, K]\nout C: f64[N, M]
for n in 0..N, m in 0..M { for k in 0..K { S1: C[n, m] += A[k, m] * B[n, k] } }\n";
    let nest = text.replace("out C", "inout C");
    let s = chosen(&nest, &[("M", 19), ("N", 7), ("K", 3)]);
    let (_, lanes, rows) = marked(&s, "S1");
    assert_eq!((lanes, rows), (vec!["m".into()], vec!["n".into()]));
    let packs = |s: &Schedule| {
        let stage = |s: &&Step| matches!(s.kind, StepKind::Stage { .. });
        s.script().steps.iter().filter(stage).count()
    };
    assert_eq!(packs(&s), 2, "{}", s.script());
}

#[test]
fn a_sum_with_few_results_runs_in_parts() {
    let text = "param N\nin a: i32[N]\nin b: i32[N]\nout c: i32[]\nS0: c[] = 0
for k in 0..N { S1: c[] += a[k] * b[k] order fixed }\n";
    let s = chosen(text, &[("N", 70000)]);
    assert_eq!(marked(&s, "S1"), (vec!["k".into()], vec!["k".into()], vec![]));
    let splits = |s: &Schedule| {
        let is = |s: &&Step| matches!(s.kind, StepKind::SplitReduction { .. });
        s.script().steps.iter().filter(is).count()
    };
    assert_eq!(splits(&s), 1, "{}", s.script());
    let fixed = text.replace("param N", "param N = 300000");
    let s = chosen(&fixed, &[("N", 300_000)]);
    assert!(s.script().to_string().contains("split k by 37440"), "{}", s.script());
    // too little work, many results, or an order that must be kept
    for text in [
        text.replace("param N", "param N = 3000"),
        text.replace("order fixed", "order serial"),
        "param M, N\nin A: i32[M, N]\ninout c: i32[M]
for i in 0..M, k in 0..N { S1: c[i] += A[i, k] order fixed }"
            .to_string(),
    ] {
        let sizes = [("M", 3), ("N", 3000)];
        let sizes = if text.contains("param M") { &sizes[..] } else { &sizes[1..] };
        assert_eq!(splits(&chosen(&text, sizes)), 0, "{text}");
    }
}

#[test]
fn a_contraction_of_groups_of_indices_has_lanes_and_rows() {
    let text = "param a = 20, b = 3, c = 7, d = 2, e = 5, f = 9
in A: f32[f, b, e, a]\nin B: f32[c, e, d, f]\ninout C: f32[d, c, b, a]
for x in 0..d, y in 0..c, z in 0..b, w in 0..a { for u in 0..e, v in 0..f {
  S: C[x, y, z, w] += A[v, z, u, w] * B[y, u, x, v] order fixed } }\n";
    let s = chosen(text, &[("a", 20), ("b", 3), ("c", 7), ("d", 2), ("e", 5), ("f", 9)]);
    let (parallel, lanes, rows) = marked(&s, "S");
    assert_eq!((lanes, rows), (vec!["w".into()], vec!["y".into()]));
    assert!(parallel.is_empty(), "too little work for threads\n{}", s.script());
}

#[test]
fn an_elementwise_statement_gets_lanes() {
    let text = "param N\nin A: f32[N, N]\nout C: f32[N, N]
for i in 0..N, j in 0..N { S: C[i, j] = max(A[i, j], 0) }\n";
    let s = chosen(text, &[("N", 21)]);
    let (parallel, lanes, _) = marked(&s, "S");
    assert_eq!((parallel, lanes), (vec!["i".into()], vec!["j".into()]));
}

#[test]
fn a_serial_recurrence_stays_serial() {
    let text = "param N\ninout A: f32[N]\nfor i in 1..N { S: A[i] = A[i] + A[i-1] }\n";
    let s = chosen(text, &[("N", 9)]);
    assert!(s.script().steps.is_empty(), "{}", s.script());
}

/// The chosen schedule at each of these sizes; all are of one parameter `N` and, if used, `T`.
fn at_sizes(text: &str, sizes: &[&[(&str, i64)]]) -> Schedule {
    let mut all = sizes.iter().map(|s| chosen(text, s));
    let first = all.next().unwrap();
    assert!(all.all(|s| s == first));
    first
}

fn parallel(s: &Schedule) -> bool {
    s.tree().loops().iter().any(|l| l.marks.parallel)
}

fn vectors(s: &Schedule) -> bool {
    s.tree().loops().iter().any(|l| l.marks.vectorize)
}

fn tiled(s: &Schedule) -> bool {
    let tile = |step: &Step| matches!(step.kind, StepKind::Tile { .. });
    s.script().steps.iter().any(|step| match &step.kind {
        StepKind::Atomically(inner) => inner.iter().any(tile),
        _ => tile(step),
    })
}

const TIME: &[&[(&str, i64)]] = &[&[("T", 5), ("N", 9)], &[("T", 37), ("N", 7)]];

#[test]
fn a_seidel_stencil_runs_as_a_wavefront_of_tiles() {
    let s = at_sizes(
        "param T, N\ninout A: f64[N, N]
for t in 0..T { for i in 1..N - 1, j in 1..N - 1 {
  S: A[i, j] = (A[i - 1, j - 1] + A[i - 1, j] + A[i - 1, j + 1] + A[i, j - 1] + A[i, j]
    + A[i, j + 1] + A[i + 1, j - 1] + A[i + 1, j] + A[i + 1, j + 1]) * 0.125 } }\n",
        TIME,
    );
    assert!(parallel(&s) && tiled(&s), "{}", s.script());
}

#[test]
fn a_jacobi_stencil_in_one_dimension_is_tiled_in_time() {
    let s = at_sizes(
        "param T, N\ninout A: f32[N]\ninout B: f32[N]
for t in 0..T {
  for i in 1..N - 1 { S0: B[i] = (A[i - 1] + A[i] + A[i + 1]) * 0.25 }
  for i in 1..N - 1 { S1: A[i] = (B[i - 1] + B[i] + B[i + 1]) * 0.25 } }\n",
        &[&[("T", 5), ("N", 9)], &[("T", 40), ("N", 77)]],
    );
    assert!(parallel(&s) && tiled(&s) && vectors(&s), "{}", s.script());
}

#[test]
fn a_jacobi_stencil_of_known_size_gets_larger_tiles() {
    let text = "param T = 370, N = 2063\ninout A: f32[N]\ninout B: f32[N]
for t in 0..T {
  for i in 1..N - 1 { S0: B[i] = (A[i - 1] + A[i] + A[i + 1]) * 0.25 }
  for i in 1..N - 1 { S1: A[i] = (B[i - 1] + B[i] + B[i + 1]) * 0.25 } }\n";
    let s = chosen(text, &[("T", 370), ("N", 2063)]);
    assert!(parallel(&s) && tiled(&s) && vectors(&s), "{}", s.script());
    assert!(s.script().to_string().contains("tile t, i by 64, 699"), "{}", s.script());
}

#[test]
fn a_jacobi_stencil_in_two_dimensions_is_tiled_in_time() {
    let s = at_sizes(
        "param T, N\ninout A: f64[N, N]\ninout B: f64[N, N]
for t in 0..T {
  for i in 1..N - 1, j in 1..N - 1 {
    S0: B[i, j] = (A[i, j] + A[i, j - 1] + A[i, j + 1] + A[i + 1, j] + A[i - 1, j]) * 0.25 }
  for i in 1..N - 1, j in 1..N - 1 {
    S1: A[i, j] = (B[i, j] + B[i, j - 1] + B[i, j + 1] + B[i + 1, j] + B[i - 1, j]) * 0.25 } }\n",
        TIME,
    );
    assert!(parallel(&s) && tiled(&s) && vectors(&s), "{}", s.script());
}

#[test]
fn a_heat_stencil_with_time_as_an_index_is_tiled_in_time() {
    let s = at_sizes(
        "param T, N\ninout A: f32[2, N, N, N]
for t in 0..T { for i in 1..N - 1, j in 1..N - 1, k in 1..N - 1 {
  S: A[(t + 1) mod 2, i, j, k] = A[t mod 2, i, j, k] * 0.5 + (A[t mod 2, i - 1, j, k]
    + A[t mod 2, i + 1, j, k] + A[t mod 2, i, j - 1, k] + A[t mod 2, i, j + 1, k]
    + A[t mod 2, i, j, k - 1] + A[t mod 2, i, j, k + 1]) * 0.125 } }\n",
        &[&[("T", 4), ("N", 6)]],
    );
    assert!(parallel(&s), "{}", s.script());
}

#[test]
fn a_factorisation_has_a_parallel_loop() {
    let s = at_sizes(
        "param N\ninout A: f64[N, N]
for k in 0..N {
  for i in k + 1..N { S0: A[i, k] = A[i, k] / A[k, k] }
  for i in k + 1..N, j in k + 1..N { S1: A[i, j] = A[i, j] - A[i, k] * A[k, j] } }\n",
        &[&[("N", 1)], &[("N", 9)], &[("N", 35)]],
    );
    assert!(parallel(&s), "{}", s.script());
}

#[test]
fn a_chain_of_elementwise_statements_shares_its_loops() {
    let s = at_sizes(
        "param N, M\nin A: f32[M, N]\ntemp B: f32[M, N]\ntemp C: f32[M, N]\nout D: f32[M, N]
for i in 0..M, j in 0..N { S0: B[i, j] = A[i, j] * 2 }
for i in 0..M, j in 0..N { S1: C[i, j] = max(B[i, j], 0) }
for i in 0..M, j in 0..N { S2: D[i, j] = C[i, j] + A[i, j] }\n",
        &[&[("M", 3), ("N", 37)], &[("M", 1), ("N", 16)]],
    );
    let outer = s.tree().loops()[0].clone();
    assert_eq!(outer.body.statements().len(), 3, "{}", s.tree());
    assert!(outer.marks.parallel && vectors(&s), "{}", s.tree());
}

#[test]
fn a_consumer_that_transposes_is_not_fused() {
    let s = at_sizes(
        "param N\nin A: f32[N, N]\ntemp B: f32[N, N]\nout C: f32[N, N]
for i in 0..N, j in 0..N { S0: B[i, j] = A[i, j] * 2 }
for i in 0..N, j in 0..N { S1: C[i, j] = B[j, i] + 1 }\n",
        &[&[("N", 9)]],
    );
    assert!(s.tree().loops().iter().all(|l| l.body.statements().len() == 1), "{}", s.tree());
    assert!(parallel(&s));
}

#[test]
fn attention_keeps_its_products_and_is_parallel() {
    let s = at_sizes(
        "param N, D\nin Q: f32[N, D]\nin K: f32[N, D]\nin V: f32[N, D]\nout O: f32[N, D]
temp S: f32[N, N]\ntemp P: f32[N, N]\ntemp X: f32[N]\ntemp Z: f32[N]
for i in 0..N, j in 0..N { S0: S[i, j] = 0 for k in 0..D { S1: S[i, j] += Q[i, k] * K[j, k] } }
for i in 0..N { S2: X[i] = S[i, 0] for j in 0..N { S3: X[i] max= S[i, j] } }
for i in 0..N { S4: Z[i] = 0 for j in 0..N { S5: P[i, j] = S[i, j] - X[i]
  S6: Z[i] += P[i, j] } }
for i in 0..N, d in 0..D { S7: O[i, d] = 0 for j in 0..N { S8: O[i, d] += P[i, j] * V[j, d] } }\n",
        &[&[("N", 5), ("D", 3)]],
    );
    let first = |name: &str| {
        s.tree().loops().into_iter().find(|l| l.rows.contains_key(name)).unwrap().marks.parallel
    };
    for name in ["S1", "S3", "S6", "S8"] {
        assert!(first(name), "{name}: {}", s.tree());
    }
}

#[test]
fn short_loops_inside_others_wake_no_threads() {
    let text = |n: &str| {
        format!(
            "param {n}\ninout A: i32[N]\nfor t in 0..N {{
  for i in 0..N {{ S: A[i] = A[i] * A[i] + t }}
  for i in 1..N {{ R: A[0] = A[0] + A[i] }} }}\n"
        )
    };
    let short = chosen(&text("N = 24"), &[("N", 24)]);
    assert!(marked(&short, "S").0.is_empty(), "{}", short.script());
    let open = chosen(&text("N"), &[("N", 24)]);
    assert_eq!(marked(&open, "S").0, vec![Name::from("i")], "{}", open.script());
}

fn steps(s: &Schedule, wanted: fn(&StepKind) -> bool) -> usize {
    s.script().steps.iter().filter(|step| wanted(&step.kind)).count()
}

const PATHS: &str = "param N = 11\ninout P: i32[N, N]
for k in 0..N, i in 0..N, j in 0..N { S: P[i, j] = min(P[i, j], P[i, k] + P[k, j]) }\n";

#[test]
fn what_reads_row_and_column_of_a_pivot_runs_beside_it() {
    // in the order of the text no loop has independent iterations
    let s = chosen(PATHS, &[("N", 11)]);
    assert_eq!(marked(&s, "S").1, vec![Name::from("j")], "{}", s.script());
    assert!(!parallel(&s), "too little work for threads\n{}", s.script());
    let large: Nest = PATHS.replace("N = 11", "N = 1200").parse().unwrap();
    let s = auto_cpu(&Schedule::new(&large).unwrap(), &CpuOptions::default()).unwrap();
    let (threads, lanes, _) = marked(&s, "S");
    assert_eq!((threads, lanes), (vec!["i".into()], vec!["j".into()]), "{}", s.script());
}

#[test]
fn a_small_stencil_stays_in_the_order_of_its_text() {
    let text = "param T = 20, N = 400\ninout A: f64[N]\ninout B: f64[N]
for t in 0..T {
  for i in 1..N - 1 { S0: B[i] = (A[i - 1] + A[i] + A[i + 1]) * 0.25 }
  for i in 1..N - 1 { S1: A[i] = (B[i - 1] + B[i] + B[i + 1]) * 0.25 } }\n";
    let s = chosen(text, &[("T", 20), ("N", 400)]);
    assert!(!parallel(&s) && !tiled(&s), "{}", s.script());
    // all of a short loop is lanes: strips would only cost
    for name in ["S0", "S1"] {
        assert_eq!(marked(&s, name).1, vec![Name::from("i")], "{}", s.script());
    }
    assert_eq!(steps(&s, |k| matches!(k, StepKind::Split { .. })), 0, "{}", s.script());
}

#[test]
fn rows_that_wait_for_their_last_element_run_side_by_side() {
    let text = "param N = 40\ninout A: f64[N, N]\nin B: f64[N, N]
for i in 0..N, j in 1..N { S: A[i, j] = A[i, j - 1] * 0.5 + B[i, j] }\n";
    let s = chosen(text, &[("N", 40)]);
    assert_eq!(marked(&s, "S").1, vec![Name::from("i")], "{}", s.script());
}

#[test]
fn a_triangle_counts_as_half_of_its_box() {
    // a run of the loop over i: some 14 microseconds of the square's work, half of the triangle's
    let text = |upper: &str| {
        format!(
            "param N = 200\ninout A: f64[N, N]\nfor t in 0..N {{
  for i in 0..N, j in 0..{upper} {{ S: A[i, j] = A[i, j] * A[i, j] * A[i, j] + t * A[i, j] }}
  for i in 1..N {{ R: A[0, 0] = A[0, 0] + A[i, 0] }} }}\n"
        )
    };
    let made = |upper: &str| {
        let nest: Nest = text(upper).parse().unwrap();
        auto_cpu(&Schedule::new(&nest).unwrap(), &CpuOptions::default()).unwrap()
    };
    let [square, triangle] = ["N", "i"].map(made);
    assert!(!marked(&square, "S").0.is_empty(), "{}", square.script());
    assert!(marked(&triangle, "S").0.is_empty(), "{}", triangle.script());
}
