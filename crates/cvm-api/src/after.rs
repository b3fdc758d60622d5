//! What happens after an answer has left: attempts, decisions and alarms are written only then, so
//! that what a refusal writes cannot be told from outside.
//!
//! A body says when it has left hyper's hands; its connection says when that was flushed; only then
//! is the follow-up spawned. It runs too where the caller went away before the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cvm_core::id::AttemptCode;
use cvm_core::provisioning::{FollowUp, Provisioning};
use http_body::{Body, Frame, SizeHint};
use tokio_util::task::TaskTracker;

use crate::connection::InFlight;

/// An answer that has left, and what follows from it.
pub(crate) struct Departed {
    pub(crate) attempt: AttemptCode,
    pub(crate) follow_up: FollowUp,
}

/// Runs follow-ups, and is waited for before the process ends.
#[derive(Clone)]
pub(crate) struct Aftermath {
    provisioning: Arc<Provisioning>,
    pub(crate) tasks: TaskTracker,
}

impl Aftermath {
    pub(crate) fn new(provisioning: Arc<Provisioning>) -> Self {
        Self { provisioning, tasks: TaskTracker::new() }
    }

    pub(crate) fn follow_all(&self, departed: impl IntoIterator<Item = Departed>) {
        for Departed { attempt, follow_up } in departed {
            let provisioning = Arc::clone(&self.provisioning);
            let _task = self.tasks.spawn(async move {
                let (alarms, failures) = follow_up.run(provisioning.ports()).await;
                if alarms > 0 {
                    tracing::warn!(%attempt, alarms, "alarm raised: see the journal");
                }
                for cause in failures {
                    tracing::error!(%attempt, cause, "a journal row was not written");
                }
            });
        }
    }
}

/// The body of an answer.
pub struct AnswerBody {
    bytes: Option<Bytes>,
    length: u64,
    departure: Departure,
}

/// What its end sets off.
struct Departure {
    departed: Option<Departed>,
    in_flight: Option<InFlight>,
    aftermath: Aftermath,
}

impl AnswerBody {
    pub(crate) fn new(bytes: Bytes, departed: Option<Departed>, aftermath: Aftermath) -> Self {
        let departure = Departure { departed, in_flight: None, aftermath };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), length, departure }
    }

    /// The end of this body is the end of a request of a connection.
    pub(crate) fn ends(&mut self, in_flight: Option<InFlight>) {
        self.departure.in_flight = in_flight;
    }

    /// For HEAD: how long the body would have been is said by the caller.
    pub(crate) fn without_bytes(self) -> Self {
        Self { bytes: None, length: 0, ..self }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        let departed = self.departed.take();
        match self.in_flight.take() {
            Some(in_flight) => in_flight.end(departed),
            None => self.aftermath.follow_all(departed),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.length = 0;
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnswerBody({} bytes)", self.length)
    }
}
