//! The order of the statements, before lanes, tiles and threads are chosen.
//!
//! In: a schedule. Out: the same schedule after steps that give every statement loops of its own
//! where its dependences allow that, and after one `order` step where isl's scheduler knows better:
//! for nests whose outermost loop carries a dependence (all but reductions that may be reordered),
//! and for neighbouring statements without dependences on themselves that can share all loops.
//! Keeps: what is refused or takes too long is left out; a nest that needs neither costs no
//! question to isl.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, StatementTimes, Step, StepKind};
use warploom_ir::schedule::{Poly, Tree, TreeLoop};

use super::Auto;
use super::gpu::tensorized;
use super::solver::{Solved, solve};
use crate::Schedule;
use crate::deps::{DepContext, DepKind};
use crate::times::times;

/// Most nests about which isl's scheduler is asked.
const MOST_ASKED: usize = 16;

/// Most statements that share their loops: more need more registers and cache ways than there are.
const MOST_FUSED: usize = 8;

/// Statements that are ordered on their own: neighbouring children of the outermost sequence.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Their times below the outermost sequence.
    pub(super) solved: Vec<Solved>,
    /// What was found for them.
    pub(super) kind: Kind,
}

/// How a part got its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// From the text.
    Text,
    /// Several statements in the loops of one.
    Fused,
    /// Bands that isl found.
    Bands,
    /// Loops that may be permuted, for tiles on a GPU's blocks.
    Tiles,
}

/// How good an order of a nest is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// All iterations of all loops in order.
    Serial,
    /// An inner loop is parallel: threads meet in each iteration of those around it.
    Inner,
    /// Outer loops may be tiled together, so that tiles run as a wavefront.
    Band,
    /// The outermost loop is parallel.
    Outer,
}

impl Part {
    /// The indices of its statements.
    pub(super) fn statements(&self) -> Vec<usize> {
        self.solved.iter().map(|s| s.statement).collect()
    }

    /// The names of its statements.
    pub(super) fn names(&self, poly: &Poly) -> Vec<Name> {
        let name = |s: &Solved| poly.statements[s.statement].statement.name.clone();
        self.solved.iter().map(name).collect()
    }

    /// The loops that isl says may be permuted, from the outermost of a nest with these statements.
    pub(super) fn band(&self, poly: &Poly, below: &[Name]) -> usize {
        let inside = |s: &&Solved| below.contains(&poly.statements[s.statement].statement.name);
        self.solved.iter().filter(inside).map(|s| s.band).min().unwrap_or(0)
    }
}

impl Auto {
    /// Orders by isl's scheduler what it orders better than the text; the parts it changed.
    pub(super) fn reorder(&mut self) -> Vec<Part> {
        let mut asked = 0;
        let Ok(text) = self.parts() else { return Vec::new() };
        let mut parts: Vec<Part> = Vec::new();
        let mut changed = false;
        for part in text {
            asked += 1;
            let late = asked > MOST_ASKED;
            if !late && let Some(last) = parts.pop() {
                if let Some(fused) = self.fused(&last, &part) {
                    parts.push(fused);
                    changed = true;
                    continue;
                }
                parts.push(last);
            }
            match if late { None } else { self.banded(&part).ok().flatten() } {
                Some(bands) => {
                    parts.push(bands);
                    changed = true;
                }
                None => parts.push(part),
            }
        }
        if !changed || !self.step(order_step(self.at.poly(), &parts)) {
            return Vec::new();
        }
        parts.retain(|p| p.kind != Kind::Text);
        parts
    }

