//! What a model is built for: modalities, widths of the data, sentiment bins.

use mmrest_data::{Modality, Widths};
use mmrest_metric::{EdgeRule, MetricError, SentimentBins};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// What a model is built for, apart from its own configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The modalities in use.
    pub modalities: Vec<Modality>,
    /// Features per frame of vision and audio; 0 when not in use.
    pub widths: Widths,
    /// The scale of the labels: least and greatest.
    pub label_range: [f32; 2],
    /// The sentiment classes.
    pub bins: BinsConfig,
    /// How many of the text encoder's layers are not trained, counted from below.
    pub lower_layers: usize,
    /// Seed of the run.
    pub seed: u64,
}

impl Task {
    /// Whether a modality is in use.
    pub fn uses(&self, modality: Modality) -> bool {
        self.modalities.contains(&modality)
    }
}

/// `[bins]`: where the scale of sentiment is cut into bins, and the class each bin stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BinsConfig {
    /// The cuts between bins, ascending, in label units; the outer bins are open-ended.
    pub edges: Vec<f64>,
    /// The sentiment class of each bin, ascending: one more than there are edges.
    pub labels: Vec<i32>,
    /// Which of its two bins an edge itself belongs to.
    pub side: EdgeRule,
}

impl Default for BinsConfig {
    fn default() -> Self {
        Self {
            edges: vec![-2.5, -1.5, -0.5, 0.5, 1.5, 2.5],
            labels: vec![-3, -2, -1, 0, 1, 2, 3],
            side: EdgeRule::Outward,
        }
    }
}

impl BinsConfig {
    /// The bins, in single precision as labels are.
    ///
    /// # Errors
    ///
    /// [`MetricError::BinEdges`] unless the edges are finite and ascend, also as single-precision numbers.
    pub fn bins(&self) -> Result<SentimentBins, MetricError> {
        let edges: Vec<f32> = self.edges.iter().map(|&edge| edge as f32).collect();
        SentimentBins::between(&edges, self.side)
    }

    /// The sentiment each bin stands for, ascending, in label units: the middle of an inner bin, and the end of `range`,
    /// the scale of the labels, for the outer two.
    pub fn sentiments(&self, [least, greatest]: [f32; 2]) -> Vec<f32> {
        let middle = |pair: &[f64]| ((pair[0] + pair[1]) / 2.0) as f32;
        let inner = self.edges.windows(2).map(middle);
        [least].into_iter().chain(inner).chain([greatest]).collect()
    }

    /// Checks edges and labels; every edge must lie in `range`, the scale of the labels.
    ///
    /// # Errors
    ///
    /// A sentence that names the key.
    pub fn check(&self, range: [f32; 2]) -> Result<(), ConfigError> {
        if self.edges.is_empty() {
            let message = "bins.edges is empty; one bin has no sentiment to tell from another";
            return Err(ConfigError(message.into()));
        }
        self.bins()
            .map_err(|error| ConfigError(format!("bins.edges: {error}")))?;
        let [least, greatest] = range;
        let beyond = |&&edge: &&f64| !(least..=greatest).contains(&(edge as f32));
        if let Some(edge) = self.edges.iter().find(beyond) {
            return Err(ConfigError(format!(
                "bins.edges has {edge}, which is not in data.label_range, [{least}, {greatest}]"
            )));
        }
        let (bins, labels) = (self.edges.len() + 1, self.labels.len());
        if labels != bins {
            return Err(ConfigError(format!(
                "bins.labels must name the {bins} bins that bins.edges makes, found {labels} labels"
            )));
        }
        match self.labels.windows(2).find(|pair| pair[0] >= pair[1]) {
            None => Ok(()),
            Some(pair) => Err(ConfigError(format!(
                "bins.labels must ascend, found {} before {}",
                pair[0], pair[1]
            ))),
        }
    }
}
