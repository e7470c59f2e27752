//! Products that accumulate in the tensor memory of sm_100a, by scripts and by themselves: each
//! block program is sealed, computes what the nest says, and is assembled without spills; the
//! machine code multiplies on the tensor cores and copies by the copy engine.

use warploom::{Schedule, compile};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees_cleanly, replayed};

/// `Out[m, n] = sum over k of A[m, k] * B[k, n]`, in these types and orders of the indices.
fn product([a, b]: [&str; 2], [of, acc, out]: [&str; 3], [m, n, k]: [i64; 3]) -> String {
    let size = |l: char| match l {
        'm' => m,
        'n' => n,
        'k' => k,
        _batch => 2,
    };
    let list = |labels: &str, each: &dyn Fn(char) -> String| {
        labels.chars().map(each).collect::<Vec<_>>().join(", ")
    };
    let shape = |labels: &str| list(labels, &|l| size(l).to_string());
    let at = |labels: &str| list(labels, &|l| l.to_string());
    let (c, batch, end) =
        if a.contains('b') { ("bmn", "for b in 0..2 {\n", "}\n") } else { ("mn", "", "") };
    let zero = if acc == "i32" { "0" } else { "0.0" };
    format!(
        "in A: {of}[{}]\nin B: {of}[{}]\nout Out: {out}[{s}]\ntemp Acc: {acc}[{s}]\n\
         {batch}for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Acc[{i}] = {zero}\n\
         for k in 0..{k} {{ S1: Acc[{i}] += A[{}] * B[{}] order fixed }}\n\
         S2: Out[{i}] = Acc[{i}]\n}}\n}}\n{end}",
        shape(a),
        shape(b),
        at(a),
        at(b),
        s = shape(c),
        i = at(c),
    )
}

const BF16: [&str; 3] = ["bf16", "f32", "bf16"];
const WIDE: [&str; 3] = ["bf16", "f32", "f32"];
const ROWS: [&str; 2] = ["mk", "nk"];

/// How a script divides the work.
struct Shape {
    /// Rows and columns of a tile.
    tile: [i64; 2],
    stages: i64,
    /// Loops around the tiles, and the places of tiles.
    around: &'static str,
    places: &'static str,
    /// The loop that holds the sums.
    at: &'static str,
}

const GRID: &str = "map n.0 to block.x\nmap m.0 to block.y\n";
const PLAIN: Shape = Shape { tile: [128, 64], stages: 3, around: "", places: GRID, at: "n.0" };
/// Three blocks that take every third tile.
const PERSISTENT: Shape = Shape {
    around: "split m.0 by 2\nreorder m.0.0, n.0, m.0.1\nraster m.0.0, n.0, m.0.1 as t\n\
             split t by 3\nskew t.1 by -3*t.0\nreorder t.1, t.0\n",
    places: "map t.1 to block.x\n",
    at: "m.0.1",
    ..PLAIN
};

/// The script for a product of these types; results of 16 bits leave as boxes.
fn script([of, acc, out]: [&str; 3], s: &Shape) -> String {
    let bytes = match of {
        "tf32" => 4,
        "bf16" | "f16" => 2,
        _eight_bits => 1,
    };
    let (slice, k, [rows, columns]) = (128 / bytes, 32 / bytes, s.tile);
    let Shape { stages, around, places, at, .. } = s;
    let drain = match out {
        "bf16" | "f16" => format!("stage Out at {at} as Os\nmap Os_back.0 to tma\n"),
        _wide => String::new(),
    };
    format!(
        "tile m, n by {rows}, {columns}\n{around}distribute n.1\ndistribute m.1\n\
         split k by {slice}\nreorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 128\n\
         split k.1 by {k}\nreorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}\
         map As.0 to tma\nmap Bs.0 to tma\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with tcgen05.mma.m128n{columns}k{k}.{acc}.{of}.{of}\n\
         ring k.0 by {stages}\n{places}"
    )
}

/// The kernel's text.
fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    sealed(&nest, &schedule)
}

fn sealed(nest: &Nest, schedule: &Schedule) -> String {
    let text = agrees_cleanly(nest, schedule, Target::Sm100a);
    assert!(text.contains("tensor sums") && text.contains("do tcgen05.mma."), "{text}");
    text
}

