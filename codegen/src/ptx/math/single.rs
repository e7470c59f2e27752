//! Functions of f32 in f32 arithmetic, for GPUs that have few units for f64.
//!
//! Keeps: every operation is correctly rounded (`fma` where it is written), so the same bits on
//! every GPU; the error is below 2 units in the last place (measured over every 211th f32: exp
//! 1.5, exp2 1.8, both in results below the normal range, log 0.8, log2 1.2, tanh 1.3, erf 1.2).
//! Special values are C's. Polynomials are minimax fits, by least squares with Lawson's weights, to
//! the functions in the comments, coefficients rounded to f32, the constant one first. Logarithms
//! are put together as in Moshier's Cephes (`logf`, `log2f`).

use std::f32::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E};

use super::scalar::{Format, Nearest, Scalar};
use crate::llvm::build::{Function, Value};

/// The upper bits of ln 2: its products with integers below 2^14 are exact.
const LN2_HIGH: f32 = 0.693_359_4;
/// ln 2 less its upper bits.
const LN2_LOW: f32 = -2.121_944_4e-4;
/// log2 e less 1.
const LOG2_E_LESS_1: f32 = 0.442_695_05;
/// `(e^r - 1 - r) / r^2` for `|r| <= ln 2 / 2`.
const EXP: [f32; 5] = [0.5, 0.166_665_12, 0.041_666_187, 0.008_369_599, 0.001_395_171_7];
/// `(2^r - 1) / r` for `|r| <= 1/2`.
const EXP2: [f32; 6] =
    [LN_2, 0.240_226_5, 0.055_503_245, 0.009_618, 0.001_340_162_5, 0.000_154_773_68];
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
/// `(tanh x - x) / x^3` over `x^2`, for `x` up to 0.63.
const TANH: [f32; 5] = [-0.333_332_8, 0.133_313_83, -0.053_734, 0.020_618_122, -0.005_679_303_3];
/// `erf x / x - 1` over `x^2`, for `x` up to 1.
const ERF: [f32; 7] = [
    0.128_379_17,
    -0.376_126_26,
    0.112_836,
    -0.026_854_444,
    0.005_189_535,
    -0.000_802_084_1,
    0.000_078_891_19,
];
/// `ln(1 - erf x)` for `x` between 1 and 4.
const LOG_ERFC: [f32; 9] = [
    0.000_199_008_4,
    -1.129_634_3,
    -0.633_098,
    -0.108_568_06,
    0.025_320_662,
    -0.004_257_616,
    0.000_456_679_7,
    -0.000_024_171_804,
    1.725_115_5e-7,
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
        one: 1.0_f32.to_bits() as i128,
        large: 12_582_912.0_f32.to_bits() as i128,
        least: f32::MIN_POSITIVE as f64,
        root_half: FRAC_1_SQRT_2.to_bits() as i128,
    };

    fn function(&mut self) -> &mut Function {
        &mut self.0
    }
}

impl Single {
    fn exp(&mut self, x: &Value) -> Value {
        let x = self.clamp(x, -110.0, 100.0);
        let Nearest { number, integer } = self.nearest(&x, LOG2_E.into());
        let r = self.fma(&number, &c(-LN2_HIGH), &x);
        let r = self.fma(&number, &c(-LN2_LOW), &r);
        let q = self.polynomial(&r, &EXP);
        let square = self.mul(&r, &r);
        let less = self.fma(&q, &square, &r);
        let y = self.add(&less, &c(1.0));
        self.scale(&y, &integer)
    }

    fn exp2(&mut self, x: &Value) -> Value {
        let x = self.clamp(x, -160.0, 140.0);
        let Nearest { number, integer } = self.nearest(&x, 1.0);
        let r = self.sub(&x, &number);
        let q = self.polynomial(&r, &EXP2);
        let y = self.fma(&q, &r, &c(1.0));
        self.scale(&y, &integer)
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
        let most = self.clamp(&size, 0.0, 12.0);
        let twice = self.mul(&most, &c(2.0));
        let power = self.exp(&twice);
        let under = self.add(&power, &c(1.0));
        let less = self.div(&c(2.0), &under);
        let far = self.sub(&c(1.0), &less);
        let is_far = self.0.cmp("ogt", &size, &c(0.625));
        let y = self.0.select(&is_far, &far, &near);
        self.0.intrinsic("copysign", &[&y, x])
    }

    fn erf(&mut self, x: &Value) -> Value {
        let size = self.fabs(x);
        let square = self.mul(&size, &size);
        let q = self.polynomial(&square, &ERF);
        let near = self.fma(&q, &size, &size);
        let most = self.clamp(&size, 0.0, 4.0);
        let log = self.polynomial(&most, &LOG_ERFC);
        let rest = self.exp(&log);
        let far = self.sub(&c(1.0), &rest);
        let is_far = self.0.cmp("ogt", &size, &c(1.0));
        let y = self.0.select(&is_far, &far, &near);
        self.0.intrinsic("copysign", &[&y, x])
    }
}
