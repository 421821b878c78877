use proptest::prelude::*;

use super::*;

const VOCAB: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nfilm\n##s\n##本\n日\n本\n!\nFilm\ncafe\ncafé\n[\n]\nmask\n";

fn tokenizer(options: TokenizerOptions) -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vocab.txt");
    fs::write(&path, VOCAB).unwrap();
    Tokenizer::from_vocab(&path, options).unwrap()
}

fn tokens(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text, 512);
    ids[1..ids.len() - 1]
        .iter()
        .map(|id| tokenizer.vocabulary()[*id as usize].clone())
        .collect()
}

#[test]
fn options_decide_case_accents_and_chinese() {
    let default = TokenizerOptions::default();
    let uncased = tokenizer(default);
    assert_eq!(
        tokens(&uncased, "The Films, CAFÉ!"),
        ["the", "film", "##s", "[UNK]", "cafe", "!"]
    );
    assert_eq!(tokens(&uncased, "日本"), ["日", "本"]);

    let cased = tokenizer(TokenizerOptions {
        lowercase: false,
        ..default
    });
    assert_eq!(tokens(&cased, "Film film café"), ["Film", "film", "café"]);
    let stripped = tokenizer(TokenizerOptions {
        lowercase: false,
        strip_accents: Some(true),
        ..default
    });
    assert_eq!(tokens(&stripped, "café"), ["cafe"]);
    let kept = tokenizer(TokenizerOptions {
        strip_accents: Some(false),
        ..default
    });
    assert_eq!(tokens(&kept, "Café"), ["café"]);

    let joined = tokenizer(TokenizerOptions {
        tokenize_chinese_chars: false,
        ..default
    });
    assert_eq!(
        tokens(&joined, "日本 日!本 film日"),
        ["日", "##本", "日", "!", "本", "[UNK]"]
    );
}

#[test]
fn special_tokens_in_the_text_are_themselves() {
    let tokenizer = tokenizer(TokenizerOptions::default());
    assert_eq!(
        tokens(&tokenizer, "film[MASK]film [SEP]"),
        ["film", "[MASK]", "film", "[SEP]"]
    );
    assert_eq!(tokens(&tokenizer, "[mask]"), ["[", "mask", "]"]);
}

#[test]
fn line_and_paragraph_separators_are_space() {
    let tokenizer = tokenizer(TokenizerOptions::default());
    assert_eq!(
        tokens(&tokenizer, "the\u{2028}film\u{2029}film"),
        ["the", "film", "film"]
    );
}

#[test]
fn cutting_and_padding_keep_the_separator() {
    let tokenizer = tokenizer(TokenizerOptions::default());
    assert_eq!(tokenizer.encode("the film films", 4), [2, 5, 6, 3]);
    assert_eq!(tokenizer.encode("the film", 4), [2, 5, 6, 3]);
    assert_eq!(tokenizer.encode("the film", 0), [2, 3]);
    assert_eq!(tokenizer.encode("", 9), [2, 3]);
    let ids = tokenizer.encode("the film", 9);
    assert_eq!(
        tokenizer.pad(&ids, 6),
        (vec![2, 5, 6, 3, 0, 0], vec![1, 1, 1, 1, 0, 0])
    );
    assert_eq!(tokenizer.pad(&ids, 3), (vec![2, 5, 3], vec![1, 1, 1]));
    assert_eq!(tokenizer.pad(&ids, 0), (vec![], vec![]));
    assert_eq!(tokenizer.pad(&[], 2), (vec![0, 0], vec![0, 0]));
}

#[test]
fn a_word_of_more_than_a_hundred_characters_is_unknown() {
    let tokenizer = tokenizer(TokenizerOptions::default());
    let word = |times: usize| format!("film{}", "s".repeat(times));
    assert_eq!(tokens(&tokenizer, &word(96)).len(), 97);
    assert_eq!(tokens(&tokenizer, &word(97)), ["[UNK]"]);
}

#[test]
fn a_vocabulary_survives_being_written() {
    let first = tokenizer(TokenizerOptions::default());
    let dir = tempfile::tempdir().unwrap();
    first.write_vocab(&dir.path().join("vocab.txt")).unwrap();
    let json = serde_json::to_string(&TokenizerOptions {
        lowercase: false,
        ..first.options()
    })
    .unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), json).unwrap();
    let second = Tokenizer::from_dir(dir.path()).unwrap();
    assert_eq!(second.vocabulary(), first.vocabulary());
    assert!(!second.lowercase() && first.lowercase());
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("vocab.txt") && message.contains("no such file"),
        "{message}"
    );

    fs::write(dir.path().join("vocab.txt"), "[PAD]\n[UNK]\n[MASK]\nfilm\n").unwrap();
    let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(
        message.contains("[CLS], [SEP]") && !message.contains("[PAD]"),
        "{message}"
    );

    fs::write(
        dir.path().join("tokenizer_config.json"),
        "{\"do_lower_case\": 3}",
    )
    .unwrap();
    let message = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer_config.json"), "{message}");
}

proptest! {
    #[test]
    fn pieces_are_those_of_rust_tokenizers(text in "([ a-cA-C!é日本#\\[\\]]|film|films|cafe|the|mask|\\[MASK\\]){0,20}") {
        use rust_tokenizers::tokenizer::BertTokenizer;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vocab.txt");
        fs::write(&path, VOCAB).unwrap();
        let expected = BertTokenizer::from_file(&path, true, true).unwrap().tokenize(&text);
        prop_assert_eq!(tokens(&tokenizer(TokenizerOptions::default()), &text), expected);
    }

    #[test]
    fn no_text_can_break_it(text in any::<String>(), max_tokens in 0usize..40) {
        for chinese in [true, false] {
            let options = TokenizerOptions { tokenize_chinese_chars: chinese, ..Default::default() };
            let tokenizer = tokenizer(options);
            let ids = tokenizer.encode(&text, max_tokens);
            prop_assert!(ids.len() >= 2 && ids.len() <= max_tokens.max(2));
            prop_assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
            prop_assert!(ids.iter().all(|id| (*id as usize) < tokenizer.vocab_size()));
        }
    }
}
