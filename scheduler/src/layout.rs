//! How the elements of a box lie in a buffer.
//!
//! In: the terms of a `layout` clause and the box's extents. Out: the buffer's shape, the buffer
//! index of an element and the element at a buffer index.
//! Keeps: a one-to-one map into the buffer: the terms of one dimension are digits of its index,
//! each of them once (`1/16` and `1%16`). Errors: `E0724` for terms that are not.
//! Why here: packing for vector loads is a matter of index arithmetic alone.

use warploom_ir::affine::{Affine, Overflow};
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::schedule::step::LayoutTerm;

/// A layout of a box.
pub(crate) struct Layout {
    terms: Vec<LayoutTerm>,
    dimensions: usize,
    /// The buffer's extents.
    pub(crate) shape: Vec<i64>,
}

impl Layout {
    /// The layout that these terms give a box; without terms the box's own order.
    ///
    /// # Errors
    /// `E0724`.
    pub(crate) fn new(terms: &[LayoutTerm], extent: &[i64], span: Span) -> Result<Self> {
        let plain = |dimension| LayoutTerm { dimension, modulus: None, divisor: 1 };
        let terms: Vec<LayoutTerm> = match terms {
            [] => (0..extent.len()).map(plain).collect(),
            given => given.to_vec(),
        };
        if let Some(t) = terms.iter().find(|t| t.dimension >= extent.len()) {
            let message = format!(
                "`{t}` speaks of dimension {}, the array has {}",
                t.dimension,
                extent.len()
            );
            return Err(refuse(message, span));
        }
        for dimension in 0..extent.len() {
            digits(dimension, &terms, span)?;
        }
        let size = |t: &LayoutTerm| {
            let all = extent[t.dimension].max(1);
            let whole = t.modulus.map_or(all, |m| m.min(all));
            (whole - 1) / t.divisor + 1
        };
        let shape = terms.iter().map(size).collect();
        Ok(Self { dimensions: extent.len(), terms, shape })
    }

    /// The buffer's indices of the element at these places in the box.
    pub(crate) fn index(&self, place: &[Affine]) -> std::result::Result<Vec<Affine>, Overflow> {
        let term = |t: &LayoutTerm| {
            let at = &place[t.dimension];
            let rest = t.modulus.map_or_else(|| Ok(at.clone()), |m| at.modulo(m))?;
            if t.divisor == 1 { Ok(rest) } else { rest.floor_div(t.divisor) }
        };
        self.terms.iter().map(term).collect()
    }

    /// The places in the box of the element at these indices of the buffer.
    pub(crate) fn place(&self, index: &[Affine]) -> std::result::Result<Vec<Affine>, Overflow> {
        let mut out = vec![Affine::constant(0); self.dimensions];
        for (t, at) in self.terms.iter().zip(index) {
            out[t.dimension] = out[t.dimension].add(&at.scale(t.divisor)?)?;
        }
        Ok(out)
    }
}

/// Checks that the terms of a dimension are the digits of its index.
fn digits(dimension: usize, terms: &[LayoutTerm], span: Span) -> Result<()> {
    let mut mine: Vec<&LayoutTerm> = terms.iter().filter(|t| t.dimension == dimension).collect();
    mine.sort_by_key(|t| t.divisor);
    let mut next = Some(1);
    for t in mine {
        let whole = t.modulus.is_none_or(|m| m > t.divisor && m % t.divisor == 0);
        if next != Some(t.divisor) || !whole {
            let message = format!(
                "`{t}` and the other terms of dimension {dimension} are not the digits of one index"
            );
            return Err(refuse(message, span));
        }
        next = t.modulus;
    }
    match next {
        None => Ok(()),
        Some(rest) => {
            let missing = LayoutTerm { dimension, modulus: None, divisor: rest };
            let message = format!("the layout misses `{missing}`: elements would share a place");
            Err(refuse(message, span))
        }
    }
}

fn refuse(message: String, span: Span) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0724", Blame::Schedule, message).label(span, "").help(
        "give each dimension once (`1`), or in digits that belong together (`1/16` and `1%16`)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(dimension: usize, modulus: Option<i64>, divisor: i64) -> LayoutTerm {
        LayoutTerm { dimension, modulus, divisor }
    }

    fn made(terms: &[LayoutTerm], extent: &[i64]) -> Result<Layout> {
        Layout::new(terms, extent, Span::NONE)
    }

    #[test]
    fn panels_hold_every_element_once() {
        let terms =
            [term(1, None, 16), term(0, None, 1), term(1, Some(16), 4), term(1, Some(4), 1)];
        let layout = made(&terms, &[5, 40]).unwrap();
        assert_eq!(layout.shape, [3, 5, 4, 4]);
        let mut seen = std::collections::BTreeSet::new();
        for i in 0..5 {
            for j in 0..40 {
                let at = |k: i64| Affine::constant(k);
                let index = layout.index(&[at(i), at(j)]).unwrap();
                assert_eq!(layout.place(&index).unwrap(), [at(i), at(j)]);
                let index: Vec<i64> = index.iter().map(|e| e.as_constant().unwrap()).collect();
                assert!(index.iter().zip(&layout.shape).all(|(i, n)| (0..*n).contains(i)));
                assert!(seen.insert(index));
            }
        }
    }

    #[test]
    fn terms_that_are_no_digits_are_refused() {
        let refused = |terms: &[LayoutTerm], words: &str| {
            let e = made(terms, &[8, 8]).err().expect("the layout must be refused");
            assert_eq!(e.code, "E0724");
            assert!(e.to_string().contains(words), "{e}");
        };
        refused(&[term(0, None, 1)], "misses `1`");
        refused(&[term(0, None, 1), term(1, Some(4), 1)], "misses `1/4`");
        refused(&[term(0, None, 1), term(1, None, 4)], "`1/4` and the other terms");
        refused(&[term(0, None, 1), term(1, None, 1), term(1, None, 1)], "not the digits");
        refused(&[term(0, None, 1), term(1, Some(6), 4), term(1, None, 6)], "not the digits");
        refused(&[term(2, None, 1)], "dimension 2");
    }
}
