//! Operands of tensor cores that threads fill: rows of any length, conversions and expressions on
//! the way to shared memory. The block programs are sealed by the verifier, run in the interpreter
//! against the nest, and are assembled without spills.
//!
//! Data are small integers, so that every sum is exact in f32 and results must agree bit for bit.

use std::collections::BTreeMap;

use warploom::Schedule;
use warploom::compile;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees_on, replayed, values};

/// The kernel of a script for a nest, run by the interpreter, compared, and assembled.
fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    agrees(&nest, &schedule, Target::Sm90a)
}

fn agrees(nest: &Nest, schedule: &Schedule, target: Target) -> String {
    let (text, report) = agrees_on(nest, schedule, target);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

/// `Out[m, n] = sum of A B`, where `a` and `b` say in which order the factors' indices are.
fn product(a: &str, b: &str, [m, n, k]: [i64; 3]) -> String {
    let size = |l: char| match l {
        'm' => m,
        'n' => n,
        _sum => k,
    };
    let shape = |labels: &str| labels.chars().map(|l| size(l).to_string()).collect::<Vec<_>>();
    let at = |labels: &str| labels.chars().map(String::from).collect::<Vec<_>>().join(", ");
    format!(
        "in A: bf16[{}]\nin B: bf16[{}]\nout Out: f32[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Out[m, n] = 0.0\n\
         for k in 0..{k} {{ S1: Out[m, n] += A[{}] * B[{}] order fixed }}\n}}\n}}\n",
        shape(a).join(", "),
        shape(b).join(", "),
        at(a),
        at(b),
    )
}

/// Tiles of 128 x 64, two warpgroups, operands filled as said.
fn script(stages: i64, a: &str, b: &str) -> String {
    format!(
        "tile m, n by 128, 64\ndistribute n.1\ndistribute m.1\nsplit k by 64\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 64\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Out at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         map As.0 to {a}\nmap Bs.0 to {b}\nmap S1.m.1.0 to warpgroup\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n64k16.f32.bf16.bf16\n\
         ring k.0 by {stages}\nmap n.0 to block.x\nmap m.0 to block.y\n"
    )
}

#[test]
fn rows_of_any_length() {
    for (a, b) in [("mk", "kn"), ("mk", "nk"), ("km", "kn"), ("km", "nk")] {
        let text = check(&product(a, b, [127, 129, 131]), &script(3, "thread.x", "thread.x"));
        assert!(!text.contains("tma"), "{text}");
        let text = check(&product(a, b, [300, 77, 50]), &script(2, "thread.x", "thread.x"));
        assert!(text.contains("over"), "{text}");
    }
}

/// Slots are filled several times: each warp releases what it has read.
#[test]
fn rings_that_come_round() {
    for (stages, b) in [(1, "thread.x"), (2, "thread.x"), (3, "thread.x"), (3, "tma")] {
        check(&product("mk", "kn", [130, 72, 459]), &script(stages, "thread.x", b));
    }
    // blocks that stay, with the sums of a tile after those of another
    auto(&product("mk", "nk", [250, 520, 333]), 2);
}

#[test]
fn one_operand_by_threads_and_one_by_the_copy_engine() {
    let text = check(&product("mk", "kn", [130, 72, 77]), &script(3, "thread.x", "tma"));
    assert!(text.contains("tma.load(Bs") && text.contains("count 5"), "{text}");
    let text = check(&product("km", "nk", [136, 70, 200]), &script(2, "tma", "tma"));
    assert!(!text.contains("over"), "{text}");
}

/// What the automatic schedule makes of a nest on a GPU with so many multiprocessors.
fn auto(text: &str, multiprocessors: i64) -> String {
    let (nest, schedule) = scheduled(text, multiprocessors, Target::Sm90a);
    agrees(&nest, &schedule, Target::Sm90a)
}

fn scheduled(text: &str, multiprocessors: i64, target: Target) -> (Nest, Schedule) {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let options = GpuOptions { multiprocessors, ..GpuOptions::of(target) };
    let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule));
    (nest, schedule)
}

