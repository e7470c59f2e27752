//! Products of factors with scales: by scripts on sm_100a's block-scaled instructions, whose
//! machine code is read; by themselves where scales lie in several ways; on other targets.
//!
//! Keeps: values whose sums are exact, so that results agree bit for bit; scales of all magnitudes
//! and none; each refusal says why. The suite (`blackwell`) has sizes that end inside tiles.

use std::collections::BTreeMap;

use warploom::{GpuOptions, Kernel, Name, Nest, Paired, Tensor, compile};
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::target::Target;
use warploom_ir::value::Scalar;
use warploom_tests::tensor::{agrees_on, inputs, refused, replayed};

/// `Out[m, n] = sum over k` of products of four; `[SA[…], SB[…]]`, the shapes of these, clauses.
fn product([m, n, k]: [i64; 3], scales: [&str; 2], shapes: [&[i64]; 2], clauses: &str) -> String {
    let [of_a, of_b] = shapes.map(|s| format!("{s:?}"));
    let [sa, sb] = scales;
    format!(
        "in A: e4m3[{m}, {k}]\nin SA: ue8m0{of_a}\nin B: e5m2[{n}, {k}]\nin SB: ue8m0{of_b}\n\
         out Out: f32[{m}, {n}]\ntemp Acc: f32[{m}, {n}]\nfor m in 0..{m} {{\nfor n in 0..{n} {{\n\
         S0: Acc[m, n] = 0.0\nfor k in 0..{k} {{\n\
         S1: Acc[m, n] += (A[m, k] * {sa}) * (B[n, k] * {sb}) {clauses}\n}}\n\
         S2: Out[m, n] = Acc[m, n]\n}}\n}}\n"
    )
}

const BY_32: [&str; 2] = ["SA[m, floor(k / 32)]", "SB[n, floor(k / 32)]"];

/// The same with a scale for 32 terms in each row.
fn rows([m, n, k]: [i64; 3]) -> String {
    let steps = (k + 31) / 32;
    product([m, n, k], BY_32, [&[m, steps], &[n, steps]], "order fixed")
}

/// A script of tiles with 128 rows and these columns, and so many terms in a slice.
fn script(columns: i64, slice: i64, pair: bool) -> String {
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
         split k.1 by 32\nreorder k.0, S1.m.1.0, k.1.0, S1.m.1.1, S1.n.1, k.1.1\n\
         stage Acc at {at} as acc\nstage A at k.0 as As\nstage B at k.0 as Bs\n\
         stage SA at k.0 as SAs\nstage SB at k.0 as SBs\nmap As.0 to tma\nmap Bs.0 to tma\n\
         map SAs.0 to thread.x\nmap SBs.0 to thread.x\n\
         tensorize S1.m.1.1, S1.n.1, k.1.1 with \
         tcgen05.mma.{instruction}n{columns}k32.f32.e4m3.e5m2.ue8m0\nring k.0 by 2\n{places}"
    )
}

/// The kernel's text.
fn check(text: &str, script: &str) -> String {
    let (nest, schedule) = replayed(text, script);
    agrees_on(&nest, &schedule, Target::Sm100a).0
}

#[test]
fn slices_have_one_group_of_steps_or_several() {
    let text = check(&rows([136, 160, 400]), &script(160, 128, false));
    assert!(text.contains("SBs: ue8m0[2, 1, 2, 32, 16] panel 16"), "{text}");
    let text = check(&rows([136, 32, 400]), &script(32, 256, false));
    assert!(text.contains("SAs: ue8m0[2, 2, 1, 32, 16] panel 16"), "{text}");
    assert!(text.contains("tensor SAs_scales: ue8m0[2, 1, 32, 16]"), "{text}");
    let text = check(&rows([136, 32, 96]), &script(32, 32, false));
    assert!(text.contains("SAs_scales[0, 0 : 1, 0 : 32, 0 : 4 step 4]"), "{text}");
}

