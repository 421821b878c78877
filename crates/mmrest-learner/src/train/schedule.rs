//! Optimisers and learning rates: one base rate per parameter group, all lowered together when validation stops improving.

use std::sync::{Arc, Mutex, PoisonError};

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use burn::module::ParamGroup;
use burn::optim::ModuleOptimizer;
use mmrest_kernels::adam::FusedAdamConfig;
use mmrest_metric::PsdAdamConfig;
use mmrest_models::{Adam, Optimizer, ParameterGroup, Recipe, Schedule};
use serde::{Deserialize, Serialize};

use crate::config::{ScheduleKind, TrainConfig};
use crate::error::LearnerError;

/// The parameter group of a pattern.
pub(crate) fn parameter_group(pattern: &str) -> Result<ParamGroup, LearnerError> {
    ParamGroup::from_regex(pattern).map_err(|e| LearnerError::Internal(format!("{e:?}")))
}

/// PyTorch's `ReduceLROnPlateau` (mode `min`, relative threshold 1e-4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// Lowest value so far.
    pub best: Option<f64>,
    /// Epochs since it.
    pub bad_epochs: usize,
    /// What every base rate is multiplied with.
    pub factor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self {
            best: None,
            bad_epochs: 0,
            factor: 1.0,
        }
    }
}

impl Plateau {
    const THRESHOLD: f64 = 1e-4;

    /// Takes an epoch's validation loss; more than `patience` bad epochs in a row lower the rates by `factor`.
    pub fn observe(&mut self, value: f64, factor: f64, patience: usize) {
        match self.best {
            Some(best) if value >= best * (1.0 - Self::THRESHOLD) || value.is_nan() => {
                self.bad_epochs += 1;
            }
            _ => {
                self.best = Some(value);
                self.bad_epochs = 0;
            }
        }
        if self.bad_epochs > patience {
            self.factor *= factor;
            self.bad_epochs = 0;
        }
    }
}

/// The factor of a plateau schedule, read by every group's scheduler.
#[derive(Clone, Debug)]
pub(crate) struct SharedFactor(Arc<Mutex<f64>>);

impl SharedFactor {
    /// A factor of 1.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(1.0)))
    }

    /// Sets the factor for the steps to come.
    pub(crate) fn set(&self, factor: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = factor;
    }

    fn get(&self) -> f64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group's rate: its base times the shared factor. The factor's state is kept with the run's progress.
#[derive(Clone)]
struct Scaled {
    base: f64,
    factor: SharedFactor,
}

impl LrScheduler for Scaled {
    fn step(&mut self) -> f64 {
        self.base * self.factor.get()
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("base", self.base)
    }

    /// The base is the configuration's, which a resumed run may have changed.
    fn load_record(&mut self, _: LrSchedulerRecord) {}
}

/// How the rates of a run move: by epoch, or by step of the optimisers.
#[derive(Clone, Debug)]
pub(crate) struct RatePlan {
    kind: ScheduleKind,
    recipe: Schedule,
    /// Steps of the warm-up, and of the whole schedule.
    warmup: f64,
    total: f64,
    /// Steps of an epoch.
    steps: usize,
    accumulate: usize,
    flush_rest: bool,
}

impl RatePlan {
    /// `batches`: how many each pass of an epoch takes.
    pub(crate) fn new(config: &TrainConfig, recipe: &Recipe, batches: &[usize]) -> Self {
        let mut plan = Self {
            kind: config.schedule,
            recipe: recipe.schedule,
            warmup: 0.0,
            total: 0.0,
            steps: 0,
            accumulate: recipe.accumulate.max(1),
            flush_rest: recipe.flush_rest,
        };
        plan.steps = batches.iter().map(|&batches| plan.steps_of(batches)).sum();
        let epochs = config.schedule_epochs.unwrap_or(config.epochs);
        plan.total = plan.steps as f64 * epochs as f64;
        plan.warmup = (plan.total * config.warmup).floor();
        plan
    }

    /// How many steps so many batches make.
    pub(crate) fn steps_of(&self, batches: usize) -> usize {
        if self.flush_rest {
            batches.div_ceil(self.accumulate)
        } else {
            batches / self.accumulate
        }
    }

    /// What the base rates are multiplied with at a step (from 0) of an epoch (from 1). `plateau`: the factor that
    /// validation has left.
    pub(crate) fn factor(&self, epoch: usize, step: usize, plateau: f64) -> f64 {
        if let Some(factor) = self.recipe.factor(epoch) {
            return factor;
        }
        let done = (self.steps * epoch.saturating_sub(1) + step) as f64;
        let left = ((self.total - done) / (self.total - self.warmup).max(1.0)).clamp(0.0, 1.0);
        match self.kind {
            ScheduleKind::Plateau => plateau,
            ScheduleKind::Constant => 1.0,
            _ if done < self.warmup => done / self.warmup,
            ScheduleKind::WarmupLinear => left,
            ScheduleKind::WarmupCosine => (1.0 + (std::f64::consts::PI * (1.0 - left)).cos()) / 2.0,
        }
    }
}

