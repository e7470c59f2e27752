//! `parallel l`, `vectorize l`, `unroll l`, `map l to block.x`, `take l by 2`, `stream l by 132`,
//! `map l to warpgroup`, `ring l by 4`, `tensorize m, n, k with …`: annotations.
//!
//! Rows stay; the loops' marks change.
//! Legal: `unroll`, `ring` and `take` always (whose iteration a block runs was free before), and
//! `stream` (whether the sums in its iterations may have parts is asked when it is lowered);
//! `parallel` and `map` if no dependence is carried by the loop; `vectorize` and `tensorize` if
//! none is but those of a reduction that may be reordered. Whether the statement is what the
//! instruction computes is asked when the schedule is lowered.
//! Errors: `E0712` for a loop that would be both vectors and threads, or vectors and copies, or
//! mapped and anything else, for a loop that is taken or streamed and not on `block.x`, and for a
//! place that a loop around it or inside has; `E0730` for an unknown instruction.

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::instruction::{Action, find, matrix_instructions};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Marks, Tensor, Tree, Unit};
use warploom_ir::target::{Axis, Place};

use super::{ancestors, edit, refuse, resolve};

/// An annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Iterations run on several threads.
    Parallel,
    /// Iterations become lanes of vectors.
    Vectorize,
    /// The body is repeated.
    Unroll,
    /// Iterations run on blocks or threads of a GPU.
    Map(Place),
    /// A unit of the multiprocessor runs the iterations.
    Unit(Unit),
    /// Blocks take iterations that no block has begun, so many ahead.
    Take(i64),
    /// So many blocks share out the iterations and parts of their sums.
    Stream(i64),
    /// So many iterations' buffers exist at once.
    Ring(i64),
}

/// Marks the loop.
pub(crate) fn mark(tree: &Tree, target: &Ref, mark: Mark) -> Result<Tree> {
    let name = resolve(tree, target)?;
    if let Mark::Map(place) = mark {
        free(tree, target, &name, place)?;
    }
    edit(tree.clone(), &name, &mut |mut l| {
        let marks = &mut l.marks;
        match mark {
            Mark::Parallel => marks.parallel = true,
            Mark::Vectorize => marks.vectorize = true,
            Mark::Unroll => marks.unroll = true,
            Mark::Map(place) => marks.map = Some(place),
            Mark::Unit(unit) => marks.unit = Some(unit),
            Mark::Take(ahead) => {
                of_blocks(marks, &name, target, ["taken", "take"])?;
                marks.taken = Some(ahead);
                return Ok(Tree::Loop(l));
            }
            Mark::Stream(blocks) => {
                of_blocks(marks, &name, target, ["shared out", "stream"])?;
                marks.streamed = Some(blocks);
                return Ok(Tree::Loop(l));
            }
            Mark::Ring(stages) => marks.ring = Some(stages),
        }
        alone(marks, &name, target)?;
        if marks.vectorize && (marks.parallel || marks.unroll) {
            let other = if marks.parallel { "parallel" } else { "unroll" };
            let message = format!("loop `{name}` cannot be both `vectorize` and `{other}`");
            let help = format!("write `split {name} by 8` before both and mark the two loops");
            return Err(Box::new(refuse(target.span, message).help(help)));
        }
        Ok(Tree::Loop(l))
    })
}

/// Refuses a mark of the one loop over blocks where the loop is no such, or has the other one.
fn of_blocks(marks: &Marks, name: &Name, target: &Ref, [done, step]: [&str; 2]) -> Result<()> {
    if marks.map != Some(Place::Block(Axis::X)) {
        let message = format!("loop `{name}` is {done} by blocks it is not mapped to");
        let help = format!("write `map {name} to block.x` before `{step} {name}`");
        return Err(Box::new(refuse(target.span, message).help(help)));
    }
    if marks.taken.is_some() || marks.streamed.is_some() {
        let message = format!("who runs the iterations of loop `{name}` is said already");
        let help = "write one of `take` and `stream`, once";
        return Err(Box::new(refuse(target.span, message).help(help)));
    }
    Ok(())
}

