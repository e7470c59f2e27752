//! Launches of several phases as PTX: barriers, shared memory, and sums in registers.

use warploom_codegen::host;
use warploom_codegen::ptx::{Ptxas, compile, emit_llvm};
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_verify::Verified;

const GPUS: [Target; 3] = [Target::Sm80, Target::Sm90a, Target::Sm100a];

fn sealed(text: &str) -> Verified<Kernel> {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    warploom_verify::kernel(kernel).unwrap_or_else(|e| panic!("{}\n{text}", e[0]))
}

/// The PTX for each GPU, after `ptxas` has assembled it without spills and without a stack.
fn assembled(text: &str) -> Vec<String> {
    let kernel = sealed(text);
    let ptxas = Ptxas::find().expect("ptxas is there: run scripts/setup.sh");
    let go = |target: &Target| {
        let code = compile(&kernel, *target).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let said = ptxas.resources(&code).unwrap_or_else(|e| panic!("{e}\n{}", code.ptx));
        let clean = "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads";
        assert!(said.contains(clean), "{said}\n{}", code.ptx);
        code.ptx
    };
    GPUS.iter().map(go).collect()
}

/// A transposition through a padded tile, where each thread copies four elements.
const TRANSPOSE: &str = "kernel tr(M, N) {
  in A: f32[M, N]
  out B: f32[N, M]
  for m0 in 0..floordiv(M + 31, 32) block.y {
    for n0 in 0..floordiv(N + 31, 32) block.x {
      local T: f32[32, 33] {
        for ya in 0..8 thread.y {
          for xa in 0..32 thread.x {
            for ra in 0..4 unroll {
              if all(M - 1 >= 32 * m0 + 8 * ra + ya, N - 1 >= 32 * n0 + xa) {
                S0: T[8 * ra + ya, xa]:f32 = A[32 * m0 + 8 * ra + ya, 32 * n0 + xa]:f32 order serial
              }
            }
          }
        }
        for yb in 0..8 thread.y {
          for xb in 0..32 thread.x {
            for rb in 0..4 unroll {
              if all(N - 1 >= 32 * n0 + 8 * rb + yb, M - 1 >= 32 * m0 + xb) {
                S1: B[32 * n0 + 8 * rb + yb, 32 * m0 + xb]:f32 = T[xb, 8 * rb + yb]:f32 order serial
              }
            }
          }
        }
      }
    }
  }
}";

/// A product whose tiles are shared and whose sums are the threads' own.
const PRODUCT: &str = "kernel mm(K) {
  in A: f32[64, K]
  in B: f32[K, 64]
  out C: f32[64, 64]
  for m0 in 0..4 block.y {
    for n0 in 0..4 block.x {
      local acc: f32[8, 8, 2, 2] across thread.y, thread.x {
        for ya in 0..8 thread.y { for xa in 0..8 thread.x {
          for ia in 0..2 unroll { for ja in 0..2 unroll {
            S0: acc[ya, xa, ia, ja]:f32 = 0.0:f32 order serial
          } }
        } }
        for k0 in 0..floordiv(K, 8) {
          local At: f32[8, 16] {
            local Bt: f32[8, 16] {
              for yb in 0..8 thread.y { for xb in 0..8 thread.x {
                for ib in 0..2 unroll {
                  S1: At[xb, yb + 8 * ib]:f32 =
                    A[16 * m0 + yb + 8 * ib, 8 * k0 + xb]:f32 order serial
                }
              } }
              for yc in 0..8 thread.y { for xc in 0..8 thread.x {
                for ic in 0..2 unroll {
                  S2: Bt[yc, xc + 8 * ic]:f32 =
                    B[8 * k0 + yc, 16 * n0 + xc + 8 * ic]:f32 order serial
                }
              } }
              for yd in 0..8 thread.y { for xd in 0..8 thread.x {
                for kd in 0..8 { for id in 0..2 unroll { for jd in 0..2 unroll {
                  S3: acc[yd, xd, id, jd]:f32 +=
                    mul.f32(At[kd, 2 * yd + id]:f32, Bt[kd, 2 * xd + jd]:f32) order fixed
                } } }
              } }
            }
          }
        }
        for ye in 0..8 thread.y { for xe in 0..8 thread.x {
          for ie in 0..2 unroll { for je in 0..2 unroll {
            S4: C[16 * m0 + 2 * ye + ie, 16 * n0 + 2 * xe + je]:f32 =
              acc[ye, xe, ie, je]:f32 order serial
          } }
        } }
      }
    }
  }
}";

#[test]
fn threads_meet_between_the_two_halves_of_a_transposition() {
    for ptx in assembled(TRANSPOSE) {
        assert_eq!(ptx.matches("bar.sync").count(), 1, "{ptx}");
        let (before, after) = ptx.split_once("bar.sync").unwrap();
        assert!(before.contains("st.shared") && !before.contains("ld.shared"), "{ptx}");
        assert!(after.contains("ld.shared") && after.contains("st.global"), "{ptx}");
    }
    let code = compile(&sealed(TRANSPOSE), Target::Sm90a).unwrap();
    assert_eq!((code.launches()[0].block, code.launches()[0].shared_bytes), ([32, 8, 1], 4224));
}

#[test]
fn sums_stay_in_registers_across_barriers() {
    for ptx in assembled(PRODUCT) {
        // one before the tiles are read, one before they are filled again
        assert_eq!(ptx.matches("bar.sync").count(), 2, "{ptx}");
        assert!(!ptx.contains(".local"), "{ptx}");
        assert!(ptx.contains("ld.shared.v2"), "neighbours are loaded together:\n{ptx}");
        assert!(ptx.contains("fma.rn.f32"), "{ptx}");
    }
}

#[test]
fn a_narrow_phase_and_a_single_store_run_on_some_threads() {
    let text = "kernel narrow() {
      in A: f32[64]
      out B: f32[2]
      for b in 0..2 block.x {
        local T: f32[64] {
          for t in 0..64 thread.x { S0: T[t]:f32 = A[t]:f32 order serial }
          for u in 0..32 thread.x { S1: T[u]:f32 += T[u + 32]:f32 order serial }
          S2: B[b]:f32 = T[0]:f32 order serial
          for v in 0..32 { S3: B[b]:f32 += T[v]:f32 order serial }
        }
      }
    }";
    let code = compile(&sealed(text), Target::Sm90a).unwrap();
    assert_eq!(code.launches()[0].block, [64, 1, 1]);
    for ptx in assembled(text) {
        assert!(ptx.contains("bar.sync"), "{ptx}");
        assert!(ptx.contains("setp"), "{ptx}");
    }
    // what is written in a launch with barriers may change at each of them
    let llvm = emit_llvm(&sealed(text), Target::Sm90a).unwrap();
    assert!(llvm.contains("ptr addrspace(1) align 16 %b1"), "{llvm}");
    assert!(llvm.contains("ptr addrspace(1) noalias readonly align 16 %b0"), "{llvm}");
}

#[test]
fn shared_memory_is_limited_by_the_target() {
    let text = TRANSPOSE.replace("f32[32, 33]", "f32[1290, 33]");
    let kernel = sealed(&text);
    let refused = compile(&kernel, Target::Sm80).unwrap_err();
    assert_eq!(refused.code, "E1204", "{refused}");
    let code = compile(&kernel, Target::Sm90a).unwrap();
    assert_eq!(code.launches()[0].shared_bytes, 170_304);
}

#[test]
fn a_processor_runs_the_same_phases() {
    for text in [TRANSPOSE, PRODUCT] {
        host::compile(&sealed(text), &host::HostOptions::default()).unwrap();
    }
}
