//! Index expressions: building, simplifying and asking about them.
//!
//! Keeps: whatever can be written as an [`Affine`] is, so equal values have equal forms; minima and
//! maxima stand outermost, with constants pushed into their operands.

use warploom_ir::affine::{Affine, Atom};
use warploom_ir::kernel::{Condition, Index};

/// The expression as an [`Affine`], if it has no minimum, maximum or selection.
pub(crate) fn to_affine(index: &Index) -> Option<Affine> {
    match index {
        Index::Const(value) => Some(Affine::constant(*value)),
        Index::Var(name) => Some(Affine::var(name.clone())),
        Index::Add(a, b) => to_affine(a)?.add(&to_affine(b)?).ok(),
        Index::Sub(a, b) => to_affine(a)?.sub(&to_affine(b)?).ok(),
        Index::Mul(factor, a) => to_affine(a)?.scale(*factor).ok(),
        Index::FloorDiv(a, d) => floor_div(&to_affine(a)?, *d),
        Index::Mod(a, d) => modulo(&to_affine(a)?, *d),
        Index::Min(..) | Index::Max(..) | Index::Select(..) => None,
    }
}

/// `e = d * quotient + rest`, where the rest has the terms whose coefficient `d` does not divide.
pub(crate) fn split(e: &Affine, d: i64) -> Option<(Affine, Affine)> {
    let part = |c: i64, atom: &Atom| from_atom(atom).scale(c).ok();
    let mut quotient = Affine::constant(e.constant_part().div_euclid(d));
    let mut rest = Affine::constant(e.constant_part().rem_euclid(d));
    for (atom, c) in e.terms() {
        if c % d == 0 {
            quotient = quotient.add(&part(c / d, atom)?).ok()?;
        } else {
            rest = rest.add(&part(c, atom)?).ok()?;
        }
    }
    Some((quotient, rest))
}

fn from_atom(atom: &Atom) -> Affine {
    let made = match atom {
        Atom::Var(name) => return Affine::var(name.clone()),
        Atom::FloorDiv(e, d) => e.floor_div(*d),
        Atom::Mod(e, d) => e.modulo(*d),
    };
    made.expect("the divisor was positive when the atom was made")
}

fn floor_div(e: &Affine, d: i64) -> Option<Affine> {
    if d <= 0 {
        return None;
    }
    let (quotient, rest) = split(e, d)?;
    quotient.add(&rest.floor_div(d).ok()?).ok()
}

fn modulo(e: &Affine, d: i64) -> Option<Affine> {
    if d <= 0 {
        return None;
    }
    split(e, d)?.1.modulo(d).ok()
}

/// The index expression of an affine one.
pub(crate) fn from_affine(e: &Affine) -> Index {
    let mut out: Option<Index> = None;
    for (atom, c) in e.terms() {
        let base = match atom {
            Atom::Var(name) => Index::Var(name.clone()),
            Atom::FloorDiv(e, d) => Index::FloorDiv(Box::new(from_affine(e)), *d),
            Atom::Mod(e, d) => Index::Mod(Box::new(from_affine(e)), *d),
        };
        out = Some(match (out, c) {
            (None, 1) => base,
            (None, c) => Index::Mul(c, Box::new(base)),
            (Some(sum), 1) => Index::Add(Box::new(sum), Box::new(base)),
            (Some(sum), -1) => Index::Sub(Box::new(sum), Box::new(base)),
            (Some(sum), c) => Index::Add(Box::new(sum), Box::new(Index::Mul(c, Box::new(base)))),
        });
    }
    match (out, e.constant_part()) {
        (None, c) => Index::Const(c),
        (Some(sum), 0) => sum,
        (Some(sum), c) => Index::Add(Box::new(sum), Box::new(Index::Const(c))),
    }
}

/// An affine expression with variables replaced by index expressions.
pub(crate) fn substitute(e: &Affine, lookup: &dyn Fn(&str) -> Option<Index>) -> Index {
    let affine = e.substitute(&|name| lookup(name).as_ref().and_then(to_affine));
    let complete = e.vars().iter().all(|v| lookup(v).is_none_or(|i| to_affine(&i).is_some()));
    if let (Ok(affine), true) = (affine, complete) {
        return simplify(&from_affine(&affine));
    }
    simplify(&replace(&from_affine(e), lookup))
}

