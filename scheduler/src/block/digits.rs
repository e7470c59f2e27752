//! Several dimensions of a buffer as one index of an instruction: tiles that are boxes.
//!
//! In: the dimensions of a buffer that move along one tensorized loop, and how the loop runs
//! through them. Out: the order in which they are digits of the index, and the element that an
//! index stands for.
//! Keeps: the index of an element is the loop's, up to where the tile starts; so operands and
//! accumulator agree on what row, column and term of the sum an element is, in whatever order
//! their dimensions lie.

use warploom_ir::affine::Affine;
use warploom_ir::kernel::Index;

use super::Answer;
use crate::index::simplify;

/// A dimension of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Digit {
    pub(super) dim: usize,
    /// How many elements the buffer has along it.
    pub(super) extent: i64,
}

/// Dimensions of a buffer that are one index, the slowest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Digits(pub(super) Vec<Digit>);

impl Digits {
    /// How many values the digits after the slowest one have together.
    pub(super) fn inner(&self) -> i64 {
        self.0.iter().skip(1).map(|d| d.extent).product()
    }

    /// How many values the index has.
    pub(super) fn whole(&self) -> i64 {
        self.0.iter().map(|d| d.extent).product()
    }

    /// The index's steps from one value of a digit to the next.
    pub(super) fn stride(&self, at: usize) -> i64 {
        self.0[at + 1..].iter().map(|d| d.extent).product()
    }

    /// The one dimension, where there is one.
    pub(super) fn alone(&self) -> Option<usize> {
        match self.0.as_slice() {
            [digit] => Some(digit.dim),
            _others => None,
        }
    }

    /// Gives the slowest digit so many values that the index has `count`; false where no number of
    /// them does.
    pub(super) fn grow(&mut self, count: i64) -> bool {
        let inner = self.inner();
        match self.0.first_mut() {
            Some(first) if count % inner == 0 => first.extent = count / inner,
            _none => return false,
        }
        true
    }

    /// The dimensions and the element of each that an index stands for.
    pub(super) fn places(&self, index: &Index) -> Vec<(usize, Index)> {
        let place = |(at, digit): (usize, &Digit)| {
            let mut e = index.clone();
            if self.stride(at) > 1 {
                e = Index::FloorDiv(Box::new(e), self.stride(at));
            }
            if self.0[..at].iter().any(|d| d.extent > 1) {
                e = Index::Mod(Box::new(e), digit.extent);
            }
            (digit.dim, simplify(&e))
        };
        self.0.iter().enumerate().map(place).collect()
    }

    /// The indices of the buffer of so many dimensions for an element of each of these.
    pub(super) fn element(sides: &[Self; 2], at: &[Index], rank: usize) -> Vec<Index> {
        let mut out = vec![Index::Const(0); rank];
        for (side, index) in sides.iter().zip(at) {
            for (dim, place) in side.places(index) {
                out[dim] = place;
            }
        }
        out
    }

    /// The index of the element at these indices of the buffer.
    pub(super) fn of(&self, indices: &[Affine]) -> Answer<Affine> {
        let mut sum = Affine::constant(0);
        for (at, digit) in self.0.iter().enumerate() {
            sum = sum.add(&indices[digit.dim].scale(self.stride(at))?)?;
        }
        Ok(sum)
    }

    /// The orders that these dimensions can have as digits: those with one element are slowest.
    pub(super) fn orders(all: &[Digit]) -> Vec<Self> {
        let (ones, rest): (Vec<Digit>, Vec<Digit>) = all.iter().partition(|d| d.extent == 1);
        let mut out = Vec::new();
        let mut behind = vec![(ones, rest)];
        while let Some((before, left)) = behind.pop() {
            if left.is_empty() {
                out.push(Self(before));
                continue;
            }
            for at in (0..left.len()).rev() {
                let mut rest = left.clone();
                let next = rest.remove(at);
                behind.push(([before.as_slice(), &[next]].concat(), rest));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(of: &[(usize, i64)]) -> Digits {
        Digits(of.iter().map(|(dim, extent)| Digit { dim: *dim, extent: *extent }).collect())
    }

    #[test]
    fn an_index_is_its_digits() {
        let d = digits(&[(1, 3), (0, 4), (2, 8)]);
        assert_eq!((d.whole(), d.inner(), d.alone()), (96, 32, None));
        let text: Vec<String> = (d.places(&Index::Var("i".into())).iter())
            .map(|(dim, e)| format!("{dim}: {e}"))
            .collect();
        assert_eq!(
            text,
            ["1: floordiv(i, 32)", "0: mod(floordiv(i, 8), 4)", "2: mod(i, 8)"],
            "{d:?}"
        );
        let at = [Affine::constant(3), Affine::constant(2), Affine::constant(7)];
        assert_eq!(d.of(&at).unwrap().as_constant(), Some(2 * 32 + 3 * 8 + 7));
    }

    #[test]
    fn the_slowest_digit_grows() {
        let mut d = digits(&[(0, 2), (1, 24)]);
        assert!(d.grow(192) && d.0[0].extent == 8);
        assert!(!d.grow(64));
    }

    #[test]
    fn orders_are_all_of_those_with_several_elements() {
        let all = Digits::orders(&digits(&[(0, 1), (1, 4), (2, 8), (3, 2)]).0);
        assert_eq!(all.len(), 6);
        assert_eq!(all[0], digits(&[(0, 1), (1, 4), (2, 8), (3, 2)]), "the buffer's first");
        assert!(all.iter().all(|d| d.0[0].dim == 0));
    }
}
