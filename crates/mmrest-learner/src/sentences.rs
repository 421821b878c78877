//! Further sentences about segments (`data.sentences`), for models that read them: encoded by the text encoder that a run
//! begins with, which what is learned does not change.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use mmrest_data::table::Sentences;
use mmrest_data::{Frames, Modality};
use mmrest_models::TextFeatures;

use crate::config::Config;
use crate::device::Precision;
use crate::error::LearnerError;
use crate::run::load_text;
use crate::saved_model::SavedModel;
use crate::text_cache::Frozen;

/// The sentences of a table with the states of their tokens.
#[derive(Debug)]
pub(crate) struct EncodedSentences {
    table: Sentences,
    /// `[tokens, hidden]` of each sentence; the empty one is among them.
    states: HashMap<String, Arc<Frames>>,
    /// How many there are about a segment.
    count: usize,
}

/// How many sentences about a segment a run's model gets: 0 where it reads none, the data have none, or there is no text
/// encoder to read them with.
pub(crate) fn count(config: &Config) -> usize {
    if config.data.sentences.is_none() || !config.uses(Modality::Text) {
        return 0;
    }
    config.model.needs().sentences
}

impl EncodedSentences {
    /// Reads and encodes the sentences of `folder`, where the model takes any; `root` is the project's.
    ///
    /// # Errors
    ///
    /// The table or the text encoder cannot be read, or the encoder is not the one that the model began with.
    pub(crate) fn prepare(
        saved: &SavedModel,
        folder: &Path,
        root: &Path,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Arc<Self>>, LearnerError> {
        let (config, count) = (&saved.config, count(&saved.config));
        let path = config.data.sentences_file(folder);
        let (Some(path), Some(own)) = (path.filter(|_| count > 0), &saved.text) else {
            return Ok(None);
        };
        let table = Sentences::read(&path, &config.data)?;
        let Some((bert, text)) = load_text(config, root, &Device::flex())? else {
            return Ok(None);
        };
        if !own.began_with(&text.fingerprint) {
            return Err(LearnerError::format(
                &config.text.bert,
                "is not the text encoder that the model began with, which its sentences (data.sentences) are read with: \
                 restore it",
            ));
        }
        let frozen = Frozen {
            lower_layers: bert.depth(),
            bert: &bert,
            all_tokens: true,
            fingerprint: &text.fingerprint,
            precision: Precision::F32,
            cache: &root.join(&config.text.cache),
            stop,
        };
        let distinct: BTreeSet<&str> = table.all().chain([""]).collect();
        let tokens = distinct.iter().map(|sentence| {
            let ids = text.tokenizer.encode(sentence, config.text.max_tokens);
            TextFeatures::Tokens(ids)
        });
        let encoded = frozen.apply(tokens.collect())?;
        let states = distinct.into_iter().zip(encoded);
        let states = states
            .filter_map(|(sentence, features)| match features {
                TextFeatures::Hidden(states) | TextFeatures::Layers { states, .. } => {
                    Some((sentence.to_owned(), Arc::new(states)))
                }
                _ => None,
            })
            .collect();
        Ok(Some(Arc::new(Self {
            table,
            states,
            count,
        })))
    }

    /// The sentences about a segment; empty ones where the table has none.
    pub(crate) fn of(&self, id: &str) -> Vec<Arc<Frames>> {
        let own = self.table.of(id).unwrap_or_default();
        let state = |place: usize| {
            let sentence = own.get(place).map_or("", String::as_str);
            self.states.get(sentence).cloned()
        };
        (0..self.count).filter_map(state).collect()
    }

    /// Whether the table has a row about a segment.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.table.of(id).is_some()
    }
}
