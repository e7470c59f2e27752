//! Register tiles, cache tiles and packed operands for a reduction over products of accesses.
//!
//! In: a statement alone in its loops, and what each loop is to it. Out: the schedule with splits,
//! one reorder, packed operands and marks for the statement.
//! Keeps: the parts that loops play follow from which access uses which iterator: the lanes (the
//! target is contiguous), what moves with the lanes and what does not, and the rows (the other way
//! round); so matrix products, contractions, batches and convolutions take one path.
//! Source: the order of loops is that of K. Goto, R. van de Geijn, Anatomy of High-Performance
//! Matrix Multiplication (2008), and of F. Van Zee, R. van de Geijn, BLIS (2015), for index groups
//! instead of single indices.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement};

use super::tiles::{Role, Stride, own_chain, stride};
use super::{Auto, CpuOptions, contraction_sizes};

/// Fewest iterations of a loop that is worth being the lanes.
const FEWEST_LANES: i64 = 4;

/// The parts that the loops of a statement play.
#[derive(Clone, Debug)]
pub(super) struct Contraction {
    /// Free; neighbouring elements of the target.
    pub(super) lane: Role,
    /// Free; what moves with the lanes does not move with it.
    pub(super) row: Role,
    /// Other free loops that move only what the lanes move.
    pub(super) along: Vec<Role>,
    /// Other free loops that move only what the rows move.
    pub(super) across: Vec<Role>,
    /// Free loops that move both or none.
    pub(super) batch: Vec<Role>,
    /// The reduction.
    pub(super) sums: Vec<Role>,
    /// Reads that move with the lanes.
    pub(super) moving: Vec<Access>,
    /// Reads that do not.
    pub(super) fixed: Vec<Access>,
}

/// Uses of a packed element that pay for the copy where the operand is contiguous already: in
/// rows, and in lanes (several of which one instruction serves).
const ROWS: i64 = 32;
const LANES: i64 = 128;

/// Bytes that memory moves at once.
const CACHE_LINE: u8 = 64;

/// Whether one of the reads is contiguous along a loop.
fn contiguous(reads: &[Access], role: &Role) -> bool {
    reads.iter().any(|a| stride(a, &role.iter) == Stride::One)
}

/// Whether an access depends on an iterator.
fn uses(access: &Access, iter: &Name) -> bool {
    access.indices.iter().any(|e| e.vars().contains(iter))
}

impl Contraction {
    /// The parts of a statement's loops, if it is a reduction with reuse in two directions.
    pub(super) fn of(s: &PolyStatement, roles: &[Role]) -> Option<Self> {
        let target = &s.statement.target;
        let (free, sums): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|r| r.free);
        let updates = s.statement.op.is_update() && sums.iter().all(|r| !uses(target, &r.iter));
        if sums.is_empty() || !updates || roles.iter().any(|r| r.down) {
            return None;
        }
        let lane = free.iter().find(|r| {
            stride(target, &r.iter) == Stride::One && r.extent.is_none_or(|e| e >= FEWEST_LANES)
        })?;
        let mut reads: Vec<Access> = Vec::new();
        for read in s.statement.value.reads() {
            if !reads.contains(read) {
                reads.push(read.clone());
            }
        }
        let (moving, fixed): (Vec<Access>, Vec<Access>) =
            reads.into_iter().partition(|a| uses(a, &lane.iter));
        let moves = |group: &[Access], r: &Role| group.iter().any(|a| uses(a, &r.iter));
        let row = free
            .iter()
            .filter(|r| r.name != lane.name && uses(target, &r.iter))
            .filter(|r| !moves(&moving, r) && moves(&fixed, r))
            .max_by_key(|r| r.extent.unwrap_or(i64::MAX))?;
        if moving.is_empty() {
            return None;
        }
        let rest = free.iter().filter(|r| r.name != lane.name && r.name != row.name);
        let part = |with_lanes: bool, with_rows: bool| -> Vec<Role> {
            rest.clone()
                .filter(|r| (moves(&moving, r), moves(&fixed, r)) == (with_lanes, with_rows))
                .map(|r| (*r).clone())
                .collect()
        };
        let mut batch = part(true, true);
        batch.extend(part(false, false));
        let (along, across) = (part(true, false), part(false, true));
        let sums = sums.into_iter().cloned().collect();
        let (lane, row) = ((*lane).clone(), (*row).clone());
        Some(Self { lane, row, along, across, batch, sums, moving, fixed })
    }
}

/// A loop in tiles: the loop over tiles, if there is more than one, and that inside a tile.
struct Tiled {
    role: Role,
    outer: Option<Name>,
    /// Absent where the whole loop stays outside.
    inner: Option<Name>,
}

/// Sizes of a register tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Micro {
    lanes: i64,
    rows: i64,
}