#[test]
fn every_transposition_and_output() {
    for a in ["mk", "km"] {
        for b in ["nk", "kn"] {
            for types in [BF16, WIDE] {
                check(&product([a, b], types, [136, 72, 136]), &script(types, &PLAIN));
            }
        }
    }
}

#[test]
fn rings_of_any_length_and_tiles_that_fit_once() {
    for stages in [1, 2, 4] {
        let shape = Shape { stages, ..PLAIN };
        check(&product(ROWS, BF16, [128, 64, 320]), &script(BF16, &shape));
    }
    for size in [[8, 8, 8], [64, 64, 16], [1, 8, 72], [200, 24, 64]] {
        check(&product(ROWS, BF16, size), &script(BF16, &PLAIN));
    }
}

#[test]
fn other_types_are_other_instructions() {
    for types in [
        ["f16", "f32", "f16"],
        ["tf32", "f32", "f32"],
        ["e4m3", "f32", "f32"],
        ["i8", "i32", "i32"],
    ] {
        check(&product(ROWS, types, [136, 72, 144]), &script(types, &PLAIN));
    }
    // bytes may lie transposed
    let bytes = ["i8", "i32", "i32"];
    check(&product(["km", "kn"], bytes, [144, 80, 48]), &script(bytes, &PLAIN));
    let unsigned = ["u8", "i32", "i32"];
    check(&product(["mk", "kn"], unsigned, [40, 80, 144]), &script(unsigned, &PLAIN));
}

#[test]
fn tiles_of_two_instructions_rows() {
    let shape = Shape { tile: [256, 48], ..PLAIN };
    for types in [BF16, WIDE] {
        let text = check(&product(ROWS, types, [264, 56, 72]), &script(types, &shape));
        assert!(text.contains("tensor sums: f32[1, 2, 128, 48]"), "{text}");
    }
}

#[test]
fn blocks_that_stay_store_one_tile_while_they_multiply_the_next() {
    for types in [BF16, WIDE] {
        let size = [512, 128, 192];
        let text = check(&product(["mk", "kn"], types, size), &script(types, &PERSISTENT));
        assert!(text.contains("tensor sums: f32[2, 1, 128, 64]"), "{text}");
        assert!(text.contains("barrier free[2] count 128"), "{text}");
    }
    // two of these do not fit
    let shape = Shape { tile: [256, 160], ..PERSISTENT };
    let text = check(&product(ROWS, WIDE, [1024, 160, 24]), &script(WIDE, &shape));
    assert!(text.contains("tensor sums: f32[1, 2, 128, 160]"), "{text}");
}

#[test]
fn the_instruction_takes_either_loop_as_its_rows() {
    for types in [BF16, WIDE] {
        let shape = Shape { tile: [64, 128], ..PLAIN };
        let swapped = script(types, &shape)
            .replace("split S1.m.1 by 128\n", "")
            .replace("S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1", "k.1.0, S1.n.1, S1.m.1")
            .replace("tensorize S1.m.1.1, S1.n.1", "tensorize S1.n.1, S1.m.1")
            .replace("m128n128k16", "m128n64k16");
        check(&product(ROWS, types, [72, 200, 136]), &swapped);
    }
}

/// [`script`] whose results leave in slabs of 64 columns.
fn in_slabs(shape: &Shape) -> String {
    script(["bf16", "f32", "f32"], shape).replace(
        "map As.0 to tma",
        "split S2.n.1 by 64\nreorder S2.n.1.0, S2.m.1, S2.n.1.1\nring S2.n.1.0 by 2\n\
         stage Out at S2.n.1.0 as Os\nmap Os_back.0 to tma\nmap As.0 to tma",
    )
}

#[test]
fn results_leave_in_slabs() {
    let shape = Shape { tile: [128, 128], ..PLAIN };
    for size in [[136, 136, 72], [128, 256, 64], [40, 72, 16]] {
        let text = check(&product(["mk", "kn"], BF16, size), &in_slabs(&shape));
        assert!(text.contains("slab"), "{text}");
    }
    let biased = product(["mk", "kn"], BF16, [136, 136, 72])
        .replace("Out[m, n] = Acc[m, n]", "Out[m, n] = Acc[m, n] + Bias[n]")
        .replace("temp Acc", "in Bias: f32[136]\ntemp Acc");
    let text = check(&biased, &in_slabs(&shape));
    assert!(text.contains("else"), "{text}");
    let stay = Shape { tile: [128, 128], ..PERSISTENT };
    check(&product(ROWS, BF16, [512, 128, 136]), &in_slabs(&stay));
    // three slabs in a ring of two: the next tile goes on with the other one
    let odd = Shape { tile: [128, 192], ..PERSISTENT };
    let text = check(&product(ROWS, BF16, [512, 192, 72]), &in_slabs(&odd));
    assert!(text.contains("3 * t_"), "{text}");
}

