//! Schedules are checked step by step: a tiling of an in-place stencil that would read values too
//! early is refused with the two instances that show it; the skewed one is accepted and computes
//! the same bits.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;

use warploom::{Nest, Schedule, bind, compile, fill_random};

const SEIDEL: &str = "param T = 6, N = 40
inout A: f64[N, N]
for t in 0..T, i in 1..N - 1, j in 1..N - 1 {
  S: A[i, j] = (A[i-1, j] + A[i, j-1] + A[i, j] + A[i, j+1] + A[i+1, j]) / 5.0 strict
}
";

fn main() -> Result<(), Box<dyn Error>> {
    let nest = bind(&SEIDEL.parse::<Nest>()?, &BTreeMap::new(), &BTreeMap::new())?;
    let text_order = Schedule::new(&nest)?;

    let refusal = text_order.tile(&["t", "i", "j"], &[4, 8, 8]).expect_err("it is illegal");
    println!("{refusal}\n");
    let witness = refusal.witness.expect("a broken dependence has a witness");
    assert_eq!(&*witness.array, "A");

    let skewed = text_order.skew("i", 1, "t")?.skew("j", 1, "t")?.skew("j", 1, "i")?;
    let tiled = skewed.tile(&["t", "i", "j"], &[4, 8, 8])?;
    println!("{}", tiled.script());

    let mut data = BTreeMap::new();
    fill_random(&nest, &mut data, 7)?;
    let plain = compile::compile(&text_order)?.run(&data, Some(1))?;
    let fast = compile::compile(&tiled)?.run(&data, Some(1))?;
    for (name, tensor) in &plain {
        assert_eq!(tensor.bytes(), fast[name].bytes(), "{name} has other bits");
    }
    Ok(())
}
