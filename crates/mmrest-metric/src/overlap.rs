//! How far classes overlap in a space: the silhouette, the ratio of scatters, and the accuracy of the nearest centre.
//!
//! All are Euclidean. [`to_euclidean`] moves rows to a space where a Mahalanobis metric is Euclidean, so each is measured
//! under a learned metric by measuring the moved rows.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::rows::squared_distance;
use crate::{MetricError, Rows, to_euclidean};

/// The silhouette coefficient (Rousseeuw 1987): mean over the rows of `(b - a) / max(a, b)`: `a` is a row's mean distance
/// to the others of its class, `b` the least of its mean distances to another class. From -1 (each row nearer to another
/// class) over 0 (classes overlap) to 1.
///
/// A row alone in its class counts 0. `None` where there is but one class, or every row is one of its own.
/// The cost grows with the square of the rows: see [`sample`].
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

/// Scatter between classes over scatter within them, as in linear discriminant analysis: `trace(S_b) / trace(S_w)`,
/// squared distances of the class centres to the mean, each counted as often as the class has rows, over squared
/// distances of the rows to their class centre.
///
/// `None` where there is but one class, or no scatter within classes. Rows [moved](to_euclidean) by a metric `M` give
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
    /// [`MetricError::Length`] when there is not a class for each row; those of [`to_euclidean`].
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
    let there = to_euclidean(Rows::new(&differences, rows.dim())?, metric)?;
    let length = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    Ok(there.chunks_exact(rows.dim()).map(length).collect())
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
mod tests {
    use serde::Deserialize;

    use super::*;

    /// What scikit-learn 1 says: tests/fixtures/overlap.py.
    const FIXTURE: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/overlap.json"
    ));

    #[derive(Deserialize)]
    struct Case {
        dim: usize,
        train: Vec<f32>,
        train_labels: Vec<usize>,
        test: Vec<f32>,
        test_labels: Vec<usize>,
        metric: Vec<f64>,
        euclidean: Expected,
        mahalanobis: Expected,
    }

    #[derive(Deserialize)]
    struct Expected {
        silhouette: f64,
        scatter_ratio: f64,
        accuracy: f64,
    }

    fn near(found: Option<f64>, expected: f64) {
        let found = found.unwrap();
        assert!((found - expected).abs() < 2e-6, "{found} {expected}");
    }

    #[test]
    fn all_measures_are_those_of_scikit_learn() {
        let cases: Vec<Case> = serde_json::from_str(FIXTURE).unwrap();
        assert_eq!(cases.len(), 2);
        for case in cases {
            let train = Rows::new(&case.train, case.dim).unwrap();
            let test = Rows::new(&case.test, case.dim).unwrap();
            let labels = &case.test_labels;
            let centers = ClassCenters::fit(train, &case.train_labels).unwrap();
            let there = to_euclidean(test, &case.metric).unwrap();
            let there = Rows::new(&there, case.dim).unwrap();
            for (rows, expected) in [(test, &case.euclidean), (there, &case.mahalanobis)] {
                near(silhouette(rows, labels).unwrap(), expected.silhouette);
                near(scatter_ratio(rows, labels).unwrap(), expected.scatter_ratio);
            }
            let plain = centers.accuracy(test, labels, |_| None).unwrap();
            near(plain, case.euclidean.accuracy);
            let learned = centers.accuracy(test, labels, |_| Some(&case.metric));
            near(learned.unwrap(), case.mahalanobis.accuracy);
        }
    }

    #[test]
    fn what_has_no_answer_is_none() {
        let rows = Rows::new(&[0.0, 1.0, 2.0], 1).unwrap();
        assert_eq!(silhouette(rows, &[1, 1, 1]).unwrap(), None);
        assert_eq!(silhouette(rows, &[1, 2, 3]).unwrap(), None);
        assert_eq!(scatter_ratio(rows, &[1, 1, 1]).unwrap(), None);
        assert_eq!(scatter_ratio(rows, &[1, 2, 3]).unwrap(), None);
        assert!(silhouette(rows, &[1, 2]).is_err());
        let nothing = Rows::new(&[], 1).unwrap();
        assert_eq!(scatter_ratio(nothing, &[]).unwrap(), None);
        let centers = ClassCenters::fit(rows, &[0, 0, 1]).unwrap();
        assert_eq!(centers.accuracy(nothing, &[], |_| None).unwrap(), None);
        let same = Rows::new(&[1.0; 4], 1).unwrap();
        assert_eq!(silhouette(same, &[0, 0, 1, 1]).unwrap(), Some(0.0));
    }

    #[test]
    fn a_class_may_have_a_metric_of_its_own() {
        let centers = ClassCenters::fit(Rows::new(&[0.0, 10.0], 1).unwrap(), &[0, 1]).unwrap();
        let rows = [7.0];
        let wide = [0.01];
        let of = |class: usize| (class == 0).then_some(&wide[..]);
        let accuracy = centers.accuracy(Rows::new(&rows, 1).unwrap(), &[0], of);
        assert_eq!(accuracy.unwrap(), Some(1.0));
    }
}
