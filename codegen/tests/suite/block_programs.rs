//! Block programs as PTX: `ptxas` assembles them without spills and without any word about
//! asynchronous instructions that it had to make wait.

use warploom_codegen::ptx::{Ptxas, compile, emit_llvm};
use warploom_ir::abi::GpuCode;
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_verify::Verified;

const MMA: &str = include_str!("../../../examples/kernels/gemm_mma.kernel");
const BF16: &str = include_str!("../../../examples/kernels/gemm_wgmma_bf16.kernel");
const CLUSTER: &str = include_str!("../../../examples/kernels/gemm_wgmma_cluster.kernel");
const MULTICAST: &str = include_str!("../../../examples/kernels/gemm_wgmma_multicast.kernel");
const TENSOR: &str = include_str!("../../../examples/kernels/gemm_tcgen05.kernel");
const WGMMA: &str = include_str!("../../../examples/kernels/gemm_wgmma.kernel");

fn sealed(text: &str) -> Verified<Kernel> {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    warploom_verify::kernel(kernel).unwrap_or_else(|e| panic!("{}\n{text}", e[0]))
}

/// The code, and what `ptxas` says of it.
fn assembled(text: &str, target: Target) -> (GpuCode, String) {
    let code = compile(&sealed(text), target).unwrap_or_else(|e| panic!("{e}"));
    let ptxas = Ptxas::find().expect("ptxas is there: run scripts/setup.sh");
    let said = ptxas.resources(&code).unwrap_or_else(|e| panic!("{e}\n{}", code.ptx));
    assert!(!said.contains("C75"), "{said}");
    assert!(said.contains("0 bytes spill stores, 0 bytes spill loads"), "{said}");
    assert!(said.contains("0 bytes stack frame"), "{said}");
    (code, said)
}

#[test]
fn a_product_on_warpgroups_assembles() {
    let (code, said) = assembled(WGMMA, Target::Sm90a);
    let ptx = code.ptx.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in [
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16",
        "cp.async.bulk.tensor.2d.shared::cluster.global",
        "setmaxnreg.inc.sync.aligned.u32 240",
        "setmaxnreg.dec.sync.aligned.u32 24",
        "mbarrier.try_wait.parity",
    ] {
        assert!(ptx.contains(text), "no {text}:\n{ptx}");
    }
    assert_eq!(ptx.matches("wgmma.mma_async").count(), 4, "{ptx}");
    let launch = code.launches()[0];
    assert_eq!(launch.block, [384, 1, 1]);
    assert_eq!(launch.shared_bytes, 4 * 49152 + 64);
    let boxes: Vec<_> = launch.maps.iter().map(|m| (m.buffer, m.extents.clone())).collect();
    assert_eq!(boxes, [(0, vec![128, 64]), (1, vec![256, 64])]);
    assert!(said.contains("Used 168 registers"), "{said}");
}

/// Sums in tensor memory: the block's first warp allocates and frees, one thread multiplies.
#[test]
fn a_product_in_tensor_memory_assembles() {
    let (code, _) = assembled(TENSOR, Target::Sm100a);
    let ptx = code.ptx.split_whitespace().collect::<Vec<_>>().join(" ");
    for (text, count) in [
        ("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32", 1),
        ("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned", 1),
        ("tcgen05.dealloc.cta_group::1.sync.aligned.b32", 1),
        ("tcgen05.mma.cta_group::1.kind::f16", 4),
        ("tcgen05.commit.cta_group::1", 2),
        ("tcgen05.ld.sync.aligned.32x32b.x32.b32", 1),
        ("tcgen05.wait::ld.sync.aligned", 1),
    ] {
        assert_eq!(ptx.matches(text).count(), count, "{text}:\n{ptx}");
    }
    // idesc of 128 x 256 in bf16 with f32 sums
    assert!(ptx.contains(&0x0840_0490.to_string()), "{ptx}");
    let launch = code.launches()[0];
    assert_eq!(launch.block, [192, 1, 1]);
    assert_eq!(launch.shared_bytes, 4 * 49152 + 8 * 9 + 8);
    let error = compile(&sealed(TENSOR), Target::Sm90a).expect_err("no tensor memory");
    assert_eq!(error.code, "E1205");
}

