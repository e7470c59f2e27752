//! A kernel that does what it must not, and a device that nothing holds. Alone in its process: the
//! fault ends the process's use of the device, and others would hold the context.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use cudarc::driver::sys;
use support::{ITERATE, SUM, code, gpu, looped, sizes};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::tensor::Tensor;
use warploom_runtime::cuda::Device;

const TEST: &str = "faults_are_reported_and_nothing_is_leaked";

/// Whether anything in this process holds the first device.
fn is_held() -> bool {
    let (mut flags, mut active) = (0, 0);
    // SAFETY: the driver was started by opening the device; both places outlive the call.
    let done = unsafe { sys::cuDevicePrimaryCtxGetState(0, &raw mut flags, &raw mut active) };
    assert_eq!(done, sys::CUresult::CUDA_SUCCESS);
    active != 0
}

/// Waits until the threads of a device let go of it, which they do a moment after its last work.
fn is_let_go() -> bool {
    (0..250).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        !is_held()
    })
}

#[test]
fn faults_are_reported_and_nothing_is_leaked() {
    let Some(device) = gpu(TEST) else { return };
    let ones = Tensor::from_f64s(DType::F32, &[64], &[1.0; 64]).unwrap();
    let inputs: BTreeMap<Name, Tensor> =
        BTreeMap::from([("A".into(), ones.clone()), ("B".into(), ones)]);

    // a launch that nobody waits for, and everything else dropped while it may run
    let program = device.load(&code(SUM)).unwrap();
    let arrays = program.arrays(&inputs, &sizes(64)).unwrap();
    drop(program.launch(&arrays, &sizes(64)).unwrap());
    assert!(is_held());
    drop((program, arrays, device));
    assert!(is_let_go(), "a dropped launch leaks");

    // the same with a graph of many launches
    let device = Device::open(0).unwrap();
    let program = device.load(&looped(ITERATE, 50)).unwrap();
    let arrays = program.arrays(&inputs, &sizes(64)).unwrap();
    let bound = program.bind(&arrays, &sizes(64)).unwrap();
    for _ in 0..3 {
        drop(bound.launch().unwrap());
    }
    assert!(bound.is_recorded());
    drop((bound, program, arrays, device));
    assert!(is_let_go(), "a dropped graph leaks");

    let device = Device::open(0).unwrap();
    let wild = "mov.u64 %rd10, 16; mov.f32 %f1, 0f3F800000; st.global.f32 [%rd10], %f1;";
    let program = device.load(&code(wild)).unwrap();
    let arrays = program.arrays(&inputs, &sizes(64)).unwrap();
    let fault = program.launch(&arrays, &sizes(64)).unwrap().wait().unwrap_err();
    assert_eq!((fault.code, fault.blame.exit_code()), ("E1115", 3), "{fault}");
    assert!(fault.message.contains("ILLEGAL_ADDRESS"), "{fault}");
    // everything on the broken context says what broke it
    assert_eq!(program.written(&arrays).unwrap_err(), fault);
    assert_eq!(device.buffer(DType::F32, &[1]).unwrap_err(), fault);
    assert_eq!(device.load(&code(SUM)).err(), Some(fault));
    drop((program, arrays, device));
    assert!(is_let_go(), "a fault leaks");
    // some drivers give the device to this process again, some do not
    if let Err(d) = Device::open(0) {
        assert_eq!(d.code, "E1115", "{d}");
    }
}
