//! The stores' tests: the contract for each of them, and what only `SQLite` has to show.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod alarms;
mod crls;
mod shown;
mod sqlite;
mod traces;
mod use_cases;
mod vectors;

/// The contract, for the store in memory.
mod memory {
    cvm_store::conformance!(|| (cvm_store::Stores::in_memory(), ()));
}

#[tokio::test]
async fn a_store_in_memory_fails_when_told_to() {
    let store = std::sync::Arc::new(cvm_store::MemoryStore::new());
    let stores = cvm_store::Stores::from(store.clone());
    store.fail();
    assert!(stores.store.ready().await.is_err());
    store.recover();
    assert!(stores.store.ready().await.is_ok());
}
