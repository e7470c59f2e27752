//! Transpositions on a GPU: statements that read along one index and write along another.
//!
//! In: a statement alone in independent loops, whose reads are each contiguous along one loop while
//! its target is contiguous along another. Out: tiles of both loops, which the block copies to
//! shared memory line by line as the array has them, and computes line by line as the target has
//! them; the remaining loops run on blocks.
//! Where the target's elements are narrower than a bank of shared memory and the reads' are not, a
//! thread writes a bank's worth of neighbours, whose digit in the tile becomes the outermost one;
//! several results of the same elements (`gpu_lines`) are computed by one thread.
//! Keeps: rows of the tile are padded to an odd number of 4-byte words, so that a column of it lies
//! in different banks; 32 × 8 threads, each with several elements of a tile on their way at once.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};

use super::Auto;
use super::gpu::fitting;
use super::gpu_lines::{Elementwise, THREADS, bytes, piece};
use super::gpu_slant::Slant;
use super::tiles::{Role, Stride, own_chain, stride};

/// Most lines and columns of a tile.
const TILE: i64 = 64;
/// Threads along a line of the tile: a warp.
const WARP: i64 = 32;
/// Bytes of a tile's line that are written together.
pub(super) const LINE_BYTES: i64 = 256;
/// Bytes of a bank of shared memory.
pub(super) const BANK: i64 = 4;

/// What is transposed.
pub(super) struct Crossed {
    /// Along which the target is contiguous.
    pub(super) line: Role,
    /// Along which the reads are.
    pub(super) column: Role,
    pub(super) batch: Vec<Role>,
    /// Short loops that move the target alone.
    pub(super) results: Vec<Role>,
    /// The reads to stage, with the dimension that moves with `line`.
    pub(super) reads: Vec<(Access, usize)>,
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
    let results = e.results.clone();
    Some(Crossed { line: e.line.clone(), column: column.clone(), batch, results, reads })
}

/// Neighbouring elements that a thread takes of a tile's lines and columns.
#[derive(Clone, Copy)]
enum Pieces {
    /// Of both, where all arrays have elements narrower than a bank and all lines, along which
    /// tiles are whole, start at multiples of so many: single elements would take as many
    /// instructions as wide ones.
    All(i64),
    /// Of the target's lines alone, whose elements are narrower than a bank.
    Written(i64),
    /// One of each of some strips.
    None,
}

/// Loops inside those of a tile.
struct Inside {
    loops: Vec<Name>,
    /// Code for one line of a tile is long enough not to be repeated for the next.
    long: bool,
}

/// A tile in which `each` neighbours along a dimension lie in as many parts.
fn split_digits(read: &Access, dimension: usize, each: i64) -> Vec<LayoutTerm> {
    let plain = |dimension| LayoutTerm { dimension, modulus: None, divisor: 1 };
    let mut layout = vec![LayoutTerm { dimension, modulus: Some(each), divisor: 1 }];
    layout.extend(
        (0..read.indices.len()).map(|d| {
            if d == dimension { LayoutTerm { divisor: each, ..plain(d) } } else { plain(d) }
        }),
    );
    layout
}

