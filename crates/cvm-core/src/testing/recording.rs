//! Recorders: each port call by name, in order, on its way to the real port.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::attempt::Attempt;
use crate::id::{AttemptCode, CertificateId, KeyIdentity, SerialNumber, TokenMac};
use crate::journal::{Event, JournalRow};
use crate::key::PrivateKey;
use crate::page::{Page, PageRequest};
use crate::ports::{
    Attempts, Change, CommitError, Entropy, Holding, Journal, KeyOwner, Ports, SealError, Secrets,
    Store, StoreError,
};
use crate::time::Timestamp;
use crate::token::Token;

/// The names of the calls that were made, in order.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    /// What was called since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock())
    }

    fn note(&self, name: &'static str) {
        self.0.lock().push(name);
    }
}

/// The same ports, with every call on store, secrets, entropy, attempts and journal recorded.
#[must_use]
pub fn record(ports: Ports) -> (Ports, Calls) {
    let calls = Calls::default();
    let recorded = Ports {
        attempts: Arc::new(Recorded(ports.attempts, calls.clone())),
        entropy: Arc::new(Recorded(ports.entropy, calls.clone())),
        journal: Arc::new(Recorded(ports.journal, calls.clone())),
        secrets: Arc::new(Recorded(ports.secrets, calls.clone())),
        store: Arc::new(Recorded(ports.store, calls.clone())),
        ..ports
    };
    (recorded, calls)
}

struct Recorded<T: ?Sized>(Arc<T>, Calls);

impl Entropy for Recorded<dyn Entropy> {
    fn fill(&self, bytes: &mut [u8]) {
        self.1.note("fill");
        self.0.fill(bytes);
    }
}

impl Secrets for Recorded<dyn Secrets> {
    fn token_mac(&self, serial: &str, token: &Token) -> TokenMac {
        self.1.note("token_mac");
        self.0.token_mac(serial, token)
    }

    fn admin_token_mac(&self, token: &Token) -> TokenMac {
        self.1.note("admin_token_mac");
        self.0.admin_token_mac(token)
    }

    fn nonce_mac(&self, issued_at: Timestamp, random: &[u8; 16]) -> [u8; 32] {
        self.1.note("nonce_mac");
        self.0.nonce_mac(issued_at, random)
    }

    fn token_derive(&self, id: &str, idempotency_key: &str, serial: &SerialNumber) -> Token {
        self.1.note("token_derive");
        self.0.token_derive(id, idempotency_key, serial)
    }

    fn private_key_seal(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        private_key: &PrivateKey,
    ) -> ([u8; 16], Vec<u8>) {
        self.1.note("private_key_seal");
        self.0.private_key_seal(token, serial, key, private_key)
    }

    fn private_key_open(
        &self,
        token: &Token,
        serial: &SerialNumber,
        key: &KeyIdentity,
        salt: &[u8; 16],
        ciphertext: &[u8],
    ) -> Result<PrivateKey, SealError> {
        self.1.note("private_key_open");
        self.0.private_key_open(token, serial, key, salt, ciphertext)
    }
}

#[async_trait]
impl Store for Recorded<dyn Store> {
    async fn device_find(
        &self,
        serial: &SerialNumber,
    ) -> Result<Option<crate::device::Device>, StoreError> {
        self.1.note("device_find");
        self.0.device_find(serial).await
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        self.1.note("holding_find");
        self.0.holding_find(id).await
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        self.1.note("key_owner");
        self.0.key_owner(key).await
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        self.1.note("token_is_spent");
        self.0.token_is_spent(serial, mac).await
    }

    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        self.1.note("device_commit");
        self.0.device_commit(change).await
    }

    async fn devices_find(
        &self,
        serials: Vec<SerialNumber>,
    ) -> Vec<Result<Option<crate::device::Device>, StoreError>> {
        self.1.note("devices_find");
        self.0.devices_find(serials).await
    }

    async fn devices_commit(&self, changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
        self.1.note("devices_commit");
        self.0.devices_commit(changes).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.0.ready().await
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.1.note("mark_raise");
        self.0.mark_raise(now).await
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        self.1.note("mark_set");
        self.0.mark_set(now, event).await
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        self.1.note("mark_find");
        self.0.mark_find().await
    }
}

#[async_trait]
impl Attempts for Recorded<dyn Attempts> {
    fn attempt_record(&self, attempt: Attempt) {
        self.1.note("attempt_record");
        self.0.attempt_record(attempt);
    }

    fn unknown_count(&self, address: &str, at: Timestamp) {
        self.1.note("unknown_count");
        self.0.unknown_count(address, at);
    }

    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        self.0.attempts_of(serial).await
    }

    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        self.0.attempt_by_code(code).await
    }

    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.0.unknown_since(since).await
    }
}

#[async_trait]
impl Journal for Recorded<dyn Journal> {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        self.1.note("event_record");
        self.0.event_record(event).await
    }

    async fn journal_page(&self, page: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        self.0.journal_page(page).await
    }
}
