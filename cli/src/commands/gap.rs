//! `compare --gap`: which steps make the difference between two schedules.
//!
//! In: two contestants that are schedules. Out: contestants on the way from one to the other, and
//! from their times a table of changes with the share of the gap that each has.

use std::fmt::Write as _;

use warploom::device::Executor;
use warploom::diag::{Diagnostic, Result};
use warploom::measure::{Comparison, Winner};
use warploom::{Nest, Script, Step};
use warploom_contest::compare::{Compared, Entry, Measured};
use warploom_contest::gap::{Change, way};

/// A contestant on the way: what it changes of the one before, and its name.
struct Stop {
    changes: Vec<usize>,
    name: String,
}

/// The way between two contestants.
pub(super) struct Gap {
    changes: Vec<Change>,
    /// The first contestant, those between, the second.
    stops: Vec<Stop>,
}

/// Changes, with the times without and with them.
struct Part<'a> {
    changes: Vec<usize>,
    before: &'a Measured,
    after: &'a Measured,
}

impl Part<'_> {
    /// Medians, in microseconds.
    fn us(&self) -> (f64, f64) {
        (self.before.times().median * 1e6, self.after.times().median * 1e6)
    }

    fn comparison(&self) -> Comparison {
        Comparison::of(&self.before.seconds, &self.after.seconds)
    }
}

impl Gap {
    /// Adds what lies between to the contestants.
    ///
    /// # Errors
    /// `E0973` for a name that is no schedule among them, and for two schedules of the same steps.
    pub(super) fn between(
        [first, second]: [&str; 2],
        nest: &Nest,
        executor: &Executor,
        entries: &mut Vec<Entry>,
    ) -> Result<Self> {
        let (from, to) = (script(first, entries)?, script(second, entries)?);
        let (changes, mut stages) = way(nest, &from, &to, executor.target())?;
        let last = stages.pop();
        let mut stops = vec![Stop { changes: Vec::new(), name: first.to_owned() }];
        for (k, stage) in stages.into_iter().enumerate() {
            let name = format!("{first} + {}", k + 1);
            entries.push(Entry::Schedule(name.clone(), Box::new(stage.schedule)));
            stops.push(Stop { changes: stage.changes, name });
        }
        let changed = last.map(|stage| stage.changes).unwrap_or_default();
        stops.push(Stop { changes: changed, name: second.to_owned() });
        Ok(Self { changes, stops })
    }

    /// The changes with their times; those of a stop without times go together with the next.
    fn parts<'a>(&self, compared: &'a Compared) -> Vec<Part<'a>> {
        let times = |name: &str| {
            let line = compared.lines.iter().find(|l| l.name == name)?;
            line.outcome.as_ref().ok()
        };
        let (mut parts, mut before, mut open) = (Vec::new(), None, Vec::new());
        for stop in &self.stops {
            open.extend(stop.changes.iter().copied());
            let Some(after) = times(&stop.name) else { continue };
            if let Some(before) = before.replace(after) {
                parts.push(Part { changes: std::mem::take(&mut open), before, after });
            }
        }
        parts
    }

    /// The share of a part in the whole gap, of the medians; none where there is hardly a gap.
    fn share(parts: &[Part<'_>], part: &Part<'_>) -> Option<f64> {
        let (first, last) = (parts.first()?, parts.last()?);
        let whole = Comparison::of(&first.before.seconds, &last.after.seconds);
        let (start, end) = (first.us().0, last.us().1);
        let (before, after) = part.us();
        (whole.winner() != Winner::None).then(|| (after - before) / (end - start))
    }

    /// The table.
    pub(super) fn text(&self, compared: &Compared) -> String {
        let parts = self.parts(compared);
        let ends = [self.stops.first(), self.stops.last()].map(|s| s.map_or("", |s| &s.name));
        let mut text = format!("from {} to {}:\n", ends[0], ends[1]);
        for part in &parts {
            let (before, after) = part.us();
            let c = part.comparison();
            let share = match Self::share(&parts, part) {
                Some(share) => format!("{:.0} % of the gap", 100.0 * share),
                None => "the gap is within the noise".to_owned(),
            };
            let _ = writeln!(
                text,
                "{before:>11.2} -> {after:.2} us, {:.3} ({:.3} .. {:.3}), {share}",
                c.ratio, c.low, c.high
            );
            for change in part.changes.iter().filter_map(|k| self.changes.get(*k)) {
                for (sign, steps) in [('-', &change.without), ('+', &change.with)] {
                    for line in lines(steps) {
                        let _ = writeln!(text, "              {sign} {line}");
                    }
                }
            }
        }
        if parts.is_empty() {
            text.push_str("one of them has no time\n");
        }
        text
    }

    /// The same as JSON.
    pub(super) fn json(&self, compared: &Compared) -> serde_json::Value {
        let parts = self.parts(compared);
        let of = |part: &Part<'_>| {
            let all = |pick: fn(&Change) -> &Vec<Step>| {
                let changed = part.changes.iter().filter_map(|k| self.changes.get(*k));
                changed.flat_map(|c| lines(pick(c))).collect::<Vec<String>>()
            };
            let ((before, after), c) = (part.us(), part.comparison());
            serde_json::json!({
                "without": all(|c| &c.without), "with": all(|c| &c.with),
                "us_before": before, "us_after": after, "ratio": c.ratio,
                "ratio_low": Some(c.low).filter(|v| v.is_finite()),
                "ratio_high": Some(c.high).filter(|v| v.is_finite()),
                "share": Self::share(&parts, part),
            })
        };
        parts.iter().map(of).collect()
    }
}

/// The script of a contestant.
fn script(name: &str, entries: &[Entry]) -> Result<Script> {
    let named = entries.iter().find_map(|entry| match entry {
        Entry::Schedule(own, schedule) if own == name => Some(schedule.script().clone()),
        Entry::Schedule(..) | Entry::Gcc | Entry::Numpy | Entry::CublasLt | Entry::Manifest(_) => {
            None
        }
    });
    named.ok_or_else(|| {
        let text = format!("`{name}` is no schedule among the contestants");
        let help = "name `automatic`, `tuned` or a script of --schedule, without its ending; \
                    kernels and libraries have no steps";
        Box::new(Diagnostic::input("E0973", text).help(help))
    })
}

/// The lines of steps.
fn lines(steps: &[Step]) -> Vec<String> {
    let texts: Vec<String> = steps.iter().map(ToString::to_string).collect();
    texts.iter().flat_map(|t| t.lines()).map(str::to_owned).collect()
}
