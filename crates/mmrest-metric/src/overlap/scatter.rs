//! Scatter between and within classes, as in linear discriminant analysis.

use super::{classes, sums};
use crate::{MetricError, Rows};

/// `trace(S_b) / trace(S_w)`: squared distances of the class centres to the mean, each counted as often as the class has
/// rows, over squared distances of the rows to their class centre.
///
/// `None` where there is but one class, or no scatter within classes. Rows [`carried`](super::carried) by a metric `M` give
/// `trace(M S_b) / trace(M S_w)`.
///
/// ```
/// use mmrest_metric::{Rows, overlap::scatter_ratio};
///
/// let rows = [0.0, 2.0, 10.0, 12.0];
/// assert_eq!(scatter_ratio(Rows::new(&rows, 1)?, &[0, 0, 1, 1])?, Some(25.0));
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// [`MetricError::Length`] when there is not a class for each row.
pub fn scatter_ratio(rows: Rows<'_>, labels: &[usize]) -> Result<Option<f64>, MetricError> {
    let (classes, places) = classes(rows, labels)?;
    let (mut centers, counts) = sums(rows, &places, classes.len());
    let dim = rows.dim();
    let mut mean = vec![0.0; dim];
    for center in centers.chunks_exact(dim) {
        mean.iter_mut().zip(center).for_each(|(m, c)| *m += c);
    }
    mean.iter_mut().for_each(|m| *m /= rows.len() as f64);
    for (center, &count) in centers.chunks_exact_mut(dim).zip(&counts) {
        center.iter_mut().for_each(|value| *value /= count as f64);
    }
    let between: f64 = centers
        .chunks_exact(dim)
        .zip(&counts)
        .map(|(center, &count)| count as f64 * squared(center.iter().zip(&mean)))
        .sum();
    let within: f64 = rows
        .iter()
        .zip(&places)
        .map(|(row, &place)| {
            let row: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
            squared(row.iter().zip(&centers[place * dim..]))
        })
        .sum();
    Ok((classes.len() > 1 && within > 0.0).then(|| between / within))
}

fn squared<'a>(pairs: impl Iterator<Item = (&'a f64, &'a f64)>) -> f64 {
    pairs.map(|(a, b)| (a - b) * (a - b)).sum()
}
