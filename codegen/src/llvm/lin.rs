//! Index expressions with everything around them substituted, as linear forms.
//!
//! In: an [`Index`] and what its variables stand for. Out: a [`Lin`], `constant + Σ coefficient ·
//! atom`, equal to another exactly when the two were built from equal parts: this is how code
//! generation sees that two accesses name one address, or that a trip count is constant.
//! Keeps: coefficients wrap silently; the verifier excludes kernels where that could happen.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Condition, Index};

/// What variables stand for.
pub(crate) type Env = BTreeMap<Name, Lin>;

/// What a coefficient multiplies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Atom {
    /// A parameter, or a loop variable whose value is in a register.
    Var(Name),
    /// A value in a register that is known to be 0 or more, and below a number.
    Digit(Name, i64),
    /// The number of the vector lane.
    Lane,
    /// Quotient by a positive constant, rounded down.
    FloorDiv(Box<Lin>, i64),
    /// Remainder by a positive constant.
    Mod(Box<Lin>, i64),
    /// Smaller of two.
    Min(Box<Lin>, Box<Lin>),
    /// Larger of two.
    Max(Box<Lin>, Box<Lin>),
    /// One of two by a condition.
    Select(Box<Cond>, Box<Lin>, Box<Lin>),
}

/// A condition on linear forms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cond {
    /// `a >= b`.
    Ge(Lin, Lin),
    /// `a == b`.
    Eq(Lin, Lin),
    /// Every one holds.
    All(Vec<Cond>),
    /// Some holds.
    Any(Vec<Cond>),
}

/// A linear form (see the file's page).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lin {
    /// Atoms and their coefficients, none zero.
    pub(crate) terms: BTreeMap<Atom, i64>,
    /// The constant part.
    pub(crate) constant: i64,
}

impl Lin {
    /// A constant.
    pub(crate) fn constant(value: i64) -> Self {
        Self { terms: BTreeMap::new(), constant: value }
    }

    /// One atom.
    pub(crate) fn atom(atom: Atom) -> Self {
        Self { terms: BTreeMap::from([(atom, 1)]), constant: 0 }
    }

    /// A variable in a register.
    pub(crate) fn var(name: &Name) -> Self {
        Self::atom(Atom::Var(name.clone()))
    }

    /// A variable in a register that is at least 0 and below a number.
    pub(crate) fn digit(name: &Name, below: i64) -> Self {
        Self::atom(Atom::Digit(name.clone(), below))
    }

    /// `self + factor * other`.
    pub(crate) fn plus(&self, factor: i64, other: &Self) -> Self {
        let mut out = self.clone();
        out.constant = out.constant.wrapping_add(factor.wrapping_mul(other.constant));
        for (atom, c) in &other.terms {
            let entry = out.terms.entry(atom.clone()).or_insert(0);
            *entry = entry.wrapping_add(factor.wrapping_mul(*c));
        }
        out.terms.retain(|_, c| *c != 0);
        out
    }

    /// `self + value`.
    pub(crate) fn offset(&self, value: i64) -> Self {
        let mut out = self.clone();
        out.constant = out.constant.wrapping_add(value);
        out
    }

    /// The value, if it depends on nothing.
    pub(crate) fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// `self - other`, if that depends on nothing.
    pub(crate) fn difference(&self, other: &Self) -> Option<i64> {
        self.plus(-1, other).as_constant()
    }

