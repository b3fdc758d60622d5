//! Operators' credentials: names, lives, revocations, and the owner who is never the last to go.

use cvm_core::id::TokenMac;
use cvm_core::journal::{Event, EventKind};
use cvm_core::operator::{AdminToken, Role};
use cvm_core::page::PageRequest;
use cvm_core::ports::{CredentialError, CredentialRefusal};
use cvm_core::time::Timestamp;

use super::given::{NOW, digest, policy_event};
use crate::Stores;

const LATER: Timestamp = Timestamp(NOW.0 + 100);

/// A viewer's credential whose hash tells `n`, called as its id.
fn viewer(id: &str, n: u64) -> AdminToken {
    AdminToken {
        id: id.to_owned(),
        name: id.parse().expect("a name"),
        role: Role::Viewer,
        mac: TokenMac(digest(n)),
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
    }
}

fn owner(id: &str, n: u64) -> AdminToken {
    AdminToken { role: Role::Owner, ..viewer(id, n) }
}

fn called(name: &str, token: AdminToken) -> AdminToken {
    AdminToken { name: name.parse().expect("a name"), ..token }
}

fn event(kind: EventKind) -> Event {
    Event { kind, ..policy_event() }
}

impl Stores {
    async fn admit(&self, token: AdminToken) -> Result<(), CredentialError> {
        self.operators.admin_token_add(token, event(EventKind::AdminTokenCreated)).await
    }

    async fn dismiss(&self, id: &str, at: Timestamp) -> Result<(), CredentialError> {
        let event = event(EventKind::AdminTokenRevoked);
        self.operators.admin_token_revoke(id, at, event).await
    }

    async fn add(&self, token: AdminToken) {
        self.admit(token).await.expect("the token is written");
    }

    async fn token(&self, id: &str) -> AdminToken {
        let found = self.operators.admin_token_show(id).await.expect("the read works");
        found.expect("the token is there")
    }

    async fn kinds(&self) -> Vec<String> {
        self.rows().await.into_iter().map(|row| row.kind).collect()
    }
}

/// Why it was refused; a store that cannot is no refusal.
fn refusal(result: Result<(), CredentialError>) -> Option<CredentialRefusal> {
    match result {
        Ok(()) => None,
        Err(CredentialError::Refused(refusal)) => Some(refusal),
        Err(CredentialError::Store(error)) => {
            assert_eq!(format!("{error:?}"), "", "the store failed");
            None
        }
    }
}

/// What is read is what was written.
pub async fn an_admin_token_comes_back_whole(stores: Stores) {
    let whole = |token: &AdminToken| format!("{token:?}");
    for (n, role) in (1..).zip(Role::ALL) {
        let endless = AdminToken { role, ..viewer(&format!("endless-{n}"), n) };
        let ending = viewer(&format!("ending-{n}"), n + 100);
        let ending = AdminToken { role, expires_at: Some(LATER), ..ending };
        for token in [endless, ending] {
            stores.add(token.clone()).await;
            assert_eq!(whole(&stores.token(&token.id).await), whole(&token));
            let found = stores.operators.admin_token_find(&token.mac).await.expect("a read");
            assert_eq!(found.as_ref().map(whole), Some(whole(&token)));
        }
    }
}

/// The credential with this keyed hash or id, and no other.
pub async fn an_admin_token_is_found_by_its_hash_and_its_id(stores: Stores) {
    for (id, n) in [("one", 1), ("two", 2)] {
        stores.add(viewer(id, n)).await;
    }
    let by_hash = async |n| {
        let found = stores.operators.admin_token_find(&TokenMac(digest(n))).await;
        found.expect("the read works").map(|token| token.id)
    };
    assert_eq!(by_hash(2).await.as_deref(), Some("two"));
    assert_eq!(by_hash(3).await, None);
    assert_eq!(stores.token("one").await.id, "one");
    assert!(stores.operators.admin_token_show("three").await.expect("a read").is_none());
}

/// The same credential again changes nothing, and has no second row.
pub async fn an_admin_token_is_added_once(stores: Stores) {
    for _ in 0..2 {
        stores.add(viewer("one", 1)).await;
    }
    assert_eq!(stores.kinds().await, ["admin-token-created"]);
}

/// Another credential with the same id or hash is refused, and the store goes on.
pub async fn an_admin_tokens_id_is_not_given_twice(stores: Stores) {
    stores.add(viewer("one", 1)).await;
    for (id, n) in [("one", 2), ("two", 1)] {
        stores.admit(called("other", viewer(id, n))).await.expect_err("the id or hash is taken");
    }
    stores.store.ready().await.expect("the store is ready");
    assert_eq!(stores.kinds().await, ["admin-token-created"]);
}

/// Another that is live when this one is made has its name.
pub async fn a_live_credentials_name_is_taken(stores: Stores) {
    let ending = AdminToken { expires_at: Some(NOW), ..viewer("ops", 1) };
    for (name, first, n) in [("ops", ending, 2), ("dev", viewer("dev", 3), 4)] {
        stores.add(first).await;
        let second = called(name, owner("second", n));
        assert_eq!(refusal(stores.admit(second).await), Some(CredentialRefusal::NameTaken));
    }
    stores.add(called("Ops", viewer("third", 5))).await;
}

/// Whose last second is over is not live.
pub async fn a_credential_that_time_ended_holds_no_name(stores: Stores) {
    stores.add(AdminToken { expires_at: Some(NOW), ..viewer("ops", 1) }).await;
    let next = AdminToken { created_at: Timestamp(NOW.0 + 1), ..viewer("next", 2) };
    stores.add(called("ops", next)).await;
}

