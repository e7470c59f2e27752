//! The search: the estimate ranks, the best few are made and measured, then what is near the
//! leaders, until the time is over.
//!
//! In: a space, and a laboratory that makes, judges and races candidates. Out: a record, after each
//! race, and the leader.
//! Keeps: the automatic schedule leads until another one, whose result was checked, is faster than
//! the leader beyond doubt in the same rounds. The leader is in every race to its end; what is
//! slower after few turns gets no more. Nothing that was tried is tried again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use warploom_ir::diag::Result;
use warploom_ir::tensor::random_word;
use warploom_scheduler::Choices;

use super::record::{Candidate, Record, Status};
use super::space::Space;
use crate::measure::{Comparison, Percentiles};

/// Leaders whose neighbours are tried.
const BEAM: usize = 3;
/// Rounds of a race's heats, and by how much a candidate may be slower to be in the next one.
const HEATS: [(usize, f64); 4] = [(3, 1.5), (4, 1.15), (8, 1.05), (8, 1.05)];

/// What became of a point.
pub(super) enum Made<R> {
    /// It can be raced; its script, what it was checked with, and what runs it.
    Ready(String, String, R),
    /// Its entry, without times.
    Dropped(Candidate),
}

/// What makes and measures candidates.
pub(super) trait Lab {
    /// A candidate that can be raced.
    type Ready;

    /// Makes candidates and checks their results, several at once. `known` says whether a script
    /// was tried; such points, and those past the deadline, have no answer.
    fn make(
        &mut self,
        points: &[Choices],
        known: &(dyn Fn(&str) -> bool + Sync),
        over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<(Choices, Made<Self::Ready>)>>;

    /// The seconds of so many rounds of turns.
    fn race(&mut self, entrants: &[&Self::Ready], rounds: usize) -> Result<Vec<Vec<f64>>>;
}

/// How far the search is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Since it began.
    pub elapsed: Duration,
    /// Points of the space; saturating.
    pub space: u64,
    /// Candidates that were measured, and that were refused, wrong or failed.
    pub measured: usize,
    /// See `measured`.
    pub dropped: usize,
    /// The leader's choices and its times in microseconds.
    pub best: Option<(String, Percentiles)>,
    /// The times of the automatic schedule, likewise.
    pub usual: Option<Percentiles>,
}

/// When a search ends.
pub(super) struct Limits<'a> {
    pub(super) begun: Instant,
    pub(super) budget: Duration,
    /// Candidates in a race beside the leaders.
    pub(super) batch: usize,
    /// The most candidates in all.
    pub(super) most: usize,
    pub(super) seed: u64,
    /// Set from outside to end it now.
    pub(super) stop: &'a AtomicBool,
}

impl Limits<'_> {
    pub(super) fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.begun.elapsed() >= self.budget
    }
}

/// A candidate in the race.
struct Entrant<R> {
    /// Its place in the record.
    place: usize,
    point: Choices,
    ready: R,
    times: Vec<f64>,
}

impl<R> Entrant<R> {
    fn median(&self) -> f64 {
        Percentiles::of(self.times.clone()).median
    }

    /// The lower quartile: of few turns, what disturbs some of them shows least in it.
    fn quartile(&self) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        times.get(times.len().saturating_sub(1) / 4).copied().unwrap_or(f64::INFINITY)
    }
}

/// Searches; `note` gets the record after each race.
///
/// # Errors
/// What the laboratory cannot go on after, if there is no leader yet, and what `note` says.
pub(super) fn search<L: Lab>(
    lab: &mut L,
    space: &Space,
    mut record: Record,
    limits: &Limits<'_>,
    note: &mut dyn FnMut(&Record, &Progress) -> Result<()>,
) -> Result<Record> {
    let mut walk = Walk::new(space, &record, limits);
    let mut leaders: Vec<Entrant<L::Ready>> = Vec::new();
    loop {
        let points = walk.next(&leaders.iter().map(|l| l.point.clone()).collect::<Vec<_>>());
        // the first race is held whatever the time
        let begun = !leaders.is_empty();
        if points.is_empty() || begun && (limits.over() || record.candidates.len() >= limits.most) {
            return Ok(record);
        }
        let tried: BTreeSet<String> = record.candidates.iter().map(|c| c.script.clone()).collect();
        let fresh = leaders.is_empty();
        let known = |script: &str| tried.contains(script) && !fresh;
        let over = || begun && limits.over();
        let made = match lab.make(&points, &known, &over) {
            Ok(made) => made,
            Err(_) if begun => return Ok(record),
            Err(d) => return Err(d),
        };
        for (point, made) in made {
            match made {
                Made::Dropped(entry) => enter(&mut record, entry),
                Made::Ready(script, checked, ready) => {
                    let place = record.candidates.len();
                    let old = record.candidates.iter().position(|c| c.script == script);
                    if old.is_none() {
                        record.candidates.push(entry_of(space, &point, script, checked));
                    }
                    let place = old.unwrap_or(place);
                    leaders.push(Entrant { place, point, ready, times: Vec::new() });
                }
            }
        }
        if leaders.is_empty() {
            continue;
        }
        let leads = leader(&leaders, &record);
        let raced = heats(lab, &mut leaders, leads, limits);
        settle(&mut record, &mut leaders, leads);
        let so_far = progress(&walk, &leaders, &record);
        note(&record, &so_far)?;
        if let Err(d) = raced {
            // what is on record stays; without any there is nothing to give
            return if record.best().is_some() { Ok(record) } else { Err(d) };
        }
    }
}

