//! What an answer's body holds: bytes that are there, or parts that are made while it is sent.
//!
//! A stream whose maker stopped before its end is cut off, and HTTP's framing tells the peer so.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

/// The rest of an answer will not come.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the answer ends before its end")]
pub(crate) struct CutOff;

/// A piece of a stream.
#[derive(Debug)]
pub(crate) enum Part {
    Data(Bytes),
    /// All is said.
    End,
}

/// What a body holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing any more.
    Nothing,
    /// Parts, as they come; without [`Part::End`] it is cut off.
    Stream(mpsc::Receiver<Part>),
    /// All of it.
    Whole(Bytes),
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Nothing } else { Self::Whole(bytes) }
    }
}

impl Content {
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, CutOff>>> {
        let next = match self {
            Self::Nothing => None,
            Self::Stream(parts) => match ready!(parts.poll_recv(context)) {
                Some(Part::Data(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                Some(Part::End) => None,
                None => Some(Err(CutOff)),
            },
            Self::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
        };
        *self = Self::Nothing;
        Poll::Ready(next)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Its length, where that is known and said.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            // Nothing is said of no bytes: 204 has no Content-Length (RFC 9110 §8.6).
            Self::Nothing | Self::Stream(_) => None,
            Self::Whole(bytes) => u64::try_from(bytes.len()).ok(),
        }
    }
}
