//! Schedules with tensorized statements: the block programs they become are sealed by the verifier,
//! run in the interpreter against the nest, and are assembled without spills.
//!
//! Data are small integers, so that every sum is exact in f32 and results must agree bit for bit.

use std::collections::BTreeMap;

use warploom::{Schedule, Spec, SpecTypes, bind};
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees, refused, replayed};

/// A product of bf16 with f32 sums, as an einsum becomes it.
fn product(a: &str, b: &str, out: &str, [m, n, k]: [i64; 3]) -> String {
    let shape = |labels: &str| -> String {
        let size = |l: char| match l {
            'm' => m,
            'n' => n,
            'k' => k,
            _batch => 2,
        };
        labels.chars().map(|l| size(l).to_string()).collect::<Vec<_>>().join(", ")
    };
    let at = |labels: &str| labels.chars().map(String::from).collect::<Vec<_>>().join(", ");
    let batch = if a.contains('b') { "for b in 0..2 {\n" } else { "" };
    let end = if batch.is_empty() { "" } else { "}\n" };
    let (c, i) = (if batch.is_empty() { "m, n" } else { "b, m, n" }, at);
    let acc = if batch.is_empty() { format!("{m}, {n}") } else { format!("2, {m}, {n}") };
    format!(
        "in A: bf16[{}]\nin B: bf16[{}]\nout Out: {out}[{acc}]\ntemp Acc: f32[{acc}]\n\
         {batch}for m in 0..{m} {{\nfor n in 0..{n} {{\nS0: Acc[{c}] = 0.0\n\
         for k in 0..{k} {{ S1: Acc[{c}] += A[{}] * B[{}] order fixed }}\n\
         S2: Out[{c}] = Acc[{c}]\n}}\n}}\n{end}",
        shape(a),
        shape(b),
        i(a),
        i(b),
    )
}

/// The kernel of a script for a nest, run by the interpreter and compared, and its PTX.
fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    agrees(&nest, &schedule).0
}

/// Tiles of 128 x 64, two warpgroups, a ring of `stages`.
fn script(out: &str, stages: i64, blocks: &str, at: &str, around: &str) -> String {
    let drain = if out == "bf16" {
        format!("stage Out at {at} as Os\nmap Os_back.0 to tma\n")
    } else {
        String::new()
    };
    format!(
        "tile m, n by 128, 64\n{around}distribute n.1\ndistribute m.1\nsplit k by 64\n\
         reorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 64\nsplit k.1 by 16\n\
         reorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n{drain}\
         map As.0 to tma\nmap Bs.0 to tma\nmap S1.m.1.0 to warpgroup\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n64k16.f32.bf16.bf16\n\
         ring k.0 by {stages}\n{blocks}"
    )
}

const GRID: &str = "map n.0 to block.x\nmap m.0 to block.y\n";

#[test]
fn every_transposition_and_output() {
    for (a, b) in [("mk", "kn"), ("mk", "nk"), ("km", "kn"), ("km", "nk")] {
        for out in ["bf16", "f32"] {
            check(&product(a, b, out, [136, 72, 136]), &script(out, 3, GRID, "n.0", ""));
        }
    }
}

#[test]
fn rings_of_any_length_and_tiles_that_fit_once() {
    for stages in [1, 2, 4] {
        check(
            &product("mk", "nk", "bf16", [128, 64, 320]),
            &script("bf16", stages, GRID, "n.0", ""),
        );
    }
    for shape in [[8, 8, 8], [64, 64, 16], [1, 8, 72], [200, 24, 64]] {
        check(&product("mk", "nk", "bf16", shape), &script("bf16", 2, GRID, "n.0", ""));
    }
}

