//! A correct tiled matrix product is proved; each way to break it is refused.

use std::time::Instant;

use super::*;

const MATMUL: &str = "kernel mm(M, N, K) {
  in A: f32[M, K]
  in B: f32[K, N]
  out C: f32[M, N]
  temp T: f32[4 * M]
  for m0 in 0..M step 32 parallel {
    for n0 in 0..N step 64 {
      for m1 in m0..min(m0 + 32, M) {
        for n1 in n0..min(n0 + 64, N) vector {
          S0: C[m1, n1]:f32 = 0.0:f32 order serial
        }
      }
      for k0 in 0..K step 16 {
        for m2 in 0..32 {
          if M - 1 >= m0 + m2 {
            for k1 in k0..min(k0 + 16, K) {
              for n2 in n0..min(n0 + 64, N) vector {
                S1: C[m0 + m2, n2]:f32 += mul.f32(A[m0 + m2, k1]:f32, B[k1, n2]:f32) order any
              }
            }
          }
        }
      }
    }
  }
  for r in 0..M parallel {
    for c in 0..4 unroll {
      S2: T[4 * r + c]:f32 = 1.0:f32 order serial
    }
  }
}";

fn codes(text: &str) -> Vec<&'static str> {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    match crate::kernel(kernel) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|d| d.code).collect(),
    }
}

fn witness(text: &str) -> String {
    let kernel: Kernel = text.parse().unwrap();
    prove(&kernel)[0].witness.clone().unwrap()
}

#[test]
fn tiled_matmul_is_proved_quickly() {
    let kernel: Kernel = MATMUL.parse().unwrap();
    let start = Instant::now();
    let found = prove(&kernel);
    println!("proved in {:?}", start.elapsed());
    assert!(found.is_empty(), "{}", found[0]);
    // Ten times the aim, so that a busy machine does not fail it.
    assert!(cfg!(debug_assertions) || start.elapsed().as_millis() < 100);
}

/// What is replaced, by what, and the code that must be among the findings.
const MUTATIONS: [(&str, &str, &str); 36] = [
    ("m1 in m0..min(m0 + 32, M)", "m1 in m0..min(m0 + 33, M)", "E0812"),
    ("m1 in m0..min(m0 + 32, M)", "m1 in m0..min(m0 + 32, M + 1)", "E0811"),
    ("m1 in m0..min(m0 + 32, M)", "m1 in m0..m0 + 32", "E0811"),
    ("m1 in m0..min(m0 + 32, M)", "m1 in m0 - 1..min(m0 + 32, M)", "E0811"),
    ("m1 in m0..min(m0 + 32, M)", "m1 in 0..min(m0 + 32, M)", "E0812"),
    ("n1 in n0..min(n0 + 64, N)", "n1 in n0..max(n0 + 64, N)", "E0811"),
    ("n1 in n0..min(n0 + 64, N)", "n1 in n0..n0 + 64", "E0811"),
    ("n1 in n0..min(n0 + 64, N)", "n1 in n0 - 1..min(n0 + 64, N)", "E0811"),
    ("k1 in k0..min(k0 + 16, K)", "k1 in k0..k0 + 16", "E0811"),
    ("k1 in k0..min(k0 + 16, K)", "k1 in k0..min(k0 + 16, K + 1)", "E0811"),
    ("k1 in k0..min(k0 + 16, K)", "k1 in k0..min(k0 + 16, K) parallel", "E0812"),
    ("n2 in n0..min(n0 + 64, N)", "n2 in n0..min(n0 + 64, N + 1)", "E0811"),
    ("n2 in n0..min(n0 + 64, N)", "n2 in n0..min(n0 + 64, M)", "E0811"),
    ("m0 in 0..M step 32", "m0 in 0..M step 31", "E0812"),
    ("m0 in 0..M step 32", "m0 in 0..M", "E0812"),
    ("m0 in 0..M step 32", "m0 in 0..N step 32", ""),
    ("n0 in 0..N step 64", "n0 in 0..N step 63 parallel", "E0812"),
    ("k0 in 0..K step 16", "k0 in 0..K step 16 parallel", "E0812"),
    ("m2 in 0..32", "m2 in 0..33", "E0812"),
    ("m2 in 0..32", "m2 in -1..32", "E0811"),
    ("if M - 1 >= m0 + m2", "if all()", "E0811"),
    ("if M - 1 >= m0 + m2", "if any(M - 1 >= m0 + m2, K >= 5)", "E0811"),
    ("if M - 1 >= m0 + m2", "if M >= m0 + m2", "E0811"),
    ("if M - 1 >= m0 + m2", "if m0 + m2 >= M - 1", "E0811"),
    ("C[m0 + m2, n2]:f32 +=", "C[n2, m0 + m2]:f32 +=", "E0811"),
    ("C[m0 + m2, n2]:f32 +=", "C[m0 + m2, n0]:f32 +=", ""),
    ("C[m0 + m2, n2]:f32 +=", "C[m0 + m2 + 1, n2]:f32 +=", "E0811"),
    ("C[m0 + m2, n2]:f32 +=", "C[m2, n2]:f32 +=", "E0812"),
    ("A[m0 + m2, k1]", "A[k1, m0 + m2]", "E0811"),
    ("B[k1, n2]", "B[n2, k1]", "E0811"),
    ("B[k1, n2]", "B[k1, n2 + 1]", "E0811"),
    ("A[m0 + m2, k1]", "C[m0 + m2, k1]", "E0811"),
    ("C[m1, n1]", "C[m1, n0]", "E0812"),
    ("T[4 * r + c]", "T[3 * r + c]", "E0812"),
    ("T[4 * r + c]", "T[4 * r + 2 * c]", "E0811"),
    ("c in 0..4", "c in 0..5", "E0812"),
];

