//! Nests whose time is that of their memory traffic; their texts are in `bench/cases`, where the
//! performance model's tests read them too.

/// A nest in which `T` stands for the type of its arrays.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What PyTorch's process calls it (bench/torch_peer.py).
    pub(crate) operation: &'static str,
    nest: &'static str,
    /// The sizes at which f32 makes 100 MB of traffic; the first grows with the traffic.
    sizes: &'static [(&'static str, i64)],
}

const COPY: &str = include_str!("../../cases/copy.nest");
const AXPY: &str = include_str!("../../cases/axpy.nest");
const GELU: &str = include_str!("../../cases/gelu.nest");
const BIAS_RELU: &str = include_str!("../../cases/bias_relu.nest");
const SOFTMAX: &str = include_str!("../../cases/softmax.nest");
const LAYER_NORM: &str = include_str!("../../cases/layer_norm.nest");
const RMS_NORM: &str = include_str!("../../cases/rms_norm.nest");
const TRANSPOSE: &str = include_str!("../../cases/transpose.nest");
const ACBD: &str = include_str!("../../cases/permute_acbd.nest");
const ADCB: &str = include_str!("../../cases/permute_adcb.nest");
const CDAB: &str = include_str!("../../cases/permute_cdab.nest");
const DCBA: &str = include_str!("../../cases/permute_dcba.nest");

const LINE: &[(&str, i64)] = &[("N", 12_582_912)];
const ROWS: &[(&str, i64)] = &[("M", 3072), ("N", 4096)];
const CUBES: &[(&str, i64)] = &[("A", 48), ("B", 64), ("C", 64), ("D", 64)];

const fn case(
    name: &'static str,
    operation: &'static str,
    nest: &'static str,
    sizes: &'static [(&'static str, i64)],
) -> Case {
    Case { name, operation, nest, sizes }
}

/// All of them.
pub(crate) const CASES: [Case; 14] = [
    case("copy", "copy", COPY, LINE),
    case("axpy", "axpy", AXPY, &[("N", 8_388_608)]),
    case("gelu", "gelu", GELU, LINE),
    case("bias-relu", "bias-relu", BIAS_RELU, ROWS),
    case("softmax-4096", "softmax", SOFTMAX, ROWS),
    case("softmax-1024", "softmax", SOFTMAX, &[("M", 12_288), ("N", 1024)]),
    case("layer-norm", "layer-norm", LAYER_NORM, ROWS),
    case("rms-norm", "rms-norm", RMS_NORM, ROWS),
    case("transpose", "permute 1 0", TRANSPOSE, ROWS),
    case("transpose-odd", "permute 1 0", TRANSPOSE, &[("M", 3071), ("N", 4099)]),
    case("permute-acbd", "permute 0 2 1 3", ACBD, CUBES),
    case("permute-adcb", "permute 0 3 2 1", ADCB, CUBES),
    case("permute-cdab", "permute 2 3 0 1", CDAB, CUBES),
    case("permute-dcba", "permute 3 2 1 0", DCBA, CUBES),
];

impl Case {
    /// The text of the nest for a type, and its sizes for `factor` times as many elements.
    pub(crate) fn at(&self, dtype: &str, factor: i64) -> (String, Vec<(&'static str, i64)>) {
        let text = self.nest.replace(": T[", &format!(": {dtype}["));
        let sizes = self.sizes.iter().enumerate();
        let sizes = sizes.map(|(k, &(name, n))| (name, if k == 0 { n * factor } else { n }));
        (text, sizes.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use warploom::{Nest, Sizes, bind, compile, fill_random, verify};

    use super::*;
    use crate::gpu::problem;

    fn nest(case: &Case, dtype: &str, sizes: &Sizes) -> Nest {
        let nest: Nest = case.at(dtype, 1).0.parse().unwrap();
        bind(&nest, sizes, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn every_case_moves_the_bytes_it_says() {
        for case in &CASES {
            let sizes: Sizes =
                case.at("f32", 1).1.into_iter().map(|(n, v)| (n.into(), v)).collect();
            let nest = nest(case, "f32", &sizes);
            let names = problem::arrays(&nest);
            let bytes: usize = names.iter().map(|n| problem::size_bytes(&nest, n).unwrap()).sum();
            assert!((100..=101).contains(&(bytes / 1_000_000)), "{}: {bytes}", case.name);
        }
    }

    #[test]
    fn every_case_computes_what_it_says_at_a_small_size() {
        for case in &CASES {
            for dtype in ["f32", "bf16"] {
                let small = [7, 5, 3, 4];
                let sizes = case.at(dtype, 1).1.into_iter().zip(small);
                let nest = nest(case, dtype, &sizes.map(|((n, _), v)| (n.into(), v)).collect());
                compile::check_nest(&nest).unwrap();
                let mut inputs = BTreeMap::new();
                fill_random(&nest, &mut inputs, 1).unwrap();
                let program = compile::compile(&compile::auto(&nest).unwrap()).unwrap();
                let outputs = program.run(&inputs, Some(1)).unwrap();
                verify::check(&nest, &inputs, &outputs).unwrap();
            }
        }
    }
}
