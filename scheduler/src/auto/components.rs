//! Loops over statements that depend on each other one way only: each gets loops of its own.
//!
//! In: a schedule after `distribute`. Out: the same schedule after one `order` step, where the
//! statements of a nest that depend on each other in a cycle stay together and all others get nests
//! of their own, in an order that their dependences allow.
//! Keeps: the order of the text inside a component and where dependences leave a choice.
//! Why here: `distribute` cuts the text's order; where a statement must move past another one first
//! only the components tell.
//! Source: loop distribution, J. Allen, K. Kennedy, Automatic Translation of Fortran Programs to
//! Vector Form (1987).

use warploom_ir::diag::Result;

use super::Auto;
use super::order::{Kind, Part, order_step};
use crate::deps::DepContext;

impl Auto {
    /// Takes the nests apart; a nest whose statements all depend on each other stays as it is.
    pub(super) fn components(&mut self) -> Result<()> {
        let parts = self.parts()?;
        if parts.iter().all(|p| p.solved.len() == 1) {
            return Ok(());
        }
        let deps = self.session.deps(&self.at)?;
        let apart: Vec<Part> = parts.iter().flat_map(|p| components_of(deps, p)).collect();
        if apart.len() > parts.len() {
            let step = order_step(self.at.poly(), &apart);
            self.step(step);
            self.distribute(false);
        }
        Ok(())
    }
}

/// The components of a part, each as a part of its own, those that others depend on first.
fn components_of(deps: &DepContext, part: &Part) -> Vec<Part> {
    let chosen = part.statements();
    let n = chosen.len();
    let place = |k: usize| chosen.iter().position(|c| *c == k);
    let mut reaches = vec![vec![false; n]; n];
    for c in &deps.conflicts {
        if let Some((a, b)) = place(c.source.statement).zip(place(c.target.statement)) {
            reaches[a][b] = true;
        }
    }
    for via in 0..n {
        let next = reaches[via].clone();
        for row in reaches.iter_mut().filter(|row| row[via]) {
            row.iter_mut().zip(&next).for_each(|(to, also)| *to |= also);
        }
    }
    let together = |a: usize, b: usize| a == b || reaches[a][b] && reaches[b][a];
    let mut left: Vec<usize> = (0..n).collect();
    let mut out = Vec::new();
    // of what is left, the first statement that nothing outside its own cycle has to precede
    while let Some(first) =
        left.iter().copied().find(|b| left.iter().all(|a| together(*a, *b) || !reaches[*a][*b]))
    {
        let (mine, rest): (Vec<usize>, Vec<usize>) =
            left.iter().partition(|a| together(**a, first));
        let solved = mine.iter().map(|k| part.solved[*k].clone()).collect();
        out.push(Part { solved, kind: Kind::Text });
        left = rest;
    }
    out
}
