//! The entries of the instruction table.
//!
//! Sources: PTX ISA 8.8; the names of LLVM 22's intrinsics are those of `IntrinsicsNVVM.td`.
//! Why here: the one place with opcodes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::numerics::Adder;
use super::{Action, Code, Instruction, Issue, Matrix, PAIR, Scaling, tensor_memory};
use crate::dtype::DType;
use crate::target::Target;

/// Every GPU.
const ALL: &[Target] = &[
    Target::Sm80,
    Target::Sm86,
    Target::Sm89,
    Target::Sm90a,
    Target::Sm100a,
    Target::Sm103a,
    Target::Sm120,
];
/// With a copy engine and transaction barriers.
const COPY_ENGINE: &[Target] = &[Target::Sm90a, Target::Sm100a, Target::Sm103a];
/// Hopper's warpgroup instructions exist nowhere else.
const HOPPER: &[Target] = &[Target::Sm90a];
/// With tensor memory.
const BLACKWELL: &[Target] = &[Target::Sm100a, Target::Sm103a];
/// With integers among the types of tensor memory (PTX ISA, 9.7.16.10: targets of `.kind::i8`).
const INTEGERS: &[Target] = &[Target::Sm100a];

type Row = (&'static str, &'static [Target], Issue, Action, &'static str);

/// Copies, fences and barriers: name, targets, issue, meaning, LLVM's intrinsic.
const ROWS: &[Row] = &[
    ("cp.async.16", ALL, Issue::Any, Action::CopyAsync(16), "cp.async.cg.shared.global.16.s"),
    ("cp.async.ca.16", ALL, Issue::Any, Action::CopyAsync(16), "cp.async.ca.shared.global.16.s"),
    ("cp.async.8", ALL, Issue::Any, Action::CopyAsync(8), "cp.async.ca.shared.global.8.s"),
    ("cp.async.4", ALL, Issue::Any, Action::CopyAsync(4), "cp.async.ca.shared.global.4.s"),
    ("cp.async.commit", ALL, Issue::Any, Action::CopyCommit, "cp.async.commit.group"),
    ("cp.async.wait", ALL, Issue::Any, Action::CopyWait, "cp.async.wait.group"),
    (
        "cp.async.arrive",
        COPY_ENGINE,
        Issue::Any,
        Action::CopyArrive,
        "cp.async.mbarrier.arrive.noinc.shared",
    ),
    (
        "ldmatrix",
        ALL,
        Issue::Warp,
        Action::LoadMatrix,
        "ldmatrix.sync.aligned.m8n8.x{n}{ta}.b16.p3",
    ),
    (
        "stmatrix",
        COPY_ENGINE,
        Issue::Warp,
        Action::StoreMatrix,
        "stmatrix.sync.aligned.m8n8.x{n}{ta}.b16.p3",
    ),
    ("tma.load", COPY_ENGINE, Issue::Thread, Action::BoxLoad, "cp.async.bulk.tensor.g2s.tile.{n}d"),
    (
        "tma.load.multicast",
        COPY_ENGINE,
        Issue::Thread,
        Action::BoxMulticast,
        "cp.async.bulk.tensor.g2s.tile.{n}d",
    ),
    (
        "tma.load.pair",
        BLACKWELL,
        Issue::Thread,
        Action::BoxPair,
        "cp.async.bulk.tensor.g2s.tile.{n}d",
    ),
    (
        "tma.store",
        COPY_ENGINE,
        Issue::Thread,
        Action::BoxStore,
        "cp.async.bulk.tensor.s2g.tile.{n}d",
    ),
    ("tma.commit", COPY_ENGINE, Issue::Thread, Action::BoxCommit, "cp.async.bulk.commit.group"),
    (
        "tma.wait.read",
        COPY_ENGINE,
        Issue::Thread,
        Action::BoxWaitRead,
        "cp.async.bulk.wait.group.read",
    ),
    (
        "mbarrier.arrive",
        COPY_ENGINE,
        Issue::Any,
        Action::Arrive,
        "mbarrier.arrive.scope.cta.space.cta",
    ),
    (
        "mbarrier.arrive.cluster",
        COPY_ENGINE,
        Issue::Any,
        Action::ArriveCluster,
        // of scope cta: as one of scope cluster it would wait for all stores of the thread
        "mbarrier.arrive.scope.cta.space.cluster",
    ),
    (
        "mbarrier.expect",
        COPY_ENGINE,
        Issue::Thread,
        Action::Expect,
        "mbarrier.arrive.expect.tx.scope.cta.space.cta",
    ),
    (
        "mbarrier.wait",
        COPY_ENGINE,
        Issue::Any,
        Action::Wait,
        "mbarrier.try.wait.parity.scope.cta.space.cta",
    ),
    (
        "clusterlaunchcontrol.try_cancel",
        BLACKWELL,
        Issue::Thread,
        Action::Take,
        "clusterlaunchcontrol.try_cancel.async.shared",
    ),
    (
        "clusterlaunchcontrol.try_cancel.multicast",
        BLACKWELL,
        Issue::Thread,
        Action::TakeMulticast,
        "clusterlaunchcontrol.try_cancel.async.multicast.shared",
    ),
    (
        "clusterlaunchcontrol.query_cancel",
        BLACKWELL,
        Issue::Any,
        Action::Answer,
        "clusterlaunchcontrol.query_cancel.is_canceled",
    ),
    (
        "clusterlaunchcontrol.first_block",
        BLACKWELL,
        Issue::Any,
        Action::Implied,
        "clusterlaunchcontrol.query_cancel.get_first_ctaid.x",
    ),
    ("fence.async", COPY_ENGINE, Issue::Any, Action::ProxyFence, "fence.proxy.async.shared_cta"),
    ("wgmma.fence", HOPPER, Issue::Warpgroup, Action::MatrixFence, "wgmma.fence.sync.aligned"),
    (
        "wgmma.commit",
        HOPPER,
        Issue::Warpgroup,
        Action::MatrixCommit,
        "wgmma.commit_group.sync.aligned",
    ),
    ("wgmma.wait", HOPPER, Issue::Warpgroup, Action::MatrixWait, "wgmma.wait_group.sync.aligned"),
    (
        "tcgen05.wait.ld",
        BLACKWELL,
        Issue::Warp,
        Action::TensorWait,
        "tcgen05.wait::ld.sync.aligned",
    ),
    (
        "tcgen05.cp.32x128b.warpx4",
        BLACKWELL,
        Issue::Thread,
        Action::ScaleCopy(1),
        "tcgen05.cp.32x128b_warpx4.cg1",
    ),
    (
        "tcgen05.cp.pair.32x128b.warpx4",
        BLACKWELL,
        Issue::Thread,
        Action::ScaleCopy(PAIR),
        "tcgen05.cp.32x128b_warpx4.cg2",
    ),
    ("tcgen05.commit", BLACKWELL, Issue::Thread, Action::TensorCommit, "tcgen05.commit.shared.cg1"),
    (
        "tcgen05.commit.cluster",
        BLACKWELL,
        Issue::Thread,
        Action::TensorCommitCluster,
        "tcgen05.commit.mc.shared.cg1",
    ),
    (
        "tcgen05.commit.pair",
        BLACKWELL,
        Issue::Thread,
        Action::TensorCommitPair,
        "tcgen05.commit.mc.shared.cg2",
    ),
    (
        "tcgen05.fence.before",
        BLACKWELL,
        Issue::Any,
        Action::TensorBefore,
        "tcgen05.fence.before.thread.sync",
    ),
    (
        "tcgen05.fence.after",
        BLACKWELL,
        Issue::Any,
        Action::TensorAfter,
        "tcgen05.fence.after.thread.sync",
    ),
    ("tensor.allocate", BLACKWELL, Issue::Warp, Action::Implied, "tcgen05.alloc.shared.cg1"),
    (
        "tensor.allocated",
        BLACKWELL,
        Issue::Warp,
        Action::Implied,
        "tcgen05.relinq.alloc.permit.cg1",
    ),
    ("tensor.free", BLACKWELL, Issue::Warp, Action::Implied, "tcgen05.dealloc.cg1"),
    ("tensor.allocate.pair", BLACKWELL, Issue::Warp, Action::Implied, "tcgen05.alloc.shared.cg2"),
    (
        "tensor.allocated.pair",
        BLACKWELL,
        Issue::Warp,
        Action::Implied,
        "tcgen05.relinq.alloc.permit.cg2",
    ),
    ("tensor.free.pair", BLACKWELL, Issue::Warp, Action::Implied, "tcgen05.dealloc.cg2"),
    ("sync", ALL, Issue::Any, Action::Sync, "barrier.cta.sync.aligned.count"),
    ("sync.warp", ALL, Issue::Any, Action::Implied, "bar.warp.sync"),
    ("sync.block", ALL, Issue::Any, Action::Implied, "barrier.cta.sync.aligned.all"),
    ("elect", COPY_ENGINE, Issue::Warp, Action::Implied, "elect.sync"),
    ("broadcast", ALL, Issue::Warp, Action::Implied, "shfl.sync.idx.i32"),
    ("exchange", ALL, Issue::Warp, Action::Implied, "shfl.sync.bfly.i32"),
    ("mbarrier.init", COPY_ENGINE, Issue::Thread, Action::Implied, "mbarrier.init.shared"),
    (
        "fence.init",
        COPY_ENGINE,
        Issue::Thread,
        Action::Implied,
        "fence.mbarrier_init.release.cluster",
    ),
    (
        "registers.more",
        HOPPER,
        Issue::Warpgroup,
        Action::Implied,
        "setmaxnreg.inc.sync.aligned.u32",
    ),
    (
        "registers.less",
        HOPPER,
        Issue::Warpgroup,
        Action::Implied,
        "setmaxnreg.dec.sync.aligned.u32",
    ),
    ("tma.prefetch", COPY_ENGINE, Issue::Thread, Action::Implied, "prefetch.tensormap.p0"),
    ("thread", ALL, Issue::Any, Action::Implied, "read.ptx.sreg.tid.x"),
    ("cluster", COPY_ENGINE, Issue::Any, Action::Implied, "read.ptx.sreg.clusterid.x"),
    ("cluster.block", COPY_ENGINE, Issue::Any, Action::Implied, "read.ptx.sreg.cluster.ctarank"),
    ("cluster.address", COPY_ENGINE, Issue::Any, Action::Implied, "mapa.shared.cluster"),
    // what the barriers' start needs is ordered by its own fence
    (
        "cluster.start",
        COPY_ENGINE,
        Issue::Any,
        Action::Implied,
        "barrier.cluster.arrive.relaxed.aligned",
    ),
    ("cluster.end", COPY_ENGINE, Issue::Any, Action::Implied, "barrier.cluster.arrive.aligned"),
    ("cluster.wait", COPY_ENGINE, Issue::Any, Action::Implied, "barrier.cluster.wait.aligned"),
];

/// Assembler text of a load from global memory that nobody writes meanwhile, of 1, 2, 4, 8 or 16
/// bytes: into `{d}`, one register or two or four of 32 bits, from `{at}` where the integer
/// `{limit}` is at least `{least}`, else zeros.
#[must_use]
pub fn guarded_load(bytes: i64) -> String {
    let (zeros, kind) = match bytes {
        1 => ("mov.b16 {d}, 0;", "b8"),
        2 => ("mov.b16 {d}, 0;", "b16"),
        4 => ("mov.b32 {d}, 0;", "b32"),
        8 => ("mov.b32 {d0}, 0; mov.b32 {d1}, 0;", "v2.b32"),
        _ => {
            let text = "mov.b32 {d0}, 0; mov.b32 {d1}, 0; mov.b32 {d2}, 0; mov.b32 {d3}, 0;";
            (text, "v4.b32")
        }
    };
    let to = match bytes {
        8 => "{{d0}, {d1}}",
        16 => "{{d0}, {d1}, {d2}, {d3}}",
        _ => "{d}",
    };
    format!(
        "{{ .reg .pred p; setp.ge.s32 p, {{limit}}, {{least}}; {zeros} \
         @p ld.global.nc.{kind} {to}, [{{at}}]; }}"
    )
}

/// Bits below the largest exponent that the adders keep (arXiv 2511.10909): what Ampere keeps is
/// promised where Hopper keeps one more.
const AMPERE: Adder = Adder::Aligned { fraction: 24 };
const HOPPER_WIDE: Adder = Adder::Aligned { fraction: 25 };
const HOPPER_FP8: Adder = Adder::Aligned { fraction: 13 };

/// What PTX calls a type.
const fn ptx(dtype: DType) -> &'static str {
    match dtype {
        DType::I32 => "s32",
        DType::I8 => "s8",
        other => other.name(),
    }
}

