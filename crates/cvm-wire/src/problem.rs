//! RFC 9457 problem documents.

use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal, for programs and people.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `/problems/<slug>`: stable, to be compared.
    #[serde(rename = "type")]
    pub kind: String,
    /// The slug in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do.
    pub detail: String,
    /// The code to hand to support, such as `K7QF2-M8WXA`.
    pub attempt: String,
}

/// What the problem document of a 202 `pending-approval` has besides.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The review in which a human has to say yes.
    pub review: String,
}

/// What the problem document of a 401 `certificate-required` has besides.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Signable {
    /// Whether the same request may be signed instead (see [`crate::signed`]).
    pub signed: bool,
}

impl Problem {
    /// The last part of the type.
    #[must_use]
    pub fn slug(&self) -> &str {
        self.kind.rsplit('/').next().unwrap_or_default()
    }
}
