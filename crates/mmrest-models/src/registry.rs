//! The models by name. A new model is one line here.

use serde::{Deserialize, Serialize};

use crate::almt::Almt;
use crate::deva::Deva;
use crate::dmd::Dmd;
use crate::error::ConfigError;
use crate::lmf::Lmf;
use crate::mag_bert::MagBert;
use crate::mcl_mcf::MclMcf;
use crate::misa::Misa;
use crate::mmim::Mmim;
use crate::mmlcn_like::MmlcnLike;
use crate::mmrest::MmRest;
use crate::model::{Presets, SentimentModel};
use crate::mult::Mult;
use crate::needs::Needs;
use crate::self_mm::SelfMm;
use crate::task::Task;
use crate::tfn::Tfn;

/// Work that is generic over the model: called with the type that a configuration names.
pub trait ModelVisitor {
    /// What the work gives.
    type Output;

    /// Does the work for one model.
    fn visit<M: SentimentModel>(self, config: &M::Config) -> Self::Output;
}

macro_rules! models {
    ($($(#[$doc:meta])* $variant:ident($model:ty) = $name:literal,)*) => {
        /// `[model]`: the name of the model and its own table.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "name", deny_unknown_fields)]
        #[non_exhaustive]
        pub enum ModelConfig {
            $(
                $(#[$doc])*
                #[serde(rename = $name)]
                $variant {
                    /// The model's own table.
                    #[serde(rename = $name, default)]
                    config: <$model as SentimentModel>::Config,
                },
            )*
        }

        impl ModelConfig {
            /// The names that `model.name` may have.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// The names of the models that write themselves as an ONNX graph.
            pub fn with_graph() -> Vec<&'static str> {
                let all = [$(($name, <$model as SentimentModel>::HAS_GRAPH)),*];
                all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
            }

            /// The defaults of a model; none for a name that is no model's.
            pub fn default_of(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant { config: Default::default() }),)*
                    _ => None,
                }
            }

            /// The model's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)*
                }
            }

            /// The model's presets, by name, as TOML; the first holds when none is named.
            pub fn presets(&self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Self::$variant { .. } => <<$model as SentimentModel>::Config as Presets>::PRESETS,)*
                }
            }

            /// Keys below the model's table that a run may be resumed with other values of.
            pub fn resumable(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant { .. } => <<$model as SentimentModel>::Config as Presets>::RESUMABLE,)*
                }
            }

            /// The names of the parts of the model's loss.
            pub fn losses(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant { .. } => <$model as SentimentModel>::LOSSES,)*
                }
            }

            /// What the model asks of data and batches.
            pub fn needs(&self) -> Needs {
                match self {
                    $(Self::$variant { config } => <$model as SentimentModel>::needs(config),)*
                }
            }

            /// Checks the model's own values.
            ///
            /// # Errors
            ///
            /// As [`Presets::check`].
            pub fn check(&self, task: &Task) -> Result<(), ConfigError> {
                match self {
                    $(Self::$variant { config } => config.check(concat!("model.", $name), task),)*
                }
            }

            /// Calls `visitor` with the model's type and configuration.
            pub fn visit<V: ModelVisitor>(&self, visitor: V) -> V::Output {
                match self {
                    $(Self::$variant { config } => visitor.visit::<$model>(config),)*
                }
            }
        }
    };
}

models! {
    /// MMRest: clusters, learned metrics, a geometric projection bias, an attention-free fusion score.
    MmRest(MmRest) = "mmrest",
    /// Self-MM: labels of the single modalities, made during training.
    SelfMm(SelfMm) = "self-mm",
    /// TFN: the outer product of the modalities.
    Tfn(Tfn) = "tfn",
    /// LMF: TFN's outer product through weights of low rank.
    Lmf(Lmf) = "lmf",
    /// MISA: a private and a shared representation of each modality.
    Misa(Misa) = "misa",
    /// MulT: transformers from each modality to each other.
    Mult(Mult) = "mult",
    /// ALMT: text of several scales guides what is taken from audio and vision.
    Almt(Almt) = "almt",
    /// MMIM: what the modalities tell of each other is kept large.
    Mmim(Mmim) = "mmim",
    /// MCL-MCF: contrasts of several levels shape the representations.
    MclMcf(MclMcf) = "mcl-mcf",
    /// DMD: common and exclusive parts of the modalities teach each other.
    Dmd(Dmd) = "dmd",
    /// DEVA: sentences that describe voice and face join audio, vision and text.
    Deva(Deva) = "deva",
    /// MAG-BERT: a gate shifts each token's embedding by its vision and audio.
    MagBert(MagBert) = "mag-bert",
    /// Metrics on features that are not learned, after MMLCN.
    MmlcnLike(MmlcnLike) = "mmlcn-like",
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self::MmRest {
            config: Default::default(),
        }
    }
}
