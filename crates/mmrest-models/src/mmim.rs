//! MMIM: hierarchical maximisation of mutual information (Han et al., EMNLP 2021). What text tells of vision and audio, and
//! what the fusion tells of each modality, is kept large while the score is learned.
//!
//! ```text
//! t = BERT's first token     v, a = Linear(LSTM(frames))     z = tanh(L2 tanh(L1 dropout [t; a; v]))     prediction = L3 z
//! for pairs x -> y in t -> v, t -> a (and v -> a):
//!   lld  = mean_b sum_k -(mu_k(x) - y_k)^2 / 2 exp(logvar_k(x))            e = tanh(W y)
//!   H    = (logdet S+ + logdet S-) / 4          S of e's rows with label > 0, < 0: of this batch and the one before
//! nce    = sum over m in t, v, a: -mean_i (m_i . p_i - log sum_j exp(m_i . p_j)), m and its prediction p(z) of length 1
//! pass 1: loss = -lld                                        only the estimators (mu, logvar, W) step
//! pass 2: loss = mean |prediction - label| + alpha nce - beta (lld + H)      the others step
//! ```
//!
//! An epoch is both passes. H counts from the third batch of the second pass on, as published. Both passes clip the norm of
//! all gradients, those of parameters that do not step included.
//!
//! # Where the published code differs from the paper, and what is done here
//!
//! The published code is MMSA a94e65d, a port of the authors'.
//!
//! | point | published | here |
//! |---|---|---|
//! | lld | without `-logvar / 2`, so that any variance can be made likely | `lld = "published"`, or `"gaussian"` |
//! | entropy projections W | never learn: no pass that steps them gives them a gradient | as the code |
//! | singular S | -inf or NaN | H of the batch is left out and counted (`entropy_skipped`) |
//! | LSTMs | MMSA: both directions; the authors' command line: one | `bidirectional = true`, or the preset `authors` |
//! | learning rates | halve after 20 epochs without progress, which patience forestalls | constant |
//! | epoch | chosen on the test set by the authors, by validation loss in MMSA | as every model: validation MAE |

mod config;
mod entropy;
pub(crate) mod layers;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use mmrest_data::Modality;
use mmrest_encoders::{Bert, BertConfig};

pub use self::config::{Likelihood, MmimConfig};
pub use self::entropy::EntropyMemory;
use self::layers::{MutualInformation, Predictor, RecurrentEncoder, ScoreHead};
use crate::batch::Batch;
use crate::counts::{bert_parameters, sum};
use crate::error::{ConfigError, ModelError};
use crate::layers::{check_encoder, l1, recipe, whole};
use crate::model::{Loss, Mode, ModelOutput, SentimentModel, StepAt};
use crate::needs::{AbsentNeed, Needs};
use crate::recipe::{ParameterGroup, Pass, Rates, Recipe};
use crate::task::Task;

/// H counts from this batch of an epoch on.
const ENTROPY_FROM: usize = 3;

/// The MMIM network. A modality that is not in use is one zero frame of one feature, or a text of one zero.
#[derive(Module, Debug)]
pub struct Mmim {
    /// Text encoder, when text is in use.
    pub bert: Option<Bert>,
    /// Encoder of vision.
    pub vision: RecurrentEncoder,
    /// Encoder of audio.
    pub audio: RecurrentEncoder,
    /// The fusion and the score.
    pub fusion: ScoreHead,
    /// Text and vision.
    pub mi_tv: MutualInformation,
    /// Text and audio.
    pub mi_ta: MutualInformation,
    /// Vision and audio.
    pub mi_va: Option<MutualInformation>,
    /// Predicts text.
    pub cpc_t: Predictor,
    /// Predicts vision.
    pub cpc_v: Predictor,
    /// Predicts audio.
    pub cpc_a: Predictor,
    #[module(skip)]
    settings: Arc<Settings>,
}

/// Configuration and task, resolved.
#[derive(Clone, Debug)]
struct Settings {
    config: MmimConfig,
    /// How many of the text encoder's lower layers are not trained.
    lower_layers: usize,
}

/// What the forward pass gives.
#[derive(Clone, Debug)]
pub struct MmimOutput {
    /// t: the first token's last state, `[batch, hidden]`.
    pub text: Tensor<2>,
    /// v, `[batch, out]`.
    pub vision: Tensor<2>,
    /// a, `[batch, out]`.
    pub audio: Tensor<2>,
    /// z, `[batch, width]`.
    pub fusion: Tensor<2>,
    /// `[batch, 1]`.
    pub prediction: Tensor<2>,
    /// e of each pair in the order tv, ta, va, `[batch, out / 4]`: left by the loss of a training step.
    pub entropy_rows: Vec<Tensor<2>>,
    /// Whether the step's entropy was left out.
    pub skipped: bool,
}

