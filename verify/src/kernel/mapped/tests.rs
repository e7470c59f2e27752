//! A kernel of two launches is sealed; each change that no GPU could launch is refused.

use std::collections::BTreeMap;

use warploom_ir::dtype::DType;
use warploom_ir::interp::kernel::{ParallelOrder, run_with};
use warploom_ir::kernel::Kernel;
use warploom_ir::tensor::Tensor;

const TWO: &str = "kernel two(N) {
  in A: i32[N, 96]
  temp T: i32[N]
  out B: i32[N]
  for b in 0..floordiv(N + 31, 32) block.x {
    for t in 0..32 thread.x {
      if N - 1 >= 32 * b + t {
        S0: T[32 * b + t]:i32 = 0:i32 order serial
        for k in 0..96 {
          S1: T[32 * b + t]:i32 += A[32 * b + t, k]:i32 order serial
        }
      }
    }
  }
  for c in 0..N block.y {
    for u in 0..1 thread.z {
      S2: B[c]:i32 = T[N - 1 - c]:i32 order serial
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

#[test]
fn a_kernel_of_two_launches_is_sealed() {
    assert_eq!(codes(TWO), Vec::<&str>::new());
}

#[test]
fn what_cannot_be_launched_is_refused() {
    for (from, to, code) in [
        // nobody knows the number of threads before the launch
        ("t in 0..32", "t in 0..N", "E1009"),
        ("t in 0..32", "t in b..32", "E1009"),
        ("u in 0..1", "u in 0..c", "E1009"),
        // too many threads
        ("t in 0..32", "t in 0..1025", "E1010"),
        ("0..1 thread.z", "0..65 thread.z", "E1010"),
        // places
        ("0..1 thread.z", "0..1 block.y", "E1008"),
        ("k in 0..96", "k in 0..96 thread.y", "E1008"),
        // races: two blocks, two threads
        ("B[c]", "B[0]", "E0812"),
        ("S0: T[32 * b + t]", "S0: T[32 * b]", "E0812"),
        ("T[32 * b + t]:i32 +=", "T[t]:i32 +=", "E0812"),
        ("u in 0..1", "u in 0..2", "E0812"),
        // the guard of the last block
        ("N - 1 >= 32", "N >= 32", "E0811"),
    ] {
        let text = TWO.replace(from, to);
        assert_ne!(text, TWO, "{from}");
        assert!(codes(&text).contains(&code), "{from} -> {to}: {:?}", codes(&text));
    }
}

/// In each step of the host, the blocks after a row are reduced by it; then one thread counts.
const STEPS: &str = "kernel steps(N) {
  inout A: i32[N, N]
  out C: i32[N]
  for k in 0..N {
    if N - 2 >= k {
      for i in k + 1..N block.x {
        for j0 in 0..floordiv(N - k + 31, 32) block.y {
          for j1 in 0..32 thread.x {
            if N - 1 >= k + 32 * j0 + j1 {
              S0: A[i, k + 32 * j0 + j1]:i32 += A[k, k + 32 * j0 + j1]:i32 order serial
            }
          }
        }
      }
    }
    S1: C[k]:i32 = A[k, k]:i32 order serial
  }
}";

#[test]
fn loops_and_guards_of_the_host_stand_around_launches() {
    assert_eq!(codes(STEPS), Vec::<&str>::new());
    for (from, to, code) in [
        // nothing but the host's loops may be known before a launch
        ("floordiv(N - k + 31, 32) block.y", "floordiv(N - i + 31, 32) block.y", "E1009"),
        ("0..32 thread.x", "0..k thread.x", "E1009"),
        // the host has no memory of its own
        ("if N - 2 >= k {", "local T: i32[1] {", "E1008"),
        // a serial loop of the launch has a mapped one inside
        ("floordiv(N - k + 31, 32) block.y", "floordiv(N - k + 31, 32)", "E1008"),
        // rows race for the one above
        ("j1]:i32 += A[k,", "j1]:i32 += A[i - 1,", "E0812"),
    ] {
        let text = STEPS.replace(from, to);
        assert_ne!(text, STEPS, "{from}");
        assert!(codes(&text).contains(&code), "{from} -> {to}: {:?}", codes(&text));
    }
}

#[test]
fn every_order_of_blocks_and_threads_gives_the_same() {
    let kernel: Kernel = TWO.parse().unwrap();
    let n = 70;
    let values: Vec<f64> = (0..n * 96).map(|i| f64::from(i % 11)).collect();
    let a = Tensor::from_f64s(DType::I32, &[n as usize, 96], &values).unwrap();
    let inputs = BTreeMap::from([("A".into(), a)]);
    let sizes = BTreeMap::from([("N".into(), i64::from(n))]);
    let want: Vec<f64> = values.chunks(96).rev().map(|row| row.iter().sum()).collect();
    let orders = [ParallelOrder::Forward, ParallelOrder::Reverse, ParallelOrder::Shuffled(7)];
    for order in orders {
        let got = run_with(&kernel, &sizes, &inputs, order).unwrap();
        assert_eq!(got["B"].to_f64s(), want, "{order:?}");
    }
}