#[test]
fn blocks_of_a_cluster_load_for_each_other() {
    let shape = Shape {
        tile: [128, 128],
        around: "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n",
        places: "map m.0.0 to block.y\nmap n.0 to block.x\nmap m.0.1 to cluster\n",
        at: "m.0.1",
        ..PLAIN
    };
    // three tiles: the last block of the second cluster has none
    let text = check(&product(["mk", "kn"], BF16, [328, 136, 200]), &in_slabs(&shape));
    assert!(text.contains("tma.load.multicast(Bs"), "{text}");
    assert!(text.contains("tcgen05.commit.cluster(empty"), "{text}");
    assert!(text.contains("for tail in 0..3"), "{text}");
}

#[test]
fn automatic_schedules_accumulate_in_tensor_memory() {
    let auto = |text: &str, multiprocessors: i64| {
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
        let options = GpuOptions { multiprocessors, ..GpuOptions::of(Target::Sm100a) };
        let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule));
        sealed(&nest, &schedule)
    };
    let text = auto(&product(ROWS, BF16, [1024, 512, 64]), 4);
    assert!(text.contains("cluster[0 : 2]") && text.contains("in 0..2 block.x"), "{text}");
    auto(&product(["km", "kn"], WIDE, [384, 520, 72]), 4);
    auto(&product(ROWS, BF16, [16, 520, 200]), 132);
    auto(&product(["bmk", "bkn"], BF16, [130, 72, 80]), 132);
    auto(&product(ROWS, ["i8", "i32", "i32"], [136, 264, 144]), 132);
}

#[test]
fn the_machine_code_multiplies_on_tensor_cores() {
    for (types, multiplies) in
        [(BF16, "UTCHMMA"), (["tf32", "f32", "f32"], "UTCHMMA"), (["i8", "i32", "i32"], "UTCIMMA")]
    {
        let (_, schedule) =
            replayed(&product(ROWS, types, [256, 128, 256]), &script(types, &PLAIN));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        let code = lowered.gpu(Target::Sm100a).unwrap_or_else(|e| panic!("{e}"));
        let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
        for wanted in [multiplies, "UTMALDG", "LDTM"] {
            assert!(sass.contains(wanted), "{wanted}\n{sass}");
        }
        for surprise in ["LDL", "STL", "HMMA.16", "IMMA.16"] {
            assert!(!sass.contains(surprise), "{surprise}\n{sass}");
        }
    }
}

#[test]
fn refusals_say_why() {
    let refused = |text: &str, script: &str, code: &str, words: &str| {
        let (_, schedule) = replayed(text, script);
        let error = compile::lower(&schedule).expect_err(words);
        assert!(error.code == code && error.message.contains(words), "{error}");
    };
    let text = product(ROWS, WIDE, [512, 256, 64]);
    let large = Shape { tile: [384, 256], ..PLAIN };
    refused(&text, &script(WIDE, &large), "E0731", "768 columns of tensor memory");
    let teams = Shape { tile: [256, 64], ..PLAIN };
    let teams = script(WIDE, &teams) + "map S1.m.1.0 to warpgroup\n";
    refused(&text, &teams, "E0731", "one thread issues");
    // sums that begin with what is there
    let onto = "in A: bf16[128, 64]\nin B: bf16[64, 64]\ninout Acc: f32[128, 64]\n\
                for m in 0..128, n in 0..64, k in 0..64 {\n\
                S1: Acc[m, n] += A[m, k] * B[n, k] order fixed\n}\n";
    let steps = script(WIDE, &PLAIN).replace("distribute n.1\ndistribute m.1\n", "");
    let steps = steps.replace("S1.m.1", "m.1").replace("S1.n.1", "n.1");
    refused(onto, &steps, "E0731", "start at zero");
    // what other targets lack
    let (_, schedule) = replayed(&text, &script(WIDE, &PLAIN));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let error = lowered.gpu(Target::Sm90a).expect_err("there is no tensor memory");
    assert_eq!(error.code, "E1205", "{error}");
}
