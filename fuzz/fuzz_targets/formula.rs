//! Formulas: no panic, no hang, and the nest of an accepted one prints as a text that is this nest.
//!
//! The length of the text chooses the type of the inputs, so a corpus is plain text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;
use warploom_ir::nest::formula::{Formula, FormulaTypes};

fuzz_target!(|text: &str| {
    let Ok(formula) = Formula::parse(text) else { return };
    let dtype = DType::ALL[text.len() % DType::ALL.len()];
    if let Ok(nest) = formula.nest(&FormulaTypes::all(dtype)) {
        let printed = nest.to_string();
        let again = printed.parse::<Nest>();
        assert_eq!(again.as_ref().ok(), Some(&nest), "{again:?}\n{printed}");
    }
});