impl ModelOutput for MmimOutput {
    fn prediction(&self) -> Tensor<1> {
        self.prediction.clone().squeeze_dim(1)
    }

    fn stages(&self) -> Vec<(&'static str, Tensor<2>)> {
        vec![
            ("text encoder's output", self.text.clone()),
            ("vision representation", self.vision.clone()),
            ("audio representation", self.audio.clone()),
            ("fusion", self.fusion.clone()),
            ("prediction", self.prediction.clone()),
        ]
    }
}

impl SentimentModel for Mmim {
    type Config = MmimConfig;
    type State = EntropyMemory;
    type Output = MmimOutput;

    /// Its contrasts and covariances are of complete batches.
    const SEVERAL_DEVICES: bool = false;
    const LOSSES: &'static [&'static str] = &["task", "nce", "lld", "entropy"];
    const PUBLISHED_NAMES: &'static [(&'static str, &'static str)] = &[
        ("bert.", "text_enc.bertmodel."),
        ("vision.", "visual_enc."),
        ("audio.", "acoustic_enc."),
        ("enc.linear.", "enc.linear_1."),
        ("backward.weight_ih_l0", "rnn.weight_ih_l0_reverse"),
        ("backward.weight_hh_l0", "rnn.weight_hh_l0_reverse"),
        ("backward.bias_ih_l0", "rnn.bias_ih_l0_reverse"),
        ("backward.bias_hh_l0", "rnn.bias_hh_l0_reverse"),
        ("fusion.", "fusion_prj."),
        (".mu_1.", ".mlp_mu.0."),
        (".mu_2.", ".mlp_mu.2."),
        (".logvar_1.", ".mlp_logvar.0."),
        (".logvar_2.", ".mlp_logvar.2."),
        (".entropy.", ".entropy_prj.0."),
        ("cpc_t.", "cpc_zt."),
        ("cpc_v.", "cpc_zv."),
        ("cpc_a.", "cpc_za."),
        ("stack.0.", "net.0."),
        ("stack.1.", "net.2."),
        ("stack.2.", "net.3."),
        ("stack.3.", "net.4."),
        ("stack.4.", "net.5."),
        ("stack.5.", "net.6."),
        ("stack.6.", "net.7."),
        ("stack.7.", "net.8."),
    ];

    fn init(
        config: &MmimConfig,
        task: &Task,
        text: Option<(Bert, &BertConfig)>,
        device: &Device,
    ) -> Result<Self, ModelError> {
        check_encoder(task, text.is_some())?;
        let hidden = text.as_ref().map_or(1, |(_, bert)| bert.text_width());
        let [vision, audio] = sizes(config, task);
        let (of_vision, of_audio) = (config.vision_out, config.audio_out);
        let width = config.fusion_width;
        let predictor = |out| Predictor::init(width, out, config.cpc_layers, device);
        Ok(Self {
            bert: text.map(|(bert, _)| bert),
            vision: RecurrentEncoder::init(vision, config.bidirectional, device),
            audio: RecurrentEncoder::init(audio, config.bidirectional, device),
            fusion: ScoreHead::init(
                hidden + of_audio + of_vision,
                width,
                config.fusion_dropout,
                device,
            ),
            mi_tv: MutualInformation::init(hidden, of_vision, device),
            mi_ta: MutualInformation::init(hidden, of_audio, device),
            mi_va: config
                .vision_audio
                .then(|| MutualInformation::init(of_vision, of_audio, device)),
            cpc_t: predictor(hidden),
            cpc_v: predictor(of_vision),
            cpc_a: predictor(of_audio),
            settings: Arc::new(Settings {
                config: config.clone(),
                lower_layers: task.lower_layers,
            }),
        })
    }

    fn parameter_count(config: &MmimConfig, task: &Task, text: Option<&BertConfig>) -> u128 {
        let hidden = text.map_or(1, |bert| bert.text_width());
        let [vision, audio] = sizes(config, task);
        let (of_vision, of_audio) = (config.vision_out, config.audio_out);
        let width = config.fusion_width;
        let inputs = hidden.saturating_add(of_vision).saturating_add(of_audio);
        let predictor = |out| Predictor::parameter_count(width, out, config.cpc_layers);
        let mutual = MutualInformation::parameter_count;
        sum([
            text.map_or(0, bert_parameters),
            RecurrentEncoder::parameter_count(vision, config.bidirectional),
            RecurrentEncoder::parameter_count(audio, config.bidirectional),
            ScoreHead::parameter_count(inputs, width),
            mutual(hidden, of_vision),
            mutual(hidden, of_audio),
            if config.vision_audio {
                mutual(of_vision, of_audio)
            } else {
                0
            },
            predictor(hidden),
            predictor(of_vision),
            predictor(of_audio),
        ])
    }

    fn init_state(_: &MmimConfig, _: &Task, _: &[f32]) -> EntropyMemory {
        EntropyMemory::default()
    }

    fn check_state(&self, state: &EntropyMemory) -> Result<(), ModelError> {
        let pairs = self.pairs();
        for memory in [&state.positive, &state.negative] {
            let fits = |(pair, rows): (&&MutualInformation, &Vec<f32>)| {
                rows.len() % pair.entropy.weight.val().dims()[1] == 0
            };
            let complete = memory.is_empty() || memory.len() == pairs.len();
            if !complete || !pairs.iter().zip(memory).all(fits) {
                return Err(ModelError::Config(ConfigError(
                    "holds rows of another width than the model's entropy projections".into(),
                )));
            }
            if !memory.iter().flatten().all(|value| value.is_finite()) {
                return Err(ModelError::NonFinite(
                    "holds an entropy row that is not finite".into(),
                ));
            }
        }
        Ok(())
    }

    /// Prediction needs no memory.
    fn prediction_state(&self, _: &EntropyMemory) -> EntropyMemory {
        EntropyMemory::default()
    }

    fn needs(_: &MmimConfig) -> Needs {
        Needs {
            absent: AbsentNeed::ZeroFrame,
            ..Needs::default()
        }
    }

    fn recipe(config: &MmimConfig, rates: &Rates) -> Recipe {
        let mut recipe = recipe(rates, 1, true);
        recipe.groups.push(ParameterGroup::new(
            "mi",
            r"^mi_(tv|ta|va)\.",
            config.mi_learning_rate,
            rates.weight_decay,
        ));
        recipe.passes = vec![
            Pass {
                name: "estimators",
                trains: vec!["mi"],
                share: config.mi_share,
            },
            Pass {
                trains: vec!["", "text"],
                ..Pass::default()
            },
        ];
        recipe
    }

    fn forward(&self, batch: &Batch, _: &EntropyMemory, _: Mode) -> Result<MmimOutput, ModelError> {
        let device = self.fusion.linear_1.weight.device();
        let (bert, lower) = (self.bert.as_ref(), self.settings.lower_layers);
        let text = batch.pooled_text(bert, lower, &device);
        let vision = self.vision.forward(batch.frames(Modality::Vision, &device));
        let audio = self.audio.forward(batch.frames(Modality::Audio, &device));
        let all = Tensor::cat(vec![text.clone(), audio.clone(), vision.clone()], 1);
        let (fusion, prediction) = self.fusion.forward(all);
        Ok(MmimOutput {
            text,
            vision,
            audio,
            fusion,
            prediction,
            entropy_rows: Vec::new(),
            skipped: false,
        })
    }

    /// In training as the pass has it; in evaluation the task's part alone.
    fn loss(
        &self,
        batch: &Batch,
        output: &mut MmimOutput,
        state: &EntropyMemory,
        mode: Mode,
    ) -> Result<Loss, ModelError> {
        whole(batch, "MMIM")?;
        match mode {
            Mode::Evaluate => {
                let task = l1(batch, output.prediction());
                Ok(Loss {
                    total: task.clone(),
                    parts: vec![Some(task), None, None, None],
                })
            }
            Mode::Train(StepAt { pass: 0, .. }) => Ok(self.estimator_loss(output)),
            Mode::Train(at) => self.score_loss(batch, output, state, at.step),
        }
    }

    /// Remembers the batch's entropy rows; the estimators' pass, with which an epoch begins, forgets them.
    fn observe(
        &self,
        batch: &Batch,
        output: &MmimOutput,
        state: &mut EntropyMemory,
        at: StepAt,
    ) -> Result<(), ModelError> {
        if at.pass == 0 {
            *state = EntropyMemory::default();
            return Ok(());
        }
        state.skipped += usize::from(output.skipped);
        state.remember(&output.entropy_rows, &batch.labels)
    }

    /// Batches whose entropy was left out, for a covariance was singular.
    fn epoch_columns(&self, state: &EntropyMemory) -> Vec<(&'static str, f64)> {
        vec![("entropy_skipped", state.skipped as f64)]
    }

    fn text_encoder(&self) -> Option<&Bert> {
        self.bert.as_ref()
    }

    fn parts(&self) -> Vec<(&'static str, usize)> {
        let estimators = self.pairs().into_iter().map(Module::num_params);
        let predictors = [&self.cpc_t, &self.cpc_v, &self.cpc_a].into_iter();
        vec![
            ("vision", self.vision.num_params()),
            ("audio", self.audio.num_params()),
            ("fusion", self.fusion.num_params()),
            ("estimators", estimators.sum()),
            ("predictors", predictors.map(Module::num_params).sum()),
        ]
    }
}

