//! Emulated products are the same bits whatever the schedule, the tiles, the number of threads and
//! the GPU they are compiled for: the interpreter of nests, the CPU path by several scripts, and
//! the interpreted kernels of every target agree.

use std::collections::BTreeMap;

use warploom::compile;
use warploom::ozaki::{Accuracy, Emulation, Options};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_tests::tensor::replayed;

type Arrays = BTreeMap<Name, Tensor>;

/// Tiles of the products, the residues and the results, ragged ones too, and other orders.
const SCRIPTS: [&str; 2] = [
    "tile G0.m, G0.n by 5, 7\nsplit G1.k by 3\n",
    "tile SA.m, SA.k by 4, 32\nreorder SB.k, SB.n, SB.l\n\
     tile X.m, X.n by 3, 64\nsplit NA1.k by 7\n",
];

fn inputs([m, n, k]: [usize; 3]) -> Arrays {
    let random = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).expect("small");
    let a = random(&[m, k], 1);
    let mut a: Vec<f64> = (0..m * k).map(|at| a.get_flat(at).to_f64()).collect();
    // a row with an infinity, and one that grade A sums natively
    a[k + 5] = f64::INFINITY;
    for (l, v) in a[2 * k..3 * k].iter_mut().enumerate() {
        *v *= 2_f64.powi(20 * (l % 16) as i32);
    }
    let a = Tensor::from_f64s(DType::F64, &[m, k], &a).expect("as many");
    BTreeMap::from([("A".into(), a), ("B".into(), random(&[k, n], 2))])
}

#[test]
fn bits_depend_on_no_schedule_and_no_target() {
    let shape @ [m, n, k] = [24, 40, 48];
    let inputs = inputs(shape);
    for guarded in [false, true] {
        let options = Options { guarded, ..Options::new(DType::F64, Accuracy::Moduli(4)) };
        let e = Emulation::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
        let sizes = format!("param M = {m}, N = {n}, K = {k}");
        let text = e.text.replacen("param M, N, K", &sizes, 1);
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let want = interp::nest::run(&nest, &BTreeMap::new(), &inputs);
        let want = &want.unwrap_or_else(|e| panic!("{e}"))["C"];
        let own = compile::auto(&nest).unwrap_or_else(|e| panic!("{e}"));
        let scripts = SCRIPTS.map(|script| replayed(&text, script).1);
        for schedule in scripts.iter().chain([&own]) {
            let program = compile::compile(schedule).unwrap_or_else(|e| panic!("{e}"));
            for threads in [1, 3] {
                let out = program.run_at(&inputs, &BTreeMap::new(), Some(threads));
                let out = out.unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(out["C"].bytes(), want.bytes(), "{}", schedule.script());
            }
        }
        for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
            let schedule = compile::auto_for(&nest, target).unwrap_or_else(|e| panic!("{e}"));
            let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
            let out = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
            let out = out.unwrap_or_else(|e| panic!("{e}\n{}", lowered.kernel()));
            assert_eq!(out["C"].bytes(), want.bytes(), "{target:?}");
        }
    }
}
