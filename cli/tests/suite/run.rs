//! The main job through the binary: specs of every kind run on the CPU and are verified.

use crate::common::{text, warploom};

/// Runs with `--device cpu --verify` and demands success.
fn verified(args: &[&str]) {
    let mut all = vec!["run"];
    all.extend(args);
    all.extend(["--device", "cpu", "--verify"]);
    let output = warploom(&all);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{args:?}:\n{said}");
    assert!(said.contains("verified"), "{args:?} says nothing of verification:\n{said}");
}

#[test]
fn matmul_in_every_float_type() {
    for dtype in ["f64", "f32", "f16", "bf16", "e4m3", "e5m2"] {
        verified(&["mk,kn->mn", "--size", "m=64,n=48,k=80", "--dtype", dtype]);
    }
}

#[test]
fn sums_that_may_drop_bits() {
    let types = ["--dtype", "e4m3", "--acc", "f32 keeps 13 over 128", "--out-dtype", "f32"];
    let spec = ["mk,nk->mn", "--size", "m=128,n=136,k=256"];
    verified(&[spec.as_slice(), types.as_slice()].concat());
    verified(&[["s[] += A[i] * B[i]", "--size", "i=99"].as_slice(), types.as_slice()].concat());
    let shown = |types: &[&str]| {
        let all = ["emit"].iter().chain(&spec).chain(types).copied();
        let all: Vec<&str> = all.chain(["--target", "sm_90a", "--stage", "schedule"]).collect();
        text(&warploom(&all))
    };
    let said = shown(&types);
    assert!(said.contains("with wgmma") && said.contains("f32.e4m3.e4m3"), "{said}");
    let said = shown(&["--dtype", "e4m3", "--acc", "f32", "--out-dtype", "f32"]);
    assert!(!said.contains("wgmma"), "{said}");
}

#[test]
fn the_size_of_the_readme() {
    verified(&["mk,kn->mn", "--size", "m=512,n=384,k=640", "--dtype", "f32"]);
}

#[test]
fn einsums_of_many_kinds() {
    for (spec, sizes) in [
        ("ij->ji", "i=5,j=7"),
        ("ii->i", "i=6"),
        ("ii", "i=6"),
        ("i,j->ij", "i=3,j=4"),
        ("bmk,bkn->bmn", "b=3,m=9,n=10,k=11"),
        ("ab,bc,cd->ad", "a=4,b=5,c=6,d=7"),
        ("abcd,aebf->cdef", "a=2,b=3,c=4,d=5,e=6,f=7"),
        ("i,i->", "i=100"),
    ] {
        verified(&[spec, "--size", sizes]);
    }
}

#[test]
fn sizes_may_stay_arguments() {
    for nest in ["examples/polybench/lu.nest", "examples/polybench/jacobi-1d.nest"] {
        let sizes = if nest.contains("lu") { "N=30" } else { "T=4,N=30" };
        verified(&[nest, "--size", sizes, "--symbolic"]);
    }
}

#[test]
fn formulas() {
    verified(&["C[m,n] += A[m,k] * B[k,n]", "--size", "m=9,n=8,k=7"]);
    for (formula, sizes) in [
        ("O[n,p] += I[n,p+r] * W[r]", "n=3,p=10,r=3"),
        ("O[n,p,q,k] += I[n,p+r,q+s,c] * W[k,r,s,c]", "n=2,p=5,q=6,k=3,c=2,r=3,s=3"),
        ("O[n,p,q,c] max= I[n,2*p+r,2*q+s,c]", "n=1,p=3,q=4,c=2,r=2,s=2"),
        ("O[n,p,q,c] += I[n,2*p+r,2*q+s,c] / 4", "n=1,p=3,q=4,c=2,r=2,s=2"),
        ("C[b,m,n] += A[b,m,k] * B[b,k,n]", "b=2,m=4,n=5,k=6"),
        ("C[d,c,b,a] += A[f,b,e,a] * B[c,e,d,f]", "a=19,b=2,c=7,d=4,e=3,f=2"),
        ("B[i] = 0.5 * (A[i] + A[i+2])", "i=9"),
    ] {
        verified(&[formula, "--size", sizes]);
    }
}

