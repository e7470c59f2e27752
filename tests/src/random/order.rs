//! What each step means for the order of instances, told a second time.
//!
//! In: a tree, a step. Out: the tree after it ([`after`]), and for any tree when each instance runs
//! ([`Times`]). Requires: names of loops in full, as the trees print them.
//! Keeps: nothing of the scheduler is used; trees are read as data. A coalesced loop is left as the
//! two loops it was, which is the same order. `None` for steps that add statements (`stage`,
//! `fuse-at`, `split-reduction`) and for trees that have not the shape a step needs.

use std::collections::BTreeMap;

use warploom::Name;
use warploom_ir::affine::Affine;
use warploom_ir::schedule::step::{Ref, StatementTimes, StepKind};
use warploom_ir::schedule::{Poly, Tree, TreeLoop};

/// When instances run: for each statement, expressions that are compared one after the other.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// By statement.
    pub of: BTreeMap<Name, Vec<Affine>>,
    /// For each loop, its place in the times of each statement below it.
    pub loops: BTreeMap<Name, BTreeMap<Name, usize>>,
}

impl Times {
    /// The times of a tree.
    #[must_use]
    pub fn of_tree(tree: &Tree) -> Self {
        let mut out = Self::default();
        out.walk(tree, &mut Vec::new());
        out
    }

    fn walk<'a>(&mut self, tree: &'a Tree, path: &mut Vec<Part<'a>>) {
        match tree {
            Tree::Statement(name) => {
                let mut time = Vec::new();
                for part in path.iter() {
                    match part {
                        Part::Place(k) => time.push(Affine::constant(*k)),
                        Part::Loop(l) => {
                            let of = self.loops.entry(l.name.clone()).or_default();
                            of.insert(name.clone(), time.len());
                            time.push(l.rows[name].clone());
                        }
                    }
                }
                self.of.insert(name.clone(), time);
            }
            Tree::Loop(l) => {
                path.push(Part::Loop(l));
                self.walk(&l.body, path);
                path.pop();
            }
            Tree::Sequence(children) => {
                for (k, child) in (0..).zip(children) {
                    path.push(Part::Place(k));
                    self.walk(child, path);
                    path.pop();
                }
            }
        }
    }

    /// The times that an `order` step writes for the statements of `poly`.
    #[must_use]
    pub fn given(poly: &Poly, list: &[StatementTimes]) -> Option<Self> {
        let mut out = Self::default();
        for s in list {
            let known = poly.statement(&s.statement.name)?;
            let own = |name: &str| {
                let at = s.iters.iter().position(|i| &*i.name == name)?;
                known.iters.get(at).map(|i| Affine::var(i.clone()))
            };
            let time: Option<Vec<Affine>> =
                s.times.iter().map(|t| t.substitute(&own).ok()).collect();
            out.of.insert(s.statement.name.clone(), time?);
        }
        let longest = out.of.values().map(Vec::len).max()?;
        out.of.values_mut().for_each(|t| t.resize(longest, Affine::constant(0)));
        Some(out)
    }

    /// The same with the iterations of one loop from last to first.
    #[must_use]
    pub fn reversed(&self, name: &str) -> Option<Self> {
        let mut out = self.clone();
        for (statement, &place) in self.loops.get(name)? {
            let row = &mut out.of.get_mut(statement)?[place];
            *row = row.scale(-1).ok()?;
        }
        Some(out)
    }
}

enum Part<'a> {
    Place(i64),
    Loop(&'a TreeLoop),
}

/// The times after a step, and the tree where it leaves one.
#[must_use]
pub fn after(poly: &Poly, tree: &Tree, step: &StepKind) -> Option<(Option<Tree>, Times)> {
    if let StepKind::OrderBy(list) = step {
        return Some((None, Times::given(poly, list)?));
    }
    let tree = tree_after(tree, step)?;
    let times = Times::of_tree(&tree);
    Some((Some(tree), times))
}

fn shifted(tree: &Tree, target: &Ref, by: &Affine) -> Option<Tree> {
    let one = target.qualified().filter(|(s, _)| tree.statements().iter().any(|n| &**n == *s));
    let name = match one {
        Some((s, base)) => {
            let all = above(tree, s)?;
            let named =
                |l: &&Name| &***l == base || l.split_once('.').is_some_and(|(_, b)| b == base);
            let own = all.iter().find(|l| **l == target.name);
            own.or_else(|| all.iter().find(named))?.clone()
        }
        None => target.name.clone(),
    };
    edit(tree, &name, &mut |l| {
        change_rows(l, &|s, row| {
            let moved = one.is_none_or(|(only, _)| only == &**s);
            if moved { row.add(by).ok() } else { Some(row.clone()) }
        })
    })
}

