//! The code of a quotient, run on this machine with reciprocals that are off, beside this machine's
//! division.

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::targets::{InitializationConfig, Target};
use warploom_ir::kernel::Kernel;

use super::*;
use crate::llvm::build::Function;
use crate::ptx::math::models::{inverse, replaced};

/// `x` and `y` to the bits of the quotient, then whether it is certain, then whether it is a zero.
type Entry = unsafe extern "C" fn(f32, f32) -> u64;

/// The function of that type.
fn text(side: f64) -> String {
    let kernel: Kernel = "kernel k() { out B: f32[1] B[0]:f32 = 0.0:f32 order serial }"
        .replace("B[0]", "S: B[0]")
        .parse()
        .unwrap_or_else(|e| panic!("{e}"));
    let mut e = Emitter::new(&kernel, Machine::Gpu, String::new());
    e.f = Function::new("define i64 @test(float %x, float %y)".to_owned());
    e.quotients = Some(Quotients::default());
    let [x, y] = ["%x", "%y"].map(|name| Value::register(name, "float", 1));
    let out = e.quotient(&x, &y);
    let known = e.quotients.take().unwrap();
    let raw = e.f.cast("bitcast", &out, "i32");
    let mut packed = e.f.resize(&raw, "i64", false);
    for (test, place) in [(&known.certain[0], 32), (&known.zero[0], 33)] {
        let bit = e.f.resize(test, "i64", false);
        let bit = e.f.bin_int("shl", &bit, place);
        packed = e.f.bin("or", &packed, &bit);
    }
    let function = std::mem::take(&mut e.f);
    replaced(&function.finish_with(&packed)) + &inverse(side)
}

/// What the code answers.
#[derive(Clone, Copy, Debug)]
struct Answer {
    quotient: f32,
    certain: bool,
    zero: bool,
}

/// Calls `check` with the code, for reciprocals that are off to either side and for exact ones.
fn with_code(check: impl Fn(&dyn Fn(f32, f32) -> Answer)) {
    Target::initialize_native(&InitializationConfig::default()).unwrap();
    for side in [0.0, 1.0, -1.0] {
        let (context, text) = (Context::create(), text(side) + "\0");
        let buffer = MemoryBuffer::create_from_memory_range_copy(text.as_bytes(), "test");
        let module = context.create_module_from_ir(buffer);
        let module = module.unwrap_or_else(|e| panic!("{e}\n{text}"));
        let engine = module.create_jit_execution_engine(OptimizationLevel::Default).unwrap();
        // SAFETY: the module defines `test` with these arguments.
        let entry = unsafe { engine.get_function::<Entry>("test") }.unwrap();
        check(&|x, y| {
            // SAFETY: it touches no memory.
            let packed = unsafe { entry.call(x, y) };
            let quotient = f32::from_bits(packed as u32);
            Answer { quotient, certain: packed >> 32 & 1 == 1, zero: packed >> 33 & 1 == 1 }
        });
    }
}

/// The significands `x` for which `x / y` is nearest to the middle between two numbers, `y` odd:
/// `2^(s + 1) x = m y + d` for an odd `m` of 25 bits and a small `d`.
fn hardest(y: u64, mut found: impl FnMut(u64)) {
    let one = |inverse: u64| inverse.wrapping_mul(2_u64.wrapping_sub(y.wrapping_mul(inverse)));
    let inverse = (0..6).fold(y, |inverse, _| one(inverse));
    for (s, d) in [23, 24].into_iter().flat_map(|s| (-5_i64..=5).map(move |d| (s, d))) {
        let modulus = 1_u64 << (s + 1);
        let first = inverse.wrapping_mul(d.unsigned_abs());
        let first = if d > 0 { first.wrapping_neg() } else { first } % modulus;
        let middles = (first..1 << 25).step_by(modulus as usize);
        for m in middles.filter(|m| d != 0 && m % 2 == 1 && *m >= 1 << 24) {
            let scaled = (m * y).wrapping_add_signed(d);
            assert_eq!(scaled % modulus, 0);
            let x = scaled / modulus;
            if (1 << 23..1 << 24).contains(&x) {
                found(x);
            }
        }
    }
}

#[test]
fn quotients_near_the_middle_are_rounded_as_they_should_be() {
    with_code(|divide| {
        let mut tried = 0;
        for y in ((1_u64 << 23) + 1..1 << 24).step_by(6) {
            hardest(y, |x| {
                // exponents of many sizes
                let shift = |seed: u64, range: u64| 2_f32.powi((seed % range) as i32 - 23);
                let (a, b) = (x as f32 * shift(x / 3, 30), y as f32 * shift(y / 7, 20));
                let have = divide(a, b);
                if y == (1 << 24) - 1 {
                    return assert!(!have.certain, "{a:e} / {b:e}: {have:?}");
                }
                assert!(have.certain, "{a:e} / {b:e}: {have:?}");
                assert_eq!(have.quotient.to_bits(), (a / b).to_bits(), "{a:e} / {b:e}: {have:?}");
                tried += 1;
            });
        }
        assert!(tried > 1_000_000, "{tried}");
    });
}

#[test]
fn what_is_called_certain_is_exact() {
    let mut numbers = vec![0.0, 1.0, 3.0, 1e-40, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY];
    numbers.extend([f32::NAN, f32::from_bits(1), f32::from_bits(0x3fff_ffff), 1.0 / 3.0]);
    for exponent in [-126, -102, -101, -100, -99, -81, -80, -60, -21, -20, -19, 60, 79, 80, 81, 127]
    {
        let power = 2_f32.powi(exponent);
        numbers.extend([power, power.next_up(), power.next_down(), 1.234_567_9 * power]);
    }
    let signed: Vec<f32> = numbers.iter().flat_map(|x| [*x, -x]).collect();
    with_code(|divide| {
        let (mut certain, mut zeros) = (0, 0);
        for (x, y) in signed.iter().flat_map(|x| signed.iter().map(move |y| (*x, *y))) {
            let have = divide(x, y);
            certain += u32::from(have.certain);
            zeros += u32::from(have.zero);
            if have.certain || have.zero {
                let want = x / y;
                let equal = have.quotient.to_bits() == want.to_bits();
                assert!(equal, "{x:e} / {y:e} is {want:e}: {have:?}");
            }
        }
        assert!(certain > 500 && zeros > 20, "{certain} {zeros}");
    });
}
