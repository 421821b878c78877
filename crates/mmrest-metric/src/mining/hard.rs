//! Triplets that a metric gets wrong, or nearly.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Groups, Triplet, draw};
use crate::MetricError;

/// Which row of another label is taken for an anchor and a row of its own label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hardness {
    /// The one nearest to the anchor.
    Hardest,
    /// The nearest of those that are farther from the anchor than the row of its own label, but by less than the margin
    /// (Schroff et al. 2015); where there is none, there is no triplet.
    SemiHard {
        /// In the unit of the distances.
        margin: f32,
    },
}

/// One triplet for each two rows of a label, with the other label's row that is hard to tell apart by the distances as
/// they are; of more than `max_triplets` so many are drawn by the seed without replacement. They are in ascending order.
///
/// `distances` is `[rows, rows]`, row after row, squared or not: [`Mahalanobis::distances`](crate::Mahalanobis::distances)
/// of a batch to itself. Of rows equally far the lower one is taken.
///
/// ```
/// use mmrest_metric::{Hardness, Triplet, hard_triplets};
///
/// // Rows at 0, 1, 1.5 and 4 on a line.
/// let at = [0.0_f32, 1.0, 1.5, 4.0];
/// let distances: Vec<f32> = at.iter().flat_map(|a| at.map(|b| (a - b).abs())).collect();
/// let labels = [0, 0, 1, 1];
/// let hardest = hard_triplets(&distances, &labels, Hardness::Hardest, 100, 0)?;
/// assert_eq!(hardest.len(), 4);
/// assert_eq!(hardest[0], Triplet { anchor: 0, positive: 1, negative: 2 });
///
/// let within = Hardness::SemiHard { margin: 1.0 };
/// let semi_hard = hard_triplets(&distances, &labels, within, 100, 0)?;
/// assert_eq!(semi_hard, [
///     Triplet { anchor: 0, positive: 1, negative: 2 }, // 1.5 after 1
///     Triplet { anchor: 3, positive: 2, negative: 1 }, // 3 after 2.5
/// ]);
/// # Ok::<(), mmrest_metric::MetricError>(())
/// ```
///
/// # Errors
///
/// [`MetricError::Length`] when the distances are not those of the labelled rows.
pub fn hard_triplets(
    distances: &[f32],
    labels: &[usize],
    hardness: Hardness,
    max_triplets: usize,
    seed: u64,
) -> Result<Vec<Triplet>, MetricError> {
    let expected = labels.len() * labels.len();
    MetricError::check_length("distances between the rows", distances.len(), expected)?;
    let groups = Groups::new(labels);
    let mut found = Vec::new();
    for (anchor, from) in distances.chunks_exact(labels.len().max(1)).enumerate() {
        let negatives = sorted_negatives(from, labels, labels[anchor]);
        let positives = groups.of(anchor).iter().filter(|&&row| row != anchor);
        found.extend(positives.filter_map(|&positive| {
            let negative = choose(&negatives, from, positive, hardness)?;
            Some(Triplet {
                anchor,
                positive,
                negative,
            })
        }));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ranks = draw(found.len(), max_triplets, &mut rng);
    let mut drawn: Vec<Triplet> = ranks.into_iter().map(|rank| found[rank]).collect();
    drawn.sort_unstable();
    Ok(drawn)
}

/// The rows of other labels, the nearest first.
fn sorted_negatives(from: &[f32], labels: &[usize], own: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..labels.len())
        .filter(|&row| labels[row] != own)
        .collect();
    rows.sort_by(|&a, &b| from[a].total_cmp(&from[b]));
    rows
}

fn choose(negatives: &[usize], from: &[f32], positive: usize, hardness: Hardness) -> Option<usize> {
    match hardness {
        Hardness::Hardest => negatives.first().copied(),
        Hardness::SemiHard { margin } => {
            let near = from[positive];
            let at = negatives.partition_point(|&row| from[row] <= near);
            let negative = *negatives.get(at)?;
            (from[negative] < near + margin).then_some(negative)
        }
    }
}
