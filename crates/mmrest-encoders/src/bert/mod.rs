//! BERT (Devlin et al., 2019) over packed batches: no linear layer, normalisation or activation ever sees padding.
//!
//! A batch's tokens lie end to end, `[tokens, hidden]`. Only attention, which mixes the tokens of a sequence, gathers
//! them to `[batch, heads, time, head]` and back.

mod attention;
mod config;
mod embeddings;
mod load;
mod model;

pub use attention::SelfAttention;
pub use config::{Activation, BertConfig};
pub use embeddings::Embeddings;
pub use load::has_weights;
pub use model::{Bert, BertLayer};
