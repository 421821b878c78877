//! Triplets of rows: an anchor, a row of its label, a row of another.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Groups, draw, untaken};

/// A row, one that should be near to it, and one that should be farther away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Triplet {
    /// The row that is looked from.
    pub anchor: usize,
    /// Another row of the anchor's label.
    pub positive: usize,
    /// A row of another label.
    pub negative: usize,
}

/// Triplets of rows by their labels: all of them, or `max_triplets` drawn by the seed without replacement, every triplet
/// as likely as any other. They are in ascending order.
///
/// Memory and time are those of the rows and of the triplets that are kept. Where there are more than `usize::MAX`, which
/// takes millions of rows, only the first so many are drawn from.
///
/// ```
/// use mmrest_metric::{Triplet, triplets};
///
/// let labels = [1, 0, 1];
/// assert_eq!(triplets(&labels, 100, 0), [
///     Triplet { anchor: 0, positive: 2, negative: 1 },
///     Triplet { anchor: 2, positive: 0, negative: 1 },
/// ]);
/// assert_eq!(triplets(&labels, 1, 0).len(), 1);
/// assert!(triplets(&[1, 1, 1], 100, 0).is_empty()); // nothing to tell apart
/// ```
#[must_use]
pub fn triplets(labels: &[usize], max_triplets: usize, seed: u64) -> Vec<Triplet> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = TripletRanks::new(labels).thinned(max_triplets, &mut rng);
    drawn.sort_unstable();
    drawn
}

/// All triplets in order, numbered from 0: any of them is found by its number without a list of the others.
pub(crate) struct TripletRanks {
    groups: Groups,
    /// How many triplets have an earlier anchor; after the last row all of them.
    before: Vec<usize>,
}

impl TripletRanks {
    pub(crate) fn new(labels: &[usize]) -> Self {
        let groups = Groups::new(labels);
        let mut before = Vec::with_capacity(labels.len() + 1);
        let mut count = 0_usize;
        for row in 0..labels.len() {
            before.push(count);
            let own = groups.of(row).len();
            count = count.saturating_add((own - 1).saturating_mul(labels.len() - own));
        }
        before.push(count);
        Self { groups, before }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.before[self.groups.len()]
    }

    /// At most `max_triplets`, drawn by `rng`.
    pub(crate) fn thinned(&self, max_triplets: usize, rng: &mut ChaCha8Rng) -> Vec<Triplet> {
        let ranks = draw(self.count(), max_triplets, rng);
        ranks.into_iter().map(|rank| self.triplet(rank)).collect()
    }

    fn triplet(&self, rank: usize) -> Triplet {
        let anchor = self.before.partition_point(|&before| before <= rank) - 1;
        let own = self.groups.of(anchor);
        let negatives = self.groups.len() - own.len();
        let rank = rank - self.before[anchor];
        let (positive, negative) = (rank / negatives, rank % negatives);
        let itself = self.groups.places[anchor].1;
        Triplet {
            anchor,
            positive: own[positive + usize::from(positive >= itself)],
            negative: untaken(own, 0, negative),
        }
    }
}
