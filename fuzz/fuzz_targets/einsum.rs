//! Einsums: no panic, no hang; what is accepted prints as a text that means the same, and its nest
//! as a text that is the same nest, for operands of open sizes and for small known ones.
//!
//! The length of the text chooses the type and whether sizes are known.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warploom_ir::dtype::DType;
use warploom_ir::einsum::{Einsum, EinsumOptions, OperandType, Subscript, Term};
use warploom_ir::nest::Nest;

/// An operand of a term; the ellipsis stands for one dimension.
fn operand(term: &Term, dtype: DType, known: bool) -> OperandType {
    let extent = |s: &Subscript| match s {
        Subscript::Label(c) => 2 + (*c as usize) % 3,
        Subscript::Ellipsis => 3,
    };
    let shape: Vec<usize> = term.subscripts.iter().map(|(s, _)| extent(s)).collect();
    if known { OperandType::shaped(dtype, &shape) } else { OperandType::ranked(dtype, shape.len()) }
}

fuzz_target!(|text: &str| {
    let Ok(einsum) = Einsum::parse(text) else { return };
    let printed = einsum.to_string();
    let again = Einsum::parse(&printed).expect("a printed einsum is an einsum");
    assert_eq!((&again.inputs, &again.output), (&einsum.inputs, &einsum.output), "{printed}");
    let dtype = DType::ALL[text.len() % DType::ALL.len()];
    for known in [false, true] {
        let operands: Vec<_> = einsum.inputs.iter().map(|t| operand(t, dtype, known)).collect();
        if let Ok(nest) = einsum.nest(&operands, &EinsumOptions::default()) {
            let printed = nest.to_string();
            let again = printed.parse::<Nest>();
            assert_eq!(again.as_ref().ok(), Some(&nest), "{again:?}\n{printed}");
        }
    }
});
