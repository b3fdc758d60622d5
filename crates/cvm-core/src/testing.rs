//! Ports for tests: a clock that is set, seeded randomness, a signer that signs nothing, and
//! recorders that tell which ports a use case touched, and in which order.
//!
//! Nothing here does cryptography; what does is tested with the real parts.

mod recording;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::certificate::IssuerId;
use crate::id::{CertificateId, KeyIdentity, SerialNumber, TokenMac};
use crate::journal::Event;
use crate::key::{
    CheckedCsr, CsrError, KeyAlgorithm, PrivateKey, PublicKey, Subject, UncheckedCsr,
};
use crate::operator::Actor;
use crate::policy::{DEFAULT_DOCUMENT, DEFAULT_POLICY, Policy};
use crate::ports::{
    Alarms, Attempts, Catalogue, Chain, Clock, ClockDoubt, ClockReading, ClockStatus, CrlTemplate,
    Entropy, Issuer, IssuerError, Journal, KeyMaker, LeafTemplate, Nonces, Operators, Policies,
    Ports, Revocations, SealError, Secrets, SignedLeaf, Store, StoreError,
};
use crate::provisioning::policy_put_event;
use crate::registry::EmbeddedPlatform;
use crate::time::Timestamp;
use crate::token::Token;

pub use recording::{Calls, record};

/// Fake ports but for the store, which is `store` behind all of its ports.
#[must_use]
pub fn test_ports<S>(store: &Arc<S>, clock: Arc<TestClock>, issuer: Arc<TestIssuer>) -> Ports
where
    S: Attempts
        + Catalogue
        + Journal
        + Nonces
        + Operators
        + Policies
        + Revocations
        + Store
        + 'static,
{
    Ports {
        alarms: Arc::new(TestAlarms::default()),
        attempts: store.clone(),
        catalogue: store.clone(),
        clock,
        entropy: Arc::new(TestEntropy::default()),
        issuer: issuer.clone(),
        journal: store.clone(),
        key_maker: Arc::new(TestKeyMaker::default()),
        nonces: store.clone(),
        operators: store.clone(),
        platform: Arc::new(EmbeddedPlatform::new(issuer, store.clone())),
        policies: store.clone(),
        revocations: store.clone(),
        secrets: Arc::new(TestSecrets::default()),
        store: store.clone(),
    }
}

/// Puts the policy that devices get by default, as `init` does.
///
/// # Errors
/// [`StoreError`].
pub async fn default_policy_put(ports: &Ports, at: Timestamp) -> Result<(), StoreError> {
    let name = DEFAULT_POLICY.parse().map_err(|_| StoreError::Corrupt(DEFAULT_POLICY.into()))?;
    let policy = Policy { name, document: DEFAULT_DOCUMENT.into(), updated_at: at };
    let event = policy_put_event(&policy, Actor::Server);
    ports.policies.policy_put(policy, event).await
}

/// Remembers the alarms that were raised.
#[derive(Debug, Default)]
pub struct TestAlarms {
    raised: Mutex<Vec<Event>>,
}

impl TestAlarms {
    /// What was raised since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.raised.lock())
    }
}

impl Alarms for TestAlarms {
    fn alarm_raise(&self, event: &Event) {
        self.raised.lock().push(event.clone());
    }
}

/// A clock that stands where the test sets it.
#[derive(Debug)]
pub struct TestClock {
    now: AtomicI64,
    is_trusted: AtomicBool,
}

impl TestClock {
    /// A trusted clock at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.0), is_trusted: AtomicBool::new(true) }
    }

    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::SeqCst);
    }

    /// Sets whether certificates may be issued.
    pub fn trust(&self, is_trusted: bool) {
        self.is_trusted.store(is_trusted, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn read(&self) -> ClockReading {
        self.status().reading()
    }

    fn status(&self) -> ClockStatus {
        let now = Timestamp(self.now.load(Ordering::SeqCst));
        let is_trusted = self.is_trusted.load(Ordering::SeqCst);
        let doubt = (!is_trusted).then_some(ClockDoubt::SteppedForward);
        ClockStatus { system: now, now, doubt }
    }

    fn accept(&self, now: Timestamp) {
        self.set(now);
        self.trust(true);
    }
}

/// Bytes that look random, are never the same twice, and are the same in every run.
#[derive(Debug, Default)]
pub struct TestEntropy {
    drawn: AtomicU64,
}

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.drawn.fetch_add(1, Ordering::SeqCst);
        for (place, block) in (0_u64..).zip(bytes.chunks_mut(32)) {
            let digest = sha256(&[b"entropy", &number.to_be_bytes(), &place.to_be_bytes()]);
            for (byte, random) in block.iter_mut().zip(digest) {
                *byte = random;
            }
        }
    }
}