#[test]
fn every_mutation_is_refused() {
    let mut refused = 0;
    for (from, to, code) in MUTATIONS {
        assert_eq!(MATMUL.matches(from).count(), 1, "{from}");
        let found = codes(&MATMUL.replace(from, to));
        if code.is_empty() {
            // Wrong results, but neither out of bounds nor a race: not what is proved here.
            assert!(found.is_empty(), "{from} -> {to}: {found:?}");
        } else {
            assert!(found.contains(&code), "{from} -> {to}: {found:?}");
            refused += 1;
        }
    }
    assert!(refused > 30);
}

#[test]
fn witnesses_are_the_smallest_runs() {
    let one = |body: &str| format!("kernel k(N) {{ in A: f32[N] out B: f32[N] {body} }}");
    assert_eq!(
        witness(&one("for i in 0..N { S: B[i]:f32 = A[i + 1]:f32 order serial }")),
        "N = 1, i = 0: A[1], but the extents are [1]"
    );
    assert_eq!(
        witness(&one(
            "for i in 0..N parallel { S: B[floordiv(i, 2)]:f32 = A[i]:f32 order serial }"
        )),
        "`S` writes B[0] at N = 2, i = 0; `S` writes it at N = 2, i = 1"
    );
}

#[test]
fn min_max_and_select_are_exact() {
    let at = |index: &str| {
        codes(&format!(
            "kernel k(N) {{ out B: f32[N] for i in 0..N {{ \
             S: B[{index}]:f32 = 0.0:f32 order serial }} }}"
        ))
    };
    for good in [
        "max(i - 1, 0)",
        "min(i + 1, N - 1)",
        "select(i >= 1, i - 1, 0)",
        "select(all(i == 0, N >= 2), 1, i)",
        "select(any(i >= 3, i == 1), i - 1, i)",
        "mod(i + 7, 1) + i",
        "max(min(i, N - 1), floordiv(i, 2))",
    ] {
        assert!(at(good).is_empty(), "{good}: {:?}", at(good));
    }
    for bad in [
        "max(i - 1, -1)",
        "min(i + 1, N)",
        "select(i >= 0, i - 1, 0)",
        "select(all(i == 0, N >= 1), 1, i)",
        "select(any(), i, i + 1)",
        "mod(i + 7, 8)",
        "min(i, 2 * i - 1)",
    ] {
        assert_eq!(at(bad), ["E0811"], "{bad}");
    }
}

