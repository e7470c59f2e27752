//! Block programs of two products: a tile of the first one's results is multiplied on the chip.
//! They are sealed by the verifier, run in the interpreter against the nest, and assembled.
//!
//! Data are small integers, so that every sum is exact in f32 and results agree bit for bit.

use warploom_tests::tensor::{agrees, refused, replayed};

/// `D = f(A B) C` with sizes M, K, J, N; `f` of `T[m, j]`.
fn chain([m, k, j, n]: [i64; 4], f: &str) -> String {
    format!(
        "in A: bf16[{m}, {k}]\nin B: bf16[{k}, {j}]\nin C: bf16[{j}, {n}]\nin E: f32[{j}]\n\
         out D: bf16[{m}, {n}]\n\
         temp T: f32[{m}, {j}]\ntemp H: bf16[{m}, {j}]\ntemp S: f32[{m}, {n}]\n\
         for m in 0..{m} {{\nfor n in 0..{n} {{ S0: S[m, n] = 0 }}\nfor j in 0..{j} {{\n\
         T0: T[m, j] = 0\nfor k in 0..{k} {{ T1: T[m, j] += A[m, k] * B[k, j] order fixed }}\n\
         H0: H[m, j] = cast_bf16({f})\n\
         for n in 0..{n} {{ S1: S[m, n] += H[m, j] * C[j, n] order fixed }}\n}}\n\
         for n in 0..{n} {{ S2: D[m, n] = cast_bf16(S[m, n]) }}\n}}\n"
    )
}

/// Tiles of `teams` times 64 rows, 32 columns of the first product at a time; columns of the second
/// are all in a tile.
fn script(teams: i64, columns: i64, rings: [i64; 2]) -> String {
    let rows = 64 * teams;
    let [first, second] = rings;
    format!(
        "split m by {rows}\ndistribute m.1\nsplit j by 32\nreorder j.0, T1.m.1, j.1\n\
         distribute j.1\ndistribute T1.m.1\nsplit k by 64\nreorder k.0, T1.m.1, T1.j.1, k.1\n\
         split T1.m.1 by 64\nsplit k.1 by 16\n\
         reorder k.0, T1.m.1.0, k.1.0, T1.m.1.1, T1.j.1, k.1.1\n\
         split S1.m.1 by 64\nsplit S1.j.1 by 16\n\
         reorder S1.m.1.0, S1.j.1.0, S1.m.1.1, S1.n, S1.j.1.1\n\
         stage S at m.0 as acc\nstage T at j.0 as tile\nstage H at j.0 as Hs\n\
         stage C at j.0 as Cs\nstage A at k.0 as As\nstage B at k.0 as Bs\nstage D at m.0 as Ds\n\
         map As.0 to tma\nmap Bs.0 to tma\nmap Cs.0 to tma\nmap Ds_back.0 to tma\n\
         map T1.m.1.0 to warpgroup\nmap S1.m.1.0 to warpgroup\n\
         tensorize T1.m.1.1, T1.j.1, k.1.1 with wgmma.m64n32k16.f32.bf16.bf16\n\
         tensorize S1.m.1.1, S1.n, S1.j.1.1 with wgmma.m64n{columns}k16.f32.bf16.bf16\n\
         ring k.0 by {first}\nring j.0 by {second}\nmap m.0 to block.x\n"
    )
}

fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    let (text, report) = agrees(&nest, &schedule);
    assert!(!report.contains("C75"), "{report}\n{text}");
    text
}

const RELU: &str = "max(T[m, j], 0)";

#[test]
fn a_product_of_a_product() {
    for (teams, rings) in [(1, [2, 1]), (2, [3, 2])] {
        let text = check(&chain([128, 128, 64, 32], RELU), &script(teams, 32, rings));
        assert!(text.contains("full_2") && text.contains("Hs[64") == (teams > 1), "{text}");
    }
    // one iteration of either ring, and of both
    for shape in [[64, 64, 64, 16], [64, 128, 32, 16], [64, 16, 32, 8]] {
        check(&chain(shape, RELU), &script(1, shape[3], [2, 2]));
    }
}

#[test]
fn tiles_reach_over_the_ends() {
    for shape in [[136, 72, 72, 24], [40, 24, 40, 8]] {
        check(&chain(shape, RELU), &script(1, shape[3], [3, 2]));
    }
}

#[test]
fn anything_is_done_to_elements_between() {
    // what a tile holds beside the array would be no number, and is zeros
    let inverse = "select(T[m, j] == 0, 1, T[m, j] / E[j] / E[j] * E[j] * E[j])";
    let masked = "select(j <= m, 2 * T[m, j] - 1, 0)";
    for f in [masked, "T[m, j] + E[j]", inverse] {
        check(&chain([72, 72, 40, 16], f), &script(1, 16, [2, 2]));
    }
}

/// The second product's operand comes in slices of 16 terms.
fn in_slices(teams: i64, columns: i64, rings: [i64; 2]) -> String {
    script(teams, columns, rings)
        .replace("reorder S1.m.1.0, S1.j.1.0,", "reorder S1.j.1.0, S1.m.1.0,")
        .replace("stage C at j.0", "stage C at S1.j.1.0")
        .replace("ring j.0", "ring S1.j.1.0")
}

#[test]
fn the_rings_of_both_products_run_by_themselves() {
    for (shape, rings) in [([128, 64, 64, 32], [2, 3]), ([72, 72, 72, 24], [2, 1])] {
        let text = check(&chain(shape, RELU), &in_slices(1, shape[3], rings));
        assert!(text.contains("label S1.j.1.0"), "{text}");
    }
}

#[test]
fn tiles_of_a_block_follow_each_other() {
    let around = "split m by 64\ndistribute m.1\nsplit m.0 by 2\n";
    let stay = |text: String| {
        text.replace("split m by 64\ndistribute m.1\n", around)
            .replace("at m.0", "at m.0.1")
            .replace("map m.0 ", "map m.0.0 ")
    };
    for made in [script, in_slices] {
        let text = check(&chain([200, 64, 64, 16], RELU), &stay(made(1, 16, [3, 2])));
        assert!(text.contains("label m.0.1"), "{text}");
    }
}

#[test]
fn refusals_of_chains_say_why() {
    let text = chain([128, 64, 64, 32], RELU);
    let plain = script(2, 32, [2, 2]);
    // 32 rows of each warpgroup's come from the other one
    let one = plain.replace("map S1.m.1.0 to warpgroup\n", "");
    refused(&text, &one, "E0732", "warpgroups");
    let array = plain.replace("stage H at j.0 as Hs\n", "");
    refused(&text, &array, "E0731", "is not staged");
    let other = text.replace("cast_bf16(max(T[m, j], 0))", "1");
    refused(&other, &plain, "E0732", "accumulator");
    let warps =
        plain.replace("wgmma.m64n32k16.f32.bf16.bf16\ntens", "mma.m16n8k16.f32.bf16.bf16\ntens");
    refused(&text, &warps, "E0731", "");
}

#[test]
fn the_example_and_its_script_agree() {
    let text = include_str!("../../../examples/nests/chained_gemm.nest");
    let text = text.replace("param M, K, J, N", "param M = 72, K = 72, J = 136, N = 128");
    let text = check(&text, include_str!("../../../examples/schedules/chained_gemm.sched"));
    assert!(text.contains("m64n128k16"), "{text}");
}
