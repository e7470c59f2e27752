//! Tests of the block program's text and of where its buffers lie.

use super::*;
use crate::kernel::Kernel;

const TEXT: &str = "kernel k(M) {
  in A: bf16[M, 64]
  out C: f32[M, 256]
  for b in 0..floordiv(M, 128) block.x {
    block {
      shared S: bf16[3, 128, 64] panel 128
      shared T: f32[4, 5]
      barrier full[3] count 1
      barrier empty[3] count 2
      role load warps 1 registers 24 {
        one {
          for k in 0..7 {
            do mbarrier.wait(empty[mod(k, 3)], mod(floordiv(k, 3) + 1, 2))
            do tma.load(S[mod(k, 3), 0 : 128, 0 : 64], A[128 * b : 128, 0 : 64], full[mod(k, 3)])
          }
        }
      }
      role math warps 8 {
        for g in 0..2 warps 4 {
          fragment D: f32[64, 256] as wgmma.m64n256k16.f32.bf16.bf16.d {
            do wgmma.fence()
            do wgmma.m64n256k16.f32.bf16.bf16(D[0 : 64, 0 : 256], S[0, 64 * g : 64, 0 : 16], \
S[1, 0 : 16, 0 : 256] transposed, 0)
            for i, j across D {
              if M - 1 >= 128 * b + 64 * g + i {
                S: C[128 * b + 64 * g + i, j]:f32 = D[i, j]:f32 order serial
              }
            }
          }
        }
      }
    }
  }
}
";

#[test]
fn the_text_round_trips() {
    let kernel: Kernel = TEXT.parse().unwrap();
    assert_eq!(kernel.to_string(), TEXT);
    let bound = kernel.bind(&[("M".into(), 256)].into());
    assert!(!bound.to_string().contains('M'), "{bound}");
    assert!(bound.to_string().contains("for b in 0..floordiv(256, 128) block.x"));
    let part = TEXT.replace("across D {", "across D[0 : 64, M - 128 : 32] {");
    let part = part.parse::<Kernel>().unwrap();
    assert!(
        part.bind(&[("M".into(), 256)].into()).to_string().contains("D[0 : 64, 256 - 128 : 32] {")
    );
}

/// Indices that threads share out.
#[test]
fn shares_round_trip_and_are_dealt() {
    let text = "kernel k() {
  in A: bf16[128, 60]
  for b in 0..1 block.x {
    block {
      shared S: bf16[128, 64] panel 128
      role fill warps 4 {
        for r, c over 128, 64 by 1, 8 {
          if 59 - c >= 0 {
            F: S[r, c]:bf16 = A[r, c]:bf16 order serial
          } else {
            F: S[r, c]:bf16 = 0.0:bf16 order serial
          }
        }
        for r2 over 128 by 1 {
          F: S[r2, 0]:bf16 = 0.0:bf16 order serial
        }
      }
    }
  }
}
";
    let kernel: Kernel = text.parse().unwrap();
    assert_eq!(kernel.to_string(), text);
    let (vars, body) = (vec!["i".into(), "j".into()], Vec::new());
    let share = Share { vars, extents: vec![4, 6], piece: vec![2, 3], body };
    assert_eq!(share.pieces(), Some(4));
    assert_eq!((share.at(1, 0), share.at(2, 4)), (vec![0, 3], vec![3, 1]));
    let uneven = Share { piece: vec![2, 4], ..share };
    assert_eq!(uneven.pieces(), None);
}

/// Iterations that data choose have parts of their own, in which parameters are bound.
#[test]
fn choices_round_trip() {
    let text = "kernel k(M) {
  in s: i32[M]
  for b in 0..M block.x {
    block {
      barrier full[1] count 1
      role all warps 1 {
        for tile, turn in b..floordiv(M, 2) when lt.bool(index.i32(tile), s[M - 1]:i32) {
          do mbarrier.wait(full[0], mod(turn, 2))
        } last {
          do mbarrier.wait(full[0], mod(turn + 1, 2))
        }
        for tile_2, turn_2 in 0..1 when gt.bool(s[b]:i32, 3:i32) {
          do sync()
        }
      }
    }
  }
}
";
    let kernel: Kernel = text.parse().unwrap();
    assert_eq!(kernel.to_string(), text);
    let bound = kernel.bind(&[("M".into(), 8)].into()).to_string();
    let choice = "in b..floordiv(8, 2) when lt.bool(index.i32(tile), s[8 - 1]:i32) {";
    assert!(bound.contains(choice) && bound.contains("mod(turn + 1, 2)"), "{bound}");
    let without = text.replacen("when lt.bool(index.i32(tile), s[M - 1]:i32) ", "", 1);
    assert!(without.parse::<Kernel>().is_err());
}

