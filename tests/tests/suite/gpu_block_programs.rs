//! Block programs on a GPU: the hand-written products against sums in f64, their speed, and every
//! matrix instruction against its declaration. Without a GPU these tests say so and pass.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use warploom::compile;
use warploom::device::{Device, LoadedProgram, time_launches};
use warploom::ozaki::{Pairs, SliceOptions, Sliced};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::numerics::Adder;
use warploom_ir::instruction::{Action, matrix_instructions};
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};
use warploom_ir::value::Scalar;
use warploom_tests::instructions as one;
use warploom_tests::programs::PersistentProduct;

const MMA: &str = include_str!("../../../examples/kernels/gemm_mma.kernel");
const BF16: &str = include_str!("../../../examples/kernels/gemm_wgmma_bf16.kernel");
const MULTICAST: &str = include_str!("../../../examples/kernels/gemm_wgmma_multicast.kernel");
const WGMMA: &str = include_str!("../../../examples/kernels/gemm_wgmma.kernel");

/// The first GPU for this test alone, as some take its time; or a line that says why the test is
/// skipped.
fn gpu(test: &str) -> Option<(Device, Target, MutexGuard<'static, ()>)> {
    static ALONE: Mutex<()> = Mutex::new(());
    match Device::open(0) {
        Ok(device) => {
            let target = device.info().target().expect("an opened device has one");
            Some((device, target, ALONE.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        Err(d) => {
            assert!(matches!(d.code, "E1110" | "E1116"), "{d}");
            println!("skipped {test}: {}", d.message);
            None
        }
    }
}

fn load(device: &Device, target: Target, text: &str) -> LoadedProgram {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let sealed = compile::kernel(kernel).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let code = sealed.gpu(target).unwrap_or_else(|e| panic!("{e}"));
    device.load(&code).unwrap_or_else(|e| panic!("{e}\n{}", code.ptx))
}

fn sizes([m, n, k]: [usize; 3]) -> BTreeMap<Name, i64> {
    let size = |v: usize| i64::try_from(v).expect("a small size");
    BTreeMap::from([("M".into(), size(m)), ("N".into(), size(n)), ("K".into(), size(k))])
}

fn inputs([m, n, k]: [usize; 3], seed: u64) -> BTreeMap<Name, Tensor> {
    let of = |rows, seed| Tensor::random(DType::Bf16, &[rows, k], seed).expect("it fits");
    BTreeMap::from([("A".into(), of(m, seed)), ("B".into(), of(n, seed + 1))])
}

/// Compares `samples` elements (all where there are fewer) with sums in f64; gives the largest
/// error in units of the sum of absolute products.
fn worst(inputs: &BTreeMap<Name, Tensor>, c: &Tensor, samples: usize) -> f64 {
    let ([m, n], k) = ([c.shape()[0], c.shape()[1]], inputs["A"].shape()[1]);
    let at = |array: &str, i: usize| inputs[array].get_flat(i).to_f64();
    let all = m * n;
    let mut worst = 0.0_f64;
    for sample in 0..all.min(samples) {
        let place = if all <= samples {
            sample
        } else {
            usize::try_from(random_word(9, sample as u64) % all as u64).expect("below all")
        };
        let (i, j) = (place / n, place % n);
        let pairs = (0..k).map(|l| at("A", i * k + l) * at("B", j * k + l));
        let (sum, size) = pairs.fold((0.0, 0.0), |(s, t), p| (s + p, t + p.abs()));
        let found = c.get_flat(place).to_f64();
        assert!(found.is_finite(), "[{i}, {j}] is {found}: it was not written");
        let rounding = if c.dtype() == DType::Bf16 { sum.abs() / 256.0 } else { 0.0 };
        worst = worst.max(((found - sum).abs() - rounding) / size);
    }
    worst
}

const SHAPES: [[usize; 3]; 9] = [
    [128, 256, 64],
    [256, 512, 512],
    [1, 8, 8],
    [127, 136, 136],
    [300, 504, 776],
    [64, 64, 8192],
    [2048, 2048, 64],
    [1024, 1024, 1024],
    [2048, 4096, 4096],
];

fn product(name: &str, text: &str, fits: fn(Target) -> bool) {
    let Some((device, target, _alone)) = gpu(name) else { return };
    if !fits(target) {
        return println!("skipped {name}: it is not for {target}");
    }
    let program = load(&device, target, text);
    for shape in SHAPES {
        let inputs = inputs(shape, 1);
        let first = program.run(&inputs, &sizes(shape)).unwrap_or_else(|e| panic!("{e}"));
        let error = worst(&inputs, &first["C"], 4_000);
        println!("{name} {shape:?}: largest error {error:.2e} of the sum of absolute products");
        assert!(error < 1e-5, "{name} {shape:?}: {error}");
        for _ in 0..2 {
            let again = program.run(&inputs, &sizes(shape)).unwrap_or_else(|e| panic!("{e}"));
            assert!(again["C"] == first["C"], "{name} {shape:?}: other bits on another run");
        }
    }
    let wrong =
        program.run(&inputs([64, 64, 77], 1), &sizes([64, 64, 77])).expect_err("rows of 154 bytes");
    assert_eq!(wrong.code, "E1102", "{wrong}");
    for n in [1024, 2048, 4096] {
        speed(name, &program, [n; 3], &sizes([n; 3]));
    }
}

fn speed(name: &str, program: &LoadedProgram, shape: [usize; 3], sizes: &BTreeMap<Name, i64>) {
    // more than the cache holds
    let sets = if shape.iter().all(|n| *n >= 8192) { 1 } else { 3 };
    let bound: Vec<_> = (0..sets)
        .map(|set| {
            let arrays = program.arrays(&inputs(shape, 10 + 2 * set), sizes);
            program.bind(&arrays.unwrap_or_else(|e| panic!("{e}")), sizes)
        })
        .collect::<Result<_, _>>()
        .unwrap_or_else(|e| panic!("{e}"));
    let times = time_launches(&bound, 10, 40).unwrap_or_else(|e| panic!("{e}"));
    let work: f64 = shape.iter().map(|n| *n as f64).product();
    let rate = |t: Duration| 2.0 * work / t.as_secs_f64() / 1e12;
    println!(
        "{name} {}: median {:?}, {:.0} TFLOP/s (p10 {:.0}, p90 {:.0}), n = {}",
        shape[0],
        times.median,
        rate(times.median),
        rate(times.p90),
        rate(times.p10),
        times.runs
    );
}

#[test]
fn products_by_warps() {
    product("gemm_mma", MMA, |_| true);
}

#[test]
fn products_by_warpgroups() {
    product("gemm_wgmma", WGMMA, |target| target == Target::Sm90a);
}

#[test]
fn products_in_clusters() {
    product("gemm_wgmma_multicast", MULTICAST, |target| target == Target::Sm90a);
}

#[test]
fn products_by_warpgroups_through_shared_memory() {
    product("gemm_wgmma_bf16", BF16, |target| target == Target::Sm90a);
}

/// The persistent product in clusters: a kernel for each size, as tiles are grouped by divisions.
#[test]
fn persistent_products() {
    let name = "gemm_wgmma_cluster";
    let Some((device, target, _alone)) = gpu(name) else { return };
    if target != Target::Sm90a {
        return println!("skipped {name}: it is not for {target}");
    }
    let of = |[m, n, k]: [usize; 3]| {
        let size = |v: usize| i64::try_from(v).expect("a small size");
        load(&device, target, &PersistentProduct::large(size(m), size(n), size(k)).text())
    };
    for shape in [[128, 256, 64], [300, 504, 776], [64, 8, 8192], [2048, 4096, 4096]] {
        let (program, inputs) = (of(shape), inputs(shape, 1));
        let first = program.run(&inputs, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
        let error = worst(&inputs, &first["C"], 4_000);
        println!("{name} {shape:?}: largest error {error:.2e} of the sum of absolute products");
        assert!(error < 1e-5, "{name} {shape:?}: {error}");
        for _ in 0..10 {
            let again = program.run(&inputs, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
            assert!(again["C"] == first["C"], "{name} {shape:?}: other bits on another run");
        }
    }
    for n in [1024, 2048, 4096, 8192] {
        speed(name, &of([n; 3]), [n; 3], &BTreeMap::new());
    }
}

/// Exact sums of slices add up in registers of 64 bits beside asynchronous products: the bits are
/// those of the CPU path.
#[test]
fn totals_stay_in_registers() {
    let Some((device, target, _alone)) = gpu("totals_stay_in_registers") else { return };
    if target != Target::Sm90a {
        return println!("skipped totals_stay_in_registers: it is not for {target}");
    }
    let grouped = SliceOptions { grouped: true, ..SliceOptions::new(5, DType::I8, 4096) };
    for options in [SliceOptions::new(4, DType::Bf16, 4096), grouped] {
        let slices = Sliced::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
        for [m, n, k] in [[256, 256, 2048], [300, 200, 1104]] {
            let at = format!("param M = {m}, N = {n}, K = {k}");
            let nest: Nest = slices.text.replacen("param M, N, K", &at, 1).parse().unwrap();
            let (schedule, pairs) = slices.schedule(&nest, target).unwrap();
            assert!(matches!(pairs, Pairs::Together { .. }), "{pairs:?}");
            let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
            let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
            let program = device.load(&code).unwrap_or_else(|e| panic!("{e}"));
            let of = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).unwrap();
            let inputs =
                BTreeMap::from([("A".into(), of(&[m, k], 1)), ("B".into(), of(&[k, n], 2))]);
            let cpu = compile::auto(&nest).and_then(|s| compile::compile(&s)).unwrap();
            let want = cpu.run_at(&inputs, &BTreeMap::new(), Some(8)).unwrap();
            for _ in 0..3 {
                let have = program.run(&inputs, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
                assert!(have["C"] == want["C"], "{options:?} {m} {n} {k}");
            }
        }
    }
}

/// Each instruction is executed; its result is within its adder's bound of the declaration, and the
/// table at the end says for how many elements the bits are those of the model.
#[test]
fn instructions_are_what_they_declare() {
    let Some((device, target, _alone)) = gpu("instructions") else { return };
    let (mut elements, mut differ, mut bad) = (0_usize, BTreeMap::new(), Vec::new());
    for instruction in matrix_instructions() {
        let Action::Matrix(m) = instruction.action else { continue };
        if !instruction.targets.contains(&target) || ![8, 24, 64, 256].contains(&m.n) {
            continue;
        }
        for layout in one::layouts(&m) {
            let program = load(&device, target, &one::kernel(instruction, &m, layout));
            let inputs = one::inputs(&m, layout, 3);
            let found = program.run(&inputs, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
            let found = &found["D"];
            for (at, want) in one::expected(&m, layout, &inputs).into_iter().enumerate() {
                elements += 1;
                let have = found.get_flat(at);
                if have.same(want) {
                    continue;
                }
                let types =
                    format!("{} {} {} {}", if m.shared { "wgmma" } else { "mma" }, m.acc, m.a, m.b);
                *differ.entry(types).or_insert(0_usize) += 1;
                let size = one::magnitude(&m, layout, &inputs, at);
                let error = (have.to_f64() - want.to_f64()).abs();
                let bound = 2.0 * m.adder.error_bound(m.k, m.acc) * size;
                if one::exact(&m) || error.is_nan() || error > bound {
                    bad.push(format!("{} {layout:?} [{at}]: {have}, not {want}", instruction.name));
                    break;
                }
            }
        }
    }
    println!("{elements} elements; bits that differ from the model of the adder: {differ:?}");
    assert!(
        bad.is_empty(),
        "{} wrong, such as\n{}",
        bad.len(),
        bad[..bad.len().min(20)].join("\n")
    );
}

/// Instructions that are declared to add in order give the bits of fused multiply-adds of their
/// terms one after the other, from the accumulator on: what lets them take sums in the order of the
/// text (decision 0037). Random numbers of many magnitudes, so that any other order shows.
#[test]
fn sums_of_f64_are_chains_of_fused_multiply_adds() {
    let Some((device, target, _alone)) = gpu("sums in order") else { return };
    let wide = |word: u64| {
        let mantissa = 1.0 + (word >> 12) as f64 / (1_u64 << 52) as f64;
        let sign = if word & 1 == 0 { 1.0 } else { -1.0 };
        sign * mantissa * 2.0_f64.powi((word >> 1 & 63) as i32 - 32)
    };
    for instruction in matrix_instructions() {
        let Action::Matrix(m) = instruction.action else { continue };
        if m.adder != Adder::Sequential || !instruction.targets.contains(&target) {
            continue;
        }
        let layout = one::layouts(&m)[0];
        let program = load(&device, target, &one::kernel(instruction, &m, layout));
        let (mut elements, mut backwards) = (0_usize, 0_usize);
        for seed in 0..200 {
            let mut inputs = one::inputs(&m, layout, 3);
            for (array, tensor) in (0..).zip(inputs.values_mut()) {
                for i in 0..tensor.shape().iter().product() {
                    let word = random_word(2 * seed + array, i as u64);
                    tensor.set_flat(i, Scalar::f64(wide(word)));
                }
            }
            let found = program.run(&inputs, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
            for (at, want) in one::expected(&m, layout, &inputs).into_iter().enumerate() {
                let have = found["D"].get_flat(at);
                assert!(have.same(want), "{} [{at}]: {have}, not {want}", instruction.name);
                elements += 1;
            }
            let turned = one::backwards(&m, &inputs);
            let differ = one::expected(&m, layout, &turned).into_iter().enumerate();
            backwards += differ.filter(|(at, v)| !found["D"].get_flat(*at).same(*v)).count();
        }
        assert!(backwards > elements / 4, "the numbers tell orders apart: {backwards}");
        println!("{}: {elements} elements have the bits of the chain", instruction.name);
    }
}

#[test]
fn matrices_are_transposed() {
    let Some((device, target, _alone)) = gpu("matrices_are_transposed") else { return };
    if !matches!(target, Target::Sm90a | Target::Sm100a | Target::Sm103a) {
        return println!("skipped: it needs a copy engine");
    }
    let a = Tensor::random(DType::Bf16, &[64, 64], 5).unwrap();
    for panel in [16, 32, 64, 128] {
        let program = load(&device, target, &one::transposition(panel));
        let found = program.run(&BTreeMap::from([("A".into(), a.clone())]), &BTreeMap::new());
        let found = found.unwrap_or_else(|e| panic!("{e}"));
        for at in 0..64 * 64 {
            let (i, j) = (at / 64, at % 64);
            assert_eq!(found["C"].get(&[i, j]), a.get(&[j, i]), "{panel} [{i}, {j}]");
        }
    }
}