/// The optimiser of each parameter group.
///
/// # Errors
///
/// A pattern is no regular expression.
pub(crate) fn optimizer(recipe: &Recipe) -> Result<ModuleOptimizer, LearnerError> {
    let adam = |group: &ParameterGroup, adam: Adam| {
        FusedAdamConfig {
            beta_1: adam.betas[0],
            beta_2: adam.betas[1],
            epsilon: adam.epsilon,
            weight_decay: group.weight_decay as f32,
            decoupled: adam.decoupled,
        }
        .build()
    };
    let psd_adam = |group: &ParameterGroup| {
        let config = PsdAdamConfig {
            weight_decay: group.weight_decay,
            ..PsdAdamConfig::default()
        };
        config.build()
    };
    let (first, others) = first_group(recipe)?;
    let mut optimizer = match first.optimizer {
        Optimizer::Adam(settings) => ModuleOptimizer::from(adam(first, settings)),
        Optimizer::PsdAdam => ModuleOptimizer::from(psd_adam(first)),
    };
    for group in others {
        let parameters = parameter_group(group.pattern)?;
        optimizer = match group.optimizer {
            Optimizer::Adam(settings) => {
                optimizer.with_group(parameters, adam(group, settings), None)
            }
            Optimizer::PsdAdam => optimizer.with_group(parameters, psd_adam(group), None),
        };
    }
    Ok(optimizer)
}

/// Lower rates for lower layers of the text encoder: the top layer has its group's rate, every layer below it `decay` times
/// that of the layer above, the embeddings `decay` times that of the lowest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerDecay {
    /// The path of the text encoder.
    pub path: &'static str,
    /// Its layers.
    pub depth: usize,
    /// In (0, 1].
    pub decay: f64,
}

impl LayerDecay {
    /// A pattern and a factor for each layer and the embeddings.
    fn factors(self) -> impl Iterator<Item = (String, f64)> {
        let at = regex::escape(self.path);
        let layers =
            (0..self.depth).map(move |layer| (format!("layers\\.{layer}"), self.depth - 1 - layer));
        layers
            .chain([("embeddings".into(), self.depth)])
            .map(move |(part, below)| (format!("^{at}\\.{part}\\."), self.decay.powi(below as i32)))
    }
}

/// The schedulers of all parameter groups.
///
/// # Errors
///
/// A pattern is no regular expression.
pub(crate) fn scheduler(
    recipe: &Recipe,
    layers: Option<LayerDecay>,
    factor: &SharedFactor,
) -> Result<ModuleLrScheduler, LearnerError> {
    let scaled = |base: f64| Scaled {
        base,
        factor: factor.clone(),
    };
    let (first, _) = first_group(recipe)?;
    let mut scheduler = ModuleLrScheduler::new(scaled(first.learning_rate));
    for (index, group) in recipe.groups.iter().enumerate() {
        if index > 0 {
            let parameters = parameter_group(group.pattern)?;
            scheduler = scheduler.with_group(parameters, scaled(group.learning_rate));
        }
        for (layer, factor) in layers.into_iter().flat_map(LayerDecay::factors) {
            let parameters = ParamGroup::from_regexes(vec![group.pattern, &layer])
                .map_err(|e| LearnerError::Internal(format!("{e:?}")))?;
            scheduler = scheduler.with_group(parameters, scaled(group.learning_rate * factor));
        }
    }
    Ok(scheduler)
}

