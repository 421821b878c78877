//! What the labels of a data set show: whether they fit the scale, and which metrics mean something on them.

use serde::{Deserialize, Serialize};

use crate::DataConfig;
use crate::text::few;

/// Fewer labels than this tell nothing about their scale.
const ENOUGH: usize = 8;

/// Distinct values that are remembered: more are no classes.
const MOST_VALUES: usize = 3;

/// Labels, counted as they are stored, before they are clamped to the scale.
///
/// ```
/// use mmrest_data::LabelSummary;
///
/// let mut labels = LabelSummary::default();
/// (0..10).for_each(|row| labels.push((row % 2) as f32, [-3.0, 3.0]));
/// assert!(labels.notes()[0].starts_with("All 10 labels are 0 or 1"));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelSummary {
    /// Labels that are numbers.
    pub count: usize,
    /// Those below 0.
    pub negative: usize,
    /// Those above 0.
    pub positive: usize,
    /// Those outside the scale.
    pub outside: usize,
    /// Least and greatest; none without a label.
    pub range: Option<[f32; 2]>,
    /// The scale they are meant to be on, `label_range`.
    pub scale: Option<[f32; 2]>,
    /// The distinct values, in the order they were met; the first few of many.
    pub values: Vec<f32>,
}

impl LabelSummary {
    /// Counts a label that is meant to be on a scale.
    pub fn push(&mut self, label: f32, scale: [f32; 2]) {
        self.count += 1;
        self.negative += usize::from(label < 0.0);
        self.positive += usize::from(label > 0.0);
        self.outside += usize::from(!(scale[0]..=scale[1]).contains(&label));
        let [least, greatest] = self.range.unwrap_or([label; 2]);
        self.range = Some([least.min(label), greatest.max(label)]);
        self.scale = Some(scale);
        self.see(label);
    }

    fn see(&mut self, label: f32) {
        if self.values.len() < MOST_VALUES && !self.values.contains(&label) {
            self.values.push(label);
        }
    }

    /// Adds the labels of another part.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.negative += other.negative;
        self.positive += other.positive;
        self.outside += other.outside;
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some([a[0].min(b[0]), a[1].max(b[1])]),
            (a, b) => a.or(b),
        };
        self.scale = self.scale.or(other.scale);
        other.values.into_iter().for_each(|label| self.see(label));
    }

    /// Whether so many labels lie outside the scale that holds where none is set that theirs must be another one. A scale
    /// that was set is meant.
    pub(crate) fn is_off_the_scale(&self) -> bool {
        let unset = self.scale == Some(DataConfig::default().label_range);
        unset && self.count >= ENOUGH && self.outside * 4 > self.count
    }

    /// The scale that the labels may be meant to be on; none without labels.
    pub fn suggested_scale(&self) -> Option<SuggestedScale> {
        self.range.map(SuggestedScale::of)
    }

    /// What whoever reads metrics of these labels should know; a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let (Some(range), Some(scale)) = (self.range, self.scale) else {
            return Vec::new();
        };
        if self.count < ENOUGH {
            return Vec::new();
        }
        let [least, greatest] = range;
        let cut = "metrics of two classes (acc2, f1), which cut at 0, say nothing";
        let mut notes = Vec::new();
        let mut values = self.values.clone();
        values.sort_by(f32::total_cmp);
        match values[..] {
            [only] => notes.push(format!(
                "All {} labels are {only}: there is nothing to learn from them.",
                self.count
            )),
            [low, high] if self.negative == 0 || self.positive == 0 => {
                let side = if self.negative == 0 { "below" } else { "above" };
                notes.push(format!(
                    "All {} labels are {low} or {high}, none is {side} 0: {cut}.",
                    self.count
                ));
            }
            _ if self.negative == 0 => {
                notes.push(format!(
                    "No label is below 0 (they lie from {least} to {greatest}): {cut}."
                ));
            }
            _ if self.positive == 0 => {
                notes.push(format!(
                    "No label is above 0 (they lie from {least} to {greatest}): {cut}."
                ));
            }
            _ => {}
        }
        if self.outside > 0 {
            notes.push(format!(
                "Labels lie from {least} to {greatest}, beyond the scale of {} to {}: if they are right, {}.",
                scale[0],
                scale[1],
                scale_to_set(range)
            ));
        } else if values.len() == MOST_VALUES && is_part(range, scale) {
            let [low, high] = nice(range);
            notes.push(format!(
                "All labels lie within {low} and {high}, a part of the scale of {} to {}: if that is the scale, {}; \
                 accuracies of classes are of {} to {} now.",
                scale[0],
                scale[1],
                scale_to_set(range),
                scale[0],
                scale[1]
            ));
        }
        notes
    }
}

/// Whether labels use no more than the inner half of each side of a scale.
fn is_part([least, greatest]: [f32; 2], [low, high]: [f32; 2]) -> bool {
    least >= low / 2.0 && greatest <= high / 2.0
}

