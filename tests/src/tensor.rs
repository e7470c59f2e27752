//! Block programs from schedules: run by the interpreter against their nests, and assembled.
//!
//! In: a nest of fixed sizes and a schedule. Out: the kernel's text and the assembler's report; a
//! result that differs from the nest's is a panic.
//! Keeps: floats are small integers, whose sums are exact in f32, and integers are of their whole
//! range, so results agree bit for bit.

use std::collections::BTreeMap;
use std::fmt::Display;

use warploom::{Kernel, Schedule, compile};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_ir::tensor::{Tensor, random_word};

/// A nest, and its schedule by a script.
///
/// # Panics
/// One of them is none.
#[must_use]
pub fn replayed(text: &str, script: &str) -> (Nest, Schedule) {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{e}\n{script}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let schedule = start.replay(&script).unwrap_or_else(|e| panic!("{}", e.diagnostic));
    (nest, schedule)
}

/// A contraction of bf16 with f32 sums, as an einsum becomes it; extents by label (`a=16,b=2`).
///
/// # Panics
/// It is no einsum of two operands, or a label has no size.
#[must_use]
pub fn contraction(spec: &str, sizes: &str) -> String {
    let (inputs, out) = spec.split_once("->").expect("an einsum");
    let (a, b) = inputs.split_once(',').expect("two operands");
    let of = |label: char| {
        let found = sizes.split(',').find_map(|s| s.strip_prefix(label)?.strip_prefix('='));
        found.expect("every label has a size")
    };
    let list = |labels: &str| labels.chars().map(String::from).collect::<Vec<_>>().join(", ");
    let shape = |labels: &str| labels.chars().map(of).collect::<Vec<_>>().join(", ");
    let open = |l: char| format!("for {l} in 0..{} {{\n", of(l));
    let sums: Vec<char> = a.chars().filter(|l| b.contains(*l) && !out.contains(*l)).collect();
    let around: String = out.chars().map(open).collect();
    let inner: String = sums.iter().map(|l| open(*l)).collect();
    format!(
        "in A: bf16[{}]\nin B: bf16[{}]\nout Out: bf16[{o}]\ntemp Acc: f32[{o}]\n{around}\
         S0: Acc[{i}] = 0.0\n{inner}S1: Acc[{i}] += A[{}] * B[{}] order fixed\n{}\
         S2: Out[{i}] = Acc[{i}]\n{}",
        shape(a),
        shape(b),
        list(a),
        list(b),
        "}\n".repeat(sums.len()),
        "}\n".repeat(out.len()),
        o = shape(out),
        i = list(out),
    )
}

/// Checks why a script is refused: by a step, or because it has no kernel.
///
/// # Panics
/// It is not refused, or with another code or other words.
pub fn refused(text: &str, script: &str, code: &str, words: &str) {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{e}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let error = match start.replay(&script) {
        Ok(schedule) => compile::lower(&schedule).expect_err(words),
        Err(illegal) => illegal.diagnostic.clone(),
    };
    assert!(error.code == code && error.message.contains(words), "{error}");
}

/// Integers from -4 to 4 where the type is a float, a half, 1 or 2 of powers of two, halves from
/// 0.5 to 2.5 of floats without a sign, else any.
///
/// # Panics
/// The tensor is too large for this machine.
#[must_use]
pub fn values(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    if !dtype.is_float() {
        return Tensor::random(dtype, shape, seed).expect("a small tensor");
    }
    let count = shape.iter().product::<usize>();
    let value = |i: usize| match (random_word(seed, i as u64), dtype) {
        (word, DType::Ue8m0) => (1 << (word % 3)) as f64 / 2.0,
        (word, DType::Ue4m3) => (word % 5 + 1) as f64 / 2.0,
        (word, _other) => (word % 9) as f64 - 4.0,
    };
    let values: Vec<f64> = (0..count).map(value).collect();
    Tensor::from_f64s(dtype, shape, &values).expect("small integers fit every type")
}

/// The inputs of a nest, and its sizes.
///
/// # Panics
/// The nest has sizes that are not fixed.
#[must_use]
pub fn inputs(nest: &Nest) -> (BTreeMap<Name, i64>, BTreeMap<Name, Tensor>) {
    let sizes: BTreeMap<Name, i64> =
        nest.params.iter().filter_map(|p| Some((p.name.clone(), p.value?))).collect();
    let mut inputs = BTreeMap::new();
    for (seed, a) in (1..).zip(&nest.arrays) {
        let lookup = |name: &str| sizes.get(name).copied();
        let shape = a.shape.iter().map(|e| e.eval(&lookup).expect("sizes are fixed"));
        let shape: Vec<usize> = shape.map(|e| usize::try_from(e).expect("positive")).collect();
        if matches!(a.role, Role::In | Role::InOut) {
            inputs.insert(a.name.clone(), values(a.dtype, &shape, seed));
        }
    }
    (sizes, inputs)
}

/// `Out[m, n] = sum over k of A[m, k] * B[n, k]`, in bf16 with results of this type.
#[must_use]
pub fn product(out: &str, [m, n, k]: [impl Display; 3]) -> String {
    format!(
        "in A: bf16[{m}, {k}]\nin B: bf16[{n}, {k}]\nout Out: {out}[{m}, {n}]\n\
         temp Acc: f32[{m}, {n}]\nfor m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Acc[m, n] = 0.0\n\
         for k in 0..{k} {{ S1: Acc[m, n] += A[m, k] * B[n, k] order fixed }}\n\
         S2: Out[m, n] = Acc[m, n]\n}}\n}}\n"
    )
}

/// The kernel, and what the assembler says of its code for sm_90a.
///
/// # Panics
/// The kernel is no block program, computes something else than the nest, or code for it spills.
#[must_use]
pub fn agrees(nest: &Nest, schedule: &Schedule) -> (String, String) {
    agrees_on(nest, schedule, Target::Sm90a)
}

/// [`agrees`] for a target.
///
/// # Panics
/// As for [`agrees`].
#[must_use]
pub fn agrees_on(nest: &Nest, schedule: &Schedule, target: Target) -> (String, String) {
    let lowered = compile::lower(schedule).unwrap_or_else(|e| panic!("{e}"));
    let kernel = lowered.kernel();
    let text = kernel.to_string();
    assert!(kernel.has_block_program(), "{text}");
    assert_eq!(text.parse::<Kernel>().as_ref().ok(), Some(kernel), "{text}");
    let (sizes, inputs) = inputs(nest);
    let want = interp::nest::run(nest, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(kernel, &sizes, &inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{text}"));
    for (name, tensor) in &want {
        assert_eq!(tensor.bytes(), have[name].bytes(), "{name}\n{text}");
    }
    let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
    assert!(report.contains("0 bytes spill stores"), "{report}");
    (text, report)
}

/// The kernel of [`agrees_on`], of whose code the assembler says nothing: no warning, no spill, no
/// asynchronous products that it makes wait for each other.
///
/// # Panics
/// As for [`agrees`], and where it does.
#[must_use]
pub fn agrees_cleanly(nest: &Nest, schedule: &Schedule, target: Target) -> String {
    let (text, report) = agrees_on(nest, schedule, target);
    assert!(!report.contains("warning") && report.contains(" 0 bytes spill loads"), "{report}");
    assert!(!report.contains("C75"), "products wait for each other: {report}\n{text}");
    text
}
