//! Distances within and between sentiment bins.

use anyhow::Result;
use mmrest_metric::Rows;
use mmrest_metric::overlap::{carried, sample};
use rayon::prelude::*;

use super::picture::{Distances, Spread};
use super::run::Space;

/// Rows that are measured against each other, at most.
pub(crate) const MOST_ROWS: usize = 1500;
/// Which rows are measured is drawn by this.
const SEED: u64 = 2;

/// Distances by bin in a space, Euclidean, or under `M_0` and its ridge where it has metrics.
///
/// # Errors
///
/// A number is not finite.
pub(crate) fn distances(
    space: &Space,
    bins: usize,
    title: &str,
    learned: bool,
) -> Result<Distances> {
    let chosen = sample(space.len(), MOST_ROWS, SEED);
    let dim = space.dim.max(1);
    let values: Vec<f32> = chosen
        .iter()
        .filter_map(|&row| space.rows.get(row * dim..(row + 1) * dim))
        .flatten()
        .copied()
        .collect();
    let of: Vec<usize> = chosen
        .iter()
        .filter_map(|&row| space.bins.get(row).copied())
        .collect();
    let there = match learned && !space.global.is_empty() {
        true => carried(Rows::new(&values, dim)?, &space.global)?,
        false => values,
    };
    let rows = Rows::new(&there, dim)?;
    let of_bin = |bin: usize| {
        let (mut within, mut between) = (Vec::new(), Vec::new());
        let own = (0..rows.len()).filter(|&row| of[row] == bin);
        for row in own {
            for other in (0..rows.len()).filter(|&other| other != row) {
                let distance = distance(rows.row(row), rows.row(other));
                match of[other] == bin {
                    true => within.push(distance),
                    false => between.push(distance),
                }
            }
        }
        (spread(within), spread(between))
    };
    let (within, between) = (0..bins).into_par_iter().map(of_bin).unzip();
    Ok(Distances {
        title: title.to_owned(),
        within,
        between,
    })
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
}
