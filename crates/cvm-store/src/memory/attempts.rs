//! Attempts in memory: the last 32 of each device, and counters for serial numbers that nobody
//! registered.

use std::collections::{BTreeMap, HashMap, VecDeque};

use async_trait::async_trait;
use cvm_core::attempt::{ATTEMPTS_PER_DEVICE, Attempt};
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::ports::{Attempts, StoreError};
use cvm_core::time::Timestamp;

use super::MemoryStore;
use crate::unknown;

#[derive(Clone, Default)]
pub(super) struct Attempted {
    by_serial: HashMap<SerialNumber, VecDeque<Attempt>>,
    unknown: BTreeMap<(i64, String), u64>,
}

#[async_trait]
impl Attempts for MemoryStore {
    fn attempt_record(&self, attempt: Attempt) {
        let mut attempted = self.attempted.lock();
        let slots = attempted.by_serial.entry(attempt.serial_number.clone()).or_default();
        slots.push_front(attempt);
        slots.truncate(ATTEMPTS_PER_DEVICE as usize);
    }

    fn unknown_count(&self, address: &str, at: Timestamp) {
        let key = (unknown::minute_of(at), address.to_owned());
        *self.attempted.lock().unknown.entry(key).or_default() += 1;
    }

    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        let attempted = self.attempted.lock();
        let slots = attempted.by_serial.get(serial);
        Ok(slots.map(|slots| slots.iter().cloned().collect()).unwrap_or_default())
    }

    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        let attempted = self.attempted.lock();
        let mut all = attempted.by_serial.values().flatten();
        Ok(all.find(|attempt| attempt.code == code).cloned())
    }

    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        let from = (unknown::minute_of(since), String::new());
        let mut sums = HashMap::<String, u64>::new();
        for ((_, address), count) in self.attempted.lock().unknown.range(from..) {
            *sums.entry(address.clone()).or_default() += count;
        }
        Ok(unknown::most_first(sums))
    }
}
