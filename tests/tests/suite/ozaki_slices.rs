//! Ozaki scheme I as `warploom ozaki --scheme 1` writes it: its bound, special values, all pairs of
//! slices in one block.

use std::collections::BTreeMap;

use warploom::compile;
use warploom::ozaki::{Pairs, SliceOptions, Sliced};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};
use warploom_scheduler::Schedule;

fn sliced(slices: u32, of: DType, terms: u64) -> Sliced {
    Sliced::new("mk,kn->mn", &SliceOptions::new(slices, of, terms))
        .unwrap_or_else(|e| panic!("{e}"))
}

fn sizes([m, n, k]: [usize; 3]) -> BTreeMap<Name, i64> {
    let of = |n: &str, v: usize| (n.into(), i64::try_from(v).expect("small"));
    BTreeMap::from([of("M", m), of("N", n), of("K", k)])
}

/// The pairs of a tile in one block, but for what fills the operands and multiplies.
const TILE: &str = "tile D0.m, D0.n by 128, 128
distribute D0.n.1
distribute D0.m.1
reorder G0.g, G0.p, G0.m.1, G0.n.1
distribute G0.n.1
distribute G0.m.1
split G1.k by 64
reorder G1.k.0, G1.m.1, G1.n.1, G1.k.1
split G1.m.1 by {rows}
split G1.k.1 by 16
reorder G1.k.0, G1.m.1.0, G1.k.1.0, G1.m.1.1, G1.n.1, G1.k.1.1
stage Exact at G0.p
stage Total at D0.n.0
{operands}tensorize G1.m.1.1, G1.n.1, G1.k.1.1 with {instruction}
ring G1.k.0 by 4
map D0.n.0 to block.x
map D0.m.0 to block.y
";
const BEFORE: [&str; 2] =
    ["stage SA at G1.k.0 as As\nmap As.0 to tma\n", "stage SB at G1.k.0 as Bs\nmap Bs.0 to tma\n"];
const ON_THE_WAY: [&str; 2] = [
    "fuse-at SA_ at G1.k.0\nmap SA__at_G1_k_0.m to thread.x\n",
    "fuse-at SB_ at G1.k.0\nmap SB__at_G1_k_0.n to thread.x\n",
];

/// Integers of up to 26 bits times powers of two: sums are exact in 64 bits.
fn values(count: usize, seed: u64, spread: u64) -> Vec<i64> {
    let value = |at: usize| {
        let w = random_word(seed, at as u64);
        let kept = 26 - w % (spread + 1);
        let magnitude = (w >> 16 & ((1 << kept) - 1)).cast_signed();
        if w >> 8 & 1 == 0 { magnitude } else { -magnitude }
    };
    (0..count).map(value).collect()
}

fn inputs(shape: [usize; 3], a: &[f64], b: &[f64]) -> BTreeMap<Name, Tensor> {
    let [m, n, k] = shape;
    let of = |shape: &[usize], v: &[f64]| Tensor::from_f64s(DType::F64, shape, v).expect("as many");
    BTreeMap::from([("A".into(), of(&[m, k], a)), ("B".into(), of(&[k, n], b))])
}

