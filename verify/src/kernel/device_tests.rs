//! Tests of block programs: the examples are sealed, one change per rule is refused.

use warploom_ir::kernel::Kernel;

const MMA: &str = include_str!("../../../examples/kernels/gemm_mma.kernel");
const BF16: &str = include_str!("../../../examples/kernels/gemm_wgmma_bf16.kernel");
const CLUSTER: &str = include_str!("../../../examples/kernels/gemm_wgmma_cluster.kernel");
const MULTICAST: &str = include_str!("../../../examples/kernels/gemm_wgmma_multicast.kernel");
const TENSOR: &str = include_str!("../../../examples/kernels/gemm_tcgen05.kernel");
const WGMMA: &str = include_str!("../../../examples/kernels/gemm_wgmma.kernel");

fn codes(text: &str) -> Vec<&'static str> {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    match crate::kernel(kernel) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|d| d.code).collect(),
    }
}

#[test]
fn the_examples_are_sealed() {
    for text in [MMA, WGMMA, BF16, MULTICAST, CLUSTER, TENSOR] {
        let kernel: Kernel = text.parse().unwrap();
        let found = crate::kernel(kernel).err().unwrap_or_default();
        assert!(found.is_empty(), "{}", found[0]);
    }
}

/// A program, a part of it, what stands there instead, and the code of the refusal.
const BROKEN: &[(&str, &str, &str, &str)] = &[
    (WGMMA, "one {\n            for k", "if 1 >= 0 {\n            for k", "E1015"),
    (WGMMA, "for g in 0..2 warps 4", "for g in 0..3 warps 4", "E1012"),
    (WGMMA, "for g in 0..2 warps 4", "for g in 0..4 warps 2", "E1014"),
    (WGMMA, "registers 24", "registers 20", "E1012"),
    (WGMMA, "registers 24", "", "E1012"),
    (WGMMA, "registers 240", "registers 256", "E1012"),
    // 65,536 are all there are, and more than 384 threads start with, 168 for each
    (WGMMA, "registers 24", "registers 32", "E1012"),
    (WGMMA, "bf16[4, 128, 64] panel 128", "bf16[4, 128, 64] panel 96", "E1013"),
    (WGMMA, "bf16[4, 128, 64] panel 128", "bf16[4, 128, 64]", "E1015"),
    (WGMMA, "bf16[4, 256, 64]", "bf16[6, 256, 64]", "E1013"),
    (WGMMA, "count 2", "count 0", "E1013"),
    (WGMMA, "barrier empty", "barrier As", "E1001"),
    (WGMMA, "f32[64, 256] as", "f32[64, 250] as", "E1014"),
    (WGMMA, "f32[64, 256] as", "f32[256, 256] as", "E1014"),
    (WGMMA, "as wgmma.m64n256k16", "as wgmma.m64n260k16", "E1014"),
    (WGMMA, "do wgmma.m64n256k16", "do wgmma.m64n256k32", "E1015"),
    (WGMMA, "16 * kk : 16], Bs", "8 * kk : 16], Bs", "E1015"),
    (WGMMA, "64 * g : 64, 16 * kk", "60 * g : 64, 16 * kk", "E1015"),
    (WGMMA, "64 * g : 64, 16 * kk", "128 * g : 64, 16 * kk", "E0811"),
    (WGMMA, "empty[mod(q + 3, 4)]", "empty[q]", "E0811"),
    (WGMMA, "A[128 * bm : 128, 64 * k : 64]", "A[128 * bm : 64, 64 * k : 64]", "E1015"),
    (WGMMA, "mod(floordiv(q, 4), 2)", "floordiv(q, 4)", "E1015"),
    (WGMMA, "= D[i, j]:f32", "= D[j, i]:f32", "E1014"),
    (WGMMA, "M - 1 >= 128 * bm", "M >= 128 * bm", "E0811"),
    (WGMMA, "S: C[128 * bm + 64 * g + i", "S: C[128 * bm + i", "E0812"),
    (WGMMA, "for i, j across D", "for i, j across E", "E1001"),
    (MMA, "for w in 0..4 warps 1", "for w in 0..4 warps 2", "E1012"),
    (BF16, "S: Cs[g, i, j]", "S: Cs[g, i, j + 1]", "E0811"),
    (BF16, "C[128 * bm + 64 * g : 64", "C[128 * bm : 64", "E0812"),
    (MULTICAST, "r in 0..2 cluster", "r in 0..9 cluster", "E1012"),
    (MULTICAST, "r in 0..2 cluster", "r in 0..0 cluster", "E1012"),
    (MULTICAST, "r in 0..2 cluster", "bm in 0..2 cluster", "E1001"),
    (MULTICAST, "r in 0..2 cluster", "r in 0..4 cluster", "E0811"),
    (MULTICAST, "full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)], cluster[0 : 3]", "E0811"),
    (MULTICAST, "full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)], cluster[0, 0]", "E1015"),
    (MULTICAST, "full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)], As[0 : 2]", "E1015"),
    (MULTICAST, "full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)]", "E1015"),
    (MULTICAST, "empty[mod(q + 3, 4)], cluster[0 : 2]", "empty[0], cluster[q]", "E0811"),
    (MULTICAST, "for r in 0..2 cluster", "if 1 >= 0", "E1001"),
    (MULTICAST, "barrier full", "barrier cluster", "E1001"),
    (MULTICAST, "shared As", "shared cluster", "E1001"),
    (TENSOR, "tensor T: f32[128, 256]", "tensor T: f32[3, 128, 256]", "E1013"),
    (TENSOR, "tensor T: f32[128, 256]", "tensor T: f32[64, 256]", "E1013"),
    (TENSOR, "tensor T: f32[128, 256]", "tensor T: bf16[128, 256]", "E1013"),
    (TENSOR, "tensor T: f32[128, 256]", "tensor T: i32[128, 256]", "E1015"),
    (TENSOR, "tensor T: f32[128, 256]", "tensor As: f32[128, 256]", "E1001"),
    (TENSOR, "tensor T: f32[128, 256]", "tensor T: f32[128, 128]", "E0811"),
    (TENSOR, "T[0 : 128, 0 : 256]", "T[0 : 128, 8 : 256]", "E1015"),
    (TENSOR, "T[0 : 128, 0 : 256]", "T[0 : 64, 0 : 256]", "E1015"),
    (TENSOR, "T[0 : 128, 0 : 256]", "As[0, 0 : 128, 0 : 64]", "E1015"),
    (TENSOR, "T[0 : 128, 32 * c : 32]", "T[0 : 128, 32 * c : 16]", "E1015"),
    (TENSOR, "T[0 : 128, 32 * c : 32]", "T[32 : 128, 32 * c : 32]", "E1015"),
    (TENSOR, "T[0 : 128, 32 * c : 32]", "T[0 : 128, 256 * c : 32]", "E0811"),
    (TENSOR, "as tcgen05.ld.32x32b.x32.d", "as wgmma.m64n32k16.f32.bf16.bf16.d", "E1015"),
    (TENSOR, "as tcgen05.ld.32x32b.x32.d", "as tcgen05.ld.32x32b.x64.d", "E1014"),
    (TENSOR, "as tcgen05.ld.32x32b.x32.d", "as tcgen05.ld.32x32b.x33.d", "E1014"),
    // its first warp would be the block's second, which does not reach the first lanes
    (TENSOR, "role store warps 4 {", "role idle warps 1 { }\nrole store warps 4 {", "E1015"),
    (TENSOR, "role store warps 4 {", "role store warps 8 {", "E1014"),
    (TENSOR, "one {\n            for q", "if 1 >= 0 {\n            for q", "E1015"),
    (TENSOR, "= D[i, j]:f32", "= T[i, j]:f32", "E1014"),
    (TENSOR, "A[128 * bm : 128, 64 * k : 64]", "T[0 : 128, 0 : 64]", "E1015"),
    (TENSOR, "do tcgen05.commit(done[0])", "do tcgen05.commit(done)", "E1015"),
    (TENSOR, "do tcgen05.commit(done[0])", "do tcgen05.commit(done[1])", "E0811"),
    (TENSOR, "do mbarrier.wait(done[0], 0)", "", "E1017"),
    (TENSOR, "do tcgen05.wait.ld()", "do tcgen05.alloc()", "E1015"),
    (WGMMA, "do mbarrier.expect(full[mod(k, 4)], 49152)", "", "E1017"),
    (WGMMA, "do mbarrier.wait(full[mod(q, 4)], mod(floordiv(q, 4), 2))", "", "E1017"),
    (
        WGMMA,
        "one {\n                    do mbarrier.arrive",
        "if q >= 0 {\n do mbarrier.arrive",
        "E1017",
    ),
    (CLUSTER, "E[0 : 64, 64 * s", "E[0 : 32, 64 * s", "E1015"),
    (CLUSTER, "64 * s + 16 * x : 16])", "64 * s + 4 * x : 16])", "E1015"),
    (CLUSTER, "64 * s + 16 * x : 16])", "256 * s + 16 * x : 16])", "E0811"),
    (CLUSTER, "Cs[g, mod(s, 2), 0 : 64, 16 * x : 16]", "Cs[g, 0, 0 : 64, 0 : 32]", "E1015"),
    (CLUSTER, "fragment E: bf16[64, 256]", "fragment E: f16[64, 256]", "E1015"),
    (CLUSTER, "fragment D: f32[64, 256]", "fragment D: i32[64, 256]", "E1015"),
    (CLUSTER, "for t in c..256 step 66", "for t in c..256 step 0", "E1003"),
    (CLUSTER, "128 * r + 64 * g : 64", "64 * g : 64", "E0812"),
    (MULTICAST, "S: C[256 * bm + 128 * r", "S: C[256 * bm", "E0812"),
    (MMA, "for i in 0..4 unroll", "for i in 0..4", "E1015"),
    (MMA, "for kk in 0..2 unroll", "for kk in 0..2000 unroll", "E1016"),
    (WGMMA, "across D {", "across D[0 : 64, 4 : 64] {", "E1016"),
    (WGMMA, "across D {", "across D[0 : 64, 8 * M : 64] {", "E1016"),
    (WGMMA, "across D {", "across D[0 : 32, 0 : 64] {", "E1016"),
    (WGMMA, "across D {", "across D[0 : 64] {", "E1016"),
    (WGMMA, "across D {", "across D[0 : 64, q : 64] {", "E1001"),
    (WGMMA, "across D {", "across D[0 : 64, 224 : 64] {", "E0811"),
    (MMA, "do sync()", "do sync(0)", "E1015"),
    (MMA, "do sync()", "do sing()", "E1015"),
    (MMA, "32 * p : 32]", "4 * p : 32]", "E1015"),
    (MMA, "for kk in 0..2 unroll", "for kk in 0..2 vector", "E1016"),
    (MMA, "Z: D[zi, zj]:f32 = 0.0:f32", "Z: C[zi, zj]:f32 = 0.0:f32", "E0811"),
];

#[test]
fn one_broken_program_per_rule() {
    let mut wrong = Vec::new();
    for &(text, from, to, code) in BROKEN {
        assert!(text.contains(from), "{from}");
        let changed = text.replacen(from, to, 1);
        let found = codes(&changed);
        if !found.contains(&code) {
            wrong.push(format!("`{from}` -> `{to}`: {found:?}, not {code}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Nothing tells when the products are done.
#[test]
fn products_that_nobody_commits_are_refused() {
    let ring = "do tcgen05.commit(empty[mod(q, 4)])";
    let none = TENSOR.replace(ring, "").replace("do tcgen05.commit(done[0])", "");
    assert!(codes(&none).contains(&"E1017"));
}

/// Without the loop over warps every warp would write the same elements.
#[test]
fn what_every_warp_writes_is_a_race() {
    let one = "for v in 0..4 warps 1 {";
    let changed = MMA.replace(one, "if M >= 1 {").replace("floordiv(v, 2)", "0");
    assert!(codes(&changed.replace("mod(v, 2)", "0")).contains(&"E0812"));
}
