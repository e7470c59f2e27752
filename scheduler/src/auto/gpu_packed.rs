//! Products whose factors are rearranged in memory first, and whose neighbouring indices become
//! one.
//!
//! In: a product of several indices. Out: copies of factors in another order of their dimensions
//! (`stage` without a loop), and loops of rows, columns and sums that are one loop each (`fold`),
//! where both together are estimated to take clearly less time than boxes of the arrays as they
//! are: a copy takes each element once, a product each as often as there are tiles along the other
//! side.
//! Keeps: results are never copied; nothing is done to factors whose indices are no plain loops.
//! Why here: which copies are worth it depends on what the product takes with and without them.

use warploom_ir::affine::Name;
use warploom_ir::expr::Access;
use warploom_ir::instruction::Matrix;
use warploom_ir::schedule::TreeLoop;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};

use super::Auto;
use super::gpu::{GpuOptions, Paired};
use super::gpu_tensor_product::{Line, Product};
use super::gpu_tensor_size::{Size, Stored};
use super::gpu_warps_size::WarpSize;
use crate::model::{Machine, predict_kernel};
use crate::steps::ancestors;
use crate::steps::stage::accesses;

/// Copies are worth it where they save more than one part in so many, and so many nanoseconds:
/// estimates of a few microseconds are off by as much as a launch takes.
const CLEARLY: i64 = 25;
const SLACK: i64 = 3500;
/// Of the bytes a second that copies reach: those that keep rows, and those that turn them around.
const COPIED: f64 = 0.85;
const TURNED: f64 = 0.8;
/// Bytes of a piece of a row that the copy engine moves.
const PIECE: i64 = 16;
/// Bytes of a sector of the cache.
const SECTOR: i64 = 32;
/// Most sums whose orders are tried.
const SUMS: usize = 4;

/// What to do with a product before it is put in tiles.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packed {
    /// Loops that become one, outermost first, by their iterators.
    folds: Vec<Vec<Name>>,
    /// The order of the sums.
    sums: Vec<Name>,
    /// For each factor that is copied the order of its dimensions.
    copies: [Option<Vec<usize>>; 2],
}

/// The best of what to do, and nanoseconds of the product with it and without.
struct Packing {
    time: i64,
    direct: i64,
    packed: Packed,
}

impl Packing {
    /// Whether copies are worth it where the product takes so many nanoseconds without them.
    fn pays(&self, direct: i64) -> bool {
        self.time + SLACK < direct - direct / CLEARLY
    }
}

/// What maps a nest to blocks; false where it cannot be.
type Map = fn(&mut Auto, &TreeLoop, &GpuOptions) -> bool;

/// Indices that are one loop.
#[derive(Clone)]
struct Unit {
    iters: Vec<Name>,
    extent: i64,
}

/// The loops of a product that was packed.
struct Loops {
    row: Unit,
    column: Unit,
    sum: Unit,
    /// Iterations of the others, and of the outermost sum.
    batch: i64,
    others: i64,
    outer: i64,
    /// What is contiguous in the factors.
    ends: [Option<Name>; 2],
}

/// Indices of a product's arrays, and what may be done to them.
struct Indices<'p> {
    product: &'p Product,
    /// The iterators of the dimensions of the factors and of the results.
    factors: [Vec<Name>; 2],
    results: Vec<Name>,
    /// Those of rows, columns and sums.
    sides: [Vec<Line>; 3],
}

impl Auto {
    /// Maps a nest with this product by `map`: with its factors copied and its loops made one where
    /// that takes clearly less time, else as it is.
    pub(super) fn as_it_pays(
        &mut self,
        top: &TreeLoop,
        product: Option<Product>,
        options: &GpuOptions,
        map: Map,
    ) -> bool {
        // pairs of blocks take the arrays as they are, where they are wanted at any price
        let product = product.filter(|p| p.scales.is_none() && options.paired != Paired::Always);
        let found = product.and_then(|p| Some((self.packing(top, &p, options)?, p)));
        let Some((packing, p)) = found else { return map(self, top, options) };
        let before = self.at.clone();
        let estimated = packing.pays(packing.direct);
        if estimated && self.mapped_packed(&p, &packing.packed, options, map) {
            return true;
        }
        if !map(self, top, options) {
            return false;
        }
        // estimates say little of what threads turn around: there the model reads the kernel
        let turned = !estimated && (p.turned(0) || p.turned(1));
        if turned && self.predicted(options).is_some_and(|direct| packing.pays(direct)) {
            let done = (self.at.clone(), self.lowered.take());
            self.at = before;
            if !self.mapped_packed(&p, &packing.packed, options, map) {
                (self.at, self.lowered) = done;
            }
        }
        true
    }

