//! The sample's own BERT directory: a vocabulary and the shape of a small model, which is trained from scratch.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::files::pretty;
use super::{BERT, lexicon};

/// BERT's special tokens.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// The three files, by their paths from the data set's folder.
pub(super) fn files() -> [(PathBuf, String); 3] {
    [
        ("vocab.txt", vocabulary().join("\n") + "\n"),
        ("config.json", pretty(&config())),
        ("tokenizer_config.json", pretty(&tokenizer_config())),
    ]
    .map(|(name, text)| (Path::new(BERT).join(name), text))
}

/// `vocab.txt`: one token a line. Special tokens; letters, at a word's start and within (so that any word can be spelled);
/// the sample's words.
fn vocabulary() -> Vec<String> {
    let letters = 'a'..='z';
    let words = lexicon::all().into_iter().filter(|word| word.len() > 1);
    let special = SPECIAL.iter().map(ToString::to_string);
    special
        .chain(letters.clone().map(String::from))
        .chain(letters.map(|letter| format!("##{letter}")))
        .chain(words.map(String::from))
        .collect()
}

/// `config.json`, by Hugging Face's keys.
fn config() -> Value {
    json!({
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": vocabulary().len(),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 128,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0
    })
}

/// `tokenizer_config.json`.
fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "model_max_length": 128,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]"
    })
}
