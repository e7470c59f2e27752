//! Operands of tensor cores that threads fill: rows of any length, conversions and expressions on
//! the way to shared memory. The block programs are sealed by the verifier, run in the interpreter
//! against the nest, and are assembled without spills.
//!
//! Data are small integers, so that every sum is exact in f32 and results must agree bit for bit.

use std::collections::BTreeMap;

use warploom::Schedule;
use warploom::compile;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};

/// Integers from -4 to 4.
fn integers(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    let count = shape.iter().product::<usize>();
    let value = |i: usize| (random_word(seed, i as u64) % 9) as f64 - 4.0;
    let values: Vec<f64> = (0..count).map(value).collect();
    Tensor::from_f64s(dtype, shape, &values).expect("small integers fit every type")
}

/// The kernel of a script for a nest, run by the interpreter, compared, and assembled.
fn check(text: &str, script: &str) -> String {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{e}\n{script}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let schedule = start.replay(&script).unwrap_or_else(|e| panic!("{}", e.diagnostic));
    agrees(&nest, &schedule)
}

fn agrees(nest: &Nest, schedule: &Schedule) -> String {
    let lowered = compile::lower(schedule).unwrap_or_else(|e| panic!("{e}"));
    let kernel = lowered.kernel();
    let text = kernel.to_string();
    assert!(kernel.has_block_program(), "{text}");
    assert_eq!(text.parse::<warploom::Kernel>().as_ref().ok(), Some(kernel), "{text}");
    let sizes = BTreeMap::<Name, i64>::new();
    let mut inputs = BTreeMap::new();
    for (seed, a) in (1..).zip(&nest.arrays) {
        let shape = a.shape.iter().map(|e| e.as_constant().expect("sizes are fixed"));
        let shape: Vec<usize> = shape.map(|e| usize::try_from(e).expect("positive")).collect();
        if matches!(a.role, Role::In | Role::InOut) {
            inputs.insert(a.name.clone(), integers(a.dtype, &shape, seed));
        }
    }
    let want = interp::nest::run(nest, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(kernel, &sizes, &inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{text}"));
    for (name, tensor) in &want {
        assert_eq!(tensor.bytes(), have[name].bytes(), "{name}\n{text}");
    }
    let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.contains("0 bytes spill stores") && !report.contains("C75"), "{report}\n{text}");
    text
}

/// `Out[m, n] = sum of A B`, where `a` and `b` say in which order the factors' indices are.
fn product(a: &str, b: &str, [m, n, k]: [i64; 3]) -> String {
    let size = |l: char| match l {
        'm' => m,
        'n' => n,
        _sum => k,
    };
    let shape = |labels: &str| labels.chars().map(|l| size(l).to_string()).collect::<Vec<_>>();
    let at = |labels: &str| labels.chars().map(String::from).collect::<Vec<_>>().join(", ");
    format!(
        "in A: bf16[{}]\nin B: bf16[{}]\nout Out: f32[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Out[m, n] = 0.0\n\
         for k in 0..{k} {{ S1: Out[m, n] += A[{}] * B[{}] order fixed }}\n}}\n}}\n",
        shape(a).join(", "),
        shape(b).join(", "),
        at(a),
        at(b),
    )
}

/// Tiles of 128 x 64, two warpgroups, operands filled as said.
fn script(stages: i64, a: &str, b: &str) -> String {
    format!(
        "tile m, n by 128, 64\ndistribute n.1\ndistribute m.1\nsplit k by 64\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 64\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Out at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         map As.0 to {a}\nmap Bs.0 to {b}\nmap S1.m.1.0 to warpgroup\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n64k16.f32.bf16.bf16\n\
         ring k.0 by {stages}\nmap n.0 to block.x\nmap m.0 to block.y\n"
    )
}

#[test]
fn rows_of_any_length() {
    for (a, b) in [("mk", "kn"), ("mk", "nk"), ("km", "kn"), ("km", "nk")] {
        let text = check(&product(a, b, [127, 129, 131]), &script(3, "thread.x", "thread.x"));
        assert!(!text.contains("tma"), "{text}");
        let text = check(&product(a, b, [300, 77, 50]), &script(2, "thread.x", "thread.x"));
        assert!(text.contains("over"), "{text}");
    }
}
