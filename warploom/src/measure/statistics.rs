//! Percentiles of measured times, and what two sets of them say of each other.
//!
//! In: times, or pairs of times that were taken right after each other. Out: percentiles; the ratio
//! of two contestants with an interval, and a winner only where that leaves no doubt.
//! Source: the interval of a median from order statistics, which asks nothing of how times are
//! distributed (W. J. Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2).

/// 10th percentile, median and 90th percentile of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percentiles {
    /// The 10th percentile.
    pub p10: f64,
    /// The median.
    pub median: f64,
    /// The 90th percentile.
    pub p90: f64,
}

impl Percentiles {
    /// Of times in any unit; not a number where there are none.
    #[must_use]
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1) as f64;
        let at = |q: f64| times.get((last * q).round() as usize).copied().unwrap_or(f64::NAN);
        Self { p10: at(0.1), median: at(0.5), p90: at(0.9) }
    }

    /// All three in other units.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self { p10: self.p10 * factor, median: self.median * factor, p90: self.p90 * factor }
    }

    /// `median,p10,p90` with three digits after the point.
    #[must_use]
    pub fn columns(self) -> String {
        format!("{:.3},{:.3},{:.3}", self.median, self.p10, self.p90)
    }
}

/// The geometric mean of numbers above 0; not a number where there are none.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|v| v.ln()).sum();
    (sum / values.len() as f64).exp()
}

/// Which of two is faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    /// The first.
    First,
    /// The second.
    Second,
    /// The times do not tell.
    None,
}

/// How two contestants that took turns compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The median of the second's time over the first's, pair by pair.
    pub ratio: f64,
    /// An interval that has the true median with a probability of at least [`Comparison::SURE`];
    /// from 0 to infinity where there are too few pairs for one.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How many pairs there were.
    pub n: usize,
}

impl Comparison {
    /// The probability with which the interval has the true median.
    pub const SURE: f64 = 0.99;
    /// The least difference that counts: what a kernel's own place in memory can make.
    pub const LEAST: f64 = 0.005;

    /// Compares times that were taken in the same rounds; what is left over of the longer list is
    /// not looked at.
    #[must_use]
    pub fn of(first: &[f64], second: &[f64]) -> Self {
        let pairs = first.iter().zip(second);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| b / a).collect();
        ratios.sort_by(f64::total_cmp);
        let n = ratios.len();
        let ratio = Percentiles::of(ratios.clone()).median;
        let (low, high) = match outside(n, 1.0 - Self::SURE) {
            Some(k) => (ratios[k], ratios[n - 1 - k]),
            None => (0.0, f64::INFINITY),
        };
        Self { ratio, low, high, n }
    }

    /// Who is faster, if the interval is on one side of 1 and not within [`Comparison::LEAST`] of
    /// it.
    #[must_use]
    pub fn winner(&self) -> Winner {
        if self.low > 1.0 + Self::LEAST {
            Winner::First
        } else if self.high < 1.0 - Self::LEAST {
            Winner::Second
        } else {
            Winner::None
        }
    }
}

/// How many values at either end of `n` sorted ones an interval of the median leaves out, if it may
/// miss it with probability `miss`; none where all are too few.
fn outside(n: usize, miss: f64) -> Option<usize> {
    // the probability that exactly k of n values are below the median, starting with k = 0
    let mut exactly = 0.5_f64.powi(i32::try_from(n).ok()?);
    let (mut below, mut found) = (0.0, None);
    for k in 0..n / 2 {
        below += exactly;
        if 2.0 * below > miss {
            break;
        }
        found = Some(k);
        exactly *= (n - k) as f64 / (k + 1) as f64;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_geometric_mean_of_a_ratio_and_its_inverse_is_one() {
        assert!((geometric_mean(&[4.0, 0.25]) - 1.0).abs() < 1e-12);
        assert!(geometric_mean(&[]).is_nan());
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Conover, table A3: sign-test intervals of 99 %
        assert_eq!(outside(7, 0.01), None);
        assert_eq!(outside(8, 0.01), Some(0));
        assert_eq!(outside(20, 0.01), Some(3));
        assert_eq!(outside(31, 0.01), Some(7));
        assert_eq!(outside(0, 0.01), None);
    }

    #[test]
    fn a_winner_needs_pairs_and_a_difference() {
        let times = |scale: f64, n: usize| -> Vec<f64> {
            (0..n).map(|i| scale * (1.0 + 0.01 * ((i * 7) % 5) as f64)).collect()
        };
        let of = |n, scale| Comparison::of(&times(1.0, n), &times(scale, n));
        assert_eq!(of(5, 2.0).winner(), Winner::None, "five pairs say nothing");
        assert_eq!(of(15, 2.0).winner(), Winner::First);
        assert_eq!(of(15, 0.5).winner(), Winner::Second);
        assert_eq!(of(15, 1.001).winner(), Winner::None, "too small to count");
        assert_eq!(of(15, 1.0).winner(), Winner::None);
        let c = of(15, 2.0);
        assert!(c.low <= c.ratio && c.ratio <= c.high && c.n == 15, "{c:?}");
    }

    /// A stream of numbers in 0..1, the same on every run.
    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut at = 0;
        move || {
            at += 1;
            (warploom_ir::tensor::random_word(seed, at) >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// Times of two copies of one kernel under drift, jumps of the clock and rare interruptions.
    fn two_copies(trial: u64, n: usize) -> (Vec<f64>, Vec<f64>) {
        let mut random = noise(trial * 1000 + 17);
        let (mut clock, mut times) = (1.0, (Vec::new(), Vec::new()));
        for round in 0..n {
            if random() < 0.1 {
                clock = 0.8 + 0.4 * random();
            }
            let mut turn = || {
                clock *= 1.002; // it gets warm
                let late = if random() < 0.05 { 3.0 * random() } else { 0.0 };
                clock * (1.0 + 0.03 * random() + late)
            };
            let (a, b) = (turn(), turn());
            // every other round goes the other way round
            let (a, b) = if round % 2 == 0 { (a, b) } else { (b, a) };
            times.0.push(a);
            times.1.push(b);
        }
        times
    }

    #[test]
    fn two_copies_of_one_kernel_are_declared_different_in_at_most_one_of_twenty_trials() {
        for n in [9, 15, 31, 63] {
            let different = (0..200).filter(|trial| {
                let (a, b) = two_copies(*trial, n);
                Comparison::of(&a, &b).winner() != Winner::None
            });
            let different = different.count();
            assert!(different <= 10, "{different} of 200 trials with {n} pairs");
        }
    }

    #[test]
    fn a_kernel_that_takes_a_twentieth_longer_is_told_apart() {
        let found = (0..200).filter(|trial| {
            let (a, mut b) = two_copies(*trial, 31);
            b.iter_mut().for_each(|t| *t *= 1.05);
            Comparison::of(&a, &b).winner() == Winner::First
        });
        assert!(found.count() >= 180);
    }
}
