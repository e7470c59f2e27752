//! Random matrices and reference products, made on the device by plain nests.
//!
//! Why on the device: a product of order 16384 has a gigabyte of arrays, and its reference 10^10
//! operations for the sampled rows alone. Why nests of ours are no circle: sums are `serial`, in
//! f64, one thread each; they share no schedule with what is measured, and the contestant that is
//! not ours is held to them as well.

use std::collections::BTreeMap;
use std::error::Error;

use warploom::device::{Device, DeviceBuffer, LoadedProgram};
use warploom::{DType, Name, Nest, Sizes, Tensor, compile};
use warploom_contest::Product;

/// Up to so many rows every row is compared; beyond, one of each so many.
const BAND: usize = 128;
/// Most rows that are compared whatever the number.
const ALL: usize = 512;

/// Programs by their text.
pub(crate) struct Programs {
    device: Device,
    loaded: BTreeMap<String, LoadedProgram>,
}

/// Sampled rows of a product in f64, and their sums of absolute products.
pub(crate) struct Reference {
    rows: Rows,
    sums: Vec<f64>,
    sizes: Vec<f64>,
}

/// Which rows are sampled: `step · s + first` for `s` below `count`.
#[derive(Clone, Copy)]
struct Rows {
    step: usize,
    first: usize,
    count: usize,
}

impl Rows {
    fn of(m: usize, seed: usize) -> Self {
        let step = if m <= ALL { 1 } else { BAND };
        let first = seed % step;
        Self { step, first, count: (m - first).div_ceil(step) }
    }

    /// The parameters `S` and `F`, and what is promised of them.
    fn promise(self) -> String {
        let step = self.step;
        format!("assume F >= 0\nassume {step}*S + F <= M + {}", step - 1)
    }

    /// The index of a sampled row.
    fn row(self) -> String {
        format!("{}*s + F", self.step)
    }
}

impl Programs {
    pub(crate) fn new(device: &Device) -> Self {
        Self { device: device.clone(), loaded: BTreeMap::new() }
    }

    /// The program of a nest, with the automatic schedule.
    pub(crate) fn of(&mut self, text: &str) -> Result<LoadedProgram, Box<dyn Error>> {
        if let Some(program) = self.loaded.get(text) {
            return Ok(program.clone());
        }
        let nest: Nest = text.parse()?;
        let target = self.device.target();
        let code = compile::lower(&compile::auto_for(&nest, target)?)?.gpu(target)?;
        let program = self.device.load(&code)?;
        self.loaded.insert(text.to_owned(), program.clone());
        Ok(program)
    }

    fn run(
        &mut self,
        text: &str,
        arrays: &[(&str, &DeviceBuffer)],
        sizes: &[(&str, usize)],
    ) -> Result<(), Box<dyn Error>> {
        let arrays = arrays.iter().map(|(n, b)| (Name::from(*n), (*b).clone())).collect();
        let size = |&(n, v): &(&str, usize)| Ok((Name::from(n), i64::try_from(v)?));
        let sizes: Sizes = sizes.iter().map(size).collect::<Result<_, Box<dyn Error>>>()?;
        Ok(self.of(text)?.launch(&arrays, &sizes)?.wait()?)
    }

    /// Fills a matrix with numbers between -1 and 1 that depend on `seed`.
    pub(crate) fn random(
        &mut self,
        matrix: &DeviceBuffer,
        seed: usize,
    ) -> Result<(), Box<dyn Error>> {
        let &[rows, columns] = matrix.shape() else { return Err("no matrix".into()) };
        self.run(&random(matrix.dtype(), rows, columns), &[("X", matrix)], &[("S", seed)])
    }

    /// The reference of `A` and `B`.
    pub(crate) fn reference(
        &mut self,
        product: &Product,
        [a, b]: [&DeviceBuffer; 2],
        seed: usize,
    ) -> Result<Reference, Box<dyn Error>> {
        let Product { m, n, k, .. } = *product;
        let rows = Rows::of(m, seed);
        let shape = [rows.count, n];
        let (sums, sizes) =
            (self.device.buffer(DType::F64, &shape)?, self.device.buffer(DType::F64, &shape)?);
        let arrays = [("A", a), ("B", b), ("R", &sums), ("T", &sizes)];
        let values = [("M", m), ("N", n), ("K", k), ("S", rows.count), ("F", rows.first)];
        self.run(&reference(product, rows), &arrays, &values)?;
        Ok(Reference { rows, sums: sums.read()?.to_f64s(), sizes: sizes.read()?.to_f64s() })
    }

