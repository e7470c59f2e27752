//! Tiles of tensor cores that are boxes over several indices: scripts that `coalesce` the points of
//! a box into one loop, run in the interpreter against their nests, and assembled.
//!
//! Data are small integers, so that every sum is exact in f32 and results must agree bit for bit.

use warploom::Schedule;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, auto_gpu};
use warploom_tests::tensor::{agrees, contraction, replayed};

/// Stages everything at the loops `at` and `ring`, copied by the copy engine.
fn staged(at: &str, ring: &str) -> String {
    format!(
        "stage Acc at {at} as acc\nstage A at {ring} as As\nstage B at {ring} as Bs\n\
         stage Out at {at} as Os\nmap As.0 to tma\nmap Bs.0 to tma\nmap Os_back.0 to tma\n"
    )
}

#[test]
fn columns_are_a_box_whose_results_are_permuted() {
    // columns a x e: e runs in rows of A, a in rows of the result
    let nest = contraction("dabfe,fc->edcba", "a=16,b=2,c=40,d=2,e=24,f=48");
    let script = format!(
        "split e by 16\nsplit a by 8\nsplit c by 64\n\
         reorder d, b, e.0, a.0, c.0, c.1, a.1, e.1\n\
         distribute e.1\ndistribute a.1\ndistribute c.1\n\
         coalesce S1.a.1, S1.e.1 as ae\nsplit f by 32\nsplit f.1 by 16\n\
         reorder f.0, f.1.0, S1.c.1, ae, f.1.1\n{}\
         tensorize S1.c.1, ae, f.1.1 with wgmma.m64n128k16.f32.bf16.bf16\nring f.0 by 2\n\
         raster d, b, e.0, a.0, c.0 as t\nmap t to block.x\n",
        staged("c.0", "f.0")
    );
    let text = checked(&nest, &script);
    assert!(text.contains("for box in 0..8 unroll"), "{text}");
    assert!(text.contains("Os[mod(j, 16), 0, i, 0, floordiv(j, 16)]"), "{text}");
}

#[test]
fn sums_and_columns_are_boxes_of_persistent_blocks() {
    // sums d x e: e runs in rows of B; columns c x a: a runs in rows of A
    let nest = contraction("ceda,dbe->cba", "a=72,b=96,c=8,d=5,e=24");
    let script = format!(
        "split c by 8\nsplit b by 128\nsplit a by 16\n\
         reorder c.0, b.0, a.0, b.1, c.1, a.1\n\
         distribute a.1\ndistribute c.1\ndistribute b.1\nsplit d by 4\nsplit e by 16\n\
         reorder d.0, e.0, S1.b.1, S1.c.1, S1.a.1, d.1, e.1\n\
         coalesce S1.c.1, S1.a.1 as ca\ncoalesce d.1, e.1 as de\n\
         split S1.b.1 by 64\nsplit de by 16\n\
         reorder e.0, S1.b.1.0, de.0, S1.b.1.1, ca, de.1\n{}map S1.b.1.0 to warpgroup\n\
         tensorize S1.b.1.1, ca, de.1 with wgmma.m64n128k16.f32.bf16.bf16\nring e.0 by 2\n\
         raster c.0, b.0, a.0 as t\nsplit t by 3\nskew t.1 by -3*t.0\nreorder t.1, t.0\n\
         map t.1 to block.x\n",
        staged("a.0", "e.0")
    );
    let text = checked(&nest, &script);
    assert!(text.contains("tma.store(Out[0 : 8, 0 : 128, 48 * t_0_3 + 16 * t_1 : 16]"), "{text}");
}

/// The numbers of a block's tiles are far apart and do not divide those of the loops, so that isl's
/// bounds of the loops inside say little.
#[test]
fn tiles_of_persistent_blocks_are_quotients_of_their_numbers() {
    let nest = contraction("dabfe,fc->edcba", "a=24,b=4,c=64,d=3,e=32,f=32");
    for blocks in [5, 14, 33] {
        let script = format!(
            "split a by 8\nsplit e by 16\nsplit c by 64\n\
             reorder d, b, a.0, e.0, c.0, a.1, e.1, c.1\n\
             raster d, b, a.0, e.0, c.0 as t\nsplit t by {blocks}\nskew t.1 by -{blocks}*t.0\n\
             reorder t.1, t.0, d, b, a.0, e.0, c.0\nmap t.1 to block.x\n\
             distribute c.1\ndistribute e.1\ndistribute a.1\n\
             coalesce S1.a.1, S1.e.1 as ae\nsplit f by 32\nsplit f.1 by 16\n\
             reorder f.0, f.1.0, S1.c.1, ae, f.1.1\n{}\
             tensorize S1.c.1, ae, f.1.1 with wgmma.m64n128k16.f32.bf16.bf16\nring f.0 by 2\n",
            staged("c.0", "f.0")
        );
        let text = checked(&nest, &script);
        assert!(text.contains("label t.0 {"), "{text}");
        assert!(!text.contains("label a.0"), "{text}");
    }
}

