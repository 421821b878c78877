//! How far classes overlap in a space: the silhouette, the ratio of scatters, and what the nearest centre says.
//!
//! All are Euclidean. [`carried`] takes rows to where a Mahalanobis metric is Euclidean, so each is measured under a
//! learned metric by measuring the carried rows.

mod centers;
mod scatter;
mod silhouette;

pub use centers::ClassCenters;
pub use scatter::scatter_ratio;
pub use silhouette::silhouette;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{MetricError, Rows, factor_psd_f64};

/// The rows `L x`, for `L` with `L^T L = metric`: Euclidean distances between them are the roots of the squared
/// Mahalanobis distances under `metric`, which is `[dim, dim]` and positive semidefinite.
///
/// ```
/// use mmrest_metric::{Rows, overlap::carried};
///
/// let rows = [0.0, 0.0, 3.0, 1.0];
/// let there = carried(Rows::new(&rows, 2)?, &[4.0, 0.0, 0.0, 1.0])?;
/// let squared: f32 = there[2..].iter().map(|value| value * value).sum();
/// assert!((squared - 37.0).abs() < 1e-4); // 4 * 3^2 + 1 * 1^2
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// As [`factor_psd_f64`].
pub fn carried(rows: Rows<'_>, metric: &[f64]) -> Result<Vec<f32>, MetricError> {
    let dim = rows.dim();
    let factor = factor_psd_f64(metric, dim)?;
    let values = rows.values().par_chunks_exact(dim).flat_map_iter(|row| {
        let image = factor.chunks_exact(dim);
        image.map(move |factor| {
            let terms = factor.iter().zip(row).map(|(f, &x)| f * f64::from(x));
            terms.sum::<f64>() as f32
        })
    });
    Ok(values.collect())
}

/// At most `most` of `count` indices, ascending: all of them where they are no more, else drawn without replacement.
///
/// ```
/// use mmrest_metric::overlap::sample;
///
/// assert_eq!(sample(3, 5, 1), [0, 1, 2]);
/// assert_eq!(sample(100, 5, 1).len(), 5);
/// assert_eq!(sample(100, 5, 1), sample(100, 5, 1));
/// ```
#[must_use]
pub fn sample(count: usize, most: usize, seed: u64) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = index::sample(&mut rng, count, most).into_vec();
    chosen.sort_unstable();
    chosen
}

/// The classes that occur, ascending, and the place of each row's class among them.
fn classes(rows: Rows<'_>, labels: &[usize]) -> Result<(Vec<usize>, Vec<usize>), MetricError> {
    MetricError::check_length("classes of the rows", labels.len(), rows.len())?;
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let place = |label: &usize| classes.partition_point(|class| class < label);
    let places = labels.iter().map(place).collect();
    Ok((classes, places))
}

/// Sums of the rows of each class, and how many there are.
fn sums(rows: Rows<'_>, places: &[usize], classes: usize) -> (Vec<f64>, Vec<usize>) {
    let dim = rows.dim();
    let (mut sums, mut counts) = (vec![0.0; classes * dim], vec![0; classes]);
    for (row, &place) in rows.iter().zip(places) {
        counts[place] += 1;
        for (sum, &value) in sums[place * dim..].iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    (sums, counts)
}

#[cfg(test)]
mod tests;
