//! Signs requests by hand: with every kind of key, and with every part as the test wants it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as signing;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use rcgen::{CertificateParams, KeyPair, RsaKeySize};
use serde_json::{Value, json};

pub(super) const CONFIRM: &str = "/v1/certificates/confirm";
pub(super) const RENEW: &str = "/v1/certificates/renew";
pub(super) const PUBLIC_URL: &str = "https://localhost:8443";

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A `POST` of a signed request.
pub(super) fn signed(path: &str, body: &str) -> Request<Bytes> {
    let request = Request::post(path).header("content-type", "application/jose+json");
    request.body(Bytes::from(body.to_owned())).unwrap()
}

/// A key, and how it signs.
pub(super) struct Hand {
    alg: &'static str,
    key: KeyPair,
}

impl Hand {
    /// A new key for this algorithm of RFC 7518.
    pub(super) fn of(alg: &'static str) -> Self {
        let key = match alg {
            "ES256" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            "ES384" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            "EdDSA" => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            _ => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
        };
        Self { alg, key: key.unwrap() }
    }

    pub(super) fn csr(&self) -> String {
        CertificateParams::default().serialize_request(&self.key).unwrap().pem().unwrap()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let (der, random) = (self.key.serialize_der(), SystemRandom::new());
        let ecdsa = |algorithm| {
            let key = signing::EcdsaKeyPair::from_pkcs8(algorithm, &der).unwrap();
            key.sign(&random, message).unwrap().as_ref().to_vec()
        };
        let rsa = |padding| {
            let key = signing::RsaKeyPair::from_pkcs8(&der).unwrap();
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(padding, &random, message, &mut signature).unwrap();
            signature
        };
        match self.alg {
            "ES256" => ecdsa(&signing::ECDSA_P256_SHA256_FIXED_SIGNING),
            "ES384" => ecdsa(&signing::ECDSA_P384_SHA384_FIXED_SIGNING),
            "EdDSA" => {
                let key = signing::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
                key.sign(message).as_ref().to_vec()
            }
            "PS256" => rsa(&signing::RSA_PSS_SHA256),
            _ => rsa(&signing::RSA_PKCS1_SHA256),
        }
    }
}

/// A key with the id of its certificate.
pub(super) struct Signer {
    hand: Hand,
    pub(super) kid: String,
}

impl Signer {
    pub(super) fn new(hand: Hand, certificate: &[u8]) -> Self {
        let hash = digest(&SHA256, certificate);
        let kid = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { hand, kid }
    }

    /// As certificates and TLS have it, over the same.
    pub(super) fn der_signature(&self, body: &Value) -> Vec<u8> {
        let key = signing::EcdsaKeyPair::from_pkcs8(
            &signing::ECDSA_P256_SHA256_ASN1_SIGNING,
            &self.hand.key.serialize_der(),
        );
        let signature = key.unwrap().sign(&SystemRandom::new(), input(body).as_bytes());
        signature.unwrap().as_ref().to_vec()
    }
}

fn input(body: &Value) -> String {
    format!("{}.{}", body["protected"].as_str().unwrap(), body["payload"].as_str().unwrap())
}

/// A signed request before it is signed.
#[derive(Clone)]
pub(super) struct Jws {
    pub(super) path: &'static str,
    pub(super) alg: String,
    pub(super) kid: String,
    pub(super) nonce: String,
    pub(super) url: String,
    pub(super) payload: String,
}

impl Jws {
    pub(super) fn new(signer: &Signer, path: &'static str, nonce: String) -> Self {
        let (alg, kid) = (signer.hand.alg.to_owned(), signer.kid.clone());
        let url = format!("{PUBLIC_URL}{path}");
        Self { path, alg, kid, nonce, url, payload: String::new() }
    }

    pub(super) fn with_csr(self, csr: &str) -> Self {
        Self { payload: json!({"csr": csr}).to_string(), ..self }
    }

    /// The protected header with these members besides or instead; `null` takes one away.
    pub(super) fn protected_with(&self, more: &Value) -> String {
        let mut header =
            json!({"alg": self.alg, "kid": self.kid, "nonce": self.nonce, "url": self.url});
        for (name, value) in more.as_object().unwrap() {
            header[name] = value.clone();
        }
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        base64url(header.to_string().as_bytes())
    }

    pub(super) fn body(&self, signer: &Signer) -> Value {
        self.body_around(signer, &self.protected_with(&json!({})))
    }

    /// Signed over this protected header, whatever it is.
    pub(super) fn body_around(&self, signer: &Signer, protected: &str) -> Value {
        let mut body =
            json!({"protected": protected, "payload": base64url(self.payload.as_bytes())});
        body["signature"] = base64url(&signer.hand.sign(input(&body).as_bytes())).into();
        body
    }

    pub(super) fn request(&self, signer: &Signer) -> Request<Bytes> {
        signed(self.path, &self.body(signer).to_string())
    }
}
