//! Products whose factors are in registers (`mma`), by scripts: the programs of a block's warps are
//! sealed, compute what the nest says in the interpreter, and are assembled without spills for the
//! GPUs that have the instruction.
//!
//! Data are small integers or integers of their whole range, so results agree bit for bit.

use warploom::{Schedule, compile};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees_on, refused, replayed};

/// A product of these types.
#[derive(Clone, Copy)]
struct Types {
    a: &'static str,
    b: &'static str,
    acc: &'static str,
    /// Columns that the instruction sums over, and its rows.
    k: i64,
    m: i64,
}

const F64: Types = Types { a: "f64", b: "f64", acc: "f64", k: 8, m: 16 };
const BF16: Types = Types { a: "bf16", b: "bf16", acc: "f32", k: 16, m: 16 };
const TF32: Types = Types { a: "tf32", b: "tf32", acc: "f32", k: 8, m: 16 };

const fn bytes(a: &'static str, b: &'static str) -> Types {
    Types { a, b, acc: "i32", k: 32, m: 16 }
}

/// `Out[m, n] = sum over k of A * B`, whose indices stand in these orders.
fn product(t: Types, a: &str, b: &str, [m, n, k]: [i64; 3]) -> String {
    let size = |l: char| match l {
        'm' => m,
        'n' => n,
        _sum => k,
    };
    let shape = |s: &str| s.chars().map(|l| size(l).to_string()).collect::<Vec<_>>().join(", ");
    let at = |s: &str| s.chars().map(String::from).collect::<Vec<_>>().join(", ");
    let zero = if t.acc.starts_with('i') { "0" } else { "0.0" };
    format!(
        "in A: {}[{}]\nin B: {}[{}]\nout Out: {}[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Out[m, n] = {zero}\n\
         for k in 0..{k} {{ S1: Out[m, n] += A[{}] * B[{}] order fixed }}\n}}\n}}\n",
        t.a,
        shape(a),
        t.b,
        shape(b),
        t.acc,
        at(a),
        at(b),
    )
}

/// Tiles of 64 x 32 for four warps of 32 x 16, slices of `slice`, a ring of `stages`.
fn script(t: Types, slice: i64, stages: i64, pads: [i64; 2], fill: &str) -> String {
    let Types { a, b, acc, k, m } = t;
    format!(
        "tile m, n by 64, 32\ndistribute n.1\ndistribute m.1\nsplit k by {slice}\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 32\nsplit S1.m.1.1 by {m}\n\
         split S1.n.1 by 16\nsplit S1.n.1.1 by 8\nsplit k.1 by {k}\n\
         reorder k.0, S1.m.1.0, S1.n.1.0, k.1.0, S1.m.1.1.0, S1.n.1.1.0, \
         S1.m.1.1.1, S1.n.1.1.1, k.1.1\n\
         stage Out at n.0 as acc\nstage A at k.0 as As pad {}\nstage B at k.0 as Bs pad {}\n\
         map As.0 to {fill}\nmap Bs.0 to {fill}\nmap S1.m.1.0 to warp\nmap S1.n.1.0 to warp\n\
         tensorize S1.m.1.1.1, S1.n.1.1.1, k.1.1 with mma.m{m}n8k{k}.{acc}.{a}.{b}\n\
         ring k.0 by {stages}\nmap n.0 to block.x\nmap m.0 to block.y\n",
        pads[0], pads[1],
    )
}

/// The kernel's text.
fn check(text: &str, script: &str, target: Target) -> String {
    let (nest, schedule) = replayed(text, script);
    agrees_on(&nest, &schedule, target).0
}

const ORDERS: [[&str; 2]; 4] = [["mk", "nk"], ["mk", "kn"], ["km", "nk"], ["km", "kn"]];

#[test]
fn every_transposition_of_f64() {
    for [a, b] in ORDERS {
        for shape in [[128, 64, 64], [136, 72, 68]] {
            let text = check(
                &product(F64, a, b, shape),
                &script(F64, 16, 3, [4, 4], "async"),
                Target::Sm90a,
            );
            assert!(text.contains("cp.async.16(As"), "{text}");
        }
    }
}

#[test]
fn every_transposition_of_bf16() {
    for [a, b] in ORDERS {
        for shape in [[128, 64, 64], [136, 72, 72]] {
            let text = check(
                &product(BF16, a, b, shape),
                &script(BF16, 32, 3, [8, 8], "async"),
                Target::Sm80,
            );
            assert!(text.contains("ldmatrix("), "{text}");
        }
    }
}

