//! Helpers of the steps' tests: trees from text, refusals, and kernels compared with their nests.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Diagnostic, Result, Source};
use warploom_ir::interp;
use warploom_ir::kernel::{Kernel, KernelNode};
use warploom_ir::nest::{Nest, Role};
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::{Ref, Script};
use warploom_ir::tensor::Tensor;

use crate::{Applied, Illegal, Schedule, lower};

/// A product whose sums start in the loops that they end in.
pub(crate) const FUSED: &str = "param M, N, K
in A: i32[M, K]
in B: i32[K, N]
out C: i32[M, N]
for m in 0..M, n in 0..N {
  S0: C[m, n] = 0
  for k in 0..K { S1: C[m, n] += A[m, k] * B[k, n] }
}
";

/// The tree of this text.
pub(crate) fn tree(text: &str) -> Tree {
    Tree::parse(&Source::new("tree", text)).unwrap_or_else(|e| panic!("{e}"))
}

/// Loop references.
pub(crate) fn refs(names: &[&str]) -> Vec<Ref> {
    names.iter().map(|n| Ref::new(n)).collect()
}

/// The result is this tree.
pub(crate) fn becomes(result: Result<Tree>, text: &str) {
    let result = result.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(result, tree(text), "got\n{result}");
}

/// The result is a refusal whose text holds the words.
pub(crate) fn refused(result: Result<Tree>, code: &str, words: &str) -> Box<Diagnostic> {
    let error = result.expect_err("the step must be refused");
    assert_eq!(error.code, code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    error
}

/// The schedule of a script.
pub(crate) fn replay(nest: &str, script: &str) -> Applied<Schedule> {
    let nest: Nest = nest.parse().unwrap_or_else(|e| panic!("{e}"));
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{e}"));
    Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}")).replay(&script)
}

/// The nest, and the kernel of the script, which prints and parses back to itself.
pub(crate) fn lowered(nest: &str, script: &str) -> (Nest, Kernel) {
    let schedule = replay(nest, script).unwrap_or_else(|e| panic!("{script}\n{e}"));
    let again: Script = schedule.script().to_string().parse().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again, *schedule.script());
    let nest = schedule.nest().clone();
    let kernel = lower(schedule.poly(), schedule.tree(), &nest.source);
    (nest, kernel.unwrap_or_else(|e| panic!("{script}\n{e}")))
}

/// The script is refused with this code and these words.
pub(crate) fn refused_script(nest: &str, script: &str, code: &str, words: &str) -> Box<Illegal> {
    let error = replay(nest, script).expect_err(script);
    assert_eq!(error.diagnostic.code, code, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    error
}

/// Random data for every array that the caller gives; the k-th array's seed is `1 + k`.
pub(crate) fn inputs(nest: &Nest, sizes: &BTreeMap<Name, i64>) -> BTreeMap<Name, Tensor> {
    let mut out = BTreeMap::new();
    for (seed, array) in (1..).zip(&nest.arrays) {
        let extent = |e: &Affine| e.eval(&|name| sizes.get(name).copied());
        let shape: Vec<usize> = array
            .shape
            .iter()
            .map(|e| {
                usize::try_from(extent(e).expect("sizes are given")).expect("no size is negative")
            })
            .collect();
        if matches!(array.role, Role::In | Role::InOut) {
            let tensor = Tensor::random(array.dtype, &shape, seed).expect("the tensor is small");
            out.insert(array.name.clone(), tensor);
        }
    }
    out
}

/// Runs both and compares every bit.
pub(crate) fn agree(nest: &Nest, kernel: &Kernel, values: &[(&str, i64)]) {
    let fixed = nest.params.iter().filter_map(|p| Some((p.name.clone(), p.value?)));
    let given = values.iter().map(|(name, value)| ((*name).into(), *value));
    let sizes: BTreeMap<Name, i64> = fixed.chain(given).collect();
    let inputs = inputs(nest, &sizes);
    let want = interp::nest::run(nest, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(kernel, &sizes, &inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{kernel}"));
    for (name, tensor) in &want {
        let same = tensor.bytes() == have[name].bytes();
        assert!(same, "{name} differs at {values:?}\n{kernel}");
    }
}

/// The shape and body of the local buffer of this name.
pub(crate) fn buffer<'a>(
    nodes: &'a [KernelNode],
    name: &str,
) -> Option<(&'a [i64], &'a [KernelNode])> {
    nodes.iter().find_map(|node| match node {
        KernelNode::Loop(l) => buffer(&l.body, name),
        KernelNode::If(_, a, b) => buffer(a, name).or_else(|| buffer(b, name)),
        KernelNode::Store(_) | KernelNode::Device(_) => None,
        KernelNode::Local(l) if &*l.name == name => Some((&l.shape, &l.body)),
        KernelNode::Local(l) => buffer(&l.body, name),
    })
}
