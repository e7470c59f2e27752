//! Sizes of boxes of several indices on tensor cores, from a closed-form estimate of the time.
//!
//! In: the loops of a product's rows, columns and sums, with what lies contiguous. Out: how many
//! iterations of each a tile takes.
//! Keeps: a box is whole instructions, its rows in shared memory are whole chunks of 16 bytes. The
//! search goes through all sizes that divide an extent, and powers of two, with the fewest clocks
//! in the estimate; the first of equals.
//! Sources: the rates are measured on H200. Rows of boxes cost the second-level cache as many
//! clocks for 16 bytes as for 64; memory takes sectors of 32 bytes.

use warploom_ir::affine::Name;

use super::gpu_tensor::Line;

/// Most and fewest rows that a block's tile has, in all warpgroups.
const ROWS: [i64; 2] = [64, 384];
/// Most columns of an instruction, and what they are multiples of.
const COLUMNS: i64 = 256;
const STEP: i64 = 8;
/// Most and fewest iterations of the sum in a slice.
const SLICE: [i64; 2] = [16, 160];
/// Most elements of a box along a dimension.
const BOX: i64 = 256;
/// Bytes of a chunk of shared memory.
const CHUNK: i64 = 16;
/// Clocks until the first slices have come, and from the last product to the next tile.
const LATENCY: i64 = 1500;
/// Clocks of starting one more copy, in quarters.
const COPY: i64 = 80;
/// Bytes a clock from memory, each multiprocessor's share, and of shared memory.
const MEMORY: i64 = 16;
const SHARED: i64 = 128;
/// Quarters of a clock for a row of a box of 16, 32, 64 and 128 bytes, in and out.
const LOADED: [i64; 4] = [9, 11, 11, 15];
const STORED: [i64; 4] = [26, 15, 20, 36];
/// Elements of results that the threads write to shared memory in a clock: eight that a thread
/// holds in a row, two, and one at a time.
const WRITTEN: [i64; 3] = [48, 24, 8];
/// Elements that threads fill an operand with in a clock, where they turn it around.
const FILLED: i64 = 8;
/// Elements that threads copy from there to memory in a clock, and clocks for one that they write
/// to memory far from its neighbours.
const COPIED: i64 = 16;
const SCATTERED: i64 = 4;
/// Elements in a clock that a thread writes to memory where two are neighbours, and four threads.
const PAIRED: i64 = 3;
/// Sums that a thread of one to three warpgroups can hold, where a multiprocessor has one block
/// and where it has two.
const HELD: [[i64; 3]; 2] = [[128, 128, 96], [72, 48, 24]];
/// Most slices in flight, and as few as still hide the memory's latency.
const STAGES: i64 = 8;
const ENOUGH: i64 = 4;
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
    pub(super) stages: i64,
    /// Blocks that a multiprocessor has at once.
    pub(super) resident: i64,
    /// Tiles of all blocks.
    pub(super) tiles: i64,
    /// Threads fill the first and the second factor's operand.
    pub(super) turned: [bool; 2],
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

/// What the estimate depends on.
pub(super) struct Space {
    /// Loops of rows, columns and sums, slowest first; a side's last one is contiguous in a factor
    /// where one is.
    pub(super) sides: [Vec<Side>; 3],
    /// The iterator of the last dimension of the first and the second factor.
    pub(super) last: [Option<Name>; 2],
    /// Threads fill the first and the second factor's operand, with the sum last.
    pub(super) threads: [bool; 2],
    /// Iterators of the result's dimensions, and who can write it.
    pub(super) results: Vec<Option<Name>>,
    pub(super) leaving: Leaving,
    pub(super) batch: i64,
    /// Bytes of an element of the factors, of the result and of all arrays.
    pub(super) factor: i64,
    pub(super) out: i64,
    pub(super) bytes: i64,
    /// Terms of the sum of an instruction.
    pub(super) depth: i64,
    pub(super) shared: i64,
    pub(super) multiprocessors: i64,
}

/// Plans of rows, columns and sums; whether rows are the result's columns; blocks at once.
type Choice = ([Plan; 3], bool, i64);

/// Sizes of the loops of a side, and what they come to.
#[derive(Clone)]
struct Plan {
    sizes: Vec<i64>,
    /// Elements of a tile, those of the arrays among them, and how many tiles there are.
    whole: i64,
    real: i64,
    count: i64,
}

