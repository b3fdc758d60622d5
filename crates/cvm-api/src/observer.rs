//! Who is told of answered requests, for metrics: what is bounded and no secret, and nothing else.

use std::time::Duration;

/// A request that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// `GET` (of HEAD too), `POST`, `PUT`, `DELETE`, or `other`.
    pub method: &'static str,
    /// The route's pattern, never a path that was asked for; `none` where there is no such route.
    pub route: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// From the end of the request's head to the beginning of the answer.
    pub took: Duration,
}

/// Is told of every request that was answered.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// Takes note of one. Never blocks and never fails: the answer waits for it.
    fn request_answered(&self, answered: Answered);
}
