//! The key of the `devices` CA where it is kept elsewhere, in an HSM or a key service: a port.
//!
//! It is given nothing but an [`Approved`], and what it answers is verified with the key in the
//! CA's certificate before it leaves: a wrong answer is a failure, never a certificate.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::approved::{Approved, SigningAlgorithm};
use crate::ca::{Authority, CaCertificate, public_key_of};
use crate::ca_key::CaKey;
use crate::error::PkiError;
use crate::key::SubjectKey;
use crate::pki::DEVICES_FILE;

/// Why a key elsewhere was not used; the text says what to do.
#[derive(Clone, Debug, Error)]
#[error("{0}")]
pub struct RemoteKeyError(pub String);

/// A private key that signs and never comes here.
#[async_trait]
pub trait RemoteKey: fmt::Debug + Send + Sync {
    /// Its public half: a `SubjectPublicKeyInfo`, DER.
    ///
    /// # Errors
    /// [`RemoteKeyError`] where it cannot be had now.
    async fn public_key(&self) -> Result<Vec<u8>, RemoteKeyError>;

    /// The signature as it stands in a certificate: of ECDSA the DER form.
    ///
    /// # Errors
    /// [`RemoteKeyError`] where it cannot be had now: nothing was issued.
    async fn sign(&self, approved: &Approved) -> Result<Vec<u8>, RemoteKeyError>;
}

/// What the `devices` CA signs with.
#[derive(Debug)]
pub(crate) enum IssuingKey {
    /// A key in memory.
    Held(CaKey),
    /// A key elsewhere.
    Remote {
        key: Arc<dyn RemoteKey>,
        /// As the CA's certificate has it.
        public: SubjectKey,
        algorithm: SigningAlgorithm,
    },
}

impl IssuingKey {
    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Held(key) => key.algorithm(),
            Self::Remote { algorithm, .. } => *algorithm,
        }
    }

    /// The certificate or CRL, DER. A key in memory is used at once.
    pub(crate) async fn sign(&self, approved: Approved) -> Result<Vec<u8>, PkiError> {
        match self {
            Self::Held(key) => approved.sign(key),
            Self::Remote { key, public, .. } => {
                let signature = key.sign(&approved).await.map_err(PkiError::RemoteKey)?;
                let signed = approved.signed_by(public, &signature);
                let wrong = || PkiError::RemoteKey(RemoteKeyError(not_the_cas(key.as_ref())));
                signed.ok_or_else(wrong)
            }
        }
    }

    /// Whether the key elsewhere is the one that the CA's certificate names.
    pub(crate) async fn check(&self) -> Result<(), PkiError> {
        let Self::Remote { key, public, .. } = self else { return Ok(()) };
        let told = key.public_key().await.map_err(PkiError::RemoteKey)?;
        match SubjectKey::read(&told) {
            Ok(told) if told.spki() == public.spki() => Ok(()),
            _ => Err(PkiError::certificate(DEVICES_FILE, not_the_cas(key.as_ref()))),
        }
    }
}

fn not_the_cas(key: &dyn RemoteKey) -> String {
    format!(
        "{key:?} is not the key of the devices CA's certificate: name the key that the CA was made \
         with"
    )
}

impl From<Authority> for Authority<IssuingKey> {
    fn from(Authority { certificate, key }: Authority) -> Self {
        Self { certificate, key: IssuingKey::Held(key) }
    }
}

impl Authority<IssuingKey> {
    /// A CA whose key is elsewhere. The key is not asked: what it signs is verified.
    pub(crate) fn remote(
        certificate: CaCertificate,
        key: Arc<dyn RemoteKey>,
    ) -> Result<Self, PkiError> {
        let public = public_key_of("the devices CA", &certificate.der)?;
        let algorithm = signing_algorithm(&public)?;
        Ok(Self { certificate, key: IssuingKey::Remote { key, public, algorithm } })
    }
}

/// How a CA with this key signs.
pub(crate) fn signing_algorithm(key: &SubjectKey) -> Result<SigningAlgorithm, PkiError> {
    SigningAlgorithm::of(key.kind).ok_or_else(unfit_key)
}

/// No CA of ours has a key like this.
pub(crate) fn unfit_key() -> PkiError {
    PkiError::Import("its key is none of P-256, P-384, RSA 2048 to 4096")
}

#[cfg(test)]
mod tests;