    /// The same with its factors copied; false, and as before, where a step is refused.
    fn mapped_packed(
        &mut self,
        p: &Product,
        packed: &Packed,
        options: &GpuOptions,
        map: Map,
    ) -> bool {
        let before = self.at.clone();
        let top = self.copied_and_folded(p, packed);
        let done = top.is_some_and(|top| map(self, &top, options));
        if !done {
            self.at = before;
        }
        done
    }

    /// Nanoseconds that the model predicts of the kernel that was lowered last.
    fn predicted(&self, options: &GpuOptions) -> Option<i64> {
        let (of, kernel) = self.lowered.as_ref()?;
        let same = of.poly() == self.at.poly() && of.tree() == self.at.tree();
        let found = predict_kernel(kernel, &options.machine()?).filter(|_| same)?;
        Some((found.time * 1e9) as i64)
    }

    /// The best copies and folds, and what the product takes with and without them.
    fn packing(&self, top: &TreeLoop, p: &Product, options: &GpuOptions) -> Option<Packing> {
        let first = ancestors(self.at.tree(), &p.statement).first().map(|l| l.name.clone());
        if first.as_ref() != Some(&top.name) {
            return None;
        }
        let indices = Indices::of(p)?;
        let machine = options.machine()?;
        let timed = indices.candidates().into_iter().filter_map(|packed| {
            let time = self.packed_time(&indices, &packed, &machine, options)?;
            Some((time, packed))
        });
        let (time, packed) = timed.min_by_key(|(time, _)| *time)?;
        let direct = self.direct(p, options).unwrap_or(i64::MAX);
        Some(Packing { time, direct, packed })
    }

    /// Nanoseconds of the product of the arrays as they are.
    fn direct(&self, p: &Product, options: &GpuOptions) -> Option<i64> {
        if !p.matrix.shared {
            let size = self.warp_size(p, options)?;
            let tiles = size.best()?;
            return Some(size.time(&tiles) + self.gathered(p, tiles.block, &size.machine));
        }
        let size = self.size_of(p, options)?;
        let tiles = size.best().map(|tiles| size.time(&tiles));
        let boxes = self.least_boxes(p, options).map(|((time, ..), _)| time);
        tiles.into_iter().chain(boxes).min()
    }

    /// Nanoseconds in which warps load elements whose neighbours they do not take: a sector each.
    fn gathered(&self, p: &Product, block: [i64; 2], machine: &Machine) -> i64 {
        let sectors: i64 = (0..2)
            .filter(|f| p.turned(*f))
            .map(|f| {
                let other = [&p.column, &p.row][f];
                let tiles = (other.extent + block[1 - f] - 1) / block[1 - f];
                self.whole(&p.factors[f]) / self.bytes_of(&p.factors[f].array) * tiles
            })
            .sum();
        ((sectors * SECTOR) as f64 / (machine.cache * machine.clock) * 1e9) as i64
    }

    /// Nanoseconds of the copies and of the product behind them.
    fn packed_time(
        &self,
        indices: &Indices<'_>,
        packed: &Packed,
        machine: &Machine,
        options: &GpuOptions,
    ) -> Option<i64> {
        let p = indices.product;
        let mut copies = 0.0;
        for (factor, order) in p.factors.iter().zip(&packed.copies) {
            let Some(order) = order else { continue };
            let kept = order.last() == Some(&(order.len() - 1));
            let rate = machine.memory * if kept { COPIED } else { TURNED };
            copies += machine.fitted.launch + 2.0 * self.whole(factor) as f64 / rate;
        }
        let loops = indices.loops(packed)?;
        let product = if p.matrix.shared {
            let size = indices.size(self, &loops, options)?;
            size.best().map(|tiles| size.time(&tiles))?
        } else {
            let scattered = indices.scattered(&loops);
            let Loops { row, column, sum, batch, others, ends, .. } = loops;
            let transposed = ends.each_ref().map(|end| end.as_ref() != sum.iters.last());
            let [rows, columns, sum] = [row, column, sum].map(|u| u.extent);
            let base = self.warp_size(p, options)?;
            let own = WarpSize { rows, columns, sum, batch, others, ..base };
            let size = WarpSize { scattered, transposed, ..own };
            size.best().map(|tiles| size.time(&tiles))?
        };
        Some(product + (copies * 1e9) as i64)
    }

