//! The steps of many parameters on a GPU, collected and computed in few launches.
//!
//! burn's `ModuleOptimizer` hands an optimiser one parameter at a time. [`map_together`] lets the steps of [`FusedAdam`]
//! wait until it has seen all of them: meanwhile a parameter keeps its value, and its state is [`Moments`] that come
//! later.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{AdamState, RecordState, StateSink, StateSource};
use burn::prelude::*;

use crate::gpu::adam::{Factors, Parts, steps};

/// The state of a parameter under [`FusedAdam`](super::FusedAdam): that of burn's Adam, in whose form it is recorded.
#[derive(Clone)]
pub struct Moments<const D: usize>(Arc<OnceLock<AdamState<D>>>);

impl<const D: usize> Moments<D> {
    /// Moments that are computed later.
    pub(super) fn later() -> Self {
        Self(Arc::default())
    }

    /// Their values are known now.
    pub(super) fn set(&self, state: AdamState<D>) {
        let _ = self.0.set(state);
    }

    /// The state; none before the step that gives it is computed.
    #[must_use]
    pub fn state(self) -> Option<AdamState<D>> {
        match Arc::try_unwrap(self.0) {
            Ok(own) => own.into_inner(),
            Err(shared) => shared.get().cloned(),
        }
    }
}

impl<const D: usize> From<AdamState<D>> for Moments<D> {
    fn from(state: AdamState<D>) -> Self {
        Self(Arc::new(OnceLock::from(state)))
    }
}

impl<const D: usize> RecordState for Moments<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        if let Some(state) = self.0.get() {
            state.state_flatten(prefix, out);
        }
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        AdamState::state_unflatten(prefix, src, device).map(Self::from)
    }
}

/// A step that is not computed yet.
pub(super) struct Step {
    pub(super) parts: Parts,
    pub(super) factors: Factors,
    /// Takes the new moments.
    pub(super) keep: Box<dyn FnOnce([Tensor<1>; 2])>,
}

impl Step {
    /// Leaves the step to [`map_together`], where that is under way on this thread; else computes the parameter's new
    /// values.
    pub(super) fn now_or_later(self) -> Option<Tensor<1>> {
        let mut step = Some(self);
        WAITING.with_borrow_mut(|waiting| {
            if let Some(waiting) = waiting {
                waiting.extend(step.take());
            }
        });
        let step = step?;
        let (parameter, moments) = steps(vec![step.parts], step.factors).pop()?;
        (step.keep)(moments);
        Some(parameter)
    }
}

thread_local! {
    /// The steps that wait, while they are collected.
    static WAITING: RefCell<Option<Vec<Step>>> = const { RefCell::new(None) };
}

/// How many steps wait.
fn waiting() -> usize {
    WAITING.with_borrow(|waiting| waiting.as_ref().map_or(0, Vec::len))
}

/// The time in which steps are collected; ends with it, or when it is dropped.
struct Collection(Option<Vec<Step>>);

impl Collection {
    fn begin() -> Self {
        Self(WAITING.replace(Some(Vec::new())))
    }

    fn end(self) -> Vec<Step> {
        WAITING.take().unwrap_or_default()
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        WAITING.set(self.0.take());
    }
}

/// Maps a module as [`Module::map`] does. The steps of [`FusedAdam`](super::FusedAdam) on a GPU that `mapper` takes
/// meanwhile are computed at the end, as many in a launch as the device allows.
///
/// A module that wraps another calls this in its own `map`, where burn's `ModuleOptimizer` comes by.
pub fn map_together<M: Module, P: ModuleMapper>(module: M, mapper: &mut P) -> M {
    let collection = Collection::begin();
    let mut collecting = Collecting {
        mapper,
        ids: Vec::new(),
    };
    let module = module.map(&mut collecting);
    let (ids, steps) = (collecting.ids, collection.end());
    if steps.is_empty() {
        return module;
    }
    module.map(&mut Put(computed(ids.into_iter().zip(steps))))
}

/// Steps of parameters with the same factors, on one device.
type Together = ((Factors, Device), Vec<(ParamId, Step)>);

/// The new values of each parameter. Those that step with the same factors, on one device, do so together.
fn computed(all: impl Iterator<Item = (ParamId, Step)>) -> HashMap<ParamId, Tensor<1>> {
    let mut groups: Vec<Together> = Vec::new();
    for (id, step) in all {
        let key = (step.factors, step.parts[0].device());
        match groups.iter_mut().find(|(found, _)| *found == key) {
            Some((_, group)) => group.push((id, step)),
            None => groups.push((key, vec![(id, step)])),
        }
    }
    let mut values = HashMap::new();
    for ((factors, _), group) in groups {
        let (mut kept, mut parts) = (Vec::new(), Vec::new());
        for (id, step) in group {
            kept.push((id, step.keep));
            parts.push(step.parts);
        }
        for ((id, keep), (parameter, moments)) in kept.into_iter().zip(steps(parts, factors)) {
            keep(moments);
            values.insert(id, parameter);
        }
    }
    values
}

/// A mapper, and the parameters whose steps it left waiting.
struct Collecting<'a, P> {
    mapper: &'a mut P,
    ids: Vec<ParamId>,
}

impl<P: ModuleMapper> ModuleMapper for Collecting<'_, P> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.mapper.enter_module(name, container_type);
    }

    fn exit_module(&mut self, name: &str, container_type: &str) {
        self.mapper.exit_module(name, container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let before = waiting();
        let param = self.mapper.map_float(param);
        if waiting() > before {
            self.ids.push(param.id);
        }
        param
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        self.mapper.map_int(param)
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        self.mapper.map_bool(param)
    }
}

/// Gives parameters their values, in the autodiff state they are in.
struct Put(HashMap<ParamId, Tensor<1>>);

impl ModuleMapper for Put {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, before, mapper) = param.consume();
        let Some(values) = self.0.remove(&id) else {
            return Param::from_mapped_value(id, before, mapper);
        };
        let values = values.reshape(before.dims());
        let mut tensor = match before.gradient_checkpointing_strategy() {
            Some(strategy) => {
                Tensor::from_inner(values).with_gradient_checkpointing_strategy(strategy)
            }
            None => values,
        };
        if before.is_require_grad() {
            tensor = tensor.require_grad();
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}
