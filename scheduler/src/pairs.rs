//! Two instances that touch one element, as a system of constraints.
//!
//! In: a poly, two accesses to one array, times. Out: that no such pair is in an order, that one
//! is, or neither where that is not seen.
//! Keeps: both answers are proofs. Where there is none the caller asks isl, and isl alone gives
//! relations and witnesses.
//! An iterator that the element fixes is written by the other instance's, so that what is made of
//! it by the same quotients is the same expression.
//! Why here: a schedule is found by hundreds of these questions, and nearly all are this simple.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::nest::Constraint;
use warploom_ir::schedule::{Poly, PolyStatement};
use warploom_ir::system::{Linear, Range, System};

use crate::deps::Touch;

/// Sums that are in ranges at the same time.
type Case = Vec<(Linear, Range)>;

/// Two instances (see the module's page).
pub(crate) struct Pair {
    system: System,
    params: BTreeMap<Name, Linear>,
    /// The iterators of the first and the second.
    ends: [BTreeMap<Name, Linear>; 2],
}

/// How much later the second of two time vectors is, component by component.
struct Later {
    /// Without those that are equal in all pairs, up to one that is a number.
    parts: Vec<Linear>,
    /// Where these are all 0: the second is later, or earlier, or both are the same.
    end: std::cmp::Ordering,
}

const ZERO: Range = Range::only(0);
const MORE: Range = Range::from(1);
const LESS: Range = Range { low: None, high: Some(-1) };

impl Later {
    /// The first component that is not 0 is in `range`; all may be 0 if `equal` says so.
    fn cases(&self, range: Range, equal: bool) -> Vec<Case> {
        let zeros = |n: usize| self.parts[..n].iter().map(|p| (p.clone(), ZERO));
        let at = |n: usize| zeros(n).chain([(self.parts[n].clone(), range)]).collect();
        let mut out: Vec<Case> = (0..self.parts.len()).map(at).collect();
        if equal {
            out.push(zeros(self.parts.len()).collect());
        }
        out
    }

    /// The second is later.
    fn yes(&self) -> Vec<Case> {
        self.cases(MORE, self.end.is_gt())
    }

    /// The second is not later.
    fn no(&self) -> Vec<Case> {
        self.cases(LESS, self.end.is_le())
    }
}

impl Pair {
    /// All pairs of instances of two accesses that touch one element; `None` where numbers get too
    /// large.
    pub(crate) fn of(poly: &Poly, first: &Touch, second: &Touch) -> Option<Self> {
        let [a, b] = [first, second].map(|t| &poly.statements[t.statement]);
        let same = first.access.indices.iter().zip(&second.access.indices);
        Self::with(poly, [a, b], same)
    }

    /// All pairs of instances of one statement.
    pub(crate) fn of_statement(poly: &Poly, k: usize) -> Option<Self> {
        let s = &poly.statements[k];
        Self::with(poly, [s, s], std::iter::empty())
    }

    fn with<'a>(
        poly: &'a Poly,
        [a, b]: [&'a PolyStatement; 2],
        same: impl Iterator<Item = (&'a Affine, &'a Affine)> + Clone,
    ) -> Option<Self> {
        let mut pair = Self::start(poly, [a, b], same.clone())?;
        for iter in &b.iters {
            if !pair.ends[1].contains_key(iter) {
                let own = Linear::variable(pair.system.variable());
                pair.ends[1].insert(iter.clone(), own);
            }
        }
        for (mine, theirs) in same {
            let apart = pair.value(1, theirs)?.minus(&pair.value(0, mine)?)?;
            pair.system.require(apart, ZERO);
        }
        pair.meet(1, &b.domain)?;
        Some(pair)
    }

