//! The pairs of a receptive field: which pull together, which push apart.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::mining::PairRanks;

/// The signed graph Laplacian of a field's pairs, `[field.len(), field.len()]`; `None` if there is no pair.
///
/// An unordered pair of rows of the same bin has weight `+1`, of different bins `-1`. With `W` these weights,
/// `L = diag(W 1) - W`, so that for the field's rows `X`
///
/// ```text
/// sum_same (p - q)^T M (p - q) - sum_other (p - q)^T M (p - q) = <L X, X M>
/// ```
///
/// More than `max_pairs` pairs of one side are thinned to that many, drawn without replacement by `seed` and
/// `stream` (one stream a field, so that fields do not depend on each other).
///
/// Every row of the field must have a bin in `row_bins`.
pub(super) fn signed_laplacian(
    field: &[usize],
    row_bins: &[usize],
    max_pairs: usize,
    seed: u64,
    stream: u64,
) -> Option<Vec<f32>> {
    weighted_laplacian(field, row_bins, max_pairs, seed, stream, |_| [1.0, -1.0])
}

/// As [`signed_laplacian`], with pairs of the same bin weighing `1 / (their number)` and pairs of different bins
/// `-1 / (their number)`: the difference of the two means, which does not grow with the field. A side without pairs
/// counts 0.
pub(super) fn mean_laplacian(
    field: &[usize],
    row_bins: &[usize],
    max_pairs: usize,
    seed: u64,
    stream: u64,
) -> Option<Vec<f32>> {
    let share = |count: usize| 1.0 / count.max(1) as f32;
    weighted_laplacian(field, row_bins, max_pairs, seed, stream, |[same, other]| {
        [share(same), -share(other)]
    })
}

/// How many pairs of a field have the same bin, or different bins, whichever are fewer.
pub(super) fn least_of_both(field: &[usize], row_bins: &[usize]) -> usize {
    let bins: Vec<usize> = field.iter().map(|&row| row_bins[row]).collect();
    let [same, other] = PairRanks::new(&bins).counts();
    same.min(other)
}

