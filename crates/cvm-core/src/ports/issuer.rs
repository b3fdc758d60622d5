//! Certificate requests in, certificates out.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::certificate::IssuerId;
use crate::id::{CertificateId, KeyIdentity, SerialNumber, ThingName};
use crate::key::{CheckedCsr, CsrError, KeyAlgorithm, PrivateKey, PublicKey, UncheckedCsr};
use crate::ports::RevokedEntry;
use crate::time::Timestamp;

/// Reads certificate requests and signs certificates.
#[async_trait]
pub trait Issuer: Send + Sync {
    /// Reads one PEM block of PKCS #10, strictly DER, bounded in size, and believes nothing of it.
    /// Cheap: it is done for strangers.
    ///
    /// # Errors
    /// [`CsrError`] says what is malformed.
    fn csr_parse(&self, pem: &str) -> Result<UncheckedCsr, CsrError>;

    /// The identity of the key that the request names, where it can be told. Nothing proves
    /// possession of it: for refusing cheaply, never for answering.
    fn csr_claims(&self, csr: &UncheckedCsr) -> Option<KeyIdentity>;

    /// Verifies the signature and judges the key. Costs a signature verification: it is done for
    /// holders of a valid token only.
    ///
    /// # Errors
    /// [`CsrError`] says what is wrong.
    fn csr_check(&self, csr: &UncheckedCsr) -> Result<CheckedCsr, CsrError>;

    /// Signs a leaf with a random serial number of 128 bits, after it passed every lint.
    /// `not_after` is cut to the issuing CA's.
    ///
    /// # Errors
    /// [`IssuerError::Unavailable`] where the signing key cannot be used now;
    /// [`IssuerError::Bug`] where the certificate would break a rule: it is not signed.
    async fn leaf_sign(&self, template: LeafTemplate<'_>) -> Result<SignedLeaf, IssuerError>;

    /// Signs a CRL with the key of the CA that it names, after it passed every lint. What is
    /// revoked may come in any order. Long lists are signed off the async threads.
    ///
    /// # Errors
    /// As [`Self::leaf_sign`]; [`IssuerError::Bug`] also for a CA that is not ours.
    async fn crl_sign(&self, template: CrlTemplate) -> Result<Vec<u8>, IssuerError>;

    /// Where the CRL of a shard is found, as the leaves of that shard say; `None` for a CA that is
    /// not ours.
    fn crl_url(&self, issuer: &IssuerId, shard: u8) -> Option<String>;

    /// The certificate of a CA that signs devices, DER; `None` for a CA that is not ours.
    fn ca_certificate(&self, issuer: &IssuerId) -> Option<Arc<[u8]>>;

    /// Whether `key` is one of the server's own, which no device may use.
    fn owns_key(&self, key: &KeyIdentity) -> bool;

    /// What goes with a certificate that `issuer` signed; `None` for a CA that is not ours.
    fn chain(&self, issuer: &IssuerId) -> Option<Arc<Chain>>;

    /// The roots that devices are to trust, PEM, newest first.
    fn trust_bundle(&self) -> Arc<str>;

    /// notBefore of the CA that signs now: an earlier clock is wrong.
    fn not_before(&self) -> Timestamp;
}

/// The contents of a leaf; the names come from the registry, never from the request.
#[derive(Clone, Copy, Debug)]
pub struct LeafTemplate<'a> {
    /// Subject's `serialNumber` where it is a `PrintableString`, and the permanent identifier.
    pub serial_number: &'a SerialNumber,
    /// Subject's common name, where it has at most 64 characters.
    pub thing_name: &'a ThingName,
    /// The key to certify.
    pub key: &'a PublicKey,
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

/// A certificate that was signed; it does not leave the process before its record is durable.
#[derive(Clone, Debug)]
pub struct SignedLeaf {
    /// SHA-256 of `der`.
    pub id: CertificateId,
    /// The X.509 serial number, big-endian, without a leading zero.
    pub certificate_serial: Vec<u8>,
    /// The CA that signed it.
    pub issuer: IssuerId,
    /// As in the certificate.
    pub not_before: Timestamp,
    /// As in the certificate.
    pub not_after: Timestamp,
    /// The certificate.
    pub der: Vec<u8>,
}

/// The contents of a CRL.
#[derive(Clone, Debug)]
pub struct CrlTemplate {
    /// The CA that signs it.
    pub issuer: IssuerId,
    /// The shard that it is of.
    pub shard: u8,
    /// Its number, which rises within the shard.
    pub number: u64,
    /// When it is signed.
    pub this_update: Timestamp,
    /// When the next one will have been.
    pub next_update: Timestamp,
    /// Who is revoked.
    pub entries: Vec<RevokedEntry>,
}

/// What goes with a leaf.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The CA that signed it, PEM.
    pub intermediate: String,
    /// The roots, PEM, newest first.
    pub root: String,
}

/// Why a certificate or a CRL was not signed.
#[derive(Debug, Error)]
pub enum IssuerError {
    /// It would have broken a rule; ours to mend.
    #[error("not signed: {0}")]
    Bug(String),
    /// The signing key cannot be used now.
    #[error("the signer is unavailable: {0}")]
    Unavailable(String),
}

/// Makes private keys for devices that make none.
#[async_trait]
pub trait KeyMaker: Send + Sync {
    /// A new key pair. Slow algorithms run off the async threads, in a bounded pool.
    ///
    /// # Errors
    /// [`IssuerError::Unavailable`] where the pool is full: the caller asks again.
    async fn key_make(
        &self,
        algorithm: KeyAlgorithm,
    ) -> Result<(PrivateKey, PublicKey), IssuerError>;

    /// A certificate request (DER) for a key that was made here, with an empty subject.
    ///
    /// # Errors
    /// [`IssuerError::Bug`] where the key is none of ours.
    fn csr_make(&self, key: &PrivateKey) -> Result<Vec<u8>, IssuerError>;
}
