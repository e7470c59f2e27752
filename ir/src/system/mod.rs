//! Systems of affine constraints over the integers, and proofs that one has no solution.
//!
//! In: variables, ranges of sums of multiples of them, quotients by constants. Out: that no
//! integers meet all constraints, that some do, or neither where that is not seen.
//! Keeps: both answers are proofs, the one by steps each of which follows from what was there, the
//! other by values that were tried; a caller that must know more asks isl, which decides every
//! system and takes a thousand times as long.
//! Most questions about schedules and kernels are of one form: two instances touch one element, its
//! index is a number written in mixed radix (tiles, points, lanes), so the digits are equal, so the
//! instances are. `refute` reads such numbers digit by digit.
//! Why here: like [`crate::affine`] it is arithmetic on plain values; the scheduler and the
//! verifier, which share no code with each other, both rest on it as both rest on isl.

mod refute;

use std::collections::BTreeMap;

use crate::affine::{Affine, Atom};
use refute::Refutation;

/// The multiples of a sum: variables in increasing order, no coefficient 0.
type Terms = Vec<(usize, i128)>;

/// `constant + Σ coefficient · variable`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linear {
    terms: Terms,
    constant: i128,
}

impl Linear {
    /// A number.
    #[must_use]
    pub fn constant(value: i64) -> Self {
        Self { terms: Vec::new(), constant: value.into() }
    }

    /// A variable that [`System::variable`] gave.
    #[must_use]
    pub fn variable(number: usize) -> Self {
        Self { terms: vec![(number, 1)], constant: 0 }
    }

    /// The sum of all variables, each with its coefficient, and a constant.
    #[must_use]
    pub fn row(coefficients: &[i64], constant: i64) -> Self {
        let terms = coefficients.iter().enumerate().filter(|(_, c)| **c != 0);
        let terms = terms.map(|(variable, c)| (variable, i128::from(*c))).collect();
        Self { terms, constant: constant.into() }
    }

    /// `self + factor · other`; `None` where a number gets too large.
    #[must_use]
    pub fn plus(&self, factor: i128, other: &Self) -> Option<Self> {
        let constant = self.constant.checked_add(other.constant.checked_mul(factor)?)?;
        let mut terms = Terms::with_capacity(self.terms.len() + other.terms.len());
        let (mut mine, mut theirs) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let order = match (mine.peek(), theirs.peek()) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.0.cmp(&b.0),
            };
            let a = if order.is_le() { mine.next() } else { None };
            let b = if order.is_ge() { theirs.next() } else { None };
            let variable = a.or(b)?.0;
            let more = b.map_or(0, |b| b.1).checked_mul(factor)?;
            let coefficient = a.map_or(0, |a| a.1).checked_add(more)?;
            if coefficient != 0 {
                terms.push((variable, coefficient));
            }
        }
        Some(Self { terms, constant })
    }

    /// `self - other`; `None` where a number gets too large.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Option<Self> {
        self.plus(-1, other)
    }

    /// The value, if there are no terms.
    #[must_use]
    pub fn as_constant(&self) -> Option<i128> {
        self.terms.is_empty().then_some(self.constant)
    }

    fn coefficient(&self, variable: usize) -> i128 {
        let at = self.terms.binary_search_by_key(&variable, |t| t.0);
        at.map_or(0, |at| self.terms[at].1)
    }
}

/// The values from `low` to `high`; without an end where that is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The smallest value.
    pub low: Option<i128>,
    /// The largest value.
    pub high: Option<i128>,
}

impl Range {
    /// One value.
    #[must_use]
    pub const fn only(value: i128) -> Self {
        Self { low: Some(value), high: Some(value) }
    }

    /// All values from one on.
    #[must_use]
    pub const fn from(low: i128) -> Self {
        Self { low: Some(low), high: None }
    }