/// What names of warpgroups' instructions say whose A is a fragment.
const FRAGMENT_A: &str = "rs.";

fn warp_matrix([m, n, k]: [i64; 3], acc: DType, a: DType, b: DType, adder: Adder) -> Instruction {
    let suffix = match a {
        DType::F16 => format!("{acc}.{acc}"),
        _ if a == b => ptx(a).to_owned(),
        _mixed => format!("{}.{}", ptx(a), ptx(b)),
    };
    // 8x8 matrices of 16 bits are transposed on the way, wide elements are loaded one by one
    let (shared, tensor, transposable) = (false, false, a.size_bytes() > 1);
    let hopper = m > 8 && a == DType::F64;
    Instruction {
        name: format!("mma.m{m}n{n}k{k}.{acc}.{a}.{b}"),
        targets: if hopper { COPY_ENGINE } else { ALL },
        issue: Issue::Warp,
        action: Action::Matrix(Matrix {
            blocks: 1,
            m,
            n,
            k,
            a,
            b,
            acc,
            scales: None,
            adder,
            shared,
            fragment_a: false,
            tensor,
            transposable,
        }),
        code: Code::Intrinsic(format!("llvm.nvvm.mma.m{m}n{n}k{k}.row.col.{suffix}")),
    }
}

/// The types are those of the accumulator, of A and of B; A is a fragment or in shared memory.
fn warpgroup_matrix(n: i64, [acc, a, b]: [DType; 3], fragment_a: bool) -> Instruction {
    let k = 32 / a.size_bytes() as i64;
    let transposable = a.size_bytes() == 2;
    let (adder, tail) = match (acc.is_float(), a.size_bytes()) {
        (false, _) => (Adder::Wrapping, ""),
        (true, 1) => (HOPPER_FP8, ", 1, 1"),
        (true, 2) if fragment_a => (HOPPER_WIDE, ", 1, 1, {tb}"),
        (true, 2) => (HOPPER_WIDE, ", 1, 1, {ta}, {tb}"),
        (true, _) => (HOPPER_WIDE, ", 1, 1"),
    };
    let own = if fragment_a { FRAGMENT_A } else { "" };
    let types = format!("{}.{}.{}", ptx(acc), ptx(a), ptx(b));
    let text = format!(
        "{{ .reg .pred p; setp.ne.b32 p, {{keep}}, 0; \
         wgmma.mma_async.sync.aligned.m64n{n}k{k}.{types} {{d}}, {{a}}, {{b}}, p{tail}; }}"
    );
    Instruction {
        name: format!("wgmma.{own}m64n{n}k{k}.{acc}.{a}.{b}"),
        targets: HOPPER,
        issue: Issue::Warpgroup,
        action: Action::Matrix(Matrix {
            blocks: 1,
            m: 64,
            n,
            k,
            a,
            b,
            acc,
            scales: None,
            adder,
            shared: true,
            fragment_a,
            tensor: false,
            transposable,
        }),
        code: Code::Assembly(text),
    }
}

