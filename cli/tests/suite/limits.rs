//! Nests made to keep analyses busy: every command ends soon after its time limit, with a result or
//! with a message that says so.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HEAD: &str = "param N\ninout A: i32[N + 400]\n";

/// Loops, each bounded by all of the loops around it.
fn deep(depth: usize) -> String {
    let mut out = HEAD.to_owned();
    let outer = |k: usize, sign: char, by: usize| -> String {
        (0..k).map(|o| format!(", i{o} {sign} {}", k + by)).collect()
    };
    for k in 0..depth {
        let (low, high) = (outer(k, '-', 1), outer(k, '+', 2));
        out += &format!("for i{k} in max(0{low})..min(N{high}) {{\n");
    }
    out + &format!("A[i{}] = A[i0] + 1\n{}", depth - 1, "}".repeat(depth))
}

/// Guards with coefficients up to `most`.
fn guards(count: u64, most: u64) -> String {
    let number = |k: u64| k.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) % most + 1;
    let one = |k: u64| {
        let [a, b, c, d] = [1, 2, 3, 4].map(|j| number(4 * k + j));
        format!("{a}*i + {b}*j - {c}*k + {d} >= 0")
    };
    let all: Vec<String> = (0..count).map(one).collect();
    let text = "for i in 0..N, j in 0..N, k in 0..N { if ";
    format!("{HEAD}{text}{} {{ A[k] = A[i] + A[j] }} }}", all.join(" and "))
}

/// Conditions on remainders of quotients.
fn remainders(count: usize) -> String {
    let primes = [7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47];
    let one = |p: &i32| {
        let (a, b, c, d) = (p - 1, p - 3, p + 2, p / 3);
        format!("({a}*i + {b}*j + floor((i + {p}*j) / {c})) mod {p} >= {d}")
    };
    let all: Vec<String> = primes[..count].iter().map(one).collect();
    let text = "for i in 0..N, j in 0..N { if ";
    format!("{HEAD}{text}{} {{ A[i] = A[j] + 1 }} }}", all.join(" and "))
}

/// Statements that all touch each other's elements.
fn statements(count: usize) -> String {
    let one = |k: usize| format!("A[i + {}] = A[j + {}] + A[j mod {}]\n", k % 7, k % 11, k + 2);
    let all: String = (0..count).map(one).collect();
    format!("{HEAD}for i in 0..N, j in 0..i {{\n{all}}}")
}

/// Subscripts with remainders and quotients of several iterators.
const SUBSCRIPTS: &str = "for i in 0..N, j in 0..N, k in 0..N {
  A[(3*i + 5*j + 7*k) mod 101 + floor((i + 13*j) / 17) mod 19] =
    A[(11*i + 2*j) mod 97 + floor((5*k + j) / 23) mod 29] + A[(k + 17*i) mod 89] }";

const COMMANDS: [&[&str]; 6] = [
    &["deps"],
    &["schedule"],
    &["explain"],
    &["check", "--schedule", "a.sched"],
    &["emit", "--stage", "kernel"],
    &["run", "--device", "cpu", "--size", "N=5"],
];

/// Seconds given to the analyses, and seconds after which a command counts as hanging: it also
/// reads, generates code and may run on a busy machine.
const LIMIT: (u64, u64) = (1, 100);

/// Runs a command in a folder; `None` where it had to be killed.
fn ends(folder: &Path, command: &[&str]) -> Option<(i32, String)> {
    let output = fs::File::create(folder.join("out")).expect("the folder is there");
    let errors = output.try_clone().expect("a file can be shared");
    let mut child = Command::new(env!("CARGO_BIN_EXE_warploom"))
        .arg(command[0])
        .arg("a.nest")
        .args(&command[1..])
        .args(["--time-limit", &LIMIT.0.to_string()])
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .expect("it starts");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(LIMIT.1) {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            let text = fs::read_to_string(folder.join("out")).expect("it was written");
            return Some((status.code().expect("no signal ends it"), text));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    None
}

#[test]
fn every_command_ends_within_its_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nests = [
        ("deep", deep(14)),
        ("guards", guards(60, 97)),
        ("huge", guards(8, 1_000_000_000)),
        ("remainders", remainders(10)),
        ("statements", statements(40)),
        ("subscripts", format!("{HEAD}{SUBSCRIPTS}")),
    ];
    let mut stopped = 0;
    for (name, nest) in &nests {
        let first = if *name == "deep" { "i0" } else { "i" };
        fs::write(folder.path().join("a.nest"), nest).expect("the folder is there");
        fs::write(folder.path().join("a.sched"), format!("reverse {first}\n"))
            .expect("the folder is there");
        for command in COMMANDS {
            let Some((code, text)) = ends(folder.path(), command) else {
                panic!("{command:?} of {name} does not end");
            };
            let late = ["E0601", "E0813"].iter().any(|code| text.contains(code));
            // an order that is refused is an answer too
            let refused = text.contains("E0701");
            assert!(code == 0 || late || refused, "{command:?} of {name}: {code}\n{text}");
            stopped += usize::from(late);
        }
    }
    assert!(stopped >= 6, "the nests are too easy: {stopped}");
}
