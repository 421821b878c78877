//! `[bins]`: the sentiment classes.

use mmrest_metric::{EdgeRule, MetricError, SentimentBins};
use serde::{Deserialize, Serialize};

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
    pub(super) fn check(&self, range: [f32; 2]) -> Result<(), String> {
        if self.edges.is_empty() {
            return Err(
                "bins.edges is empty; one bin has no sentiment to tell from another".into(),
            );
        }
        self.bins()
            .map_err(|error| format!("bins.edges: {error}"))?;
        let [least, greatest] = range;
        let beyond = |&&edge: &&f64| !(least..=greatest).contains(&(edge as f32));
        if let Some(edge) = self.edges.iter().find(beyond) {
            return Err(format!(
                "bins.edges has {edge}, which is not in data.label_range, [{least}, {greatest}]"
            ));
        }
        let (bins, labels) = (self.edges.len() + 1, self.labels.len());
        if labels != bins {
            return Err(format!(
                "bins.labels must name the {bins} bins that bins.edges makes, found {labels} labels"
            ));
        }
        match self.labels.windows(2).find(|pair| pair[0] >= pair[1]) {
            None => Ok(()),
            Some(pair) => Err(format!(
                "bins.labels must ascend, found {} before {}",
                pair[0], pair[1]
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn refused(bins: &str) -> String {
        Config::parse(&format!("[bins]\n{bins}"), &[]).unwrap_err()
    }

    #[test]
    fn the_default_is_the_seven_bins_of_the_method() {
        let config = BinsConfig::default();
        assert_eq!(config.bins().unwrap(), SentimentBins::seven());
        assert_eq!(config.check([-3.0, 3.0]), Ok(()));
    }

    #[test]
    fn bins_are_read_with_the_rule_of_their_edges() {
        let text = "[data]\nlabel_range = [-1.0, 1.0]\n[bins]\nedges = [-0.1, 0.1]\nlabels = [-1, 0, 1]\nside = \"below\"";
        let config = Config::parse(text, &[]).unwrap();
        let bins = config.bins.bins().unwrap();
        assert_eq!(
            [-0.1, 0.0, 0.1, 0.2].map(|label| bins.bin(label)),
            [0, 1, 1, 2]
        );
        assert_eq!(Config::parse(&config.to_toml().unwrap(), &[]), Ok(config));
    }

    #[test]
    fn whole_numbers_are_edges_too_also_from_the_command_line() {
        let set = [("edges", "[-1, 1]"), ("labels", "[-1, 0, 1]")];
        let set = set.map(|(key, value)| format!("bins.{key}={value}"));
        let set = set.map(|text| crate::config::parse_override(&text).unwrap());
        let config = Config::parse("", &set).unwrap();
        assert_eq!(config.bins.edges, [-1.0, 1.0]);
        assert_eq!(config.bins.bins().unwrap().bin(-1.0), 0);
    }

    #[test]
    fn what_is_wrong_with_bins_is_said_by_key() {
        for (bins, says) in [
            ("edges = []\nlabels = [0]", "bins.edges is empty"),
            (
                "edges = [0.5, 0.5]\nlabels = [0, 1, 2]",
                "bins.edges: bin edge 1 (0.5)",
            ),
            (
                "edges = [nan]\nlabels = [0, 1]",
                "bins.edges: bin edge 0 (NaN)",
            ),
            (
                "edges = [0.1, 0.1000000001]\nlabels = [0, 1, 2]",
                "bins.edges: bin edge 1",
            ),
            (
                "edges = [0.0, 3.5]\nlabels = [0, 1, 2]",
                "bins.edges has 3.5, which is not in data.label_range, [-3, 3]",
            ),
            (
                "edges = [0.0]",
                "bins.labels must name the 2 bins that bins.edges makes, found 7",
            ),
            (
                "edges = [0.0]\nlabels = [1, 1]",
                "bins.labels must ascend, found 1 before 1",
            ),
            ("side = \"left\"", "bins.side"),
            ("closed = true", "closed"),
        ] {
            let error = refused(bins);
            assert!(error.contains(says), "{bins}: {error}");
        }
        let narrow = Config::parse("[data]\nlabel_range = [-1.0, 1.0]", &[]).unwrap_err();
        assert!(narrow.contains("bins.edges has -2.5"), "{narrow}");
    }
}
