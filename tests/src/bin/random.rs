//! Judges random pairs of nests and scripts: `random FIRST [COUNT] [--ptxas] [--show]`, or on a GPU
//! `random FIRST COUNT --gpu`; contractions of two tensors and their automatic schedules with
//! `--contractions`, interpreted or on a GPU.
//!
//! In: the first seed and how many follow (`--gpu`: how many must run). Out: a line of counts; for
//! a pair that fails its seed, nest, script and reason, and exit code 1. `random SEED --show`
//! prints a pair and its verdict. Without a GPU `--gpu` says so, and exits with 3.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use warploom::Target;
use warploom::device::Executor;
use warploom_tests::random::contraction::contractions;
use warploom_tests::random::gpu::many;
use warploom_tests::random::judge::{Case, Counts, SCRIPTS};

/// GPUs that code is made for.
const TARGETS: [Target; 3] = [Target::Sm90a, Target::Sm80, Target::Sm100a];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|a| a == name);
    let mut numbers = args.iter().filter_map(|a| a.parse::<u64>().ok());
    let (first, count) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1));
    if flag("--contractions") {
        return all_contractions(first, count, flag("--gpu"));
    }
    if flag("--gpu") {
        return on_gpu(first, count);
    }
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

fn threads() -> u64 {
    std::thread::available_parallelism().map_or(2, |n| n.get().min(16) as u64)
}

fn gpu() -> Result<Executor, ExitCode> {
    Executor::named("cuda").map_err(|d| {
        println!("no GPU: {}", d.message);
        ExitCode::from(3)
    })
}

/// Without a GPU the targets take turns.
fn all_contractions(first: u64, count: u64, on_gpu: bool) -> ExitCode {
    let device = match on_gpu.then(gpu).transpose() {
        Ok(device) => device,
        Err(code) => return code,
    };
    let target = |seed: u64| match &device {
        Some(Executor::Cuda(device)) => device.target(),
        Some(Executor::Cpu) | None => TARGETS[(seed % 3) as usize],
    };
    let found = contractions(first, count, &target, device.as_ref(), threads());
    found.wrong.iter().for_each(|text| println!("{text}"));
    let wrong = found.wrong.len();
    println!("{count} contractions from {first}: {:?}, {wrong} wrong", found.by);
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn on_gpu(first: u64, count: u64) -> ExitCode {
    let device = match gpu() {
        Ok(device) => device,
        Err(code) => return code,
    };
    let threads = threads();
    let found = many(first, count, Some(&device), threads);
    found.wrong.iter().for_each(|text| println!("{text}"));
    println!("{count} pairs from {first}: {:?}, {} wrong", found.counts, found.wrong.len());
    if found.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
