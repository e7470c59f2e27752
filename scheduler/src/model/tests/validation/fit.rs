//! Fitting the constants of [`Fitted`] to the lines that are for it.
//!
//! Out: constants to be written into `machine`, by hand, so that a change of them is read by
//! somebody. Run it as `cargo test -p warploom-scheduler model::tests::validation::fit -- --ignored
//! --nocapture`. Method: coordinate descent on the mean error (logarithm of predicted over measured
//! and its square, at most 1), each constant a factor up or down, the factor halved as it stops.

use super::*;

type Constant = fn(&mut Fitted) -> &mut f64;

/// What may move; the launch's time, the width of the port, what a short row and a cluster cost and
/// the energy of a product are known better from elsewhere (docs/performance-model.md) and stay.
const CONSTANTS: [Constant; 13] = [
    |f| &mut f.latency,
    |f| &mut f.cold,
    |f| &mut f.load,
    |f| &mut f.stored,
    |f| &mut f.scattered,
    |f| &mut f.block,
    |f| &mut f.slab,
    |f| &mut f.slice,
    |f| &mut f.dependent,
    |f| &mut f.meeting,
    |f| &mut f.sharpness,
    |f| &mut f.byte,
    |f| &mut f.pause,
];

/// Every other candidate of the tuned problems.
fn candidates() -> Vec<Line> {
    let mut out = Vec::new();
    for problem in tuned() {
        let start = Schedule::new(&problem.nest).expect("a legal nest");
        for (choices, seconds) in problem.candidates.into_iter().step_by(2) {
            let made = explore(&start, Target::Sm90a, None, &choices).expect("in time");
            let (kernel, name) = (lowered(&made.schedule), problem.name.clone());
            out.push(Line { record: "tune", name, seconds, fitted: true, kernel });
        }
    }
    out
}

fn loss(lines: &[Line], fitted: Fitted) -> f64 {
    let m = Machine { fitted, ..H200 };
    let one = |l: &Line| {
        let e = (predict_kernel(&l.kernel, &m).expect("bound sizes").time / l.seconds).ln().abs();
        (e + 2.0 * e * e).min(1.0)
    };
    lines.iter().map(one).sum::<f64>() / lines.len() as f64
}

#[test]
#[ignore = "takes minutes; its result is written into `machine`"]
fn constants() {
    let mut lines: Vec<Line> = gemm().into_iter().chain(bandwidth()).filter(|l| l.fitted).collect();
    lines.extend(candidates());
    let mut best = H200.fitted;
    let (mut least, mut step) = (loss(&lines, best), 0.25);
    while step > 0.02 {
        let before = least;
        for constant in CONSTANTS {
            for factor in [1.0 + step, 1.0 / (1.0 + step)] {
                let mut next = best;
                *constant(&mut next) *= factor;
                let found = loss(&lines, next);
                if found < least {
                    (least, best) = (found, next);
                    break;
                }
            }
        }
        println!("step {step}: {least:.4} {best:?}");
        step /= if before - least < 5e-4 { 2.0 } else { 1.0 };
    }
    assert!(least <= loss(&lines, H200.fitted));
}
