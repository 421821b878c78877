//! The server as its clients see it, with a fake scorer; and fixtures for the other tests of this folder.

mod hostile;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mmrest_data::{Frames, Modality, Segment, Widths};
use mmrest_learner::{CONFIDENCE, Config, Interpreter, Placement, Prediction};
use mmrest_media::RecordingInputs;
use serde_json::{Value, json};
use tokio::sync::watch;
use ureq::Agent;

use super::worker::Scorer;
use super::{Access, Limits, Model, ModelInfo, Server, Token};

/// Ordinary limits.
pub(super) fn limits() -> Limits {
    Limits {
        batch: 8,
        wait: Duration::from_millis(1),
        queue: 16,
        body: 64 << 10,
        timeout: Duration::from_secs(20),
        drain: Duration::from_secs(20),
    }
}

/// A segment whose text is its id.
pub(super) fn segment(text: &str) -> Segment {
    Segment {
        id: text.to_string(),
        video: text.to_string(),
        text: text.to_string(),
        vision: Frames::default(),
        audio: Frames::default(),
        label: None,
    }
}

/// A segment of this many frames, without text.
pub(super) fn segment_of_frames(frames: usize) -> Segment {
    Segment {
        audio: Frames {
            values: vec![0.0; frames],
            width: 1,
        },
        ..segment("")
    }
}

/// A placement with this score.
pub(super) fn placement(score: f32) -> Placement {
    Placement {
        prediction: Prediction {
            row: 0,
            prediction: score,
            score,
            bias: 0.0,
            near: Vec::new(),
        },
        rows: Vec::new(),
    }
}

/// Scores a segment with its text's length; panics, refuses, sleeps (100 ms) or gives no finite score where a text says so.
#[derive(Debug, Default)]
pub(super) struct Fake {
    batches: Mutex<Vec<Vec<String>>>,
}

impl Fake {
    /// The texts of each batch that was scored.
    pub(super) fn batches(&self) -> Vec<Vec<String>> {
        let batches = self.batches.lock();
        batches.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Scorer for Fake {
    fn check(&self, segment: &Segment) -> Result<(), String> {
        match segment.audio.width {
            0 | 1 => Ok(()),
            width => Err(format!(
                "audio has {width} features a frame, the model takes 1"
            )),
        }
    }

    fn missing(&self, segment: &Segment) -> Vec<Modality> {
        let all = [Modality::Text, Modality::Audio];
        all.into_iter().filter(|&m| segment.lacks(m)).collect()
    }

    fn place(&self, segments: &[Segment]) -> Result<Vec<Placement>, String> {
        let texts: Vec<String> = segments.iter().map(|s| s.text.clone()).collect();
        if texts.iter().any(|text| text == "panic") {
            panic!("asked to");
        }
        if texts.iter().any(|text| text == "refuse") {
            return Err("as asked".to_string());
        }
        let sleepers = texts.iter().filter(|text| *text == "sleep").count() as u64;
        std::thread::sleep(Duration::from_millis(100 * sleepers));
        let placements = texts.iter().map(|text| match text.as_str() {
            "infinite" => placement(f32::INFINITY),
            text => placement(text.len() as f32),
        });
        let placements = placements.collect();
        let batches = self.batches.lock();
        batches.unwrap_or_else(PoisonError::into_inner).push(texts);
        Ok(placements)
    }
}

/// A configuration without sequences.
fn text_only() -> Config {
    let mut config = Config::default();
    config.data.modalities = vec![Modality::Text];
    config
}

/// A fake model.
pub(super) fn fake(limits: &Limits) -> Model {
    let config = Config::default();
    let interpreter = Interpreter::uncalibrated(&config, CONFIDENCE).unwrap();
    Model {
        scorer: Arc::new(Fake::default()),
        info: ModelInfo::new(
            "fake".into(),
            &config,
            Widths::default(),
            None,
            (&interpreter, None),
            None,
            limits,
        ),
        interpreter,
        recordings: RecordingInputs::new(&text_only().data, None).map_err(|e| e.to_string()),
        map: None,
    }
}

/// Lets this process open as many files as the system allows: both ends of hundreds of connections are here.
#[cfg(unix)]
fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // Some systems have no limit, and yet refuse to be asked for none.
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 16), hard).unwrap();
}