/// An index expression with variables replaced; not simplified.
pub(crate) fn replace(index: &Index, lookup: &dyn Fn(&str) -> Option<Index>) -> Index {
    let go = |i: &Index| Box::new(replace(i, lookup));
    match index {
        Index::Const(_) => index.clone(),
        Index::Var(name) => lookup(name).unwrap_or_else(|| index.clone()),
        Index::Add(a, b) => Index::Add(go(a), go(b)),
        Index::Sub(a, b) => Index::Sub(go(a), go(b)),
        Index::Mul(c, a) => Index::Mul(*c, go(a)),
        Index::FloorDiv(a, d) => Index::FloorDiv(go(a), *d),
        Index::Mod(a, d) => Index::Mod(go(a), *d),
        Index::Min(a, b) => Index::Min(go(a), go(b)),
        Index::Max(a, b) => Index::Max(go(a), go(b)),
        Index::Select(c, a, b) => {
            Index::Select(Box::new(replace_condition(c, lookup)), go(a), go(b))
        }
    }
}

/// A condition with variables replaced; not simplified.
pub(crate) fn replace_condition(
    condition: &Condition,
    lookup: &dyn Fn(&str) -> Option<Index>,
) -> Condition {
    let all = |cs: &[Condition]| cs.iter().map(|c| replace_condition(c, lookup)).collect();
    match condition {
        Condition::Ge(a, b) => Condition::Ge(replace(a, lookup), replace(b, lookup)),
        Condition::Eq(a, b) => Condition::Eq(replace(a, lookup), replace(b, lookup)),
        Condition::All(cs) => Condition::All(all(cs)),
        Condition::Any(cs) => Condition::Any(all(cs)),
    }
}

/// An equal expression in canonical form.
pub(crate) fn simplify(index: &Index) -> Index {
    if let Some(affine) = to_affine(index) {
        return from_affine(&affine);
    }
    let go = |i: &Index| simplify(i);
    match index {
        Index::Const(_) | Index::Var(_) => index.clone(),
        Index::Add(a, b) => add(go(a), go(b)),
        Index::Sub(a, b) => match (go(a), go(b)) {
            (a, b @ (Index::Min(..) | Index::Max(..) | Index::Select(..))) => {
                Index::Sub(Box::new(a), Box::new(b))
            }
            (a, b) => add(a, simplify(&Index::Mul(-1, Box::new(b)))),
        },
        Index::Mul(c, a) => match (*c, go(a)) {
            (0, _) => Index::Const(0),
            (1, a) => a,
            (c, Index::Min(a, b)) if c > 0 => min(scaled(c, *a), scaled(c, *b)),
            (c, Index::Max(a, b)) if c > 0 => max(scaled(c, *a), scaled(c, *b)),
            (c, a) => Index::Mul(c, Box::new(a)),
        },
        Index::FloorDiv(a, d) => Index::FloorDiv(Box::new(go(a)), *d),
        Index::Mod(a, d) => Index::Mod(Box::new(go(a)), *d),
        Index::Min(a, b) => min(go(a), go(b)),
        Index::Max(a, b) => max(go(a), go(b)),
        Index::Select(c, a, b) => {
            Index::Select(Box::new(simplify_condition(c)), Box::new(go(a)), Box::new(go(b)))
        }
    }
}

fn scaled(factor: i64, index: Index) -> Index {
    simplify(&Index::Mul(factor, Box::new(index)))
}

/// A sum, with an affine operand pushed into a minimum or maximum.
fn add(a: Index, b: Index) -> Index {
    match (a, b) {
        (Index::Const(0), c) | (c, Index::Const(0)) => c,
        (Index::Min(x, y), c) | (c, Index::Min(x, y)) if to_affine(&c).is_some() => {
            min(add(*x, c.clone()), add(*y, c))
        }
        (Index::Max(x, y), c) | (c, Index::Max(x, y)) if to_affine(&c).is_some() => {
            max(add(*x, c.clone()), add(*y, c))
        }
        (a, b) => {
            let sum = Index::Add(Box::new(a), Box::new(b));
            to_affine(&sum).map_or(sum, |affine| from_affine(&affine))
        }
    }
}