#[test]
fn every_nest_of_the_examples() {
    for (file, sizes) in [
        ("matmul", "M=33,N=29,K=31"),
        ("batched_matmul", "B=3,M=9,N=10,K=11"),
        ("permuted_matmul", "A=3,B=4,C=5,D=6,E=7,F=2"),
        ("conv1d_dilated", "N=2,L=9,K=5,R=3,C=4"),
        ("conv2d", "N=2,P=6,Q=7,K=5,R=3,S=3,C=4"),
        ("conv2d_depthwise", "N=2,H=6,W=7,C=5"),
        ("conv2d_grouped", "N=2,H=5,W=6,G=2,K=3,C=4"),
        ("conv2d_padded", "N=2,H=6,W=7,K=5,C=4"),
        ("conv2d_strided_nchw", "N=2,P=4,Q=5,K=3,C=4"),
        ("conv3d", "N=2,D=3,P=4,Q=5,K=3,C=2"),
        ("maxpool2d", "N=2,P=5,Q=4,C=3"),
        ("meanpool2d", "N=2,P=5,Q=4,C=3"),
        ("softmax", "M=9,N=33"),
        ("lu", "N=12"),
        ("seidel2d", "T=4,N=14"),
        ("jacobi2d_in_place", "T=4,N=14"),
        ("attention", "Q=9,K=10,D=8"),
        ("chained_gemm", "M=9,K=16,J=10,N=8"),
        ("ozaki1_bf16", "M=9,N=10,K=16"),
        ("ozaki1_pointwise", "M=9,N=10,K=16"),
        ("ozaki2_int8", "M=9,N=10,K=16"),
        ("ozaki2_dgemm", "M=9,N=10,K=16"),
        ("gemm_bias_gelu", "M=9,N=10,K=16"),
        ("gemm_residual_rms", "M=9,N=10,K=16"),
        ("gemm_fp8_scaled", "M=9,N=10,K=160"),
        ("gemm_mxfp4", "M=9,N=10,K=160"),
        ("gemm_mxfp8", "M=9,N=10,K=160"),
        ("gemm_nvfp4", "M=9,N=7,K=45"),
        ("gemm_row_norms", "M=9,N=10,K=16"),
        ("gemm_int8_dequant", "M=9,N=10,K=16"),
        ("ozaki2_sgemm", "M=9,N=10,K=16"),
    ] {
        verified(&[&format!("examples/nests/{file}.nest"), "--size", sizes]);
    }
}

/// A `.safetensors` file of eight elements of F4 and two of F8_E4M3.
fn halves(scales: [u8; 2]) -> Vec<u8> {
    let header = r#"{"A":{"dtype":"F4","shape":[2,4],"data_offsets":[0,4]},
        "S":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[4,6]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend([0x21, 0x43, 0x65, 0x87]);
    file.extend(scales);
    file
}

/// OCP Microscaling Formats 1.0: 1 to 8 are 0.5, 1, 1.5, 2, 3, 4, 6 and -0.
#[test]
fn halves_of_bytes_come_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text_of_nest =
        "in A: e2m1[2, 4]  in S: ue4m3[2]  out O: f32[2, 4]\nO[i, j] = A[i, j] * S[i]";
    std::fs::write(path("x.nest"), text_of_nest).expect("a file");
    let run = |scales| {
        std::fs::write(path("x.safetensors"), halves(scales)).expect("a file");
        let named = |name: &str| format!("{name}={}:{name}", path("x.safetensors"));
        let (nest, out) = (path("x.nest"), format!("O={}", path("o.npy")));
        warploom(&["run", &nest, &named("A"), &named("S"), "-o", &out, "--device", "cpu"])
    };
    let output = run([0x38, 0x40]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let bytes = std::fs::read(path("o.npy")).expect("it was written");
    let values: Vec<f32> = bytes[bytes.len() - 32..]
        .chunks_exact(4)
        .map(|c| f32::from_le_bytes(c.try_into().expect("four")))
        .collect();
    assert_eq!(values, [0.5, 1.0, 1.5, 2.0, 6.0, 8.0, 12.0, -0.0]);
    let said = text(&run([0x38, 0xb8]));
    assert!(said.contains("E0533") && said.contains("element 1 is -1"), "{said}");
}

