//! Modality dropout: training segments without some of their modalities, so that the model has seen what it will get
//! where a modality is missing.

use mmrest_data::{Frames, Modality};
use rand::RngExt;

use mmrest_models::{Example, TextFeatures, seed};

/// Takes modalities from training segments (`train.modality_dropout`).
///
/// What is drawn depends on seed, epoch and the segment's row alone: not on batches, devices or threads, nor on where a run
/// was resumed.
#[derive(Clone, Debug)]
pub(crate) struct ModalityDropout {
    rate: f64,
    seed: u64,
    absent_text: TextFeatures,
}

impl ModalityDropout {
    /// Takes each modality with probability `rate`, in `[0, 1)`. `absent_text`: what an empty text gives the text encoder.
    pub(crate) fn new(rate: f64, seed: u64, absent_text: TextFeatures) -> Self {
        Self {
            rate,
            seed,
            absent_text,
        }
    }

    /// The example of a row in an epoch. `has_text`: whether the segment's text is more than empty.
    pub(crate) fn apply(
        &self,
        mut example: Example,
        has_text: bool,
        epoch: u64,
        row: usize,
    ) -> Example {
        let has_text = has_text && example.text != TextFeatures::Absent;
        let there = [
            has_text,
            !example.vision.is_empty(),
            !example.audio.is_empty(),
        ];
        for modality in self.taken(there, epoch, row) {
            match modality {
                Modality::Text => example.text = self.absent_text.clone(),
                Modality::Vision => example.vision = Frames::empty(example.vision.width),
                Modality::Audio => example.audio = Frames::empty(example.audio.width),
            }
        }
        example
    }

    /// Which of the modalities that are `there`, in the order of [`Modality::ALL`], are taken: never all of them. Where all
    /// would be, one stays, each with the same probability.
    fn taken(&self, there: [bool; 3], epoch: u64, row: usize) -> Vec<Modality> {
        let mut rng = seed::rng(self.seed, &[seed::MODALITIES, epoch, row as u64]);
        let drawn = [(); 3].map(|()| rng.random_bool(self.rate));
        let mut taken: Vec<Modality> = Modality::ALL
            .into_iter()
            .zip(there.into_iter().zip(drawn))
            .filter_map(|(modality, (there, drawn))| (there && drawn).then_some(modality))
            .collect();
        if !taken.is_empty() && taken.len() == there.into_iter().filter(|&there| there).count() {
            taken.remove(rng.random_range(0..taken.len()));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [bool; 3] = [true; 3];

    fn dropout(rate: f64) -> ModalityDropout {
        ModalityDropout::new(rate, 7, TextFeatures::Tokens(vec![2, 3]))
    }

    #[test]
    fn each_modality_is_taken_about_as_often_as_asked_and_never_all() {
        let dropout = dropout(0.3);
        let mut counts = [0; 3];
        for row in 0..5000 {
            let taken = dropout.taken(ALL, 1, row);
            assert!(taken.len() < 3);
            for modality in taken {
                counts[modality as usize] += 1;
            }
        }
        // 0.3, less a third of the 0.027 where all three were drawn.
        for count in counts {
            assert!((count as f64 / 5000.0 - 0.291).abs() < 0.03, "{counts:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_segment_stays() {
        let dropout = dropout(0.99);
        for row in 0..500 {
            assert!(dropout.taken([false, true, false], 2, row).is_empty());
            assert!(dropout.taken([false; 3], 2, row).is_empty());
            let of_two = dropout.taken([true, false, true], 2, row);
            assert!(of_two.len() < 2 && !of_two.contains(&Modality::Vision));
        }
        let kept: std::collections::BTreeSet<_> = (0..500)
            .filter_map(|row| match dropout.taken(ALL, 2, row)[..] {
                [Modality::Text, Modality::Vision] => Some(Modality::Audio),
                [Modality::Text, Modality::Audio] => Some(Modality::Vision),
                [Modality::Vision, Modality::Audio] => Some(Modality::Text),
                _ => None,
            })
            .collect();
        assert_eq!(kept.len(), 3, "each is the one that stays at times");
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_row_alone() {
        let all = |dropout: &ModalityDropout, epoch| -> Vec<Vec<Modality>> {
            (0..100).map(|row| dropout.taken(ALL, epoch, row)).collect()
        };
        let dropout = dropout(0.5);
        let first = all(&dropout, 1);
        assert_ne!(first, all(&dropout, 2));
        assert_eq!(first, all(&dropout, 1));
        let other = ModalityDropout::new(0.5, 8, TextFeatures::Absent);
        assert_ne!(first, all(&other, 1));
        assert_eq!(dropout.taken(ALL, 1, 63), first[63]);
    }

    #[test]
    fn a_taken_modality_is_what_a_missing_one_is() {
        let frames = Frames {
            values: vec![1.0; 6],
            width: 2,
        };
        let example = Example {
            id: "a".into(),
            text: TextFeatures::Tokens(vec![2, 9, 3]),
            vision: frames.clone(),
            audio: frames,
            sentences: Vec::new(),
            label: 1.0,
        };
        let dropout = dropout(0.6);
        let mut seen = [false; 3];
        for row in 0..100 {
            let changed = dropout.apply(example.clone(), true, 1, row);
            for modality in dropout.taken(ALL, 1, row) {
                seen[modality as usize] = true;
                match modality {
                    Modality::Text => assert_eq!(changed.text, dropout.absent_text),
                    Modality::Vision => assert_eq!(changed.vision, Frames::empty(2)),
                    Modality::Audio => assert_eq!(changed.audio, Frames::empty(2)),
                }
            }
        }
        assert_eq!(seen, ALL);
        let without_text = Example {
            text: TextFeatures::Absent,
            ..example
        };
        let changed = dropout.apply(without_text, true, 1, 3);
        assert_eq!(changed.text, TextFeatures::Absent, "text is not in use");
    }
}
