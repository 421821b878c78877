#![doc = include_str!("../README.md")]

mod all_gather;
mod almt;
mod batch;
mod counts;
mod deva;
mod dmd;
mod error;
mod geometry;
mod graph;
mod layers;
mod lmf;
mod mag_bert;
mod mcl_mcf;
mod misa;
mod mmim;
mod mmlcn_like;
mod mmrest;
mod model;
mod mult;
mod needs;
mod published;
mod recipe;
mod registry;
pub mod seed;
mod self_mm;
mod sequences;
mod subnets;
mod task;
mod tfn;

pub use all_gather::Part;
pub use almt::{Almt, AlmtConfig, AlmtOutput};
pub use batch::{Batch, Example, HostBatch, TextBatch, TextFeatures};
pub use counts::bert_parameters;
pub use deva::{Deva, DevaConfig, DevaOutput};
pub use dmd::{Decoupled, DistilRepr, Dmd, DmdConfig, DmdOutput, OrtAxis};
pub use error::{ConfigError, ModelError};
pub use geometry::{
    BiasInfo, Geometry, HostMetrics, PlacedRow, Placement, Representations, SharedSpace,
};
pub use graph::{GraphFrames, GraphInputs, GraphOutputs};
pub use lmf::{Lmf, LmfConfig};
pub use mag_bert::{Gate, MagBert, MagBertConfig, MagBertOutput, MagLoss};
pub use mcl_mcf::{MclMcf, MclMcfConfig, MclMcfOutput};
pub use misa::{FrameLengths, FrameReader, LstmInit, Misa, MisaConfig, MisaOutput, Projection};
pub use mmim::{EntropyMemory, Likelihood, Mmim, MmimConfig, MmimOutput};
pub use mmlcn_like::{
    CentreMetrics, Decision, FeatureSpace, FeatureState, MmlcnLike, MmlcnLikeConfig,
    MmlcnLikeOutput,
};
pub use mmrest::{
    Assign, ClusterConfig, ClusterScope, ClusterState, Forward, FusionKind, GatedScores,
    KernelConfig, KernelLossConfig, LossConfig, MetricKind, MmRest, MmRestConfig, OrdinalConfig,
    ProjectionConfig, ReadyKernel, ReceptiveFieldKind, StepRows, SupportFrom, Target, TextEncoder,
};
pub use model::{
    Loss, Mode, ModelOutput, NearCluster, PredictWith, Prediction, Presets, SentimentModel, StepAt,
};
pub use mult::{Convolution, Encoder, Mult, MultConfig, MultOutput, Padding};
pub use needs::{AbsentNeed, FrameNeed, Longest, Needs, TextNeed};
pub use published::{PublishedTensor, load_published, published_gradients, published_weights};
pub use recipe::{
    Adam, Clip, GradientGroup, Optimizer, ParameterGroup, Pass, Rates, Recipe, Schedule,
};
pub use registry::{ModelConfig, ModelVisitor};
pub use self_mm::{Distance, Head, LabelMemory, LabelState, SelfMm, SelfMmConfig, SelfMmOutput};
pub use sequences::{PackedStates, SequenceBatch};
pub use subnets::{
    BatchNorm, MeanOver, RunningStatistics, SubNet, SubnetOutput, SubnetState, TextLstm, TextSubNet,
};
pub use task::{BinsConfig, Task};
pub use tfn::{Tfn, TfnConfig};
