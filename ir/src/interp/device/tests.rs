//! Tests of block programs: two whole products against sums in f64, and what goes wrong when one
//! barrier, fence, wait, parity, byte count or bound is removed or changed.

use std::collections::BTreeMap;

use crate::affine::Name;
use crate::diag::Result;
use crate::dtype::DType;
use crate::interp::kernel::run;
use crate::kernel::Kernel;
use crate::tensor::Tensor;

const MMA: &str = include_str!("../../../../examples/kernels/gemm_mma.kernel");
const BF16: &str = include_str!("../../../../examples/kernels/gemm_wgmma_bf16.kernel");
const MULTICAST: &str = include_str!("../../../../examples/kernels/gemm_wgmma_multicast.kernel");
const TENSOR: &str = include_str!("../../../../examples/kernels/gemm_tcgen05.kernel");
const WGMMA: &str = include_str!("../../../../examples/kernels/gemm_wgmma.kernel");

/// Smaller tiles of the same program, so that many runs take little time.
fn small(text: &str) -> String {
    text.replace("wgmma.m64n256k16", "wgmma.m64n8k16")
        .replace("0 : 256", "0 : 8")
        .replace("256 * bn : 256", "8 * bn : 8")
        .replace("[4, 256, 64]", "[4, 8, 64]")
        .replace("N + 255, 256", "N + 7, 8")
        .replace("256 * bn", "8 * bn")
        .replace("[64, 256]", "[64, 8]")
        .replace("49152", "17408")
}

/// The same where the threads of the loading warps copy, piece by piece and asynchronously.
fn small_async() -> String {
    let mut text = small(WGMMA).replace(
        "          one {\n            for k in",
        "          for l in 0..1 warps 4 {\n            for k in",
    );
    let expect = "              do mbarrier.expect(full[mod(k, 4)], 17408)\n";
    assert!(text.contains(expect) && text.contains("for l in"), "{text}");
    text = text.replace(expect, "").replace("tma.load", "cp.async.16");
    let end = ", full[mod(k, 4)])\n";
    let last = text.rfind(end).expect("there are loads");
    let (before, after) = text.split_at(last);
    let arrive = ")\n              do cp.async.arrive(full[mod(k, 4)])\n";
    text = format!("{}{arrive}{}", before.replace(end, ")\n"), &after[end.len()..]);
    let fenced = "do fence.async()\n                do wgmma.fence()";
    // each warp says itself that it has done with a slot that threads write
    let release =
        "one {\n                    do mbarrier.arrive(empty[mod(q + 3, 4)])\n                  }";
    assert!(text.contains(release), "{text}");
    text.replace("do wgmma.fence()", fenced)
        .replace(release, &format!("for w in 0..4 warps 1 {{\n{release}\n}}"))
        .replace("full[4] count 1", "full[4] count 128")
        .replace("empty[4] count 2", "empty[4] count 8")
}

/// Tiles of 16 columns, of which each block of a pair loads 8.
fn small_pairs() -> String {
    MULTICAST
        .replace("wgmma.m64n256k16", "wgmma.m64n16k16")
        .replace("Bs[mod(k, 4), 128 * r : 128", "Bs[mod(k, 4), 8 * r : 8")
        .replace("B[256 * bn + 128 * r : 128", "B[16 * bn + 8 * r : 8")
        .replace("0 : 256", "0 : 16")
        .replace("[4, 256, 64]", "[4, 16, 64]")
        .replace("N + 255, 256", "N + 15, 16")
        .replace("256 * bn", "16 * bn")
        .replace("[64, 256]", "[64, 16]")
        .replace("49152", "18432")
}

/// Tiles of 16 columns in tensor memory.
fn small_tensor() -> String {
    TENSOR
        .replace("tcgen05.mma.m128n256k16", "tcgen05.mma.m128n16k16")
        .replace("0 : 256", "0 : 16")
        .replace("256 * bn : 256", "16 * bn : 16")
        .replace("[4, 256, 64]", "[4, 16, 64]")
        .replace("N + 255, 256", "N + 15, 16")
        .replace("256 * bn", "16 * bn")
        .replace("[128, 256]", "[128, 16]")
        .replace("49152", "18432")
        .replace("for c in 0..8", "for c in 0..1")
        .replace("x32(", "x16(")
        .replace("x32.d", "x16.d")
        .replace("[128, 32] as", "[128, 16] as")
        .replace("D[0 : 128, 0 : 32]", "D[0 : 128, 0 : 16]")
        .replace("32 * c : 32", "16 * c : 16")
        .replace("32 * c + j", "16 * c + j")
}