    /// All instances of the first statement; of the second one the iterators that are an index of
    /// the element.
    fn start<'a>(
        poly: &'a Poly,
        [a, b]: [&'a PolyStatement; 2],
        same: impl Iterator<Item = (&'a Affine, &'a Affine)>,
    ) -> Option<Self> {
        let mut system = System::new();
        let mut params = BTreeMap::new();
        for p in &poly.params {
            let value = p.value.map(Linear::constant);
            let value = value.unwrap_or_else(|| Linear::variable(system.variable()));
            params.insert(p.name.clone(), value);
        }
        let mut pair = Self { system, params, ends: [BTreeMap::new(), BTreeMap::new()] };
        for iter in &a.iters {
            let own = Linear::variable(pair.system.variable());
            pair.ends[0].insert(iter.clone(), own);
        }
        pair.meet(0, &poly.assumptions)?;
        pair.meet(0, &a.domain)?;
        for (mine, theirs) in same {
            let own = theirs.as_var().filter(|v| b.iters.contains(v));
            let Some(iter) = own.filter(|v| !pair.ends[1].contains_key(*v)) else { continue };
            let value = pair.value(0, mine)?;
            pair.ends[1].insert(iter.clone(), value);
        }
        Some(pair)
    }

    /// Whether every instance that reads finds that an instance of `writer` wrote the element
    /// earlier, where they have the same values of `rows`. Times and rows are the reader's, then
    /// the writer's.
    pub(crate) fn written_before(
        poly: &Poly,
        (reader, access): (usize, &Access),
        writer: usize,
        times: [&[Affine]; 2],
        rows: [&[Affine]; 2],
    ) -> bool {
        let [a, b] = [reader, writer].map(|k| &poly.statements[k]);
        let indices = || access.indices.iter().zip(&b.statement.target.indices);
        let ask = || {
            let mut pair = Self::start(poly, [a, b], indices())?;
            if !b.iters.iter().all(|iter| pair.ends[1].contains_key(iter)) {
                return None;
            }
            let mut against: Vec<Case> = Vec::new();
            for (mine, theirs) in indices().chain(rows[0].iter().zip(rows[1])) {
                let apart = pair.apart(mine, theirs)?;
                against.extend([MORE, LESS].map(|range| vec![(apart.clone(), range)]));
            }
            for Constraint { expr, equality } in &b.domain {
                let value = pair.value(1, expr)?;
                against.push(vec![(value.clone(), LESS)]);
                against.extend(equality.then(|| vec![(value, MORE)]));
            }
            let later = pair.later(times[0], times[1])?;
            against.extend(later.cases(MORE, later.end.is_ge()));
            Some(against.iter().all(|case| pair.system.never_with(case)))
        };
        ask() == Some(true)
    }

    /// Whether instances of two statements with the same values of `indices` have the same values
    /// of `rows`.
    pub(crate) fn decides(
        poly: &Poly,
        of: [usize; 2],
        indices: [&[Affine]; 2],
        rows: [&[Affine]; 2],
    ) -> bool {
        let ask = || {
            let same = indices[0].iter().zip(indices[1]);
            let mut pair = Self::with(poly, of.map(|k| &poly.statements[k]), same)?;
            let mut against = Vec::new();
            for (a, b) in rows[0].iter().zip(rows[1]) {
                let apart = pair.apart(a, b)?;
                against.extend([MORE, LESS].map(|range| vec![(apart.clone(), range)]));
            }
            Some(against.iter().all(|case: &Case| pair.system.never_with(case)))
        };
        ask() == Some(true)
    }

    fn meet(&mut self, end: usize, constraints: &[Constraint]) -> Option<()> {
        for Constraint { expr, equality } in constraints {
            let value = self.value(end, expr)?;
            self.system.require(value, if *equality { ZERO } else { Range::from(0) });
        }
        Some(())
    }

    /// An expression of the first or the second instance.
    fn value(&mut self, end: usize, e: &Affine) -> Option<Linear> {
        let Self { system, params, ends } = self;
        let own = &ends[end];
        system.affine(e, &|name| own.get(name).or_else(|| params.get(name)).cloned())
    }

