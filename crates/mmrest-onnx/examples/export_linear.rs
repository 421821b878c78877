//! Writes a linear layer as an ONNX graph: `cargo run --release --example export_linear`

use burn::nn::LinearConfig;
use burn::tensor::Device;
use mmrest_onnx::{Dim, Element, Graph};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let layer = LinearConfig::new(3, 2).init(&Device::flex());
    let mut graph = Graph::new("linear");
    let x = graph.input("x", Element::Float, &[Dim::Named("batch"), Dim::Fixed(3)]);
    let hidden = graph.linear(&layer, &x)?;
    let y = graph.op("Relu", &[&hidden]);
    graph.output(
        "y",
        &y,
        Element::Float,
        &[Dim::Named("batch"), Dim::Fixed(2)],
    );
    let bytes = graph.encode()?;
    let file = std::env::temp_dir().join("linear.onnx");
    std::fs::write(&file, &bytes)?;
    println!(
        "{} bytes: relu(x W + b), x [batch, 3], y [batch, 2]",
        bytes.len()
    );
    println!("{}", file.display());
    Ok(())
}
