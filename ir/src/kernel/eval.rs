//! Values of index expressions and conditions for given variables.

use super::{Condition, Index};

impl Index {
    /// Whether a variable occurs.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        match self {
            Self::Const(_) => false,
            Self::Var(v) => **v == *name,
            Self::Add(a, b) | Self::Sub(a, b) | Self::Min(a, b) | Self::Max(a, b) => {
                a.uses(name) || b.uses(name)
            }
            Self::Mul(_, a) | Self::FloorDiv(a, _) | Self::Mod(a, _) => a.uses(name),
            Self::Select(c, a, b) => c.uses(name) || a.uses(name) || b.uses(name),
        }
    }

    /// The value; `None` for an unknown variable, an overflow or a division by zero.
    pub fn eval(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        let both = |a: &Self, b: &Self| Some((a.eval(lookup)?, b.eval(lookup)?));
        match self {
            Self::Const(v) => Some(*v),
            Self::Var(name) => lookup(name),
            Self::Add(a, b) => both(a, b).and_then(|(a, b)| a.checked_add(b)),
            Self::Sub(a, b) => both(a, b).and_then(|(a, b)| a.checked_sub(b)),
            Self::Mul(c, a) => a.eval(lookup)?.checked_mul(*c),
            Self::FloorDiv(a, d) => a.eval(lookup)?.checked_div_euclid(*d),
            Self::Mod(a, d) => a.eval(lookup)?.checked_rem_euclid(*d),
            Self::Min(a, b) => both(a, b).map(|(a, b)| a.min(b)),
            Self::Max(a, b) => both(a, b).map(|(a, b)| a.max(b)),
            Self::Select(c, a, b) => if c.holds(lookup)? { a } else { b }.eval(lookup),
        }
    }
}

impl Condition {
    /// Whether a variable occurs.
    #[must_use]
    pub fn uses(&self, name: &str) -> bool {
        match self {
            Self::Ge(a, b) | Self::Eq(a, b) => a.uses(name) || b.uses(name),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|c| c.uses(name)),
        }
    }

    /// Whether it holds; `None` where an index in it has no value.
    pub fn holds(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<bool> {
        match self {
            Self::Ge(a, b) => Some(a.eval(lookup)? >= b.eval(lookup)?),
            Self::Eq(a, b) => Some(a.eval(lookup)? == b.eval(lookup)?),
            Self::All(parts) => {
                parts.iter().map(|p| p.holds(lookup)).try_fold(true, |all, v| Some(all & v?))
            }
            Self::Any(parts) => {
                parts.iter().map(|p| p.holds(lookup)).try_fold(false, |any, v| Some(any | v?))
            }
        }
    }
}
