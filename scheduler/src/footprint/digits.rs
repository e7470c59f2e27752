//! Boxes around what indices are in each iteration, read off the digits of iterators.
//!
//! In: the rows of the loops around a statement, and indices. Out: the smallest box of constant
//! size for each iteration, where this arithmetic sees one; `None` says nothing, and isl is asked.
//! Keeps: tiles, turns and points are digits of an iterator in mixed radix. An index is a sum of
//! multiples of rows, which is where the box starts, and of digits on which no row depends: these
//! have no other values in any iteration, and their least and greatest in one (in a domain that is
//! no rectangle, these two instances are tried), so no box is smaller.
//! Why here: `footprint` asks isl for the same, which searches among all rows at once and takes a
//! thousand times as long.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Poly, PolyStatement};

use super::Box_;

/// `floor(iterator / from) mod (to / from)`, or without the remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    iterator: usize,
    from: i64,
    to: Option<i64>,
}

impl Chunk {
    /// What a division by `d` leaves of it; nothing where that is 0.
    fn divided(self, d: i64) -> Option<Option<Self>> {
        let from = self.from.checked_mul(d)?;
        match self.to {
            Some(to) if from >= to => Some(None),
            Some(to) if to % from != 0 => None,
            Some(_) | None => Some(Some(Self { from, ..self })),
        }
    }

    /// What a remainder by `d` leaves of it.
    fn remaining(self, d: i64) -> Option<Self> {
        let end = self.from.checked_mul(d)?;
        match self.to {
            Some(to) if end >= to => Some(self),
            Some(to) if to % end != 0 => None,
            Some(_) | None => Some(Self { to: Some(end), ..self }),
        }
    }
}

/// `constant + Σ coefficient · chunk`, and what else depends on the chunks of `others`.
#[derive(Clone, Debug, Default)]
struct Sum {
    constant: i64,
    terms: Vec<(Chunk, i64)>,
    others: Vec<Chunk>,
}

impl Sum {
    /// The chunk, where it is one and nothing else.
    fn alone(&self) -> Option<Chunk> {
        match (self.constant, self.terms.as_slice(), self.others.as_slice()) {
            (0, [(chunk, 1)], []) => Some(*chunk),
            _ => None,
        }
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk> {
        self.terms.iter().map(|(chunk, _)| *chunk).chain(self.others.iter().copied())
    }
}

/// The number of a digit: its iterator's, then its own, from the lowest place on.
type Digit = (usize, usize);

/// `Σ coefficient · digit`.
type Digits = BTreeMap<Digit, i64>;

/// What a statement's iterators are in its instances.
pub(crate) struct Domain<'a> {
    iterators: &'a [Name],
    /// How often each runs from 0 on, where constants say so.
    extents: Vec<Option<i64>>,
    /// What is said of iterators beside these ends; nothing where all of them have any.
    more: &'a [Constraint],
    fixed: BTreeMap<&'a str, i64>,
}

impl<'a> Domain<'a> {
    /// The domain of a statement; nothing where promises about sizes are a part of it.
    pub(crate) fn of(poly: &'a Poly, statement: &'a PolyStatement) -> Option<Self> {
        if !poly.assumptions.is_empty() {
            return None;
        }
        let fixed = poly.params.iter().filter_map(|p| Some((&*p.name, p.value?))).collect();
        let iterators = statement.iters.as_slice();
        let mut out = Self { iterators, extents: Vec::new(), more: &[], fixed };
        let mut ends: Vec<(Option<i64>, Option<i64>)> = vec![(None, None); iterators.len()];
        for constraint in &statement.domain {
            match (constraint.equality, out.bound(&constraint.expr)) {
                (false, Some((iterator, 1, constant))) => {
                    let least = &mut ends[iterator].0;
                    *least = Some(least.map_or(-constant, |l| l.max(-constant)));
                }
                (false, Some((iterator, -1, constant))) => {
                    let most = &mut ends[iterator].1;
                    *most = Some(most.map_or(constant, |m| m.min(constant)));
                }
                (true | false, _) => out.more = &statement.domain,
            }
        }
        for (least, most) in ends {
            let extent = most.filter(|_| least == Some(0)).and_then(|most| most.checked_add(1));
            out.extents.push(extent.filter(|n| *n > 0));
        }
        if out.extents.contains(&None) {
            out.more = &statement.domain;
        }
        Some(out)
    }

