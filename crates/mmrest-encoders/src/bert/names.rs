//! What the tensors of a BERT are called.

use std::collections::BTreeMap;

use super::BertConfig;

/// One spelling for every variant: without `bert.` (and the `module.` of data-parallel training), `gamma` and `beta`
/// of a LayerNorm as `weight` and `bias`.
pub(super) fn canonical(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix("bert.").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}

/// Every tensor of a BERT of this configuration and its shape, PyTorch's way round.
pub(super) fn expected_shapes(config: &BertConfig) -> BTreeMap<String, Vec<usize>> {
    let (hidden, wide) = (config.hidden_size, config.intermediate_size);
    let mut shapes = BTreeMap::new();
    let mut expect = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    expect(
        "embeddings.word_embeddings.weight".into(),
        &[config.vocab_size, hidden],
    );
    expect(
        "embeddings.position_embeddings.weight".into(),
        &[config.max_position_embeddings, hidden],
    );
    expect(
        "embeddings.token_type_embeddings.weight".into(),
        &[config.type_vocab_size, hidden],
    );
    let mut both = |name: String, weight: &[usize]| {
        expect(format!("{name}.weight"), weight);
        expect(format!("{name}.bias"), &weight[..1]);
    };
    both("embeddings.LayerNorm".into(), &[hidden]);
    for layer in 0..config.num_hidden_layers {
        let at = format!("encoder.layer.{layer}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            both(format!("{at}.attention.{part}"), &[hidden, hidden]);
        }
        both(format!("{at}.attention.output.LayerNorm"), &[hidden]);
        both(format!("{at}.intermediate.dense"), &[wide, hidden]);
        both(format!("{at}.output.dense"), &[hidden, wide]);
        both(format!("{at}.output.LayerNorm"), &[hidden]);
    }
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_are_one() {
        for name in [
            "encoder.layer.0.output.LayerNorm.weight",
            "bert.encoder.layer.0.output.LayerNorm.gamma",
            "module.bert.encoder.layer.0.output.LayerNorm.weight",
        ] {
            assert_eq!(canonical(name), "encoder.layer.0.output.LayerNorm.weight");
        }
        assert_eq!(canonical("cls.predictions.bias"), "cls.predictions.bias");
    }

    #[test]
    fn a_bert_has_five_tensors_and_sixteen_a_layer() {
        let shapes = expected_shapes(&BertConfig::default());
        assert_eq!(shapes.len(), 5 + 12 * 16);
        let parameters: usize = shapes
            .values()
            .map(|shape| shape.iter().product::<usize>())
            .sum();
        assert_eq!(parameters, 108_891_648); // bert-base-uncased without its pooler
    }
}
