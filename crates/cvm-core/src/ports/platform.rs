//! The IoT platform: carries out what was decided.

use async_trait::async_trait;
use thiserror::Error;

use crate::certificate::CertificateRecord;
use crate::device::{Basis, Device, Moved, SealedKey};
use crate::id::{AttemptCode, CertificateId, KeyIdentity};
use crate::key::{KeyAlgorithm, PublicKey};
use crate::operator::Actor;
use crate::profile::Profile;
use crate::time::Timestamp;

/// An issue that was decided.
#[derive(Debug)]
pub struct IssueOrder<'a> {
    /// The record the decision was made on, settled.
    pub device: Device,
    /// What moved in it already.
    pub moved: Vec<Moved>,
    /// The certificate whose first use the request is, and its key.
    pub confirmed: Option<(CertificateId, KeyIdentity)>,
    /// What it is asked for with.
    pub basis: Basis,
    /// The key to certify.
    pub key: &'a PublicKey,
    /// Where the server made the key: by which algorithm, and the key sealed. The certificate it
    /// names is filled in by the platform.
    pub server_made: Option<(KeyAlgorithm, SealedKey)>,
    /// By which rules.
    pub profile: &'a Profile,
    /// When it was decided.
    pub at: Timestamp,
    /// In which request.
    pub attempt: AttemptCode,
    /// By whom.
    pub actor: Actor,
}

/// Things, certificates and policies of an IoT platform.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Issues a certificate, binds it to the device's thing and policy, and records it; returns
    /// only when the device could connect with it and the record is durable.
    ///
    /// After an error or a crash at any point there is nothing, or something that the next request
    /// or the sweeper completes; never an unrecorded certificate that works.
    ///
    /// # Errors
    /// [`CarryOutError`].
    async fn certificate_issue(
        &self,
        order: IssueOrder<'_>,
    ) -> Result<CertificateRecord, CarryOutError>;
}

/// Why nothing was carried out.
#[derive(Debug, Error)]
pub enum CarryOutError {
    /// Ours to mend; the certificate was not made.
    #[error("{0}")]
    Bug(String),
    /// The record moved meanwhile: read it again and decide afresh.
    #[error("the record moved while it was decided upon")]
    Conflict,
    /// Another device has proven possession of this key.
    #[error("another device owns this key")]
    KeyOwned,
    /// Signer, store or platform cannot now; nothing left the process.
    #[error("{0}")]
    Unavailable(String),
}
