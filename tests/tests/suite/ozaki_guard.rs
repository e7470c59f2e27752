//! Emulated products of grade A on the CPU path: no element is off by more than (K + 2)·u·|A||B|,
//! for the matrices that the literature grades with and those that are made against fixed point;
//! and what is built like them: complex products, long sums in blocks, prepared operands.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use warploom::compile::{self, Program};
use warploom::ozaki::{Accuracy, Emulation, Operand, Options};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::tensor::{Tensor, random_word};

type Arrays = BTreeMap<Name, Tensor>;

const SPEC: &str = "mk,kn->mn";

fn made(options: &Options) -> Emulation {
    Emulation::new(SPEC, options).unwrap_or_else(|e| panic!("{e}"))
}

fn compiled(e: &Emulation) -> Program {
    let schedule =
        compile::auto(&e.nest().expect("its own text")).unwrap_or_else(|e| panic!("{e}"));
    compile::compile(&schedule).unwrap_or_else(|e| panic!("{e}"))
}

fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64s(dtype, shape, values).expect("as many")
}

fn run(program: &Program, inputs: &Arrays, [m, n, k]: [usize; 3]) -> Arrays {
    let of = |n: &str, v: usize| (Name::from(n), i64::try_from(v).expect("small"));
    let mut sizes = BTreeMap::from([of("M", m), of("N", n), of("K", k)]);
    sizes.retain(|name, _| program.kernel().params.contains(name));
    program.run_at(inputs, &sizes, Some(1)).unwrap_or_else(|e| panic!("{e}"))
}

fn unit(seed: u64, at: usize) -> f64 {
    (random_word(seed, at as u64) >> 11) as f64 * 2_f64.powi(-53)
}

fn normal(seed: u64, at: usize) -> f64 {
    let (u, v) = (1.0 - unit(seed, 2 * at), unit(seed, 2 * at + 1));
    (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
}

/// (rand - 0.5) exp(phi randn), with which papers grade emulated products.
fn graded(count: usize, phi: f64, seed: u64) -> Vec<f64> {
    (0..count).map(|at| (unit(seed, at) - 0.5) * (phi * normal(seed + 1000, at)).exp()).collect()
}

/// A sum of products to about 100 bits, and that of their magnitudes.
fn reference(pairs: impl Iterator<Item = (f64, f64)>) -> (f64, f64, f64) {
    let (mut high, mut low, mut magnitude) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (a, b) in pairs {
        let product = a * b;
        let rest = a.mul_add(b, -product);
        let sum = high + product;
        let part = sum - high;
        low += (high - (sum - part)) + (product - part) + rest;
        high = sum;
        magnitude += product.abs();
    }
    (high, low, magnitude)
}

/// The largest error in units of u·|A||B|.
fn worst(c: &Tensor, a: &[f64], b: &[f64], [m, n, k]: [usize; 3], dtype: DType) -> f64 {
    let u = if dtype == DType::F32 { 2_f64.powi(-24) } else { 2_f64.powi(-53) };
    let mut worst = 0.0_f64;
    for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
        let (high, low, all) = reference((0..k).map(|l| (a[i * k + l], b[l * n + j])));
        let error = ((c.get(&[i, j]).to_f64() - high) - low).abs();
        assert!(error.is_finite(), "[{i}, {j}]");
        if error > 0.0 {
            worst = worst.max(error / (u * all));
        }
    }
    worst
}

/// Runs a product of grade A: its worst element, and how many were summed natively.
fn grade(program: &Program, dtype: DType, a: &[f64], b: &[f64], shape: [usize; 3]) -> (f64, u64) {
    let [m, n, k] = shape;
    let inputs = BTreeMap::from([
        ("A".into(), tensor(dtype, &[m, k], a)),
        ("B".into(), tensor(dtype, &[k, n], b)),
    ]);
    let out = run(program, &inputs, shape);
    (worst(&out["C"], a, b, shape, dtype), out["native"].get_flat(0).to_f64() as u64)
}

fn counting(options: Options) -> Options {
    Options { counted: true, ..options }
}

