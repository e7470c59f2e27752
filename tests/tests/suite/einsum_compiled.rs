//! The NumPy suite through the compiled path: what the machine code computes is what NumPy gives.
//!
//! Every accepted expression is bound, scheduled, lowered, sealed, compiled and run; every fourth
//! one also with a serial reduction order. The suite is cut into shards, so that nextest spreads
//! it over the cores: about 45 ms of processor time a case.

use std::collections::BTreeMap;

use warploom::compile;
use warploom::diag::Result;
use warploom_ir::einsum::{Einsum, EinsumOptions};
use warploom_ir::nest::Order;
use warploom_ir::tensor::Tensor;
use warploom_tests::{EinsumCase, Expected, einsum_suite};

const SHARDS: usize = 8;
/// Accepted expressions of the suite.
const ACCEPTED: usize = 2400;

/// The result of the compiled program on a number of threads.
fn compute(case: &EinsumCase, order: Order, threads: usize) -> Result<Tensor> {
    let options = EinsumOptions { order, ..EinsumOptions::default() };
    let nest = Einsum::parse(&case.text)?.nest(&case.operand_types(), &options)?;
    let inputs: BTreeMap<_, _> = warploom::inputs(&nest).into_iter().zip(case.operands()).collect();
    let shapes = inputs.iter().map(|(n, t)| (n.clone(), t.shape().to_vec())).collect();
    let nest = warploom::bind(&nest, &BTreeMap::new(), &shapes)?;
    compile::check_nest(&nest)?;
    let program = compile::compile(&compile::auto(&nest)?)?;
    let mut outputs = program.run(&inputs, Some(threads))?;
    Ok(outputs.remove("Out").expect("the result is Out"))
}

/// What is wrong with the result, if anything.
fn complaint(case: &EinsumCase, order: Order, threads: usize) -> Option<String> {
    let Expected::Result { shape, values } = &case.expected else { return None };
    match compute(case, order, threads) {
        Err(d) => Some(format!("{order:?}: {case:?}\n{d}")),
        Ok(out) => {
            let got: Vec<i64> = out.to_f64s().iter().map(|&v| v as i64).collect();
            let same = out.dtype() == case.dtype && out.shape() == shape && got == *values;
            (!same).then(|| format!("{order:?}: {case:?}\ngot {:?} {got:?}", out.shape()))
        }
    }
}

fn shard(number: usize) {
    let accepted = |c: &EinsumCase| matches!(c.expected, Expected::Result { .. });
    let suite: Vec<EinsumCase> = einsum_suite().into_iter().filter(accepted).collect();
    assert_eq!(suite.len(), ACCEPTED, "a case of the suite is missing");
    let mut wrong = Vec::new();
    for (i, case) in suite.iter().enumerate().filter(|(i, _)| i % SHARDS == number) {
        let turn = i / SHARDS;
        wrong.extend(complaint(case, Order::Fixed, 1 + turn % 3));
        if turn.is_multiple_of(4) {
            wrong.extend(complaint(case, Order::Serial, 2));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! shards {
    ($($name:ident $number:literal)*) => {
        $(
            #[test]
            fn $name() {
                shard($number);
            }
        )*

        #[test]
        fn every_shard_is_a_test() {
            assert_eq!([$($number),*].to_vec(), (0..SHARDS).collect::<Vec<_>>());
        }
    };
}

shards! {
    compiled_results_are_numpys_0 0
    compiled_results_are_numpys_1 1
    compiled_results_are_numpys_2 2
    compiled_results_are_numpys_3 3
    compiled_results_are_numpys_4 4
    compiled_results_are_numpys_5 5
    compiled_results_are_numpys_6 6
    compiled_results_are_numpys_7 7
}
