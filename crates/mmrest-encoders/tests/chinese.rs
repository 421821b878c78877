//! A Chinese vocabulary, against the ids of Hugging Face's tokenizers (fixtures/chinese_ids.py).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use mmrest_encoders::Tokenizer;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    vocabulary: Vec<String>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    /// With `do_lower_case` true.
    uncased: Vec<u32>,
    /// With `do_lower_case` false.
    cased: Vec<u32>,
}

fn expected() -> Expected {
    serde_json::from_str(include_str!("fixtures/chinese_ids.json")).unwrap()
}

/// A BERT directory's tokenizer files, read.
fn tokenizer(vocabulary: &[String], config: &str) -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("vocab.txt"), vocabulary.join("\n")).unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    Tokenizer::from_dir(dir.path()).unwrap()
}

#[test]
fn ids_are_those_of_hugging_face_in_either_case() {
    let Expected { vocabulary, texts } = expected();
    assert!(texts.len() > 20);
    let uncased = tokenizer(&vocabulary, r#"{"do_lower_case": true}"#);
    let cased = tokenizer(&vocabulary, r#"{"do_lower_case": false}"#);
    for text in texts {
        assert_eq!(
            uncased.encode(&text.text, 512),
            text.uncased,
            "{:?}",
            text.text
        );
        assert_eq!(cased.encode(&text.text, 512), text.cased, "{:?}", text.text);
    }
}

#[test]
fn a_long_text_is_cut_between_characters() {
    let Expected { vocabulary, .. } = expected();
    let tokenizer = tokenizer(&vocabulary, "{}");
    let ids = tokenizer.encode(&"的".repeat(60), 39);
    assert_eq!(ids.len(), 39);
    let word = |id: u32| vocabulary[id as usize].as_str();
    assert_eq!(
        (word(ids[0]), word(ids[37]), word(ids[38])),
        ("[CLS]", "的", "[SEP]")
    );
}
