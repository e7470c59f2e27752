//! Instances and what flows between them, executed without arithmetic.
//!
//! In: a working nest, sizes, an order of its instances. Out: [`Flow`]: for every instance a number
//! that stands for the term it computes, and for every element of an output the term it ends with.
//! Two orders are the same program where these numbers are equal; where those of an instance
//! differ, one of its reads observed another producer.
//! Keeps: updates by one operator whose order may change commute, as the language says; a copy that
//! `stage` made passes its term on; a recomputed instance stands for the one it repeats; partial
//! results gather the terms of their updates, and a finish hands them on.
//! Why here: it is the meaning of "legal" without a dependence in it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use warploom::Name;
use warploom_ir::affine::{Affine, Atom};
use warploom_ir::expr::Access;
use warploom_ir::nest::{AssignOp, Constraint, Order, Role, Statement};
use warploom_ir::schedule::{Poly, PolyStatement};

use super::order::Times;

/// Sizes by name.
pub type Sizes = BTreeMap<Name, i64>;
/// A statement by its place in the working nest, and the values of its iterators.
pub type Instance = (usize, Vec<i64>);

/// What an order computes (see the module's page).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The terms of each original instance, by statement and iterators.
    pub terms: BTreeMap<(Name, Vec<i64>), Vec<u64>>,
    /// The terms that outputs end with.
    pub ends: BTreeMap<(Name, Vec<i64>), u64>,
}

/// A working nest at given sizes.
pub struct Machine<'a> {
    poly: &'a Poly,
    sizes: Sizes,
}

/// More than this and a case is too large to execute.
pub const MOST: usize = 60_000;
/// More points than this are not tried: bounds of buffers may be found by quotients alone.
const MOST_ASKED: usize = 400_000;

impl<'a> Machine<'a> {
    /// The nest's own sizes are added to these.
    #[must_use]
    pub fn new(poly: &'a Poly, sizes: &Sizes) -> Self {
        let mut sizes = sizes.clone();
        for p in &poly.params {
            if let Some(value) = p.value {
                sizes.insert(p.name.clone(), value);
            }
        }
        Self { poly, sizes }
    }

    /// The value of an expression at an instance of a statement.
    #[must_use]
    pub fn value(&self, statement: usize, e: &Affine, at: &[i64]) -> i64 {
        let iters = &self.poly.statements[statement].iters;
        let iter = |v: &str| iters.iter().position(|i| &**i == v).and_then(|k| at.get(k).copied());
        e.eval(&|v| iter(v).or_else(|| self.sizes.get(v).copied())).expect("every name is known")
    }

    /// Every instance of every statement; `None` if there are too many.
    #[must_use]
    pub fn instances(&self) -> Option<Vec<Instance>> {
        let mut out = Vec::new();
        let mut asks = MOST_ASKED;
        for (k, s) in self.poly.statements.iter().enumerate() {
            let known = |c: &Constraint, d: usize| {
                c.expr.vars().iter().all(|v| s.iters[d..].iter().all(|i| i != v))
            };
            // a constraint is asked as soon as all its iterators have values
            let mut asked: Vec<Vec<&Constraint>> = vec![Vec::new(); s.iters.len() + 1];
            for c in &s.domain {
                let d = (0..=s.iters.len()).find(|&d| known(c, d)).unwrap_or(s.iters.len());
                asked[d].push(c);
            }
            if asked[0].iter().all(|c| self.holds(k, c, &[])) {
                self.points(k, &asked, &mut Vec::new(), &mut out, &mut asks)?;
            }
        }
        Some(out)
    }

    fn holds(&self, statement: usize, c: &Constraint, at: &[i64]) -> bool {
        let value = self.value(statement, &c.expr, at);
        if c.equality { value == 0 } else { value >= 0 }
    }

    fn points(
        &self,
        k: usize,
        asked: &[Vec<&Constraint>],
        at: &mut Vec<i64>,
        out: &mut Vec<Instance>,
        asks: &mut usize,
    ) -> Option<()> {
        let d = at.len();
        let s = &self.poly.statements[k];
        if d == s.iters.len() {
            out.push((k, at.clone()));
            return (out.len() <= MOST).then_some(());
        }
        let (low, high) = self.range(k, &asked[d + 1], at);
        for v in low..=high {
            *asks = asks.checked_sub(1)?;
            at.push(v);
            if asked[d + 1].iter().all(|c| self.holds(k, c, at)) {
                self.points(k, asked, at, out, asks)?;
            }
            at.pop();
        }
        Some(())
    }

    /// Values of the next iterator that the linear ones of these constraints allow.
    fn range(&self, k: usize, constraints: &[&Constraint], at: &[i64]) -> (i64, i64) {
        let name = &self.poly.statements[k].iters[at.len()];
        let (mut low, mut high) = (-200, 400);
        for c in constraints {
            let deep = c.expr.terms().any(|(atom, _)| match atom {
                Atom::Var(_) => false,
                Atom::FloorDiv(e, _) | Atom::Mod(e, _) => e.vars().contains(name),
            });
            let factor = c.expr.coefficient(name);
            if deep || factor == 0 {
                continue;
            }
            let mut zero = at.to_vec();
            zero.push(0);
            let rest = self.value(k, &c.expr, &zero);
            // factor v + rest >= 0
            if factor > 0 || c.equality {
                let bound = (-rest).div_euclid(factor) - 1;
                low = low.max(bound);
            }
            if factor < 0 || c.equality {
                let bound =
                    if factor < 0 { rest.div_euclid(-factor) } else { (-rest).div_euclid(factor) };
                high = high.min(bound + 1);
            }
        }
        (low, high)
    }

