//! Who is told what happens at the listeners, for metrics: what is bounded and no secret, and
//! nothing else.

use std::sync::Arc;
use std::time::Duration;

use crate::router::Side;

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// `GET` (of HEAD too), `POST`, `PUT`, `DELETE`, or `other`.
    pub method: &'static str,
    /// The route's pattern, never a path that was asked for; `none` where there is no such route.
    pub route: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// The slug of the problem that was answered, one of [`crate::problems`].
    pub problem: Option<&'static str>,
    /// From the end of the request's head to the beginning of the answer.
    pub took: Duration,
}

/// What happens at a listener besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A connection was closed.
    ConnectionClosed,
    /// A connection was accepted.
    ConnectionOpened,
    /// A handshake failed.
    HandshakeFailed,
    /// Somebody came up against a limit.
    LimitReached(Limit),
    /// A request's head is complete.
    RequestBegun,
    /// A request was answered, or given up by who asked.
    RequestEnded,
}

/// A limit that is told of where it is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Of connections from one address.
    ConnectionsPerAddress,
    /// Of a handshake's time.
    HandshakeSeconds,
    /// Of refusals of one address.
    RefusalsPerAddress,
    /// Of the time that a use case takes.
    RequestSeconds,
    /// Of requests at once.
    Requests,
    /// Of requests at once from one address.
    RequestsPerAddress,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ConnectionsPerAddress,
        Self::HandshakeSeconds,
        Self::RefusalsPerAddress,
        Self::RequestSeconds,
        Self::Requests,
        Self::RequestsPerAddress,
    ];

    /// Its key in `[limits]`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::HandshakeSeconds => "handshake_seconds",
            Self::RefusalsPerAddress => "refusals_per_address",
            Self::RequestSeconds => "request_seconds",
            Self::Requests => "requests",
            Self::RequestsPerAddress => "requests_per_address",
        }
    }
}

/// Is told what happens. Never blocks and never fails: connections and answers wait for it.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// Takes note of an answer.
    fn request_answered(&self, answered: Answered);

    /// Takes note of something else, on the listener of `side`.
    fn noticed(&self, side: Side, notice: Notice);
}

/// Tells of an end when it is dropped, however that comes about.
pub(crate) struct Until {
    observer: Option<Arc<dyn Observer>>,
    side: Side,
    end: Notice,
}

impl Until {
    pub(crate) fn new(observer: Option<&Arc<dyn Observer>>, side: Side, end: Notice) -> Self {
        Self { observer: observer.cloned(), side, end }
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            observer.noticed(self.side, self.end);
        }
    }
}
