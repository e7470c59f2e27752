//! Elements of half a byte: read on every path, whatever their rows; on sm_100a multiplied by
//! scripts whose machine code is read; refused where something would write or copy one of them.
//!
//! Keeps: values whose sums are exact, so that results agree bit for bit; each refusal says why.
//! The suite (`blackwell`) has automatic schedules, and sizes that end inside tiles.

use std::collections::BTreeMap;

use warploom::{GpuOptions, Kernel, Name, Nest, Tensor, compile};
use warploom_ir::interp;
use warploom_ir::target::Target;
use warploom_tests::tensor::{agrees_on, inputs, refused, replayed};

/// Scales: their type, and the terms that share one.
type By = (&'static str, i64);

const POWERS: By = ("ue8m0", 32);
const NUMBERS: By = ("ue4m3", 16);

/// `Out[m, n] = sum over k` of products of four; scales at these places, of these shapes.
fn product([m, n, k]: [i64; 3], of: By, scales: [&str; 2], shapes: [&[i64]; 2]) -> String {
    let ([of_a, of_b], [sa, sb], by) = (shapes.map(|s| format!("{s:?}")), scales, of.0);
    format!(
        "in A: e2m1[{m}, {k}]\nin SA: {by}{of_a}\nin B: e2m1[{n}, {k}]\nin SB: {by}{of_b}\n\
         out Out: f32[{m}, {n}]\ntemp Acc: f32[{m}, {n}]\nfor m in 0..{m} {{\nfor n in 0..{n} {{\n\
         S0: Acc[m, n] = 0.0\nfor k in 0..{k} {{\n\
         S1: Acc[m, n] += (A[m, k] * {sa}) * (B[n, k] * {sb}) order fixed\n}}\n\
         S2: Out[m, n] = Acc[m, n]\n}}\n}}\n"
    )
}

/// The same with scales in rows.
fn rows([m, n, k]: [i64; 3], of: By) -> String {
    let steps = (k + of.1 - 1) / of.1;
    let scales = ["SA[m, floor(k / T)]", "SB[n, floor(k / T)]"];
    let text = product([m, n, k], of, scales, [&[m, steps], &[n, steps]]);
    text.replace("/ T", &format!("/ {}", of.1))
}

/// A script of tiles with 128 rows and these columns, and so many terms in a slice.
fn script(columns: i64, slice: i64, of: By, pair: bool) -> String {
    let (cluster, at, places, instruction) = match pair {
        true => (
            "split m.0 by 2\nskew m.0.1 by -2*m.0.0\nreorder m.0.0, n.0, m.0.1\n",
            "m.0.1",
            "map m.0.0 to block.y\nmap n.0 to block.x\nmap m.0.1 to cluster\n",
            "pair.m256",
        ),
        false => ("", "n.0", "map m.0 to block.y\nmap n.0 to block.x\n", "m128"),
    };
    format!(
        "tile m, n by 128, {columns}\n{cluster}distribute n.1\ndistribute m.1\n\
         split k by {slice}\nreorder k.0, S1.m.1, S1.n.1, k.1\nsplit S1.m.1 by 128\n\
         split k.1 by 64\nreorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         stage SA at k.0 as SAs\nstage SB at k.0 as SBs\nmap As.0 to tma\nmap Bs.0 to tma\n\
         map SAs.0 to thread.x\nmap SBs.0 to thread.x\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.{instruction}n{columns}k64.f32.e2m1.e2m1.{}\nring k.0 by 2\n{places}",
        of.0
    )
}

/// The kernel's text.
fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    agrees_on(&nest, &schedule, Target::Sm100a).0
}