#[test]
fn graded_matrices_have_grade_a() {
    for dtype in [DType::F64, DType::F32] {
        let program = compiled(&made(&counting(Options::grade_a(dtype))));
        let narrow = |v: Vec<f64>| match dtype {
            DType::F32 => v.iter().map(|x| f64::from(*x as f32)).collect(),
            _ => v,
        };
        for (case, k) in [1, 2, 3, 17, 127, 1000].into_iter().enumerate() {
            let shape @ [m, n, _] = [[1, 2, 3, 17, 4, 3][case], [3, 1, 17, 2, 5, 4][case], k];
            for phi in [0.0, 0.5, 1.0, 2.0, 4.0] {
                let seed = case as u64 * 10 + 1;
                let a = narrow(graded(m * k, phi, seed));
                let b = narrow(graded(k * n, phi, seed + 5));
                let (worst, native) = grade(&program, dtype, &a, &b, shape);
                assert!(worst <= (k + 2) as f64, "{dtype} {shape:?} {phi}: {worst}");
                // the guard lets emulation be where it is good, and no further
                if k >= 100 && phi <= 0.5 {
                    assert_eq!(native, 0, "{dtype} {shape:?} {phi}");
                }
                if k >= 100 && phi >= 4.0 {
                    assert_eq!(native, (m * n) as u64, "{dtype} {shape:?} {phi}");
                }
            }
            for (scale, other) in [(1.0, 1.0), (3.7, 2_f64.powi(-30)), (2_f64.powi(-40), 2.7e9)] {
                let of = |scale: f64, count, seed| {
                    narrow((0..count).map(|at| scale * normal(seed, at)).collect())
                };
                let (a, b) = (of(scale, m * k, 3), of(other, k * n, 4));
                let (worst, native) = grade(&program, dtype, &a, &b, shape);
                assert!(worst <= (k + 2) as f64, "{dtype} {shape:?} {scale}: {worst}");
                assert!(k < 100 || native == 0, "{dtype} {shape:?} {scale}: {native}");
            }
        }
    }
}

/// Rows are circular shifts of x·D and the columns D^-1·x, D powers of two over the whole range:
/// the matrices that tell fixed point from floating point (NVIDIA's and Demmel's tests). Row and
/// column norms say nothing of the sums.
fn against_fixed_point([m, n, k]: [usize; 3], steps: i32) -> (Vec<f64>, Vec<f64>) {
    let x: Vec<f64> = (0..k).map(|l| 1.0 + unit(9, l)).collect();
    let d = |l: usize| 2_f64.powi((random_word(10, l as u64) % 33) as i32 * steps - 16 * steps);
    let a = (0..m * k).map(|at| x[(at % k + at / k) % k] * d(at % k)).collect();
    let b = (0..k * n).map(|at| x[(at / n + at % n) % k] / d(at / n)).collect();
    (a, b)
}

#[test]
fn matrices_against_fixed_point_have_grade_a() {
    let guarded = compiled(&made(&counting(Options::grade_a(DType::F64))));
    let plain = Options { counted: false, guarded: false, ..Options::grade_a(DType::F64) };
    let plain = compiled(&made(&plain));
    let shape = [7, 6, 64];
    let [m, n, k] = shape;
    for steps in [1, 4, 25] {
        let (a, b) = against_fixed_point(shape, steps);
        let (worst_, native) = grade(&guarded, DType::F64, &a, &b, shape);
        assert!(worst_ <= (k + 2) as f64, "{steps}: {worst_}");
        assert!(steps < 4 || native == (m * n) as u64, "{steps}: {native}");
        let inputs = BTreeMap::from([
            ("A".into(), tensor(DType::F64, &[m, k], &a)),
            ("B".into(), tensor(DType::F64, &[k, n], &b)),
        ]);
        let c = &run(&plain, &inputs, shape)["C"];
        // the guard is what makes the difference
        let unguarded = worst(c, &a, &b, shape, DType::F64);
        assert!(steps < 4 || unguarded > 1e6, "{steps}: {unguarded}");
    }
    // magnitudes that meet nothing: left halves of rows, lower halves of columns
    let half = |at: usize, left: bool| if (at < k / 2) == left { 1.0 } else { 1e-9 };
    let a: Vec<f64> = (0..m * k).map(|at| normal(1, at) * half(at % k, true)).collect();
    let b: Vec<f64> = (0..k * n).map(|at| normal(2, at) * half(at / n, false)).collect();
    let (worst, native) = grade(&guarded, DType::F64, &a, &b, shape);
    assert!(worst <= (k + 2) as f64 && native == (m * n) as u64, "{worst} {native}");
    // complementary zeros: every sum is zero, exactly
    let a: Vec<f64> = a.iter().enumerate().map(|(at, v)| v * f64::from(at % k < k / 2)).collect();
    let b: Vec<f64> = b.iter().enumerate().map(|(at, v)| v * f64::from(at / n >= k / 2)).collect();
    assert!(grade(&guarded, DType::F64, &a, &b, shape).0 <= 0.0);
}

