//! What is chosen, and that it computes the same.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::interp;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::tensor::Tensor;

use crate::{CpuOptions, Schedule, auto_cpu, lower};

/// The chosen schedule, after its kernel was compared with the nest at these sizes.
fn chosen(text: &str, sizes: &[(&str, i64)]) -> Schedule {
    let nest: Nest = text.parse().unwrap();
    let start = Schedule::new(&nest).unwrap();
    let schedule = auto_cpu(&start, &CpuOptions::default()).unwrap();
    assert_eq!(start.replay(schedule.script()).unwrap(), schedule, "the script makes the schedule");
    let kernel = lower(schedule.poly(), schedule.tree(), &nest.source).unwrap();
    let sizes: BTreeMap<Name, i64> = sizes.iter().map(|(n, v)| ((*n).into(), *v)).collect();
    let mut inputs = BTreeMap::new();
    for (seed, a) in (1..).zip(&nest.arrays) {
        let lookup = |name: &str| sizes.get(name).copied();
        let shape: Vec<usize> =
            a.shape.iter().map(|e| usize::try_from(e.eval(&lookup).unwrap()).unwrap()).collect();
        if matches!(a.role, Role::In | Role::InOut) {
            inputs.insert(a.name.clone(), Tensor::random(a.dtype, &shape, seed).unwrap());
        }
    }
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
    assert_eq!((parallel, lanes, rows), (vec!["m".into()], vec!["n".into()], vec!["m".into()]));
}

#[test]
fn a_product_with_a_transposed_operand_finds_the_other_lanes() {
    let text = "param M, N, K\nin A: f64[K, M]\nin B: f64[N, K]\nout C: f64[N, M]
for n in 0..N, m in 0..M { for k in 0..K { S1: C[n, m] += A[k, m] * B[n, k] } }\n";
    let nest = text.replace("out C", "inout C");
    let s = chosen(&nest, &[("M", 19), ("N", 7), ("K", 3)]);
    let (_, lanes, rows) = marked(&s, "S1");
    assert_eq!((lanes, rows), (vec!["m".into()], vec!["n".into()]));
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
