//! Every kind of matrix instruction: a kernel of one instruction computes what the declared adder
//! gives, in the interpreter; a sample of them is assembled.

use std::collections::BTreeMap;

use warploom::compile;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::{Action, Instruction, Matrix, matrix_instructions};
use warploom_ir::interp;
use warploom_ir::kernel::Kernel;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_tests::instructions as one;

/// Every instruction of the widths that are tried.
fn instructions(widths: &[i64]) -> Vec<(&'static Instruction, Matrix)> {
    let matrix = |i: &'static Instruction| match i.action {
        Action::Matrix(m) => (i, m),
        other => panic!("{other:?} is no matrix instruction"),
    };
    // scales of more than one block of rows
    let blocks = |m: &Matrix| m.scales.is_some() && m.n == 160;
    let wide = |(_, m): &(&Instruction, Matrix)| !m.shared || widths.contains(&m.n) || blocks(m);
    matrix_instructions().iter().map(matrix).filter(wide).collect()
}

#[test]
fn instructions_alone_compute_what_they_declare() {
    let all = instructions(&[8, 24, 64]);
    assert_eq!(all.len(), 11 + 3 * 2 * 12 + 2 * 17 + 2 * 6, "every combination of types");
    for (instruction, m) in all {
        for layout in one::layouts(&m) {
            let text = one::kernel(instruction, &m, layout);
            let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
            let sealed = compile::kernel(kernel).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let inputs = one::inputs(&m, layout, 3);
            let found = interp::kernel::run(sealed.kernel(), &BTreeMap::new(), &inputs);
            let found = found.unwrap_or_else(|e| panic!("{e}\n{text}"));
            for (at, want) in one::expected(&m, layout, &inputs).into_iter().enumerate() {
                let have = found["D"].get_flat(at);
                assert!(have.same(want), "{} {layout:?} [{at}]: {have} {want}", instruction.name);
            }
        }
    }
}

#[test]
fn instructions_alone_assemble() {
    for (instruction, m) in instructions(&[8, 256]) {
        let layout = one::layouts(&m).pop().expect("at least one");
        let kernel: Kernel = one::kernel(instruction, &m, layout).parse().unwrap();
        let sealed = compile::kernel(kernel).unwrap_or_else(|e| panic!("{e}"));
        for target in instruction.targets {
            let code = sealed.gpu(*target).unwrap_or_else(|e| panic!("{}: {e}", instruction.name));
            let said = compile::resources(&code);
            let said = said.unwrap_or_else(|e| panic!("{}: {e}\n{}", instruction.name, code.ptx));
            assert!(!said.contains("C75"), "{}: {said}", instruction.name);
            assert!(said.contains("0 bytes spill stores"), "{}: {said}", instruction.name);
        }
    }
}

#[test]
fn matrices_are_transposed_through_registers() {
    let a = Tensor::random(DType::Bf16, &[64, 64], 5).unwrap();
    let inputs = BTreeMap::from([("A".into(), a.clone())]);
    for panel in [16, 32, 64, 128] {
        let kernel: Kernel = one::transposition(panel).parse().unwrap_or_else(|e| panic!("{e}"));
        let sealed = compile::kernel(kernel).unwrap_or_else(|e| panic!("{e}"));
        let found = interp::kernel::run(sealed.kernel(), &BTreeMap::new(), &inputs);
        let found = found.unwrap_or_else(|e| panic!("{panel}: {e}"));
        for i in 0..64 {
            for j in 0..64 {
                assert_eq!(found["C"].get(&[i, j]), a.get(&[j, i]), "{panel} [{i}, {j}]");
            }
        }
        for target in [Target::Sm90a, Target::Sm100a] {
            let code = sealed.gpu(target).unwrap_or_else(|e| panic!("{e}"));
            compile::resources(&code).unwrap_or_else(|e| panic!("{e}\n{}", code.ptx));
        }
    }
}
