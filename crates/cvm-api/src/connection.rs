//! One connection from its handshake to its end: what it is doing, until when it may, and what has
//! to happen once its answers have left.
//!
//! hyper drives the protocol; the deadlines are here, because the same ones hold for HTTP/1.1 and
//! HTTP/2, and because an idle connection may wait longer than a half-sent header.

mod watched;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::after::{Aftermath, Departed};
use crate::limit::{Crowded, Guest, Limits, Place};
use watched::Blocked;

pub(crate) use watched::Watched;

/// How long an idle connection that was told to close may take for it.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a connection is doing.
pub(crate) struct Connection {
    state: Mutex<State>,
    moved: Notify,
    /// The server stops: what would go on for long ends now.
    leaving: CancellationToken,
    aftermath: Aftermath,
    limits: Limits,
    /// Who is at the other end.
    guest: Guest,
    /// Over HTTP/1.1 a byte without a request is the beginning of one; over HTTP/2 it may be a
    /// ping.
    bytes_begin_requests: bool,
}

struct State {
    /// The requests whose answers have not left, and when each began or last made progress.
    in_flight: BTreeMap<u64, Instant>,
    begun: u64,
    /// Since when nothing is in flight.
    idle_since: Instant,
    /// When the first byte of a request came whose header is not complete.
    header_since: Option<Instant>,
    /// The peer does not take what there is to send.
    is_blocked: bool,
    /// Answers that left while nobody has flushed yet; `None` once nobody will.
    departed: Option<Vec<Departed>>,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Nobody asks anything: it is closed politely.
    Idle,
    /// A header or an answer takes too long: it is dropped.
    Stalled,
}

impl Connection {
    pub(crate) fn new(
        aftermath: Aftermath,
        limits: Limits,
        guest: Guest,
        bytes_begin_requests: bool,
    ) -> Self {
        let state = State {
            in_flight: BTreeMap::new(),
            begun: 0,
            idle_since: Instant::now(),
            header_since: None,
            is_blocked: false,
            departed: Some(Vec::new()),
        };
        let (moved, leaving) = (Notify::new(), CancellationToken::new());
        let state = Mutex::new(state);
        Self { state, moved, leaving, aftermath, limits, guest, bytes_begin_requests }
    }

    /// A request's header is complete; it is in flight until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state.lock();
        state.begun += 1;
        let number = state.begun;
        state.in_flight.insert(number, Instant::now());
        state.header_since = None;
        drop(state);
        self.moved.notify_one();
        InFlight { connection: Arc::clone(self), number, place: self.guest.take_place() }
    }

    /// Until when the connection may go on as it is, and why not longer.
    pub(crate) fn deadline(&self) -> (Instant, Overdue) {
        let state = self.state.lock();
        let limits = &self.limits;
        if let Some(oldest) = state.in_flight.values().min() {
            return (*oldest + seconds(4 * limits.request_seconds_max), Overdue::Stalled);
        }
        if let Some(since) = state.header_since {
            return (since + seconds(limits.header_seconds_max), Overdue::Stalled);
        }
        match (state.begun, state.is_blocked) {
            (0, _) => (state.idle_since + seconds(limits.header_seconds_max), Overdue::Stalled),
            // The last answer has left hyper's hands, and nobody reads it.
            (_, true) => {
                (state.idle_since + seconds(2 * limits.request_seconds_max), Overdue::Stalled)
            }
            (_, false) => (state.idle_since + seconds(limits.idle_seconds_max), Overdue::Idle),
        }
    }

    fn blocked(&self, is_blocked: Blocked) {
        self.state.lock().is_blocked = is_blocked == Blocked::Yes;
        self.moved.notify_one();
    }

    /// Returns when the deadline may have moved, or answers may have left.
    pub(crate) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Does what had to wait until answers have left. To be called when hyper has flushed.
    pub(crate) fn flushed(&self) {
        let departed = match &mut self.state.lock().departed {
            Some(departed) => std::mem::take(departed),
            None => Vec::new(),
        };
        self.aftermath.follow_all(departed);
    }

    /// Nobody will flush any more.
    pub(crate) fn closed(&self) {
        let departed = self.state.lock().departed.take();
        self.aftermath.follow_all(departed.unwrap_or_default());
    }

    fn bytes_came(&self) {
        if self.bytes_begin_requests {
            let mut state = self.state.lock();
            if state.in_flight.is_empty() && state.header_since.is_none() {
                state.header_since = Some(Instant::now());
                drop(state);
                self.moved.notify_one();
            }
        }
    }

    fn end(&self, number: u64) {
        let mut state = self.state.lock();
        state.in_flight.remove(&number);
        if state.in_flight.is_empty() {
            state.idle_since = Instant::now();
        }
        drop(state);
        self.moved.notify_one();
    }
}

/// A request that has been begun and not answered to the end; dropped, it ends.
pub(crate) struct InFlight {
    connection: Arc<Connection>,
    number: u64,
    place: Result<Place, Crowded>,
}

impl InFlight {
    /// Why there is no place for this request; `None` where there is one.
    pub(crate) fn crowded(&self) -> Option<Crowded> {
        self.place.as_ref().err().copied()
    }

    /// A part of its answer was taken: its time begins anew.
    pub(crate) fn progress(&self) {
        if let Some(since) = self.connection.state.lock().in_flight.get_mut(&self.number) {
            *since = Instant::now();
        }
        self.connection.moved.notify_one();
    }

    /// Cancelled once the server stops.
    pub(crate) fn leaving(&self) -> CancellationToken {
        self.connection.leaving.clone()
    }

    /// The answer has left hyper's hands, or never will: `departed` waits for the flush.
    pub(crate) fn leave(&self, departed: Departed) {
        let left_over = match &mut self.connection.state.lock().departed {
            Some(waiting) => {
                waiting.push(departed);
                None
            }
            None => Some(departed),
        };
        self.connection.aftermath.follow_all(left_over);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.connection.end(self.number);
    }
}

/// A connection as hyper drives it.
pub(crate) trait Driven: Future<Output = hyper::Result<()>> {
    /// Finish what is in flight, then close.
    fn farewell(self: Pin<&mut Self>);
}

/// Drives a connection to its end, which is by itself, by a deadline, by `drain` or by `abort`.
pub(crate) async fn drive(
    connection: &Connection,
    mut driven: Pin<Box<impl Driven>>,
    drain: &CancellationToken,
    abort: &CancellationToken,
) {
    let mut farewell_until = None;
    loop {
        let (deadline, overdue) = connection.deadline();
        let deadline = farewell_until.map_or(deadline, |until: Instant| until.min(deadline));
        let polled = std::future::poll_fn(|context| {
            let polled = driven.as_mut().poll(context);
            // Pending or not, hyper has flushed what it could.
            connection.flushed();
            polled
        });
        tokio::select! {
            ended = polled => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                break;
            }
            () = abort.cancelled() => break,
            () = drain.cancelled(), if farewell_until.is_none() => {
                // How long the last requests may take is for `abort` to say.
                farewell_until = Some(Instant::now() + seconds(86_400));
                connection.leaving.cancel();
                driven.as_mut().farewell();
            }
            () = connection.moved() => {}
            () = tokio::time::sleep_until(deadline) => match (overdue, farewell_until) {
                (Overdue::Idle, None) => {
                    farewell_until = Some(Instant::now() + FAREWELL);
                    driven.as_mut().farewell();
                }
                (Overdue::Idle | Overdue::Stalled, _) => break,
            },
        }
    }
    drop(driven);
    connection.closed();
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
