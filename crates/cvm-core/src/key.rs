//! Keys and certificate requests: what is known of them, and why one is refused.
//!
//! The trust level is in the type: an [`UncheckedCsr`] has been parsed and nothing more, a
//! [`CheckedCsr`] proves possession of a key that is strong enough.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::id::KeyIdentity;

/// The algorithms of keys that the server makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    #[default]
    #[serde(rename = "EC_P256")]
    EcP256,
    /// RSA with a modulus of 2048 bits.
    #[serde(rename = "RSA_2048")]
    Rsa2048,
}

impl KeyAlgorithm {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcP256 => "EC_P256",
            Self::Rsa2048 => "RSA_2048",
        }
    }
}

impl FromStr for KeyAlgorithm {
    type Err = KeyAlgorithmError;

    fn from_str(text: &str) -> Result<Self, KeyAlgorithmError> {
        match text {
            "EC_P256" => Ok(Self::EcP256),
            "RSA_2048" => Ok(Self::Rsa2048),
            _ => Err(KeyAlgorithmError),
        }
    }
}

/// Not a key algorithm that the server makes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("keyAlgorithm is EC_P256 or RSA_2048")]
pub struct KeyAlgorithmError;

/// A certificate request that was parsed; nothing in it is to be believed yet.
#[derive(Clone, Debug)]
pub struct UncheckedCsr {
    /// PKCS #10, exactly one, DER.
    pub der: Vec<u8>,
}

/// A public key whose strength was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its identity.
    pub identity: KeyIdentity,
    /// `SubjectPublicKeyInfo`, normalised, DER.
    pub spki: Vec<u8>,
}

/// A certificate request whose signature verifies under a key that is strong enough.
#[derive(Clone, Debug)]
pub struct CheckedCsr {
    /// The key whose possession it proves.
    pub key: PublicKey,
    /// The name that it asks for; believed by nobody.
    pub subject: Subject,
}

/// The name that a certificate request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One common name and nothing else.
    CommonName(String),
    /// None.
    Empty,
    /// Any other.
    Other,
}

impl PublicKey {
    /// Whether it is an Ed25519 key (RFC 8410 §4).
    #[must_use]
    pub fn is_ed25519(&self) -> bool {
        self.spki.starts_with(&[0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70])
    }
}

/// A private key in PKCS #8 DER that cannot be printed and is zeroized when dropped.
pub struct PrivateKey(pub Zeroizing<Vec<u8>>);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// Why a certificate request is refused; each says what was expected, none echoes the input.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CsrError {
    /// Not PEM, or not one PEM block.
    #[error("the CSR is not one PEM block `CERTIFICATE REQUEST`: {0}")]
    Pem(&'static str),
    /// Not PKCS #10, or not DER.
    #[error("the CSR is not a DER-encoded PKCS #10 request (RFC 2986): {0}")]
    Encoding(&'static str),
    /// More than we read.
    #[error("the CSR is larger than {0}")]
    TooLarge(&'static str),
    /// The signature does not verify.
    #[error("the CSR's signature does not verify under its own key: sign it with the private key")]
    Signature,
    /// A signature algorithm that we do not take.
    #[error("the CSR is signed with an algorithm other than ECDSA, Ed25519 or RSA with SHA-2")]
    SignatureAlgorithm,
    /// A kind of key that we do not take.
    #[error("the key is none of P-256, P-384, Ed25519, RSA 2048 to 4096")]
    KeyAlgorithm,
    /// A subject that the platform would copy into the certificate.
    #[error(
        "the CSR's subject is neither empty nor exactly CN=<thing name>: leave it empty (`-subj /`)"
    )]
    Subject,
    /// A kind of key or a request that the platform does not take.
    #[error(
        "AWS IoT does not take this request: make a key of P-256, P-384 or RSA 2048 to 4096, and \
         a CSR of at most 4096 characters"
    )]
    Platform,
    /// A weak key.
    #[error("{0}")]
    Weak(WeakKey),
}

/// What is weak about a key.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WeakKey {
    /// Two primes so close that Fermat's method finds them.
    #[error("the RSA key's primes are too close to each other: make a new key")]
    ClosePrimes,
    /// A public exponent other than 65537.
    #[error("the RSA key's public exponent is not 65537: make a new key")]
    Exponent,
    /// An even modulus or one with a small factor.
    #[error("the RSA key's modulus has a small factor: make a new key")]
    SmallFactor,
    /// A point that is not on its curve, or is the point at infinity.
    #[error("the public key is not a point on its curve: make a new key")]
    Point,
    /// Made by a chip with the flaw of CVE-2017-15361.
    #[error("the RSA key has the ROCA flaw (CVE-2017-15361): make a new key in another way")]
    Roca,
    /// A modulus outside 2048 to 4096 bits.
    #[error("the RSA key has not between 2048 and 4096 bits: make a new key")]
    Size,
}
