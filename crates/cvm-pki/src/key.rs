//! Public keys that we certify: which kinds, in which one form, and how strong.
//!
//! A key has one normal form, so that it has one identity: the point of an EC key uncompressed,
//! the parameters of an RSA key NULL. The public exponent is always 65537, so two RSA keys with one
//! modulus are one key. What a small or badly made modulus looks like is in [`crate::weak`].

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, VerificationAlgorithm,
};
use cvm_core::id::KeyIdentity;
use cvm_core::key::{CsrError, PublicKey, WeakKey};
use num_bigint::BigUint;

use crate::der::{self, DerError};
use crate::oid;

/// Judging is done for whoever holds a token, so it has an end; TLS stacks refuse larger ones too.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<u64> = 2048..=4096;

const RSA_EXPONENT: &[u8] = &[0x01, 0x00, 0x01];

/// The kinds of keys that we certify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl KeyKind {
    /// The name of this kind where rcgen needs one; the hash in it means nothing here.
    pub(crate) fn rcgen(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Self::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
            Self::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }

    /// `AlgorithmIdentifier` in its one form (RFC 5480 §2.1.1, RFC 8410 §3, RFC 3279 §2.3.1).
    fn algorithm(self) -> Vec<u8> {
        let (first, second) = match self {
            Self::P256 => (oid::EC_PUBLIC_KEY, Some((der::OBJECT_IDENTIFIER, oid::P256))),
            Self::P384 => (oid::EC_PUBLIC_KEY, Some((der::OBJECT_IDENTIFIER, oid::P384))),
            Self::Ed25519 => (oid::ED25519, None),
            Self::Rsa => (oid::RSA, Some((der::NULL, &[][..]))),
        };
        let first = der::element(der::OBJECT_IDENTIFIER, &[first]);
        let second = second.map(|(tag, content)| der::element(tag, &[content])).unwrap_or_default();
        der::element(der::SEQUENCE, &[&first, &second])
    }
}

/// A public key in its normal form.
#[derive(Clone, Debug)]
pub(crate) struct SubjectKey {
    pub(crate) kind: KeyKind,
    /// The content of `subjectPublicKey`.
    pub(crate) bits: Vec<u8>,
    /// The modulus, where it is an RSA key.
    pub(crate) modulus: Option<BigUint>,
}

impl SubjectKey {
    /// Reads a `SubjectPublicKeyInfo`, refuses other kinds, sizes and exponents, points that are
    /// none, and brings it into its normal form.
    pub(crate) fn read(spki: &[u8]) -> Result<Self, CsrError> {
        let (kind, bits) = split(spki)?;
        match kind {
            KeyKind::P256 => Self::read_point(kind, bits, spki, &ECDSA_P256_SHA256_ASN1, 65),
            KeyKind::P384 => Self::read_point(kind, bits, spki, &ECDSA_P384_SHA384_ASN1, 97),
            KeyKind::Ed25519 => {
                let encoded = <[u8; 32]>::try_from(bits).map_err(|_| weak(WeakKey::Point))?;
                if is_small_order(encoded) {
                    return Err(weak(WeakKey::Point));
                }
                Ok(Self { kind, bits: bits.to_vec(), modulus: None })
            }
            KeyKind::Rsa => Self::read_rsa(bits),
        }
    }

    /// The key that `spki` names, good or not: enough for its identity, and as quick for every key as
    /// the other refusals are, which are not to be told from this by their time. A compressed point
    /// is the exception: it has to be computed, and fails where it is none.
    pub(crate) fn claimed(spki: &[u8]) -> Result<Self, CsrError> {
        let (kind, bits) = split(spki)?;
        match (kind, bits.first()) {
            (KeyKind::P256 | KeyKind::P384, Some(2 | 3)) => Self::read(spki),
            (KeyKind::Ed25519 | KeyKind::P256 | KeyKind::P384 | KeyKind::Rsa, _) => {
                Ok(Self { kind, bits: bits.to_vec(), modulus: None })
            }
        }
    }

    /// SEC 1 §2.3.4: uncompressed as it stands, compressed through aws-lc; everything else, the
    /// point at infinity included, is no point. aws-lc checks that it is on the curve.
    fn read_point(
        kind: KeyKind,
        bits: &[u8],
        spki: &[u8],
        algorithm: &'static dyn VerificationAlgorithm,
        length: usize,
    ) -> Result<Self, CsrError> {
        let is_compressed = matches!(bits.first(), Some(2 | 3)) && bits.len() == length / 2 + 1;
        let is_uncompressed = bits.first() == Some(&4) && bits.len() == length;
        if !is_compressed && !is_uncompressed {
            return Err(weak(WeakKey::Point));
        }
        let input = if is_compressed { spki } else { bits };
        let point = ParsedPublicKey::new(algorithm, input).map_err(|_| weak(WeakKey::Point))?;
        if is_uncompressed {
            return Ok(Self { kind, bits: bits.to_vec(), modulus: None });
        }
        let der = point.as_der().map_err(|_| weak(WeakKey::Point))?;
        let (_, bits) = split(der.as_ref())?;
        Ok(Self { kind, bits: bits.to_vec(), modulus: None })
    }

    /// RFC 8017 §A.1.1, with the size and the exponent that we take.
    fn read_rsa(bits: &[u8]) -> Result<Self, CsrError> {
        let (modulus, exponent) = rsa_numbers(bits).map_err(encoding)?;
        let modulus = BigUint::from_bytes_be(modulus);
        if !RSA_BITS.contains(&modulus.bits()) {
            return Err(weak(WeakKey::Size));
        }
        if exponent != RSA_EXPONENT {
            return Err(weak(WeakKey::Exponent));
        }
        Ok(Self { kind: KeyKind::Rsa, bits: bits.to_vec(), modulus: Some(modulus) })
    }

