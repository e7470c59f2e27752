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
    /// The least normal number.
    pub(super) least: f64,
    /// The bits of √½.
    pub(super) root_half: i128,
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

    /// `Σ coefficients[k] x^k`.
    fn polynomial<T: Copy + Into<f64>>(&mut self, x: &Value, coefficients: &[T]) -> Value {
        let (last, rest) = coefficients.split_last().expect("a polynomial has a coefficient");
        let start = Self::c((*last).into());
        rest.iter().rev().fold(start, |sum, k| self.fma(&sum, x, &Self::c((*k).into())))
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