    /// Carries it out; the loop around the product.
    fn copied_and_folded(&mut self, p: &Product, packed: &Packed) -> Option<TreeLoop> {
        for (factor, order) in p.factors.iter().zip(&packed.copies) {
            let Some(order) = order else { continue };
            let s = self.at.poly().statement(&p.statement)?.statement.clone();
            let number = accesses(&s, &factor.array).iter().position(|a| a == factor)?;
            let whole = |d: &usize| LayoutTerm { dimension: *d, modulus: None, divisor: 1 };
            self.must(StepKind::Stage {
                array: Ref::from(factor.array.clone()),
                readers: vec![Ref::from(Name::from(format!("{}.{number}", p.statement)))],
                at: None,
                name: None,
                layout: order.iter().map(whole).collect(),
                pad: 0,
                across: Vec::new(),
            })?;
        }
        let loops = |auto: &Self, iters: &[Name]| -> Option<Vec<Name>> {
            iters.iter().map(|i| auto.loop_of(&p.statement, i)).collect()
        };
        let sums = loops(self, &packed.sums)?;
        self.ordered(&sums).then_some(())?;
        for fold in &packed.folds {
            let all = loops(self, fold)?;
            self.ordered(&all).then_some(())?;
            let (first, rest) = all.split_first()?;
            let name = Name::from(format!("{}_{}", p.statement, fold.concat()));
            let mut outer = first.clone();
            for inner in rest {
                let (from, inner) = (Ref::from(outer), Ref::from(inner.clone()));
                let name_ = Some(Ref::from(name.clone()));
                self.must(StepKind::Fold { outer: from, inner, name: name_ })?;
                outer = name.clone();
            }
        }
        ancestors(self.at.tree(), &p.statement).first().map(|l| (*l).clone())
    }
}

impl<'p> Indices<'p> {
    /// The indices of a product whose arrays are walked along by plain loops.
    fn of(p: &'p Product) -> Option<Self> {
        let iters = |access: &Access| -> Option<Vec<Name>> {
            access.indices.iter().map(|e| e.as_var().cloned()).collect()
        };
        let [a, b] = p.factors.each_ref().map(iters);
        let (_, results) = p.leaving.as_ref()?;
        let side = |more: &[Line], own: &Line| {
            let mut all = more.to_vec();
            all.push(own.clone());
            all
        };
        let sides =
            [side(&p.more[0], &p.row), side(&p.more[1], &p.column), side(&p.others, &p.sum)];
        let few = sides[2].len() <= SUMS;
        let (factors, results) = ([a?, b?], iters(results)?);
        // what the results lack is summed up in their own statement
        let whole = sides[..2].iter().flatten().all(|l| results.contains(&l.iter));
        (few && whole).then_some(Self { product: p, factors, results, sides })
    }

    fn extent(&self, iter: &Name) -> i64 {
        self.sides.iter().flatten().find(|l| l.iter == *iter).map_or(1, |l| l.extent)
    }

    /// What could be done: sums in the order of either factor, rows, columns and sums folded or
    /// not, results written in runs or as the factors are.
    fn candidates(&self) -> Vec<Packed> {
        let own = |f: &Vec<Name>| -> Vec<Name> {
            f.iter().filter(|i| self.sides[2].iter().any(|l| l.iter == **i)).cloned().collect()
        };
        let mut orders: Vec<Vec<Name>> = Vec::new();
        for order in self.factors.iter().map(own) {
            // the order of one factor, and with what is contiguous in the other one last
            let ends = self.factors.iter().filter_map(|f| f.last());
            let lasts: Vec<Name> = ends.filter(|e| order.contains(e)).cloned().collect();
            for last in lasts {
                let mut order = order.clone();
                order.retain(|i| *i != last);
                order.push(last);
                orders.push(order);
            }
            orders.push(order);
        }
        orders.sort();
        orders.dedup();
        let mut out = Vec::new();
        for sums in &orders {
            // boxes write results in runs whatever the factors are
            let ways = if self.product.matrix.shared { 8 } else { 16 };
            for way in 0..ways {
                let folded = [way & 1 != 0, way & 2 != 0, way & 4 != 0];
                let found = self.candidate(sums, folded, way & 8 != 0);
                // sides of one index are the same folded or not
                out.extend(found.filter(|found| !out.contains(found)));
            }
        }
        out
    }

