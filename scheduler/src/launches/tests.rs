//! Mapped schedules become launches that compute what the nest says.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::interp;
use warploom_ir::interp::kernel::{ParallelOrder, run_with};
use warploom_ir::kernel::{Index, Kernel, KernelNode, LoopMode};
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Place;

use crate::steps::testing::{FUSED as MATMUL, inputs};
use crate::{Schedule, launches, lower};

const TRIANGLE: &str = "param N
in X: i32[N]
out Y: i32[N, N]
for i in 0..N, j in 0..i+1 { S: Y[i, j] = X[i] - X[j] }
for i in 0..N, j in i+1..N { T: Y[i, j] = 0 }
";

/// The kernel of a script, after it was compared with the nest in several orders.
fn launched(text: &str, script: &str, sizes: &[(&str, i64)], bind: bool) -> Kernel {
    let nest: Nest = text.parse().unwrap();
    let script: Script = script.parse().unwrap();
    let schedule = Schedule::new(&nest).unwrap();
    let schedule = schedule.replay(&script).unwrap_or_else(|e| panic!("{}", e.diagnostic));
    let sizes: BTreeMap<Name, i64> = sizes.iter().map(|(n, v)| ((*n).into(), *v)).collect();
    let mut kernel = lower(schedule.poly(), schedule.tree(), &nest.source).unwrap();
    if bind {
        kernel = kernel.bind(&sizes);
    }
    let kernel = launches(&kernel);
    let inputs = inputs(&nest, &sizes);
    let want = interp::nest::run(&nest, &sizes, &inputs).unwrap();
    for order in [ParallelOrder::Reverse, ParallelOrder::Shuffled(3)] {
        let have = run_with(&kernel, &sizes, &inputs, order).unwrap();
        for (name, tensor) in &want {
            assert_eq!(tensor.bytes(), have[name].bytes(), "{name} {order:?}\n{kernel}");
        }
    }
    kernel
}

/// The places and constant lengths of the loops at the top of a node, guards left out.
fn places(node: &KernelNode) -> Vec<(&'static str, Option<i64>)> {
    let mut out = Vec::new();
    let mut at = node;
    loop {
        let l = match at {
            KernelNode::Loop(l) => l,
            KernelNode::If(_, then, _) if then.len() == 1 => {
                at = &then[0];
                continue;
            }
            _ => break,
        };
        let LoopMode::Mapped(place) = l.mode else { break };
        let thread = matches!(place, Place::Thread(_));
        let length = match (&l.lower, &l.upper) {
            (Index::Const(a), Index::Const(b)) => Some(b - a),
            _ => None,
        };
        assert!(!thread || length.is_some(), "a thread loop of unknown length");
        out.push((place.name(), length));
        at = match l.body.as_slice() {
            [one] => one,
            _ => break,
        };
    }
    out
}

const TILED: &str = "distribute n
distribute m
tile S1.m, S1.n by 4, 8
map S1.m.0 to block.y
map S1.n.0 to block.x
map S1.m.1 to thread.y
map S1.n.1 to thread.x
";

#[test]
fn tiles_become_blocks_and_threads() {
    for (m, n, k) in [(8, 16, 3), (9, 17, 2), (1, 1, 1), (4, 7, 0)] {
        for bind in [false, true] {
            let kernel = launched(MATMUL, TILED, &[("M", m), ("N", n), ("K", k)], bind);
            let text = kernel.to_string();
            let product = kernel.body.iter().map(places).find(|p| p.len() == 4);
            if m > 4 && n > 8 {
                let product = product.expect("a launch of four places");
                assert_eq!(product[2..], [("thread.y", Some(4)), ("thread.x", Some(8))], "{text}");
            }
            // whole tiles of known sizes need no guard
            assert_eq!(text.contains("if "), !(bind && (m, n) == (8, 16)), "{text}");
        }
    }
}

#[test]
fn triangles_are_cut_off_by_guards() {
    let script = "split S.j by 4\nmap S.i to block.x\nmap S.j.0 to block.y\nmap S.j.1 to thread.x
map T.i to block.x";
    for bind in [false, true] {
        let kernel = launched(TRIANGLE, script, &[("N", 11)], bind);
        let all: Vec<_> = kernel.body.iter().map(places).collect();
        let names: Vec<Vec<_>> =
            all.iter().map(|p| p.iter().map(|(name, _)| *name).collect()).collect();
        assert_eq!(names, [vec!["block.x", "block.y", "thread.x"], vec!["block.x"]], "{kernel}");
    }
}

