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
        let apart = |p| Order::of(deps, p).components(p, &[]);
        let apart: Vec<Part> = parts.iter().flat_map(apart).collect();
        if apart.len() > parts.len() {
            let step = order_step(self.at.poly(), &apart);
            self.step(step);
            self.distribute(false);
        }
        Ok(())
    }
}

/// Which statements of a part have to precede which others, also by way of others.
pub(super) struct Order {
    /// The statements.
    chosen: Vec<usize>,
    /// Whether the first has to precede the second, by their places in `chosen`.
    reaches: Vec<Vec<bool>>,
}

impl Order {
    pub(super) fn of(deps: &DepContext, part: &Part) -> Self {
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
        Self { chosen, reaches }
    }

    /// Whether a statement has to precede another one.
    pub(super) fn precedes(&self, first: usize, second: usize) -> bool {
        let place = |k: usize| self.chosen.iter().position(|c| *c == k);
        place(first).zip(place(second)).is_some_and(|(a, b)| self.reaches[a][b])
    }

    /// The components, each as a part of its own, those that others depend on first. Statements of
    /// one group stay together: nothing outside a group lies between two of its statements.
    pub(super) fn components(&self, part: &Part, groups: &[Vec<usize>]) -> Vec<Part> {
        let in_group = |a: usize, b: usize| {
            groups.iter().any(|g| g.contains(&self.chosen[a]) && g.contains(&self.chosen[b]))
        };
        let together = |a: usize, b: usize| {
            a == b || in_group(a, b) || self.reaches[a][b] && self.reaches[b][a]
        };
        let mut left: Vec<usize> = (0..self.chosen.len()).collect();
        let mut out = Vec::new();
        // of what is left, the first that nothing outside its own component has to precede
        let first = |left: &[usize], b: usize| {
            let own = left.iter().filter(|a| together(**a, b));
            own.clone().all(|b| left.iter().all(|a| together(*a, *b) || !self.reaches[*a][*b]))
        };
        while let Some(next) = left.iter().copied().find(|b| first(&left, *b)) {
            let (mine, rest): (Vec<usize>, Vec<usize>) =
                left.iter().partition(|a| together(**a, next));
            let solved = mine.iter().map(|k| part.solved[*k].clone()).collect();
            out.push(Part { solved, kind: Kind::Text });
            left = rest;
        }
        out
    }
}
