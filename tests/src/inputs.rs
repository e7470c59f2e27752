//! Random inputs for a nest at given sizes.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::nest::{Nest, Role};
use warploom_ir::tensor::Tensor;

/// A random tensor for each array that the caller gives; the k-th array's seed is `seed + k`.
///
/// Sizes are those of `sizes`, else those that the nest states.
///
/// # Panics
/// Where an extent is unknown or negative, or an array is larger than memory.
#[must_use]
pub fn random_inputs(
    nest: &Nest,
    sizes: &BTreeMap<Name, i64>,
    seed: u64,
) -> BTreeMap<Name, Tensor> {
    let stated = |name: &str| nest.param(name).and_then(|p| p.value);
    let lookup = |name: &str| sizes.get(name).copied().or_else(|| stated(name));
    let given = |role: &Role| matches!(role, Role::In | Role::InOut);
    let mut out = BTreeMap::new();
    for (seed, array) in (seed..).zip(&nest.arrays).filter(|(_, a)| given(&a.role)) {
        let extents = array.shape.iter().map(|e| e.eval(&lookup).expect("sizes are known"));
        let shape: Vec<usize> =
            extents.map(|e| usize::try_from(e).expect("extents are not negative")).collect();
        let tensor = Tensor::random(array.dtype, &shape, seed).expect("the tensor is small");
        out.insert(array.name.clone(), tensor);
    }
    out
}