    /// A key whose form was judged before: it is split, and nothing else.
    pub(crate) fn of_judged(key: &PublicKey) -> Result<Self, CsrError> {
        let (kind, bits) = split(&key.spki)?;
        Ok(Self { kind, bits: bits.to_vec(), modulus: None })
    }

    /// `SubjectPublicKeyInfo` in its normal form.
    pub(crate) fn spki(&self) -> Vec<u8> {
        let bits = der::element(der::BIT_STRING, &[&[0], &self.bits]);
        der::element(der::SEQUENCE, &[&self.kind.algorithm(), &bits])
    }

    /// The key with its identity, as core knows it.
    pub(crate) fn public_key(&self) -> PublicKey {
        let spki = self.spki();
        PublicKey { identity: KeyIdentity(sha256(&spki)), spki }
    }

    /// The subject key identifier by RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over
    /// the content of `subjectPublicKey`.
    pub(crate) fn key_identifier(&self) -> [u8; 20] {
        let mut leftmost = [0; 20];
        leftmost.iter_mut().zip(sha256(&self.bits)).for_each(|(to, from)| *to = from);
        leftmost
    }
}

impl rcgen::PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.kind.rcgen()
    }
}

/// RFC 5280 §4.1: the kind and the bits of a `SubjectPublicKeyInfo`.
pub(crate) fn split(spki: &[u8]) -> Result<(KeyKind, &[u8]), CsrError> {
    let mut outer =
        der::single(spki, der::SEQUENCE, "the public key is not a SEQUENCE").map_err(encoding)?;
    let algorithm =
        outer.expect(der::SEQUENCE, "the key's algorithm is missing").map_err(encoding)?;
    let bits = outer.expect(der::BIT_STRING, "the key's bits are missing").map_err(encoding)?;
    outer.end().map_err(encoding)?;
    let kind = kind_of(der::Reader::new(algorithm.content))?;
    match bits.content.split_first() {
        Some((0, bits)) => Ok((kind, bits)),
        _ => Err(CsrError::Encoding("the public key is not whole octets")),
    }
}

/// RFC 5480 §2.1.1: a named curve; `specifiedCurve` and `implicitCurve` are not ours.
fn kind_of(mut algorithm: der::Reader<'_>) -> Result<KeyKind, CsrError> {
    let name = algorithm
        .expect(der::OBJECT_IDENTIFIER, "the key's algorithm has no name")
        .map_err(encoding)?;
    let parameters =
        if algorithm.is_empty() { None } else { Some(algorithm.any().map_err(encoding)?) };
    algorithm.end().map_err(encoding)?;
    match (name.content, parameters.map(|p| (p.tag, p.content))) {
        (oid::EC_PUBLIC_KEY, Some((der::OBJECT_IDENTIFIER, oid::P256))) => Ok(KeyKind::P256),
        (oid::EC_PUBLIC_KEY, Some((der::OBJECT_IDENTIFIER, oid::P384))) => Ok(KeyKind::P384),
        (oid::ED25519, None) => Ok(KeyKind::Ed25519),
        (oid::RSA, None | Some((der::NULL, []))) => Ok(KeyKind::Rsa),
        _ => Err(CsrError::KeyAlgorithm),
    }
}

/// The modulus and the exponent, big-endian without a leading zero.
fn rsa_numbers(bits: &[u8]) -> Result<(&[u8], &[u8]), DerError> {
    der::check(bits)?;
    let mut numbers = der::single(bits, der::SEQUENCE, "the RSA key is not a SEQUENCE")?;
    let modulus = numbers.expect(der::INTEGER, "the RSA modulus is missing")?;
    let exponent = numbers.expect(der::INTEGER, "the RSA exponent is missing")?;
    numbers.end()?;
    Ok((positive(modulus.content)?, positive(exponent.content)?))
}

fn positive(integer: &[u8]) -> Result<&[u8], DerError> {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => Ok(rest),
        [first, ..] if first & 0x80 == 0 => Ok(integer),
        _ => Err(DerError("an RSA number is negative")),
    }
}

/// Whether an Ed25519 key is one of the few points whose order divides eight: a signature under
/// such a key proves nothing (RFC 8032 §8.9 and the list that libsodium refuses).
fn is_small_order(mut encoded: [u8; 32]) -> bool {
    const ORDER_8_A: [u8; 32] = [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98,
        0xF0, 0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53,
        0xFC, 0x05,
    ];
    const ORDER_8_B: [u8; 32] = [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67,
        0x0F, 0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC,
        0x03, 0x7A,
    ];
    // The sign bit does not change the order.
    let [first, middle @ .., last] = &mut encoded;
    *last &= 0x7F;
    // y = 0 and y = 1, and p - 1, p, p + 1 in their unreduced forms.
    let is_low = *last == 0 && *first <= 1 && middle.iter().all(|byte| *byte == 0);
    let is_high =
        *last == 0x7F && (0xEC..=0xEE).contains(first) && middle.iter().all(|b| *b == 0xFF);
    is_low || is_high || encoded == ORDER_8_A || encoded == ORDER_8_B
}

pub(crate) fn weak(weakness: WeakKey) -> CsrError {
    CsrError::Weak(weakness)
}

pub(crate) fn encoding(error: DerError) -> CsrError {
    CsrError::Encoding(error.0)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut()
        .zip(digest::digest(&digest::SHA256, bytes).as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests;
