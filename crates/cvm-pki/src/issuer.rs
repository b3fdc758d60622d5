//! [`LocalIssuer`]: the `Issuer` port over the `devices` CA, whose key this process holds or asks
//! for signatures.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::IssuerId;
use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::key::{CheckedCsr, CsrError, UncheckedCsr};
use cvm_core::ports::{Chain, CrlTemplate, Issuer, IssuerError, LeafTemplate, SignedLeaf};
use cvm_core::time::Timestamp;
use parking_lot::RwLock;
use tracing::Instrument as _;

use crate::approved::Approved;
use crate::ca::{Authority, CaCertificate, public_key_of};
use crate::error::PkiError;
use crate::key::{SubjectKey, sha256};
use crate::lint::Profile;
use crate::remote_key::IssuingKey;
use crate::weak::RsaJudge;
use crate::{crl, csr, issue, profile};

/// Signs with the newest `devices` CA, and knows the chains of all of them.
#[derive(Debug)]
pub struct LocalIssuer {
    authority: Arc<Authority<IssuingKey>>,
    /// What stands before `<shard>.crl` in each leaf's distribution point.
    crl_base: String,
    chain: Arc<Chain>,
    trust_bundle: Arc<str>,
    judge: RsaJudge,
    /// Keys that are the server's own; the listeners' change with each renewal.
    own_keys: RwLock<HashSet<KeyIdentity>>,
}

impl LocalIssuer {
    /// `roots` are what devices are to trust, newest first.
    pub(crate) fn new(
        authority: Authority<IssuingKey>,
        roots: &[CaCertificate],
        crl_url: &str,
    ) -> Self {
        let root: String = roots.iter().map(CaCertificate::pem).collect();
        Self {
            crl_base: profile::crl_base(crl_url, &authority.certificate.id.0),
            chain: Arc::new(Chain {
                intermediate: authority.certificate.pem(),
                root: root.clone(),
            }),
            trust_bundle: root.into(),
            judge: RsaJudge::new(),
            own_keys: RwLock::default(),
            authority: Arc::new(authority),
        }
    }

    /// The CA that signs now.
    #[must_use]
    pub fn issuer_id(&self) -> IssuerId {
        self.authority.certificate.id
    }

    /// The certificates of the CAs that sign devices, DER.
    #[must_use]
    pub fn ca_certificates(&self) -> Vec<Vec<u8>> {
        vec![self.authority.certificate.der.clone()]
    }

    /// From now on no device may use the key of this certificate (DER): it is one of ours.
    ///
    /// # Errors
    /// [`PkiError::Certificate`] where it is none, or has a kind of key that no device could have.
    pub fn own_key_add(&self, certificate: &[u8]) -> Result<(), PkiError> {
        let key = public_key_of("a certificate of the server", certificate)?;
        self.own_keys.write().insert(key.public_key().identity);
        Ok(())
    }

    /// Whether the key of the `devices` CA, where it is kept elsewhere, can be reached now and is
    /// the one that the CA's certificate names: for a start, so that the first device is not the
    /// one that finds out.
    ///
    /// # Errors
    /// [`PkiError::RemoteKey`] where it cannot be reached, [`PkiError::Certificate`] where it is
    /// another.
    pub async fn key_check(&self) -> Result<(), PkiError> {
        self.authority.key.check().await
    }

    /// The CA called `issuer`, if it is one of ours.
    fn authority_of(&self, issuer: &IssuerId) -> Option<&Arc<Authority<IssuingKey>>> {
        Some(&self.authority).filter(|authority| authority.certificate.id == *issuer)
    }

    async fn sign(&self, template: &LeafTemplate<'_>) -> Result<SignedLeaf, IssuerError> {
        let CaCertificate { id, not_after: ends, .. } = self.authority.certificate;
        let not_after = self.authority.cut(template.not_after);
        if template.not_before >= not_after {
            return Err(IssuerError::Unavailable(format!(
                "the certificate would end before it begins; the devices CA ends at {ends}"
            )));
        }
        let serial = profile::serial_number();
        let approved = self.approve(template, &serial, not_after)?;
        let der = self.authority.key.sign(approved).await.map_err(refusal)?;
        Ok(SignedLeaf {
            id: CertificateId(sha256(&der)),
            certificate_serial: serial.to_vec(),
            issuer: id,
            not_before: template.not_before,
            not_after,
            der,
        })
    }