    /// The least and the greatest value, where it is made of digits.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        let (mut low, mut high) = (self.constant, self.constant);
        for (atom, c) in &self.terms {
            let Atom::Digit(_, below) = atom else { return None };
            let most = c.checked_mul(below - 1)?;
            (low, high) = (low.checked_add(most.min(0))?, high.checked_add(most.max(0))?);
        }
        Some((low, high))
    }

    /// Whether every term is a multiple of a number.
    pub(crate) fn is_multiple(&self, of: i64) -> bool {
        self.constant % of == 0 && self.terms.values().all(|factor| factor % of == 0)
    }

    /// The exponent of the greatest power of two that every term is a multiple of; 64 for 0.
    pub(crate) fn zeros(&self) -> u32 {
        self.terms.values().fold(self.constant, |bits, factor| bits | factor).trailing_zeros()
    }

    /// `floor(self / divisor)`, where that is whole multiples in the terms and a constant, because
    /// what is left are digits that never reach the next multiple.
    fn quotient(&self, divisor: i64) -> Option<Self> {
        let mut out = Self::constant(self.constant.div_euclid(divisor));
        let mut rest = Self::constant(self.constant.rem_euclid(divisor));
        for (atom, c) in &self.terms {
            let (to, c) = if c % divisor == 0 { (&mut out, c / divisor) } else { (&mut rest, *c) };
            to.terms.insert(atom.clone(), c);
        }
        let (low, high) = rest.bounds()?;
        let left = low.div_euclid(divisor);
        (left == high.div_euclid(divisor)).then(|| out.offset(left))
    }

    /// Whether some term is a digit.
    fn has_digits(&self) -> bool {
        self.terms.keys().any(|atom| matches!(atom, Atom::Digit(..)))
    }

    /// `floor(self / divisor)`.
    pub(crate) fn floor_div(&self, divisor: i64) -> Self {
        if divisor == 1 {
            return self.clone();
        }
        if let (true, Some(known)) = (self.has_digits(), self.quotient(divisor)) {
            return known;
        }
        let (step, rest) = self.in_steps(divisor);
        match self.as_constant() {
            Some(v) => Self::constant(v.div_euclid(divisor)),
            None if step == divisor => rest,
            None => Self::atom(Atom::FloorDiv(Box::new(rest), divisor / step)),
        }
    }

    /// A divisor of a number and of all factors, and the form in steps of it, rounded down.
    fn in_steps(&self, of: i64) -> (i64, Self) {
        const fn gcd(a: i64, b: i64) -> i64 {
            if b == 0 { a } else { gcd(b, a % b) }
        }
        let step = self.terms.values().fold(of, |step, factor| gcd(step, factor.wrapping_abs()));
        let terms = self.terms.iter().map(|(atom, factor)| (atom.clone(), factor / step));
        (step, Self { terms: terms.collect(), constant: self.constant.div_euclid(step) })
    }

    /// `self - divisor * floor(self / divisor)`.
    pub(crate) fn modulo(&self, divisor: i64) -> Self {
        if let (true, Some(known)) = (self.has_digits(), self.quotient(divisor)) {
            return self.plus(-divisor, &known);
        }
        match self.as_constant() {
            Some(v) => Self::constant(v.rem_euclid(divisor)),
            None if divisor == 1 => Self::constant(0),
            None => {
                let (step, rest) = self.in_steps(divisor);
                let left = Self::constant(self.constant.rem_euclid(step));
                match divisor / step {
                    1 => left,
                    steps => left.plus(step, &Self::atom(Atom::Mod(Box::new(rest), steps))),
                }
            }
        }
    }

    /// The smaller of two.
    pub(crate) fn smaller(&self, other: &Self) -> Self {
        match self.difference(other) {
            Some(d) if d <= 0 => self.clone(),
            Some(_) => other.clone(),
            None => Self::atom(Atom::Min(Box::new(self.clone()), Box::new(other.clone()))),
        }
    }

    /// The larger of two.
    pub(crate) fn larger(&self, other: &Self) -> Self {
        match self.difference(other) {
            Some(d) if d >= 0 => self.clone(),
            Some(_) => other.clone(),
            None => Self::atom(Atom::Max(Box::new(self.clone()), Box::new(other.clone()))),
        }
    }

    /// The linear form of an index.
    pub(crate) fn of(index: &Index, env: &Env) -> Self {
        match index {
            Index::Const(v) => Self::constant(*v),
            Index::Var(name) => env.get(name).cloned().unwrap_or_else(|| Self::var(name)),
            Index::Add(a, b) => Self::of(a, env).plus(1, &Self::of(b, env)),
            Index::Sub(a, b) => Self::of(a, env).plus(-1, &Self::of(b, env)),
            Index::Mul(c, a) => Self::default().plus(*c, &Self::of(a, env)),
            Index::FloorDiv(a, d) => Self::of(a, env).floor_div(*d),
            Index::Mod(a, d) => Self::of(a, env).modulo(*d),
            Index::Min(a, b) => Self::of(a, env).smaller(&Self::of(b, env)),
            Index::Max(a, b) => Self::of(a, env).larger(&Self::of(b, env)),
            Index::Select(c, a, b) => {
                let (c, a, b) = (Cond::of(c, env), Self::of(a, env), Self::of(b, env));
                match c.as_constant() {
                    Some(true) => a,
                    Some(false) => b,
                    None => Self::atom(Atom::Select(Box::new(c), Box::new(a), Box::new(b))),
                }
            }
        }
    }

    /// Whether some atom, at any depth, satisfies `test`.
    pub(crate) fn any_atom(&self, test: &dyn Fn(&Atom) -> bool) -> bool {
        self.terms.keys().any(|atom| {
            test(atom)
                || match atom {
                    Atom::Var(_) | Atom::Digit(..) | Atom::Lane => false,
                    Atom::FloorDiv(a, _) | Atom::Mod(a, _) => a.any_atom(test),
                    Atom::Min(a, b) | Atom::Max(a, b) => a.any_atom(test) || b.any_atom(test),
                    Atom::Select(c, a, b) => {
                        c.any_atom(test) || a.any_atom(test) || b.any_atom(test)
                    }
                }
        })
    }

    /// Whether the value differs between lanes.
    pub(crate) fn has_lane(&self) -> bool {
        self.any_atom(&|a| *a == Atom::Lane)
    }

    /// The distance between neighbouring lanes, if it is one constant.
    pub(crate) fn lane_stride(&self) -> Option<i64> {
        let mut rest = self.clone();
        let stride = rest.terms.remove(&Atom::Lane).unwrap_or(0);
        (!rest.has_lane()).then_some(stride)
    }

    /// The value in one lane.
    pub(crate) fn in_lane(&self, lane: i64) -> Self {
        let mut out = Self::constant(self.constant);
        for (atom, c) in &self.terms {
            let part = match atom {
                Atom::Lane => Self::constant(lane),
                Atom::Var(_) | Atom::Digit(..) => Self::atom(atom.clone()),
                Atom::FloorDiv(a, d) => a.in_lane(lane).floor_div(*d),
                Atom::Mod(a, d) => a.in_lane(lane).modulo(*d),
                Atom::Min(a, b) => a.in_lane(lane).smaller(&b.in_lane(lane)),
                Atom::Max(a, b) => a.in_lane(lane).larger(&b.in_lane(lane)),
                Atom::Select(c, a, b) => Self::atom(Atom::Select(
                    Box::new(c.in_lane(lane)),
                    Box::new(a.in_lane(lane)),
                    Box::new(b.in_lane(lane)),
                )),
            };
            out = out.plus(*c, &part);
        }
        out
    }
}

