//! Centres of classes, and what the nearest of them says of new rows.

use super::{carried, classes, sums};
use crate::rows::squared_distance;
use crate::{MetricError, Rows};

/// The mean of each class's rows: a classifier by the nearest centre.
///
/// ```
/// use mmrest_metric::{Rows, overlap::ClassCenters};
///
/// let centers = ClassCenters::fit(Rows::new(&[0.0, 2.0, 10.0], 1)?, &[3, 3, 6])?;
/// let rows = [0.0, 7.0];
/// assert_eq!(centers.accuracy(Rows::new(&rows, 1)?, &[3, 3], |_| None)?, Some(0.5));
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClassCenters {
    dim: usize,
    classes: Vec<usize>,
    centers: Vec<f32>,
}

impl ClassCenters {
    /// The centres of the classes that occur.
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when there is not a class for each row.
    pub fn fit(rows: Rows<'_>, labels: &[usize]) -> Result<Self, MetricError> {
        let (classes, places) = classes(rows, labels)?;
        let (sums, counts) = sums(rows, &places, classes.len());
        let centers = sums
            .chunks_exact(rows.dim())
            .zip(&counts)
            .flat_map(|(sum, &count)| sum.iter().map(move |value| (value / count as f64) as f32))
            .collect();
        Ok(Self {
            dim: rows.dim(),
            classes,
            centers,
        })
    }

    /// The share of rows whose nearest centre is that of their class; `None` without rows or centres.
    ///
    /// `metric` gives the metric, `[dim, dim]`, that distances to a class's centre are measured under; Euclidean where it
    /// gives none. A class without a centre is never met. On a tie the lower class wins.
    ///
    /// # Errors
    ///
    /// [`MetricError::Length`] when there is not a class for each row; those of [`carried`].
    pub fn accuracy<'m>(
        &self,
        rows: Rows<'_>,
        labels: &[usize],
        metric: impl Fn(usize) -> Option<&'m [f64]>,
    ) -> Result<Option<f64>, MetricError> {
        MetricError::check_length("classes of the rows", labels.len(), rows.len())?;
        if rows.is_empty() || self.classes.is_empty() {
            return Ok(None);
        }
        let mut best = vec![(f64::INFINITY, 0); rows.len()];
        for (&class, center) in self.classes.iter().zip(self.centers.chunks_exact(self.dim)) {
            let distances = distances(rows, center, metric(class))?;
            for (best, distance) in best.iter_mut().zip(distances) {
                if distance < best.0 {
                    *best = (distance, class);
                }
            }
        }
        let met = best
            .iter()
            .zip(labels)
            .filter(|((_, c), label)| c == *label);
        Ok(Some(met.count() as f64 / rows.len() as f64))
    }
}

/// Squared distances of rows to a centre.
fn distances(
    rows: Rows<'_>,
    center: &[f32],
    metric: Option<&[f64]>,
) -> Result<Vec<f64>, MetricError> {
    let Some(metric) = metric else {
        return Ok(rows
            .iter()
            .map(|row| squared_distance(row, center))
            .collect());
    };
    let differences: Vec<f32> = rows
        .iter()
        .flat_map(|row| row.iter().zip(center).map(|(x, c)| x - c))
        .collect();
    let there = carried(Rows::new(&differences, rows.dim())?, metric)?;
    let length = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    Ok(there.chunks_exact(rows.dim()).map(length).collect())
}
