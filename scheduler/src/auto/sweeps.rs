//! Orders that sweep over one iterator of each statement.
//!
//! In: a nest whose statements depend on each other in a cycle. Out: orders whose outermost loop
//! is, for each statement, one of its iterators (up or down), such that no dependence points back:
//! a factorisation or a triangular system then does at each step what the step makes possible.
//! Where single iterators leave dependences within a step, so do differences of two (diagonals).
//! Statements that depend on each other within a step follow each other there; others share their
//! loops. Several sweeps over different iterators are a band of loops that may be permuted.
//! Keeps: few orders, those first that leave least to be done in order within a step. The caller
//! checks them as it checks any other.
//! Source: one-dimensional schedules, P. Feautrier, Some Efficient Solutions to the Affine
//! Scheduling Problem I (1992), over single iterators.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_isl::Extremum;

use super::Auto;
use super::order::Part;
use super::solver::Solved;
use crate::deps::{Conflict, DepContext, DepKind};
use crate::legality::Answer;

/// Most orders that are looked at, and that are tried.
const LOOKED_AT: usize = 64;
const TRIED: usize = 2;

/// Where a dependence points in a sweep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Points {
    /// To a later step, always.
    Later,
    /// To the same step or a later one.
    Here,
    /// Also back.
    Back,
}

/// A step for each of some statements.
type Steps = Vec<Affine>;

/// Steps with how many dependences they leave within steps, and the statements' levels there.
type Graded = (usize, Steps, Vec<i64>);

/// Orders that sweep over a part.
pub(super) struct Sweeps {
    /// With one sweep outermost.
    pub(super) orders: Vec<Vec<Solved>>,
    /// With a sweep over each iterator, so that these loops may be permuted; the first leaves
    /// nothing to be done in order within a step.
    pub(super) band: Option<Vec<Solved>>,
}

/// The dependences among some statements, and where they point.
struct Sweep<'a> {
    deps: &'a DepContext,
    /// The statements' indices.
    chosen: Vec<usize>,
    /// Source and target as places in `chosen`.
    conflicts: Vec<(usize, usize, &'a Conflict)>,
    known: BTreeMap<(usize, Affine, Affine), Points>,
}

impl Auto {
    /// Orders of a part by sweeps.
    pub(super) fn sweeps(&mut self, part: &Part) -> Result<Sweeps> {
        let deps = self.session.deps(&self.at)?;
        let chosen = part.statements();
        let place = |k: usize| chosen.iter().position(|c| *c == k);
        let conflicts = deps
            .conflicts
            .iter()
            .enumerate()
            .filter(|(index, c)| c.same_as == *index && c.kind != DepKind::Reduction);
        let conflicts = conflicts
            .filter_map(|(_, c)| Some((place(c.source.statement)?, place(c.target.statement)?, c)));
        let conflicts = conflicts.collect();
        let mut sweep = Sweep { deps, chosen: chosen.clone(), conflicts, known: BTreeMap::new() };
        let found = sweep.found(&options(deps, part, false))?;
        let mut orders = sweep.graded(&found)?;
        let band = sweep.band(&orders, &found);
        if orders.first().is_none_or(|(left, ..)| *left > 0) {
            let found = sweep.found(&options(deps, part, true))?;
            orders = sweep.graded(&found)?;
        }
        let mut out = Vec::new();
        for (_, steps, levels) in orders.iter().take(TRIED) {
            for form in [Form::Inside, Form::Shared, Form::Apart] {
                let rows = |n| sweep.solved(n, steps, levels, form);
                out.extend((0..chosen.len()).map(rows).collect::<Option<Vec<Solved>>>());
            }
        }
        Ok(Sweeps { orders: out, band })
    }
}

/// Where statements that follow each other in a step do so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Inside the loops that all have.
    Inside,
    /// Outside all loops; those of one level share their loops.
    Shared,
    /// Outside all loops, each with its own.
    Apart,
}

