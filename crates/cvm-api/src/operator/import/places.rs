//! How many imports and batches there may be at the same time. An import may last as long as its
//! lines come, and holds a place among all requests meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// At the same time, of one admin token. Two batches are registered at once, of all imports, so that
/// more imports than a few are no quicker; a few more have hung up and are not missed yet.
const IMPORTS_AT_ONCE: usize = 8;

/// Batches that are registered at the same time, of all imports: the store takes what comes in the
/// order in which it comes, and a vend waits behind these.
const BATCHES_AT_ONCE: usize = 2;

/// The places of all imports.
pub(crate) struct Imports {
    batches: Semaphore,
    /// How many imports are going, by the id of the admin token.
    going: Mutex<HashMap<String, usize>>,
}

impl Default for Imports {
    fn default() -> Self {
        Self { batches: Semaphore::new(BATCHES_AT_ONCE), going: Mutex::default() }
    }
}

impl Imports {
    /// Waits for the place of a batch; it is never closed, so there is always one in the end.
    pub(super) async fn batch(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.batches.acquire().await
    }

    /// A place for an import of `operator`, until it is dropped; none where they have all of theirs.
    pub(super) fn begin(self: &Arc<Self>, operator: &str) -> Option<ImportPlace> {
        let mut going = self.going.lock();
        let count = going.entry(operator.to_owned()).or_default();
        if *count >= IMPORTS_AT_ONCE {
            return None;
        }
        *count += 1;
        Some(ImportPlace { imports: Arc::clone(self), operator: operator.to_owned() })
    }
}

/// A place that is taken.
pub(super) struct ImportPlace {
    imports: Arc<Imports>,
    operator: String,
}

impl Drop for ImportPlace {
    fn drop(&mut self) {
        let mut going = self.imports.going.lock();
        if let Some(count) = going.get_mut(&self.operator) {
            *count -= 1;
            if *count == 0 {
                going.remove(&self.operator);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_has_as_many_imports_as_they_may_and_others_have_their_own() {
        let imports = Arc::new(Imports::default());
        let mut held: Vec<_> =
            (0..IMPORTS_AT_ONCE).map(|_| imports.begin("one").unwrap()).collect();
        assert!(imports.begin("one").is_none());
        assert!(imports.begin("two").is_some());
        held.pop();
        held.push(imports.begin("one").unwrap());
        assert!(imports.begin("one").is_none());
        drop(held);
        assert!(imports.going.lock().is_empty(), "who has none is not remembered");
    }
}
