//! Shows a run in burn-train's terminal dashboard: plots, the newest values, progress, and keys that stop the run.

use std::collections::BTreeSet;
use std::mem::replace;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::panicking;

use burn::train::Interrupter;
use burn::train::metric::{
    MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
};
use burn::train::renderer::tui::TuiMetricsRendererWrapper;
use burn::train::renderer::{MetricState, MetricsRenderer};

use super::observer::Observer;
use super::progress::{EpochRow, prefixed};

/// An [`Observer`] that fills the terminal with burn-train's dashboard.
///
/// It opens at the first batch, so that what precedes training can be shown as usual, and closes when it is dropped,
/// which restores the terminal. Nothing else may write to the terminal in between. The user stops the run by the key `q`,
/// through the [`Interrupter`], at the next batch. Metrics are named as in `epochs.csv`.
pub struct Dashboard {
    interrupter: Interrupter,
    /// Makes the renderer; the argument is the number of epochs that are done already.
    open: Box<dyn Fn(usize) -> Box<dyn MetricsRenderer> + Send + Sync>,
    screen: Mutex<Screen>,
}

/// Whether the dashboard is there.
enum Screen {
    Waiting,
    Open(Feed),
    Closed,
}

/// Feeds the renderer.
struct Feed {
    renderer: Box<dyn MetricsRenderer>,
    /// The metrics that the renderer knows.
    known: BTreeSet<String>,
    epochs: usize,
    epoch: usize,
    /// The loss of the newest finished epoch.
    epoch_loss: Option<f64>,
}

impl Dashboard {
    /// A dashboard for a run that this interrupter stops.
    #[must_use]
    pub fn new(interrupter: Interrupter) -> Self {
        let stops = interrupter.clone();
        Self::with_renderer(interrupter, move |done| {
            let done = (done > 0).then_some(done);
            Box::new(TuiMetricsRendererWrapper::new(stops.clone(), done))
        })
    }

    fn with_renderer(
        interrupter: Interrupter,
        open: impl Fn(usize) -> Box<dyn MetricsRenderer> + Send + Sync + 'static,
    ) -> Self {
        Self {
            interrupter,
            open: Box::new(open),
            screen: Mutex::new(Screen::Waiting),
        }
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Feeds an open dashboard. The renderer panics in its feeder when the user asks for an immediate stop; the run then
    /// stops at the next batch, as it does on any other request, without a dashboard.
    fn feed(&self, screen: &mut Screen, feed: impl FnOnce(&mut Feed)) {
        let Screen::Open(open) = screen else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| feed(open))).is_err() {
            self.interrupter.stop(Some("The dashboard was ended."));
            self.close(screen);
        }
    }

    /// Restores the terminal.
    fn close(&self, screen: &mut Screen) {
        let Screen::Open(mut feed) = replace(screen, Screen::Closed) else {
            return;
        };
        // After an immediate stop the renderer panics here too.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // During a panic a dropped renderer would not wait for its thread, which draws on.
            if panicking() {
                self.interrupter.stop(None);
                feed.renderer.manual_close();
            }
            drop(feed);
        }));
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.close(&mut self.screen());
    }
}

impl Observer for Dashboard {
    fn stage(&self, name: &str) {
        self.feed(&mut self.screen(), |feed| feed.stage(name));
    }

    fn batch(&self, epoch: usize, epochs: usize, done: usize, total: usize, loss: f64) {
        let mut screen = self.screen();
        if matches!(*screen, Screen::Waiting) {
            *screen = Screen::Open(Feed {
                renderer: (self.open)(epoch.saturating_sub(1)),
                known: BTreeSet::new(),
                epochs,
                epoch: 0,
                epoch_loss: None,
            });
        }
        self.feed(&mut screen, |feed| feed.batch(epoch, done, total, loss));
    }

    fn epoch(&self, row: &EpochRow, _: usize) {
        self.feed(&mut self.screen(), |feed| feed.epoch(row));
    }

    /// Counted in the dashboard, and logged.
    fn warning(&self, message: &str) {
        self.feed(&mut self.screen(), |feed| {
            feed.renderer.log_event_training("Warnings".into());
        });
        tracing::warn!("{message}");
    }
}

impl Feed {
    /// Names the stage in the status panel.
    fn stage(&mut self, name: &str) {
        let (epochs, epoch) = (self.epochs, self.epoch);
        self.renderer.start(epochs, epoch, None, Some(name));
    }

