//! Which signature algorithms are taken, and verifying with them.
//!
//! SHA-2 only; the hash of an ECDSA signature may be another than the curve's, as some stacks have
//! it. SHA-1 and MD5 are refused by not being named.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use cvm_core::key::CsrError;

use crate::key::{KeyKind, SubjectKey, encoding};
use crate::{der, oid};

/// Verifies `signature` over `message`; `algorithm` is the content of its `AlgorithmIdentifier`.
pub(crate) fn verify(
    key: &SubjectKey,
    algorithm: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), CsrError> {
    UnparsedPublicKey::new(verification(key.kind, algorithm)?, &key.bits)
        .verify(message, signature)
        .map_err(|_| CsrError::Signature)
}

/// The algorithm that verifies; `content` is that of the `AlgorithmIdentifier`.
///
/// RFC 8410 §3: without parameters. RFC 5758 §3.2 too, but mbedTLS 2 writes NULL there, which
/// changes nothing of what is signed. RFC 4055 §5: NULL, and absent is accepted.
fn verification(
    kind: KeyKind,
    content: &[u8],
) -> Result<&'static dyn VerificationAlgorithm, CsrError> {
    let mut reader = der::Reader::new(content);
    let name = reader
        .expect(der::OBJECT_IDENTIFIER, "the signature algorithm has no name")
        .map_err(encoding)?;
    let parameters = content.get(name.raw.len()..).unwrap_or_default();
    let is_null = matches!(parameters, [] | [der::NULL, 0]);
    let found: Option<&'static dyn VerificationAlgorithm> = match (kind, name.content) {
        (KeyKind::P256, oid::ECDSA_SHA256) => Some(&signature::ECDSA_P256_SHA256_ASN1),
        (KeyKind::P256, oid::ECDSA_SHA384) => Some(&signature::ECDSA_P256_SHA384_ASN1),
        (KeyKind::P256, oid::ECDSA_SHA512) => Some(&signature::ECDSA_P256_SHA512_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA256) => Some(&signature::ECDSA_P384_SHA256_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA384) => Some(&signature::ECDSA_P384_SHA384_ASN1),
        (KeyKind::P384, oid::ECDSA_SHA512) => Some(&signature::ECDSA_P384_SHA512_ASN1),
        (KeyKind::Ed25519, oid::ED25519) => Some(&signature::ED25519),
        (KeyKind::Rsa, oid::RSA_SHA256) if is_null => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (KeyKind::Rsa, oid::RSA_SHA384) if is_null => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (KeyKind::Rsa, oid::RSA_SHA512) if is_null => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        (KeyKind::Rsa, oid::RSA_PSS) => pss(parameters),
        _ => None,
    };
    let are_parameters_fine = match kind {
        KeyKind::Ed25519 => parameters.is_empty(),
        KeyKind::P256 | KeyKind::P384 => is_null,
        KeyKind::Rsa => true,
    };
    found.filter(|_| are_parameters_fine).ok_or(CsrError::SignatureAlgorithm)
}

/// RFC 4055 §3.1: the same hash for message and mask, a salt as long as the hash, as TLS has it.
fn pss(parameters: &[u8]) -> Option<&'static dyn VerificationAlgorithm> {
    let choices: [(&[u8], u8, &'static dyn VerificationAlgorithm); 3] = [
        (oid::SHA256, 32, &signature::RSA_PSS_2048_8192_SHA256),
        (oid::SHA384, 48, &signature::RSA_PSS_2048_8192_SHA384),
        (oid::SHA512, 64, &signature::RSA_PSS_2048_8192_SHA512),
    ];
    let (_, _, algorithm) = choices.into_iter().find(|(hash, salt, _)| {
        // RFC 4055 §2.1: the hash's parameters are absent or NULL.
        [&[][..], &[der::NULL, 0]]
            .iter()
            .any(|null| pss_parameters(hash, null, *salt) == parameters)
    })?;
    Some(algorithm)
}

fn pss_parameters(hash: &[u8], null: &[u8], salt: u8) -> Vec<u8> {
    let hash = der::element(der::OBJECT_IDENTIFIER, &[hash]);
    let hash = der::element(der::SEQUENCE, &[&hash, null]);
    let mgf = der::element(der::OBJECT_IDENTIFIER, &[oid::MGF1]);
    let mgf = der::element(der::SEQUENCE, &[&mgf, &hash]);
    let salt = der::element(der::INTEGER, &[&[salt]]);
    der::element(
        der::SEQUENCE,
        &[
            &der::element(0xA0, &[&hash]),
            &der::element(0xA1, &[&mgf]),
            &der::element(0xA2, &[&salt]),
        ],
    )
}
