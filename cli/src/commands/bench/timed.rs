//! Problems of the suite, timed: schedules of ours beside cublasLt's products.
//!
//! Keeps: results are checked before a time counts, contestants take turns.

use std::collections::BTreeMap;
use std::time::Duration;

use warploom::device::Device;
use warploom::diag::Result;
use warploom::explain::explain;
use warploom::measure::Rounds;
use warploom::{GpuOptions, Nest, Paired, Schedule, Sizes, Target};
use warploom_contest::chart::Unit;
use warploom_contest::compare::{Compared, Entry, on_gpu};
use warploom_contest::suite::Case;
use warploom_contest::{Problem, gpu_state, product};

use super::{progress, refusal};

/// Rounds of a problem.
const MOST: usize = 31;
const FEWEST: usize = 9;

/// A problem that was timed.
pub(super) struct Race {
    name: String,
    sizes: String,
    unit: Unit,
    state: Option<String>,
    compared: Result<Compared>,
}

/// All problems of these cases; what there is so far is kept before each of them.
pub(super) fn races(
    cases: &[Case],
    device: &Device,
    budget: Duration,
    keep: &dyn Fn(&[Race]) -> Result<()>,
) -> Result<Vec<Race>> {
    let mut out = Vec::new();
    for case in cases {
        let problems = match case.timed() {
            Ok(problems) => problems,
            Err(d) => {
                let (name, sizes, state) = (case.name.clone(), String::new(), None);
                out.push(Race {
                    name,
                    sizes,
                    unit: Unit { operations: None },
                    state,
                    compared: Err(d),
                });
                continue;
            }
        };
        for (sizes, nest) in problems {
            keep(&out)?;
            let sizes = shown(&sizes);
            progress(&format!("bench: {} {sizes}", case.name));
            let compared = race(case, &nest, device, budget);
            let operations = Schedule::new(&nest).and_then(|s| explain(&s)).ok();
            let unit = Unit { operations: operations.and_then(|r| r.flop).filter(|f| *f > 0.0) };
            let (name, state) = (case.name.clone(), gpu_state(device.info().ordinal));
            out.push(Race { name, sizes, unit, state, compared });
        }
    }
    Ok(out)
}

/// `m=1024,n=1024`.
fn shown(sizes: &Sizes) -> String {
    let all: Vec<String> = sizes.iter().map(|(name, n)| format!("{name}={n}")).collect();
    all.join(",")
}

fn race(case: &Case, nest: &Nest, device: &Device, budget: Duration) -> Result<Compared> {
    let mut inputs = BTreeMap::new();
    warploom::fill_random(nest, &mut inputs, 0)?;
    let usual = GpuOptions::of(device.target());
    let mut entries =
        vec![Entry::Schedule("automatic".into(), Box::new(case.schedule(nest, &usual, true)?))];
    if matches!(device.target(), Target::Sm100a | Target::Sm103a) {
        for (name, paired) in [("single", Paired::Never), ("pairs", Paired::Always)] {
            let schedule = case.schedule(nest, &GpuOptions { paired, ..usual }, true)?;
            let known =
                |e: &Entry| matches!(e, Entry::Schedule(_, s) if s.script() == schedule.script());
            if !entries.iter().any(known) {
                entries.push(Entry::Schedule(name.into(), Box::new(schedule)));
            }
        }
    }
    let problem = Problem { einsum: case.einsum(), nest };
    entries.extend(product(&problem).map(|_| Entry::CublasLt));
    let rounds =
        Rounds { most: MOST, fewest: FEWEST, budget, warm: 5, warm_for: Duration::from_millis(10) };
    on_gpu(device, &problem, &inputs, &entries, &rounds)
}

/// The table.
pub(super) fn text(races: &[Race]) -> Vec<String> {
    if races.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "\ntimes (median of rounds in turn)\n{:<32} {:<28} {:<10} {:>11} {:>14}",
        "case", "sizes", "who", "us", "rate"
    )];
    for race in races {
        let head = format!("{:<32} {:<28}", race.name, race.sizes);
        let compared = match &race.compared {
            Ok(compared) => compared,
            Err(d) => {
                lines.push(format!("{head} {}: {}", d.code, d.message));
                continue;
            }
        };
        for line in &compared.lines {
            lines.push(match &line.outcome {
                Err(d) => format!("{head} {:<10} {}: {}", line.name, d.code, d.message),
                Ok(measured) => {
                    let median = measured.times().median;
                    let rate = race.unit.text(race.unit.rate(median));
                    format!("{head} {:<10} {:>11.2} {rate:>14}", line.name, median * 1e6)
                }
            });
        }
    }
    lines
}

impl Race {
    pub(super) fn json(&self) -> serde_json::Value {
        let lines = |compared: &Compared| {
            let of = |line: &warploom_contest::compare::Line| match &line.outcome {
                Err(d) => serde_json::json!({ "name": line.name, "refused": refusal(d) }),
                Ok(m) => {
                    let t = m.times().scaled(1e6);
                    serde_json::json!({
                        "name": line.name, "detail": line.detail, "n": m.seconds.len(),
                        "us": t.median, "us_p10": t.p10, "us_p90": t.p90,
                        "rate": self.unit.rate(t.median * 1e-6),
                        "error": m.error, "bound": m.bound,
                    })
                }
            };
            compared.lines.iter().map(of).collect::<Vec<_>>()
        };
        serde_json::json!({
            "case": self.name, "sizes": self.sizes, "state": self.state,
            "operations": self.unit.operations,
            "refused": self.compared.as_ref().err().map(|d| refusal(d)),
            "contestants": self.compared.as_ref().ok().map(lines),
        })
    }
}
