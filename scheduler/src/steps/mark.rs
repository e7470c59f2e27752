//! `parallel l`, `vectorize l`, `unroll l`, `map l to block.x`: annotations.
//!
//! Rows stay; the loop's marks change.
//! Legal: `unroll` always; `parallel` and `map` if no dependence is carried by the loop;
//! `vectorize` if none is but those of a reduction that may be reordered.
//! Errors: `E0712` for a loop that would be both vectors and threads, or vectors and copies, or
//! mapped and anything else, and for a place that a loop around it or inside has.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;
use warploom_ir::target::Place;

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
        }
        if let ([first, second, ..], true) = (marks.words().as_slice(), marks.map.is_some()) {
            let message = format!("loop `{name}` cannot be both `{first}` and `{second}`");
            return Err(refuse(target.span, message));
        }
        if marks.vectorize && (marks.parallel || marks.unroll) {
            let other = if marks.parallel { "parallel" } else { "unroll" };
            let message = format!("loop `{name}` cannot be both `vectorize` and `{other}`");
            let help = format!("write `split {name} by 8` before both and mark the two loops");
            return Err(Box::new(refuse(target.span, message).help(help)));
        }
        Ok(Tree::Loop(l))
    })
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
    use warploom_ir::target::Axis;

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
        let two = t("loop i [S: i] block.x { loop j [S: j] { S } }");
        refused(mark(&two, &Ref::new("j"), wide), "E0712", "mapped to `block.x` already");
    }
}
