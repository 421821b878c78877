//! Why a prediction is what it is: what each modality adds to it, and which training segments are like it.

use mmrest_data::{Frames, Modality, Segment};
use mmrest_models::{Prediction, Representations};
use serde::Serialize;

use super::neighbours::{Neighbour, Neighbours, Query};
use super::{Predictor, SUBSETS, Subset, bit, subset_of};
use crate::error::{LearnerError, to_host};

/// What each modality adds to a prediction. A modality that the segment lacks, or the model does not use, adds nothing.
///
/// These are the Shapley values of the game whose players are the modalities that the segment has, and in which a
/// coalition is worth the model's prediction when the others are missing (empty text, one zero frame). So they add up to
/// the prediction less [`Explanation::base`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Contributions {
    /// Of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<f32>,
    /// Of vision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<f32>,
    /// Of audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<f32>,
}

impl Contributions {
    /// That of a modality.
    pub fn of(&self, modality: Modality) -> Option<f32> {
        match modality {
            Modality::Text => self.text,
            Modality::Vision => self.vision,
            Modality::Audio => self.audio,
        }
    }

    /// Of all modalities together.
    pub fn total(&self) -> f32 {
        let all = Modality::ALL.into_iter();
        all.filter_map(|modality| self.of(modality)).sum()
    }
}

/// A prediction with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The prediction, as [`Predictor::predict`] makes it.
    pub prediction: Prediction,
    /// What the model predicts of a segment that has no modality at all.
    pub base: f32,
    /// What each modality adds to that.
    pub contributions: Contributions,
    /// The training segments nearest to this one, nearest first; none without
    /// [`Predictor::with_neighbours`], or of a segment that has no modality.
    pub neighbours: Vec<Neighbour>,
}

impl Predictor {
    /// Scores segments as [`Predictor::predict`] does, in their order, and says why: the contribution of each modality,
    /// and the `neighbours` training segments nearest in the shared space.
    ///
    /// The prediction is made for every subset of the modalities that a segment may have; where the model has a shared space
    /// its encoders run once.
    ///
    /// # Errors
    ///
    /// As [`Predictor::predict`].
    pub fn explain(
        &self,
        segments: &[Segment],
        neighbours: usize,
    ) -> Result<Vec<Explanation>, LearnerError> {
        let used = self.used();
        let all = subset_of(&used);
        let subsets: Vec<Subset> = (0..SUBSETS).filter(|subset| subset & !all == 0).collect();
        let space = self.model.geometry();
        let nothing = without(segments.first().unwrap_or(&unnamed()), 0);
        let absent = space
            .as_ref()
            .map(|space| space.encode(&self.batch(&[nothing], &[0])));
        let mut explained = Vec::with_capacity(segments.len());
        for rows in self.batches(segments) {
            let here: Vec<&Segment> = rows.iter().map(|&row| &segments[row]).collect();
            let mut worth: Vec<Vec<Prediction>> = vec![Vec::new(); SUBSETS];
            let mut own = None;
            if let Some((space, absent)) = space.as_ref().zip(absent.as_ref()) {
                let encoded = space.encode(&self.batch(segments, &rows));
                for &subset in &subsets {
                    let keep = |modality| subset & bit(modality) != 0;
                    let mixed = encoded.mixed(absent, rows.len(), keep);
                    worth[subset] = space.decide(mixed, &rows)?;
                }
                own = Some(encoded);
            } else {
                for &subset in &subsets {
                    let of = here.iter().map(|segment| without(segment, subset));
                    let of: Vec<Segment> = of.collect();
                    let places: Vec<usize> = (0..of.len()).collect();
                    worth[subset] = self.model.predict_batch(&self.batch(&of, &places))?;
                    for (prediction, &row) in worth[subset].iter_mut().zip(&rows) {
                        prediction.row = row;
                    }
                }
            }
            explained.extend(self.explain_batch(&here, all, worth, own.as_ref(), neighbours)?);
            self.count(&rows);
        }
        explained.sort_by_key(|explanation| explanation.prediction.row);
        Ok(explained)
    }

    /// `worth`: the predictions of the batch for every subset of the modalities in use, which are `all`.
    fn explain_batch(
        &self,
        segments: &[&Segment],
        all: Subset,
        mut worth: Vec<Vec<Prediction>>,
        own: Option<&Representations>,
        neighbours: usize,
    ) -> Result<Vec<Explanation>, LearnerError> {
        let predictions = std::mem::take(&mut worth[all]);
        let near = match (&self.neighbours, own) {
            (Some(known), Some(own)) if neighbours > 0 => {
                known.nearest(&self.queries(segments, &predictions, own)?, neighbours)?
            }
            _ => vec![Vec::new(); segments.len()],
        };
        let explain = |(place, (prediction, neighbours)): (usize, (Prediction, Vec<Neighbour>))| {
            let lacks = self.missing(segments[place]);
            let has = all & !subset_of(&lacks);
            let of = |subset: Subset| {
                if subset == has {
                    // What is missing is what it is filled with.
                    prediction.prediction
                } else {
                    worth[subset][place].prediction
                }
            };
            let share = |modality| {
                (has & bit(modality) != 0).then(|| shapley(bit(modality), has, of) as f32)
            };
            Explanation {
                base: of(0),
                contributions: Contributions {
                    text: share(Modality::Text),
                    vision: share(Modality::Vision),
                    audio: share(Modality::Audio),
                },
                neighbours,
                prediction,
            }
        };
        let each = predictions.into_iter().zip(near).enumerate();
        Ok(each.map(explain).collect())
    }

