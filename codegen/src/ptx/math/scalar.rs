//! Arithmetic that the functions of f64 and of f32 share.
//!
//! In: a function being written and a format. Out: instructions at its end. Keeps: every operation
//! is correctly rounded, `fma` stands only where it is written. Why here: the two files beside it
//! differ in series and reductions, and in nothing else.

use crate::llvm::build::{Function, Value};

/// A binary floating-point format, and what taking its numbers apart needs.
pub(super) struct Format {
    /// LLVM's name.
    pub(super) elem: &'static str,
    /// LLVM's integer of the same size.
    pub(super) int: &'static str,
    /// Bits of the fraction.
    pub(super) fraction: i32,
    /// The bits of 1, and of 1.5 · 2^fraction.
    pub(super) one: i128,
    pub(super) large: i128,
    /// The least normal number.
    pub(super) least: f64,
    /// The bits of √½.
    pub(super) root_half: i128,
}

/// An integer, as a number and as one.
pub(super) struct Nearest {
    pub(super) number: Value,
    pub(super) integer: Value,
}

/// A function of one format being written; every value is a scalar of that format unless noted.
pub(super) trait Scalar {
    /// The format.
    const FORMAT: Format;

    /// The function.
    fn function(&mut self) -> &mut Function;

    /// A number that the format holds.
    fn c(value: f64) -> Value {
        Value::float(Self::FORMAT.elem, value)
    }

    fn fma(&mut self, a: &Value, b: &Value, add: &Value) -> Value {
        self.function().intrinsic("fma", &[a, b, add])
    }

    fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.function().bin("fmul", a, b)
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.function().bin("fadd", a, b)
    }

    fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.function().bin("fsub", a, b)
    }

    fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.function().bin("fdiv", a, b)
    }

    fn fabs(&mut self, x: &Value) -> Value {
        self.function().intrinsic("fabs", &[x])
    }

    /// `x` inside a range; NaN stays.
    fn clamp(&mut self, x: &Value, least: f64, most: f64) -> Value {
        let f = self.function();
        if Self::FORMAT.fraction < 24 {
            // one instruction each, for f32 alone
            let x = f.intrinsic("minimum", &[x, &Self::c(most)]);
            return f.intrinsic("maximum", &[&x, &Self::c(least)]);
        }
        let above = f.cmp("ogt", x, &Self::c(most));
        let x = f.select(&above, &Self::c(most), x);
        let below = f.cmp("olt", &x, &Self::c(least));
        f.select(&below, &Self::c(least), &x)
    }

    /// The integer nearest to `factor x`, of less than half the fraction's range. By a sum that
    /// has no room for a fraction: the instruction that rounds has an eighth of the units.
    fn nearest(&mut self, x: &Value, factor: f64) -> Nearest {
        let of = Self::FORMAT;
        let large = 1.5 * f64::from(of.fraction).exp2();
        let sum = match factor == 1.0 {
            true => self.add(x, &Self::c(large)),
            false => self.fma(x, &Self::c(factor), &Self::c(large)),
        };
        let number = self.sub(&sum, &Self::c(large));
        // from there on a number's bits count by one
        let raw = self.function().cast("bitcast", &sum, of.int);
        let integer = self.function().bin_int("sub", &raw, of.large);
        Nearest { number, integer }
    }

    /// `Σ coefficients[k] x^k`.
    fn polynomial<T: Copy + Into<f64>>(&mut self, x: &Value, coefficients: &[T]) -> Value {
        let (last, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
        let start = Self::c((*last).into());
        rest.iter().rev().fold(start, |sum, k| self.fma(&sum, x, &Self::c((*k).into())))
    }

    /// `2^n` for an integer `n` whose power is a normal number.
    fn power(&mut self, n: &Value) -> Value {
        let of = Self::FORMAT;
        let field = self.function().bin_int("shl", n, of.fraction.into());
        let field = self.function().bin_int("add", &field, of.one);
        self.function().cast("bitcast", &field, of.elem)
    }

    /// `y · 2^n`, rounded once, for an integer `n` of less than twice the largest exponent.
    fn scale(&mut self, y: &Value, n: &Value) -> Value {
        let half = self.function().bin_int("ashr", n, 1);
        let rest = self.function().bin("sub", n, &half);
        let (a, b) = (self.power(&half), self.power(&rest));
        let y = self.mul(y, &a);
        self.mul(&y, &b)
    }

    /// `x = m · 2^e` with `m` between √½ and √2, for positive finite `x`; `e` as a number too.
    fn parts(&mut self, x: &Value) -> (Value, Value) {
        let of = Self::FORMAT;
        let fraction = i128::from(of.fraction);
        // numbers below the normal range are made normal
        let grown = f64::from(of.fraction + 2);
        let tiny = self.function().cmp("olt", x, &Self::c(of.least));
        let large = self.mul(x, &Self::c(grown.exp2()));
        let f = self.function();
        let x = f.select(&tiny, &large, x);
        let raw = f.cast("bitcast", &x, of.int);
        let apart = f.bin_int("sub", &raw, of.root_half);
        let e = f.bin_int("ashr", &apart, fraction);
        let field = f.bin_int("shl", &e, fraction);
        let m = f.bin("sub", &raw, &field);
        let m = f.cast("bitcast", &m, of.elem);
        let e = f.cast("sitofp", &e, of.elem);
        let less = self.sub(&e, &Self::c(grown));
        (m, self.function().select(&tiny, &less, &e))
    }

    /// What a logarithm gives for arguments that have none.
    fn log_special(&mut self, x: &Value, y: &Value) -> Value {
        let f = self.function();
        let infinite = f.cmp("oeq", x, &Self::c(f64::INFINITY));
        let y = f.select(&infinite, x, y);
        let positive = f.cmp("ogt", x, &Self::c(0.0));
        let y = f.select(&positive, &y, &Self::c(f64::NAN));
        let zero = f.cmp("oeq", x, &Self::c(0.0));
        f.select(&zero, &Self::c(f64::NEG_INFINITY), &y)
    }
}
