//! Percentiles of measured times, and what two sets of them say of each other.

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

    /// `median,p10,p90` with three digits after the point.
    pub(crate) fn columns(self) -> String {
        format!("{:.3},{:.3},{:.3}", self.median, self.p10, self.p90)
    }

    /// The faster of two, named; `none` where their intervals from p10 to p90 overlap.
    pub(crate) fn winner<'a>(self, name: &'a str, other: Self, other_name: &'a str) -> &'a str {
        if self.p90 < other.p10 {
            name
        } else if other.p90 < self.p10 {
            other_name
        } else {
            "none"
        }
    }
}

/// The geometric mean of numbers above 0; not a number where there are none.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().map(|v| v.ln()).sum();
    (sum / values.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_overlap_have_no_winner() {
        let of = |times: &[f64]| Percentiles::of(times.to_vec());
        let (a, b, c) = (of(&[1.0, 1.1, 1.2]), of(&[1.2, 1.5, 1.6]), of(&[1.3, 1.4, 1.5]));
        assert_eq!(a.winner("a", b, "b"), "none", "1.2 is in both");
        assert_eq!(a.winner("a", c, "c"), "a");
        assert_eq!(c.winner("c", a, "a"), "a");
    }

    #[test]
    fn the_geometric_mean_of_a_ratio_and_its_inverse_is_one() {
        assert!((geometric_mean(&[4.0, 0.25]) - 1.0).abs() < 1e-12);
        assert!(geometric_mean(&[]).is_nan());
    }
}
