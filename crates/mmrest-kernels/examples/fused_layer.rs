//! Compares an operation of this crate with the same layer made of burn's own operations: values and gradients.
//!
//! `cargo run --release --example fused_layer`

use burn::nn::LinearConfig;
use burn::tensor::activation;
use burn::tensor::{Device, Distribution, Tensor};
use mmrest_kernels::activation::gelu;
use mmrest_kernels::host;
use mmrest_kernels::linear::project;

fn main() -> Result<(), host::ReadError> {
    let device = Device::flex().autodiff();
    device.seed(1);
    let linear = LinearConfig::new(64, 64).init(&device);
    let x = Tensor::<2>::random([32, 64], Distribution::Default, &device);

    let mut results = Vec::new();
    for fused in [true, false] {
        let x = x.clone().require_grad();
        let hidden = if fused {
            gelu(project::<3>(x.clone(), &[&linear]))
        } else {
            activation::gelu(linear.forward(x.clone()))
        };
        let value = host::read("layer", hidden.clone())?;
        let gradient = x.grad(&hidden.sum().backward());
        results.push((
            value,
            gradient.map(|g| host::read("gradient", g)).transpose()?,
        ));
    }
    let furthest = |a: &[f32], b: &[f32]| {
        let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        apart.fold(0.0, f32::max)
    };
    println!(
        "values apart by at most    {:.1e}",
        furthest(&results[0].0, &results[1].0)
    );
    if let (Some(own), Some(burns)) = (&results[0].1, &results[1].1) {
        println!("gradients apart by at most {:.1e}", furthest(own, burns));
    }
    Ok(())
}
