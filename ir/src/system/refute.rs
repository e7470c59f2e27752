//! The proof that a system has no solution, step by step.
//!
//! In: a system. Out: whether a contradiction was found.
//! Keeps: each step replaces constraints by ones that hold exactly where those held, or adds one
//! that follows; steps are counted, so no system takes long.
//! The steps: a variable whose row has a small range is written by that row's value (a tile and a
//! point instead of an index); ranges of variables follow from rows; a sum of large and small parts
//! that leaves one choice for the large ones falls apart into two rows, and one whose small parts
//! add nothing is a row of its large ones; equal variables become one;
//! at last two rows are added so that a variable goes away.
//! A row is looked at again only where one of its variables has another range than it had then.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Linear, Range, System, Terms};

/// Rows that may be looked at in one proof.
const STEPS: usize = 6_000;

/// Most rows at a time.
const ROWS: usize = 160;

/// How a proof ends early.
enum End {
    /// There is a contradiction.
    Proved,
    /// There may be none, numbers get too large, or it takes too long.
    Unknown,
}

type Step<T = ()> = Result<T, End>;

/// What is known so far.
pub(super) struct Refutation<'s> {
    /// Sums of two variables or more, their coefficients without a common divisor and the first
    /// of them positive.
    rows: BTreeMap<Terms, Row>,
    bounds: Vec<Bound>,
    start: [&'s [(Linear, Range)]; 2],
    steps: usize,
    /// Counts looks at rows.
    time: usize,
}

/// What is known of a sum.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Row {
    range: Range,
    /// When it last told the ranges of its variables.
    told: usize,
}

/// What is known of a variable.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Bound {
    range: Range,
    /// When that was found.
    since: usize,
}

/// The range of a sum, from which parts can be taken away.
#[derive(Default)]
struct Total {
    low: i128,
    high: i128,
    /// How many parts have no least, and no largest value.
    endless: [usize; 2],
}

impl Total {
    /// With one part more.
    fn add(&mut self, part: Range) -> Option<()> {
        match part.low {
            Some(low) => self.low = self.low.checked_add(low)?,
            None => self.endless[0] += 1,
        }
        match part.high {
            Some(high) => self.high = self.high.checked_add(high)?,
            None => self.endless[1] += 1,
        }
        Some(())
    }

    /// Without one of its parts.
    fn remove(&mut self, part: Range) -> Option<()> {
        match part.low {
            Some(low) => self.low = self.low.checked_sub(low)?,
            None => self.endless[0] -= 1,
        }
        match part.high {
            Some(high) => self.high = self.high.checked_sub(high)?,
            None => self.endless[1] -= 1,
        }
        Some(())
    }

    fn range(&self) -> Range {
        let end = |at: usize, value: i128| (self.endless[at] == 0).then_some(value);
        Range { low: end(0, self.low), high: end(1, self.high) }
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    if let (Ok(a), Ok(b)) = (u64::try_from(a.unsigned_abs()), u64::try_from(b.unsigned_abs())) {
        let (mut a, mut b) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        return a.into();
    }
    if b == 0 { a.abs() } else { gcd(b, a % b) }
}

/// The quotient rounded down, divisor > 0: small numbers are divided by one instruction.
fn quotient(value: i128, divisor: i128) -> i128 {
    match (i64::try_from(value), i64::try_from(divisor)) {
        (Ok(value), Ok(divisor)) => value.div_euclid(divisor).into(),
        _large => value.div_euclid(divisor),
    }
}

fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _large => a.checked_mul(b),
    }
}

fn large<T>(value: Option<T>) -> Step<T> {
    value.ok_or(End::Unknown)
}

/// The range of `sum / divisor` over integers, divisor > 0.
fn divided(range: Range, divisor: i128) -> Range {
    if divisor == 1 {
        return range;
    }
    let low = range.low.map(|low| -quotient(-low, divisor));
    Range { low, high: range.high.map(|high| quotient(high, divisor)) }
}

/// The range of a multiple, `None` where numbers get too large.
fn scaled(range: Range, factor: i128) -> Option<Range> {
    let times = |end: Option<i128>| match end {
        Some(end) => product(end, factor).map(Some),
        None => Some(None),
    };
    let (low, high) = (times(range.low)?, times(range.high)?);
    Some(if factor < 0 { Range { low: high, high: low } } else { Range { low, high } })
}

