//! The numbers of the authors' published code: bias, score and gradients of one step of the whole model.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use mmrest_metric::{
    Clusters, MmcLossConfig, MultiMetric, MultiMetricConfig, ReceptiveField, Rows, SentimentBins,
    receptive_fields,
};
use mmrest_pdlf::{Fusion, FusionConfig, mean_over_modalities, projection};

const GAMMA: f64 = 0.05;
const ETA: f64 = 0.01;

/// `tests/golden/model_step.safetensors` on a device.
struct Golden {
    file: mmrest_testing::Golden,
    device: Device,
}

impl Golden {
    fn open(device: &Device) -> Self {
        Self {
            file: mmrest_testing::Golden::open("model_step.safetensors"),
            device: device.clone(),
        }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.file.f32s(name)
    }

    fn indices(&self, name: &str) -> Vec<usize> {
        self.file.indices(name)
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        self.file.tensor(name, &self.device)
    }

    /// A `[out, in]` or `[out, in, 1]` weight and its bias as a layer of `[in, out]`.
    fn linear(&self, name: &str) -> Linear {
        let (shape, values) = self.file.values(&format!("{name}.weight"));
        let weight =
            Tensor::<2>::from_data(TensorData::new(values, [shape[0], shape[1]]), &self.device);
        Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: Some(Param::from_tensor(self.tensor(&format!("{name}.bias")))),
        }
    }

    fn fusion(&self) -> Fusion {
        let mut fusion = FusionConfig {
            dropout: 0.0,
            ..Default::default()
        }
        .init(&self.device);
        fusion.text = Some(self.linear("param.getresNet.0.0"));
        fusion.vision = Some(self.linear("param.getresNet2.0.0"));
        fusion.audio = Some(self.linear("param.getresNet3.0.0"));
        fusion.together = self.linear("param.getresNet4.0.0");
        fusion.joint = self.linear("param.conv_res");
        fusion.first = self.linear("param.fusion_prj.linear_1");
        fusion.second = self.linear("param.fusion_prj.linear_2");
        fusion.score = self.linear("param.fusion_prj.linear_3");
        fusion
    }

    fn clusters(&self) -> Clusters {
        let bins = self.indices("center_bins");
        Clusters {
            dim: 64,
            centers: self.values("centers"),
            metric: (0..bins.len()).collect(),
            bins,
        }
    }

    fn metric(&self) -> MultiMetric {
        let mut metric = MultiMetricConfig::default().init(&self.device);
        metric.global = Param::from_tensor(self.tensor("m0"));
        metric.local = Param::from_tensor(self.tensor("delta_m"));
        metric
    }
}

/// One step from the encoders' results on: everything that has a gradient, and what it led to.
struct Step {
    text: Tensor<2>,
    vision: Tensor<2>,
    audio: Tensor<2>,
    to_shared_space: Linear,
    fusion: Fusion,
    metric: MultiMetric,
    clusters: Clusters,
    rows: Tensor<2>,
    without_bias: Tensor<1>,
    bias: Tensor<1>,
}

impl Step {
    fn run(golden: &Golden) -> Self {
        let tracked = |tensor: Tensor<2>| {
            if golden.device.is_autodiff() {
                tensor.require_grad()
            } else {
                tensor
            }
        };
        let text = tracked(golden.tensor("text_first_token"));
        let vision = tracked(golden.tensor("clus_visual"));
        let audio = tracked(golden.tensor("clus_acoustic"));
        let (to_shared_space, fusion) = (golden.linear("param.clus_text"), golden.fusion());
        let (metric, clusters) = (golden.metric(), golden.clusters());
        let shared = to_shared_space.forward(text.clone());
        let rows = Tensor::cat(vec![shared, vision.clone(), audio.clone()], 0);
        let place = projection(rows.clone(), &clusters, &metric);
        Self {
            without_bias: fusion.forward(
                Some(text.clone()),
                Some(vision.clone()),
                Some(audio.clone()),
            ),
            bias: mean_over_modalities(place.unwrap().value, 3),
            text,
            vision,
            audio,
            to_shared_space,
            fusion,
            metric,
            clusters,
            rows,
        }
    }

    fn prediction(&self) -> Tensor<1> {
        self.without_bias.clone() + self.bias.clone().mul_scalar(GAMMA)
    }

    fn task_loss(&self, golden: &Golden) -> Tensor<1> {
        let labels = golden.tensor::<2>("labels").squeeze_dim(1);
        (self.prediction() - labels).abs().mean()
    }

