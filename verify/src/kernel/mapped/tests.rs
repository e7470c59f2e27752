//! A kernel of two launches and one of several phases are sealed; each change that no GPU could
//! launch is refused.

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
        (
            "floordiv(N - k + 31, 32) block.y {\n          for j1 in 0..32 thread.x",
            "floordiv(N - k + 31, 32) {\n          for j1 in 0..32 block.y",
            "E1008",
        ),
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

/// A product whose tiles are shared and whose sums are spread across the threads.
const PHASES: &str = "kernel phases(M, N, K) {
  in A: i32[M, K]
  in B: i32[K, N]
  out C: i32[M, N]
  for m0 in 0..floordiv(M + 7, 8) block.y {
    for n0 in 0..floordiv(N + 3, 4) block.x {
      local acc: i32[4, 4, 2] across thread.y, thread.x {
        for ya in 0..4 thread.y {
          for xa in 0..4 thread.x {
            for ia in 0..2 unroll { S0: acc[ya, xa, ia]:i32 = 0:i32 order serial }
          }
        }
        for k0 in 0..floordiv(K + 2, 3) {
          local At: i32[8, 4] {
            for yb in 0..8 thread.y {
              for kb in 0..3 thread.x {
                if all(M - 1 >= 8 * m0 + yb, K - 1 >= 3 * k0 + kb) {
                  S1: At[yb, kb]:i32 = A[8 * m0 + yb, 3 * k0 + kb]:i32 order serial
                }
              }
            }
            for yc in 0..4 thread.y {
              for xc in 0..4 thread.x {
                for ic in 0..2 unroll {
                  for kc in 0..min(3, K - 3 * k0) {
                    if all(M - 1 >= 8 * m0 + 2 * yc + ic, N - 1 >= 4 * n0 + xc) {
                      S2: acc[yc, xc, ic]:i32 += mul.i32(
                        At[2 * yc + ic, kc]:i32, B[3 * k0 + kc, 4 * n0 + xc]:i32) order fixed
                    }
                  }
                }
              }
            }
          }
        }
        for yd in 0..8 step 2 thread.y {
          for xd in 0..4 thread.x {
            for id in 0..2 unroll {
              if all(M - 1 >= 8 * m0 + yd + id, N - 1 >= 4 * n0 + xd) {
                S3: C[8 * m0 + yd + id, 4 * n0 + xd]:i32 =
                  acc[floordiv(yd, 2), xd, id]:i32 order serial
              }
            }
          }
        }
      }
    }
  }
}";

#[test]
fn phases_share_buffers_and_keep_registers() {
    assert_eq!(codes(PHASES), Vec::<&str>::new());
    let kernel: Kernel = PHASES.parse().unwrap();
    assert_eq!(kernel.to_string().parse::<Kernel>().unwrap(), kernel);
    let (m, n, k) = (11_usize, 6_usize, 7_usize);
    let values = |len: usize, seed: usize| -> Vec<f64> {
        (0..len).map(|i| ((i * seed) % 13) as f64 - 6.0).collect()
    };
    let (a, b) = (values(m * k, 5), values(k * n, 7));
    let sum = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f64>();
    let want: Vec<f64> = (0..m * n).map(|e| sum(e / n, e % n)).collect();
    let inputs = BTreeMap::from([
        ("A".into(), Tensor::from_f64s(DType::I32, &[m, k], &a).unwrap()),
        ("B".into(), Tensor::from_f64s(DType::I32, &[k, n], &b).unwrap()),
    ]);
    let sizes = [("M", m), ("N", n), ("K", k)].map(|(name, v)| (name.into(), v as i64)).into();
    for order in [ParallelOrder::Forward, ParallelOrder::Reverse, ParallelOrder::Shuffled(5)] {
        let got = run_with(&kernel, &sizes, &inputs, order).unwrap();
        assert_eq!(got["C"].to_f64s(), want, "{order:?}");
    }
}

#[test]
fn a_phase_that_is_none_is_refused() {
    for (from, to, code) in [
        // another thread's part of what is spread
        ("S0: acc[ya, xa, ia]", "S0: acc[ya, 3 - xa, ia]", "E1011"),
        ("S2: acc[yc, xc, ic]", "S2: acc[xc, yc, ic]", "E1011"),
        ("acc[floordiv(yd, 2), xd, id]", "acc[mod(yd, 4), xd, id]", "E1011"),
        // threads that it is not spread across, and none at all
        ("across thread.y, thread.x", "across thread.y", "E1011"),
        ("ya in 0..4 thread.y", "ya in 0..4", "E1011"),
        ("across thread.y, thread.x", "across thread.y, thread.y", "E1011"),
        ("across thread.y, thread.x", "across thread.y, block.x", "E1011"),
        ("across thread.y, thread.x", "across thread.y, thread.x, thread.z", "E1011"),
        // two threads write one element of a shared buffer
        ("S1: At[yb, kb]", "S1: At[yb, 0]", "E0812"),
        ("S1: At[yb, kb]", "S1: At[mod(yb, 4), kb]", "E0812"),
        // out of a shared buffer's bounds
        ("local At: i32[8, 4]", "local At: i32[7, 4]", "E0811"),
        // sums that are not the threads' own
        ("local acc: i32[4, 4, 2] across thread.y, thread.x", "local acc: i32[4, 4, 1]", "E0811"),
        // the widest phases decide on the number of threads
        ("yb in 0..8 thread.y", "yb in 0..8 thread.z", ""),
        ("xd in 0..4 thread.x", "xd in 0..129 thread.x", "E1010"),
        // block loops are outermost, thread loops right inside each other
        ("for k0 in 0..floordiv(K + 2, 3) {", "for k0 in 0..floordiv(K + 2, 3) block.z {", "E1008"),
        ("ic in 0..2 unroll", "ic in 0..2 thread.z", "E1011"),
        ("kc in 0..min(3, K - 3 * k0) {", "kc in 0..3 thread.z {", "E1008"),
        // how many threads there are is known before the launch
        ("xa in 0..4 thread.x", "xa in 0..min(4, N) thread.x", "E1009"),
    ] {
        let text = PHASES.replace(from, to);
        assert_ne!(text, PHASES, "{from}");
        let found = codes(&text);
        assert!(found.contains(&code) || code.is_empty() && found.is_empty(), "{to}: {found:?}");
    }
}

#[test]
fn a_buffer_inside_a_thread_loop_is_not_spread() {
    let text = "kernel k() { out B: i32[8] for t in 0..8 thread.x {
        local T: i32[8] across thread.x { S0: T[t]:i32 = 1:i32 order serial
        S1: B[t]:i32 = T[t]:i32 order serial } } }";
    assert_eq!(codes(text), ["E1011"]);
}
