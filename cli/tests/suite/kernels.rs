//! `.kernel` files through the binary: run, emitted and checked, and refused with their text.

use std::fs;

use crate::common::{text, warploom};

const ADD: &str = "kernel add(N) {
  in A: f32[N]
  in B: f32[N]
  out C: f32[N]
  for i in 0..N parallel {
    S: C[i]:f32 = add.f32(A[i]:f32, B[i]:f32) order serial
  }
}
";

/// A kernel's text in a file of its own.
fn file(name: &str, text: &str) -> String {
    let path = std::env::temp_dir().join(format!("warploom-{}-{name}.kernel", std::process::id()));
    fs::write(&path, text).expect("a temporary file");
    path.display().to_string()
}

/// Exit code and output of a command.
fn said(args: &[&str]) -> (Option<i32>, String) {
    let output = warploom(args);
    (output.status.code(), text(&output))
}

#[test]
fn a_kernel_runs_and_is_compared_with_the_interpreter() {
    let add = file("runs", ADD);
    let out = format!("{add}.npy");
    let args = ["run", &add, "--size", "N=1000", "--device", "cpu", "--verify", "-o", &out];
    let (code, output) = said(&args);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("verified 1000 elements against the interpreter"), "{output}");
    // a size that a file tells
    let (code, output) = said(&["run", &add, &out, &out, "--device", "interpreter", "--verify"]);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("C: f32[1000]"), "{output}");
    let symbolic = ["run", &add, "--size", "N=7", "--device", "cpu", "--symbolic", "--verify"];
    assert_eq!(said(&symbolic).0, Some(0));
    let (_, output) = said(&["run", &add, "--size", "N=1000000", "--device", "cpu", "--verify"]);
    assert!(output.contains("E0951"), "{output}");
}

#[test]
fn a_block_program_is_interpreted_checked_and_emitted() {
    let gemm = "examples/kernels/gemm_wgmma.kernel";
    let sizes = ["--size", "M=70,N=16,K=72"];
    let args = [&["run", gemm, "--device", "interpreter"][..], &sizes].concat();
    let (code, output) = said(&args);
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("C: f32[70, 16]"), "{output}");
    let (code, output) = said(&[&["run", gemm, "--device", "cpu"][..], &sizes].concat());
    assert!(code == Some(2) && output.contains("--device interpreter"), "{output}");
    let (code, output) = said(&["check", gemm]);
    assert_eq!((code, output.trim()), (Some(0), "verified: kernel gemm_wgmma for all M, N, K"));
    let emit = |stage: &str| said(&["emit", gemm, "--target", "sm_90a", "--stage", stage]);
    assert!(emit("ptx").1.contains("wgmma.mma_async"));
    assert!(emit("llvm").1.contains("@llvm.nvvm.mbarrier"));
    let (_, text) = emit("kernel");
    let (code, again) = said(&["emit", &file("again", &text), "--stage", "kernel"]);
    assert_eq!((code, again), (Some(0), text));
    assert_eq!(emit("schedule").0, Some(1));
    let old = said(&["emit", gemm, "--target", "sm_80", "--stage", "ptx"]);
    assert!(old.0 == Some(2) && old.1.contains("E1205"), "{}", old.1);
}

/// Examples' scripts for tensor cores: their kernels are interpreted for small sizes, and assembled
/// without spills for large ones.
#[test]
fn schedules_of_the_examples_fuse_products_with_what_follows() {
    for (name, small, large, words) in [
        ("chained_gemm", "M=72,K=72,J=136,N=128", "M=16384,K=1024,J=4096,N=128", "full_2["),
        ("gemm_row_norms", "M=72,N=264,K=24", "M=8192,N=4096,K=1024", "across sums reduce j"),
    ] {
        let (nest, script) =
            (format!("examples/nests/{name}.nest"), format!("examples/schedules/{name}.sched"));
        let emit = |sizes: &str, stage: &str| {
            let options = ["--target", "sm_90a", "--size", sizes, "--schedule", &script];
            said(&[&["emit", &nest, "--stage", stage][..], &options].concat())
        };
        let (code, kernel) = emit(small, "kernel");
        assert!(code == Some(0) && kernel.contains(words), "{kernel}");
        let args = ["run", &file(name, &kernel), "--device", "interpreter", "--verify"];
        let (code, output) = said(&args);
        assert!(code == Some(0) && output.contains("verified "), "{output}");
        let (code, report) = emit(large, "resources");
        let spills = !report.contains("0 bytes spill stores") || report.contains("C75");
        assert!(code == Some(0) && !spills, "{report}");
    }
}

/// Each refusal shows the line it speaks of.
#[test]
fn refusals_show_the_text() {
    let gemm = fs::read_to_string("../examples/kernels/gemm_wgmma.kernel").unwrap();
    let load = "do tma.load(As[mod(k, 4), 0 : 128, 0 : 64]";
    let wider = gemm.replace(load, "do tma.load(As[mod(k, 4), 0 : 128, 0 : 32]");
    let late = gemm.replace("if q >= 1 {", "if q >= 2 {");
    let run = &["--size", "M=70,N=16,K=520", "--device", "interpreter"][..];
    let cases: [(&str, String, &[&str], &str, &str); 7] = [
        ("syntax", ADD.replace("parallel {", "paralel {"), &[], "E01", "paralel"),
        ("bounds", ADD.replace("A[i]", "A[i + 1]"), &[], "E0811", "S: C[i]:f32"),
        ("types", ADD.replace("in B: f32", "in B: f64"), &[], "E1004", "S: C[i]:f32"),
        ("race", ADD.replace("C[i]", "C[0]"), &[], "E0812", "for i in 0..N parallel"),
        ("extents", wider, &[], "E1015", "0 : 32]"),
        ("count", gemm.replace("count 2", "count 0"), &[], "E1013", "barrier empty[4] count 0"),
        ("deadlock", late, run, "E0523", "do mbarrier.wait("),
    ];
    for (name, text, more, code, line) in cases {
        let path = file(name, &text);
        let command = if more.is_empty() { "check" } else { "run" };
        let (exit, output) = said(&[&[command, &path][..], more].concat());
        assert!(matches!(exit, Some(1 | 2)), "{name}: {output}");
        assert!(output.contains(code) && output.contains(line), "{name}: {output}");
        assert!(output.contains(&format!("-{name}.kernel:")), "{name} names no line: {output}");
    }
}

#[test]
fn what_a_kernel_states_is_no_option() {
    let add = file("options", ADD);
    for (arguments, code) in [
        (&["run", &add, "--size", "N=4", "--dtype", "f16"][..], "E0539"),
        (&["run", &add, "--size", "N=4", "--schedule", "x.sched"], "E0539"),
        (&["check", &add, "--schedule", "x.sched"], "E0539"),
        (&["run", &add], "E0511"),
        (&["run", &add, "--size", "M=4"], "E0510"),
        (&["run", &add, "Q=a.npy", "--size", "N=4"], "E0513"),
        (&["run", &add, "a.npy", "b.npy", "c.npy"], "E0537"),
        (&["run", "no-such.kernel"], "E0501"),
        (&["check", "examples/nests/matmul.nest"], "E0501"),
    ] {
        let (exit, output) = said(arguments);
        assert!(exit == Some(1) && output.contains(code), "{arguments:?}: {output}");
    }
}
