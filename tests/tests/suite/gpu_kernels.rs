//! Automatic GPU schedules: the sealed kernels compute what the nests say in every order of blocks
//! and threads, and `ptxas` assembles their PTX.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Schedule, Target, compile};
use warploom_ir::interp;
use warploom_ir::interp::kernel::{ParallelOrder, run_with};
use warploom_ir::kernel::{KernelNode, LoopMode};
use warploom_tests::{examples, random_inputs};

const GPUS: [Target; 3] = [Target::Sm80, Target::Sm90a, Target::Sm100a];

/// The nest with sizes: those of its text, or these in turn.
fn sized(text: &str, small: &[i64]) -> (Nest, BTreeMap<Name, i64>) {
    let nest: Nest = text.parse().unwrap_or_else(|d| panic!("{d}"));
    let values = nest.params.iter().zip(small.iter().cycle());
    let sizes = values.map(|(p, v)| (p.name.clone(), p.value.unwrap_or(*v))).collect();
    (nest, sizes)
}

fn scheduled(nest: &Nest) -> Schedule {
    compile::auto_for(nest, Target::Sm80).unwrap_or_else(|d| panic!("{d}"))
}

/// Runs the kernel of the automatic schedule against the nest.
fn same(name: &str, nest: &Nest, sizes: &BTreeMap<Name, i64>) -> Schedule {
    let schedule = scheduled(nest);
    let start = Schedule::new(nest).unwrap_or_else(|d| panic!("{d}"));
    let again = start.replay(schedule.script()).unwrap_or_else(|e| panic!("{}", e.diagnostic));
    assert_eq!(again, schedule, "the script makes the schedule");
    let lowered = compile::lower(&schedule).unwrap_or_else(|d| panic!("{name}: {d}"));
    let inputs = random_inputs(nest, sizes, 5);
    let want = interp::nest::run(nest, sizes, &inputs).expect("every access is in bounds");
    for order in [ParallelOrder::Reverse, ParallelOrder::Shuffled(11)] {
        let have =
            run_with(lowered.kernel(), sizes, &inputs, order).unwrap_or_else(|d| panic!("{d}"));
        for (array, tensor) in &want {
            let equal = tensor.bytes() == have[array].bytes();
            assert!(equal, "{array} of {name} at {sizes:?}, {order:?}\n{}", lowered.kernel());
        }
    }
    schedule
}

/// PTX for every GPU, assembled.
fn assembled(name: &str, schedule: &Schedule) {
    let lowered = compile::lower(schedule).unwrap_or_else(|d| panic!("{name}: {d}"));
    for target in GPUS {
        let code = lowered.gpu(target).unwrap_or_else(|d| panic!("{name}: {d}"));
        let said = compile::resources(&code).unwrap_or_else(|d| panic!("{name}: {d}"));
        assert!(!said.contains("C75"), "{name} for {target}: {said}");
        assert!(said.contains("registers"), "{said}");
    }
}

fn mapped(schedule: &Schedule) -> bool {
    schedule.tree().loops().iter().any(|l| l.marks.map.is_some())
}

#[test]
fn every_example_becomes_a_kernel_that_computes_the_same() {
    for example in examples() {
        let (nest, sizes) = sized(&example.text, &[5, 6, 7]);
        let schedule = same(&example.name, &nest, &sizes);
        assert!(mapped(&schedule), "{}", example.name);
    }
}

#[test]
fn every_example_assembles() {
    for example in examples() {
        let (nest, _) = sized(&example.text, &[5]);
        assembled(&example.name, &scheduled(&nest));
    }
}

const MATMUL: &str = "param M = SM, N = SN, K = SK\nin A: TYPE[M, K]\nin B: TYPE[K, N]
out C: TYPE[M, N]
for m in 0..M, n in 0..N {
  S0: C[m, n] = 0
  for k in 0..K { S1: C[m, n] += A[m, k] * B[k, n] }
}
";

fn product(dtype: &str, sizes: [&str; 3]) -> String {
    let [m, n, k] = sizes;
    MATMUL.replace("TYPE", dtype).replace("SM", m).replace("SN", n).replace("SK", k)
}

#[test]
fn products_of_every_type_assemble() {
    let types = ["f64", "f32", "tf32", "f16", "bf16", "e4m3", "e5m2"];
    let ints = ["i64", "u64", "i32", "u32", "i16", "u16", "i8", "u8"];
    for dtype in types.into_iter().chain(ints) {
        let nest: Nest = product(dtype, ["300", "256", "64"]).parse().unwrap();
        assembled(dtype, &scheduled(&nest));
    }
}

#[test]
fn products_of_whole_and_ragged_tiles_compute_the_same() {
    for sizes in [["32", "128", "16"], ["33", "130", "2"], ["1", "1", "1"], ["31", "5", "4"]] {
        let (nest, values) = sized(&product("i32", sizes), &[1]);
        let schedule = same("matmul", &nest, &values);
        let kernel = compile::lower(&schedule).unwrap();
        let text = kernel.kernel().to_string();
        let whole = sizes == ["32", "128", "16"] || sizes == ["1", "1", "1"];
        assert_eq!(text.contains("if "), !whole, "guards only where tiles are partial\n{text}");
    }
}

#[test]
fn many_independent_loops_all_run_on_blocks_and_threads() {
    let text = "param A = 2, B = 3, C = 4, D = 40\nin X: i32[A, B, C, D]\nout Y: i32[A, B, C, D]
for a in 0..A, b in 0..B, c in 0..C, d in 0..D { S: Y[a, b, c, d] = 2 * X[a, b, c, d] }\n";
    let (nest, sizes) = sized(text, &[1]);
    let schedule = same("four", &nest, &sizes);
    let loops = schedule.tree().loops().into_iter();
    let left = loops.filter(|l| l.marks.map.is_none() && !l.marks.unroll);
    let serial: Vec<_> = left.map(|l| &l.name).collect();
    assert!(serial.is_empty(), "{serial:?}\n{}", schedule.script());
    assembled("four", &schedule);
}

#[test]
fn the_contiguous_loop_runs_along_the_threads_of_a_warp() {
    for (access, want) in [("X[i, j]", "j"), ("X[j, i]", "i")] {
        let text = format!(
            "param N = 512\nin X: f32[N, N]\nout Y: f32[N, N]
for i in 0..N, j in 0..N {{ S: Y{} = 2 * {access} }}\n",
            &access[1..]
        );
        let nest: Nest = text.parse().unwrap();
        let schedule = scheduled(&nest);
        let lowered = compile::lower(&schedule).unwrap();
        let mut node = &lowered.kernel().body[0];
        let mut found = None;
        while let KernelNode::Loop(l) = node {
            if matches!(l.mode, LoopMode::Mapped(p) if p.name() == "thread.x") {
                found = Some(l.label.to_string());
            }
            node = &l.body[0];
        }
        assert_eq!(found.as_deref(), Some(&*format!("{want}.1.0")), "{}", lowered.kernel());
    }
}