/// Features, hidden state and output of vision and audio.
fn sizes(config: &MmimConfig, task: &Task) -> [[usize; 3]; 2] {
    [
        [task.widths.vision, config.vision_hidden, config.vision_out],
        [task.widths.audio, config.audio_hidden, config.audio_out],
    ]
}

impl Mmim {
    /// The estimators, in the order tv, ta, va.
    fn pairs(&self) -> Vec<&MutualInformation> {
        let always = [&self.mi_tv, &self.mi_ta].into_iter();
        always.chain(&self.mi_va).collect()
    }

    /// x and y of each pair.
    fn sources(output: &MmimOutput) -> [(Tensor<2>, Tensor<2>); 3] {
        let (t, v, a) = (&output.text, &output.vision, &output.audio);
        [
            (t.clone(), v.clone()),
            (t.clone(), a.clone()),
            (v.clone(), a.clone()),
        ]
    }

    /// The log-likelihood of each pair, `[1]`.
    #[must_use]
    pub fn likelihoods(&self, output: &MmimOutput) -> Vec<Tensor<1>> {
        let form = self.settings.config.lld();
        let pairs = self.pairs().into_iter().zip(Self::sources(output));
        pairs
            .map(|(pair, (x, y))| pair.likelihood(x, y, form))
            .collect()
    }