    /// The copies that sums in this order need where these sides are folded, and, to write results
    /// in runs, where tiles are to have the results' last index; nothing where no copy is enough,
    /// or none is needed.
    fn candidate(&self, sums: &[Name], folded: [bool; 3], runs: bool) -> Option<Packed> {
        let units = self.units(sums, folded);
        let folds: Vec<Vec<Name>> =
            units.iter().flatten().filter(|u| u.iters.len() > 1).map(|u| u.iters.clone()).collect();
        let mut copies = [None, None];
        for (side, copy) in copies.iter_mut().enumerate() {
            let dims = &self.factors[side];
            let own = [&units[side], &units[2]];
            let end = self.results.last();
            let runs = runs && dims.last() != end && dims.iter().any(|d| Some(d) == end);
            if runs || !self.fits(dims, &units, side) {
                let order = self.order(dims, own, runs);
                let new: Vec<Name> = order.iter().map(|d| dims[*d].clone()).collect();
                self.fits(&new, &units, side).then_some(())?;
                *copy = Some(order);
            }
        }
        // without copies boxes are as good, where they can be
        let matrix = &self.product.matrix;
        let boxed = folds.is_empty() || matrix.shared;
        let nothing = boxed && copies.iter().all(Option::is_none);
        (!nothing).then(|| Packed { folds, sums: sums.to_vec(), copies })
    }

    /// The loops of rows, columns and sums: those of a folded side are one where they are
    /// neighbours in the results.
    fn units(&self, sums: &[Name], folded: [bool; 3]) -> [Vec<Unit>; 3] {
        let unit = |iters: &[Name]| Unit {
            iters: iters.to_vec(),
            extent: iters.iter().map(|i| self.extent(i)).product(),
        };
        let side = |at: usize| -> Vec<Unit> {
            let own = |i: &Name| self.sides[at].iter().any(|l| l.iter == *i);
            let mut units: Vec<Unit> = Vec::new();
            let runs = self.results.split(|i| !own(i)).filter(|run| !run.is_empty());
            for run in runs {
                match folded[at] {
                    true => units.push(unit(run)),
                    false => units.extend(run.chunks(1).map(unit)),
                }
            }
            units
        };
        let sums = match folded[2] {
            true => vec![unit(sums)],
            false => sums.chunks(1).map(unit).collect(),
        };
        [side(0), side(1), sums]
    }

    /// Whether a factor with its dimensions in this order has folded indices beside each other, and
    /// ends with what its instruction takes, in whole pieces.
    fn fits(&self, dims: &[Name], units: &[Vec<Unit>; 3], side: usize) -> bool {
        let all = units[side].iter().chain(&units[2]);
        let beside = |u: &Unit| dims.windows(u.iters.len()).any(|w| *w == *u.iters);
        let Some(last) = dims.last() else { return false };
        let Some(end) = all.clone().find(|u| u.iters.last() == Some(last)) else { return false };
        let sum = units[2].last().is_some_and(|u| u.iters == end.iters);
        let own = units[side].iter().any(|u| u.iters == end.iters);
        let matrix = &self.product.matrix;
        let bytes = matrix.a.size_bytes() as i64;
        let piece = if matrix.shared { PIECE } else { 4.max(bytes) };
        let taken = sum || own && matrix.transposable;
        all.clone().all(beside) && taken && end.extent * bytes % piece == 0
    }

