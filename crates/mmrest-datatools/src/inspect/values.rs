//! Statistics of a sequence's numbers, feature by feature.

use mmrest_data::quantile;
use serde::Serialize;

/// Numbers of all frames.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Values {
    /// Not a number.
    pub nan: usize,
    /// -inf.
    pub minus_infinity: usize,
    /// +inf.
    pub plus_infinity: usize,
    /// Frames that are zero in every feature.
    pub zero_frames: usize,
    /// Entries whose every frame is zero.
    pub zero_entries: usize,
    /// Features that have one value in all frames, by column.
    pub constant: Vec<usize>,
    /// One a feature.
    pub columns: Vec<Column>,
}

/// One feature over all frames; what is not finite counts in `not_finite` only.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Column {
    /// Its name, where the metadata names the dimensions.
    pub name: Option<String>,
    /// Finite values.
    pub count: usize,
    /// NaN and infinite values.
    pub not_finite: usize,
    /// Values that are 0.
    pub zeros: usize,
    /// Least.
    pub min: Option<f32>,
    /// Greatest.
    pub max: Option<f32>,
    /// Mean.
    pub mean: f64,
    /// Population standard deviation.
    pub deviation: f64,
}

impl Values {
    /// Of one entry, `[rows, width]` row-major.
    pub(super) fn of(values: &[f32], width: usize) -> Self {
        let mut facts = Self {
            columns: vec![Column::default(); width],
            ..Self::default()
        };
        let mut frames = 0;
        for frame in values.chunks_exact(width.max(1)) {
            frames += 1;
            facts.zero_frames += usize::from(frame.iter().all(|&value| value == 0.0));
            for (column, &value) in facts.columns.iter_mut().zip(frame) {
                column.push(value);
                facts.nan += usize::from(value.is_nan());
                facts.minus_infinity += usize::from(value == f32::NEG_INFINITY);
                facts.plus_infinity += usize::from(value == f32::INFINITY);
            }
        }
        facts.zero_entries = usize::from(frames > 0 && facts.zero_frames == frames);
        facts.columns.iter_mut().for_each(Column::finish);
        facts
    }

    /// Adds another entry's.
    pub(super) fn absorb(&mut self, other: Self) {
        self.nan += other.nan;
        self.minus_infinity += other.minus_infinity;
        self.plus_infinity += other.plus_infinity;
        self.zero_frames += other.zero_frames;
        self.zero_entries += other.zero_entries;
        let width = self.columns.len().max(other.columns.len());
        self.columns.resize(width, Column::default());
        for (column, other) in self.columns.iter_mut().zip(&other.columns) {
            column.absorb(other);
        }
    }

    /// Sees which features are constant, once all is absorbed; one or no frame makes none.
    pub(super) fn finish(&mut self, names: &[String]) {
        for (index, column) in self.columns.iter_mut().enumerate() {
            column.name = names.get(index).cloned();
            let one = column.min == column.max && column.not_finite == 0;
            if one && column.count > 1 {
                self.constant.push(index);
            }
        }
    }

    /// NaN and infinite values together.
    pub fn not_finite(&self) -> usize {
        self.nan + self.minus_infinity + self.plus_infinity
    }
}

impl Column {
    /// While pushing, `deviation` is the sum of squared deviations (Welford's update).
    #[allow(clippy::cast_precision_loss)]
    fn push(&mut self, value: f32) {
        if !value.is_finite() {
            self.not_finite += 1;
            return;
        }
        self.count += 1;
        self.zeros += usize::from(value == 0.0);
        self.min = Some(self.min.map_or(value, |least| least.min(value)));
        self.max = Some(self.max.map_or(value, |greatest| greatest.max(value)));
        let deviation = f64::from(value) - self.mean;
        self.mean += deviation / self.count as f64;
        self.deviation += deviation * (f64::from(value) - self.mean);
    }

    #[allow(clippy::cast_precision_loss)]
    fn finish(&mut self) {
        self.deviation = (self.deviation.max(0.0) / self.count.max(1) as f64).sqrt();
    }

    /// Joins two sets of values: Chan's update of mean and variance.
    #[allow(clippy::cast_precision_loss)]
    fn absorb(&mut self, other: &Self) {
        let (here, there) = (self.count as f64, other.count as f64);
        let all = here + there;
        self.not_finite += other.not_finite;
        if other.count == 0 {
            return;
        }
        let apart = other.mean - self.mean;
        let squares = self.deviation.powi(2) * here
            + other.deviation.powi(2) * there
            + apart * apart * here * there / all;
        self.mean += apart * there / all;
        self.deviation = (squares / all).sqrt();
        self.count += other.count;
        self.zeros += other.zeros;
        self.min = least(self.min, other.min, f32::min);
        self.max = least(self.max, other.max, f32::max);
    }
}

fn least(a: Option<f32>, b: Option<f32>, choose: fn(f32, f32) -> f32) -> Option<f32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(choose(a, b)),
        (a, b) => a.or(b),
    }
}

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
    /// Of values in any order; those that are not finite are skipped; `None` for no values.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_together_are_the_whole() {
        let frames = [1.0, 5.0, 2.0, 5.0, 4.0, 5.0, 9.0, 5.0];
        let mut joined = Values::of(&frames[..6], 2);
        joined.absorb(Values::of(&frames[6..], 2));
        joined.finish(&[]);
        let column = &joined.columns[0];
        assert_eq!((column.min, column.max), (Some(1.0), Some(9.0)));
        assert!((column.mean - 4.0).abs() < 1e-12);
        assert!((column.deviation - 9.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(joined.constant, [1]);
    }

    #[test]
    fn what_is_not_finite_is_told_apart() {
        let inf = f32::INFINITY;
        let facts = Values::of(&[f32::NAN, 0.0, -inf, inf, 0.0, 0.0], 2);
        assert_eq!(
            (facts.nan, facts.minus_infinity, facts.plus_infinity),
            (1, 1, 1)
        );
        assert_eq!((facts.zero_frames, facts.zero_entries), (1, 0));
        assert_eq!(facts.columns[0].not_finite, 2);
        assert_eq!(Values::of(&[0.0, 0.0], 2).zero_entries, 1);
    }
}
