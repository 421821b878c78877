//! The silhouette coefficient (Rousseeuw 1987).

use rayon::prelude::*;

use super::classes;
use crate::rows::squared_distance;
use crate::{MetricError, Rows};

/// Mean over the rows of `(b - a) / max(a, b)`: `a` is a row's mean distance to the others of its class, `b` the least
/// of its mean distances to another class. From -1 (each row nearer to another class) over 0 (classes overlap) to 1.
///
/// A row alone in its class counts 0. `None` where there is but one class, or every row is one of its own.
/// The cost grows with the square of the rows: see [`sample`](super::sample).
///
/// ```
/// use mmrest_metric::{Rows, overlap::silhouette};
///
/// let rows = [0.0, 1.0, 10.0, 11.0];
/// let value = silhouette(Rows::new(&rows, 1)?, &[0, 0, 4, 4])?;
/// assert!(value.is_some_and(|value| (value - 0.899_749).abs() < 1e-6));
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// [`MetricError::Length`] when there is not a class for each row.
pub fn silhouette(rows: Rows<'_>, labels: &[usize]) -> Result<Option<f64>, MetricError> {
    let (classes, places) = classes(rows, labels)?;
    if classes.len() < 2 || classes.len() == rows.len() {
        return Ok(None);
    }
    let mut counts = vec![0_usize; classes.len()];
    places.iter().for_each(|&place| counts[place] += 1);
    let coefficients: Vec<f64> = (0..rows.len())
        .into_par_iter()
        .map(|index| coefficient(rows, index, &places, &counts))
        .collect();
    Ok(Some(coefficients.iter().sum::<f64>() / rows.len() as f64))
}

fn coefficient(rows: Rows<'_>, index: usize, places: &[usize], counts: &[usize]) -> f64 {
    let own = places[index];
    if counts[own] < 2 {
        return 0.0;
    }
    let mut sums = vec![0.0; counts.len()];
    for (other, &place) in rows.iter().zip(places) {
        sums[place] += squared_distance(rows.row(index), other).sqrt();
    }
    let within = sums[own] / (counts[own] - 1) as f64;
    let others = (0..counts.len()).filter(|&place| place != own);
    let between = others
        .map(|place| sums[place] / counts[place] as f64)
        .fold(f64::INFINITY, f64::min);
    match within.max(between) {
        0.0 => 0.0,
        larger => (between - within) / larger,
    }
}
