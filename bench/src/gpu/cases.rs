//! Nests whose time is that of their memory traffic.

/// A nest in which `T` stands for the type of its arrays.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// What PyTorch's process calls it (bench/torch_peer.py).
    pub(crate) operation: &'static str,
    nest: &'static str,
    /// The sizes at which f32 makes 100 MB of traffic; the first grows with the traffic.
    sizes: &'static [(&'static str, i64)],
}

const COPY: &str = "param N  in X: T[N]  out Y: T[N]
for i in 0..N { S: Y[i] = X[i] }";

const AXPY: &str = "param N  in X: T[N]  in Y: T[N]  out Z: T[N]
for i in 0..N { S: Z[i] = 2.5 * X[i] + Y[i] }";

const GELU: &str = "param N  in X: T[N]  out Y: T[N]
for i in 0..N { S: Y[i] = 0.5 * X[i] * (1.0 + erf(0.7071067811865476 * X[i])) }";

const BIAS_RELU: &str = "param M, N  in X: T[M, N]  in B: T[N]  out Y: T[M, N]
for i in 0..M, j in 0..N { S: Y[i, j] = max(X[i, j] + B[j], 0.0) }";

const SOFTMAX: &str = "param M, N  in X: T[M, N]  out Y: T[M, N]
temp top: f32[M]  temp sum: f32[M]
for i in 0..M {
  S0: top[i] = -inf
  for j in 0..N { S1: top[i] max= X[i, j] order any }
  S2: sum[i] = 0
  for j in 0..N { S3: sum[i] += exp(X[i, j] - top[i]) order fixed }
  for j in 0..N { S4: Y[i, j] = exp(X[i, j] - top[i]) / sum[i] }
}";

const LAYER_NORM: &str = "param M, N  in X: T[M, N]  in G: T[N]  in B: T[N]  out Y: T[M, N]
temp mean: f32[M]  temp scale: f32[M]
for i in 0..M {
  S0: mean[i] = 0
  for j in 0..N { S1: mean[i] += X[i, j] order fixed }
  S2: mean[i] = mean[i] / N
  S3: scale[i] = 0
  for j in 0..N { S4: scale[i] += (X[i, j] - mean[i]) * (X[i, j] - mean[i]) order fixed }
  S5: scale[i] = rsqrt(scale[i] / N + 0.00001)
  for j in 0..N { S6: Y[i, j] = (X[i, j] - mean[i]) * scale[i] * G[j] + B[j] }
}";

const RMS_NORM: &str = "param M, N  in X: T[M, N]  in G: T[N]  out Y: T[M, N]
temp scale: f32[M]
for i in 0..M {
  S0: scale[i] = 0
  for j in 0..N { S1: scale[i] += X[i, j] * X[i, j] order fixed }
  S2: scale[i] = rsqrt(scale[i] / N + 0.00001)
  for j in 0..N { S3: Y[i, j] = X[i, j] * scale[i] * G[j] }
}";

const TRANSPOSE: &str = "param M, N  in X: T[M, N]  out Y: T[N, M]
for j in 0..N, i in 0..M { S: Y[j, i] = X[i, j] }";

const ACBD: &str = "param A, B, C, D  in X: T[A, B, C, D]  out Y: T[A, C, B, D]
for a in 0..A, c in 0..C, b in 0..B, d in 0..D { S: Y[a, c, b, d] = X[a, b, c, d] }";

const ADCB: &str = "param A, B, C, D  in X: T[A, B, C, D]  out Y: T[A, D, C, B]
for a in 0..A, d in 0..D, c in 0..C, b in 0..B { S: Y[a, d, c, b] = X[a, b, c, d] }";

const CDAB: &str = "param A, B, C, D  in X: T[A, B, C, D]  out Y: T[C, D, A, B]
for c in 0..C, d in 0..D, a in 0..A, b in 0..B { S: Y[c, d, a, b] = X[a, b, c, d] }";

const DCBA: &str = "param A, B, C, D  in X: T[A, B, C, D]  out Y: T[D, C, B, A]
for d in 0..D, c in 0..C, b in 0..B, a in 0..A { S: Y[d, c, b, a] = X[a, b, c, d] }";

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