    /// The largest error of the sampled rows, in units of the sum of absolute products and beyond
    /// the rounding of the output; infinite where an element is no number.
    pub(crate) fn error(
        &mut self,
        reference: &Reference,
        c: &DeviceBuffer,
    ) -> Result<f64, Box<dyn Error>> {
        let &[m, n] = c.shape() else { return Err("no matrix".into()) };
        let rows = reference.rows;
        let sampled = self.device.buffer(c.dtype(), &[rows.count, n])?;
        let values = [("M", m), ("N", n), ("S", rows.count), ("F", rows.first)];
        self.run(&copied(c.dtype(), rows), &[("C", c), ("X", &sampled)], &values)?;
        Ok(worst(reference, &sampled.read()?))
    }
}

/// The largest error of sampled rows, as [`Programs::error`] has it.
fn worst(reference: &Reference, found: &Tensor) -> f64 {
    // one unit in the last place: what is rounded twice may be off by more than half of one
    let (relative, least) = if found.dtype() == DType::Bf16 {
        (1.0 / 128.0, 0.0)
    } else if found.dtype() == DType::F16 {
        (1.0 / 1024.0, 1.0 / f64::from(1 << 24))
    } else {
        (0.0, 0.0)
    };
    let elements = found.to_f64s();
    let wanted = reference.sums.iter().zip(&reference.sizes);
    elements.iter().zip(wanted).fold(0.0, |most, (have, (sum, size))| {
        let beyond = (have - sum).abs() - relative * sum.abs() - least;
        let error = beyond.max(0.0) / size.max(f64::MIN_POSITIVE);
        // `max` would drop what is no number
        if have.is_finite() { error.max(most) } else { f64::INFINITY }
    })
}

/// A hash of the element's number, the upper 24 bits of it as a number between -1 and 1, or the
/// upper 8 as an integer.
fn random(dtype: DType, rows: usize, columns: usize) -> String {
    let first = "cast_u32(i) * 2654435761 + cast_u32(S) * 2246822519";
    let mixed = |h: &str, shift, factor| format!("xor({h}, shr({h}, {shift})) * {factor}");
    let second = mixed(&format!("({first})"), 15, 2_246_822_507_u32);
    let third = mixed(&format!("({second})"), 13, 3_266_489_909_u32);
    let value = if dtype.is_float() {
        format!("f32(shr({third}, 8)) * 0.00000011920928955078125 - 1.0")
    } else {
        format!("cast_{dtype}(shr({third}, 24))")
    };
    format!(
        "param S
assume S >= 0
out X: {dtype}[{rows}, {columns}]
for i in 0..{} {{
  X[floor(i / {columns}), i mod {columns}] = {value}
}}",
        rows * columns
    )
}

fn reference(product: &Product, rows: Rows) -> String {
    let Product { a_transposed, b_transposed, dtype, .. } = product;
    let row = rows.row();
    let (a, a_at) =
        if *a_transposed { ("K, M", format!("k, {row}")) } else { ("M, K", format!("{row}, k")) };
    let (b, b_at) = if *b_transposed { ("N, K", "n, k") } else { ("K, N", "k, n") };
    let pair = format!("f64(A[{a_at}]) * f64(B[{b_at}])");
    format!(
        "param M, N, K, S, F
{}
in A: {dtype}[{a}]  in B: {dtype}[{b}]
out R: f64[S, N]  out T: f64[S, N]
for s in 0..S, n in 0..N {{
  R[s, n] = 0.0
  T[s, n] = 0.0
  for k in 0..K {{
    R[s, n] += {pair} order serial
    T[s, n] += abs({pair}) order serial
  }}
}}",
        rows.promise()
    )
}

fn copied(dtype: DType, rows: Rows) -> String {
    format!(
        "param M, N, S, F
{}
in C: {dtype}[M, N]  out X: {dtype}[S, N]
for s in 0..S, n in 0..N {{ X[s, n] = C[{}, n] }}",
        rows.promise(),
        rows.row()
    )
}

/// A nest that one thread runs for as long as `N` says, with no memory to speak of.
pub(crate) const STALL: &str = "param N
inout X: f32[1]
for k in 0..N { X[0] = X[0] * 0.999 + 1.0 order serial }";

#[cfg(test)]
mod tests {
    use super::*;

    fn on_the_processor(
        text: &str,
        inputs: &[(&str, &Tensor)],
        sizes: &[(&str, usize)],
    ) -> BTreeMap<Name, Tensor> {
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        compile::check_nest(&nest).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let inputs = inputs.iter().map(|(n, t)| (Name::from(*n), (*t).clone())).collect();
        let sizes: Sizes =
            sizes.iter().map(|(n, v)| (Name::from(*n), i64::try_from(*v).unwrap())).collect();
        let program = compile::compile(&compile::auto(&nest).unwrap()).unwrap();
        program.run_at(&inputs, &sizes, Some(1)).unwrap()
    }