#[test]
fn one_wide_row_alone_is_summed_natively() {
    let program = compiled(&made(&counting(Options::grade_a(DType::F64))));
    let shape @ [m, n, k] = [9, 8, 256];
    let (mut a, b) = (graded(m * k, 0.0, 1), graded(k * n, 0.0, 2));
    for (l, v) in a[3 * k..4 * k].iter_mut().enumerate() {
        *v *= 2_f64.powi((l % 64) as i32 * 4);
    }
    let (worst, native) = grade(&program, DType::F64, &a, &b, shape);
    assert!(worst <= (k + 2) as f64, "{worst}");
    assert_eq!(native, n as u64);
    // rows of zeros are exact, and some zeros do no harm
    a[3 * k..4 * k].fill(0.0);
    for at in (0..m * k).step_by(11) {
        a[at] = 0.0;
    }
    let (worst, native) = grade(&program, DType::F64, &a, &b, shape);
    assert!(worst <= (k + 2) as f64 && native == 0, "{worst} {native}");
}

#[test]
fn special_values_are_those_of_the_native_product() {
    let program = compiled(&made(&counting(Options::grade_a(DType::F64))));
    let shape @ [m, n, k] = [8, 5, 40];
    let (mut a, mut b) = (graded(m * k, 0.0, 1), graded(k * n, 0.0, 2));
    a[k + 3] = f64::INFINITY;
    a[2 * k + 4] = f64::NAN;
    a[3 * k..4 * k].fill(-0.0);
    // subnormal rows: alone, beside normal numbers, and with products that underflow
    let least = f64::from_bits(1);
    for l in 0..k {
        a[4 * k + l] = least * (l + 1) as f64;
        a[5 * k + l] *= 2_f64.powi(-1015);
        a[6 * k + l] *= if l % 3 == 0 { 2_f64.powi(-1020) } else { 1.0 };
    }
    b[5 * n + 2] = f64::NEG_INFINITY;
    let inputs = BTreeMap::from([
        ("A".into(), tensor(DType::F64, &[m, k], &a)),
        ("B".into(), tensor(DType::F64, &[k, n], &b)),
    ]);
    let out = run(&program, &inputs, shape);
    for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
        let terms = || (0..k).map(|l| a[i * k + l] * b[l * n + j]);
        let (want, have) = (terms().sum::<f64>(), out["C"].get(&[i, j]).to_f64());
        let all: f64 = terms().map(f64::abs).sum();
        let near = (have - want).abs() <= 2.0 * (k + 2) as f64 * (2_f64.powi(-53) * all + least);
        let same = want.is_nan() && have.is_nan() || !want.is_nan() && have == want;
        assert!(if want.is_finite() { near } else { same }, "[{i}, {j}] {have:e} {want:e}");
        assert!(i != 3 || j == 2 || have.to_bits() == 0, "[{i}, {j}] a zero of {have}");
    }
}

/// Complex products, against both parts in twice the precision.
fn complex_error(c: &Tensor, a: &[f64], b: &[f64], [m, n, k]: [usize; 3]) -> f64 {
    let mut worst = 0.0_f64;
    for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
        let at = |l: usize| [2 * (i * k + l), 2 * (l * n + j)];
        let parts = |x: [usize; 4], sign: f64| {
            let of = move |l: usize, p: usize, q: usize| (a[at(l)[0] + p], b[at(l)[1] + q]);
            let first = (0..k).map(move |l| of(l, x[0], x[1]));
            let second = (0..k).map(move |l| of(l, x[2], x[3])).map(move |(a, b)| (sign * a, b));
            reference(first.chain(second))
        };
        let error = |part: usize, (high, low, _): (f64, f64, f64)| {
            (c.get(&[i, j, part]).to_f64() - high) - low
        };
        let real = error(0, parts([0, 0, 1, 1], -1.0));
        let imaginary = error(1, parts([0, 1, 1, 0], 1.0));
        let magnitude = |v: &[f64], at: usize| v[at].hypot(v[at + 1]);
        let all: f64 = (0..k).map(|l| magnitude(a, at(l)[0]) * magnitude(b, at(l)[1])).sum();
        if all > 0.0 {
            worst = worst.max(real.hypot(imaginary) / (2_f64.powi(-53) * all));
        }
    }
    worst
}

