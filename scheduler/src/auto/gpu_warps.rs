//! Products on the tensor cores of warps (`mma`): what sm_80 has, and f64 everywhere.
//!
//! In: a product that no instruction with factors in shared memory takes. Out: tiles on blocks,
//! parts of them on warps, factors that the block's threads copy ahead into padded rows.
//! Keeps: which loop is the instruction's `m`, `n` or `k` follows from the accesses, as in
//! `gpu_tensor`; where a step or the lowering refuses, the nest is left to the other schedules.

use warploom_ir::affine::Name;
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::schedule::{TreeLoop, Unit};
use warploom_ir::target::{Axis, Place};

use super::gpu::GpuOptions;
use super::gpu_tensor_product::{By, Filler, Line, Product};
use super::gpu_tensor_size::group;
use super::gpu_warps_size::{WarpSize, WarpTiles};
use super::tiles::extent;
use super::{Auto, stage_at};
use crate::steps::stage::{accesses, local_name};

/// Most work of instructions for each piece of work that is worth it, of which the rest is zeros:
/// for f64, whose tensor cores are twice as fast as threads, and for other types.
const WASTE: [i64; 2] = [3, 8];
/// Columns of an instruction.
const WIDE: i64 = 8;

impl Auto {
    /// Maps a nest's product to warps, where the target has an instruction for it.
    pub(super) fn on_warps(&mut self, top: &TreeLoop, options: &GpuOptions) {
        let plain = By { warps: true, threads: false, pairs: false };
        let product = self.product_of(top, options, plain).filter(worth);
        self.as_it_pays(top, product, options, Self::in_warps);
    }

    /// The same for the arrays as they are; false where there are none or a step is refused.
    fn in_warps(&mut self, top: &TreeLoop, options: &GpuOptions) -> bool {
        let before = self.at.clone();
        [false, true].into_iter().any(|threads| {
            let product = self.product_of(top, options, By { warps: true, threads, pairs: false });
            let done = product.and_then(|p| self.by_warps(&p, options));
            let done = done.is_some() && self.lowers(options.target);
            if !done {
                self.at = before.clone();
            }
            done
        })
    }

    /// What the time of a product depends on.
    pub(super) fn warp_size(&self, p: &Product, options: &GpuOptions) -> Option<WarpSize> {
        Some(WarpSize {
            rows: p.row.extent,
            columns: p.column.extent,
            sum: p.sum.extent,
            batch: p.batch.iter().map(|l| l.extent).product(),
            others: p.others.iter().map(|l| l.extent).product(),
            bytes: p.factors.iter().chain([&p.target]).map(|a| self.whole(a)).sum(),
            out: self.bytes_of(&p.target.array),
            in_order: p.in_order,
            scattered: p.scattered(),
            transposed: [0, 1].map(|side| transposed(p, side)),
            matrix: p.matrix,
            target: options.target,
            multiprocessors: options.multiprocessors,
            machine: options.machine()?,
        })
    }

    /// Carries it out; `None` where a step is refused or the product is too small.
    fn by_warps(&mut self, p: &Product, options: &GpuOptions) -> Option<()> {
        let tiles = self.warp_size(p, options).filter(|_| worth(p))?.best()?;
        match tiles.part {
            Some(length) => {
                let parts = self.in_parts(p, length)?;
                self.warps_tiled(&parts, &tiles, options)
            }
            None => self.warps_tiled(p, &tiles, options),
        }
    }