    fn apart(&mut self, a: &Affine, b: &Affine) -> Option<Linear> {
        self.value(1, b)?.minus(&self.value(0, a)?)
    }

    fn later(&mut self, first: &[Affine], second: &[Affine]) -> Option<Later> {
        let mut later = Later { parts: Vec::new(), end: std::cmp::Ordering::Equal };
        for (a, b) in first.iter().zip(second) {
            let apart = self.apart(a, b)?;
            match apart.as_constant() {
                Some(0) => {}
                Some(number) => {
                    later.end = number.cmp(&0);
                    break;
                }
                None => later.parts.push(apart),
            }
        }
        Some(later)
    }

    /// Whether no pair is in one of these cases and, where that is not enough, in one of those that
    /// `also` gives.
    fn never(
        &mut self,
        cases: Vec<Case>,
        also: impl FnOnce(&mut Self) -> Option<Vec<Case>>,
    ) -> Option<bool> {
        let left: Vec<Case> = cases.into_iter().filter(|c| !self.system.never_with(c)).collect();
        if left.is_empty() {
            return Some(true);
        }
        let more = also(self)?;
        let both = |(a, b): (&Case, &Case)| self.system.never_with(&[a.as_slice(), b].concat());
        Some(left.iter().all(|a| more.iter().all(|b| both((a, b)))))
    }

    /// Whether the second runs later in some pair, in the order of these time vectors.
    pub(crate) fn ordered(&mut self, [first, second]: [&[Affine]; 2]) -> Option<bool> {
        let later = self.later(first, second)?.yes();
        if later.iter().any(|case| self.system.sometimes_with(case)) {
            return Some(true);
        }
        later.iter().all(|case| self.system.never_with(case)).then_some(false)
    }

    /// Whether every pair whose second is later by the `old` time vectors is so by the `new` ones.
    pub(crate) fn keeps(&mut self, old: [&[Affine]; 2], new: [&[Affine]; 2]) -> bool {
        let mut ask = || {
            let violated = self.later(new[0], new[1])?.no();
            self.never(violated, |pair| Some(pair.later(old[0], old[1])?.yes()))
        };
        ask() == Some(true)
    }

    /// Whether no pair whose second is later by the `old` time vectors has equal components before
    /// `depth` of the `new` ones and different components there.
    pub(crate) fn together(
        &mut self,
        old: [&[Affine]; 2],
        new: [&[Affine]; 2],
        depth: usize,
    ) -> bool {
        let mut ask = || {
            let own = self.apart(&new[0][depth], &new[1][depth])?;
            let mut outer = Case::new();
            for (a, b) in new[0][..depth].iter().zip(new[1]) {
                outer.push((self.apart(a, b)?, ZERO));
            }
            if own.as_constant() == Some(0) {
                return Some(true);
            }
            let with = |range| outer.iter().cloned().chain([(own.clone(), range)]).collect();
            let apart: Vec<Case> = vec![with(MORE), with(LESS)];
            self.never(apart, |pair| Some(pair.later(old[0], old[1])?.yes()))
        };
        ask() == Some(true)
    }

    /// Whether two instances of one statement that have the same values of `rows` are the same.
    pub(crate) fn distinct(&mut self, rows: &[Affine]) -> bool {
        let mut ask = || {
            for row in rows {
                let apart = self.apart(row, row)?;
                self.system.require(apart, ZERO);
            }
            let iters: Vec<Name> = self.ends[0].keys().cloned().collect();
            let mut apart = Vec::new();
            for iter in iters {
                let iter = Affine::var(iter);
                // the second may be taken for the first
                apart.push(vec![(self.apart(&iter, &iter)?, MORE)]);
            }
            Some(apart.iter().all(|case| self.system.never_with(case)))
        };
        ask() == Some(true)
    }
}
