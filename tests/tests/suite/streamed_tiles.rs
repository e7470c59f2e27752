//! Tiles that blocks share out to the last slice of their sums (`stream`): each schedule's kernels
//! are sealed, compute what the nest says however slices fall to blocks, and are assembled without
//! spills. Scripts that cannot be are refused, and so are kernels that add up parts wrongly.
//!
//! Data are small integers, so that parts of sums are exact and results agree bit for bit; that
//! parts are added in one order is shown with data that round.

use std::collections::BTreeMap;

use warploom::compile;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_tests::tensor::{
    agrees_cleanly, agrees_on, contraction, inputs, product, refused, replayed,
};

/// How results of whole tiles leave.
#[derive(Clone, Copy, PartialEq)]
enum Leaves {
    Threads,
    Boxes,
    Slabs(i64),
}

/// Tiles of `64 * teams` rows, or 128 where sums are in tensor memory.
#[derive(Clone, Copy)]
struct Shape {
    columns: i64,
    teams: i64,
    stages: i64,
    /// Blocks, or clusters of two, that share tiles out.
    blocks: i64,
    /// Blocks of a cluster load for each other, and whether they multiply together.
    cluster: Option<bool>,
    tensor: bool,
    leaves: Leaves,
    fill: [&'static str; 2],
}

const PLAIN: Shape = Shape {
    columns: 16,
    teams: 1,
    stages: 3,
    blocks: 5,
    cluster: None,
    tensor: false,
    leaves: Leaves::Threads,
    fill: ["tma"; 2],
};
const BLACKWELL: Shape = Shape { tensor: true, ..PLAIN };

fn script(s: &Shape) -> String {
    let Shape { columns, teams, stages, blocks, cluster, tensor, leaves, fill: [a, b] } = *s;
    let deep = if tensor { 128 } else { 64 };
    let rows = deep * teams;
    let (pair, place) = match cluster {
        None => ("raster m.0, n.0 as t\n", ""),
        Some(_) => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n\
             raster m.0.0, n.0 as t\nreorder t, m.0.1, m.0.0, n.0\n",
            "map m.0.1 to cluster\n",
        ),
    };
    let leave = match leaves {
        Leaves::Threads => String::new(),
        Leaves::Boxes => "stage Out at n.0 as Os\nmap Os_back.0 to tma\n".to_owned(),
        Leaves::Slabs(width) => format!(
            "split S2.n.1 by {width}\nreorder S2.n.1.0, S2.m.1, S2.n.1.1\nring S2.n.1.0 by 2\n\
             stage Out at S2.n.1.0 as Os\nmap Os_back.0 to tma\n"
        ),
    };
    let groups = if teams > 1 { "map S1.m.1.0 to warpgroup\n" } else { "" };
    let instruction = match (tensor, cluster) {
        (false, _) => format!("wgmma.m64n{columns}k16"),
        (true, Some(true)) => format!("tcgen05.mma.pair.m256n{columns}k16"),
        (true, _) => format!("tcgen05.mma.m128n{columns}k16"),
    };
    format!(
        "tile m, n by {rows}, {columns}\n{pair}map t to block.x\nstream t by {blocks}\n{place}\
         distribute n.1\ndistribute m.1\nsplit k by 32\nreorder k.0, S1.m.1, S1.n.1, k.1\n\
         split S1.m.1 by {deep}\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{leave}\
         map As.0 to {a}\nmap Bs.0 to {b}\n{groups}\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with {instruction}.f32.bf16.bf16\n\
         ring k.0 by {stages}\n"
    )
}

/// The kernel's text.
fn check(out: &str, size: [i64; 3], shape: &Shape) -> String {
    let (nest, schedule) = replayed(&product(out, size), &script(shape));
    let target = if shape.tensor { Target::Sm100a } else { Target::Sm90a };
    agrees_cleanly(&nest, &schedule, target)
}

/// Eight tiles of five slices: a wave of five, and three tiles whose fifteen slices are three for
/// each of five blocks, so that two blocks end one tile and begin another.
#[test]
fn blocks_end_tiles_and_begin_others() {
    let text = check("f32", [120, 56, 136], &PLAIN);
    assert!(text.contains("for owner in 0..5 block.x label t"), "{text}");
    assert!(text.contains("temp acc_parts: f32[5, 2, 2, 64, 8]"), "{text}");
    assert!(text.contains("for turn_3 in 0..1 label t"), "{text}");
    let parts = "for tile_3 in floordiv(3 * owner, 5) + 5..min(floordiv(3 * owner + 2, 5) + 6, 8)";
    assert!(text.contains(parts), "{text}");
    assert!(text.contains("for tile_4 in 0..3 block.y"), "{text}");
}

