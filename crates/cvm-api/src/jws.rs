//! Signed requests: a flattened JWS (RFC 7515, section 7.2.2) as RFC 8555 section 6 shapes it, for
//! devices that do not end TLS at this server (contract, section 2).
//!
//! Here is its form, and its signature once the certificate is known; what its nonce and its
//! certificate are worth, the use case says. There is no key, no certificate and no extension in
//! it that is believed: the registry has the key.

use std::fmt;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cvm_core::id::CertificateId;
use cvm_core::provisioning::{SignedRequest, Unproven};
use cvm_wire::signed::{Flattened, MEDIA_TYPE, ProtectedHeader};
use http::HeaderMap;
use rustls::pki_types::{AlgorithmIdentifier, alg_id};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use zeroize::Zeroizing;

use crate::possession::VerifiableKey;
use crate::problem::Refused;
use crate::{body, json};

/// Whether the request says that its body is a signed one.
pub(crate) fn is_announced(fields: &HeaderMap) -> bool {
    body::is_of(MEDIA_TYPE, fields)
}

/// A signed request whose form is right, and nothing else.
pub(crate) struct Jws {
    certificate: CertificateId,
    algorithm: Algorithm,
    nonce: String,
    /// RFC 7515, section 5.1: what the signature is over.
    input: Zeroizing<Vec<u8>>,
    signature: Vec<u8>,
    pub(crate) payload: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Jws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jws({:?}, {})", self.algorithm, self.certificate)
    }
}

impl Jws {
    /// Reads one that is for `url`, byte for byte.
    pub(crate) fn read(body: &[u8], url: &str) -> Result<Self, Refused> {
        let Flattened { protected, payload, signature } = json::parse(body)?;
        let Unwanted { header, signatures } = json::parse(body)?;
        if header.is_there || signatures.is_there {
            return Err(malformed(
                "has `header` or `signatures`: send one signature, and a protected header only",
            ));
        }
        let text = decoded(&protected, "`protected`")?;
        let inner = |refused: Refused| Refused {
            detail: format!("in the protected header: {}", refused.detail).into(),
            ..refused
        };
        let ProtectedHeader { alg, kid, nonce, url: signed_url } =
            json::parse(&text).map_err(inner)?;
        let Unnamed { crit, jwk, x5c } = json::parse(&text).map_err(inner)?;
        if crit.is_there || jwk.is_there || x5c.is_there {
            return Err(malformed(
                "has `crit`, `jwk` or `x5c` in its protected header: send alg, kid, nonce and url",
            ));
        }
        let algorithm = Algorithm::of(&alg).ok_or_else(|| {
            malformed("has another `alg` than ES256, ES384, EdDSA, RS256 or PS256")
        })?;
        let certificate = kid.parse();
        let certificate = certificate.map_err(|_| {
            malformed("has a `kid` that is no certificate id of 64 hexadecimal digits")
        })?;
        if signed_url != url {
            let detail = format!(
                "the signed request is for another address: `url` of its protected header has to \
                 be {url}, byte for byte; if devices reach this server by another, set [http] \
                 public_url"
            );
            return Err(Refused::unproven(detail));
        }
        let input = Zeroizing::new([protected.as_bytes(), b".", payload.as_bytes()].concat());
        let signature = decoded(&signature, "`signature`")?.to_vec();
        let payload = decoded(&payload, "`payload`")?;
        Ok(Self { certificate, algorithm, nonce, input, signature, payload })
    }
}

impl SignedRequest for Jws {
    fn certificate(&self) -> CertificateId {
        self.certificate
    }

    fn nonce(&self) -> &str {
        &self.nonce
    }

    fn verify(&self, certificate: &[u8]) -> Result<(), Unproven> {
        let (key, verification) = self.algorithm.parts();
        let found = VerifiableKey::read(certificate).ok_or(Unproven::Algorithm)?;
        if found.algorithm != key.as_ref() {
            return Err(Unproven::Algorithm);
        }
        let key = UnparsedPublicKey::new(verification, found.public_key);
        key.verify(&self.input, &self.signature).map_err(|_| Unproven::Signature)
    }
}

/// How a request is signed (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    EdDsa,
    Es256,
    Es384,
    Ps256,
    Rs256,
}

impl Algorithm {
    fn of(name: &str) -> Option<Self> {
        match name {
            "EdDSA" => Some(Self::EdDsa),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            "PS256" => Some(Self::Ps256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }

    /// Of which kind the key has to be, and what verifies with it.
    fn parts(self) -> (AlgorithmIdentifier, &'static dyn VerificationAlgorithm) {
        match self {
            Self::EdDsa => (alg_id::ED25519, &signature::ED25519),
            Self::Es256 => (alg_id::ECDSA_P256, &signature::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => (alg_id::ECDSA_P384, &signature::ECDSA_P384_SHA384_FIXED),
            Self::Ps256 => (alg_id::RSA_ENCRYPTION, &signature::RSA_PSS_2048_8192_SHA256),
            Self::Rs256 => (alg_id::RSA_ENCRYPTION, &signature::RSA_PKCS1_2048_8192_SHA256),
        }
    }
}

/// What a JWS may have, and a request may not: what is not signed, and more than one signature.
#[derive(serde::Deserialize)]
struct Unwanted {
    #[serde(default)]
    header: Member,
    #[serde(default)]
    signatures: Member,
}

/// What a protected header may have, and a request's may not: extensions that would have to be
/// understood, and keys of the sender's choice.
#[derive(serde::Deserialize)]
struct Unnamed {
    #[serde(default)]
    crit: Member,
    #[serde(default)]
    jwk: Member,
    #[serde(default)]
    x5c: Member,
}

/// Whether a member is there, whatever its value.
#[derive(Default)]
struct Member {
    is_there: bool,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self { is_there: true })
    }
}

fn decoded(text: &str, what: &str) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new);
    bytes.map_err(|_| malformed(&format!("has a {what} that is not base64url without padding")))
}

fn malformed(what: &str) -> Refused {
    Refused::invalid(format!("the signed request {what} (RFC 8555, section 6.2)"))
}