#[test]
fn persistent_blocks_take_tiles_in_groups() {
    let around = "split m.0 by 2\nreorder m.0.0, n.0, m.0.1\nraster m.0.0, n.0, m.0.1 as t\n\
                  split t by 3\nskew t.1 by -3*t.0\nreorder t.1, t.0\n";
    let blocks = "map t.1 to block.x\n";
    for out in ["bf16", "f32"] {
        let text = check(
            &product("mk", "kn", out, [512, 128, 192]),
            &script(out, 3, blocks, "m.0.1", around),
        );
        assert!(text.contains("in 0..3 block.x"), "{text}");
    }
}

#[test]
fn the_instruction_takes_either_loop_as_its_rows() {
    let swapped = |out: &str| {
        script(out, 2, GRID, "n.0", "")
            .replace("tensorize S1.m.1.1, S1.n.1", "tensorize S1.n.1, S1.m.1.1")
    };
    for out in ["bf16", "f32"] {
        check(&product("mk", "nk", out, [200, 72, 136]), &swapped(out));
    }
}

/// [`script`] for tiles of 128 x 128 whose results leave in two slabs of columns.
fn in_slabs(stages: i64, blocks: &str, at: &str, around: &str) -> String {
    script("f32", stages, blocks, at, around)
        .replace("by 128, 64", "by 128, 128")
        .replace("m64n64k16", "m64n128k16")
        .replace(
            "map As.0 to tma",
            "split S2.n.1 by 64\nreorder S2.n.1.0, S2.m.1, S2.n.1.1\nring S2.n.1.0 by 2\n\
             stage Out at S2.n.1.0 as Os\nmap Os_back.0 to tma\nmap As.0 to tma",
        )
}

#[test]
fn results_leave_in_slabs() {
    for shape in [[136, 136, 72], [128, 256, 64], [40, 72, 16]] {
        let text = check(&product("mk", "kn", "bf16", shape), &in_slabs(2, GRID, "n.0", ""));
        assert!(text.contains("stmatrix") && text.contains("slab"), "{text}");
    }
    // a statement that reads more than the sum runs for elements of the array only
    let biased = product("mk", "kn", "bf16", [136, 136, 72])
        .replace("Out[m, n] = Acc[m, n]", "Out[m, n] = Acc[m, n] + Bias[n]")
        .replace("temp Acc", "in Bias: f32[136]\ntemp Acc");
    let text = check(&biased, &in_slabs(2, GRID, "n.0", ""));
    assert!(text.contains("else"), "{text}");
    // results of 32 bits are stored by the threads that hold them
    for (from, shape) in [("Acc[m, n]\n}", [136, 136, 72]), ("Acc[m, n] + 1.0\n}", [128, 256, 64])]
    {
        let text = product("mk", "kn", "f32", shape).replace("Acc[m, n]\n}", from);
        let text = check(&text, &in_slabs(2, GRID, "n.0", ""));
        assert!(text.contains("across acc[0 : 64, 64 * slab : 64]"), "{text}");
    }
}

#[test]
fn blocks_of_a_cluster_load_for_each_other() {
    let around = "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n";
    let blocks = "map m.0.0 to block.y\nmap n.0 to block.x\nmap m.0.1 to cluster\n";
    for (a, b) in [("mk", "kn"), ("km", "nk")] {
        // three tiles: the last block of the second cluster has none
        let text =
            check(&product(a, b, "bf16", [328, 136, 200]), &in_slabs(3, blocks, "m.0.1", around));
        assert!(text.contains("tma.load.multicast(Bs") && text.contains("tma.load(As"), "{text}");
    }
}