    /// Whether iterators run from 0 to constants, independently of each other, and at least once.
    pub(crate) const fn is_rectangle(&self) -> bool {
        self.more.is_empty()
    }

    /// `factor · iterator + constant`.
    fn bound(&self, e: &Affine) -> Option<(usize, i64, i64)> {
        let (mut constant, mut found) = (e.constant_part(), None);
        for (atom, c) in e.terms() {
            let Atom::Var(name) = atom else { return None };
            if let Some(value) = self.fixed.get(&**name) {
                constant = constant.checked_add(value.checked_mul(c)?)?;
            } else {
                let iterator = self.iterators.iter().position(|i| i == name)?;
                if found.replace((iterator, c)).is_some() {
                    return None;
                }
            }
        }
        found.map(|(iterator, factor)| (iterator, factor, constant))
    }

    /// An expression over the iterators by their digits.
    fn sum(&self, e: &Affine) -> Option<Sum> {
        let mut out = Sum { constant: e.constant_part(), ..Sum::default() };
        for (atom, c) in e.terms() {
            let (inner, chunk) = match atom {
                Atom::Var(name) => {
                    if let Some(value) = self.fixed.get(&**name) {
                        out.constant = out.constant.checked_add(value.checked_mul(c)?)?;
                        continue;
                    }
                    let iterator = self.iterators.iter().position(|i| i == name)?;
                    (Sum::default(), Some(Chunk { iterator, from: 1, to: None }))
                }
                Atom::FloorDiv(inner, d) => {
                    let inner = self.sum(inner)?;
                    match inner.alone() {
                        Some(chunk) => match chunk.divided(*d)? {
                            Some(part) => (inner, Some(part)),
                            None => continue,
                        },
                        None => (inner, None),
                    }
                }
                Atom::Mod(inner, d) => {
                    let inner = self.sum(inner)?;
                    let part = match inner.alone() {
                        Some(chunk) => Some(chunk.remaining(*d)?),
                        None => None,
                    };
                    (inner, part)
                }
            };
            match chunk {
                Some(chunk) => out.terms.push((chunk, c)),
                None => out.others.extend(inner.chunks()),
            }
        }
        Some(out)
    }

    /// The box around `indices` for each value of `rows`, which are called `names`.
    pub(crate) fn boxed(
        &self,
        rows: &[Affine],
        names: &[Name],
        indices: &[Affine],
    ) -> Option<Box_> {
        let sums = |all: &[Affine]| all.iter().map(|e| self.sum(e)).collect::<Option<Vec<_>>>();
        let (rows, indices) = (sums(rows)?, sums(indices)?);
        let places = Places::of(&self.extents, rows.iter().chain(&indices))?;
        let bound: BTreeSet<Digit> =
            rows.iter().flat_map(Sum::chunks).flat_map(|c| places.of_chunk(c)).collect();
        let known = places.known(&rows)?;
        let mut out = Box_ { offset: Vec::new(), extent: Vec::new(), step: Vec::new() };
        for index in &indices {
            if !index.others.is_empty() {
                return None;
            }
            let (fixed, free): (Digits, Digits) =
                places.digits(index)?.into_iter().partition(|(digit, _)| bound.contains(digit));
            let mut offset = Affine::constant(index.constant);
            for (row, factor) in combination(&known, &bound, &fixed)? {
                let part = Affine::var(names[row].clone()).scale(factor).ok()?;
                // a row is its digits and a constant
                offset = offset.add(&part).ok()?;
                offset = offset.add_const(rows[row].constant.checked_mul(-factor)?).ok()?;
            }
            let reach = places.reach(&free)?;
            if !self.has(&reach.lowest)? || !self.has(&reach.highest)? {
                return None;
            }
            out.offset.push(offset.add_const(reach.least).ok()?);
            out.extent.push(reach.most.checked_sub(reach.least)?.checked_add(1)?);
            out.step.push(reach.step.max(1));
        }
        Some(out)
    }

