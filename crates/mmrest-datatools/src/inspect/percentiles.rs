//! How something is spread.

use mmrest_data::quantile;
use serde::Serialize;

/// Least, greatest, and what a share of the values is at most: linear between neighbours, as numpy's default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Least.
    pub min: f64,
    /// 5 % are at most this.
    pub p5: f64,
    /// A quarter is at most this.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// Three quarters are at most this.
    pub p75: f64,
    /// 95 % are at most this.
    pub p95: f64,
    /// Greatest.
    pub max: f64,
}

impl Percentiles {
    /// Of values in any order; what is not finite is passed over; none of none.
    ///
    /// ```
    /// use mmrest_datatools::inspect::Percentiles;
    ///
    /// let spread = Percentiles::of([3.0, 1.0, 2.0, 4.0]).unwrap();
    /// assert_eq!((spread.min, spread.p25, spread.p50, spread.max), (1.0, 1.75, 2.5, 4.0));
    /// assert_eq!(Percentiles::of([]), None);
    /// ```
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            min: *sorted.first()?,
            p5: quantile(&sorted, 0.05)?,
            p25: quantile(&sorted, 0.25)?,
            p50: quantile(&sorted, 0.5)?,
            p75: quantile(&sorted, 0.75)?,
            p95: quantile(&sorted, 0.95)?,
            max: *sorted.last()?,
        })
    }

    /// From least to greatest.
    pub fn all(&self) -> [f64; 7] {
        [
            self.min, self.p5, self.p25, self.p50, self.p75, self.p95, self.max,
        ]
    }
}
