//! Where the centres start: greedy k-means++ (Arthur and Vassilvitskii 2007).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::Rows;
use crate::rows::squared_distance;

/// Up to `clusters` rows as centres, each drawn with probability proportional to its squared distance `D^2`
/// from the centres before it.
///
/// Of `2 + ln(clusters)` such draws the one that lowers the sum of `D^2` most is taken, as scikit-learn does.
/// Fewer centres come out when there are fewer distinct rows.
pub(super) fn plus_plus(rows: Rows<'_>, clusters: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let trials = 2 + (clusters as f64).ln() as usize;
    let first = rows.row(rng.random_range(0..rows.len()));
    let mut centers = first.to_vec();
    let mut potential = vec![f64::INFINITY; rows.len()];
    lower(&mut potential, rows, first);

    for _ in 1..clusters {
        let total: f64 = potential.iter().sum();
        if total <= 0.0 {
            break; // every row is a centre already
        }
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for _ in 0..trials {
            let candidate = draw(&potential, total * rng.random::<f64>());
            let mut lowered = potential.clone();
            lower(&mut lowered, rows, rows.row(candidate));
            let sum = lowered.iter().sum();
            if best.as_ref().is_none_or(|(lowest, ..)| sum < *lowest) {
                best = Some((sum, candidate, lowered));
            }
        }
        if let Some((_, candidate, lowered)) = best {
            centers.extend_from_slice(rows.row(candidate));
            potential = lowered;
        }
    }
    centers
}

/// `D^2` of every row once `center` is one of the centres.
fn lower(potential: &mut [f64], rows: Rows<'_>, center: &[f32]) {
    for (value, row) in potential.iter_mut().zip(rows.iter()) {
        *value = value.min(squared_distance(row, center));
    }
}

/// The index at which the running sum of `weights` passes `threshold`, never one of weight 0.
fn draw(weights: &[f64], threshold: f64) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (index, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            sum += weight;
            last = index;
            if sum > threshold {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn draws_follow_the_weights_and_never_take_a_weight_of_zero() {
        let weights = [0.0, 1.0, 0.0, 3.0, 0.0];
        assert_eq!(draw(&weights, 0.0), 1);
        assert_eq!(draw(&weights, 0.99), 1);
        assert_eq!(draw(&weights, 1.0), 3);
        assert_eq!(draw(&weights, 3.99), 3);
        assert_eq!(draw(&weights, 4.0), 3); // rounding may reach the total
    }

    #[test]
    fn centres_are_distinct_rows() {
        let values = [1.0, 1.0, 2.0, 2.0, 3.0, 1.0];
        let rows = Rows::new(&values, 1).unwrap();
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut centers = plus_plus(rows, 5, &mut rng);
            centers.sort_by(f32::total_cmp);
            assert_eq!(centers, [1.0, 2.0, 3.0]);
        }
    }
}
