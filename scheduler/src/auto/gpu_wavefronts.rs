//! Wavefronts of tiles for a GPU: factorisations, triangular systems, dynamic programming.
//!
//! In: a nest in an order whose loops may be permuted (`sweeps`). Out: the nest in tiles, those of
//! a wavefront in one launch; a block runs a tile: its first loop in order, or its diagonals, and
//! what each statement does in an iteration of that on its threads, which meet before the next.
//! Keeps: the host starts as many launches as there are wavefronts, not as the loop has iterations.
//! Every choice is a step that may be refused.
//! Source: tiles and their wavefronts from U. Bondhugula et al., A Practical Automatic Polyhedral
//! Parallelizer and Locality Optimizer (PLDI 2008).

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, Step, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop};

use super::Auto;
use super::holes::Hole;
use super::host::{LAUNCH, UNKNOWN};
use super::order::{children, nested, own};
use super::tiles::{Stride, stride};

/// Iterations of a tile along each of its loops where there are two and three, and along all of
/// them where it runs over diagonals.
const SIDES: [&[i64]; 2] = [&[32, 128], &[16, 16, 16]];
const SQUARE: [i64; 2] = [32, 16];
/// Nanoseconds of a statement in an iteration of a tile's first loop: its loads, and a meeting;
/// from 400 to 650 on an H200.
const PHASE: f64 = 500.0;
/// Nanoseconds of an instance where all blocks have work: what a tile touches is in the first-level
/// cache.
const CACHED: f64 = 0.002;

/// A loop of a tile that threads can run for a statement.
struct Points {
    name: Name,
    /// How many accesses are contiguous along it, less those that jump.
    contiguous: i64,
}

impl Auto {
    /// Tiles on blocks for the nest of these statements, and its time in nanoseconds; nothing, and
    /// no step, where that cannot be. The first loop of a tile runs in order, or diagonals.
    pub(super) fn wavefront_of_tiles(&mut self, names: &[Name]) -> Result<Option<f64>> {
        let Some(nest) = own(self.at.tree(), names) else { return Ok(None) };
        let band = nested(&nest);
        let Some(more) = band.len().checked_sub(2).filter(|more| *more < SIDES.len()) else {
            return Ok(None);
        };
        let before = self.at.clone();
        for diagonals in [false, true] {
            let usual =
                if diagonals { vec![SQUARE[more]; band.len()] } else { SIDES[more].to_vec() };
            let others =
                [usual.iter().map(|n| n / 2).collect(), usual.iter().map(|n| n * 2).collect()];
            let words = &["first", "second", "third"][..band.len()];
            let hole = Hole::new(&band[0].name, "wavefront", words, usual, others);
            let sides = self.choose(hole);
            let time = self.tiles_on_blocks(names, &band, &sides, diagonals)?;
            if time.is_some() {
                return Ok(time);
            }
            self.at = before.clone();
        }
        Ok(None)
    }

    fn tiles_on_blocks(
        &mut self,
        names: &[Name],
        band: &[TreeLoop],
        sides: &[i64],
        diagonals: bool,
    ) -> Result<Option<f64>> {
        let mut instances = 0;
        for name in names {
            instances += self.instances(name)?.unwrap_or(UNKNOWN.pow(2));
        }
        let band: Vec<Name> = band.iter().map(|l| l.name.clone()).collect();
        if !self.step(tiled(&band, sides, diagonals)) {
            return Ok(None);
        }
        for name in band[1..].iter().rev() {
            let target = Ref::from(part(name, 1));
            // a loop over one thing has nothing to distribute
            let _apart = self.step(StepKind::Distribute { target, at: None, names: Vec::new() });
        }
        let Some(inside) = self.at.tree().find(&part(&band[0], 1)).cloned() else {
            return Ok(None);
        };
        let phases = children(&inside.body);
        for phase in &phases {
            if !self.points_on_threads(&band[0], phase)? {
                return Ok(None);
            }
        }
        let blocks = band[..band.len() - 1].iter().rev();
        if !self.places(&blocks.map(|l| (part(l, 0), None)).collect::<Vec<_>>(), &[]) {
            return Ok(None);
        }
        let Some(Tree::Loop(top)) = own(self.at.tree(), names) else { return Ok(None) };
        let unknown = || sides.iter().map(|side| UNKNOWN / side).sum();
        let launches = self.length(&top)?.unwrap_or_else(unknown) as f64;
        let steps = if diagonals { sides.iter().sum::<i64>() } else { sides[0] } as f64;
        let tile = steps * phases.len() as f64 * PHASE;
        Ok(Some(launches * (LAUNCH + tile) + instances as f64 * CACHED))
    }

