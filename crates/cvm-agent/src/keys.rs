//! The device's private key: made here, kept in one PKCS#8 file, never sent.
//!
//! Reads what other tools write (PKCS#8, SEC 1, PKCS#1) and writes PKCS#8 PEM (RFC 7468). The
//! certificate request has an empty subject: names come from the server's registry.

mod pem;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rcgen::{CertificateParams, DistinguishedName, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use pem::Label;

/// A kind of key to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256: small, fast, accepted everywhere.
    #[default]
    EcP256,
    /// ECDSA on P-384.
    EcP384,
    /// Ed25519; not accepted by AWS IoT Core.
    Ed25519,
    /// RSA with 2048 bits, for peers that know nothing else.
    Rsa2048,
}

impl KeyAlgorithm {
    /// Every kind, in the order in which to offer them.
    pub const ALL: [Self; 4] = [Self::EcP256, Self::EcP384, Self::Ed25519, Self::Rsa2048];

    /// As the API and the command line spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EcP256 => "EC_P256",
            Self::EcP384 => "EC_P384",
            Self::Ed25519 => "ED25519",
            Self::Rsa2048 => "RSA_2048",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let known =
            Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(text));
        known.ok_or(KeyError::UnknownAlgorithm)
    }
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It asks for a passphrase.
    #[error("the key is encrypted; decrypt it first, as with `openssl pkey`")]
    Encrypted,
    /// The random generator or the library failed.
    #[error("the cryptographic library failed")]
    Library,
    /// There is no key in it.
    #[error("it holds no private key in PEM (PKCS#8, SEC 1 or PKCS#1)")]
    NotPem,
    /// An algorithm that is none of ours.
    #[error("key algorithms are EC_P256, EC_P384, ED25519 and RSA_2048")]
    UnknownAlgorithm,
    /// A key that is none of ours.
    #[error("the key is damaged, or none of P-256, P-384, Ed25519 and RSA from 2048 bits")]
    Unsupported,
}

