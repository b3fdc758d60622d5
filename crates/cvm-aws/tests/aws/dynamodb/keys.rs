//! Keys that their device has released, however many they are.

use cvm_core::ports::{Change, CommitError, KeyOwner, KeyRule, Store};
use cvm_store::conformance::given::{change, device, key};

use super::Table;

/// More than one transaction could write.
const MANY: u64 = 130;

fn owning(n: u64, change: Change) -> Change {
    Change { keys: vec![KeyRule::Own(key(n))], ..change }
}

async fn owner(store: &dyn Store, n: u64) -> Option<KeyOwner> {
    store.key_owner(&key(n)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_keys_is_released_in_one_commit() {
    let stores = Table::make().await.open(1);
    stores.commit(change(&device("A"))).await;
    for n in 0..MANY {
        let read = stores.device("A").await;
        stores.commit(owning(n, change(&read))).await;
    }
    let read = stores.device("A").await;
    stores.commit(Change { keys: vec![KeyRule::ReleaseAll], ..change(&read) }).await;
    for n in 0..MANY {
        assert_eq!(owner(&*stores.store, n).await, None, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_devices_that_claim_a_released_key_one_has_it() {
    let stores = Table::make().await.open(1);
    stores.commit(owning(1, change(&device("A")))).await;
    let read = stores.device("A").await;
    stores.commit(Change { keys: vec![KeyRule::ReleaseAll], ..change(&read) }).await;
    let claims = (0..16).map(|n| owning(1, change(&device(&format!("D-{n}")))));
    let answers = stores.race(claims.collect()).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(CommitError::KeyOwned)));
    assert_eq!(refused.count(), 15);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}