/// Slices fall to blocks in all ways: shares of one slice, blocks without any, tiles of one block
/// beside tiles of several, no whole wave.
#[test]
fn slices_fall_to_blocks_in_all_ways() {
    for blocks in [2, 3, 6, 7, 10, 16, 41, 50] {
        let text = check("bf16", [72, 60, 168], &Shape { blocks, ..PLAIN });
        assert!(text.contains(&format!("acc_parts: f32[{blocks}, 2")) || 8 % blocks == 0, "{text}");
    }
}

/// Where shares would be whole tiles, and where no tile is left, tiles are shared out in turn.
#[test]
fn whole_shares_have_no_parts() {
    for (blocks, k, turns) in [(4, 136, "0..2"), (8, 136, "0..1"), (3, 24, "+ 3"), (20, 24, "0..1")]
    {
        let text = check("f32", [120, 56, k], &Shape { blocks, ..PLAIN });
        assert!(!text.contains("acc_parts") && text.contains(turns), "{text}");
        assert!(text.contains(&format!("for owner in 0..{} block.x", blocks.min(8))), "{text}");
    }
}

#[test]
fn one_tile_is_shared_out() {
    let text = check("f32", [64, 16, 200], &Shape { blocks: 3, ..PLAIN });
    assert!(text.contains("acc_parts: f32[3, 2, 2, 64, 8]"), "{text}");
}

#[test]
fn results_leave_in_every_way() {
    let slabs = Shape { columns: 64, teams: 2, leaves: Leaves::Slabs(16), ..PLAIN };
    check("bf16", [200, 200, 136], &slabs);
    check("f32", [200, 200, 136], &Shape { blocks: 3, ..slabs });
    check("bf16", [120, 56, 136], &Shape { leaves: Leaves::Boxes, ..PLAIN });
    check("bf16", [200, 56, 136], &Shape { teams: 2, leaves: Leaves::Boxes, blocks: 3, ..PLAIN });
}

#[test]
fn blocks_of_a_cluster_share_out_together() {
    let shape = Shape { cluster: Some(false), blocks: 3, ..PLAIN };
    let text = check("bf16", [200, 56, 136], &shape);
    assert!(text.contains("acc_parts: f32[3, 2, 2, 2, 64, 8]"), "{text}");
    assert!(text.contains("tma.load.multicast(Bs"), "{text}");
    assert!(text.contains("for member in 0..2 block.z"), "{text}");
    // clusters without a slice
    check("bf16", [120, 60, 72], &Shape { blocks: 14, ..shape });
}

/// Rows of results are several dimensions of their array: all warpgroups write one box.
#[test]
fn boxes_of_results_have_parts() {
    let nest = contraction("dabfe,fc->edcba", "a=16,b=2,c=40,d=2,e=24,f=48");
    let script = "split e by 16\nsplit a by 8\nsplit c by 64\n\
                  reorder d, b, e.0, a.0, c.0, c.1, a.1, e.1\n\
                  distribute e.1\ndistribute a.1\ndistribute c.1\n\
                  coalesce S1.a.1, S1.e.1 as ae\nsplit f by 32\nsplit f.1 by 16\n\
                  reorder f.0, f.1.0, S1.c.1, ae, f.1.1\n\
                  stage Acc at c.0 as acc\nstage A at f.0 as As\nstage B at f.0 as Bs\n\
                  stage Out at c.0 as Os\nmap As.0 to tma\nmap Bs.0 to tma\nmap Os_back.0 to tma\n\
                  tensorize S1.c.1, ae, f.1.1 with wgmma.m64n128k16.f32.bf16.bf16\nring f.0 by 2\n\
                  raster d, b, e.0, a.0, c.0 as t\nmap t to block.x\nstream t by 7\n";
    let (nest, schedule) = replayed(&nest, script);
    let (text, _) = agrees_on(&nest, &schedule, Target::Sm90a);
    assert!(text.contains("acc_parts: f32[7, 2, 16, 64, 8]"), "{text}");
}