/// A server that runs until it is dropped.
struct Running {
    address: SocketAddr,
    server: Arc<Server>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<bool>>,
    agent: Agent,
}

impl Running {
    fn new(limits: Limits) -> Self {
        let access = Access {
            loopback: true,
            token: None,
        };
        Self::with(limits, access)
    }

    fn with(limits: Limits, access: Access) -> Self {
        #[cfg(unix)]
        raise_open_files();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(Server::new(fake(&limits), limits, access).unwrap());
        let (stop, stopped) = watch::channel(false);
        let own = Arc::clone(&server);
        let thread = thread::spawn(move || super::run(&own, listener, stopped).unwrap());
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .proxy(None)
            .build();
        Self {
            address,
            server,
            stop,
            thread: Some(thread),
            agent: agent.into(),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut response = self.agent.get(self.url(path)).call().unwrap();
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().unwrap())
    }

    fn post(&self, kind: &str, body: &str) -> (u16, Value) {
        let request = self.agent.post(self.url("/v1/predict"));
        let mut response = request.content_type(kind).send(body).unwrap();
        let status = response.status().as_u16();
        if status == 503 {
            assert_eq!(response.headers()["retry-after"], "1");
        }
        let text = response.body_mut().read_to_string().unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn json(&self, body: &Value) -> (u16, Value) {
        self.post("application/json", &body.to_string())
    }

    /// Stops it; returns whether every request was answered.
    fn stop(&mut self) -> bool {
        self.stop.send(true).unwrap();
        self.thread.take().unwrap().join().unwrap()
    }

    fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
        line.parse().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.stop();
        }
    }
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

#[test]
fn statuses_say_what_is_wrong() {
    let server = Running::new(limits());
    let (status, answer) = server.json(&json!([text("ab"), {"id": "x", "text": "abc"}]));
    assert_eq!(status, 200);
    assert_eq!(answer[0]["id"], "1");
    assert_eq!(
        (&answer[1]["id"], &answer[1]["score"]),
        (&json!("x"), &json!(3.0))
    );
    for (kind, body, status, said) in [
        ("text/plain", "{}", 415, "application/x-ndjson"),
        ("application/json", "{", 400, "not a segment"),
        (
            "application/json",
            "{\"audio\": [[1, 2]]}",
            400,
            "the model takes 1",
        ),
        (
            "application/json",
            "{\"text\": \"refuse\"}",
            500,
            "as asked",
        ),
        ("application/json", "{\"text\": \"panic\"}", 500, "asked to"),
    ] {
        let (found, answer) = server.post(kind, body);
        let error = answer["error"].as_str().unwrap();
        assert_eq!(found, status, "{body}: {error}");
        assert!(error.contains(said), "{error}");
    }
    let large = format!("\"{}\"", "a".repeat(limits().body));
    let (status, answer) = server.post("application/json", &large);
    assert_eq!(status, 413, "{answer}");
    let (status, answer) = server.post("text/plain", &large);
    assert_eq!(status, 415, "{answer}");
    let many = vec![text("a"); limits().queue + 1];
    assert_eq!(server.json(&json!(many)).0, 413);
    assert_eq!(server.get("/v1/predict").0, 405);
    let (status, nowhere) = server.get("/elsewhere");
    assert!(
        status == 404 && nowhere.contains("/v1/predict"),
        "{nowhere}"
    );
    let (status, answer) = server.json(&text("still there"));
    assert_eq!((status, &answer["score"]), (200, &json!(11.0)));
    assert!(server.metric("mmrest_panics_total") >= 1.0);
    let refused = "mmrest_requests_total{path=\"/v1/predict\",code=\"500\"}";
    assert_eq!(server.metric(refused), 2.0);
}

