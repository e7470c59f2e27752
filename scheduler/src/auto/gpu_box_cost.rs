//! What tiles that are boxes cost: an estimate in clocks of a multiprocessor.
//!
//! In: sizes of the loops of a tile. Out: clocks until all tiles are done.
//! Keeps: the cache serves rows of boxes, not bytes, below 128 bytes; what it loads and stores adds
//! up. Results are written by the addresses of a warp's threads, bank by bank.
//! Why here: the performance model reads kernels, and a search has thousands of candidates that are
//! never lowered.
//! Sources: the rates are measured on an H200 with boxes of these rows on all multiprocessors.

use warploom_ir::affine::Name;
use warploom_ir::instruction::tensor_memory::COLUMNS;

use super::gpu_box_size::{BOX, CHUNK, Comes, Leaving, Plan, STEP, Side, Space, Way, teams};
use crate::block::filler::groups;

/// Clocks until the first slices have come, and from the last product to the next tile.
const LATENCY: i64 = 1500;
/// Clocks of starting one more copy, in quarters.
const COPY: i64 = 80;
/// Bytes a clock from memory, each multiprocessor's share, and of shared memory.
const MEMORY: i64 = 16;
const SHARED: i64 = 128;
/// Quarters of a clock for a row of a box of 16, 32, 64 and 128 bytes, in and out; and in, where
/// rows in memory begin inside a sector.
const LOADED: [i64; 4] = [10, 12, 12, 17];
const SKEWED: [i64; 4] = [10, 13, 17, 21];
const STORED: [i64; 4] = [36, 17, 23, 42];
/// Quarters of a clock in which threads copy asynchronously from rows that begin inside sectors: a
/// box, a chunk for each thread of a warp, and a row.
const COPIED: [i64; 3] = [120, 64, 4];
/// Bytes of the first cache, which has what shared memory leaves, where threads copy through it:
/// with less, lines are gone before the other threads have their part (4.4 ms instead of 0.95).
const CACHE: i64 = 56 << 10;
/// Registers that a thread needs beside its sums where threads copy, and those of a multiprocessor.
const BESIDE: i64 = 28;
const REGISTERS: i64 = 64 << 10;
/// Threads of a warpgroup.
const THREADS: i64 = 128;
/// Bytes of a sector of the cache; what ends inside one costs its neighbour's time, too.
const SECTOR: i64 = 32;
/// Of the time in which the cache stores, so many tenths add to that in which it loads.
const BOTH: i64 = 8;
/// Bytes that the threads of a group fill an operand with in a clock, where they turn it around.
const FILLED: i64 = 8;
/// Clocks for an element that threads write to memory far from its neighbours, and elements in a
/// clock where two are neighbours, and four threads.
const SCATTERED: i64 = 4;
const PAIRED: i64 = 3;
/// Sums that a thread of one to three warpgroups can hold, where a multiprocessor has one block
/// and where it has two.
const HELD: [[i64; 3]; 2] = [[128, 128, 96], [128, 48, 24]];
/// Most slices in flight, and as few as still hide the memory's latency.
const STAGES: i64 = 8;
const ENOUGH: i64 = 4;
/// No operand stays where it is.
const NONE: [bool; 2] = [false; 2];
/// Banks of shared memory, bytes of each, and threads of a warp.
const BANKS: usize = 32;
const BANK: i64 = 4;
const WARP: i64 = 32;

impl Space {
    /// The place of a dimension of the result: rows (0) or columns (1), and which of their loops.
    fn place(&self, iter: &Name, swapped: bool) -> Option<(usize, usize)> {
        [0, 1].into_iter().find_map(|side| {
            let find = |l: &Side| l.line.iter == *iter;
            Some((side, self.lines(side, swapped).iter().position(find)?))
        })
    }

