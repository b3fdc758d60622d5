//! Which nonces of signed requests were used.

use async_trait::async_trait;

use super::StoreError;
use crate::nonce::Nonce;
use crate::time::Timestamp;

/// Nonces that were used, each kept as long as it could be used again. Only who proved possession
/// of a certificate's key buys such a write.
#[async_trait]
pub trait Nonces: Send + Sync {
    /// Takes note, durably, that `nonce` was used at `now`, and tells whether that was the first
    /// time.
    ///
    /// Of concurrent uses of one nonce one is the first. A use is known up to and including
    /// [`Nonce::expires_at`], whatever else is used meanwhile; later ones let go of it, so that no
    /// more is kept than what was used in the last minutes.
    async fn nonce_use(&self, nonce: &Nonce, now: Timestamp) -> Result<NonceUse, StoreError>;
}

/// Whether a nonce was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceUse {
    /// It was.
    Again,
    /// It was not.
    First,
}