fn tree_after(tree: &Tree, step: &StepKind) -> Option<Tree> {
    Some(match step {
        StepKind::Tile { loops, sizes, .. } => {
            let names: Vec<&Name> = loops.iter().map(|r| &r.name).collect();
            let top = names.first()?;
            edit(tree, top, &mut |l| tiled(l, &names, sizes))?
        }
        StepKind::Split { target, size, .. } => {
            edit(tree, &target.name, &mut |l| tiled(l, &[&target.name], &[*size]))?
        }
        StepKind::Reorder { loops } => {
            let names: Vec<&Name> = loops.iter().map(|r| &r.name).collect();
            let top = tree.loops().into_iter().find(|l| names.contains(&&l.name))?.name.clone();
            edit(tree, &top, &mut |l| reordered(l, &names))?
        }
        StepKind::Fuse { first, second, shift, .. } => {
            fused(tree, &first.name, &second.name, *shift)?
        }
        StepKind::Distribute { target, at, .. } => {
            edit(tree, &target.name, &mut |l| distributed(l, at.as_ref().map(|r| &r.name)))?
        }
        StepKind::Skew { target, factor, by } => {
            let other = tree.find(&by.name)?.rows.clone();
            edit(tree, &target.name, &mut |l| {
                change_rows(l, &|s, row| row.add(&other.get(s)?.scale(*factor).ok()?).ok())
            })?
        }
        StepKind::Shift { target, by } => shifted(tree, target, by)?,
        StepKind::Reverse(r) => {
            edit(tree, &r.name, &mut |l| change_rows(l, &|_, row| row.scale(-1).ok()))?
        }
        StepKind::Order(new) => new.clone(),
        StepKind::Atomically(steps) => {
            let mut at = tree.clone();
            for step in steps {
                at = tree_after(&at, &step.kind)?;
            }
            at
        }
        StepKind::Coalesce { .. }
        | StepKind::Raster { .. }
        | StepKind::Unit(..)
        | StepKind::Tensorize { .. }
        | StepKind::Take { .. }
        | StepKind::Stream { .. }
        | StepKind::Ring { .. }
        | StepKind::Unroll(_)
        | StepKind::Vectorize(_)
        | StepKind::Parallel(_)
        | StepKind::Map(..)
        | StepKind::Require(..)
        | StepKind::RequireCode(_) => tree.clone(),
        StepKind::Stage { .. }
        | StepKind::Fold { .. }
        | StepKind::FuseAt { .. }
        | StepKind::SplitReduction { .. }
        | StepKind::Privatise { .. }
        | StepKind::Recall { .. }
        | StepKind::OrderBy(_) => return None,
    })
}

/// The loops above a statement, outermost first.
#[must_use]
pub fn above(tree: &Tree, statement: &str) -> Option<Vec<Name>> {
    match tree {
        Tree::Statement(name) => (&**name == statement).then(Vec::new),
        Tree::Sequence(children) => children.iter().find_map(|c| above(c, statement)),
        Tree::Loop(l) => {
            let mut out = above(&l.body, statement)?;
            out.insert(0, l.name.clone());
            Some(out)
        }
    }
}

/// Replaces the loop of this name.
fn edit(tree: &Tree, name: &str, f: &mut dyn FnMut(&TreeLoop) -> Option<Tree>) -> Option<Tree> {
    Some(match tree {
        Tree::Loop(l) if &*l.name == name => f(l)?,
        Tree::Loop(l) => {
            Tree::Loop(TreeLoop { body: Box::new(edit(&l.body, name, f)?), ..l.clone() })
        }
        Tree::Sequence(children) => {
            Tree::Sequence(children.iter().map(|c| edit(c, name, f)).collect::<Option<_>>()?)
        }
        Tree::Statement(_) => tree.clone(),
    })
}

fn change_rows(l: &TreeLoop, f: &dyn Fn(&Name, &Affine) -> Option<Affine>) -> Option<Tree> {
    let rows = l.rows.iter().map(|(s, row)| Some((s.clone(), f(s, row)?)));
    Some(Tree::Loop(TreeLoop { rows: rows.collect::<Option<_>>()?, ..l.clone() }))
}

/// The loops of a perfectly nested chain from `l` on, `count` of them, and what is inside.
fn chain(l: &TreeLoop, count: usize) -> Option<(Vec<TreeLoop>, Tree)> {
    let mut loops = vec![l.clone()];
    while loops.len() < count {
        match &*loops[loops.len() - 1].body {
            Tree::Loop(inner) => loops.push(inner.clone()),
            Tree::Sequence(_) | Tree::Statement(_) => return None,
        }
    }
    let body = (*loops[count - 1].body).clone();
    Some((loops, body))
}