/// A matrix instruction of one thread for so many blocks, whose accumulator has a lane of tensor
/// memory for each row.
fn thread_matrix(
    blocks: i64,
    n: i64,
    [acc, a, b]: [DType; 3],
    scales: Option<Scaling>,
) -> Instruction {
    let k = 256 / a.bits() as i64;
    let adder = if acc.is_float() { HOPPER_WIDE } else { Adder::Wrapping };
    // (PTX ISA, 9.7.16.3.1: factors of `.kind::mxf4` and `.kind::mxf4nvf4` are K-major)
    let (shared, tensor, transposable) = (true, true, a.size_bytes() < 4 && !a.packed());
    let m = blocks * tensor_memory::LANES;
    let pair = if blocks == PAIR { "pair." } else { "" };
    // one scale for all terms, or two for 64 terms, are what the first two kinds have by themselves
    let (scaled, kind) = match scales {
        None => (String::new(), ""),
        Some(s) => {
            let kind = match (a.packed(), s.dtype) {
                (false, _) => ".mxf8f6f4.block_scale",
                (true, DType::Ue8m0) => ".mxf4.block_scale",
                (true, _) => ".mxf4nvf4.block_scale.block16",
            };
            (format!(".{}", s.dtype), kind)
        }
    };
    Instruction {
        name: format!("tcgen05.mma.{pair}m{m}n{n}k{k}.{acc}.{a}.{b}{scaled}"),
        targets: if acc.is_float() { BLACKWELL } else { INTEGERS },
        issue: Issue::Thread,
        action: Action::Matrix(Matrix {
            blocks,
            m,
            n,
            k,
            a,
            b,
            acc,
            scales,
            adder,
            shared,
            fragment_a: false,
            tensor,
            transposable,
        }),
        code: Code::Intrinsic(format!("llvm.nvvm.tcgen05.mma.shared{kind}")),
    }
}

