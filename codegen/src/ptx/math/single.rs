//! Functions of f32 in f32 arithmetic, for GPUs that have few units for f64.
//!
//! Keeps: the error is below 2 units in the last place, with powers of two and reciprocals by the
//! instructions that approximate them (decision 0039), for which the tests here take any error up
//! to the published one: 1.41 units between 0 and 1 for `2^x`, 1 for `1 / x` [Oberman05]. All
//! other operations are correctly rounded (`fma` where it is written), so the same bits on every
//! run. Measured with exact instructions, and with ones that are off to either side: exp 0.9 and
//! 1.7, exp2 0.5 and 1.4, tanh 1.3 and 1.6, erf 1.2 and 1.4; log 0.8, log2 1.1. Special values are
//! C's.
//! Polynomials are minimax fits, by least squares with Lawson's weights, to the functions in the
//! comments, coefficients rounded to f32, the constant one first. Logarithms are put together as
//! in Moshier's Cephes (`logf`, `log2f`); that a saturating sum finds the exponent of `exp`, so
//! that every argument has one, is in NVIDIA's libdevice.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use super::scalar::{Format, Scalar};
use crate::llvm::build::{Function, Value};

/// The upper bits of ln 2: its products with integers below 2^14 are exact.
const LN2_HIGH: f32 = 0.693_359_4;
/// ln 2 less its upper bits.
const LN2_LOW: f32 = -2.121_944_4e-4;
/// log2 e less 1.
const LOG2_E_LESS_1: f32 = 0.442_695_05;
/// log2 e less its f32.
const LOG2_E_LOW: f32 = 1.925_963e-8;
/// The exponents of powers of two that are normal numbers: the least, and how many more there are.
const LEAST_EXPONENT: f32 = -126.0;
const EXPONENTS: f32 = 253.0;
/// A number whose last bit counts ones, as do those of its sums with integers up to 2^22.
const ONES: f32 = 12_582_912.0;
/// `(ln(1 + f) - f + f^2 / 2) / f^3` for `1 + f` between √½ and √2.
const LOG: [f32; 9] = [
    0.333_333_13,
    -0.250_000_1,
    0.200_021_43,
    -0.166_680_43,
    0.142_190_53,
    -0.124_043_435,
    0.118_908_48,
    -0.116_849_706,
    0.067_520_59,
];
/// `(tanh x - x) / x^3` over `x^2`, for `x` up to 0.8.
const TANH: [f32; 6] =
    [-0.333_333, 0.133_322_21, -0.053_852_323, 0.021_302_96, -0.007_409_51, 0.001_584_728_5];
/// `erf x / x - 1` over `x^2`, for `x` up to 1.
const ERF: [f32; 7] = [
    0.128_379_17,
    -0.376_126_26,
    0.112_835_854,
    -0.026_853_811,
    0.005_188_325,
    -0.000_801_016_87,
    0.000_078_537_734,
];
/// `log2(1 - erf x)` for `x` from 1 to 4; beyond, it falls without an end.
const LOG_ERFC: [f32; 8] = [
    0.000_271_280_06,
    -1.629_637_1,
    -0.913_543_2,
    -0.156_414_91,
    0.036_367_804,
    -0.006_065_892_5,
    0.000_636_712_24,
    -0.000_031_287_385,
];

/// The whole text of a function of `%x0`.
pub(super) fn definition(f: Function, name: &str) -> String {
    let x = Value::register("%x0", "float", 1);
    let mut m = Single(f);
    let y = match name {
        "exp" => m.exp(&x),
        "exp2" => m.exp2(&x),
        "log" => m.log(&x),
        "log2" => m.log2(&x),
        "tanh" => m.tanh(&x),
        "erf" => m.erf(&x),
        other => unreachable!("the emitter calls no function `{other}`"),
    };
    m.0.finish_with(&y)
}

fn c(value: f32) -> Value {
    Single::c(f64::from(value))
}

/// One function being written; every value is a scalar f32 unless noted.
struct Single(Function);

impl Scalar for Single {
    const FORMAT: Format = Format {
        elem: "float",
        int: "i32",
        fraction: 23,
        least: f32::MIN_POSITIVE as f64,
        root_half: FRAC_1_SQRT_2.to_bits() as i128,
    };

    fn function(&mut self) -> &mut Function {
        &mut self.0
    }
}

/// An instruction of f32 that LLVM has no name of its own for.
fn machine(f: &mut Function, name: &str, args: &[&Value]) -> Value {
    let list: Vec<String> = args.iter().map(|a| a.arg()).collect();
    f.def("float", 1, &format!("call float @llvm.nvvm.{name}.f({})", list.join(", ")))
}

