//! A kernel that does what it must not. Alone in its process: the fault ends the device's context.

mod support;

use std::collections::BTreeMap;

use support::{SUM, code, gpu, sizes};
use warploom_ir::dtype::DType;
use warploom_ir::tensor::Tensor;

#[test]
fn a_fault_is_reported_by_the_handle_and_the_device_opens_again() {
    let Some(device) = gpu("a_fault_is_reported_by_the_handle_and_the_device_opens_again") else {
        return;
    };
    let wild = "mov.u64 %rd10, 16; st.global.f32 [%rd10], 0f3F800000;";
    let program = device.load(&code(wild)).unwrap();
    let ones = Tensor::from_f64s(DType::F32, &[64], &[1.0; 64]).unwrap();
    let inputs = BTreeMap::from([("A".into(), ones.clone()), ("B".into(), ones.clone())]);
    let arrays = program.arrays(&inputs, &sizes(64)).unwrap();
    let fault = program.launch(&arrays, &sizes(64)).unwrap().wait().unwrap_err();
    assert_eq!((fault.code, fault.blame.exit_code()), ("E1115", 3), "{fault}");
    assert!(fault.message.contains("ILLEGAL_ADDRESS"), "{fault}");
    // everything on the broken context says what broke it
    assert_eq!(program.written(&arrays).unwrap_err(), fault);
    assert_eq!(device.buffer(DType::F32, &[1]).unwrap_err(), fault);
    assert_eq!(device.load(&code(SUM)).err(), Some(fault));
    drop((program, arrays, device));
    // the threads of the device let go of it a moment after its last work
    let mut again = None;
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        again = gpu("opening again").and_then(|d| d.upload(&ones).ok());
        if again.is_some() {
            break;
        }
    }
    assert_eq!(again.expect("the device opens again").read().unwrap(), ones);
}