/// Reads `CSR <name>` as a request for the key called `name` and `BAD <name>` as one whose
/// signature does not verify; signs by counting.
#[derive(Debug)]
pub struct TestIssuer {
    signed: AtomicU64,
    not_before: Timestamp,
    own_key: Option<KeyIdentity>,
    ends: Option<Timestamp>,
    down: AtomicBool,
}

impl TestIssuer {
    /// A signer whose CA begins at `not_before`.
    #[must_use]
    pub fn new(not_before: Timestamp) -> Self {
        let down = AtomicBool::new(false);
        Self { signed: AtomicU64::new(0), not_before, own_key: None, ends: None, down }
    }

    /// The same, owning the key called `name`.
    #[must_use]
    pub fn owning(self, name: &str) -> Self {
        Self { own_key: Some(test_key(name).identity), ..self }
    }

    /// The same with a CA that ends at `ends`, to which every leaf is cut.
    #[must_use]
    pub fn ending(self, ends: Timestamp) -> Self {
        Self { ends: Some(ends), ..self }
    }

    /// From now on nothing can be signed, or again.
    pub fn fail(&self, is_down: bool) {
        self.down.store(is_down, Ordering::SeqCst);
    }

    /// How often it has signed.
    #[must_use]
    pub fn signed(&self) -> u64 {
        self.signed.load(Ordering::SeqCst)
    }
}

/// The CSR text that [`TestIssuer`] reads as a request for the key called `name`.
#[must_use]
pub fn test_csr(name: &str) -> String {
    format!("CSR {name}")
}

/// The same with a signature that does not verify.
#[must_use]
pub fn test_bad_csr(name: &str) -> String {
    format!("BAD {name}")
}

/// The key called `name`.
#[must_use]
pub fn test_key(name: &str) -> PublicKey {
    PublicKey { identity: KeyIdentity(sha256(&[b"key", name.as_bytes()])), spki: name.into() }
}

#[async_trait]
impl Issuer for TestIssuer {
    fn csr_parse(&self, pem: &str) -> Result<UncheckedCsr, CsrError> {
        if pem.starts_with("CSR ") || pem.starts_with("BAD ") {
            Ok(UncheckedCsr { der: pem.into() })
        } else {
            Err(CsrError::Pem("there is none"))
        }
    }

    fn csr_claims(&self, csr: &UncheckedCsr) -> Option<KeyIdentity> {
        let text = String::from_utf8_lossy(&csr.der).into_owned();
        text.split_once(' ').map(|(_, name)| test_key(name).identity)
    }

    fn csr_check(&self, csr: &UncheckedCsr) -> Result<CheckedCsr, CsrError> {
        let text = String::from_utf8_lossy(&csr.der).into_owned();
        match text.split_once(' ') {
            Some(("CSR", name)) => Ok(CheckedCsr { key: test_key(name), subject: Subject::Empty }),
            _ => Err(CsrError::Signature),
        }
    }