fn inputs(m: usize, n: usize, k: usize) -> BTreeMap<Name, Tensor> {
    let of = |rows, seed| Tensor::random(DType::Bf16, &[rows, k], seed).unwrap();
    BTreeMap::from([("A".into(), of(m, 1)), ("B".into(), of(n, 2))])
}

fn product(text: &str, m: usize, n: usize, k: usize) -> Result<Tensor> {
    let kernel: Kernel = text.parse()?;
    let size = |v: usize| i64::try_from(v).unwrap();
    let sizes = [("M", m), ("N", n), ("K", k)].map(|(name, v)| (name.into(), size(v)));
    let mut out = run(&kernel, &BTreeMap::from(sizes), &inputs(m, n, k))?;
    Ok(out.remove("C").unwrap())
}

fn check(text: &str, m: usize, n: usize, k: usize) {
    let c = product(text, m, n, k).unwrap_or_else(|e| panic!("{e}"));
    let inputs = inputs(m, n, k);
    let at = |name: &str, i: usize| inputs[name].get_flat(i).to_f64();
    for i in 0..m {
        for j in 0..n {
            let pairs = (0..k).map(|l| at("A", i * k + l) * at("B", j * k + l));
            let (sum, size) = pairs.fold((0.0, 0.0), |(s, t), p| (s + p, t + p.abs()));
            let found = c.get_flat(i * n + j).to_f64();
            // the adders truncate at 2^-24 of the largest addend
            let rounding = if c.dtype() == DType::Bf16 { sum.abs() / 256.0 } else { 0.0 };
            let bound = 1e-5 * size + rounding;
            assert!((found - sum).abs() <= bound, "[{i}, {j}]: {found} and {sum}");
        }
    }
}

#[test]
fn products_by_warps_are_right() {
    check(MMA, 70, 140, 72);
}

#[test]
fn products_by_warpgroups_are_right() {
    check(WGMMA, 130, 24, 136);
    check(&small(WGMMA), 70, 20, 520);
    check(BF16, 130, 24, 72);
    check(MULTICAST, 140, 24, 72);
    check(&small_pairs(), 270, 20, 520);
}

/// PTX ISA 8.8, 9.7.16.10.5, data path layout D (128 rows of one block: row `i` in lane `i`), and
/// 9.7.16.2.3.1.1 (what `.32x32b` loads).
#[test]
fn products_in_tensor_memory_are_right() {
    check(TENSOR, 130, 24, 72);
    check(&small_tensor(), 70, 20, 520);
}

/// PTX ISA 8.8, 9.7.16.6 (what is ordered by itself, and what `tcgen05.commit`, `tcgen05.wait` and
/// `tcgen05.fence` order), 9.7.16.10 (an instruction's operands and who issues it).
#[test]
fn programs_in_tensor_memory_that_are_wrong_are_noticed() {
    let cases = [
        ("do mbarrier.wait(empty[mod(k, 4)], mod(floordiv(k, 4) + 1, 2))", "", "E0521 E0522"),
        ("do mbarrier.wait(full[mod(q, 4)], mod(floordiv(q, 4), 2))", "", UNORDERED),
        ("mod(floordiv(q, 4), 2)", "mod(floordiv(q, 4) + 1, 2)", UNORDERED),
        ("do mbarrier.wait(done[0], 0)", "", UNORDERED),
        // the results' fence, then that of the thread that multiplies
        ("do tcgen05.fence.after()", "", "E0522"),
        ("do tcgen05.fence.after()\n              for kk", "for kk", "E0522"),
        ("do tcgen05.wait.ld()", "", "E0522 E0525"),
        ("do tcgen05.commit(empty[mod(q, 4)])", "", "E0523"),
        ("do tcgen05.commit(done[0])", "", "E0523"),
        (
            "do tcgen05.commit(done[0])",
            "do tcgen05.commit(done[0])\n do tcgen05.commit(done[0])",
            "E0525",
        ),
        ("empty[4] count 1", "empty[4] count 2", "E0523"),
        ("min(q + kk, 1)", "1", "E0516"),
        ("in 0..4 unroll", "in 0..5 unroll", "E0515"),
        ("T[0 : 128, 0 : 16], As", "T[0 : 128, 16 : 16], As", "E0515"),
        ("tensor T: f32[128, 16]", "tensor T: i32[128, 16]", "E0521"),
        ("tensor T: f32[128, 16]", "tensor T: f32[64, 16]", "E0521"),
        ("tensor T: f32[128, 16]", "tensor T: f32[128, 528]", "E0521"),
        ("T[0 : 128, 16 * c : 16]", "T[0 : 64, 16 * c : 16]", "E0521"),
        ("role store warps 4 {", "role idle warps 1 { }\n role store warps 4 {", "E0521"),
        ("one {\n            for q", "if 1 >= 0 {\n            for q", "E0521"),
    ];
    all_noticed(&small_tensor(), &cases);
}

