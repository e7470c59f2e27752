//! The persistent matrix product in clusters: the example is the text for 4096, it is sealed and
//! assembled, and smaller ones are interpreted.

use std::collections::BTreeMap;

use warploom::compile;
use warploom_ir::dtype::DType;
use warploom_ir::interp::kernel::run;
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_tests::programs::PersistentProduct;

const CLUSTER: &str = include_str!("../../../examples/kernels/gemm_wgmma_cluster.kernel");

fn size(v: i64) -> usize {
    usize::try_from(v).expect("a small size")
}

fn random(rows: i64, cols: i64, seed: u64) -> Tensor {
    Tensor::random(DType::Bf16, &[size(rows), size(cols)], seed).expect("it fits")
}

#[test]
fn the_example_is_the_text_for_4096() {
    let text = PersistentProduct::large(4096, 4096, 4096).text();
    let lines = CLUSTER.lines().filter(|l| !l.starts_with('#'));
    assert!(lines.eq(text.lines()), "{text}");
    let kernel: Kernel = CLUSTER.parse().unwrap_or_else(|e| panic!("{e}"));
    let sealed = compile::kernel(kernel).unwrap_or_else(|e| panic!("{e}"));
    sealed.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
}

/// Without one of its waits, fences and meetings, or with another slab or stage, the epilogue and
/// the loads of the next tile would meet.
#[test]
fn tiles_that_overlap_wrongly_are_noticed() {
    let product = PersistentProduct { m: 256, n: 256, k: 320, columns: 128, clusters: 1, group: 2 };
    let text = product.text();
    let (a, b) = (random(256, 320, 1), random(256, 320, 2));
    let inputs = BTreeMap::from([("A".into(), a), ("B".into(), b)]);
    let cases = [
        ("do tma.wait.read(1)", "", "E0522"),
        ("do tma.wait.read(0)", "", "E0525"),
        ("do sync()", "", "E0522"),
        ("do fence.async()", "", "E0522"),
        ("Cs[g, mod(s, 2), 0 : 64, 0 : 64]", "Cs[g, 1 - mod(s, 2), 0 : 64, 0 : 64]", "E0522 E0516"),
        ("empty[mod(5 * floordiv(t, 1) + k, 4)]", "empty[mod(k, 4)]", "E0521 E0522 E0523"),
        ("full[mod(5 * floordiv(u, 1) + q, 4)]", "full[mod(q, 4)]", "E0516 E0522 E0523"),
        ("floordiv(5 * floordiv(u, 1) + q, 4)", "floordiv(q, 4)", "E0516 E0522 E0523"),
        ("empty[mod(5 * floordiv(u, 1) + 4, 4)]", "empty[1]", "E0521 E0522 E0523"),
    ];
    let mut wrong = Vec::new();
    for (from, to, codes) in cases {
        assert!(text.contains(from), "{from} in\n{text}");
        let kernel: Kernel = text.replacen(from, to, 1).parse().unwrap_or_else(|e| panic!("{e}"));
        let found = run(&kernel, &BTreeMap::new(), &inputs).map_or_else(|d| d.code, |_| "nothing");
        if !codes.contains(found) {
            wrong.push(format!("`{from}` -> `{to}`: {found}, not {codes}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Tiles of 128 columns, several for each pair of blocks and a last turn that not all have.
#[test]
fn small_products_are_right() {
    for (m, n, k, clusters, group) in [(300, 392, 200, 3, 2), (512, 136, 64, 2, 8)] {
        let product = PersistentProduct { m, n, k, columns: 128, clusters, group };
        let kernel: Kernel = product.text().parse().unwrap_or_else(|e| panic!("{e}"));
        let (a, b) = (random(m, k, 1), random(n, k, 2));
        let inputs = BTreeMap::from([("A".into(), a.clone()), ("B".into(), b.clone())]);
        let out = run(&kernel, &BTreeMap::new(), &inputs).unwrap_or_else(|e| panic!("{e}"));
        for place in 0..size(m * n) {
            let (i, j) = (place / size(n), place % size(n));
            let at = |t: &Tensor, row: usize, l: usize| t.get_flat(row * size(k) + l).to_f64();
            let pairs = (0..size(k)).map(|l| at(&a, i, l) * at(&b, j, l));
            let (sum, all) = pairs.fold((0.0, 0.0), |(s, t), p| (s + p, t + p.abs()));
            let found = out["C"].get_flat(place).to_f64();
            let bound = 1e-5 * all + sum.abs() / 256.0;
            assert!((found - sum).abs() <= bound, "[{i}, {j}]: {found} and {sum}");
        }
    }
}
