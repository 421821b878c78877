//! Distances within and between sentiment bins, and to the clusters' centres.

use anyhow::Result;
use mmrest_metric::overlap::sample;
use mmrest_metric::{Rows, to_euclidean};
use rayon::prelude::*;

use super::picture::{Distances, Spread};
use super::run::Space;

/// The most rows that are measured against each other.
pub(crate) const MOST_ROWS: usize = 1500;
/// The seed for the choice of rows.
const SEED: u64 = 2;

/// Distances between the rows of a space by sentiment bin: Euclidean, or under `M_0` and its ridge where it has metrics.
///
/// # Errors
///
/// A value is not finite.
pub(crate) fn distances(
    space: &Space,
    bins: usize,
    title: &str,
    learned: bool,
) -> Result<Distances> {
    let (values, of) = sampled(space);
    let dim = space.dim.max(1);
    let there = if learned && !space.global.is_empty() {
        to_euclidean(Rows::new(&values, dim)?, &space.global)?
    } else {
        values
    };
    let rows = Rows::new(&there, dim)?;
    Ok(by_bin(title, bins, |bin| {
        let (mut within, mut between) = (Vec::new(), Vec::new());
        for row in (0..rows.len()).filter(|&row| of[row] == bin) {
            for other in (0..rows.len()).filter(|&other| other != row) {
                let distance = distance(rows.row(row), rows.row(other));
                let same = of[other] == bin;
                (if same { &mut within } else { &mut between }).push(distance);
            }
        }
        [within, between]
    }))
}

/// The spreads of the distances that `measured` gives for each bin: to rows or centres of the same sentiment, and of others.
fn by_bin(title: &str, bins: usize, measured: impl Fn(usize) -> [Vec<f64>; 2] + Sync) -> Distances {
    let spreads = |bin| {
        let [within, between] = measured(bin);
        (spread(within), spread(between))
    };
    let (within, between) = (0..bins).into_par_iter().map(spreads).unzip();
    Distances {
        title: title.to_owned(),
        within,
        between,
    }
}

/// Distances of a space's rows, by their bin, to the nearest centre of a cluster of their own sentiment, and to the
/// nearest of another: Euclidean, or each under the metric `M_i` of the centre's cluster.
///
/// # Errors
///
/// A value is not finite.
pub(crate) fn to_centers(
    space: &Space,
    bins: usize,
    title: &str,
    learned: bool,
) -> Result<Distances> {
    let (values, of) = sampled(space);
    let dim = space.dim.max(1);
    let mut nearest = vec![[f64::INFINITY; 2]; of.len()];
    let centers = space.centers.chunks_exact(dim).zip(&space.center_bins);
    for (cluster, (center, &sentiment)) in centers.enumerate() {
        let differences = values.chunks_exact(dim).flat_map(|row| {
            let pairs = row.iter().zip(center);
            pairs.map(|(x, c)| x - c)
        });
        let differences: Vec<f32> = differences.collect();
        let metric = space
            .own
            .get(cluster * dim * dim..(cluster + 1) * dim * dim);
        let there = match metric.filter(|_| learned) {
            Some(metric) => to_euclidean(Rows::new(&differences, dim)?, metric)?,
            None => differences,
        };
        let origin = vec![0.0; dim];
        for ((row, bin), nearest) in there.chunks_exact(dim).zip(&of).zip(&mut nearest) {
            let place = usize::from(*bin != sentiment);
            nearest[place] = nearest[place].min(distance(row, &origin));
        }
    }
    Ok(by_bin(title, bins, |bin| {
        [0, 1].map(|place| nearest_of(&nearest, &of, bin, place))
    }))
}

/// The distances of a bin's rows at `place` (0: own sentiment, 1: another), where such a centre exists.
fn nearest_of(nearest: &[[f64; 2]], of: &[usize], bin: usize, place: usize) -> Vec<f64> {
    let rows = nearest.iter().zip(of).filter(|&(_, &own)| own == bin);
    let found = rows.map(|(nearest, _)| nearest[place]);
    found.filter(|distance| distance.is_finite()).collect()
}

/// A sample of the rows of a space, and the bin of each.
fn sampled(space: &Space) -> (Vec<f32>, Vec<usize>) {
    let chosen = sample(space.len(), MOST_ROWS, SEED);
    let dim = space.dim.max(1);
    let values = chosen
        .iter()
        .filter_map(|&row| space.rows.get(row * dim..(row + 1) * dim))
        .flatten()
        .copied()
        .collect();
    let of = chosen
        .iter()
        .filter_map(|&row| space.bins.get(row).copied())
        .collect();
    (values, of)
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| f64::from(a - b) * f64::from(a - b));
    squares.sum::<f64>().sqrt()
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values.get(values.len() * share / 10).copied();
    Some(Spread {
        low: at(1)?,
        mean: values.iter().sum::<f64>() / values.len() as f64,
        high: at(9)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_bin_are_measured_to_their_own_and_to_the_others() {
        let space = Space {
            dim: 1,
            rows: vec![0.0, 1.0, 10.0],
            bins: vec![2, 2, 4],
            modality: vec![0; 3],
            global: vec![4.0],
            ..Space::default()
        };
        let plain = distances(&space, 7, "", false).unwrap();
        let one = |at| Spread {
            low: at,
            mean: at,
            high: at,
        };
        assert_eq!(plain.within[2], Some(one(1.0)));
        assert_eq!(plain.within[4], None);
        assert_eq!(
            plain.between[4].map(|s| (s.low, s.mean, s.high)),
            Some((9.0, 9.5, 10.0))
        );
        assert_eq!(plain.between[0], None);
        let learned = distances(&space, 7, "", true).unwrap();
        assert_eq!(learned.within[2], Some(one(2.0)));
    }

    #[test]
    fn centres_of_the_own_sentiment_and_of_others_are_told_apart() {
        let space = Space {
            dim: 1,
            rows: vec![0.0, 1.0, 10.0, 20.0],
            bins: vec![2, 2, 4, 6],
            modality: vec![0; 4],
            centers: vec![0.0, 4.0, 12.0],
            center_bins: vec![2, 2, 4],
            own: vec![1.0, 9.0, 4.0],
            ..Space::default()
        };
        let means = |spreads: &[Option<Spread>]| -> Vec<Option<f64>> {
            spreads.iter().map(|s| s.map(|s| s.mean)).collect()
        };
        let plain = to_centers(&space, 7, "", false).unwrap();
        let none = [None; 7];
        let with = |values: &[(usize, f64)]| {
            let mut all = none;
            values
                .iter()
                .for_each(|&(bin, value)| all[bin] = Some(value));
            all.to_vec()
        };
        assert_eq!(means(&plain.within), with(&[(2, 0.5), (4, 2.0)]));
        assert_eq!(
            means(&plain.between),
            with(&[(2, 11.5), (4, 6.0), (6, 8.0)])
        );
        // Under 1, 9 and 4 squared lengths count once, nine times and four times.
        let learned = to_centers(&space, 7, "", true).unwrap();
        assert_eq!(means(&learned.within), with(&[(2, 0.5), (4, 4.0)]));
        assert_eq!(
            means(&learned.between),
            with(&[(2, 23.0), (4, 10.0), (6, 16.0)])
        );
    }
}
