//! Lowered kernels compute what the nest says, and have the shape that code generation wants.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::interp;
use warploom_ir::kernel::{Index, Kernel, KernelLoop, KernelNode, LoopMode};
use warploom_ir::nest::Nest;
use warploom_ir::schedule::{Marks, Poly, Tree, TreeLoop};

use crate::steps::testing::inputs;
use crate::{DepContext, lower};

const MATMUL: &str = "param M, N, K
in A: f32[M, K]
in B: f32[K, N]
out C: f32[M, N]
for m in 0..M, n in 0..N { S0: C[m, n] = 0 }
for m in 0..M, n in 0..N { for k in 0..K { S1: C[m, n] += A[m, k] * B[k, n] order fixed } }
";

const STENCIL: &str = "param T, N
inout A: f64[N, N]
for t in 0..T, i in 1..N-1, j in 1..N-1 {
  S: A[i, j] = (A[i-1, j] + A[i, j-1] + A[i, j] + A[i+1, j] + A[i, j+1]) * 0.2
}
";

const ODD: &str = "param N
in X: i32[N]
out Y: i32[N, N]
out Z: i32[N]
for i in 0..N step 3 {
  for j in i downto 0 { S0: Y[i, j] = X[i] - j }
  if 2*i >= N { S1: Z[i] = X[N-1-i] }
}
for i in N-1 downto 0 step 2 { for j in max(0, i-2)..min(N, i+3) { S2: Y[i, j] += i + X[j] } }
";

fn sizes(values: &[(&str, i64)]) -> BTreeMap<Name, i64> {
    values.iter().map(|(name, value)| ((*name).into(), *value)).collect()
}

fn lowered(nest: &Nest, change: impl Fn(Tree) -> Tree) -> Kernel {
    let (poly, tree) = Poly::from_nest(nest).unwrap();
    let deps = DepContext::new(&poly, &tree, &nest.source).unwrap();
    let tree = change(tree);
    deps.check_order(&tree).unwrap();
    lower(&poly, &tree, &nest.source).unwrap()
}

/// Runs both and compares every bit.
fn agree(nest: &Nest, kernel: &Kernel, values: &[(&str, i64)]) {
    let sizes = sizes(values);
    let inputs = inputs(nest, &sizes);
    let want = interp::nest::run(nest, &sizes, &inputs).unwrap();
    let have = interp::kernel::run(kernel, &sizes, &inputs).unwrap();
    for (name, tensor) in &want {
        assert_eq!(tensor.bytes(), have[name].bytes(), "{name} at {values:?}\n{kernel:#?}");
    }
}

fn over(name: &str, statement: &str, row: Affine, marks: Marks, body: Tree) -> Tree {
    let rows = BTreeMap::from([(statement.into(), row)]);
    Tree::Loop(TreeLoop { name: name.into(), rows, marks, body: Box::new(body) })
}

fn v(name: &str) -> Affine {
    Affine::var(name)
}

fn plain() -> Marks {
    Marks::default()
}

fn loops(nodes: &[KernelNode]) -> Vec<&KernelLoop> {
    let mut out = Vec::new();
    for node in nodes {
        match node {
            KernelNode::Loop(l) => {
                out.push(l);
                out.extend(loops(&l.body));
            }
            KernelNode::If(_, a, b) => {
                out.extend(loops(a));
                out.extend(loops(b));
            }
            KernelNode::Store(_) | KernelNode::Device(_) => {}
            KernelNode::Local(l) => out.extend(loops(&l.body)),
        }
    }
    out
}

#[test]
fn the_order_of_the_text_computes_the_same() {
    let nest: Nest = MATMUL.parse().unwrap();
    let kernel = lowered(&nest, |t| t);
    assert_eq!(loops(&kernel.body).len(), 5);
    agree(&nest, &kernel, &[("M", 3), ("N", 5), ("K", 4)]);
    agree(&nest, &kernel, &[("M", 1), ("N", 1), ("K", 0)]);
    let nest: Nest = STENCIL.parse().unwrap();
    agree(&nest, &lowered(&nest, |t| t), &[("T", 3), ("N", 7)]);
}

