//! Products whose first factor's fragments a warpgroup loads from shared memory (`wgmma.rs`): as
//! the factor lies there, along its sum or along its own index. Each block program is sealed,
//! computes what the nest says, and is assembled without spills and without products that wait for
//! each other. Scripts that cannot be are refused.
//!
//! Data are small integers, so that every sum is exact and results must agree bit for bit.

use warploom::{Schedule, compile};
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees_cleanly, refused, replayed};

/// How results leave.
#[derive(Clone, Copy)]
enum Leaves {
    Threads,
    Boxes,
    Slabs,
}

/// Tiles of `64 * teams * rows` of the instruction's rows.
#[derive(Clone, Copy)]
struct Shape {
    /// The labels of both factors, and their type.
    factors: [&'static str; 2],
    dtype: &'static str,
    acc: &'static str,
    out: &'static str,
    /// The instruction's rows are the results' columns.
    swapped: bool,
    rows: i64,
    teams: i64,
    stages: i64,
    leaves: Leaves,
    blocks: Blocks,
}

/// Who has which tiles.
#[derive(Clone, Copy)]
enum Blocks {
    Own,
    Persistent,
    Turns,
    Streamed,
}

const TF32: Shape = Shape {
    factors: ["mk", "kn"],
    dtype: "tf32",
    acc: "f32",
    out: "f32",
    swapped: true,
    rows: 1,
    teams: 1,
    stages: 3,
    leaves: Leaves::Threads,
    blocks: Blocks::Own,
};

/// `Out[m, n] = sum over k` of the factors' products.
fn product(s: &Shape, [m, n, k]: [i64; 3]) -> String {
    let Shape { factors, dtype, acc, out, .. } = s;
    let size = |l: char| match l {
        'm' => m,
        'n' => n,
        _sum => k,
    };
    let shape =
        |labels: &str| -> Vec<String> { labels.chars().map(|l| size(l).to_string()).collect() };
    let at = |labels: &str| labels.chars().map(String::from).collect::<Vec<_>>().join(", ");
    let [a, b] = factors.map(|f| shape(f).join(", "));
    let [i, j] = factors.map(at);
    let zero = if acc.starts_with('i') { "0" } else { "0.0" };
    let keeps = if dtype.starts_with('e') { "keeps 13 over 128" } else { "" };
    format!(
        "in A: {dtype}[{a}]\nin B: {dtype}[{b}]\nout Out: {out}[{m}, {n}]\n\
         temp Acc: {acc}[{m}, {n}]\nfor m in 0..{m} {{\nfor n in 0..{n} {{\n\
         S0: Acc[m, n] = {zero}\n\
         for k in 0..{k} {{ S1: Acc[m, n] += A[{i}] * B[{j}] order fixed {keeps} }}\n\
         S2: Out[m, n] = Acc[m, n]\n}}\n}}\n"
    )
}

fn script(s: &Shape, name: &str) -> String {
    let Shape { swapped, rows, teams, stages, leaves, blocks, dtype, acc, .. } = *s;
    let bits = if dtype.contains('8') || dtype.starts_with('e') { 1 } else { 2 };
    let bytes = if dtype == "tf32" { 4 } else { bits };
    let (slice, step) = (128 / bytes, 32 / bytes);
    let (deep, wide) = if swapped { ("n", "m") } else { ("m", "n") };
    let (tall, columns) = (64 * rows * teams, 64);
    let (along, across) = if swapped { (columns, tall) } else { (tall, columns) };
    let (around, grid) = match blocks {
        Blocks::Own => ("", "map n.0 to block.x\nmap m.0 to block.y\n"),
        Blocks::Persistent | Blocks::Turns => (
            "raster m.0, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\nreorder t.1, t.0\n",
            "map t.1 to block.x\n",
        ),
        Blocks::Streamed => ("raster m.0, n.0 as t\n", "map t to block.x\nstream t by 5\n"),
    };
    let turns = if matches!(blocks, Blocks::Turns) { "map t.0 to pingpong\n" } else { "" };
    let leave = match leaves {
        Leaves::Threads => String::new(),
        Leaves::Boxes => "stage Out at n.0 as Os\nmap Os_back.0 to tma\n".to_owned(),
        Leaves::Slabs => format!(
            "split S2.{wide}.1 by 32\nreorder S2.{wide}.1.0, S2.m.1{0}, S2.n.1{1}\n\
             ring S2.{wide}.1.0 by 2\nstage Out at S2.{wide}.1.0 as Os\nmap Os_back.0 to tma\n",
            if swapped { ".1" } else { "" },
            if swapped { "" } else { ".1" },
        ),
    };
    let mut below = format!("S1.{deep}.1.0");
    let mut split = String::new();
    if rows > 1 {
        split = format!("split S1.{deep}.1.0 by {rows}\n");
        below = format!("S1.{deep}.1.0.0, S1.{deep}.1.0.1");
    }
    let team = if rows > 1 { format!("S1.{deep}.1.0.0") } else { format!("S1.{deep}.1.0") };
    let groups = if teams > 1 { format!("map {team} to warpgroup\n") } else { String::new() };
    let instruction = format!("{name}m64n64k{step}.{acc}.{dtype}.{dtype}");
    format!(
        "tile m, n by {along}, {across}\n{around}distribute n.1\ndistribute m.1\n\
         split k by {slice}\nreorder k.0, S1.{deep}.1, S1.{wide}.1, k.1\n\
         split S1.{deep}.1 by 64\nsplit k.1 by {step}\n{split}\
         reorder k.0, {below}, k.1.0, S1.{deep}.1.1, S1.{wide}.1, k.1.1\n\
         stage Acc at n.0 as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{leave}\
         map As.0 to tma\nmap Bs.0 to tma\n{groups}\
         tensorize S1.{deep}.1.1, S1.{wide}.1, k.1.1 with {instruction}\n\
         ring k.0 by {stages}\n{turns}{grid}"
    )
}

/// The kernel's text.
fn check(s: &Shape, sizes: [i64; 3]) -> String {
    let (nest, schedule) = replayed(&product(s, sizes), &script(s, "wgmma.rs."));
    let text = agrees_cleanly(&nest, &schedule, Target::Sm90a);
    assert!(text.contains("as wgmma.rs.m64n64"), "{text}");
    text
}

/// The rows of `B` in shared memory are along the results' columns, of which each thread takes its
/// own; they are whole tiles or not, and so are slices.
#[test]
fn columns_of_a_factor_are_loaded_as_rows() {
    for (teams, stages, rows) in [(1, 1, 1), (2, 3, 1), (1, 2, 2)] {
        for leaves in [Leaves::Threads, Leaves::Boxes, Leaves::Slabs] {
            let shape = Shape { teams, stages, rows, leaves, ..TF32 };
            let text = check(&shape, [72, 132, 100]);
            assert!(text.contains("across Acc_n_0_a[") || text.contains("across acc_a["), "{text}");
        }
    }
}

/// Where it is the first factor that does not lie along the sum, the tile is not swapped.
#[test]
fn rows_of_a_factor_are_loaded_as_columns() {
    let shape = Shape { factors: ["km", "nk"], swapped: false, ..TF32 };
    check(&shape, [68, 72, 40]);
    check(&Shape { leaves: Leaves::Slabs, teams: 2, ..shape }, [132, 64, 72]);
    // what lies along the sum is loaded by the instruction for matrices
    let text = check(&Shape { factors: ["mk", "nk"], ..shape }, [64, 64, 64]);
    assert!(text.contains("ldmatrix"), "{text}");
}

/// Every width of elements, the fragment's factor in both directions. Sums that keep 13 bits have
/// partial sums.
#[test]
fn elements_of_every_width() {
    for (dtype, acc) in [("f16", "f32"), ("bf16", "f32"), ("e4m3", "f32"), ("i8", "i32")] {
        for a in ["mk", "km"] {
            let shape = Shape {
                factors: [a, "nk"],
                dtype,
                acc,
                out: acc,
                swapped: false,
                stages: 2,
                ..TF32
            };
            let text = check(&shape, [80, 64, 160]);
            assert_eq!(text.contains("partial"), dtype == "e4m3", "{text}");
        }
    }
}

#[test]
fn blocks_stay_take_turns_and_share_out() {
    for (blocks, word) in [
        (Blocks::Persistent, "label t.0"),
        (Blocks::Turns, "barrier turn"),
        (Blocks::Streamed, "acc_parts"),
    ] {
        let shape = Shape { blocks, leaves: Leaves::Slabs, ..TF32 };
        let text = check(&shape, [132, 200, 136]);
        assert!(text.contains(word), "{word}: {text}");
    }
}

fn automatic(text: &str) -> String {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let options = GpuOptions { multiprocessors: 4, ..GpuOptions::of(Target::Sm90a) };
    let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
    compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}")).kernel().to_string()
}

