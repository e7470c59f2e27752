//! Products of every type that the tensor cores of sm_90a take, by scripts and by themselves: each
//! block program is sealed, computes what the nest says, and is assembled without spills and
//! without products that wait for each other.

use std::collections::BTreeMap;

use warploom::{Schedule, compile, verify};
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees, refused, replayed};

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
    let dtype: DType = dtype.parse().unwrap_or_else(|e| panic!("{e}"));
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

#[test]
fn integers_of_every_sign_by_scripts() {
    for (a, b) in [("i8", "i8"), ("u8", "u8"), ("i8", "u8"), ("u8", "i8")] {
        let t = plain(a, b, "i32");
        check(&product(t, [72, 72, 144]), &script(t));
    }
    // the sum wraps, so its order may even be that of the text
    let t = Types { clause: "order any strict", ..plain("i8", "i8", "i32") };
    check(&product(t, [40, 24, 48]), &script(t));
}

#[test]
fn tf32_by_scripts() {
    let t = plain("tf32", "tf32", "f32");
    check(&product(t, [136, 72, 68]), &script(t));
    refused(
        &product(plain("f32", "f32", "f32"), [64, 64, 32]),
        &script(t),
        "E0731",
        "of type tf32",
    );
}

#[test]
fn integers_and_tf32_by_themselves() {
    automatic(&product(plain("i8", "i8", "i32"), [256, 520, 272]), 4);
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
    // results of batches leave in slabs, too
    let batches = "in A: tf32[2, 136, 68]\nin B: tf32[2, 264, 68]\nout Out: f32[2, 136, 264]\n\
                   for b in 0..2, m in 0..136, n in 0..264 { S0: Out[b, m, n] = 0.0 }\n\
                   for b in 0..2, m in 0..136, n in 0..264, k in 0..68 \
                   { S1: Out[b, m, n] += A[b, m, k] * B[b, n, k] order fixed }\n";
    let text = automatic(batches, 4);
    assert!(text.contains("tma.store"), "{text}");
}

const FAST: &str = "keeps 13 order fixed";
const PROMOTED: &str = "keeps 13 over 128 order fixed";

#[test]
fn bytes_of_floats_by_scripts() {
    for (a, b) in [("e4m3", "e4m3"), ("e5m2", "e4m3"), ("e4m3", "e5m2"), ("e5m2", "e5m2")] {
        for clause in [FAST, PROMOTED] {
            let t = Types { clause, out: "bf16", ..plain(a, b, "f32") };
            let text = check(&product(t, [72, 72, 144]), &script(t));
            assert_eq!(text.contains("fragment partial"), clause == PROMOTED, "{text}");
        }
    }
    // one slice, and slices of their own for each of two tiles
    let t = Types { clause: PROMOTED, ..plain("e4m3", "e4m3", "f32") };
    check(&product(t, [8, 8, 16]), &script(t));
    let turns = script(t)
        .replace("map n.0 to block.x\nmap m.0 to block.y", "reorder m.0, n.0\nmap m.0 to block.x");
    check(&product(t, [200, 136, 272]), &turns);
}

#[test]
fn bytes_of_floats_by_themselves() {
    let of = |a, b, clause| Types { clause, out: "bf16", ..plain(a, b, "f32") };
    let text = automatic(&product(of("e4m3", "e4m3", PROMOTED), [256, 576, 144]), 4);
    assert!(text.contains("fragment partial"), "{text}");
    let text = automatic(&product(of("e4m3", "e5m2", FAST), [16, 520, 272]), 132);
    assert!(text.contains(".e5m2.e4m3"), "rows are the result's columns: {text}");
    automatic(&product(of("e4m3", "e4m3", FAST), [256, 520, 144]), 4);
    // partial sums that are shorter than a row of the copy engine's boxes
    let text =
        automatic(&product(of("e5m2", "e5m2", "keeps 13 over 70 order any"), [128, 128, 272]), 132);
    assert!(text.contains("fragment partial") && text.contains("64 * "), "{text}");
}

#[test]
fn adders_that_drop_bits_need_leave() {
    let t = plain("e4m3", "e4m3", "f32");
    refused(&product(t, [64, 64, 128]), &script(t), "E0731", "keeps 13 below the largest");
    for clause in ["keeps 14 order any", "keeps 14 over 32 order any"] {
        let t = Types { clause, ..t };
        refused(&product(t, [64, 64, 128]), &script(t), "E0731", "keeps 13 below the largest");
    }
    let short = Types { clause: "keeps 13 over 127 order any", ..t };
    refused(&product(short, [64, 64, 128]), &script(t), "E0731", "adds 128 products");
    let nest: Nest = product(t, [64, 64, 128]).parse().unwrap_or_else(|e| panic!("{e}"));
    let schedule = compile::auto_for(&nest, Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    assert!(
        !text.contains("f32.e4m3"),
        "by an instruction that keeps more bits, or threads: {text}"
    );
}

/// 1024 products of 63: a sum of 13 bits drops what partial sums of 128 keep.
#[test]
fn partial_sums_keep_what_long_ones_drop() {
    let result = |clause| {
        let t = Types { clause, ..plain("e4m3", "e4m3", "f32") };
        let (nest, schedule) = replayed(&product(t, [64, 8, 1024]), &script(t));
        let of = |rows: usize, value: f64| {
            let all = vec![value; rows * 1024];
            Tensor::from_f64s(DType::E4m3, &[rows, 1024], &all).expect("small integers")
        };
        let inputs = BTreeMap::from([("A".into(), of(64, 7.0)), ("B".into(), of(8, 9.0))]);
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        let out = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
        let out = out.unwrap_or_else(|e| panic!("{e}"));
        let reference = interp::nest::run_bounded(&nest, &BTreeMap::new(), &inputs);
        let reference = &reference.unwrap_or_else(|e| panic!("{e}"))["Out"];
        let error = (out["Out"].get_flat(5).to_f64() - reference.value[5]).abs();
        assert!((reference.value[5] - 64512.0).abs() < 0.5);
        assert!(error <= reference.bound[5], "{error} {}", reference.bound[5]);
        verify::check(&nest, &inputs, &out).unwrap_or_else(|e| panic!("{e}"));
        (error, reference.bound[5])
    };
    let t = Types { clause: PROMOTED, ..plain("e4m3", "e4m3", "f32") };
    let pairs = check(&product(t, [64, 8, 640]), &script(t));
    assert!(pairs.contains("fragment partial_2"), "slices in pairs, and one more:\n{pairs}");
    let one = check(&product(t, [64, 8, 640]), &script(t).replace("k.0 by 3", "k.0 by 1"));
    assert!(!one.contains("fragment partial_2"), "a pair of slices has two slots:\n{one}");
    let (error, bound) = result(PROMOTED);
    assert!(error == 0.0 && bound < 64512.0 / 16.0, "{error} {bound}");
    let (error, bound) = result(FAST);
    assert!(error > 1000.0 && bound > 64512.0 / 8.0, "{error} {bound}");
}

#[test]
fn operands_that_cannot_lie_transposed_are_refused() {
    for t in [plain("i8", "i8", "i32"), plain("tf32", "tf32", "f32")] {
        let text = product(t, [64, 64, 64]);
        let turned = text.replace("B[n, k]", "B[k, n]");
        refused(&turned, &script(t), "E0731", "along the last dimension of `Bs`");
        // by themselves, threads turn the operand on its way
        automatic(&turned, 132);
    }
}