impl Space {
    /// The boxes with the least estimated time, and that in clocks.
    pub(super) fn best(&self) -> Option<(i64, Boxes)> {
        let mut best: Option<(i64, Choice)> = None;
        let sums = self.plans(2, [SLICE[0], SLICE[1]], self.depth);
        for swapped in [false, true] {
            let (deep, wide) = if swapped { (1, 0) } else { (0, 1) };
            let wides = self.plans(wide, [STEP, COLUMNS], STEP);
            for d in self.plans(deep, ROWS, ROWS[0]) {
                for w in &wides {
                    for (s, resident) in sums.iter().flat_map(|s| [(s, 1), (s, 2)]) {
                        let found = self.clocks([&d, w, s], swapped, resident);
                        let Some(time) = found else { continue };
                        if best.as_ref().is_none_or(|b| time < b.0) {
                            let plans = [d.clone(), w.clone(), s.clone()];
                            best = Some((time, (plans, swapped, resident)));
                        }
                    }
                }
            }
        }
        let (time, (plans, swapped, resident)) = best?;
        let several = |plan: &Plan| plan.sizes.iter().filter(|s| **s > 1).count() > 1;
        if !plans.iter().any(several) {
            return None;
        }
        let [d, w, s] = &plans;
        let stages = self.stages([d, w, s], swapped, resident)?;
        let sides = [(d, 0), (w, 1), (s, 2)].map(|(plan, side)| {
            let lines = &self.sides[if swapped && side < 2 { 1 - side } else { side }];
            let cut = |(l, size): (&Side, &i64)| Cut { line: l.line.clone(), size: *size };
            lines.iter().zip(&plan.sizes).map(cut).collect()
        });
        let (teams, leaving) = (teams(d.whole), self.leaves(&[d, w], swapped));
        let (tiles, turned) =
            (d.count * w.count * self.batch, [0, 1].map(|side| self.turned(side)));
        let boxes = Boxes { sides, swapped, teams, stages, resident, tiles, turned, leaving };
        Some((time, boxes))
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

    /// Elements of the tile along a dimension of the result.
    fn size_of(&self, iter: &Name, plans: &[&Plan; 2], swapped: bool) -> i64 {
        for (at, plan) in plans.iter().enumerate() {
            let lines = &self.sides[if swapped { 1 - at } else { at }];
            if let Some(found) = lines.iter().position(|l| l.line.iter == *iter) {
                return plan.sizes[found].min(lines[found].line.extent);
            }
        }
        1
    }

    /// Neighbouring results in memory that a tile has.
    fn run(&self, plans: &[&Plan; 2], swapped: bool) -> i64 {
        let mut run = 1;
        for iter in self.results.iter().rev() {
            let Some(iter) = iter else { break };
            let size = self.size_of(iter, plans, swapped);
            run *= size;
            let extent = self.sides[..2].iter().flatten().find(|l| l.line.iter == *iter);
            if extent.is_none_or(|l| l.line.extent != size) {
                break;
            }
        }
        run
    }

    /// How results of such tiles leave: rows of whole chunks by the copy engine.
    fn leaves(&self, plans: &[&Plan; 2], swapped: bool) -> Leaving {
        let last = self.results.last().and_then(Option::as_ref);
        let size = last.map_or(1, |iter| self.size_of(iter, plans, swapped));
        match self.leaving {
            Leaving::Scattered => Leaving::Scattered,
            Leaving::Engine if size * self.out % CHUNK == 0 && size <= BOX => Leaving::Engine,
            Leaving::Engine | Leaving::Threads => Leaving::Threads,
        }
    }

    /// Clocks until the results of a tile are on their way.
    fn results(&self, plans: &[&Plan; 2], swapped: bool) -> Option<i64> {
        let held = plans[0].whole * plans[1].whole;
        let elements = plans[0].real * plans[1].real;
        let leaving = self.leaves(plans, swapped);
        let last = self.results.last().and_then(Option::as_ref);
        let wide = &self.sides[if swapped { 0 } else { 1 }];
        let place = wide.iter().position(|l| Some(&l.line.iter) == last);
        let inner = plans[1].sizes.iter().rposition(|s| *s > 1);
        if leaving == Leaving::Scattered {
            let paired = place.is_some() && place == inner;
            return Some(if paired { elements / PAIRED } else { elements * SCATTERED });
        }
        let written = match place {
            Some(at) if Some(at) < inner => WRITTEN[0],
            Some(_) => WRITTEN[1],
            None => WRITTEN[2],
        };
        let run = self.run(plans, swapped) * self.out;
        let row = [128, 64, 32, 16].into_iter().find(|p| run >= *p);
        let stored = match row {
            Some(row) => {
                let rate = STORED[usize::try_from((row / 16).ilog2()).ok()?];
                elements * self.out / row * rate / 4
            }
            None => elements * SCATTERED,
        };
        let copied = if leaving == Leaving::Threads { elements / COPIED } else { 0 };
        Some(held / written + stored + copied)
    }

    /// Slices in flight.
    fn stages(&self, [d, w, s]: [&Plan; 3], swapped: bool, resident: i64) -> Option<i64> {
        let results = match self.leaves(&[d, w], swapped) {
            Leaving::Scattered => 0,
            Leaving::Threads | Leaving::Engine => d.whole * w.whole * self.out,
        };
        let each = (d.whole + w.whole) * s.whole * self.factor;
        let stages = ((self.shared / resident - results - 4096) / each).min(STAGES);
        (stages >= 2).then_some(stages)
    }

    /// Whether threads fill a factor's operand: also where what is contiguous in it is a sum, and
    /// not the fastest of the box's.
    pub(super) fn turned(&self, side: usize) -> bool {
        if self.threads[side] {
            return true;
        }
        let sums = &self.sides[2];
        let place = sums.iter().position(|l| Some(&l.line.iter) == self.last[side].as_ref());
        place.is_some_and(|at| at + 1 != sums.len())
    }

    /// Quarters of a clock until a slice of an operand has come; what is its own, and whose last
    /// dimension is the `side`'s factor's.
    fn loaded(&self, own: &Plan, sums: &Plan, side: usize) -> Option<i64> {
        if self.threads[side] {
            return Some(own.whole * sums.whole * 4 / FILLED);
        }
        let last = self.last[side].as_ref()?;
        let find = |lines: &[Side]| lines.iter().position(|l| l.line.iter == *last);
        let mine = find(&self.sides[side]).map(|at| (own, at, self.sides[side].len()));
        let (plan, at, count) =
            mine.or_else(|| Some((sums, find(&self.sides[2])?, self.sides[2].len())))?;
        let inner = plan.sizes[at];
        if at + 1 != count {
            // threads turn the slower digit of two around, whole chunks of it
            let plain = self.turned(side) && plan.sizes.iter().filter(|s| **s > 1).count() == 2;
            let whole =
                inner * self.factor % CHUNK == 0 && sums.sizes.last()? * self.factor >= CHUNK;
            return (plain && whole).then_some(own.whole * sums.whole * 4 / FILLED);
        }
        let row = inner * self.factor;
        let panel = [128, 64, 32, 16].into_iter().find(|p| row % p == 0)?;
        let rate = LOADED[usize::try_from((panel / 16).ilog2()).ok()?];
        let rows = own.whole * sums.whole * self.factor / panel;
        let copies = plan.whole / inner * (row / panel);
        Some(rows * rate + copies * COPY / 4)
    }

    /// Clocks until all is done; nothing where these boxes cannot be.
    fn clocks(&self, [d, w, s]: [&Plan; 3], swapped: bool, resident: i64) -> Option<i64> {
        let teams = teams(d.whole);
        let held = d.whole / teams * w.whole / 128;
        let place = |n: i64| usize::try_from(n - 1).ok();
        if held > *HELD.get(place(resident)?)?.get(place(teams)?)? {
            return None;
        }
        let stages = self.stages([d, w, s], swapped, resident)?;
        let sides = if swapped { [1, 0] } else { [0, 1] };
        let loads = self.loaded(d, s, sides[0])? + self.loaded(w, s, sides[1])?;
        let tiles = d.count * w.count * self.batch;
        let busy = tiles.min(self.multiprocessors);
        // the cache serves fewer multiprocessors faster, to a point
        let loads = (loads * (self.multiprocessors + 2 * busy) / (3 * self.multiprocessors)) / 4;
        let operands = (64 + w.whole) * s.whole * self.factor / SHARED;
        let products = d.whole / 64 * operands.max(w.whole * s.whole * self.factor / 64);
        let late = if stages < ENOUGH && s.count > stages { 300 } else { 0 };
        let one = s.count * (products.max(loads) + late);
        let results = self.results(&[d, w], swapped)?;
        let blocks = self.multiprocessors * resident;
        let waves = (tiles + blocks - 1) / blocks;
        let memory = self.bytes / (MEMORY * self.multiprocessors);
        // one block stores while the other one multiplies
        let each = (resident * one.max(results)).max(one + results + LATENCY);
        let all = waves * each;
        // of what others hide a little shows
        Some(all.max(memory) + (waves * s.count * products + all.min(memory)) / 16)
    }
}

/// Warpgroups for so many rows of a tile.
const fn teams(rows: i64) -> i64 {
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
