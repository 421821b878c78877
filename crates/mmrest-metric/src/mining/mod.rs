//! Pairs and triplets of rows by their labels, drawn where there are too many.

mod hard;
mod pairs;
mod triplets;

use std::collections::HashMap;

use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

pub use hard::{Hardness, hard_triplets};
pub(crate) use pairs::PairRanks;
pub use pairs::{Pairs, pairs};
pub(crate) use triplets::TripletRanks;
pub use triplets::{Triplet, triplets};

/// The rows of each label.
pub(crate) struct Groups {
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
    match count <= most {
        true => (0..count).collect(),
        false => sample(rng, count, most).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests;
