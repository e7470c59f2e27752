//! Phases around a pivot: an order in which what others read is written between phases.
//!
//! In: a nest in the order of its text. Out: the same order where, in an iteration of the outermost
//! loop, the iterations of inner loops before it, at it and after it run apart: all shortest paths
//! read row and column k while they write them, and have independent iterations in each phase.
//! Keeps: the caller checks the order as it checks any other. Sizes must be fixed.
//! Why here: quotients tell the sides. A GPU wants few launches, hence sums of them; on a CPU each
//! quotient is a loop of its own, from which isl makes bounds, where sums would become guards.

use warploom_ir::affine::Affine;
use warploom_ir::diag::Result;

use super::Auto;
use super::order::Part;
use super::solver::Solved;

/// How far the iterations of an inner loop are from the pivot.
struct Apart {
    by: Affine,
    /// Above all distances.
    size: i64,
}

impl Apart {
    /// -1 or 0 where the distance is negative or not, and where it is not positive or positive.
    fn halves(&self) -> Option<[Affine; 2]> {
        let one_less = self.by.sub(&Affine::constant(1)).ok()?;
        Some([self.by.floor_div(self.size).ok()?, one_less.floor_div(self.size).ok()?])
    }
}

impl Auto {
    /// A loop over phases, then one over the side of each inner loop but the last, whose side they
    /// tell: few launches.
    pub(super) fn phases(&mut self, part: &Part) -> Result<Option<Vec<Solved>>> {
        self.around_pivot(part, |all| {
            let (mut phase, mut sides) = (Affine::constant(0), Vec::new());
            for apart in all {
                let [not_before, after] = apart.halves()?;
                // -2 before the pivot, -1 at it, 0 after
                let side = not_before.add(&after).ok()?;
                phase = phase.add(&side).ok()?;
                sides.push(side);
            }
            sides.pop();
            Some(std::iter::once(phase).chain(sides).collect())
        })
    }

    /// Two loops for each inner loop, one after another for all of them: before the pivot or not,
    /// after it or not.
    pub(super) fn sides(&mut self, part: &Part) -> Result<Option<Vec<Solved>>> {
        self.around_pivot(part, |all| {
            let halves: Option<Vec<[Affine; 2]>> = all.iter().map(Apart::halves).collect();
            Some(halves?.into_iter().flatten().collect())
        })
    }

    /// The order of the text with more loops below the outermost one, made from how far inner loops
    /// are from it.
    fn around_pivot(
        &mut self,
        part: &Part,
        rows: impl Fn(&[Apart]) -> Option<Vec<Affine>>,
    ) -> Result<Option<Vec<Solved>>> {
        let mut out = part.solved.clone();
        for s in &mut out {
            let poly = self.at.poly().clone();
            let name = &poly.statements[s.statement].statement.name;
            let Some(pivot) = s.rows.first().cloned() else { return Ok(None) };
            let mut all = Vec::new();
            for row in s.rows.iter().skip(1).filter(|r| r.as_constant().is_none()) {
                let Ok(by) = row.sub(&pivot) else { return Ok(None) };
                let deps = self.session.deps(&self.at)?;
                let Some((low, high)) = deps.row_bounds(name, &by)? else { return Ok(None) };
                let size = low.saturating_abs().max(high.saturating_abs()).saturating_add(2);
                all.push(Apart { by, size });
            }
            let Some(new) = rows(&all) else { return Ok(None) };
            s.rows.splice(1..1, new);
        }
        Ok(Some(out))
    }
}
