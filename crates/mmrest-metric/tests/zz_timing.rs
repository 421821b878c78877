//! temporary
#![allow(clippy::unwrap_used, clippy::expect_used)]
mod common;
use burn::prelude::*;
use burn::tensor::{Tensor, TensorData};
use mmrest_metric::*;
use std::time::Instant;
fn time(name: &str, n: usize, mut f: impl FnMut()) { for _ in 0..3 { f() } let t = Instant::now(); for _ in 0..n { f() } println!("{name}: {:.3} ms", t.elapsed().as_secs_f64()*1e3/n as f64); }
#[test]
fn timing() {
    let device = Device::flex().autodiff();
    for (n, k, seedy) in [(192usize,7usize,false),(384,7,false),(384,10,false),(384,10,true)] {
        let d = 64;
        let mut s = 1u64; let mut r = move || { s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (s >> 40) as f32 / 16777216.0 - 0.5 };
        let values: Vec<f32> = (0..n*d).map(|_| r()).collect();
        let rows = Rows::new(&values, d).unwrap();
        let cfg = KMeansConfig { clusters: k, ..Default::default() };
        time(&format!("kmeans {n} {k}"), 20, || { cfg.fit(rows, 3).unwrap(); });
        let mut fit = cfg.fit(rows, 3).unwrap();
        println!("iterations {}", fit.iterations);
        if seedy { for (i,l) in fit.labels.iter_mut().enumerate() { *l = if i < 9 { i+1 } else { 0 } } }
        let fields = receptive_fields(rows, &fit.centers, &fit.labels, ReceptiveField::Cell);
        let bins: Vec<usize> = (0..n).map(|i| i % 7).collect();
        let clusters = Clusters { dim: d, bins: vote(&fields, &bins, 7), metric: (0..k).collect(), centers: fit.centers.clone() };
        let metric = MultiMetricConfig { dim: d, clusters: k, ridge: 0.01 }.init(&device);
        let x = Tensor::<2>::from_data(TensorData::new(values.clone(), [n, d]), &device).require_grad();
        time(&format!("loss fwd {n} {k} {seedy}"), 30, || { let l = MmcLossConfig::default().forward(x.clone(), &bins, &fit.labels, &fields, &clusters, &metric, 1).unwrap(); std::hint::black_box(common::host(l.total)); });
        time(&format!("loss fwd+bwd {n} {k} {seedy}"), 30, || { let l = MmcLossConfig::default().forward(x.clone(), &bins, &fit.labels, &fields, &clusters, &metric, 1).unwrap(); let g = l.total.backward(); std::hint::black_box(x.grad(&g)); });
        time(&format!("project {k}"), 20, || { std::hint::black_box(metric.clone().project_psd()); });
    }
    let n = 3852; let d = 64;
    let values: Vec<f32> = (0..n*d).map(|i| ((i as f32*0.37).sin()*43758.5).fract()).collect();
    let rows = Rows::new(&values, d).unwrap();
    let t = Instant::now(); let fit = KMeansConfig::default().fit(rows, 3).unwrap(); println!("kmeans {n}: {:?} it {}", t.elapsed(), fit.iterations);
    let t = Instant::now(); let w = KMeansConfig::default().fit_from(rows, &fit.centers).unwrap(); println!("warm {n}: {:?} it {}", t.elapsed(), w.fit.iterations);
}

#[test]
fn pieces() {
    let dev = Device::flex();
    let (n,k,d)=(192,7,64);
    let wave = |c: usize| -> Vec<f32> { (0..c).map(|i| (i as f32*0.37).sin()).collect() };
    let x = Tensor::<2>::from_data(TensorData::new(wave(n*d), [n,d]), &dev);
    let c = Tensor::<2>::from_data(TensorData::new(wave(k*d), [k,d]), &dev);
    let m = Tensor::<3>::from_data(TensorData::new(wave(k*d*d), [k,d,d]), &dev);
    let diff = x.clone().unsqueeze_dim::<3>(0) - c.clone().unsqueeze_dim::<3>(1);
    time("diff", 50, || { std::hint::black_box(x.clone().unsqueeze_dim::<3>(0) - c.clone().unsqueeze_dim::<3>(1)); });
    time("bmm", 50, || { std::hint::black_box(diff.clone().matmul(m.clone())); });
    time("mul", 50, || { std::hint::black_box(diff.clone() * diff.clone()); });
    time("sum", 50, || { std::hint::black_box(diff.clone().sum_dim(2)); });
    time("distances", 50, || { std::hint::black_box(distances(x.clone(), c.clone(), m.clone())); });
    let f: Vec<Vec<usize>> = (0..7).map(|i| (i*27..(i*27+27)).collect()).collect();
    let bins: Vec<usize> = (0..n).map(|i| i%7).collect();
    time("laplacians", 50, || { for (i,f) in f.iter().enumerate() { std::hint::black_box(signed_laplacian(f, &bins, 4000, 0, i as u64)); } });
    let metric = MultiMetricConfig::default().init(&dev);
    time("metrics", 50, || { std::hint::black_box(metric.metrics(&[0,1,2,3,4,5,6])); });
    let idx = Tensor::<1, Int>::from_data(TensorData::new((0..189i64).collect::<Vec<_>>(), [189]), &dev);
    time("select", 50, || { std::hint::black_box(x.clone().select(0, idx.clone())); });
    let i7 = Tensor::<1, Int>::from_data(TensorData::new((0..7i64).collect::<Vec<_>>(), [7]), &dev);
    time("select m", 50, || { std::hint::black_box(m.clone().select(0, i7.clone())); });
    let l = Tensor::<3>::from_data(TensorData::new(wave(7*27*27), [7,27,27]), &dev);
    let xx = x.clone().slice([0..189]).reshape([7,27,64]);
    time("bmm L", 50, || { std::hint::black_box(l.clone().matmul(xx.clone())); });
}