/// A second product into the same columns is ordered after the loads by the fences of both sides
/// (PTX ISA 8.8, 9.7.16.6, `tcgen05.fence`).
#[test]
fn tensor_memory_is_written_again_after_its_loads() {
    let text = small_tensor()
        .replace("done[1] count 1", "done[1] count 1\nbarrier free[1] count 128")
        .replace("role store warps 4 {", "role store warps 4 {\nfor t in 0..2 {")
        .replace("do mbarrier.wait(done[0], 0)", "do mbarrier.wait(done[0], mod(t, 2))")
        .replace("        role load", "role load")
        .replace(
            "}\nrole load warps 1 {\n          one {\n            \
             for k in 0..floordiv(K + 63, 64) {",
            "do tcgen05.fence.before()\ndo mbarrier.arrive(free[0])\n}\n}\n\
             role load warps 1 {\none {\nfor k in 0..2 * floordiv(K + 63, 64) {",
        )
        .replace("64 * k : 64", "64 * mod(k, 2) : 64")
        .replace(
            "for q in 0..floordiv(K + 63, 64) {",
            "for u in 0..2 {\ndo mbarrier.wait(free[0], mod(u + 1, 2))\nfor p in 0..2 {",
        )
        .replace("(q, 4)", "(2 * u + p, 4)")
        .replace("min(q + kk, 1)", "min(p + kk, 1)")
        .replace("do tcgen05.commit(done[0])", "do tcgen05.commit(done[0])\n}");
    let right = product(&text, 70, 16, 128).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let once = product(&small_tensor(), 70, 16, 128).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(right, once);
    for gone in [
        "do tcgen05.fence.before()",
        "do mbarrier.wait(free[0], mod(u + 1, 2))",
        "do mbarrier.wait(done[0], mod(t, 2))",
        "do tcgen05.wait.ld()",
    ] {
        let changed = text.replacen(gone, "", 1);
        let found = product(&changed, 70, 16, 128).map_or_else(|d| d.code, |_| "nothing");
        assert!("E0522 E0523 E0521 E0516 E0525".contains(found), "{gone}: {found}");
    }
}

