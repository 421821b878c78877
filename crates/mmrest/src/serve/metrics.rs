//! The metrics of the server, in the format of Prometheus.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Upper ends of the buckets of request times, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Upper ends of the buckets of batch sizes, in segments.
const SIZES: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The content type of the text.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// How the name of every metric begins.
const PREFIX: &str = "mmrest";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    path: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    outcome: &'static str,
}

/// All metrics of a server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Histogram,
    segments: Counter,
    batches: Histogram,
    abandoned: Counter,
    panics: Counter,
    reloads: Family<Reload, Counter>,
    connections: Gauge,
    queued: Gauge,
    capacity: Gauge,
    resident: Gauge,
}

impl Metrics {
    /// All metrics at 0.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            requests: Family::default(),
            seconds: Histogram::new(SECONDS),
            segments: Counter::default(),
            batches: Histogram::new(SIZES),
            abandoned: Counter::default(),
            panics: Counter::default(),
            reloads: Family::default(),
            connections: Gauge::default(),
            queued: Gauge::default(),
            capacity: Gauge::default(),
            resident: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Requests answered", self.requests.clone());
        r.register(
            "predict_seconds",
            "Time from the head of a predict request to its answer",
            self.seconds.clone(),
        );
        r.register(
            "scored_segments",
            "Segments answered",
            self.segments.clone(),
        );
        r.register("batch_segments", "Segments per batch", self.batches.clone());
        r.register(
            "abandoned_segments",
            "Segments not scored because nobody waited for them any more",
            self.abandoned.clone(),
        );
        r.register("panics", "Panics caught", self.panics.clone());
        r.register(
            "reloads",
            "Times the model was read again, or could not be",
            self.reloads.clone(),
        );
        r.register("connections", "Connections open", self.connections.clone());
        r.register("queue_segments", "Segments that wait", self.queued.clone());
        r.register(
            "queue_capacity_segments",
            "Segments that may wait",
            self.capacity.clone(),
        );
        r.register(
            "resident_memory_bytes",
            "Memory in use; 0 where the system does not tell",
            self.resident.clone(),
        );
    }

    /// Counts an answered request.
    pub(super) fn request(&self, path: &'static str, code: u16, took: Duration) {
        self.requests.get_or_create(&Request { path, code }).inc();
        if path == super::PREDICT {
            self.seconds.observe(took.as_secs_f64());
        }
    }

    /// Counts scored segments.
    pub(super) fn answered(&self, segments: u64) {
        self.segments.inc_by(segments);
    }

    /// Counts a batch.
    pub(super) fn batch(&self, segments: usize) {
        self.batches.observe(segments as f64);
    }

    /// Counts segments that are dropped because nobody waits for them.
    pub(super) fn abandoned(&self, segments: u64) {
        self.abandoned.inc_by(segments);
    }

    /// Counts a panic that was caught.
    pub(super) fn panicked(&self) {
        self.panics.inc();
    }

    /// Counts a try to read the model again.
    pub(super) fn reloaded(&self, succeeded: bool) {
        let outcome = if succeeded { "done" } else { "failed" };
        self.reloads.get_or_create(&Reload { outcome }).inc();
    }

    /// Counts an open connection until the returned guard is dropped.
    pub(super) fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The metrics as text, for a scrape. `model`: labels that identify the model in use.
    pub(super) fn text(
        &self,
        model: &[(&'static str, String)],
        queued: usize,
        capacity: usize,
    ) -> String {
        let gauge = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge(&self.queued, queued as u64);
        gauge(&self.capacity, capacity as u64);
        gauge(&self.resident, resident_bytes().unwrap_or(0));
        let mut of_model = Registry::with_prefix(PREFIX);
        of_model.register("model", "The model in use", Info::new(model.to_vec()));
        let mut text = String::new();
        let encoded = prometheus_text::encode(&mut text, &of_model)
            .and_then(|()| prometheus_text::encode(&mut text, &self.registry));
        match encoded {
            Ok(()) => text,
            Err(error) => {
                tracing::error!("the metrics cannot be written: {error}");
                String::new()
            }
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The resident memory of this process in bytes, where the system reports it.
#[cfg(target_os = "linux")]
pub(super) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// The resident memory of this process in bytes, where the system reports it.
#[cfg(not(target_os = "linux"))]
pub(super) fn resident_bytes() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();
        let model = [("preset", "a \"b\"\n".to_string())];
        metrics.request("/v1/predict", 200, Duration::from_millis(3));
        metrics.request("/v1/predict", 503, Duration::from_millis(1));
        metrics.request("/healthz", 200, Duration::from_secs(9));
        metrics.answered(7);
        metrics.batch(5);
        metrics.panicked();
        let open = metrics.connected();
        metrics.reloaded(true);
        let text = metrics.text(&model, 3, 9);
        for line in [
            "mmrest_model_info{preset=\"a \\\"b\\\"\\n\"} 1",
            "mmrest_requests_total{path=\"/v1/predict\",code=\"503\"} 1",
            "mmrest_predict_seconds_count 2",
            "mmrest_scored_segments_total 7",
            "mmrest_batch_segments_bucket{le=\"4\"} 0",
            "mmrest_batch_segments_bucket{le=\"8\"} 1",
            "mmrest_panics_total 1",
            "mmrest_reloads_total{outcome=\"done\"} 1",
            "mmrest_connections 1",
            "mmrest_queue_segments 3",
            "mmrest_queue_capacity_segments 9",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        drop(open);
        assert!(metrics.text(&model, 0, 9).contains("mmrest_connections 0"));
    }

    #[test]
    fn a_running_program_holds_some() {
        assert!(super::resident_bytes().unwrap() > 1 << 20);
    }
}
