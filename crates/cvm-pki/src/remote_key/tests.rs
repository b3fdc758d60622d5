//! A key elsewhere signs what was approved, and what it answers is believed only if it verifies.

use cvm_core::certificate::Reason;
use cvm_core::key::KeyAlgorithm;
use cvm_core::ports::{CrlTemplate, Issuer as _, IssuerError, LeafTemplate, RevokedEntry};
use cvm_core::time::{Span, Timestamp};
use parking_lot::Mutex;

use super::*;
use crate::issuer::LocalIssuer;

const NOW: Timestamp = Timestamp(1_772_366_400);

/// What the key elsewhere does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// It answers with the signature of something else.
    Confused,
    Down,
    Well,
}

struct Elsewhere {
    key: CaKey,
    mood: Mutex<Mood>,
    digests: Mutex<Vec<Vec<u8>>>,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elsewhere:1")
    }
}

#[async_trait]
impl RemoteKey for Elsewhere {
    async fn public_key(&self) -> Result<Vec<u8>, RemoteKeyError> {
        match *self.mood.lock() {
            Mood::Down => Err(RemoteKeyError("elsewhere is down".to_owned())),
            Mood::Confused => Ok(vec![1, 2, 3]),
            Mood::Well => Ok(self.key.public().spki()),
        }
    }

    async fn sign(&self, approved: &Approved) -> Result<Vec<u8>, RemoteKeyError> {
        tokio::task::yield_now().await;
        self.digests.lock().push(approved.digest());
        let failed = |error: PkiError| RemoteKeyError(error.to_string());
        match *self.mood.lock() {
            Mood::Down => Err(RemoteKeyError("elsewhere is down".to_owned())),
            Mood::Confused => self.key.sign(b"something else").map_err(failed),
            Mood::Well => self.key.sign(approved.tbs()).map_err(failed),
        }
    }
}

struct Bench {
    elsewhere: Arc<Elsewhere>,
    issuer: LocalIssuer,
}

impl Bench {
    fn new(key: CaKey) -> Self {
        let root = Authority::create_root(NOW).unwrap();
        let certificate = root.certify_devices(&key.public(), NOW).unwrap();
        let (mood, digests) = (Mutex::new(Mood::Well), Mutex::default());
        let elsewhere = Arc::new(Elsewhere { key, mood, digests });
        let devices = Authority::remote(certificate, elsewhere.clone()).unwrap();
        let issuer = LocalIssuer::new(devices, &[root.certificate], "http://host:8080/");
        Self { elsewhere, issuer }
    }

    fn leaf(&self) -> Result<Vec<u8>, IssuerError> {
        let key = CaKey::generate(KeyAlgorithm::EcP256).unwrap().public().public_key();
        let signed = wait(self.issuer.leaf_sign(LeafTemplate {
            serial_number: &"SN-0001".parse().unwrap(),
            thing_name: &"SN-0001".parse().unwrap(),
            key: &key,
            not_before: NOW,
            not_after: NOW.plus(Span(365 * Span::DAY.0)),
        }));
        signed.map(|leaf| leaf.der)
    }

    fn crl(&self) -> Result<Vec<u8>, IssuerError> {
        let entry = RevokedEntry {
            certificate_serial: vec![0x9A; 17],
            revoked_at: NOW,
            reason: Some(Reason::Superseded),
        };
        wait(self.issuer.crl_sign(CrlTemplate {
            issuer: self.issuer.issuer_id(),
            shard: 0x9A,
            number: 7,
            this_update: NOW,
            next_update: NOW.plus(Span::DAY),
            entries: vec![entry],
        }))
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Whether the signature of a certificate or CRL is the key's.
fn is_signed_by(der: &[u8], key: &SubjectKey) -> bool {
    let mut outer = crate::der::single(der, crate::der::SEQUENCE, "").unwrap();
    let (tbs, algorithm) = (outer.any().unwrap(), outer.any().unwrap());
    let signature = &outer.any().unwrap().content[1..];
    crate::signature::verify(key, algorithm.content, tbs.raw, signature).is_ok()
}

#[test]
fn each_kind_of_key_signs_leaves_and_crls() {
    let rsa = || CaKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    for (key, digest_bytes) in [(CaKey::generate(KeyAlgorithm::EcP256).unwrap(), 32), (rsa(), 32)] {
        let bench = Bench::new(key);
        let public = bench.elsewhere.key.public();
        assert!(is_signed_by(&bench.leaf().unwrap(), &public));
        assert!(is_signed_by(&bench.crl().unwrap(), &public));
        let digests = bench.elsewhere.digests.lock();
        assert_eq!(digests.iter().map(Vec::len).collect::<Vec<_>>(), [digest_bytes; 2]);
    }
}

#[test]
fn while_it_is_down_the_signer_is_unavailable() {
    let bench = Bench::new(CaKey::generate(KeyAlgorithm::EcP256).unwrap());
    *bench.elsewhere.mood.lock() = Mood::Down;
    for refused in [bench.leaf(), bench.crl()] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, IssuerError::Unavailable(_)), "{refused}");
        assert!(refused.to_string().ends_with("elsewhere is down"), "{refused}");
    }
    assert!(matches!(wait(bench.issuer.key_check()), Err(PkiError::RemoteKey(_))));
    *bench.elsewhere.mood.lock() = Mood::Well;
    assert!(bench.leaf().is_ok());
    wait(bench.issuer.key_check()).unwrap();
}

#[test]
fn a_signature_that_does_not_verify_becomes_no_certificate() {
    let bench = Bench::new(CaKey::generate(KeyAlgorithm::EcP256).unwrap());
    *bench.elsewhere.mood.lock() = Mood::Confused;
    for refused in [bench.leaf(), bench.crl()] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, IssuerError::Unavailable(_)), "{refused}");
        assert!(refused.to_string().contains("elsewhere:1 is not the key"), "{refused}");
    }
    assert!(matches!(wait(bench.issuer.key_check()), Err(PkiError::Certificate { .. })));
}

#[test]
fn a_key_of_another_ca_is_found_out_at_the_start_and_at_the_first_signature() {
    let bench = Bench::new(CaKey::generate(KeyAlgorithm::EcP256).unwrap());
    let other = Bench::new(CaKey::generate(KeyAlgorithm::EcP256).unwrap());
    let certificate = certificate_of(&bench);
    let devices = Authority::remote(certificate.clone(), other.elsewhere).unwrap();
    let mixed = LocalIssuer::new(devices, &[certificate], "http://host:8080/");
    assert!(matches!(wait(mixed.key_check()), Err(PkiError::Certificate { .. })));
    let mixed = Bench { issuer: mixed, ..bench };
    assert!(matches!(mixed.leaf(), Err(IssuerError::Unavailable(_))));
}

fn certificate_of(bench: &Bench) -> CaCertificate {
    CaCertificate::read("devices", &bench.issuer.ca_certificates()[0]).unwrap()
}