    /// The children of the outermost sequence in the order of the text.
    pub(super) fn parts(&self) -> Result<Vec<Part>> {
        let (poly, tree) = (self.at.poly(), self.at.tree());
        let rows = times(poly, tree)?.rows;
        let nested = usize::from(matches!(tree, Tree::Sequence(_)));
        let index = |name: &Name| poly.statements.iter().position(|s| s.statement.name == *name);
        let part = |child: &Tree| {
            let names = child.statements();
            let solved = names.iter().filter_map(index).map(|statement| Solved {
                statement,
                rows: rows[statement][nested..].to_vec(),
                band: 0,
            });
            Part { solved: solved.collect(), kind: Kind::Text }
        };
        Ok(children(tree).iter().map(part).collect())
    }

    /// A nest whose outermost loop carries a dependence, in isl's order if that is better.
    fn banded(&mut self, part: &Part) -> Result<Option<Part>> {
        let chosen = part.statements();
        let names = part.names(self.at.poly());
        let textual = names.iter().any(|name| self.textual.contains(name));
        if textual || !depends_on_itself(self.session.deps(&self.at)?, &chosen) {
            return Ok(None);
        }
        let tree = self.at.tree().clone();
        let Some(nest) = children(&tree).into_iter().find(|c| c.statements().contains(&names[0]))
        else {
            return Ok(None);
        };
        let mut best = (self.grade(&tree, &nest, &|_| 0)?, None);
        for apart in [false, true] {
            if best.0 >= Grade::Band {
                break;
            }
            let Some(solved) = solve(self.session.deps(&self.at)?, &chosen, apart) else {
                continue;
            };
            let orders = in_text_order(&solved).into_iter().chain([solved]);
            let mut parts = orders.map(|solved| Part { solved, kind: Kind::Bands });
            let tried = parts.find_map(|part| Some((self.trial(&part)?, part)));
            let Some((trial, candidate)) = tried else { continue };
            let poly = self.at.poly().clone();
            let below = |nest: &Tree| candidate.band(&poly, &nest.statements());
            let Some(nest) = own(trial.tree(), &names) else {
                continue;
            };
            let grade = self.grade(trial.tree(), &nest, &below)?;
            if grade > best.0 {
                best = (grade, Some(candidate));
            }
        }
        if best.0 == Grade::Serial {
            return self.beside_pivot(part);
        }
        Ok(best.1)
    }

    /// A nest without independent iterations, in the order of the text with the sides of a pivot
    /// apart, if that gives its inner loops some.
    fn beside_pivot(&mut self, part: &Part) -> Result<Option<Part>> {
        let Some(solved) = self.sides(part)? else { return Ok(None) };
        let candidate = Part { solved, kind: Kind::Bands };
        let names = part.names(self.at.poly());
        let Some(trial) = self.trial(&candidate) else { return Ok(None) };
        let Some(nest) = own(trial.tree(), &names) else { return Ok(None) };
        let grade = self.grade(trial.tree(), &nest, &|_| 0)?;
        Ok((grade > Grade::Serial).then_some(candidate))
    }

    /// The worst grade of the nests in a subtree.
    fn grade(&mut self, tree: &Tree, at: &Tree, band: &dyn Fn(&Tree) -> usize) -> Result<Grade> {
        let mut worst = Grade::Outer;
        for nest in children(at) {
            let Tree::Loop(outer) = &nest else { continue };
            let deps = self.session.deps(&self.at)?;
            let mut grade = Grade::Serial;
            for l in nest.loops() {
                if deps.independent(tree, &l.name)? {
                    grade = if l.name == outer.name { Grade::Outer } else { Grade::Inner };
                    break;
                }
            }
            if grade < Grade::Band && band(&nest) >= 2 {
                grade = Grade::Band;
            }
            worst = worst.min(grade);
        }
        Ok(worst)
    }

