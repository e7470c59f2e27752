//! Sizes of boxes of several indices on tensor cores, from a closed-form estimate of the time.
//!
//! In: the loops of a product's rows, columns and sums, with what lies contiguous. Out: how many
//! iterations of each a tile takes, and how many blocks a multiprocessor has.
//! Keeps: a box is whole instructions, its rows in shared memory are whole chunks of 16 bytes. The
//! search goes through all sizes that divide an extent, and powers of two, with the fewest clocks
//! in the estimate (`gpu_box_cost`); the first of equals.

use warploom_ir::affine::Name;
use warploom_ir::instruction::PAIR;

use super::gpu::Paired;
use super::gpu_tensor_product::Line;
use super::gpu_tensor_size::up;

/// Most rows that a block's tile has, in all warpgroups.
const ROWS: i64 = 384;
/// Most columns of an instruction, and what they are multiples of.
const COLUMNS: i64 = 256;
pub(super) const STEP: i64 = 8;
/// Most and fewest iterations of the sum in a slice.
const SLICE: [i64; 2] = [16, 256];
/// Most elements of a box along a dimension.
pub(super) const BOX: i64 = 256;
/// Bytes of a chunk of shared memory.
pub(super) const CHUNK: i64 = 16;
/// Most loops of a side of which a tile has several iterations: sets of more take isl long.
const LOOPS: usize = 3;
/// Most plans of a side that are tried.
const PLANS: usize = 400;

/// A loop of a side, and how many of its iterations a tile takes.
#[derive(Clone)]
pub(super) struct Cut {
    pub(super) line: Line,
    pub(super) size: i64,
}

/// A loop of a side as the arrays have it.
pub(super) struct Side {
    pub(super) line: Line,
    /// It may be more than one iteration of a tile.
    pub(super) boxed: bool,
}

/// Tiles of a product.
pub(super) struct Boxes {
    /// The loops of rows, columns and sums, slowest first, as the instruction has them.
    pub(super) sides: [Vec<Cut>; 3],
    /// The instruction's rows are the result's columns.
    pub(super) swapped: bool,
    pub(super) teams: i64,
    /// Two blocks with neighbouring rows multiply together.
    pub(super) paired: bool,
    pub(super) stages: i64,
    /// Blocks that a multiprocessor has at once.
    pub(super) resident: i64,
    /// The iterator of the result's last dimension, where neighbouring tiles of it share sectors.
    pub(super) neighbours: Option<Name>,
    /// Tiles of all blocks.
    pub(super) tiles: i64,
    /// How the first and the second factor's operand comes.
    pub(super) comes: [Comes; 2],
    /// Results go through shared memory, and who copies them from there.
    pub(super) leaving: Leaving,
}

/// How results leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Each thread stores what it holds.
    Scattered,
    /// Through shared memory, copied by all threads.
    Threads,
    /// Through shared memory, copied by the copy engine.
    Engine,
}

/// How an operand comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// As boxes of the copy engine.
    Engine,
    /// Copied by threads, asynchronously.
    Copied,
    /// Written by threads, which turn it around.
    Turned,
}

/// What the estimate depends on.
pub(super) struct Space {
    /// Loops of rows, columns and sums, slowest first; a side's last one is contiguous in a factor
    /// where one is.
    pub(super) sides: [Vec<Side>; 3],
    /// The iterator of the last dimension of the first and the second factor.
    pub(super) last: [Option<Name>; 2],
    /// Threads fill the first and the second factor's operand, with the sum last.
    pub(super) threads: [bool; 2],
    /// Threads may copy operands asynchronously.
    pub(super) copies: bool,
    /// Iterators of the result's dimensions, and who can write it.
    pub(super) results: Vec<Option<Name>>,
    pub(super) leaving: Leaving,
    pub(super) batch: i64,
    /// Bytes of rows of the first and the second factor and of the result in memory.
    pub(super) pitch: [i64; 3],
    /// Bytes of an element of the factors, of the result and of all arrays.
    pub(super) factor: i64,
    pub(super) out: i64,
    pub(super) bytes: i64,
    /// Rows and terms of the sum of an instruction, whether its sums are in tensor memory, and
    /// where pairs of blocks may multiply together.
    pub(super) deep: i64,
    pub(super) depth: i64,
    pub(super) tensor: bool,
    pub(super) pairs: Paired,
    pub(super) shared: i64,
    pub(super) multiprocessors: i64,
}

