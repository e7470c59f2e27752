//! Ozaki schemes as nests on tensor cores: automatic schedules of the examples are block programs,
//! compute what the nests say bit for bit, and keep the error bounds of docs/ozaki.md.

use std::collections::BTreeMap;

use warploom::compile;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};
use warploom_tests::tensor::replayed;

const DGEMM: &str = include_str!("../../examples/nests/ozaki2_dgemm.nest");
const INT8: &str = include_str!("../../examples/nests/ozaki2_int8.nest");

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
    assert_eq!(report.matches("spill stores").count(), report.matches("0 bytes spill s").count());
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
    let text = include_str!("../../examples/nests/ozaki1_bf16.nest");
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

/// Integers below 2^41 in magnitude, of very different ones.
fn integers(count: usize, seed: u64) -> Vec<i128> {
    let value = |i: usize| {
        let word = random_word(seed, i as u64);
        let bits = 20 + word % 21;
        let magnitude = i128::from(word >> 8) & ((1 << bits) - 1);
        if word >> 7 & 1 == 0 { magnitude } else { -magnitude }
    };
    (0..count).map(value).collect()
}

/// `lines` of `k` numbers; line i is `values` times 2^scale(i).
struct Lines {
    values: Vec<i128>,
    k: usize,
}

impl Lines {
    const fn scale(i: usize) -> i32 {
        (i as i32 * 37 % 80) - 60
    }

    fn number(&self, i: usize, k: usize) -> f64 {
        self.values[i * self.k + k] as f64 * 2_f64.powi(Self::scale(i))
    }

    /// The norms of a line: the Euclidean one, and the sum of magnitudes.
    fn norms(&self, i: usize) -> [f64; 2] {
        let all = || (0..self.k).map(|k| self.number(i, k).abs());
        [all().map(|x| x * x).sum::<f64>().sqrt(), all().sum()]
    }
}

#[test]
fn doubles_from_fourteen_moduli_keep_their_bound() {
    for [m, n, k] in [[24, 40, 48], [3, 1, 129]] {
        let mut a = Lines { values: integers(m * k, 1), k };
        let b = Lines { values: integers(n * k, 2), k };
        // a row of zeros, and one with a single number
        a.values[..k].fill(0);
        a.values[k..2 * k - 1].fill(0);
        let at = |l: &Lines, rows: usize| -> Vec<f64> {
            (0..rows * k).map(|e| l.number(e / k, e % k)).collect()
        };
        let by_columns: Vec<f64> = (0..k * n).map(|e| b.number(e % n, e / n)).collect();
        let tensor = |shape: &[usize], v: &[f64]| Tensor::from_f64s(DType::F64, shape, v);
        let inputs = BTreeMap::from([
            ("A".into(), tensor(&[m, k], &at(&a, m)).expect("as many")),
            ("B".into(), tensor(&[k, n], &by_columns).expect("as many")),
        ]);
        let c = run(DGEMM, [m, n, k], &inputs);
        for (i, j) in (0..m * n).map(|e| (e / n, e % n)) {
            let pairs = (0..k).map(|l| a.values[i * k + l] * b.values[j * k + l]);
            let scale = 2_f64.powi(Lines::scale(i) + Lines::scale(j));
            // the difference is taken in integers, so that it is exact
            let found = c.get(&[i, j]).to_f64() / scale;
            let whole = found.round();
            let sum: i128 = pairs.sum();
            let error = (sum - whole as i128) as f64 - (found - whole);
            let ([a2, a1], [b2, b1]) = (a.norms(i), b.norms(j));
            let cut = 1.01 * 2_f64.powf(-53.5) * (a2 * b1 + a1 * b2);
            let bound = cut + 2_f64.powi(-50) * a2 * b2;
            assert!(error.abs() * scale <= bound, "[{i}, {j}] {found:e}: {error:e}, {bound:e}");
            assert!(sum != 0 || found == 0.0, "zero rows give zeros");
        }
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
