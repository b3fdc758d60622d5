//! Requests that come over no connection of ours: each is answered whole, and everything that follows
//! from it is done before the answer is handed over, because nothing may run after it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::answer::response;
use crate::api::{Api, Peer};
use crate::problem::Refused;
use crate::router::Side;
use crate::stream::Content;

/// How long what follows from an answer may take; each call behind it is bounded by itself.
const AFTERMATH_MAX: Duration = Duration::from_secs(6);

/// The routes of one side, without a listener.
#[derive(Clone, Debug)]
pub struct Direct {
    api: Api,
    router: Router,
}

impl Direct {
    /// The routes that a listener of `side` would have.
    #[must_use]
    pub fn new(api: &Api, side: Side) -> Self {
        Self { api: api.clone(), router: api.router(side) }
    }

    /// The answer to one request of `peer`. What follows from it (attempts, journal rows, alarms) is
    /// written by then.
    pub async fn answer(&self, request: Request<Bytes>, peer: Peer) -> Response<Bytes> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(peer);
        let answered = self.router.clone().oneshot(request).await;
        let (parts, mut body) = answered.unwrap_or_else(|never| match never {}).into_parts();
        let whole = read_whole(&mut body).await;
        // Its end sets off what follows from it.
        drop(body);
        self.finish().await;
        match whole {
            Ok(whole) => Response::from_parts(parts, whole.into()),
            // A connection would break off; here a part would look like the whole.
            Err(error) => self.unavailable(&error.to_string()),
        }
    }

    fn unavailable(&self, cause: &str) -> Response<Bytes> {
        let refused = Refused::unavailable(format!("the answer was cut off: {cause}"));
        let attempt = self.api.provisioning().attempt_code();
        let (parts, body) = response(Err(refused), attempt).into_parts();
        let whole = match body {
            Content::Whole(bytes) => bytes,
            Content::Nothing | Content::Stream(_) => Bytes::new(),
        };
        Response::from_parts(parts, whole)
    }

    async fn finish(&self) {
        let tasks = &self.api.aftermath().tasks;
        // Closed, it still takes tasks, and can be waited for.
        tasks.close();
        let attempts = &self.api.provisioning().ports().attempts;
        let finished = async {
            tasks.wait().await;
            attempts.settled().await;
        };
        if timeout(AFTERMATH_MAX, finished).await.is_err() {
            tracing::error!(left = tasks.len(), "what follows from an answer was not written");
        }
    }
}

async fn read_whole<B: http_body::Body + Unpin>(body: &mut B) -> Result<Vec<u8>, B::Error> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(mut data) = frame?.into_data() {
            whole.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_part_of_an_answer_is_not_taken_for_the_whole() {
        let part = || Ok(Bytes::from_static(b"part"));
        let mut whole = Body::from_stream(stream::iter([part(), part()]));
        let mut cut_off = Body::from_stream(stream::iter([part(), Err("cut off")]));
        assert_eq!(read_whole(&mut whole).await.unwrap(), b"partpart");
        assert!(read_whole(&mut cut_off).await.is_err());
    }
}