/// What could be done with plans of rows, columns and sums.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// Rows are the result's columns.
    pub(super) swapped: bool,
    /// Blocks at once.
    pub(super) resident: i64,
    /// Two blocks with neighbouring rows multiply together, each with half of the columns' operand.
    pub(super) paired: bool,
}

impl Way {
    /// Blocks that share the columns' operand.
    pub(super) const fn members(self) -> i64 {
        if self.paired { PAIR } else { 1 }
    }
}

/// Sizes of the loops of a side, and what they come to.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) sizes: Vec<i64>,
    /// Elements of a tile, those of the arrays among them, and how many tiles there are.
    pub(super) whole: i64,
    pub(super) real: i64,
    pub(super) count: i64,
}

impl Plan {
    /// Whether a tile has several iterations of several loops.
    fn several(&self) -> bool {
        self.sizes.iter().filter(|s| **s > 1).count() > 1
    }
}

impl Space {
    /// The boxes with the least estimated time, that in clocks, and that of tiles of one index.
    pub(super) fn best(&self) -> Option<(i64, Option<i64>, Boxes)> {
        match self.pairs {
            Paired::Never => self.least(&[false]),
            Paired::Predicted => self.least(&[false, true]),
            Paired::Always => self.least(&[true]).or_else(|| self.least(&[false])),
        }
    }

    /// The same by pairs of blocks or not, as these say.
    fn least(&self, paired: &[bool]) -> Option<(i64, Option<i64>, Boxes)> {
        let mut best: Option<(i64, [Plan; 3], Way)> = None;
        let mut alone: Option<i64> = None;
        // blocks that wait for each other's tensor memory are no two at once
        let resident: &[i64] = if self.tensor { &[1] } else { &[1, 2] };
        let ways: Vec<(i64, bool)> =
            resident.iter().flat_map(|r| paired.iter().map(|p| (*r, *p))).collect();
        let sums = self.plans(2, [SLICE[0], SLICE[1]], self.depth);
        for swapped in [false, true] {
            let (deep, wide) = if swapped { (1, 0) } else { (0, 1) };
            let wides = self.plans(wide, [STEP, COLUMNS], STEP);
            for d in self.plans(deep, [self.deep, ROWS], self.deep) {
                for w in &wides {
                    let mut written = None;
                    let ways = sums.iter().flat_map(|s| ways.iter().map(move |way| (s, *way)));
                    for (s, (resident, paired)) in ways {
                        let (plans, way) = ([&d, w, s], Way { swapped, resident, paired });
                        // tiles of one index have no pairs along another one
                        let one = !paired && !plans.iter().any(|plan| plan.several());
                        let most = match one {
                            true => alone.unwrap_or(i64::MAX),
                            false => best.as_ref().map_or(i64::MAX, |b| b.0),
                        };
                        // what takes too long even where no banks clash is not looked at further
                        if self.clocks(plans, way, 0).is_none_or(|least| least >= most) {
                            continue;
                        }
                        let written =
                            *written.get_or_insert_with(|| self.written(&[&d, w], swapped));
                        let Some(time) = self.clocks(plans, way, written) else { continue };
                        if time < most && one {
                            alone = Some(time);
                        } else if time < most {
                            best = Some((time, plans.map(Plan::clone), way));
                        }
                    }
                }
            }
        }
        let (time, [d, w, s], way) = best?;
        let comes = self.comes([&d, &w, &s], way)?;
        let stages = self.stages([&d, &w, &s], way)?;
        let sides = [(&d, 0), (&w, 1), (&s, 2)].map(|(plan, side)| {
            let lines = self.lines(side, way.swapped);
            let cut = |(l, size): (&Side, &i64)| Cut { line: l.line.clone(), size: *size };
            lines.iter().zip(&plan.sizes).map(cut).collect()
        });
        let boxes = Boxes {
            sides,
            swapped: way.swapped,
            teams: if self.tensor { 1 } else { teams(d.whole) },
            paired: way.paired,
            stages,
            resident: way.resident,
            neighbours: self.neighbours(&[&d, &w], way.swapped),
            tiles: d.count * w.count * self.batch,
            comes,
            leaving: self.leaves(&[&d, &w], way.swapped),
        };
        Some((time, alone, boxes))
    }