    fn approve(
        &self,
        template: &LeafTemplate<'_>,
        serial: &[u8],
        not_after: Timestamp,
    ) -> Result<Approved, IssuerError> {
        let key = SubjectKey::of_judged(template.key)
            .map_err(|error| IssuerError::Bug(error.to_string()))?;
        let signer = self.authority.certificate.signer(self.authority.key.algorithm());
        profile::leaf(template, serial, not_after, &self.crl_base)
            .and_then(|params| issue::approve(params, &key, Profile::Leaf, &signer))
            .map_err(refusal)
    }
}

fn refusal(error: PkiError) -> IssuerError {
    match error {
        PkiError::Crypto(_) | PkiError::RemoteKey(_) => IssuerError::Unavailable(error.to_string()),
        PkiError::Certificate { .. }
        | PkiError::Crl(_)
        | PkiError::File { .. }
        | PkiError::HostName(_)
        | PkiError::Import(_)
        | PkiError::Lint(_)
        | PkiError::PrivateKey(_)
        | PkiError::Vault(_) => IssuerError::Bug(error.to_string()),
    }
}

#[async_trait]
impl Issuer for LocalIssuer {
    fn csr_parse(&self, pem: &str) -> Result<UncheckedCsr, CsrError> {
        csr::parse(pem)
    }

    fn csr_claims(&self, csr: &UncheckedCsr) -> Option<KeyIdentity> {
        csr::claimed_key(csr)
    }

    fn csr_check(&self, csr: &UncheckedCsr) -> Result<CheckedCsr, CsrError> {
        csr::check(csr, &self.judge)
    }

    async fn leaf_sign(&self, template: LeafTemplate<'_>) -> Result<SignedLeaf, IssuerError> {
        self.sign(&template).instrument(tracing::debug_span!("sign")).await
    }

    async fn crl_sign(&self, template: CrlTemplate) -> Result<Vec<u8>, IssuerError> {
        let (Some(authority), Some(url)) =
            (self.authority_of(&template.issuer), self.crl_url(&template.issuer, template.shard))
        else {
            return Err(IssuerError::Bug(format!("{} is no CA of ours", template.issuer)));
        };
        let authority = Arc::clone(authority);
        let runtime = tokio::runtime::Handle::current();
        // Some thousand entries take milliseconds to write, to lint and to hash.
        let sign = move || {
            let algorithm = authority.key.algorithm();
            let approved = crl::approve(&authority.certificate, algorithm, &url, template)?;
            runtime.block_on(authority.key.sign(approved))
        };
        tokio::task::spawn_blocking(sign)
            .instrument(tracing::debug_span!("sign_crl"))
            .await
            .map_err(|error| IssuerError::Bug(error.to_string()))?
            .map_err(refusal)
    }

    fn crl_url(&self, issuer: &IssuerId, shard: u8) -> Option<String> {
        self.authority_of(issuer).map(|_| profile::crl_url(&self.crl_base, shard))
    }

    fn ca_certificate(&self, issuer: &IssuerId) -> Option<Arc<[u8]>> {
        self.authority_of(issuer).map(|authority| authority.certificate.der.as_slice().into())
    }

    fn owns_key(&self, key: &KeyIdentity) -> bool {
        self.own_keys.read().contains(key)
    }

    fn chain(&self, issuer: &IssuerId) -> Option<Arc<Chain>> {
        self.authority_of(issuer).map(|_| Arc::clone(&self.chain))
    }

    fn trust_bundle(&self) -> Arc<str> {
        Arc::clone(&self.trust_bundle)
    }

    fn not_before(&self) -> Timestamp {
        self.authority.certificate.not_before
    }
}

#[cfg(test)]
mod tests;