/// PTX ISA 8.8, 9.7.16.10.7.2.2 and 9.7.16.10.7.2.3: bytes 0 and 1 or 2 and 3 of a column, or all.
#[test]
fn instructions_take_two_or_four_steps() {
    let text = check(&rows([136, 160, 416], POWERS), &script(160, 256, POWERS, false));
    for wanted in [
        "shared As: e2m1[2, 128, 256] panel 128",
        "shared SBs: ue8m0[2, 2, 2, 32, 16] panel 16",
        "SAs_scales[floordiv(2 * k_1_0, 4), 0 : 1, 0 : 32, mod(2 * k_1_0, 4) : 4 step 4]",
        "do mbarrier.expect(full[mod(k_0_2, 2)], 36864)",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    let text = check(&rows([136, 32, 416], NUMBERS), &script(32, 128, NUMBERS, false));
    assert!(text.contains("shared As: e2m1[2, 128, 128] panel 64"), "{text}");
    assert!(text.contains("SAs_scales[k_1_0, 0 : 1, 0 : 32, 0 : 4 step 4]"), "{text}");
    check(&rows([136, 32, 96], POWERS), &script(32, 64, POWERS, false));
}

#[test]
fn blocks_of_a_pair_have_all_scales_of_the_columns() {
    for (of, columns) in [(POWERS, 160), (NUMBERS, 32)] {
        let text = check(&rows([264, 160, 288], of), &script(columns, 128, of, true));
        let half = columns / 2;
        assert!(text.contains(&format!("shared Bs: e2m1[2, {half}, 128] panel 64")), "{text}");
        assert!(text.contains("do tcgen05.cp.pair.32x128b.warpx4(SBs_scales[0, 0, "), "{text}");
    }
}

/// Words of four steps, slices of several of them: the digits of a step are in order.
#[test]
fn steps_may_be_digits_of_an_index() {
    let scales =
        ["SA[floor(k / 64), m, floor(k / 16) mod 4]", "SB[floor(k / 64), n, floor(k / 16) mod 4]"];
    let text = product([136, 32, 288], NUMBERS, scales, [&[5, 136, 4], &[5, 32, 4]]);
    check(&text, &script(32, 256, NUMBERS, false));
    let scales = [
        "SA[floor(k / 128), m, floor(k / 32) mod 4]",
        "SB[floor(k / 128), n, floor(k / 32) mod 4]",
    ];
    let text = product([136, 32, 288], POWERS, scales, [&[3, 136, 4], &[3, 32, 4]]);
    check(&text, &script(32, 256, POWERS, false));
}

#[test]
fn the_machine_code_multiplies_four_bits_with_scales() {
    for (of, pair, words) in [
        (POWERS, false, ["UTCOMMA gdesc", "UTCCP.T.S.4x32dp128bit"]),
        (POWERS, true, ["UTCOMMA.2CTA gdesc", "UTCCP.T.S.2CTA.4x32dp128bit"]),
        (NUMBERS, false, ["UTCOMMA.4X gdesc", "UTCCP.T.S.4x32dp128bit"]),
        (NUMBERS, true, ["UTCOMMA.2CTA.4X gdesc", "UTCCP.T.S.2CTA.4x32dp128bit"]),
    ] {
        let (_, schedule) = replayed(&rows([512, 192, 512], of), &script(192, 256, of, pair));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        for target in [Target::Sm100a, Target::Sm103a] {
            let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
            let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
            // sm_103a has another word for scales of 16 terms
            let sass = sass.replace(".BLOCK16", ".4X");
            for wanted in words.into_iter().chain(["UTMALDG.2D", "LDTM"]) {
                assert!(sass.contains(wanted), "{target} {wanted}\n{sass}");
            }
            // D, the scales of both, no more
            let multiply = |l: &&str| l.contains("UTCOMMA");
            assert!(sass.lines().filter(multiply).all(|l| l.matches("tmem[").count() == 3));
            assert_eq!(sass.lines().filter(multiply).count(), 4, "{sass}");
            for surprise in ["LDL", "STL", "HMMA.16", "UTCQMMA"] {
                assert!(!sass.contains(surprise), "{surprise}\n{sass}");
            }
        }
    }
}

#[test]
fn what_instructions_do_not_take_is_refused() {
    let sizes = [128, 16, 128];
    let plain = |of| script(16, 128, of, false);
    // one for 64 terms is no two for 32
    let coarse = rows(sizes, POWERS).replace("/ 32", "/ 64");
    refused(&coarse, &plain(POWERS), "E0731", "has not one element for each 32 iterations");
    let fine = rows(sizes, ("ue8m0", 16));
    refused(&fine, &plain(POWERS), "E0731", "has not one element for each 32 iterations");
    refused(&rows(sizes, NUMBERS), &plain(POWERS), "E0731", "by a scale of type ue8m0");
    let filled = plain(POWERS).replace("map As.0 to tma", "map As.0 to thread.x");
    refused(&rows(sizes, POWERS), &filled, "E0731", "share a byte in shared memory");
    refused(&rows([128, 16, 80], POWERS), &plain(POWERS), "E0731", "multiple of 16 bytes");
    let turned = rows(sizes, POWERS).replace("A[m, k]", "A[k, m]");
    refused(&turned, &plain(POWERS), "E0731", "cannot lie transposed in shared memory");
    let text = "in A: e2m1[16, 64]\nout Out: f32[16, 64]\n\
                for i in 0..16, j in 0..64 { S: Out[i, j] = A[i, j] }\n";
    refused(text, "stage A for S as Copy\n", "E0734", "share a byte, which two threads");
}

/// The verifier knows where halves of bytes have to stand and lie.
#[test]
fn kernels_that_would_write_half_a_byte_are_refused() {
    let (_, schedule) = replayed(&rows([128, 16, 384], POWERS), &script(16, 128, POWERS, false));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    for (of, instead, code, words) in [
        ("in A: e2m1", "inout A: e2m1", "E1019", "arrays of e2m1 are only read"),
        (" panel 64\n", "\n", "E1015", "share bytes, those of"),
        ("2 * k_1_0 : 4 step 4]", "1 : 4 step 4]", "E1015", "multiple of the 2 bytes"),
        ("128 * k_0_2 : 128]", "128 * k_0_2 + 1 : 128]", "E1015", "starts inside a byte"),
        ("ue8m0", "ue4m3", "E1015", ""),
    ] {
        let wrong = text.replacen(of, instead, if of == "ue8m0" { 99 } else { 1 });
        assert_ne!(wrong, text, "{of}\n{text}");
        let kernel: Kernel = wrong.parse().unwrap_or_else(|e| panic!("{e}\n{wrong}"));
        let error = compile::kernel(kernel).err().unwrap_or_else(|| panic!("{instead}\n{wrong}"));
        assert!(error.code == code && error.message.contains(words), "{instead}: {error}");
    }
    let threads = "kernel k() { in A: e2m1[8, 32] out O: f32[8, 32] for b in 0..1 block.x { block {
        shared As: e2m1[8, 32] panel 16 barrier full[1] count 1 role all warps 1 {
        one { do mbarrier.expect(full[0], 128)
        do tma.load(As[0 : 8, 0 : 32], A[0 : 8, 0 : 32], full[0]) }
        do mbarrier.wait(full[0], 0)
        for i, j over 8, 32 by 1, 1 {
        S: O[i, j]:f32 = cast.f32(As[i, j]:e2m1) order serial } } } } }";
    let kernel: Kernel = threads.parse().unwrap_or_else(|e| panic!("{e}"));
    let error = compile::kernel(kernel).err().unwrap_or_else(|| panic!("{threads}"));
    assert!(error.code == "E1019" && error.message.contains("threads have none"), "{error}");
}