fn nest(loops: Vec<TreeLoop>, body: Tree) -> Tree {
    loops.into_iter().rev().fold(body, |body, l| Tree::Loop(TreeLoop { body: Box::new(body), ..l }))
}

/// Tiles of `names`, which follow each other from `l` on.
fn tiled(l: &TreeLoop, names: &[&Name], sizes: &[i64]) -> Option<Tree> {
    let (loops, body) = chain(l, names.len())?;
    if loops.iter().zip(names).any(|(l, name)| l.name != **name) {
        return None;
    }
    let mut all = Vec::new();
    for (l, &size) in loops.iter().zip(sizes) {
        let rows = l.rows.iter().map(|(s, row)| Some((s.clone(), row.floor_div(size).ok()?)));
        let rows = rows.collect::<Option<_>>()?;
        all.push(TreeLoop { name: format!("{}.0", l.name).into(), rows, ..l.clone() });
    }
    all.extend(loops.into_iter().map(|l| TreeLoop { name: format!("{}.1", l.name).into(), ..l }));
    Some(nest(all, body))
}

/// The places of `names` in the chain from `l` on, filled in that order.
fn reordered(l: &TreeLoop, names: &[&Name]) -> Option<Tree> {
    let mut count = 1;
    let (mut loops, body) = loop {
        let (loops, body) = chain(l, count)?;
        if names.iter().all(|name| loops.iter().any(|l| l.name == **name)) {
            break (loops, body);
        }
        count += 1;
    };
    let old = loops.clone();
    let mut order = names.iter();
    for slot in &mut loops {
        if names.contains(&&slot.name) {
            let name = order.next()?;
            *slot = old.iter().find(|l| l.name == **name)?.clone();
        }
    }
    Some(nest(loops, body))
}

fn flat(children: Vec<Tree>) -> Tree {
    let mut out = Vec::new();
    for child in children {
        match child {
            Tree::Sequence(inner) => out.extend(inner),
            Tree::Loop(_) | Tree::Statement(_) => out.push(child),
        }
    }
    Tree::Sequence(out)
}

fn fused(tree: &Tree, first: &Name, second: &Name, shift: i64) -> Option<Tree> {
    match tree {
        Tree::Statement(_) => None,
        Tree::Loop(l) => {
            let body = Box::new(fused(&l.body, first, second, shift)?);
            Some(Tree::Loop(TreeLoop { body, ..l.clone() }))
        }
        Tree::Sequence(children) => {
            let at = children.iter().position(|c| matches!(c, Tree::Loop(l) if l.name == *first));
            let next = at.and_then(|k| children.get(k + 1));
            let (Some(k), Some(Tree::Loop(y))) = (at, next) else {
                let k = children.iter().position(|c| c.find(first).is_some())?;
                let mut out = children.clone();
                out[k] = fused(&children[k], first, second, shift)?;
                return Some(Tree::Sequence(out));
            };
            let Tree::Loop(x) = &children[k] else { return None };
            if y.name != *second {
                return None;
            }
            let mut rows = x.rows.clone();
            for (s, row) in &y.rows {
                rows.insert(s.clone(), row.add_const(shift).ok()?);
            }
            let body = Box::new(flat(vec![(*x.body).clone(), (*y.body).clone()]));
            let mut out = children.clone();
            out[k] = Tree::Loop(TreeLoop { rows, body, ..x.clone() });
            out.remove(k + 1);
            Some(Tree::Sequence(out))
        }
    }
}

fn distributed(l: &TreeLoop, at: Option<&Name>) -> Option<Tree> {
    let Tree::Sequence(children) = &*l.body else { return None };
    let groups: Vec<Vec<Tree>> = match at {
        None => children.iter().map(|c| vec![c.clone()]).collect(),
        Some(s) => {
            let k = children.iter().position(|c| c.statements().contains(s))?;
            vec![children[..k].to_vec(), children[k..].to_vec()]
        }
    };
    let one = |(k, group): (usize, Vec<Tree>)| {
        let body = flat(group);
        let below = body.statements();
        let rows = l.rows.iter().filter(|(s, _)| below.contains(s));
        let rows = rows.map(|(s, row)| (s.clone(), row.clone())).collect();
        let name = format!("{}~{k}", l.name).into();
        Tree::Loop(TreeLoop { name, rows, marks: l.marks.clone(), body: Box::new(body) })
    };
    Some(Tree::Sequence(groups.into_iter().enumerate().map(one).collect()))
}