/// Who is revoked is not live.
pub async fn a_revoked_credentials_name_is_free(stores: Stores) {
    stores.add(viewer("ops", 1)).await;
    stores.dismiss("ops", NOW).await.expect("the token is revoked");
    stores.add(called("ops", viewer("next", 2))).await;
}

/// Names are compared in the commit: of any number at once one is added.
pub async fn of_concurrent_credentials_of_one_name_one_is_added(stores: Stores) {
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let (stores, token) = (stores.clone(), viewer(&format!("t-{n}"), n));
            tokio::spawn(async move { stores.admit(called("ops", token)).await })
        })
        .collect();
    let mut added = 0;
    for task in tasks {
        match refusal(task.await.expect("no panic")) {
            None => added += 1,
            refused => assert_eq!(refused, Some(CredentialRefusal::NameTaken)),
        }
    }
    assert_eq!((added, stores.kinds().await.len()), (1, 1));
}

/// Nothing is written of what is refused, and it takes no number.
pub async fn a_refused_credential_writes_nothing(stores: Stores) {
    stores.add(owner("ops", 1)).await;
    for _ in 0..2 {
        assert!(stores.admit(called("ops", viewer("two", 2))).await.is_err());
        assert!(stores.dismiss("ops", LATER).await.is_err());
        assert!(stores.dismiss("none", LATER).await.is_err());
    }
    assert!(stores.operators.admin_token_show("two").await.expect("a read").is_none());
    assert_eq!(stores.token("ops").await.revoked_at, None);
    stores.add(viewer("three", 3)).await;
    let numbers: Vec<_> = stores.rows().await.into_iter().map(|row| row.number).collect();
    assert_eq!(numbers, [1, 2]);
}

/// Its time and its row are there once it is acknowledged.
pub async fn a_revocation_is_in_one_commit_with_its_row(stores: Stores) {
    stores.add(viewer("ops", 1)).await;
    stores.dismiss("ops", LATER).await.expect("the token is revoked");
    assert_eq!(stores.token("ops").await.revoked_at, Some(LATER));
    let found = stores.operators.admin_token_find(&TokenMac(digest(1))).await.expect("a read");
    assert_eq!(found.and_then(|token| token.revoked_at), Some(LATER));
    assert_eq!(stores.kinds().await, ["admin-token-created", "admin-token-revoked"]);
}

/// One that is revoked keeps its first time, and has no second row.
pub async fn a_revoked_credential_stays_as_it_is(stores: Stores) {
    stores.add(owner("boss", 1)).await;
    stores.add(owner("ops", 2)).await;
    for at in [NOW, LATER] {
        stores.dismiss("ops", at).await.expect("nothing to do is no refusal");
    }
    assert_eq!(stores.token("ops").await.revoked_at, Some(NOW));
    assert_eq!(stores.kinds().await.len(), 3);
}

/// There is none with this id.
pub async fn an_unknown_credential_cannot_be_revoked(stores: Stores) {
    assert_eq!(refusal(stores.dismiss("none", NOW).await), Some(CredentialRefusal::Unknown));
    assert_eq!(stores.kinds().await, [""; 0]);
}

/// The only one of an owner that is live stays, however many others there are.
pub async fn the_last_live_owner_is_not_revoked(stores: Stores) {
    let last = Some(CredentialRefusal::LastOwner);
    stores.add(owner("boss", 1)).await;
    stores.add(viewer("ops", 2)).await;
    stores.add(AdminToken { expires_at: Some(LATER), ..owner("guest", 3) }).await;
    let after = Timestamp(LATER.0 + 1);
    assert_eq!(refusal(stores.dismiss("boss", after).await), last, "the other's time is over");
    assert_eq!(refusal(stores.dismiss("guest", after).await), None, "it is not live");
    assert_eq!(refusal(stores.dismiss("boss", NOW).await), last, "the other is revoked");
    stores.add(owner("heir", 4)).await;
    assert_eq!(refusal(stores.dismiss("boss", after).await), None);
    assert_eq!(refusal(stores.dismiss("heir", after).await), last);
}

/// Owners are counted in the commit.
pub async fn of_two_owners_who_revoke_each_other_one_remains(stores: Stores) {
    for (id, n) in [("one", 1), ("two", 2)] {
        stores.add(owner(id, n)).await;
    }
    let tasks = ["one", "two"].map(|id| {
        let stores = stores.clone();
        tokio::spawn(async move { stores.dismiss(id, NOW).await })
    });
    let mut refused = 0;
    for task in tasks {
        refused += usize::from(refusal(task.await.expect("no panic")).is_some());
    }
    assert_eq!(refused, 1);
}

/// In order of their id, whatever became of them.
pub async fn credentials_are_in_order_of_their_id(stores: Stores) {
    for (id, n) in [("d", 1), ("a", 2), ("c", 3), ("b", 4)] {
        stores.add(viewer(id, n)).await;
    }
    stores.dismiss("c", NOW).await.expect("the token is revoked");
    let mut request = PageRequest { after: None, limit: 3 };
    let mut ids = Vec::new();
    loop {
        let page = stores.operators.admin_token_page(&request).await.expect("the read works");
        assert!(page.items.len() <= 3, "a page has more than its limit");
        ids.extend(page.items.into_iter().map(|token| token.id));
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["a", "b", "c", "d"]);
}
