//! A number of moduli that the data choose: the promise of grade A holds whatever is chosen, what
//! is chosen follows the data, and results are those of a nest with that number, bit for bit, on
//! the CPU path and by the interpreted kernels of three targets.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use warploom::compile::{self, Program};
use warploom::ozaki::{Accuracy, Emulation, Operand, Options};
use warploom::resources::Resources;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};

type Arrays = BTreeMap<Name, Tensor>;

const SPEC: &str = "mk,kn->mn";

fn graded(dtype: DType, accuracy: Accuracy) -> Options {
    Options { counted: true, accuracy, ..Options::grade_a(dtype) }
}

fn compiled(options: &Options) -> Program {
    let e = Emulation::new(SPEC, options).unwrap_or_else(|e| panic!("{e}"));
    let schedule =
        compile::auto(&e.nest().expect("its own text")).unwrap_or_else(|e| panic!("{e}"));
    compile::compile(&schedule).unwrap_or_else(|e| panic!("{e}"))
}

fn inputs(dtype: DType, [m, n, k]: [usize; 3], a: &[f64], b: &[f64]) -> Arrays {
    let of = |shape: &[usize], v: &[f64]| Tensor::from_f64s(dtype, shape, v).expect("as many");
    BTreeMap::from([("A".into(), of(&[m, k], a)), ("B".into(), of(&[k, n], b))])
}

fn run(program: &Program, inputs: &Arrays, [m, n, k]: [usize; 3]) -> Arrays {
    let of = |n: &str, v: usize| (Name::from(n), i64::try_from(v).expect("small"));
    let sizes = BTreeMap::from([of("M", m), of("N", n), of("K", k)]);
    program.run_at(inputs, &sizes, Some(1)).unwrap_or_else(|e| panic!("{e}"))
}

fn number(out: &Arrays, name: &str) -> usize {
    out[name].get_flat(0).to_f64() as usize
}

fn unit(seed: u64, at: usize) -> f64 {
    (random_word(seed, at as u64) >> 11) as f64 * 2_f64.powi(-53)
}

/// (rand - 0.5) exp(phi randn), with which papers grade emulated products.
fn random(count: usize, phi: f64, seed: u64) -> Vec<f64> {
    let normal = |at: usize| {
        let (u, v) = (1.0 - unit(seed + 1000, 2 * at), unit(seed + 1000, 2 * at + 1));
        (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
    };
    (0..count).map(|at| (unit(seed, at) - 0.5) * (phi * normal(at)).exp()).collect()
}

/// The largest error in units of u·|A||B|, against sums in twice the precision.
fn worst(c: &Tensor, a: &[f64], b: &[f64], [m, n, k]: [usize; 3], u: f64) -> f64 {
    let mut worst = 0.0_f64;
    for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
        let (mut high, mut low, mut all) = (0.0_f64, 0.0_f64, 0.0_f64);
        for l in 0..k {
            let (x, y) = (a[i * k + l], b[l * n + j]);
            let product = x * y;
            let sum = high + product;
            let part = sum - high;
            low += (high - (sum - part)) + (product - part) + x.mul_add(y, -product);
            (high, all) = (sum, all + product.abs());
        }
        let error = ((c.get(&[i, j]).to_f64() - high) - low).abs();
        worst = worst.max(if error > 0.0 { error / (u * all) } else { 0.0 });
    }
    worst
}

/// Rows and columns as graders make them: by how far their magnitudes are apart, shifted powers of
/// two, rows of all scales, zeros.
fn matrices([m, n, k]: [usize; 3]) -> Vec<(&'static str, Vec<f64>, Vec<f64>)> {
    let mut out: Vec<(&str, Vec<f64>, Vec<f64>)> =
        [("uniform", 0.0), ("half", 0.5), ("one", 1.0), ("two", 2.0), ("four", 4.0)]
            .map(|(name, phi)| (name, random(m * k, phi, 1), random(k * n, phi, 6)))
            .into();
    let (a, b) = (random(m * k, 0.0, 3), random(k * n, 0.0, 4));
    let of_rows = |at: usize| 2_f64.powi((at / k) as i32 * 9 - 40);
    let scaled = a.iter().enumerate().map(|(at, v)| v * of_rows(at)).collect();
    out.push(("scaled", scaled, b.iter().map(|v| v * 3.7e9).collect()));
    let d = |l: usize| 2_f64.powi((random_word(10, l as u64) % 33) as i32 * 4 - 64);
    let shifted = |at: usize| (1.0 + unit(9, (at % k + at / k) % k)) * d(at % k);
    let inverse = |at: usize| (1.0 + unit(9, (at / n + at % n) % k)) / d(at / n);
    out.push(("shifted", (0..m * k).map(shifted).collect(), (0..k * n).map(inverse).collect()));
    let wide = |at: usize| if at / k == 1 { 2_f64.powi((at % 64) as i32 * 4) } else { 1.0 };
    out.push(("wide row", a.iter().enumerate().map(|(at, v)| v * wide(at)).collect(), b.clone()));
    out.push(("zeros", vec![0.0; m * k], b));
    out
}

