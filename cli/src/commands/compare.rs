//! `compare`: races contestants on one problem, prints a table and a chart of their rates.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use warploom::device::Executor;
use warploom::diag::Result;
use warploom::explain::explain;
use warploom::measure::{Comparison, Rounds, Winner};
use warploom::tune::kind;
use warploom::{Schedule, Sizes, Spec, Target, compile, io};
use warploom_contest::chart::{self, Bar, Unit};
use warploom_contest::compare::{Compared, Entry, Line, on_cpu, on_gpu};
use warploom_contest::{Manifest, Problem, gpu_state, product};

use super::gap::Gap;
use crate::args::CompareArgs;
use crate::{load, output};

/// Fewest rounds: as many as an interval of the median needs.
const FEWEST: usize = 9;

pub(crate) fn compare(args: &CompareArgs) -> Result<()> {
    let nest = load::symbolic_nest(&args.spec)?;
    let nest = warploom::bind(&nest, &Sizes::new(), &BTreeMap::new())?;
    let executor = match &args.device {
        Some(name) => Executor::named(name)?,
        None => Executor::best()?,
    };
    let mut inputs = BTreeMap::new();
    warploom::fill_random(&nest, &mut inputs, args.seed)?;
    let text = match Spec::read(&args.spec.spec)? {
        Spec::Einsum(text) => Some(text),
        Spec::Formula(_) | Spec::Nest(_) => None,
    };
    let problem = Problem { einsum: text.as_deref(), nest: &nest };
    let mut entries = entries(args, &problem, &executor)?;
    let gap = match args.gap.as_slice() {
        [first, second] => Some(Gap::between([first, second], &nest, &executor, &mut entries)?),
        _ => None,
    };
    let rounds = Rounds {
        most: args.rounds.max(FEWEST),
        fewest: FEWEST,
        budget: args.budget,
        warm: 5,
        warm_for: std::time::Duration::from_millis(3),
    };
    let compared = match &executor {
        Executor::Cpu => on_cpu(&problem, &inputs, &entries, args.threads, &rounds)?,
        Executor::Cuda(device) => on_gpu(device, &problem, &inputs, &entries, &rounds)?,
    };
    let state = match &executor {
        Executor::Cpu => None,
        Executor::Cuda(device) => gpu_state(device.info().ordinal),
    };
    let shown = Shown {
        compared: &compared,
        gap: gap.as_ref(),
        unit: Unit { operations: explain(&Schedule::new(&nest)?)?.flop.filter(|f| *f > 0.0) },
        device: kind(&executor),
        state,
        title: format!("{} {}", args.spec.spec, args.spec.size.join(",")),
    };
    if let Some(path) = &args.chart {
        io::save_text(path, &shown.svg())?;
    }
    if args.spec.json {
        return output::json(&shown.json());
    }
    output::print(&shown.text())
}

/// Who contends: schedules of ours first.
fn entries(args: &CompareArgs, problem: &Problem<'_>, executor: &Executor) -> Result<Vec<Entry>> {
    let (nest, target) = (problem.nest, target(executor));
    let mut out =
        vec![Entry::Schedule("automatic".into(), Box::new(compile::automatic(nest, target)?.0))];
    if let Some(records) = load::records(&args.records) {
        let recalled = records.recall(nest, target, &|| kind(executor));
        recalled.note.iter().for_each(|note| output::error(note));
        out.extend(recalled.schedule.map(|s| Entry::Schedule("tuned".into(), Box::new(s))));
    }
    for path in &args.schedule {
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        out.push(Entry::Schedule(name, Box::new(load::replay(nest, path)?)));
    }
    if args.with.is_empty() {
        match executor {
            Executor::Cpu => {
                out.push(Entry::Gcc);
                out.extend(problem.einsum.is_some().then_some(Entry::Numpy));
            }
            Executor::Cuda(_) => out.extend(product(problem).map(|_| Entry::CublasLt)),
        }
    }
    for word in &args.with {
        out.push(match word.as_str() {
            "gcc" => Entry::Gcc,
            "numpy" => Entry::Numpy,
            "cublaslt" => Entry::CublasLt,
            path => Entry::Manifest(Box::new(Manifest::read(Path::new(path))?)),
        });
    }
    Ok(out)
}

fn target(executor: &Executor) -> Target {
    match executor {
        Executor::Cpu => Target::Cpu,
        Executor::Cuda(device) => device.target(),
    }
}

