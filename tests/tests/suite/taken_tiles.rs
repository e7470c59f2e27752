//! Tiles that blocks take by cluster launch control on sm_100a: each schedule's kernel is sealed,
//! computes what the nest says whichever tiles a block gets, and is assembled without spills for
//! sm_100a and sm_103a; the machine code asks for work. What asks and reads wrongly is refused.

use warploom::compile;
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_tests::tensor::{agrees_cleanly, agrees_on, product, refused, replayed};

/// Tiles of 128 rows, of which blocks take one after the other.
struct Shape {
    columns: i64,
    /// Answers at once.
    ahead: i64,
    /// Two blocks take tiles together, and whether they multiply together.
    cluster: Option<bool>,
    /// Who fills the operands.
    fill: [&'static str; 2],
}

const PLAIN: Shape = Shape { columns: 32, ahead: 2, cluster: None, fill: ["tma"; 2] };
const PAIRS: Shape = Shape { cluster: Some(true), ..PLAIN };

fn script(out: &str, s: &Shape) -> String {
    let Shape { columns, ahead, cluster, fill: [a, b] } = s;
    let (rows, places) = match cluster {
        None => ("raster m.0, n.0 as t\n", ""),
        Some(_) => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n\
             raster m.0.0, n.0 as t\nreorder t, m.0.1, m.0.0, n.0\n",
            "map m.0.1 to cluster\n",
        ),
    };
    let instruction = if *cluster == Some(true) { "pair.m256" } else { "m128" };
    let drain = match out {
        "bf16" => "stage Out at n.0 as Os\nmap Os_back.0 to tma\n",
        _wide => "",
    };
    format!(
        "tile m, n by 128, {columns}\n{rows}map t to block.x\ntake t by {ahead}\n{places}\
         distribute n.1\ndistribute m.1\nsplit k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1\n\
         split S1.m.1 by 128\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}\
         map As.0 to {a}\nmap Bs.0 to {b}\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.{instruction}n{columns}k16.f32.bf16.bf16\nring k.0 by 3\n"
    )
}

/// The kernel's text.
fn check(out: &str, size: [i64; 3], shape: &Shape) -> String {
    let (nest, schedule) = replayed(&product(out, size), &script(out, shape));
    let text = agrees_cleanly(&nest, &schedule, Target::Sm100a);
    assert!(text.contains(" taking t {"), "{text}");
    text
}

/// PTX ISA 8.8, `clusterlaunchcontrol.try_cancel` (no other request gets the same block; nobody
/// asks after a no) and `clusterlaunchcontrol.query_cancel` (the first block of what is taken).
#[test]
fn blocks_take_tiles_until_there_are_none() {
    // eight tiles: the first block has six of them, the second two
    let text = check("bf16", [200, 120, 136], &PLAIN);
    assert!(text.contains("for t in 0..8 block.x"), "{text}");
    assert!(text.contains("shared next: u64[2, 2]"), "{text}");
    assert!(text.contains("barrier read[2] count 224"), "{text}");
    assert!(text.contains("tensor sums: f32[2, 1, 128, 32]"), "{text}");
    for ahead in [1, 3] {
        check("f32", [136, 256, 72], &Shape { ahead, ..PLAIN });
    }
}

/// PTX ISA 8.8, `clusterlaunchcontrol.try_cancel`, `.multicast::cluster::all`: the answer comes to
/// each block of the cluster, and its barrier counts it.
#[test]
fn pairs_of_blocks_take_tiles_together() {
    let text = check("bf16", [520, 64, 136], &PAIRS);
    assert!(text.contains("clusterlaunchcontrol.try_cancel.multicast(next["), "{text}");
    assert!(text.contains("barrier read[2] count 448"), "{text}");
    assert!(text.contains("} last {"), "{text}");
    check("f32", [512, 96, 72], &PAIRS);
}

#[test]
fn blocks_that_load_for_each_other_take_tiles_together() {
    let text = check("f32", [520, 64, 72], &Shape { cluster: Some(false), ..PLAIN });
    assert!(text.contains("tma.load.multicast(Bs"), "{text}");
    assert!(text.contains("for tail in 0..3"), "{text}");
}

#[test]
fn threads_that_fill_operands_hear_of_tiles() {
    for fill in [["tma", "thread.x"], ["thread.x"; 2]] {
        check("f32", [136, 120, 72], &Shape { fill, ..PLAIN });
    }
    check("f32", [520, 56, 72], &Shape { fill: ["thread.x"; 2], ..PAIRS });
}

