//! Percentiles of measured times.

/// 10th percentile, median and 90th percentile of times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percentiles {
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl Percentiles {
    /// Of times in any unit; not a number where there are none.
    pub(crate) fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1) as f64;
        let at = |q: f64| times.get((last * q).round() as usize).copied().unwrap_or(f64::NAN);
        Self { p10: at(0.1), median: at(0.5), p90: at(0.9) }
    }

    /// All three in other units.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { p10: self.p10 * factor, median: self.median * factor, p90: self.p90 * factor }
    }
}
