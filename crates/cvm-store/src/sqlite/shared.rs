//! What the threads of a store tell the outside: whether it can be written to, and counts.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::counters::Counters;
use crate::error::Failure;

/// What the writer shares with the store.
pub(super) struct Shared {
    pub(super) counters: Arc<Counters>,
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
        self.counters.set_down(true);
    }

    pub(super) fn set_up(&self) {
        *self.down.lock() = None;
        self.counters.set_down(false);
    }
}
