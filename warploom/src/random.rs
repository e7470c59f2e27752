//! Random inputs where no file gives them, reproducible from a seed.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::expr::Literal;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::tensor::Tensor;
use warploom_ir::value::Scalar;

/// Adds a random tensor for every input of `nest` that `inputs` lacks.
///
/// Values lie in the range the nest assumes for the array, if it does; square matrices that are
/// given and written get a dominant diagonal, so that factorisations stay well conditioned.
///
/// # Errors
/// `E0511` when an extent is not known, `E0515` when an extent is negative.
pub fn fill_random(nest: &Nest, inputs: &mut BTreeMap<Name, Tensor>, seed: u64) -> Result<()> {
    for (i, array) in nest.arrays.iter().enumerate() {
        let given = matches!(array.role, Role::In | Role::InOut);
        if !given || inputs.contains_key(&array.name) {
            continue;
        }
        let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
        let mut shape = Vec::new();
        for extent in &array.shape {
            let size = extent.eval(&lookup).and_then(|v| usize::try_from(v).ok());
            shape.push(size.ok_or_else(|| {
                Box::new(
                    Diagnostic::input("E0515", format!("the extent {extent} has no valid size"))
                        .in_source(&nest.source)
                        .label(array.span, "declared here"),
                )
            })?);
        }
        let mut tensor = Tensor::random(array.dtype, &shape, seed.wrapping_add(i as u64))?;
        clamp(nest, &array.name, &mut tensor);
        if array.role == Role::InOut && shape.len() == 2 && shape[0] == shape[1] {
            dominate(&mut tensor, shape[0]);
        }
        inputs.insert(array.name.clone(), tensor);
    }
    Ok(())
}

/// Clamps every element into the assumed range.
fn clamp(nest: &Nest, name: &str, tensor: &mut Tensor) {
    let number = |l: &Literal| match l {
        Literal::Int(v) => *v as f64,
        Literal::Float(v) => *v,
        Literal::Bool(v) => f64::from(u8::from(*v)),
    };
    for range in nest.ranges.iter().filter(|r| &*r.array == name) {
        let (low, high) = (number(&range.lower), number(&range.upper));
        for i in 0..tensor.len() {
            let mut value = tensor.get_flat(i).to_f64();
            if range.integer && tensor.dtype().is_float() {
                value = (value * (high - low) / 2.0).round();
            }
            let value = value.clamp(low, high);
            tensor.set_flat(i, Scalar::from_f64(tensor.dtype(), value));
        }
    }
}

/// Adds the order to the diagonal.
fn dominate(tensor: &mut Tensor, order: usize) {
    for i in 0..order {
        let at = i * order + i;
        let value = tensor.get_flat(at).to_f64() + order as f64;
        tensor.set_flat(at, Scalar::from_f64(tensor.dtype(), value));
    }
}