/// A thread's share of all registers is enough for its part of the sums, whatever the tiles.
#[test]
fn threads_that_fill_leave_registers_for_sums() {
    for [m, n, k] in [[300, 5000, 777], [4093, 4095, 4097], [2048, 2046, 2050], [65, 8191, 777]] {
        let (_, schedule) = scheduled(&product("mk", "kn", [m, n, k]), 132, Target::Sm90a);
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
        let script = schedule.script();
        assert!(script.to_string().contains("thread.x"), "{script}");
        assert!(report.contains("0 bytes spill stores") && !report.contains("C75"), "{report}");
    }
}

#[test]
fn automatic_schedules_let_threads_fill_what_the_copy_engine_cannot() {
    for (a, b) in [("mk", "kn"), ("km", "nk")] {
        let text = auto(&product(a, b, [127, 129, 131]), 132);
        assert!(!text.contains("tma.load"), "{text}");
    }
    auto(&product("mk", "nk", [300, 77, 50]), 4);
    let text = auto(&product("mk", "kn", [40, 520, 77]), 2);
    assert!(text.contains("tma.load"), "{text}");
}

/// As [`script`], where `A` is computed by `P` for each slice.
fn fused(stages: i64) -> String {
    script(stages, "", "tma")
        .replace("stage A at k.0 as As", "fuse-at P at k.0")
        .replace("map As.0 to ", "map P_at_k_0.i to thread.x")
}

#[test]
fn producers_are_computed_on_the_way() {
    let producers = [
        ("X: f32[72, 77]", "X[i, j]"),
        ("X: i8[72, 77]\nin s: f32[72]", "X[i, j] * s[i]"),
        ("X: e4m3[72, 77]\nin s: f32[77]", "max(X[i, j] * s[j], 0.0)"),
        ("X: f32[77, 72]", "select(i <= j, X[j, i], 0.0)"),
    ];
    for (input, value) in producers {
        let plain = product("mk", "kn", [72, 64, 77])
            .replace("in A: bf16[72, 77]\n", &format!("in {input}\ntemp A: bf16[72, 77]\n"));
        let producer =
            format!("for i in 0..72 {{\nfor j in 0..77 {{ P: A[i, j] = {value} }}\n}}\nfor m in");
        let nest = plain.replace("for m in", &producer);
        let text = check(&nest, &fused(3));
        assert!(text.contains("over") && text.contains("tma.load(Bs"), "{text}");
    }
}

/// A slice of an Ozaki scheme is split off binary64 elements on the way to the tensor cores.
#[test]
fn a_slice_of_binary64_is_split_on_the_way() {
    let nest = bytes("i8", "i32", [72, 64, 200])
        .replace("A[k, m]", "A[m, k]")
        .replace(
            "in A: i8[200, 72]\n",
            "in X: f64[72, 200]\nin scale: i32[72]\ntemp A: i8[72, 200]\n",
        )
        .replacen(
            "for m in",
            "for i in 0..72 {\nfor j in 0..200 {\n\
             P: A[i, j] = cast_i8_rtz(ldexp(X[i, j], scale[i])) }\n}\nfor m in",
            1,
        );
    let script = fused(2)
        .replace("split k by 64", "split k by 128")
        .replace("split k.1 by 16", "split k.1 by 32")
        .replace("map Bs.0 to tma", "map Bs.0 to thread.x")
        .replace("m64n64k16.f32.bf16.bf16", "m64n64k32.i32.i8.i8");
    let text = check(&nest, &script);
    assert!(text.contains("ldexp") && text.contains("i8[2, 128, 128] panel 128"), "{text}");
}

/// A product whose factors are computed from elements of arrays of these types.
fn computed([a, b]: [&str; 2], [f, g]: [&str; 2], [m, n, k]: [i64; 3]) -> String {
    let first = f.replace('@', "A[m, k]");
    let second = g.replace('@', "B[k, n]");
    format!(
        "in A: {a}[{m}, {k}]\nin B: {b}[{k}, {n}]\nout Out: f32[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Out[m, n] = 0.0\n\
         for k in 0..{k} {{ S1: Out[m, n] += {first} * {second} order fixed }}\n}}\n}}\n"
    )
}

