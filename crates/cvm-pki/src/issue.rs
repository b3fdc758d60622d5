//! The one way to a signature: rcgen writes, every lint reads, then the key signs what was approved.
//!
//! rcgen is given a pen without ink ([`Draft`]) first, because it cannot write every issuer name
//! byte for byte (it knows no repeated attributes, such as the DC=…,DC=… of an imported CA); the
//! name that stands in the CA's own certificate is put in, as RFC 5280 §7.1 needs it for chaining.
//! An [`Approved`] is then made of the `TBSCertificate`, and nothing else is ever signed.

use cvm_core::certificate::IssuerId;
use cvm_core::time::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, KeyIdMethod, PublicKeyData, SigningKey};

use crate::approved::{Approved, SigningAlgorithm};
use crate::der::{self, Reader};
use crate::error::PkiError;
use crate::key::{KeyKind, SubjectKey};
use crate::lint::{Facts, Profile};

/// Who signs and how: the facts about a CA that its certificates repeat.
#[derive(Debug)]
pub(crate) struct Signer<'a> {
    pub(crate) algorithm: SigningAlgorithm,
    /// The CA's subject, DER.
    pub(crate) name: &'a [u8],
    /// The CA's subject key identifier.
    pub(crate) id: IssuerId,
    /// The CA's notAfter.
    pub(crate) not_after: Timestamp,
}

/// What rcgen writes with: it has the kind of the CA's key, and signs nothing.
pub(crate) struct Draft(pub(crate) KeyKind);

impl PublicKeyData for Draft {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.rcgen()
    }
}

impl SigningKey for Draft {
    fn sign(&self, _tbs: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// The certificate's content, which the CA's key may sign.
pub(crate) fn approve(
    params: CertificateParams,
    key: &SubjectKey,
    profile: Profile,
    signer: &Signer<'_>,
) -> Result<Approved, PkiError> {
    let written = write(params, key, profile, signer)?;
    let facts = Facts {
        profile,
        issuer_name: signer.name,
        issuer_id: &signer.id.0,
        issuer_not_after: signer.not_after,
        signature_algorithm: signer.algorithm.oid(),
    };
    Approved::certificate(written, signer.algorithm, &facts)
}

/// The `TBSCertificate` with the key identifiers filled in, and the `signatureAlgorithm`.
pub(crate) fn write(
    mut params: CertificateParams,
    key: &SubjectKey,
    profile: Profile,
    signer: &Signer<'_>,
) -> Result<(Vec<u8>, Vec<u8>), PkiError> {
    // RFC 7093 §2 method 1; rcgen's own methods hash other bytes.
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.key_identifier().to_vec());
    // RFC 5280 §4.2.1.1: the root may leave it out, every other certificate may not.
    params.use_authority_key_identifier_extension = profile != Profile::Root;
    let draft = draft(&params, key, signer.algorithm.kind(), signer.id.0.to_vec())?;
    with_issuer_name(&draft, signer.name).map_err(|error| PkiError::Lint(error.0.to_owned()))
}

/// A certificate with an empty issuer and an empty signature.
fn draft(
    params: &CertificateParams,
    key: &SubjectKey,
    signs_with: KeyKind,
    issuer_id: Vec<u8>,
) -> Result<Vec<u8>, PkiError> {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = DistinguishedName::new();
    issuer.key_identifier_method = KeyIdMethod::PreSpecified(issuer_id);
    let issuer = rcgen::Issuer::new(issuer, Draft(signs_with));
    let draft =
        params.signed_by(key, &issuer).map_err(|error| PkiError::Lint(error.to_string()))?;
    Ok(draft.der().to_vec())
}

/// The subject of `params` as rcgen encodes it: what a root has for its issuer.
pub(crate) fn subject_name(
    params: &CertificateParams,
    key: &SubjectKey,
) -> Result<Vec<u8>, PkiError> {
    let draft = draft(params, key, key.kind, Vec::new())?;
    let read = || {
        let mut outer = der::single(&draft, der::SEQUENCE, "the draft is not a certificate")?;
        let tbs = outer.expect(der::SEQUENCE, "the draft has no content")?;
        let mut fields = Reader::new(tbs.content);
        fields.expect(0xA0, "the draft has no version")?;
        fields.expect(der::INTEGER, "the draft has no serial number")?;
        fields.expect(der::SEQUENCE, "the draft has no signature algorithm")?;
        fields.expect(der::SEQUENCE, "the draft has no issuer")?;
        fields.expect(der::SEQUENCE, "the draft has no validity")?;
        fields.expect(der::SEQUENCE, "the draft has no subject")
    };
    read().map(|subject| subject.raw.to_vec()).map_err(|error| PkiError::Lint(error.0.to_owned()))
}

/// The draft's `TBSCertificate` with the issuer's name put in, and its `signatureAlgorithm`.
fn with_issuer_name(draft: &[u8], name: &[u8]) -> Result<(Vec<u8>, Vec<u8>), der::DerError> {
    let mut outer = der::single(draft, der::SEQUENCE, "the draft is not a certificate")?;
    let tbs = outer.expect(der::SEQUENCE, "the draft has no content")?;
    let algorithm = outer.expect(der::SEQUENCE, "the draft has no algorithm")?;
    let mut fields = Reader::new(tbs.content);
    let version = fields.expect(0xA0, "the draft has no version")?;
    let serial = fields.expect(der::INTEGER, "the draft has no serial number")?;
    let signature = fields.expect(der::SEQUENCE, "the draft has no signature algorithm")?;
    let issuer = fields.expect(der::SEQUENCE, "the draft has no issuer")?;
    let before = [version.raw, serial.raw, signature.raw, issuer.raw];
    let length: usize = before.iter().map(|raw| raw.len()).sum();
    let after = tbs.content.get(length..).unwrap_or_default();
    let tbs = der::element(der::SEQUENCE, &[version.raw, serial.raw, signature.raw, name, after]);
    Ok((tbs, algorithm.raw.to_vec()))
}
