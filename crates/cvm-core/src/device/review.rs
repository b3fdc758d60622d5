//! A review: one question for a human, whether a token may be used with another key.

use serde::{Deserialize, Serialize};

use crate::id::{AttemptCode, KeyIdentity};
use crate::key::KeyAlgorithm;
use crate::time::{Span, Timestamp};

/// How long an approval waits to be used (protocol, section 3).
const APPROVAL_LIFE: Span = Span(7 * Span::DAY.0);

/// A question for a human.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Its name: the code of the request that asked first.
    pub id: AttemptCode,
    /// The generation of the token that was shown.
    pub token: u32,
    /// The key that asks.
    pub key: ReviewKey,
    /// The key that the token is bound to.
    pub bound: Option<KeyIdentity>,
    /// The network address that it came from.
    pub address: String,
    /// When it was asked first.
    pub opened_at: Timestamp,
    /// What became of it.
    pub state: ReviewState,
}

/// The key that a review is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewKey {
    /// One that the device made.
    Device(KeyIdentity),
    /// One that the server is to make.
    Server(KeyAlgorithm),
}

impl std::fmt::Display for ReviewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(key) => write!(f, "key {key}"),
            Self::Server(algorithm) => write!(f, "a new {} key", algorithm.as_str()),
        }
    }
}

/// What became of a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewState {
    /// A human said yes at this moment; the key has not asked again yet.
    Approved(Timestamp),
    /// Something made the question pointless: a first use, or an operator's word.
    Closed,
    /// A human said no.
    Denied,
    /// The approval was not used in time.
    Lapsed,
    /// The approval obtained its certificate.
    Spent,
    /// A human has to say.
    Waiting,
}

impl ReviewState {
    /// The name in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Closed => "closed",
            Self::Denied => "denied",
            Self::Lapsed => "lapsed",
            Self::Spent => "spent",
            Self::Waiting => "waiting",
        }
    }
}

/// What a human said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes: that key, and no third.
    Approve,
    /// No, and never that key with this token.
    Deny,
}

impl Review {
    /// Whether it still decides something: a human has to say, or said yes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, ReviewState::Approved(_) | ReviewState::Waiting)
    }

    /// Until when the approval may be used.
    #[must_use]
    pub fn approved_until(&self) -> Option<Timestamp> {
        match self.state {
            ReviewState::Approved(at) => Some(at.plus(APPROVAL_LIFE)),
            ReviewState::Closed
            | ReviewState::Denied
            | ReviewState::Lapsed
            | ReviewState::Spent
            | ReviewState::Waiting => None,
        }
    }

    /// Does what time alone does.
    pub(super) fn settle(&mut self, now: Timestamp) {
        if self.approved_until().is_some_and(|until| now > until) {
            self.state = ReviewState::Lapsed;
        }
    }

    /// Makes the question pointless.
    pub(super) fn close(&mut self) {
        if self.is_open() {
            self.state = ReviewState::Closed;
        }
    }
}
