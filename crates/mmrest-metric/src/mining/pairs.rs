//! Pairs of rows: of the same label, and of different ones.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{Groups, draw, untaken};

/// Unordered pairs of rows, the lower row first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Rows of the same label.
    pub same: Vec<(usize, usize)>,
    /// Rows of different labels.
    pub other: Vec<(usize, usize)>,
}

/// Pairs of rows by their labels: all of them, or, of either side that has more, `max_pairs` drawn by the seed without
/// replacement, every pair as likely as any other. Both sides are in ascending order.
///
/// Memory and time are those of the rows and of the pairs that are kept, however many there are to draw from. The
/// pairs are those that [`MmcLossConfig`](crate::MmcLossConfig) takes from a receptive field 0 that holds all rows.
///
/// ```
/// use mmrest_metric::pairs;
///
/// let labels = [5, 3, 5, 3];
/// let all = pairs(&labels, usize::MAX, 0);
/// assert_eq!(all.same, [(0, 2), (1, 3)]);
/// assert_eq!(all.other, [(0, 1), (0, 3), (1, 2), (2, 3)]);
///
/// let three = pairs(&labels, 3, 7);
/// assert_eq!((three.same.len(), three.other.len()), (2, 3));
/// assert_eq!(three, pairs(&labels, 3, 7)); // the same seed, the same pairs
/// ```
#[must_use]
pub fn pairs(labels: &[usize], max_pairs: usize, seed: u64) -> Pairs {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let [mut same, mut other] = PairRanks::new(labels).thinned(max_pairs, &mut rng);
    same.sort_unstable();
    other.sort_unstable();
    Pairs { same, other }
}

/// The unordered pairs of rows in lexicographic order, each side numbered from 0: any of them is found by its number
/// without a list of the others.
pub(crate) struct PairRanks {
    groups: Groups,
    /// How many pairs of the same label begin with an earlier row; after the last row all of them.
    same_before: Vec<usize>,
}

impl PairRanks {
    pub(crate) fn new(labels: &[usize]) -> Self {
        let groups = Groups::new(labels);
        let mut same_before = Vec::with_capacity(labels.len() + 1);
        let mut count = 0;
        for row in 0..labels.len() {
            same_before.push(count);
            count += groups.after(row).len();
        }
        same_before.push(count);
        Self {
            groups,
            same_before,
        }
    }

    /// How many pairs of the same label there are, and how many of different labels.
    pub(crate) fn counts(&self) -> [usize; 2] {
        let rows = self.groups.len();
        [self.same_before[rows], self.other_before(rows)]
    }

    /// At most `max_pairs` of each side, drawn by `rng`, first those of the same label.
    pub(crate) fn thinned(
        &self,
        max_pairs: usize,
        rng: &mut ChaCha8Rng,
    ) -> [Vec<(usize, usize)>; 2] {
        let [same, other] = self.counts();
        let same = draw(same, max_pairs, rng);
        let other = draw(other, max_pairs, rng);
        [
            same.into_iter().map(|rank| self.same(rank)).collect(),
            other.into_iter().map(|rank| self.other(rank)).collect(),
        ]
    }

    /// A pair of the same label.
    fn same(&self, rank: usize) -> (usize, usize) {
        let row = self.same_before.partition_point(|&before| before <= rank) - 1;
        (row, self.groups.after(row)[rank - self.same_before[row]])
    }

    /// A pair of different labels.
    fn other(&self, rank: usize) -> (usize, usize) {
        let (mut low, mut high) = (0, self.groups.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.other_before(middle + 1) <= rank {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let after = self.groups.after(low);
        (low, untaken(after, low + 1, rank - self.other_before(low)))
    }

    /// How many pairs of different labels begin with a row before this one.
    fn other_before(&self, row: usize) -> usize {
        let all = row * (2 * self.groups.len() - row).saturating_sub(1) / 2;
        all - self.same_before[row]
    }
}
