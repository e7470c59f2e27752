//! `parallel l`, `vectorize l`, `unroll l`: annotations.
//!
//! Rows stay; the loop's marks change.
//! Legal: `unroll` always; `parallel` if no dependence is carried by the loop; `vectorize` if none
//! is but those of a reduction that may be reordered.
//! Errors: `E0712` for a loop that would be both vectors and threads, or vectors and copies.

use warploom_ir::diag::Result;
use warploom_ir::schedule::Tree;
use warploom_ir::schedule::step::Ref;

use super::{edit, refuse, resolve};

/// An annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Iterations run on several threads.
    Parallel,
    /// Iterations become lanes of vectors.
    Vectorize,
    /// The body is repeated.
    Unroll,
}

/// Marks the loop.
pub(crate) fn mark(tree: &Tree, target: &Ref, mark: Mark) -> Result<Tree> {
    let name = resolve(tree, target)?;
    edit(tree.clone(), &name, &mut |mut l| {
        let marks = &mut l.marks;
        match mark {
            Mark::Parallel => marks.parallel = true,
            Mark::Vectorize => marks.vectorize = true,
            Mark::Unroll => marks.unroll = true,
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
    }
}