#[test]
fn a_name_that_is_not_this_machine_s_is_refused() {
    let server = Running::new(limits());
    let call = |host: &str| {
        let request = server.agent.get(server.url("/v1/model"));
        request
            .header("host", host)
            .call()
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(call("evil.example"), 421);
    assert_eq!(call("localhost:1234"), 200);
}

#[test]
fn a_full_queue_answers_503_and_then_takes_again() {
    let few = Limits {
        queue: 2,
        batch: 1,
        ..limits()
    };
    let server = Running::new(few);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let ask = || server.json(&text("sleep")).0;
        let clients: Vec<_> = (0..24).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|s| **s == status).count();
    assert!(count(200) >= 2 && count(503) >= 1, "{statuses:?}");
    assert_eq!(count(200) + count(503), 24, "{statuses:?}");
    assert_eq!(server.json(&text("later")).0, 200);
    assert_eq!(server.get("/readyz").0, 200);
}

#[test]
fn what_takes_too_long_is_given_up() {
    let short = Limits {
        timeout: Duration::from_millis(400),
        batch: 1,
        ..limits()
    };
    let server = Running::new(short);
    let (status, answer) = server.json(&json!(vec![text("sleep"); 12]));
    let error = answer["error"].as_str().unwrap();
    assert!(
        status == 503 && error.contains("within 0.4 s"),
        "{status} {error}"
    );
    // Nobody waits for the rest, which is not scored.
    while server.metric("mmrest_abandoned_segments_total") == 0.0 {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn stopping_answers_what_was_asked() {
    let mut server = Running::new(limits());
    let (url, agent) = (server.url("/v1/predict"), server.agent.clone());
    let slow = thread::spawn(move || {
        let body = json!(vec![text("sleep"); 5]).to_string();
        let request = agent.post(url).content_type("application/json");
        request.send(body).unwrap().status().as_u16()
    });
    while server.metric("mmrest_batch_segments_count") == 0.0 {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(server.stop(), "not everything was answered");
    assert_eq!(slow.join().unwrap(), 200);
    assert!(server.agent.get(server.url("/healthz")).call().is_err());
}

#[test]
fn a_client_that_never_ends_does_not_keep_a_server_from_stopping() {
    let brief = Limits {
        drain: Duration::from_millis(200),
        ..limits()
    };
    let mut server = Running::new(brief);
    let mut half = std::net::TcpStream::connect(server.address).unwrap();
    let head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\
        Expect: 100-continue\r\n\r\n";
    half.write_all(head.as_bytes()).unwrap();
    // The head is read once the server asks for the body.
    let mut answer = *b"HTTP/1.1 100 Continue\r\n\r\n";
    let expected = answer;
    half.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
    half.write_all(b"{").unwrap();
    assert!(!server.stop(), "half a request was answered");
}

#[test]
fn a_client_that_asks_nothing_does_not_keep_a_server_from_stopping() {
    let patient = Limits {
        drain: Duration::from_secs(600),
        ..limits()
    };
    let mut server = Running::new(patient);
    let _silent = std::net::TcpStream::connect(server.address).unwrap();
    while server.metric("mmrest_connections") < 2.0 {
        thread::sleep(Duration::from_millis(5));
    }
    assert!(server.stop(), "nothing was asked, and yet not answered");
}

#[test]
fn every_answer_tells_a_browser_to_be_careful() {
    let server = Running::new(limits());
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/app.css", "text/css; charset=utf-8"),
        ("/palette.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/v1/model", "application/json"),
        ("/healthz", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        let response = server.agent.get(server.url(path)).call().unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_string();
        assert_eq!(
            (response.status().as_u16(), header("content-type").as_str()),
            (200, kind)
        );
        assert!(header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(header("x-content-type-options"), "nosniff");
    }
}