    fn batch(&mut self, epoch: usize, done: usize, total: usize, loss: f64) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.renderer.start(self.epochs, epoch, Some(total), None);
            self.renderer.start_split("train", total);
        }
        self.renderer.update_split(done);
        let text = match self.epoch_loss {
            Some(mean) => format!("epoch {mean:.4} - batch {loss:.4}"),
            None => format!("batch {loss:.4}"),
        };
        let state = self.metric("loss", text, NumericEntry::Value(loss));
        self.renderer.update_train(state);
    }

    fn epoch(&mut self, row: &EpochRow) {
        self.epoch_loss = Some(row.loss);
        let text = format!("epoch {:.4}", row.loss);
        let loss = self.metric("loss", text, NumericEntry::Final(row.loss));
        self.renderer.update_train(loss);
        for (name, value) in [("mae", row.valid.mae()), ("corr", row.valid.corr())] {
            let state = self.metric(name, format!("{value:.4}"), NumericEntry::Value(value));
            self.renderer.update_valid(state);
        }
        let rates = row.learning_rates.iter().map(|(group, rate)| {
            let name = prefixed(group, "learning_rate");
            (name, format!("{rate:.2e}"), *rate)
        });
        let parts = row.losses.iter().map(|(part, value)| {
            let name = format!("loss_{part}");
            (name, format!("{value:.4}"), *value)
        });
        for (name, text, value) in rates.chain(parts) {
            let state = self.metric(&name, text, NumericEntry::Value(value));
            self.renderer.update_train(state);
        }
    }

    /// A metric's new value, which is not plotted unless it is finite.
    fn metric(&mut self, name: &str, text: String, value: NumericEntry) -> MetricState {
        let shared = Arc::new(name.to_owned());
        let id = MetricId::new(Arc::clone(&shared));
        if self.known.insert(name.into()) {
            self.renderer.register_metric(MetricDefinition {
                metric_id: id.clone(),
                name: shared,
                description: None,
                // Which direction is better matters to burn-train's own selection only.
                attributes: NumericAttributes::default().into(),
            });
        }
        let entry = MetricEntry::new(id, SerializedEntry::new(text, value.serialize()));
        let plotted = value.current().is_finite().then_some(value);
        MetricState::Numeric(entry, plotted)
    }
}

#[cfg(test)]
mod tests {
    use burn::train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
    use burn::train::renderer::{
        EvaluationName, MetricsRendererEvaluation, MetricsRendererTraining,
    };

    use super::*;
    use crate::figures::{FigureSet, Figures};

    type Calls = Arc<Mutex<Vec<String>>>;

    /// Records what a dashboard is fed; panics as burn-train's renderer does when it is told so.
    struct Recorder {
        calls: Calls,
        killed: bool,
    }

    impl Recorder {
        fn call(&self, call: String) {
            self.calls.lock().unwrap().push(call);
            assert!(!self.killed, "killed");
        }

        fn update(&self, split: &str, state: MetricState) {
            let MetricState::Numeric(entry, value) = state else {
                panic!("only numbers are shown");
            };
            let text = entry.serialized_entry.formatted;
            let value = value.map(|value| value.current());
            self.call(format!("{split} {text} {value:?}"));
        }
    }

    impl MetricsRendererTraining for Recorder {
        fn update_train(&mut self, state: MetricState) {
            self.update("train", state);
        }
        fn update_valid(&mut self, state: MetricState) {
            self.update("valid", state);
        }
    }

    impl MetricsRendererEvaluation for Recorder {
        fn update_test(&mut self, _: EvaluationName, _: MetricState) {}
    }

    impl TrainingProgressLogger for Recorder {
        fn start(&mut self, epochs: usize, epoch: usize, _: Option<usize>, label: Option<&str>) {
            self.call(format!("start {epoch}/{epochs} {label:?}"));
        }
        fn update_epoch(&mut self, _: usize) {}
        fn start_split(&mut self, split: &str, total: usize) {
            self.call(format!("split {split} {total}"));
        }
        fn update_split(&mut self, done: usize) {
            self.call(format!("done {done}"));
        }
        fn end_split(&mut self) {}
        fn end(&mut self) {}
        fn log_event_training(&mut self, event: String) {
            self.call(event);
        }
    }