#[test]
fn factors_are_converted_on_the_way() {
    let cases = [
        (["f32", "bf16"], ["cast_bf16(@)", "@"], true),
        (["bf16", "e4m3"], ["@", "@"], true),
        (["i8", "bf16"], ["@", "@"], true),
        (["f32", "f32"], ["cast_bf16(@ * 0.5)", "cast_bf16(max(@, 0.0))"], false),
    ];
    for (types, values, engine) in cases {
        let nest = computed(types, values, [72, 64, 80]);
        let text = auto(&nest, 132);
        assert!(text.contains("over") && text.contains("tma.load") == engine, "{text}");
        check(&nest, &script(2, "thread.x", "thread.x"));
    }
    // f16 has values that bf16 has not
    let nest: Nest = computed(["f16", "bf16"], ["@", "@"], [64, 64, 64]).parse().expect("a nest");
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let script: Script = script(2, "thread.x", "thread.x").parse().expect("a script");
    let schedule = start.replay(&script).unwrap_or_else(|e| panic!("{}", e.diagnostic));
    let error = compile::lower(&schedule).expect_err("no instruction takes both");
    assert!(error.code == "E0731", "{error}");
}

/// A product of bytes whose factors are not along the sum.
fn bytes(dtype: &str, acc: &str, [m, n, k]: [i64; 3]) -> String {
    format!(
        "in A: {dtype}[{k}, {m}]\nin B: {dtype}[{n}, {k}]\nout Out: {acc}[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Out[m, n] = 0\n\
         for k in 0..{k} {{ S1: Out[m, n] += cast_{acc}(A[k, m]) * cast_{acc}(B[n, k]) order fixed \
         }}\n}}\n}}\n"
    )
}

#[test]
fn bytes_are_rearranged_on_the_way() {
    for (m, k) in [(128, 256), (127, 130)] {
        let script = script(2, "thread.x", "thread.x")
            .replace("split k by 64", "split k by 128")
            .replace("split k.1 by 16", "split k.1 by 32")
            .replace("k.0 as As", "k.0 as As layout 1, 0")
            .replace("m64n64k16.f32.bf16.bf16", "m64n64k32.i32.i8.i8");
        check(&bytes("i8", "i32", [m, 64, k]), &script);
        auto(&bytes("i8", "i32", [m, 64, k]), 132);
    }
}

#[test]
fn what_threads_wrote_is_fenced_and_counted() {
    let text = check(&product("mk", "nk", [64, 64, 77]), &script(2, "thread.x", "thread.x"));
    let inputs = |seed, rows| values(DType::Bf16, &[rows, 77], seed);
    let inputs = BTreeMap::from([("A".into(), inputs(1, 64)), ("B".into(), inputs(2, 64))]);
    let wrong = [
        ("do fence.async()", ""),
        ("do mbarrier.arrive(full", "do mbarrier.arrive(empty"),
        ("count 4", "count 3"),
        ("count 4", "count 5"),
    ];
    for (from, to) in wrong {
        assert!(text.contains(from), "{from}\n{text}");
        let kernel: warploom::Kernel = text.replacen(from, to, 1).parse().expect("it parses");
        let refused = compile::kernel(kernel.clone()).is_err();
        let found = interp::kernel::run(&kernel, &BTreeMap::new(), &inputs).is_err();
        assert!(refused || found, "{from} -> {to}");
    }
}

#[test]
fn tensor_memory_takes_operands_that_threads_fill() {
    for shape in [[127, 129, 131], [300, 72, 50]] {
        let (nest, schedule) = scheduled(&product("mk", "kn", shape), 132, Target::Sm100a);
        let text = agrees(&nest, &schedule, Target::Sm100a);
        assert!(text.contains("tcgen05") && text.contains("over"), "{text}");
    }
}
