//! What kernels are counted to do, and how predictions follow from it.

mod published;
mod validation;

use super::*;

/// Four tiles of 64 x 128 of a product whose sum has 256 terms: two slices of 128 for each.
const PRODUCT: &str = "kernel k() {
  in A: bf16[128, 256]
  in B: bf16[256, 256]
  out C: bf16[128, 256]
  for m in 0..2 block.y {
    for n in 0..2 block.x {
      block {
        shared As: bf16[4, 64, 64] panel 128
        shared Bs: bf16[4, 128, 64] panel 128
        shared Cs: bf16[2, 64, 64] panel 128
        barrier full[4] count 1
        barrier empty[4] count 1
        role load warps 1 { one { for k in 0..4 {
          do mbarrier.wait(empty[mod(k, 4)], mod(floordiv(k, 4) + 1, 2))
          do mbarrier.expect(full[mod(k, 4)], 24576)
          do tma.load(As[mod(k, 4), 0 : 64, 0 : 64], A[64 * m : 64, 64 * k : 64], full[mod(k, 4)])
          do tma.load(Bs[mod(k, 4), 0 : 128, 0 : 64], B[128 * n : 128, 64 * k : 64],
            full[mod(k, 4)])
        } } }
        role multiply warps 4 {
          fragment D: f32[64, 128] as wgmma.m64n128k16.f32.bf16.bf16.d {
            for q in 0..4 {
              do mbarrier.wait(full[mod(q, 4)], mod(floordiv(q, 4), 2))
              for kk in 0..4 unroll {
                do wgmma.m64n128k16.f32.bf16.bf16(D[0 : 64, 0 : 128],
                  As[mod(q, 4), 0 : 64, 16 * kk : 16], Bs[mod(q, 4), 0 : 128, 16 * kk : 16],
                  min(q + kk, 1))
              }
              do wgmma.commit()
              do wgmma.wait(1)
            }
            fragment E: bf16[64, 128] as wgmma.m64n128k16.f32.bf16.bf16.d {
              for i, j across D { S: E[i, j]:bf16 = cast.bf16(D[i, j]:f32) order serial }
              for s in 0..2 unroll {
                do stmatrix(Cs[s, 0 : 64, 0 : 64], E[0 : 64, 64 * s : 64])
                do sync()
                one {
                  do tma.store(C[64 * m : 64, 128 * n + 64 * s : 64], Cs[s, 0 : 64, 0 : 64])
                  do tma.commit()
                }
              }
            }
          }
        }
      }
    }
  }
}";

