//! Reductions over the rows of a product's tile, in the block that has it in registers: partial
//! results of each tile, or rows that are whole in a tile and used right after.
//!
//! Data are small integers, so that every sum is exact in f32 and results agree bit for bit.

use warploom_tests::tensor::{agrees, refused, replayed};

fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    let (text, report) = agrees(&nest, &schedule);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

/// A product, and a value for each of its rows.
fn norms([m, n, k]: [i64; 3], zero: &str, update: &str) -> String {
    format!(
        "in A: bf16[{m}, {k}]\nin B: bf16[{k}, {n}]\nout C: bf16[{m}, {n}]\nout r: f32[{m}]\n\
         temp T: f32[{m}, {n}]\nfor m in 0..{m} {{\nR0: r[m] = {zero}\nfor n in 0..{n} {{\n\
         S0: T[m, n] = 0\nfor k in 0..{k} {{ S1: T[m, n] += A[m, k] * B[k, n] order fixed }}\n\
         S2: C[m, n] = cast_bf16(T[m, n])\nS3: r[m] {update} order fixed\n}}\n}}\n"
    )
}

/// The loops of a product in tiles of 64 x 32, and what is in registers and shared memory.
const PRODUCT: &str = "split k by 64\nreorder k.0, S1.c4, S1.c5, k.1\nsplit k.1 by 16\n\
    reorder k.0, k.1.0, S1.c4, S1.c5, k.1.1\nstage T at n as sums\nstage A at k.0 as As\n\
    stage B at k.0 as Bs\nstage C at n as Cs\nmap As.0 to tma\nmap Bs.0 to tma\n\
    map Cs_back.0 to tma\ntensorize S1.c4, S1.c5, k.1.1 with wgmma.m64n32k16.f32.bf16.bf16\n\
    ring k.0 by 2\n";

/// Each tile of a row has a partial result of its own; a launch combines them.
fn partial() -> String {
    let times = |number: i64| format!("[2, floor(m / 64), floor(n / 32), {number}, m, n");
    format!(
        "distribute m\ndistribute S0.n at S3\ndistribute S0.m at S3\nsplit S3.n by 32\n\
         split-reduction S3.n.0 as P\n\
         order {{\nR0[m] -> [0, m]\nP_init[a, b] -> [1, a, b]\nS0[m, n] -> {}]\n\
         S1[m, n, k] -> {}, k]\nS2[m, n] -> {}]\nS3[m, n] -> {}]\nP_finish[a, b] -> [3, a, b]\n}}\n\
         {PRODUCT}map S0.m to block.y\nmap n to block.x\nmap R0.m to block.x\n\
         map P_init.b0 to block.x\nmap P_finish.b0 to block.x\n",
        times(0),
        times(1),
        times(2),
        times(3)
    )
}

#[test]
fn partial_results_of_each_tile() {
    for shape in [[64, 64, 64], [72, 40, 24]] {
        let text = check(&norms(shape, "0", "+= T[m, n]"), &partial());
        assert!(text.contains("across sums reduce j"), "{text}");
    }
    let text = norms([72, 40, 24], "-1000000", "max= T[m, n] * T[m, n]");
    check(&text, &partial());
    check(&norms([64, 40, 16], "1000000", "min= T[m, n] - 1"), &partial());
    let serial =
        norms([64, 40, 16], "0", "+= T[m, n]").replace("order fixed\n}\n}", "order serial\n}\n}");
    refused(&serial, &partial(), "E0727", "order of the text");
}

/// A product whose rows are whole in a tile, and are used when they are combined.
fn normalized([m, n, k]: [i64; 3]) -> String {
    format!(
        "in A: bf16[{m}, {k}]\nin B: bf16[{k}, {n}]\nout C: f32[{m}, {n}]\n\
         temp r: f32[{m}]\ntemp T: f32[{m}, {n}]\nfor m in 0..{m} {{\nR0: r[m] = 0\n\
         for n in 0..{n} {{\nS0: T[m, n] = 0\n\
         for k in 0..{k} {{ S1: T[m, n] += A[m, k] * B[k, n] order fixed }}\n\
         S3: r[m] += T[m, n] * T[m, n] order fixed\n}}\n\
         for n in 0..{n} {{ S2: C[m, n] = T[m, n] - r[m] }}\n}}\n"
    )
}

#[test]
fn rows_are_used_where_they_are_whole() {
    let times = |number: i64| format!("[1, floor(m / 128), {number}, m, n");
    let script = format!(
        "order {{\nR0[m] -> [0, m]\nS0[m, n] -> {}]\nS1[m, n, k] -> {}, k]\nS3[m, n] -> {}]\n\
         S2[m, n] -> {}]\n}}\n\
         split k by 16\nreorder k.0, S1.c3, S1.n, k.1\nsplit S1.c3 by 64\n\
         reorder k.0, S1.c3.0, S1.c3.1, S1.n, k.1\n\
         stage T at S0.m as sums\nstage A at k.0 as As\nstage B at k.0 as Bs\nmap As.0 to tma\n\
         map Bs.0 to tma\nmap S1.c3.0 to warpgroup\n\
         tensorize S1.c3.1, S1.n, k.1 with wgmma.m64n32k16.f32.bf16.bf16\nring k.0 by 2\n\
         map S0.m to block.x\nmap R0.m to block.x\n",
        times(0),
        times(1),
        times(2),
        times(3)
    );
    for shape in [[128, 32, 16], [136, 24, 24]] {
        let text = check(&normalized(shape), &script);
        let (_, after) = text.split_once("reduce j").unwrap_or_else(|| panic!("{text}"));
        assert!(after.contains("do sync()"), "{text}");
    }
}

#[test]
fn the_example_and_its_script_agree() {
    let text = include_str!("../../../examples/nests/gemm_row_norms.nest");
    let text = text.replace("param M, N, K", "param M = 72, N = 264, K = 24");
    let text = check(&text, include_str!("../../../examples/schedules/gemm_row_norms.sched"));
    assert!(text.contains("across sums reduce"), "{text}");
}
