//! MPNet's relative attention bias: a number for every head and bucket of distances, added to the scores of all layers.

use burn::module::{Initializer, Param};
use burn::prelude::*;
use mmrest_kernels::host::{self, ReadError};
use mmrest_onnx::{Graph, Value};

use super::BertConfig;
use crate::attention::Bias;

/// Distances from this on share a bucket.
const FARTHEST: f32 = 128.0;

/// The table of the bias, which all layers share.
#[derive(Module, Debug)]
pub(super) struct RelativeBias {
    /// `[buckets, heads]`.
    pub(super) table: Param<Tensor<2>>,
}

impl RelativeBias {
    pub(super) fn new(config: &BertConfig, device: &Device) -> Self {
        let normal = Initializer::Normal {
            mean: 0.0,
            std: config.initializer_range,
        };
        Self {
            table: normal.init([config.buckets(), config.num_attention_heads], device),
        }
    }

    /// The bias for texts of at most `time` tokens; `fixed`: without gradients.
    pub(super) fn of(&self, time: usize, fixed: bool) -> Bias {
        let table = self.table.val();
        let buckets = table.dims()[0];
        let reach = time as i64 - 1;
        Bias {
            table: if fixed { table.detach() } else { table },
            buckets: (-reach..=reach)
                .map(|distance| bucket(distance, buckets))
                .collect(),
        }
    }
}

impl RelativeBias {
    /// The bias as part of a graph: `[heads, time, time]`, of texts of at most `most` tokens; `time` is `[1]`.
    pub(super) fn graph(
        &self,
        graph: &mut Graph,
        time: &Value,
        most: usize,
    ) -> Result<Value, ReadError> {
        let [buckets, heads] = self.table.val().dims();
        let table = host::read("relative attention bias", self.table.val())?;
        let reach = most.max(1) as i64 - 1;
        let by_distance: Vec<f32> = (-reach..=reach)
            .flat_map(|distance| &table[bucket(distance, buckets) * heads..][..heads])
            .copied()
            .collect();
        let by_distance = graph.floats(&[by_distance.len() / heads.max(1), heads], &by_distance);
        let (places, reach) = (graph.range(time), graph.int(reach));
        let (keys, queries) = (
            graph.unsqueeze(&places, &[0]),
            graph.unsqueeze(&places, &[1]),
        );
        let distance = graph.op("Sub", &[&keys, &queries]);
        let distance = graph.op("Add", &[&distance, &reach]);
        let bias = graph.op("Gather", &[&by_distance, &distance]);
        Ok(graph.transpose(&bias, &[2, 0, 1]))
    }
}

/// The bucket of a distance (key less query): half of the buckets for keys that come later. The nearest distances have one
/// each; the others are spread evenly on a logarithmic scale up to [`FARTHEST`].
fn bucket(distance: i64, buckets: usize) -> usize {
    let side = buckets / 2;
    let exact = side / 2;
    let later = if distance > 0 { side } else { 0 };
    let far = distance.unsigned_abs() as usize;
    if far < exact {
        return later + far;
    }
    let share = (far as f32 / exact as f32).ln() / (FARTHEST / exact as f32).ln();
    let bucket = exact + (share * (side - exact) as f32) as usize;
    later + bucket.min(side - 1)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn distances_have_the_buckets_of_the_published_model() {
        let of = |distance| bucket(distance, 32);
        assert_eq!([0, -1, -7, 1, 7].map(of), [0, 1, 7, 17, 23]);
        assert_eq!([-8, -11, -12, -15, -16].map(of), [8, 8, 9, 9, 10]);
        assert_eq!([-22, -23, -31, -32].map(of), [10, 11, 11, 12]);
        assert_eq!(
            [-63, -64, -90, -91, -127, -128, -500].map(of),
            [13, 14, 14, 15, 15, 15, 15]
        );
        assert_eq!([16, 64, 500].map(of), [26, 30, 31]);
    }
}
