//! Mistakes made on purpose in the scheduler and in code generation: the random pairs find each,
//! and `reduce` makes a few lines of what they find.
//!
//! `cargo test -p warploom-tests --features planted-bugs --test suite planted_bugs -- --nocapture`
#![cfg(feature = "planted-bugs")]

use std::collections::BTreeMap;

use warploom::reduce::{Pair, reduce};
use warploom::{Nest, Schedule, bind, compile};
use warploom_ir::interp;
use warploom_ir::planted::{Bug, plant};
use warploom_tests::random::judge::{Case, Judged, SCRIPTS};
use warploom_tests::random_inputs;

/// Pairs that a mistake may need.
const MOST: u64 = 2_000;

/// The first pair that shows the mistake and that `wanted` takes.
fn found(bug: Bug, mut wanted: impl FnMut(&Judged) -> bool) -> Judged {
    for nest in 0..MOST / SCRIPTS {
        let mut case = Case::new(nest);
        for seed in nest * SCRIPTS..(nest + 1) * SCRIPTS {
            plant(Some(bug));
            let judged = case.judge(seed, false);
            plant(None);
            if let Err(why) = &judged.verdict
                && wanted(&judged)
            {
                let line = why.lines().next().unwrap_or_default();
                println!("{bug:?}: found by pair {} (seed {seed}): {line}", seed + 1);
                return judged;
            }
        }
    }
    panic!("{bug:?} is not found by {MOST} pairs");
}

/// A test for each mistake; one without a test does not compile.
macro_rules! planted {
    ($($name:ident $bug:ident)*) => {
        $(
            #[test]
            fn $name() {
                found(Bug::$bug, |_| true);
            }
        )*

        const _: fn(Bug) = |bug| match bug {
            $(Bug::$bug => (),)*
        };
    };
}

planted! {
    no_flow NoFlow
    no_anti NoAnti
    no_output NoOutput
    serial_reordered SerialReordered
    parallel_unchecked ParallelUnchecked
    guard_off_by_one GuardOffByOne
    loop_end_off_by_one LoopEndOffByOne
    swapped_loops SwappedLoops
    swapped_statements SwappedStatements
    tile_remainder TileRemainder
    stage_footprint StageFootprint
    wrong_identity WrongIdentity
    skew_sign SkewSign
    fuse_shift FuseShift
    signedness Signedness
    strict_contracted StrictContracted
    min_max MinMax
}

/// With the mistake, the script is accepted and its kernel is not what the nest says.
fn miscompiled(pair: &Pair, bug: Bug) -> bool {
    let inputs = random_inputs(&pair.nest, &BTreeMap::new(), 3);
    let Ok(want) = interp::nest::run(&pair.nest, &BTreeMap::new(), &inputs) else { return false };
    plant(Some(bug));
    let schedule = Schedule::new(&pair.nest).map_err(Into::into);
    let schedule = schedule.and_then(|s| s.replay(&pair.script));
    let lowered = schedule.ok().and_then(|s| compile::lower(&s).ok());
    plant(None);
    let Some(lowered) = lowered else { return false };
    let have = interp::kernel::run(lowered.kernel(), &BTreeMap::new(), &inputs);
    have.is_ok_and(|have| want.iter().any(|(name, t)| have[name].bytes() != t.bytes()))
}

#[test]
fn what_is_found_is_reduced_to_a_few_lines() {
    for bug in [Bug::NoFlow, Bug::LoopEndOffByOne, Bug::SwappedLoops] {
        let mut start = None;
        let fixed = |judged: &Judged| -> Option<Pair> {
            let nest: Nest = judged.pair.nest.parse().ok()?;
            let open = nest.params.iter().filter(|p| p.value.is_none());
            let sizes = open.map(|p| (p.name.clone(), 5)).collect();
            let nest = bind(&nest, &sizes, &BTreeMap::new()).ok()?;
            Some(Pair { nest, script: judged.pair.script.parse().ok()? })
        };
        found(bug, |judged| {
            start = fixed(judged).filter(|pair| miscompiled(pair, bug));
            start.is_some()
        });
        let start = start.expect("a pair was found");
        let done = reduce(&start, 4_000, &mut |pair| miscompiled(pair, bug));
        let text = format!("{}{}", done.pair.nest, done.pair.script);
        println!("{bug:?}: {} of {} pairs taken\n{text}", done.taken, done.asked);
        assert!(miscompiled(&done.pair, bug), "{text}");
        assert!(text.lines().count() <= 14, "{text}");
        assert!(done.pair.script.steps.len() <= 2, "{text}");
    }
}
