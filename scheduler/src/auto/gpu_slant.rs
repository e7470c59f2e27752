//! Transpositions whose target's lines start at any element: tiles that follow where they start.
//!
//! In: a transposition (`gpu_transpose`) whose target's lines start at different places of a sector
//! of memory. Out: tiles whose edge moves from line to line by what the lines' starts do, so that a
//! block writes whole sectors but at the array's ends. What they read is the tile with as many
//! lines more as its edge moves; neighbouring blocks read those too, from the cache.
//! Keeps: the element-by-element copies of `gpu_transpose`, rows of an odd number of banks.
//! Why here: of a sector that two blocks write parts of, the cache has to mask both writes; lines
//! of 64 elements that end in such sectors were 20 to 30 % slower.

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement};
use warploom_ir::target::{Axis, Place};

use super::Auto;
use super::gpu_lines::{self, bytes};
use super::gpu_transpose::{BANK, Crossed, LINE_BYTES};
use super::tiles::own_chain;

/// Bytes that memory writes at once, and the least that are worth following.
const SECTORS: [i64; 2] = [32, 16];
/// Most lines that the edge of a tile moves by.
const HALO: i64 = 16;
/// Elements of a tile along the target's lines, of wide ones and of others, and bytes at least:
/// more elements are fewer blocks on a multiprocessor at a time.
const LINES: (i64, i64) = (32, 64);
const LEAST_BYTES: i64 = 128;

/// Bytes of a tile for each thread, which are on their way at once.
const EACH: i64 = 32;

/// How a tile's edge follows the target's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slant {
    /// Lines of the target until one starts like the first.
    period: i64,
    /// Elements by which the edge moves from one to the next.
    factor: i64,
    /// Elements of a tile along the target's lines and along those read, which are no more.
    lines: i64,
    columns: i64,
    /// Rows of a block's threads, each of so many as the tile has columns: of those, the same
    /// read and write.
    high: i64,
}

/// The place of an access in its array, where extents are known.
fn flat(poly: &Poly, access: &Access) -> Option<Affine> {
    let array = poly.array(&access.array).filter(|a| !poly.scopes.contains_key(&a.name))?;
    let (mut sum, mut stride) = (Affine::constant(0), 1_i64);
    for (index, extent) in access.indices.iter().zip(&array.shape).rev() {
        sum = sum.add(&index.scale(stride).ok()?).ok()?;
        stride = stride.checked_mul(poly.fixed(extent)?)?;
    }
    Some(sum)
}

/// The period and factor for lines that start at multiples of `unit` elements where they follow
/// `line` and `column` alone; nothing where they all do already.
fn following(flat: &Affine, line: &Name, column: &Name, unit: i64) -> Option<(i64, i64)> {
    let mut pitch = 0;
    for (atom, c) in flat.terms() {
        match atom {
            Atom::Var(v) if v == line && c == 1 => {}
            Atom::Var(v) if v == column => pitch = c.rem_euclid(unit),
            Atom::Var(_) | Atom::FloorDiv(..) | Atom::Mod(..) if c.rem_euclid(unit) == 0 => {}
            Atom::Var(_) | Atom::FloorDiv(..) | Atom::Mod(..) => return None,
        }
    }
    let whole = pitch == 0 || flat.constant_part().rem_euclid(unit) != 0;
    let period = (1..=unit).find(|n| n * pitch % unit == 0)?;
    let factor = if 2 * pitch > unit { pitch - unit } else { pitch };
    (!whole && factor.abs() * (period - 1) <= HALO).then_some((period, factor))
}

impl Slant {
    /// How tiles of a transposition follow its target, where they should.
    pub(super) fn of(poly: &Poly, s: &PolyStatement, c: &Crossed) -> Option<Self> {
        let target = &s.statement.target;
        let own = bytes(poly, &target.array);
        let flat = flat(poly, target)?;
        let units = SECTORS.iter().map(|sector| sector / own).filter(|unit| *unit > 1);
        let found = units.map(|unit| following(&flat, &c.line.iter, &c.column.iter, unit));
        let (period, factor) = found.flatten().next()?;
        let widest = c.reads.iter().map(|(a, _)| bytes(poly, &a.array)).max()?.max(own);
        let lines = (LINE_BYTES / own).clamp(LINES.0, LINES.1).max(LEAST_BYTES / own);
        let columns = if widest > BANK { LINES.0 } else { LINES.1 };
        let threads = (lines * columns * own / EACH).max(gpu_lines::THREADS);
        // powers of two, all of them
        let high = (threads / columns).min(columns / period);
        let long = c.line.extent? >= lines && c.column.extent? >= columns;
        let plain = long && c.results.is_empty();
        plain.then_some(Self { period, factor, lines, columns, high })
    }
}