/// The operands of nested minima (or maxima).
pub(crate) fn operands<'a>(index: &'a Index, minima: bool, out: &mut Vec<&'a Index>) {
    match (index, minima) {
        (Index::Min(a, b), true) | (Index::Max(a, b), false) => {
            operands(a, minima, out);
            operands(b, minima, out);
        }
        _other => out.push(index),
    }
}

/// How far `a` is above `b`, if that is a constant.
pub(crate) fn difference(a: &Index, b: &Index) -> Option<i64> {
    to_affine(a)?.sub(&to_affine(b)?).ok()?.as_constant()
}

/// The smaller of two, one of them if they are a constant apart.
pub(crate) fn min(a: Index, b: Index) -> Index {
    match difference(&a, &b) {
        Some(apart) if apart <= 0 => a,
        Some(_) => b,
        None => Index::Min(Box::new(a), Box::new(b)),
    }
}

/// The larger of two, one of them if they are a constant apart.
pub(crate) fn max(a: Index, b: Index) -> Index {
    match difference(&a, &b) {
        Some(apart) if apart >= 0 => a,
        Some(_) => b,
        None => Index::Max(Box::new(a), Box::new(b)),
    }
}

/// An equal condition, without parts that always hold or never do.
pub(crate) fn simplify_condition(condition: &Condition) -> Condition {
    match condition {
        Condition::Ge(a, b) => {
            let (a, b) = (simplify(a), simplify(b));
            match difference(&a, &b) {
                Some(apart) => constant(apart >= 0),
                None => Condition::Ge(a, b),
            }
        }
        Condition::Eq(a, b) => {
            let (a, b) = (simplify(a), simplify(b));
            match difference(&a, &b) {
                Some(apart) => constant(apart == 0),
                None => Condition::Eq(a, b),
            }
        }
        Condition::All(parts) => {
            let mut out = Vec::new();
            for part in parts.iter().map(simplify_condition) {
                match part {
                    Condition::All(inner) => out.extend(inner),
                    never if never == constant(false) => return never,
                    part => out.push(part),
                }
            }
            single(out, Condition::All)
        }
        Condition::Any(parts) => {
            let mut out = Vec::new();
            for part in parts.iter().map(simplify_condition) {
                match part {
                    Condition::Any(inner) => out.extend(inner),
                    always if always == constant(true) => return always,
                    part => out.push(part),
                }
            }
            single(out, Condition::Any)
        }
    }
}

fn single(mut parts: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    if parts.len() == 1 { parts.remove(0) } else { many(parts) }
}

/// The condition that always or never holds.
pub(crate) fn constant(value: bool) -> Condition {
    if value { Condition::All(Vec::new()) } else { Condition::Any(Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str) -> Box<Index> {
        Box::new(Index::Var(name.into()))
    }

    #[test]
    fn sums_are_canonical() {
        let a = Index::Add(Box::new(Index::Mul(8, var("t"))), Box::new(Index::Const(8)));
        let b = Index::Sub(Box::new(a), Box::new(Index::Mul(8, var("t"))));
        assert_eq!(simplify(&b), Index::Const(8));
    }

    #[test]
    fn a_constant_goes_into_a_minimum() {
        let inner = Index::Min(Box::new(Index::Const(7)), var("n"));
        let outer = simplify(&Index::Add(Box::new(inner), Box::new(Index::Const(1))));
        let Index::Min(a, _) = outer else { panic!("{outer:?}") };
        assert_eq!(*a, Index::Const(8));
    }

    #[test]
    fn whole_multiples_leave_a_division() {
        let e = Index::Add(Box::new(Index::Mul(8, var("t"))), var("p"));
        let q = simplify(&Index::FloorDiv(Box::new(e.clone()), 8));
        let r = simplify(&Index::Mod(Box::new(e), 8));
        let p = || Box::new(*var("p"));
        let want = Index::Add(var("t"), Box::new(Index::FloorDiv(p(), 8)));
        assert_eq!(to_affine(&q), to_affine(&want));
        assert_eq!(r, Index::Mod(p(), 8));
    }
}
