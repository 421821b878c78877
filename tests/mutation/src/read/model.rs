//! Readers of configurations, encoders, models and checkpoints.

use std::path::Path;
use std::sync::OnceLock;

use burn::tensor::Device;
use mmrest_data::{Frames, Segment};
use mmrest_encoders::{Bert, PackedTokens, Tokenizer};
use mmrest_learner::config::ModelConfig;
use mmrest_learner::train::{Checkpoints, Trainer};
use mmrest_learner::{Config, Predictor, SavedModel};
use mmrest_models::{MmRest, Recipe, SentimentModel};

use super::{CONFIG, told};

/// Texts that every vocabulary must cope with.
const TEXTS: [&str; 4] = [
    "",
    "a well made film",
    "漢字 é\u{301} \u{202e}",
    "[MASK] ##s [CLS]",
];

/// A configuration.
///
/// # Errors
///
/// What is wrong with it.
pub fn config(folder: &Path) -> Result<(), String> {
    let config = Config::load(&folder.join(CONFIG), &[]).map_err(|error| told(&error))?;
    let text = config.to_toml().map_err(|error| told(&error))?;
    let again = Config::parse(&text, &[]).expect("what was read can be read again");
    assert!(again == config || text.contains("nan"), "{text}");
    Ok(())
}

/// A BERT directory: model and tokenizer, and the two together.
///
/// # Errors
///
/// What is wrong with it.
pub fn bert(folder: &Path) -> Result<(), String> {
    let tokenizer = Tokenizer::from_dir(folder).map_err(|error| told(&error))?;
    let (bert, config) = Bert::load_dir(folder, &Device::flex()).map_err(|error| told(&error))?;
    let most = config.max_position_embeddings;
    let tokens = TEXTS.map(|text| tokenizer.encode(text, most.min(16)));
    let batch = PackedTokens::from_sequences(&tokens);
    // Not this batch for this model: said by the check, and no fault of a file.
    if bert.check(&batch).is_ok() {
        let hidden = bert.forward(&batch).into_data();
        assert_eq!(hidden.num_elements(), batch.ids.len() * config.hidden_size);
    }
    Ok(())
}

/// A run's model folder: the model, and a prediction.
///
/// # Errors
///
/// What is wrong with it.
pub fn model(folder: &Path) -> Result<(), String> {
    let predictor = Predictor::load(folder, &Device::flex()).map_err(|error| told(&error))?;
    let frames = |width| Frames {
        values: vec![0.5; 2 * width],
        width,
    };
    let widths = predictor.saved_model().features.widths;
    let segment = Segment {
        id: "one".to_owned(),
        video: "one".to_owned(),
        text: TEXTS[1].to_owned(),
        vision: frames(widths.vision),
        audio: frames(widths.audio),
        label: None,
    };
    predictor.check(&segment)?;
    let predicted = predictor.predict(std::slice::from_ref(&segment));
    let predicted = predicted.map_err(|error| format!("{}: {}", folder.display(), told(&error)))?;
    assert_eq!(predicted.len(), 1);
    Ok(())
}

/// A run's checkpoint: its records, put into the model and the optimisers of the run's configuration. The folder holds
/// `model/` and `checkpoints/`.
///
/// # Errors
///
/// What is wrong with it.
pub fn checkpoint(folder: &Path) -> Result<(), String> {
    let checkpoints = Checkpoints::new(folder.join("checkpoints"));
    let epochs = checkpoints.epochs().map_err(|error| told(&error))?;
    let epoch = *epochs.first().expect("a checkpoint");
    let restored = checkpoints.restore(epoch).map_err(|error| told(&error))?;
    // Complete in every call, and the same.
    static MODEL: OnceLock<(MmRest, Recipe)> = OnceLock::new();
    let (model, recipe) = MODEL.get_or_init(|| untrained(&folder.join("model")));
    let devices = [Device::flex().autodiff()];
    Trainer::resume(model.clone(), recipe, &devices, restored).map_err(|error| told(&error))?;
    Ok(())
}

/// The model of a folder before its training, with its recipe.
fn untrained(folder: &Path) -> (MmRest, Recipe) {
    let device = Device::flex();
    let (saved, _) = SavedModel::load(folder, &device).expect("a complete model");
    let ModelConfig::MmRest { config } = &saved.config.model else {
        panic!("{} is not mmrest", saved.config.model.name());
    };
    let text = saved.text.as_ref().map(|text| &text.bert);
    let layers = text.map_or(0, |bert| bert.num_hidden_layers);
    let task = saved.config.task(saved.features.widths, layers);
    let device = device.autodiff();
    let bert = text.map(|bert| (bert.init(&device), bert));
    let model = MmRest::init(config, &task, bert, &device).expect("a model");
    (model, MmRest::recipe(config, &saved.config.train.rates()))
}