#[test]
fn every_transposition_of_tf32() {
    for [a, b] in ORDERS {
        let text = check(
            &product(TF32, a, b, [72, 40, 72]),
            &script(TF32, 16, 4, [8, 8], "async"),
            Target::Sm80,
        );
        assert_eq!(text.contains("ldmatrix("), [a, b] != ["km", "kn"], "{text}");
    }
}

#[test]
fn halves_and_integers_of_every_sign() {
    let f16 = Types { a: "f16", b: "f16", ..BF16 };
    check(
        &product(f16, "mk", "kn", [72, 40, 40]),
        &script(f16, 32, 2, [8, 8], "async"),
        Target::Sm80,
    );
    for (a, b) in [("i8", "i8"), ("u8", "u8"), ("i8", "u8"), ("u8", "i8")] {
        let t = bytes(a, b);
        let script = script(t, 64, 3, [16, 16], "async");
        check(&product(t, "mk", "nk", [72, 40, 144]), &script, Target::Sm80);
    }
}

/// The instructions of f64 with other shapes; the smallest one is older.
#[test]
fn instructions_of_other_shapes() {
    for (m, k, target) in [(16, 4, Target::Sm90a), (16, 16, Target::Sm100a), (8, 4, Target::Sm80)] {
        let t = Types { m, k, ..F64 };
        check(&product(t, "mk", "kn", [72, 40, 50]), &script(t, 16, 2, [4, 4], "async"), target);
    }
}

/// Rows that are no whole 16 bytes: copies of 8 and 4 bytes, or threads that load and store.
#[test]
fn rows_of_any_length() {
    let odd = product(F64, "mk", "kn", [70, 37, 45]);
    let text = check(&odd, &script(F64, 16, 3, [4, 4], "async"), Target::Sm90a);
    assert!(text.contains("cp.async.8(As") && text.contains("cp.async.8(Bs"), "{text}");
    let even = product(BF16, "mk", "nk", [70, 37, 46]);
    let text = check(&even, &script(BF16, 32, 3, [8, 8], "async"), Target::Sm80);
    assert!(text.contains("cp.async.4(As"), "{text}");
    for [a, b] in ORDERS {
        for (t, slice) in [(BF16, 32), (F64, 16), (TF32, 16)] {
            let text = check(
                &product(t, a, b, [70, 37, 45]),
                &script(t, slice, 3, [8, 8], "thread.x"),
                Target::Sm90a,
            );
            assert!(text.contains(" over ") && !text.contains("cp.async"), "{text}");
        }
    }
    // one factor each way
    let mixed = script(BF16, 32, 3, [8, 8], "async").replace("As.0 to async", "As.0 to thread.x");
    check(&product(BF16, "mk", "kn", [70, 40, 45]), &mixed, Target::Sm80);
}

#[test]
fn rings_of_any_length() {
    for stages in [1, 2, 5] {
        for k in [8, 16, 40, 200] {
            check(
                &product(F64, "mk", "nk", [40, 24, k]),
                &script(F64, 16, stages, [4, 4], "async"),
                Target::Sm90a,
            );
        }
    }
}

#[test]
fn fragments_of_two_steps_where_a_slice_has_an_even_number() {
    let held = |script: &str| {
        let text = check(&product(F64, "mk", "kn", [136, 72, 200]), script, Target::Sm90a);
        let line = text.lines().find(|l| l.contains("fragment acc_a")).unwrap_or_default();
        (line.trim().to_owned(), text)
    };
    let (line, text) = held(&script(F64, 16, 3, [4, 4], "async"));
    assert!(line.starts_with("fragment acc_a: f64[64, 8]"), "two of 32 rows: {line}");
    let copies = text.matches("if ").count();
    let (line, text) = held(&script(F64, 8, 3, [4, 4], "async"));
    assert!(line.starts_with("fragment acc_a: f64[32, 8]"), "one step: {line}");
    assert!(text.matches("if ").count() > copies, "copies ahead are conditional:\n{text}");
    let (line, _) = held(&script(F64, 16, 1, [4, 4], "async"));
    assert!(line.starts_with("fragment acc_a: f64[32, 8]"), "nothing is ahead: {line}");
    // what the assembler does with one product in turn is wrong
    let one =
        script(F64, 16, 3, [4, 4], "async").replace("tile m, n by 64, 32", "tile m, n by 16, 8");
    let one = one.replace("split S1.m.1 by 32", "split S1.m.1 by 16");
    let (line, _) = held(&one.replace("split S1.n.1 by 16", "split S1.n.1 by 8"));
    assert!(line.starts_with("fragment acc_a: f64[16, 8]"), "one product: {line}");
}