    /// What neighbours are looked for by: the modalities that each segment has, in the shared space; of a kernel also
    /// what stands for those that a segment with any lacks.
    fn queries(
        &self,
        segments: &[&Segment],
        predictions: &[Prediction],
        own: &Representations,
    ) -> Result<Vec<Query>, LearnerError> {
        let mut queries: Vec<Query> = predictions.iter().map(Query::of).collect();
        let known = self.neighbours.as_ref();
        let (used, all) = (
            self.used().len(),
            known.is_some_and(Neighbours::compares_all),
        );
        for (modality, rows) in own.by_modality() {
            let dim = rows.dims()[1].max(1);
            let values = to_host(rows)?;
            let each = queries.iter_mut().zip(segments);
            for ((query, segment), row) in each.zip(values.chunks_exact(dim)) {
                let lacks = self.missing(segment);
                let compared = lacks.len() < used && (all || !lacks.contains(&modality));
                if compared {
                    query.rows.push((modality, row.to_vec()));
                }
            }
        }
        Ok(queries)
    }
}

fn unnamed() -> Segment {
    Segment {
        id: String::new(),
        video: String::new(),
        text: String::new(),
        vision: Frames::default(),
        audio: Frames::default(),
        label: None,
    }
}

/// A segment with the modalities of `subset` alone.
fn without(segment: &Segment, subset: Subset) -> Segment {
    let frames = |modality, frames: &Frames| {
        if subset & bit(modality) == 0 {
            Frames::default()
        } else {
            frames.clone()
        }
    };
    Segment {
        text: if subset & bit(Modality::Text) == 0 {
            String::new()
        } else {
            segment.text.clone()
        },
        vision: frames(Modality::Vision, &segment.vision),
        audio: frames(Modality::Audio, &segment.audio),
        ..segment.clone()
    }
}

/// The Shapley value of `player`, one of `all`: the mean over all orders of the players of what it adds to those before
/// it, `sum_S |S|! (n - |S| - 1)! / n! (v(S + player) - v(S))`.
fn shapley(player: Subset, all: Subset, worth: impl Fn(Subset) -> f32) -> f64 {
    let factorial = |n: u32| f64::from((1..=n).product::<u32>());
    let players = all.count_ones();
    let without = (0..=all).filter(|subset| subset & !all == 0 && subset & player == 0);
    without
        .map(|subset| {
            let before = subset.count_ones();
            let orders = factorial(before) * factorial(players - before - 1);
            let added = f64::from(worth(subset | player)) - f64::from(worth(subset));
            orders / factorial(players) * added
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean over all orders, one after another.
    fn by_orders(player: usize, players: &[usize], worth: &impl Fn(Subset) -> f32) -> f64 {
        fn orders(left: &[usize], so_far: &[usize], found: &mut Vec<Vec<usize>>) {
            if left.is_empty() {
                found.push(so_far.to_vec());
            }
            for (place, &next) in left.iter().enumerate() {
                let mut rest = left.to_vec();
                rest.remove(place);
                orders(&rest, &[so_far, &[next]].concat(), found);
            }
        }
        let mut all = Vec::new();
        orders(players, &[], &mut all);
        let added = all.iter().map(|order| {
            let before = order.iter().take_while(|&&other| other != player);
            let before: usize = before.map(|&other| 1 << other).sum();
            f64::from(worth(before | 1 << player)) - f64::from(worth(before))
        });
        added.sum::<f64>() / all.len() as f64
    }

    #[test]
    fn values_are_the_mean_over_all_orders_and_add_up() {
        let worth = |subset: Subset| [0.3, 1.0, -0.5, 2.0, 0.1, 1.7, -2.5, 4.0][subset];
        for players in [vec![0, 1, 2], vec![0, 2], vec![1]] {
            let all: usize = players.iter().map(|player| 1 << player).sum();
            let mut total = 0.0;
            for &player in &players {
                let value = shapley(1 << player, all, worth);
                assert!((value - by_orders(player, &players, &worth)).abs() < 1e-9);
                total += value;
            }
            assert!((total - f64::from(worth(all) - worth(0))).abs() < 1e-6);
        }
    }
}