/// Columns of an instruction in steps of so many (PTX ISA, 9.7.16.2.1, "Matrix shape": 128 rows in
/// steps of 16 columns; 256 rows of a pair also in steps of 16, but of 32 for integers, and as each
/// block has half of B in groups of eight rows, of 32 here for all types).
const fn step(blocks: i64) -> i64 {
    16 * blocks
}

/// The matrix instructions of one thread for so many blocks that give `n` columns.
fn by_thread(blocks: i64, n: i64) -> Vec<Instruction> {
    use DType::{Bf16, E2m1, E4m3, E5m2, F16, F32, I8, I32, Tf32, U8, Ue4m3, Ue8m0};
    if !(step(blocks)..=256).contains(&n) || n % step(blocks) != 0 {
        return Vec::new();
    }
    let floats = [[F32, F16, F16], [F32, Bf16, Bf16], [F32, Tf32, Tf32]];
    let bytes = || [E4m3, E5m2].into_iter().flat_map(|a| [E4m3, E5m2].map(|b| [F32, a, b]));
    let bits = [I8, U8].into_iter().flat_map(|a| [I8, U8].map(|b| [I32, a, b]));
    let types = floats.into_iter().chain(bytes()).chain(bits);
    let plain = types.map(|types| thread_matrix(blocks, n, types, None));
    // (PTX ISA, 9.7.16.10.7.1, table of scale vector sizes: `.kind::mxf8f6f4` and `.kind::mxf4`,
    // and `.kind::mxf4nvf4` with `.scale_vec::4X`)
    let scales = |dtype, terms| Some(Scaling { dtype, terms });
    let scaled = bytes().map(|types| (types, scales(Ue8m0, 32)));
    let halves = [scales(Ue8m0, 32), scales(Ue4m3, 16)].map(|s| ([F32, E2m1, E2m1], s));
    let scaled = scaled.chain(halves).map(|(types, s)| thread_matrix(blocks, n, types, s));
    plain.chain(scaled).collect()
}