/// `1 / x`, off by less than a unit, for `x` and `1 / x` that are normal numbers.
pub(crate) fn inverse(f: &mut Function, x: &Value) -> Value {
    let y = machine(f, "rcp.approx.ftz", &[x]);
    let minus = f.negated(x);
    let rest = f.intrinsic("fma", &[&minus, &y, &c(1.0)]);
    f.intrinsic("fma", &[&y, &rest, &y])
}

impl Single {
    fn machine(&mut self, name: &str, args: &[&Value]) -> Value {
        machine(&mut self.0, name, args)
    }

    /// `2^n 2^r` with `r = x log2 e - n`, where `n` is the integer nearest to `x log2 e` that is
    /// the exponent of a normal number: `r` takes what is beyond. No number has the least one.
    fn exp(&mut self, x: &Value) -> Value {
        let [slope, zero] = [LOG2_E, -LEAST_EXPONENT].map(|c0| c(c0 / EXPONENTS));
        let place = self.machine("fma.rn.sat", &[x, &slope, &zero]);
        // the last eight bits are the exponent's field
        let field = self.fma(&place, &c(EXPONENTS), &c(ONES + 1.0));
        let minus = self.sub(&c(ONES + 1.0 - LEAST_EXPONENT), &field);
        let r = self.fma(x, &c(LOG2_E), &minus);
        let r = self.fma(x, &c(LOG2_E_LOW), &r);
        let y = self.machine("ex2.approx.ftz", &[&r]);
        let raw = self.0.cast("bitcast", &field, "i32");
        let raw = self.0.bin_int("shl", &raw, 23);
        let power = self.0.cast("bitcast", &raw, "float");
        self.mul(&y, &power)
    }

    fn exp2(&mut self, x: &Value) -> Value {
        self.machine("ex2.approx", &[x])
    }

    /// With `m = 1 + f`: `f`, its square, and `ln m - f + f^2 / 2`.
    fn log_series(&mut self, m: &Value) -> (Value, Value, Value) {
        let f = self.sub(m, &c(1.0));
        let square = self.mul(&f, &f);
        let p = self.polynomial(&f, &LOG);
        let cubic = self.mul(&p, &f);
        let cubic = self.mul(&cubic, &square);
        (f, square, cubic)
    }

    fn log(&mut self, x: &Value) -> Value {
        let (m, e) = self.parts(x);
        let (f, square, cubic) = self.log_series(&m);
        // the small parts come first
        let y = self.fma(&e, &c(LN2_LOW), &cubic);
        let y = self.fma(&square, &c(-0.5), &y);
        let y = self.add(&f, &y);
        let y = self.fma(&e, &c(LN2_HIGH), &y);
        self.log_special(x, &y)
    }

    fn log2(&mut self, x: &Value) -> Value {
        let (m, e) = self.parts(x);
        let (f, square, cubic) = self.log_series(&m);
        let y = self.fma(&square, &c(-0.5), &cubic);
        // (f + y) log2 e, the small parts first
        let z = self.mul(&y, &c(LOG2_E_LESS_1));
        let z = self.fma(&f, &c(LOG2_E_LESS_1), &z);
        let z = self.add(&z, &y);
        let z = self.add(&z, &f);
        let z = self.add(&z, &e);
        self.log_special(x, &z)
    }

    fn tanh(&mut self, x: &Value) -> Value {
        let size = self.fabs(x);
        let square = self.mul(&size, &size);
        let p = self.polynomial(&square, &TANH);
        let p = self.mul(&p, &square);
        let near = self.fma(&p, &size, &size);
        // 1 - 2 / (e^(2x) + 1)
        let most = self.0.intrinsic("minimum", &[&size, &c(12.0)]);
        let exponent = self.mul(&most, &c(2.0 * LOG2_E));
        let power = self.machine("ex2.approx.ftz", &[&exponent]);
        let under = self.add(&power, &c(1.0));
        let inverse = inverse(&mut self.0, &under);
        let far = self.fma(&inverse, &c(-2.0), &c(1.0));
        let is_far = self.0.cmp("ogt", &size, &c(0.8));
        let y = self.0.select(&is_far, &far, &near);
        self.0.intrinsic("copysign", &[&y, x])
    }

    fn erf(&mut self, x: &Value) -> Value {
        let size = self.fabs(x);
        let square = self.mul(&size, &size);
        let q = self.polynomial(&square, &ERF);
        let near = self.fma(&q, &size, &size);
        let log = self.polynomial(&size, &LOG_ERFC);
        let rest = self.machine("ex2.approx.ftz", &[&log]);
        let far = self.sub(&c(1.0), &rest);
        let is_far = self.0.cmp("ogt", &size, &c(1.0));
        let y = self.0.select(&is_far, &far, &near);
        self.0.intrinsic("copysign", &[&y, x])
    }
}
