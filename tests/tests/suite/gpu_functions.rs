//! What a GPU's own instructions compute: functions of f32 that approximate by them, quotients that
//! are made together, conversions to 16 bits.
//!
//! Everywhere the schedules assemble for every GPU; where there is a GPU, they run on it.

use std::collections::BTreeMap;

use warploom::device::Device;
use warploom::{DType, Nest, Target, Tensor, compile};
use warploom_ir::abi::GpuCode;
use warploom_ir::interp;

const GPUS: [Target; 3] = [Target::Sm80, Target::Sm90a, Target::Sm100a];
/// Distance of the bit patterns that are tried, and how many there are.
const STEP: usize = 1021;
const COUNT: usize = (1 << 32) / STEP;

fn code(text: &str, target: Target) -> GpuCode {
    let nest: Nest = text.parse().unwrap_or_else(|d| panic!("{d}"));
    let schedule = compile::auto_for(&nest, target).unwrap_or_else(|d| panic!("{d}"));
    let lowered = compile::lower(&schedule).unwrap_or_else(|d| panic!("{text}\n{d}"));
    lowered.gpu(target).unwrap_or_else(|d| panic!("{text}\n{d}"))
}

/// The outputs of a nest on the first GPU; nothing where there is none.
fn run(text: &str, inputs: &[(&str, &Tensor)]) -> Option<BTreeMap<String, Tensor>> {
    for target in GPUS {
        let code = code(text, target);
        let said = compile::resources(&code).unwrap_or_else(|d| panic!("{text}\n{d}"));
        assert!(said.contains("registers"), "{said}");
    }
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(d) => {
            assert!(matches!(d.code, "E1110" | "E1116"), "{d}");
            println!("skipped on a GPU: {}", d.message);
            return None;
        }
    };
    let program = device.load(&code(text, device.target())).unwrap_or_else(|d| panic!("{d}"));
    let inputs = inputs.iter().map(|(name, t)| ((*name).into(), (*t).clone())).collect();
    let outputs = program.run(&inputs, &BTreeMap::new()).unwrap_or_else(|d| panic!("{text}\n{d}"));
    Some(outputs.into_iter().map(|(name, tensor)| (name.to_string(), tensor)).collect())
}

fn floats(values: impl Iterator<Item = f32>) -> Tensor {
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    Tensor::from_bytes(DType::F32, &[bytes.len() / 4], &bytes).unwrap_or_else(|e| panic!("{e}"))
}

/// Numbers of every exponent, both signs, and NaNs.
fn patterns() -> Tensor {
    floats((0..COUNT).map(|k| f32::from_bits((k * STEP) as u32)))
}

/// Units in the last place by which an f32 is off, `want` being nearly exact.
fn units(have: f64, want: f64) -> f64 {
    if have.is_nan() && want.is_nan() || have == f64::from(want as f32) {
        return 0.0;
    }
    let size = want.abs().max(f64::from(f32::MIN_POSITIVE));
    (have - want).abs() / (size.log2().floor() - 23.0).exp2()
}

#[test]
fn functions_of_f32_are_off_by_less_than_two_units() {
    let x = patterns();
    for function in ["exp", "exp2", "log", "log2", "tanh", "erf"] {
        let text = format!(
            "param N = {COUNT}\nin X: f32[N]\nout Y: f32[N]\nout Z: f64[N]\n\
             for i in 0..N {{ S: Y[i] = {function}(X[i])  R: Z[i] = {function}(cast_f64(X[i])) }}"
        );
        let Some(out) = run(&text, &[("X", &x)]) else { continue };
        let (have, want) = (out["Y"].to_f64s(), out["Z"].to_f64s());
        let mut worst = (0.0, 0.0);
        for ((x, have), want) in x.to_f64s().into_iter().zip(have).zip(want) {
            let off = units(have, want);
            assert!(off.is_finite(), "{function}({x:e}) is {want:e}, not {have:e}");
            if off > worst.0 {
                worst = (off, x);
            }
        }
        println!("{function}: {:.3} units at {:e}", worst.0, worst.1);
        assert!(worst.0 < 2.0, "{function}({:e}) is off by {} units", worst.1, worst.0);
    }
}

