//! Random pairs for a GPU: the automatic schedule, or random steps of which the legal ones stay.
//!
//! In: a case and a seed. Out: a verdict: the code gives on a device what the nest gives; without
//! one its kernel does, interpreted, and there is PTX.
//! Why here: a script of several random steps is seldom legal to its end, and a GPU's time is
//! short: steps that are refused are passed over instead.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use warploom::device::Executor;
use warploom::{Schedule, Session, Target, compile};
use warploom_ir::schedule::step::Step;

use super::judge::{Case, Counts, Judged, Pair, SCRIPTS, Verdict, bits};
use super::script::{self, Flavour};

/// Steps that are tried.
const STEPS: usize = 9;

impl Case {
    /// The schedule of a seed.
    fn gpu_schedule(
        &self,
        seed: u64,
        target: Target,
        text: &mut String,
    ) -> Result<Schedule, String> {
        let mut bits = bits(4, seed);
        if bits.below(5) < 2 {
            let schedule = compile::auto_for(self.nest(), target).map_err(|d| d.to_string())?;
            text.push_str(&schedule.script().to_string());
            return Ok(schedule);
        }
        let mut schedule = Schedule::new(self.nest()).map_err(|d| d.to_string())?;
        let mut session = Session::new();
        for _ in 0..1 + bits.below(STEPS) {
            let kind = script::step(schedule.poly(), schedule.tree(), Flavour::Gpu, &mut bits);
            if let Ok(next) = schedule.apply_in(&mut session, Step::from(kind)) {
                schedule = next;
            }
        }
        text.push_str(&schedule.script().to_string());
        Ok(schedule)
    }

    /// Judges the schedule of a seed for a GPU, on a device if there is one.
    pub fn judge_gpu(&self, seed: u64, device: Option<&Executor>) -> Judged {
        let mut pair = Pair { nest: self.nest().to_string(), script: String::new() };
        let target = match device {
            Some(Executor::Cuda(device)) => device.target(),
            Some(Executor::Cpu) | None => Target::Sm80,
        };
        let schedule = self.gpu_schedule(seed, target, &mut pair.script);
        let verdict = schedule.and_then(|schedule| match device {
            Some(device) => self.run_on(&schedule, device, seed),
            None => self.execute(&schedule, seed, false),
        });
        Judged { pair, verdict }
    }
}

/// What a run over many pairs found.
#[derive(Debug, Default)]
pub struct Summary {
    /// Verdicts.
    pub counts: Counts,
    /// Seeds, reasons and pairs of what is wrong.
    pub wrong: Vec<String>,
}

/// Judges pairs from a seed on, on several threads, until `accepted` of them ran, at most three
/// times as many.
///
/// # Panics
/// Where judging a pair panics.
#[must_use]
pub fn many(first: u64, accepted: u64, device: Option<&Executor>, threads: u64) -> Summary {
    let ran = AtomicU64::new(0);
    let part = &|part: u64| {
        let mut out = Summary::default();
        let nests = first / SCRIPTS..(first + 3 * accepted).div_ceil(SCRIPTS);
        for nest in nests.filter(|n| n % threads == part) {
            let case = Case::new(nest);
            for seed in nest * SCRIPTS..(nest + 1) * SCRIPTS {
                if ran.load(Ordering::Relaxed) >= accepted {
                    return out;
                }
                let judged = case.judge_gpu(seed, device);
                match judged.verdict {
                    Ok(verdict) => {
                        *out.counts.entry(verdict).or_default() += 1;
                        let done = matches!(verdict, Verdict::Accepted | Verdict::AcceptedGpu);
                        ran.fetch_add(u64::from(done), Ordering::Relaxed);
                    }
                    Err(why) => out.wrong.push(format!("# seed {seed}: {why}\n{}", judged.pair)),
                }
            }
        }
        out
    };
    let mut all = Summary::default();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|k| scope.spawn(move || part(k))).collect();
        for handle in handles {
            let one = handle.join().expect("no pair panics");
            all.wrong.extend(one.wrong);
            for (verdict, n) in one.counts {
                *all.counts.entry(verdict).or_default() += n;
            }
        }
    });
    all
}