#[test]
fn otherwise_branches_know_that_the_condition_fails() {
    let text = |limit: &str| {
        format!(
            "kernel k(N) {{ out B: f32[N] for i in 0..N + 4 {{ \
             if any(i >= {limit}, N == 0) {{ }} else {{ S: B[i]:f32 = 0.0:f32 order serial }} }} }}"
        )
    };
    assert!(codes(&text("N")).is_empty());
    assert_eq!(codes(&text("N + 1")), ["E0811"]);
}

#[test]
fn lanes_may_share_only_a_reduction_of_free_order() {
    let sum = |store: &str, mode: &str| {
        codes(&format!(
            "kernel k(N) {{ in A: f32[N] inout B: f32[N + 1] for j in 0..N {{ \
             for i in 0..N {mode} {{ {store} }} }} }}"
        ))
    };
    assert!(sum("S: B[j]:f32 += A[i]:f32 order any", "vector").is_empty());
    assert!(sum("S: B[j]:f32 += A[i]:f32 order serial", "").is_empty());
    for (store, mode) in [
        ("S: B[j]:f32 += A[i]:f32 order serial", "vector"),
        ("S: B[j]:f32 += A[i]:f32 order any", "parallel"),
        ("S: B[j]:f32 = A[i]:f32 order any", "vector"),
        ("S: B[j]:f32 += B[j]:f32 order any", "vector"),
        ("S: B[j]:f32 += B[i]:f32 order any", "vector"),
        ("S: B[floordiv(i, 2)]:f32 += A[i]:f32 order any", "vector"),
        ("S: B[i + 1]:f32 = B[i]:f32 order any", "vector"),
        ("S: B[j]:f32 += A[i]:f32 order any R: B[i]:f32 = 0.0:f32 order any", "vector"),
        ("S: B[i]:f32 = 0.0:f32 when gt.bool(B[0]:f32, A[i]:f32) order any", "parallel"),
    ] {
        assert_eq!(sum(store, mode), ["E0812"], "{store} {mode}");
    }
}

#[test]
fn coalesced_loops_do_not_race() {
    let text = |column: i64| {
        format!(
            "kernel k() {{ out B: f32[6, 35] for f in 0..210 parallel {{ \
             S: B[floordiv(f, 35), mod(f, {column})]:f32 = 0.0:f32 order serial }} }}"
        )
    };
    assert!(codes(&text(35)).is_empty());
    assert_eq!(codes(&text(34)), ["E0812"]);
    assert_eq!(codes(&text(36)), ["E0811"]);
}

#[test]
fn what_may_leave_64_bits_is_not_decided() {
    let text = |factor: i64| {
        format!(
            "kernel k(N) {{ out B: f32[N] for i in 0..N {{ \
             S: B[i + {factor} * i - {factor} * i]:f32 = 0.0:f32 order serial }} }}"
        )
    };
    assert!(codes(&text(1 << 20)).is_empty());
    assert_eq!(codes(&text(1 << 23)), ["E0813"]);
    let deep = format!("{}i{}", "mod(".repeat(150), ", 7)".repeat(150));
    let text = format!(
        "kernel k(N) {{ out B: f32[7] for i in 0..N {{ \
         S: B[{deep}]:f32 = 0.0:f32 order serial }} }}"
    );
    let found = match text.parse::<Kernel>() {
        Ok(kernel) => prove(&kernel).iter().map(|d| d.code).collect(),
        Err(_) => vec!["too deep to read"],
    };
    assert!(!found.is_empty());
}