fn kernel(text: &str) -> Kernel {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn only(text: &str) -> Work {
    let found = works(&kernel(text), &H200).unwrap();
    assert_eq!((found.len(), found[0].0), (1, 1.0));
    found[0].1
}

#[test]
fn a_block_program_is_counted() {
    let w = only(PRODUCT);
    assert_eq!((w.blocks, w.uneven), (4.0, 1.0));
    // 16 instructions of 64 clocks
    assert_eq!(w.tensor, 1024.0);
    // slices come once, and both operands are read by each instruction
    let (slices, operands) = (4.0 * 24576.0, 16.0 * 192.0 * 16.0 * 2.0);
    assert_eq!((w.port, w.shared), (slices, slices + operands));
    assert_eq!(w.cache, 4.0 * (slices + 64.0 * 128.0 * 2.0));
    // every array once: blocks share what they load at the same time
    assert_eq!(w.memory, 2.0 * (128.0 * 256.0 + 256.0 * 256.0 + 128.0 * 256.0));
    // four slices in flight hide three quarters of their arrival
    let ring = Ring { slices: 4.0, bytes: 24576.0, stages: 4.0 };
    assert_eq!(w.main, ring.clocks(&H200));
    assert!(w.epilogue >= 2.0 * H200.fitted.slab, "{w:?}");
    // 24 KiB of slices four times and 16 KiB of results
    assert_eq!(w.resident, 2.0);
}

#[test]
fn fewer_stages_and_short_rows_cost_time() {
    let two = PRODUCT.replace("[4,", "[2,").replace("[4]", "[2]").replace(", 4)", ", 2)");
    let time = |text: &str| predict_kernel(&kernel(text), &H200).unwrap().time;
    assert!(time(&two) > time(PRODUCT) + 1e-6);
    let narrow = PRODUCT.replace("As: bf16[4, 64, 64] panel 128", "As: bf16[4, 64, 64] panel 16");
    assert_eq!(only(&narrow).port, 2.0 * only(PRODUCT).port);
}

#[test]
fn rows_that_begin_inside_lines_of_the_cache_are_more_requests() {
    let m = &H200;
    let cache = |rows: Rows| {
        let mut w = Work::of(1.0, 1.0);
        w.copy(&rows, 1.0, m);
        w.cache
    };
    // 2000 bytes apart rows begin at each multiple of 16: of eight one is in one line, the others
    // in two
    assert_eq!(cache(Rows::apart(8.0, 128.0, 2000.0)), 15.0 * LINE);
    assert_eq!(cache(Rows::apart(8.0, 128.0, 4096.0)), 8.0 * LINE);
    assert_eq!(cache(Rows::aligned(8.0, 32.0)), 8.0 * LINE);
    // the same from a kernel's text: rows of 264 elements instead of 256
    let text = PRODUCT.replace("A: bf16[128, 256]", "A: bf16[128, 264]");
    assert_ne!(text, PRODUCT);
    assert!(only(&text).cache > only(PRODUCT).cache);
    // what is outside an array is not fetched
    let beyond = PRODUCT.replace("A: bf16[128, 256]", "A: bf16[96, 256]");
    let loads = only(PRODUCT).cache - only(&beyond).cache;
    assert!(loads > 0.0, "{loads}");
}

#[test]
fn whole_tiles_leave_while_the_next_one_is_multiplied() {
    let loops = "fragment D: f32[64, 128]";
    let again = PRODUCT.replace(loops, &format!("for t in 0..4 {{ {loops}"));
    let closed = again.trim_end().strip_suffix("}").unwrap().to_owned() + "} }";
    let plain = closed.replace("Cs: bf16[2, 64, 64] panel 128", "Cs: bf16[2, 64, 64]");
    let [panels, plain] = [&closed, &plain].map(|text| only(text));
    assert_eq!(panels.leaving, plain.leaving);
    assert!(panels.epilogue - panels.leaving >= panels.written, "{panels:?}");
    assert!(plain.epilogue < panels.epilogue, "{plain:?} {panels:?}");
}

#[test]
fn blocks_of_a_cluster_load_for_each_other() {
    let loops = "for m in 0..2 block.y {\n    for n in 0..2 block.x {";
    let text = PRODUCT.replace(loops, "for n in 0..2 block.x { for m in 0..2 cluster {");
    assert_ne!(text, PRODUCT);
    let both = text.replace(
        "do tma.load(Bs[mod(k, 4), 0 : 128, 0 : 64], B[128 * n : 128, 64 * k : 64],",
        "do tma.load.multicast(Bs[mod(k, 4), 64 * m : 64, 0 : 64],
         B[128 * n + 64 * m : 64, 64 * k : 64],",
    );
    let both = both.replacen(
        "full[mod(k, 4)])\n        } } }",
        "full[mod(k, 4)], cluster[0 : 2])\n        } } }",
        1,
    );
    let (each, shared) = (only(&text), only(&both));
    assert_eq!((each.blocks, shared.blocks), (4.0, 4.0));
    assert_eq!(each.port, shared.port);
    // half of the columns' operand for each block
    assert_eq!(each.cache - shared.cache, 4.0 * 4.0 * 16384.0 / 2.0);
    assert_eq!(each.memory, shared.memory);
}

#[test]
fn phases_are_counted_by_what_warps_touch() {
    let copy = |index: &str| {
        let text = format!(
            "kernel k() {{ in X: f32[1048576] out Y: f32[1048576]
              for b in 0..4096 block.x {{ for t in 0..256 thread.x {{
                S: Y[256 * b + t]:f32 = X[{index}]:f32 order serial
              }} }} }}"
        );
        only(&text)
    };
    let near = copy("256 * b + t");
    assert_eq!((near.blocks, near.resident), (4096.0, 8.0));
    assert_eq!((near.memory, near.cache), (8.0 * 1048576.0, 8.0 * 1048576.0));
    assert_eq!(near.port, 1024.0);
    let far = copy("mod(4096 * t + b, 1048576)");
    assert_eq!(far.port, 8.0 * near.port);
    let p = predict(&near, &H200);
    assert!(p.time > p.part(Part::Launch) + p.part(Part::Memory), "{p:?}");
}

