//! Emulated products (`warploom ozaki`) on the CPU path and in the interpreter: the bound that is
//! printed holds for random, graded and badly scaled matrices, integers are exact, infinities and
//! NaNs go where a product has them, and scaling by powers of two changes no bit.

use std::collections::BTreeMap;

use warploom::compile::{self, Program};
use warploom::ozaki::{Accuracy, Emulation, Options};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::tensor::{Tensor, random_word};

type Arrays = BTreeMap<Name, Tensor>;

fn emulation(spec: &str, dtype: DType, accuracy: Accuracy) -> Emulation {
    let options = Options::new(dtype, accuracy);
    Emulation::new(spec, &options).unwrap_or_else(|e| panic!("{e}"))
}

/// Compiled for all sizes.
fn compiled(e: &Emulation) -> Program {
    let schedule =
        compile::auto(&e.nest().expect("its own text")).unwrap_or_else(|e| panic!("{e}"));
    compile::compile(&schedule).unwrap_or_else(|e| panic!("{e}"))
}

fn sizes([m, n, k]: [usize; 3]) -> BTreeMap<Name, i64> {
    let of = |n: &str, v: usize| (n.into(), i64::try_from(v).expect("small"));
    BTreeMap::from([of("M", m), of("N", n), of("K", k)])
}

fn arrays(dtype: DType, [m, n, k]: [usize; 3], a: &[f64], b: &[f64]) -> Arrays {
    let tensor = |shape: &[usize], v: &[f64]| Tensor::from_f64s(dtype, shape, v).expect("as many");
    BTreeMap::from([("A".into(), tensor(&[m, k], a)), ("B".into(), tensor(&[k, n], b))])
}

fn on_cpu(program: &Program, inputs: &Arrays, shape: [usize; 3]) -> Tensor {
    let out = program.run_at(inputs, &sizes(shape), Some(1));
    out.unwrap_or_else(|e| panic!("{e}")).remove("C").expect("the result")
}

/// Integers times powers of two, so that products are known exactly: element (i, k) of A is
/// `a` · 2^(row(i) + grade(k)), element (k, j) of B is `b` · 2^(column(j) - grade(k)).
struct Case {
    shape: [usize; 3],
    a: Vec<i64>,
    b: Vec<i64>,
    scales: [Vec<i32>; 2],
    grade: Vec<i32>,
}

impl Case {
    /// A random one, of integers up to 2^bits of magnitudes that differ by up to 2^spread.
    fn random(seed: u64, bits: u64) -> Self {
        let word = |k: u64| random_word(seed, k);
        let pick = |k: u64, of: &[usize]| of[(word(k) % of.len() as u64) as usize];
        let shape = [
            pick(1, &[1, 2, 3, 5, 9]),
            pick(2, &[1, 2, 4, 7]),
            pick(3, &[1, 2, 3, 16, 17, 64, 129]),
        ];
        let spread = [0, 4, bits / 2, bits][(word(4) % 4) as usize];
        let sparse = word(5) % 4 == 0;
        let integer = |at: u64| {
            let w = word(100 + at);
            let kept = bits - w % (spread + 1);
            let magnitude = (w >> 12 & ((1 << kept) - 1)).cast_signed();
            let zero = sparse && w >> 8 & 1 == 0;
            if zero {
                0
            } else if w >> 9 & 1 == 0 {
                magnitude
            } else {
                -magnitude
            }
        };
        // f32 has numbers up to 2^127
        let wide = bits > 24;
        let range = [0, 3, if wide { 40 } else { 20 }][(word(6) % 3) as usize];
        let power = |at: u64| (word(50_000 + at) % (2 * range + 1)) as i32 - range as i32;
        let [m, n, k] = shape.map(|n| n as u64);
        // grades that a permuted diagonal would give
        let steep = [0, 0, 1, if wide { 9 } else { 2 }][(word(7) % 4) as usize];
        Self {
            shape,
            a: (0..m * k).map(integer).collect(),
            b: (0..k * n).map(|at| integer(20_000 + at)).collect(),
            scales: [(0..m).map(power).collect(), (0..n).map(|j| power(1000 + j)).collect()],
            grade: (0..k).map(|k| steep * (word(60_000 + k) % 17) as i32).collect(),
        }
    }

    fn numbers(&self) -> (Vec<f64>, Vec<f64>) {
        let [_, n, k] = self.shape;
        let scaled = |v: i64, e: i32| v as f64 * 2_f64.powi(e);
        let a = self.a.iter().enumerate();
        let b = self.b.iter().enumerate();
        (
            a.map(|(e, v)| scaled(*v, self.scales[0][e / k] + self.grade[e % k])).collect(),
            b.map(|(e, v)| scaled(*v, self.scales[1][e % n] - self.grade[e / n])).collect(),
        )
    }