    /// Elements of the tile along a dimension of the result.
    fn size_of(&self, iter: &Name, plans: &[&Plan; 2], swapped: bool) -> i64 {
        let place = self.place(iter, swapped);
        place.map_or(1, |(side, at)| {
            plans[side].sizes[at].min(self.lines(side, swapped)[at].line.extent)
        })
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

    /// The iterator of the result's last dimension, where rows of a tile end inside a sector.
    pub(super) fn neighbours(&self, plans: &[&Plan; 2], swapped: bool) -> Option<Name> {
        let last = self.results.last()?.as_ref()?;
        let row = self.size_of(last, plans, swapped) * self.out;
        let ragged = row % SECTOR != 0 || self.pitch[2] % SECTOR != 0;
        (row != self.pitch[2] && ragged).then(|| last.clone())
    }

    /// How results of such tiles leave: rows of whole chunks by the copy engine.
    pub(super) fn leaves(&self, plans: &[&Plan; 2], swapped: bool) -> Leaving {
        let last = self.results.last().and_then(Option::as_ref);
        let size = last.map_or(1, |iter| self.size_of(iter, plans, swapped));
        match self.leaving {
            Leaving::Scattered => Leaving::Scattered,
            Leaving::Engine if size * self.out % CHUNK == 0 && size <= BOX => Leaving::Engine,
            Leaving::Engine | Leaving::Threads => Leaving::Threads,
        }
    }

    /// Clocks in which the threads write a tile's results to shared memory.
    pub(super) fn written(&self, plans: &[&Plan; 2], swapped: bool) -> i64 {
        if self.leaves(plans, swapped) == Leaving::Scattered {
            return 0;
        }
        let mut strides = [0, 1].map(|side| vec![0; plans[side].sizes.len()]);
        let mut stride = self.out;
        for iter in self.results.iter().rev().flatten() {
            if let Some((side, at)) = self.place(iter, swapped) {
                strides[side][at] = stride;
                stride *= plans[side].sizes[at];
            }
        }
        let byte = |side: usize, index: i64| {
            let mut rest = index;
            let mut sum = 0;
            for (size, stride) in plans[side].sizes.iter().zip(&strides[side]).rev() {
                sum += rest % size * stride;
                rest /= size;
            }
            sum
        };
        // neighbours that a thread has: in its next column, or a multiple of eight columns on
        let next = |columns: i64| byte(1, columns) - byte(1, 0) == self.out;
        let reach = (8..plans[1].whole).step_by(8).find(|c| next(*c));
        let mut together = 1;
        if plans[1].whole > 1 && next(1) {
            together = 2;
        } else if let Some(step) = reach {
            let follow = |n: &i64| {
                let last = (n - 1) * step;
                last < plans[1].whole && byte(1, last) == (n - 1) * self.out
            };
            together =
                [CHUNK / self.out, CHUNK / self.out / 2, 2].into_iter().find(follow).unwrap_or(1);
        }
        let wide = together * self.out;
        let lanes = (WARP * BANK / wide.max(BANK)).clamp(1, WARP);
        let clocks: i64 = (0..WARP / lanes)
            .map(|phase| {
                let mut words: Vec<i64> = (phase * lanes..(phase + 1) * lanes)
                    .flat_map(|lane| {
                        let at = byte(0, lane / 4) + byte(1, 2 * (lane % 4));
                        (0..(wide / BANK).max(1)).map(move |word| at / BANK + word)
                    })
                    .collect();
                words.sort_unstable();
                words.dedup();
                let mut banks = [0; BANKS];
                for word in words {
                    banks[usize::try_from(word).unwrap_or(0) % BANKS] += 1;
                }
                banks.into_iter().max().unwrap_or(1)
            })
            .sum();
        let held = plans[0].whole * plans[1].whole;
        held / (WARP * together) * clocks
    }

    /// Clocks of a tile's results in the cache.
    fn stored(&self, plans: &[&Plan; 2], swapped: bool) -> i64 {
        let elements = plans[0].real * plans[1].real;
        let last = self.results.last().and_then(Option::as_ref);
        if self.leaves(plans, swapped) == Leaving::Scattered {
            let columns = self.lines(1, swapped);
            let place = columns.iter().position(|l| Some(&l.line.iter) == last);
            let inner = plans[1].sizes.iter().rposition(|s| *s > 1);
            let paired = place.is_some() && place == inner;
            return if paired { elements / PAIRED } else { elements * SCATTERED };
        }
        let run = self.run(plans, swapped) * self.out;
        let row = [128, 64, 32, 16].into_iter().find(|p| run >= *p);
        let Some((row, rate)) = row.and_then(|row| Some((row, *STORED.get(kind(row)?)?))) else {
            return elements * SCATTERED;
        };
        // a row that ends inside a sector is one more
        let ragged = self.neighbours(plans, swapped).is_some();
        let rows = elements * self.out / row;
        let ends = if ragged { elements * self.out / run * STORED[0] / 4 } else { 0 };
        rows * rate / 4 + ends
    }

    /// Slices in flight.
    pub(super) fn stages(&self, plans: [&Plan; 3], way: Way) -> Option<i64> {
        let comes = self.loads(plans, way)?.map(|(comes, _)| comes);
        Some(self.slots(plans, way, comes)?.0)
    }

    /// Slots of the ring where the operands of rows and of columns come in these ways, and which of
    /// the two stay where they are.
    fn slots(&self, plans: [&Plan; 3], way: Way, comes: [Comes; 2]) -> Option<(i64, [bool; 2])> {
        let lasting = self.lasting(plans, way, comes);
        let with = self.slots_with(plans, way, (comes, lasting))?;
        // what lasts has no more room than a ring's
        if plans[2].count <= with {
            return Some((with, lasting));
        }
        Some((self.slots_with(plans, way, (comes, NONE))?, NONE))
    }

    /// The same where some of the operands stay where they are.
    fn slots_with(
        &self,
        [d, w, s]: [&Plan; 3],
        way: Way,
        (comes, lasting): ([Comes; 2], [bool; 2]),
    ) -> Option<i64> {
        let results = match self.leaves(&[d, w], way.swapped) {
            Leaving::Scattered => 0,
            Leaving::Threads | Leaving::Engine => d.whole * w.whole * self.out,
        };
        let sizes = [d.whole, w.whole / way.members()].map(|own| own * s.whole * self.factor);
        let sum = |lasts: bool| -> i64 {
            sizes.iter().zip(lasting).filter(|(_, l)| *l == lasts).map(|(size, _)| size).sum()
        };
        let (once, each) = (s.count * sum(true), sum(false));
        let cache = if comes.contains(&Comes::Copied) { CACHE } else { 0 };
        let room = (self.shared - cache) / way.resident;
        let stages = ((room - results - once - 4096) / each).min(STAGES);
        (stages >= 2).then_some(stages)
    }

    /// Whether the operands of rows and of columns stay where they are, as all tiles of a block
    /// have the same (`block::lasting`).
    fn lasting(&self, [d, w, _sums]: [&Plan; 3], way: Way, comes: [Comes; 2]) -> [bool; 2] {
        let several = d.count * w.count > self.multiprocessors * way.resident;
        let block = !self.tensor && !way.paired && self.batch == 1;
        let one = |plan: &Plan, comes: Comes| {
            block && several && plan.count == 1 && comes != Comes::Turned
        };
        [one(d, comes[0]), one(w, comes[1])]
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

    /// How both factors' operands come; nothing where these boxes cannot be.
    pub(super) fn comes(&self, [d, w, s]: [&Plan; 3], way: Way) -> Option<[Comes; 2]> {
        let [first, second] = self.loads([d, w, s], way)?.map(|(comes, _)| comes);
        Some(if way.swapped { [second, first] } else { [first, second] })
    }

    /// How the operands of rows and of columns come, and quarters of a clock until a slice of each
    /// has, where one group of threads fills what threads turn around.
    fn loads(&self, [d, w, s]: [&Plan; 3], way: Way) -> Option<[(Comes, i64); 2]> {
        let teams = teams(d.whole);
        let held = d.whole / teams * w.whole / 128;
        let copies = copies(held, teams, way.resident);
        let sides = if way.swapped { [1, 0] } else { [0, 1] };
        Some([self.loaded(d, s, sides[0], copies)?, self.loaded(w, s, sides[1], copies)?])
    }

    /// How a slice of an operand comes, and quarters of a clock until it has; what is its own,
    /// and whose last dimension is the `side`'s factor's; whether there are registers for threads
    /// that copy.
    fn loaded(&self, own: &Plan, sums: &Plan, side: usize, copies: bool) -> Option<(Comes, i64)> {
        let filled = (Comes::Turned, own.whole * sums.whole * self.factor * 4 / FILLED);
        if self.threads[side] {
            return Some(filled);
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
            return (plain && whole).then_some(filled);
        }
        let row = inner * self.factor;
        let panel = [128, 64, 32, 16].into_iter().find(|p| row % p == 0)?;
        let rates = if self.pitch[side] % SECTOR == 0 { LOADED } else { SKEWED };
        let rows = own.whole * sums.whole * self.factor / panel;
        let boxes = plan.whole / inner * (row / panel);
        let engine = (Comes::Engine, rows * rates.get(kind(panel)?)? + boxes * COPY / 4);
        // a box for each of the further digits beside what is contiguous
        let chunks = [own.whole * sums.whole / plan.whole, row / CHUNK];
        let [start, turn, line] = COPIED;
        // some threads have nothing to do, as shares divide boxes
        let turns = (chunks.iter().product::<i64>() * 9 / 8 + WARP - 1) / WARP;
        let each = start + turns * turn + chunks[0] * line;
        let copied = (Comes::Copied, plan.whole / inner * each);
        // rows that begin with sectors are the copy engine's
        let skewed = self.copies && self.pitch[side] % SECTOR != 0;
        Some(if copies && skewed && copied.1 < engine.1 { copied } else { engine })
    }

    /// Clocks until all is done, where threads write a tile's results in so many; nothing where
    /// these boxes cannot be.
    pub(super) fn clocks(&self, [d, w, s]: [&Plan; 3], way: Way, written: i64) -> Option<i64> {
        let teams = teams(d.whole);
        let held = d.whole / teams * w.whole / 128;
        let place = |n: i64| usize::try_from(n - 1).ok();
        let room = match self.tensor {
            true => COLUMNS / (d.whole / self.deep) >= w.whole && w.whole % (2 * STEP) == 0,
            false => held <= *HELD.get(place(way.resident)?)?.get(place(teams)?)?,
        };
        if !room || way.paired && !self.pairs([d, w], way.swapped) {
            return None;
        }
        let loads = self.loads([d, w, s], way)?;
        let comes = loads.map(|(comes, _)| comes);
        let (stages, lasting) = self.slots([d, w, s], way, comes)?;
        let groups = groups(held, teams, stages);
        let [deep, wide] = [0, 1].map(|side| match loads[side] {
            _none if lasting[side] => 0,
            (Comes::Turned, clocks) => clocks / groups,
            (Comes::Engine | Comes::Copied, clocks) => clocks,
        });
        let loads = deep + wide / way.members();
        let tiles = d.count * w.count * self.batch;
        let busy = tiles.min(self.multiprocessors);
        // the cache serves fewer multiprocessors faster, to a point
        let loads = (loads * (self.multiprocessors + 2 * busy) / (3 * self.multiprocessors)) / 4;
        let read = self.deep + w.whole / way.members();
        let operands = read * s.whole * self.factor / SHARED;
        let products = d.whole / self.deep * operands.max(w.whole * s.whole * self.factor / 64);
        let late = if stages < ENOUGH && s.count > stages { 300 } else { 0 };
        let (loads, products) = (s.count * (loads + late), s.count * products);
        let stored = self.stored(&[d, w], way.swapped);
        let blocks = self.multiprocessors * way.resident;
        let waves = (tiles + blocks - 1) / blocks;
        let memory = self.bytes / (MEMORY * self.multiprocessors);
        // what a multiprocessor's blocks share, and how long one of them takes
        let cache = loads + stored * BOTH / 10;
        let chain = loads.max(products) + written + stored + LATENCY;
        let each =
            joined([way.resident * products, way.resident * cache, way.resident * written, chain]);
        Some(joined([waves * each, memory]))
    }
}

/// Whether a block whose warpgroups hold so many sums a thread has registers for threads that copy.
const fn copies(held: i64, teams: i64, resident: i64) -> bool {
    REGISTERS / (resident * THREADS * (teams + 1)) / 8 * 8 >= held + BESIDE
}

/// The length of what hides each other in part.
fn joined<const N: usize>(times: [i64; N]) -> i64 {
    let sum: f64 = times.into_iter().map(|t| (t as f64).powi(3)).sum();
    sum.cbrt() as i64
}

/// The place of so many bytes among 16, 32, 64 and 128.
fn kind(bytes: i64) -> Option<usize> {
    usize::try_from((bytes / CHUNK).ilog2()).ok()
}

#[cfg(test)]
mod tests {
    use super::super::gpu::Paired;
    use super::super::gpu_tensor_product::Line;
    use super::*;

    /// `abf,fc->cba`-like: rows c, columns a and b, results with this order of dimensions.
    fn space(results: &str) -> Space {
        let side = |c: char, extent| Side {
            line: Line { name: c.to_string().into(), iter: c.to_string().into(), extent },
            boxed: true,
        };
        let name = |c: char| Some(Name::from(c.to_string()));
        Space {
            sides: [vec![side('c', 64)], vec![side('a', 16), side('b', 16)], vec![side('f', 32)]],
            last: [name('c'), name('b')],
            threads: [false; 2],
            copies: true,
            pitch: [128, 32, 128],
            results: results.chars().map(name).collect(),
            leaving: Leaving::Engine,
            batch: 1,
            factor: 2,
            out: 2,
            bytes: 1 << 20,
            deep: 64,
            depth: 16,
            tensor: false,
            pairs: Paired::Never,
            shared: 227 << 10,
            multiprocessors: 132,
        }
    }

    fn plan(sizes: &[i64]) -> Plan {
        let whole = sizes.iter().product();
        Plan { sizes: sizes.to_vec(), whole, real: whole, count: 1 }
    }

    #[test]
    fn results_are_written_bank_by_bank() {
        let (rows, columns) = (plan(&[64]), plan(&[16, 16]));
        let stores = 64 * 256 / 32;
        // two neighbours of a row of 512 bytes: eight rows begin in the same bank
        assert_eq!(space("cab").written(&[&rows, &columns], false), stores / 2 * 8);
        // eight of a thread's, all chunks of a phase in two places of the same banks
        assert_eq!(space("cba").written(&[&rows, &columns], false), stores / 8 * 4 * 4);
        // neighbours are rows: alone, eight of them in four words
        assert_eq!(space("abc").written(&[&rows, &columns], false), stores * 4);
    }
}
