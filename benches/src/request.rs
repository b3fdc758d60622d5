//! Requests, made whole before any clock starts: keys, certificate requests, tokens.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::plan::{Connections, Peer};
use crate::registry::{self, Pick};

/// A device's request.
pub(crate) struct Request {
    /// Head and body as they are sent.
    pub(crate) bytes: Vec<u8>,
    /// The public key to be certified, as an uncompressed point.
    pub(crate) key: Vec<u8>,
}

/// Makes the requests of one load.
pub(crate) struct Maker {
    peer: Peer,
    connections: Connections,
    provisioner: Option<Provisioner>,
    made: u64,
    /// Tells names of this load from those of others.
    run: u64,
}

impl Maker {
    pub(crate) fn new(peer: &Peer, connections: Connections) -> Result<Self> {
        let provisioner = match peer {
            Peer::StepCa { provisioner_key } => Some(Provisioner::read(provisioner_key)?),
            Peer::Cfssl | Peer::Cvm { .. } | Peer::Null => None,
        };
        let mut run = [0; 8];
        aws_lc_rs::rand::fill(&mut run)?;
        let run = u64::from_le_bytes(run);
        Ok(Self { peer: peer.clone(), connections, provisioner, made: 0, run })
    }

    /// Up to `count` requests, fewer where the registry has no more devices; on two threads.
    pub(crate) fn make(&mut self, count: u64) -> Result<Vec<Request>> {
        let first = self.made;
        let count = match &self.peer {
            Peer::Cvm { devices: Pick { of, from } } => count.min(of.saturating_sub(from + first)),
            Peer::Cfssl | Peer::Null | Peer::StepCa { .. } => count,
        };
        self.made += count;
        let (this, half) = (&*self, first + count / 2);
        let part = |range: std::ops::Range<u64>| range.map(|n| this.one(n)).collect();
        std::thread::scope(|scope| {
            let other = scope.spawn(move || part(half..first + count));
            let mine: Result<Vec<_>> = part(first..half);
            let mut all = mine?;
            let others: Result<Vec<_>> = other.join().map_err(|_| anyhow::anyhow!("a panic"))?;
            all.extend(others?);
            Ok(all)
        })
    }

    fn one(&self, n: u64) -> Result<Request> {
        let pair = KeyPair::generate()?;
        let name = format!("SN-{:016x}-{n:07}", self.run);
        let dns = format!("{}.dev.example", name.to_lowercase());
        let (path, body) = match &self.peer {
            Peer::Cvm { devices } => {
                let device = devices.device(n).context("no device is left")?;
                ("/v1/certificates", vend(device, &csr(&pair, None)?))
            }
            Peer::Cfssl | Peer::Null => {
                let csr = csr(&pair, Some((&name, &dns)))?;
                ("/api/v1/cfssl/sign", json!({ "certificate_request": csr }))
            }
            Peer::StepCa { .. } => {
                let csr = csr(&pair, Some((&name, &dns)))?;
                let provisioner = self.provisioner.as_ref().context("no provisioner")?;
                ("/1.0/sign", json!({ "csr": csr, "ott": provisioner.token(&name, &dns)? }))
            }
        };
        let bytes = http(path, self.connections, &body);
        Ok(Request { bytes, key: pair.der_bytes().to_vec() })
    }
}

/// The body by which a device of the registry asks.
pub(crate) fn vend(device: u64, csr: &str) -> Value {
    json!({
        "serialNumber": registry::serial_number(device),
        "token": registry::token(device).expose(),
        "csr": csr,
    })
}

/// A request on the wire.
pub(crate) fn http(path: &str, connections: Connections, body: &Value) -> Vec<u8> {
    let connection = match connections {
        Connections::New => "close",
        Connections::Kept => "keep-alive",
    };
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: {connection}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request for a certificate in PEM; the names are for CAs that take them from there.
pub(crate) fn csr(pair: &KeyPair, names: Option<(&str, &str)>) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some((name, dns)) = names {
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(rcgen::SanType::DnsName(dns.try_into()?));
    }
    Ok(params.serialize_request(pair)?.pem()?)
}

/// What signs one-time tokens of step-ca: a JWK provisioner (RFC 7515, RFC 7519).
pub(crate) struct Provisioner {
    pair: EcdsaKeyPair,
}

impl Provisioner {
    fn read(path: &Path) -> Result<Self> {
        Self::from_pkcs8(&std::fs::read(path)?)
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self> {
        Ok(Self { pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)? })
    }

    /// The public key with its thumbprint (RFC 7638) for its id.
    pub(crate) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let coordinate = |at: usize| point.get(at..at + 32).map(base64url).unwrap_or_default();
        let (x, y) = (coordinate(1), coordinate(33));
        json!({ "use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.kid(), "x": x, "y": y })
    }

    fn kid(&self) -> String {
        let point = self.pair.public_key().as_ref();
        let coordinate = |at: usize| point.get(at..at + 32).map(base64url).unwrap_or_default();
        let (x, y) = (coordinate(1), coordinate(33));
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, canonical.as_bytes());
        base64url(digest.as_ref())
    }

    fn token(&self, name: &str, dns: &str) -> Result<String> {
        let now = crate::now();
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id)?;
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid() });
        let claims = json!({
            "iss": "bench", "aud": "https://127.0.0.1/1.0/sign", "sub": name, "sans": [dns],
            "iat": now, "nbf": now - 1, "exp": now + 295, "jti": base64url(id),
        });
        let part = |value: Value| base64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", base64url(signature.as_ref())))
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
