//! The same definitions, run on this machine and compared with its library. What approximates on a
//! GPU is a model here, whose results are off by as much as is published.

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::targets::{InitializationConfig, Target};

use super::*;
use models::replaced;

/// Calls `y = name(x...)` for each list of arguments, with instructions that are off to a side.
fn run(name: &'static str, elem: &'static str, inputs: &[[f64; 2]], side: f64) -> Vec<f64> {
    let operands = if name == "pow" { 2 } else { 1 };
    let function = Extern { name, elem, operands };
    let exp2 = Extern { name: "exp2", elem: "double", operands: 1 };
    let mut text = definitions(&BTreeSet::from([function, exp2]));
    text = replaced(&text);
    text.push_str(&models::powers(side));
    text.push_str(&models::inverse(side));
    let mut f = Function::new("define void @test(ptr %in, ptr %out)".to_owned());
    let mut args = Vec::new();
    for i in 0..operands {
        let p = f.def("ptr", 1, &format!("getelementptr double, ptr %in, i64 {i}"));
        let v = f.def("double", 1, &format!("load double, ptr {}", p.text));
        args.push(f.cast("fptrunc", &v, elem).arg());
    }
    let y = f.def(elem, 1, &format!("call {elem} @{}({})", function.symbol(), args.join(", ")));
    let y = f.cast("fpext", &y, "double");
    f.line(&format!("store {}, ptr %out", y.arg()));
    text.push_str(&f.finish());
    text.push_str("attributes #1 = { nounwind willreturn memory(none) }\n\0");
    Target::initialize_native(&InitializationConfig::default()).unwrap();
    let context = Context::create();
    let buffer = MemoryBuffer::create_from_memory_range_copy(text.as_bytes(), "test");
    let module = context.create_module_from_ir(buffer).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let engine = module.create_jit_execution_engine(OptimizationLevel::None).unwrap();
    type Entry = unsafe extern "C" fn(*const f64, *mut f64);
    // SAFETY: the module defines `test` with these arguments.
    let entry = unsafe { engine.get_function::<Entry>("test") }.unwrap();
    let call = |x: &[f64; 2]| {
        let mut y = 0.0;
        // SAFETY: it reads two elements and writes one.
        unsafe { entry.call(x.as_ptr(), &raw mut y) };
        y
    };
    inputs.iter().map(call).collect()
}

/// A function of this machine's library.
type Function1 = fn(f64) -> f64;

/// The largest error in units of the last place; both NaN, or equal, is none.
fn worst(inputs: &[[f64; 2]], have: &[f64], want: impl Fn([f64; 2]) -> f64, bits: f64) -> f64 {
    let mut most: f64 = 0.0;
    for (x, y) in inputs.iter().zip(have) {
        let w = want(*x);
        if y.is_nan() && w.is_nan() {
            continue;
        }
        if *y == w {
            assert_eq!(y.is_sign_negative(), w.is_sign_negative(), "{x:?}: {y} instead of {w}");
            continue;
        }
        let least = if bits > 50.0 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
        let unit = (w.abs().max(least).log2().floor() - bits).exp2();
        let error = (y - w).abs() / unit;
        assert!(error.is_finite(), "{x:?}: {y} instead of {w}");
        most = most.max(error);
    }
    most
}

/// All numbers of bf16, others of every size and both signs, and special ones.
fn arguments() -> Vec<[f64; 2]> {
    let mut out = Vec::new();
    let mut state = 1_u64;
    let mut unit = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    for _ in 0..20_000 {
        let sign = if unit() < 0.5 { -1.0 } else { 1.0 };
        out.push([sign * 2_f64.powf(unit() * 80.0 - 60.0), 8.0 * unit() - 4.0]);
        out.push([unit() * 12.0 - 6.0, (unit() * 20.0 - 10.0).round()]);
        out.push([1.0 + (unit() - 0.5) * 0.01, unit()]);
        out.push([unit() * 1500.0 - 750.0, -unit()]);
        // powers of every size
        let x = 2_f64.powf(unit() * 2.0 - 1.0).powf(unit() * 1000.0);
        out.push([x, (unit() * 1480.0 - 740.0) / x.ln()]);
        out.push([1.0 + (unit() - 0.5) * 1e-6, (unit() - 0.5) * 1.4e9]);
    }
    out.extend((0..1_u32 << 16).map(|b| [f64::from(f32::from_bits(b << 16)), 1.0]));
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        -3.0,
        0.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        5e-324,
        1e-310,
        1e300,
        -1e300,
        709.7,
        710.0,
        -745.0,
        -746.0,
        1024.0,
        -1074.0,
        -1075.0,
    ];
    out.extend(special.iter().flat_map(|a| special.map(|b| [*a, b])));
    out
}

#[test]
fn functions_are_as_exact_as_stated() {
    let inputs = arguments();
    let functions: [(&str, Function1); 6] = [
        ("exp", f64::exp),
        ("exp2", f64::exp2),
        ("log", f64::ln),
        ("log2", f64::log2),
        ("tanh", f64::tanh),
        ("erf", libm::erf),
    ];
    for (name, want) in functions {
        let have = run(name, "double", &inputs, 0.0);
        let error = worst(&inputs, &have, |x| want(x[0]), 52.0);
        println!("{name} f64: {error:.2} ulp");
        assert!(error < 4.0, "{name}: {error} ulp");
        for side in [0.0, 1.0, -1.0] {
            narrow(name, &inputs, want, side);
        }
    }
}

/// A function of f32, whose instructions are off to a side, is off by less than two units.
fn narrow(name: &'static str, inputs: &[[f64; 2]], want: Function1, side: f64) {
    let have = run(name, "float", inputs, side);
    let want = |x: [f64; 2]| want(f64::from(x[0] as f32));
    // what f32 cannot hold is infinite, what is halfway is off by as much
    let limit = |y: f64| if (y as f32).is_infinite() { f64::from(y as f32) } else { y };
    let error = worst(inputs, &have, |x| limit(want(x)), 23.0);
    println!("{name} f32, side {side}: {error:.2} ulp");
    assert!(error < 2.0, "{name} of f32, side {side}: {error} ulp");
}

#[test]
fn powers_of_f64_are_as_exact_as_stated() {
    let inputs = arguments();
    let have = run("pow", "double", &inputs, 0.0);
    let error = worst(&inputs, &have, |x| x[0].powf(x[1]), 52.0);
    println!("pow f64: {error:.2} ulp");
    // the library rounds its own result: another half
    assert!(error <= 1.0, "{error} ulp");
}

#[test]
fn powers_of_f32_are_as_exact_as_stated() {
    let inputs = arguments();
    let have = run("pow", "float", &inputs, 0.0);
    let want = |x: [f64; 2]| f64::from(f64::from(x[0] as f32).powf(f64::from(x[1] as f32)) as f32);
    let error = worst(&inputs, &have, want, 23.0);
    assert!(error <= 1.0, "{error} ulp");
}
