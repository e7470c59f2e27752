//! Judges random pairs of nests and scripts: `random FIRST [COUNT] [--ptxas] [--show]`.
//!
//! In: the first seed and how many follow. Out: a line of counts; for a pair that fails its seed,
//! nest, script and reason, and exit code 1. `random SEED --show` prints a pair and its verdict.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use warploom_tests::random::judge::{Case, Counts, SCRIPTS};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|a| a == name);
    let mut numbers = args.iter().filter_map(|a| a.parse::<u64>().ok());
    let (first, count) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1));
    let mut counts = Counts::new();
    let mut wrong = 0;
    let mut case: Option<(u64, Case)> = None;
    for seed in first..first + count {
        let nest = seed / SCRIPTS;
        if case.as_ref().is_none_or(|(known, _)| *known != nest) {
            case = Some((nest, Case::new(nest)));
        }
        let (_, case) = case.as_mut().expect("it was just made");
        let judged = case.judge(seed, flag("--ptxas"));
        match judged.verdict {
            Ok(verdict) => {
                *counts.entry(verdict).or_default() += 1;
                if flag("--show") {
                    println!("# seed {seed}: {verdict:?}\n{}", judged.pair);
                }
            }
            Err(why) => {
                wrong += 1;
                println!("# seed {seed}: {why}\n{}", judged.pair);
            }
        }
    }
    println!("{count} pairs from {first}: {counts:?}, {wrong} wrong");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
