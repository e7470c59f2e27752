//! Powers in f64 from a logarithm of 65 bits and more.
//!
//! In: a positive number and an exponent. Out: the power, with an error below 1 unit in the last
//! place. A pair `(high, low)` of f64 stands for its sum; `low` is at most a few units in the last
//! place of `high`. Requires: fma rounds once. Why here: one f64 has 53 bits, and an exponent up to
//! 1100 shifts 10 of them into the result's error.
//! Source: [Dekker71] for sums and products of pairs; the series is that of `log_series`.

use super::scalar::Scalar;
use super::{LN2_HIGH, LN2_LOW, Math, Nearest, c};
use crate::llvm::build::Value;

/// A sum of two f64, the second one small.
struct Pair {
    high: Value,
    low: Value,
}

/// 2/3 and 2/5 less their f64.
const TWO_THIRDS_LOW: f64 = 2.0 / 3.0 / 18_014_398_509_481_984.0;
/// See [`TWO_THIRDS_LOW`].
const TWO_FIFTHS_LOW: f64 = -0.4 / 18_014_398_509_481_984.0;

impl Math {
    /// `high + low` as a pair, where `|high| >= |low|` or `high` is 0.
    fn sum(&mut self, high: &Value, low: &Value) -> Pair {
        let sum = self.add(high, low);
        let back = self.sub(&sum, high);
        let low = self.sub(low, &back);
        Pair { high: sum, low }
    }

    fn product(&mut self, a: &Pair, b: &Pair) -> Pair {
        let high = self.mul(&a.high, &b.high);
        let minus = self.mul(&high, &c(-1.0));
        let low = self.fma(&a.high, &b.high, &minus);
        let low = self.fma(&a.high, &b.low, &low);
        let low = self.fma(&a.low, &b.high, &low);
        self.sum(&high, &low)
    }

    /// `high + low + pair`, where `high` is the largest.
    fn constant_plus(&mut self, high: f64, low: f64, pair: &Pair) -> Pair {
        let sum = self.sum(&c(high), &pair.high);
        let rest = self.add(&pair.low, &c(low));
        let low = self.add(&sum.low, &rest);
        self.sum(&sum.high, &low)
    }

    /// `ln m` for `m` between √½ and √2.
    fn log_pair(&mut self, m: &Value) -> Pair {
        let f = self.sub(m, &c(1.0));
        // s = f / (2 + f)
        let under = self.sum(&c(2.0), &f);
        let high = self.div(&f, &under.high);
        let minus = self.mul(&high, &c(-1.0));
        let left = self.fma(&minus, &under.high, &f);
        let left = self.fma(&minus, &under.low, &left);
        let low = self.div(&left, &under.high);
        let s = self.sum(&high, &low);
        // ln m = 2 s + s z (2/3 + z (2/5 + z (2/7 + …))) with z = s^2
        let z = self.product(&s, &s);
        let terms: Vec<f64> = (3..=14).map(|k| 2.0 / f64::from(2 * k + 1)).collect();
        let tail = self.polynomial(&z.high, &terms);
        let tail = Pair { high: tail, low: c(0.0) };
        let tail = self.product(&z, &tail);
        let tail = self.constant_plus(0.4, TWO_FIFTHS_LOW, &tail);
        let tail = self.product(&z, &tail);
        let tail = self.constant_plus(2.0 / 3.0, TWO_THIRDS_LOW, &tail);
        let tail = self.product(&z, &tail);
        let tail = self.product(&s, &tail);
        let (high, low) = (self.mul(&s.high, &c(2.0)), self.mul(&s.low, &c(2.0)));
        let sum = self.sum(&high, &tail.high);
        let low = self.add(&low, &tail.low);
        let low = self.add(&sum.low, &low);
        self.sum(&sum.high, &low)
    }

    /// `x^y` for `x >= 0`.
    pub(super) fn power_by_pairs(&mut self, x: &Value, y: &Value) -> Value {
        let (m, e) = self.parts(x);
        let log = self.log_pair(&m);
        // e ln 2 in three parts, the first of which is exact
        let large = self.mul(&e, &c(LN2_HIGH));
        let small = self.mul(&e, &c(LN2_LOW));
        let sum = self.sum(&large, &log.high);
        let low = self.add(&sum.low, &log.low);
        let low = self.add(&low, &small);
        let log = self.sum(&sum.high, &low);
        let high = self.log_special(x, &log.high);
        let exponent = self.mul(y, &high);
        let minus = self.mul(&exponent, &c(-1.0));
        let rest = self.fma(y, &high, &minus);
        let rest = self.fma(y, &log.low, &rest);
        // beyond every exponent of an f64 the rest says nothing, and may be no number
        let size = self.fabs(&exponent);
        let beyond = self.0.cmp("ogt", &size, &c(800.0));
        let rest = self.0.select(&beyond, &c(0.0), &rest);
        let exponent = self.clamp(&exponent, -800.0, 800.0);
        let Nearest { number, integer } = self.nearest(&exponent, std::f64::consts::LOG2_E);
        let r = self.fma(&number, &c(-LN2_HIGH), &exponent);
        let rest = self.fma(&number, &c(-LN2_LOW), &rest);
        let r = self.sum(&r, &rest);
        let series = self.exp_series(&r.high);
        let grown = self.fma(&series, &r.high, &r.low);
        let power = self.add(&grown, &c(1.0));
        self.scale(&power, &integer)
    }
}