    /// Panics where an element is off by more than the bound that was promised.
    fn holds(&self, c: &Tensor, e: &Emulation, what: &str) {
        let [m, n, k] = self.shape;
        let (a, b) = self.numbers();
        let norms = |v: &[f64]| {
            [v.iter().map(|x| x * x).sum::<f64>().sqrt(), v.iter().map(|x| x.abs()).sum()]
        };
        for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
            let column: Vec<f64> = (0..k).map(|l| b[l * n + j]).collect();
            let ([a2, a1], [b2, b1]) = (norms(&a[i * k..][..k]), norms(&column));
            let product = |l: usize| i128::from(self.a[i * k + l]) * i128::from(self.b[l * n + j]);
            let sum: i128 = (0..k).map(product).sum();
            let scale = 2_f64.powi(self.scales[0][i] + self.scales[1][j]);
            let found = c.get(&[i, j]).to_f64() / scale;
            // in integers where they hold it, so that the difference is exact
            let error = if found.abs() < 2_f64.powi(100) {
                (sum - found.round() as i128) as f64 - (found - found.round())
            } else {
                sum as f64 - found
            };
            let cut = 1.01 * 2_f64.powf(-e.bits) * (a2 * b1 + a1 * b2);
            let bound = cut + e.rest * a2 * b2;
            assert!(
                error.abs() * scale <= bound,
                "{what} [{i}, {j}] {found:e}: {error:e} {bound:e}"
            );
            assert!(bound > 0.0 || found == 0.0, "{what}: zeros give zeros");
        }
    }
}

#[test]
fn the_bound_holds_for_random_and_graded_matrices() {
    for (dtype, moduli, bits, cases) in [
        (DType::F64, 14, 44, 400),
        (DType::F64, 15, 44, 60),
        (DType::F64, 9, 30, 60),
        (DType::F64, 20, 44, 60),
        (DType::F32, 7, 23, 200),
        (DType::F32, 8, 23, 60),
    ] {
        let e = emulation("mk,kn->mn", dtype, Accuracy::Moduli(moduli));
        let program = compiled(&e);
        let nest = e.nest().expect("its own text");
        for seed in 0..cases {
            let case = Case::random(seed, bits);
            let (a, b) = case.numbers();
            let inputs = arrays(dtype, case.shape, &a, &b);
            let what = format!("{dtype} {moduli} {seed} {:?}", case.shape);
            let c = on_cpu(&program, &inputs, case.shape);
            case.holds(&c, &e, &what);
            if seed % 20 == 0 && case.shape[2] < 100 {
                let sizes = sizes(case.shape);
                let want = interp::nest::run(&nest, &sizes, &inputs);
                let want = want.unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(want["C"].bytes(), c.bytes(), "{what}");
            }
        }
    }
}

#[test]
fn integers_are_exact() {
    let e = emulation("mk,kn->mn", DType::F64, Accuracy::Bits(53));
    let program = compiled(&e);
    for (seed, bits) in [(1, 8), (2, 20), (3, 20), (4, 22), (5, 3)] {
        let shape = [5, 6, 61];
        let [m, n, k] = shape;
        let value = |at: usize| {
            let w = random_word(seed, at as u64);
            (w % (2 << bits)) as i64 - (1 << bits)
        };
        let a: Vec<i64> = (0..m * k).map(value).collect();
        let b: Vec<i64> = (0..k * n).map(|at| value(9999 + at)).collect();
        let of = |v: &[i64]| v.iter().map(|x| *x as f64).collect::<Vec<_>>();
        let c = on_cpu(&program, &arrays(DType::F64, shape, &of(&a), &of(&b)), shape);
        for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
            let sum: i64 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
            assert!((c.get(&[i, j]).to_f64() - sum as f64).abs() == 0.0, "{bits} [{i}, {j}]");
        }
    }
}

/// A matrix of numbers around 1.
fn plain(count: usize, seed: u64) -> Vec<f64> {
    (0..count).map(|k| (random_word(seed, k as u64) % 2001) as f64 / 1000.0 - 1.0).collect()
}

