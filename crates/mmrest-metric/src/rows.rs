//! A view of rows of numbers on the host, which k-means, the assignment and all measures read.

use crate::MetricError;

/// A view of `[rows, dim]` finite numbers, row after row.
///
/// ```
/// use mmrest_metric::Rows;
///
/// let rows = Rows::new(&[0.0, 1.0, 2.0, 3.0], 2)?;
/// assert_eq!(rows.len(), 2);
/// assert_eq!(rows.row(1), [2.0, 3.0]);
/// assert!(Rows::new(&[0.0, f32::NAN], 2).is_err());
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    values: &'a [f32],
    dim: usize,
}

impl<'a> Rows<'a> {
    /// Views `values` as rows of `dim` numbers. No rows at all is fine.
    ///
    /// # Errors
    ///
    /// [`MetricError::RaggedRows`] when `dim` is 0 or does not divide the length;
    /// [`MetricError::NonFiniteRow`] at the first NaN or infinity.
    pub fn new(values: &'a [f32], dim: usize) -> Result<Self, MetricError> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            let values = values.len();
            return Err(MetricError::RaggedRows { values, dim });
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Self { values, dim }),
            Some(at) => Err(MetricError::NonFiniteRow {
                row: at / dim,
                column: at % dim,
                value: values[at],
            }),
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many numbers a row has, at least 1.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All numbers, row after row.
    #[must_use]
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Row `index`.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`len`](Self::len), as a slice does.
    #[must_use]
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dim..(index + 1) * self.dim]
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.dim)
    }
}

/// `|a - b|^2`: eight running sums in f32 over at most 64 columns at a time, joined in f64.
///
/// The differences are formed first, so no cancellation as in `|a|^2 - 2ab + |b|^2`.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    const LANES: usize = 8;
    const BLOCK: usize = 64;
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let (a_lanes, a_rest) = a.as_chunks::<LANES>();
        let (b_lanes, b_rest) = b.as_chunks::<LANES>();
        let mut sums = [0.0_f32; LANES];
        for (a, b) in a_lanes.iter().zip(b_lanes) {
            for lane in 0..LANES {
                let difference = a[lane] - b[lane];
                sums[lane] += difference * difference;
            }
        }
        for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            let difference = a - b;
            sums[lane] += difference * difference;
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    total
}

/// The nearest of `centers` (lowest index on a tie) and its squared distance; (0, infinity) without centres.
pub(crate) fn nearest(row: &[f32], centers: &[f32]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (index, center) in centers.chunks_exact(row.len()).enumerate() {
        let distance = squared_distance(row, center);
        if distance < best.1 {
            best = (index, distance);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_rows_of_finite_numbers() {
        assert!(matches!(
            Rows::new(&[1.0; 5], 2),
            Err(MetricError::RaggedRows { values: 5, dim: 2 })
        ));
        assert!(Rows::new(&[], 0).is_err());
        assert!(Rows::new(&[], 3).unwrap().is_empty());
        assert!(matches!(
            Rows::new(&[1.0, 2.0, 3.0, f32::INFINITY], 2),
            Err(MetricError::NonFiniteRow {
                row: 1,
                column: 1,
                ..
            })
        ));
    }

    #[test]
    fn squared_distance_equals_the_plain_sum_at_any_width() {
        for dim in [1, 3, 8, 11, 64, 65, 130, 768] {
            let a: Vec<f32> = (0..dim).map(|i| (i as f32 * 0.7).sin() + 100.0).collect();
            let b: Vec<f32> = (0..dim).map(|i| (i as f32 * 1.3).cos() + 100.0).collect();
            let plain: f64 = a
                .iter()
                .zip(&b)
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                .sum();
            let fast = squared_distance(&a, &b);
            assert!(
                (fast - plain).abs() <= 1e-6 * plain,
                "{dim}: {fast} {plain}"
            );
        }
    }
}
