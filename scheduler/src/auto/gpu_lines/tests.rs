//! Several results of the same elements, and guarded sums: what one thread does, and that kernels
//! compute the same.

use warploom_ir::nest::Nest;

use crate::steps::testing::agree;
use crate::{GpuOptions, Schedule, auto_gpu, launches, lower};

/// The chosen script and the kernel's text, after it was compared with the nest.
fn chosen(text: &str, sizes: &[(&str, i64)]) -> (String, String) {
    let mut text = text.to_owned();
    for (name, value) in sizes {
        text = text.replacen(&format!("param {name}"), &format!("param {name} = {value}"), 1);
    }
    let nest: Nest = text.parse().unwrap();
    let start = Schedule::new(&nest).unwrap();
    let schedule = auto_gpu(&start, &GpuOptions::default()).unwrap();
    assert_eq!(start.replay(schedule.script()).unwrap(), schedule, "the script makes the schedule");
    let kernel = lower(schedule.poly(), schedule.tree(), &nest.source).unwrap();
    let kernel = launches(&kernel);
    agree(&nest, &kernel, &[]);
    (schedule.script().to_string(), kernel.to_string())
}

/// Remainders of wide numbers, in bytes.
const REMAINDERS: &str = "param M param K
in A: i64[M, K]  in s: i64[M]  out R: i8[3, M, K]
const P: i64[3] = [7, 11, 13]
for l in 0..3, m in 0..M, k in 0..K { S: R[l, m, k] = cast_i8(mod(A[m, k] * s[m], P[l])) }
";

#[test]
fn a_thread_computes_all_results_of_its_elements() {
    let (script, _) = chosen(REMAINDERS, &[("M", 5), ("K", 64)]);
    // four elements of 8 bytes, whose results are words
    assert!(script.contains("split k.1 by 4"), "{script}");
    assert!(script.contains("unroll l\n"), "{script}");
    // no line is whole
    let (script, _) = chosen(REMAINDERS, &[("M", 3), ("K", 37)]);
    assert!(script.contains("unroll l\n"), "{script}");
    // a result that reads along the loop is no other result of the same elements
    let other = REMAINDERS.replace("s: i64[M]", "s: i64[3]").replace("s[m]", "s[l]");
    let (script, _) = chosen(&other, &[("M", 5), ("K", 64)]);
    assert!(!script.contains("unroll l\n"), "{script}");
    // and many are not unrolled
    let many = REMAINDERS.replace("R: i8[3,", "R: i8[40,").replace("l in 0..3", "l in 0..40");
    let (script, _) = chosen(&many.replace("P[l]", "7"), &[("M", 5), ("K", 64)]);
    assert!(!script.contains("unroll l\n"), "{script}");
}

#[test]
fn a_thread_takes_two_pieces_of_one_long_line() {
    let text = "param N\nin A: i32[N]\nout B: i32[N]\nfor i in 0..N { S: B[i] = 3 * A[i] + 1 }\n";
    // the last pieces are in the middle of a block's strip
    let (script, kernel) = chosen(text, &[("N", (1 << 20) + 1300)]);
    assert!(script.contains("split i by 2048\n"), "{script}");
    assert!(script.contains("skew i.1.0.1 by -256*i.1.0.0\n"), "{script}");
    assert!(kernel.contains("in 0..513 block.x"), "{kernel}");
    // fewer elements than keep a GPU busy so have a thread each for their pieces
    let (script, _) = chosen(text, &[("N", (1 << 20) - 4)]);
    assert!(script.contains("split i by 1024\n") && !script.contains("skew"), "{script}");
}

#[test]
fn results_of_transposed_elements_are_written_in_words() {
    let text = REMAINDERS.replace("A: i64[M, K]", "A: i64[K, M]").replace("A[m, k]", "A[k, m]");
    let (script, kernel) = chosen(&text, &[("M", 40), ("K", 144)]);
    // neighbours of a word lie in parts of their own
    assert!(script.contains("layout 0%4, 0/4, 1 pad 1"), "{script}");
    assert!(script.contains("unroll l\n") && script.contains("split k.1 by 4"), "{script}");
    assert!(kernel.contains("thread.y"), "{kernel}");
    let (script, _) = chosen(&text, &[("M", 3), ("K", 37)]);
    assert!(script.contains("unroll l\n") && !script.contains("layout"), "{script}");
}

/// Few elements of C get a sum.
const GUARDED: &str = "param M param N param K
in A: i32[M, K]  in B: i32[K, N]  in f: i32[M]  inout C: i32[M, N]
for m in 0..M, n in 0..N {
  for k in 0..K { S: C[m, n] += A[m, k] * B[k, n] when f[m] > 0 order any }
}
";

#[test]
fn guarded_sums_look_at_many_elements() {
    let (script, _) = chosen(GUARDED, &[("M", 70), ("N", 40), ("K", 24)]);
    assert!(script.contains("split m by 32") && !script.contains("stage"), "{script}");
    // a guard that differs between the terms leaves tiles as they are
    let each = GUARDED.replace("f: i32[M]", "f: i32[K]").replace("f[m]", "f[k]");
    let (script, _) = chosen(&each, &[("M", 70), ("N", 40), ("K", 24)]);
    assert!(!script.contains("split m by 32\n"), "{script}");
}
