//! Products of pairs of blocks on sm_100a: each schedule's kernel is sealed, computes what the nest
//! says, and is assembled without spills; the machine code multiplies for two blocks.
//!
//! Keeps: every type and transposition, tiles that reach over the ends, blocks that stay, threads
//! that fill operands.

use warploom::{GpuOptions, Nest, Paired, compile};
use warploom_ir::target::Target;
use warploom_tests::tensor::{agrees_cleanly, agrees_on, refused, replayed};

/// `Out[m, n] = sum over k of A[m, k] * B[k, n]`, in these types and orders of the indices.
fn product([a, b]: [&str; 2], [of, acc, out]: [&str; 3], [m, n, k]: [i64; 3]) -> String {
    let size = |l: char| match l {
        'm' => m,
        'n' => n,
        _sum => k,
    };
    let list = |labels: &str, each: &dyn Fn(char) -> String| {
        labels.chars().map(each).collect::<Vec<_>>().join(", ")
    };
    let shape = |labels: &str| list(labels, &|l| size(l).to_string());
    let at = |labels: &str| list(labels, &|l| l.to_string());
    let zero = if acc == "i32" { "0" } else { "0.0" };
    format!(
        "in A: {of}[{}]\nin B: {of}[{}]\nout Out: {out}[{m}, {n}]\ntemp Acc: {acc}[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Acc[m, n] = {zero}\n\
         for k in 0..{k} {{ S1: Acc[m, n] += A[{}] * B[{}] order fixed }}\n\
         S2: Out[m, n] = Acc[m, n]\n}}\n}}\n",
        shape(a),
        shape(b),
        at(a),
        at(b),
    )
}

const BF16: [&str; 3] = ["bf16", "f32", "bf16"];
const WIDE: [&str; 3] = ["bf16", "f32", "f32"];
const ROWS: [&str; 2] = ["mk", "nk"];

/// How a script divides the work.
struct Shape {
    /// Rows and columns of a block's tile.
    tile: [i64; 2],
    stages: i64,
    /// Pairs take tile after tile.
    stay: bool,
    /// Who fills the operands.
    fill: [&'static str; 2],
}

const PLAIN: Shape = Shape { tile: [128, 64], stages: 3, stay: false, fill: ["tma"; 2] };

/// The script of a cluster of two blocks, with an instruction of pairs.
fn script([of, acc, out]: [&str; 3], s: &Shape) -> String {
    let bytes = match of {
        "tf32" => 4,
        "bf16" | "f16" => 2,
        _eight_bits => 1,
    };
    let (slice, k, [rows, columns]) = (128 / bytes, 32 / bytes, s.tile);
    let Shape { stages, stay, fill: [a, b], .. } = s;
    let at = if *stay { "n.0" } else { "m.0.1" };
    let turns = match stay {
        true => {
            "raster m.0.0, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\n\
             reorder t.1, m.0.1, t.0, m.0.0, n.0\n"
        }
        false => "",
    };
    let places = match stay {
        true => "map t.1 to block.x\nmap m.0.1 to cluster\n",
        false => "map m.0.0 to block.y\nmap n.0 to block.x\nmap m.0.1 to cluster\n",
    };
    let drain = match out {
        "bf16" | "f16" => format!("stage Out at {at} as Os\nmap Os_back.0 to tma\n"),
        _wide => String::new(),
    };
    format!(
        "tile m, n by {rows}, {columns}\nsplit m.0 by 2\nskew m.0.1 by -2*m.0.0\n\
         reorder m.0.0, n.0, m.0.1\n{turns}distribute n.1\ndistribute m.1\n\
         split k by {slice}\nreorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 128\n\
         split k.1 by {k}\nreorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}\
         map As.0 to {a}\nmap Bs.0 to {b}\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.pair.m256n{columns}k{k}.{acc}.{of}.{of}\n\
         ring k.0 by {stages}\n{places}"
    )
}

/// The kernel's text.
fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    let text = agrees_cleanly(&nest, &schedule, Target::Sm100a);
    assert!(text.contains("do tcgen05.mma.pair."), "{text}");
    text
}

/// PTX ISA 8.8, 9.7.16.10.5, data path layout A (256 rows of a pair: rows of each block in its own
/// lanes), and 9.7.16.5 (one thread of the first block multiplies for both).
#[test]
fn each_block_of_a_pair_holds_half_of_both_operands() {
    let text = check(&product(ROWS, BF16, [256, 64, 136]), &script(BF16, &PLAIN));
    assert!(text.contains("shared As: bf16[3, 128, 64] panel 128"), "{text}");
    assert!(text.contains("shared Bs: bf16[3, 32, 64] panel 128"), "{text}");
    assert!(text.contains("tcgen05.commit.pair(empty["), "{text}");
    assert!(text.contains("], 40960)"), "bytes of both blocks\n{text}");
}

#[test]
fn every_transposition_and_output_of_pairs() {
    for a in ["mk", "km"] {
        for b in ["nk", "kn"] {
            for types in [BF16, WIDE] {
                check(&product([a, b], types, [264, 72, 136]), &script(types, &PLAIN));
            }
        }
    }
}

#[test]
fn every_type_of_pairs() {
    for types in [
        ["f16", "f32", "f16"],
        ["tf32", "f32", "f32"],
        ["e4m3", "f32", "f32"],
        ["e5m2", "f32", "f32"],
        ["i8", "i32", "i32"],
    ] {
        check(&product(ROWS, types, [264, 72, 144]), &script(types, &PLAIN));
    }
    // bytes may lie transposed
    let bytes = ["u8", "i32", "i32"];
    check(&product(["km", "kn"], bytes, [272, 80, 48]), &script(bytes, &PLAIN));
}

