//! The instances that some elements of the outputs depend on, in program order.
//!
//! In: a nest with fixed sizes and the elements asked for. Out: every statement instance that
//! writes one of them, or writes something such an instance reads, and so on.
//! Why: a large problem is verified on a few outputs, computed in high precision from exactly
//! the instances they need. Keeps: a demand-driven closure ([Weiser81]); shares no code with the
//! dependence analysis it helps to check.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::nest::{Constraint, Loop, Nest, Node, Statement};

/// An element of an array: its name and indices.
pub(crate) type Element = (Name, Vec<i64>);

/// A statement instance: position of the statement in the nest, values of its iterators.
pub(crate) type Instance = (usize, Vec<i64>);

/// A level around a statement, outermost first.
enum Level<'a> {
    At(i64),
    Loop(&'a Loop),
    Guard(&'a [Constraint]),
}

struct Path<'a> {
    statement: &'a Statement,
    levels: Vec<Level<'a>>,
}

impl Path<'_> {
    /// Sort key of an instance: positions and iteration times, outermost first.
    fn time(&self, values: &[i64]) -> Vec<i64> {
        let mut iters = values.iter();
        let mut out = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            match level {
                Level::At(position) => out.push(*position),
                Level::Loop(l) => {
                    let value = iters.next().copied().unwrap_or(0);
                    out.push(if l.descending { value.wrapping_neg() } else { value });
                }
                Level::Guard(_) => {}
            }
        }
        out
    }
}

fn paths<'a>(body: &'a [Node], prefix: &[usize], nest: &'a Nest, out: &mut Vec<Path<'a>>) {
    for (position, node) in body.iter().enumerate() {
        let mut here = prefix.to_vec();
        here.push(position);
        match node {
            Node::Statement(statement) => {
                out.push(Path { statement, levels: levels(&nest.body, &here) });
            }
            Node::Loop(l) => paths(&l.body, &here, nest, out),
            Node::If(_, inner) => paths(inner, &here, nest, out),
        }
    }
}

/// The levels along a path of positions.
fn levels<'a>(mut body: &'a [Node], path: &[usize]) -> Vec<Level<'a>> {
    let mut out = Vec::new();
    for &position in path {
        out.push(Level::At(i64::try_from(position).unwrap_or(i64::MAX)));
        match &body[position] {
            Node::Loop(l) => {
                out.push(Level::Loop(l));
                body = &l.body;
            }
            Node::If(guards, inner) => {
                out.push(Level::Guard(guards));
                body = inner;
            }
            Node::Statement(_) => {}
        }
    }
    out
}

/// The closure of `wanted`, sorted in program order; `None` when it exceeds `limit` instances.
pub(crate) fn slice(nest: &Nest, wanted: &[Element], limit: usize) -> Option<Vec<Instance>> {
    let mut all = Vec::new();
    paths(&nest.body, &[], nest, &mut all);
    let mut seen: BTreeSet<Element> = wanted.iter().cloned().collect();
    let mut todo: Vec<Element> = wanted.to_vec();
    let mut instances: BTreeSet<Instance> = BTreeSet::new();
    while let Some((array, indices)) = todo.pop() {
        for (s, path) in all.iter().enumerate() {
            if path.statement.target.array != array {
                continue;
            }
            let mut search = Search {
                nest,
                path,
                indices: &indices,
                env: Vec::new(),
                found: Vec::new(),
                limit: limit.checked_sub(instances.len())?,
            };
            search.descend(0)?;
            let found = std::mem::take(&mut search.found);
            for values in found {
                if !instances.insert((s, values.clone())) {
                    continue;
                }
                for access in path.statement.reads() {
                    let element = element_of(nest, path, &values, access)?;
                    if seen.insert(element.clone()) {
                        todo.push(element);
                    }
                }
            }
        }
    }
    let mut sorted: Vec<Instance> = instances.into_iter().collect();
    sorted.sort_by_cached_key(|(s, values)| all[*s].time(values));
    Some(sorted)
}

