//! The mark, policies, readiness.

use cvm_core::operator::Actor;
use cvm_core::policy::Policy;
use cvm_core::provisioning::clock_accept_event;
use cvm_core::time::Timestamp;

use super::given::policy_event;
use crate::Stores;

/// The store can be written to now.
pub async fn a_store_that_is_open_is_ready(stores: Stores) {
    stores.store.ready().await.expect("the store is ready");
}

/// Raising returns what it was before, `None` the first time.
pub async fn the_mark_tells_what_it_was(stores: Stores) {
    assert_eq!(stores.store.mark_find().await.expect("a read"), None);
    assert_eq!(stores.store.mark_raise(Timestamp(5)).await.expect("a write"), None);
    assert_eq!(stores.store.mark_raise(Timestamp(9)).await.expect("a write"), Some(Timestamp(5)));
    assert_eq!(stores.store.mark_find().await.expect("a read"), Some(Timestamp(9)));
}

/// It is raised where it is earlier, by whatever order of calls.
pub async fn the_mark_never_falls(stores: Stores) {
    let tasks: Vec<_> = [7, 3, 30, 1, 22]
        .map(|second| {
            let store = stores.store.clone();
            tokio::spawn(async move { store.mark_raise(Timestamp(second)).await })
        })
        .into();
    for task in tasks {
        task.await.expect("no panic").expect("a write");
    }
    assert_eq!(stores.store.mark_raise(Timestamp(2)).await.expect("a write"), Some(Timestamp(30)));
    assert_eq!(stores.store.mark_find().await.expect("a read"), Some(Timestamp(30)));
}

/// It is set forward or back, each time in one commit with its row, and raised from there.
pub async fn the_mark_is_set_forward_and_back_with_its_row(stores: Stores) {
    let set = async |second| {
        let event = clock_accept_event(None, Timestamp(second), Actor::Server);
        stores.store.mark_set(Timestamp(second), event).await.expect("a write");
        assert_eq!(stores.store.mark_find().await.expect("a read"), Some(Timestamp(second)));
    };
    set(50).await;
    set(20).await;
    assert_eq!(stores.store.mark_raise(Timestamp(30)).await.expect("a write"), Some(Timestamp(20)));
    let rows: Vec<_> = stores.rows().await.into_iter().map(|row| (row.at.0, row.kind)).collect();
    let row = |second| (second, String::from("clock-accepted"));
    assert_eq!(rows, [row(50), row(20)]);
}

/// A policy is put in place of what had its name.
pub async fn a_policy_is_put_in_place_of_its_namesake(stores: Stores) {
    let policy = |document: &str, second| Policy {
        name: "p".parse().expect("a name"),
        document: document.to_owned(),
        updated_at: Timestamp(second),
    };
    let find = async || {
        let name = "p".parse().expect("a name");
        stores.policies.policy_find(&name).await.expect("the read works")
    };
    assert_eq!(find().await, None);
    for policy in [policy("{\"a\":1}", 1), policy("{}", 2)] {
        stores
            .policies
            .policy_put(policy.clone(), policy_event())
            .await
            .expect("the policy is written");
        assert_eq!(find().await, Some(policy));
    }
    let kinds: Vec<String> = stores.rows().await.into_iter().map(|row| row.kind).collect();
    assert_eq!(kinds, ["policy-put", "policy-put"], "each in one commit with its row");
}