#[test]
fn what_is_chosen_follows_the_data_and_keeps_the_promise() {
    let (least, most) = (14, 17);
    let program = compiled(&graded(DType::F64, Accuracy::Chosen(least, most)));
    let fixed: Vec<Program> =
        (least..=most).map(|n| compiled(&graded(DType::F64, Accuracy::Moduli(n)))).collect();
    let shape @ [_, _, k] = [9, 8, 512];
    let mut chosen = BTreeMap::new();
    for (name, a, b) in matrices(shape) {
        let inputs = inputs(DType::F64, shape, &a, &b);
        let out = run(&program, &inputs, shape);
        let moduli = number(&out, "moduli");
        assert!((least..=most).contains(&moduli), "{name}: {moduli}");
        let worst = worst(&out["C"], &a, &b, shape, 2_f64.powi(-53));
        assert!(worst <= (k + 2) as f64, "{name}: {worst} of {moduli}");
        let want: Vec<Arrays> = fixed.iter().map(|p| run(p, &inputs, shape)).collect();
        let own = &want[moduli - least];
        assert_eq!(own["C"].bytes(), out["C"].bytes(), "{name}: {moduli}");
        assert_eq!(number(own, "native"), number(&out, "native"), "{name}");
        // of so few rows and columns all are looked at: no other number takes less time
        let time = |n: usize| number(&want[n - least], "native") * 16384 + n * 72;
        assert!((least..=most).all(|n| time(moduli) <= time(n)), "{name}: {moduli}");
        chosen.insert(name, (moduli, number(&out, "native")));
    }
    assert!(chosen["uniform"].0 < chosen["one"].0, "{chosen:?}");
    assert!(chosen["one"].0 < chosen["two"].0, "{chosen:?}");
    assert_eq!(chosen["scaled"], chosen["uniform"], "powers of two change nothing: {chosen:?}");
    // where no number helps the least is taken, and one row costs a row
    assert_eq!(chosen["shifted"], (least, 72), "{chosen:?}");
    assert_eq!(chosen["four"].1, 72, "{chosen:?}");
    assert_eq!(chosen["wide row"], (chosen["uniform"].0, 8), "{chosen:?}");
    assert_eq!(chosen["zeros"], (least, 0), "{chosen:?}");
}

#[test]
fn floats_batches_and_updates_choose_too() {
    let program = compiled(&graded(DType::F32, Accuracy::Chosen(6, 8)));
    let shape @ [m, n, k] = [5, 6, 300];
    for phi in [0.0, 1.0, 3.0] {
        let narrow = |v: Vec<f64>| v.iter().map(|x| f64::from(*x as f32)).collect::<Vec<f64>>();
        let (a, b) = (narrow(random(m * k, phi, 1)), narrow(random(k * n, phi, 2)));
        let out = run(&program, &inputs(DType::F32, shape, &a, &b), shape);
        let worst = worst(&out["C"], &a, &b, shape, 2_f64.powi(-24));
        assert!(worst <= (k + 2) as f64, "{phi}: {worst}");
        assert!((6..=8).contains(&number(&out, "moduli")), "{phi}");
    }
    let of = |spec: &str, options: Options| {
        let e = Emulation::new(spec, &options).unwrap_or_else(|e| panic!("{e}"));
        (e.nest().unwrap_or_else(|d| panic!("{d}\n{}", e.text)), e)
    };
    let two = |accuracy| Options { guarded: true, ..Options::new(DType::F64, accuracy) };
    for (spec, more) in [
        ("bmk,bkn->bmn", two(Accuracy::Chosen(3, 5))),
        ("kmx,nk->xnm", two(Accuracy::Chosen(3, 5))),
        (SPEC, Options { scaled: true, ..two(Accuracy::Chosen(3, 5)) }),
        (SPEC, Options { complex: true, ..two(Accuracy::Chosen(3, 5)) }),
        (SPEC, Options { terms: 400_000, ..two(Accuracy::Chosen(3, 5)) }),
    ] {
        let (nest, made) = of(spec, more);
        assert_eq!([made.least, made.moduli], [3, 5]);
        let sizes: BTreeMap<Name, i64> =
            nest.params.iter().map(|p| (p.name.clone(), 3 + p.name.len() as i64)).collect();
        let random = |name: &str, seed| {
            let array = nest.array(name)?;
            let extent = |e: &warploom_ir::affine::Affine| e.eval(&|v| sizes.get(v).copied());
            let shape = array.shape.iter().map(|e| Some(extent(e)? as usize));
            let shape = shape.collect::<Option<Vec<usize>>>()?;
            Some((Name::from(name), Tensor::random(DType::F64, &shape, seed).ok()?))
        };
        let all = ["A", "B", "C", "alpha", "beta"].into_iter().zip(1..);
        let reads =
            |name: &str| nest.array(name).is_some_and(|a| matches!(a.role, Role::In | Role::InOut));
        let inputs: Arrays =
            all.filter(|(n, _)| reads(n)).filter_map(|(n, s)| random(n, s)).collect();
        let least = Options { accuracy: Accuracy::Moduli(3), ..more };
        let most = Options { accuracy: Accuracy::Moduli(5), ..more };
        let outs = [&more, &least, &most].map(|o| {
            interp::nest::run(&of(spec, *o).0, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}"))
        });
        let same = |k: usize| outs[0]["C"].bytes() == outs[k]["C"].bytes();
        assert!(same(1) || same(2), "{spec}");
    }
}