    /// Two neighbours in the loops of one, where all of these stay parallel and the innermost can
    /// become lanes.
    fn fused(&mut self, first: &Part, second: &Part) -> Option<Part> {
        if matches!(first.kind, Kind::Bands | Kind::Tiles) || first.solved.len() >= MOST_FUSED {
            return None;
        }
        let both: Vec<usize> = first.statements().into_iter().chain(second.statements()).collect();
        let depth = self.at.poly().statements[both[0]].iters.len();
        let equal = |k: &usize| self.at.poly().statements[*k].iters.len() == depth;
        if second.solved.len() != 1 || depth == 0 || !both.iter().all(equal) {
            return None;
        }
        let deps = self.session.deps(&self.at).ok()?;
        if both.iter().any(|k| repeats(deps, *k)) || !related(deps, &both) {
            return None;
        }
        let part = Part { solved: solve(deps, &both, false)?, kind: Kind::Fused };
        let trial = self.trial(&part)?;
        let names = part.names(self.at.poly());
        let mut nest = own(trial.tree(), &names)?;
        let mut loops = Vec::new();
        while let Tree::Loop(l) = nest {
            loops.push(l.name);
            nest = *l.body;
        }
        let innermost = loops.last()?;
        let flat = loops.len() == depth && nest.loops().is_empty();
        if !flat || !self.has_lanes(trial.tree(), innermost).ok()? {
            return None;
        }
        for name in &loops[..depth - 1] {
            let deps = self.session.deps(&self.at).ok()?;
            if !deps.independent(trial.tree(), name).ok()? {
                return None;
            }
        }
        Some(part)
    }

    /// The schedule with these statements in a new order and all others as they are.
    pub(super) fn trial(&mut self, new: &Part) -> Option<Schedule> {
        let inside = new.statements();
        let mut parts: Vec<Part> = Vec::new();
        for part in self.parts().ok()? {
            if !inside.contains(&part.solved[0].statement) {
                parts.push(part);
            } else if inside[0] == part.solved[0].statement {
                parts.push(new.clone());
            }
        }
        let step = Step::from(order_step(self.at.poly(), &parts));
        self.at.attempt(&mut self.session, &step).ok()
    }

    /// Gives every statement below different loops a nest of its own, innermost loops first; if
    /// asked, then also statements that share an innermost loop which cannot become lanes for all
    /// of them.
    pub(super) fn distribute(&mut self, for_lanes: bool) {
        self.distribute_some(for_lanes, false);
    }

    /// Distributes loops over several nests; not those whose iterations are independent if these
    /// are to run in one launch.
    pub(super) fn distribute_some(&mut self, for_lanes: bool, serial_only: bool) {
        let inner = |t: &Tree| matches!(t, Tree::Loop(_));
        let mut refused: Vec<Name> = Vec::new();
        loop {
            let holds =
                |l: &&TreeLoop| matches!(&*l.body, Tree::Sequence(c) if c.iter().any(inner));
            let holds = |l: &&TreeLoop| l.marks.map.is_none() && holds(l);
            let shared = |l: &&TreeLoop| matches!(&*l.body, Tree::Sequence(_));
            let tree = self.at.tree().clone();
            let loops = tree.loops();
            let done = |l: &TreeLoop| l.body.statements().iter().any(|s| tensorized(&tree, s));
            let todo = |l: &&TreeLoop| !refused.contains(&l.name) && !done(l);
            let outer = loops.iter().rev().copied().find(|l| holds(l) && todo(l));
            let more = || loops.iter().rev().copied().find(|l| for_lanes && shared(l) && todo(l));
            let next = outer.or_else(more);
            let Some(l) = next.cloned() else { return };
            let free = |auto: &mut Self| {
                let deps = auto.session.deps(&auto.at);
                deps.and_then(|deps| deps.independent(&tree, &l.name)).unwrap_or(false)
            };
            if serial_only && free(self) {
                refused.push(l.name);
                continue;
            }
            let keep = !holds(&&l) && self.has_lanes(&tree, &l.name).unwrap_or(true);
            let target = Ref::from(l.name.clone());
            if keep || !self.step(StepKind::Distribute { target, at: None, names: Vec::new() }) {
                refused.push(l.name);
            }
        }
    }
}