/// Tiles in turn where nothing is left, and who waits for other blocks' releases in the end.
#[test]
fn clusters_with_whole_tiles_only() {
    let shape = Shape { cluster: Some(true), columns: 32, blocks: 5, ..BLACKWELL };
    let text = check("bf16", [520, 120, 24], &shape);
    assert!(!text.contains("acc_parts") && text.contains("for tail in 0..3"), "{text}");
}

#[test]
fn threads_fill_slices_of_parts() {
    check("f32", [120, 56, 135], &Shape { fill: ["thread.x"; 2], ..PLAIN });
    check("f32", [120, 56, 136], &Shape { fill: ["tma", "thread.x"], stages: 2, ..PLAIN });
}

#[test]
fn sums_in_tensor_memory_are_shared_out() {
    let text = check("bf16", [200, 56, 136], &BLACKWELL);
    assert!(text.contains("tensor sums: f32[2, 1, 128, 16]"), "{text}");
    check("f32", [136, 120, 72], &Shape { leaves: Leaves::Boxes, columns: 32, ..BLACKWELL });
    let slabs = Leaves::Slabs(32);
    check("bf16", [136, 120, 72], &Shape { leaves: slabs, columns: 64, blocks: 3, ..BLACKWELL });
}

/// A block waits in the end for as many releases of slots as it had slices, none included.
#[test]
fn pairs_of_blocks_share_out_together() {
    for pair in [false, true] {
        let shape = Shape { cluster: Some(pair), columns: 32, blocks: 3, ..BLACKWELL };
        let text = check("bf16", [300, 56, 136], &shape);
        assert!(text.contains("for tail in 0..3"), "{text}");
        check("bf16", [260, 56, 72], &Shape { blocks: 13, ..shape });
    }
}

/// Products of warps: every slice of a tile is counted from the tile's first.
#[test]
fn warps_share_out_on_every_gpu() {
    let script = |blocks: i64, fill: &str| {
        format!(
            "tile m, n by 64, 32\nraster m.0, n.0 as t\nmap t to block.x\nstream t by {blocks}\n\
             distribute n.1\ndistribute m.1\nsplit k by 32\nreorder k.0, S1.m.1, S1.n.1, k.1\n\
             split S1.m.1 by 32\nsplit S1.m.1.1 by 16\nsplit S1.n.1 by 16\nsplit S1.n.1.1 by 8\n\
             split k.1 by 16\n\
             reorder k.0, S1.m.1.0, S1.n.1.0, k.1.0, S1.m.1.1.0, S1.n.1.1.0, S1.m.1.1.1, \
             S1.n.1.1.1, k.1.1\n\
             stage Acc at n.0 as acc\nstage A at k.0 as As pad 8\nstage B at k.0 as Bs pad 8\n\
             map As.0 to {fill}\nmap Bs.0 to {fill}\nmap S1.m.1.0 to warp\nmap S1.n.1.0 to warp\n\
             tensorize S1.m.1.1.1, S1.n.1.1.1, k.1.1 with mma.m16n8k16.f32.bf16.bf16\n\
             ring k.0 by 3\n"
        )
    };
    for (blocks, fill) in [(4, "async"), (7, "async"), (4, "thread.x")] {
        let (nest, schedule) = replayed(&product("f32", [136, 72, 136]), &script(blocks, fill));
        let (text, _) = agrees_on(&nest, &schedule, Target::Sm80);
        assert!(text.contains("acc_parts"), "{text}");
    }
}

/// Statements that use sums see those of all parts: a bias, a maximum, results added to.
#[test]
fn what_uses_sums_sees_all_parts() {
    let text = "in A: bf16[120, 136]\nin B: bf16[56, 136]\nin bias: f32[56]\n\
                inout Out: f32[120, 56]\ntemp Acc: f32[120, 56]\n\
                for m in 0..120 {\nfor n in 0..56 {\nS0: Acc[m, n] = 0.0\n\
                for k in 0..136 { S1: Acc[m, n] += A[m, k] * B[n, k] order fixed }\n\
                S2: Acc[m, n] = max(Acc[m, n] + bias[n], 0.0)\n\
                S3: Out[m, n] += 2.0 * Acc[m, n] when bias[n] > 0.0\n}\n}\n";
    let (nest, schedule) = replayed(text, &script(&PLAIN));
    let (text, _) = agrees_on(&nest, &schedule, Target::Sm90a);
    assert!(text.contains("acc_parts"), "{text}");
}

