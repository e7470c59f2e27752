//! Whether a loop's mark needs no new check after a step that changes the order.
//!
//! In: the tree before and after a step that leaves the nest as it is, and a loop of both. Out:
//! true where the loop carries no dependence after the step because it carried none before.
//! Why that is enough: a loop carries a dependence between two instances that have equal values of
//! all rows around it and different values of its own. If the rows around it before are sums of
//! multiples of those around it now, with the same multiples for every statement, then equal values
//! now were equal before; and likewise for its own row.
//! Keeps: only rows are compared; where they say nothing, the mark is checked as always.
//! Why here: schedules for tensor cores have many marks, and each check asks isl.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::schedule::{Tree, TreeLoop};

/// A part of a row: the statement, and what the coefficient multiplies (`None` for 1).
type Key = (Name, Option<Atom>);

/// The rows of a loop for all statements, as one vector.
type Vector = BTreeMap<Key, i128>;

/// Whether the loop's mark holds because it held before.
pub(crate) fn kept(before: &Tree, after: &Tree, l: &TreeLoop) -> bool {
    let Some(old) = before.find(&l.name) else { return false };
    let names = l.body.statements();
    if old.marks != l.marks || old.body.statements() != names {
        return false;
    }
    let compare = || -> Option<bool> {
        let mut space = Space::default();
        for outer in around(after, &l.name) {
            space.add(vector(outer, &names)?)?;
        }
        for outer in around(before, &l.name) {
            if !space.holds(vector(outer, &names)?)? {
                return Some(false);
            }
        }
        space.add(vector(old, &names)?)?;
        space.holds(vector(l, &names)?)
    };
    compare() == Some(true)
}

/// Whether two lists of rows decide each other: each has a value for the same statements, in the
/// same order.
pub(crate) fn decide_each_other(
    statements: &[&Name],
    left: &[Vec<&Affine>],
    right: &[Vec<&Affine>],
) -> bool {
    let vectors = |rows: &[Vec<&Affine>]| -> Option<Vec<Vector>> {
        let each = |row: &Vec<&Affine>| {
            let mut out = Vector::new();
            for (name, e) in statements.iter().zip(row) {
                put(&mut out, name, e, 1)?;
            }
            out.retain(|_, c| *c != 0);
            Some(out)
        };
        rows.iter().map(each).collect()
    };
    let inside = |all: &[Vector], of: &[Vector]| -> Option<bool> {
        let mut space = Space::default();
        of.iter().try_for_each(|v| space.add(v.clone()))?;
        all.iter().try_fold(true, |yes, v| Some(yes && space.holds(v.clone())?))
    };
    let both = || -> Option<bool> {
        let (left, right) = (vectors(left)?, vectors(right)?);
        Some(inside(&left, &right)? && inside(&right, &left)?)
    };
    both() == Some(true)
}

/// The loops around one, without it.
fn around<'a>(tree: &'a Tree, name: &str) -> Vec<&'a TreeLoop> {
    tree.loops().into_iter().filter(|l| &*l.name != name && l.body.find(name).is_some()).collect()
}

fn vector(l: &TreeLoop, names: &[Name]) -> Option<Vector> {
    let mut out = Vector::new();
    for name in names {
        put(&mut out, name, l.rows.get(name)?, 1)?;
    }
    out.retain(|_, c| *c != 0);
    Some(out)
}

/// Adds a multiple of a row; remainders count as what they are made of.
fn put(out: &mut Vector, name: &Name, row: &Affine, factor: i128) -> Option<()> {
    let mut add = |atom: Option<Atom>, c: i128| {
        let slot = out.entry((name.clone(), atom)).or_default();
        *slot = slot.checked_add(c.checked_mul(factor)?)?;
        Some(())
    };
    add(None, i128::from(row.constant_part()))?;
    let mut inner = Vec::new();
    for (atom, c) in row.terms() {
        match atom {
            Atom::Var(_) | Atom::FloorDiv(..) => add(Some(atom.clone()), i128::from(c))?,
            Atom::Mod(e, d) => {
                let whole = Atom::FloorDiv(e.clone(), *d);
                add(Some(whole), i128::from(c).checked_mul(-i128::from(*d))?)?;
                inner.push((e, i128::from(c)));
            }
        }
    }
    for (e, c) in inner {
        put(out, name, e, c.checked_mul(factor)?)?;
    }
    Some(())
}

/// All sums of multiples of some vectors.
#[derive(Default)]
struct Space {
    /// In echelon form: no vector has a part at the first place of one before it.
    basis: Vec<Vector>,
}

impl Space {
    /// What is left of a vector; nothing where it is in the space. `None` where numbers get large.
    fn rest(&self, mut v: Vector) -> Option<Vector> {
        for b in &self.basis {
            let (pivot, own) = b.iter().next()?;
            let Some(&c) = v.get(pivot) else { continue };
            for value in v.values_mut() {
                *value = value.checked_mul(*own)?;
            }
            for (key, value) in b {
                let slot = v.entry(key.clone()).or_default();
                *slot = slot.checked_sub(value.checked_mul(c)?)?;
            }
            v.retain(|_, c| *c != 0);
            let divisor = v.values().fold(0, |d, c| gcd(d, *c));
            v.values_mut().for_each(|c| *c /= divisor.max(1));
        }
        Some(v)
    }

    fn add(&mut self, v: Vector) -> Option<()> {
        let rest = self.rest(v)?;
        if !rest.is_empty() {
            self.basis.push(rest);
        }
        Some(())
    }

    fn holds(&self, v: Vector) -> Option<bool> {
        Some(self.rest(v)?.is_empty())
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::tree as t;

    fn same(before: &str, after: &str, name: &str) -> bool {
        let after = t(after);
        kept(&t(before), &after, after.find(name).unwrap())
    }

    #[test]
    fn finer_loops_around_keep_a_mark() {
        let before = "loop i [S: i] { loop k [S: k] parallel { S } }";
        let raster = "loop t [S: 4*i + j] { loop i [S: i] { loop k [S: k] parallel { S } } }";
        assert!(same(before, raster, "k"));
        let split = "loop a [S: floor(i / 4)] { loop i [S: i - 4*floor(i / 4)] \
                     { loop k [S: k] parallel { S } } }";
        assert!(same(before, split, "k"));
        let skewed = "loop i [S: i] { loop k [S: k + 2*i] parallel { S } }";
        assert!(same(before, skewed, "k"));
    }

    #[test]
    fn coarser_or_other_loops_do_not() {
        let before = "loop i [S: i, T: i] { loop k [S: k, T: k] parallel { S T } }";
        let coarse = "loop a [S: floor(i / 4), T: floor(i / 4)] \
                      { loop k [S: k, T: k] parallel { S T } }";
        assert!(!same(before, coarse, "k"));
        // one statement moves against the other
        let shifted = "loop i [S: i, T: i + 1] { loop k [S: k, T: k] parallel { S T } }";
        assert!(!same(before, shifted, "k"));
        let own = "loop i [S: i, T: i] { loop k [S: k, T: k + 1] parallel { S T } }";
        assert!(!same(before, own, "k"));
        let plain = "loop i [S: i, T: i] { loop k [S: k, T: k] { S T } }";
        assert!(!same(plain, before, "k"));
    }
}