/// The load of so many columns of tensor memory, a power of two up to 128.
fn load(columns: i64) -> Instruction {
    let name = format!("tcgen05.ld.32x32b.x{columns}");
    Instruction {
        targets: BLACKWELL,
        issue: Issue::Warpgroup,
        action: Action::TensorLoad(columns),
        code: Code::Intrinsic(format!("llvm.nvvm.{name}")),
        name,
    }
}

/// The matrix instructions of one warp. Those of f64 with 16 rows came with Hopper.
fn by_warp() -> Vec<Instruction> {
    use DType::{Bf16, F16, F32, F64, I8, I32, Tf32, U8};
    let floats = [(F16, 16), (Bf16, 16), (Tf32, 8)];
    let floats = floats.map(|(of, k)| warp_matrix([16, 8, k], F32, of, of, AMPERE));
    let bits = [I8, U8].into_iter().flat_map(|a| [I8, U8].map(|b| (a, b)));
    let bits = bits.map(|(a, b)| warp_matrix([16, 8, 32], I32, a, b, Adder::Wrapping));
    // automatic schedules take the first: fragments of eight terms leave registers for the sums
    let doubles = [[16, 8, 8], [16, 8, 4], [16, 8, 16], [8, 8, 4]];
    let doubles = doubles.map(|shape| warp_matrix(shape, F64, F64, F64, Adder::Sequential));
    floats.into_iter().chain(bits).chain(doubles).collect()
}

