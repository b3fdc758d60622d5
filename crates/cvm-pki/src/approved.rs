//! What may be signed: a certificate's or a CRL's content that passed every lint.
//!
//! Only [`Approved::certificate`] and [`Approved::crl`] make one, and whatever holds a CA's key
//! signs nothing else, be it in this process ([`Approved::sign`]) or elsewhere
//! ([`crate::remote_key`]).

use aws_lc_rs::digest;

use crate::ca_key::CaKey;
use crate::error::PkiError;
use crate::key::{KeyKind, SubjectKey};
use crate::{der, lint, oid, signature};

/// How a CA signs: one way for each kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// A P-256 key over SHA-256.
    EcdsaSha256,
    /// A P-384 key over SHA-384.
    EcdsaSha384,
    /// An RSA key over SHA-256, PKCS #1 v1.5.
    RsaSha256,
}

impl SigningAlgorithm {
    /// What a CA with a key of this kind signs by.
    pub(crate) fn of(kind: KeyKind) -> Option<Self> {
        match kind {
            KeyKind::P256 => Some(Self::EcdsaSha256),
            KeyKind::P384 => Some(Self::EcdsaSha384),
            KeyKind::Rsa => Some(Self::RsaSha256),
            KeyKind::Ed25519 => None,
        }
    }

    pub(crate) fn kind(self) -> KeyKind {
        match self {
            Self::EcdsaSha256 => KeyKind::P256,
            Self::EcdsaSha384 => KeyKind::P384,
            Self::RsaSha256 => KeyKind::Rsa,
        }
    }

    pub(crate) fn oid(self) -> &'static [u8] {
        match self {
            Self::EcdsaSha256 => oid::ECDSA_SHA256,
            Self::EcdsaSha384 => oid::ECDSA_SHA384,
            Self::RsaSha256 => oid::RSA_SHA256,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::EcdsaSha256 | Self::RsaSha256 => &digest::SHA256,
            Self::EcdsaSha384 => &digest::SHA384,
        }
    }
}

/// A `TBSCertificate` or a `TBSCertList` that passed every lint of its profile.
#[derive(Debug)]
pub struct Approved {
    tbs: Vec<u8>,
    /// The `signatureAlgorithm`, DER.
    identifier: Vec<u8>,
    algorithm: SigningAlgorithm,
}

impl Approved {
    /// A certificate's content, judged.
    pub(crate) fn certificate(
        (tbs, identifier): (Vec<u8>, Vec<u8>),
        algorithm: SigningAlgorithm,
        facts: &lint::Facts<'_>,
    ) -> Result<Self, PkiError> {
        lint::run(&tbs, facts).map_err(|finding| PkiError::Lint(finding.to_string()))?;
        Ok(Self { tbs, identifier, algorithm })
    }

    /// A CRL's content, judged.
    pub(crate) fn crl(
        (tbs, identifier): (Vec<u8>, Vec<u8>),
        algorithm: SigningAlgorithm,
        facts: &lint::crl::Facts<'_>,
    ) -> Result<Self, PkiError> {
        lint::crl::run(&tbs, facts).map_err(|finding| PkiError::Crl(finding.to_string()))?;
        Ok(Self { tbs, identifier, algorithm })
    }

    /// By which algorithm it is to be signed.
    #[must_use]
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The hash that the algorithm signs.
    #[must_use]
    pub fn digest(&self) -> Vec<u8> {
        digest::digest(self.algorithm.digest(), &self.tbs).as_ref().to_vec()
    }

    /// What is to be signed, for a key that hashes by itself.
    #[cfg(test)]
    pub(crate) fn tbs(&self) -> &[u8] {
        &self.tbs
    }

    /// The certificate or CRL, DER, signed with a key in memory.
    pub(crate) fn sign(self, key: &CaKey) -> Result<Vec<u8>, PkiError> {
        let signature = key.sign(&self.tbs)?;
        Ok(self.assemble(&signature))
    }

    /// The certificate or CRL, DER, with a signature that was made elsewhere and must be by the
    /// private half of `key`; `None` where it is not.
    pub(crate) fn signed_by(self, key: &SubjectKey, signature: &[u8]) -> Option<Vec<u8>> {
        let algorithm = der::single(&self.identifier, der::SEQUENCE, "").ok()?;
        signature::verify(key, algorithm.rest(), &self.tbs, signature).ok()?;
        Some(self.assemble(signature))
    }

    fn assemble(&self, signature: &[u8]) -> Vec<u8> {
        let signature = der::element(der::BIT_STRING, &[&[0], signature]);
        der::element(der::SEQUENCE, &[&self.tbs, &self.identifier, &signature])
    }
}
