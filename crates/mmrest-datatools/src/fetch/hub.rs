//! The Hugging Face hub: names of models, addresses of their files, the user's token and cache.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the hub is.
const ENDPOINT: &str = "https://huggingface.co";

/// The version of a model that is taken.
const REVISION: &str = "main";

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

/// What is no name of a model on the hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no model of the Hugging Face hub: write NAME or OWNER/NAME, of letters, digits, '-', '_' and '.'"
)]
pub struct InvalidModelName(String);

impl FromStr for ModelName {
    type Err = InvalidModelName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let plain = |part: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            part.chars().all(known) && part.starts_with(|c: char| c.is_ascii_alphanumeric())
        };
        if name.split('/').count() <= 2 && name.split('/').all(plain) {
            return Ok(Self(name.to_owned()));
        }
        Err(InvalidModelName(name.to_owned()))
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
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    /// As these variables and this home folder have it.
    fn from_variables(variable: impl Fn(&str) -> Option<String>, user: Option<PathBuf>) -> Self {
        let given = |name: &str| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let home = variable("HF_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(user?.join(".cache").join("huggingface")));
        let stored = home.as_deref().and_then(stored_token);
        Self {
            endpoint: given("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned()),
            token: given("HF_TOKEN").or(stored),
            cache: home.map(|home| home.join("hub")),
        }
    }

    /// Address of a model's file.
    pub fn url(&self, model: &ModelName, file: &str) -> String {
        let endpoint = self.endpoint.trim_end_matches('/');
        format!("{endpoint}/{model}/resolve/{REVISION}/{file}")
    }

    /// A model's file in the user's cache, laid out as Hugging Face's own tools lay it out:
    /// `models--OWNER--NAME/snapshots/COMMIT/FILE`, the commit being that of `refs/main`.
    pub(super) fn cached(&self, model: &ModelName, file: &str) -> Option<PathBuf> {
        let folder = format!("models--{}", model.as_str().replace('/', "--"));
        let folder = self.cache.as_ref()?.join(folder);
        let commit = std::fs::read_to_string(folder.join("refs").join(REVISION)).ok()?;
        let path = folder.join("snapshots").join(commit.trim()).join(file);
        path.exists().then_some(path)
    }
}

/// The token that `huggingface-cli login` keeps in the home folder of Hugging Face's tools.
fn stored_token(home: &Path) -> Option<String> {
    let token = std::fs::read_to_string(home.join("token")).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_owned())
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
            hub.url(&model, "config.json"),
            "http://localhost:1/owner/name/resolve/main/config.json"
        );
        assert_eq!(hub.cached(&model, "config.json"), None);
    }

    #[test]
    fn token_and_cache_are_where_hugging_face_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("user/.cache/huggingface");
        let snapshot = home.join("hub/models--owner--name/snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(home.join("hub/models--owner--name/refs")).unwrap();
        std::fs::write(home.join("hub/models--owner--name/refs/main"), "abc").unwrap();
        std::fs::write(snapshot.join("config.json"), "{}").unwrap();
        std::fs::write(home.join("token"), "stored\n").unwrap();

        let user = || Some(folder.path().join("user"));
        let hub = Hub::from_variables(|_| None, user());
        assert_eq!(hub.endpoint, ENDPOINT);
        assert_eq!(hub.token.as_deref(), Some("stored"));
        let model: ModelName = "owner/name".parse().unwrap();
        let config = snapshot.join("config.json");
        assert_eq!(hub.cached(&model, "config.json"), Some(config));
        assert_eq!(hub.cached(&model, "vocab.txt"), None);
        assert_eq!(hub.cached(&"name".parse().unwrap(), "config.json"), None);

        let given = |name: &str| match name {
            "HF_ENDPOINT" => Some(" http://mirror/ ".to_owned()),
            "HF_TOKEN" => Some("given".to_owned()),
            "HF_HOME" => Some("elsewhere".to_owned()),
            _ => None,
        };
        let hub = Hub::from_variables(given, user());
        assert_eq!(hub.endpoint, "http://mirror/");
        assert_eq!(hub.token.as_deref(), Some("given"));
        assert_eq!(hub.cache, Some(Path::new("elsewhere").join("hub")));
        let nowhere = Hub::from_variables(|_| None, None);
        assert_eq!((nowhere.token, nowhere.cache), (None, None));
    }
}
