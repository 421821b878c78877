//! `POST /v1/predict`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use mmrest_data::Segment;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::error::HttpError;
use super::middleware::Scores;
use super::queue::Failure;
use super::queue::NotTaken;
use super::request::{self, BodyFormat, Shape};
use super::response::{self, SegmentName};
use super::{Server, kibibytes};

/// Bodies of this size or more are parsed on a separate thread, so that other requests are not held up.
const LARGE: usize = 64 << 10;

/// How long the body of a request that is refused is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Scores the segments of a request.
pub(super) async fn predict(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Response, HttpError> {
    let deadline = Instant::now() + server.limits.timeout;
    let (head, body) = request.into_parts();
    let asked = match Asked::of(&server, &head) {
        Ok(asked) => asked,
        Err(refusal) => {
            discard(body, server.limits.body).await;
            return Err(refusal);
        }
    };
    let bytes = receive(&server, body, deadline).await?;
    let (shape, segments) = read(&server, asked.kind, bytes).await?;
    let name = |segment: &Segment| SegmentName {
        id: segment.id.clone(),
        missing: server.scorer.missing(segment),
        beyond_training: server.scorer.beyond_training(segment),
    };
    let names: Vec<SegmentName> = segments.iter().map(name).collect();
    let placements = if segments.is_empty() {
        Vec::new()
    } else {
        scored(&server, segments, deadline).await?
    };
    let map = server.map.as_ref();
    let body =
        response::write(shape, &names, &placements, asked.geometry, map).map_err(|error| {
            let message = format!("the answer cannot be written: {error}; please report it");
            HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
        })?;
    let kind = match shape {
        Shape::Lines => "application/x-ndjson",
        Shape::One | Shape::Array => "application/json",
    };
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    response.extensions_mut().insert(Scores(names.len()));
    Ok(response)
}

/// What the head of a request asks for.
struct Asked {
    kind: BodyFormat,
    geometry: bool,
    /// The permit for the memory of the body, held until the request is answered.
    _held: OwnedSemaphorePermit,
}

impl Asked {
    fn of(server: &Server, head: &Parts) -> Result<Self, HttpError> {
        Ok(Self {
            kind: BodyFormat::of(text(&head.headers, header::CONTENT_TYPE).as_deref())?,
            geometry: asks_for_geometry(head.uri.query())?,
            _held: hold(server, &head.headers)?,
        })
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
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

/// Reserves memory for the body.
fn hold(server: &Server, headers: &HeaderMap) -> Result<OwnedSemaphorePermit, HttpError> {
    let most = server.limits.body;
    let said = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let bytes: usize = said.unwrap_or(most);
    if bytes > most {
        return Err(too_large(most));
    }
    let room = u32::try_from(kibibytes(bytes)).unwrap_or(u32::MAX);
    let bodies = Arc::clone(&server.bodies);
    bodies.try_acquire_many_owned(room).map_err(|_| {
        HttpError::busy("too many requests are being read just now: try again in a second")
    })
}

fn too_large(most: usize) -> HttpError {
    HttpError::large(format!(
        "the body is larger than {most} bytes: send its segments in several requests"
    ))
}

/// Reads the body of a request that is refused and throws it away: many clients read the answer only after they have sent the
/// complete body. A body that takes too long is cut off.
async fn discard(mut body: Body, most: usize) {
    let deadline = Instant::now() + PATIENCE;
    let mut left = most.saturating_mul(2);
    while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}

/// The complete body, unless it is too large or too slow.
async fn receive(server: &Server, body: Body, deadline: Instant) -> Result<Bytes, HttpError> {
    let most = server.limits.body;
    match timeout_at(deadline, Limited::new(body, most).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(most)),
        Ok(Err(error)) => Err(HttpError::bad(format!(
            "the body was interrupted: {error}; send the request again"
        ))),
        Err(_) => Err(HttpError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the body did not come within {}: send less at a time",
                told(server.limits.timeout)
            ),
        )),
    }
}

/// Parses the segments of a body.
async fn read(
    server: &Arc<Server>,
    kind: BodyFormat,
    bytes: Bytes,
) -> Result<(Shape, Vec<Segment>), HttpError> {
    let own = Arc::clone(server);
    let large = bytes.len() >= LARGE;
    let read = move || {
        let check = |segment: &Segment| own.scorer.check(segment);
        request::read(kind, &bytes, own.limits.queue, check)
    };
    if large {
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| {
            let message = format!("internal error: {e}; please report it");
            Err(HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        })
    } else {
        read()
    }
}

/// Scores segments, of which there is at least one, in their order.
async fn scored(
    server: &Server,
    segments: Vec<Segment>,
    deadline: Instant,
) -> Result<Vec<mmrest_learner::Placement>, HttpError> {
    let stops =
        || HttpError::busy("the server is stopping: send the request to another server, or later");
    let answer = server.queue.push(segments).map_err(|not| match not {
        NotTaken::Full => HttpError::busy(format!(
            "the queue is full ({} segments may wait): try again in a second",
            server.queue.capacity()
        )),
        NotTaken::Closed => stops(),
    })?;
    match timeout_at(deadline, answer).await {
        Ok(Ok(Ok(placements))) => Ok(placements),
        Ok(Ok(Err(Failure::Stopped)) | Err(_)) => Err(stops()),
        Ok(Ok(Err(Failure::NotFinite(message)))) => {
            Err(HttpError::new(StatusCode::UNPROCESSABLE_ENTITY, message))
        }
        Ok(Ok(Err(Failure::Refused(message) | Failure::Panicked(message)))) => Err(HttpError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("internal error: {message}; please report it"),
        )),
        Err(_) => Err(HttpError::busy(format!(
            "not scored within {}: send fewer segments at a time, or again later",
            told(server.limits.timeout)
        ))),
    }
}

fn told(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