    /// The loops of rows (0), columns (1) and sums (2) of the instruction.
    pub(super) fn lines(&self, side: usize, swapped: bool) -> &[Side] {
        &self.sides[if swapped && side < 2 { 1 - side } else { side }]
    }

    /// Whether pairs of blocks can take tiles of such rows and columns: a loop over tiles of rows
    /// has an even number, and each block half of the columns' operand in whole groups of rows.
    pub(super) fn pairs(&self, [d, w]: [&Plan; 2], swapped: bool) -> bool {
        let lines = self.lines(0, swapped).iter().zip(&d.sizes);
        let even = lines.into_iter().any(|(l, size)| even(&l.line, *size));
        let slowest = w.sizes.iter().find(|s| **s > 1);
        even && w.whole % (2 * STEP * PAIR) == 0 && slowest.is_some_and(|s| s % PAIR == 0)
    }

    /// The sizes that the loops of a side can have.
    fn plans(&self, side: usize, [least, most]: [i64; 2], step: i64) -> Vec<Plan> {
        let lines = &self.sides[side];
        let mut all = vec![Plan { sizes: Vec::new(), whole: 1, real: 1, count: 1 }];
        for (at, l) in lines.iter().enumerate() {
            let contiguous =
                at + 1 == lines.len() && self.contiguous(side).contains(&Some(&l.line.iter));
            let filled = side == 2 && at + 1 == lines.len() && self.threads.contains(&true);
            let whole = contiguous || filled;
            let mut next = Vec::new();
            for before in &all {
                let alone = before.whole == 1 && at + 1 == lines.len();
                for size in sizes(l, whole.then_some(CHUNK / self.factor), alone.then_some(step)) {
                    let mut plan = before.clone();
                    plan.sizes.push(size);
                    plan.whole *= size;
                    plan.real *= size.min(l.line.extent);
                    plan.count *= (l.line.extent + size - 1) / size;
                    let several = plan.sizes.iter().filter(|s| **s > 1).count();
                    if plan.whole <= most && several <= LOOPS {
                        next.push(plan);
                    }
                }
            }
            all = next;
        }
        all.retain(|p| p.whole % step == 0 && p.whole >= least);
        // those that waste least are tried
        all.sort_by_key(|p| (p.count * p.whole, -p.whole));
        all.truncate(PLANS);
        all
    }

    /// The iterators of what is contiguous in factors that the copy engine brings, of a side.
    fn contiguous(&self, side: usize) -> Vec<Option<&Name>> {
        let factors = if side == 2 { 0..2 } else { side..side + 1 };
        factors.filter(|f| !self.threads[*f]).map(|f| self.last[f].as_ref()).collect()
    }
}

/// Whether a loop has an even number of tiles of this size.
pub(super) fn even(line: &Line, size: i64) -> bool {
    up(line.extent, size) % PAIR == 0
}

/// Warpgroups for so many rows of a tile.
pub(super) const fn teams(rows: i64) -> i64 {
    match rows / 64 {
        n if n % 2 == 0 => 2,
        n if n % 3 == 0 => 3,
        _odd => 1,
    }
}

/// The sizes that a loop's part of a box can have: one that is contiguous is whole chunks, and one
/// that is alone may reach over the end to a multiple of what the instruction takes.
fn sizes(l: &Side, chunk: Option<i64>, alone: Option<i64>) -> Vec<i64> {
    let extent = l.line.extent;
    let mut out: Vec<i64> = (1..=extent.min(BOX)).filter(|s| extent % s == 0).collect();
    out.extend([8, 16, 32, 64, 128, 256].into_iter().filter(|s| *s < extent));
    if let Some(step) = alone {
        out.extend([(extent + step - 1) / step * step].into_iter().filter(|s| *s <= BOX));
        let multiples = (1..=4).map(|n| n * 64).filter(|s| *s < 2 * extent);
        out.extend(multiples);
    }
    out.retain(|s| chunk.is_none_or(|c| s % c == 0) && (l.boxed || *s == 1));
    out.sort_unstable();
    out.dedup();
    out
}
