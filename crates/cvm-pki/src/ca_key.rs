//! Private keys of CAs: made, read from an operator's file, and used for one thing, signing.
//!
//! They cannot be printed. What is kept of one outside aws-lc is PKCS #8 in zeroized memory.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair,
};
use cvm_core::key::{KeyAlgorithm, PrivateKey};
use zeroize::Zeroizing;

use crate::approved::SigningAlgorithm;
use crate::error::PkiError;
use crate::key::{KeyKind, SubjectKey};
use crate::pem;

/// A private key that signs certificates.
pub(crate) enum CaKey {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl fmt::Debug for CaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaKey({:?}, redacted)", self.kind())
    }
}

impl CaKey {
    /// A new key.
    pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Self, PkiError> {
        match algorithm {
            KeyAlgorithm::EcP256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self::P256)
            }
            KeyAlgorithm::Rsa2048 => RsaKeyPair::generate(KeySize::Rsa2048).map(Self::Rsa),
        }
        .map_err(|_| PkiError::Crypto("making a key"))
    }

    /// A key of the vault.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, PkiError> {
        let ec = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der);
        ec(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Self::P256)
            .or_else(|_| ec(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Self::P384))
            .or_else(|_| RsaKeyPair::from_pkcs8(der).map(Self::Rsa))
            .map_err(|_| PkiError::PrivateKey("it is none of P-256, P-384, RSA 2048 and more"))
    }

    /// An operator's key file: PKCS #8, SEC 1 or PKCS #1, not encrypted, whatever stands around it.
    pub(crate) fn from_pem(text: &str) -> Result<Self, PkiError> {
        let blocks = pem::all(text).map_err(PkiError::PrivateKey)?;
        let mut keys = blocks.iter().filter(|(label, _)| label.ends_with("PRIVATE KEY"));
        let (label, der) =
            keys.next().ok_or(PkiError::PrivateKey("the file has no PEM block `PRIVATE KEY`"))?;
        if keys.next().is_some() {
            return Err(PkiError::PrivateKey("the file has more than one private key"));
        }
        match *label {
            "PRIVATE KEY" => Self::from_pkcs8(der),
            "EC PRIVATE KEY" => Self::from_sec1(der),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(der)
                .map(Self::Rsa)
                .map_err(|_| PkiError::PrivateKey("it is not an RSA key of 2048 bits or more")),
            "ENCRYPTED PRIVATE KEY" => {
                Err(PkiError::PrivateKey("it is encrypted: decrypt it first (openssl pkey)"))
            }
            _ => Err(PkiError::PrivateKey("it is none of PKCS #8, SEC 1 and PKCS #1")),
        }
    }

    fn from_sec1(der: &[u8]) -> Result<Self, PkiError> {
        let read = |algorithm: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::from_private_key_der(algorithm, der)
        };
        read(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(Self::P256)
            .or_else(|_| read(&ECDSA_P384_SHA384_ASN1_SIGNING).map(Self::P384))
            .map_err(|_| PkiError::PrivateKey("it is neither a P-256 nor a P-384 key"))
    }

    /// PKCS #8, for the vault or for a file.
    pub(crate) fn to_pkcs8(&self) -> Result<PrivateKey, PkiError> {
        let document = match self {
            Self::P256(pair) | Self::P384(pair) => {
                pair.to_pkcs8v1().map(|der| Zeroizing::new(der.as_ref().to_vec()))
            }
            Self::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair)
                .map(|der| Zeroizing::new(der.as_ref().to_vec())),
        };
        document.map(PrivateKey).map_err(|_| PkiError::Crypto("encoding a key"))
    }

    pub(crate) fn kind(&self) -> KeyKind {
        self.algorithm().kind()
    }

    /// The public half.
    pub(crate) fn public(&self) -> SubjectKey {
        let bits = match self {
            Self::P256(pair) | Self::P384(pair) => pair.public_key().as_ref(),
            Self::Rsa(pair) => pair.public_key().as_ref(),
        };
        SubjectKey { kind: self.kind(), bits: bits.to_vec(), modulus: None }
    }

    /// The signature algorithm that [`Self::sign`] uses.
    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::P256(_) => SigningAlgorithm::EcdsaSha256,
            Self::P384(_) => SigningAlgorithm::EcdsaSha384,
            Self::Rsa(_) => SigningAlgorithm::RsaSha256,
        }
    }

    /// Private to signing: [`Approved::sign`](crate::approved::Approved::sign) alone calls this.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) | Self::P384(pair) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec())
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
            }
        }
        .map_err(|_| PkiError::Crypto("signing"))
    }
}