/// Automatic schedules load what would be copied or turned around otherwise: of one factor, of
/// elements of 32 bits.
#[test]
fn automatic_schedules_load_what_lies_along_the_results() {
    let loads = |factors: [&'static str; 2], dtype: &'static str| {
        let text = automatic(&product(&Shape { factors, dtype, ..TF32 }, [256, 256, 256]));
        assert!(text.contains("wgmma.") && !text.contains("thread.y"), "{text}");
        text.contains("wgmma.rs.")
    };
    assert!(loads(["mk", "kn"], "tf32"));
    assert!(loads(["km", "nk"], "tf32"));
    assert!(!loads(["mk", "nk"], "tf32"));
    assert!(!loads(["mk", "kn"], "bf16"));
}

#[test]
fn what_has_no_fragments_is_refused() {
    let nest = product(&TF32, [64, 64, 64]);
    let plain = script(&TF32, "wgmma.");
    refused(&nest, &plain, "E0731", "operands of type tf32 cannot lie transposed");
    // the other factor is read from shared memory, where its rows are along the sum
    let other = Shape { swapped: false, ..TF32 };
    let text = script(&other, "wgmma.rs.");
    refused(&product(&other, [64, 64, 64]), &text, "E0731", "cannot lie transposed");
    let boxed = "in A: tf32[8, 16, 64]\nin B: tf32[64, 64]\nout Out: f32[8, 16, 64]\n\
         temp Acc: f32[8, 16, 64]\nfor b in 0..8 {\nfor m in 0..16 {\nfor n in 0..64 {\n\
         S0: Acc[b, m, n] = 0.0\n\
         for k in 0..64 { S1: Acc[b, m, n] += A[b, m, k] * B[n, k] order fixed }\n\
         S2: Out[b, m, n] = Acc[b, m, n]\n}\n}\n}\n";
    let script = |name: &str| {
        format!(
            "split b by 4\ndistribute n\ndistribute m\ndistribute b.1\nsplit k by 32\n\
             coalesce S1.b.1, S1.m as bm\nsplit k.1 by 8\n\
             reorder k.0, k.1.0, bm, S1.n, k.1.1\nstage Acc at b.0 as acc\n\
             stage A at k.0 as As\nstage B at k.0 as Bs\nmap As.0 to tma\nmap Bs.0 to tma\n\
             tensorize bm, S1.n, k.1.1 with {name}m64n64k8.f32.tf32.tf32\nring k.0 by 2\n\
             map b.0 to block.x\n"
        )
    };
    let (nest, schedule) = replayed(boxed, &script("wgmma."));
    let plain = agrees_cleanly(&nest, &schedule, Target::Sm90a);
    assert!(!plain.contains("wgmma.rs"), "{plain}");
    refused(boxed, &script("wgmma.rs."), "E0731", "and it is a box");
}