/// The steps that each statement may have: its iterators, also downwards where some loop runs so,
/// and differences of two.
fn options(deps: &DepContext, part: &Part, differences: bool) -> Vec<Vec<Affine>> {
    let statements = &deps.model.poly.statements;
    let iters = |s: &Solved| statements[s.statement].iters.clone();
    let down = part.solved.iter().any(|s| {
        let iters = iters(s);
        s.rows.iter().any(|row| iters.iter().any(|i| row.coefficient(i) < 0))
    });
    let of = |i: Name| {
        let up = Affine::var(i);
        let back = up.scale(-1).ok().filter(|_| down);
        std::iter::once(up).chain(back)
    };
    let apart = |s: &Solved| -> Vec<Affine> {
        let all: Vec<Affine> = iters(s).into_iter().map(Affine::var).collect();
        let pairs =
            all.iter().flat_map(|a| all.iter().filter(move |b| a != *b).map(move |b| (a, b)));
        pairs.filter_map(|(a, b)| b.sub(a).ok()).collect()
    };
    let options = |s: &Solved| {
        let mut out: Vec<Affine> = iters(s).into_iter().flat_map(of).collect();
        if differences {
            out.extend(apart(s));
        }
        out
    };
    part.solved.iter().map(options).collect()
}

impl Sweep<'_> {
    /// Steps such that no dependence points back.
    fn found(&mut self, options: &[Vec<Affine>]) -> Result<Vec<Steps>> {
        let (deps, mut found) = (self.deps, Vec::new());
        deps.ask("looking for sweeps", || self.extend(options, &mut Vec::new(), &mut found))?;
        Ok(found)
    }

    /// Steps with what they leave, those that leave least first; not those in which statements
    /// depend on each other in a cycle.
    fn graded(&mut self, found: &[Steps]) -> Result<Vec<Graded>> {
        let mut orders = Vec::new();
        for steps in found {
            let graded = self.deps.ask("looking for sweeps", || self.levels(steps))?;
            orders.extend(graded.map(|(left, levels)| (left, steps.clone(), levels)));
        }
        orders.sort_by_key(|(left, ..)| *left);
        Ok(orders)
    }

    /// Where a dependence points if its ends have these steps.
    fn points(&mut self, n: usize, from: &Affine, to: &Affine) -> Answer<Points> {
        let key = (n, from.clone(), to.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let (model, c) = (&self.deps.model, self.conflicts[n].2);
        let rows = |k: usize, row: &Affine| model.rows(k, std::slice::from_ref(row));
        let (a, b) = (rows(c.source.statement, from)?, rows(c.target.statement, to)?);
        let apart = self.deps.relation(c)?.apply_domain(&a)?.apply_range(&b)?.deltas()?;
        let points = match apart.dim_min_val(0)? {
            Extremum::Empty => Points::Later,
            Extremum::Unbounded => Points::Back,
            Extremum::Value(v) => match v.to_i64() {
                Ok(1..) => Points::Later,
                Ok(0) => Points::Here,
                Ok(_) | Err(_) => Points::Back,
            },
        };
        self.known.insert(key, points);
        Ok(points)
    }

    /// All ways to give the remaining statements steps so that nothing points back.
    fn extend(
        &mut self,
        options: &[Vec<Affine>],
        steps: &mut Steps,
        found: &mut Vec<Steps>,
    ) -> Answer<()> {
        let last = steps.len();
        if last == options.len() {
            found.push(steps.clone());
            return Ok(());
        }
        for option in &options[last] {
            if found.len() >= LOOKED_AT {
                return Ok(());
            }
            steps.push(option.clone());
            let mut legal = true;
            for n in 0..self.conflicts.len() {
                let (a, b, _) = self.conflicts[n];
                if legal && a.max(b) == last {
                    legal = self.points(n, &steps[a], &steps[b])? != Points::Back;
                }
            }
            if legal {
                self.extend(options, steps, found)?;
            }
            steps.pop();
        }
        Ok(())
    }

    /// How many dependences of statements on themselves are left within steps, and the order of
    /// the statements in a step; nothing where they depend on each other in a cycle there.
    fn levels(&mut self, steps: &Steps) -> Answer<Option<(usize, Vec<i64>)>> {
        let (mut left, mut edges) = (0, Vec::new());
        for n in 0..self.conflicts.len() {
            let (a, b, _) = self.conflicts[n];
            if self.points(n, &steps[a], &steps[b])? == Points::Here {
                if a == b {
                    left += 1;
                } else {
                    edges.push((a, b));
                }
            }
        }
        let mut levels = vec![0_i64; steps.len()];
        for _ in 0..steps.len() {
            let mut changed = false;
            for (a, b) in &edges {
                if levels[*b] <= levels[*a] {
                    levels[*b] = levels[*a] + 1;
                    changed = true;
                }
            }
            if !changed {
                return Ok(Some((left, levels)));
            }
        }
        Ok(None)
    }

    /// Sweeps over different iterators of each statement, until all of those of the statements in
    /// most loops are told.
    fn band(&self, orders: &[Graded], found: &[Steps]) -> Option<Vec<Solved>> {
        let (0, first, levels) = orders.first()? else { return None };
        let statements = &self.deps.model.poly.statements;
        let depth = |n: usize| statements[self.chosen[n]].iters.len();
        let most = (0..first.len()).map(depth).max()?;
        let mut band: Vec<&Steps> = vec![first];
        while band.len() < most {
            let deep: Vec<usize> = (0..first.len()).filter(|n| depth(*n) > band.len()).collect();
            let told = |n: usize, by: &Steps| band.iter().any(|b| b[n].vars() == by[n].vars());
            band.push(found.iter().find(|steps| !deep.iter().any(|n| told(*n, steps)))?);
        }
        if band.len() < 2 {
            return None;
        }
        // those that follow others in a step, then in the order of the text
        let mut order: Vec<usize> = (0..first.len()).collect();
        order.sort_by_key(|n| levels[*n]);
        let solved = |n: usize| {
            let place = i64::try_from(order.iter().position(|m| *m == n)?).ok()?;
            let rows = band.iter().map(|steps| steps[n].clone());
            let rows = rows.chain([Affine::constant(place)]).collect();
            Some(Solved { statement: self.chosen[n], rows, band: band.len() })
        };
        (0..first.len()).map(solved).collect()
    }

    /// A statement's time.
    fn solved(&self, n: usize, steps: &Steps, levels: &[i64], form: Form) -> Option<Solved> {
        let statements = &self.deps.model.poly.statements;
        let number = |k: usize| i64::try_from(k).ok().map(Affine::constant);
        // a difference and its first iterator tell the second
        let inner = |n: usize| {
            let iters = &statements[self.chosen[n]].iters;
            let told = iters.iter().position(|i| steps[n].coefficient(i) != 0);
            let rest = (0..iters.len()).filter(move |k| Some(*k) != told);
            rest.map(|k| Affine::var(iters[k].clone())).collect::<Vec<_>>()
        };
        let (mine, level) = (inner(n), Affine::constant(levels[n]));
        let mut rows = vec![steps[n].clone()];
        match form {
            Form::Inside => {
                let common = (0..steps.len()).map(|n| inner(n).len()).min()?;
                let (outside, inside) = mine.split_at(common);
                if outside.is_empty() {
                    return None;
                }
                rows.extend(outside.iter().cloned());
                rows.extend([level, number(n)?]);
                rows.extend(inside.iter().cloned());
            }
            Form::Shared => {
                rows.extend([level, number(mine.len())?]);
                rows.extend(mine);
                rows.push(number(n)?);
            }
            Form::Apart => {
                rows.extend([level, number(mine.len())?, number(n)?]);
                rows.extend(mine);
            }
        }
        Some(Solved { statement: self.chosen[n], rows, band: 0 })
    }
}