/// As an emulated product's sums of infinities: code tests the guard once for each element.
#[test]
fn sums_that_a_guard_leaves_out_cost_what_the_guard_reads() {
    let sum = |terms: i64, guard: &str| {
        let text = format!(
            "kernel k() {{ in F: f32[65536] in X: f32[65536, {terms}] inout Y: f32[65536]
              for b in 0..256 block.x {{ for t in 0..256 thread.x {{ for k in 0..{terms} {{
                S: Y[256 * b + t]:f32 += X[256 * b + t, k]:f32 {guard} order serial
              }} }} }} }}"
        );
        only(&text)
    };
    let still = "when ge.bool(F[256 * b + t]:f32, 1.0:f32)";
    let (few, many) = (sum(16, still), sum(4096, still));
    assert_eq!((few.cache, few.memory), (4.0 * 65536.0, 4.0 * 65536.0), "{few:?}");
    assert_eq!((few.cache, few.issue), (many.cache, many.issue), "{many:?}");
    // one that reads along the sum leaves out terms, nobody knows which
    let moving = sum(4096, "when ge.bool(X[256 * b + t, k]:f32, 1.0:f32)");
    assert!(moving.cache > 1000.0 * many.cache, "{moving:?}");
    assert!(sum(4096, "").cache > 1000.0 * many.cache);
}

#[test]
fn vectors_are_fewer_accesses_and_columns_of_shared_memory_take_turns() {
    let text = |wide: &str| {
        format!(
            "kernel k() {{ in X: f32[64, 32, 32] out Y: f32[64, 32, 32]
              for b in 0..64 block.x {{ local T: f32[32, {wide}] {{
                for i in 0..32 thread.y {{ for j in 0..8 thread.x {{ for v in 0..4 unroll {{
                  S: T[i, 4 * j + v]:f32 = X[b, i, 4 * j + v]:f32 order serial
                }} }} }}
                for i2 in 0..32 thread.y {{ for j2 in 0..8 thread.x {{ for v2 in 0..4 unroll {{
                  R: Y[b, i2, 4 * j2 + v2]:f32 = T[4 * j2 + v2, i2]:f32 order serial
                }} }} }}
              }} }} }}"
        )
    };
    let (plain, padded) = (only(&text("32")), only(&text("33")));
    assert!(plain.shared > 2.0 * padded.shared, "{plain:?} {padded:?}");
    assert_eq!(plain.port, 4096.0);
}

#[test]
fn open_sizes_have_no_prediction_and_launches_add_up() {
    let text = "kernel k(N) { out Y: f32[N]
      for i in 0..N block.x { S: Y[i]:f32 = 0.0:f32 order serial } }";
    assert_eq!(predict_kernel(&kernel(text), &H200), None);
    let twice = "kernel k() { out Y: f32[64]
      for t in 0..2 { for i in 0..64 block.x { S: Y[i]:f32 = 0.0:f32 order serial } } }";
    let found = works(&kernel(twice), &H200).unwrap();
    let one = predict(&found[0].1, &H200);
    let all = predict_kernel(&kernel(twice), &H200).unwrap();
    assert!((all.time - 2.0 * one.time).abs() < 1e-12 && all.time >= 2.0 * H200.fitted.launch);
    assert_eq!(all.limit, Part::Launch);
}