    impl EvaluationProgressLogger for Recorder {
        fn start_global_progress(&mut self, _: usize) {}
        fn start_test(&mut self, _: &str, _: usize) {}
        fn update_test_progress(&mut self, _: usize) {}
        fn end_test(&mut self) {}
        fn end_global_progress(&mut self) {}
        fn log_event_evaluation(&mut self, _: String) {}
    }

    impl MetricsRenderer for Recorder {
        fn manual_close(&mut self) {
            self.call("closed".into());
        }
        fn register_metric(&mut self, definition: MetricDefinition) {
            self.call(format!("metric {}", definition.name));
        }
    }

    fn dashboard(killed: bool) -> (Dashboard, Interrupter, Calls) {
        let (interrupter, calls) = (Interrupter::new(), Calls::default());
        let recorded = Arc::clone(&calls);
        let dashboard = Dashboard::with_renderer(interrupter.clone(), move |done| {
            let calls = Arc::clone(&recorded);
            calls.lock().unwrap().push(format!("open {done}"));
            Box::new(Recorder { calls, killed })
        });
        (dashboard, interrupter, calls)
    }

    fn take(calls: &Calls) -> Vec<String> {
        std::mem::take(&mut *calls.lock().unwrap())
    }

    #[test]
    fn a_resumed_run_is_shown_from_its_first_batch() {
        let (dashboard, interrupter, calls) = dashboard(false);
        dashboard.stage("reading the data");
        assert!(take(&calls).is_empty(), "it opens at the first batch");
        dashboard.batch(3, 5, 8, 20, 0.5);
        dashboard.batch(3, 5, 16, 20, f64::NAN);
        dashboard.warning("a step was skipped");
        dashboard.stage("validating");
        assert_eq!(
            take(&calls),
            [
                "open 2",
                "start 3/5 None",
                "split train 20",
                "done 8",
                "metric loss",
                "train batch 0.5000 Some(0.5)",
                "done 16",
                "train batch NaN None",
                "Warnings",
                "start 3/5 Some(\"validating\")",
            ]
        );
        let row = EpochRow {
            active: Vec::new(),
            epoch: 3,
            train_seconds: 1.0,
            loss: 0.75,
            losses: vec![("task".into(), 0.25)],
            valid: Figures::of(FigureSet::Mosi, &[1.0, -0.5], &[1.0, -1.0]),
            test: None,
            learning_rates: vec![(String::new(), 1e-4), ("text".into(), 5e-5)],
            gradient_norms: vec![(String::new(), 1.0)],
            batches: 4,
            skipped_steps: 1,
            model: Vec::new(),
            selected: true,
        };
        dashboard.epoch(&row, 5);
        let (told, metrics): (Vec<_>, Vec<_>) = take(&calls)
            .into_iter()
            .partition(|call| !call.starts_with("metric"));
        assert_eq!(
            metrics,
            [
                "metric mae",
                "metric corr",
                "metric learning_rate",
                "metric text_learning_rate",
                "metric loss_task",
            ]
        );
        assert_eq!(
            told,
            [
                "train epoch 0.7500 Some(0.75)",
                "valid 0.2500 Some(0.25)",
                "valid 1.0000 Some(1.0)",
                "train 1.00e-4 Some(0.0001)",
                "train 5.00e-5 Some(5e-5)",
                "train 0.2500 Some(0.25)",
            ]
        );
        dashboard.batch(4, 5, 8, 20, 0.5);
        assert_eq!(
            take(&calls).last().unwrap(),
            "train epoch 0.7500 - batch 0.5000 Some(0.5)"
        );
        assert!(!interrupter.should_stop());
    }

    #[test]
    fn an_immediate_stop_ends_the_dashboard_and_interrupts_the_run() {
        let (dashboard, interrupter, calls) = dashboard(true);
        dashboard.batch(1, 2, 8, 20, 0.5);
        assert!(interrupter.should_stop());
        assert_eq!(take(&calls), ["open 0", "start 1/2 None"]);
        dashboard.batch(1, 2, 16, 20, 0.5);
        assert!(take(&calls).is_empty(), "it does not open again");
    }

    #[test]
    fn a_panic_closes_the_dashboard() {
        let (dashboard, _, calls) = dashboard(false);
        let panic = catch_unwind(AssertUnwindSafe(move || {
            dashboard.batch(1, 2, 8, 20, 0.5);
            panic!("a bug");
        }));
        assert!(panic.is_err());
        assert_eq!(take(&calls).last().unwrap(), "closed");
    }
}
