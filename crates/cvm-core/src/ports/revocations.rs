//! Who is revoked, and the lists that say so, kept by shard: the first octet of a certificate's
//! X.509 serial number.

use std::sync::Arc;

use async_trait::async_trait;

use crate::certificate::{CertificateState, IssuerId, Reason};
use crate::ports::{CommitError, StoreError};
use crate::time::Timestamp;

/// Revoked certificates and CRLs, by issuer and shard.
///
/// Each shard counts its changes: the counter is raised in the commit that writes a certificate's
/// row into a state that a CRL lists ([`crate::certificate::CertificateState::is_listed`]), also
/// where it was in one already. Reads see every commit that was acknowledged before them.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// The last CRL of a shard that was put, and whether anything changed since.
    async fn crl_find(&self, issuer: &IssuerId, shard: u8)
    -> Result<Option<StoredCrl>, StoreError>;

    /// Keeps a CRL in place of the one before, durably.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] where its number is not above the stored one's: another was
    /// faster. [`CommitError::Unavailable`] where the outcome is not known.
    async fn crl_put(&self, crl: NewCrl) -> Result<(), CommitError>;

    /// The shards, at most `limit`, that a CRL has to be signed for: first those where something
    /// changed since the last one, then those whose last one was signed at `signed_until` or
    /// earlier, the oldest first. From an index, never by a scan; a shard without a change and
    /// without a CRL is not among them.
    async fn due_crls(
        &self,
        signed_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(IssuerId, u8)>, StoreError>;

    /// Every certificate of the shard that a CRL lists, whose notAfter is `not_after_from` or
    /// later, in any order, with the shard's counter at the same moment; from a sparse index.
    async fn revoked_of(
        &self,
        issuer: &IssuerId,
        shard: u8,
        not_after_from: Timestamp,
    ) -> Result<Revoked, StoreError>;
}

/// A CRL that was signed, to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCrl {
    /// The CA that signed it.
    pub issuer: IssuerId,
    /// Its shard.
    pub shard: u8,
    /// Its number, which rises within the shard.
    pub number: u64,
    /// When it was signed.
    pub this_update: Timestamp,
    /// When the next one will have been.
    pub next_update: Timestamp,
    /// Where it says that it is found.
    pub url: String,
    /// The counter of the shard that it was built from.
    pub changes: u64,
    /// The list.
    pub der: Arc<[u8]>,
}

/// A CRL that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCrl {
    /// Its number.
    pub number: u64,
    /// When it was signed.
    pub this_update: Timestamp,
    /// When the next one will have been.
    pub next_update: Timestamp,
    /// Where it says that it is found.
    pub url: String,
    /// The list.
    pub der: Arc<[u8]>,
    /// Whether the shard changed since it was built.
    pub is_stale: bool,
}

/// Who is revoked in a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// The shard's counter.
    pub changes: u64,
    /// The certificates.
    pub entries: Vec<RevokedEntry>,
}

/// A certificate that a CRL lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedEntry {
    /// Its X.509 serial number, big-endian.
    pub certificate_serial: Vec<u8>,
    /// Since when.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: Option<Reason>,
}

impl RevokedEntry {
    /// The entry of a certificate that ended so. Superseded and dropped are superseded to the world
    /// where nobody said more (protocol, section 1); what ended nobody knows when, ended long ago.
    #[must_use]
    pub fn new(
        certificate_serial: Vec<u8>,
        state: CertificateState,
        ended_at: Option<Timestamp>,
        reason: Option<Reason>,
    ) -> Self {
        let is_revoked = state == CertificateState::Revoked;
        let default = Some(Reason::Superseded).filter(|_| !is_revoked);
        let revoked_at = ended_at.unwrap_or(Timestamp(0));
        Self { certificate_serial, revoked_at, reason: reason.or(default) }
    }
}