/// Vector operations that `lanes` elements take, with `native` in a register.
fn pieces(lanes: i64, native: i64) -> i64 {
    lanes / native + i64::from((lanes % native).count_ones())
}

impl Micro {
    /// The register tile that wastes least for these extents, with `accumulators` registers.
    fn new(
        lanes: Option<i64>,
        rows: Option<i64>,
        native: i64,
        vectors: i64,
        accumulators: i64,
    ) -> Self {
        let usual = native * vectors;
        let lanes = match lanes {
            Some(e) if e <= usual => e,
            Some(e) => {
                let work = |w: &i64| e / w * pieces(*w, native) + pieces(e % w, native);
                let candidates = [usual, native * (vectors + 1), native];
                candidates.into_iter().min_by_key(work).unwrap_or(usual)
            }
            None => usual,
        };
        let most = (accumulators / pieces(lanes, native)).max(2);
        let rows = match rows {
            Some(e) => {
                let width = pieces(lanes, native);
                // a step of the reduction costs a multiplication per piece and some loads; a strip
                // that is not full has no registers of its own
                let work = |r: &i64| (e / r * (r * width + 1) + 4 * (e % r) * width, -r);
                ((most + 1) / 2 + 1..=most).min_by_key(work).unwrap_or(most)
            }
            None => most,
        };
        Self { lanes, rows }
    }
}

/// The size of tiles of a loop of this extent: at most `most`, a multiple of `unit`, all tiles
/// equally large where a size above half of `most` does that. The whole extent where it fits.
fn tile_size(extent: Option<i64>, most: i64, unit: i64) -> i64 {
    let most = (most / unit * unit).max(unit);
    match extent {
        None => most,
        Some(e) if e <= most => e,
        Some(e) => {
            let tiles = (e + most - 1) / most;
            let even = ((e + tiles - 1) / tiles + unit - 1) / unit * unit;
            let exact = (1..=most / unit).rev().map(|k| k * unit).find(|size| e % size == 0);
            exact.filter(|size| 2 * size > most).unwrap_or(even)
        }
    }
}

/// How many tiles of this size there are; many where that is not known.
fn count(extent: Option<i64>, tile: i64) -> i64 {
    extent.map_or(i64::from(u16::MAX), |e| (e + tile - 1) / tile.max(1))
}

/// The loops of a contraction after tiling.
struct Tiles {
    /// The lanes, then the others of their kind.
    along: Vec<Tiled>,
    /// The rows, then the others of their kind.
    across: Vec<Tiled>,
    sums: Vec<Tiled>,
}

/// The loops over tiles, outermost first.
fn outer(group: &[Tiled]) -> Vec<Name> {
    group.iter().filter_map(|t| t.outer.clone()).collect()
}

/// The loops inside tiles, outermost first.
fn inner(group: &[Tiled]) -> Vec<Name> {
    group.iter().filter_map(|t| t.inner.clone()).collect()
}

/// Loops over tiles in their order, and the loops in which the operands are packed.
struct Outer {
    order: Vec<Name>,
    moving_at: Option<Name>,
    fixed_at: Option<Name>,
}

impl Auto {
    /// Tiles, order, packed operands and marks for a contraction.
    pub(super) fn contraction(&mut self, name: &Name, poly: &Poly, c: &Contraction) {
        let native = self.register(poly, name);
        let bytes = (self.options.vector_bytes / native).max(1);
        let hole = contraction_sizes::hole(name, c, &self.options, [native, bytes]);
        let before = self.options;
        if let [vectors, rows, row_tile, lane_tile, reduction_tile] = *self.choose(hole) {
            self.options =
                CpuOptions { vectors, rows, row_tile, lane_tile, reduction_tile, ..before };
        }
        self.contraction_sized(name, c, native);
        self.options = before;
    }

