//! Sentiment labels by class.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Finding;
use mmrest_data::text::count;
use mmrest_data::{LabelSummary, Split};

/// The scale labels are on, and its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// -3 to 3, CMU-MOSI and CMU-MOSEI: seven classes, the nearest whole number; a value midway (0.5) belongs to the
    /// class farther from 0.
    #[default]
    Seven,
    /// -1 to 1, CH-SIMS: five classes, parted at -0.7, -0.1, 0.1 and 0.7, each holding its upper edge.
    Five,
}

impl Scale {
    /// Least and greatest label.
    pub const fn range(self) -> [f32; 2] {
        match self {
            Self::Seven => [-3.0, 3.0],
            Self::Five => [-1.0, 1.0],
        }
    }

    /// The scale of this range, if it is one of the two.
    ///
    /// ```
    /// use mmrest_datatools::inspect::Scale;
    ///
    /// assert_eq!(Scale::of_range([-1.0, 1.0]), Some(Scale::Five));
    /// assert_eq!(Scale::of_range([0.0, 5.0]), None);
    /// ```
    pub fn of_range(range: [f32; 2]) -> Option<Self> {
        let scales = [Self::Seven, Self::Five];
        scales.into_iter().find(|scale| scale.range() == range)
    }

    /// Names of the classes from the most negative on.
    pub const fn classes(self) -> &'static [&'static str] {
        match self {
            Self::Seven => &["-3", "-2", "-1", "0", "+1", "+2", "+3"],
            Self::Five => &[
                "[-1, -0.7]",
                "(-0.7, -0.1]",
                "(-0.1, 0.1]",
                "(0.1, 0.7]",
                "(0.7, 1]",
            ],
        }
    }

    /// The class of a label, from 0; one out of range belongs to the outermost.
    ///
    /// ```
    /// use mmrest_datatools::inspect::Scale;
    ///
    /// assert_eq!([-0.5, 0.4, 0.5, 2.5].map(|label| Scale::Seven.class(label)), [2, 3, 4, 6]);
    /// assert_eq!([-0.7, -0.1, 0.1, 0.2].map(|label| Scale::Five.class(label)), [0, 1, 2, 3]);
    /// ```
    pub fn class(self, label: f32) -> usize {
        match self {
            // Edges belong to the class farther from 0: upwards for positive labels, downwards for negative ones.
            Self::Seven => {
                let above = [0.5, 1.5, 2.5]
                    .iter()
                    .filter(|&&edge| label >= edge)
                    .count();
                let below = [-0.5, -1.5, -2.5]
                    .iter()
                    .filter(|&&edge| label <= edge)
                    .count();
                3 + above - below
            }
            Self::Five => [-0.7, -0.1, 0.1, 0.7]
                .iter()
                .filter(|&&edge| label > edge)
                .count(),
        }
    }
}

/// Labels, counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Labels {
    /// Labels that are numbers.
    pub count: usize,
    /// Rows without one (empty, NaN).
    pub missing: usize,
    /// Least.
    pub min: Option<f32>,
    /// Greatest.
    pub max: Option<f32>,
    /// Mean.
    pub mean: f64,
    /// The scale of `bins`.
    pub scale: Scale,
    /// One a class.
    pub bins: Vec<Bin>,
    /// Labels outside the scale.
    pub out_of_range: usize,
    /// The first of those: place and value.
    pub out_of_range_at: Vec<(String, f32)>,
    /// What the loader tells of them.
    pub summary: LabelSummary,
}

/// Labels of one class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Bin {
    /// Its name.
    pub class: &'static str,
    /// Labels in it.
    pub count: usize,
    /// By split, where the split is known.
    pub by_split: BTreeMap<Split, usize>,
}

impl Labels {
    pub(super) fn new(scale: Scale) -> Self {
        let bin = |&class: &&'static str| Bin {
            class,
            ..Bin::default()
        };
        Self {
            scale,
            bins: scale.classes().iter().map(bin).collect(),
            ..Self::default()
        }
    }

    /// Counts a label; none for a row without.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn push(
        &mut self,
        label: Option<f32>,
        split: Option<Split>,
        place: impl FnOnce() -> String,
    ) {
        let Some(label) = label.filter(|label| !label.is_nan()) else {
            self.missing += 1;
            return;
        };
        self.count += 1;
        self.summary.push(label, self.scale.range());
        self.min = Some(self.min.map_or(label, |least| least.min(label)));
        self.max = Some(self.max.map_or(label, |greatest| greatest.max(label)));
        self.mean += (f64::from(label) - self.mean) / self.count as f64;
        if let Some(bin) = self.bins.get_mut(self.scale.class(label)) {
            bin.count += 1;
            if let Some(split) = split {
                *bin.by_split.entry(split).or_default() += 1;
            }
        }
        let [least, greatest] = self.scale.range();
        if !(least..=greatest).contains(&label) {
            self.out_of_range += 1;
            if self.out_of_range_at.len() < 20 {
                self.out_of_range_at.push((place(), label));
            }
        }
    }

    pub(super) fn findings(&self, found: &mut Vec<Finding>) {
        let [least, greatest] = self.scale.range();
        if let Some((place, label)) = self.out_of_range_at.first() {
            found.push(Finding::problem(
                "label_out_of_range",
                format!(
                    "{} outside {least} to {greatest}, the first {label} at {place}",
                    count(self.out_of_range, "label")
                ),
                "they are clamped to label_range; if the scale is another one, set it",
            ));
        }
        for note in self.summary.notes() {
            found.push(Finding::note("label_scale", note.trim_end_matches('.'), ""));
        }
        if self.missing > 0 {
            found.push(Finding::problem(
                "label_missing",
                format!("{} without a label", count(self.missing, "row")),
                "they are left out of training",
            ));
        }
    }
}
