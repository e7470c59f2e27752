//! Orders for a GPU: serial loops outside, which the host runs, and as many parallel ones inside.
//!
//! In: a schedule whose nests have been distributed. Out: the same schedule after one `order` step
//! where another order of some nest takes less time by an estimate: of launches, of what a thread
//! does one after another, of all instances.
//! Keeps: the candidates are isl's orders ([Bondhugula08], and [Feautrier92], whose outer loops
//! carry all dependences they can), the former's wavefronts and with another loop of a band
//! outermost, sweeps over single iterators (`sweeps`), several of these in tiles
//! (`gpu_wavefronts`), and the order of the text in `phases` before, at and after a pivot. Each is
//! checked as any other order is.

use std::time::{Duration, Instant};

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::{Ref, Step, StepKind};
use warploom_ir::schedule::{Tree, TreeLoop};
use warploom_isl::{ScheduleAlgorithm, ScheduleOptions};

use super::Auto;
use super::gpu::{GpuOptions, Line};
use super::order::{Kind, Part, children, depends_on_itself, order_step, own};
use super::solver::{Solved, solve_with};
use crate::Schedule;

/// Time after which no more questions about the order are asked.
const BUDGET: Duration = Duration::from_secs(20);
/// Operations of isl for one run of its scheduler.
const QUOTA: u32 = 20_000_000;

/// Nanoseconds of a launch in a row of launches.
pub(super) const LAUNCH: f64 = 2500.0;
/// Nanoseconds until a thread's next instance.
const STEP: f64 = 100.0;
/// Nanoseconds of an instance where all threads have work.
const INSTANCE: f64 = 0.005;
/// Fewest iterations that a loop counts with: small problems get the orders of larger ones.
const NOMINAL: i64 = 256;
/// How many instances run at once in an order that needs no better one.
const ENOUGH: f64 = 64.0;
/// How much slower instances are whose neighbours touch elements far from each other.
const SCATTERED: f64 = 8.0;
/// Statements of nests with parallel loops for which tiles are tried: a single one is a sum or a
/// step, and finding sweeps of many takes long.
const TILED: std::ops::RangeInclusive<usize> = 2..=4;
/// Threads of a block.
const ONE_BLOCK: i64 = 1024;
/// Iterations of a loop whose length is not known.
pub(super) const UNKNOWN: i64 = 1000;
/// How much faster another order has to be, as a part of the time of the text's.
pub(super) const GAIN: f64 = 0.9;

/// What a piece of a schedule costs, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Price {
    /// With its launches, as it is mapped.
    pub(super) time: f64,
    /// In one thread.
    alone: f64,
    /// Some loop runs on blocks and threads.
    mapped: bool,
}

impl Auto {
    /// Orders each nest for the host's loops; whether anything changed.
    pub(super) fn order_for_host(&mut self, options: &GpuOptions) -> Result<bool> {
        let start = Instant::now();
        let mut chosen = Vec::new();
        for part in self.parts()? {
            let late = start.elapsed() > BUDGET;
            let better = if late { None } else { self.better(&part, options)? };
            chosen.push(better.map_or(part, |(_, better)| better));
        }
        if chosen.iter().all(|p| p.kind == Kind::Text) {
            return Ok(false);
        }
        let step = order_step(self.at.poly(), &chosen);
        let changed = self.step(step);
        self.distribute_some(false, true);
        for part in chosen.iter().filter(|p| changed && p.kind == Kind::Tiles) {
            let names = part.names(self.at.poly());
            self.wavefront_of_tiles(&names)?;
        }
        Ok(changed)
    }

