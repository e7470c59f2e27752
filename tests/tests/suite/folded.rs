//! Products of arrays that are rearranged first, and whose neighbouring indices are one: scripts of
//! `stage` without a loop and `fold`, run in the interpreter against their nests, and assembled;
//! and which contractions get them.
//!
//! Data are small integers, so that every sum is exact in f32 and results must agree bit for bit.

use warploom::Schedule;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees, contraction, replayed};

/// What follows where rows, columns and sums are one loop each, `m`, `n` and `k`.
const TILES: &str = "tile m, n by 128, 96
raster m.0, n.0 as t\nsplit t by 2\nskew t.1 by -2*t.0\nreorder t.1, t.0, m.0, n.0
map t.1 to block.x\ndistribute n.1\ndistribute m.1
split k by 64\nreorder k.0, S1.m.1, S1.n.1, k.1
split S1.m.1 by 64\nsplit k.1 by 16\nreorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1
stage Acc at n.0 as acc\nstage Ap at k.0 as As\nmap As.0 to tma\nstage Bp at k.0 as Bs
map Bs.0 to tma\nstage Out at n.0 as Os\nmap Os_back.0 to tma\nmap S1.m.1.0 to warpgroup
tensorize S1.m.1.1, S1.n.1, k.1.1 with wgmma.m64n96k16.f32.bf16.bf16\nring k.0 by 2\n";

/// The kernel of a script for a nest, run by the interpreter and compared.
fn checked(nest: &str, script: &str) -> String {
    let (nest, schedule) = replayed(nest, script);
    let (text, report) = agrees(&nest, &schedule);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

#[test]
fn both_factors_are_rearranged_and_all_sides_are_one_loop() {
    let nest = contraction("fbea,cedf->dcba", "a=24,b=7,c=8,d=17,e=3,f=24");
    let script = format!(
        "stage A for S1 as Ap layout 2, 0, 1, 3\nstage B for S1 as Bp layout 2, 0, 1, 3\n\
         reorder e, f\nfold d, c as m\nfold b, a as n\nfold e, f as k\n{TILES}\
         map Ap.0 to block.x\nmap Ap.3 to thread.x\nmap Bp.0 to block.x\nmap Bp.3 to thread.x\n"
    );
    let text = checked(&nest, &script);
    for part in
        ["out Out: bf16[136, 168] of [17, 8, 7, 24]", "temp Ap: bf16[72, 168]", "in A: bf16[24, 7,"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn rows_of_three_indices_are_one_loop() {
    // tiles go over the ends of b and c; nothing is copied
    let nest = contraction("nk,dcbk->dcbn", "n=96,b=7,c=5,d=9,k=40");
    let tiles = TILES.replace("Ap", "A").replace("Bp", "B");
    let script = format!("fold d, c as dc\nfold dc, b as m\n{tiles}");
    let text = checked(&nest, &script);
    assert!(text.contains("in B: bf16[315, 40] of [9, 5, 7, 40]"), "{text}");
}

#[test]
fn a_factor_is_copied_where_only_that_lets_results_be_written_in_runs() {
    let text = contraction("aged,cbfg->fedcba", "a=16,g=72,e=16,d=16,c=16,b=16,f=16");
    let text = text.replace("bf16", "f64").replace("f32", "f64");
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
    let schedule = auto_gpu(&start, &GpuOptions::of(Target::Sm90a));
    let script = schedule.unwrap_or_else(|e| panic!("{e}")).script().to_string();
    assert!(script.contains("stage A for S1"), "{script}");
    let tile = script.lines().find(|l| l.starts_with("tile S1")).unwrap_or_default();
    assert!(tile.contains(", a by"), "{script}");
}

#[test]
fn contractions_are_rearranged_where_that_pays() {
    for (spec, sizes, copies, folds) in [
        // products of much more than their bytes, of rows that begin inside sectors
        ("fbea,cedf->dcba", "a=72,b=72,c=72,d=72,e=72,f=72", 2, 3),
        // rows of both factors are different sums: one factor is turned around
        ("dac,bcd->ba", "a=384,b=384,c=384,d=384", 1, 1),
        // a factor is read once: a copy costs as much
        ("dabfe,fc->edcba", "a=32,b=32,c=32,d=32,e=32,f=32", 0, 0),
        ("mk,kn->mn", "m=8192,n=8192,k=8192", 0, 0),
    ] {
        let nest: Nest = contraction(spec, sizes).parse().unwrap_or_else(|e| panic!("{e}"));
        let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
        let options = GpuOptions::of(Target::Sm90a);
        let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
        let script = schedule.script().to_string();
        let count = |word: &str| script.lines().filter(|l| l.starts_with(word)).count();
        let found = (count("stage A for") + count("stage B for"), count("fold "));
        assert_eq!(found, (copies, folds), "{spec}\n{script}");
    }
}