#[test]
fn scripts_of_the_examples() {
    verified(&[
        "examples/nests/seidel2d.nest",
        "--size",
        "T=5,N=21",
        "--schedule",
        "examples/schedules/seidel2d_skewed.sched",
    ]);
    verified(&[
        "examples/nests/matmul.nest",
        "--size",
        "M=70,N=65,K=130",
        "--schedule",
        "examples/schedules/matmul_tiled.sched",
    ]);
    // Whole and ragged tiles.
    for sizes in ["M=64,N=128,K=128", "M=70,N=65,K=130", "M=1,N=1,K=1"] {
        verified(&[
            "examples/nests/matmul.nest",
            "--size",
            sizes,
            "--schedule",
            "examples/schedules/matmul_packed.sched",
        ]);
    }
    for sizes in ["M=16,N=32,K=64", "M=37,N=41,K=70"] {
        verified(&[
            "examples/nests/ozaki1_pointwise.nest",
            "--size",
            sizes,
            "--schedule",
            "examples/schedules/ozaki1_fused.sched",
        ]);
    }
}

#[test]
fn every_stage_is_emitted() {
    let stages = [
        ("cpu", "nest", "out Out: f32[64, 64]"),
        ("cpu", "schedule", "parallel"),
        ("cpu", "kernel", "vector"),
        ("cpu", "llvm", "define"),
        ("cpu", "c", "for ("),
        ("sm_80", "kernel", "block.x"),
        ("sm_80", "program", "after 0 launch 1"),
        ("sm_100a", "llvm", "ptx_kernel"),
        ("sm_90a", "ptx", ".target sm_90a"),
        ("sm_90a", "resources", "registers"),
        ("sm_90a", "sass", "FFMA"),
    ];
    for (target, stage, part) in stages {
        let sizes = ["--size", "m=64,n=64,k=64"];
        let what = ["--target", target, "--stage", stage];
        let output = warploom(&[&["emit", "mk,kn->mn"], &sizes[..], &what].concat());
        let said = text(&output);
        assert_eq!(output.status.code(), Some(0), "{target} {stage}: {said}");
        assert!(said.contains(part), "{target} {stage}: {said}");
    }
}

#[test]
fn views_explanations_and_dependences() {
    let nest = "examples/nests/matmul.nest";
    let sizes = "M=3,N=2,K=2";
    for view in ["tree", "loops", "timeline", "script", "json"] {
        let output = warploom(&["schedule", nest, "--size", sizes, "--view", view]);
        assert_eq!(output.status.code(), Some(0), "{view}: {}", text(&output));
    }
    let timeline = text(&warploom(&["schedule", nest, "--size", sizes, "--view", "timeline"]));
    assert!(timeline.contains("t=0 | S0[0,0]"), "{timeline}");
    let explained = text(&warploom(&["explain", nest, "--size", sizes]));
    assert!(explained.contains("FLOP"), "{explained}");
    for (spec, dtype, target, words) in [
        ("mk,kn->mn", "bf16", "sm_90a", ["wgmma.m64n", "by the copy engine, rows along the sum"]),
        ("mk,kn->mn", "f32", "sm_90a", ["S1 not on tensor cores", "multiplies f32 by f32"]),
        ("mk,kn->mn", "f64", "sm_90a", ["mma.m16n8k", "by asynchronous copies"]),
        ("C[m,n] += A[m,k] * B[k,n] * A[m,k]", "bf16", "sm_90a", ["program", "FLOP"]),
        (nest, "f32", "sm_80", ["S1 not on tensor cores", "multiplies f32 by f32"]),
    ] {
        let sizes = if spec.contains('-') { "m=128,n=64,k=64" } else { "M=128,N=64,K=64" };
        let args = ["explain", spec, "--size", sizes, "--dtype", dtype, "--target", target];
        let explained = text(&warploom(&args));
        assert!(words.iter().all(|w| explained.contains(w)), "{spec} {dtype}: {explained}");
    }
    let deps = text(&warploom(&["deps", nest]));
    assert!(deps.contains("S0") && deps.contains("S1"), "{deps}");
    assert_eq!(warploom(&["doctor"]).status.code(), Some(0));
}