    fn warps_tiled(&mut self, p: &Product, t: &WarpTiles, options: &GpuOptions) -> Option<()> {
        let (m, n) = (p.row.name.clone(), p.column.name.clone());
        let mut order: Vec<Name> =
            p.batch.iter().map(|l| l.name.clone()).chain([m.clone(), n.clone()]).collect();
        let sums: Vec<Name> = p.sums().into_iter().map(|l| l.name.clone()).collect();
        let all = self.at.tree().loops();
        let first = all.iter().find(|l| order.contains(&l.name) || sums.contains(&l.name))?;
        if sums.contains(&first.name) {
            // tiles go around sums
            order.extend(sums);
        }
        self.ordered(&order).then_some(())?;
        let loops = vec![Ref::from(m.clone()), Ref::from(n.clone())];
        let sizes = t.block.to_vec();
        self.must(StepKind::Tile { loops, sizes, names: Vec::new() })?;
        let half = |l: &Name, k: u8| Name::from(format!("{l}.{k}"));
        let at = self.spread(p, [half(&m, 0), half(&n, 0)], t, options)?;
        for l in [&n, &m] {
            let target = Ref::from(half(l, 1));
            // a statement alone in its loops needs no other loop
            let _alone = self.step(StepKind::Distribute { target, at: None, names: Vec::new() });
        }
        let others = p.others.iter().map(|l| l.name.clone());
        let (ring, k) = self.halves(&p.sum.name, t.slice)?;
        let own = [&p.row, &p.column].map(|l| self.loop_of(&p.statement, &l.iter));
        let [m, n] = [own[0].clone()?, own[1].clone()?];
        let inside = [ring.clone(), m.clone(), n.clone(), k.clone()];
        self.ordered(&others.chain(inside).collect::<Vec<_>>()).then_some(())?;
        let sizes = if t.swapped { [WIDE, p.matrix.m] } else { [p.matrix.m, WIDE] };
        let (mut warps, mut tiles, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for (side, l) in [m, n].iter().enumerate() {
            let (warp, rest) = self.halves(l, t.warp[side])?;
            let (tile, point) = self.halves(&rest, sizes[side])?;
            warps.push(warp);
            tiles.push(tile);
            points.push(point);
        }
        let (step, k) = self.halves(&k, p.matrix.k)?;
        let inner = tiles.iter().chain(&points).chain([&k]);
        let all = [&ring].into_iter().chain(&warps).chain([&step]).chain(inner);
        self.ordered(&all.cloned().collect::<Vec<_>>()).then_some(())?;
        self.warps_staged(p, &at, &ring, t)?;
        for warp in warps {
            self.must(StepKind::Unit(Ref::from(warp), Unit::Warp))?;
        }
        if t.swapped {
            points.reverse();
        }
        let instruction = Ref::from(self.named(&p.matrix, WIDE, t.swapped)?);
        let loops = [points[0].clone(), points[1].clone(), k].map(Ref::from);
        self.must(StepKind::Tensorize { loops, instruction })?;
        self.must(StepKind::Ring { target: Ref::from(ring), stages: t.stages })
    }

    /// Puts tiles on blocks, many of them in groups of rows that run together; the innermost loop
    /// that a block's tile belongs to.
    fn spread(
        &mut self,
        p: &Product,
        [m, n]: [Name; 2],
        t: &WarpTiles,
        options: &GpuOptions,
    ) -> Option<Name> {
        let count = |extent: i64, size: i64| (extent + size - 1) / size;
        let tiles = [count(p.row.extent, t.block[0]), count(p.column.extent, t.block[1])];
        let together = options.multiprocessors * t.resident;
        let rows = group(tiles[0], tiles[1], t.block, together);
        let poly = self.at.poly();
        let s = poly.statement(&p.statement)?;
        // tiles of a triangle have no groups
        let whole = [&p.row, &p.column].iter().all(|l| extent(poly, s, &l.iter).is_some());
        let grouped = whole && p.batch.is_empty() && rows > 1 && tiles[0] * tiles[1] > together;
        let all = if grouped {
            let (outer, inner) = self.halves(&m, rows)?;
            let all = vec![outer, n, inner];
            self.ordered(&all).then_some(())?;
            all
        } else {
            p.batch.iter().map(|l| l.name.clone()).chain([m, n]).collect()
        };
        let last = all.last().cloned();
        let places = [Axis::Z, Axis::Y, Axis::X];
        let map = |l: &Name, axis| StepKind::Map(Ref::from(l.clone()), Place::Block(axis));
        if grouped || all.len() > places.len() {
            let name = Name::from(format!("{}_tile", p.statement));
            let loops = all.into_iter().map(Ref::from).collect();
            self.must(StepKind::Raster { loops, name: Ref::from(name.clone()) })?;
            self.must(map(&name, Axis::X))?;
            return last;
        }
        for (l, axis) in all.iter().zip(&places[places.len() - all.len()..]) {
            self.must(map(l, *axis))?;
        }
        last
    }

    /// Stages the sums, and the factors in rows without bank conflicts.
    fn warps_staged(&mut self, p: &Product, at: &Name, ring: &Name, t: &WarpTiles) -> Option<()> {
        self.must(stage_at(&p.target.array, at))?;
        for (side, filler) in p.fillers.iter().enumerate() {
            let mut layout = Vec::new();
            if let Filler::Threads(order) = filler {
                let whole = |dim: &usize| LayoutTerm { dimension: *dim, modulus: None, divisor: 1 };
                layout.extend(order.iter().filter(|_| !order.is_sorted()).map(whole));
            }
            let transposed = transposed(p, side);
            let row = if transposed { t.block[side] } else { t.slice };
            let pad = padding(row, p.matrix.a.size_bytes() as i64, transposed);
            let buffer = self.factor_staged(p, side, ring, (layout, pad))?;
            let first = Ref::from(Name::from(format!("{buffer}.0")));
            self.must(match filler {
                Filler::Engine => StepKind::Unit(first, Unit::AsyncCopy),
                Filler::Threads(_) => StepKind::Map(first, Place::Thread(Axis::X)),
            })?;
        }
        Some(())
    }
}

impl Auto {
    /// Stages a factor at the ring's loop; its buffer. Two factors of one array have a buffer each.
    fn factor_staged(
        &mut self,
        p: &Product,
        side: usize,
        ring: &Name,
        (rows, padding): (Vec<LayoutTerm>, i64),
    ) -> Option<Name> {
        let factor = &p.factors[side];
        let mut step = stage_at(&factor.array, ring);
        let mut buffer = local_name(&factor.array, ring);
        let StepKind::Stage { readers, name, layout, pad, .. } = &mut step else { return None };
        (*layout, *pad) = (rows, padding);
        if p.factors[0].array == p.factors[1].array {
            let s = &self.at.poly().statement(&p.statement)?.statement;
            let own = |a: &Access| a.indices == factor.indices;
            let number = accesses(s, &factor.array).iter().position(own)?;
            readers.push(Ref::from(Name::from(format!("{}.{number}", p.statement))));
            buffer = format!("{buffer}_{}", ["m", "n"][side]).into();
            *name = Some(Ref::from(buffer.clone()));
        }
        self.must(step)?;
        Some(buffer)
    }
}

/// Whether rows of a factor in shared memory run along its own index, not along the sum.
fn transposed(p: &Product, side: usize) -> bool {
    let factor = &p.factors[side];
    let last = match &p.fillers[side] {
        Filler::Threads(order) => order.last().copied(),
        Filler::Engine => factor.indices.len().checked_sub(1),
    };
    last.is_none_or(|last| !factor.indices[last].vars().contains(&p.sum.iter))
}

/// Whether enough of what instructions multiply is the product's.
fn worth(p: &Product) -> bool {
    let whole = |l: &Line, step: i64| (l.extent.max(1) + step - 1) / step * step;
    let all = |a: i64, b: i64, c: i64| i128::from(a) * i128::from(b) * i128::from(c);
    let done = all(whole(&p.row, WIDE), whole(&p.column, WIDE), whole(&p.sum, p.matrix.k));
    let real = all(p.row.extent, p.column.extent, p.sum.extent);
    done <= i128::from(WASTE[usize::from(p.matrix.a.size_bytes() < 8)]) * real
}

/// Elements to add to rows so that the threads of a warp find what they load in different banks:
/// eight rows of 16 bytes as matrices, else four rows of 32 bytes.
pub(super) fn padding(row: i64, bytes: i64, transposed: bool) -> i64 {
    let matrices = bytes < 8 && (!transposed || bytes == 2);
    let (unit, rest) = if matrices { (32, 16) } else { (64, 32) };
    (rest - row * bytes).rem_euclid(unit) / bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_in_different_banks() {
        assert_eq!(padding(16, 8, false), 4);
        assert_eq!(padding(128, 8, true), 4);
        assert_eq!(padding(32, 2, false), 8);
        assert_eq!(padding(128, 2, true), 8);
        assert_eq!(padding(64, 4, true), 8);
        assert_eq!(padding(32, 4, false), 4);
        assert_eq!(padding(8, 2, true), 0);
    }
}
