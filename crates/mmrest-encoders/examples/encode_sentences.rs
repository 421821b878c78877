//! Encodes sentences with a BERT, and tells how alike they are.
//!
//! ```sh
//! cargo run --release --example encode_sentences -- data/bert/minilm
//! ```
//!
//! The folder is any Hugging Face BERT or MPNet: `config.json`, a vocabulary and weights. Without one
//! a tiny BERT with random weights takes its place: the figures then mean nothing.

use burn::prelude::*;
use mmrest_encoders::{Bert, BertConfig, PackedTokens, Tokenizer, TokenizerOptions};

const SENTENCES: [&str; 4] = [
    "The film was wonderful.",
    "I loved every minute of this movie.",
    "A dull and tiresome story.",
    "The train leaves at nine.",
];

/// A BERT of two small layers over the words of the sentences.
fn tiny(device: &Device) -> Result<(Tokenizer, Bert), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let vocab = folder.path().join("vocab.txt");
    let words = SENTENCES.join(" ").to_lowercase().replace('.', " .");
    let special = "[PAD] [UNK] [CLS] [SEP] [MASK]";
    let mut tokens: Vec<&str> = special.split(' ').chain(words.split_whitespace()).collect();
    let mut seen = std::collections::HashSet::new();
    tokens.retain(|token| seen.insert(*token));
    std::fs::write(&vocab, tokens.join("\n"))?;
    let tokenizer = Tokenizer::from_vocab(&vocab, TokenizerOptions::default())?;
    let bert = BertConfig::small(tokenizer.vocab_size(), 32, 2, 4, 64).init(device);
    Ok((tokenizer, bert))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    let (tokenizer, bert) = match std::env::args_os().nth(1) {
        Some(folder) => {
            let folder = std::path::Path::new(&folder);
            (
                Tokenizer::from_dir(folder)?,
                Bert::load_dir(folder, &device)?.0,
            )
        }
        None => {
            println!("no BERT folder given: a tiny one with random weights");
            tiny(&device)?
        }
    };

    let tokens = tokenizer.encode_all(&SENTENCES, 50);
    for (sentence, tokens) in SENTENCES.iter().zip(&tokens) {
        println!("{:2} tokens  {sentence}", tokens.len());
    }
    let batch = PackedTokens::from_sequences(&tokens);
    bert.check(&batch)?;

    // The mean over a sentence's tokens, of length 1: products of two are cosines.
    let tokens = bert.forward(&batch); // [tokens, hidden]
    let means = batch.lens().scan(0, |start, length| {
        let sentence = tokens.clone().narrow(0, *start, length).mean_dim(0);
        *start += length;
        Some(sentence)
    });
    let means = Tensor::cat(means.collect(), 0); // [sentences, hidden]
    let length = means.clone().square().sum_dim(1).sqrt();
    let unit = means / length;
    let cosines = unit.clone().matmul(unit.transpose());
    let cosines: Vec<f32> = cosines.into_data().try_to_vec()?;
    println!("cosines between the sentences:");
    for row in cosines.chunks(SENTENCES.len()) {
        let row: Vec<String> = row.iter().map(|cosine| format!("{cosine:6.3}")).collect();
        println!("  {}", row.join(" "));
    }
    Ok(())
}
