//! Functions that a GPU has no instruction for, as code of their own.
//!
//! In: the functions a module calls. Out: their definitions in LLVM IR: a host calls its library
//! for them, and nothing links PTX.
//! Keeps: functions of f64 are correctly rounded operations, so the same bits on every GPU, and off
//! by less than 4 units in the last place, `pow` of f64 and of f32 (rounded from f64) by less than
//! 1, the other functions of f32 by less than 2 (`single`); where C's functions have special values
//! (infinities, NaN, negative arguments), so have these.
//! `pow` in f64 takes the logarithm as the sum of two f64, so that its product with an exponent
//! loses nothing (`pairs`).

mod pairs;
mod scalar;
mod single;

use std::collections::BTreeSet;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E, PI};

use crate::llvm::build::{Function, Value};
use crate::llvm::emit::Extern;

use scalar::{Format, Scalar};
pub(crate) use single::inverse;

/// The upper bits of ln 2: its products with integers up to 2^11 are exact.
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
/// ln 2 less its upper bits, to f64.
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// The definitions of these functions.
pub(super) fn definitions(functions: &BTreeSet<Extern>) -> String {
    functions.iter().map(definition).collect()
}

fn definition(function: &Extern) -> String {
    let elem = function.elem;
    let arguments: Vec<String> = (0..function.operands).map(|i| format!("{elem} %x{i}")).collect();
    let short = elem == "float" && function.name != "pow";
    // a call would put what a thread has in registers into memory, and order loads around it
    let inline = if short { "alwaysinline " } else { "" };
    let arguments = arguments.join(", ");
    let header = format!("define internal {elem} @{}({arguments}) {inline}#1", function.symbol());
    let f = Function::new(header);
    if short {
        return single::definition(f, function.name);
    }
    let mut m = Math(f);
    let args: Vec<Value> = (0..function.operands)
        .map(|i| m.0.cast("fpext", &Value::register(format!("%x{i}"), elem, 1), "double"))
        .collect();
    let x = &args[0];
    let result = match function.name {
        "exp" => m.exp(x),
        "exp2" => m.exp2(x),
        "log" => m.log(x),
        "log2" => m.log2(x),
        "tanh" => m.tanh(x),
        "erf" => m.erf(x),
        "pow" if elem == "double" => m.pow(x, &args[1], Math::power_by_pairs),
        "pow" => m.pow(x, &args[1], Math::power_by_log),
        other => unreachable!("the emitter calls no function `{other}`"),
    };
    let result = m.0.cast("fptrunc", &result, elem);
    m.0.finish_with(&result)
}

fn c(value: f64) -> Value {
    Math::c(value)
}

/// One function being written; every value is a scalar f64 unless noted.
struct Math(Function);

/// An integer, as a number and as one.
struct Nearest {
    number: Value,
    integer: Value,
}

/// A number whose last bit counts ones, as do those of its sums with integers up to 2^51.
const ONES: f64 = 6_755_399_441_055_744.0;

impl Scalar for Math {
    const FORMAT: Format = Format {
        elem: "double",
        int: "i64",
        fraction: 52,
        least: f64::MIN_POSITIVE,
        root_half: FRAC_1_SQRT_2.to_bits() as i128,
    };

    fn function(&mut self) -> &mut Function {
        &mut self.0
    }
}

impl Math {
    /// `x` inside a range; NaN stays.
    fn clamp(&mut self, x: &Value, least: f64, most: f64) -> Value {
        let above = self.0.cmp("ogt", x, &c(most));
        let x = self.0.select(&above, &c(most), x);
        let below = self.0.cmp("olt", &x, &c(least));
        self.0.select(&below, &c(least), &x)
    }

    /// The integer nearest to `factor x`, of less than half the fraction's range. By a sum that
    /// has no room for a fraction: the instruction that rounds has an eighth of the units.
    fn nearest(&mut self, x: &Value, factor: f64) -> Nearest {
        let sum = match factor == 1.0 {
            true => self.add(x, &c(ONES)),
            false => self.fma(x, &c(factor), &c(ONES)),
        };
        let number = self.sub(&sum, &c(ONES));
        // from there on a number's bits count by one
        let raw = self.0.cast("bitcast", &sum, "i64");
        let integer = self.0.bin_int("sub", &raw, ONES.to_bits().into());
        Nearest { number, integer }
    }

