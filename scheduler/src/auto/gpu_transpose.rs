//! Transpositions on a GPU: statements that read along one index and write along another.
//!
//! In: a statement alone in independent loops, whose reads are each contiguous along one loop while
//! its target is contiguous along another. Out: tiles of both loops, which the block copies to
//! shared memory line by line as the array has them, and computes line by line as the target has
//! them; the remaining loops run on blocks.
//! Keeps: rows of the tile are padded to an odd number of 4-byte words, so that a column of it lies
//! in different banks; 32 × 8 threads, each with several elements of a tile on their way at once.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::target::{Axis, Place};

use super::Auto;
use super::gpu::fitting;
use super::gpu_lines::{Elementwise, THREADS, bytes, piece};
use super::tiles::{Role, Stride, own_chain, stride};

/// Most lines and columns of a tile.
const TILE: i64 = 64;
/// Threads along a line of the tile: a warp.
const WARP: i64 = 32;
/// Bytes of a bank of shared memory.
const BANK: i64 = 4;

/// What is transposed.
struct Crossed {
    /// Along which the target is contiguous.
    line: Role,
    /// Along which the reads are.
    column: Role,
    batch: Vec<Role>,
    /// The reads to stage, with the dimension that moves with `line`.
    reads: Vec<(Access, usize)>,
}

/// The parts of a transposition.
fn crossed(e: &Elementwise) -> Option<Crossed> {
    let far: Vec<&Access> =
        e.reads.iter().filter(|a| stride(a, &e.line.iter) == Stride::Far).collect();
    let mut columns = e.rest.iter();
    let column = columns
        .find(|r| !far.is_empty() && far.iter().all(|a| stride(a, &r.iter) == Stride::One))?;
    let mut reads: Vec<(Access, usize)> = Vec::new();
    for access in far {
        let moves = |k: &usize| access.indices[*k].vars().contains(&e.line.iter);
        let dimension = (0..access.indices.len()).find(moves)?;
        reads.push((access.clone(), dimension));
    }
    let batch = e.rest.iter().filter(|r| r.name != column.name).cloned().collect();
    Some(Crossed { line: e.line.clone(), column: column.clone(), batch, reads })
}

impl Auto {
    /// Maps a transposition; says whether the statement is one.
    pub(super) fn transposed(&mut self, name: &Name) -> Result<bool> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(false);
        };
        let Some(crossed) = Elementwise::of(s, &roles).as_ref().and_then(crossed) else {
            return Ok(false);
        };
        let before = self.at.clone();
        if self.tile_and_stage(name, &crossed).is_some() {
            return Ok(true);
        }
        self.at = before;
        Ok(false)
    }

    /// Elements of 16 bytes where all arrays have elements narrower than a bank and all lines,
    /// along which tiles are whole, start at multiples of so many: single elements would take as
    /// many instructions as wide ones.
    fn narrow_piece(&self, name: &Name, c: &Crossed, tile: (i64, i64)) -> Option<i64> {
        let poly = self.at.poly();
        let s = poly.statement(name)?;
        let along = [(&c.line, tile.0), (&c.column, tile.1)];
        let pieces = along.map(|(role, tile)| piece(poly, s, role).filter(|p| tile % p == 0));
        let narrow = bytes(poly, &s.statement.target.array) < BANK;
        pieces[0].filter(|p| narrow && pieces[1] == Some(*p))
    }

    /// Carries it out; `None` where a step is refused.
    fn tile_and_stage(&mut self, name: &Name, c: &Crossed) -> Option<()> {
        let widest = c.reads.iter().map(|(a, _)| bytes(self.at.poly(), &a.array)).max()?;
        let most = if widest > BANK { TILE / 2 } else { TILE };
        let size = |r: &Role| r.extent.map_or(most, |n| fitting(most, n));
        let (lines, columns) = (size(&c.line), size(&c.column));
        let mut order: Vec<Name> = c.batch.iter().map(|r| r.name.clone()).collect();
        order.extend([c.line.name.clone(), c.column.name.clone()]);
        self.ordered(&order).then_some(())?;
        let loops: Vec<Ref> = [&c.line, &c.column].map(|r| Ref::from(r.name.clone())).into();
        let sizes = vec![lines, columns];
        let narrow = self.narrow_piece(name, c, (lines, columns));
        self.step(StepKind::Tile { loops, sizes, names: Vec::new() }).then_some(())?;
        let half = |r: &Role, k: u8| Name::from(format!("{}.{k}", r.name));
        let count = |r: &Role, size: i64| r.extent.map(|n| (n + size - 1) / size);
        let mut blocks = vec![
            (half(&c.column, 0), count(&c.column, columns)),
            (half(&c.line, 0), count(&c.line, lines)),
        ];
        self.ordered(&[half(&c.line, 0), half(&c.column, 0)]).then_some(())?;
        let at = half(&c.column, 0);
        for (read, dimension) in &c.reads {
            // rows of an odd number of banks
            let pad = (BANK / bytes(self.at.poly(), &read.array)).max(1);
            let copies = self.stage_new((name, read), &at, Vec::new(), pad, Vec::new())?;
            let [copy] = <[Name; 1]>::try_from(copies).ok()?;
            let mut own = own_chain(self.at.tree(), &copy).into_iter().map(|l| l.name);
            let all: Vec<Name> = own.by_ref().collect();
            let (along, across) = (all.last()?.clone(), all.get(*dimension)?.clone());
            let rest = all.iter().filter(|l| **l != along && **l != across).cloned().collect();
            self.tile_threads((&along, columns, narrow), (&across, lines), rest)?;
        }
        let along = half(&c.line, 1);
        self.tile_threads((&along, lines, narrow), (&half(&c.column, 1), columns), Vec::new())?;
        blocks.extend(self.one_loop(&c.batch)?);
        self.places(&blocks, &[]).then_some(())
    }

    /// Runs a tile on the threads of a block: lines along warps, several lines in a thread, of
    /// which it takes neighbouring elements (`piece`) if given and else one in each of some strips.
    fn tile_threads(
        &mut self,
        (along, length, piece): (&Name, i64, Option<i64>),
        (across, lines): (&Name, i64),
        rest: Vec<Name>,
    ) -> Option<()> {
        let (mine_along, x) = match piece {
            Some(piece) => {
                let (x, mine) = self.halves(along, piece)?;
                (mine, x)
            }
            None => self.strips_of(along, WARP)?,
        };
        let wide = piece.map_or(WARP, |piece| length / piece);
        let each = (lines * wide / THREADS).max(1);
        let (y, mine_across) = self.halves(across, each)?;
        let mut order = vec![y.clone(), x.clone(), mine_across.clone(), mine_along.clone()];
        order.extend(rest);
        let places = [(y, Place::Thread(Axis::Y)), (x, Place::Thread(Axis::X))];
        let done = self.ordered(&order)
            && places.into_iter().all(|(l, place)| self.step(StepKind::Map(Ref::from(l), place)));
        let mine = [mine_across, mine_along].map(Ref::from);
        (done && mine.into_iter().all(|l| self.step(StepKind::Unroll(l)))).then_some(())
    }
}