#[test]
fn the_example_takes_tiles_of_pairs() {
    let script = include_str!("../../../examples/schedules/gemm_taken.sched");
    let (nest, schedule) = replayed(&product("bf16", [768, 264, 72]), script);
    let (text, report) = agrees_on(&nest, &schedule, Target::Sm100a);
    assert!(report.contains(" 0 bytes stack frame"), "{report}");
    assert!(text.contains("for t in 0..6 block.x") && text.contains("u64[3, 2]"), "{text}");
}

#[test]
fn the_machine_code_asks_for_work() {
    for (shape, request) in
        [(PLAIN, "UGETNEXTWORKID.SELFCAST"), (PAIRS, "UGETNEXTWORKID.BROADCAST")]
    {
        let shape = Shape { columns: 128, ..shape };
        let text = product("bf16", [1024, 512, 512]);
        let (_, schedule) = replayed(&text, &script("bf16", &shape));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        for target in [Target::Sm100a, Target::Sm103a] {
            let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
            let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
            assert!(report.contains(" 0 bytes stack frame"), "{report}");
            let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
            for wanted in [request, "UTCHMMA", "UTMALDG", "LDTM"] {
                assert!(sass.contains(wanted), "{wanted}\n{sass}");
            }
            for surprise in ["LDL", "STL", "HMMA.16"] {
                assert!(!sass.contains(surprise), "{surprise}\n{sass}");
            }
        }
        let refused = lowered.gpu(Target::Sm90a).expect_err("no such requests there");
        let help = refused.help.as_deref().unwrap_or_default();
        assert!(refused.code == "E1205" && help.contains("without `--schedule`"), "{refused}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let text = product("f32", [256, 256, 64]);
    let plain = script("f32", &PLAIN);
    let two = plain.replace("raster m.0, n.0 as t\nmap t to", "map m.0 to block.y\nmap n.0 to");
    refused(&text, &two.replace("take t", "take n.0"), "E0732", "not the one loop mapped");
    let early = plain.replace("map t to block.x\ntake t by 2", "take t by 2\nmap t to block.x");
    refused(&text, &early, "E0712", "by blocks it is not mapped to");
    let hopper = plain
        .replace("split S1.m.1 by 128", "split S1.m.1 by 64")
        .replace("tcgen05.mma.m128n32k16", "wgmma.m64n32k16")
        .replace("tensorize", "map S1.m.1.0 to warpgroup\ntensorize");
    refused(&text, &hopper, "E0732", "from sm_100a on");
    let simple = "tile m, n by 16, 16\nraster m.0, n.0 as t\nmap t to block.x\ntake t by 2\n";
    refused(&text, simple, "E0732", "no block program");
}

#[test]
fn programs_that_ask_or_read_wrongly_are_refused() {
    let (_, schedule) = replayed(&product("f32", [256, 64, 64]), &script("f32", &PLAIN));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    let query = "do clusterlaunchcontrol.query_cancel(next[mod(turn, 2), 0 : 2])";
    let ask =
        "do clusterlaunchcontrol.try_cancel(next[mod(turn_4, 2), 0 : 2], given[mod(turn_4, 2)])";
    let expect = "do mbarrier.expect(given[mod(turn_4, 2)], 16)";
    for (from, to, code, words) in [
        (query, "", "E1020", "there are 0"),
        (query, &*format!("{query}\n{query}"), "E1020", "there are 2"),
        (query, &*format!("one {{ {query} }}"), "E1020", "there are 0"),
        (ask, "", "E1020", "nobody asks for the answers"),
        ("try_cancel(", "try_cancel.multicast(", "E1020", "leave `.multicast` out"),
        (expect, "", "E1017", "nobody announces its bytes"),
        ("given[mod(turn_4, 2)], 16)", "given[mod(turn_4, 2)], 32)", "E1020", "16 bytes each"),
        ("block.x", "block.y", "E1020", "along x"),
        ("u64[2, 2]", "u64[2, 4]", "E1015", "has room"),
        ("u64[2, 2]", "f64[2, 2]", "E1015", "has room"),
        (" taking t {", " taking m_0 {", "E1020", "which is not the one loop"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from} is not in\n{text}");
        let kernel: Kernel = changed.parse().unwrap_or_else(|e| panic!("{e}\n{changed}"));
        let error = compile::kernel(kernel).expect_err(words);
        let said = format!("{error:?}");
        assert!(said.contains(code) && said.contains(words), "{from}: {error}");
    }
}