impl Cond {
    /// The condition with its variables substituted.
    pub(crate) fn of(condition: &Condition, env: &Env) -> Self {
        match condition {
            Condition::Ge(a, b) => Self::Ge(Lin::of(a, env), Lin::of(b, env)),
            Condition::Eq(a, b) => Self::Eq(Lin::of(a, env), Lin::of(b, env)),
            Condition::All(parts) => Self::All(parts.iter().map(|p| Self::of(p, env)).collect()),
            Condition::Any(parts) => Self::Any(parts.iter().map(|p| Self::of(p, env)).collect()),
        }
    }

    /// The truth value, if it depends on nothing.
    pub(crate) fn as_constant(&self) -> Option<bool> {
        match self {
            Self::Ge(a, b) => a.difference(b).map(|d| d >= 0),
            Self::Eq(a, b) => a.difference(b).map(|d| d == 0),
            Self::All(parts) => {
                let known: Vec<_> = parts.iter().map(Self::as_constant).collect();
                if known.contains(&Some(false)) {
                    return Some(false);
                }
                known.iter().all(|k| *k == Some(true)).then_some(true)
            }
            Self::Any(parts) => {
                let known: Vec<_> = parts.iter().map(Self::as_constant).collect();
                if known.contains(&Some(true)) {
                    return Some(true);
                }
                known.iter().all(|k| *k == Some(false)).then_some(false)
            }
        }
    }