/// A convolution: rows are boxes of images, lines and columns; tiles reach over all three ends.
#[test]
fn convolutions_are_products_of_boxes() {
    let nest = "in A: bf16[2, 12, 22, 40]\nin B: bf16[24, 3, 3, 40]\n\
                out Out: bf16[2, 10, 20, 24]\ntemp Acc: f32[2, 10, 20, 24]\n\
                for n in 0..2 {\nfor p in 0..10 {\nfor q in 0..20 {\nfor k in 0..24 {\n\
                S0: Acc[n, p, q, k] = 0.0\nfor r in 0..3, s in 0..3, c in 0..40 {\n\
                S1: Acc[n, p, q, k] += A[n, p + r, q + s, c] * B[k, r, s, c] order fixed\n}\n\
                S2: Out[n, p, q, k] = Acc[n, p, q, k]\n}\n}\n}\n}\n";
    let script = format!(
        "split p by 8\nsplit q by 16\nsplit k by 24\n\
         reorder n, p.0, q.0, k.0, p.1, q.1, k.1\n\
         distribute k.1\ndistribute q.1\ndistribute p.1\nsplit c by 32\n\
         reorder r, s, c.0, S1.p.1, S1.q.1, S1.k.1, c.1\ncoalesce S1.p.1, S1.q.1 as rows\n\
         split rows by 64\nsplit c.1 by 16\n\
         reorder c.0, rows.0, c.1.0, rows.1, S1.k.1, c.1.1\n{}map rows.0 to warpgroup\n\
         tensorize rows.1, S1.k.1, c.1.1 with wgmma.m64n24k16.f32.bf16.bf16\nring c.0 by 3\n\
         raster n, p.0, q.0, k.0 as t\nmap t to block.x\n",
        staged("k.0", "c.0")
    );
    let text = checked(nest, &script);
    assert!(text.contains(" : 8, s_2 + 16 * t"), "{text}");
}

/// Threads copy operands asynchronously: rows of 48 bytes, further digits of rows and columns, and
/// a sum that ends inside a slice; the other operand comes by the copy engine, or the same way.
#[test]
fn threads_copy_boxes_asynchronously() {
    let nest = contraction("fbea,cedf->dcba", "a=72,b=4,c=8,d=24,e=4,f=48");
    let script = |a: &str, b: &str| {
        format!(
            "split b by 2\nreorder b.0, c, d, b.1, a\nmap b.0 to block.x\n\
             distribute a\ndistribute b.1\ndistribute d\ndistribute c\n\
             split e by 2\nsplit f by 24\n\
             reorder e.0, f.0, S1.c, S1.d, S1.b.1, S1.a, e.1, f.1\n\
             coalesce S1.c, S1.d as deep\ncoalesce S1.b.1, S1.a as wide\n\
             coalesce e.1, f.1 as sum\nsplit deep by 64\nsplit sum by 16\n\
             reorder f.0, deep.0, sum.0, deep.1, wide, sum.1\n\
             stage Acc at b.0\nstage B at f.0 as Bs layout 0, 2, 1, 3\nmap Bs.0 to {b}\n\
             stage A at f.0 as As layout 2, 0, 1, 3\nmap As.0 to {a}\n\
             stage Out at b.0 as Os\nmap Os_back.0 to tma\nmap deep.0 to warpgroup\n\
             tensorize deep.1, wide, sum.1 with wgmma.m64n144k16.f32.bf16.bf16\nring f.0 by 3\n"
        )
    };
    for (a, b) in [("async", "async"), ("async", "tma"), ("thread.x", "async")] {
        let text = checked(&nest, &script(a, b));
        assert!(text.contains("do cp.async.arrive(full[mod("), "{text}");
        assert!(text.contains("do fence.async()"), "{text}");
    }
    // 40 terms in slices of 48: zeros beyond the end
    let ragged = contraction("mk,nk->mn", "m=128,n=24,k=40");
    let script = "split m by 64\nreorder m.0, m.1, n\nmap m.0 to block.x\n\
                  distribute n\ndistribute m.1\nsplit k by 48\nsplit k.1 by 16\n\
                  reorder k.0, k.1.0, S1.m.1, S1.n, k.1.1\nstage Acc at m.0\n\
                  stage A at k.0 as As\nstage B at k.0 as Bs\n\
                  map As.0 to async\nmap Bs.0 to async\n\
                  tensorize S1.m.1, S1.n, k.1.1 with wgmma.m64n24k16.f32.bf16.bf16\n\
                  ring k.0 by 2\n";
    let text = checked(&ragged, script);
    assert!(text.contains("do cp.async.ca.16(As["), "{text}");
}

