//! Tiles that two groups of warpgroups take in turn: each schedule's kernel is sealed, computes
//! what the nest says, and is assembled for sm_90a without spills. Scripts that cannot be are
//! refused, and so are kernels whose turns are not kept.

use std::collections::BTreeMap;

use warploom::compile;
use warploom_ir::interp::kernel::run;
use warploom_ir::kernel::Kernel;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{Choices, Schedule, explore};
use warploom_tests::tensor::{agrees, agrees_cleanly, inputs, product, refused, replayed};

/// How results leave.
#[derive(Clone, Copy)]
enum Leaves {
    /// By the threads that hold them.
    Threads,
    /// As boxes of whole tiles.
    Boxes,
    /// In slabs of so many columns, two in shared memory.
    Slabs(i64),
}

/// Tiles that blocks take one after the other.
#[derive(Clone, Copy)]
struct Shape {
    columns: i64,
    /// Warpgroups of a group, each with 64 rows.
    teams: i64,
    stages: i64,
    blocks: i64,
    /// Two blocks load the columns' operand for each other.
    cluster: bool,
    leaves: Leaves,
    /// Who fills the operands.
    fill: [&'static str; 2],
}

const PLAIN: Shape = Shape {
    columns: 8,
    teams: 1,
    stages: 3,
    blocks: 3,
    cluster: false,
    leaves: Leaves::Boxes,
    fill: ["tma"; 2],
};

fn script(s: &Shape) -> String {
    let Shape { columns, teams, stages, blocks, cluster, leaves, fill: [a, b] } = *s;
    let rows = 64 * teams;
    let (pair, m, order, place) = match cluster {
        false => ("", "m.0", "t.1, t.0, m.0, n.0", ""),
        true => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n",
            "m.0.0",
            "t.1, m.0.1, t.0, m.0.0, n.0",
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
    format!(
        "tile m, n by {rows}, {columns}\n{pair}raster {m}, n.0 as t\nsplit t by {blocks}\n\
         skew t.1 by -{blocks}*t.0\nreorder {order}\nmap t.1 to block.x\nmap t.0 to pingpong\n\
         {place}distribute n.1\ndistribute m.1\nsplit k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1\n\
         split S1.m.1 by 64\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{leave}\
         map As.0 to {a}\nmap Bs.0 to {b}\n{groups}\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n{columns}k16.f32.bf16.bf16\n\
         ring k.0 by {stages}\n"
    )
}

/// The kernel's text.
fn check(out: &str, size: [i64; 3], shape: &Shape) -> String {
    let (nest, schedule) = replayed(&product(out, size), &script(shape));
    agrees_cleanly(&nest, &schedule, Target::Sm90a)
}

fn in_turns(text: &str, arrivals: i64) {
    assert!(text.contains(&format!("barrier turn[2] count {arrivals}\n")), "{text}");
    assert!(text.contains(" step 2 label t.0 {"), "{text}");
}

#[test]
fn groups_take_every_second_tile() {
    // 11 tiles: of four blocks three have three, one two
    let text = check("bf16", [680, 8, 136], &Shape { blocks: 4, ..PLAIN });
    in_turns(&text, 4);
    assert!(text.contains("role multiply warps 8"), "{text}");
    assert!(text.contains("barrier empty[3] count 1\n"), "{text}");
    assert!(text.contains("shared Os: bf16[2, 64, 8]"), "{text}");
    // and of two blocks one has one tile more than the other's even number
    check("bf16", [320, 8, 72], &Shape { blocks: 2, ..PLAIN });
}

#[test]
fn a_block_with_one_tile_has_one_group() {
    let text = check("bf16", [192, 8, 136], &PLAIN);
    assert!(!text.contains("turn") && text.contains("role multiply warps 4"), "{text}");
}

#[test]
fn blocks_with_one_tile_or_two_take_turns_together() {
    in_turns(&check("f32", [256, 8, 136], &Shape { leaves: Leaves::Threads, ..PLAIN }), 4);
}

/// Rings shorter and longer than a tile's slices, and tiles of one slice: who waits for a slot is
/// never more than one phase behind.
#[test]
fn rings_of_any_length_are_kept_in_order() {
    for (k, stages) in [(40, 1), (40, 2), (40, 4), (264, 1), (264, 2), (264, 4), (136, 7)] {
        let text = check("bf16", [512, 8, k], &Shape { stages, blocks: 2, ..PLAIN });
        in_turns(&text, 4);
    }
}

#[test]
fn groups_may_have_several_warpgroups() {
    for leaves in [Leaves::Threads, Leaves::Boxes, Leaves::Slabs(16)] {
        let shape = Shape { teams: 2, columns: 32, blocks: 2, leaves, ..PLAIN };
        let text = check("bf16", [640, 32, 136], &shape);
        in_turns(&text, 8);
        assert!(text.contains("for team in 0..4 warps 4 {"), "{text}");
        assert!(text.contains("barrier empty[3] count 2\n"), "{text}");
    }
}

/// Three slabs of a tile in a ring of two: each group counts its own tiles.
#[test]
fn slabs_leave_by_the_ring_of_their_group() {
    for (out, width) in [("bf16", 16), ("f32", 16)] {
        let shape = Shape { columns: 48, leaves: Leaves::Slabs(width), ..PLAIN };
        let text = check(out, [960, 48, 136], &shape);
        assert!(text.contains(&format!("shared Os: {out}[2, 2, 64, {width}]")), "{text}");
    }
}

#[test]
fn blocks_of_a_cluster_load_for_each_other() {
    let shape = Shape { cluster: true, columns: 16, blocks: 2, ..PLAIN };
    let text = check("bf16", [640, 40, 136], &shape);
    in_turns(&text, 4);
    assert!(text.contains("tma.load.multicast(Bs"), "{text}");
    assert!(text.contains("barrier empty[3] count 2\n"), "{text}");
}

#[test]
fn threads_fill_operands_for_both_groups() {
    for fill in [["tma", "thread.x"], ["thread.x"; 2], ["async", "tma"]] {
        in_turns(&check("f32", [512, 16, 136], &Shape { fill, ..PLAIN }), 4);
    }
}

#[test]
fn tiles_may_be_transposed() {
    let script = script(&PLAIN)
        .replace("by 64, 8\n", "by 8, 64\n")
        .replace("split S1.m.1 by 64", "split S1.n.1 by 64")
        .replace(
            "S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1",
            "S1.n.1.0, k.1.0, S1.n.1.1, S1.m.1, k.1.1",
        )
        .replace("tensorize S1.m.1.1, S1.n.1,", "tensorize S1.n.1.1, S1.m.1,");
    let (nest, schedule) = replayed(&product("bf16", [24, 200, 136]), &script);
    in_turns(&agrees(&nest, &schedule).0, 4);
}

/// Batches of small products, with results scaled and added to others.
#[test]
fn results_are_what_statements_make_of_them() {
    let nest = "in A: bf16[7, 64, 40]\nin B: bf16[7, 40, 16]\nin C: f32[7, 64, 16]\n\
                out Out: bf16[7, 64, 16]\ntemp Acc: f32[7, 64, 16]\n\
                for b in 0..7, m in 0..64, n in 0..16 {\nS0: Acc[b, m, n] = 0.0\n\
                for k in 0..40 { S1: Acc[b, m, n] += A[b, m, k] * B[b, k, n] order fixed }\n\
                S2: Out[b, m, n] = 0.5 * Acc[b, m, n] + C[b, m, n]\n}\n";
    let script = "tile m, n by 64, 16\nraster b, m.0, n.0 as t\nsplit t by 3\nskew t.1 by -3*t.0\n\
                  reorder t.1, t.0, b, m.0, n.0\nmap t.1 to block.x\nmap t.0 to pingpong\n\
                  distribute n.1\ndistribute m.1\nsplit k by 64\n\
                  reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 64\nsplit k.1 by 16\n\
                  reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
                  stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
                  stage Out at n.0 as Os\nmap As.0 to tma\nmap Bs.0 to tma\nmap Os_back.0 to tma\n\
                  tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n16k16.f32.bf16.bf16\n\
                  ring k.0 by 3\n";
    let (nest, schedule) = replayed(nest, script);
    in_turns(&agrees(&nest, &schedule).0, 4);
}

/// Candidates of the tuner for a GPU of few multiprocessors, each of which has several tiles.
#[test]
fn candidates_in_turn_are_right() {
    let nest: Nest = product("bf16", [264, 136, 72]).parse().unwrap_or_else(|e| panic!("{e}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let explored = |choices: &Choices| {
        explore(&start, Target::Sm90a, Some(4), choices).unwrap_or_else(|e| panic!("{e}"))
    };
    let usual = explored(&Choices::default());
    let hole = usual.holes.iter().find(|h| h.sizes.contains(&"pingpong")).expect("a product's");
    let at = hole.sizes.iter().position(|s| *s == "pingpong").expect("found by it");
    let mut seen = 0;
    for option in hole.options.iter().filter(|o| o.values[at] == 1).step_by(29).take(4) {
        let choices = Choices([(hole.name.clone(), option.values.clone())].into());
        let one = explored(&choices).schedule;
        let script = one.script().to_string();
        assert!(script.contains(" to pingpong"), "{script}");
        assert!(agrees(&nest, &one).0.contains("barrier turn[2]"), "{script}");
        seen += 1;
    }
    assert_eq!(seen, 4, "{} options", hole.options.len());
}

/// Tiles as large as registers allow: 128 sums of a thread in each of two groups.
#[test]
fn large_tiles_are_assembled_without_spills() {
    for (teams, columns, leaves) in
        [(1, 256, Leaves::Slabs(64)), (2, 128, Leaves::Slabs(64)), (1, 128, Leaves::Threads)]
    {
        let shape = Shape { columns, teams, stages: 4, blocks: 132, leaves, ..PLAIN };
        let text = product("bf16", [4096, 4096, 256]);
        let (_, schedule) = replayed(&text, &script(&shape));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
        let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
        assert!(report.contains(" 0 bytes spill stores") && !report.contains("C75"), "{report}");
        let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
        for wanted in ["HGMMA", "UTMALDG", "SYNCS"] {
            assert!(sass.contains(wanted), "{wanted}\n{sass}");
        }
    }
}

#[test]
fn refusals_say_what_to_do() {
    let text = product("bf16", [512, 16, 136]);
    let plain = script(&PLAIN);
    let inner = plain.replace("map t.0 to pingpong", "map n.0 to pingpong");
    refused(&text, &inner, "E0732", "not the loop of a block's tiles");
    refused(&text, &plain.replace("map t.0", "map t.1"), "E0712", "both `block.x` and `pingpong`");
    let simple = "tile m, n by 16, 16\nmap m.0 to block.x\nmap n.0 to pingpong\n";
    refused(&text, simple, "E0732", "nothing is tensorized");
    let warps = plain
        .replace("S1.m.1 by 64", "S1.m.1 by 16")
        .replace("wgmma.m64n8k16", "mma.m16n8k16")
        .replace(
            "k.1.0, S1.m.1.1, S1.n.1, k.1.1\n",
            "k.1.0, S1.m.1.1, S1.n.1, k.1.1\nmap S1.m.1.0 to warp\n",
        )
        .replace("stage Out at n.0 as Os\nmap Os_back.0 to tma\n", "")
        .replace("to tma", "to async");
    refused(&text, &warps, "E0732", "no instruction of warpgroups");
    // the sums of several tiles of an iteration
    let rows = plain
        .replace("raster m.0, n.0 as t", "split n.0 by 2 as n.0, n.2\nraster m.0, n.0 as t")
        .replace("t.0, m.0, n.0", "t.0, m.0, n.0, n.2")
        .replace("at n.0", "at n.2");
    refused(&text, &rows, "E0732", "one of its iterations is not one tile of one product");
    let shared_out = plain.replace("Os_back.0 to tma", "Os_back.0 to thread.x");
    refused(&text, &shared_out, "E0732", "boxes that all warpgroups write together");
    // what one tile passes on to the next
    let sums = text
        .replace("out Out: bf16[512, 16]", "out Out: f32[512]")
        .replace("for n in 0..16 {", "R0: Out[m] = 0.0\nfor n in 0..16 {");
    let sums = sums.replace("Out[m, n] = Acc[m, n]", "Out[m] += Acc[m, n] order fixed");
    let turns = "distribute m\ntile S1.m, n by 64, 8\nmap m.0 to block.x\nmap n.0 to pingpong\n";
    refused(&sums, turns, "E0702", "cannot run in parallel");
}

/// Reads of what is not there, broken preconditions, races, deadlocks.
const WRONG: &str = "E0516 E0521 E0522 E0523";

/// A kernel in which a turn is not kept is noticed, whatever becomes of it.
#[test]
fn turns_that_are_not_kept_are_noticed() {
    let shape = Shape { blocks: 1, stages: 2, ..PLAIN };
    let (nest, schedule) = replayed(&product("bf16", [320, 8, 200]), &script(&shape));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    let (_, given) = inputs(&nest);
    let wait = "do mbarrier.wait(turn[mod(t_0_3, 2)], mod(floordiv(t_0_3 + 1, 2) + 1, 2))";
    let arrive = "do mbarrier.arrive(turn[mod(t_0_3 + 1, 2)])";
    for (from, to, codes) in [
        (wait, "", WRONG),
        (wait, &*wait.replace(" + 1, 2) + 1", ", 2) + 1"), WRONG),
        (wait, &*wait.replace("turn[mod(t_0_3,", "turn[mod(t_0_3 + 1,"), WRONG),
        (arrive, "", "E0523"),
        (arrive, "do mbarrier.arrive(turn[mod(t_0_3, 2)])", WRONG),
        ("turn[2] count 4", "turn[2] count 5", "E0523"),
        ("turn[2] count 4", "turn[2] count 3", "E1017"),
        ("for t_0_3 in team..5 step 2", "for t_0_3 in 0..5 step 2", "E1017"),
        ("Os[team, i, j]", "Os[0, i, j]", "E0522"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not in\n{text}");
        let kernel: Kernel = changed.parse().unwrap_or_else(|e| panic!("{e}\n{changed}"));
        let found = match compile::kernel(kernel.clone()) {
            Err(d) => d.code,
            Ok(_) => run(&kernel, &BTreeMap::new(), &given).map_or_else(|d| d.code, |_| "nothing"),
        };
        assert!(codes.contains(found), "`{from}` -> `{to}`: {found}, not {codes}");
    }
}
