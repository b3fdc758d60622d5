//! The calls of AWS IoT Core, each as AWS answers it; in which order they are made, and what is
//! done about their failures, is core's (protocol, section 5).
//!
//! Every call but [`IotCertificates::certificate_create`] may be made again: what is so already is
//! success. None is made twice by the adapter where it is not known whether it took effect.

use async_trait::async_trait;
use thiserror::Error;

use crate::certificate::IssuerId;
use crate::id::{CertificateId, KeyIdentity, Name, ThingName};
use crate::time::Timestamp;

/// A registry of AWS IoT Core.
pub trait IotCore: IotBindings + IotCertificates {}

impl<T: IotBindings + IotCertificates> IotCore for T {}

/// The certificates of the registry.
#[async_trait]
pub trait IotCertificates: Send + Sync {
    /// `CreateCertificateFromCsr`, INACTIVE. The same request (DER) again makes another
    /// certificate, so it is sent once only.
    async fn certificate_create(&self, csr: &[u8]) -> Result<IotCertificate, IotError>;

    /// `RegisterCertificate`, INACTIVE, of a leaf (DER) that the CA (DER) signed. One that is
    /// there already is success, in whatever status.
    async fn certificate_register(&self, leaf: &[u8], ca: &[u8]) -> Result<(), IotError>;

    /// `DescribeCertificate`; `None` where there is none, or one that we cannot have made.
    async fn certificate_describe(
        &self,
        id: &CertificateId,
    ) -> Result<Option<IotCertificate>, IotError>;

    /// `UpdateCertificate`.
    ///
    /// # Errors
    /// [`IotError::NotFound`] where there is none.
    async fn certificate_status_set(
        &self,
        id: &CertificateId,
        status: IotStatus,
    ) -> Result<(), IotError>;

    /// `DeleteCertificate` of one that is not ACTIVE, with its policies; one that is not there is
    /// success.
    async fn certificate_delete(&self, id: &CertificateId) -> Result<(), IotError>;

    /// A page of `ListCertificates`, newest first, from `marker` on.
    async fn certificate_page(&self, marker: Option<String>) -> Result<IotPage, IotError>;
}

/// Things and policies, and what certificates are bound to.
#[async_trait]
pub trait IotBindings: Send + Sync {
    /// `CreateThing`; one that is there with the attribute `RegistrationWay=CVM` is success.
    ///
    /// # Errors
    /// [`IotError::Conflict`] where another made a thing of that name.
    async fn thing_create(&self, thing: &ThingName) -> Result<(), IotError>;

    /// `DeleteThing`, with its shadow; first every certificate that `detach` names is detached.
    /// One that is not there is success.
    ///
    /// # Errors
    /// [`IotError::Conflict`] where other certificates are attached to it.
    async fn thing_delete(
        &self,
        thing: &ThingName,
        detach: &[CertificateId],
    ) -> Result<(), IotError>;

    /// `AttachThingPrincipal`.
    async fn thing_attach(&self, thing: &ThingName, id: &CertificateId) -> Result<(), IotError>;

    /// `AttachPolicy`.
    ///
    /// # Errors
    /// [`IotError::NotFound`] where there is no such policy.
    async fn policy_attach(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError>;

    /// `DetachPolicy`; where it is not attached, or not there, is success.
    async fn policy_detach(&self, policy: &Name, id: &CertificateId) -> Result<(), IotError>;

    /// `CreatePolicy`; one that is there is success, whatever it says.
    async fn policy_create(&self, policy: &Name, document: &str) -> Result<(), IotError>;

    /// `GetPolicy`: whether there is one.
    async fn policy_exists(&self, policy: &Name) -> Result<bool, IotError>;

    /// `DeleteConnection` of the client called like the thing; where none is connected is success.
    async fn connection_delete(&self, thing: &ThingName) -> Result<(), IotError>;
}

/// A certificate of the registry, as `DescribeCertificate` tells it and as it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IotCertificate {
    /// SHA-256 of `der`, and AWS's name of it.
    pub id: CertificateId,
    /// The certificate.
    pub der: Vec<u8>,
    /// The key that it certifies.
    pub key: KeyIdentity,
    /// The X.509 serial number, big-endian.
    pub certificate_serial: Vec<u8>,
    /// Its authority key identifier; zeros where that is not 20 octets.
    pub issuer: IssuerId,
    /// As in the certificate.
    pub not_before: Timestamp,
    /// As in the certificate.
    pub not_after: Timestamp,
    /// Where it stands.
    pub status: IotStatus,
}

/// Where a certificate of the registry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IotStatus {
    /// It opens connections.
    Active,
    /// It opens none.
    Inactive,
    /// None of ours has it: waiting for a transfer, or for its activation.
    Pending,
    /// It opens none, and never will again.
    Revoked,
}

/// A page of a list of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IotPage {
    /// Their ids, statuses and when each was made, newest first.
    pub certificates: Vec<IotListed>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// A certificate in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IotListed {
    /// Its name.
    pub id: CertificateId,
    /// Where it stands.
    pub status: IotStatus,
    /// When it was made, by the registry's clock.
    pub created_at: Timestamp,
}

/// Why a call did nothing, or is not known to have done something.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IotError {
    /// There is another of that name, or it is used by others.
    #[error("AWS IoT: {0}")]
    Conflict(String),
    /// There is none.
    #[error("AWS IoT: there is no such {0}")]
    NotFound(&'static str),
    /// It was not carried out, and the same call may succeed later: throttled, or not sent.
    #[error("AWS IoT cannot now: {0}")]
    NotNow(String),
    /// AWS does not take it, however often it is asked.
    #[error("AWS IoT refuses: {0}")]
    Refused(String),
    /// Whether it took effect is not known: no answer came, or one that says nothing.
    #[error("AWS IoT gave no answer: {0}")]
    Unknown(String),
}