/// The range of a difference of two values.
fn difference(a: Range, b: Range) -> Option<Range> {
    let end = |a: Option<i128>, b: Option<i128>| match (a, b) {
        (Some(a), Some(b)) => a.checked_sub(b).map(Some),
        _ => Some(None),
    };
    Some(Range { low: end(a.low, b.high)?, high: end(a.high, b.low)? })
}

fn count(steps: &mut usize) -> Step {
    *steps += 1;
    if *steps > STEPS { Err(End::Unknown) } else { Ok(()) }
}

/// Leaves a variable the values that are in a range too; whether that is new.
fn tighten(bounds: &mut [Bound], time: usize, variable: usize, range: Range) -> Step<bool> {
    let known = bounds[variable].range;
    let met = known.meet(range);
    if met.is_empty() {
        return Err(End::Proved);
    }
    if met == known {
        return Ok(false);
    }
    bounds[variable] = Bound { range: met, since: time };
    Ok(true)
}

/// The range of a multiple of a variable.
fn part(bounds: &[Bound], (variable, coefficient): (usize, i128)) -> Step<Range> {
    large(scaled(bounds[variable].range, coefficient))
}

/// The sum of multiples of variables.
fn total<'t>(bounds: &[Bound], terms: impl Iterator<Item = &'t (usize, i128)>) -> Step<Total> {
    let mut sum = Total::default();
    for term in terms {
        large(sum.add(part(bounds, *term)?))?;
    }
    Ok(sum)
}

/// Tightens the ranges of the variables of a row; whether one got tighter.
fn tell(bounds: &mut [Bound], time: usize, terms: &Terms, range: Range) -> Step<bool> {
    let mut all = total(bounds, terms.iter())?;
    let whole = all.range();
    if whole.meet(range).is_empty() {
        return Err(End::Proved);
    }
    if whole.meet(range) == whole {
        // a variable could only add to that what the row leaves room for
        return Ok(false);
    }
    let mut changed = false;
    for term @ (variable, coefficient) in terms {
        large(all.remove(part(bounds, *term)?))?;
        let left = large(difference(range, all.range()))?;
        let own = divided(large(scaled(left, coefficient.signum()))?, coefficient.abs());
        changed |= tighten(bounds, time, *variable, own)?;
        large(all.add(part(bounds, *term)?))?;
    }
    Ok(changed)
}

impl<'s> Refutation<'s> {
    /// Of a system and more constraints.
    pub(super) fn of(system: &'s System, more: &'s [(Linear, Range)]) -> Self {
        Self {
            rows: BTreeMap::new(),
            bounds: vec![Bound::default(); system.variables],
            start: [&system.constraints, more],
            steps: 0,
            time: 0,
        }
    }

    /// Whether there is a contradiction.
    pub(super) fn found(mut self) -> bool {
        matches!(self.search(), Err(End::Proved))
    }

    /// Values that may meet all constraints: of each variable the smallest that the ranges leave
    /// after those before it, or else the largest.
    pub(super) fn guess(mut self) -> Option<Vec<i128>> {
        self.enter().ok()?;
        self.narrow().ok()?;
        for variable in 0..self.bounds.len() {
            let Range { low, high } = self.bounds[variable].range;
            let ends = [low.or(high).unwrap_or(0), high.or(low).unwrap_or(0)];
            let before = self.bounds.clone();
            let taken = ends.into_iter().any(|end| {
                self.restore(&before);
                self.set(variable, Range::only(end));
                self.narrow().is_ok()
            });
            if !taken {
                return None;
            }
        }
        self.bounds.iter().map(|b| b.range.single()).collect()
    }

    /// Gives variables their ranges back.
    fn restore(&mut self, before: &[Bound]) {
        for (variable, bound) in before.iter().enumerate() {
            self.set(variable, bound.range);
        }
    }

    /// Gives a variable another range.
    fn set(&mut self, variable: usize, range: Range) {
        if self.bounds[variable].range != range {
            self.bounds[variable] = Bound { range, since: self.time };
        }
    }

    /// All constraints as rows and bounds.
    fn enter(&mut self) -> Step {
        for (sum, range) in self.start.into_iter().flatten() {
            self.insert(sum, *range)?;
        }
        Ok(())
    }

