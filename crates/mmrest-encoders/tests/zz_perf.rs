//! temp
#![allow(clippy::unwrap_used)]
mod common;
use burn::prelude::*;
use mmrest_encoders::*;
use std::time::Instant;
fn time(name: &str, n: usize, mut f: impl FnMut()) { f(); let mut v: Vec<f64> = (0..n).map(|_| { let t = Instant::now(); f(); t.elapsed().as_secs_f64()*1e3 }).collect(); v.sort_by(f64::total_cmp); println!("{name}: median {:.1} ms min {:.1}", v[n/2], v[0]); }
#[test]
fn perf() {
    let ad = Device::flex().autodiff();
    for (t, f) in [(375usize, 20usize), (50, 75)] {
    let x = Tensor::<3>::from_data(TensorData::new(common::noise(64*t*f, 3), [64, t, f]), &ad);
    let enc = SequenceEncoderConfig::new(f).init(&ad);
    let lens: Vec<usize> = (0..64).map(|i| (t * (i + 8) / 71).max(1)).collect();
    let full = vec![t; 64];
    for (n, l) in [("full", &full), ("mixed", &lens)] {
        time(&format!("lstm T={t} {n} f+b"), 9, || { let o = enc.forward(x.clone(), l).powf_scalar(2.).mean(); let g = o.backward(); let _ = enc.lstm.weight_hh.grad(&g).unwrap().into_data(); });
        let e = enc.valid(); let xi = x.clone().inner();
        time(&format!("lstm T={t} {n} fwd"), 9, || { let _ = e.forward(xi.clone(), l).into_data(); });
    }}
}
