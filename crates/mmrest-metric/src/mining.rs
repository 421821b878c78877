//! Pairs and triplets of rows by their labels, drawn where there are too many, and the triplets that a metric gets wrong.

use std::collections::HashMap;

use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use crate::MetricError;

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

/// The rows of each label.
struct Groups {
    /// Rows of one label, ascending.
    rows: Vec<Vec<usize>>,
    /// Of each row its group, and its place in it.
    places: Vec<(usize, usize)>,
}

impl Groups {
    fn new(labels: &[usize]) -> Self {
        let mut known = HashMap::new();
        let mut rows: Vec<Vec<usize>> = Vec::new();
        let mut places = Vec::with_capacity(labels.len());
        for (row, &label) in labels.iter().enumerate() {
            let group = *known.entry(label).or_insert(rows.len());
            match rows.get_mut(group) {
                Some(members) => members.push(row),
                None => rows.push(vec![row]),
            }
            places.push((group, rows[group].len() - 1));
        }
        Self { rows, places }
    }

    /// How many rows there are.
    fn len(&self) -> usize {
        self.places.len()
    }

    /// All rows of a row's label, itself among them.
    fn of(&self, row: usize) -> &[usize] {
        &self.rows[self.places[row].0]
    }

    /// The rows of a row's label that come after it.
    fn after(&self, row: usize) -> &[usize] {
        let (group, place) = self.places[row];
        &self.rows[group][place + 1..]
    }
}

