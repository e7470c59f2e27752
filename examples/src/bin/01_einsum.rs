//! A matrix product from an einsum: read, compile for this machine, run, compare.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;

use warploom::{DType, Spec, SpecTypes, Tensor, bind, compile, inputs, verify};

fn main() -> Result<(), Box<dyn Error>> {
    let (m, n, k) = (48, 33, 65);
    let operands = vec![(DType::F32, Some(vec![m, k])), (DType::F32, Some(vec![k, n]))];
    let types = SpecTypes { operands, ..SpecTypes::default() };
    let nest = Spec::read("mk,kn->mn")?.nest(&types)?;
    let nest = bind(&nest, &BTreeMap::new(), &BTreeMap::new())?;

    let schedule = compile::auto(&nest)?;
    println!("{}", schedule.script());
    let program = compile::compile(&schedule)?;

    let mut data = BTreeMap::new();
    for (name, (shape, seed)) in inputs(&nest).into_iter().zip([(vec![m, k], 1), (vec![k, n], 2)]) {
        data.insert(name, Tensor::random(DType::F32, &shape, seed)?);
    }
    let results = program.run(&data, None)?;

    // by hand, in binary64
    let operand = |k: usize| data[&inputs(&nest)[k]].to_f64s();
    let (a, b) = (operand(0), operand(1));
    for (name, result) in &results {
        for (at, value) in result.to_f64s().into_iter().enumerate() {
            let (i, j) = (at / n, at % n);
            let terms = (0..k).map(|l| a[i * k + l] * b[l * n + j]);
            let (sum, size) = terms.fold((0.0, 0.0), |(s, z), t| (s + t, z + t.abs()));
            let bound = k as f64 * f64::from(f32::EPSILON) * size;
            assert!((value - sum).abs() <= bound, "{name}[{i},{j}] = {value}, not {sum}");
        }
    }
    // the same comparison, by the library
    let found = verify::check(&nest, &data, &results)?;
    println!("largest error {:.1e}, bound {:.1e}", found.max_error, found.bound);
    assert!(found.max_error <= found.bound);
    Ok(())
}