/// The ends that a scale of such labels probably has: whole numbers, the same on both sides where there are labels on both.
fn nice([least, greatest]: [f32; 2]) -> [f32; 2] {
    if least < 0.0 && greatest > 0.0 {
        let end = greatest.max(-least).ceil();
        return [-end, end];
    }
    let (low, high) = (least.floor(), greatest.ceil());
    if low < high {
        [low, high]
    } else {
        [low, low + 1.0]
    }
}

/// The keys that set a scale for labels of this range, with values to begin with.
pub(crate) fn scale_to_set(range: [f32; 2]) -> String {
    let SuggestedScale {
        range: [low, high],
        edges,
        labels,
    } = SuggestedScale::of(range);
    format!(
        "set data.label_range = [{low}, {high}], bins.edges = [{}] and bins.labels = [{}]",
        few(&edges, usize::MAX),
        few(&labels, usize::MAX)
    )
}

/// A scale that labels may be meant to be on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SuggestedScale {
    /// `data.label_range`.
    pub range: [f32; 2],
    /// `bins.edges`.
    pub edges: Vec<f64>,
    /// `bins.labels`.
    pub labels: Vec<i32>,
}

impl SuggestedScale {
    fn of(range: [f32; 2]) -> Self {
        let range = nice(range);
        let (edges, labels) = bins(range);
        Self {
            range,
            edges,
            labels,
        }
    }
}

/// Edges and names of classes for a scale: CH-SIMS's for -1 to 1, whole numbers where there are a few, else fifths.
#[allow(clippy::cast_possible_truncation)]
fn bins([low, high]: [f32; 2]) -> (Vec<f64>, Vec<i32>) {
    let (low, high) = (f64::from(low), f64::from(high));
    if (low, high) == (-1.0, 1.0) {
        return (vec![-0.7, -0.1, 0.1, 0.7], vec![-2, -1, 0, 1, 2]);
    }
    let (first, last) = (low as i32, high as i32);
    if (2..=10).contains(&last.saturating_sub(first)) {
        let edges = (first..last).map(|class| f64::from(class) + 0.5);
        return (edges.collect(), (first..=last).collect());
    }
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    let edges = (1..5).map(|part| rounded(low + (high - low) * f64::from(part) / 5.0));
    (edges.collect(), (1..=5).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(labels: &[f32], scale: [f32; 2]) -> Vec<String> {
        let mut summary = LabelSummary::default();
        labels.iter().for_each(|&label| summary.push(label, scale));
        summary.notes()
    }

    const SEVEN: [f32; 2] = [-3.0, 3.0];

    #[test]
    fn labels_that_fit_the_scale_are_not_mentioned() {
        let whole = [-3.0, -2.0, -1.2, 0.0, 0.4, 1.0, 2.0, 3.0, 1.8];
        assert!(notes(&whole, SEVEN).is_empty());
        let fifths = [-1.0, -0.4, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
        assert!(notes(&fifths, [-1.0, 1.0]).is_empty());
        assert!(notes(&[0.0, 1.0, 0.0], SEVEN).is_empty(), "too few");
    }

    #[test]
    fn labels_that_make_metrics_meaningless_are_named() {
        let of = |values: &[f32]| notes(&values.repeat(5), SEVEN);
        for (values, said) in [
            (
                &[0.0, 1.0][..],
                "are 0 or 1, none is below 0: metrics of two classes",
            ),
            (
                &[1.0, 2.0, 3.0],
                "No label is below 0 (they lie from 1 to 3)",
            ),
            (&[-1.0, -2.0, -0.5], "No label is above 0"),
            (&[2.0, 2.0], "All 10 labels are 2"),
            (
                &[-1.0, 0.4, 1.0],
                "within -1 and 1, a part of the scale of -3 to 3",
            ),
            (
                &[1.0, 2.0, 5.0],
                "set data.label_range = [1, 5], bins.edges = [1.5, 2.5, 3.5, 4.5]",
            ),
        ] {
            let notes = of(values).join("\n");
            assert!(notes.contains(said), "{said:?} in {notes:?}");
        }
        assert!(of(&[-1.0, 1.0]).is_empty(), "two classes that 0 parts");
    }

    #[test]
    fn parts_together_are_the_whole() {
        let labels = [0.0, 1.0, 5.0, -2.0, 0.5, 0.25, 3.0, -3.0];
        let mut whole = LabelSummary::default();
        labels.iter().for_each(|&label| whole.push(label, SEVEN));
        let mut parts = LabelSummary::default();
        for some in labels.chunks(3) {
            let mut part = LabelSummary::default();
            some.iter().for_each(|&label| part.push(label, SEVEN));
            parts.absorb(part);
        }
        assert_eq!(parts, whole);
        assert!(!whole.is_off_the_scale());
    }

    #[test]
    fn suggested_classes_lie_on_their_scale() {
        for range in [
            [-1.0, 1.0],
            [1.0, 5.0],
            [0.0, 1.0],
            [0.0, 100.0],
            [-5.0, 5.0],
        ] {
            let (edges, labels) = bins(range);
            assert_eq!(labels.len(), edges.len() + 1);
            assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
            let inside = |edge: &f64| f64::from(range[0]) < *edge && *edge < f64::from(range[1]);
            assert!(edges.iter().all(inside), "{edges:?}");
        }
    }
}
