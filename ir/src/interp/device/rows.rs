//! Reductions over the rows of a fragment.
//!
//! Keeps: the order in which values are combined, which is that of compiled code: each thread its
//! own elements in ascending order, then threads in pairs that are 1, 2, 4, … apart.

use std::collections::BTreeMap;
use std::ops::Range;

use super::stores::no_meaning;
use super::{Machine, Warp, fault};
use crate::diag::Result;
use crate::expr::Rounding;
use crate::kernel::device::{Across, Reduction, WARP};
use crate::nest::AssignOp;
use crate::value::{Scalar, combine};

/// What a thread has of a row; none where no element of it counts.
type Partial = Option<Scalar>;

fn combined(op: AssignOp, a: Partial, b: Partial) -> Result<Partial> {
    match (a, b) {
        (Some(a), Some(b)) => Ok(Some(combine(op, a, b).map_err(no_meaning)?)),
        (one, None) | (None, one) => Ok(one),
    }
}

impl<'k> Machine<'k, '_> {
    /// Updates the target of each row that this warp holds.
    pub(super) fn reduce(
        &mut self,
        a: &Across,
        part: &[Range<i64>],
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let registers = &w.fragments[&*a.fragment];
        let (layout, tiles) = (registers.layout.clone(), registers.tiles);
        let first = registers.first_thread(w.number - w.team().first);
        let (Some(Reduction { store, guards }), Some(holders)) =
            (a.reduction(), layout.holders_of_row())
        else {
            return Err(fault("E0521", "this is no reduction over rows of the fragment"));
        };
        let inside = |at: [i64; 2]| part.iter().zip(at).all(|(range, i)| range.contains(&i));
        // for each row, the elements of each thread in order
        let mut rows: BTreeMap<i64, BTreeMap<i64, Vec<(i64, usize)>>> = BTreeMap::new();
        for tile in 0..tiles[0] * tiles[1] {
            for lane in 0..WARP {
                for value in 0..layout.n_values() {
                    let [row, col] = layout.element(first + lane, value);
                    let row = row + tile / tiles[1] * layout.rows;
                    let col = col + tile % tiles[1] * layout.cols;
                    if inside([row, col]) {
                        let slot = w.fragments[&*a.fragment].slot(lane, tile, value);
                        let lanes = rows.entry(row).or_default();
                        lanes.entry(lane).or_default().push((col, slot));
                    }
                }
            }
        }
        for (row, lanes) in rows {
            w.env.insert(a.vars[0].clone(), row);
            let start = lanes.keys().next().map_or(0, |lane| lane / holders * holders);
            let mut partials: Vec<Partial> = Vec::new();
            for lane in start..start + holders {
                let mut partial = None;
                for (col, slot) in lanes.get(&lane).into_iter().flatten() {
                    w.env.insert(a.vars[1].clone(), *col);
                    let mut counts = true;
                    for guard in &guards {
                        counts = counts && w.holds(guard)?;
                    }
                    if counts {
                        let value = self.value(&store.value, Some((a, *slot)), w)?;
                        partial = combined(store.op, partial, Some(value))?;
                    }
                }
                partials.push(partial);
            }
            w.env.remove(&a.vars[1]);
            let mut apart = 1;
            while apart < partials.len() {
                let pair = |i: usize| combined(store.op, partials[i], partials[i ^ apart]);
                partials = (0..partials.len()).map(pair).collect::<Result<_>>()?;
                apart *= 2;
            }
            if let Some(value) = partials[0] {
                let old = self.read(&store.array, &store.indices, None, w)?;
                let old = old.convert(value.dtype(), Rounding::Nearest, false);
                let value = combine(store.op, old, value).map_err(no_meaning)?;
                self.write(store, value.convert(store.dtype, Rounding::Nearest, false), None, w)?;
            }
        }
        w.env.remove(&a.vars[0]);
        Ok(())
    }
}