#[test]
fn automatic_schedules_are_block_programs() {
    let of = |multiprocessors| GpuOptions { multiprocessors, ..GpuOptions::of(Target::Sm90a) };
    let auto = |text: &str, multiprocessors: i64| {
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
        let schedule = auto_gpu(&start, &of(multiprocessors)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule));
        let (text, report) = agrees(&nest, &schedule);
        // products one after the other, or waits that nobody wrote
        assert!(!report.contains("C75"), "{report}\n{text}");
        text
    };
    let text = auto(&product("mk", "nk", "bf16", [512, 512, 128]), 4);
    assert!(text.contains("cluster[0 : 2]") && text.contains("in 0..2 block.x"), "{text}");
    auto(&product("km", "kn", "f32", [384, 520, 72]), 4);
    auto(&product("mk", "nk", "bf16", [16, 520, 200]), 132);
    auto(&product("bmk", "bkn", "bf16", [130, 72, 80]), 132);
    auto(&product("mk", "kn", "bf16", [8, 8, 136]), 132);
    // a long sum with few results: parts of it on blocks, one launch that adds them
    let text = auto(&product("mk", "kn", "bf16", [16, 40, 8192]), 132);
    assert!(text.contains("in 0..16 block.z") && text.matches("block.x").count() == 1, "{text}");
}

#[test]
fn batches_are_blocks() {
    let blocks = format!("{GRID}map b to block.z\n");
    check(&product("bmk", "bkn", "bf16", [130, 72, 80]), &script("bf16", 2, &blocks, "n.0", ""));
}

#[test]
fn refusals_say_why() {
    let plain = script("bf16", 2, GRID, "n.0", "");
    let rows = product("mk", "nk", "bf16", [64, 64, 20]);
    refused(&rows, &plain, "E0731", "16 bytes");
    let text = product("mk", "nk", "bf16", [64, 64, 64]);
    refused(&text.replace("order fixed", "order serial"), &plain, "E0702", "");
    let unknown = plain.replace("m64n64k16", "m64n65k16");
    refused(&text, &unknown, "E0730", "no matrix instruction");
    let other = plain.replace("f32.bf16.bf16", "f32.f16.f16");
    refused(&text, &other, "E0731", "two elements of type f16");
    refused(&text, &plain.replace("map As.0 to tma\n", ""), "E0732", "no place for it");
    refused(&text, &plain.replace(GRID, ""), "E0732", "outside blocks");
    let part = text.replace("for k in 0..64 {", "for k in 0..40 {");
    refused(&part, &plain, "E0731", "does not touch");
    let triangle = text.replace("for k in 0..64 {", "for k in 0..m {");
    refused(&triangle, &plain, "E0731", "");
}

/// Rows, columns and sums of several indices each, in any order.
#[test]
fn contractions_choose_contiguous_indices() {
    let cases = [
        ("fbea,cedf->dcba", "16,24,24,16,8,16", "tma.load(B"),
        ("ceda,dbe->cba", "24,40,3,5,16", "tma.load(A"),
        ("dabfe,fc->edcba", "8,3,8,4,16,24", "tma.load(A"),
        ("mk,kn->nm", "72,40,80", "tma.store(Out"),
        // no factor's rows are those of a box
        ("akb,kcd->acbd", "9,20,5,7,3", "over"),
    ];
    for (einsum, sizes, words) in cases {
        let mut labels: Vec<char> = einsum.chars().filter(char::is_ascii_alphabetic).collect();
        labels.sort_unstable();
        labels.dedup();
        let sizes: BTreeMap<char, usize> =
            labels.into_iter().zip(sizes.split(',').map(|n| n.parse().expect("a size"))).collect();
        let (inputs, _) = einsum.split_once("->").expect("an einsum");
        let shape = |o: &str| o.chars().map(|l| sizes[&l]).collect::<Vec<_>>();
        let operands = inputs.split(',').map(|o| (DType::Bf16, Some(shape(o)))).collect();
        let types = SpecTypes { operands, ..SpecTypes::default() };
        let nest = Spec::Einsum(einsum.to_owned()).nest(&types).unwrap_or_else(|e| panic!("{e}"));
        let nest =
            bind(&nest, &BTreeMap::new(), &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
        let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
        let options = GpuOptions::of(Target::Sm90a);
        let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
        let (text, _) = agrees(&nest, &schedule);
        assert!(text.contains(words), "{einsum}: {words}\n{text}");
    }
}