#[test]
fn complex_products_by_three_real_ones() {
    let options = Options { complex: true, ..counting(Options::grade_a(DType::F64)) };
    let program = compiled(&made(&options));
    for (shape, phi, emulated) in [
        ([3, 5, 200], 0.0, Some(true)),
        ([6, 4, 33], 1.0, None),
        ([2, 3, 150], 4.0, Some(false)),
        ([1, 1, 1], 0.5, None),
    ] {
        let [m, n, k] = shape;
        let (a, b) = (graded(2 * m * k, phi, 5), graded(2 * k * n, phi, 6));
        let inputs = BTreeMap::from([
            ("A".into(), tensor(DType::F64, &[m, k, 2], &a)),
            ("B".into(), tensor(DType::F64, &[k, n, 2], &b)),
        ]);
        let out = run(&program, &inputs, shape);
        let worst = complex_error(&out["C"], &a, &b, shape);
        assert!(worst <= (3 * k + 3) as f64, "{shape:?} {phi}: {worst}");
        let native = out["native"].get_flat(0).to_f64() as usize;
        if let Some(emulated) = emulated {
            assert_eq!(native, if emulated { 0 } else { m * n }, "{shape:?} {phi}");
        }
        let nest = made(&options).nest().expect("its own text");
        if k < 40 {
            let sizes = [("M", m), ("N", n), ("K", k)].map(|(n, v)| (Name::from(n), v as i64));
            let want = interp::nest::run(&nest, &BTreeMap::from(sizes), &inputs);
            assert_eq!(want.unwrap_or_else(|e| panic!("{e}"))["C"].bytes(), out["C"].bytes());
        }
    }
    // Gaussian integers are exact
    let plain = Options { complex: true, ..Options::new(DType::F64, Accuracy::Bits(53)) };
    let program = compiled(&made(&plain));
    let shape @ [m, n, k] = [4, 3, 57];
    let of = |count: usize, seed| -> Vec<f64> {
        (0..count).map(|at| (random_word(seed, at as u64) % 4001) as f64 - 2000.0).collect()
    };
    let (a, b) = (of(2 * m * k, 7), of(2 * k * n, 8));
    let inputs = BTreeMap::from([
        ("A".into(), tensor(DType::F64, &[m, k, 2], &a)),
        ("B".into(), tensor(DType::F64, &[k, n, 2], &b)),
    ]);
    assert!(complex_error(&run(&program, &inputs, shape)["C"], &a, &b, shape) <= 0.0);
}

#[test]
fn long_sums_are_exact_in_blocks() {
    let terms = 200_000;
    let options = Options { terms, ..Options::new(DType::F64, Accuracy::Moduli(6)) };
    let program = compiled(&made(&options));
    let shape @ [m, n, k] = [8, 8, 140_001];
    // residues of 127 modulo 255, whatever power of two rows are scaled by: their products do not
    // fit 31 bits
    let values = [127.0, 254.0, 253.0, 251.0, 247.0, 239.0, 223.0, 191.0];
    let a: Vec<f64> = (0..m * k).map(|at| values[at / k]).collect();
    let b: Vec<f64> = (0..k * n).map(|at| values[at % n]).collect();
    let inputs = BTreeMap::from([
        ("A".into(), tensor(DType::F64, &[m, k], &a)),
        ("B".into(), tensor(DType::F64, &[k, n], &b)),
    ]);
    let c = &run(&program, &inputs, shape)["C"];
    for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
        let want = values[i] * values[j] * k as f64;
        assert!((c.get(&[i, j]).to_f64() - want).abs() <= 0.0, "[{i}, {j}]");
    }
    let few = Options { terms: 1 << 30, ..options };
    assert_eq!(Emulation::new(SPEC, &few).expect_err("too long").code, "E0541");
    let several = Emulation::new("mkj,jkn->mn", &options);
    assert_eq!(several.expect_err("over several indices").code, "E0541");
}

#[test]
fn prepared_operands_give_the_same_bits() {
    let options = Options::grade_a(DType::F64);
    let shape @ [m, n, k] = [5, 7, 66];
    for operand in [Operand::A, Operand::B] {
        let [prepare, multiply] = Emulation::prepared(SPEC, &options, operand)
            .unwrap_or_else(|e| panic!("{e}"))
            .map(|e| compiled(&e));
        let (name, wide) = if operand == Operand::A { ("A", m * k) } else { ("B", k * n) };
        let dims = if operand == Operand::A { [m, k] } else { [k, n] };
        let mut fixed = graded(wide, 0.5, 3);
        fixed[4] = f64::INFINITY;
        let once = BTreeMap::from([(Name::from(name), tensor(DType::F64, &dims, &fixed))]);
        let form = run(&prepare, &once, shape);
        let whole = compiled(&made(&options));
        for seed in [1, 2, 3] {
            let (a, b) = (graded(m * k, 0.0, seed), graded(k * n, 1.0, seed));
            let mut inputs = BTreeMap::from([
                ("A".into(), tensor(DType::F64, &[m, k], &a)),
                ("B".into(), tensor(DType::F64, &[k, n], &b)),
            ]);
            inputs.extend(once.clone());
            let want = run(&whole, &inputs, shape);
            inputs.extend(form.clone());
            let have = run(&multiply, &inputs, shape);
            assert_eq!(want["C"].bytes(), have["C"].bytes(), "{name} {seed}");
        }
    }
}
