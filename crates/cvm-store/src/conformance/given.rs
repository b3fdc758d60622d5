//! What the checks write, and how they ask a store that has to answer.

use cvm_core::certificate::{CertificateRecord, CertificateState, IssuerId, Origin};
use cvm_core::device::{
    Binding, Burning, Device, LiveCertificate, Outlived, Owed, Reservation, Review, ReviewKey,
    ReviewState, Road, SealedKey, Stage, TokenRecord, TokenState, Word,
};
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, SerialNumber, TokenMac};
use cvm_core::journal::{Event, EventClass, EventKind, JournalRow};
use cvm_core::key::KeyAlgorithm;
use cvm_core::operator::Actor;
use cvm_core::page::PageRequest;
use cvm_core::ports::{CertificateChange, Change, CommitError, KeyRule, Thing, ThingChange};
use cvm_core::time::Timestamp;

use crate::Stores;

/// When everything happens.
pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// The serial number.
pub fn serial(text: &str) -> SerialNumber {
    text.parse().expect("a serial number")
}

/// A digest that tells `n`.
pub fn digest(n: u64) -> [u8; 32] {
    let mut digest = [0x5A; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    digest
}

/// The identity of a key that tells `n`.
pub fn key(n: u64) -> KeyIdentity {
    KeyIdentity(digest(n))
}

/// A device that no store has, with nothing but names.
pub fn device(name: &str) -> Device {
    Device {
        serial_number: serial(name),
        thing_name: name.parse().expect("a thing name"),
        policy: "cvm-default".parse().expect("a name"),
        profile: "default".parse().expect("a name"),
        attributes: [(String::from("site"), String::from("Zürich \"2\"\n"))].into(),
        roads: vec![Road::Vend],
        created_at: NOW,
        disabled: false,
        deleted_at: None,
        tokens: Vec::new(),
        first_issued_at: None,
        live: Vec::new(),
        outlived: None,
        review: None,
        sealed: None,
        contested: Vec::new(),
        reservation: None,
        owed: Vec::new(),
        version: 0,
    }
}

/// A device with everything that a record can have.
pub fn full_device(name: &str) -> Device {
    let obtained = CertificateId(digest(7));
    let bound = Some(Binding { key: key(8), server_made: None });
    let used = TokenState::Used { bound, obtained, first_issue_at: NOW, is_confirmed: true };
    let token = |generation, state| TokenRecord {
        generation,
        mac: TokenMac(digest(u64::from(generation))),
        given_at: NOW,
        expires: Timestamp(NOW.0 + 100),
        state,
        denied: vec![ReviewKey::Device(key(9)), ReviewKey::Server(KeyAlgorithm::Rsa2048)],
    };
    let burning = Burning { by: String::from("tok"), word: Word::Revoke, at: NOW };
    Device {
        disabled: true,
        deleted_at: Some(Timestamp(NOW.0 + 5)),
        tokens: vec![token(2, used), token(1, TokenState::BurntByOperator(burning))],
        live: vec![LiveCertificate {
            id: obtained,
            key: key(8),
            state: CertificateState::Unconfirmed,
            origin: Origin::Token,
            token: 2,
            issued_at: NOW,
            not_after: Timestamp(NOW.0 + 1_000),
            until: Some(NOW),
            life_ends: Some(Timestamp(NOW.0 + 500)),
        }],
        first_issued_at: Some(NOW),
        outlived: Some(Outlived {
            id: CertificateId(digest(10)),
            key: key(10),
            token: 1,
            not_after: NOW,
        }),
        review: Some(review(1, ReviewState::Approved(NOW))),
        contested: vec![key(11)],
        reservation: Some(Reservation {
            certificate: obtained,
            since: NOW,
            attempt: AttemptCode::from_random(12),
            lease_until: NOW,
            stage: Stage::Reserved(vec![0, 1, 254, 255]),
        }),
        owed: vec![
            Owed::Certificate { id: CertificateId(digest(10)), until: NOW },
            Owed::Orphan { key: key(8), since: NOW, until: NOW },
            Owed::Session { thing: name.parse().expect("a thing name") },
            Owed::Thing { thing: name.parse().expect("a thing name") },
        ],
        sealed: Some(SealedKey {
            certificate: obtained,
            salt: [3; 16],
            ciphertext: vec![0, 1, 254, 255],
            until: NOW,
            replays: 1,
        }),
        ..device(name)
    }
}

/// A question for a human, whose name tells `n`.
pub fn review(n: u64, state: ReviewState) -> Review {
    Review {
        id: AttemptCode::from_random(n),
        token: 2,
        key: ReviewKey::Device(key(9)),
        bound: Some(key(8)),
        address: String::from("192.0.2.1"),
        opened_at: NOW,
        state,
    }
}

/// The row of a certificate whose id and key tell `n`.
pub fn certificate(n: u64, device: &Device) -> CertificateRecord {
    CertificateRecord {
        id: CertificateId(digest(n)),
        certificate_serial: vec![0x7F; 16],
        serial_number: device.serial_number.clone(),
        thing_name: device.thing_name.clone(),
        policy: device.policy.clone(),
        key: key(n),
        state: CertificateState::Unconfirmed,
        origin: Origin::Token,
        token: 1,
        issuer: IssuerId([9; 20]),
        issued_at: NOW,
        not_before: Timestamp(NOW.0 - 300),
        not_after: Timestamp(NOW.0 + 1_000),
        confirmed_at: None,
        ended_at: None,
        reason: None,
        attempt: AttemptCode::from_random(n),
        der: vec![0x30; 700],
    }
}

/// A row for the journal.
pub fn event(device: &Device) -> Event {
    Event {
        at: NOW,
        class: EventClass::Change,
        kind: EventKind::CertificateIssued,
        serial_number: Some(device.serial_number.clone()),
        certificate: Some(CertificateId(digest(1))),
        attempt: Some(AttemptCode::from_random(77)),
        actor: Actor::Device(String::from("192.0.2.1")),
        detail: String::from("detail"),
    }
}

/// A row of a policy, which concerns no device.
pub fn policy_event() -> Event {
    Event {
        kind: EventKind::PolicyPut,
        serial_number: None,
        certificate: None,
        attempt: None,
        ..event(&device("D-none"))
    }
}

/// A change that writes the record and nothing else.
pub fn change(device: &Device) -> Change {
    Change::new(device.clone(), Vec::new(), Vec::new())
}

/// A vend: record, certificate, key rule, thing and journal row.
pub fn vend(n: u64, device: &Device) -> Change {
    Change {
        certificates: vec![CertificateChange::Insert(Box::new(certificate(n, device)))],
        keys: vec![KeyRule::NotOthers(key(n))],
        thing: Some(ThingChange::Put(thing(device))),
        events: vec![event(device)],
        ..change(device)
    }
}

/// The platform's entry of the device.
pub fn thing(device: &Device) -> Thing {
    Thing {
        name: device.thing_name.clone(),
        serial_number: device.serial_number.clone(),
        created_at: NOW,
    }
}

impl Stores {
    /// Commits a change that must be written.
    pub async fn commit(&self, change: Change) {
        self.store.device_commit(change).await.expect("the change is written");
    }

    /// Commits a change that must be refused.
    pub async fn refuse(&self, change: Change) -> CommitError {
        self.store.device_commit(change).await.expect_err("the change is refused")
    }

    /// Commits all at once, and returns the answers in the same order.
    pub async fn race(&self, changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
        let tasks: Vec<_> = changes
            .into_iter()
            .map(|change| {
                let store = self.store.clone();
                tokio::spawn(async move { store.device_commit(change).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.expect("the commit does not panic"));
        }
        answers
    }

    /// The record, which must be there.
    pub async fn device(&self, name: &str) -> Device {
        let found = self.store.device_find(&serial(name)).await.expect("the read works");
        found.expect("the device is there")
    }

    /// The journal, read in one page.
    pub async fn rows(&self) -> Vec<JournalRow> {
        let request = PageRequest { after: None, limit: 1_000 };
        self.journal.journal_page(&request).await.expect("the read works").items
    }

    /// The certificate's row, which must be there.
    pub async fn certificate(&self, n: u64) -> CertificateRecord {
        let found = self.store.holding_find(&CertificateId(digest(n))).await;
        found.expect("the read works").expect("the certificate is there").certificate
    }

    /// Whether the certificate has a row.
    pub async fn has_certificate(&self, n: u64) -> bool {
        let found = self.store.holding_find(&CertificateId(digest(n))).await;
        found.expect("the read works").is_some()
    }
}