/// Operands that lie transposed, and every panel.
#[test]
fn transposed_operands_are_right() {
    for panel in [16, 32, 64, 128] {
        let text = format!(
            "kernel t() {{
              in A: f16[64, 64]
              in B: f16[64, 64]
              out C: f32[64, 64]
              for b in 0..1 block.x {{ block {{
                shared As: f16[64, 64] panel {panel}
                shared Bs: f16[64, 64] panel {panel}
                barrier full[1] count 1
                role all warps 4 {{
                  one {{
                    do mbarrier.expect(full[0], 16384)
                    do tma.load(As[0 : 64, 0 : 64], A[0 : 64, 0 : 64], full[0])
                    do tma.load(Bs[0 : 64, 0 : 64], B[0 : 64, 0 : 64], full[0])
                  }}
                  fragment D: f32[64, 64] as wgmma.m64n64k16.f32.f16.f16.d {{
                    do mbarrier.wait(full[0], 0)
                    do wgmma.fence()
                    for k in 0..4 {{
                      do wgmma.m64n64k16.f32.f16.f16(D[0 : 64, 0 : 64],
                        As[16 * k : 16, 0 : 64] transposed, Bs[16 * k : 16, 0 : 64] transposed, k)
                    }}
                    do wgmma.commit()
                    do wgmma.wait(0)
                    for i, j across D {{ S: C[i, j]:f32 = D[i, j]:f32 order serial }}
                  }}
                }}
              }} }}
            }}"
        );
        let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let of = |seed| Tensor::random(DType::F16, &[64, 64], seed).unwrap();
        let (a, b) = (of(1), of(2));
        let inputs = BTreeMap::from([("A".into(), a.clone()), ("B".into(), b.clone())]);
        let c = run(&kernel, &BTreeMap::new(), &inputs).unwrap_or_else(|e| panic!("{panel}: {e}"));
        for i in 0..64 {
            for j in 0..64 {
                let term =
                    |k: usize| a.get_flat(64 * k + i).to_f64() * b.get_flat(64 * k + j).to_f64();
                let sum: f64 = (0..64).map(term).sum();
                let found = c["C"].get_flat(64 * i + j).to_f64();
                assert!((found - sum).abs() < 1e-4, "{panel} [{i}, {j}]: {found} and {sum}");
            }
        }
    }
}

/// A race, or an element that has no value yet: which is found first depends on the run.
const UNORDERED: &str = "E0522 E0516";

/// The error of a changed program; its first line names the change.
fn broken(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    let changed = text.replacen(from, to, 1);
    match product(&changed, 70, 16, 520) {
        Ok(_) => "not noticed".to_owned(),
        Err(d) => d.code.to_owned(),
    }
}

