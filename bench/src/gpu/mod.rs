//! Benchmarks on a GPU. Every contestant is a process of its own that is set up once and answers
//! lines; pairs of them take turns, each turn some launches without a clock and one between two
//! events. The process that asks never touches the GPU.
//!
//! Why Warploom is a process as well: a kernel that fails or never ends takes its process with it,
//! and the next case starts a new one.

pub(crate) mod bandwidth;
mod cases;
mod cuda_peer;
pub(crate) mod gemm;
pub(crate) mod launch;
mod ours;
pub(crate) mod polybench;
mod problem;
mod reference;
mod torch_peer;

pub(crate) use ours::{CONTESTANT, serve};

use std::error::Error;
use std::time::{Duration, Instant};

use crate::statistics::Percentiles;

/// One that can be asked for a turn: `warm` launches without a clock, then one whose seconds it
/// answers.
trait Contestant {
    fn turn(&mut self, warm: usize) -> Result<f64, Box<dyn Error>>;
}

/// How many pairs are measured.
struct Pairs {
    /// The most, and the fewest, beside the first pair, which warms up.
    most: usize,
    fewest: usize,
    /// No pair beyond the fewest begins after this.
    budget: Duration,
    /// Launches without a clock before one that is measured, where they take this long in all at
    /// most.
    warm: usize,
    warm_for: Duration,
}

/// Times of two contestants that took turns.
struct Times {
    pairs: usize,
    ours: Percentiles,
    theirs: Percentiles,
}

impl Pairs {
    /// Lets two take turns.
    fn measure(
        &self,
        ours: &mut dyn Contestant,
        theirs: &mut dyn Contestant,
    ) -> Result<Times, Box<dyn Error>> {
        let begun = Instant::now();
        let (mut mine, mut other) = (vec![ours.turn(1)?], vec![theirs.turn(1)?]);
        let warm = |last: f64| {
            let fits = self.warm_for.as_secs_f64() / last.max(1e-9);
            self.warm.min(fits as usize)
        };
        while mine.len() <= self.most
            && (mine.len() <= self.fewest || begun.elapsed() < self.budget)
        {
            mine.push(ours.turn(warm(mine[mine.len() - 1]))?);
            other.push(theirs.turn(warm(other[other.len() - 1]))?);
        }
        let (mine, other) = (mine.split_off(1), other.split_off(1));
        let (ours, theirs) = (Percentiles::of(mine.clone()), Percentiles::of(other));
        Ok(Times { pairs: mine.len(), ours, theirs })
    }
}

/// A text as a field of CSV.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers the same seconds and notes how many launches it was asked to make before.
    struct Constant(f64, Vec<usize>);

    impl Contestant for Constant {
        fn turn(&mut self, warm: usize) -> Result<f64, Box<dyn Error>> {
            self.1.push(warm);
            Ok(self.0)
        }
    }

    fn pairs(most: usize, budget: Duration) -> Pairs {
        Pairs { most, fewest: 2, budget, warm: 10, warm_for: Duration::from_millis(50) }
    }

    #[test]
    fn contestants_take_as_many_turns() {
        let (mut a, mut b) = (Constant(1e-5, Vec::new()), Constant(0.02, Vec::new()));
        let times = pairs(7, Duration::from_secs(60)).measure(&mut a, &mut b).unwrap();
        assert_eq!((times.pairs, times.ours.median, times.theirs.p90), (7, 1e-5, 0.02));
        assert_eq!(a.1, [1, 10, 10, 10, 10, 10, 10, 10]);
        assert_eq!(b.1, [1, 2, 2, 2, 2, 2, 2, 2], "long launches warm up in fewer");
    }

    #[test]
    fn without_time_the_fewest_pairs_are_measured() {
        let (mut a, mut b) = (Constant(1.0, Vec::new()), Constant(1.0, Vec::new()));
        assert_eq!(pairs(7, Duration::ZERO).measure(&mut a, &mut b).unwrap().pairs, 2);
        assert_eq!(a.1, [1, 0, 0]);
    }
}
