//! Quasi-affine expressions over named variables, in a canonical form.
//!
//! An [`Affine`] is `constant + Σ coefficient · atom`, where an atom is a variable, a floor
//! division or a remainder by a positive constant. Two expressions that differ only in the order
//! or grouping of their terms are equal values.
//! Keeps: arithmetic never wraps; what does not fit `i64` is an [`Overflow`].
//! Clones share their terms: schedules are copied at each step, and expressions hardly ever change.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A variable's name: an iterator or a parameter.
pub type Name = Arc<str>;

/// A coefficient or value does not fit in 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a coefficient or value of an affine expression exceeds 64 bits")]
pub struct Overflow;

/// What a coefficient multiplies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// An iterator or parameter.
    Var(Name),
    /// `floor(expression / divisor)`, divisor > 0.
    FloorDiv(Box<Affine>, i64),
    /// `expression - divisor * floor(expression / divisor)`, in `0..divisor`.
    Mod(Box<Affine>, i64),
}

/// A quasi-affine expression (see the module's page).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Affine {
    /// In increasing order of the atoms, none with coefficient 0.
    terms: Arc<[(Atom, i64)]>,
    constant: i64,
}

/// The terms of a sum.
fn merged(a: &[(Atom, i64)], b: &[(Atom, i64)]) -> Result<Vec<(Atom, i64)>, Overflow> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    while let (Some((mine, c)), Some((theirs, d))) = (a.peek(), b.peek()) {
        let order = mine.cmp(theirs);
        let sum = match order {
            Ordering::Less => Some((mine, *c)),
            Ordering::Greater => Some((theirs, *d)),
            Ordering::Equal => {
                let sum = c.checked_add(*d).ok_or(Overflow)?;
                (sum != 0).then_some((mine, sum))
            }
        };
        out.extend(sum.map(|(atom, c)| (atom.clone(), c)));
        if order.is_le() {
            a.next();
        }
        if order.is_ge() {
            b.next();
        }
    }
    out.extend(a.chain(b).cloned());
    Ok(out)
}

impl Affine {
    /// The constant `value`.
    #[must_use]
    pub fn constant(value: i64) -> Self {
        Self { terms: Arc::default(), constant: value }
    }

    /// The variable `name`.
    #[must_use]
    pub fn var(name: impl Into<Name>) -> Self {
        Self::atom(Atom::Var(name.into()))
    }

    fn atom(atom: Atom) -> Self {
        Self { terms: Arc::new([(atom, 1)]), constant: 0 }
    }

    /// The terms, none with coefficient 0, in canonical order.
    pub fn terms(&self) -> impl Iterator<Item = (&Atom, i64)> {
        self.terms.iter().map(|(a, c)| (a, *c))
    }

    /// The constant part.
    #[must_use]
    pub const fn constant_part(&self) -> i64 {
        self.constant
    }

    /// The value, if there are no terms.
    #[must_use]
    pub fn as_constant(&self) -> Option<i64> {
        self.terms.is_empty().then_some(self.constant)
    }

    /// The variable, if the expression is one variable with coefficient 1 and nothing else.
    #[must_use]
    pub fn as_var(&self) -> Option<&Name> {
        match (&*self.terms, self.constant) {
            ([(Atom::Var(name), 1)], 0) => Some(name),
            _ => None,
        }
    }

    /// The coefficient of a variable outside any division; 0 where it does not occur.
    #[must_use]
    pub fn coefficient(&self, name: &str) -> i64 {
        let own = |(atom, _): &&(Atom, i64)| matches!(atom, Atom::Var(own) if &**own == name);
        self.terms.iter().find(own).map_or(0, |(_, c)| *c)
    }

    /// All variables that occur, inside divisions too.
    #[must_use]
    pub fn vars(&self) -> BTreeSet<Name> {
        let mut out = BTreeSet::new();
        self.collect_vars(&mut out);
        out
    }

    fn collect_vars(&self, out: &mut BTreeSet<Name>) {
        for (atom, _) in &*self.terms {
            match atom {
                Atom::Var(name) => {
                    out.insert(name.clone());
                }
                Atom::FloorDiv(e, _) | Atom::Mod(e, _) => e.collect_vars(out),
            }
        }
    }

    /// `self + other`.
    pub fn add(&self, other: &Self) -> Result<Self, Overflow> {
        let constant = self.constant.checked_add(other.constant).ok_or(Overflow)?;
        let terms = match (self.terms.is_empty(), other.terms.is_empty()) {
            (_, true) => self.terms.clone(),
            (true, false) => other.terms.clone(),
            (false, false) => merged(&self.terms, &other.terms)?.into(),
        };
        Ok(Self { terms, constant })
    }

    /// `self + value`.
    pub fn add_const(&self, value: i64) -> Result<Self, Overflow> {
        let mut out = self.clone();
        out.constant = out.constant.checked_add(value).ok_or(Overflow)?;
        Ok(out)
    }

    /// `factor * self`.
    pub fn scale(&self, factor: i64) -> Result<Self, Overflow> {
        let times = |c: i64| c.checked_mul(factor).ok_or(Overflow);
        let constant = times(self.constant)?;
        let terms = match factor {
            0 => Arc::default(),
            1 => self.terms.clone(),
            _other => self
                .terms()
                .map(|(atom, c)| Ok((atom.clone(), times(c)?)))
                .collect::<Result<_, Overflow>>()?,
        };
        Ok(Self { terms, constant })
    }

    /// `self - other`.
    pub fn sub(&self, other: &Self) -> Result<Self, Overflow> {
        self.add(&other.scale(-1)?)
    }