    /// The points of a statement in a tile on the block's threads, inside the band's first loop.
    fn points_on_threads(&mut self, first: &Name, phase: &Tree) -> Result<bool> {
        let Some(mut points) = self.points(first, phase)? else { return Ok(false) };
        points.sort_by_key(|p| -p.contiguous);
        let names: Vec<Name> = points.into_iter().map(|p| p.name).collect();
        Ok(self.places(&[], &names))
    }

    /// The loops of a statement in a tile along which its instances differ, outermost first;
    /// nothing where their iterations depend on each other.
    fn points(&mut self, first: &Name, phase: &Tree) -> Result<Option<Vec<Points>>> {
        let tree = self.at.tree().clone();
        let statements = phase.statements();
        let ([statement], Some(tiles)) = (statements.as_slice(), tree.find(&part(first, 0))) else {
            return Ok(None);
        };
        let poly = self.at.poly().clone();
        let Some(s) = poly.statement(statement) else { return Ok(None) };
        let mut told: BTreeSet<Name> = tiles.rows[statement].vars();
        let mut out = Vec::new();
        for l in phase.loops() {
            let iters = l.rows[statement].vars();
            let new: Vec<&Name> = iters.iter().filter(|i| !told.contains(*i)).collect();
            let [iter] = new.as_slice() else { continue };
            if !self.session.deps(&self.at)?.independent(&tree, &l.name)? {
                return Ok(None);
            }
            let reads = s.statement.value.reads();
            let of = |access| match stride(access, iter) {
                Stride::None => 0,
                Stride::One => 1,
                Stride::Far => -1,
            };
            let contiguous = std::iter::once(&s.statement.target).chain(reads).map(of).sum();
            out.push(Points { name: l.name.clone(), contiguous });
            told.insert((*iter).clone());
        }
        Ok(Some(out))
    }
}

/// The loop over the tiles of a loop, or that over the points of a tile.
fn part(name: &Name, which: u8) -> Name {
    Name::from(format!("{name}.{which}"))
}

/// The loops in tiles whose points count from 0 along all but the first, and a loop over their
/// wavefronts outermost; the first may run over the diagonals of a tile.
fn tiled(band: &[Name], sides: &[i64], diagonals: bool) -> StepKind {
    let to_ref = |name: &Name, which| Ref::from(part(name, which));
    let loops = band.iter().map(|name| Ref::from(name.clone())).collect();
    let mut steps = vec![StepKind::Tile { loops, sizes: sides.to_vec(), names: Vec::new() }];
    let skew = |target, factor, by| StepKind::Skew { target, factor, by };
    for (l, side) in band.iter().zip(sides).skip(1) {
        steps.push(skew(to_ref(l, 1), -side, to_ref(l, 0)));
    }
    if let ([first, rest @ ..], true) = (band, diagonals) {
        // a row gains those of loops around it
        let points = |order: Vec<&Name>| StepKind::Reorder {
            loops: order.into_iter().map(|l| to_ref(l, 1)).collect(),
        };
        steps.push(points(rest.iter().chain([first]).collect()));
        steps.extend(rest.iter().map(|l| skew(to_ref(first, 1), 1, to_ref(l, 1))));
        steps.push(points(band.iter().collect()));
    }
    if let [others @ .., last] = band {
        steps.extend(others.iter().map(|l| skew(to_ref(last, 0), 1, to_ref(l, 0))));
        let order = std::iter::once(last).chain(others).map(|l| to_ref(l, 0));
        steps.push(StepKind::Reorder { loops: order.collect() });
    }
    StepKind::Atomically(steps.into_iter().map(Step::from).collect())
}