fn first_group(recipe: &Recipe) -> Result<(&ParameterGroup, &[ParameterGroup]), LearnerError> {
    let none = || LearnerError::Internal("a recipe without a parameter group".into());
    recipe.groups.split_first().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use mmrest_models::{MmRest, MmRestConfig, Rates, SentimentModel};

    use super::*;
    use crate::config::TrainConfig;

    #[test]
    fn more_than_patience_bad_epochs_lower_the_rates() {
        let mut plateau = Plateau::default();
        for value in [1.0, 1.0, 0.99995, 1.2] {
            plateau.observe(value, 0.5, 3);
        }
        assert_eq!((plateau.factor, plateau.bad_epochs), (1.0, 3));
        plateau.observe(1.1, 0.5, 3);
        assert_eq!((plateau.factor, plateau.bad_epochs), (0.5, 0));
        plateau.observe(0.5, 0.5, 3);
        assert_eq!(plateau.best, Some(0.5));
    }

    /// The factors of a run's steps, epoch after epoch: 4 epochs of 5 batches.
    fn factors(config: &TrainConfig, change: impl FnOnce(&mut Recipe)) -> Vec<f64> {
        let mut recipe = MmRest::recipe(&MmRestConfig::default(), &config.rates());
        change(&mut recipe);
        let plan = RatePlan::new(config, &recipe, &[5]);
        let steps = plan.steps_of(5);
        let epoch = |epoch| (0..steps).map(move |step| (epoch, step));
        let all = (1..=4).flat_map(epoch);
        all.map(|(epoch, step)| plan.factor(epoch, step, 0.25))
            .collect()
    }

    #[test]
    fn warm_ups_rise_from_0_and_fall_to_0() {
        let config = |schedule| TrainConfig {
            epochs: 4,
            schedule,
            ..TrainConfig::default()
        };
        // As transformers' schedules: of 20 steps 2 are the warm-up.
        let linear = factors(&config(ScheduleKind::WarmupLinear), |_| {});
        let naive = |step: f64| {
            if step < 2.0 {
                step / 2.0
            } else {
                (20.0 - step) / 18.0
            }
        };
        for (step, factor) in linear.iter().enumerate() {
            assert!((factor - naive(step as f64)).abs() < 1e-12, "step {step}");
        }
        let cosine = factors(&config(ScheduleKind::WarmupCosine), |_| {});
        assert_eq!((cosine[0], cosine[1], cosine[2]), (0.0, 0.5, 1.0));
        let middle = (1.0 + (std::f64::consts::PI * 0.5).cos()) / 2.0;
        assert!((cosine[11] - middle).abs() < 1e-12);
        assert!(cosine.windows(2).skip(2).all(|pair| pair[1] < pair[0]));
        assert_eq!(factors(&config(ScheduleKind::Constant), |_| {}), [1.0; 20]);
        assert_eq!(factors(&config(ScheduleKind::Plateau), |_| {}), [0.25; 20]);
        let longer = TrainConfig {
            schedule_epochs: Some(8),
            ..config(ScheduleKind::WarmupLinear)
        };
        assert_eq!(factors(&longer, |_| {})[4..6], [1.0, 35.0 / 36.0]);
    }

    #[test]
    fn steps_count_the_optimisers_and_not_the_batches() {
        let config = TrainConfig {
            epochs: 4,
            schedule: ScheduleKind::WarmupLinear,
            warmup: 0.0,
            ..TrainConfig::default()
        };
        let of = |flush_rest| {
            factors(&config, |recipe| {
                recipe.accumulate = 2;
                recipe.flush_rest = flush_rest;
            })
        };
        assert_eq!((of(true).len(), of(false).len()), (12, 8));
        assert_eq!(of(false)[..3], [1.0, 7.0 / 8.0, 6.0 / 8.0]);
    }

    #[test]
    fn the_published_schedule_by_epoch_wins_over_the_configured_one() {
        let schedule = Schedule::EpochCosine {
            idle_first: true,
            warmup: 20,
            epochs: 200,
        };
        let of = |epoch: usize| schedule.factor(epoch).unwrap();
        assert_eq!((of(1), of(2), of(21), of(22)), (0.0, 0.05, 1.0, 1.0));
        let published =
            |epoch: f64| (1.0 + (std::f64::consts::PI * (epoch - 22.0) / 180.0).cos()) / 2.0;
        assert!((of(100) - published(100.0)).abs() < 1e-12);
        let config = TrainConfig::default();
        let by_epoch = factors(&config, |recipe| recipe.schedule = schedule);
        assert_eq!(by_epoch[5..10], [0.05; 5]);
    }

    #[test]
    fn lower_layers_of_the_text_encoder_have_lower_rates() {
        let rates = Rates {
            learning_rate: 1.0,
            text_learning_rate: 0.1,
            ..TrainConfig::default().rates()
        };
        let layers = LayerDecay {
            path: "text.bert",
            depth: 12,
            decay: 0.5,
        };
        let recipe = MmRest::recipe(&MmRestConfig::default(), &rates);
        let mut scheduler = scheduler(&recipe, Some(layers), &SharedFactor::new()).unwrap();
        let rates = scheduler.step();
        let rate = |path: &str| rates.lr_from_param(burn::module::ParamId::new(), Some(path));
        assert_eq!(rate("text.bert.layers.11.query.weight"), 0.1);
        assert_eq!(rate("text.bert.layers.10.query.weight"), 0.05);
        assert_eq!(rate("text.bert.layers.1.query.weight"), 0.1 / 1024.0);
        assert_eq!(rate("text.bert.embeddings.word.weight"), 0.1 / 4096.0);
        assert_eq!(rate("text.projection.weight"), 1.0);
        assert_eq!(rate("metric.global"), 1e-4);
    }

    #[test]
    fn groups_have_their_own_rates_and_one_factor() {
        let factor = SharedFactor::new();
        let rates = Rates {
            learning_rate: 1.0,
            text_learning_rate: 0.1,
            ..TrainConfig::default().rates()
        };
        let config = MmRestConfig {
            metric_learning_rate: 10.0,
            ..MmRestConfig::default()
        };
        let mut scheduler = scheduler(&MmRest::recipe(&config, &rates), None, &factor).unwrap();
        factor.set(0.5);
        let rates = scheduler.step();
        let rate = |path: &str| rates.lr_from_param(burn::module::ParamId::new(), Some(path));
        assert_eq!(rate("fusion.joint.weight"), 0.5);
        assert_eq!(rate("text.projection.weight"), 0.5);
        assert_eq!(rate("text.bert.layers.0.query.weight"), 0.05);
        assert_eq!(rate("metric.global"), 5.0);
    }
}