#[test]
fn quotients_with_one_divisor_are_rounded_correctly() {
    const ROWS: usize = 4096;
    const COLUMNS: usize = 512;
    let mut state = 1_u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 32) as u32
    };
    // of every size; every second row's dividends near one, so that none needs another division
    let near = |bits: u32| f32::from_bits(bits % (16 << 23) + (120 << 23));
    let s: Vec<f32> =
        (0..ROWS).map(|i| if i % 4 == 0 { f32::from_bits(word()) } else { near(word()) }).collect();
    let x: Vec<f32> = (0..ROWS * COLUMNS)
        .map(|k| match (k / COLUMNS % 2, k % 37) {
            (0, 0) => 0.0,
            (0, _) => near(word()),
            (_, _) => f32::from_bits(word()),
        })
        .collect();
    let text = format!(
        "in X: f32[{ROWS}, {COLUMNS}]\nin D: f32[{ROWS}]\nout Y: f32[{ROWS}, {COLUMNS}]\n\
         for i in 0..{ROWS}, j in 0..{COLUMNS} {{ S: Y[i, j] = X[i, j] / D[i] }}"
    );
    let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dividends = Tensor::from_bytes(DType::F32, &[ROWS, COLUMNS], &bytes).unwrap();
    let divisors = floats(s.iter().copied());
    let Some(out) = run(&text, &[("X", &dividends), ("D", &divisors)]) else { return };
    for (k, have) in out["Y"].to_f64s().into_iter().enumerate() {
        let (a, b) = (x[k], s[k / COLUMNS]);
        let (have, want) = (have as f32, a / b);
        let same = have.to_bits() == want.to_bits() || have.is_nan() && want.is_nan();
        assert!(same, "{a:e} / {b:e} is {want:e}, not {have:e}");
    }
}

#[test]
fn numbers_of_16_bits_are_those_of_the_interpreter() {
    let count = 1 << 17;
    let x = floats((0..count).map(|k: u32| f32::from_bits(k.wrapping_mul(32_771))));
    for dtype in ["bf16", "f16"] {
        let text = format!(
            "param N = {count}\nin X: f32[N]\nout Y: {dtype}[N]\nfor i in 0..N {{ S: Y[i] = X[i] }}"
        );
        let Some(out) = run(&text, &[("X", &x)]) else { continue };
        let nest: Nest = text.parse().unwrap();
        let inputs = BTreeMap::from([("X".into(), x.clone())]);
        let want = interp::nest::run(&nest, &BTreeMap::new(), &inputs).unwrap();
        assert_eq!(out["Y"].bytes(), want["Y"].bytes(), "{dtype}");
        let back = format!(
            "param N = {count}\nin Y: {dtype}[N]\nout Z: f32[N]\nfor i in 0..N {{ S: Z[i] = Y[i] }}"
        );
        let out = run(&back, &[("Y", &out["Y"])]).expect("there was a GPU before");
        for (have, want) in out["Z"].to_f64s().into_iter().zip(want["Y"].to_f64s()) {
            assert!(have.to_bits() == want.to_bits() || have.is_nan() && want.is_nan(), "{dtype}");
        }
    }
}

/// Loops between quotients, the first of which is 0 (decision 0043): which run, and how often.
#[test]
fn loops_between_quotients() {
    for (factor, divisor, more) in [(8, 5, 2), (64, 33, 30), (4, 3, 1), (10, 7, 3)] {
        let extent = (factor * 33 + more) / divisor + 2;
        let text = format!(
            "in A: f32[{extent}]\nout B: f32[34]\nfor t in 0..34 {{\n  S0: B[t] = 0
  for p in floor(({factor} * t) / {divisor})..floor(({factor} * t + {more}) / {divisor}) + 2 {{
    S1: B[t] += A[p]\n  }}\n}}\n"
        );
        let input = floats((0..extent).map(|p| (p * p + 1) as f32));
        let Some(have) = run(&text, &[("A", &input)]) else { continue };
        let sum = |t: i32| {
            let first = factor * t / divisor;
            let end = (factor * t + more) / divisor + 2;
            (first..end).map(|p| f64::from(p * p + 1)).sum::<f64>()
        };
        assert_eq!(have["B"].to_f64s(), (0..34).map(sum).collect::<Vec<_>>(), "{text}");
    }
}
