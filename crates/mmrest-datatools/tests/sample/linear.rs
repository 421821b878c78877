//! What a linear model can learn from the sample: ridge regression on bags of words and mean frames, done naively.

use mmrest_data::csd::Entry;
use mmrest_data::{Modality, Split, overlapping};
use mmrest_datatools::sample::{self, Sample, SampleSegment, SampleVideo};

use crate::values;

/// Mean of the finite values of each feature over a segment; zeros without frames.
fn pooled(entry: &Entry, interval: [f64; 2]) -> Vec<f64> {
    let (values, width) = values(entry);
    let rows = overlapping(&entry.intervals, interval);
    let mut sum = vec![0.0; width];
    for row in &rows {
        for (j, sum) in sum.iter_mut().enumerate() {
            let value = f64::from(values[row * width + j]);
            *sum += if value.is_finite() { value } else { 0.0 };
        }
    }
    #[allow(clippy::cast_precision_loss)]
    sum.iter()
        .map(|sum| sum / rows.len().max(1) as f64)
        .collect()
}

fn bag_of_words(segment: &SampleSegment) -> Vec<f64> {
    let count = |word: &&str| segment.text.split(' ').filter(|said| said == word).count();
    #[allow(clippy::cast_precision_loss)]
    sample::vocabulary()
        .iter()
        .map(|word| count(word) as f64)
        .collect()
}

fn features(video: &SampleVideo, segment: &SampleSegment, used: &[Modality]) -> Vec<f64> {
    let of = |modality: &Modality| match modality {
        Modality::Text => bag_of_words(segment),
        Modality::Vision => pooled(&video.vision, segment.interval),
        Modality::Audio => pooled(&video.acoustic, segment.interval),
    };
    used.iter().flat_map(of).collect()
}

/// Rows and labels of some splits.
fn rows(sample: &Sample, splits: &[Split], used: &[Modality]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let videos = sample
        .videos
        .iter()
        .filter(|video| splits.contains(&video.split));
    videos
        .flat_map(|video| video.segments.iter().map(move |segment| (video, segment)))
        .map(|(video, segment)| {
            (
                features(video, segment, used),
                f64::from(segment.label).clamp(-3.0, 3.0),
            )
        })
        .unzip()
}

/// Solves `a x = b` for a positive definite `a` by Gauss-Jordan elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    for i in 0..b.len() {
        let pivot = a[i][i];
        a[i].iter_mut().for_each(|x| *x /= pivot);
        b[i] /= pivot;
        let row = a[i].clone();
        for k in (0..b.len()).filter(|&k| k != i) {
            let factor = a[k][i];
            for (x, r) in a[k].iter_mut().zip(&row) {
                *x -= factor * r;
            }
            b[k] -= factor * b[i];
        }
    }
    b
}

/// Test error (MAE) of ridge regression on standardised features.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn test_error(sample: &Sample, used: &[Modality]) -> f64 {
    let (mut x, y) = rows(sample, &[Split::Train], used);
    let (mut test_x, test_y) = rows(sample, &[Split::Test], used);
    let (count, width) = (x.len() as f64, x[0].len());
    for j in 0..width {
        let mean = x.iter().map(|row| row[j]).sum::<f64>() / count;
        let variance = x.iter().map(|row| (row[j] - mean).powi(2)).sum::<f64>() / count;
        let scale = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        x.iter_mut()
            .chain(&mut test_x)
            .for_each(|row| row[j] = (row[j] - mean) / scale);
    }
    let mean = y.iter().sum::<f64>() / count;
    let gram = |i: usize, j: usize| x.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let penalty = |i, j| if i == j { 10.0 } else { 0.0 };
    let a = (0..width)
        .map(|i| (0..width).map(|j| gram(i, j) + penalty(i, j)).collect())
        .collect();
    let b = (0..width)
        .map(|j| x.iter().zip(&y).map(|(row, y)| row[j] * (y - mean)).sum())
        .collect();
    let weights: Vec<f64> = solve(a, b);
    let error = |(row, y): (&Vec<f64>, &f64)| {
        let predicted = mean + row.iter().zip(&weights).map(|(x, w)| x * w).sum::<f64>();
        (predicted.clamp(-3.0, 3.0) - y).abs()
    };
    test_x.iter().zip(&test_y).map(error).sum::<f64>() / test_y.len() as f64
}

/// Test error of the training labels' median.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn median_error(sample: &Sample) -> f64 {
    let (_, mut y) = rows(sample, &[Split::Train], &[]);
    let (_, test_y) = rows(sample, &[Split::Test], &[]);
    y.sort_by(f64::total_cmp);
    let median = y[y.len() / 2];
    test_y.iter().map(|y| (y - median).abs()).sum::<f64>() / test_y.len() as f64
}
