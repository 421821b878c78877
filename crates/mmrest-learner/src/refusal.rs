//! Why a training step was not taken.

use std::fmt;

/// Why a training step was not taken; the model stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// A loss or a gradient is not finite. Training may go on with the next batch.
    NonFinite(NonFinite),
    /// The step failed: training cannot go on.
    Failed(String),
    /// The step failed where another device took its part of it.
    Elsewhere(String),
}

/// A number that is not finite, met in a training step.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// Where it shows: a part of the loss (`task`, `intra`, `inter`, `frobenius`, `mmc`, `total`), or `gradient` where
    /// the loss itself is finite.
    pub part: &'static str,
    /// The first tensor that holds one, in the order of computation; of gradients, in the order of the model's fields.
    pub tensor: String,
    /// The first such number in it: infinite or NaN.
    pub value: f32,
    /// The segment it belongs to, where it belongs to one: its place in the training split.
    pub row: Option<usize>,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            "gradient" => write!(f, "the loss is finite and its gradient is not")?,
            "total" => write!(f, "the loss is not finite")?,
            part => write!(f, "the loss is not finite in its part '{part}'")?,
        }
        write!(
            f,
            "; the first tensor that is not is the {} ({})",
            self.tensor, self.value
        )
    }
}

impl Refusal {
    /// Which of several reasons is told: what training cannot go on after comes first, what only follows from another last.
    fn rank(&self) -> usize {
        match self {
            Self::Failed(_) => 0,
            Self::NonFinite(_) => 1,
            Self::Elsewhere(_) => 2,
        }
    }
}

/// The reason that is told of those that the parts of a step gave, in whatever order they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Option<(usize, usize, Refusal)>);

impl Refusals {
    /// Notes the reason of a part of a step.
    pub(crate) fn note(&mut self, part: usize, refusal: Refusal) {
        let place = (refusal.rank(), part);
        let first = self
            .0
            .as_ref()
            .is_none_or(|(rank, known, _)| place < (*rank, *known));
        if first {
            self.0 = Some((place.0, place.1, refusal));
        }
    }

    /// The reason, if there is one.
    pub(crate) fn get(&self) -> Option<&Refusal> {
        self.0.as_ref().map(|(_, _, refusal)| refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn non_finite(tensor: &str) -> Refusal {
        Refusal::NonFinite(NonFinite {
            part: "task",
            tensor: tensor.into(),
            value: f32::INFINITY,
            row: None,
        })
    }

    #[test]
    fn the_reason_told_does_not_depend_on_which_part_was_first() {
        let reasons = [
            (0, Refusal::Elsewhere("lost".into())),
            (2, non_finite("score")),
            (1, non_finite("bias")),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut refusals = Refusals::default();
            for index in order {
                let (part, reason) = reasons[index].clone();
                refusals.note(part, reason);
            }
            assert_eq!(refusals.get(), Some(&non_finite("bias")));
            refusals.note(3, Refusal::Failed("no memory".into()));
            assert_eq!(refusals.get(), Some(&Refusal::Failed("no memory".into())));
        }
    }

    #[test]
    fn a_number_is_told_with_the_part_of_the_loss_and_the_tensor() {
        let Refusal::NonFinite(found) = non_finite("score") else {
            panic!("not that");
        };
        assert_eq!(
            found.to_string(),
            "the loss is not finite in its part 'task'; the first tensor that is not is the score (inf)"
        );
    }
}
