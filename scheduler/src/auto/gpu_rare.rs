//! Sums that a guard on data leaves out for most elements: threads look at several elements each.
//!
//! In: a reduction alone in its loops, with a guard that reads nothing along the sums. Out:
//! neighbouring elements on the threads of a block, several lines of them one after another in a
//! thread, the sums inside; the guard is tested once for each element.
//! Keeps: where the guard holds nowhere no more than what it reads is touched.
//! Why here: the schedules of other reductions load what their sums need for all elements.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;

use super::Auto;
use super::gpu::fitting;
use super::gpu_lines::THREADS;
use super::tiles::{Role, Stride, stride};

/// Elements that a thread looks at.
const LOOKS: i64 = 32;

impl Auto {
    /// Maps a guarded sum; says whether the statement is one.
    pub(super) fn guarded_sums(&mut self, name: &Name) -> Result<bool> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(false);
        };
        let Some(guard) = &s.statement.guard else { return Ok(false) };
        let (free, sums): (Vec<Role>, Vec<Role>) = roles.into_iter().partition(|r| r.free);
        let still = |r: &Role| guard.reads().iter().all(|a| stride(a, &r.iter) == Stride::None);
        let target = &s.statement.target;
        let line = free.iter().find(|r| stride(target, &r.iter) == Stride::One).cloned();
        let Some(line) = line.filter(|_| !sums.is_empty() && sums.iter().all(still)) else {
            return Ok(false);
        };
        let rest = free.into_iter().filter(|r| r.name != line.name).collect();
        let before = self.at.clone();
        if self.looks(&line, rest, &sums).is_none() {
            self.at = before;
            return Ok(false);
        }
        Ok(true)
    }

    /// Carries it out; `None` where a step is refused.
    fn looks(&mut self, line: &Role, mut rest: Vec<Role>, sums: &[Role]) -> Option<()> {
        let lines = rest.pop();
        let mut order: Vec<Name> = rest.iter().chain(&lines).map(|r| r.name.clone()).collect();
        order.push(line.name.clone());
        order.extend(sums.iter().map(|r| r.name.clone()));
        self.ordered(&order).then_some(())?;
        let batch = self.one_loop(&rest)?;
        let count = |n: Option<i64>, size: i64| n.map(|n| (n + size - 1) / size);
        let wide = line.extent.map_or(THREADS, |n| fitting(THREADS, n));
        let (block, thread) = self.halves(&line.name, wide)?;
        let mut blocks = vec![(block, count(line.extent, wide))];
        let mut mine = Vec::new();
        if let Some(lines) = lines {
            let (block, inside) = self.halves(&lines.name, LOOKS)?;
            blocks.push((block, count(lines.extent, LOOKS)));
            mine.push(inside);
        }
        blocks.extend(batch);
        let mut order: Vec<Name> = blocks.iter().rev().map(|(n, _)| n.clone()).collect();
        order.push(thread.clone());
        order.extend(mine);
        order.extend(sums.iter().map(|r| r.name.clone()));
        (self.ordered(&order) && self.places(&blocks, &[thread])).then_some(())
    }
}