#[test]
fn infinities_and_nans_go_where_a_product_has_them() {
    for dtype in [DType::F64, DType::F32] {
        let e = emulation("mk,kn->mn", dtype, Accuracy::Bits(20));
        let program = compiled(&e);
        let shape = [6, 5, 18];
        let [m, n, k] = shape;
        let (mut a, mut b) = (plain(m * k, 1), plain(k * n, 2));
        a[k + 3] = f64::INFINITY;
        a[2 * k + 4] = f64::NAN;
        a[3 * k + 7] = f64::INFINITY;
        a[3 * k + 8] = f64::NEG_INFINITY;
        b[5 * n + 2] = f64::NEG_INFINITY;
        b[3 * n + 3] = 0.0;
        let c = on_cpu(&program, &arrays(dtype, shape, &a, &b), shape);
        for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
            let want: f64 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
            let have = c.get(&[i, j]).to_f64();
            let near = (have - want).abs() < 1e-4;
            let same = want.is_nan() && have.is_nan() || !want.is_nan() && have == want;
            assert!(if want.is_finite() { near } else { same }, "[{i}, {j}] {have} {want}");
        }
    }
}

#[test]
fn powers_of_two_change_no_bit_up_to_the_ends_of_the_range() {
    let e = emulation("mk,kn->mn", DType::F64, Accuracy::Bits(53));
    let program = compiled(&e);
    let shape = [3, 4, 20];
    let (a, b) = (plain(60, 3), plain(80, 4));
    let c = on_cpu(&program, &arrays(DType::F64, shape, &a, &b), shape);
    // subnormal rows lose nothing that they had: 11 bits of a number below 1 are left at 2^-1060
    for (down, up) in [(1, -1), (900, -850), (-960, 900), (-500, 500), (3, 1000)] {
        let scaled = |v: &[f64], e: i32| {
            v.iter().map(|x| x * 2_f64.powi(e / 2) * 2_f64.powi(e - e / 2)).collect::<Vec<_>>()
        };
        let inputs = arrays(DType::F64, shape, &scaled(&a, down), &scaled(&b, up));
        let d = on_cpu(&program, &inputs, shape);
        for at in 0..12 {
            let want = scaled(&[c.get_flat(at).to_f64()], down + up)[0];
            assert!((d.get_flat(at).to_f64() - want).abs() == 0.0, "{down} {up} {at}");
        }
    }
    let least = f64::from_bits(1);
    let tiny: Vec<f64> = (0..60).map(|k| least * f64::from(k % 7)).collect();
    let big: Vec<f64> = (0..80).map(|k| 2_f64.powi(1000) * f64::from(k % 5)).collect();
    let d = on_cpu(&program, &arrays(DType::F64, shape, &tiny, &big), shape);
    for (i, j) in (0..12).map(|at| (at / 4, at % 4)) {
        let pair = |l: usize| ((i * 20 + l) % 7 * ((l * 4 + j) % 5)) as f64;
        let want = (0..20).map(pair).sum::<f64>() * 2_f64.powi(1000 - 1074);
        assert!((d.get(&[i, j]).to_f64() - want).abs() == 0.0, "subnormal [{i}, {j}]");
    }
}

