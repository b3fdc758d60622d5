//! CRLs (RFC 5280 §5): rcgen writes, every lint reads, then the key signs.
//!
//! One for each shard of a CA: complete for the certificates that name it and for no others, which
//! its issuing distribution point says. The issuer's name is put in as in [`crate::issue`].

use cvm_core::certificate::Reason;
use cvm_core::ports::{CrlTemplate, RevokedEntry};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DistinguishedName, KeyIdMethod, RevocationReason,
    RevokedCertParams, SerialNumber,
};

use crate::approved::{Approved, SigningAlgorithm};
use crate::ca::CaCertificate;
use crate::der::{self, DerError, Reader};
use crate::error::PkiError;
use crate::issue::Draft;
use crate::lint::crl::Facts;
use crate::profile::moment;

/// The CRL's content, which the CA's key may sign; `url` is what the leaves of the shard name.
pub(crate) fn approve(
    ca: &CaCertificate,
    algorithm: SigningAlgorithm,
    url: &str,
    template: CrlTemplate,
) -> Result<Approved, PkiError> {
    let shard = template.shard;
    let written = write(ca, algorithm, url, template)?;
    let outer_algorithm = written.1.clone();
    let facts = Facts {
        issuer_name: &ca.name,
        issuer_id: &ca.id.0,
        signature_algorithm: algorithm.oid(),
        outer_algorithm: &outer_algorithm,
        url,
        shard,
    };
    Approved::crl(written, algorithm, &facts)
}

/// The `TBSCertList`, and the `signatureAlgorithm`.
pub(crate) fn write(
    ca: &CaCertificate,
    algorithm: SigningAlgorithm,
    url: &str,
    template: CrlTemplate,
) -> Result<(Vec<u8>, Vec<u8>), PkiError> {
    let CrlTemplate { number, this_update, next_update, mut entries, .. } = template;
    entries.sort_by(|one, other| one.certificate_serial.cmp(&other.certificate_serial));
    let distribution_point = CrlDistributionPoint { uris: vec![url.to_owned()] };
    let params = CertificateRevocationListParams {
        this_update: moment(this_update)?,
        next_update: moment(next_update)?,
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: Some(CrlIssuingDistributionPoint {
            distribution_point,
            scope: Some(CrlScope::UserCertsOnly),
        }),
        revoked_certs: entries.iter().map(revoked).collect::<Result<_, _>>()?,
        key_identifier_method: KeyIdMethod::PreSpecified(ca.id.0.to_vec()),
    };
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = DistinguishedName::new();
    let issuer = rcgen::Issuer::new(issuer, Draft(algorithm.kind()));
    let draft = params.signed_by(&issuer).map_err(|error| PkiError::Crl(error.to_string()))?;
    with_issuer_name(draft.der(), &ca.name).map_err(|error| PkiError::Crl(error.0.to_owned()))
}

fn revoked(entry: &RevokedEntry) -> Result<RevokedCertParams, PkiError> {
    Ok(RevokedCertParams {
        serial_number: SerialNumber::from_slice(&entry.certificate_serial),
        revocation_time: moment(entry.revoked_at)?,
        // RFC 5280 §5.3.1: left out rather than unspecified.
        reason_code: entry.reason.and_then(reason_code),
        invalidity_date: None,
    })
}

fn reason_code(reason: Reason) -> Option<RevocationReason> {
    match reason {
        Reason::AaCompromise => Some(RevocationReason::AaCompromise),
        Reason::AffiliationChanged => Some(RevocationReason::AffiliationChanged),
        Reason::CaCompromise => Some(RevocationReason::CaCompromise),
        Reason::CessationOfOperation => Some(RevocationReason::CessationOfOperation),
        Reason::KeyCompromise => Some(RevocationReason::KeyCompromise),
        Reason::PrivilegeWithdrawn => Some(RevocationReason::PrivilegeWithdrawn),
        Reason::Superseded => Some(RevocationReason::Superseded),
        Reason::Unspecified => None,
    }
}

/// The draft's `TBSCertList` with the issuer's name put in, and its `signatureAlgorithm`.
fn with_issuer_name(draft: &[u8], name: &[u8]) -> Result<(Vec<u8>, Vec<u8>), DerError> {
    let mut outer = der::single(draft, der::SEQUENCE, "the draft is not a CRL")?;
    let tbs = outer.expect(der::SEQUENCE, "the draft has no content")?;
    let algorithm = outer.expect(der::SEQUENCE, "the draft has no algorithm")?;
    let mut fields = Reader::new(tbs.content);
    let version = fields.expect(der::INTEGER, "the draft has no version")?;
    let signature = fields.expect(der::SEQUENCE, "the draft has no signature algorithm")?;
    let issuer = fields.expect(der::SEQUENCE, "the draft has no issuer")?;
    let length = version.raw.len() + signature.raw.len() + issuer.raw.len();
    let after = tbs.content.get(length..).unwrap_or_default();
    let tbs = der::element(der::SEQUENCE, &[version.raw, signature.raw, name, after]);
    Ok((tbs, algorithm.raw.to_vec()))
}

#[cfg(test)]
mod tests;