    fn search(&mut self) -> Step {
        self.enter()?;
        self.settle()?;
        self.digits()?;
        self.settle()?;
        while self.eliminate()? {
            self.settle()?;
        }
        for _round in 0..2 {
            self.combine()?;
            self.settle()?;
            while self.eliminate()? {
                self.settle()?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Step {
        count(&mut self.steps)
    }

    /// Adds a constraint; whether it says something new.
    fn insert(&mut self, sum: &Linear, range: Range) -> Step<bool> {
        let Linear { terms, constant } = sum;
        let range = large(difference(range, Range::only(*constant)))?;
        let Some((_, first)) = terms.first() else {
            let holds = !range.meet(Range::only(0)).is_empty();
            return if holds { Ok(false) } else { Err(End::Proved) };
        };
        let common = |d: i128, t: &(usize, i128)| if d == 1 { d } else { gcd(d, t.1) };
        let divisor = terms.iter().fold(0, common) * first.signum();
        let range = divided(large(scaled(range, divisor.signum()))?, divisor.abs());
        if let [(variable, _)] = terms[..] {
            return self.bound(variable, range);
        }
        let terms = match divisor {
            1 => terms.clone(),
            _other => terms.iter().map(|(v, c)| (*v, c / divisor)).collect(),
        };
        let full = self.rows.len() >= ROWS;
        let slot = self.rows.entry(terms);
        let known = match &slot {
            Entry::Occupied(row) => row.get().range,
            Entry::Vacant(_) => Range::default(),
        };
        let met = known.meet(range);
        if met.is_empty() {
            return Err(End::Proved);
        }
        if full {
            return Err(End::Unknown);
        }
        let new = known != met;
        if new {
            slot.insert_entry(Row { range: met, told: 0 });
        }
        Ok(new)
    }

    fn bound(&mut self, variable: usize, range: Range) -> Step<bool> {
        tighten(&mut self.bounds, self.time, variable, range)
    }

    /// The range of a sum by those of its variables.
    fn range_of<'t>(&self, terms: impl Iterator<Item = &'t (usize, i128)>) -> Step<Range> {
        Ok(total(&self.bounds, terms)?.range())
    }

    /// What follows from rows one by one, until nothing does.
    fn settle(&mut self) -> Step {
        loop {
            self.narrow()?;
            if !(self.merge()? || self.fall_apart()? || self.twins()?) {
                return Ok(());
            }
        }
    }

    /// Tightens the ranges of variables until they stay, or often.
    fn narrow(&mut self) -> Step {
        for _round in 0..8 {
            if !self.propagate()? {
                break;
            }
        }
        Ok(())
    }

    /// Tightens the ranges of variables by the rows; whether one got tighter.
    fn propagate(&mut self) -> Step<bool> {
        let mut changed = false;
        let Self { rows, bounds, steps, time, .. } = self;
        for (terms, row) in rows {
            if terms.iter().all(|t| bounds[t.0].since < row.told) {
                continue;
            }
            count(steps)?;
            *time += 1;
            row.told = *time;
            changed |= tell(bounds, *time, terms, row.range)?;
        }
        Ok(changed)
    }

    /// Writes variables with one value, and variables that differ by a number from another one,
    /// by those; whether there were any.
    fn merge(&mut self) -> Step<bool> {
        let mut any = false;
        loop {
            let fixed = self.rows.keys().flatten().find_map(|(variable, _)| {
                Some((*variable, self.bounds[*variable].range.single()?))
            });
            if let Some((variable, value)) = fixed {
                self.substitute(variable, &Linear { terms: Terms::new(), constant: value })?;
                any = true;
                continue;
            }
            let pair = self.rows.iter().find_map(|(terms, row)| match terms[..] {
                [(a, 1), (b, c @ (1 | -1))] => Some((a, b, -c, row.range.single()?)),
                _ => None,
            });
            let Some((a, b, factor, constant)) = pair else { return Ok(any) };
            self.substitute(a, &Linear { terms: vec![(b, factor)], constant })?;
            any = true;
        }
    }

    /// Replaces a variable everywhere.
    fn substitute(&mut self, variable: usize, by: &Linear) -> Step {
        let uses = |terms: &Terms| terms.iter().any(|t| t.0 == variable);
        let touched: Vec<Terms> = self.rows.keys().filter(|t| uses(t)).cloned().collect();
        let own = self.bounds[variable].range;
        self.set(variable, Range::default());
        self.insert(by, own)?;
        for terms in touched {
            self.step()?;
            let Some(Row { range, .. }) = self.rows.remove(&terms) else { continue };
            let mut rest = Linear { terms, constant: 0 };
            let coefficient = rest.coefficient(variable);
            rest.terms.retain(|t| t.0 != variable);
            let sum = large(rest.plus(coefficient, by))?;
            self.insert(&sum, range)?;
        }
        Ok(())
    }

    /// Rows whose small terms say little about the sum of their large ones fall apart; whether
    /// there were any.
    fn fall_apart(&mut self) -> Step<bool> {
        let mut any = false;
        let with_sizes = |(terms, _): &(&Terms, &Row)| terms.iter().any(|t| t.1.abs() > 1);
        let rows = self.rows.iter().filter(with_sizes).map(|(t, row)| (t.clone(), row.range));
        for (terms, range) in rows.collect::<Vec<_>>() {
            let mut sizes: Vec<i128> = terms.iter().map(|t| t.1.abs()).filter(|c| *c > 1).collect();
            sizes.sort_unstable();
            sizes.dedup();
            for size in sizes {
                self.step()?;
                if self.apart_at(&terms, range, size)? {
                    any = true;
                    break;
                }
            }
        }
        Ok(any)
    }

    /// Takes a row apart into the terms that are multiples of `size` and the others: into two rows
    /// where the sum of the multiples has one value left, into the first of them where that is all
    /// the row says.
    fn apart_at(&mut self, terms: &Terms, range: Range, size: i128) -> Step<bool> {
        let multiple = |t: &&(usize, i128)| t.1 % size == 0;
        let small = self.range_of(terms.iter().filter(|t| !multiple(t)))?;
        let all = self.range_of(terms.iter().filter(multiple))?;
        let own = divided(large(difference(range, small))?.meet(all), size);
        if own.is_empty() {
            return Err(End::Proved);
        }
        let left = large(scaled(own, size))?;
        let alone = own.single().is_some();
        let sum = large(difference(left, large(scaled(small, -1))?))?;
        let several = |n: usize| n > 1 && n < terms.len();
        let implied = sum.meet(range) == sum && several(terms.iter().filter(multiple).count());
        if !alone && !implied {
            return Ok(false);
        }
        let (many, few): (Terms, Terms) = terms.iter().partition(multiple);
        self.rows.remove(terms);
        self.insert(&Linear { terms: many, constant: 0 }, left)?;
        if alone {
            self.insert(&Linear { terms: few, constant: 0 }, large(difference(range, left))?)?;
        }
        Ok(true)
    }

    /// Writes a variable by the value of a row whose range is smaller than one of its coefficients:
    /// the row says that the variable has a digit there. First the rows whose variables are in
    /// equations, which are about these digits.
    fn digits(&mut self) -> Step {
        let own = self.bounds.len();
        for _variable in 0..own {
            let equations = self.rows.iter().filter(|(_, row)| row.range.single().is_some());
            let named: BTreeSet<usize> =
                equations.flat_map(|(t, _)| t.iter().map(|t| t.0)).collect();
            let candidates = self.rows.iter().filter_map(|(terms, Row { range, .. })| {
                let size = range.high?.checked_sub(range.low?)?;
                let large = terms.iter().any(|t| t.1.abs() > size);
                // a digit has smaller digits only
                let coarse = |t: &&(usize, i128)| {
                    let own_range = self.bounds[t.0].range;
                    let ends = own_range.low.zip(own_range.high);
                    t.0 < own || ends.is_none_or(|(low, high)| high - low > size)
                };
                let unit = terms.iter().filter(coarse).find(|t| t.1.abs() == 1)?;
                let others = terms.iter().filter(|t| !named.contains(&t.0)).count();
                (size > 0 && large).then_some((others, terms, *range, *unit))
            });
            let Some((_, terms, range, (variable, sign))) = candidates.min_by_key(|c| c.0) else {
                break;
            };
            let others: Terms = terms.iter().filter(|t| t.0 != variable).copied().collect();
            let digit = self.bounds.len();
            self.bounds.push(Bound { range, since: self.time });
            // sign · variable + others = digit
            let value = Linear::variable(digit);
            let value = large(value.minus(&Linear { terms: others, constant: 0 }))?;
            let value = large(Linear::default().plus(sign, &value))?;
            self.substitute(variable, &value)?;
            self.settle()?;
        }
        Ok(())
    }

    /// Rows that are the same but for one variable, such as quotients of one expression, are
    /// compared; whether that says something new.
    fn twins(&mut self) -> Step<bool> {
        let mut any = false;
        let mut seen: BTreeMap<(Terms, i128), (usize, Range)> = BTreeMap::new();
        // rows that are twins have this in common
        let kind = |terms: &Terms| {
            (terms.len(), terms.iter().fold(0, |sum: i128, t| sum.wrapping_add(t.1.abs())))
        };
        let mut kinds: Vec<(usize, i128)> = self.rows.keys().map(kind).collect();
        kinds.sort_unstable();
        let several = |terms: &Terms| {
            let at = kinds.partition_point(|k| *k < kind(terms));
            kinds.get(at + 1) == Some(&kind(terms))
        };
        let rows = self.rows.iter().filter(|(terms, _)| several(terms));
        let rows: Vec<(Terms, Range)> = rows.map(|(t, row)| (t.clone(), row.range)).collect();
        for (terms, range) in rows {
            self.step()?;
            for (at, (variable, coefficient)) in terms.iter().enumerate() {
                let mut others = terms.clone();
                others.remove(at);
                let mut size = *coefficient;
                let mut range = range;
                if others[0].1 < 0 {
                    others.iter_mut().for_each(|t| t.1 = -t.1);
                    (size, range) = (-size, large(scaled(range, -1))?);
                }
                let Some((other, known)) = seen.insert((others, size), (*variable, range)) else {
                    continue;
                };
                let apart = Linear::variable(*variable).minus(&Linear::variable(other));
                let apart = large(Linear::default().plus(size, &large(apart)?))?;
                any |= self.insert(&apart, large(difference(range, known))?)?;
            }
        }
        Ok(any)
    }

    /// Writes a variable by the others of an equation; whether there was one.
    fn eliminate(&mut self) -> Step<bool> {
        let equations = self.rows.iter().filter_map(|(terms, row)| {
            let unit = terms.iter().find(|t| t.1.abs() == 1)?;
            Some((terms, row.range.single()?, *unit))
        });
        let Some((terms, value, (variable, sign))) = equations.min_by_key(|e| e.0.len()) else {
            return Ok(false);
        };
        let others: Terms = terms.iter().filter(|t| t.0 != variable).copied().collect();
        let rest = Linear { terms: Terms::new(), constant: value };
        let rest = large(rest.minus(&Linear { terms: others, constant: 0 }))?;
        let rest = large(Linear::default().plus(sign, &rest))?;
        self.substitute(variable, &rest)?;
        Ok(true)
    }

    /// Adds multiples of two rows so that a variable goes away and no more variables are left than
    /// the larger of them has.
    fn combine(&mut self) -> Step {
        let rows: Vec<(Terms, Range)> =
            self.rows.iter().map(|(terms, row)| (terms.clone(), row.range)).collect();
        for (k, (first, a)) in rows.iter().enumerate() {
            for (second, b) in &rows[..k] {
                let first_sum = Linear { terms: first.clone(), constant: 0 };
                for (variable, c) in second {
                    let own = first_sum.coefficient(*variable);
                    if own == 0 {
                        continue;
                    }
                    self.step()?;
                    let common = gcd(own, *c);
                    let (p, q) = (c / common, own / common);
                    let scaled_sum = large(Linear::default().plus(p, &first_sum))?;
                    let other = Linear { terms: second.clone(), constant: 0 };
                    let sum = large(scaled_sum.minus(&large(Linear::default().plus(q, &other))?))?;
                    if sum.terms.len() > first.len().max(second.len()) {
                        continue;
                    }
                    let range = large(difference(large(scaled(*a, p))?, large(scaled(*b, q))?))?;
                    self.insert(&sum, range)?;
                }
            }
        }
        Ok(())
    }
}
