//! The causes of a label: what text, face and voice contribute.

use super::SampleConfig;
use super::noise::Noise;

/// What a label is the weighted sum of. Each is of about unit variance and, within a split,
/// uncorrelated with the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Causes {
    /// Valence of the words.
    pub text: f64,
    /// Valence of the face.
    pub vision: f64,
    /// Valence of the voice.
    pub audio: f64,
    /// What no modality tells.
    pub noise: f64,
}

impl Causes {
    /// The sentiment before it is rounded, in -3 to 3.
    pub fn sentiment(&self, config: &SampleConfig) -> f64 {
        let sum = config.text_weight * self.text
            + config.vision_weight * self.vision
            + config.audio_weight * self.audio
            + config.noise * self.noise;
        sum.clamp(-3.0, 3.0)
    }
}

/// Draws the other causes for the segments of one split, whose words have the valences `text`.
///
/// In so few segments independent draws would be correlated by chance, and a modality look much better or worse than it is.
/// So each cause is made exactly uncorrelated with those before it, with mean 0 and variance 1 within the split
/// (Gram-Schmidt on the columns 1, text, vision, audio, noise).
pub(super) fn draw(text: &[f64], noise: &mut Noise) -> Vec<Causes> {
    let count = text.len();
    let mut basis = vec![vec![1.0; count], text.to_vec()];
    for i in 0..basis.len() {
        orthogonalise(&mut basis, i);
    }
    for _ in 0..3 {
        basis.push((0..count).map(|_| noise.normal()).collect());
        // Too few segments for that many columns keep their plain draws.
        if count > 2 * basis.len() {
            let last = basis.len() - 1;
            orthogonalise(&mut basis, last);
        }
    }
    (0..count)
        .map(|k| Causes {
            text: text[k],
            vision: basis[2][k],
            audio: basis[3][k],
            noise: basis[4][k],
        })
        .collect()
}

/// Subtracts from column `i` its projections on those before it and scales it to a mean square of 1; a column of zeros
/// stays.
fn orthogonalise(columns: &mut [Vec<f64>], i: usize) {
    let (before, rest) = columns.split_at_mut(i);
    let column = &mut rest[0];
    for other in before {
        let along = mean_product(column, other);
        for (x, o) in column.iter_mut().zip(other) {
            *x -= along * *o;
        }
    }
    let scale = mean_product(column, column).sqrt();
    if scale > 0.0 {
        column.iter_mut().for_each(|x| *x /= scale);
    }
}

#[allow(clippy::cast_precision_loss)]
fn mean_product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::noise::Purpose;
    use super::*;

    #[test]
    fn causes_are_uncorrelated() {
        let text: Vec<f64> = (0..40).map(|i| f64::from(i % 7) - 2.0).collect();
        let causes = draw(&text, &mut Noise::new(7, Purpose::Sentiment, 0));
        let columns: [fn(&Causes) -> f64; 4] = [|c| c.text, |c| c.vision, |c| c.audio, |c| c.noise];
        let columns = columns.map(|column| causes.iter().map(column).collect::<Vec<f64>>());
        for (i, a) in columns.iter().enumerate().skip(1) {
            assert!(mean_product(a, &[1.0; 40]).abs() < 1e-12);
            assert!((mean_product(a, a) - 1.0).abs() < 1e-12);
            for b in &columns[..i] {
                assert!(mean_product(a, b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_few_segments_have_causes_too() {
        for count in 0..12 {
            let causes = draw(&vec![0.0; count], &mut Noise::new(7, Purpose::Sentiment, 0));
            assert_eq!(causes.len(), count);
            assert!(
                causes
                    .iter()
                    .all(|c| (c.vision + c.audio + c.noise).is_finite())
            );
        }
    }
}
