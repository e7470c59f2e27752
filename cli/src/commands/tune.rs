//! `tune`: searches for the fastest schedule, tells how far it is, remembers what it found.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use warploom::device::Executor;
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::measure::Percentiles;
use warploom::tune::{Candidate, Progress, Status, TuneOptions, Tuned, kind, tune as search};
use warploom::{Nest, Sizes, io};

use crate::args::TuneArgs;
use crate::{load, output};

pub(crate) fn tune(args: &TuneArgs) -> Result<()> {
    let nest = nest(args)?;
    let executor = match &args.device {
        Some(name) => Executor::named(name)?,
        None => Executor::best()?,
    };
    let mut inputs = std::collections::BTreeMap::new();
    warploom::fill_random(&nest, &mut inputs, args.seed)?;
    let records = load::records(&args.records);
    let options = TuneOptions {
        budget: args.budget,
        most: args.most,
        seed: args.seed,
        threads: args.threads,
    };
    let stop = stop_on_interrupt()?;
    let mut tell = |progress: &Progress| {
        // where standard error is closed there is nobody to tell
        let _ = writeln!(std::io::stderr().lock(), "{}", line(progress));
    };
    let tuned = search(&nest, &inputs, &executor, records.as_ref(), &options, &stop, &mut tell)?;
    tuned.notes.iter().for_each(|note| output::error(note));
    let script = tuned.schedule.script().to_string();
    if let Some(path) = &args.output {
        io::save_text(path, &script)?;
    }
    let interrupted = stop.load(Ordering::Relaxed);
    if args.spec.json {
        return output::json(&json(&tuned, &kind(&executor), interrupted));
    }
    output::print(&text(&tuned, &kind(&executor), interrupted))
}

/// The nest, whose sizes are all known.
fn nest(args: &TuneArgs) -> Result<Nest> {
    let nest = load::symbolic_nest(&args.spec)?;
    warploom::bind(&nest, &Sizes::new(), &std::collections::BTreeMap::new())
}

/// Set when the user interrupts; the second time ends the process.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let set = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    });
    set.map_err(|e| {
        let text = format!("interrupts cannot be caught: {e}");
        Box::new(Diagnostic::new("E0965", Blame::Environment, text))
    })?;
    Ok(stop)
}

fn microseconds(p: Percentiles) -> String {
    format!("{:.2} us ({:.2} .. {:.2})", p.median, p.p10, p.p90)
}

/// What is told after each race.
fn line(p: &Progress) -> String {
    let mut text = format!(
        "tune {:.1} s: {} measured, {} dropped",
        p.elapsed.as_secs_f64(),
        p.measured,
        p.dropped
    );
    if let Some((choices, times)) = &p.best {
        let choices = if choices.is_empty() { "the automatic schedule" } else { choices };
        let _ = write!(text, "; best {} with {choices}", microseconds(*times));
    }
    if let Some(usual) = p.usual {
        let _ = write!(text, "; automatic {}", microseconds(usual));
    }
    text
}

fn count(tuned: &Tuned, status: Status) -> usize {
    tuned.record.candidates.iter().filter(|c| c.status == status).count()
}

/// The automatic schedule's entry.
fn usual(tuned: &Tuned) -> Option<&Candidate> {
    tuned.record.candidates.iter().find(|c| c.choices.is_empty() && !c.us.is_empty())
}

fn text(tuned: &Tuned, device: &str, interrupted: bool) -> String {
    let mut text = String::new();
    let [measured, refused, wrong, failed] =
        [Status::Measured, Status::Refused, Status::Wrong, Status::Failed].map(|s| count(tuned, s));
    let _ = writeln!(
        text,
        "{device}: {measured} candidates measured, {refused} refused, {wrong} wrong, {failed} \
         failed{}",
        if interrupted { "; interrupted" } else { "" }
    );
    if let Some(usual) = usual(tuned) {
        let _ = writeln!(text, "automatic  {}", microseconds(usual.times()));
    }
    if let Some(best) = tuned.record.best() {
        let _ = writeln!(text, "tuned      {}  {}", microseconds(best.times()), best.choices);
    }
    let _ = write!(text, "\n{}", tuned.schedule.script());
    text
}

fn json(tuned: &Tuned, device: &str, interrupted: bool) -> serde_json::Value {
    let of = |c: &Candidate| {
        let times = c.times();
        serde_json::json!({
            "choices": c.choices, "us": times.median, "us_p10": times.p10, "us_p90": times.p90,
            "n": c.us.len(), "estimate": c.estimate,
        })
    };
    serde_json::json!({
        "device": device,
        "measured": count(tuned, Status::Measured),
        "refused": count(tuned, Status::Refused),
        "wrong": count(tuned, Status::Wrong),
        "failed": count(tuned, Status::Failed),
        "interrupted": interrupted,
        "automatic": usual(tuned).map(of),
        "best": tuned.record.best().map(of),
        "script": tuned.schedule.script().to_string(),
    })
}
