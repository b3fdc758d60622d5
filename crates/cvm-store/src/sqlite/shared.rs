//! What the threads of a store tell the outside: whether it can be written to, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::error::Failure;

/// Counts since the store was opened, for metrics and tests.
#[derive(Debug, Default)]
pub struct Counters {
    attempts_dropped: AtomicU64,
    commits: AtomicU64,
    writes: AtomicU64,
}

impl Counters {
    /// Attempts that were lost because too many came at once or the disk would not take them.
    #[must_use]
    pub fn attempts_dropped(&self) -> u64 {
        self.attempts_dropped.load(Ordering::Relaxed)
    }

    /// Transactions that were committed, each with one sync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Writes that shared those transactions.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    pub(super) fn drop_attempts(&self, count: usize) {
        self.attempts_dropped.fetch_add(widened(count), Ordering::Relaxed);
    }
}

/// What the writer shares with the store.
pub(super) struct Shared {
    counters: Arc<Counters>,
    down: Mutex<Option<Failure>>,
}

impl Shared {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self { counters, down: Mutex::new(None) }
    }

    /// Why the store cannot be written to now, if so.
    pub(super) fn down(&self) -> Option<Failure> {
        self.down.lock().clone()
    }

    pub(super) fn set_down(&self, failure: Failure) {
        *self.down.lock() = Some(failure);
    }

    pub(super) fn set_up(&self) {
        *self.down.lock() = None;
    }

    pub(super) fn count_commit(&self, writes: usize) {
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.counters.writes.fetch_add(widened(writes), Ordering::Relaxed);
    }
}

fn widened(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