    /// `self / divisor`, where every coefficient is a multiple of a positive divisor.
    #[must_use]
    pub fn exact_div(&self, divisor: i64) -> Option<Self> {
        let whole = |c: i64| (divisor > 0 && c % divisor == 0).then(|| c / divisor);
        let term = |(atom, c): (&Atom, i64)| Some((atom.clone(), whole(c)?));
        let terms = self.terms().map(term).collect::<Option<_>>()?;
        Some(Self { terms, constant: whole(self.constant)? })
    }

    /// `floor(self / divisor)`.
    ///
    /// # Errors
    /// [`Overflow`] when `divisor` is not positive.
    pub fn floor_div(&self, divisor: i64) -> Result<Self, Overflow> {
        if divisor <= 0 {
            return Err(Overflow);
        }
        match (divisor, self.as_constant()) {
            (1, _) => Ok(self.clone()),
            (_, Some(value)) => Ok(Self::constant(value.div_euclid(divisor))),
            (_, None) => Ok(Self::atom(Atom::FloorDiv(Box::new(self.clone()), divisor))),
        }
    }

    /// `self mod divisor`, in `0..divisor`.
    ///
    /// # Errors
    /// [`Overflow`] when `divisor` is not positive.
    pub fn modulo(&self, divisor: i64) -> Result<Self, Overflow> {
        if divisor <= 0 {
            return Err(Overflow);
        }
        match (divisor, self.as_constant()) {
            (1, _) => Ok(Self::constant(0)),
            (_, Some(value)) => Ok(Self::constant(value.rem_euclid(divisor))),
            (_, None) => Ok(Self::atom(Atom::Mod(Box::new(self.clone()), divisor))),
        }
    }

    /// Replaces variables by expressions; a name for which `lookup` gives `None` stays.
    pub fn substitute(&self, lookup: &dyn Fn(&str) -> Option<Self>) -> Result<Self, Overflow> {
        let mut out = Self::constant(self.constant);
        for (atom, coefficient) in self.terms() {
            let value = match atom {
                Atom::Var(name) => lookup(name).unwrap_or_else(|| Self::var(name.clone())),
                Atom::FloorDiv(e, d) => e.substitute(lookup)?.floor_div(*d)?,
                Atom::Mod(e, d) => e.substitute(lookup)?.modulo(*d)?,
            };
            out = out.add(&value.scale(coefficient)?)?;
        }
        Ok(out)
    }

    /// The value under `lookup`; `None` for an unknown variable or an overflow.
    pub fn eval(&self, lookup: &dyn Fn(&str) -> Option<i64>) -> Option<i64> {
        let mut sum = self.constant;
        for (atom, coefficient) in self.terms() {
            let value = match atom {
                Atom::Var(name) => lookup(name)?,
                Atom::FloorDiv(e, d) => e.eval(lookup)?.div_euclid(*d),
                Atom::Mod(e, d) => e.eval(lookup)?.rem_euclid(*d),
            };
            sum = sum.checked_add(value.checked_mul(coefficient)?)?;
        }
        Some(sum)
    }

    /// The expression in isl's notation (`floor((e)/d)`, `(e) mod d`), with variables renamed.
    #[must_use]
    pub fn to_isl(&self, rename: &dyn Fn(&str) -> String) -> String {
        let mut out = String::new();
        for (atom, coefficient) in self.terms() {
            let text = match atom {
                Atom::Var(name) => rename(name),
                Atom::FloorDiv(e, d) => format!("floor(({})/{d})", e.to_isl(rename)),
                Atom::Mod(e, d) => format!("(({}) mod {d})", e.to_isl(rename)),
            };
            out.push_str(&format!(
                "{}{coefficient}*{text}",
                if out.is_empty() { "" } else { " + " }
            ));
        }
        if out.is_empty() || self.constant != 0 {
            out.push_str(&format!("{}{}", if out.is_empty() { "" } else { " + " }, self.constant));
        }
        out
    }
}

/// Prints the text form: `2*i + j - 1`, `floor(i / 4)`, `i mod 4`; parses back to an equal value.
impl fmt::Display for Affine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (atom, coefficient) in self.terms() {
            let sign = match (first, coefficient < 0) {
                (true, false) => "",
                (true, true) => "-",
                (false, false) => " + ",
                (false, true) => " - ",
            };
            f.write_str(sign)?;
            first = false;
            if coefficient.unsigned_abs() != 1 {
                write!(f, "{}*", coefficient.unsigned_abs())?;
            }
            match atom {
                Atom::Var(name) => f.write_str(name)?,
                Atom::FloorDiv(e, d) => write!(f, "floor(({e}) / {d})")?,
                Atom::Mod(e, d) => write!(f, "(({e}) mod {d})")?,
            }
        }
        match (first, self.constant) {
            (true, c) => write!(f, "{c}"),
            (false, 0) => Ok(()),
            (false, c) if c < 0 => write!(f, " - {}", c.unsigned_abs()),
            (false, c) => write!(f, " + {c}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_ignores_order() {
        let (i, j) = (Affine::var("i"), Affine::var("j"));
        let a = i.scale(2).unwrap().add(&j).unwrap().add_const(-1).unwrap();
        let b = j.add_const(-1).unwrap().add(&i).unwrap().add(&i).unwrap();
        assert_eq!(a, b);
        assert_eq!(a.to_string(), "2*i + j - 1");
        assert_eq!(a.sub(&b).unwrap(), Affine::constant(0));
    }

    #[test]
    fn division_rounds_down() {
        let e = Affine::var("i").floor_div(4).unwrap();
        assert_eq!(e.eval(&|_| Some(-1)), Some(-1));
        assert_eq!(Affine::var("i").modulo(4).unwrap().eval(&|_| Some(-1)), Some(3));
        assert!(Affine::constant(i64::MAX).add_const(1).is_err());
    }
}
