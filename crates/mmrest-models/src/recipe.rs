//! How a model is trained: parameter groups with their optimisers, clipping, accumulation, passes over the training split.

/// Learning rates and clipping that every model shares (`[train]`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of everything but the text encoder.
    pub learning_rate: f64,
    /// Of the text encoder.
    pub text_learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest global gradient norm; 0 turns clipping by norm off.
    pub max_grad_norm: f64,
    /// Largest value of any entry of a gradient; 0 turns clipping by value off.
    pub max_grad_value: f64,
}

impl Rates {
    /// How gradients are clipped: by value where that is on, else by norm.
    pub fn clip(&self) -> Clip {
        if self.max_grad_value > 0.0 {
            Clip::Value(self.max_grad_value)
        } else {
            Clip::norm(self.max_grad_norm)
        }
    }
}

/// How a model is trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Parameter groups. A later group takes a parameter from an earlier one; the first holds all that no other takes.
    pub groups: Vec<ParameterGroup>,
    /// Groups whose gradients are measured, and clipped, together. A later group takes a parameter from an earlier one.
    pub gradients: Vec<GradientGroup>,
    /// The optimisers step after this many batches, on the sum of their gradients.
    pub accumulate: usize,
    /// Whether what is left at the end of a pass makes a step of its own; otherwise it is dropped.
    pub flush_rest: bool,
    /// The passes over the training split that an epoch consists of; at least one. The last is the one whose losses stand
    /// in `epochs.csv`.
    pub passes: Vec<Pass>,
    /// How the rates move.
    pub schedule: Schedule,
}

impl Recipe {
    /// A recipe of one pass, a step per batch, with the configured schedule.
    #[must_use]
    pub fn new(groups: Vec<ParameterGroup>, gradients: Vec<GradientGroup>) -> Self {
        Self {
            groups,
            gradients,
            accumulate: 1,
            flush_rest: true,
            passes: vec![Pass::default()],
            schedule: Schedule::Configured,
        }
    }
}

/// Parameters with an optimiser and a rate of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterGroup {
    /// Names the group's column: `{name}_learning_rate`, or `learning_rate` when empty.
    pub name: &'static str,
    /// A regular expression over parameter paths (`text.bert.layers.0.query.weight`).
    pub pattern: &'static str,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Weight decay: coupled (L2) or decoupled, as the optimiser has it.
    pub weight_decay: f64,
    /// Whether the parameters move at all.
    pub trained: bool,
}

impl ParameterGroup {
    /// Trained parameters of [`Optimizer::ADAM`].
    #[must_use]
    pub const fn new(
        name: &'static str,
        pattern: &'static str,
        learning_rate: f64,
        weight_decay: f64,
    ) -> Self {
        Self {
            name,
            pattern,
            optimizer: Optimizer::ADAM,
            learning_rate,
            weight_decay,
            trained: true,
        }
    }
}

/// An optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam, or AdamW.
    Adam(Adam),
    /// The published MMRest code's Adam for metrics ([`mmrest_metric::PsdAdam`]).
    PsdAdam,
}

impl Optimizer {
    /// PyTorch's Adam: beta 0.9 and 0.999, epsilon 1e-8, coupled decay.
    pub const ADAM: Self = Self::Adam(Adam {
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        decoupled: false,
    });
    /// PyTorch's AdamW: as [`ADAM`](Self::ADAM), but the decay acts on the parameters and not on the gradients.
    pub const ADAM_W: Self = Self::Adam(Adam {
        betas: [0.9, 0.999],
        epsilon: 1e-8,
        decoupled: true,
    });
}

/// Settings of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean of the gradients, and of the mean of their squares.
    pub betas: [f32; 2],
    /// What is added to the corrected root of the mean of the squares.
    pub epsilon: f32,
    /// Whether weight decay is AdamW's: parameters are multiplied with `1 - rate * decay` before the step.
    pub decoupled: bool,
}

/// Parameters whose gradients share one global norm.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientGroup {
    /// Names the group's column: `{name}_gradient_norm`, or `gradient_norm` when empty.
    pub name: &'static str,
    /// A regular expression over parameter paths.
    pub pattern: &'static str,
    /// How the gradients are clipped.
    pub clip: Clip,
}

/// How the gradients of a group are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// Not at all.
    Off,
    /// To a global norm, once before a step: `g * min(1, max / (norm + 1e-6))`.
    Norm(f64),
    /// Every entry to `[-max, max]`, after every batch: of an accumulation that is not complete, the sum so far.
    Value(f64),
}

impl Clip {
    /// By norm; not at all where `max` is 0.
    #[must_use]
    pub fn norm(max: f64) -> Self {
        if max > 0.0 {
            Self::Norm(max)
        } else {
            Self::Off
        }
    }
}

/// A pass over the training split, in an order of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Pass {
    /// Names the pass's column, `{name}_loss`; unused for the last.
    pub name: &'static str,
    /// The parameter groups that step, by name; all where it is empty. The gradients of the others count for clipping and
    /// are dropped then.
    pub trains: Vec<&'static str>,
    /// Which share of the batches the pass takes, in (0, 1]: rounded down, at least one.
    pub share: f64,
}

impl Pass {
    /// How many batches the pass takes of `batches`.
    #[must_use]
    pub fn batches_of(&self, batches: usize) -> usize {
        ((batches as f64 * self.share) as usize).clamp(1, batches.max(1))
    }
}

impl Default for Pass {
    /// All batches; every group steps.
    fn default() -> Self {
        Self {
            name: "",
            trains: Vec::new(),
            share: 1.0,
        }
    }
}

/// How the learning rates move over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// As `train.schedule` says.
    Configured,
    /// By epoch, published with ALMT and DEVA: over `warmup` epochs from 0 to the base rate, which two epochs have, then
    /// half a cosine to 0 at `epochs + 1`.
    EpochCosine {
        /// Whether the first epoch learns nothing, as published; otherwise it has the second's rate.
        idle_first: bool,
        /// Epochs of the warm-up.
        warmup: usize,
        /// Epochs in all.
        epochs: usize,
    },
}

impl Schedule {
    /// What the base rates of an epoch (from 1) are multiplied with; none where `train.schedule` decides.
    #[must_use]
    pub fn factor(self, epoch: usize) -> Option<f64> {
        let Self::EpochCosine {
            idle_first,
            warmup,
            epochs,
        } = self
        else {
            return None;
        };
        let done = epoch.saturating_sub(1).max(usize::from(!idle_first));
        if done <= warmup {
            return Some(if warmup == 0 {
                1.0
            } else {
                done as f64 / warmup as f64
            });
        }
        let share = (done - warmup - 1) as f64 / epochs.saturating_sub(warmup).max(1) as f64;
        Some((1.0 + (std::f64::consts::PI * share.min(1.0)).cos()) / 2.0)
    }
}