enum Pair {
    EcP256(EcdsaKeyPair),
    EcP384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A private key. It cannot be printed, and is zeroized when dropped.
pub struct DeviceKey {
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl DeviceKey {
    /// Makes a key.
    ///
    /// # Errors
    /// [`KeyError::Library`] if there is no randomness.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let library = |_| KeyError::Library;
        let pair = match algorithm {
            KeyAlgorithm::EcP256 => Pair::EcP256(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(library)?,
            ),
            KeyAlgorithm::EcP384 => Pair::EcP384(
                EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).map_err(library)?,
            ),
            KeyAlgorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(library)?),
            KeyAlgorithm::Rsa2048 => {
                Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).map_err(library)?)
            }
        };
        Self::new(pair)
    }

    /// Makes another key of the same kind.
    ///
    /// # Errors
    /// [`KeyError::Library`] if there is no randomness.
    pub fn generate_alike(&self) -> Result<Self, KeyError> {
        match &self.pair {
            Pair::EcP256(_) => Self::generate(KeyAlgorithm::EcP256),
            Pair::EcP384(_) => Self::generate(KeyAlgorithm::EcP384),
            Pair::Ed25519(_) => Self::generate(KeyAlgorithm::Ed25519),
            Pair::Rsa(key) => {
                let size = match key.public_modulus_len() * 8 {
                    ..=2048 => KeySize::Rsa2048,
                    2049..=3072 => KeySize::Rsa3072,
                    // The server takes no larger ones.
                    _ => KeySize::Rsa4096,
                };
                Self::new(Pair::Rsa(RsaKeyPair::generate(size).map_err(|_| KeyError::Library)?))
            }
        }
    }

    /// Reads a key: the first one in a PEM text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(text: &[u8]) -> Result<Self, KeyError> {
        let (label, der) = pem::decode(text)?;
        let p256 = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let p384 = &ECDSA_P384_SHA384_ASN1_SIGNING;
        let pair = match label {
            Label::Pkcs8 => EcdsaKeyPair::from_pkcs8(p256, &der)
                .map(Pair::EcP256)
                .or_else(|_| EcdsaKeyPair::from_pkcs8(p384, &der).map(Pair::EcP384))
                .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Pair::Ed25519))
                .or_else(|_| RsaKeyPair::from_pkcs8(&der).map(Pair::Rsa)),
            Label::Sec1 => EcdsaKeyPair::from_private_key_der(p256, &der)
                .map(Pair::EcP256)
                .or_else(|_| EcdsaKeyPair::from_private_key_der(p384, &der).map(Pair::EcP384)),
            Label::Pkcs1 => RsaKeyPair::from_der(&der).map(Pair::Rsa),
        };
        Self::new(pair.map_err(|_| KeyError::Unsupported)?)
    }

    fn new(pair: Pair) -> Result<Self, KeyError> {
        let library = |_| KeyError::Library;
        let pkcs8 = match &pair {
            Pair::EcP256(key) | Pair::EcP384(key) => {
                key.to_pkcs8v1().map_err(library)?.as_ref().to_vec()
            }
            Pair::Ed25519(key) => key.to_pkcs8v1().map_err(library)?.as_ref().to_vec(),
            Pair::Rsa(key) => {
                let der: Pkcs8V1Der<'_> = key.as_der().map_err(library)?;
                der.as_ref().to_vec()
            }
        };
        let pkcs8 = Zeroizing::new(pkcs8);
        Ok(Self { pair, pkcs8 })
    }

    /// PKCS#8 in PEM, as it is written to `device.key`.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode(&self.pkcs8)
    }

    /// As `device.json` names it: `EC_P256`, `RSA_3072` and so on.
    #[must_use]
    pub fn algorithm_name(&self) -> String {
        match &self.pair {
            Pair::EcP256(_) => KeyAlgorithm::EcP256.name().to_owned(),
            Pair::EcP384(_) => KeyAlgorithm::EcP384.name().to_owned(),
            Pair::Ed25519(_) => KeyAlgorithm::Ed25519.name().to_owned(),
            Pair::Rsa(key) => format!("RSA_{}", key.public_modulus_len() * 8),
        }
    }

    /// The public key as it stands in a certificate (RFC 5280, section 4.1.2.7).
    #[must_use]
    pub fn public_key_der(&self) -> Vec<u8> {
        self.subject_public_key_info()
    }

    /// A PKCS #10 request for this key with an empty subject, in PEM.
    ///
    /// # Errors
    /// [`KeyError::Library`] if it cannot be signed.
    pub fn certificate_request(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(self).map_err(|_| KeyError::Library)?;
        request.pem().map_err(|_| KeyError::Library)
    }

    /// The one algorithm of a signed request that this key has (RFC 7518, section 3.1).
    pub(crate) fn jws_algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::EcP256(_) => "ES256",
            Pair::EcP384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// A signature by it. An ECDSA one is r and s, where certificates and TLS have DER.
    pub(crate) fn jws_sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let fixed = match &self.pair {
            Pair::EcP256(_) => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Pair::EcP384(_) => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Pair::Ed25519(_) | Pair::Rsa(_) => {
                return self.sign(message).map_err(|_| KeyError::Library);
            }
        };
        let key = EcdsaKeyPair::from_pkcs8(fixed, &self.pkcs8);
        let signature = key.map_err(|_| KeyError::Library)?.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| KeyError::Library)?.as_ref().to_vec())
    }

    /// For rustls, which keeps a copy of its own.
    pub(crate) fn private_key_der(&self) -> PrivateKeyDer<'_> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.as_slice()))
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({}, redacted)", self.algorithm_name())
    }
}

impl PublicKeyData for DeviceKey {
    fn der_bytes(&self) -> &[u8] {
        match &self.pair {
            Pair::EcP256(key) | Pair::EcP384(key) => key.public_key().as_ref(),
            Pair::Ed25519(key) => key.public_key().as_ref(),
            Pair::Rsa(key) => key.public_key().as_ref(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match &self.pair {
            Pair::EcP256(_) => &rcgen::PKCS_ECDSA_P256_SHA256,
            // rcgen pairs each curve with the hash of its own size.
            Pair::EcP384(_) => &rcgen::PKCS_ECDSA_P384_SHA384,
            Pair::Ed25519(_) => &rcgen::PKCS_ED25519,
            Pair::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for DeviceKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let random = SystemRandom::new();
        let failed = |_| rcgen::Error::RingUnspecified;
        match &self.pair {
            Pair::EcP256(key) | Pair::EcP384(key) => {
                let signature = key.sign(&random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            Pair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

#[cfg(test)]
mod tests;