/// Results that round differ where parts of a sum are added in another order; they are the same
/// for every order in which blocks run, because who has which part is arithmetic.
#[test]
fn parts_are_added_in_the_order_of_the_sum() {
    let (nest, schedule) = replayed(&product("f32", [120, 56, 136]), &script(&PLAIN));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let (sizes, mut data) = inputs(&nest);
    for (seed, (_, tensor)) in (11..).zip(&mut data) {
        let shape = tensor.shape().to_vec();
        *tensor = Tensor::random(DType::Bf16, &shape, seed).expect("a small tensor");
    }
    let run = |kernel: &Kernel| -> BTreeMap<Name, Tensor> {
        interp::kernel::run(kernel, &sizes, &data).unwrap_or_else(|e| panic!("{e}"))
    };
    let text = lowered.kernel().to_string();
    let own = run(lowered.kernel());
    let bits = |of: &BTreeMap<Name, Tensor>| of["Out"].bytes().to_vec();
    assert_eq!(bits(&own), bits(&run(lowered.kernel())));
    // the owner of a tile's last part first
    let ascending = "for part in floordiv(5 * tile_4, 3)..floordiv(5 * tile_4 + 1, 3) + 2";
    assert!(text.contains(ascending), "{text}");
    let sum = "acc_parts[part, tile_4 - floordiv(3 * part, 5), ";
    let turned = "floordiv(5 * tile_4, 3) + floordiv(5 * tile_4 + 1, 3) + 1 - part";
    let back = format!("acc_parts[{turned}, tile_4 - floordiv(3 * ({turned}), 5), ");
    let back: Kernel = text.replace(sum, &back).parse().unwrap_or_else(|e| panic!("{e}"));
    assert_ne!(bits(&own), bits(&run(&back)), "the order of parts matters");
}

