//! The mark, policies, operators' credentials, readiness.

use cvm_core::id::TokenMac;
use cvm_core::operator::{AdminToken, Role};
use cvm_core::policy::Policy;
use cvm_core::time::Timestamp;

use super::given::{NOW, digest, policy_event};
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

fn token(id: &str, n: u64) -> AdminToken {
    let name = "ops".parse().expect("a name");
    let (id, mac) = (id.to_owned(), TokenMac(digest(n)));
    AdminToken { id, name, role: Role::Owner, mac, created_at: NOW }
}

/// The credential with this keyed hash, and no other.
pub async fn an_admin_token_is_found_by_its_hash(stores: Stores) {
    for (id, n) in [("one", 1), ("two", 2)] {
        stores.operators.admin_token_add(token(id, n)).await.expect("the token is written");
    }
    let find = async |n| {
        let found = stores.operators.admin_token_find(&TokenMac(digest(n))).await;
        found.expect("the read works").map(|token| (token.id, token.created_at))
    };
    assert_eq!(find(2).await, Some((String::from("two"), NOW)));
    assert_eq!(find(3).await, None);
}

/// The same credential again changes nothing.
pub async fn an_admin_token_is_added_once(stores: Stores) {
    for _ in 0..2 {
        stores.operators.admin_token_add(token("one", 1)).await.expect("the token is there");
    }
}

/// Another credential with the same id is refused, and the store goes on.
pub async fn an_admin_tokens_id_is_not_given_twice(stores: Stores) {
    stores.operators.admin_token_add(token("one", 1)).await.expect("the token is written");
    stores.operators.admin_token_add(token("one", 2)).await.expect_err("the id is taken");
    stores.operators.admin_token_add(token("two", 1)).await.expect_err("the hash is taken");
    stores.store.ready().await.expect("the store is ready");
}