fn element_of(nest: &Nest, path: &Path<'_>, values: &[i64], access: &Access) -> Option<Element> {
    let names: Vec<&Name> = path
        .levels
        .iter()
        .filter_map(|level| match level {
            Level::Loop(l) => Some(&l.var),
            Level::At(_) | Level::Guard(_) => None,
        })
        .collect();
    let lookup = |name: &str| {
        let at = names.iter().position(|n| &***n == name);
        at.and_then(|i| values.get(i).copied()).or_else(|| nest.param(name).and_then(|p| p.value))
    };
    let indices: Option<Vec<i64>> = access.indices.iter().map(|e| e.eval(&lookup)).collect();
    Some((access.array.clone(), indices?))
}

/// Finds the instances of one statement that write one element.
struct Search<'a> {
    nest: &'a Nest,
    path: &'a Path<'a>,
    indices: &'a [i64],
    env: Vec<(Name, i64)>,
    found: Vec<Vec<i64>>,
    limit: usize,
}

impl Search<'_> {
    fn value(&self, name: &str) -> Option<i64> {
        let bound = self.env.iter().rev().find(|(n, _)| &**n == name).map(|(_, v)| *v);
        bound.or_else(|| self.nest.param(name).and_then(|p| p.value))
    }

    fn eval(&self, e: &Affine) -> Option<i64> {
        e.eval(&|name| self.value(name))
    }

    /// Walks the levels; `None` when the limit is exceeded or a value does not fit.
    fn descend(&mut self, depth: usize) -> Option<()> {
        match self.path.levels.get(depth) {
            None => self.finish(),
            Some(Level::At(_)) => self.descend(depth + 1),
            Some(Level::Guard(constraints)) => {
                for c in *constraints {
                    if !c.holds(&|name| self.value(name))? {
                        return Some(());
                    }
                }
                self.descend(depth + 1)
            }
            Some(Level::Loop(l)) => self.iterate(l, depth),
        }
    }

    fn finish(&mut self) -> Option<()> {
        for (e, &wanted) in self.path.statement.target.indices.iter().zip(self.indices) {
            if self.eval(e)? != wanted {
                return Some(());
            }
        }
        if self.found.len() >= self.limit {
            return None;
        }
        self.found.push(self.env.iter().map(|(_, v)| *v).collect());
        Some(())
    }

    fn iterate(&mut self, l: &Loop, depth: usize) -> Option<()> {
        let bounds =
            |list: &[Affine]| list.iter().map(|e| self.eval(e)).collect::<Option<Vec<_>>>();
        let low = bounds(&l.lower)?.into_iter().max()?;
        let high = bounds(&l.upper)?.into_iter().min()?;
        let start = if l.descending { high.checked_sub(1)? } else { low };
        let on_grid = |v: i64| (v - start) % l.step == 0;
        if let Some(only) = self.solve(&l.var) {
            if let Some(v) = only.filter(|&v| v >= low && v < high && on_grid(v)) {
                self.with(l, v, depth)?;
            }
            return Some(());
        }
        let mut v = start;
        while v >= low && v < high {
            self.with(l, v, depth)?;
            v = if l.descending { v.checked_sub(l.step)? } else { v.checked_add(l.step)? };
        }
        Some(())
    }

    fn with(&mut self, l: &Loop, value: i64, depth: usize) -> Option<()> {
        self.env.push((l.var.clone(), value));
        let result = self.descend(depth + 1);
        self.env.pop();
        result
    }

    /// The value the target's subscripts force on `var`: `None` when they leave it free,
    /// `Some(None)` when they exclude every value.
    fn solve(&self, var: &str) -> Option<Option<i64>> {
        for (e, &wanted) in self.path.statement.target.indices.iter().zip(self.indices) {
            let coefficient = e.coefficient(var);
            let known = e.vars().iter().all(|v| &**v == var || self.value(v).is_some());
            if coefficient == 0 || !known {
                continue;
            }
            let Some(rest) = e
                .sub(&Affine::var(var).scale(coefficient).ok()?)
                .ok()
                .filter(|r| !r.vars().iter().any(|v| &**v == var))
            else {
                continue;
            };
            let left = wanted.checked_sub(self.eval(&rest)?)?;
            return Some((left % coefficient == 0).then(|| left / coefficient));
        }
        None
    }
}
