//! Which loops run on threads.
//!
//! In: a schedule whose loops have their final places. Out: the same schedule with the outermost
//! loop without carried dependences of each nest marked `parallel`, where one run of it is worth
//! several times the threads' meeting at its end.

use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop};

use super::Auto;
use super::estimate::MEETING;

/// How many meetings one run of a loop has to take: two threads then save as much again as they
/// lose, also where one of them begins late.
const WORTH: i64 = 4;

impl Auto {
    /// The outermost loop without carried dependences of each nest runs on threads.
    pub(super) fn threads(&mut self) -> Result<()> {
        let mut todo = vec![self.at.tree().clone()];
        while let Some(node) = todo.pop() {
            match node {
                Tree::Sequence(children) => todo.extend(children),
                Tree::Statement(_) => {}
                Tree::Loop(l) => {
                    if !self.worth(&l)? {
                        continue;
                    }
                    let tree = self.at.tree().clone();
                    let inner = l.marks.vectorize || l.marks.unroll;
                    let free =
                        !inner && self.session.deps(&self.at)?.independent(&tree, &l.name)?;
                    let parallel =
                        free && self.choose_one(&l.name, "threads", &["parallel"], 1, &[0]) == 1;
                    if !(parallel && self.step(StepKind::Parallel(Ref::from(l.name)))) {
                        todo.push(*l.body);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether one run of a loop takes so long that it pays to wake threads; sizes that are not
    /// known may be large.
    pub(super) fn worth(&mut self, l: &TreeLoop) -> Result<bool> {
        Ok(self.one_run(l)?.is_none_or(|time| time >= WORTH * MEETING))
    }
}