    /// The contrasts of text, vision and audio with their predictions, `[1]` each.
    #[must_use]
    pub fn contrasts(&self, output: &MmimOutput) -> [Tensor<1>; 3] {
        [
            (&self.cpc_t, &output.text),
            (&self.cpc_v, &output.vision),
            (&self.cpc_a, &output.audio),
        ]
        .map(|(predictor, x)| predictor.contrast(x.clone(), output.fusion.clone()))
    }

    /// The loss of the estimators' pass.
    pub fn estimator_loss(&self, output: &MmimOutput) -> Loss {
        let lld = total(self.likelihoods(output));
        let total = -lld.clone();
        Loss {
            total,
            parts: vec![None, None, Some(lld), None],
        }
    }

    /// The loss of the other pass; leaves the entropy rows in `output`.
    ///
    /// # Errors
    ///
    /// The device cannot be read.
    pub fn score_loss(
        &self,
        batch: &Batch,
        output: &mut MmimOutput,
        state: &EntropyMemory,
        step: usize,
    ) -> Result<Loss, ModelError> {
        let MmimConfig { alpha, beta, .. } = self.settings.config;
        let task = l1(batch, output.prediction());
        let nce = total(self.contrasts(output).to_vec());
        let lld = total(self.likelihoods(output));
        let pairs = self.pairs().into_iter().zip(Self::sources(output));
        output.entropy_rows = pairs.map(|(pair, (_, y))| pair.entropy_rows(y)).collect();
        let entropy = if step < ENTROPY_FROM {
            None
        } else {
            let found = state.entropies(&output.entropy_rows, &batch.labels)?;
            output.skipped = found.is_none();
            found.map(total)
        };
        let mut sum = task.clone() + nce.clone() * alpha - lld.clone() * beta;
        if let Some(entropy) = &entropy {
            sum = sum - entropy.clone() * beta;
        }
        Ok(Loss {
            total: sum,
            parts: vec![Some(task), Some(nce), Some(lld), entropy],
        })
    }
}

/// The sum of losses.
fn total(losses: Vec<Tensor<1>>) -> Tensor<1> {
    Tensor::cat(losses, 0).sum()
}