/// The `index`-th row from `start` on that is not among `taken`, which are ascending and not below `start`.
fn untaken(taken: &[usize], start: usize, index: usize) -> usize {
    // Before `taken[at]` there are `taken[at] - start - at` others, ever more as `at` grows.
    let (mut low, mut high) = (0, taken.len());
    while low < high {
        let middle = low.midpoint(high);
        if taken[middle] - start - middle <= index {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    start + index + low
}

/// Numbers of at most `most` of `count` things: all of them in order, or so many drawn without replacement.
fn draw(count: usize, most: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if count <= most {
        (0..count).collect()
    } else {
        sample(rng, count, most).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    /// All pairs by two loops.
    fn all_pairs(labels: &[usize]) -> Pairs {
        let mut pairs = Pairs::default();
        for a in 0..labels.len() {
            for b in a + 1..labels.len() {
                if labels[a] == labels[b] {
                    pairs.same.push((a, b));
                } else {
                    pairs.other.push((a, b));
                }
            }
        }
        pairs
    }

    /// All triplets by three loops.
    fn all_triplets(labels: &[usize]) -> Vec<Triplet> {
        let rows = 0..labels.len();
        let mut triplets = Vec::new();
        for anchor in rows.clone() {
            for positive in rows.clone() {
                for negative in rows.clone() {
                    let near = positive != anchor && labels[positive] == labels[anchor];
                    if near && labels[negative] != labels[anchor] {
                        triplets.push(Triplet {
                            anchor,
                            positive,
                            negative,
                        });
                    }
                }
            }
        }
        triplets
    }

    fn is_ascending<T: Ord>(items: &[T]) -> bool {
        items.is_sorted_by(|a, b| a < b)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn without_a_cap_there_are_those_of_the_loops(labels in prop::collection::vec(0_usize..5, 0..14)) {
            prop_assert_eq!(pairs(&labels, usize::MAX, 1), all_pairs(&labels));
            prop_assert_eq!(triplets(&labels, usize::MAX, 1), all_triplets(&labels));
        }

        #[test]
        fn with_a_cap_there_are_so_many_of_them(
            labels in prop::collection::vec(0_usize..4, 0..14),
            cap in 0_usize..40,
            seed in any::<u64>(),
        ) {
            let (all, some) = (all_pairs(&labels), pairs(&labels, cap, seed));
            for (some, all) in [(&some.same, &all.same), (&some.other, &all.other)] {
                prop_assert_eq!(some.len(), all.len().min(cap));
                prop_assert!(is_ascending(some) && some.iter().all(|pair| all.contains(pair)));
            }
            let (all, some) = (all_triplets(&labels), triplets(&labels, cap, seed));
            prop_assert_eq!(some.len(), all.len().min(cap));
            prop_assert!(is_ascending(&some) && some.iter().all(|triplet| all.contains(triplet)));
        }

        #[test]
        fn hard_triplets_are_those_of_the_loops(
            labels in prop::collection::vec(0_usize..3, 0..10),
            values in prop::collection::vec(0_u8..12, 100),
            margin in 0.0..6.0_f32,
        ) {
            let rows = labels.len();
            let distances: Vec<f32> = (0..rows * rows).map(|at| f32::from(values[at])).collect();
            for hardness in [Hardness::Hardest, Hardness::SemiHard { margin }] {
                let mut expected = Vec::new();
                for anchor in 0..rows {
                    for positive in (0..rows).filter(|&row| row != anchor && labels[row] == labels[anchor]) {
                        let from = &distances[anchor * rows..];
                        let mut best: Option<usize> = None;
                        for negative in (0..rows).filter(|&row| labels[row] != labels[anchor]) {
                            let fits = match hardness {
                                Hardness::Hardest => true,
                                Hardness::SemiHard { margin } => {
                                    from[negative] > from[positive] && from[negative] < from[positive] + margin
                                }
                            };
                            if fits && best.is_none_or(|best| from[negative] < from[best]) {
                                best = Some(negative);
                            }
                        }
                        expected.extend(best.map(|negative| Triplet { anchor, positive, negative }));
                    }
                }
                let found = hard_triplets(&distances, &labels, hardness, usize::MAX, 3).unwrap();
                prop_assert_eq!(&found, &expected);
                let four = hard_triplets(&distances, &labels, hardness, 4, 3).unwrap();
                prop_assert_eq!(four.len(), expected.len().min(4));
                prop_assert!(four.iter().all(|triplet| expected.contains(triplet)));
            }
        }
    }

    /// Of `draws` draws of `cap` among `count`, each is drawn `draws * cap / count` times but for six standard deviations.
    fn assert_uniform(times: &[usize], draws: usize, cap: usize) {
        let share = cap as f64 / times.len() as f64;
        let expected = draws as f64 * share;
        let deviation = (expected * (1.0 - share)).sqrt();
        for &times in times {
            assert!(
                (times as f64 - expected).abs() < 6.0 * deviation,
                "{times} for {expected}"
            );
        }
    }

    #[test]
    fn every_pair_and_triplet_is_as_likely_as_any_other() {
        let labels = [0, 1, 0, 2, 1, 0, 0];
        let (all, of_three) = (all_pairs(&labels), all_triplets(&labels));
        let draws = 4000;
        let mut times = [
            vec![0; all.same.len()],
            vec![0; all.other.len()],
            vec![0; of_three.len()],
        ];
        let place = |found: Option<usize>| found.unwrap();
        for seed in 0..draws {
            let some = pairs(&labels, 3, seed);
            for pair in &some.same {
                times[0][place(all.same.iter().position(|of| of == pair))] += 1;
            }
            for pair in &some.other {
                times[1][place(all.other.iter().position(|of| of == pair))] += 1;
            }
            for triplet in triplets(&labels, 3, seed) {
                times[2][place(of_three.binary_search(&triplet).ok())] += 1;
            }
        }
        for times in &times {
            assert_uniform(times, draws as usize, 3);
        }
    }

    #[test]
    fn the_seed_decides() {
        let labels: Vec<usize> = (0..60).map(|row| row % 4).collect();
        assert_eq!(pairs(&labels, 50, 1), pairs(&labels, 50, 1));
        assert_ne!(pairs(&labels, 50, 1), pairs(&labels, 50, 2));
        assert_eq!(triplets(&labels, 50, 1), triplets(&labels, 50, 1));
        assert_ne!(triplets(&labels, 50, 1), triplets(&labels, 50, 2));
    }

    /// 300,000 rows have 4.5e10 pairs and 7e15 triplets: none of them is listed to draw a thousand.
    #[test]
    fn a_large_table_is_drawn_from_without_listing_it() {
        let labels: Vec<usize> = (0..300_000).map(|row| (row * 7919) % 13).collect();
        let some = pairs(&labels, 1000, 5);
        assert_eq!((some.same.len(), some.other.len()), (1000, 1000));
        assert!(
            some.same
                .iter()
                .all(|&(a, b)| a < b && labels[a] == labels[b])
        );
        assert!(
            some.other
                .iter()
                .all(|&(a, b)| a < b && labels[a] != labels[b])
        );
        let some = triplets(&labels, 1000, 5);
        assert_eq!(some.len(), 1000);
        for Triplet {
            anchor,
            positive,
            negative,
        } in some
        {
            assert!(anchor != positive && labels[anchor] == labels[positive]);
            assert_ne!(labels[anchor], labels[negative]);
        }
    }

    /// The pairs are drawn in the order in which a list of all of them would be.
    #[test]
    fn numbers_stand_for_pairs_in_order() {
        let labels = [2, 0, 2, 2, 1, 0, 1, 2];
        let (ranks, all) = (PairRanks::new(&labels), all_pairs(&labels));
        assert_eq!(ranks.counts(), [all.same.len(), all.other.len()]);
        let mut listed = ChaCha8Rng::seed_from_u64(3);
        let mut ranked = ChaCha8Rng::seed_from_u64(3);
        let [same, other] = ranks.thinned(4, &mut ranked);
        for (found, all) in [(same, &all.same), (other, &all.other)] {
            let expected: Vec<_> = draw(all.len(), 4, &mut listed)
                .iter()
                .map(|&at| all[at])
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn distances_of_other_rows_are_refused() {
        let refused = hard_triplets(&[0.0; 8], &[0, 1, 0], Hardness::Hardest, 9, 0);
        assert!(matches!(
            refused,
            Err(crate::MetricError::Length {
                found: 8,
                expected: 9,
                ..
            })
        ));
    }
}
