//! What a certificate that others made says of itself. Nothing is verified: whoever asks got it from
//! the platform that made it.

use cvm_core::certificate::IssuerId;
use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::time::Timestamp;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::error::PkiError;
use crate::key::{SubjectKey, sha256};
use crate::pem;

const NAME: &str = "the platform's certificate";

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    /// SHA-256 of it.
    pub id: CertificateId,
    /// It.
    pub der: Vec<u8>,
    /// The key that it certifies.
    pub key: KeyIdentity,
    /// Its serial number, big-endian, without a leading zero.
    pub certificate_serial: Vec<u8>,
    /// Its authority key identifier; zeros where that is not 20 octets.
    pub issuer: IssuerId,
    /// Its first second.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

/// What the certificate (one PEM block) says.
///
/// # Errors
/// [`PkiError`] where it is none, or certifies a kind of key that no device could have.
pub fn leaf_facts(text: &str) -> Result<LeafFacts, PkiError> {
    match pem::single(text).map_err(|problem| PkiError::certificate(NAME, problem))? {
        ("CERTIFICATE", der) => read(&der),
        _ => Err(PkiError::certificate(NAME, "the PEM block is not a CERTIFICATE")),
    }
}

fn read(der: &[u8]) -> Result<LeafFacts, PkiError> {
    let Ok(([], parsed)) = X509Certificate::from_der(der) else {
        return Err(PkiError::certificate(NAME, "it is not a certificate in DER"));
    };
    let key = SubjectKey::claimed(parsed.tbs_certificate.subject_pki.raw)
        .map_err(|error| PkiError::certificate(NAME, error.to_string()))?;
    let authority = parsed.extensions().iter().find_map(|extension| {
        if let ParsedExtension::AuthorityKeyIdentifier(id) = extension.parsed_extension() {
            id.key_identifier.as_ref()?.0.try_into().ok()
        } else {
            None
        }
    });
    let serial = parsed.raw_serial();
    Ok(LeafFacts {
        id: CertificateId(sha256(der)),
        der: der.to_vec(),
        key: key.public_key().identity,
        certificate_serial: serial.strip_prefix(&[0]).unwrap_or(serial).to_vec(),
        issuer: IssuerId(authority.unwrap_or([0; 20])),
        not_before: Timestamp(parsed.validity().not_before.timestamp()),
        not_after: Timestamp(parsed.validity().not_after.timestamp()),
    })
}