#[test]
fn steps_guards_and_descending_loops_survive() {
    let nest: Nest = ODD.parse().unwrap();
    let kernel = lowered(&nest, |t| t);
    for n in [1, 2, 6, 7, 10] {
        agree_defined(&nest, &kernel, n);
    }
}

/// Compares `Y` and `Z` where the nest defines them: both start from the same poison.
fn agree_defined(nest: &Nest, kernel: &Kernel, n: i64) {
    let sizes = sizes(&[("N", n)]);
    let inputs = inputs(nest, &sizes);
    let want = interp::nest::run(nest, &sizes, &inputs);
    let have = interp::kernel::run(kernel, &sizes, &inputs);
    match (want, have) {
        (Ok(want), Ok(have)) => assert_eq!(want, have, "N = {n}"),
        (Err(a), Err(b)) => assert_eq!(a.code, b.code),
        (want, have) => panic!("{want:?} but {have:?}\n{kernel:#?}"),
    }
}

/// `S1` tiled 4 x 8 with the tile's columns as lanes and its rows unrolled.
fn tiled(tree: Tree) -> Tree {
    let Tree::Sequence(children) = tree else { panic!("two nests") };
    let tile = |name: &str, size: i64| v(name).floor_div(size).unwrap();
    let s = Tree::Statement("S1".into());
    let lanes = Marks { vectorize: true, ..plain() };
    let rows = Marks { unroll: true, ..plain() };
    let threads = Marks { parallel: true, ..plain() };
    let s = over("n.1", "S1", v("n"), lanes, s);
    let s = over("m.1", "S1", v("m"), rows, s);
    let s = over("k", "S1", v("k"), plain(), s);
    let s = over("n.0", "S1", tile("n", 8), plain(), s);
    let s = over("m.0", "S1", tile("m", 4), threads, s);
    Tree::Sequence(vec![children[0].clone(), s])
}

#[test]
fn full_tiles_have_constant_trip_counts() {
    let nest: Nest = MATMUL.parse().unwrap();
    let kernel = lowered(&nest, tiled);
    for (m, n, k) in [(8, 16, 3), (9, 17, 2), (3, 20, 2), (5, 7, 1), (4, 8, 0)] {
        agree(&nest, &kernel, &[("M", m), ("N", n), ("K", k)]);
    }
    let all = loops(&kernel.body);
    let constant = |l: &KernelLoop| l.lower == Index::Const(0) && l.upper == Index::Const(8);
    let lanes: Vec<_> = all.iter().filter(|l| l.mode == LoopMode::Vector).collect();
    assert_eq!(lanes.len(), 3, "full, full lanes only, partial");
    assert_eq!(lanes.iter().filter(|l| constant(l)).count(), 2);
    assert!(all.iter().any(|l| l.mode == LoopMode::Parallel && &*l.label == "m.0"));
    // The condition stands outside the reduction: the loop over k holds loops only.
    for k in all.iter().filter(|l| &*l.label == "k") {
        assert!(matches!(k.body.as_slice(), [KernelNode::Loop(_)]), "{k:#?}");
    }
    let mut names: Vec<_> = all.iter().map(|l| &l.var).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "each loop has a variable of its own");
}

#[test]
fn known_sizes_leave_no_condition() {
    let text = MATMUL.replace("param M, N, K", "param M = 8\nparam N = 16\nparam K = 5");
    let nest: Nest = text.parse().unwrap();
    let kernel = lowered(&nest, tiled);
    agree(&nest, &kernel, &[("M", 8), ("N", 16), ("K", 5)]);
    let all = loops(&kernel.body);
    assert!(all.iter().all(|l| matches!((&l.lower, &l.upper), (Index::Const(_), Index::Const(_)))));
    assert_eq!(all.iter().filter(|l| l.mode == LoopMode::Vector).count(), 1);
}

