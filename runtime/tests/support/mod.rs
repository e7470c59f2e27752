//! Hand-written PTX and the GPU that tests run on, where there is one.

use std::collections::BTreeMap;

use warploom_ir::abi::{GpuCode, GpuLaunch, GpuLoop, GpuStep};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Buffer, Index, Kernel};
use warploom_ir::nest::Role;
use warploom_ir::target::Target;
use warploom_runtime::cuda::Device;

/// The first GPU, or a line that says why the test is skipped.
pub(crate) fn gpu(test: &str) -> Option<Device> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(d) => {
            assert!(matches!(d.code, "E1110" | "E1116"), "{d}");
            println!("skipped {test}: {}", d.message);
            None
        }
    }
}

/// `C[i] = A[i] + B[i]` of `N` elements by `body`, which finds the index in `%rd5`, the addresses
/// in `%rd1`, `%rd2`, `%rd3` and `N` in `%rd4`.
pub(crate) fn code(body: &str) -> GpuCode {
    entry("", body)
}

/// As [`code`], launched for `t` in `0..times`, which is in `%rd15`.
pub(crate) fn looped(body: &str, times: i64) -> GpuCode {
    let mut code = entry(", .param .s64 t", &format!("ld.param.s64 %rd15, [t];\n{body}"));
    let (lower, upper) = (Index::Const(0), Index::Const(times));
    let body = std::mem::take(&mut code.steps);
    code.steps = vec![GpuStep::Loop(GpuLoop { var: "t".into(), lower, upper, step: 1, body })];
    code
}

/// A program of one launch, of a function that takes `more` than arrays and size.
fn entry(more: &str, body: &str) -> GpuCode {
    let ptx = format!(
        ".version 8.0\n.target sm_80\n.address_size 64\n\
         .visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .s64 n\
         {more})\n{{\n\
         .reg .pred %p<4>; .reg .b32 %r<8>; .reg .b64 %rd<16>; .reg .f32 %f<4>;\n\
         ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u64 %rd3, [c];\n\
         ld.param.s64 %rd4, [n];\n\
         mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x;\n\
         mad.lo.s32 %r4, %r1, %r2, %r3; cvt.s64.s32 %rd5, %r4;\n\
         setp.ge.s64 %p1, %rd5, %rd4; @%p1 bra END;\n{body}\nEND: ret;\n}}\n"
    );
    let n = || Index::Var("N".into());
    let buffer = |name: &str, role| Buffer {
        name: name.into(),
        role,
        dtype: DType::F32,
        shape: vec![n()],
        of: None,
    };
    let kernel = Kernel {
        name: "k".into(),
        params: vec!["N".into()],
        buffers: vec![buffer("A", Role::In), buffer("B", Role::In), buffer("C", Role::Out)],
        body: Vec::new(),
    };
    let up = Index::Add(Box::new(n()), Box::new(Index::Const(127)));
    let grid = [Index::FloorDiv(Box::new(up), 128), Index::Const(1), Index::Const(1)];
    let launch = GpuLaunch {
        entry: "k".into(),
        grid,
        cluster: 1,
        block: [128, 1, 1],
        shared_bytes: 0,
        tensor_columns: 0,
        maps: Vec::new(),
        chunked: Vec::new(),
    };
    GpuCode { kernel, target: Target::Sm80, ptx, steps: vec![GpuStep::Launch(launch)] }
}

/// The sum, as PTX.
pub(crate) const SUM: &str = "shl.b64 %rd6, %rd5, 2;
    add.s64 %rd7, %rd1, %rd6; add.s64 %rd8, %rd2, %rd6; add.s64 %rd9, %rd3, %rd6;
    ld.global.f32 %f1, [%rd7]; ld.global.f32 %f2, [%rd8];
    add.f32 %f3, %f1, %f2; st.global.f32 [%rd9], %f3;";

/// `C[i] = C[i] * B[i] + t`, from `A[i]` at first, as PTX for [`looped`].
pub(crate) const ITERATE: &str = "shl.b64 %rd6, %rd5, 2;
    add.s64 %rd7, %rd1, %rd6; add.s64 %rd8, %rd2, %rd6; add.s64 %rd9, %rd3, %rd6;
    setp.eq.s64 %p2, %rd15, 0; @%p2 ld.global.f32 %f1, [%rd7]; @!%p2 ld.global.f32 %f1, [%rd9];
    ld.global.f32 %f2, [%rd8]; cvt.rn.f32.s64 %f3, %rd15;
    fma.rn.f32 %f1, %f1, %f2, %f3; st.global.f32 [%rd9], %f1;";

/// The size `N`.
pub(crate) fn sizes(n: i64) -> BTreeMap<Name, i64> {
    BTreeMap::from([("N".into(), n)])
}
