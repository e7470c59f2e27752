//! Reads of values that later iterations overwrite.
//!
//! In: a schedule whose nests have been distributed. Out: the same schedule, where such reads go to
//! a copy made before their nest (`stage` without a loop), if an estimate says that the nest then
//! takes less time: iterations that only had to read before others write become independent.
//! Keeps: only reads into whose elements nothing of their nest has written before are tried.
//! Source: renaming, R. Cytron, J. Ferrante, What's in a Name? (1987).

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::schedule::Tree;

use super::host::GAIN;
use super::order::{children, own};
use super::{Auto, copied_first};
use crate::deps::{DepKind, Touch};
use crate::steps::stage::accesses;

impl Auto {
    /// Copies what some nests read before they overwrite it.
    pub(super) fn copies(&mut self) -> Result<()> {
        for nest in children(&self.at.tree().clone()) {
            let names = nest.statements();
            for (statement, access) in self.read_before_written(&names)? {
                self.copy_first(&names, &statement, &access)?;
            }
        }
        Ok(())
    }

    /// The reads of these statements that some of them overwrite later, and none before.
    fn read_before_written(&mut self, names: &[Name]) -> Result<Vec<(Name, Access)>> {
        let deps = self.session.deps(&self.at)?;
        let statements = &deps.model.poly.statements;
        let name = |t: &Touch| statements[t.statement].statement.name.clone();
        let inside = |t: &Touch| names.contains(&name(t));
        let all = || deps.conflicts.iter().filter(|c| inside(&c.source) && inside(&c.target));
        let mut out: Vec<(Name, Access)> = Vec::new();
        for c in all().filter(|c| c.kind == DepKind::Anti && !c.source.write) {
            let mine = (name(&c.source), c.source.access.clone());
            let written = all().any(|d| {
                d.kind == DepKind::Flow && name(&d.target) == mine.0 && d.target.access == mine.1
            });
            if !written && !out.contains(&mine) {
                out.push(mine);
            }
        }
        Ok(out)
    }

    /// Lets a read go to a copy, if its nest takes less time then.
    fn copy_first(&mut self, names: &[Name], statement: &Name, access: &Access) -> Result<()> {
        let nest = |tree: &Tree| own(tree, names);
        let Some(s) = self.at.poly().statement(statement) else { return Ok(()) };
        let all = accesses(&s.statement, &access.array);
        let (Some(number), Some(now)) =
            (all.iter().position(|a| a == access), nest(self.at.tree()))
        else {
            return Ok(());
        };
        let (now, before) = (self.price(&now)?.time, self.at.clone());
        let step = copied_first(&access.array, statement, number);
        if !self.step(step) {
            return Ok(());
        }
        let better = match nest(self.at.tree()) {
            Some(nest) => self.price(&nest)?.time < now * GAIN,
            None => false,
        };
        if !better {
            self.at = before;
        }
        Ok(())
    }
}