impl Auto {
    /// Tiles that follow the target's lines; `None` where a step is refused.
    pub(super) fn slanted(&mut self, name: &Name, c: &Crossed, slant: Slant) -> Option<()> {
        let Slant { period, factor, lines, columns, high } = slant;
        let (groups, mine) = self.halves(&c.column.name, period)?;
        self.counted_from(&mine, period, &groups).then_some(())?;
        let mut order: Vec<Name> = c.batch.iter().map(|r| r.name.clone()).collect();
        order.extend([groups.clone(), mine.clone(), c.line.name.clone()]);
        self.ordered(&order).then_some(())?;
        let (target, by) = (Ref::from(c.line.name.clone()), Ref::from(mine.clone()));
        self.step(StepKind::Skew { target, factor, by }).then_some(())?;
        if factor < 0 {
            // whole tiles on, so that the first is number 0
            let target = Ref::from(Name::from(format!("{name}.{}", c.line.name)));
            self.step(StepKind::Shift { target, by: Affine::constant(lines) }).then_some(())?;
        }
        let (line_block, line) = self.halves(&c.line.name, lines)?;
        let (column_block, group) = self.halves(&groups, columns / period)?;
        let order = [&line_block, &column_block, &group, &mine, &line].map(Name::clone);
        self.ordered(&order).then_some(())?;
        let halo = factor.abs() * (period - 1);
        for read in &c.reads {
            self.rows_of_tile(name, read, &column_block, high)?;
        }
        let (y, more) = self.halves(&group, columns / period / high)?;
        let mut inside = vec![more, mine];
        let mut x = line;
        if lines > columns {
            let (strip, inner) = self.strips_of(&x, columns)?;
            inside.push(strip);
            x = inner;
        }
        self.tile_on_threads((&y, &x), &inside, &inside)?;
        let count = |n: Option<i64>, more: i64, size: i64| n.map(|n| (n + more) / size + 1);
        let mut blocks = vec![
            (column_block, count(c.column.extent, 0, columns)),
            (line_block, count(c.line.extent, halo, lines)),
        ];
        blocks.extend(self.one_loop(&c.batch)?);
        self.places(&blocks, &[]).then_some(())
    }

    /// Copies what a tile reads to shared memory, line by line as the array has them.
    fn rows_of_tile(
        &mut self,
        name: &Name,
        (read, dimension): &(Access, usize),
        at: &Name,
        high: i64,
    ) -> Option<()> {
        let pad = (BANK / bytes(self.at.poly(), &read.array)).max(1);
        let copies = self.stage_new((name, read), at, Vec::new(), pad, Vec::new())?;
        let [copy] = <[Name; 1]>::try_from(copies).ok()?;
        let all: Vec<Name> = own_chain(self.at.tree(), &copy).into_iter().map(|l| l.name).collect();
        let (along, across) = (all.last()?.clone(), all.get(*dimension)?.clone());
        let poly = self.at.poly();
        let rows = poly.fixed(poly.array(&copy)?.shape.get(*dimension)?)?;
        let (y, mine) = self.halves(&across, (rows + high - 1) / high)?;
        let mut inside: Vec<Name> =
            all.into_iter().filter(|l| *l != along && *l != across).collect();
        inside.insert(0, mine);
        self.tile_on_threads((&y, &along), &inside, &inside)
    }

    /// Runs two loops on a block's threads and others inside, of which some are unrolled.
    pub(super) fn tile_on_threads(
        &mut self,
        (y, x): (&Name, &Name),
        inside: &[Name],
        unrolled: &[Name],
    ) -> Option<()> {
        let order: Vec<Name> = [y, x].into_iter().chain(inside).cloned().collect();
        let places = [(y, Place::Thread(Axis::Y)), (x, Place::Thread(Axis::X))];
        let mut places = places.into_iter();
        let mapped = self.ordered(&order)
            && places.all(|(l, place)| self.step(StepKind::Map(Ref::from(l.clone()), place)));
        let mut unrolled = unrolled.iter();
        (mapped && unrolled.all(|l| self.step(StepKind::Unroll(Ref::from(l.clone())))))
            .then_some(())
    }
}