    /// [`Auto::contraction`] with the sizes of the options.
    fn contraction_sized(&mut self, name: &Name, c: &Contraction, native: i64) {
        let options = self.options;
        let accumulators = options.vectors * options.rows;
        let micro = Micro::new(c.lane.extent, c.row.extent, native, options.vectors, accumulators);
        let tiles = self.cache_tiles(name, c, micro, (options.vector_bytes / native).max(1));
        let Outer { mut order, moving_at, fixed_at } = self.outer_loops(c, &tiles);
        let (lane_strips, lane) =
            self.strips(name, &c.lane, tiles.along[0].inner.as_ref(), micro.lanes);
        let (row_strips, row) =
            self.strips(name, &c.row, tiles.across[0].inner.as_ref(), micro.rows);
        order.extend(inner(&tiles.along[1..]));
        order.extend(lane_strips);
        order.extend(inner(&tiles.across[1..]));
        order.extend(row_strips);
        order.extend(inner(&tiles.sums));
        order.extend([row.clone(), lane.clone()]);
        self.innermost(name, &order);
        self.step(StepKind::Unroll(Ref::from(row)));
        self.step(StepKind::Vectorize(Ref::from(lane)));
        let sums: Vec<Name> = c.sums.iter().map(|r| r.iter.clone()).collect();
        let reused = |group: &[Tiled], enough: i64| -> bool {
            let extents = group.iter().map(|t| t.role.extent);
            extents.fold(1, |n: i64, e| n.saturating_mul(count(e, 1))) >= enough
        };
        let (rows, lanes) = (reused(&tiles.across, ROWS), reused(&tiles.along, LANES));
        for (accesses, at, role, size, near, reused) in [
            (&c.moving, moving_at, &c.lane, micro.lanes, Some(&c.lane), rows),
            (&c.fixed, fixed_at, &c.row, micro.rows, c.sums.last(), lanes),
        ] {
            for access in accesses {
                let near = near.is_some_and(|r| stride(access, &r.iter) == Stride::One);
                let layout = panels(access, &role.iter, &sums, size).filter(|_| reused || !near);
                if let (Some(at), Some(layout)) = (&at, layout) {
                    self.pack(access, at, layout);
                }
            }
        }
    }

    /// Splits all groups of loops into tiles that fit the caches; `bytes` is an element's size.
    fn cache_tiles(&mut self, name: &Name, c: &Contraction, micro: Micro, bytes: i64) -> Tiles {
        let options = self.options;
        let budget = |elements: i64| (elements * 4 / bytes).max(1);
        let reads: Vec<Access> = c.moving.iter().chain(&c.fixed).cloned().collect();
        // tiles of an inner loop would change an order that has to be kept
        let ordered = c.sums.iter().any(|r| !r.reduces);
        let (tiled, whole) = c.sums.split_at(if ordered { 1 } else { c.sums.len() });
        let mut sums = self.tile_group(name, tiled, &reads, (budget(options.reduction_tile), 1));
        sums.extend(whole.iter().map(|role| Tiled {
            role: role.clone(),
            outer: None,
            inner: Some(role.name.clone()),
        }));
        let lane_tile = budget(options.lane_tile);
        let along = self.tile_with(name, (&c.lane, &c.along), &c.moving, lane_tile, micro.lanes);
        let across =
            self.tile_with(name, (&c.row, &c.across), &c.fixed, options.row_tile, micro.rows);
        Tiles { along, across, sums }
    }

    /// The order of the loops over tiles. Those of the lanes are outermost, unless they are too
    /// few for the threads.
    fn outer_loops(&self, c: &Contraction, tiles: &Tiles) -> Outer {
        let batch = c.batch.iter().map(|r| count(r.extent, 1));
        let tasks =
            batch.chain(tiles.along.iter().map(|t| self.trips(t))).fold(1_i64, i64::saturating_mul);
        let rows_first = tasks < self.options.tasks;
        let mut order: Vec<Name> = c.batch.iter().map(|r| r.name.clone()).collect();
        if rows_first {
            order.extend(outer(&tiles.across));
        }
        let (along, sums) = (outer(&tiles.along), outer(&tiles.sums));
        // what moves with the lanes does not depend on the rows' tiles
        let once = along.is_empty() && sums.is_empty();
        order.extend(along.into_iter().chain(sums));
        let moving_at = if once { order.first() } else { order.last() }.cloned();
        if !rows_first {
            order.extend(outer(&tiles.across));
        }
        let fixed_at = order.last().cloned();
        Outer { order, moving_at, fixed_at }
    }

    /// Strips of the register tile's size of a loop inside a tile: the loop over strips, if there
    /// is more than one, and that in a strip.
    fn strips(
        &mut self,
        name: &Name,
        role: &Role,
        at: Option<&Name>,
        size: i64,
    ) -> (Option<Name>, Name) {
        let at = at.unwrap_or(&role.name).clone();
        let extent = self.extents.get(&at).copied().or(role.extent);
        if extent.is_some_and(|e| e <= size) {
            return (None, at);
        }
        let role = Role { name: at.clone(), extent, ..role.clone() };
        self.split(name, &role, size).map_or((None, at), |(o, i)| (Some(o), i))
    }

    /// Tiles of a leading loop, whose tiles are whole strips, and of others of its kind with what
    /// is left of the budget. One of them along which the reads are contiguous gets a cache line's
    /// worth first, so that no line is fetched twice.
    fn tile_with(
        &mut self,
        name: &Name,
        (lead, others): (&Role, &[Role]),
        reads: &[Access],
        budget: i64,
        unit: i64,
    ) -> Vec<Tiled> {
        let line = i64::from(CACHE_LINE) / 4;
        let reserved = others
            .iter()
            .filter(|r| contiguous(reads, r))
            .map(|r| r.extent.map_or(line, |e| e.min(line)))
            .product::<i64>()
            .clamp(1, (budget / unit).max(1));
        let mut tiled =
            self.tile_group(name, std::slice::from_ref(lead), reads, (budget / reserved, unit));
        let used = tile_size(lead.extent, budget / reserved, unit).max(1);
        tiled.extend(self.tile_group(name, others, reads, (budget / used, 1)));
        tiled
    }

