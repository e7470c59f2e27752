//! Ozaki schemes as nests on tensor cores: automatic schedules of the examples are block programs,
//! and compute what the nests say bit for bit (`ozaki_accuracy.rs` has what the nests promise).

use std::collections::BTreeMap;

use warploom::compile;
use warploom::ozaki::{Accuracy, Emulation, Options};
use warploom::resources::Resources;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};
use warploom_tests::tensor::replayed;

const DGEMM: &str = include_str!("../../../examples/nests/ozaki2_dgemm.nest");
const SGEMM: &str = include_str!("../../../examples/nests/ozaki2_sgemm.nest");
const INT8: &str = include_str!("../../../examples/nests/ozaki2_int8.nest");

/// Outputs of a nest's automatic schedule for sm_90a, which must be those of the nest.
fn run(text: &str, [m, n, k]: [usize; 3], inputs: &BTreeMap<Name, Tensor>) -> Tensor {
    let text = text.replacen("param M, N, K", &format!("param M = {m}, N = {n}, K = {k}"), 1);
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let schedule = compile::auto_for(&nest, Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    let script = schedule.script().to_string();
    assert!(script.contains("i32.i8.i8"), "{script}");
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    assert!(lowered.kernel().has_block_program(), "{}", lowered.kernel());
    let want = interp::nest::run(&nest, &BTreeMap::new(), inputs).unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{}", lowered.kernel()));
    assert_eq!(want["C"].bytes(), have["C"].bytes());
    let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
    assert!(!report.contains("C75"), "{report}");
    // of other kernels the assembler may spill a few bytes to have more blocks run at once
    let programs = Resources::of(&code, Some(&report)).into_iter().filter(|f| f.shared_bytes > 0);
    for program in programs {
        assert_eq!(program.spilled, Some(0), "{program:?}");
    }
    have["C"].clone()
}

/// Scheme I: all pairs of slices of a tile in one block, one after the other.
const PAIRS: &str = "tile G0.m, G0.n by 128, 128
reorder G0.m.0, G0.n.0, G0.p, G0.q, G0.m.1, G0.n.1
distribute G0.n.1
distribute G0.m.1
split G1.k by 64
reorder G1.k.0, G1.m.1, G1.n.1, G1.k.1
split G1.m.1 by 64
split G1.k.1 by 16
reorder G1.k.0, G1.m.1.0, G1.k.1.0, G1.m.1.1, G1.n.1, G1.k.1.1
stage T at G0.q
stage SA at G1.k.0 as As
stage SB at G1.k.0 as Bs
map As.0 to tma
map Bs.0 to tma
map G1.m.1.0 to warpgroup
tensorize G1.m.1.1, G1.n.1, G1.k.1.1 with wgmma.m64n128k16.f32.bf16.bf16
ring G1.k.0 by 3
map G0.n.0 to block.x
map G0.m.0 to block.y
";

#[test]
fn pairs_of_slices_run_in_one_block() {
    let [m, n, k] = [40, 136, 136];
    let text = include_str!("../../../examples/nests/ozaki1_bf16.nest");
    let sizes = format!("param M = {m}, N = {n}, K = {k}");
    let (nest, schedule) = replayed(&text.replacen("param M, N, K", &sizes, 1), PAIRS);
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let kernel = lowered.kernel().to_string();
    // four slices, ten pairs: loops over q of four lengths
    for (lower, upper) in [(0, 4), (0, 3), (0, 2), (0, 1)] {
        assert!(kernel.contains(&format!("in {lower}..{upper} label G0.q")), "{kernel}");
    }
    let random = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).expect("small");
    let inputs =
        BTreeMap::from([("A".into(), random(&[m, k], 1)), ("B".into(), random(&[k, n], 2))]);
    let want = interp::nest::run(&nest, &BTreeMap::new(), &inputs);
    let want = want.unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    assert_eq!(want["C"].bytes(), have["C"].bytes());
    let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
    assert!(!report.contains("C75"), "{report}");
}