/// Kernels of these sizes are the CPU path's results bit for bit, by tensor cores.
#[test]
fn kernels_leave_out_moduli_that_are_not_chosen() {
    let shape @ [m, n, k] = [24, 40, 48];
    let options = graded(DType::F64, Accuracy::Chosen(15, 16));
    let e = Emulation::new(SPEC, &options).unwrap_or_else(|e| panic!("{e}"));
    let text = e.text.replacen("param M, N, K", &format!("param M = {m}, N = {n}, K = {k}"), 1);
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let program = compiled(&options);
    let data: Vec<(Arrays, Arrays)> = [0.0, 1.3]
        .map(|phi| {
            let mut a = random(m * k, phi, 1);
            a[k + 5] = f64::INFINITY;
            let inputs = inputs(DType::F64, shape, &a, &random(k * n, phi, 2));
            let out = run(&program, &inputs, shape);
            (inputs, out)
        })
        .into();
    let chosen: Vec<usize> = data.iter().map(|(_, out)| number(out, "moduli")).collect();
    assert!(chosen[0] < chosen[1], "{chosen:?}");
    for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
        let schedule = compile::auto_for(&nest, target).unwrap_or_else(|e| panic!("{e}"));
        assert!(schedule.script().to_string().contains("i32.i8.i8"), "{}", schedule.script());
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        let kernel = lowered.kernel().to_string();
        assert!(
            kernel.contains(" when lt.bool(index.i32(") && kernel.contains("block {"),
            "{kernel}"
        );
        for (inputs, want) in &data {
            let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), inputs);
            let have = have.unwrap_or_else(|e| panic!("{e}\n{kernel}"));
            for name in ["C", "moduli", "native"] {
                assert_eq!(want[name].bytes(), have[name].bytes(), "{target} {name} {chosen:?}");
            }
        }
        let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
        let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
        assert!(!report.contains("C75"), "{report}");
        let programs =
            Resources::of(&code, Some(&report)).into_iter().filter(|f| f.shared_bytes > 0);
        for program in programs {
            assert_eq!(program.spilled, Some(0), "{program:?}");
        }
    }
}

#[test]
fn only_grade_a_chooses() {
    let chosen = Accuracy::Chosen(14, 16);
    let refused = |options: &Options, words: &str| {
        let error = Emulation::new(SPEC, options).expect_err(words);
        assert!(error.code == "E0541" && error.to_string().contains(words), "{error}");
    };
    refused(&Options::new(DType::F64, chosen), "only grade A");
    refused(&graded(DType::F64, Accuracy::Chosen(16, 14)), "16 to 14 moduli");
    refused(&graded(DType::F64, Accuracy::Chosen(1, 14)), "1 to 14 moduli");
    refused(&graded(DType::F64, Accuracy::Chosen(14, 21)), "14 to 21 moduli");
    refused(&graded(DType::F32, Accuracy::Chosen(7, 9)), "7 to 9 moduli");
    let error = Emulation::prepared(SPEC, &graded(DType::F64, chosen), Operand::B);
    assert_eq!(error.expect_err("one number").code, "E0541");
    // one number is that number
    let one = |a| Emulation::new(SPEC, &graded(DType::F64, a)).unwrap_or_else(|e| panic!("{e}"));
    let (same, fixed) = (one(Accuracy::Chosen(15, 15)), one(Accuracy::Moduli(15)));
    assert_eq!([same.least, same.moduli, fixed.least, fixed.moduli], [15; 4]);
}
