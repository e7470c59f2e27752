//! The order of the statements, before lanes, tiles and threads are chosen.
//!
//! In: a schedule. Out: the same schedule after steps that give every statement loops of its own
//! where its dependences allow that.
//! Keeps: what is refused is left out.

use warploom_ir::affine::Name;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop};

use super::Auto;

impl Auto {
    /// Gives every statement below different loops a nest of its own, innermost loops first.
    pub(super) fn distribute(&mut self) {
        let shared = |tree: &Tree| -> Vec<Name> {
            let loops = tree.loops();
            let inner = |t: &Tree| matches!(t, Tree::Loop(_));
            let holds =
                |l: &&TreeLoop| matches!(&*l.body, Tree::Sequence(c) if c.iter().any(inner));
            loops.into_iter().rev().filter(holds).map(|l| l.name.clone()).collect()
        };
        let mut refused: Vec<Name> = Vec::new();
        while let Some(name) =
            shared(self.at.tree()).into_iter().find(|name| !refused.contains(name))
        {
            let target = Ref::from(name.clone());
            if !self.step(StepKind::Distribute { target, at: None, names: Vec::new() }) {
                refused.push(name);
            }
        }
    }
}
