//! Wrong specs, nests, scripts and files: each has its exit code and says what is wrong.

use std::fs;

use crate::common::{text, warploom};

/// Exit code, a fragment of the message, the arguments (`@nest:TEXT` and `@sched:TEXT` become
/// files).
type Case = (i32, &'static str, &'static [&'static str]);

const EINSUM: &[Case] = &[
    (1, "E0", &["run", "mk,kn->mz", "--size", "m=2,n=2,k=2"]),
    (1, "E0", &["run", "mk,kn->mm", "--size", "m=2,n=2,k=2"]),
    (1, "E0", &["run", "mk,k1->m", "--size", "m=2,k=2"]),
    (1, "E0", &["run", "mk->mk->m", "--size", "m=2,k=2"]),
    (1, "E0", &["run", "mk,kn-mn", "--size", "m=2,n=2,k=2"]),
    (1, "E0", &["run", "m.k->m", "--size", "m=2,k=2"]),
    (1, "E0", &["run", "....->", "--size", "m=2"]),
    (1, "E0", &["run", "m...k...->m", "--size", "m=2,k=2"]),
    (1, "size of", &["run", "mk,kn->mn"]),
    (1, "size of n", &["run", "mk,kn->mn", "--size", "m=2,k=2"]),
    (1, "no label `q`", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2,q=3"]),
    (1, "is not a size", &["run", "mk,kn->mn", "--size", "m=two"]),
    (1, "is not a size", &["run", "mk,kn->mn", "--size", "m=-4,n=2,k=2"]),
    (1, "given twice", &["run", "mk,kn->mn", "--size", "m=2,m=3,n=2,k=2"]),
    (1, "unknown type", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2", "--dtype", "f99"]),
    (1, "unknown type", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2", "--acc", "x"]),
    (1, "E0105", &["run", "m->", "--size", "m=2", "--acc", "f32 keeps 0"]),
    (1, "E0103", &["run", "m->", "--size", "m=2", "--acc", "f32 keep 13"]),
    (1, "E0303", &["run", "m->", "--size", "m=2", "--acc", "f32 keeps 25"]),
    (1, "unknown type", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2", "--out-dtype", "x"]),
    (3, "E1110", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2", "--device", "cuda:4096"]),
    (1, "device", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2", "--device", "tpu"]),
    (1, "E0905", &["run", "mk,kn->mn", "--size", "m=2,n=2,k=2", "--device", "cuda:x"]),
    (1, "no-such-file", &["run", "mk,kn->mn", "no-such-file.npy", "also-missing.npy"]),
];

const FILES: &[Case] = &[
    (1, "no-such.nest", &["run", "no-such.nest"]),
    (1, "cannot read", &["run", "m->m", "a.npy", "--size", "m=2"]),
    (1, "E0537", &["run", "m->m", "a.npy", "b.npy", "--size", "m=2"]),
    (1, "too many files: 3 given, 2 inputs", &["run", "C[i]=A[i]+B[i]", "a.npy", "b.npy", "c.npy"]),
    (1, "E0537", &["run", "examples/nests/matmul.nest", "a.npy", "b.npy", "c.npy"]),
    (1, "E0537", &["run", "m->m", "--size", "m=2", "-o", "a.npy", "-o", "b.npy"]),
    (1, "E0538", &["run", "m->m", "--size", "m=2", "-o", "Q=b.npy"]),
    (1, "no array named", &["run", "m->m", "Q=a.npy", "--size", "m=2"]),
    (1, "no-such.sched", &["check", "examples/nests/matmul.nest", "--schedule", "no-such.sched"]),
    (1, "", &["run", "m->m", "Cargo.toml", "--size", "m=2"]),
];

const NESTS: &[Case] = &[
    (1, "E0807", &["run", "@nest:"]),
    (1, "E01", &["run", "@nest:in A f32[4]"]),
    (1, "E01", &["run", "@nest:in A: f32[4"]),
    (1, "f99", &["run", "@nest:in A: f99[4] out B: f32[4]\nfor i in 0..4 { B[i] = A[i] }"]),
    (1, "E02", &["run", "@nest:out B: f32[4]\nfor i in 0..4 { B[i] = A[i] }"]),
    (1, "E02", &["run", "@nest:in A: f32[4] out B: f32[4]\nfor i in 0..4 { B[i] = A[j] }"]),
    (1, "E02", &["run", "@nest:in A: f32[4] out B: f32[4]\nfor i in 0..4 { B[i] = A[i, i] }"]),
    (1, "E02", &["run", "@nest:in A: f32[4] out B: f32[4]\nfor i in 0..4 { A[i] = 0 }"]),
    (1, "E02", &["run", "@nest:out B: f32[4] out B: f32[4]\nfor i in 0..4 { B[i] = 0 }"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..4, i in 0..4 { B[i] = 0 }"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..4 step 0 { B[i] = 0 }"]),
    (1, "E0", &["run", "@nest:out B: f32[16]\nfor i in 0..4 { B[i*i] = 0 }"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..4 { B[i] = }"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..4 { B[i] = 1 + }"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..4 { B[i] = foo(1) }"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..4 { B[i] = 1"]),
    (1, "E0", &["run", "@nest:out B: f32[4]\nfor i in 0..99999999999999999999 { B[i] = 1 }"]),
    (
        1,
        "E0",
        &["run", "@nest:const P: i32[3] = [1, 2] out B: i32[3]\nfor i in 0..3 { B[i] = P[i] }"],
    ),
    (1, "4", &["run", "@nest:in A: f32[4] out B: f32[4]\nfor i in 0..4 { B[i] = A[i + 1] }"]),
    (1, "-1", &["run", "@nest:in A: f32[4] out B: f32[4]\nfor i in 0..4 { B[i] = A[i - 1] }"]),
    (1, "B[4]", &["run", "@nest:out B: f32[4]\nfor i in 0..5 { B[i] = 1 }"]),
    (1, "never written", &["run", "@nest:out B: f32[4]\nfor i in 0..3 { B[i] = 1 }"]),
    (1, "before", &["run", "@nest:out B: f32[4]\nfor i in 0..4 { B[i] += 1 }"]),
    (1, "cast", &["run", "@nest:in A: f32[4] out B: i32[4]\nfor i in 0..4 { B[i] = A[i] }"]),
    (1, "cast", &["run", "@nest:in A: i32[4] out B: i8[4]\nfor i in 0..4 { B[i] = A[i] }"]),
    (1, "E0", &["run", "@nest:in A: i32[4] out B: i32[4]\nfor i in 0..4 { B[i] = exp(A[i]) }"]),
    (
        1,
        "`div` needs integers",
        &["run", "@nest:in A: f32[4] out B: f32[4]\nfor i in 0..4 { B[i] = div(A[i], A[i]) }"],
    ),
    (
        1,
        "E0",
        &[
            "run",
            "@nest:in A: i64[4] in D: f64[4] out B: f64[4]\nfor i in 0..4 { B[i] = A[i] + D[i] }",
        ],
    ),
    (1, "E0", &["run", "@nest:param N out B: f32[N]\nfor i in 0..N { if i * i < N { B[i] = 0 } }"]),
    (1, "size of N", &["run", "@nest:param N out B: f32[N]\nfor i in 0..N { B[i] = 0 }"]),
];

const MATMUL: &str = "examples/nests/matmul.nest";

const SCRIPTS: &[Case] = &[
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:frobnicate m"]),
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:tile m by"]),
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:tile m, n by 4"]),
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:tile m by 0"]),
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:split m by -3"]),
    (1, "the loops are `m`, `n`, `k`", &["check", MATMUL, "--schedule", "@sched:tile zz by 4"]),
    (1, "the statements are `S0`", &["check", MATMUL, "--schedule", "@sched:order { S9 }"]),
    (1, "did you mean `k`", &["check", MATMUL, "--schedule", "@sched:reverse kk"]),
    (1, "E0705", &["run", MATMUL, "--size", "M=2,N=2,K=2", "--schedule", "@sched:parallel S1.q"]),
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:skew m by"]),
    (1, "E0", &["check", MATMUL, "--schedule", "@sched:atomically { tile m by 4"]),
    (2, "E07", &["check", MATMUL, "--schedule", "@sched:reverse k\nparallel k"]),
    (
        2,
        "must run before",
        &[
            "check",
            "examples/nests/seidel2d.nest",
            "--schedule",
            "examples/schedules/seidel2d_rectangular.sched",
        ],
    ),
    (2, "E07", &["check", "examples/nests/seidel2d.nest", "--schedule", "@sched:parallel i"]),
    (
        2,
        "inside a vector loop",
        &[
            "run",
            MATMUL,
            "--size",
            "M=8,N=8,K=8",
            "--schedule",
            "@sched:distribute n\ndistribute m\nvectorize S1.n",
        ],
    ),
    (2, "E07", &["check", "examples/nests/seidel2d.nest", "--schedule", "@sched:reorder j, i"]),
    (2, "E07", &["check", "examples/nests/seidel2d.nest", "--schedule", "@sched:reverse t"]),
    (1, "no such stage", &["emit", MATMUL, "--target", "sm_90a", "--stage", "c"]),
    (1, "target", &["emit", MATMUL, "--target", "sm_1", "--stage", "kernel"]),
];

/// Replaces `@nest:TEXT` and `@sched:TEXT` by files in `folder`.
fn materialise(args: &[&str], folder: &std::path::Path) -> Vec<String> {
    args.iter()
        .map(|arg| {
            let (name, body) = match (arg.strip_prefix("@nest:"), arg.strip_prefix("@sched:")) {
                (Some(body), _) => ("case.nest", body),
                (None, Some(body)) => ("case.sched", body),
                (None, None) => return (*arg).to_owned(),
            };
            let path = folder.join(name);
            fs::write(&path, body).expect("the folder is writable");
            path.to_string_lossy().into_owned()
        })
        .collect()
}

fn run_table(table: &[Case]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut failures = Vec::new();
    for (code, fragment, args) in table {
        let args = materialise(args, folder.path());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = warploom(&args);
        let said = text(&output);
        if output.status.code() != Some(*code) || !said.contains(fragment) {
            failures.push(format!(
                "{args:?}: exit {:?} (wanted {code}), wanted `{fragment}` in:\n{said}",
                output.status.code()
            ));
        }
        assert!(!said.contains("panicked"), "{args:?} panicked:\n{said}");
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn wrong_einsums_and_arguments() {
    run_table(EINSUM);
}

#[test]
fn wrong_files() {
    run_table(FILES);
}

#[test]
fn wrong_nests() {
    run_table(NESTS);
}

#[test]
fn wrong_scripts_and_targets() {
    run_table(SCRIPTS);
}

#[test]
fn the_table_is_as_long_as_promised() {
    assert!(EINSUM.len() + FILES.len() + NESTS.len() + SCRIPTS.len() >= 60);
}