/// What is printed of a comparison.
struct Shown<'a> {
    compared: &'a Compared,
    gap: Option<&'a Gap>,
    unit: Unit,
    device: String,
    state: Option<String>,
    title: String,
}

impl Shown<'_> {
    fn bars(&self) -> Vec<Bar> {
        let bar = |l: &Line| {
            let measured = l.outcome.as_ref().ok()?;
            let (times, samples) = (measured.times(), measured.seconds.clone());
            Some(Bar { name: l.name.clone(), times, samples })
        };
        self.compared.lines.iter().filter_map(bar).collect()
    }

    fn svg(&self) -> String {
        let state = self.state.as_ref().map_or_else(String::new, |s| format!("; {s} MHz, MHz, W"));
        let n = self.compared.base().map_or(0, |m| m.seconds.len());
        let note = format!(
            "{}{state}; n = {n}; bar: median, line: 10th to 90th percentile, dots: samples",
            self.device
        );
        chart::svg(&self.title, &note, &self.bars(), self.unit)
    }

    fn text(&self) -> String {
        let name = |l: &Line| l.name.chars().count();
        let wide = self.compared.lines.iter().map(name).max().unwrap_or(0).max(10);
        let mut text = format!("{}: {}\n", self.device, self.title);
        if let Some(state) = &self.state {
            let _ = writeln!(text, "clocks (MHz), power (W): {state}");
        }
        let _ = writeln!(
            text,
            "{:<wide$} {:>11} {:>11} {:>11} {:>4}  {:<24} {:>14}",
            "contestant", "median us", "p10", "p90", "n", "time over the first's", "rate"
        );
        for line in &self.compared.lines {
            let measured = match &line.outcome {
                Ok(measured) => measured,
                Err(d) => {
                    let _ = writeln!(text, "{:<wide$} {}: {}", line.name, d.code, d.message);
                    continue;
                }
            };
            let t = measured.times().scaled(1e6);
            let ratio = self.compared.against_base(line).map_or_else(String::new, interval);
            let _ = writeln!(
                text,
                "{:<wide$} {:>11.2} {:>11.2} {:>11.2} {:>4}  {ratio:<24} {:>14}  {}",
                line.name,
                t.median,
                t.p10,
                t.p90,
                measured.seconds.len(),
                self.unit.text(self.unit.rate(t.median * 1e-6)),
                line.detail
            );
        }
        let _ = match self.compared.winner() {
            Some(name) => writeln!(text, "fastest: {name}"),
            None => writeln!(text, "no winner: the intervals of the fastest ones overlap"),
        };
        let _ = write!(text, "\n{}", chart::text(&self.bars(), self.unit));
        if let Some(gap) = self.gap {
            let _ = write!(text, "\n{}", gap.text(self.compared));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let of = |line: &Line| match &line.outcome {
            Err(d) => serde_json::json!({
                "name": line.name, "code": d.code, "message": d.message,
            }),
            Ok(m) => {
                let t = m.times().scaled(1e6);
                let c = self.compared.against_base(line);
                serde_json::json!({
                    "name": line.name, "detail": line.detail, "n": m.seconds.len(),
                    "us": t.median, "us_p10": t.p10, "us_p90": t.p90,
                    "ratio": c.map(|c| c.ratio),
                    "ratio_low": c.map(|c| c.low).filter(|v| v.is_finite()),
                    "ratio_high": c.map(|c| c.high).filter(|v| v.is_finite()),
                    "against_first": c.map(|c| verdict(&c)),
                    "rate": self.unit.rate(t.median * 1e-6),
                    "error": m.error, "bound": m.bound, "checked": m.method,
                })
            }
        };
        serde_json::json!({
            "device": self.device, "problem": self.title, "state": self.state,
            "operations": self.unit.operations,
            "contestants": self.compared.lines.iter().map(of).collect::<Vec<_>>(),
            "winner": self.compared.winner(),
            "gap": self.gap.map(|gap| gap.json(self.compared)),
        })
    }
}

/// `1.234 (1.21 .. 1.26)`.
fn interval(c: Comparison) -> String {
    if c.high.is_finite() {
        format!("{:.3} ({:.3} .. {:.3})", c.ratio, c.low, c.high)
    } else {
        format!("{:.3}", c.ratio)
    }
}

/// How a contestant stands against the first one.
fn verdict(c: &Comparison) -> &'static str {
    match c.winner() {
        Winner::First => "slower",
        Winner::Second => "faster",
        Winner::None => "no difference",
    }
}
