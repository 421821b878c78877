//! Open connections: how many there may be, which one gives way when all places are taken, and which are too slow.
//!
//! Nobody is kept out by connections that ask for nothing: a new one takes the place of the one that has been waiting
//! longest for a request, of the client that has the most. What has been asked for is always answered.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// The most open connections.
pub(super) const MAX_CONNECTIONS: usize = 512;

/// The most open connections of one client (an address), so that others always find a place.
pub(super) const MAX_OF_CLIENT: usize = 384;

/// How long a connection may wait between two requests.
const IDLE: Duration = Duration::from_secs(30);

/// How long the head of a request may take, from its first byte to its last.
const HEAD: Duration = Duration::from_secs(10);

/// A body from which no [`PIECE`] has come for so long gives way to others.
const SILENCE: Duration = Duration::from_secs(1);

/// Bytes that count as a sign of life: a trickle is none.
const PIECE: usize = 16 << 10;

/// The time between two looks at a connection's age.
const LOOK: Duration = Duration::from_millis(500);

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: BTreeMap<u64, Arc<Connection>>,
    of_client: HashMap<IpAddr, usize>,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    client: IpAddr,
    state: Mutex<State>,
    /// Tells it to end.
    ended: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// When enough bytes last came.
    heard: Instant,
    /// Bytes that have come since.
    came: usize,
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a request.
    Idle,
    /// The head of a request arrives.
    Head,
    /// Its body arrives.
    Body,
    /// It is being answered.
    Busy,
}

impl Connections {
    /// A place for a new connection of a client; another may lose its own. None where all are being answered.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Admitted> {
        let mut open = self.lock();
        let own = open.of_client.get(&client).copied().unwrap_or_default();
        if own >= MAX_OF_CLIENT {
            open.end_oldest(|connection| connection.client == client)?;
        } else if open.all.len() >= MAX_CONNECTIONS {
            open.end_oldest(|_| true)?;
        }
        let now = Instant::now();
        let connection = Arc::new(Connection {
            number: open.next,
            client,
            state: Mutex::new(State {
                phase: Phase::Idle,
                since: now,
                heard: now,
                came: 0,
            }),
            ended: Notify::new(),
        });
        open.next += 1;
        open.all.insert(connection.number, Arc::clone(&connection));
        *open.of_client.entry(client).or_default() += 1;
        Some(Admitted {
            connection,
            among: Arc::clone(self),
        })
    }

    /// Ends the connection, other than `own`, whose body has been silent longest, if one has been for a while. Returns
    /// whether there was one.
    pub(super) fn end_silent_body(&self, own: &Connection) -> bool {
        let mut open = self.lock();
        let silent = open.all.values().filter_map(|connection| {
            let state = connection.state();
            let other = state.phase == Phase::Body && connection.number != own.number;
            (other && state.heard.elapsed() >= SILENCE).then_some((state.heard, connection.number))
        });
        match silent.min() {
            Some((_, number)) => open.end(number),
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Ends the oldest of the connections that are not being answered: of the client that has the most, the one whose phase
    /// began first. None where there is none.
    fn end_oldest(&mut self, among: impl Fn(&Connection) -> bool) -> Option<()> {
        let waiting = self.all.values().filter_map(|connection| {
            let state = connection.state();
            let of_client = self.of_client.get(&connection.client).copied();
            (among(connection) && state.phase != Phase::Busy).then_some((
                std::cmp::Reverse(of_client),
                state.since,
                connection.number,
            ))
        });
        let (.., number) = waiting.min()?;
        self.end(number).then_some(())
    }

    /// Tells a connection to end; its place is free from now on.
    fn end(&mut self, number: u64) -> bool {
        let Some(connection) = self.all.remove(&number) else {
            return false;
        };
        if let Some(count) = self.of_client.get_mut(&connection.client) {
            *count -= 1;
            if *count == 0 {
                self.of_client.remove(&connection.client);
            }
        }
        connection.ended.notify_one();
        true
    }
}

/// The place of a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) connection: Arc<Connection>,
    among: Arc<Connections>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.among.lock().end(self.connection.number);
    }
}

impl Connection {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> State {
        *self.lock()
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        (state.phase, state.since) = (phase, Instant::now());
    }