    /// Whether some atom satisfies `test`.
    pub(crate) fn any_atom(&self, test: &dyn Fn(&Atom) -> bool) -> bool {
        match self {
            Self::Ge(a, b) | Self::Eq(a, b) => a.any_atom(test) || b.any_atom(test),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|p| p.any_atom(test)),
        }
    }

    /// The condition in one lane.
    fn in_lane(&self, lane: i64) -> Self {
        match self {
            Self::Ge(a, b) => Self::Ge(a.in_lane(lane), b.in_lane(lane)),
            Self::Eq(a, b) => Self::Eq(a.in_lane(lane), b.in_lane(lane)),
            Self::All(parts) => Self::All(parts.iter().map(|p| p.in_lane(lane)).collect()),
            Self::Any(parts) => Self::Any(parts.iter().map(|p| p.in_lane(lane)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(name: &str) -> Index {
        Index::Var(name.into())
    }

    #[test]
    fn equal_addresses_are_equal_forms() {
        let env = Env::new();
        let a = Index::Add(Box::new(Index::Mul(6, Box::new(v("m")))), Box::new(Index::Const(2)));
        let b = Index::Sub(
            Box::new(Index::Add(
                Box::new(Index::Const(5)),
                Box::new(Index::Mul(6, Box::new(v("m")))),
            )),
            Box::new(Index::Const(3)),
        );
        assert_eq!(Lin::of(&a, &env), Lin::of(&b, &env));
        assert_eq!(Lin::of(&a, &env).difference(&Lin::of(&v("m"), &env)), None);
    }

    #[test]
    fn zeros_are_those_of_every_value() {
        let x = || Lin::var(&"x".into());
        assert_eq!(Lin::default().zeros(), 64);
        assert_eq!(Lin::constant(-24).zeros(), 3);
        assert_eq!(Lin::default().plus(-8, &x()).zeros(), 3);
        assert_eq!(Lin::default().plus(8, &x()).offset(4).zeros(), 2);
        assert_eq!(Lin::default().plus(8, &x()).offset(-1).zeros(), 0);
        // a quotient of eights is any number
        assert_eq!(Lin::default().plus(8, &x()).floor_div(24).zeros(), 0);
        assert_eq!(Lin::default().plus(8, &x()).modulo(24).zeros(), 3);
    }

    #[test]
    fn lanes_substitute_below_divisions() {
        let lin = Lin::var(&"i".into()).plus(1, &Lin::atom(Atom::Lane)).floor_div(4);
        assert_eq!(lin.lane_stride(), None);
        assert_eq!(lin.in_lane(3), Lin::var(&"i".into()).offset(3).floor_div(4));
        let linear = Lin::constant(7).plus(3, &Lin::atom(Atom::Lane));
        assert_eq!(linear.lane_stride(), Some(3));
        assert_eq!(linear.in_lane(2), Lin::constant(13));
    }

    #[test]
    fn steps_that_a_divisor_has_too_are_taken_out() {
        let x = Lin::var(&"x".into());
        let places = Lin::default().plus(8, &x).offset(24 + 3);
        assert_eq!(places.floor_div(24), x.offset(3).floor_div(3));
        assert_eq!(places.modulo(24), Lin::default().plus(8, &x.offset(3).modulo(3)).offset(3));
        assert_eq!(places.offset(4).modulo(24).difference(&places.modulo(24)), Some(4));
        assert_eq!(places.floor_div(4), Lin::default().plus(2, &x).offset(6));
        assert_eq!(places.offset(-28).modulo(8), Lin::constant(7));
        assert_eq!(places.offset(-28).floor_div(8), x.offset(-1));
    }

    #[test]
    fn digits_that_stay_below_a_multiple_leave_a_division() {
        let digit = |name: &str, below| Lin::atom(Atom::Digit(name.into(), below));
        let column = digit("q", 4).plus(1, &digit("q", 4)).offset(8 + 1);
        assert_eq!(column.floor_div(16), Lin::constant(0));
        assert_eq!(column.modulo(16), column);
        assert_eq!(column.offset(16).modulo(16), column);
        assert_eq!(column.floor_div(12).as_constant(), None);
        let row = digit("l", 8).plus(16, &digit("w", 4)).offset(8);
        assert_eq!(row.floor_div(16), digit("w", 4));
        assert_eq!(row.modulo(16), digit("l", 8).offset(8));
        let unknown = row.plus(1, &Lin::var(&"i".into()));
        assert_eq!(unknown.floor_div(16), Lin::atom(Atom::FloorDiv(Box::new(unknown), 16)));
    }

    #[test]
    fn negative_division_rounds_down() {
        assert_eq!(Lin::constant(-7).floor_div(4), Lin::constant(-2));
        assert_eq!(Lin::constant(-7).modulo(4), Lin::constant(1));
    }
}