    /// The order of a factor's dimensions with its units beside each other: the one that is
    /// contiguous stays that where it can and the sum need not be.
    fn order(&self, dims: &[Name], [own, sums]: [&Vec<Unit>; 2], sum: bool) -> Vec<usize> {
        let place = |i: &Name| dims.iter().position(|d| d == i);
        let inside = |i: &Name| own.iter().chain(sums).any(|u| u.iters.contains(i));
        let mut order: Vec<usize> = (0..dims.len()).filter(|d| !inside(&dims[*d])).collect();
        let last = dims.last();
        let stays = |u: &&Unit| self.product.matrix.transposable && u.iters.last() == last;
        let end = own.iter().find(|u| !sum && stays(u)).or(sums.last());
        let ends = |u: &&Unit| end.is_some_and(|e| e.iters == u.iters);
        let others = own.iter().chain(sums).filter(|u| !ends(u)).chain(end);
        order.extend(others.flat_map(|u| u.iters.iter().filter_map(place)));
        order
    }

    /// The loops of the product then.
    fn loops(&self, packed: &Packed) -> Option<Loops> {
        let p = self.product;
        let folded = |side: usize| {
            let own = |i: &Name| self.sides[side].iter().any(|l| l.iter == *i);
            packed.folds.iter().any(|f| f.iter().all(own))
        };
        let units = self.units(&packed.sums, [folded(0), folded(1), folded(2)]);
        let ends: [Option<Name>; 2] = [0, 1].map(|f| match &packed.copies[f] {
            Some(order) => order.last().map(|d| self.factors[f][*d].clone()),
            None => self.factors[f].last().cloned(),
        });
        let [row, column] = [0, 1].map(|side| {
            let wanted = [ends[side].as_ref(), self.results.last()];
            let find = |i: &Option<&Name>| units[side].iter().find(|u| u.iters.last() == *i);
            let longest = units[side].iter().max_by_key(|u| u.extent);
            wanted.iter().find_map(find).or(longest).cloned()
        });
        let (row, column, sum) = (row?, column?, units[2].last()?.clone());
        let rest = |side: usize, own: &Unit| {
            units[side].iter().filter(|u| u.iters != own.iters).map(|u| u.extent).product::<i64>()
        };
        let more = |l: &&Line| p.more.iter().flatten().any(|m| m.iter == l.iter);
        let batch: i64 = p.batch.iter().filter(|l| !more(l)).map(|l| l.extent).product();
        let others = rest(2, &sum);
        let outer = if others > 1 { units[2].first()?.extent } else { sum.extent };
        let batch = batch * rest(0, &row) * rest(1, &column);
        Some(Loops { row, column, sum, batch, others, outer, ends })
    }

    /// Whether neighbours of a tile's results are far from each other in memory then.
    fn scattered(&self, loops: &Loops) -> bool {
        let last = self.results.last();
        ![&loops.row, &loops.column].iter().any(|u| u.iters.last() == last)
    }

    /// What the time of a product from shared memory depends on then.
    fn size(&self, auto: &Auto, loops: &Loops, options: &GpuOptions) -> Option<Size> {
        let p = self.product;
        let Loops { row, column, sum, .. } = loops;
        let factor = p.matrix.a.bits() as i64;
        let stored = [(0, row), (1, column)].map(|(f, own)| {
            let along_sum = sum.iters.last() == loops.ends[f].as_ref();
            let extent = if along_sum { sum.extent } else { own.extent };
            Stored { along_sum, pitch: extent * factor / 8 }
        });
        // a tile of the results is rows of a box where its dimensions are the last two
        let (mut end, mut tile) = (self.results.len(), 0);
        let is_end = |u: &&&Unit, end: usize| self.results[..end].ends_with(&u.iters);
        while let Some(u) = [row, column].iter().find(|u| is_end(u, end)) {
            (end, tile) = (end - u.iters.len(), tile + 1);
        }
        let (_, results) = p.leaving.as_ref()?;
        let last = [row, column].into_iter().find(|u| u.iters.last() == self.results.last());
        let bytes = auto.bytes_of(&results.array) * last.map_or(1, |u| u.extent);
        let staged = tile == 2 && bytes % PIECE == 0;
        let base = auto.size_of(p, options)?;
        Some(Size {
            rows: row.extent,
            columns: column.extent,
            sum: sum.extent,
            batch: loops.batch,
            others: loops.others,
            outer: loops.outer,
            threads: [0; 2],
            turned: [false; 2],
            matrix: Matrix { fragment_a: false, ..p.matrix },
            swapped: None,
            stored,
            staged,
            kept: staged && results.array == p.target.array,
            out: if staged { auto.bytes_of(&results.array) } else { base.out },
            scattered: self.scattered(loops),
            ..base
        })
    }
}