    /// The head of a request is there.
    pub(super) fn asked(&self) {
        self.enter(Phase::Body);
        let mut state = self.lock();
        (state.heard, state.came) = (state.since, 0);
    }

    /// The whole request is there: from now on it is answered, whoever else comes.
    pub(super) fn received(&self) {
        self.enter(Phase::Busy);
    }

    /// The request is answered.
    pub(super) fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// Bytes came.
    fn hear(&self, bytes: usize) {
        let mut state = self.lock();
        let now = Instant::now();
        state.came += bytes;
        if state.came >= PIECE {
            (state.heard, state.came) = (now, 0);
        }
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, now);
        }
    }

    /// Bytes of an answer went out: a client that reads is not idle.
    fn spoken(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            state.since = Instant::now();
        }
    }

    /// Returns once the connection has to end, for another or for its slowness.
    pub(super) async fn has_to_end(&self) {
        loop {
            if tokio::time::timeout(LOOK, self.ended.notified())
                .await
                .is_ok()
            {
                return;
            }
            let State { phase, since, .. } = self.state();
            let most = match phase {
                Phase::Idle => IDLE,
                Phase::Head => HEAD,
                // The handler of the request has its own limits.
                Phase::Body | Phase::Busy => continue,
            };
            if since.elapsed() >= most {
                return;
            }
        }
    }
}

/// A stream that tells its connection of what comes and goes.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    connection: Arc<Connection>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.connection.spoken();
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        let came = into.filled().len() - before;
        if came > 0 {
            self.connection.hear(came);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    /// Whether it was told to end.
    fn is_ended(admitted: &Admitted) -> bool {
        let open = admitted.among.lock();
        !open.all.contains_key(&admitted.connection.number)
    }

    #[test]
    fn the_longest_waiting_of_the_busiest_client_gives_way_and_no_answer_is_lost() {
        let all = Arc::new(Connections::default());
        let few: Vec<Admitted> = (0..2).map(|_| all.admit(client(1)).unwrap()).collect();
        let many: Vec<Admitted> = (0..MAX_OF_CLIENT)
            .map(|_| all.admit(client(2)).unwrap())
            .collect();
        let rest: Vec<Admitted> = (MAX_OF_CLIENT + 2..MAX_CONNECTIONS)
            .map(|_| all.admit(client(3)).unwrap())
            .collect();
        many[0].connection.asked();
        many[0].connection.received();
        let new = all.admit(client(4)).unwrap();
        assert!(is_ended(&many[1]) && !is_ended(&many[0]));
        assert!(few.iter().chain(&rest).all(|other| !is_ended(other)));
        // Its own limit: a client pushes out its own.
        let more = all.admit(client(2)).unwrap();
        let yet_more = all.admit(client(2)).unwrap();
        assert!(!is_ended(&more) && !is_ended(&yet_more) && !is_ended(&new));
        drop((few, many, rest, more, yet_more, new));
        let open = all.lock();
        assert!(open.all.is_empty() && open.of_client.is_empty());
    }

    #[test]
    fn where_everybody_is_being_answered_nobody_is_pushed_out() {
        let all = Arc::new(Connections::default());
        let own: Vec<Admitted> = (0..MAX_OF_CLIENT)
            .map(|_| all.admit(client(1)).unwrap())
            .collect();
        own.iter().for_each(|own| own.connection.received());
        assert!(all.admit(client(1)).is_none());
        own[7].connection.answered();
        assert!(all.admit(client(1)).is_some() && is_ended(&own[7]));
    }

    #[test]
    fn a_body_that_is_silent_gives_way_and_one_that_comes_does_not() {
        let all = Arc::new(Connections::default());
        let [own, other] = [1, 2].map(|number| all.admit(client(number)).unwrap());
        other.connection.asked();
        assert!(!all.end_silent_body(&own.connection));
        other.connection.hear(PIECE - 1);
        let ago = Instant::now().checked_sub(SILENCE).unwrap();
        other.connection.lock().heard = ago;
        other.connection.hear(1);
        assert!(!all.end_silent_body(&own.connection), "enough has come");
        other.connection.lock().heard = ago;
        other.connection.hear(PIECE - 1);
        own.connection.asked();
        own.connection.lock().heard = ago;
        assert!(all.end_silent_body(&own.connection) && is_ended(&other));
        assert!(!all.end_silent_body(&own.connection) && !is_ended(&own));
    }
}