#[test]
fn operands_lie_as_they_like() {
    let same = |spec: &str, [a, b]: [&[usize]; 2], extents: &[(&str, i64)]| {
        let e = emulation(spec, DType::F64, Accuracy::Bits(53));
        let of = |shape: &[usize], seed| {
            let values = plain(shape.iter().product(), seed);
            Tensor::from_f64s(DType::F64, shape, &values).expect("as many")
        };
        let inputs: Arrays = BTreeMap::from([("A".into(), of(a, 5)), ("B".into(), of(b, 6))]);
        let sizes = extents.iter().map(|(n, v)| ((*n).into(), *v)).collect();
        let c = interp::nest::run(&e.nest().expect("its own text"), &sizes, &inputs);
        let c = c.unwrap_or_else(|e| panic!("{spec}: {e}"));
        let einsum = warploom_ir::einsum::Einsum::parse(spec).expect("parsed before");
        let types = [a, b].map(|s| warploom_ir::einsum::OperandType::shaped(DType::F64, s));
        let plain = einsum.nest(&types, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
        let want = interp::nest::run(&plain, &BTreeMap::new(), &inputs);
        let want = &want.unwrap_or_else(|e| panic!("{e}"))["Out"];
        for at in 0..want.len() {
            let [x, y] = [&c["C"], want].map(|t| t.get_flat(at).to_f64());
            assert!((x - y).abs() < 1e-13, "{spec} {at}: {x} {y}");
        }
    };
    same("km,nk->mn", [&[9, 4], &[3, 9]], &[("M", 4), ("N", 3), ("K", 9)]);
    same("mk,kn->nm", [&[4, 9], &[9, 3]], &[("M", 4), ("N", 3), ("K", 9)]);
    same("lmk,knl->nlm", [&[2, 4, 9], &[9, 3, 2]], &[("L", 2), ("M", 4), ("N", 3), ("K", 9)]);
    let extents = [("a_size", 2), ("b_size", 3), ("c_size", 2), ("D", 4), ("E", 3)];
    same("adbe,ecd->acb", [&[2, 4, 3, 3], &[3, 2, 4]], &extents);
    // sums of no terms
    same("mk,kn->mn", [&[3, 0], &[0, 2]], &[("M", 3), ("N", 2), ("K", 0)]);
}

#[test]
fn alpha_and_beta_scale() {
    let accuracy = Accuracy::Bits(53);
    let options = Options { scaled: true, ..Options::new(DType::F64, accuracy) };
    let e = Emulation::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
    let shape = [3, 4, 7];
    let (a, b, old) = (plain(21, 7), plain(28, 8), plain(12, 9));
    for (alpha, beta, old) in
        [(2.5, -0.5, old.clone()), (1.0, 0.0, vec![f64::NAN; 12]), (0.0, 3.0, old)]
    {
        let mut inputs = arrays(DType::F64, shape, &a, &b);
        let tensor = |shape: &[usize], v: &[f64]| Tensor::from_f64s(DType::F64, shape, v);
        inputs.insert("alpha".into(), tensor(&[], &[alpha]).expect("one"));
        inputs.insert("beta".into(), tensor(&[], &[beta]).expect("one"));
        inputs.insert("C".into(), tensor(&[3, 4], &old).expect("as many"));
        let nest = e.nest().expect("its own text");
        let c = interp::nest::run(&nest, &sizes(shape), &inputs).unwrap_or_else(|e| panic!("{e}"));
        for (i, j) in (0..12).map(|at| (at / 4, at % 4)) {
            let sum: f64 = (0..7).map(|l| a[i * 7 + l] * b[l * 4 + j]).sum();
            let rest = if beta == 0.0 { 0.0 } else { beta * old[i * 4 + j] };
            let have = c["C"].get(&[i, j]).to_f64();
            assert!((have - (alpha * sum + rest)).abs() < 1e-13, "{alpha} {beta} [{i}, {j}]");
        }
    }
}

#[test]
fn accuracy_is_asked_for_in_bits_errors_or_moduli() {
    let moduli = |dtype, accuracy| emulation("mk,kn->mn", dtype, accuracy).moduli;
    assert_eq!(moduli(DType::F64, Accuracy::Bits(53)), 14);
    assert_eq!(moduli(DType::F64, Accuracy::Bits(57)), 15);
    assert_eq!(moduli(DType::F32, Accuracy::Bits(24)), 7);
    assert_eq!(moduli(DType::F64, Accuracy::Tolerance(1e-12, 4096)), 13);
    for terms in [1, 1000, 100_000] {
        let e = emulation("mk,kn->mn", DType::F64, Accuracy::Tolerance(1e-9, terms));
        let error = 2.02 * 2_f64.powf(-e.bits) * (terms as f64).sqrt() + e.rest;
        assert!(error <= 1e-9, "{terms}: {error:e}");
    }
    let refused = |spec: &str, dtype, accuracy| {
        let options = Options::new(dtype, accuracy);
        Emulation::new(spec, &options).expect_err("refused").code
    };
    assert_eq!(refused("mk,kn->mn", DType::F64, Accuracy::Bits(99)), "E0541");
    assert_eq!(refused("mk,kn->mn", DType::F64, Accuracy::Moduli(0)), "E0541");
    assert_eq!(refused("mk,kn->mn", DType::F32, Accuracy::Moduli(9)), "E0541");
    assert_eq!(refused("mk,kn->mn", DType::F64, Accuracy::Tolerance(f64::NAN, 1)), "E0541");
    assert_eq!(refused("mk,kn->mn", DType::I32, Accuracy::Bits(8)), "E0541");
    for spec in ["mk,kn,n->m", "mk,k->m", "mk,kn->m", "mm,mn->mn", "Mk,kn->Mn", "...k,kn->...n"] {
        assert_eq!(refused(spec, DType::F64, Accuracy::Bits(53)), "E0540", "{spec}");
    }
}

#[test]
fn the_examples_are_what_the_generator_writes() {
    for (dtype, bits, text) in [
        (DType::F64, 53, include_str!("../../../examples/nests/ozaki2_dgemm.nest")),
        (DType::F32, 24, include_str!("../../../examples/nests/ozaki2_sgemm.nest")),
    ] {
        assert_eq!(emulation("mk,kn->mn", dtype, Accuracy::Bits(bits)).text, text);
    }
}