#[test]
fn several_nests_of_threads_in_a_block_are_phases_of_one_launch() {
    let text = "param N
in X: i32[N, 40]
temp T: i32[N, 40]
out Y: i32[N]
for i in 0..N {
  for j in 0..40 { S0: T[i, j] = 2 * X[i, j] }
  S1: Y[i] = 0
  for k in 0..40 { S2: Y[i] += T[i, k] }
}
";
    let kernel = launched(text, "map i to block.x\nmap j to thread.x", &[("N", 5)], false);
    let all: Vec<_> = kernel.body.iter().map(places).collect();
    assert_eq!(all, [vec![("block.x", None)]]);
    let text = kernel.to_string();
    assert_eq!(text.matches("thread.x").count(), 1, "{text}");
}

#[test]
fn what_blocks_stage_and_threads_use_is_one_launch() {
    let script = "distribute n
distribute m
tile S1.m, S1.n by 4, 8
split S1.k by 6
reorder S1.m.0, S1.n.0, S1.k.0, S1.m.1, S1.n.1, S1.k.1
map S1.m.0 to block.y
map S1.n.0 to block.x
map S1.m.1 to thread.y
map S1.n.1 to thread.x
stage A at S1.k.0 as Ap
stage B at S1.k.0 as Bp
map Ap.0 to thread.y
map Ap.1 to thread.x
map Bp.0 to thread.y
map Bp.1 to thread.x
";
    for (m, n, k) in [(8, 16, 12), (9, 17, 7), (1, 1, 1), (4, 7, 0)] {
        for bind in [false, true] {
            let kernel = launched(MATMUL, script, &[("M", m), ("N", n), ("K", k)], bind);
            let text = kernel.to_string();
            if (m, n) == (9, 17) {
                assert!(text.contains("local Ap"), "{text}");
            }
        }
    }
}

#[test]
fn a_loop_that_carries_a_dependence_is_not_mapped() {
    let nest: Nest = MATMUL.parse().unwrap();
    let schedule = Schedule::new(&nest).unwrap();
    let illegal = schedule.map("k", Place::named("thread.x").unwrap()).unwrap_err();
    assert!(illegal.witness.is_some(), "{}", illegal.diagnostic);
}

const STENCIL: &str = "param T, N
inout A: i32[N]
temp B: i32[N]
for t in 0..T {
  for i in 1..N - 1 { S0: B[i] = A[i - 1] + A[i] + A[i + 1] }
  for j in 1..N - 1 { S1: A[j] = B[j] - B[j - 1 + 1] + A[j] }
}
";

#[test]
fn serial_loops_around_mapped_ones_are_the_hosts() {
    let script = "split i by 4; map i.0 to block.x; map i.1 to thread.x; map j to block.x";
    for (t, n) in [(3, 11), (1, 3), (2, 2), (0, 5)] {
        for bind in [false, true] {
            let kernel = launched(STENCIL, script, &[("T", t), ("N", n)], bind);
            if !bind {
                let [KernelNode::Loop(host)] = kernel.body.as_slice() else { panic!("{kernel}") };
                assert_eq!((&*host.label, host.mode), ("t", LoopMode::Serial));
            }
        }
    }
}

#[test]
fn a_serial_loop_whose_launches_are_of_one_block_is_inside_it() {
    let script = "split i by 4; map i.1 to thread.x; split j by 8; map j.1 to thread.x";
    for (t, n) in [(3, 11), (1, 3), (2, 2), (0, 5)] {
        for bind in [false, true] {
            let kernel = launched(STENCIL, script, &[("T", t), ("N", n)], bind);
            if t * (n - 2) > 0 {
                let [block] = kernel.body.as_slice() else { panic!("{kernel}") };
                assert_eq!(places(block), [("block.x", Some(1))], "{kernel}");
            }
        }
    }
    // two launches of several blocks stay the host's
    let script = "split i by 4; map i.0 to block.x; map i.1 to thread.x; map j to thread.x";
    let kernel = launched(STENCIL, script, &[("T", 2), ("N", 9)], true);
    let [KernelNode::Loop(host)] = kernel.body.as_slice() else { panic!("{kernel}") };
    assert_eq!(host.mode, LoopMode::Serial, "{kernel}");
}

#[test]
fn blocks_of_a_triangle_are_over_the_hosts_loop() {
    let text = "param N
inout A: i32[N, N]
for k in 0..N {
  for i in k+1..N, j in k+1..N { S: A[i, j] += A[i, k] * A[k, j] order any }
}
";
    let script = "split i by 2; split j by 4; reorder i.0, j.0, i.1, j.1
map i.0 to block.y; map j.0 to block.x; map i.1 to thread.y; map j.1 to thread.x";
    let kernel = launched(text, script, &[("N", 9)], false);
    let [KernelNode::Loop(host)] = kernel.body.as_slice() else { panic!("{kernel}") };
    let all: Vec<_> = places(&host.body[0]);
    let length = |k: usize| all[k].1;
    assert_eq!(all.len(), 4, "{kernel}");
    assert_eq!((length(2), length(3)), (Some(2), Some(4)), "{kernel}");
}