#[test]
fn tiles_of_pairs_reach_over_the_ends() {
    // the second block of the last pair has no rows; columns and sums end inside a tile
    check(&product(ROWS, WIDE, [328, 40, 200]), &script(WIDE, &PLAIN));
    check(&product(ROWS, BF16, [136, 8, 8]), &script(BF16, &PLAIN));
    for columns in [32, 96] {
        let shape = Shape { tile: [128, columns], stages: 2, ..PLAIN };
        check(&product(["mk", "kn"], BF16, [256, 104, 72]), &script(BF16, &shape));
    }
    let tall = Shape { tile: [256, 32], stages: 2, ..PLAIN };
    let text = check(&product(ROWS, WIDE, [520, 32, 72]), &script(WIDE, &tall));
    assert!(text.contains("tensor sums: f32[1, 2, 128, 32]"), "{text}");
}

#[test]
fn pairs_that_stay_store_one_tile_while_they_multiply_the_next() {
    let shape = Shape { tile: [128, 32], stay: true, ..PLAIN };
    for types in [BF16, WIDE] {
        let text = check(&product(["mk", "kn"], types, [512, 96, 136]), &script(types, &shape));
        assert!(text.contains("tensor sums: f32[2, 1, 128, 32]"), "{text}");
        assert!(text.contains("barrier free[2] count 256"), "{text}");
        assert!(text.contains("mbarrier.arrive.cluster(free["), "{text}");
    }
}

#[test]
fn pairs_have_tiles_of_several_indices() {
    let text = "in A: bf16[16, 16, 72]\nin B: bf16[6, 8, 72]\nout Out: bf16[6, 16, 8, 16]\n\
                temp Acc: f32[6, 16, 8, 16]\n\
                for c in 0..6, a in 0..16, d in 0..8, b in 0..16 {\nS0: Acc[c, a, d, b] = 0.0\n\
                for k in 0..72 { S1: Acc[c, a, d, b] += A[a, b, k] * B[c, d, k] order fixed }\n\
                S2: Out[c, a, d, b] = Acc[c, a, d, b]\n}\n";
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let options = GpuOptions { paired: Paired::Always, ..GpuOptions::of(Target::Sm100a) };
    let (schedule, _) = compile::automatic_on(&nest, &options).unwrap_or_else(|e| panic!("{e}"));
    let script = schedule.script().to_string();
    assert!(script.contains("coalesce") && script.contains("to cluster"), "{script}");
    let (kernel, report) = agrees_on(&nest, &schedule, Target::Sm100a);
    assert!(kernel.contains("do tcgen05.mma.pair.m256n"), "{kernel}");
    assert!(report.contains(" 0 bytes stack frame"), "{report}");
}

#[test]
fn threads_of_both_blocks_fill_operands() {
    for fill in [["tma", "thread.x"], ["thread.x", "tma"], ["thread.x", "thread.x"]] {
        let shape = Shape { fill, ..PLAIN };
        check(&product(ROWS, WIDE, [264, 56, 136]), &script(WIDE, &shape));
        check(&product(["km", "kn"], WIDE, [264, 56, 72]), &script(WIDE, &shape));
    }
}

#[test]
fn the_machine_code_of_pairs_multiplies_for_two_blocks() {
    for (types, multiplies) in [
        (BF16, "UTCHMMA.2CTA"),
        (["tf32", "f32", "f32"], "UTCHMMA.2CTA"),
        (["e4m3", "f32", "f32"], "UTCQMMA.2CTA"),
        (["i8", "i32", "i32"], "UTCIMMA.2CTA"),
    ] {
        let shape = Shape { tile: [128, 256], stages: 4, ..PLAIN };
        let (_, schedule) =
            replayed(&product(ROWS, types, [512, 256, 512]), &script(types, &shape));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        let code = lowered.gpu(Target::Sm100a).unwrap_or_else(|e| panic!("{e}"));
        let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
        for wanted in [multiplies, "UTCBAR.2CTA.MULTICAST", "UTMALDG.2D.2CTA", "LDTM"] {
            assert!(sass.contains(wanted), "{wanted}\n{sass}");
        }
        for surprise in ["LDL", "STL", "HMMA.16", "IMMA.16"] {
            assert!(!sass.contains(surprise), "{surprise}\n{sass}");
        }
        // sm_103a has no integers there
        let other = lowered.gpu(Target::Sm103a);
        match types[1] {
            "i32" => assert_eq!(other.expect_err("no integers").code, "E1205"),
            _floats => {
                let code = other.unwrap_or_else(|e| panic!("{e}"));
                let report = compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
                assert!(report.contains(" 0 bytes spill stores"), "{report}");
            }
        }
    }
}

#[test]
fn refusals_of_pairs_say_why() {
    let text = product(ROWS, WIDE, [512, 256, 64]);
    let alone = script(WIDE, &PLAIN).replace("map m.0.1 to cluster\n", "");
    refused(&text, &alone, "E0732", "no loop of 2 iterations");
    let wide = script(WIDE, &Shape { tile: [128, 128], ..PLAIN })
        .replace("m256n128k16", "m256n64k16")
        .replace("split k.1 by 16\n", "split k.1 by 16\nsplit S1.n.1 by 64\n")
        .replace("k.1.0, S1.m.1.1, S1.n.1, k.1.1\n", "k.1.0, S1.n.1.0, S1.m.1.1, S1.n.1.1, k.1.1\n")
        .replace("S1.m.1.1, S1.n.1, k.1.1 with", "S1.m.1.1, S1.n.1.1, k.1.1 with");
    refused(&text, &wide, "E0731", "of which each block of a pair holds half");
}