/// PTX ISA 8.8, 9.7.16.10.7: each block of a pair has the scales of its rows and of all columns.
#[test]
fn blocks_of_a_pair_have_all_scales_of_the_columns() {
    let text = check(&rows([264, 160, 272]), &script(160, 128, true));
    for wanted in [
        "shared Bs: e5m2[2, 80, 128] panel 128",
        "shared SBs: ue8m0[2, 1, 2, 32, 16] panel 16",
        "do tcgen05.cp.pair.32x128b.warpx4(SBs_scales[0, 1, ",
        "do mbarrier.arrive.cluster(full[",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}

#[test]
fn a_scale_may_be_for_more_terms_than_an_instruction_has() {
    for terms in [64, 128, 256] {
        let scales = [format!("SA[m, floor(k / {terms})]"), format!("SB[n, floor(k / {terms})]")];
        let scales = [scales[0].as_str(), scales[1].as_str()];
        let text = product([136, 32, 400], scales, [&[136, 7], &[32, 7]], "order fixed");
        check(&text, &script(32, 128, false));
    }
}

#[test]
fn the_machine_code_multiplies_with_scales() {
    for (pair, wanted) in [
        (false, ["UTCQMMA gdesc", "UTCCP.T.S.4x32dp128bit"]),
        (true, ["UTCQMMA.2CTA", "UTCCP.T.S.2CTA.4x32dp128bit"]),
    ] {
        let (_, schedule) = replayed(&rows([512, 192, 512]), &script(192, 128, pair));
        let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
        for target in [Target::Sm100a, Target::Sm103a] {
            let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
            let sass = compile::sass(&code).unwrap_or_else(|e| panic!("{e}"));
            for wanted in wanted.into_iter().chain(["UTMALDG.2D", "LDTM"]) {
                assert!(sass.contains(wanted), "{target} {wanted}\n{sass}");
            }
            // D, the scales of both, no more
            let multiply = |l: &&str| l.contains("UTCQMMA");
            assert!(sass.lines().filter(multiply).all(|l| l.matches("tmem[").count() == 3));
            assert_eq!(sass.lines().filter(multiply).count(), 4, "{sass}");
            for surprise in ["LDL", "STL", "HMMA.16"] {
                assert!(!sass.contains(surprise), "{surprise}\n{sass}");
            }
        }
    }
}

/// The kernel's result where all elements are one and scales are these, by row and by column.
fn with_scales(sa: u64, sb: u64) -> f64 {
    let (nest, schedule) = replayed(&rows([128, 16, 64]), &script(16, 64, false));
    let kernel = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let (sizes, mut given) = inputs(&nest);
    for (name, tensor) in &mut given {
        let bits = match &**name {
            "SA" => sa,
            "SB" => sb,
            _factor => Scalar::from_f64(tensor.dtype(), 1.0).bits(),
        };
        for at in 0..tensor.len() {
            tensor.set_flat(at, Scalar::from_bits(tensor.dtype(), bits));
        }
    }
    let out = interp::kernel::run(kernel.kernel(), &sizes, &given);
    out.unwrap_or_else(|e| panic!("{e}"))["Out"].get_flat(0).to_f64()
}

/// OCP Microscaling Formats 1.0: scales are 2^(bits - 127), 255 is NaN.
#[test]
fn scales_are_multiplied_before_they_can_overflow() {
    assert_eq!(with_scales(127, 127), 64.0);
    assert_eq!(with_scales(254, 0), 64.0);
    assert_eq!(with_scales(130, 125), 128.0);
    assert_eq!(with_scales(0, 0), 0.0, "below the least number of f32");
    assert!(with_scales(255, 127).is_nan());
    assert!(with_scales(127, 255).is_nan());
}

/// The automatic schedule's kernel for a target, run by the interpreter against the nest.
fn by_itself(text: &str, target: Target, paired: Paired) -> Kernel {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    let options = GpuOptions { paired, ..GpuOptions::of(target) };
    let (schedule, _) = compile::automatic_on(&nest, &options).unwrap_or_else(|e| panic!("{e}"));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let (sizes, given) = inputs(&nest);
    let want = interp::nest::run(&nest, &sizes, &given).unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(lowered.kernel(), &sizes, &given);
    let have: BTreeMap<Name, Tensor> = have.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(want["Out"].bytes(), have["Out"].bytes(), "{}", lowered.kernel());
    let code = lowered.gpu(target).unwrap_or_else(|e| panic!("{e}"));
    compile::resources(&code).unwrap_or_else(|e| panic!("{e}"));
    lowered.kernel().clone()
}

#[test]
fn other_targets_compute_the_same_without_scaled_instructions() {
    for target in [Target::Sm80, Target::Sm90a] {
        let kernel = by_itself(&rows([72, 40, 80]), target, Paired::Never).to_string();
        assert!(!kernel.contains("mma"), "{target}\n{kernel}");
    }
    let kernel = by_itself(&rows([136, 48, 80]), Target::Sm103a, Paired::Never).to_string();
    assert!(kernel.contains(".e5m2.ue8m0("), "{kernel}");
}

#[test]
fn batches_and_flat_products_are_scaled_too() {
    let text = "in A: e4m3[3, 136, 64]  in SA: ue8m0[3, 136, 2]  in B: e4m3[3, 40, 64]
        in SB: ue8m0[3, 40, 2]  out Out: f32[3, 136, 40]
        Out[b, m, n] +=
        SB[b, n, floor(k / 32)] * A[b, m, k] * B[b, n, k] * SA[b, m, floor(k / 32)]";
    for paired in [Paired::Never, Paired::Always] {
        let kernel = by_itself(text, Target::Sm100a, paired).to_string();
        assert!(kernel.contains(".ue8m0("), "{kernel}");
    }
}

#[test]
fn what_instructions_do_not_compute_is_refused() {
    let of = |scales, clauses| product([128, 16, 64], scales, [&[128, 4], &[16, 4]], clauses);
    let plain = script(16, 64, false);
    let refuse = |text: &str, script: &str, words| refused(text, script, "E0731", words);
    let fixed = |scales| of(scales, "order fixed");
    refuse(
        &fixed(["SA[m, floor(k / 16)]", "SB[n, floor(k / 16)]"]),
        &plain,
        "an instruction takes 2 elements",
    );
    let flat = product(
        [128, 16, 64],
        ["SA[m, floor(k / 32)]", "SB[n]"],
        [&[128, 2], &[16]],
        "order fixed",
    );
    refuse(&flat, &plain, "does not move along");
    let both = ["SA[m, floor(k / 32)]", "SB[m mod 16, floor(k / 32)]"];
    refuse(&fixed(both), &plain, "are not a scale of each factor");
    refuse(
        &of(BY_32, "order fixed strict"),
        &plain,
        "tensor cores fuse multiplication and addition",
    );
    let unscaled = plain.replace(".e5m2.ue8m0", ".e5m2");
    refuse(&fixed(BY_32), &unscaled, "multiplies by scales, which the instruction does not");
    let alone = fixed(BY_32).replace("(A[m, k] * SA[m, floor(k / 32)])", "A[m, k]");
    let few = plain.replace("stage SA at k.0 as SAs\n", "").replace("map SAs.0 to thread.x\n", "");
    refuse(&alone, &few, "does not add a product of two elements, or of two with a scale of each");
    let apart = plain.replace("stage SA at k.0 as SAs", "stage SA at n.0 as SAs");
    refuse(&fixed(BY_32), &apart, "is not staged where the factors are");
    let wide = product([128, 512, 64], BY_32, [&[128, 2], &[512, 2]], "order fixed");
    let two = script(256, 64, false)
        .replace("by 128, 256", "by 128, 512")
        .replace("split k.1 by 32\n", "split k.1 by 32\nsplit S1.n.1 by 256\n")
        .replace("k.1.0, S1.m.1.1, S1.n.1, k", "k.1.0, S1.n.1.0, S1.m.1.1, S1.n.1.1, k")
        .replace("S1.m.1.1, S1.n.1, k.1.1 with", "S1.m.1.1, S1.n.1.1, k.1.1 with");
    refuse(&wide, &two, "512 columns of tensor memory, its scales 20");
    let boxed = plain.replace("map SAs.0 to thread.x", "map SAs.0 to tma");
    refused(&fixed(BY_32), &boxed, "E0732", "holds scales, which are no box");
}

/// The verifier knows where scales have to stand and lie.
#[test]
fn kernels_with_misplaced_scales_are_refused() {
    let (_, schedule) = replayed(&rows([128, 16, 128]), &script(16, 128, false));
    let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}"));
    let text = lowered.kernel().to_string();
    for (of, instead, code, words) in [
        (
            "tensor SAs_scales: ue8m0[1, 1, 32, 16]",
            "tensor SAs_scales: ue8m0[1, 1, 128, 16]",
            "E1013",
            "32 of scales",
        ),
        (
            "tensor sums",
            "tensor first: ue8m0[32, 16]\ntensor sums",
            "E1013",
            "stands behind scales",
        ),
        (" : 4 step 4], SBs", " : 4], SBs", "E1015", "in steps of 4"),
        (
            "SAs_scales[0, 0, 0 : 32, 0 : 16], SAs[",
            "SBs_scales[0, 0, 0 : 32, 0 : 8], SAs[",
            "E1015",
            "no scales of 32 lanes",
        ),
        ("for k_1_0 in 0..4 unroll", "for k_1_0 in 0..4", "E1015", "use unrolled loops"),
    ] {
        let wrong = text.replacen(of, instead, 1);
        assert_ne!(wrong, text, "{of}\n{text}");
        let kernel: Kernel = wrong.parse().unwrap_or_else(|e| panic!("{e}\n{wrong}"));
        let error = compile::kernel(kernel).err().unwrap_or_else(|| panic!("{instead}\n{wrong}"));
        assert!(error.code == code && error.message.contains(words), "{instead}: {error}");
    }
}

#[test]
fn types_of_scales_have_no_other_arithmetic() {
    let text = "in S: ue8m0[4]\nout Out: f32[4]\nfor i in 0..4 { S0: Out[i] = S[i] + 1.0 }\n";
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let scales = Tensor::from_f64s(DType::Ue8m0, &[4], &[0.5, 1.0, 2.0, 3.0]).expect("four");
    let given = BTreeMap::from([("S".into(), scales)]);
    let out = interp::nest::run(&nest, &BTreeMap::new(), &given).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(out["Out"].to_f64s(), [1.5, 2.0, 3.0, 5.0], "three is in the middle of 2 and 4");
}