/// Kernels whose parts do not fit together: a sealed one computes something else or reads what
/// nobody wrote, or it is refused.
#[test]
fn parts_that_do_not_fit_are_found() {
    let (nest, schedule) = replayed(&product("f32", [120, 56, 136]), &script(&PLAIN));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    let (sizes, data) = inputs(&nest);
    let want = interp::nest::run(&nest, &sizes, &data).unwrap_or_else(|e| panic!("{e}"));
    for (from, to) in [
        ("floordiv(5 * tile_4 + 1, 3) + 2", "floordiv(5 * tile_4 + 1, 3) + 1"),
        ("for part in floordiv(5 * tile_4, 3)", "for part in floordiv(5 * tile_4, 3) + 1"),
        ("tile_4 - floordiv(3 * part, 5)", "0"),
        ("floordiv(3 * owner + 2, 5) + 6", "floordiv(3 * owner + 2, 5) + 5"),
        ("min(5, 3 * owner + -5 * tile_3 + 28) -", "5 -"),
        ("max(0, 3 * owner + -5 * tile_2 + 25) label", "0 label"),
        ("96 * owner + -160 * tile_2 + 800", "-160 * tile_2 + 800"),
        ("acc_parts[owner, tile_3 - floordiv(3 * owner, 5) + -5,", "acc_parts[owner, 0,"),
        ("floordiv(max(k_0_part_3 + 5, ", "floordiv(max(k_0_part_3 + 8, "),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from} is not in\n{text}");
        let kernel: Kernel = changed.parse().unwrap_or_else(|e| panic!("{e}\n{changed}"));
        let same = interp::kernel::run(&kernel, &sizes, &data)
            .is_ok_and(|have| have["Out"].bytes() == want["Out"].bytes());
        assert!(!same || compile::kernel(kernel).is_err(), "{from} -> {to}");
    }
    // every place that a block writes to is its own
    for (from, to, code) in [
        ("acc_parts[owner, tile_3", "acc_parts[0, tile_3", "E0812"),
        ("acc_parts: f32[5, 2,", "acc_parts: f32[4, 2,", "E0811"),
        ("acc_parts: f32[5, 2,", "acc_parts: f32[5, 1,", "E0811"),
    ] {
        let changed = text.replace(from, to);
        let kernel: Kernel = changed.parse().unwrap_or_else(|e| panic!("{e}\n{changed}"));
        let error = compile::kernel(kernel).expect_err(to);
        assert_eq!(error.code, code, "{error}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let text = product("f32", [120, 56, 136]);
    let plain = script(&PLAIN);
    let two = plain.replace("raster m.0, n.0 as t\nmap t to", "map m.0 to block.y\nmap n.0 to");
    refused(&text, &two.replace("stream t", "stream n.0"), "E0732", "not the one loop mapped");
    let early = plain.replace("map t to block.x\nstream t by 5", "stream t by 5\nmap t to block.x");
    refused(&text, &early, "E0712", "by blocks it is not mapped to");
    refused(&text, &plain.replace("stream t by 5", "stream t by 5\ntake t by 2"), "E0712", "said");
    let simple = "tile m, n by 16, 16\nraster m.0, n.0 as t\nmap t to block.x\nstream t by 5\n";
    refused(&text, simple, "E0732", "no block program");
    let begins = text.replace("Acc[m, n] = 0.0", "Acc[m, n] = 1.0");
    refused(&begins, &plain, "E0731", "begin with other values");
    let rows = product("f32", [120, 16, 136])
        .replace("temp Acc", "inout sums: f32[120]\ntemp Acc")
        .replace("= Acc[m, n]\n", "= Acc[m, n]\nS3: sums[m] += Acc[m, n] order fixed\n");
    refused(&rows, &plain, "E0732", "combines rows");
    let several = plain
        .replace("stage A at", "split k.0 by 2\nstage A at")
        .replace(" at k.0 ", " at k.0.1 ")
        .replace("ring k.0", "ring k.0.1");
    refused(&text, &several, "E0732", "several loops are between");
}

/// Instructions that add in the order of the text take sums in that order, but not in parts.
#[test]
fn sums_in_the_order_of_the_text_have_no_parts() {
    let text = "in A: f64[64, 32]\nin B: f64[32, 32]\nout Out: f64[64, 32]\n\
                for m in 0..64, n in 0..32 {\nS0: Out[m, n] = 0.0\n\
                for k in 0..32 { S1: Out[m, n] += A[m, k] * B[k, n] }\n}\n";
    let script = "tile m, n by 32, 32\nraster m.0, n.0 as t\nmap t to block.x\nstream t by 3\n\
                  distribute n.1\ndistribute m.1\nsplit k by 8\n\
                  reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 16\nsplit S1.n.1 by 8\n\
                  reorder k.0, S1.m.1.0, S1.n.1.0, S1.m.1.1, S1.n.1.1, k.1\n\
                  stage Out at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
                  map As.0 to async\nmap Bs.0 to async\nmap S1.m.1.0 to warp\n\
                  tensorize S1.m.1.1, S1.n.1.1, k.1 with mma.m16n8k8.f64.f64.f64\nring k.0 by 2\n";
    refused(text, script, "E0731", "order serial");
    let fixed = text.replace("B[k, n] }", "B[k, n] order fixed }");
    let (nest, schedule) = replayed(&fixed, script);
    assert!(agrees_on(&nest, &schedule, Target::Sm90a).0.contains("acc_parts"));
}

#[test]
fn the_example_is_of_whole_waves_and_parts() {
    let script = include_str!("../../../examples/schedules/gemm_streamed.sched");
    let text = "in A: bf16[3000, 256]\nin B: bf16[256, 3000]\nout Out: bf16[3000, 3000]\n\
                temp Acc: f32[3000, 3000]\nfor m in 0..3000 {\nfor n in 0..3000 {\n\
                S0: Acc[m, n] = 0.0\n\
                for k in 0..256 { S1: Acc[m, n] += A[m, k] * B[k, n] order fixed }\n\
                S2: Out[m, n] = Acc[m, n]\n}\n}\n";
    let (_, schedule) = replayed(text, script);
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
    assert!(!report.contains("warning") && report.contains(" 0 bytes spill stores"), "{report}");
    let text = lowered.kernel().to_string();
    // 24 x 12 tiles in pairs: 144 of pairs, two waves of 66 and twelve that are left
    assert!(text.contains("for owner in 0..66 block.x"), "{text}");
    assert!(text.contains("for turn_3 in 0..2 label t"), "{text}");
}
