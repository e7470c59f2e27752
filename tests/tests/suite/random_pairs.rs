//! Random nests with random scripts: what is accepted computes the same, what is refused does not.
//!
//! `cargo run -p warploom-tests --bin random SEED --show` shows one pair again.

use std::thread;

use warploom_tests::random::gpu::many;
use warploom_tests::random::judge::{Case, Counts, SCRIPTS, Verdict};

/// Judges `count` pairs from seed 0 on two threads.
fn judged(count: u64) -> Counts {
    let half = |part: u64| {
        let mut counts = Counts::new();
        let mut wrong = Vec::new();
        for nest in (0..count / SCRIPTS).filter(|n| n % 2 == part) {
            let mut case = Case::new(nest);
            for seed in nest * SCRIPTS..(nest + 1) * SCRIPTS {
                let judged = case.judge(seed, seed % 500 == 0);
                match judged.verdict {
                    Ok(verdict) => *counts.entry(verdict).or_default() += 1,
                    Err(why) => wrong.push(format!("# seed {seed}: {why}\n{}", judged.pair)),
                }
            }
        }
        (counts, wrong)
    };
    let (one, two) = thread::scope(|s| {
        let one = s.spawn(|| half(0));
        let two = half(1);
        (one.join().expect("no pair panics"), two)
    });
    let wrong: Vec<String> = one.1.into_iter().chain(two.1).collect();
    assert!(wrong.is_empty(), "{} of {count} pairs:\n{}", wrong.len(), wrong.join("\n"));
    let mut counts = one.0;
    for (verdict, n) in two.0 {
        *counts.entry(verdict).or_default() += n;
    }
    println!("{count} pairs: {counts:?}");
    counts
}

#[test]
fn random_pairs() {
    let count = 2_000;
    let counts = judged(count);
    let of = |v: Verdict| counts.get(&v).copied().unwrap_or(0);
    let least = |v: Verdict, percent: u64| {
        assert!(of(v) as u64 * 100 >= count * percent, "{v:?}: {counts:?}");
    };
    least(Verdict::Accepted, 15);
    least(Verdict::AcceptedGpu, 1);
    least(Verdict::Violation, 25);
    let most = |v: Verdict, percent: u64| {
        assert!(of(v) as u64 * 100 <= count * percent, "{v:?}: {counts:?}");
    };
    most(Verdict::Hidden, 5);
    most(Verdict::TooLarge, 1);
    most(Verdict::Unsupported, 5);
}

#[test]
fn random_pairs_for_gpus() {
    let found = many(0, 200, None, 2);
    assert!(found.wrong.is_empty(), "{}", found.wrong.join("\n"));
    println!("for GPUs: {:?}", found.counts);
    let mapped = found.counts.get(&Verdict::AcceptedGpu).copied().unwrap_or(0);
    assert!(mapped >= 80, "{:?}", found.counts);
}
