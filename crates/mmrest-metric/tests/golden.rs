//! The numbers of the authors' published code: `L_MMC` and its gradients, twenty optimiser steps, inertias.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use burn::module::{ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::Tensor;
use mmrest_metric::{
    Clusters, KMeansConfig, MmcLossConfig, MultiMetric, MultiMetricConfig, PsdAdamConfig,
    ReceptiveField, Rows, SentimentBins, receptive_fields, vote,
};
use mmrest_testing::{Golden, host, meta, relative};

/// A metric of given values.
fn metric_of(global: Tensor<2>, local: Tensor<3>, ridge: f64) -> MultiMetric {
    let [clusters, dim, _] = local.dims();
    let device = global.device();
    let config = MultiMetricConfig {
        dim,
        clusters,
        ridge,
    };
    let mut metric = config.init(&device);
    metric.global = metric.global.map(|_| global.require_grad());
    metric.local = metric.local.map(|_| local.require_grad());
    metric
}

#[test]
fn loss_and_gradients_are_the_published_ones() {
    let device = Device::flex().autodiff();
    for case in 0..5 {
        let meta = &meta()[format!("mmc_{case}")];
        let number = |name: &str| meta[name].as_f64().unwrap();
        let golden = Golden::open(&format!("mmc_{case}.safetensors"));
        let (shape, features) = golden.values("features");
        let rows = Rows::new(&features, shape[1]).unwrap();
        let bins = SentimentBins::seven();
        let row_bins: Vec<usize> = golden.f32s("labels").iter().map(|&y| bins.bin(y)).collect();
        let assignment = golden.indices("assignment");
        let centers = golden.f32s("centers");
        let fields = receptive_fields(rows, &centers, &assignment, ReceptiveField::Cell);
        let votes = vote(&fields, &row_bins, bins.len());
        assert_eq!(votes, golden.indices("center_bins"), "case {case}");
        let clusters = Clusters {
            dim: shape[1],
            metric: (0..votes.len()).collect(),
            bins: votes,
            centers,
        };
        let metric = metric_of(
            golden.tensor("m0", &device),
            golden.tensor("delta_m", &device),
            number("beta"),
        );
        let config = MmcLossConfig {
            inter_weight: number("v1"),
            frobenius_weight: number("v2"),
            margin: number("xi"),
            margin_scale: number("alpha_"),
            max_pairs: 4000,
            means: false,
            balanced: false,
        };
        let features = golden.tensor::<2>("features", &device).require_grad();
        let loss = config
            .forward(
                features.clone(),
                &row_bins,
                &assignment,
                &fields,
                &clusters,
                &metric,
                0,
            )
            .unwrap();
        let parts = [
            ("loss", &loss.total),
            ("intra_over_n", &loss.intra),
            ("inter_over_n", &loss.inter),
            ("frobenius_over_n", &loss.frobenius),
        ];
        for (name, part) in parts {
            let (found, expected) = (host(part.clone())[0], number(name) as f32);
            let error = (found - expected).abs() / expected.abs().max(1.0);
            println!("case {case} {name}: {found} for {expected}, {error:e}");
            assert!(error < 1e-4);
        }
        let gradients = loss.total.backward();
        let found = [
            ("grad_features", host(features.grad(&gradients).unwrap())),
            (
                "grad_m0",
                host(metric.global.val().grad(&gradients).unwrap()),
            ),
            (
                "grad_delta_m",
                host(metric.local.val().grad(&gradients).unwrap()),
            ),
        ];
        for (name, found) in found {
            let error = relative(&found, &golden.f32s(name));
            println!("case {case} {name}: {error:e}");
            assert!(error < 1e-3);
        }
    }
}

/// Gradients that a file holds, as if a backward pass had left them.
struct Given<'a> {
    gradients: &'a mut GradientsParams,
    global: Tensor<2>,
    local: Tensor<3>,
}

impl ModuleMapper for Given<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let id: ParamId = param.id;
        match D {
            2 => self.gradients.register(id, self.global.clone()),
            _ => self.gradients.register(id, self.local.clone()),
        }
        param
    }
}

#[test]
fn twenty_projected_steps_are_the_published_ones() {
    let device = Device::flex().autodiff();
    let inner = Device::flex();
    let golden = Golden::open("psd_adam.safetensors");
    let meta = &meta()["psd_adam"];
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let config = PsdAdamConfig {
        beta_1: number(&meta["betas"][0]),
        beta_2: number(&meta["betas"][1]),
        epsilon: number(&meta["eps"]),
        weight_decay: number(&meta["weight_decay"]),
    };
    let grads_global: Tensor<3> = golden.tensor("grads_m0", &inner);
    let grads_local: Tensor<4> = golden.tensor("grads_delta_m", &inner);
    let globals: Tensor<3> = golden.tensor("m0", &inner);
    let locals: Tensor<4> = golden.tensor("delta_m", &inner);
    let [steps, clusters, dim, _] = grads_local.dims();
    assert_eq!(steps, 20);

    let config_metric = MultiMetricConfig {
        dim,
        clusters,
        ridge: 0.01,
    };
    let mut metric = config_metric.init(&device);
    let mut optimizer = config.init();
    for step in 0..steps {
        let mut gradients = GradientsParams::new();
        metric = metric.map(&mut Given {
            gradients: &mut gradients,
            global: grads_global.clone().narrow(0, step, 1).squeeze_dim(0),
            local: grads_local.clone().narrow(0, step, 1).squeeze_dim(0),
        });
        metric = optimizer.step(number(&meta["lr"]), metric, gradients);
        metric = metric.project_psd().unwrap();
        let errors = [
            relative(
                &host(metric.global.val()),
                &host(globals.clone().narrow(0, step, 1)),
            ),
            relative(
                &host(metric.local.val()),
                &host(locals.clone().narrow(0, step, 1)),
            ),
        ];
        println!("step {step}: {errors:?}");
        assert!(errors.iter().all(|&error| error < 1e-4));
    }
}

#[test]
fn inertia_is_that_of_scikit_learn() {
    for case in 0..3 {
        let golden = Golden::open(&format!("kmeans_{case}.safetensors"));
        let expected = &meta()["kmeans"][case];
        let (shape, values) = golden.values("points");
        let rows = Rows::new(&values, shape[1]).unwrap();
        let config = KMeansConfig {
            clusters: expected["K"].as_u64().unwrap() as usize,
            ..Default::default()
        };
        let reference = expected["inertia"].as_f64().unwrap();
        let ratios: Vec<f64> = (0..8)
            .map(|seed| config.fit(rows, seed).unwrap().inertia / reference)
            .collect();
        println!("case {case}: {ratios:?}");
        assert!(ratios.iter().all(|&ratio| ratio < 1.01));
    }
}
