//! Guards of neighbours that threads load or store together.
//!
//! In: conditions over indices. Out: whether they hold alike for all neighbours, and the integers
//! that they ask about. Keeps: an answer of yes is exact; no only costs wider accesses.

use crate::llvm::lin::{Cond, Lin};

/// Integers all of which are not negative where a condition holds.
pub(super) fn terms(cond: &Cond) -> Option<Vec<Lin>> {
    match cond {
        Cond::Ge(a, b) => Some(vec![a.plus(-1, b)]),
        Cond::All(parts) => {
            let all: Option<Vec<Vec<Lin>>> = parts.iter().map(terms).collect();
            Some(all?.concat())
        }
        Cond::Eq(..) | Cond::Any(_) => None,
    }
}

/// Whether a condition is the same for all of a number of neighbours, given for the first and the
/// last of them.
pub(super) fn together(first: &Cond, last: &Cond, wide: i64) -> bool {
    match (first, last) {
        (Cond::Ge(a, b), Cond::Ge(c, d)) => {
            let (x, y) = (a.plus(-1, b), c.plus(-1, d));
            let Some(all) = y.difference(&x) else { return false };
            let step = all / (wide - 1);
            if all % (wide - 1) != 0 {
                return false;
            }
            match step {
                0 => true,
                // at least 0 from the first on, or not even at the last
                1.. => x.is_multiple(step * wide),
                ..0 => x.offset(-step).is_multiple(-step * wide),
            }
        }
        (Cond::Eq(a, b), Cond::Eq(c, d)) => a.plus(-1, b) == c.plus(-1, d),
        (Cond::All(a), Cond::All(b)) | (Cond::Any(a), Cond::Any(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| together(a, b, wide))
        }
        _different => false,
    }
}
