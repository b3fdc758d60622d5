//! The bodies of the HTTP API, as they travel: no logic, no defaults, no opinion.
//!
//! Shared by the server, the operator's commands and the device side, so that a field has one
//! name. Times are RFC 3339 texts; unknown fields are ignored on the way in.

pub mod device;
pub mod import;
pub mod operator;
pub mod problem;
pub mod signed;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret on its way: serialises as its text, cannot be printed, is zeroized when dropped.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret itself, taken out.
    #[must_use]
    pub fn into_inner(self) -> Zeroizing<String> {
        self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}
