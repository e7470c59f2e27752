//! Schedule steps: rewrites of the tree, one file each.
//!
//! In: a tree and a step's operands. Out: the new tree, or the reason why the tree has not the
//! shape the step needs. Whether the new order keeps the dependences is not asked here: the caller
//! ([`crate::Schedule`]) asks it after each step.
//! `stage`, `fold`, `fuse-at`, `split-reduction`, `privatise` and `recall` also change the working
//! nest: they take the dependences' poly and give a new one with the tree.
//! Keeps: every loop has a row for exactly the statements below it; names are unique; a sequence
//! holds no sequence directly. Marks follow their loop.

mod bounds;
mod coalesce;
mod distribute;
mod fold;
mod fuse;
mod fuse_at;
mod identity;
mod mark;
mod names;
mod order;
mod order_by;
mod privatise;
mod raster;
mod recall;
mod reorder;
mod reverse;
mod shift;
mod skew;
mod split;
mod split_reduction;
pub(crate) mod stage;
#[cfg(test)]
pub(crate) mod testing;
mod tile;

use warploom_ir::affine::{Name, Overflow};
use warploom_ir::diag::{Blame, Diagnostic, Result, Span};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Tree, TreeLoop};

pub(crate) use coalesce::coalesce;
pub(crate) use distribute::distribute;
pub(crate) use fold::{Fold, fold};
pub(crate) use fuse::fuse;
pub(crate) use fuse_at::{Fused, fuse_at};
pub(crate) use mark::{Mark, mark, tensorize};
pub(crate) use names::{ancestors, base, no_statement, resolve, unique};
pub(crate) use order::order;
pub(crate) use order_by::order_by;
pub(crate) use privatise::privatise;
pub(crate) use raster::raster;
pub(crate) use recall::recall;
pub(crate) use reorder::reorder;
pub(crate) use reverse::reverse;
pub(crate) use shift::shift;
pub(crate) use skew::skew;
pub(crate) use split::split;
pub(crate) use split_reduction::split_reduction;
pub(crate) use stage::{Stage, stage};
pub(crate) use tile::tile;

/// The tree has not the shape the step needs.
pub(crate) fn refuse(span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new("E0712", Blame::Schedule, message).label(span, ""))
}

/// A row's coefficient left 64 bits.
pub(crate) fn overflow(span: Span) -> impl Fn(Overflow) -> Box<Diagnostic> {
    move |error| {
        let message = format!("the loop's rows cannot be represented: {error}");
        Box::new(Diagnostic::new("E0716", Blame::Schedule, message).label(span, ""))
    }
}

/// Replaces the loop of this name (which must exist) by what `f` makes of it.
pub(crate) fn edit(
    tree: Tree,
    name: &str,
    f: &mut dyn FnMut(TreeLoop) -> Result<Tree>,
) -> Result<Tree> {
    Ok(match tree {
        Tree::Loop(l) if &*l.name == name => f(l)?,
        Tree::Loop(l) => Tree::Loop(TreeLoop { body: Box::new(edit(*l.body, name, f)?), ..l }),
        Tree::Sequence(children) => {
            let children: Result<Vec<Tree>> =
                children.into_iter().map(|child| edit(child, name, f)).collect();
            sequence(children?)
        }
        leaf @ Tree::Statement(_) => leaf,
    })
}

/// A sequence without sequences right inside it; one child stands alone.
pub(crate) fn sequence(children: Vec<Tree>) -> Tree {
    let mut flat = Vec::new();
    for child in children {
        match child {
            Tree::Sequence(inner) => flat.extend(inner),
            other @ (Tree::Loop(_) | Tree::Statement(_)) => flat.push(other),
        }
    }
    match <[Tree; 1]>::try_from(flat) {
        Ok([single]) => single,
        Err(several) => Tree::Sequence(several),
    }
}

/// A chain of perfectly nested loops: the loops outermost first, and what is inside the last.
pub(crate) struct Chain {
    /// The loops; their bodies are empty sequences.
    pub(crate) loops: Vec<TreeLoop>,
    /// What the innermost loop runs.
    pub(crate) body: Tree,
}

impl Chain {
    /// The nested loops again.
    pub(crate) fn build(self) -> Tree {
        self.loops
            .into_iter()
            .rev()
            .fold(self.body, |body, l| Tree::Loop(TreeLoop { body: Box::new(body), ..l }))
    }

    /// The place of a loop in the chain.
    pub(crate) fn position(&self, name: &Name) -> Option<usize> {
        self.loops.iter().position(|l| l.name == *name)
    }
}

/// The perfectly nested chain from the outermost to the innermost of `targets`, and its outermost
/// loop's name. `step` names the step in the refusal.
pub(crate) fn chain(tree: &Tree, step: &str, targets: &[(Ref, Name)]) -> Result<(Name, Chain)> {
    for (k, (r, name)) in targets.iter().enumerate() {
        if targets[..k].iter().any(|(_, earlier)| earlier == name) {
            return Err(refuse(r.span, format!("`{step}` names loop `{name}` twice")));
        }
    }
    let first = tree
        .loops()
        .into_iter()
        .find(|l| targets.iter().any(|(_, name)| *name == l.name))
        .expect("targets are names of loops of this tree");
    let mut left = targets.len();
    let mut loops = Vec::new();
    let mut at = Tree::Loop(first.clone());
    loop {
        match at {
            Tree::Loop(l) => {
                left -= usize::from(targets.iter().any(|(_, name)| *name == l.name));
                let body = *l.body;
                loops.push(TreeLoop { body: Box::new(Tree::Sequence(Vec::new())), ..l });
                if left == 0 {
                    return Ok((first.name.clone(), Chain { loops, body }));
                }
                at = body;
            }
            other @ (Tree::Sequence(_) | Tree::Statement(_)) => {
                return Err(imperfect(step, targets, &loops, &other));
            }
        }
    }
}

/// Says which loop is not in the chain, and which statement is outside it.
fn imperfect(
    step: &str,
    targets: &[(Ref, Name)],
    loops: &[TreeLoop],
    body: &Tree,
) -> Box<Diagnostic> {
    let (missing, name) = targets
        .iter()
        .find(|(_, name)| loops.iter().all(|l| l.name != *name))
        .expect("the chain ended before all targets were met");
    let last = &loops[loops.len() - 1].name;
    let below: Vec<Name> = body.find(name).map(|l| l.body.statements()).unwrap_or_default();
    let outside = body.statements().into_iter().find(|s| !below.contains(s));
    match outside {
        Some(statement) if !below.is_empty() => {
            let message = format!(
                "`{step}` needs `{last}` and `{name}` perfectly nested, but statement \
                 `{statement}` is inside `{last}` and not inside `{name}`"
            );
            let help = format!("first write `distribute {last}`");
            Box::new(refuse(missing.span, message).help(help))
        }
        _ => refuse(
            missing.span,
            format!("`{step}` needs nested loops, but `{name}` is not inside `{last}`"),
        ),
    }
}

/// Refuses a step that would make several loops of a marked one, or one of several.
pub(crate) fn unmarked(r: &Ref, l: &TreeLoop, step: &str) -> Result<()> {
    match l.marks.words().first() {
        None => Ok(()),
        Some(mark) => Err(Box::new(
            Diagnostic::new(
                "E0714",
                Blame::Schedule,
                format!("`{step}` cannot take loop `{}`, which is marked `{mark}`", l.name),
            )
            .label(r.span, "")
            .help(format!("write `{step}` first and `{mark}` for one of the resulting loops")),
        )),
    }
}
