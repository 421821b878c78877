//! Builds each model for audio and vision, and computes its loss and predictions of a batch.
//!
//! `cargo run --release --example score_batch`

use burn::tensor::Device;
use mmrest_data::{Frames, Modality, Widths};
use mmrest_models::{
    BinsConfig, Example, HostBatch, Mode, ModelConfig, ModelError, ModelOutput, ModelVisitor,
    SentimentModel, StepAt, Task, TextFeatures, TextNeed,
};

/// Work that is generic over the model.
struct Score {
    name: &'static str,
    task: Task,
    examples: Vec<Example>,
}

impl ModelVisitor for Score {
    type Output = Result<(), ModelError>;

    fn visit<M: SentimentModel>(self, config: &M::Config) -> Self::Output {
        let device = Device::flex();
        device.seed(1);
        let model = M::init(config, &self.task, None, &device)?;
        let labels: Vec<f32> = self.examples.iter().map(|example| example.label).collect();
        let state = M::init_state(config, &self.task, &labels);
        let batch = HostBatch::new(&self.examples, (0..labels.len()).collect()).upload(&device);
        let mode = Mode::Train(StepAt::new(1, 1));
        let mut output = model.forward(&batch, &state, mode)?;
        let loss = model.loss(&batch, &mut output, &state, mode)?;
        let loss: f32 = loss.total.into_scalar();
        println!(
            "{}: {} parameters, loss {loss:.3}",
            self.name,
            model.num_params()
        );
        println!("  predictions {}", output.prediction().into_data());
        Ok(())
    }
}

fn main() {
    let task = Task {
        modalities: vec![Modality::Vision, Modality::Audio],
        widths: Widths {
            vision: 3,
            audio: 2,
        },
        label_range: [-3.0, 3.0],
        bins: BinsConfig::default(),
        lower_layers: 0,
        seed: 1,
    };
    let example = |row: u8| Example {
        id: format!("segment[{row}]"),
        text: TextFeatures::Absent,
        vision: Frames {
            values: vec![0.1 * f32::from(row); 6],
            width: 3,
        },
        audio: Frames {
            values: vec![-0.2 * f32::from(row); 2],
            width: 2,
        },
        sentences: Vec::new(),
        label: f32::from(row) - 3.0,
    };
    for name in ModelConfig::NAMES {
        let Some(model) = ModelConfig::default_of(name) else {
            continue;
        };
        if model.needs().text == TextNeed::TokenIds {
            println!("{name}: needs a text encoder");
            continue;
        }
        let scored = model.visit(Score {
            name,
            task: task.clone(),
            examples: (0..7).map(example).collect(),
        });
        // Models that begin an epoch with a pass over the training split have nothing to score with before it.
        if let Err(error) = scored {
            println!("{name}: {error}");
        }
    }
}