/// Loops over the blocks of a cluster belong to the block program.
#[test]
fn clusters_round_trip() {
    let text = "kernel k() {
  out C: f32[64]
  for a in 0..2 cluster {
    for b in 0..4 cluster {
      block {
        shared S: f32[8, 64] panel 128
        barrier full[1] count 1
        role all warps 1 {
          do tma.load.multicast(S[0 : 8, 0 : 32], C[0 : 32], full[0], cluster[a, 0 : 4])
          do mbarrier.arrive.cluster(full[0], cluster[mod(a + 1, 2), b])
        }
      }
    }
  }
}
";
    let kernel: Kernel = text.parse().unwrap();
    assert_eq!(kernel.to_string(), text);
    let [KernelNode::Device(d)] = kernel.body.as_slice() else { panic!("the block") };
    let Device::Block(b) = &**d else { panic!("the block") };
    assert_eq!(b.cluster_size(), Some(8));
    let wrong = [
        ("0..4 cluster", "1..4 cluster", "a loop from 0 to a number"),
        ("0..4 cluster", "0..4", "`cluster`"),
        ("block {", "role {", "`block`"),
    ];
    for (from, to, what) in wrong {
        let error = text.replace(from, to).parse::<Kernel>().unwrap_err();
        assert!(error.message.contains(what), "{}", error.message);
    }
}

#[test]
fn broken_texts_say_what_was_wanted() {
    let wrong = [
        ("count 1", "count x", "arrivals of a phase"),
        ("for g in 0..2 warps", "for g in 1..2 warps", "a loop from 0 to a number"),
        ("role math", "rule math", "`}`"),
        ("across D", "along D", "`across`"),
        ("[64, 256] as", "[64] as", "`,`"),
    ];
    for (from, to, what) in wrong {
        let error = TEXT.replace(from, to).parse::<Kernel>().unwrap_err();
        assert!(error.message.contains(what), "{}", error.message);
    }
}

#[test]
fn buffers_lie_behind_each_other() {
    let kernel: Kernel = TEXT.parse().unwrap();
    let KernelNode::Loop(l) = &kernel.body[0] else { panic!("the loop over blocks") };
    let [KernelNode::Device(d)] = l.body.as_slice() else { panic!("the block") };
    let Device::Block(b) = &**d else { panic!("the block") };
    assert_eq!(b.address("S"), Some(0));
    assert_eq!(b.address("T"), Some(3 * 128 * 128));
    assert_eq!(b.address("full"), Some(3 * 128 * 128 + 1024));
    assert_eq!(b.bytes(), Some(3 * 128 * 128 + 1024 + 48));
    assert_eq!(b.address("nothing"), None);
    assert_eq!(b.warps(), 9);
    assert_eq!(b.shared[0].offset(&[1, 2, 3]), 128 * 128 + 2 * 128 + 6);
    assert_eq!(b.shared[1].offset(&[1, 2]), 28);
}

/// Buffers in tensor memory lie side by side, and their address has a place in shared memory.
#[test]
fn tensor_memory_round_trips() {
    let text = "kernel k() {
  for b in 0..1 block.x {
    block {
      shared S: bf16[128, 64] panel 128
      tensor T: f32[2, 128, 48]
      tensor U: i32[128, 16]
      barrier done[3] count 1
      role all warps 4 {
        one {
          do tcgen05.commit(done[0])
        }
        do tcgen05.fence.before()
        fragment D: f32[128, 16] as tcgen05.ld.32x32b.x16.d {
          do tcgen05.ld.32x32b.x16(D[0 : 128, 0 : 16], T[1, 0 : 128, 32 : 16])
          do tcgen05.wait.ld()
        }
      }
    }
  }
}
";
    let kernel: Kernel = text.parse().unwrap();
    assert_eq!(kernel.to_string(), text);
    let [KernelNode::Loop(l)] = kernel.body.as_slice() else { panic!("a loop") };
    let [KernelNode::Device(d)] = l.body.as_slice() else { panic!("the block") };
    let Device::Block(b) = &**d else { panic!("the block") };
    assert_eq!((b.column("T"), b.column("U"), b.column("S")), (Some(0), Some(96), None));
    assert_eq!((b.column(""), b.columns()), (Some(112), Some(128)));
    assert_eq!(b.tensors[0].place(&[1, 5, 7]), [5, 55]);
    assert_eq!((b.address(""), b.bytes()), (Some(16384 + 24), Some(16384 + 32)));
}