#[test]
fn a_skewed_and_tiled_stencil_computes_the_same() {
    let nest: Nest = STENCIL.parse().unwrap();
    let kernel = lowered(&nest, |_| {
        let i = v("i").add(&v("t")).unwrap();
        let j = v("j").add(&v("i")).unwrap().add(&v("t").scale(2).unwrap()).unwrap();
        let tile = |e: &Affine| e.floor_div(4).unwrap();
        let s = Tree::Statement("S".into());
        let points = [("j.1", j.clone()), ("i.1", i.clone()), ("t.1", v("t"))];
        let tiles = [("j.0", tile(&j)), ("i.0", tile(&i)), ("t.0", tile(&v("t")))];
        points
            .into_iter()
            .chain(tiles)
            .fold(s, |body, (name, row)| over(name, "S", row, plain(), body))
    });
    for (t, n) in [(1, 3), (5, 9), (9, 14)] {
        agree(&nest, &kernel, &[("T", t), ("N", n)]);
    }
}

/// A loop that known sizes leave without an iteration, inside one that runs and outside of any.
#[test]
fn loops_without_iterations_are_left_out() {
    let text = MATMUL.replace("param M, N, K", "param M = 3\nparam N = 4\nparam K = 0");
    let nest: Nest = text.parse().unwrap();
    let kernel = lowered(&nest, |tree| tree);
    assert_eq!(stores(&kernel.body), ["S0"]);
    agree(&nest, &kernel, &[("M", 3), ("N", 4), ("K", 0)]);
    let nothing: Nest = text.replace("M = 3", "M = 0").parse().unwrap();
    let kernel = lowered(&nothing, |tree| tree);
    assert!(kernel.body.is_empty(), "{kernel:#?}");
    agree(&nothing, &kernel, &[("M", 0), ("N", 4), ("K", 0)]);
}

/// The statements of a kernel's stores, in the order of the text.
fn stores(body: &[KernelNode]) -> Vec<String> {
    body.iter()
        .flat_map(|node| match node {
            KernelNode::Loop(l) => stores(&l.body),
            KernelNode::If(_, a, b) => [stores(a), stores(b)].concat(),
            KernelNode::Store(s) => vec![s.statement.to_string()],
            KernelNode::Device(_) => Vec::new(),
            KernelNode::Local(l) => stores(&l.body),
        })
        .collect()
}

/// Two statements in one vector loop, the second one iteration later: each gets its own lanes.
#[test]
fn lanes_of_statements_with_different_bounds() {
    let nest: Nest = "param N
inout A: i32[N]
inout B: i32[N]
for i in 0..N { S0: A[i] += 3 }
for i in 1..N - 1 { S1: B[i] += A[i - 1] }
"
    .parse()
    .unwrap();
    let lanes = Marks { vectorize: true, ..plain() };
    let later = v("i").add_const(-1).unwrap();
    let tile = |e: &Affine| e.floor_div(8).unwrap();
    let rows = |row: &dyn Fn(&Affine) -> Affine| {
        BTreeMap::from([("S0".into(), row(&v("i"))), ("S1".into(), row(&later))])
    };
    let kernel = lowered(&nest, |_| {
        let both = vec![Tree::Statement("S0".into()), Tree::Statement("S1".into())];
        let (name, body) = ("i.1".into(), Box::new(Tree::Sequence(both)));
        let points = TreeLoop { name, rows: rows(&Clone::clone), marks: lanes.clone(), body };
        let (name, body) = ("i.0".into(), Box::new(Tree::Loop(points)));
        Tree::Loop(TreeLoop { name, rows: rows(&tile), marks: plain(), body })
    });
    let vector: Vec<_> =
        loops(&kernel.body).into_iter().filter(|l| l.mode == LoopMode::Vector).collect();
    assert!(vector.len() >= 2, "{kernel}");
    for l in vector {
        assert!(matches!(&l.body[..], [KernelNode::Store(_)]), "{kernel}");
    }
    for n in [1, 2, 3, 9, 20] {
        agree(&nest, &kernel, &[("N", n)]);
    }
}