    /// `2^n` for an integer `n` whose power is a normal number.
    fn power(&mut self, n: &Value) -> Value {
        let field = self.0.bin_int("shl", n, Self::FORMAT.fraction.into());
        let field = self.0.bin_int("add", &field, 1.0_f64.to_bits().into());
        self.0.cast("bitcast", &field, "double")
    }

    /// `y · 2^n`, rounded once, for an integer `n` of less than twice the largest exponent.
    fn scale(&mut self, y: &Value, n: &Value) -> Value {
        let half = self.0.bin_int("ashr", n, 1);
        let rest = self.0.bin("sub", n, &half);
        let (a, b) = (self.power(&half), self.power(&rest));
        let y = self.mul(y, &a);
        self.mul(&y, &b)
    }

    /// `(e^r - 1) / r` for `|r| <= ln 2 / 2`.
    fn exp_series(&mut self, r: &Value) -> Value {
        let mut terms = Vec::new();
        let mut factorial = 1.0;
        for k in 1..=14 {
            factorial *= f64::from(k);
            terms.push(1.0 / factorial);
        }
        self.polynomial(r, &terms)
    }

    /// An integer `n` and `x - n ln 2`.
    fn reduced(&mut self, x: &Value) -> (Value, Value) {
        let Nearest { number, integer } = self.nearest(x, LOG2_E);
        let r = self.fma(&number, &c(-LN2_HIGH), x);
        let r = self.fma(&number, &c(-LN2_LOW), &r);
        (integer, r)
    }

    fn exp(&mut self, x: &Value) -> Value {
        let x = self.clamp(x, -800.0, 800.0);
        let (n, r) = self.reduced(&x);
        self.exp_from(&n, &r)
    }

    /// `e^r · 2^n`.
    fn exp_from(&mut self, n: &Value, r: &Value) -> Value {
        let series = self.exp_series(r);
        let y = self.fma(&series, r, &c(1.0));
        self.scale(&y, n)
    }

    fn exp2(&mut self, x: &Value) -> Value {
        let x = self.clamp(x, -1200.0, 1200.0);
        let Nearest { number, integer } = self.nearest(&x, 1.0);
        let rest = self.sub(&x, &number);
        let r = self.mul(&rest, &c(LN_2));
        self.exp_from(&integer, &r)
    }

    /// `ln m` for `m` between √½ and √2, as `f - rest` with `f = m - 1` exact.
    fn log_series(&mut self, m: &Value) -> (Value, Value) {
        let f = self.sub(m, &c(1.0));
        let two = self.add(&f, &c(2.0));
        // with s = f / (2 + f): ln m = 2 s + 2/3 s^3 + 2/5 s^5 + …, and f = 2 s + s f
        let s = self.div(&f, &two);
        let z = self.mul(&s, &s);
        let terms: Vec<f64> = (1..=11).map(|k| 2.0 / f64::from(2 * k + 1)).collect();
        let series = self.polynomial(&z, &terms);
        let series = self.mul(&series, &z);
        let rest = self.sub(&f, &series);
        let rest = self.mul(&rest, &s);
        (f, rest)
    }

    fn log(&mut self, x: &Value) -> Value {
        let (m, e) = self.parts(x);
        let (f, rest) = self.log_series(&m);
        // e ln2_high is exact; the small parts come first
        let small = self.mul(&e, &c(LN2_LOW));
        let small = self.sub(&small, &rest);
        let y = self.add(&small, &f);
        let y = self.fma(&e, &c(LN2_HIGH), &y);
        self.log_special(x, &y)
    }

    fn log2(&mut self, x: &Value) -> Value {
        let (m, e) = self.parts(x);
        let (f, rest) = self.log_series(&m);
        let y = self.sub(&f, &rest);
        let y = self.fma(&y, &c(LOG2_E), &e);
        self.log_special(x, &y)
    }