fn all_noticed(text: &str, cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (from, to, codes) in cases {
        let found = broken(text, from, to);
        if !codes.contains(&found) {
            wrong.push(format!("`{from}` -> `{to}`: {found}, not {codes}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn warpgroup_programs_that_are_wrong_are_noticed() {
    let text = small(WGMMA);
    let cases = [
        ("do mbarrier.wait(empty[mod(k, 4)], mod(floordiv(k, 4) + 1, 2))", "", "E0521 E0522"),
        ("mod(floordiv(k, 4) + 1, 2)", "mod(floordiv(k, 4), 2)", "E0523"),
        ("do mbarrier.wait(full[mod(q, 4)], mod(floordiv(q, 4), 2))", "", UNORDERED),
        ("mod(floordiv(q, 4), 2)", "mod(floordiv(q, 4) + 1, 2)", UNORDERED),
        ("17408", "17392", "E0523"),
        ("17408", "34816", "E0523"),
        ("empty[4] count 2", "empty[4] count 1", "E0522 E0523"),
        ("empty[4] count 2", "empty[4] count 3", "E0523"),
        ("do wgmma.fence()", "", "E0521"),
        ("do wgmma.commit()", "", "E0522 E0525 E0516"),
        ("do wgmma.wait(1)", "", UNORDERED),
        ("do wgmma.wait(0)", "", UNORDERED),
        ("empty[mod(q + 3, 4)]", "empty[mod(q, 4)]", "E0522 E0523"),
        ("if q >= 1", "if q >= 2", "E0523"),
        ("k in 0..floordiv(K + 63, 64)", "k in 0..floordiv(K + 127, 64)", "E0525"),
        ("min(q + kk, 1)", "1", "E0516"),
        ("64 * g : 64, 16 * kk", "128 * g : 64, 16 * kk", "E0515"),
        ("in 0..4 unroll", "in 0..5 unroll", "E0515"),
    ];
    all_noticed(&text, &cases);
}

/// What goes wrong between the blocks of a cluster.
#[test]
fn clusters_that_are_wrong_are_noticed() {
    let wait = "do mbarrier.wait(empty[mod(k, 4)], mod(floordiv(k, 4) + 1, 2))";
    let release = "empty[mod(q + 3, 4)], cluster[0 : 2]";
    let cases = [
        (wait, "", "E0521 E0522"),
        ("full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)], cluster[r]", "E0523"),
        ("full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)], cluster[1 : 2]", "E0515"),
        ("full[mod(k, 4)], cluster[0 : 2]", "full[mod(k, 4)], cluster[1 - r]", "E0523"),
        (release, "empty[mod(q + 3, 4)], cluster[r]", "E0523"),
        (release, "empty[mod(q + 3, 4)], cluster[0]", "E0521 E0523"),
        ("empty[4] count 4", "empty[4] count 2", "E0521 E0522 E0523"),
        ("empty[4] count 4", "empty[4] count 3", "E0521 E0522 E0523"),
        ("18432", "17408", "E0516 E0522 E0523"),
        ("Bs[mod(k, 4), 8 * r : 8", "Bs[mod(k, 4), 0 : 8", UNORDERED),
        ("if q >= 1", "if q >= 2", "E0523"),
        ("r in 0..2 cluster", "r in 0..1 cluster", "E0515"),
        ("r in 0..2 cluster", "r in 0..9 cluster", "E0521"),
    ];
    all_noticed(&small_pairs(), &cases);
    // a slot is free for this block's own consumers only
    let own = small_pairs()
        .replace("count 4", "count 2")
        .replace(release, "empty[mod(q + 3, 4)], cluster[r]");
    let found = broken(&own, "kernel", "kernel");
    assert!("E0522".contains(&*found), "{found}");
}

#[test]
fn warp_programs_that_are_wrong_are_noticed() {
    let cases = [
        ("do cp.async.wait(1)", "", "E0516"),
        ("do cp.async.wait(1)", "do cp.async.wait(2)", "E0516"),
        ("do sync()", "", UNORDERED),
        ("for p in 0..2 unroll", "for p in 0..1 unroll", "E0516"),
        ("As[mod(k + 2, 3)", "As[mod(k + 1, 3)", UNORDERED),
        ("do cp.async.wait(0)", "", "E0525"),
        ("0.0:f32 order serial", "0.0:f32 when false:bool order serial", "E0516"),
    ];
    all_noticed(MMA, &cases);
}

#[test]
fn asynchronous_copies_that_are_wrong_are_noticed() {
    let cases = [
        ("do fence.async()", "", "E0522"),
        ("do cp.async.arrive(full[mod(k, 4)])", "", "E0523"),
        ("do cp.async.arrive(full[mod(k, 4)])", "do mbarrier.arrive(full[mod(k, 4)])", "E0516"),
        ("full[4] count 128", "full[4] count 127", "E0521"),
        ("full[4] count 128", "full[4] count 96", "E0516 E0521 E0522"),
    ];
    all_noticed(&small_async(), &cases);
}

#[test]
fn products_through_shared_memory_that_are_wrong_are_noticed() {
    let cases = [
        ("do fence.async()", "", "E0522"),
        ("do sync()", "", UNORDERED),
        ("do tma.wait.read(0)", "", "E0525"),
        ("do tma.commit()", "", "E0525"),
        ("Cs[g, 0 : 64, 0 : 256]", "Cs[1 - g, 0 : 64, 0 : 256]", UNORDERED),
    ];
    all_noticed(BF16, &cases);
}

/// Without any one of its calls a program is refused, or computes something else.
#[test]
fn every_call_is_needed() {
    for text in [small(WGMMA), small_async(), small_pairs(), small_tensor(), MMA.to_owned()] {
        let right = product(&text, 70, 12, 520).unwrap_or_else(|e| panic!("{e}"));
        let lines: Vec<&str> = text.lines().collect();
        let calls = (0..lines.len()).filter(|i| lines[*i].trim_start().starts_with("do "));
        let mut survivors = Vec::new();
        for call in calls {
            let rest = lines.iter().enumerate().filter(|(i, _)| *i != call);
            let changed: Vec<&str> = rest.map(|(_, line)| *line).collect();
            if product(&changed.join("\n"), 70, 12, 520).is_ok_and(|c| c == right) {
                survivors.push(lines[call].trim());
            }
        }
        assert!(survivors.is_empty(), "{survivors:?}");
    }
}
