//! Certificate requests (PKCS #10, RFC 2986): text in, [`UncheckedCsr`], then [`CheckedCsr`].
//!
//! Parsing is done for strangers: it is bounded, linear, and verifies nothing. Checking verifies
//! the signature and judges the key. Attributes are read by nobody, the subject only for a platform
//! that would copy it: the names in a certificate of ours come from the registry.

use cvm_core::id::KeyIdentity;
use cvm_core::key::{CheckedCsr, CsrError, Subject, UncheckedCsr};

use crate::der;
use crate::key::{SubjectKey, encoding, weak};
use crate::weak::RsaJudge;
use crate::{oid, pem, signature};

/// 16 KiB: an RSA-4096 request with every attribute that OpenSSL knows has 3 KiB.
const DER_BYTES_MAX: usize = 16 * 1024;
/// Base64 takes a third more, line ends and the two label lines the rest.
const PEM_BYTES_MAX: usize = 24 * 1024;
/// More than any tool writes.
const ATTRIBUTES_MAX: usize = 64;

/// The tag of `attributes [0]`.
const ATTRIBUTES: u8 = 0xA0;

/// Reads one PEM block and checks its form.
pub(crate) fn parse(text: &str) -> Result<UncheckedCsr, CsrError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(CsrError::TooLarge("24 KiB of PEM"));
    }
    let (label, bytes) = pem::single(text).map_err(CsrError::Pem)?;
    // RFC 7468 §7: the second label is what some old tools write.
    if label != "CERTIFICATE REQUEST" && label != "NEW CERTIFICATE REQUEST" {
        return Err(CsrError::Pem("it has another label"));
    }
    if bytes.len() > DER_BYTES_MAX {
        return Err(CsrError::TooLarge("16 KiB of DER"));
    }
    parse_der(&bytes)
}

fn parse_der(bytes: &[u8]) -> Result<UncheckedCsr, CsrError> {
    let request = Request::split(bytes)?;
    if request.attributes > ATTRIBUTES_MAX {
        return Err(CsrError::TooLarge("64 attributes"));
    }
    der::check(bytes).map_err(encoding)?;
    Ok(UncheckedCsr { der: bytes.to_vec() })
}

/// The identity of the key that a request names; nothing proves possession of it, nor that it is any
/// good.
pub(crate) fn claimed_key(csr: &UncheckedCsr) -> Option<KeyIdentity> {
    let request = Request::split(&csr.der).ok()?;
    Some(SubjectKey::claimed(request.spki).ok()?.public_key().identity)
}

/// Verifies the signature and judges the key.
pub(crate) fn check(csr: &UncheckedCsr, judge: &RsaJudge) -> Result<CheckedCsr, CsrError> {
    let request = Request::split(&csr.der)?;
    let key = SubjectKey::read(request.spki)?;
    signature::verify(&key, request.algorithm, request.info, request.signature)?;
    if let Some(modulus) = &key.modulus {
        judge.judge(modulus).map_err(weak)?;
    }
    Ok(CheckedCsr { key: key.public_key(), subject: subject_of(request.subject) })
}

/// What a subject is (RFC 5280 §4.1.2.4), its content given.
fn subject_of(content: &[u8]) -> Subject {
    if content.is_empty() {
        return Subject::Empty;
    }
    common_name(content).map_or(Subject::Other, Subject::CommonName)
}

/// The common name, where the subject is one and nothing else, in ASCII.
fn common_name(content: &[u8]) -> Option<String> {
    let set = der::single(content, der::SET, "").ok()?;
    let mut attribute = der::single(set.rest(), der::SEQUENCE, "").ok()?;
    let name = attribute.expect(der::OBJECT_IDENTIFIER, "").ok()?;
    let value = attribute.any().ok()?;
    attribute.end().ok()?;
    let is_text = matches!(value.tag, der::UTF8_STRING | der::PRINTABLE_STRING);
    let text = std::str::from_utf8(value.content).ok()?;
    (is_text && name.content == oid::COMMON_NAME).then(|| text.to_owned())
}

/// A request in its parts (RFC 2986 §4).
struct Request<'a> {
    /// `CertificationRequestInfo`, which is signed.
    info: &'a [u8],
    /// The content of `subject`.
    subject: &'a [u8],
    /// `SubjectPublicKeyInfo`.
    spki: &'a [u8],
    /// How many attributes there are; counting ends above [`ATTRIBUTES_MAX`].
    attributes: usize,
    /// The content of `signatureAlgorithm`.
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Request<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, CsrError> {
        let mut outer =
            der::single(bytes, der::SEQUENCE, "it is not a SEQUENCE").map_err(encoding)?;
        let info = outer.expect(der::SEQUENCE, "the request info is missing").map_err(encoding)?;
        let algorithm =
            outer.expect(der::SEQUENCE, "the signature algorithm is missing").map_err(encoding)?;
        let signature =
            outer.expect(der::BIT_STRING, "the signature is missing").map_err(encoding)?;
        outer.end().map_err(encoding)?;
        let (subject, spki, attributes) = split_info(info.content)?;
        match signature.content.split_first() {
            Some((0, signature)) => {
                let algorithm = algorithm.content;
                Ok(Self { info: info.raw, subject, spki, attributes, algorithm, signature })
            }
            _ => Err(CsrError::Encoding("the signature is not whole octets")),
        }
    }
}

/// RFC 2986 §4.1: version 0, subject, key, attributes. Returns subject, key and the attributes'
/// number.
fn split_info(content: &[u8]) -> Result<(&[u8], &[u8], usize), CsrError> {
    let mut info = der::Reader::new(content);
    let version = info.expect(der::INTEGER, "the version is missing").map_err(encoding)?;
    if version.content != [0] {
        return Err(CsrError::Encoding("the version is not 0"));
    }
    let subject = info.expect(der::SEQUENCE, "the subject is missing").map_err(encoding)?;
    let spki = info.expect(der::SEQUENCE, "the public key is missing").map_err(encoding)?;
    // The attributes are not OPTIONAL, but some tools leave the empty set out.
    let attributes = info.optional(ATTRIBUTES).map_err(encoding)?;
    info.end().map_err(encoding)?;
    let mut count = 0;
    let mut rest = der::Reader::new(attributes.map_or(&[][..], |a| a.content));
    while !rest.is_empty() && count <= ATTRIBUTES_MAX {
        rest.expect(der::SEQUENCE, "an attribute is not a SEQUENCE").map_err(encoding)?;
        count += 1;
    }
    Ok((subject.content, spki.raw, count))
}

#[cfg(test)]
mod tests;
