//! How many parameters a model has, told before it is built: sizes that a file claims are compared with the file first.

use mmrest_data::Widths;
use mmrest_encoders::BertConfig;

use crate::config::Config;

/// Parameters of the whole model. Sizes beyond counting give the greatest number.
pub(crate) fn model(config: &Config, widths: Widths, bert: Option<&BertConfig>) -> u128 {
    let size = config.model.representation;
    let sequence = |width: usize| match width {
        0 => 0,
        _ => sum([lstm(width, size), linear(size, size)]),
    };
    let text = bert.map_or(0, |bert| {
        sum([self::bert(bert), linear(bert.hidden_size, size)])
    });
    let metrics = match config.needs_clusters() {
        true => product([config.clusters.count.saturating_add(1), size, size]),
        false => 0,
    };
    let sequences = sum([sequence(widths.vision), sequence(widths.audio)]);
    sum([text, sequences, fusion(config, widths, bert), metrics])
}

/// Parameters of a text encoder.
pub(crate) fn bert(bert: &BertConfig) -> u128 {
    let (hidden, wide) = (bert.hidden_size, bert.intermediate_size);
    let norm = product([2, hidden]);
    let tables = [
        bert.vocab_size,
        bert.max_position_embeddings,
        bert.type_vocab_size,
    ];
    let tables = sum(tables.map(|rows| product([rows, hidden])));
    let attention = linear(hidden, hidden).saturating_mul(4);
    let forward = sum([linear(hidden, wide), linear(wide, hidden)]);
    let layer = sum([attention, forward, norm, norm]);
    let layers = layer.saturating_mul(bert.num_hidden_layers as u128);
    sum([tables, norm, layers])
}

/// Parameters of the score: [`mmrest_pdlf::FusionConfig`].
fn fusion(config: &Config, widths: Widths, bert: Option<&BertConfig>) -> u128 {
    let model = &config.model;
    let width = |width: usize| if width > 0 { model.representation } else { 0 };
    let present = [
        bert.map_or(0, |bert| bert.hidden_size),
        width(widths.vision),
        width(widths.audio),
    ];
    let alone = present.map(|width| match width {
        0 => 0,
        _ => linear(width, model.channels),
    });
    let together = present.into_iter().fold(0, usize::saturating_add);
    let modalities = present.iter().filter(|&&width| width > 0).count();
    let joined = model.channels.saturating_mul(modalities + 1);
    sum([
        sum(alone),
        linear(together, model.channels),
        linear(joined, model.joint),
        linear(model.joint, model.hidden),
        linear(model.hidden, model.hidden),
        linear(model.hidden, 1),
    ])
}

fn linear(inputs: usize, outputs: usize) -> u128 {
    product([inputs.saturating_add(1), outputs])
}

fn lstm(inputs: usize, hidden: usize) -> u128 {
    let rows = inputs.saturating_add(hidden).saturating_add(2);
    product([rows, hidden, 4])
}

fn product<const N: usize>(factors: [usize; N]) -> u128 {
    let factors = factors.into_iter().map(|factor| factor as u128);
    factors.fold(1, u128::saturating_mul)
}

fn sum<const N: usize>(terms: [u128; N]) -> u128 {
    terms.into_iter().fold(0, u128::saturating_add)
}

#[cfg(test)]
mod tests {
    use burn::module::Module;
    use burn::tensor::Device;

    use super::*;
    use crate::model::MmRest;

    #[test]
    fn the_number_is_that_of_the_model_built() {
        let device = Device::flex();
        let text = BertConfig::small(11, 8, 2, 2, 12);
        let mut config = Config::default();
        config.model.representation = 6;
        config.model.channels = 3;
        config.model.joint = 5;
        config.model.hidden = 4;
        for (mmc, vision, audio, with_text) in [
            (true, 3, 2, true),
            (true, 0, 2, true),
            (false, 3, 0, false),
            (true, 0, 7, false),
        ] {
            (config.mmc, config.bias) = (mmc, mmc);
            config.data.modalities = vec![match with_text {
                true => mmrest_data::Modality::Text,
                false => mmrest_data::Modality::Audio,
            }];
            let widths = Widths { vision, audio };
            let bert = with_text.then(|| (text.init(&device), &text));
            let told = model(&config, widths, with_text.then_some(&text));
            let built = MmRest::new(&config, widths, bert, &device).unwrap();
            assert_eq!(told, built.num_params() as u128);
        }
    }

    #[test]
    fn sizes_beyond_counting_do_not_wrap() {
        let mut config = Config::default();
        config.model.representation = usize::MAX;
        config.clusters.count = usize::MAX;
        let widths = Widths {
            vision: usize::MAX,
            audio: usize::MAX,
        };
        assert_eq!(model(&config, widths, None), u128::MAX);
    }
}