/// The Laplacian of pairs that weigh what `weights` says of the counted pairs of the same bin and of different bins.
fn weighted_laplacian(
    field: &[usize],
    row_bins: &[usize],
    max_pairs: usize,
    seed: u64,
    stream: u64,
    weights: impl Fn([usize; 2]) -> [f32; 2],
) -> Option<Vec<f32>> {
    let bins: Vec<usize> = field.iter().map(|&row| row_bins[row]).collect();
    let ranks = PairRanks::new(&bins);
    let [same, other] = ranks.counts();
    if same.max(other) <= max_pairs {
        return (same + other > 0).then(|| laplacian_of_all(&bins, weights([same, other])));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let [same, other] = ranks.thinned(max_pairs, &mut rng);
    if same.is_empty() && other.is_empty() {
        return None;
    }
    let size = bins.len();
    let mut laplacian = vec![0.0; size * size];
    let weights = weights([same.len(), other.len()]);
    for (pairs, weight) in [same, other].into_iter().zip(weights) {
        for (a, b) in pairs {
            laplacian[a * size + a] += weight;
            laplacian[b * size + b] += weight;
            laplacian[a * size + b] -= weight;
            laplacian[b * size + a] -= weight;
        }
    }
    Some(laplacian)
}

/// The Laplacian of every pair.
fn laplacian_of_all(bins: &[usize], [same, other]: [f32; 2]) -> Vec<f32> {
    let size = bins.len();
    let mut laplacian = Vec::with_capacity(size * size);
    for (row, bin) in bins.iter().enumerate() {
        let start = laplacian.len();
        laplacian.extend(bins.iter().map(|of| if of == bin { -same } else { -other }));
        // Rows sum to 0.
        laplacian[start + row] = 0.0;
        laplacian[start + row] = -laplacian[start..].iter().sum::<f32>();
    }
    laplacian
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_signs_or_shares() {
        // Rows 0 and 2 have the same bin, row 1 another.
        let (field, bins) = ([0, 1, 2], [5, 3, 5]);
        let signed = signed_laplacian(&field, &bins, 4000, 0, 0).unwrap();
        assert_eq!(signed, [0.0, 1.0, -1.0, 1.0, -2.0, 1.0, -1.0, 1.0, 0.0]);
        let mean = mean_laplacian(&field, &bins, 4000, 0, 0).unwrap();
        assert_eq!(mean, [0.5, 0.5, -1.0, 0.5, -1.0, 0.5, -1.0, 0.5, 0.5]);
        assert_eq!(signed_laplacian(&[1], &bins, 4000, 0, 0), None);
    }

    #[test]
    fn rows_of_a_laplacian_sum_to_zero_and_it_is_symmetric() {
        let bins = [0, 1, 1, 2, 0, 0, 1];
        let laplacian = signed_laplacian(&[0, 2, 3, 4, 5, 6], &bins, 4, 7, 1).unwrap();
        for (a, row) in laplacian.chunks_exact(6).enumerate() {
            assert_eq!(row.iter().sum::<f32>(), 0.0);
            for b in 0..6 {
                assert_eq!(row[b], laplacian[b * 6 + a]);
            }
        }
    }

    #[test]
    fn all_pairs_are_those_of_the_lists() {
        let bins = [4, 0, 4, 2, 2, 4, 0, 1];
        let pairs = crate::pairs(&bins, usize::MAX, 0);
        let laplacian = laplacian_of_all(&bins, [1.0, -1.0]);
        for (pairs, weight) in [(pairs.same, 1.0), (pairs.other, -1.0)] {
            assert!(pairs.iter().all(|&(a, b)| laplacian[a * 8 + b] == -weight));
        }
        for row in laplacian.chunks_exact(8) {
            assert_eq!(row.iter().sum::<f32>(), 0.0);
        }
        assert_eq!(signed_laplacian(&[], &bins, 9, 0, 0), None);
    }

    #[test]
    fn a_side_is_thinned_to_the_cap_by_the_seed_and_stream() {
        let bins = vec![3; 100];
        let field: Vec<usize> = (0..100).collect();
        let pairs = |laplacian: &[f32]| laplacian.iter().filter(|&&v| v == -1.0).count() / 2;
        let with = |seed, stream| signed_laplacian(&field, &bins, 4000, seed, stream).unwrap();
        assert_eq!(pairs(&with(1, 0)), 4000);
        assert_eq!(with(1, 0), with(1, 0));
        assert_ne!(with(1, 0), with(2, 0));
        assert_ne!(with(1, 0), with(1, 1));
        assert_eq!(
            pairs(&signed_laplacian(&field, &bins, 5000, 1, 0).unwrap()),
            4950
        );
        assert_eq!(signed_laplacian(&field, &bins, 0, 1, 0), None);
    }

    #[test]
    fn the_fewer_pairs_are_counted() {
        // Of bin 2: three rows, three pairs; of bin 0 one row, with three pairs of different bins; then of bin 1.
        let bins = [2, 2, 0, 2, 1];
        assert_eq!(least_of_both(&[0, 1, 2, 3], &bins), 3);
        assert_eq!(least_of_both(&[0, 1, 2, 3, 4], &bins), 3);
        assert_eq!(least_of_both(&[0, 2, 4], &bins), 0);
    }

    #[test]
    fn means_are_the_sums_over_the_pairs_that_were_drawn() {
        let bins = [0, 1, 1, 2, 0, 0, 1];
        let field = [0, 2, 3, 4, 5, 6];
        let x = [0.5_f32, -1.0, 2.0, 0.25, 3.0, -0.75];
        let form = |laplacian: &[f32]| {
            let entry = |at: usize| laplacian[at] * x[at / 6] * x[at % 6];
            (0..36).map(entry).sum::<f32>()
        };
        let squared = |a: usize, b: usize| (x[a] - x[b]) * (x[a] - x[b]);
        let mean = |same: bool| {
            let pairs = (0..6).flat_map(|a| (a + 1..6).map(move |b| (a, b)));
            let of_side = |&(a, b): &(usize, usize)| (bins[field[a]] == bins[field[b]]) == same;
            let pairs: Vec<(usize, usize)> = pairs.filter(of_side).collect();
            pairs.iter().map(|&(a, b)| squared(a, b)).sum::<f32>() / pairs.len() as f32
        };
        let laplacian = mean_laplacian(&field, &bins, 4000, 7, 1).unwrap();
        assert!((form(&laplacian) - (mean(true) - mean(false))).abs() < 1e-5);
        // Thinned to one pair a side, each weighs 1.
        let thinned = mean_laplacian(&field, &bins, 1, 7, 1).unwrap();
        assert_eq!(thinned, signed_laplacian(&field, &bins, 1, 7, 1).unwrap());
    }
}