/// The children of a sequence, or the tree itself.
pub(super) fn children(tree: &Tree) -> Vec<Tree> {
    match tree {
        Tree::Sequence(children) => children.clone(),
        Tree::Loop(_) | Tree::Statement(_) => vec![tree.clone()],
    }
}

/// The loops perfectly nested in each other from the top of a tree, outermost first.
pub(super) fn nested(tree: &Tree) -> Vec<TreeLoop> {
    let mut out = Vec::new();
    let mut at = tree;
    while let Tree::Loop(l) = at {
        out.push(l.clone());
        at = &l.body;
    }
    out
}

/// The part of the tree with exactly these statements.
pub(super) fn own(tree: &Tree, names: &[Name]) -> Option<Tree> {
    let inside = |t: &Tree| t.statements().iter().all(|s| names.contains(s));
    let mine: Vec<Tree> = children(tree).into_iter().filter(inside).collect();
    match <[Tree; 1]>::try_from(mine) {
        Ok([one]) => Some(one),
        Err(several) if several.is_empty() => None,
        Err(several) => Some(Tree::Sequence(several)),
    }
}

/// The order of the parts one after another.
pub(super) fn order_step(poly: &Poly, parts: &[Part]) -> StepKind {
    let mut out = Vec::new();
    for (k, s) in poly.statements.iter().enumerate() {
        let mut times = Vec::new();
        for (position, part) in (0..).zip(parts) {
            let Some(solved) = part.solved.iter().find(|x| x.statement == k) else { continue };
            if parts.len() > 1 {
                times.push(Affine::constant(position));
            }
            times.extend(solved.rows.iter().cloned());
            let zero = |row: &Affine| row.as_constant() == Some(0);
            while part.kind == Kind::Text && times.last().is_some_and(zero) {
                times.pop();
            }
        }
        let iters = s.iters.iter().cloned().map(Ref::from).collect();
        out.push(StatementTimes { statement: s.statement.name.clone().into(), iters, times });
    }
    StepKind::OrderBy(out)
}

/// The same order with statements that run one after another innermost in the order of the text,
/// in which they can often be given loops of their own; nothing where that is how they run.
fn in_text_order(solved: &[Solved]) -> Option<Vec<Solved>> {
    let length = solved.first()?.rows.len();
    let last = |s: &Solved| s.rows.last().and_then(Affine::as_constant);
    let mut places: Vec<i64> = solved.iter().map(last).collect::<Option<_>>()?;
    places.sort_unstable();
    let mut out = solved.to_vec();
    for (s, place) in out.iter_mut().zip(places) {
        if s.rows.len() != length {
            return None;
        }
        s.rows[length - 1] = Affine::constant(place);
    }
    (out.iter().zip(solved).any(|(a, b)| a.rows != b.rows)).then_some(out)
}

/// Whether statements depend on each other other than by a reduction that may be reordered.
pub(super) fn depends_on_itself(deps: &DepContext, chosen: &[usize]) -> bool {
    let inside = |k: usize| chosen.contains(&k);
    deps.conflicts.iter().any(|c| {
        c.kind != DepKind::Reduction && inside(c.source.statement) && inside(c.target.statement)
    })
}

/// Whether instances of one statement depend on each other in any way.
fn repeats(deps: &DepContext, k: usize) -> bool {
    deps.conflicts.iter().any(|c| c.source.statement == k && c.target.statement == k)
}

/// Whether the last of these statements shares data with one before it.
fn related(deps: &DepContext, both: &[usize]) -> bool {
    let statements = &deps.model.poly.statements;
    let arrays = |k: usize| {
        let s = &statements[k].statement;
        let mut out: Vec<&Name> = s.reads().into_iter().map(|a| &a.array).collect();
        out.push(&s.target.array);
        out
    };
    let Some((last, before)) = both.split_last() else { return false };
    let mine = arrays(*last);
    before.iter().any(|k| arrays(*k).iter().any(|a| mine.contains(a)))
}
