//! A graph of launches of which one does what it must not. Alone in its process, as
//! [`cuda_fault`](../cuda_fault/index.html) is.

mod support;

use std::collections::BTreeMap;

use support::{ITERATE, SUM, code, gpu, looped, sizes};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::tensor::Tensor;

#[test]
fn faults_in_graphs_are_reported() {
    let Some(device) = gpu("faults_in_graphs_are_reported") else { return };
    let filled = |x: f64| Tensor::from_f64s(DType::F32, &[64], &[x; 64]).unwrap();
    // writes to address 16 at t = 20 where `A[i]` is 7
    let body = format!(
        "{ITERATE}\nld.global.f32 %f1, [%rd7]; setp.eq.f32 %p2, %f1, 0f40E00000;\n\
         setp.eq.and.s64 %p2, %rd15, 20, %p2; mov.u64 %rd10, 16; @%p2 st.global.f32 [%rd10], %f1;"
    );
    let program = device.load(&looped(&body, 40)).unwrap();
    let inputs: BTreeMap<Name, Tensor> =
        BTreeMap::from([("A".into(), filled(1.0)), ("B".into(), filled(1.0))]);
    let arrays = program.arrays(&inputs, &sizes(64)).unwrap();
    let bound = program.bind(&arrays, &sizes(64)).unwrap();
    for _ in 0..3 {
        bound.launch().unwrap().wait().unwrap();
        // 1 + 0 + 1 + ... + 39
        assert_eq!(program.written(&arrays).unwrap()[&Name::from("C")], filled(781.0));
    }
    assert!(bound.is_recorded());
    arrays[&Name::from("A")].write(&filled(7.0)).unwrap();
    let fault = bound.launch().unwrap().wait().unwrap_err();
    assert_eq!((fault.code, fault.blame.exit_code()), ("E1115", 3), "{fault}");
    assert_eq!(bound.launch().err(), Some(fault.clone()), "and so does every launch after it");
    assert_eq!(program.written(&arrays).unwrap_err(), fault);
    assert_eq!(device.load(&code(SUM)).err(), Some(fault));
}