fn entry_of(space: &Space, point: &Choices, script: String, checked: String) -> Candidate {
    Candidate {
        choices: point.to_string(),
        status: Status::Measured,
        best: false,
        why: None,
        estimate: space.estimate(point),
        checked: Some(checked),
        us: Vec::new(),
        script,
    }
}

/// Adds an entry unless its script has one.
fn enter(record: &mut Record, entry: Candidate) {
    if !record.candidates.iter().any(|c| c.script == entry.script) {
        record.candidates.push(entry);
    }
}

/// Who leads before a race: the first; in the first race the automatic schedule.
fn leader<R>(all: &[Entrant<R>], record: &Record) -> usize {
    let best = all.iter().position(|e| record.candidates[e.place].best && !e.times.is_empty());
    best.or_else(|| all.iter().position(|e| e.point.0.is_empty())).unwrap_or(0)
}

/// Races in heats; those that fall behind have fewer turns, the leader has all.
fn heats<L: Lab>(
    lab: &mut L,
    all: &mut [Entrant<L::Ready>],
    leads: usize,
    limits: &Limits<'_>,
) -> Result<()> {
    all.iter_mut().for_each(|e| e.times.clear());
    let mut left: Vec<usize> = (0..all.len()).collect();
    for (heat, (rounds, within)) in HEATS.into_iter().enumerate() {
        if heat > 0 && (left.len() < 2 || limits.over()) {
            break;
        }
        let entrants: Vec<&L::Ready> = left.iter().map(|k| &all[*k].ready).collect();
        let times = lab.race(&entrants, rounds)?;
        for (k, times) in left.iter().zip(times) {
            all[*k].times.extend(times);
        }
        let best = left.iter().map(|k| all[*k].quartile()).fold(f64::INFINITY, f64::min);
        left.retain(|k| *k == leads || all[*k].quartile() <= best * within);
    }
    Ok(())
}

/// Writes the times of a race to the record; the leaders remain.
fn settle<R>(record: &mut Record, entrants: &mut Vec<Entrant<R>>, leads: usize) {
    let first = winner(entrants, leads);
    entrants.swap(0, first);
    entrants.retain(|e| !e.times.is_empty());
    for entrant in entrants.iter() {
        let entry = &mut record.candidates[entrant.place];
        entry.us = entrant.times.iter().map(|t| round(t * 1e6)).collect();
    }
    // behind the leader, more turns first: those that fell behind have fewer
    if let Some(others) = entrants.get_mut(1..) {
        others.sort_by(|a, b| {
            let turns = b.times.len().cmp(&a.times.len());
            turns.then(a.median().total_cmp(&b.median()))
        });
    }
    let usual = entrants.iter().position(|e| e.point.0.is_empty());
    if let Some(place) = usual.filter(|place| *place >= BEAM) {
        // it is in every race: what is found is compared with it to the end
        entrants.swap(BEAM, place);
    }
    entrants.truncate(BEAM + usize::from(usual.is_some_and(|place| place >= BEAM)));
    if let Some(first) = entrants.first() {
        for (k, entry) in record.candidates.iter_mut().enumerate() {
            entry.best = k == first.place;
        }
    }
    // entries that never ran are none
    let ran = |c: &Candidate| c.status != Status::Measured || !c.us.is_empty();
    if !record.candidates.iter().all(ran) {
        let mut kept = Vec::new();
        let mut places = Vec::with_capacity(record.candidates.len());
        for entry in record.candidates.drain(..) {
            places.push(kept.len());
            if ran(&entry) {
                kept.push(entry);
            }
        }
        record.candidates = kept;
        entrants.iter_mut().for_each(|e| e.place = places[e.place]);
    }
}