    /// Whether there is an instance with these values of the iterators.
    fn has(&self, point: &[i64]) -> Option<bool> {
        let value = |name: &str| {
            let at = self.iterators.iter().position(|i| &**i == name);
            at.map(|at| point[at]).or_else(|| self.fixed.get(name).copied())
        };
        for constraint in self.more {
            let found = constraint.expr.eval(&value)?;
            if found < 0 || constraint.equality && found != 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The iterators that have one value wherever these expressions have, whether or not that is an
    /// instance.
    pub(crate) fn decided(&self, expressions: &[Affine]) -> BTreeSet<usize> {
        let sums: Vec<Sum> = expressions.iter().filter_map(|e| self.sum(e)).collect();
        let whole = |iterator| Chunk { iterator, from: 1, to: None };
        let wanted: Vec<Sum> = (0..self.iterators.len())
            .map(|i| Sum { terms: vec![(whole(i), 1)], ..Sum::default() })
            .collect();
        let unbounded = vec![None; self.iterators.len()];
        let decided = || {
            let places = Places::of(&unbounded, sums.iter().chain(&wanted))?;
            let known = places.known(&sums)?;
            let all =
                wanted.iter().flat_map(Sum::chunks).flat_map(|c| places.of_chunk(c)).collect();
            let decides = |i: &usize| {
                let digits = places.digits(&wanted[*i]);
                digits.and_then(|digits| combination(&known, &all, &digits)).is_some()
            };
            Some((0..self.iterators.len()).filter(decides).collect())
        };
        decided().unwrap_or_default()
    }
}

/// The places of each iterator's digits, the lowest first: each divides the next.
struct Places<'a> {
    extents: &'a [Option<i64>],
    places: Vec<Vec<i64>>,
}

/// The values of a sum of digits.
struct Reach {
    least: i64,
    most: i64,
    /// They are so far apart; 0 where there is one.
    step: i64,
    /// Values of the iterators for the least and the most, in which all other digits are 0.
    lowest: Vec<i64>,
    highest: Vec<i64>,
}

/// Digits that run as one number: its coefficient, the lowest place, the most that it is.
struct Run {
    factor: i64,
    place: i64,
    most: i64,
}

impl<'a> Places<'a> {
    fn of<'s>(extents: &'a [Option<i64>], sums: impl Iterator<Item = &'s Sum>) -> Option<Self> {
        let mut cuts = vec![BTreeSet::new(); extents.len()];
        for chunk in sums.flat_map(Sum::chunks) {
            cuts[chunk.iterator].extend(std::iter::once(chunk.from).chain(chunk.to));
        }
        let places: Vec<Vec<i64>> = cuts.into_iter().map(|c| c.into_iter().collect()).collect();
        let divides = |list: &Vec<i64>| list.windows(2).all(|w| w[1] % w[0] == 0);
        places.iter().all(divides).then_some(Self { extents, places })
    }

    /// The digits of a chunk that are not always 0.
    fn of_chunk(&self, chunk: Chunk) -> impl Iterator<Item = Digit> {
        let most = self.extents[chunk.iterator].unwrap_or(i64::MAX);
        let inside = move |place: i64| place >= chunk.from && chunk.to.is_none_or(|to| place < to);
        (self.places[chunk.iterator].iter().enumerate())
            .filter(move |(_, place)| inside(**place) && **place < most)
            .map(move |(k, _)| (chunk.iterator, k))
    }

    /// The digits of a sum of nothing but chunks.
    fn digits(&self, sum: &Sum) -> Option<Digits> {
        let mut out = Digits::new();
        for (chunk, c) in &sum.terms {
            for digit in self.of_chunk(*chunk) {
                let each = c.checked_mul(self.places[digit.0][digit.1] / chunk.from)?;
                let known = out.entry(digit).or_default();
                *known = known.checked_add(each)?;
            }
        }
        out.retain(|_, c| *c != 0);
        Some(out)
    }

    /// Those of some sums that are nothing but chunks, with their numbers.
    fn known(&self, sums: &[Sum]) -> Option<Vec<(usize, Digits)>> {
        let plain = sums.iter().enumerate().filter(|(_, sum)| sum.others.is_empty());
        plain.map(|(k, sum)| Some((k, self.digits(sum)?))).collect()
    }

