//! Every expression of the NumPy suite: same shape, same result, same rejections.
//!
//! The nest interpreter runs the nests; it refuses to read an element that nobody wrote.

use std::collections::BTreeMap;

use warploom_ir::diag::{Blame, Result};
use warploom_ir::einsum::{Einsum, EinsumOptions};
use warploom_ir::interp;
use warploom_ir::nest::{Array, Nest, Order, Role};
use warploom_tests::{EinsumCase, Expected, einsum_suite};

fn lower(case: &EinsumCase, order: Order) -> Result<Nest> {
    let options = EinsumOptions { order, ..EinsumOptions::default() };
    Einsum::parse(&case.text)?.nest(&case.operand_types(), &options)
}

fn shape(array: &Array) -> Vec<usize> {
    array.shape.iter().map(|e| e.as_constant().expect("sizes are known") as usize).collect()
}

/// Runs the nest on the case's operands; gives the result's values.
fn compute(case: &EinsumCase, nest: &Nest) -> Vec<i64> {
    let names = nest.arrays.iter().filter(|a| a.role == Role::In).map(|a| a.name.clone());
    let inputs = names.zip(case.operands()).collect();
    let outputs = interp::nest::run(nest, &BTreeMap::new(), &inputs);
    let outputs = outputs.unwrap_or_else(|d| panic!("{case:?}\n{d}"));
    outputs["Out"].to_f64s().iter().map(|&v| v as i64).collect()
}

#[test]
fn results_are_numpys() {
    let (mut n_cases, mut n_planned) = (0, 0);
    for case in einsum_suite() {
        let Expected::Result { shape: expected_shape, values } = &case.expected else { continue };
        n_cases += 1;
        for order in [Order::Fixed, Order::Serial] {
            let nest = lower(&case, order).unwrap_or_else(|d| panic!("{case:?}\n{d}"));
            let out = nest.array("Out").expect("the result is Out");
            assert_eq!((out.dtype, &shape(out)), (case.dtype, expected_shape), "{case:?}");
            assert_eq!(&compute(&case, &nest), values, "{case:?}");
            n_planned += usize::from(nest.array("Tmp0").is_some());
        }
    }
    assert!(n_cases >= 2000, "{n_cases} cases");
    assert!(n_planned >= 100, "{n_planned} went through temporaries");
}

#[test]
fn what_numpy_rejects_is_rejected() {
    let mut n_cases = 0;
    for case in einsum_suite() {
        let Expected::Rejected(words) = &case.expected else { continue };
        n_cases += 1;
        let Err(d) = lower(&case, Order::Fixed) else { panic!("NumPy says {words}: {case:?}") };
        assert_eq!(d.blame, Blame::Input, "{case:?}: {d}");
        assert!(d.help.is_some() && !d.labels.is_empty(), "{case:?}: {d}");
    }
    assert!(n_cases >= 200, "{n_cases} cases");
}