/// Blocks of a cluster: the grid is a multiple, loads go to both, arrivals too.
#[test]
fn a_product_in_clusters_assembles() {
    let (code, said) = assembled(MULTICAST, Target::Sm90a);
    for text in [
        ".reqnctapercluster 2",
        ".mbarrier::complete_tx::bytes.multicast::cluster",
        "mapa.shared::cluster",
        // of scope cta, which is what is meant where nothing is said
        "mbarrier.arrive.shared::cluster.b64",
        "barrier.cluster.arrive.relaxed.aligned",
        "barrier.cluster.wait.aligned",
    ] {
        assert!(code.ptx.contains(text), "no {text}:\n{}", code.ptx);
    }
    let launch = code.launches()[0];
    assert_eq!(launch.cluster, 2);
    let sizes = [("M", 300), ("N", 257), ("K", 8)];
    let value = |name: &str| sizes.iter().find(|s| s.0 == name).map(|s| s.1);
    let grid: Vec<_> = launch.grid.iter().map(|g| g.eval(&value)).collect();
    assert_eq!(grid, [Some(4), Some(2), Some(1)]);
    let boxes: Vec<_> = launch.maps.iter().map(|m| (m.buffer, m.extents.clone())).collect();
    assert_eq!(boxes, [(0, vec![128, 64]), (1, vec![128, 64])]);
    assert!(said.contains("Used 168 registers"), "{said}");
}

/// Blocks that stay, whose results leave by `stmatrix` and boxes: conversions are instructions.
#[test]
fn a_persistent_product_assembles() {
    let (code, said) = assembled(CLUSTER, Target::Sm90a);
    for (text, times) in [
        ("stmatrix.sync.aligned.m8n8.x4.shared.b16", 16),
        ("cvt.rn.bf16x2.f32", 64),
        ("cp.async.bulk.tensor.2d.global.shared::cta", 4),
        ("cp.async.bulk.wait_group.read", 5),
        ("wgmma.mma_async", 4),
        ("st.shared", 0),
    ] {
        assert_eq!(code.ptx.matches(text).count(), times, "{text}:\n{}", code.ptx);
    }
    let launch = code.launches()[0];
    assert_eq!((launch.cluster, launch.shared_bytes), (2, 4 * 49152 + 4 * 8192 + 64));
    assert!(said.contains("Used 168 registers"), "{said}");
}

/// Four blocks in two rows and two columns, each of which loads for its row or column.
#[test]
fn sets_of_blocks_are_masks() {
    let text = "kernel k() {
      in A: f32[8, 32]
      out C: f32[2]
      for a in 0..2 cluster { for b in 0..2 cluster { block {
        shared S: f32[2, 8, 32] panel 128
        barrier full[1] count 2
        role all warps 1 { one {
          do mbarrier.expect(full[0], 2048)
          do tma.load.multicast(S[0, 0 : 8, 0 : 32], A[0 : 8, 0 : 32], full[0], cluster[a, 0 : 2])
          do tma.load.multicast(S[1, 0 : 8, 0 : 32], A[0 : 8, 0 : 32], full[0], cluster[0 : 2, b])
          do mbarrier.arrive.cluster(full[0], cluster[1 - a, 0])
          do mbarrier.wait(full[0], 0)
        } }
      } } }
    }";
    let llvm = emit_llvm(&sealed(text), Target::Sm90a).unwrap_or_else(|e| panic!("{e}"));
    assert!(llvm.contains("shl i32 3, "), "a row of blocks:\n{llvm}");
    assert!(llvm.contains("shl i32 5, "), "a column of blocks:\n{llvm}");
    assembled(text, Target::Sm90a);
    assembled(text, Target::Sm100a);
}

#[test]
fn a_product_that_leaves_through_shared_memory_assembles() {
    let (code, _) = assembled(BF16, Target::Sm90a);
    assert!(code.ptx.contains("cp.async.bulk.tensor.2d.global.shared::cta"), "{}", code.ptx);
    // neighbours are converted and stored together
    assert_eq!(code.ptx.matches("cvt.rn.bf16x2.f32").count(), 64, "{}", code.ptx);
    assert_eq!(code.ptx.matches("st.shared.b32").count(), 64, "{}", code.ptx);
    assert!(!code.ptx.contains("st.shared.b16"), "{}", code.ptx);
    let launch = code.launches()[0];
    let boxes: Vec<_> = launch.maps.iter().map(|m| (m.buffer, m.extents.clone())).collect();
    assert_eq!(boxes, [(0, vec![128, 64]), (1, vec![256, 64]), (2, vec![64, 64])]);
}

