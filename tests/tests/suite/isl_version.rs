//! The isl of this process is ours, although LLVM's shared library exports one too.
//!
//! Why here: only this package links both; `isl/tests` has no LLVM in its process.

use std::collections::BTreeMap;

use warploom::{Nest, Tensor, compile};

#[test]
fn llvm_does_not_bring_its_own_isl() {
    let nest: Nest = "param N = 5 in x: f32[N] out y: f32[N] y[i] = x[i] + 1"
        .parse()
        .expect("the nest is right");
    let program = compile::compile(&compile::auto(&nest).expect("it has a schedule"));
    let x = Tensor::from_f64s(warploom::DType::F32, &[5], &[1.0; 5]).expect("it is small");
    let inputs = BTreeMap::from([("x".into(), x)]);
    let outputs = program.expect("LLVM works").run(&inputs, Some(1)).expect("the input fits");
    assert_eq!(outputs["y"].to_f64s(), [2.0; 5], "LLVM is in this process");
    // Debian's libLLVM says "isl-0.25-…"; the slower build without IMath-32 says GMP or IMath
    assert_eq!(warploom_isl::version(), "UNKNOWN-IMath-32");
}
