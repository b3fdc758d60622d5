//! What happens after an answer has left: attempts, decisions and alarms are written only then, so
//! that what a refusal writes cannot be told from outside.
//!
//! A body says when it has left hyper's hands; its connection says when that was flushed; only then
//! is the follow-up spawned. It runs too where the caller went away before the answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cvm_core::provisioning::{FollowUp, Provisioning};
use http_body::{Body, Frame, SizeHint};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::connection::InFlight;
use crate::stream::{Content, CutOff};

/// An answer that has left, and what follows from it.
pub(crate) struct Departed {
    /// The request's, which its code is in.
    pub(crate) span: Span,
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
        for Departed { span, follow_up } in departed {
            // Most requests leave nothing but a note, which is worth no task.
            let left = span.in_scope(|| self.provisioning.follow_at_once(follow_up));
            let Some(follow_up) = left else { continue };
            let provisioning = Arc::clone(&self.provisioning);
            let following = async move {
                let followed = provisioning.follow(follow_up).await;
                if followed.alarms_raised > 0 {
                    tracing::warn!("alarm raised: `cvm explain` tells what became of this attempt");
                }
                for cause in followed.failures {
                    tracing::error!(cause, "a journal row was not written");
                }
            };
            let _task = self.tasks.spawn(following.instrument(span));
        }
    }
}

/// The body of an answer.
pub(crate) struct AnswerBody {
    content: Content,
    departure: Departure,
}

/// What its end sets off: the end of its request, if it came over a connection, is in it.
struct Departure {
    departed: Option<Departed>,
    in_flight: Option<Arc<InFlight>>,
    aftermath: Aftermath,
}

impl AnswerBody {
    pub(crate) fn new(
        content: Content,
        departed: Option<Departed>,
        in_flight: Option<Arc<InFlight>>,
        aftermath: Aftermath,
    ) -> Self {
        Self { content, departure: Departure { departed, in_flight, aftermath } }
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
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let next = ready!(self.content.poll_next(context));
        if let (Content::Stream(_), Some(in_flight)) = (&self.content, &self.departure.in_flight) {
            in_flight.progress();
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.length().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
