//! Receives the bodies of requests: within a budget of memory that is taken as bytes arrive, and no slower than a least
//! rate.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::Server;
use super::connections::Connection;
use super::error::HttpError;

/// How many bodies of the greatest size are held at a time, from the first byte to the answer.
pub(super) const MAX_BODIES: usize = 8;

/// The first bytes of a body are not counted: there are no more of them than open connections, and large bodies keep no
/// small ones out.
const FREE: usize = 64 << 10;

/// The least rate of a body, in bytes per second.
const RATE: f64 = 4096.0;

/// How far a body may fall behind the least rate; one that stalls so long is cut off.
const GRACE: Duration = Duration::from_secs(5);

/// How long a body waits for the memory of another that was cut off.
const ROOM: Duration = Duration::from_millis(250);

/// How long the body of a request that is refused is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body, with the permit for its memory.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    held: Option<OwnedSemaphorePermit>,
}

/// KiB of a body of so many bytes that count against the budget.
pub(super) fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(FREE).div_ceil(1 << 10)
}

/// The complete body, unless it is too large or too slow.
pub(super) async fn receive(
    server: &Server,
    connection: &Connection,
    mut body: Body,
    deadline: Instant,
) -> Result<Received, HttpError> {
    let most = server.limits.body;
    let mut whole = Received::default();
    let mut due = Instant::now() + GRACE;
    loop {
        let data = match timeout_at(due.min(deadline), body.frame()).await {
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(Some(Err(error))) => {
                return Err(HttpError::bad(format!(
                    "the body was interrupted: {error}; send the request again"
                )));
            }
            Ok(None) => return Ok(whole),
            Err(_) if due < deadline => return Err(too_slow()),
            Err(_) => {
                return Err(HttpError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    format!(
                        "the body did not come within {} s: send less at a time",
                        server.limits.timeout.as_secs_f64()
                    ),
                ));
            }
        };
        let length = whole.bytes.len() + data.len();
        if length > most {
            return Err(too_large(most));
        }
        whole.hold(server, connection, length).await?;
        whole.bytes.extend_from_slice(&data);
        let earned = Duration::from_secs_f64(data.len() as f64 / RATE);
        due = (due + earned).min(Instant::now() + GRACE);
    }
}

impl Received {
    /// Bytes without a permit.
    #[cfg(test)]
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, held: None }
    }

    /// Without the bytes; with the permit for their memory.
    pub(super) fn emptied(self) -> Self {
        Self {
            bytes: Vec::new(),
            ..self
        }
    }

    /// Takes memory for a body of `length` bytes so far; a body that has fallen silent may lose its own for that.
    async fn hold(
        &mut self,
        server: &Server,
        connection: &Connection,
        length: usize,
    ) -> Result<(), HttpError> {
        let held = self.held.as_ref().map_or(0, |held| held.num_permits());
        let more = counted(length).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let busy =
            || HttpError::busy("too many requests are being read just now: try again in a second");
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let permit = match Arc::clone(&server.bodies).try_acquire_many_owned(more) {
            Ok(permit) => permit,
            Err(_) if server.connections.end_silent_body(connection) => {
                let room = Arc::clone(&server.bodies).acquire_many_owned(more);
                let room = timeout(ROOM, room).await.map_err(|_| busy())?;
                room.map_err(|_| busy())?
            }
            Err(_) => return Err(busy()),
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }
}

/// The refusal of a body that is too large.
pub(super) fn too_large(most: usize) -> HttpError {
    HttpError::large(format!(
        "the body is larger than {most} bytes: send its segments in several requests"
    ))
}

fn too_slow() -> HttpError {
    HttpError::new(
        StatusCode::REQUEST_TIMEOUT,
        format!(
            "the body came too slowly, at less than {RATE} bytes a second over {} s: send the request again",
            GRACE.as_secs()
        ),
    )
}

/// Reads the body of a request that has been refused and throws it away, after the answer: many clients read that only
/// once they have sent the complete body. A body that takes too long is cut off; a client that waits to be told to go on
/// sends none after a refusal.
pub(super) fn discard(headers: &HeaderMap, mut body: Body, most: usize) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    tokio::spawn(async move {
        let deadline = Instant::now() + PATIENCE;
        let mut left = most.saturating_mul(2);
        while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_bodies_cost_nothing_and_large_ones_what_is_beyond() {
        assert_eq!([0, FREE, FREE + 1, FREE + 4096].map(counted), [0, 0, 1, 4]);
    }
}