/// The text of the automatic schedule's kernel, which is a program of warps.
fn automatic(text: &str, target: Target, multiprocessors: i64) -> String {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let options = GpuOptions { multiprocessors, ..GpuOptions::of(target) };
    let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule));
    let text = agrees_on(&nest, &schedule, target).0;
    assert!(text.contains("do mma."), "{text}");
    text
}

#[test]
fn automatic_schedules_of_f64() {
    for [a, b] in ORDERS {
        automatic(&product(F64, a, b, [136, 72, 68]), Target::Sm90a, 132);
    }
    for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
        automatic(&product(F64, "mk", "kn", [70, 37, 45]), target, 4);
    }
    // groups of tiles, few rows, a long sum in parts
    let text = automatic(&product(F64, "mk", "kn", [512, 512, 16]), Target::Sm90a, 4);
    assert!(text.contains("S1_tile"), "{text}");
    automatic(&product(F64, "mk", "nk", [8, 300, 64]), Target::Sm90a, 132);
    let text = automatic(&product(F64, "mk", "kn", [16, 24, 2048]), Target::Sm90a, 16);
    assert!(text.contains("block.z"), "{text}");
}

#[test]
fn automatic_schedules_of_every_type_on_sm_80() {
    let f16 = Types { a: "f16", b: "f16", ..BF16 };
    for t in [BF16, f16, TF32, bytes("i8", "i8"), bytes("u8", "i8")] {
        automatic(&product(t, "mk", "nk", [136, 72, 80]), Target::Sm80, 108);
        automatic(&product(t, "km", "kn", [40, 37, 45]), Target::Sm80, 108);
    }
}

#[test]
fn automatic_schedules_on_gpus_without_other_matrix_units() {
    let f16 = Types { a: "f16", b: "f16", ..BF16 };
    let all = [
        (BF16, "HMMA.16816.F32.BF16"),
        (f16, "HMMA.16816.F32"),
        (TF32, "HMMA.1688.F32.TF32"),
        (bytes("i8", "u8"), "IMMA.16832.S8.U8"),
        (F64, "DMMA.8"),
    ];
    for target in [Target::Sm80, Target::Sm86, Target::Sm89, Target::Sm120] {
        for (t, opcode) in all {
            let text = product(t, "mk", "nk", [136, 72, 80]);
            let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
            let schedule = compile::auto_for(&nest, target).unwrap_or_else(|e| panic!("{e}"));
            let (_, report) = agrees_on(&nest, &schedule, target);
            assert!(report.contains(" 0 bytes spill stores"), "{target}: {report}");
            let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
            let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
            let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
            assert!(sass.contains(opcode), "{target}: {opcode}\n{sass}");
        }
    }
}

#[test]
fn contractions_over_several_indices() {
    // batches and two sums; what f64 does on every GPU
    let text = "in A: f64[3, 20, 5, 12]\nin B: f64[12, 3, 5, 18]\nout C: f64[3, 20, 18]\n\
                for b in 0..3 {\nfor m in 0..20 {\nfor n in 0..18 {\nS0: C[b, m, n] = 0.0\n\
                for e in 0..5, k in 0..12 {\n\
                S1: C[b, m, n] += A[b, m, e, k] * B[k, b, e, n] order fixed\n}\n}\n}\n}\n";
    automatic(text, Target::Sm90a, 132);
}

#[test]
fn refusals_say_why() {
    let (text, plain) =
        (product(BF16, "mk", "nk", [64, 32, 64]), script(BF16, 32, 3, [8, 8], "async"));
    refused(&text, &plain.replace("As.0 to async", "As.0 to tma"), "E0732", "copied to `tma`");
    refused(&text, &plain.replace("As pad 8", "As pad 1"), "E0732", "no multiple of 16");
    refused(&text, &plain.replace("m.1.0 to warp", "m.1.0 to warpgroup"), "E0731", "no loop of a");
    let odd = product(BF16, "mk", "nk", [64, 32, 61]);
    refused(&odd, &plain, "E0731", "4 bytes");
    let signs = product(bytes("i8", "i8"), "km", "nk", [64, 32, 64]);
    let script = script(bytes("i8", "i8"), 64, 3, [16, 16], "async");
    refused(&signs, &script, "E0731", "cannot lie transposed");
}