/// Only neighbours that lie side by side, at an even column, are stored together.
#[test]
fn pairs_are_stored_where_they_lie_side_by_side() {
    let stores = |dtype: &str, columns: i64, target: &str, value: &str| {
        let text = format!(
            "kernel k() {{ out C: f32[1] for b in 0..1 block.x {{ block {{
               shared T: {dtype}[16, {columns}]
               role all warps 1 {{
                 fragment D: f32[16, 8] as mma.m16n8k16.f32.bf16.bf16.d {{
                   for i, j across D {{ Z: D[i, j]:f32 = 0.0:f32 order serial }}
                   for a, c across D {{ S: T[a, {target}]:{dtype} = {value} order serial }}
                 }}
               }}
             }} }} }}"
        );
        let code = compile(&sealed(&text), Target::Sm80).unwrap_or_else(|e| panic!("{e}"));
        let count = |what: &str| code.ptx.matches(what).count();
        [count("st.shared.b16"), count("st.shared.b32"), count("st.shared.v2.b32")]
    };
    let global = |columns: &str, target: &str| {
        let text = format!(
            "kernel k(N) {{ out C: f32[16, {columns}] for b in 0..1 block.x {{ block {{
               role all warps 1 {{
                 fragment D: f32[16, 8] as mma.m16n8k16.f32.bf16.bf16.d {{
                   for i, j across D {{ Z: D[i, j]:f32 = 0.0:f32 order serial }}
                   for a, c across D {{ S: C[a, {target}]:f32 = D[a, c]:f32 order serial }}
                 }}
               }}
             }} }} }}"
        );
        let code = compile(&sealed(&text), Target::Sm80).unwrap_or_else(|e| panic!("{e}"));
        let count = |what: &str| code.ptx.matches(what).count();
        [count("st.global.b32"), count("st.global.v2.b32")]
    };
    assert_eq!(global("10", "c + 2"), [0, 2]);
    assert_eq!(global("9", "c"), [4, 0], "odd rows");
    assert_eq!(global("10", "c + 1"), [4, 0], "odd columns");
    assert_eq!(global("N + 8", "c"), [4, 0], "rows of any length");
    assert_eq!(stores("bf16", 8, "c", "cast.bf16(D[a, c]:f32)"), [0, 2, 0]);
    assert_eq!(stores("bf16", 10, "c + 2", "cast.bf16(D[a, c]:f32)"), [0, 2, 0]);
    assert_eq!(stores("bf16", 9, "c", "cast.bf16(D[a, c]:f32)"), [4, 0, 0], "odd rows");
    assert_eq!(stores("bf16", 10, "c + 1", "cast.bf16(D[a, c]:f32)"), [4, 0, 0], "odd columns");
    assert_eq!(stores("bf16", 8, "7 - c", "cast.bf16(D[a, c]:f32)"), [0, 2, 0], "swapped");
    assert_eq!(stores("bf16", 16, "2 * c", "cast.bf16(D[a, c]:f32)"), [4, 0, 0], "apart");
    assert_eq!(stores("f32", 8, "c", "D[a, c]:f32"), [0, 0, 2]);
    assert_eq!(stores("f32", 8, "c", "D[a, c]:f32 when true:bool"), [0, 0, 2], "guarded");
    assert_eq!(stores("f32", 8, "c", "add.f32(D[a, c]:f32, T[a, c]:f32)"), [0, 0, 2], "read too");
}

#[test]
fn a_product_on_warps_assembles_for_every_gpu() {
    for target in [Target::Sm80, Target::Sm90a, Target::Sm100a] {
        let (code, _) = assembled(MMA, target);
        assert!(code.ptx.contains("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"));
        assert!(code.ptx.contains("ldmatrix.sync.aligned.m8n8.x4"), "{}", code.ptx);
        assert!(code.ptx.contains("cp.async.cg.shared.global"), "{}", code.ptx);
        assert_eq!(code.launches()[0].chunked, [(0, 16), (1, 16)]);
    }
}

#[test]
fn a_target_without_the_instruction_is_refused() {
    for target in [Target::Sm80, Target::Sm100a] {
        let refused = compile(&sealed(WGMMA), target).unwrap_err();
        assert_eq!(refused.code, "E1205", "{refused}");
    }
    let text = "kernel k() { out C: f32[2] for r in 0..2 cluster { block {
      role all warps 1 { do sync() } } } }";
    let refused = compile(&sealed(text), Target::Sm80).unwrap_err();
    assert!(refused.code == "E1205" && refused.message.contains("cluster"), "{refused}");
}