    fn matrix(dtype: DType, shape: [usize; 2], seed: usize) -> Tensor {
        let text = random(dtype, shape[0], shape[1]);
        on_the_processor(&text, &[], &[("S", seed)]).remove("X").unwrap()
    }

    #[test]
    fn numbers_are_spread_and_differ_by_seed() {
        let (one, two) = (matrix(DType::F16, [61, 64], 1), matrix(DType::F16, [61, 64], 2));
        assert_ne!(one.bytes(), two.bytes());
        let values = one.to_f64s();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square = values.iter().map(|v| v * v).sum::<f64>() / n;
        assert!(mean.abs() < 0.05 && (square - 1.0 / 3.0).abs() < 0.03, "{mean} {square}");
        let neighbours = values.iter().zip(&values[64..]).map(|(a, b)| a * b).sum::<f64>() / n;
        assert!(neighbours.abs() < 0.03, "{neighbours}");
        let integers = matrix(DType::I8, [64, 64], 3).to_f64s();
        let mean = integers.iter().sum::<f64>() / integers.len() as f64;
        assert!(mean.abs() < 5.0 && integers.contains(&-128.0), "{mean}");
    }

    #[test]
    fn errors_are_found_in_sampled_rows_of_all_layouts() {
        for (a_transposed, b_transposed) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let (m, n, k, dtype) = (515, 6, 33, DType::Bf16);
            let (out, fast) = (DType::F32, false);
            let product = Product { m, n, k, a_transposed, b_transposed, dtype, out, fast };
            let [a, b, _] = product.shapes();
            let (a, b) = (matrix(dtype, a, 3), matrix(dtype, b, 4));
            let rows = Rows::of(m, 200);
            assert_eq!((rows.step, rows.first, rows.count), (128, 72, 4));
            let values = [("M", m), ("N", n), ("K", k), ("S", rows.count), ("F", rows.first)];
            let made =
                on_the_processor(&reference(&product, rows), &[("A", &a), ("B", &b)], &values);
            let of = |name: &str| made[name].to_f64s();
            let reference = Reference { rows, sums: of("R"), sizes: of("T") };
            let mut c = vec![f64::NAN; m * n];
            let at = |t: &Tensor, swap: bool, i, j| {
                let at = if swap { [j, i] } else { [i, j] };
                t.get(&at).to_f64()
            };
            for (i, c) in c.chunks_mut(n).enumerate().skip(rows.first).step_by(rows.step) {
                for (j, c) in c.iter_mut().enumerate() {
                    let pair = |l| at(&a, a_transposed, i, l) * at(&b, b_transposed, l, j);
                    *c = (0..k).map(pair).sum();
                }
            }
            let sampled = |c: &[f64]| {
                let c = Tensor::from_f64s(DType::F32, &[m, n], c).unwrap();
                let values = [("M", m), ("N", n), ("S", rows.count), ("F", rows.first)];
                let text = copied(DType::F32, rows);
                on_the_processor(&text, &[("C", &c)], &values).remove("X").unwrap()
            };
            assert!(worst(&reference, &sampled(&c)) < 1e-6);
            let place = (rows.first + rows.step) * n + 5;
            c[place] += 0.01;
            assert!(worst(&reference, &sampled(&c)) > 1e-4);
            c[place] = f64::NAN;
            assert!(worst(&reference, &sampled(&c)).is_infinite());
        }
    }

    #[test]
    fn every_nest_becomes_code_of_a_gpu() {
        let product = |a_transposed, b_transposed| {
            let (dtype, out, fast) = (DType::F16, DType::F16, false);
            Product { m: 1, n: 1, k: 1, a_transposed, b_transposed, dtype, out, fast }
        };
        let all = [Rows::of(100, 7), Rows::of(16384, 7)];
        let mut texts = vec![STALL.to_owned(), random(DType::Bf16, 1 << 20, 64)];
        texts.extend([DType::I8, DType::E4m3, DType::Tf32].map(|d| random(d, 1 << 10, 64)));
        for rows in all {
            texts.push(copied(DType::F32, rows));
            texts.push(reference(&product(false, true), rows));
            texts.push(reference(&product(true, false), rows));
        }
        for text in texts {
            let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
            let schedule = compile::auto_for(&nest, warploom::Target::Sm90a).unwrap();
            let lowered = compile::lower(&schedule).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let code = lowered.gpu(warploom::Target::Sm90a);
            let code = code.unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert!(!code.launches().is_empty(), "{text}");
        }
    }

    #[test]
    fn the_stall_runs_as_long_as_it_is_told() {
        let x = Tensor::from_f64s(DType::F32, &[1], &[0.0]).unwrap();
        let x = on_the_processor(STALL, &[("X", &x)], &[("N", 3)]).remove("X").unwrap();
        assert!((x.to_f64s()[0] - 2.997_001).abs() < 1e-5);
    }
}