    async fn leaf_sign(&self, template: LeafTemplate<'_>) -> Result<SignedLeaf, IssuerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(IssuerError::Unavailable(String::from("it is down")));
        }
        let number = self.signed.fetch_add(1, Ordering::SeqCst);
        let der =
            format!("leaf {number} of {} for {}", template.serial_number, template.key.identity);
        Ok(SignedLeaf {
            id: CertificateId(sha256(&[der.as_bytes()])),
            certificate_serial: number.to_be_bytes().to_vec(),
            issuer: IssuerId([7; 20]),
            not_before: template.not_before,
            not_after: self.ends.map_or(template.not_after, |ends| ends.min(template.not_after)),
            der: der.into_bytes(),
        })
    }

    async fn crl_sign(&self, template: CrlTemplate) -> Result<Vec<u8>, IssuerError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(IssuerError::Unavailable(String::from("it is down")));
        }
        self.signed.fetch_add(1, Ordering::SeqCst);
        let CrlTemplate { number, this_update, mut entries, .. } = template;
        entries.sort_by(|one, other| one.certificate_serial.cmp(&other.certificate_serial));
        let revoked: Vec<_> = entries
            .iter()
            .map(|entry| {
                let reason = entry.reason.map_or("", |reason| reason.as_str());
                format!("{} {reason}", crate::id::hex(&entry.certificate_serial))
            })
            .collect();
        Ok(format!("crl {number} of {this_update}: {}", revoked.join(", ")).into_bytes())
    }

    fn crl_url(&self, issuer: &IssuerId, shard: u8) -> Option<String> {
        (*issuer == IssuerId([7; 20])).then(|| format!("http://crl.example/{shard:02x}.crl"))
    }

    fn ca_certificate(&self, issuer: &IssuerId) -> Option<Arc<[u8]>> {
        (*issuer == IssuerId([7; 20])).then(|| Arc::from(*b"devices CA"))
    }

    fn owns_key(&self, key: &KeyIdentity) -> bool {
        self.own_key == Some(*key)
    }

    fn chain(&self, issuer: &IssuerId) -> Option<Arc<Chain>> {
        let chain = Chain { intermediate: String::from("devices CA"), root: String::from("root") };
        (*issuer == IssuerId([7; 20])).then(|| Arc::new(chain))
    }

    fn trust_bundle(&self) -> Arc<str> {
        Arc::from("root")
    }

    fn not_before(&self) -> Timestamp {
        self.not_before
    }
}

/// Makes keys by counting.
#[derive(Debug, Default)]
pub struct TestKeyMaker {
    made: AtomicU64,
}

#[async_trait]
impl KeyMaker for TestKeyMaker {
    async fn key_make(
        &self,
        algorithm: KeyAlgorithm,
    ) -> Result<(PrivateKey, PublicKey), IssuerError> {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let name = format!("server key {number} {}", algorithm.as_str());
        let public = test_key(&name);
        Ok((PrivateKey(Zeroizing::new(name.into_bytes())), public))
    }

    fn csr_make(&self, key: &PrivateKey) -> Result<Vec<u8>, IssuerError> {
        Ok([b"CSR ", key.0.as_slice()].concat())
    }
}

/// Hashes without a key, and seals by remembering.
#[derive(Debug, Default)]
pub struct TestSecrets {
    sealed: Mutex<BTreeMap<[u8; 32], Vec<u8>>>,
}

impl Secrets for TestSecrets {
    fn token_mac(&self, serial: &str, token: &Token) -> TokenMac {
        TokenMac(sha256(&[b"token", serial.as_bytes(), b"\0", token.expose().as_bytes()]))
    }

    fn admin_token_mac(&self, token: &Token) -> TokenMac {
        TokenMac(sha256(&[b"admin", token.expose().as_bytes()]))
    }

    fn nonce_mac(&self, issued_at: Timestamp, random: &[u8; 16]) -> [u8; 32] {
        sha256(&[b"nonce", &issued_at.0.to_be_bytes(), random])
    }

    fn token_derive(
        &self,
        admin_token_id: &str,
        idempotency_key: &str,
        serial: &SerialNumber,
    ) -> Token {
        let parts = [admin_token_id, "\0", idempotency_key, "\0", serial.as_str()];
        let digest = sha256(&parts.map(str::as_bytes));
        let mut random = [0_u8; 26];
        for (to, from) in random.iter_mut().zip(digest) {
            *to = from;
        }
        Token::from_random(&random)
    }

    fn private_key_seal(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        private_key: &PrivateKey,
    ) -> ([u8; 16], Vec<u8>) {
        let name = sealed_name(token, serial, key);
        self.sealed.lock().insert(name, private_key.0.to_vec());
        ([1; 16], name.to_vec())
    }

    fn private_key_open(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        _salt: &[u8; 16],
        ciphertext: &[u8],
    ) -> Result<PrivateKey, SealError> {
        let name = sealed_name(token, serial, key);
        let opened = self.sealed.lock().get(&name).filter(|_| name == ciphertext).cloned();
        opened.map(|key| PrivateKey(Zeroizing::new(key))).ok_or(SealError)
    }
}

fn sealed_name(token: &Token, serial: &SerialNumber, key: &KeyIdentity) -> [u8; 32] {
    sha256(&[token.expose().as_bytes(), serial.as_str().as_bytes(), &key.0])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