    /// Instances in the order of their times.
    #[must_use]
    pub fn sorted(&self, times: &Times) -> Option<Vec<Instance>> {
        let mut all = self.instances()?;
        all.sort_by_cached_key(|(k, at)| self.time(times, *k, at));
        Some(all)
    }

    /// When an instance runs.
    #[must_use]
    pub fn time(&self, times: &Times, k: usize, at: &[i64]) -> Vec<i64> {
        let name = &self.poly.statements[k].statement.name;
        times.of[name].iter().map(|e| self.value(k, e, at)).collect()
    }

    /// The element of an access at an instance.
    #[must_use]
    pub fn element(&self, k: usize, access: &Access, at: &[i64]) -> (Name, Vec<i64>) {
        let index = |e: &Affine| self.value(k, e, at);
        (access.array.clone(), access.indices.iter().map(index).collect())
    }

    /// Executes instances in this order.
    #[must_use]
    pub fn run(&self, order: &[Instance]) -> Flow {
        let mut memory: BTreeMap<(Name, Vec<i64>), Cell> = BTreeMap::new();
        let mut flow = Flow::default();
        for (k, at) in order {
            let s = &self.poly.statements[*k];
            let term = |memory: &BTreeMap<_, Cell>, a: &Access| {
                let element = self.element(*k, a, at);
                memory.get(&element).map_or_else(|| hash(&element), Cell::term)
            };
            let mut reads: Vec<u64> =
                s.statement.value.reads().into_iter().map(|a| term(&memory, a)).collect();
            if let Some(guard) = &s.statement.guard {
                reads.extend(guard.reads().into_iter().map(|a| term(&memory, a)));
            }
            let element = self.element(*k, &s.statement.target, at);
            let old = memory.get(&element).copied().unwrap_or_else(|| Cell::plain(hash(&element)));
            let Some((original, indices)) = &s.origin else {
                let source = s.statement.value.reads().first().map(|a| self.element(*k, a, at));
                let new = match source {
                    // the identity of a reduction
                    None => Cell::plain(IDENTITY),
                    // a copy, with the updates that may still be joined by others
                    Some(from) if s.statement.op == AssignOp::Set => {
                        memory.get(&from).copied().unwrap_or_else(|| Cell::plain(hash(&from)))
                    }
                    Some(partial) => old.with(memory.get(&partial).copied(), &s.statement),
                };
                memory.insert(element, new);
                continue;
            };
            let point: Vec<i64> = indices.iter().map(|e| self.value(*k, e, at)).collect();
            let computed = hash(&(original, &point, reads));
            let (new, term) = combine(s, old, computed);
            memory.insert(element, new);
            flow.terms.entry((original.clone(), point)).or_default().push(term);
        }
        flow.terms.values_mut().for_each(|all| {
            all.sort_unstable();
            all.dedup();
        });
        for (element, cell) in memory {
            let role = self.poly.array(&element.0).map(|a| &a.role);
            if matches!(role, Some(Role::Out | Role::InOut)) {
                flow.ends.insert(element, cell.term());
            }
        }
        flow
    }
}

/// The term of what changes nothing.
const IDENTITY: u64 = 1;

/// The contents of an element: a term, and updates since that commute with each other, with their
/// operator.
#[derive(Clone, Copy)]
struct Cell {
    base: u64,
    updates: Option<(AssignOp, u64)>,
}

impl Cell {
    const fn plain(base: u64) -> Self {
        Self { base, updates: None }
    }

    /// After the update `by` with a sum of terms.
    fn updated(self, by: AssignOp, terms: u64) -> Self {
        let (base, sum) = match self.updates {
            Some((same, sum)) if same == by => (self.base, sum),
            Some(_) | None => (self.term(), 0),
        };
        Self { base, updates: Some((by, sum.wrapping_add(terms))) }
    }

    /// After the updates that a partial result gathered; anything else is no such update.
    fn with(self, partial: Option<Self>, s: &Statement) -> Self {
        match partial {
            Some(Self { base: IDENTITY, updates: None }) => self,
            Some(Self { base: IDENTITY, updates: Some((op, sum)) }) if op == s.op => {
                self.updated(op, sum)
            }
            other => Self::plain(hash(&(self.term(), other.map(|c| c.term())))),
        }
    }

    fn term(&self) -> u64 {
        self.updates.map_or(self.base, |updates| hash(&(self.base, updates)))
    }
}

/// The element after a statement stores `computed`, and the term that the instance stands for.
fn combine(s: &PolyStatement, old: Cell, computed: u64) -> (Cell, u64) {
    let s = &s.statement;
    if s.op != AssignOp::Set && s.order != Order::Serial {
        return (old.updated(s.op, computed), computed);
    }
    let term = if s.op != AssignOp::Set || s.guard.is_some() {
        hash(&(old.term(), computed))
    } else {
        computed
    };
    (Cell::plain(term), term)
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