#[test]
fn refusals_say_why() {
    let nest = contraction("dabfe,fc->edcba", "a=16,b=2,c=40,d=2,e=24,f=48");
    let start = "split e by 16\nsplit a by 8\nsplit c by 64\n\
                 reorder d, b, e.0, a.0, c.0, c.1, a.1, e.1\n\
                 distribute e.1\ndistribute a.1\ndistribute c.1\n";
    let refused = |middle: &str, columns: &str, words: &str| {
        let script = format!(
            "{start}{middle}split f by 32\nsplit f.1 by 16\n\
             reorder f.0, f.1.0, S1.c.1, {columns}, f.1.1\n{}\
             tensorize S1.c.1, ae, f.1.1 with wgmma.m64n128k16.f32.bf16.bf16\nring f.0 by 2\n\
             raster d, b, e.0, a.0, c.0 as t\nmap t to block.x\n",
            staged("c.0", "f.0")
        );
        let (_, schedule) = replayed(&nest, &script);
        let error = warploom::compile::lower(&schedule).expect_err(words);
        assert!(error.to_string().contains(words), "{error}\n{words}");
    };
    // rows of shared memory along a, which is not the array's last dimension
    let turned = "reorder S1.e.1, S1.a.1\ncoalesce S1.e.1, S1.a.1 as ae\n";
    refused(turned, "ae", "does not run through it innermost");
}

#[test]
fn automatic_schedules_take_boxes() {
    for (spec, sizes, multiprocessors, boxes) in [
        ("dabfe,fc->edcba", "a=32,b=2,c=32,d=1,e=16,f=32", 2, true),
        ("adb,cd->cba", "a=24,b=64,c=40,d=40", 4, true),
        ("aebd,ce->dcba", "a=24,b=3,c=24,d=24,e=24", 4, true),
        ("ae,dcbe->dcba", "a=24,b=8,c=8,d=3,e=24", 3, true),
        ("ceda,dbe->cba", "a=24,b=128,c=8,d=3,e=24", 2, true),
        ("fbea,cedf->dcba", "a=24,b=4,c=8,d=8,e=3,f=24", 2, true),
        // six dimensions of results: threads store them
        ("aged,cbfg->fedcba", "a=4,b=8,c=4,d=8,e=2,f=16,g=24", 4, true),
        // rows of both factors are sums, different ones: threads turn one of them around
        ("dac,bcd->ba", "a=64,b=64,c=32,d=16", 132, true),
        ("mk,kn->mn", "m=128,n=128,k=64", 4, false),
    ] {
        let nest: Nest = contraction(spec, sizes).parse().unwrap_or_else(|e| panic!("{e}"));
        let start = Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"));
        let options = GpuOptions { multiprocessors, ..GpuOptions::of(Target::Sm90a) };
        let schedule = auto_gpu(&start, &options).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(start.replay(schedule.script()).ok().as_ref(), Some(&schedule), "{spec}");
        let (text, report) = agrees(&nest, &schedule);
        assert!(!report.contains("C75"), "{report}\n{text}");
        let found = schedule.script().to_string().contains("coalesce");
        assert_eq!(found, boxes, "{spec}\n{}", schedule.script());
    }
}

/// The kernel of a script for a nest, run by the interpreter and compared.
fn checked(nest: &str, script: &str) -> String {
    let (nest, schedule) = replayed(nest, script);
    let (text, report) = agrees(&nest, &schedule);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}