#[test]
fn doubles_and_floats_from_moduli_run_on_tensor_cores() {
    for (text, dtype, [m, n, k]) in [
        (DGEMM, DType::F64, [24, 40, 48]),
        (DGEMM, DType::F64, [3, 1, 65]),
        (SGEMM, DType::F32, [5, 24, 33]),
    ] {
        let random = |shape: &[usize], seed| Tensor::random(dtype, shape, seed).expect("small");
        let a = random(&[m, k], 1);
        let mut a: Vec<f64> = (0..m * k).map(|at| a.get_flat(at).to_f64()).collect();
        // the last launch sums up what is no number
        a[k + 5] = f64::INFINITY;
        let a = Tensor::from_f64s(dtype, &[m, k], &a).expect("as many");
        let inputs = BTreeMap::from([("A".into(), a), ("B".into(), random(&[k, n], 2))]);
        let c = run(text, [m, n, k], &inputs);
        assert!((0..n).all(|j| !c.get(&[1, j]).to_f64().is_finite()));
        assert!((0..n).all(|j| c.get(&[0, j]).to_f64().is_finite()));
    }
}

#[test]
fn transposed_operands_run_on_tensor_cores() {
    let [m, n, k] = [40, 24, 48];
    let options = Options::new(DType::F64, Accuracy::Moduli(5));
    let e = Emulation::new("km,nk->mn", &options).unwrap_or_else(|e| panic!("{e}"));
    let random = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).expect("small");
    let inputs =
        BTreeMap::from([("A".into(), random(&[k, m], 1)), ("B".into(), random(&[n, k], 2))]);
    run(&e.text, [m, n, k], &inputs);
}

#[test]
fn products_of_grade_a_run_on_tensor_cores() {
    let [m, n, k] = [24, 40, 48];
    let options = Options { guarded: true, ..Options::new(DType::F64, Accuracy::Moduli(15)) };
    let e = Emulation::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
    let random = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).expect("small");
    let a = random(&[m, k], 1);
    let mut a: Vec<f64> = (0..m * k).map(|at| a.get_flat(at).to_f64()).collect();
    // one row that is summed natively
    for (l, v) in a[k..2 * k].iter_mut().enumerate() {
        *v *= 2_f64.powi(20 * (l % 16) as i32);
    }
    let a = Tensor::from_f64s(DType::F64, &[m, k], &a).expect("as many");
    let inputs = BTreeMap::from([("A".into(), a), ("B".into(), random(&[k, n], 2))]);
    run(&e.text, [m, n, k], &inputs);
}

#[test]
fn complex_products_run_on_tensor_cores() {
    let [m, n, k] = [9, 24, 33];
    let options = Options { complex: true, ..Options::new(DType::F64, Accuracy::Moduli(5)) };
    let e = Emulation::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
    let random = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).expect("small");
    let inputs =
        BTreeMap::from([("A".into(), random(&[m, k, 2], 1)), ("B".into(), random(&[k, n, 2], 2))]);
    run(&e.text, [m, n, k], &inputs);
}

/// Sums of several blocks; those of few results are cut into parts, which these cannot be.
#[test]
fn long_sums_are_block_programs() {
    let options = Options { terms: 400_000, ..Options::new(DType::F64, Accuracy::Moduli(4)) };
    let e = Emulation::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
    for size in [256, 1024] {
        let sizes = format!("param M = {size}, N = {size}, K = 200000");
        let nest: Nest =
            e.text.replacen("param M, N, K", &sizes, 1).parse().unwrap_or_else(|e| panic!("{e}"));
        let schedule = compile::auto_for(&nest, Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        assert!(lowered.kernel().has_block_program(), "{}", lowered.kernel());
    }
}

#[test]
fn integers_from_three_moduli_are_exact() {
    let [m, n, k] = [40, 24, 80];
    let of = |shape: &[usize], seed| {
        let count = shape.iter().product::<usize>();
        let value = |i: usize| (random_word(seed, i as u64) % 255) as f64 - 127.0;
        let values: Vec<f64> = (0..count).map(value).collect();
        Tensor::from_f64s(DType::I32, shape, &values).expect("as many")
    };
    let (a, b) = (of(&[m, k], 1), of(&[k, n], 2));
    let inputs = BTreeMap::from([("A".into(), a.clone()), ("B".into(), b.clone())]);
    let c = run(INT8, [m, n, k], &inputs);
    for (i, j) in (0..m * n).map(|e| (e / n, e % n)) {
        let pairs = (0..k).map(|l| a.get(&[i, l]).to_f64() * b.get(&[l, j]).to_f64());
        assert!((c.get(&[i, j]).to_f64() - pairs.sum::<f64>()).abs() < 0.5, "[{i}, {j}]");
    }
}
