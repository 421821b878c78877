//! Mean, standard deviation, median.

/// Mean and standard deviation of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Their mean; NaN of none.
    pub mean: f64,
    /// Their sample standard deviation (divided by n - 1); NaN of fewer than two.
    pub sd: f64,
}

impl Spread {
    /// Of `values`.
    ///
    /// ```
    /// use mmrest_learner::statistics::Spread;
    ///
    /// let spread = Spread::of(&[1.0, 2.0, 3.0]);
    /// assert_eq!((spread.mean, spread.sd), (2.0, 1.0));
    /// assert!(Spread::of(&[1.0]).sd.is_nan());
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = match values.len() {
            0 | 1 => f64::NAN,
            _ => (squares / (count - 1.0)).sqrt(),
        };
        Self { mean, sd }
    }
}

/// The median of the values that are numbers; of an even number of them the mean of the middle two; NaN of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values), 0.5)
}

/// The values that are numbers, ascending.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let numbers = values.iter().copied().filter(|value| !value.is_nan());
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// The `share` quantile of ascending values, interpolated linearly between neighbours, as NumPy does; NaN of none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let below = place.floor() as usize;
    match (sorted.get(below), sorted.get(below + 1)) {
        (Some(&low), Some(&high)) => low + (high - low) * (place - below as f64),
        (Some(&low), None) => low,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        let values = sorted(&[4.0, f64::NAN, 1.0, 3.0, 2.0]);
        // numpy.quantile([1, 2, 3, 4], [0.025, 0.5, 0.975])
        for (share, expected) in [(0.025, 1.075), (0.5, 2.5), (0.975, 3.925), (1.0, 4.0)] {
            assert!(
                (quantile(&values, share) - expected).abs() < 1e-12,
                "{share}"
            );
        }
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(median(&[7.0]), 7.0);
    }

    #[test]
    fn nothing_has_no_mean() {
        assert!(Spread::of(&[]).mean.is_nan() && Spread::of(&[]).sd.is_nan());
    }
}
