//! Temporaries that iterations share by name only.
//!
//! In: a schedule, before its order is chosen. Out: the same schedule after `privatise` steps: each
//! iteration of the innermost loop inside which all values of a temporary are written and read has
//! its own copy, where that loop carries a dependence.
//! Keeps: copies take no more room than the largest array that there was, so sizes must be fixed.

use warploom_ir::affine::Name;
use warploom_ir::nest::{Array, Role};
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Poly, TreeLoop};

use super::Auto;
use super::gpu::tensorized;

/// Elements of an array of fixed size.
pub(super) fn elements(array: &Array, poly: &Poly) -> Option<i64> {
    array.shape.iter().try_fold(1_i64, |n, e| n.checked_mul(poly.fixed(e)?.max(0)))
}

impl Auto {
    /// Gives iterations their own temporaries where that is legal and takes little room.
    pub(super) fn privatise(&mut self) {
        let poly = self.at.poly().clone();
        let Some(sizes) =
            poly.arrays.iter().map(|a| elements(a, &poly)).collect::<Option<Vec<_>>>()
        else {
            return;
        };
        let largest = sizes.into_iter().max().unwrap_or(0);
        let temporary = |a: &&Array| a.role == Role::Temp && !poly.scopes.contains_key(&a.name);
        for array in poly.arrays.iter().filter(temporary) {
            // innermost loops first: inside them nothing is left for those around
            let loops: Vec<TreeLoop> = self.at.tree().loops().into_iter().rev().cloned().collect();
            for l in loops {
                self.privatise_at(&array.name, &l, largest);
            }
        }
    }

    fn privatise_at(&mut self, array: &Name, l: &TreeLoop, largest: i64) {
        let poly = self.at.poly();
        let below = l.body.statements();
        // loops around products on tensor cores are the host's, which needs no copies
        if below.iter().any(|s| tensorized(self.at.tree(), s)) {
            return;
        }
        let inside = poly.statements.iter().filter(|s| below.contains(&s.statement.name));
        if !inside.map(|s| &s.statement).any(|s| s.target.array == *array) {
            return;
        }
        let tree = self.at.tree().clone();
        let free = self.session.deps(&self.at).and_then(|deps| deps.independent(&tree, &l.name));
        if free.unwrap_or(true) {
            return;
        }
        let before = self.at.clone();
        let (name, at) = (Ref::from(array.clone()), Ref::from(l.name.clone()));
        if !self.step(StepKind::Privatise { array: name, at, name: None }) {
            return;
        }
        let poly = self.at.poly();
        let new = poly.arrays.last().and_then(|a| elements(a, poly));
        if new.is_none_or(|n| n > largest) {
            self.at = before;
        }
    }
}
