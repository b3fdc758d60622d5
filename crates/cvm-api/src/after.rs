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
                let followed = provisioning.follow(follow_up).await;
                if followed.alarms_raised > 0 {
                    tracing::warn!(%attempt, "alarm raised: `cvm explain` tells what became of this attempt");
                }
                for cause in followed.failures {
                    tracing::error!(%attempt, cause, "a journal row was not written");
                }
            });
        }
    }
}

/// The body of an answer.
pub(crate) struct AnswerBody {
    bytes: Option<Bytes>,
    _departure: Departure,
}

/// What its end sets off: the end of its request, if it came over a connection, is in it.
struct Departure {
    departed: Option<Departed>,
    in_flight: Option<Arc<InFlight>>,
    aftermath: Aftermath,
}

impl AnswerBody {
    pub(crate) fn new(
        bytes: Bytes,
        departed: Option<Departed>,
        in_flight: Option<Arc<InFlight>>,
        aftermath: Aftermath,
    ) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { bytes, _departure: Departure { departed, in_flight, aftermath } }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        match (self.departed.take(), &self.in_flight) {
            (Some(departed), Some(in_flight)) => in_flight.leave(departed),
            (departed, _) => self.aftermath.follow_all(departed),
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
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        // Nothing is said of no bytes: 204 has no Content-Length (RFC 9110 §8.6).
        let length = self.bytes.as_ref().and_then(|bytes| u64::try_from(bytes.len()).ok());
        length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