/// Who leads after a race: the fastest of those that had as many turns as the leader and were
/// faster than it beyond doubt, round by round; else the leader.
fn winner<R>(entrants: &[Entrant<R>], leads: usize) -> usize {
    let before = &entrants[leads].times;
    let faster = |e: &Entrant<R>| {
        e.times.len() == before.len() && Comparison::of(before, &e.times).high < 1.0
    };
    let beats = (0..entrants.len()).filter(|k| *k != leads && faster(&entrants[*k]));
    beats.min_by(|a, b| entrants[*a].median().total_cmp(&entrants[*b].median())).unwrap_or(leads)
}

/// Nanoseconds' thousandths are noise.
fn round(us: f64) -> f64 {
    (us * 1e3).round() / 1e3
}

fn progress<R>(walk: &Walk<'_>, leaders: &[Entrant<R>], record: &Record) -> Progress {
    let measured = record.candidates.iter().filter(|c| c.status == Status::Measured).count();
    let times = |e: &Entrant<R>| Percentiles::of(e.times.clone()).scaled(1e6);
    let usual = record.candidates.iter().find(|c| c.choices.is_empty() && !c.us.is_empty());
    Progress {
        elapsed: walk.limits.begun.elapsed(),
        space: walk.space.size(),
        measured,
        dropped: record.candidates.len() - measured,
        best: leaders.first().map(|e| (e.point.to_string(), times(e))),
        usual: usual.map(Candidate::times),
    }
}

/// The points still to try.
struct Walk<'a> {
    space: &'a Space,
    limits: &'a Limits<'a>,
    ranked: Vec<Choices>,
    /// How many of them were handed out or skipped.
    at: usize,
    given: BTreeSet<Choices>,
    words: u64,
    /// What a record names the best, for the first race.
    old: Vec<Choices>,
}

impl<'a> Walk<'a> {
    fn new(space: &'a Space, record: &Record, limits: &'a Limits<'a>) -> Self {
        let mut best: Vec<_> =
            record.candidates.iter().filter(|c| c.status == Status::Measured).collect();
        best.sort_by(|a, b| {
            let times = a.times().median.total_cmp(&b.times().median);
            b.best.cmp(&a.best).then(times)
        });
        let old = best.iter().take(BEAM).filter_map(|c| space.read(&c.choices)).collect();
        let (ranked, given) = (space.ranked(), BTreeSet::new());
        Self { space, limits, ranked, at: 0, given, words: 0, old }
    }

    /// The next batch: at first the usual point and the best of the ranking, then half of it
    /// neighbours of the leaders, the rest from the ranking and at random.
    fn next(&mut self, leaders: &[Choices]) -> Vec<Choices> {
        let mut out = Vec::new();
        if leaders.is_empty() {
            // results of all others are compared with the usual schedule's
            self.give(Choices::default(), &mut out);
            for point in std::mem::take(&mut self.old) {
                self.give(point, &mut out);
            }
        }
        for leader in leaders {
            let share = self.limits.batch / 2 / (leaders.len().max(1)) + 1;
            let before = out.len();
            for point in self.space.neighbours(leader) {
                if out.len() - before < share {
                    self.give(point, &mut out);
                }
            }
        }
        while out.len() < self.limits.batch && self.at < self.ranked.len() {
            let point = self.ranked[self.at].clone();
            self.at += 1;
            self.give(point, &mut out);
            if out.len() % 4 == 3 && !leaders.is_empty() {
                self.random(&mut out);
            }
        }
        let mut missed = 0;
        while out.len() < self.limits.batch && missed < 4 * self.limits.batch {
            let before = out.len();
            self.random(&mut out);
            missed += usize::from(out.len() == before);
        }
        out
    }

    fn random(&mut self, out: &mut Vec<Choices>) {
        let (seed, words) = (self.limits.seed, &mut self.words);
        let point = self.space.random(|| {
            *words += 1;
            random_word(seed, *words)
        });
        self.give(point, out);
    }

    fn give(&mut self, point: Choices, out: &mut Vec<Choices>) {
        if self.given.insert(point.clone()) {
            out.push(point);
        }
    }
}

#[cfg(test)]
mod tests;
