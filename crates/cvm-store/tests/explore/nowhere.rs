//! Ports that decide nothing: randomness that counts, and a place for what is written only to be
//! read by people.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use cvm_core::attempt::Attempt;
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::journal::{Event, JournalRow};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Attempts, Entropy, Journal, StoreError};
use cvm_core::time::Timestamp;

/// Bytes that are never the same twice.
#[derive(Default)]
pub(crate) struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        bytes.fill(0xE5);
        for (byte, random) in bytes.iter_mut().zip(number) {
            *byte = random;
        }
    }
}

/// Where what decides nothing goes: attempts and the journal.
pub(crate) struct Nowhere;

#[async_trait]
impl Attempts for Nowhere {
    fn attempt_record(&self, _attempt: Attempt) {}

    fn unknown_count(&self, _address: &str, _at: Timestamp) {}

    async fn attempts_of(&self, _serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        Ok(Vec::new())
    }

    async fn attempt_by_code(&self, _code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        Ok(None)
    }

    async fn unknown_since(&self, _since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Journal for Nowhere {
    async fn event_record(&self, _event: Event) -> Result<(), StoreError> {
        Ok(())
    }

    async fn journal_page(&self, _page: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }
}
