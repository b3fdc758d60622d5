//! Ports that are counted on their way to the real ones.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::attempt::{Act, Attempt};
use cvm_core::certificate::IssuerId;
use cvm_core::id::{AttemptCode, Name, SerialNumber, ThingName};
use cvm_core::journal::{Event, JournalRow};
use cvm_core::key::{CheckedCsr, CsrError, KeyAlgorithm, PrivateKey, PublicKey};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{
    Attempts, CarryOutError, Change, CommitError, IssueOrder, Issued, IssuerError, Journal,
    KeyMaker, NewCrl, Platform, Revocations, Revoked, Sought, StoreError, StoredCrl,
};
use cvm_core::time::Timestamp;

use super::Metrics;

/// A port, and where what it did is counted.
pub(crate) struct Counted<T: ?Sized> {
    port: Arc<T>,
    metrics: Arc<Metrics>,
}

impl<T: ?Sized> Counted<T> {
    /// The same port, counted.
    pub(crate) fn new(port: Arc<T>, metrics: &Arc<Metrics>) -> Self {
        Self { port, metrics: metrics.clone() }
    }
}

#[async_trait]
impl Platform for Counted<dyn Platform> {
    fn request_judge(&self, csr: &CheckedCsr, thing: &ThingName) -> Result<(), CsrError> {
        self.port.request_judge(csr, thing)
    }

    fn owe(&self, change: &mut Change) {
        self.port.owe(change);
    }

    async fn certificate_issue(&self, order: IssueOrder<'_>) -> Result<Issued, CarryOutError> {
        let issued = self.port.certificate_issue(order).await?;
        self.metrics.certificates_issued.inc();
        Ok(issued)
    }

    async fn certificate_complete(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<(), CarryOutError> {
        self.port.certificate_complete(serial, attempt).await
    }

    async fn device_settle(
        &self,
        serial: &SerialNumber,
        attempt: AttemptCode,
    ) -> Result<Vec<Sought>, CarryOutError> {
        self.port.device_settle(serial, attempt).await
    }

    async fn orphans_end(&self, sought: &[Sought]) -> Result<usize, CarryOutError> {
        self.port.orphans_end(sought).await
    }

    async fn policy_is_known(&self, policy: &Name) -> Result<bool, CarryOutError> {
        self.port.policy_is_known(policy).await
    }
}

#[async_trait]
impl Journal for Counted<dyn Journal> {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        let recorded = self.port.event_record(event).await;
        recorded.inspect_err(|_| self.metrics.journal_failures.inc())
    }

    async fn journal_page(&self, page: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        self.port.journal_page(page).await
    }
}

/// What attempts are certain to become of now and then.
pub(super) const USUAL_OUTCOMES: [(Act, &str); 5] = [
    (Act::Confirm, "confirmed"),
    (Act::Renew, "answered-again"),
    (Act::Renew, "issued"),
    (Act::Vend, "answered-again"),
    (Act::Vend, "issued"),
];

#[async_trait]
impl Attempts for Counted<dyn Attempts> {
    fn attempt_record(&self, attempt: Attempt) {
        self.metrics.attempt(attempt.act, &attempt.outcome, &attempt.reason).inc();
        self.port.attempt_record(attempt);
    }

    fn unknown_count(&self, address: &str, at: Timestamp) {
        self.metrics.unknown_callers.inc();
        self.port.unknown_count(address, at);
    }

    async fn settled(&self) {
        self.port.settled().await;
    }

    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        self.port.attempts_of(serial).await
    }

    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        self.port.attempt_by_code(code).await
    }

    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.port.unknown_since(since).await
    }
}

#[async_trait]
impl KeyMaker for Counted<dyn KeyMaker> {
    async fn key_make(
        &self,
        algorithm: KeyAlgorithm,
    ) -> Result<(PrivateKey, PublicKey), IssuerError> {
        let waiting = &self.metrics.keys_waiting;
        waiting.inc();
        // Whoever asked may go away, and this be dropped.
        let _until = Until(|| waiting.dec());
        let made = self.port.key_make(algorithm).await;
        match &made {
            Ok(_) => self.metrics.keys_made.with_label_values(&[algorithm.as_str()]).inc(),
            Err(_) => self.metrics.key_failures.inc(),
        }
        made
    }

    fn csr_make(&self, key: &PrivateKey) -> Result<Vec<u8>, IssuerError> {
        self.port.csr_make(key)
    }
}

struct Until<F: FnMut()>(F);

impl<F: FnMut()> Drop for Until<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[async_trait]
impl Revocations for Counted<dyn Revocations> {
    async fn crl_find(
        &self,
        issuer: &IssuerId,
        shard: u8,
    ) -> Result<Option<StoredCrl>, StoreError> {
        self.port.crl_find(issuer, shard).await
    }

    async fn crl_put(&self, crl: NewCrl) -> Result<(), CommitError> {
        self.port.crl_put(crl).await?;
        self.metrics.crls_signed.inc();
        Ok(())
    }

    async fn due_crls(
        &self,
        signed_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(IssuerId, u8)>, StoreError> {
        self.port.due_crls(signed_until, limit).await
    }

    async fn revoked_of(
        &self,
        issuer: &IssuerId,
        shard: u8,
        not_after_from: Timestamp,
    ) -> Result<Revoked, StoreError> {
        self.port.revoked_of(issuer, shard, not_after_from).await
    }
}