    /// All values that a sum of digits has while the others stay 0.
    fn reach(&self, free: &Digits) -> Option<Reach> {
        let zeros = vec![0; self.places.len()];
        let mut out = Reach { least: 0, most: 0, step: 0, lowest: zeros.clone(), highest: zeros };
        for iterator in 0..self.places.len() {
            let own: Vec<(usize, i64)> = (free.iter())
                .filter(|((of, _), _)| *of == iterator)
                .map(|((_, k), c)| (*k, *c))
                .collect();
            for Run { factor, place, most } in self.runs(iterator, &own)? {
                let far = factor.checked_mul(most)?;
                let (end, point) = match far < 0 {
                    true => (&mut out.least, &mut out.lowest),
                    false => (&mut out.most, &mut out.highest),
                };
                *end = end.checked_add(far)?;
                point[iterator] += place * most;
                out.step =
                    if most > 0 { common(out.step, factor.checked_abs()?) } else { out.step };
            }
        }
        Some(out)
    }

    /// The free digits of an iterator as numbers, which all together can be what each can.
    fn runs(&self, iterator: usize, own: &[(usize, i64)]) -> Option<Vec<Run>> {
        let Some(&(last, mut factor)) = own.last() else { return Some(Vec::new()) };
        let (places, extent) = (&self.places[iterator], self.extents[iterator]?);
        let digit = |(k, factor): &(usize, i64)| {
            let (place, next) = (places[*k], places[*k + 1]);
            Run { factor: *factor, place, most: next / place - 1 }
        };
        if places.get(last + 1).is_some_and(|next| *next <= extent) {
            return Some(own.iter().map(digit).collect());
        }
        // the highest digits run as far as the iterator does: those that are one number
        let (mut first, mut lower) = (last, own.len() - 1);
        while let Some(&(k, c)) = lower.checked_sub(1).map(|l| &own[l]) {
            if k + 1 != first || c.checked_mul(places[first] / places[k]) != Some(factor) {
                break;
            }
            (first, factor, lower) = (k, c, lower - 1);
        }
        let place = places[first];
        if lower > 0 && extent % place != 0 {
            return None;
        }
        let mut out: Vec<Run> = own[..lower].iter().map(digit).collect();
        out.push(Run { factor, place, most: (extent - 1) / place });
        Some(out)
    }
}

/// Factors of rows whose sum has these digits, of those that rows depend on.
fn combination(
    rows: &[(usize, Digits)],
    bound: &BTreeSet<Digit>,
    wanted: &Digits,
) -> Option<Vec<(usize, i64)>> {
    let number = |digits: &Digits, digit| i128::from(digits.get(digit).copied().unwrap_or(0));
    // an equation for each digit: the rows' coefficients, then the one that is wanted
    let mut left: Vec<Vec<i128>> = (bound.iter())
        .map(|d| rows.iter().map(|(_, r)| number(r, d)).chain([number(wanted, d)]).collect())
        .collect();
    let mut solved: Vec<(usize, Vec<i128>)> = Vec::new();
    for column in 0..rows.len() {
        let Some(at) = left.iter().position(|e| e[column] != 0) else { continue };
        let pivot = left.swap_remove(at);
        for equation in left.iter_mut().chain(solved.iter_mut().map(|(_, e)| e)) {
            *equation = without(equation, &pivot, column)?;
        }
        solved.push((column, pivot));
    }
    if left.iter().any(|e| e[rows.len()] != 0) {
        return None;
    }
    let mut out = Vec::new();
    for (column, equation) in solved {
        let (factor, sum) = (equation[column], equation[rows.len()]);
        if sum % factor != 0 {
            return None;
        }
        if sum != 0 {
            out.push((rows[column].0, i64::try_from(sum / factor).ok()?));
        }
    }
    Some(out)
}

/// An equation in which another one has taken the place of an unknown.
fn without(equation: &[i128], pivot: &[i128], column: usize) -> Option<Vec<i128>> {
    let (a, b) = (pivot[column], equation[column]);
    if b == 0 {
        return Some(equation.to_vec());
    }
    let one = |(x, y): (&i128, &i128)| x.checked_mul(a)?.checked_sub(y.checked_mul(b)?);
    equation.iter().zip(pivot).map(one).collect()
}

/// The largest number that divides both.
pub(crate) const fn common(a: i64, b: i64) -> i64 {
    if a == 0 { b } else { common(b % a, a) }
}