    /// The order of a nest that takes the least time, and that time, where that is not the text's.
    pub(super) fn better(
        &mut self,
        part: &Part,
        options: &GpuOptions,
    ) -> Result<Option<(f64, Part)>> {
        if !depends_on_itself(self.session.deps(&self.at)?, &part.statements()) {
            return Ok(None);
        }
        let names = part.names(self.at.poly());
        let Some(text) = own(self.at.tree(), &names) else { return Ok(None) };
        let now = self.price(&text)?;
        // then tiles alone may be better: what a block does one after another is in its cache
        let parallel = now.alone > ENOUGH * now.time;
        if parallel && !TILED.contains(&names.len()) {
            return Ok(None);
        }
        let again = self.launches_again(&text)?;
        if parallel && !again {
            return Ok(None);
        }
        let before = self.at.clone();
        let mut tried: Vec<(f64, Part, Schedule)> = Vec::new();
        let candidates = self.candidates(part, parallel)?;
        for candidate in candidates.into_iter().filter(|c| again || c.kind != Kind::Tiles) {
            if let Some(trial) = self.trial(&candidate) {
                self.at = trial;
                self.distribute_some(false, true);
                let time = self.time_of(&candidate, &names)?;
                if let Some(time) = time.filter(|time| *time < now.time * GAIN) {
                    tried.push((time, candidate, self.at.clone()));
                }
                self.at = before.clone();
            }
        }
        tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (time, candidate, trial) in tried {
            self.at = trial;
            if let Some(nest) = own(self.at.tree(), &names) {
                self.map_tree(&nest, options)?;
            }
            let good = self.launchable();
            self.at = before.clone();
            if good {
                return Ok(Some((time, candidate)));
            }
        }
        Ok(None)
    }

    /// The time of a nest in the order of a candidate, with its tiles.
    fn time_of(&mut self, candidate: &Part, names: &[Name]) -> Result<Option<f64>> {
        if candidate.kind == Kind::Tiles {
            let holes = self.holes.clone();
            let time = self.wavefront_of_tiles(names);
            // those of the order that is taken are asked for again
            self.holes = holes;
            return time;
        }
        let nest = own(self.at.tree(), names);
        nest.map(|nest| Ok(self.price(&nest)?.time)).transpose()
    }

