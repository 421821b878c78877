#![doc = include_str!("../README.md")]

mod all_gather;
mod batch;
mod counts;
mod error;
mod geometry;
mod layers;
mod lmf;
mod misa;
mod mmrest;
mod model;
mod published;
mod registry;
pub mod seed;
mod self_mm;
mod subnets;
mod task;
mod tfn;

pub use all_gather::Part;
pub use batch::{Batch, Example, HostBatch, SequenceBatch, TextBatch, TextFeatures};
pub use counts::bert_parameters;
pub use error::{ConfigError, ModelError};
pub use geometry::{
    BiasInfo, Geometry, HostMetrics, PlacedRow, Placement, Representations, SharedSpace,
};
pub use lmf::{Lmf, LmfConfig, LmfOutput};
pub use misa::{FrameLengths, FrameReader, LstmInit, Misa, MisaConfig, MisaOutput, Projection};
pub use mmrest::{
    Assign, ClusterConfig, ClusterScope, ClusterState, Forward, LossConfig, MetricKind, MmRest,
    MmRestConfig, OrdinalConfig, ProjectionConfig, ReceptiveFieldKind, Target, TextEncoder,
};
pub use model::{
    GradientGroup, Loss, Mode, ModelOutput, NearCluster, Optimizer, ParameterGroup, Prediction,
    Presets, Rates, Recipe, SentimentModel,
};
pub use published::{PublishedTensor, load_published, published_gradients, published_weights};
pub use registry::{ModelConfig, ModelVisitor};
pub use self_mm::{Distance, Head, LabelMemory, LabelState, SelfMm, SelfMmConfig, SelfMmOutput};
pub use subnets::{
    BatchNorm, MeanOver, RunningStatistics, SubNet, SubnetState, TextLstm, TextSubNet,
};
pub use task::{BinsConfig, Task};
pub use tfn::{Tfn, TfnConfig, TfnOutput};
