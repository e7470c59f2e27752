//! Products of every type that the tensor cores of sm_90a take, by scripts and by themselves: each
//! block program is sealed, computes what the nest says, and is assembled without spills and
//! without products that wait for each other.

use warploom::{Schedule, compile};
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees, replayed};

/// Types of a product, and what the sums become.
#[derive(Clone, Copy)]
struct Types {
    a: &'static str,
    b: &'static str,
    acc: &'static str,
    out: &'static str,
    /// What a result is, of the sum `Acc[m, n]`.
    value: &'static str,
    /// Clauses of the sum.
    clause: &'static str,
}

const fn plain(a: &'static str, b: &'static str, acc: &'static str) -> Types {
    Types { a, b, acc, out: acc, value: "Acc[m, n]", clause: "order fixed" }
}

/// `Out[m, n] = f(sum over k of A[m, k] * B[n, k])`.
fn product(t: Types, [m, n, k]: [i64; 3]) -> String {
    let Types { a, b, acc, out, value, clause } = t;
    let zero = if acc.starts_with('i') { "0" } else { "0.0" };
    format!(
        "in A: {a}[{m}, {k}]\nin B: {b}[{n}, {k}]\nout Out: {out}[{m}, {n}]\n\
         temp Acc: {acc}[{m}, {n}]\nfor m in 0..{m} {{\nfor n in 0..{n} {{\n\
         S0: Acc[m, n] = {zero}\n\
         for k in 0..{k} {{ S1: Acc[m, n] += A[m, k] * B[n, k] {clause} }}\n\
         S2: Out[m, n] = {value}\n}}\n}}\n"
    )
}

/// Bytes of an element.
fn bytes(dtype: &str) -> i64 {
    let dtype: warploom_ir::dtype::DType = dtype.parse().unwrap_or_else(|e| panic!("{e}"));
    i64::try_from(dtype.size_bytes()).expect("few")
}

/// Tiles of 128 x 64 and 128 bytes, two warpgroups, a ring of three.
fn script(t: Types) -> String {
    let (slice, k) = (128 / bytes(t.a), 32 / bytes(t.a));
    let Types { a, b, acc, .. } = t;
    format!(
        "tile m, n by 128, 64\ndistribute n.1\ndistribute m.1\nsplit k by {slice}\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 64\nsplit k.1 by {k}\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         map As.0 to tma\nmap Bs.0 to tma\nmap S1.m.1.0 to warpgroup\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n64k{k}.{acc}.{a}.{b}\n\
         ring k.0 by 3\nmap n.0 to block.x\nmap m.0 to block.y\n"
    )
}

fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    let (text, report) = agrees(&nest, &schedule);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

/// The text of the automatic schedule's kernel.
fn automatic(text: &str, multiprocessors: i64) -> String {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let options = GpuOptions { multiprocessors, ..GpuOptions::of(Target::Sm90a) };
    let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
    let (text, report) = agrees(&nest, &schedule);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

/// Why a script is refused.
fn refused(text: &str, script: &str, words: &str) {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let script: Script = script.parse().unwrap_or_else(|e| panic!("{e}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let error = match start.replay(&script) {
        Ok(schedule) => compile::lower(&schedule).expect_err(words),
        Err(illegal) => illegal.diagnostic.clone(),
    };
    assert!(error.code == "E0731" && error.message.contains(words), "{error}");
}

#[test]
fn integers_of_every_sign_by_scripts() {
    for (a, b) in [("i8", "i8"), ("u8", "u8"), ("i8", "u8"), ("u8", "i8")] {
        let t = plain(a, b, "i32");
        check(&product(t, [136, 72, 272]), &script(t));
    }
    // the sum wraps, so its order may even be that of the text
    let t = Types { clause: "order any strict", ..plain("i8", "i8", "i32") };
    check(&product(t, [40, 24, 48]), &script(t));
}

#[test]
fn tf32_by_scripts() {
    let t = plain("tf32", "tf32", "f32");
    check(&product(t, [136, 72, 68]), &script(t));
    refused(&product(plain("f32", "f32", "f32"), [64, 64, 32]), &script(t), "of type tf32");
}

#[test]
fn integers_and_tf32_by_themselves() {
    automatic(&product(plain("i8", "i8", "i32"), [512, 512, 272]), 4);
    automatic(&product(plain("u8", "i8", "i32"), [16, 520, 272]), 132);
    automatic(&product(plain("tf32", "tf32", "f32"), [136, 264, 68]), 132);
    // a residue of eight bits leaves through shared memory
    let residue = Types {
        out: "i8",
        value: "cast_i8(mod(Acc[m, n] + 127, 255) - 127)",
        ..plain("i8", "i8", "i32")
    };
    let text = automatic(&product(residue, [136, 272, 144]), 132);
    assert!(text.contains("tma.store"), "{text}");
}

#[test]
fn operands_that_cannot_lie_transposed_are_refused() {
    for t in [plain("i8", "i8", "i32"), plain("tf32", "tf32", "f32")] {
        let text = product(t, [64, 64, 64]);
        let turned = text.replace("B[n, k]", "B[k, n]");
        refused(&turned, &script(t), "along the last dimension of `Bs`");
        let nest: Nest = turned.parse().unwrap_or_else(|e| panic!("{e}"));
        let schedule = compile::auto_for(&nest, Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        assert!(!lowered.kernel().has_block_program(), "{}", lowered.kernel());
    }
}