    /// `L1 + eta * L_MMC`.
    fn loss(&self, golden: &Golden) -> Tensor<1> {
        let bins = SentimentBins::seven();
        let labels: Vec<usize> = golden
            .values("labels")
            .into_iter()
            .map(|label| bins.bin(label))
            .collect();
        let row_bins = labels.repeat(3);
        let assignment = golden.indices("assignment");
        let host = host(self.rows.clone());
        let rows = Rows::new(&host, 64).unwrap();
        let fields = receptive_fields(
            rows,
            &self.clusters.centers,
            &assignment,
            ReceptiveField::Cell,
        );
        let mmc = MmcLossConfig::default();
        let mmc = mmc
            .forward(
                self.rows.clone(),
                &row_bins,
                &assignment,
                &fields,
                &self.clusters,
                &self.metric,
                0,
            )
            .unwrap();
        self.task_loss(golden) + mmc.total.mul_scalar(ETA)
    }
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_to_vec().unwrap()
}

/// Differences relative to the largest expected value stay within f32 rounding.
#[track_caller]
fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected
        .iter()
        .fold(1e-12_f32, |most, value| most.max(value.abs()));
    let difference = found
        .iter()
        .zip(expected)
        .fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(found.iter().all(|value| value.is_finite()), "{what}");
    assert!(
        difference <= 1e-4 * largest,
        "{what}: off by {difference:e}, largest {largest:e}"
    );
}

#[track_caller]
fn assert_layer_gradients(golden: &Golden, name: &str, layer: &Linear, gradients: &Gradients) {
    let weight = layer.weight.val().grad(gradients).unwrap().transpose();
    assert_close(
        name,
        &host(weight),
        &golden.values(&format!("grad.{name}.weight")),
    );
    let bias = layer.bias.as_ref().unwrap().val().grad(gradients).unwrap();
    assert_close(
        name,
        &host(bias),
        &golden.values(&format!("grad.{name}.bias")),
    );
}

#[test]
fn bias_and_predictions_are_the_published_ones() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let golden = Golden::open(&device);
        let step = Step::run(&golden);
        assert_close(
            "shared space",
            &host(step.rows.clone().narrow(0, 0, 24)),
            &golden.values("clus_text"),
        );
        assert_close(
            "bias",
            &host(step.bias.clone()),
            &golden.values("bias_mean"),
        );
        assert_close(
            "without bias",
            &host(step.without_bias.clone()),
            &golden.values("preds_without_bias"),
        );
        assert_close(
            "with bias",
            &host(step.prediction()),
            &golden.values("preds_with_bias"),
        );
        assert_close(
            "task loss",
            &host(step.task_loss(&golden)),
            &golden.values("loss_task"),
        );
    }
}

#[test]
fn gradients_of_the_fusion_are_the_published_ones() {
    let golden = Golden::open(&Device::flex().autodiff());
    let step = Step::run(&golden);
    let gradients = step.task_loss(&golden).backward();
    let fusion = &step.fusion;
    for (name, layer) in [
        ("getresNet.0.0", fusion.text.as_ref().unwrap()),
        ("getresNet2.0.0", fusion.vision.as_ref().unwrap()),
        ("getresNet3.0.0", fusion.audio.as_ref().unwrap()),
        ("getresNet4.0.0", &fusion.together),
        ("conv_res", &fusion.joint),
        ("fusion_prj.linear_1", &fusion.first),
        ("fusion_prj.linear_2", &fusion.second),
        ("fusion_prj.linear_3", &fusion.score),
    ] {
        assert_layer_gradients(&golden, name, layer, &gradients);
    }
}

#[test]
fn gradients_through_bias_and_clusters_are_the_published_ones() {
    let golden = Golden::open(&Device::flex().autodiff());
    let step = Step::run(&golden);
    let loss = step.loss(&golden);
    assert_close("loss", &host(loss.clone()), &golden.values("loss"));
    let gradients = loss.backward();
    let of = |tensor: &Tensor<2>| host(tensor.grad(&gradients).unwrap());
    assert_close(
        "text",
        &of(&step.text),
        &golden.values("grad_text_first_token"),
    );
    assert_close(
        "M0",
        &of(&step.metric.global.val()),
        &golden.values("grad_m0"),
    );
    let local = step.metric.local.val().grad(&gradients).unwrap();
    assert_close("dM", &host(local), &golden.values("grad_delta_m"));
    assert_layer_gradients(&golden, "clus_text", &step.to_shared_space, &gradients);
    // A sequence encoder's last bias sums the gradient of its results over the batch.
    for (name, leaf) in [("visual_enc", &step.vision), ("acoustic_enc", &step.audio)] {
        let bias = leaf.grad(&gradients).unwrap().sum_dim(0);
        assert_close(
            name,
            &host(bias),
            &golden.values(&format!("grad.{name}.linear_1.bias")),
        );
    }
}