#[test]
fn nests_that_write_half_a_byte_are_refused() {
    for role in ["out", "inout"] {
        let text = format!(
            "in X: f32[4]\n{role} Q: e2m1[4]\nfor i in 0..4 {{ S: Q[i] = cast_e2m1(X[i]) }}\n"
        );
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let error = compile::check_nest(&nest).expect_err("it writes");
        assert_eq!(error.code, "E0809", "{error}");
    }
}

/// Results of the nest, of the processor's code, and of the automatic kernels of GPUs, which are
/// also assembled.
fn everywhere(text: &str) -> Vec<Kernel> {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let (sizes, given) = inputs(&nest);
    let want = interp::nest::run(&nest, &sizes, &given).unwrap_or_else(|e| panic!("{e}"));
    let same = |have: &BTreeMap<Name, Tensor>, what: &dyn std::fmt::Display| {
        assert_eq!(want["Out"], have["Out"], "{what}");
    };
    let schedule = compile::auto(&nest).unwrap_or_else(|e| panic!("{e}"));
    let program = compile::compile(&schedule).unwrap_or_else(|e| panic!("{e}"));
    same(&program.run(&given, Some(2)).unwrap_or_else(|e| panic!("{e}")), &"the processor");
    let mut kernels = Vec::new();
    for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
        let made = compile::automatic_on(&nest, &GpuOptions::of(target));
        let (_, lowered) = made.unwrap_or_else(|e| panic!("{target} {e}"));
        let have = interp::kernel::run(lowered.kernel(), &sizes, &given);
        same(&have.unwrap_or_else(|e| panic!("{target} {e}")), lowered.kernel());
        let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
        compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
        kernels.push(lowered.kernel().clone());
    }
    kernels
}

