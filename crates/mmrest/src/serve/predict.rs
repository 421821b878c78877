//! `POST /v1/predict`, and what requests for scores share.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mmrest_data::Segment;
use mmrest_learner::Placement;
use tokio::time::{Instant, timeout_at};

use super::body::{Received, discard, receive, too_large};
use super::connections::Connection;
use super::error::HttpError;
use super::middleware::Scores;
use super::queue::Failure;
use super::queue::NotTaken;
use super::request::{self, BodyFormat, Shape};
use super::response::{self, SegmentName};
use super::{Live, Server};

/// Bodies of this size or more are parsed on a separate thread, so that other requests are not held up.
const LARGE: usize = 64 << 10;

/// Scores the segments of a request.
pub(super) async fn predict(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Response, HttpError> {
    let Accepted {
        asked,
        connection,
        body,
        deadline,
    } = accept(&server, request, Asked::of)?;
    let received = receive(&server, &connection, body, deadline).await?;
    connection.received();
    // Checked and scored by the same model, whichever is in use by then.
    let live = server.live();
    let (shape, segments, _held) = read(&server, &live, asked.kind, received).await?;
    let names = names_of(&live, &segments);
    let placements = scored(&server, &live, segments, deadline).await?;
    let body = response::write(shape, &names, &placements, asked.geometry, &live.model)
        .map_err(|error| internal(&format!("the answer cannot be written: {error}")))?;
    let kind = match shape {
        Shape::Lines => "application/x-ndjson",
        Shape::One | Shape::Array => "application/json",
    };
    Ok(with_scores(kind, body, names.len()))
}

/// A request whose head says what is asked for.
pub(super) struct Accepted<T> {
    pub(super) asked: T,
    pub(super) connection: Arc<Connection>,
    pub(super) body: Body,
    /// When the answer is due.
    pub(super) deadline: Instant,
}

/// Reads the head of a request by `asked`; the body of one that is refused is thrown away.
pub(super) fn accept<T>(
    server: &Server,
    request: Request,
    asked: impl FnOnce(&Parts) -> Result<T, HttpError>,
) -> Result<Accepted<T>, HttpError> {
    let deadline = Instant::now() + server.limits.timeout;
    let (mut head, body) = request.into_parts();
    let most = server.limits.body;
    let length = text(&head.headers, header::CONTENT_LENGTH);
    let asked =
        asked(&head).and_then(
            |asked| match length.and_then(|length| length.parse::<u64>().ok()) {
                Some(length) if length > most as u64 => Err(too_large(most)),
                _ => Ok(asked),
            },
        );
    let asked = match asked {
        Ok(asked) => asked,
        Err(refusal) => {
            discard(&head.headers, body, most);
            return Err(refusal);
        }
    };
    let connection = head.extensions.remove::<Arc<Connection>>();
    Ok(Accepted {
        asked,
        connection: connection.ok_or_else(|| internal("a request without a connection"))?,
        body,
        deadline,
    })
}

/// An error that only a bug causes.
pub(super) fn internal(message: &str) -> HttpError {
    let message = format!("internal error: {message}; please report it");
    HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
}

/// An answer with so many scores.
pub(super) fn with_scores(kind: &'static str, body: Vec<u8>, count: usize) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    response.extensions_mut().insert(Scores(count));
    response
}

/// What is known about segments before they are scored.
pub(super) fn names_of(live: &Live, segments: &[Segment]) -> Vec<SegmentName> {
    let scorer = &live.model.scorer;
    let name = |segment: &Segment| SegmentName {
        id: segment.id.clone(),
        missing: scorer.missing(segment),
        beyond_training: scorer.beyond_training(segment),
    };
    segments.iter().map(name).collect()
}

/// What the head of a request asks for.
struct Asked {
    kind: BodyFormat,
    geometry: bool,
}

impl Asked {
    fn of(head: &Parts) -> Result<Self, HttpError> {
        Ok(Self {
            kind: BodyFormat::of(text(&head.headers, header::CONTENT_TYPE).as_deref())?,
            geometry: asks_for_geometry(head.uri.query())?,
        })
    }
}

pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Parses the query, which may only be `geometry=1` (or 0).
fn asks_for_geometry(query: Option<&str>) -> Result<bool, HttpError> {
    match query.unwrap_or_default() {
        "" | "geometry=0" => Ok(false),
        "geometry=1" => Ok(true),
        other => {
            let other: String = other.chars().take(100).collect();
            Err(HttpError::bad(format!(
                "?{other} is not known: ask for ?geometry=1, or nothing"
            )))
        }
    }
}

/// Parses the segments of a body; its permit is held on.
async fn read(
    server: &Server,
    live: &Arc<Live>,
    kind: BodyFormat,
    received: Received,
) -> Result<(Shape, Vec<Segment>, Received), HttpError> {
    let own = Arc::clone(live);
    let (most, large) = (server.limits.queue, received.bytes.len() >= LARGE);
    let read = move || {
        let check = |segment: &Segment| own.model.scorer.check(segment);
        let (shape, segments) = request::read(kind, &received.bytes, most, check)?;
        // The segments take the memory that was the body's.
        Ok((shape, segments, received.emptied()))
    };
    if large {
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| Err(internal(&error.to_string())))
    } else {
        read()
    }
}

/// Scores segments, in their order.
pub(super) async fn scored(
    server: &Server,
    live: &Live,
    segments: Vec<Segment>,
    deadline: Instant,
) -> Result<Vec<Placement>, HttpError> {
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let stops =
        || HttpError::busy("the server is stopping: send the request to another server, or later");
    let answer = live.queue.push(segments).map_err(|not| match not {
        NotTaken::Full => HttpError::busy(format!(
            "the queue is full ({} segments may wait): try again in a second",
            live.queue.capacity()
        )),
        NotTaken::Closed => stops(),
    })?;
    match timeout_at(deadline, answer).await {
        Ok(Ok(Ok(placements))) => Ok(placements),
        Ok(Ok(Err(Failure::Stopped)) | Err(_)) => Err(stops()),
        Ok(Ok(Err(Failure::NotFinite(message)))) => {
            Err(HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, message))
        }
        Ok(Ok(Err(Failure::Refused(message) | Failure::Panicked(message)))) => {
            Err(internal(&message))
        }
        Err(_) => Err(HttpError::busy(format!(
            "not scored within {}: send fewer segments at a time, or again later",
            told(server.limits.timeout)
        ))),
    }
}

fn told(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
