//! Sentiment bins: intervals of the label, each edge belonging to one side.

use serde::{Deserialize, Serialize};

use crate::MetricError;

/// Which of its two bins an edge belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeSide {
    /// The edge is the closed upper end of the bin below it.
    Below,
    /// The edge is the closed lower end of the bin above it.
    Above,
}

/// Which of its two bins every edge belongs to: one rule for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeRule {
    /// The bin farther from zero: `(-b, -a]` and `[a, b)`, the one around zero open at both ends. An edge at zero belongs
    /// to the bin above it.
    #[default]
    Outward,
    /// The bin below the edge: `(a, b]`.
    Below,
    /// The bin above the edge: `[a, b)`.
    Above,
}

impl EdgeRule {
    /// The side of an edge at `at`.
    fn side(self, at: f32) -> EdgeSide {
        match self {
            Self::Outward if at < 0.0 => EdgeSide::Below,
            Self::Outward | Self::Above => EdgeSide::Above,
            Self::Below => EdgeSide::Below,
        }
    }
}

/// A cut between two bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinEdge {
    /// Where, in label units.
    pub at: f32,
    /// Whose the edge itself is.
    pub side: EdgeSide,
}

/// Intervals of the label from most negative (bin 0) to most positive, the outer two open-ended.
///
/// ```
/// use mmrest_metric::SentimentBins;
///
/// let bins = SentimentBins::seven();
/// assert_eq!(bins.len(), 7);
/// // Edges belong to the bin farther from zero.
/// assert_eq!([-3.0, -2.5, -0.5, 0.0, 0.5, 2.5].map(|label| bins.bin(label)), [0, 0, 2, 3, 4, 6]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<BinEdge>", into = "Vec<BinEdge>")]
pub struct SentimentBins {
    edges: Vec<BinEdge>,
}

impl SentimentBins {
    /// The seven bins of CMU-MOSI and CMU-MOSEI: `[-3,-2.5] (-2.5,-1.5] (-1.5,-0.5] (-0.5,0.5) [0.5,1.5) [1.5,2.5) [2.5,3]`.
    #[must_use]
    pub fn seven() -> Self {
        Self {
            edges: cuts(&[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], EdgeRule::Outward),
        }
    }

    /// Bins between edges that all follow one rule.
    ///
    /// ```
    /// use mmrest_metric::{EdgeRule, SentimentBins};
    ///
    /// // CH-SIMS: [-1, -0.7] (-0.7, -0.1] (-0.1, 0.1] (0.1, 0.7] (0.7, 1]
    /// let bins = SentimentBins::between(&[-0.7, -0.1, 0.1, 0.7], EdgeRule::Below)?;
    /// assert_eq!([-0.7, -0.1, 0.0, 0.1, 0.7, 1.0].map(|label| bins.bin(label)), [0, 1, 2, 2, 3, 4]);
    /// # Ok::<(), mmrest_metric::MetricError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn between(edges: &[f32], rule: EdgeRule) -> Result<Self, MetricError> {
        Self::new(cuts(edges, rule))
    }

    /// Bins between the given edges: one bin more than there are edges.
    ///
    /// # Errors
    ///
    /// [`MetricError::BinEdges`] unless the edges are finite and strictly ascending.
    pub fn new(edges: Vec<BinEdge>) -> Result<Self, MetricError> {
        for (index, edge) in edges.iter().enumerate() {
            let ascends = index == 0 || edges[index - 1].at < edge.at;
            if !edge.at.is_finite() || !ascends {
                return Err(MetricError::BinEdges { index, at: edge.at });
            }
        }
        Ok(Self { edges })
    }

    /// The bin of a label: how many edges lie below it. A NaN lies above none, so it has bin 0.
    #[must_use]
    pub fn bin(&self, label: f32) -> usize {
        self.edges.partition_point(|edge| match edge.side {
            EdgeSide::Below => label > edge.at,
            EdgeSide::Above => label >= edge.at,
        })
    }

    /// How many bins there are, at least 1.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one bin")]
    pub fn len(&self) -> usize {
        self.edges.len() + 1
    }

    /// The cuts, ascending.
    #[must_use]
    pub fn edges(&self) -> &[BinEdge] {
        &self.edges
    }
}

fn cuts(edges: &[f32], rule: EdgeRule) -> Vec<BinEdge> {
    let cut = |&at: &f32| BinEdge {
        at,
        side: rule.side(at),
    };
    edges.iter().map(cut).collect()
}

impl TryFrom<Vec<BinEdge>> for SentimentBins {
    type Error = MetricError;

    fn try_from(edges: Vec<BinEdge>) -> Result<Self, MetricError> {
        Self::new(edges)
    }
}

impl From<SentimentBins> for Vec<BinEdge> {
    fn from(bins: SentimentBins) -> Self {
        bins.edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_bins_are_those_of_the_method() {
        let bins = SentimentBins::seven();
        let cases = [
            (-9.0, 0),
            (-2.5, 0),
            (-2.499, 1),
            (-1.5, 1),
            (-1.4, 2),
            (-0.5, 2),
            (-0.499, 3),
            (0.0, 3),
            (0.499, 3),
            (0.5, 4),
            (1.499, 4),
            (1.5, 5),
            (2.499, 5),
            (2.5, 6),
            (9.0, 6),
        ];
        for (label, bin) in cases {
            assert_eq!(bins.bin(label), bin, "{label}");
        }
    }

    #[test]
    fn a_rule_gives_every_edge_its_side() {
        let edges = [-0.7, -0.1, 0.0, 0.1, 0.7];
        let at_edges = |rule| {
            let bins = SentimentBins::between(&edges, rule).unwrap();
            edges.map(|edge| bins.bin(edge))
        };
        assert_eq!(at_edges(EdgeRule::Outward), [0, 1, 3, 4, 5]);
        assert_eq!(at_edges(EdgeRule::Below), [0, 1, 2, 3, 4]);
        assert_eq!(at_edges(EdgeRule::Above), [1, 2, 3, 4, 5]);
        let seven = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5];
        let outward = SentimentBins::between(&seven, EdgeRule::Outward);
        assert_eq!(outward.unwrap(), SentimentBins::seven());
    }

    #[test]
    fn edges_must_ascend() {
        let edge = |at| BinEdge {
            at,
            side: EdgeSide::Above,
        };
        assert_eq!(SentimentBins::new(vec![]).unwrap().len(), 1);
        assert!(SentimentBins::new(vec![edge(0.0), edge(0.0)]).is_err());
        assert!(SentimentBins::new(vec![edge(f32::NAN)]).is_err());
        assert!(SentimentBins::new(vec![edge(0.0), edge(1.0)]).is_ok());
    }
}
