//! The IoT platform: carries out what was decided.

use async_trait::async_trait;
use thiserror::Error;

use crate::certificate::CertificateRecord;
use crate::device::{Basis, Device, Moved, Owed, SealedKey};
use crate::id::{AttemptCode, CertificateId, KeyIdentity, Name, SerialNumber, ThingName};
use crate::key::{CheckedCsr, CsrError, KeyAlgorithm, PrivateKey, PublicKey};
use crate::operator::Actor;
use crate::ports::Change;
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
    /// By which request its possession was proven.
    pub request: KeyRequest<'a>,
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

/// By what a key came that is to be certified.
#[derive(Clone, Copy, Debug)]
pub enum KeyRequest<'a> {
    /// By this certificate request of the device, DER.
    Device(&'a [u8]),
    /// The server made it.
    Server(&'a PrivateKey),
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Its row.
    pub record: CertificateRecord,
    /// The last second of the life that its profile gives it, where others chose `not_after`.
    pub life_ends: Option<Timestamp>,
}

/// A certificate for this key may be on the platform that nobody recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    /// Whose it would be.
    pub serial_number: SerialNumber,
    /// The key.
    pub key: KeyIdentity,
    /// The earliest moment at which it can have been made.
    pub since: Timestamp,
}

impl Sought {
    /// What has to be sought for a device by its record.
    #[must_use]
    pub fn of(device: &Device) -> Vec<Self> {
        let sought = |owed: &Owed| match owed {
            Owed::Orphan { key, since, .. } => {
                let serial_number = device.serial_number.clone();
                Some(Self { serial_number, key: *key, since: *since })
            }
            Owed::Certificate { .. } | Owed::Session { .. } | Owed::Thing { .. } => None,
        };
        device.owed.iter().filter_map(sought).collect()
    }
}

/// Things, certificates and policies of an IoT platform.
///
/// One in this process does all in one commit. One outside of it does it in several steps, which a
/// crash may part: what is under way is the record's [`Device::reservation`], what it has still to
/// be told is [`Device::owed`].
#[async_trait]
pub trait Platform: Send + Sync {
    /// Whether the platform would take the request for a certificate of `thing`.
    ///
    /// # Errors
    /// [`CsrError`] says what the device has to change.
    fn request_judge(&self, csr: &CheckedCsr, thing: &ThingName) -> Result<(), CsrError>;

    /// Puts into a change, before it is written, what the platform will owe by it.
    fn owe(&self, change: &mut Change);

    /// Issues a certificate, binds it to the device's thing and policy, and records it; returns
    /// only when the device could connect with it and the record is durable.
    ///
    /// After an error or a crash at any point there is nothing, or something that the next request
    /// or the sweeper completes; never an unrecorded certificate that works.
    ///
    /// # Errors
    /// [`CarryOutError`].
    async fn certificate_issue(&self, order: IssueOrder<'_>) -> Result<Issued, CarryOutError>;

    /// Finishes what another request began for the device and left: its [`Device::reservation`].
    /// Nothing where there is none.
    ///
    /// # Errors
    /// [`CarryOutError::Leased`] while that request may still be at work.
    async fn certificate_complete(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<(), CarryOutError>;

    /// Does what is owed for the device, and says what has to be sought.
    ///
    /// # Errors
    /// [`CarryOutError`]; what is not done is still owed, and what has to be sought is
    /// [`Sought::of`] its record.
    async fn device_settle(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<Vec<Sought>, CarryOutError>;

    /// Removes certificates from the platform that were made for us and that nobody recorded, what
    /// is `sought` among them; returns how many.
    ///
    /// # Errors
    /// [`CarryOutError`]; what was not found yet is sought again.
    async fn orphans_end(&self, sought: &[Sought]) -> Result<usize, CarryOutError>;

    /// Whether the platform has a policy of that name, whatever the store has.
    ///
    /// # Errors
    /// [`CarryOutError::Unavailable`].
    async fn policy_is_known(&self, policy: &Name) -> Result<bool, CarryOutError>;
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
    /// The request is not taken, however often it is made.
    #[error("{0}")]
    Csr(CsrError),
    /// Another device has proven possession of this key.
    #[error("another device owns this key")]
    KeyOwned,
    /// Another request is at work on it: come again.
    #[error("another request of this device is at work on its certificate")]
    Leased,
    /// Signer, store or platform cannot now; nothing left the process.
    #[error("{0}")]
    Unavailable(String),
}