#[test]
fn slices_keep_their_bound() {
    let plain = |slices, of, terms| SliceOptions::new(slices, of, terms);
    for options in [
        plain(4, DType::I8, 131_071),
        plain(8, DType::I8, 300),
        plain(9, DType::Bf16, 4096),
        plain(5, DType::Bf16, 300),
        plain(7, DType::F16, 1024),
        plain(1, DType::I8, 16),
        plain(4, DType::Bf16, 300).whole(),
        SliceOptions { bits: Some(10), ..plain(6, DType::F16, 256) },
        SliceOptions { pairs: 7, ..plain(5, DType::Bf16, 4096) },
        SliceOptions { pairs: 3, grouped: true, ..plain(5, DType::Bf16, 256) },
        SliceOptions { pairs: 9, grouped: true, ..plain(6, DType::I8, 256) },
        SliceOptions { pairs: 31, ..plain(3, DType::I8, 256) },
    ] {
        let SliceOptions { slices, of, terms, .. } = options;
        let s = Sliced::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
        let schedule =
            compile::auto(&s.nest().expect("its text")).unwrap_or_else(|e| panic!("{e}"));
        let program = compile::compile(&schedule).unwrap_or_else(|e| panic!("{e}"));
        for (seed, shape) in
            [[3, 5, 200], [9, 2, 17], [1, 1, 1], [4, 4, 256]].into_iter().enumerate()
        {
            let [m, n, k] = shape;
            if k as u64 > terms {
                continue;
            }
            let spread = [0, 8, 25, 3][seed];
            let (a, b) =
                (values(m * k, seed as u64, spread), values(k * n, 50 + seed as u64, spread));
            let scaled = |v: &[i64], e: i32| -> Vec<f64> {
                v.iter().map(|x| *x as f64 * 2_f64.powi(e)).collect()
            };
            let (x, y) = (scaled(&a, -300), scaled(&b, 280));
            let out = program.run_at(&inputs(shape, &x, &y), &sizes(shape), Some(1));
            let c = &out.unwrap_or_else(|e| panic!("{e}"))["C"];
            for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
                let sum: i64 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                let error = (c.get(&[i, j]).to_f64() * 2_f64.powi(20) - sum as f64).abs();
                let above = |most: i64| (most.cast_unsigned() + 1).next_power_of_two() as f64;
                let row = (0..k).map(|l| a[i * k + l].abs()).max().unwrap_or(0);
                let column = (0..k).map(|l| b[l * n + j].abs()).max().unwrap_or(0);
                let bound = s.bound * k as f64 * above(row) * above(column);
                assert!(error <= bound, "{of} {slices} [{i}, {j}]: {error:e} {bound:e}");
            }
        }
    }
    for (einsum, options) in [
        ("mk,kn->mn", plain(0, DType::I8, 9)),
        ("mk,kn->mn", plain(17, DType::I8, 9)),
        ("mk,kn->mn", plain(3, DType::E4m3, 9)),
        ("mk,kn->mn", SliceOptions { bits: Some(8), ..plain(3, DType::I8, 9) }),
        ("mk,kn->mn", SliceOptions { bits: Some(12), ..plain(3, DType::F16, 9000) }),
        ("mk,kn->mn", SliceOptions { pairs: 0, ..plain(3, DType::I8, 9) }),
        ("mkl,kln->mn", plain(3, DType::Bf16, 1 << 23)),
    ] {
        let refused = Sliced::new(einsum, &options);
        assert_eq!(refused.expect_err("refused").code, "E0541", "{einsum} {options:?}");
    }
}

#[test]
fn infinities_and_nans_are_those_of_the_product() {
    let program = compile::auto(&sliced(3, DType::I8, 1000).nest().expect("its text"))
        .and_then(|s| compile::compile(&s))
        .unwrap_or_else(|e| panic!("{e}"));
    let shape @ [m, n, k] = [5, 4, 20];
    let of = |count, seed| values(count, seed, 0).into_iter().map(|v| v as f64).collect::<Vec<_>>();
    let (mut a, mut b) = (of(m * k, 1), of(k * n, 2));
    a[3] = f64::INFINITY;
    a[2 * k + 3] = f64::NAN;
    b[6 * n + 1] = f64::NEG_INFINITY;
    let out = program.run_at(&inputs(shape, &a, &b), &sizes(shape), Some(1));
    let c = &out.unwrap_or_else(|e| panic!("{e}"))["C"];
    for (i, j) in (0..m * n).map(|at| (at / n, at % n)) {
        let want: f64 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        let have = c.get(&[i, j]).to_f64();
        let same = want.is_nan() && have.is_nan() || have == want;
        assert!(same || want.is_finite() && have.is_finite(), "[{i}, {j}] {have} {want}");
    }
}