#[test]
fn automatic_schedules_take_what_the_copy_engine_brings() {
    let taken = |text: &str| everywhere(text).pop().expect("that of sm_100a").to_string();
    let text = "in A: e2m1[3, 136, 64]  in SA: ue4m3[3, 136, 4]  in B: e2m1[3, 40, 64]
        in SB: ue4m3[3, 40, 4]  out Out: f32[3, 136, 40]
        Out[b, m, n] +=
        SB[b, n, floor(k / 16)] * A[b, m, k] * B[b, n, k] * SA[b, m, floor(k / 16)]";
    let kernel = taken(text);
    assert!(kernel.contains("k64.f32.e2m1.e2m1.ue4m3("), "{kernel}");
    // rows of 40 bytes; a scale for 64 terms; rows along another index
    let turned = "in A: e2m1[64, 136]  in SA: ue8m0[136, 2]  in B: e2m1[40, 64]
        in SB: ue8m0[40, 2]  out Out: f32[136, 40]
        Out[m, n] += A[k, m] * SA[m, floor(k / 32)] * B[n, k] * SB[n, floor(k / 32)]";
    let coarse = rows([136, 40, 128], ("ue8m0", 64));
    for text in [&rows([136, 40, 80], POWERS), &coarse, turned] {
        let kernel = taken(text);
        assert!(!kernel.contains("mma"), "{kernel}");
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let schedule = compile::auto_for(&nest, Target::Sm100a).unwrap_or_else(|e| panic!("{e}"));
        let said = warploom::tensor_cores(&schedule, Target::Sm100a);
        let said = said.unwrap_or_else(|e| panic!("{e}"));
        assert!(said[0].because.contains("by the copy engine alone"), "{}", said[0].because);
    }
}

/// Rows of an odd number of elements begin inside bytes.
#[test]
fn halves_of_bytes_are_read_on_every_path() {
    everywhere(
        "in A: e2m1[13, 37]\nout Out: f32[37, 13]\n\
         for i in 0..37, j in 0..13 { S: Out[i, j] = A[j, i] * 0.5 }\n",
    );
    everywhere("in A: e2m1[3, 5, 67]\nout Out: f32[3, 5]\nOut[b, i] += A[b, i, k]\n");
    everywhere("in A: e2m1[257]\nin S: ue4m3[257]\nout Out: bf16[257]\nOut[i] = A[i] * S[i]\n");
    everywhere(&rows([9, 11, 45], NUMBERS));
}

/// Products without scales take them as a wider type, which threads make of them.
#[test]
fn halves_of_bytes_are_widened_on_their_way_to_tensor_cores() {
    for other in ["bf16", "e4m3", "e2m1"] {
        let text = format!(
            "in A: e2m1[72, 64]\nin B: {other}[40, 64]\nout Out: f32[72, 40]\n\
             temp Acc: f32[72, 40]\nfor m in 0..72 {{\nfor n in 0..40 {{\nS0: Acc[m, n] = 0.0\n\
             for k in 0..64 {{ S1: Acc[m, n] += A[m, k] * B[n, k] order any keeps 13 }}\n\
             S2: Out[m, n] = Acc[m, n]\n}}\n}}\n"
        );
        let kernels = everywhere(&text);
        assert!(kernels[1].to_string().contains("wgmma."), "{other}\n{}", kernels[1]);
    }
}