    /// `e^(2|x|) - 1 = t` gives `t / (t + 2)`.
    fn tanh(&mut self, x: &Value) -> Value {
        let size = self.fabs(x);
        let twice = self.mul(&size, &c(2.0));
        let twice = self.clamp(&twice, -44.0, 44.0);
        let (n, r) = self.reduced(&twice);
        let series = self.exp_series(&r);
        let small = self.mul(&series, &r);
        let power = self.power(&n);
        let less = self.sub(&power, &c(1.0));
        let t = self.fma(&power, &small, &less);
        let under = self.add(&t, &c(2.0));
        let y = self.div(&t, &under);
        self.0.intrinsic("copysign", &[&y, x])
    }

    /// Taylor's series up to 1; beyond, one less the trapezoidal rule for `erfc`, whose error with
    /// steps of ½ is below 1e-17.
    fn erf(&mut self, x: &Value) -> Value {
        let (mut terms, mut factorial) = (Vec::new(), 1.0);
        for k in 0..20 {
            factorial *= if k == 0 { 1.0 } else { -f64::from(k) };
            terms.push(2.0 / PI.sqrt() / (factorial * f64::from(2 * k + 1)));
        }
        let size = self.fabs(x);
        let size = self.clamp(&size, -6.0, 6.0);
        let square = self.mul(&size, &size);
        let series = self.polynomial(&square, &terms);
        let near = self.mul(&series, &size);

        let mut sum = self.div(&c(1.0), &square);
        for k in 1..=13 {
            let at = 0.25 * f64::from(k * k);
            let under = self.add(&square, &c(at));
            let term = self.div(&c(2.0 * (-at).exp()), &under);
            sum = self.add(&sum, &term);
        }
        let minus = self.mul(&square, &c(-1.0));
        let bell = self.exp(&minus);
        let factor = self.mul(&size, &c(0.5 / PI));
        let factor = self.mul(&factor, &bell);
        let exponent = self.mul(&size, &c(4.0 * PI));
        let grown = self.exp(&exponent);
        let grown = self.sub(&grown, &c(1.0));
        let pole = self.div(&c(2.0), &grown);
        let product = self.mul(&factor, &sum);
        let rest = self.sub(&product, &pole);
        let far = self.sub(&c(1.0), &rest);

        let is_far = self.0.cmp("ogt", &size, &c(1.0));
        let y = self.0.select(&is_far, &far, &near);
        self.0.intrinsic("copysign", &[&y, x])
    }

    /// `x^y` for `x >= 0`, with the error of a logarithm in f64 times the exponent.
    fn power_by_log(&mut self, x: &Value, y: &Value) -> Value {
        let log = self.log(x);
        let product = self.mul(&log, y);
        self.exp(&product)
    }

    /// `x^y` with C's special values, from a function for `x >= 0`.
    fn pow(
        &mut self,
        x: &Value,
        y: &Value,
        positive: fn(&mut Self, &Value, &Value) -> Value,
    ) -> Value {
        let size = self.fabs(x);
        let power = positive(self, &size, y);
        let unit = self.0.cmp("oeq", &size, &c(1.0));
        let number = self.0.cmp("ord", y, y);
        let unit = self.0.bin("and", &unit, &number);
        let power = self.0.select(&unit, &c(1.0), &power);
        // the sign of odd powers, and none of others than integers
        let whole = self.0.intrinsic("trunc", &[y]);
        let integral = self.0.cmp("oeq", &whole, y);
        let half = self.mul(y, &c(0.5));
        let floor = self.0.intrinsic("trunc", &[&half]);
        let even = self.0.cmp("oeq", &floor, &half);
        let signed = self.0.intrinsic("copysign", &[&power, x]);
        let other = self.0.select(&even, &power, &signed);
        let finite = self.0.cmp("ogt", x, &c(f64::NEG_INFINITY));
        let negative = self.0.cmp("olt", x, &c(0.0));
        let wrong = self.0.bin("and", &finite, &negative);
        let broken = self.0.select(&wrong, &c(f64::NAN), &power);
        let out = self.0.select(&integral, &other, &broken);
        let none = self.0.cmp("oeq", y, &c(0.0));
        let one = self.0.cmp("oeq", x, &c(1.0));
        let one = self.0.bin("or", &none, &one);
        self.0.select(&one, &c(1.0), &out)
    }
}

#[cfg(test)]
pub(crate) mod models;
#[cfg(test)]
mod tests;