/// The matrix instructions of a warpgroup that give `n` columns.
fn by_warpgroup(n: i64) -> Vec<Instruction> {
    use DType::{Bf16, E4m3, E5m2, F16, F32, I8, I32, Tf32, U8};
    if !(8..=256).contains(&n) || n % 8 != 0 {
        return Vec::new();
    }
    let floats = [(F32, F16, F16), (F32, Bf16, Bf16), (F16, F16, F16), (F32, Tf32, Tf32)];
    let bytes = [E4m3, E5m2].into_iter().flat_map(|a| [E4m3, E5m2].map(|b| (F32, a, b)));
    let bits = [I8, U8].into_iter().flat_map(|a| [I8, U8].map(|b| (I32, a, b)));
    let integers = bits.filter(|_| n <= 32 || n % 16 == 0);
    let types = floats.into_iter().chain(bytes).chain(integers);
    let both = |(acc, a, b)| [false, true].map(|own| warpgroup_matrix(n, [acc, a, b], own));
    types.flat_map(both).collect()
}

/// Entries by their names.
type Names = BTreeMap<&'static str, &'static Instruction>;

/// The matrix instructions, made once: their names and codes are many texts.
static MATRICES: LazyLock<Vec<Instruction>> = LazyLock::new(|| {
    let widths = || (8..=256).step_by(8);
    let all = by_warp().into_iter().chain(widths().flat_map(by_warpgroup));
    let by_threads = |blocks| widths().flat_map(move |n| by_thread(blocks, n));
    all.chain(by_threads(1)).chain(by_threads(PAIR)).collect()
});
static MATRICES_BY_NAME: LazyLock<Names> = LazyLock::new(|| names(&MATRICES));

/// All others.
static OTHERS: LazyLock<Vec<Instruction>> = LazyLock::new(|| {
    let row = |row: &Row| other(*row);
    ROWS.iter().map(row).chain((0..8).map(|power| load(1 << power))).collect()
});
static OTHERS_BY_NAME: LazyLock<Names> = LazyLock::new(|| names(&OTHERS));

fn names(of: &'static [Instruction]) -> Names {
    of.iter().map(|i| (i.name.as_str(), i)).collect()
}

/// An entry of [`ROWS`].
fn other((name, targets, issue, action, intrinsic): Row) -> Instruction {
    let code = match action {
        // the accumulators go through the wait, so that nothing reads them before it
        Action::MatrixWait => Code::Assembly(format!("{intrinsic} {{n}};")),
        // and so do the values that were loaded
        Action::TensorWait => Code::Assembly(format!("{intrinsic};")),
        _ => Code::Intrinsic(format!("llvm.nvvm.{intrinsic}")),
    };
    Instruction { name: name.to_owned(), targets, issue, action, code }
}

/// Every matrix instruction.
#[must_use]
pub fn matrix_instructions() -> &'static [Instruction] {
    &MATRICES
}

/// The entry of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Instruction> {
    // who asks for a fence need not wait until all products are named
    OTHERS_BY_NAME.get(name).or_else(|| MATRICES_BY_NAME.get(name)).copied()
}