    /// Tiles of several loops whose product of sizes is within a budget of iterations; each size
    /// is a multiple of `unit`.
    fn tile_group(
        &mut self,
        name: &Name,
        roles: &[Role],
        reads: &[Access],
        (budget, unit): (i64, i64),
    ) -> Vec<Tiled> {
        let mut left = budget.max(1);
        let mut out: Vec<(usize, Tiled)> = Vec::new();
        let mut order: Vec<usize> = (0..roles.len()).rev().collect();
        order.sort_by_key(|k| !contiguous(reads, &roles[*k]));
        for k in order {
            let role = roles[k].clone();
            let size = tile_size(role.extent, left, unit);
            left = (left / size.max(1)).max(1);
            let whole = Some(role.name.clone());
            let tiled = if role.extent.is_some_and(|e| e <= size) {
                Tiled { outer: None, inner: whole, role }
            } else if size == 1 {
                Tiled { outer: whole, inner: None, role }
            } else {
                match self.split(name, &role, size) {
                    Some((outer, inner)) => Tiled { outer: Some(outer), inner: Some(inner), role },
                    None => Tiled { outer: None, inner: whole, role },
                }
            };
            out.push((k, tiled));
        }
        out.sort_by_key(|(k, _)| *k);
        out.into_iter().map(|(_, tiled)| tiled).collect()
    }

    /// Iterations of the loop over tiles.
    fn trips(&self, tiled: &Tiled) -> i64 {
        match (&tiled.outer, &tiled.inner) {
            (None, _) => 1,
            (Some(_), None) => count(tiled.role.extent, 1),
            (Some(outer), Some(_)) => count(self.extents.get(outer).copied(), 1),
        }
    }

    /// Copies an operand to a buffer in the order in which it is used, in lanes; the index along
    /// which the operand is contiguous right around them, so that no cache line is fetched twice.
    fn pack(&mut self, access: &Access, at: &Name, layout: Vec<LayoutTerm>) {
        let before = self.at.tree().statements();
        let last = access.indices.len().saturating_sub(1);
        let whole = |t: &LayoutTerm| t.dimension == last && t.divisor == 1 && t.modulus.is_none();
        let near = layout.iter().position(whole);
        let (array, at) = (Ref::from(access.array.clone()), Some(Ref::from(at.clone())));
        let (readers, across) = (Vec::new(), Vec::new());
        if !self.step(StepKind::Stage { array, readers, at, name: None, layout, pad: 0, across }) {
            return;
        }
        let Some(copy) = self.at.tree().statements().into_iter().find(|s| !before.contains(s))
        else {
            return;
        };
        let mut loops: Vec<Name> =
            own_chain(self.at.tree(), &copy).into_iter().map(|l| l.name).collect();
        let Some(lanes) = loops.pop() else {
            return;
        };
        if let Some(near) = near.filter(|near| near + 1 < loops.len()) {
            let near = loops.remove(near);
            loops.extend([near, lanes.clone()]);
            self.innermost(&copy, &loops);
        }
        self.step(StepKind::Vectorize(Ref::from(lanes)));
    }
}

/// A layout in panels of `size` along one iterator: what else moves, then the panel's number, then
/// the reduction, then the place in the panel. None where the access needs no copy or cannot have
/// one: it is contiguous already and used in one way only, or the iterator is one of several.
fn panels(access: &Access, iter: &Name, sums: &[Name], size: i64) -> Option<Vec<LayoutTerm>> {
    let of = |e: &Affine| e.vars().contains(iter);
    let mut dims = access.indices.iter().enumerate().filter(|(_, e)| of(e));
    let (lead, index) = dims.next()?;
    let pure = dims.next().is_none() && index.as_var() == Some(iter);
    let term = |dimension, divisor, modulus| LayoutTerm { dimension, modulus, divisor };
    let summed = |e: &Affine| e.vars().iter().any(|v| sums.contains(v));
    if !pure || !access.indices.iter().any(summed) {
        return None;
    }
    let others = |with_sums: bool| {
        access
            .indices
            .iter()
            .enumerate()
            .filter(move |(k, e)| *k != lead && summed(e) == with_sums)
            .map(|(k, _)| term(k, 1, None))
    };
    let mut layout: Vec<LayoutTerm> = others(false).collect();
    layout.push(term(lead, size, None));
    layout.extend(others(true));
    layout.push(term(lead, 1, Some(size)));
    Some(layout)
}
