//! The Hugging Face hub: names of models, addresses of their files, the user's token and cache.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hf_hub::Cache;
use hf_hub::api::sync::ApiBuilder;

use mmrest_data::{DataError, Result};

/// Where the hub is.
const ENDPOINT: &str = "https://huggingface.co";

/// Name of a model on the hub: `bert-base-uncased`, or `owner/name`.
///
/// ```
/// use mmrest_datatools::fetch::ModelName;
///
/// let model: ModelName = "sentence-transformers/all-MiniLM-L6-v2".parse().unwrap();
/// assert_eq!(model.last(), "all-MiniLM-L6-v2");
/// for wrong in ["", "a/b/c", "../bert", "a b", ".hidden"] {
///     assert!(wrong.parse::<ModelName>().is_err());
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName(String);

impl ModelName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the owner: the name of the model's folder.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for ModelName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            part.chars().all(known) && part.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if name.split('/').count() <= 2 && name.split('/').all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(format!(
            "{name:?} is no model of the Hugging Face hub: write NAME or OWNER/NAME, of letters, digits, '-', '_' and '.'"
        ))
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Hugging Face hub, or a mirror of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Its address.
    pub endpoint: String,
    /// The user's token, for models that are not for everyone.
    pub token: Option<String>,
    /// The user's cache of it; none is not looked into.
    pub cache: Option<PathBuf>,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            token: None,
            cache: None,
        }
    }
}

impl Hub {
    /// As the environment has it: `HF_ENDPOINT`; `HF_TOKEN`, or the token that `huggingface-cli login` keeps; the cache
    /// below `HF_HOME`, or else `~/.cache/huggingface`.
    pub fn from_env() -> Self {
        let given = |name: &str| {
            let value = std::env::var(name).ok()?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        // Without either of the two hf-hub has no place to look into, and panics.
        let known = std::env::var("HF_HOME").is_ok() || std::env::home_dir().is_some();
        let cache = known.then(Cache::from_env);
        let stored = cache.as_ref().and_then(Cache::token);
        Self {
            endpoint: given("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()),
            token: given("HF_TOKEN").or(stored),
            cache: cache.map(|cache| cache.path().clone()),
        }
    }

    /// Address of a model's file.
    ///
    /// # Errors
    ///
    /// [`DataError::Fetch`] where hf-hub cannot be set up.
    pub fn url(&self, model: &ModelName, file: &str) -> Result<String> {
        let endpoint = self.endpoint.trim_end_matches('/').to_owned();
        let built = ApiBuilder::from_cache(self.files())
            .with_endpoint(endpoint.clone())
            .with_progress(false)
            .build();
        let api = built.map_err(|error| DataError::Fetch {
            url: endpoint,
            reason: error.to_string(),
        })?;
        Ok(api.model(model.as_str().to_owned()).url(file))
    }

    /// A model's file in the user's cache.
    pub(super) fn cached(&self, model: &ModelName, file: &str) -> Option<PathBuf> {
        self.cache.as_ref()?;
        self.files().model(model.as_str().to_owned()).get(file)
    }

    /// hf-hub's view of the cache; an empty path, where nothing is, if there is none.
    fn files(&self) -> Cache {
        Cache::new(self.cache.clone().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_a_folder() {
        for wrong in [
            "..", "a/..", "../a", "/a", "a/", "/", "a\\b", "..\\a", "C:a", "C:\\a", "a/b/../c",
            "~", "a\0", "a\n", "%2e%2e/a", "a//b", "-a", "é",
        ] {
            assert!(wrong.parse::<ModelName>().is_err(), "{wrong:?}");
        }
        let model: ModelName = "owner/a..b".parse().unwrap();
        assert_eq!(model.last(), "a..b");
    }

    #[test]
    fn addresses_are_the_hubs() {
        let hub = Hub {
            endpoint: "http://localhost:1/".to_owned(),
            ..Hub::default()
        };
        let model: ModelName = "owner/name".parse().unwrap();
        assert_eq!(
            hub.url(&model, "config.json").unwrap(),
            "http://localhost:1/owner/name/resolve/main/config.json"
        );
        assert_eq!(hub.cached(&model, "config.json"), None);
    }
}