    /// Whether the host runs an outermost loop of a nest, with more work in an iteration than one
    /// block's, which would run the whole loop.
    fn launches_again(&mut self, nest: &Tree) -> Result<bool> {
        let tree = self.at.tree().clone();
        for child in children(nest) {
            let Tree::Loop(l) = child else { continue };
            if self.session.deps(&self.at)?.independent(&tree, &l.name)? {
                continue;
            }
            let times = self.length(&l)?;
            for statement in l.body.statements() {
                let each = self.instances(&statement)?.zip(times).map(|(all, n)| all / n.max(1));
                if each.is_none_or(|n| n > ONE_BLOCK) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Orders that may be better than the text's; only those with tiles if asked.
    fn candidates(&mut self, part: &Part, tiles_only: bool) -> Result<Vec<Part>> {
        let chosen = part.statements();
        let deps = self.session.deps(&self.at)?;
        let parts = |solved: Vec<Vec<Solved>>, kind| {
            solved.into_iter().map(move |solved| Part { solved, kind })
        };
        if tiles_only {
            let bands = solve_with(deps, &chosen, &ScheduleOptions::default(), QUOTA);
            let mut tiles: Vec<_> = bands.into_iter().filter(|b| permutable(b)).collect();
            tiles.extend(self.sweeps(part)?.band);
            return Ok(parts(tiles, Kind::Tiles).collect());
        }
        let (mut found, mut tiles): (Vec<Vec<Solved>>, Vec<Vec<Solved>>) = Default::default();
        for apart in [false, true] {
            let options = ScheduleOptions { serialize_sccs: apart, ..ScheduleOptions::default() };
            let algorithm = ScheduleAlgorithm::Feautrier;
            let feautrier = ScheduleOptions { algorithm, ..options };
            found.extend(solve_with(deps, &chosen, &feautrier, QUOTA));
            let Some(bands) = solve_with(deps, &chosen, &options, QUOTA) else { continue };
            found.extend(wavefront(&bands));
            found.extend(rotations(&bands));
            tiles.extend(permutable(&bands).then(|| bands.clone()));
            found.push(bands);
        }
        let sweeps = self.sweeps(part)?;
        found.extend(sweeps.orders);
        tiles.extend(sweeps.band);
        found.extend(self.phases(part)?);
        Ok(parts(found, Kind::Bands).chain(parts(tiles, Kind::Tiles)).collect())
    }

    /// What the children of a sequence cost one after another.
    pub(super) fn price(&mut self, tree: &Tree) -> Result<Price> {
        let mut all = Price { time: 0.0, alone: 0.0, mapped: false };
        // neighbours that one thread runs share a launch
        let mut shared = false;
        for child in children(tree) {
            let one = match &child {
                Tree::Statement(_) => Price { time: LAUNCH + STEP, alone: STEP, mapped: false },
                Tree::Loop(l) => self.price_of(l)?,
                Tree::Sequence(_) => self.price(&child)?,
            };
            all.time += one.time - if shared && !one.mapped { LAUNCH } else { 0.0 };
            all.alone += one.alone;
            all.mapped |= one.mapped;
            shared = !one.mapped;
        }
        Ok(all)
    }

    /// What a nest costs.
    fn price_of(&mut self, top: &TreeLoop) -> Result<Price> {
        let (lines, _) = self.chain(top)?;
        let least = |l: &Line| if l.phase { 1 } else { NOMINAL };
        let length = |l: &Line| l.extent.unwrap_or(UNKNOWN).max(least(l)) as f64;
        let leading = lines.iter().take_while(|l| l.free).count();
        let outer = if self.all_outermost(&lines)? { lines.len() } else { leading };
        let (mapped, serial): (Vec<_>, Vec<_>) =
            lines.iter().enumerate().partition(|(k, l)| l.free && *k < outer);
        if mapped.is_empty() {
            let body = self.price(&top.body)?;
            let n = length(&lines[0]);
            let time = if body.mapped { n * body.time } else { LAUNCH + n * body.alone };
            return Ok(Price { time, alone: n * body.alone, mapped: body.mapped });
        }
        let mut inside = top;
        while let Tree::Loop(l) = &*inside.body {
            inside = l;
        }
        let product = |of: &[(usize, &Line)]| of.iter().map(|(_, l)| length(l)).product::<f64>();
        let (threads, each) =
            (product(&mapped), product(&serial) * self.price(&inside.body)?.alone);
        let apart = mapped.iter().all(|(_, l)| l.contiguous <= 0);
        let slower = if apart { SCATTERED } else { 1.0 };
        let busy = threads * each / STEP * INSTANCE * slower;
        Ok(Price { time: LAUNCH + each.max(busy), alone: threads * each, mapped: true })
    }

    /// Whether the independent loops of a chain can be moved outermost and are independent there.
    fn all_outermost(&mut self, lines: &[Line]) -> Result<bool> {
        let (free, rest): (Vec<&Line>, Vec<&Line>) = lines.iter().partition(|l| l.free);
        let phases = rest.iter().any(|l| l.phase);
        if free.is_empty() || rest.is_empty() || phases {
            return Ok(rest.is_empty());
        }
        let loops = free.iter().chain(&rest).map(|l| Ref::from(l.name.clone())).collect();
        let step = Step::from(StepKind::Reorder { loops });
        let Ok(moved) = self.at.attempt(&mut self.session, &step) else { return Ok(false) };
        for l in free {
            if !self.session.deps(&moved)?.independent(moved.tree(), &l.name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The iterations of a loop, where sizes are known.
    pub(super) fn length(&mut self, l: &TreeLoop) -> Result<Option<i64>> {
        let mut longest = 1;
        for (statement, row) in &l.rows {
            match self.session.deps(&self.at)?.row_bounds(statement, row)? {
                Some((low, high)) => {
                    longest = longest.max(high.saturating_sub(low).saturating_add(1));
                }
                None => return Ok(None),
            }
        }
        Ok(Some(longest))
    }
}

/// The orders with one of the loops of the outermost band moved outermost.
fn rotations(solved: &[Solved]) -> Vec<Vec<Solved>> {
    let band = solved.iter().map(|s| s.band).min().unwrap_or(0);
    let first = |k: usize| {
        let mut out = solved.to_vec();
        for s in &mut out {
            let row = s.rows.remove(k);
            s.rows.insert(0, row);
        }
        out
    };
    (1..band).map(first).collect()
}

/// Whether the outermost band is two loops and all that these statements have: more that are skewed
/// take isl longer than it may.
fn permutable(solved: &[Solved]) -> bool {
    let inside = |s: &Solved| {
        let rest = s.rows.get(s.band..).unwrap_or_default();
        s.band == 2 && rest.iter().all(|r| r.as_constant().is_some())
    };
    solved.iter().all(inside)
}

/// The order whose outermost loop runs over the hyperplanes of the outermost band.
fn wavefront(solved: &[Solved]) -> Option<Vec<Solved>> {
    let mut out = solved.to_vec();
    for s in &mut out {
        if s.band < 2 {
            return None;
        }
        let band = s.rows.get(..s.band)?;
        let sum = band.iter().try_fold(Affine::constant(0), |sum, row| sum.add(row)).ok()?;
        // the sum and all but the last tell the last
        s.rows.remove(s.band - 1);
        s.rows.insert(0, sum);
    }
    Some(out)
}