const PACKED: &str = "kernel p(M, N, K) {
  in A: f32[M, K]
  in B: f32[K, N]
  inout C: f32[M, N]
  for n0 in 0..floordiv(N, 16) parallel {
    for k0 in 0..floordiv(K, 8) {
      local T: f32[8, 16] {
        for k1 in 0..8 parallel {
          for n1 in 0..16 vector {
            P: T[k1, n1]:f32 = B[8 * k0 + k1, 16 * n0 + n1]:f32 order serial
          }
        }
        for m in 0..M {
          for k2 in 0..8 {
            for n2 in 0..16 vector {
              S: C[m, 16 * n0 + n2]:f32 += mul.f32(A[m, 8 * k0 + k2]:f32, T[k2, n2]:f32) order any
            }
          }
        }
      }
    }
  }
}";

#[test]
fn local_buffers_are_private_to_iterations_around_them_only() {
    assert!(codes(PACKED).is_empty(), "{:?}", codes(PACKED));
    let outside = PACKED
        .replace("    for k0 in 0..floordiv(K, 8) {", "    for k0 in 0..floordiv(K, 8) parallel {")
        .replace("C[m, 16 * n0 + n2]:f32 +=", "C[m, 16 * n0 + n2]:f32 =");
    // C races, T does not
    assert_eq!(codes(&outside), ["E0812"]);
    assert!(witness(&outside).contains("C["), "{}", witness(&outside));
    for (from, to, code) in [
        ("T[k1, n1]", "T[0, n1]", "E0812"),
        ("T[k1, n1]", "T[k1, floordiv(n1, 2)]", "E0812"),
        ("k1 in 0..8", "k1 in 0..9", "E0811"),
        ("k2 in 0..8", "k2 in -1..8", "E0811"),
        ("T[k2, n2]", "T[k2, n2 + 1]", "E0811"),
        ("f32[8, 16]", "f32[8, 15]", "E0811"),
        ("for m in 0..M {", "for m in 0..M parallel {", ""),
        ("for k2 in 0..8 {", "for k2 in 0..8 parallel {", "E0812"),
    ] {
        assert_eq!(PACKED.matches(from).count(), 1, "{from}");
        let found = codes(&PACKED.replace(from, to));
        let fits = if code.is_empty() { found.is_empty() } else { found.contains(&code) };
        assert!(fits, "{from} -> {to}: {found:?}");
    }
}

#[test]
fn local_buffers_race_as_others_in_loops_that_share_them() {
    let kernel = |outer: &str, inner: &str| {
        format!(
            "kernel k(N) {{ inout B: f32[N] for i in 0..N {outer} {{ local T: f32[4] {{ \
             for j in 0..4 {inner} {{ S: T[3]:f32 = index.f32(j) order serial }} \
             R: B[i]:f32 = T[3]:f32 order serial }} }} }}"
        )
    };
    assert!(codes(&kernel("parallel", "")).is_empty());
    assert_eq!(codes(&kernel("", "parallel")), ["E0812"]);
    assert_eq!(codes(&kernel("", "unroll")), [""; 0]);
    let text = kernel("parallel", "parallel");
    assert_eq!(
        witness(&text),
        "`S` writes T[3] at N = 1, i = 0, j = 0; `S` writes it at N = 1, i = 0, j = 1"
    );
    let lanes = |around: &str| {
        format!(
            "kernel k(N) {{ inout B: f32[N] {around} {{ \
             S: T[0]:f32 = B[i]:f32 order serial R: B[i]:f32 += T[0]:f32 order serial }} }} }}"
        )
    };
    assert!(codes(&lanes("for i in 0..N vector { local T: f32[4]")).is_empty());
    assert_eq!(codes(&lanes("local T: f32[4] { for i in 0..N vector")), ["E0812"]);
}

#[test]
fn the_example_of_the_page_is_proved() {
    let page = include_str!("../../../docs/kernel-format.md");
    let example = page.split("```").nth(1).expect("it starts with an example");
    assert!(example.contains("local T"));
    assert!(codes(example).is_empty(), "{:?}", codes(example));
}