    fn meet(self, other: Self) -> Self {
        let pick = |a: Option<i128>, b: Option<i128>, f: fn(i128, i128) -> i128| match (a, b) {
            (Some(a), Some(b)) => Some(f(a, b)),
            (one, none) => one.or(none),
        };
        let (low, high) =
            (pick(self.low, other.low, i128::max), pick(self.high, other.high, i128::min));
        Self { low, high }
    }

    fn is_empty(self) -> bool {
        self.low.zip(self.high).is_some_and(|(low, high)| low > high)
    }

    /// The value, if there is one only.
    fn single(self) -> Option<i128> {
        self.low.filter(|low| self.high == Some(*low))
    }
}

/// Constraints over integer variables.
#[derive(Clone, Debug, Default)]
pub struct System {
    variables: usize,
    constraints: Vec<(Linear, Range)>,
    /// Quotients that were asked for before: of what, by what.
    quotients: BTreeMap<(Linear, i64), usize>,
}

impl System {
    /// No variables, no constraints.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A new variable, of any value.
    pub fn variable(&mut self) -> usize {
        self.variables += 1;
        self.variables - 1
    }

    /// Requires a sum to be in a range.
    pub fn require(&mut self, sum: Linear, range: Range) {
        self.constraints.push((sum, range));
    }

    /// An expression over variables; each quotient becomes a variable that its definition fixes.
    /// `None` for an unknown name, and where a number gets too large.
    pub fn affine(
        &mut self,
        e: &Affine,
        lookup: &dyn Fn(&str) -> Option<Linear>,
    ) -> Option<Linear> {
        let mut sum = Linear::constant(e.constant_part());
        for (atom, coefficient) in e.terms() {
            let (value, factor) = match atom {
                Atom::Var(name) => (lookup(name)?, coefficient.into()),
                Atom::FloorDiv(e, d) => {
                    let value = self.affine(e, lookup)?;
                    (self.quotient(&value, *d)?, coefficient.into())
                }
                Atom::Mod(e, d) => {
                    let value = self.affine(e, lookup)?;
                    let quotient = self.quotient(&value, *d)?;
                    (value.plus(-i128::from(*d), &quotient)?, coefficient.into())
                }
            };
            sum = sum.plus(factor, &value)?;
        }
        Some(sum)
    }

    /// `floor(value / divisor)`, divisor > 0.
    fn quotient(&mut self, value: &Linear, divisor: i64) -> Option<Linear> {
        if let Some(value) = value.as_constant() {
            return Some(Linear {
                terms: Terms::new(),
                constant: value.div_euclid(divisor.into()),
            });
        }
        let key = (value.clone(), divisor);
        if let Some(known) = self.quotients.get(&key) {
            return Some(Linear::variable(*known));
        }
        let number = self.variable();
        let quotient = Linear::variable(number);
        let rest = value.plus(-i128::from(divisor), &quotient)?;
        let digits = Range { low: Some(0), high: Some(i128::from(divisor) - 1) };
        self.require(rest, digits);
        self.quotients.insert(key, number);
        Some(quotient)
    }

    /// Whether it is proved that no integers meet all constraints and these.
    #[must_use]
    pub fn never_with(&self, more: &[(Linear, Range)]) -> bool {
        Refutation::of(self, more).found()
    }

    /// Whether integers were found that meet all constraints and these: variable by variable the
    /// smallest value that the ranges leave, or the largest.
    #[must_use]
    pub fn sometimes_with(&self, more: &[(Linear, Range)]) -> bool {
        let Some(values) = Refutation::of(self, more).guess() else { return false };
        let value = |sum: &Linear| {
            let start = Some(sum.constant);
            sum.terms.iter().fold(start, |s, (v, c)| s?.checked_add(values[*v].checked_mul(*c)?))
        };
        let meets = |(sum, range): &(Linear, Range)| {
            value(sum).is_some_and(|v| !range.meet(Range::only(v)).is_empty())
        };
        self.constraints.iter().chain(more).all(meets)
    }
}

#[cfg(test)]
mod tests;
