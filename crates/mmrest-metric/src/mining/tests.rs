use proptest::prelude::*;
use rand::SeedableRng;

use super::*;

/// All pairs by two loops.
fn all_pairs(labels: &[usize]) -> Pairs {
    let mut pairs = Pairs::default();
    for a in 0..labels.len() {
        for b in a + 1..labels.len() {
            match labels[a] == labels[b] {
                true => pairs.same.push((a, b)),
                false => pairs.other.push((a, b)),
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
