//! BERT (Devlin et al., 2019) over packed batches: no linear layer, normalisation or activation ever sees padding.
//!
//! A batch's tokens lie end to end, `[tokens, hidden]`. Only attention, which mixes the tokens of a sequence, gathers
//! them to `[batch, heads, time, head]` and back.

mod activation;
mod attention;
mod config;
mod embeddings;
mod load;
mod model;
mod names;

pub(crate) use activation::Activation;
pub(crate) use attention::SelfAttention;
pub use config::BertConfig;
pub(crate) use embeddings::Embeddings;
pub use load::has_weights;
pub use model::Bert;
pub(crate) use model::BertLayer;