#[test]
fn all_pairs_of_slices_run_in_one_block() {
    let nine = SliceOptions { bits: Some(9), ..SliceOptions::new(2, DType::Bf16, 1024) };
    for (options, k) in [
        (SliceOptions::new(3, DType::I8, 1024), 144),
        (SliceOptions { grouped: true, ..SliceOptions::new(3, DType::I8, 1024) }, 144),
        (SliceOptions { pairs: 4, ..SliceOptions::new(3, DType::Bf16, 1024) }, 136),
        // two blocks of 1024 terms, the second of which is shorter; several of 256
        (SliceOptions::new(2, DType::Bf16, 2048), 1096),
        (nine, 520),
    ] {
        let shape @ [m, n, k] = [40, 136, k];
        let s = Sliced::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
        let text = s.text.replacen("param M, N, K", &format!("param M = {m}, N = {n}, K = {k}"), 1);
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let (schedule, pairs) = s.schedule(&nest, Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        assert!(matches!(pairs, Pairs::Together { .. }), "{pairs:?}");
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        assert!(lowered.kernel().has_block_program(), "{}", lowered.kernel());
        let text = lowered.kernel().to_string();
        assert!(
            text.contains("fragment Total"),
            "what exact sums add up to is in registers:\n{text}"
        );
        let of = |count, seed| -> Vec<f64> {
            values(count, seed, 6).into_iter().map(|v| v as f64).collect()
        };
        let inputs = inputs(shape, &of(m * k, 1), &of(k * n, 2));
        let want = interp::nest::run(&nest, &BTreeMap::new(), &inputs);
        let want = want.unwrap_or_else(|e| panic!("{e}"));
        let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
        let have = have.unwrap_or_else(|e| panic!("{e}\n{}", lowered.kernel()));
        assert_eq!(want["C"].bytes(), have["C"].bytes());
        let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
        // loops of other lengths are copies, for which ptxas has too few registers
        assert!(!report.contains("C75") || options == nine || k == 1096, "{report}");
        let llvm = lowered.llvm(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        let mut waits = llvm.lines().filter(|l| l.contains("wgmma.wait_group"));
        assert!(waits.all(|l| !l.contains("double")), "totals do not wait for products");
    }
    // rows that the copy engine cannot read, and products of several rows
    let s = sliced(3, DType::I8, 1024);
    let text = s.text.replacen("param M, N, K", "param M = 40, N = 136, K = 137", 1);
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let (_, pairs) = s.schedule(&nest, Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(pairs, Pairs::Apart(_)), "{pairs:?}");
}

/// Three slices of bf16 of a product of this size, and a script for it.
fn scripted(
    [m, n, k]: [usize; 3],
    rows: &str,
    operands: &str,
    instruction: &str,
) -> (Nest, warploom_ir::diag::Result<compile::Lowered>) {
    let text = sliced(3, DType::Bf16, 1024).text;
    let text = text.replacen("param M, N, K", &format!("param M = {m}, N = {n}, K = {k}"), 1);
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let script = TILE.replace("{rows}", rows).replace("{operands}", operands);
    let script = script.replace("{instruction}", instruction);
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{e}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}")).replay(&script);
    let start = start.unwrap_or_else(|e| panic!("{}", e.diagnostic));
    let lowered = compile::lower(&start);
    (nest, lowered)
}

#[test]
fn slices_are_made_on_their_way_into_shared_memory() {
    let shape @ [m, n, k] = [40, 136, 136];
    for [a, b] in [[ON_THE_WAY[0], BEFORE[1]], [BEFORE[0], ON_THE_WAY[1]], ON_THE_WAY] {
        let operands = format!("{a}{b}map G1.m.1.0 to warpgroup\n");
        let instruction = "wgmma.m64n128k16.f32.bf16.bf16";
        let (nest, lowered) = scripted(shape, "64", &operands, instruction);
        let lowered = lowered.unwrap_or_else(|e| panic!("{e}"));
        let text = lowered.kernel().to_string();
        let made = |name: &str| text.contains(&format!("{name}_: {name}["));
        assert_eq!([made("SA"), made("SB")], [a == BEFORE[0], b == BEFORE[1]], "{text}");
        let of = |count, seed| -> Vec<f64> {
            values(count, seed, 6).into_iter().map(|v| v as f64).collect()
        };
        let inputs = inputs(shape, &of(m * k, 1), &of(k * n, 2));
        let want = interp::nest::run(&nest, &BTreeMap::new(), &inputs);
        let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
        let have = have.unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(want.unwrap_or_else(|e| panic!("{e}"))["C"].bytes(), have["C"].bytes());
    }
}

#[test]
fn totals_are_for_sums_in_registers() {
    let (_, refused) =
        scripted([128, 128, 128], "128", &BEFORE.concat(), "tcgen05.mma.m128n128k16.f32.bf16.bf16");
    let refused = refused.expect_err("sums are in tensor memory");
    assert_eq!(refused.code, "E0731", "{refused}");
    assert!(refused.to_string().contains("leave out `stage Total"), "{refused}");
}