/// Refuses a mark that excludes others beside another.
fn alone(marks: &Marks, name: &Name, target: &Ref) -> Result<()> {
    let excludes = marks.map.is_some()
        || marks.unit.is_some()
        || marks.tensor.is_some()
        || marks.ring.is_some();
    match marks.words().as_slice() {
        [first, second, ..] if excludes => {
            let message = format!("loop `{name}` cannot be both `{first}` and `{second}`");
            Err(refuse(target.span, message))
        }
        _few => Ok(()),
    }
}

/// Marks three loops as the indices of a matrix instruction.
pub(crate) fn tensorize(tree: &Tree, loops: &[Ref; 3], instruction: &Ref) -> Result<Tree> {
    let known = find(&instruction.name).map(|i| i.action);
    if !matches!(known, Some(Action::Matrix(_))) {
        let names: Vec<&str> = matrix_instructions().iter().map(|i| i.name.as_str()).collect();
        let message = format!("there is no matrix instruction `{instruction}`");
        let help = format!(
            "there are {}, …",
            names.iter().take(6).cloned().collect::<Vec<_>>().join(", ")
        );
        return Err(Box::new(
            Diagnostic::new("E0730", Blame::Schedule, message)
                .label(instruction.span, "")
                .help(help),
        ));
    }
    let mut tree = tree.clone();
    for (index, target) in loops.iter().enumerate() {
        let name = resolve(&tree, target)?;
        let tensor = Tensor { instruction: instruction.name.clone(), index };
        tree = edit(tree, &name, &mut |mut l| {
            if l.marks.tensor.replace(tensor.clone()).is_some() {
                let message = format!("loop `{name}` is an index of an instruction already");
                return Err(refuse(target.span, message));
            }
            alone(&l.marks, &name, target)?;
            Ok(Tree::Loop(l))
        })?;
    }
    Ok(tree)
}

/// Refuses a place that another loop around the same statements has.
fn free(tree: &Tree, target: &Ref, name: &Name, place: Place) -> Result<()> {
    let l = tree.find(name).expect("resolved names are loops of this tree");
    for statement in l.body.statements() {
        let others = ancestors(tree, &statement);
        let mut others = others.iter().filter(|o| o.name != *name);
        if let Some(other) = others.find(|o| o.marks.map == Some(place)) {
            let (place, other) = (place.name(), &other.name);
            let message = format!("loop `{other}` is mapped to `{place}` already");
            return Err(refuse(target.span, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    #[test]
    fn marks_add_up_where_they_can() {
        let before = t("loop i [S: i] { S }");
        let i = Ref::new("i");
        let one = mark(&before, &i, Mark::Parallel).unwrap();
        becomes(mark(&one, &i, Mark::Unroll), "loop i [S: i] parallel unroll { S }");
        becomes(mark(&before, &i, Mark::Vectorize), "loop i [S: i] vectorize { S }");
        refused(mark(&one, &i, Mark::Vectorize), "E0712", "both `vectorize` and `parallel`");
        let wide = Mark::Map(Place::Block(Axis::X));
        becomes(mark(&before, &i, wide), "loop i [S: i] block.x { S }");
        refused(mark(&one, &i, wide), "E0712", "both `parallel` and `block.x`");
        refused(mark(&before, &i, Mark::Take(2)), "E0712", "not mapped to");
        let blocks = mark(&before, &i, wide).unwrap();
        let taken = mark(&blocks, &i, Mark::Take(2)).unwrap();
        assert_eq!(taken.find("i").unwrap().marks.words(), ["block.x", "take"]);
        refused(mark(&taken, &i, Mark::Stream(4)), "E0712", "is said already");
        refused(mark(&before, &i, Mark::Stream(4)), "E0712", "not mapped to");
        let streamed = mark(&blocks, &i, Mark::Stream(4)).unwrap();
        assert_eq!(streamed.find("i").unwrap().marks.words(), ["block.x", "stream"]);
        let two = t("loop i [S: i] block.x { loop j [S: j] { S } }");
        refused(mark(&two, &Ref::new("j"), wide), "E0712", "mapped to `block.x` already");
    }
}