impl Auto {
    /// Maps a transposition; says whether the statement is one.
    pub(super) fn transposed(&mut self, name: &Name) -> Result<bool> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(false);
        };
        let Some(crossed) = Elementwise::of(&poly, s, &roles).as_ref().and_then(crossed) else {
            return Ok(false);
        };
        let before = self.at.clone();
        let slant = match self.pieces(name, &crossed) {
            Pieces::None => Slant::of(&poly, s, &crossed),
            Pieces::All(_) | Pieces::Written(_) => None,
        };
        if slant.is_some_and(|slant| self.slanted(name, &crossed, slant).is_some()) {
            return Ok(true);
        }
        self.at = before.clone();
        if self.tile_and_stage(name, &crossed).is_some() {
            return Ok(true);
        }
        self.at = before;
        Ok(false)
    }

    /// Neighbouring elements that a thread takes.
    fn pieces(&self, name: &Name, c: &Crossed) -> Pieces {
        let poly = self.at.poly();
        let Some(s) = poly.statement(name) else { return Pieces::None };
        let own = bytes(poly, &s.statement.target.array);
        let widest = c.reads.iter().map(|(a, _)| bytes(poly, &a.array)).max().unwrap_or(own);
        let [along, across] = [&c.line, &c.column].map(|role| piece(poly, s, role));
        match along {
            Some(each) if own < BANK && widest >= BANK && each % (BANK / own) == 0 => {
                Pieces::Written(BANK / own)
            }
            Some(each) if own < BANK && across == Some(each) => Pieces::All(each),
            Some(_) | None => Pieces::None,
        }
    }

    /// Lines and columns of a tile: warps write whole tiles' lines.
    fn tile_of(&self, name: &Name, c: &Crossed, pieces: Pieces) -> (i64, i64, Pieces) {
        let widths = c.reads.iter().map(|(a, _)| bytes(self.at.poly(), &a.array));
        let most = if widths.max().unwrap_or(BANK) > BANK { TILE / 2 } else { TILE };
        let size = |r: &Role, most: i64| r.extent.map_or(most, |n| fitting(most, n));
        let columns = size(&c.column, most);
        match pieces {
            Pieces::Written(each) => (size(&c.line, WARP * each), columns, pieces),
            Pieces::All(each) => {
                // memory takes few long pieces faster than many short ones
                let own = self.at.poly().statement(name).map(|s| s.statement.target.array.clone());
                let own = own.map_or(BANK, |array| bytes(self.at.poly(), &array));
                let lines = size(&c.line, most.max(LINE_BYTES / own).min(2 * TILE));
                let whole = lines % each == 0 && columns % each == 0;
                (lines, columns, if whole { pieces } else { Pieces::None })
            }
            Pieces::None => (size(&c.line, most), columns, pieces),
        }
    }

    /// Carries it out; `None` where a step is refused.
    fn tile_and_stage(&mut self, name: &Name, c: &Crossed) -> Option<()> {
        let (lines, columns, pieces) = self.tile_of(name, c, self.pieces(name, c));
        let mut order: Vec<Name> = c.batch.iter().map(|r| r.name.clone()).collect();
        order.extend([c.line.name.clone(), c.column.name.clone()]);
        let results: Vec<Name> = c.results.iter().map(|r| r.name.clone()).collect();
        order.extend(results.iter().cloned());
        self.ordered(&order).then_some(())?;
        let loops: Vec<Ref> = [&c.line, &c.column].map(|r| Ref::from(r.name.clone())).into();
        let sizes = vec![lines, columns];
        self.step(StepKind::Tile { loops, sizes, names: Vec::new() }).then_some(())?;
        let half = |r: &Role, k: u8| Name::from(format!("{}.{k}", r.name));
        let count = |r: &Role, size: i64| r.extent.map(|n| (n + size - 1) / size);
        // blocks that start one after the other write what continues each other
        let mut blocks = vec![
            (half(&c.line, 0), count(&c.line, lines)),
            (half(&c.column, 0), count(&c.column, columns)),
        ];
        self.ordered(&[half(&c.column, 0), half(&c.line, 0)]).then_some(())?;
        let at = half(&c.line, 0);
        for read in &c.reads {
            self.staged_tile(name, read, &at, (lines, columns, pieces))?;
        }
        let along = half(&c.line, 1);
        let each = match pieces {
            Pieces::All(each) | Pieces::Written(each) => Some(each),
            Pieces::None => None,
        };
        let inside = Inside { long: !results.is_empty(), loops: results };
        self.tile_threads((&along, lines, each), (&half(&c.column, 1), columns), &inside)?;
        blocks.extend(self.one_loop(&c.batch)?);
        self.places(&blocks, &[]).then_some(())
    }

    /// Copies a tile of a read to shared memory, line by line as the array has them.
    fn staged_tile(
        &mut self,
        name: &Name,
        (read, dimension): &(Access, usize),
        at: &Name,
        (lines, columns, pieces): (i64, i64, Pieces),
    ) -> Option<()> {
        // rows of an odd number of banks
        let pad = (BANK / bytes(self.at.poly(), &read.array)).max(1);
        let digits = match pieces {
            // threads that write neighbours read each of them from lines that follow each other
            Pieces::Written(each) => Some(each).filter(|each| lines % each == 0),
            Pieces::All(_) | Pieces::None => None,
        };
        let layout = digits.map_or_else(Vec::new, |each| split_digits(read, *dimension, each));
        let copies = self.stage_new((name, read), at, layout, pad, Vec::new())?;
        let [copy] = <[Name; 1]>::try_from(copies).ok()?;
        let all: Vec<Name> = own_chain(self.at.tree(), &copy).into_iter().map(|l| l.name).collect();
        // the digit of the place in a piece is the outermost loop
        let moved = usize::from(digits.is_some());
        let (along, across) = (all.last()?.clone(), all.get(*dimension + moved)?.clone());
        let loops = all.iter().filter(|l| **l != along && **l != across).cloned().collect();
        let inside = Inside { loops, long: false };
        let wide = match pieces {
            Pieces::All(each) => Some(each),
            Pieces::Written(_) | Pieces::None => None,
        };
        let count = digits.map_or(lines, |each| lines / each);
        self.tile_threads((&along, columns, wide), (&across, count), &inside)
    }

    /// Runs a tile on the threads of a block: lines along warps, several lines in a thread, of
    /// which it takes neighbouring elements (`piece`) if given and else one in each of some strips.
    /// The other loops run inside, unrolled.
    fn tile_threads(
        &mut self,
        (along, length, piece): (&Name, i64, Option<i64>),
        (across, lines): (&Name, i64),
        inside: &Inside,
    ) -> Option<()> {
        // wide pieces side by side for more than a tile would meet in the same banks
        let most = |piece: i64| if piece > BANK { TILE / piece } else { WARP };
        let wide = piece.map_or(WARP, |piece| (length / piece).min(most(piece)));
        let mut order_inside = inside.loops.clone();
        let x = match piece {
            Some(piece) => {
                let mut strip = along.clone();
                if length > wide * piece {
                    let (mine, inner) = self.strips_of(along, wide * piece)?;
                    order_inside.push(mine);
                    strip = inner;
                }
                let (x, mine) = self.halves(&strip, piece)?;
                order_inside.push(mine);
                x
            }
            None => {
                let (mine, x) = self.strips_of(along, WARP)?;
                order_inside.push(mine);
                x
            }
        };
        let each = (lines * wide / THREADS).max(1);
        let (y, mine_across) = self.halves(across, each)?;
        let order = [vec![mine_across.clone()], order_inside.clone()].concat();
        let mut unrolled = order_inside;
        if !inside.long {
            unrolled.push(mine_across);
        }
        self.tile_on_threads((&y, &x), &order, &unrolled)
    }
}
