//! Nonces that were used, in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cvm_core::nonce::Nonce;
use cvm_core::ports::{NonceUse, Nonces, StoreError};
use cvm_core::time::Timestamp;

use super::MemoryStore;

/// Those that were used and are still good.
pub(super) type Used = BTreeSet<Nonce>;

#[async_trait]
impl Nonces for MemoryStore {
    async fn nonce_use(&self, nonce: &Nonce, now: Timestamp) -> Result<NonceUse, StoreError> {
        let mut state = self.state()?;
        state.used_nonces.retain(|used| used.expires_at() >= now);
        Ok(if state.used_nonces.insert(*nonce) { NonceUse::First } else { NonceUse::Again })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_over_is_let_go_of() {
        let store = MemoryStore::new();
        for n in 0..10_u8 {
            let at = Timestamp(i64::from(n) * 1_000);
            store.nonce_use(&Nonce::new(at, [n; 16]), at).await.unwrap();
        }
        assert_eq!(store.state.lock().used_nonces.len(), 1);
    }
}
