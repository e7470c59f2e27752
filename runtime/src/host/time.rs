//! Repeated timing of host work.

use std::time::{Duration, Instant};

use warploom_ir::diag::Result;

/// Quantiles of wall-clock times of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Half of the runs took at most this.
    pub median: Duration,
    /// A tenth of the runs took at most this.
    pub p10: Duration,
    /// Nine tenths of the runs took at most this.
    pub p90: Duration,
    /// How many runs were timed.
    pub runs: usize,
}

/// Runs `work` `warmup` times, then `runs` times (at least once) with a clock.
///
/// # Errors
/// The first failure of `work`.
pub fn time(warmup: usize, runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<Timing> {
    for _ in 0..warmup {
        work()?;
    }
    let mut times = Vec::with_capacity(runs.max(1));
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed());
    }
    Ok(quantiles(times))
}

/// The quantiles of at least one time.
pub(crate) fn quantiles(mut times: Vec<Duration>) -> Timing {
    times.sort_unstable();
    let last = times.len() - 1;
    let at = |tenths: usize| times[(last * tenths + 5) / 10];
    Timing { median: at(5), p10: at(1), p90: at(9), runs: times.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_elements_in_order() {
        let t = quantiles((0..=10).rev().map(Duration::from_millis).collect());
        assert_eq!(t.median, Duration::from_millis(5));
        assert_eq!(t.p10, Duration::from_millis(1));
        assert_eq!(t.p90, Duration::from_millis(9));
        assert_eq!(t.runs, 11);
    }

    #[test]
    fn the_first_failure_ends_it() {
        let mut n = 0;
        let result = time(0, 5, || {
            n += 1;
            Err(Box::new(warploom_ir::diag::Diagnostic::input("E1102", "no")))
        });
        assert!(result.is_err());
        assert_eq!(n, 1);
    }
}
