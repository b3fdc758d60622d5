//! Tokens in hands that they were not meant for, and operators who say one thing after another.

use async_trait::async_trait;
use cvm_core::device::{Device, Fate, Verdict};
use cvm_core::id::{KeyIdentity, TokenMac};
use cvm_core::journal::Event;
use cvm_core::ports::{Change, CommitError, Holding, KeyOwner, Store, StoreError};
use cvm_core::profile::Reissue;
use cvm_core::provisioning::{GiveToken, Whom};
use parking_lot::Mutex;

use super::*;

impl World {
    async fn renew(&self, id: CertificateId, key: &str) -> Result<CertificateId, Refusal> {
        let csr = test_csr(key);
        let (result, follow_up) = self.provisioning.renew(Some(id), Some(&csr), &caller()).await;
        self.provisioning.follow(follow_up).await;
        result.map(|vended| vended.certificate.id)
    }
}

async fn give(
    provisioning: &Provisioning,
    token: Token,
    fate: Fate,
) -> Result<Device, OperatorRefusal> {
    let token = NewToken::Brought(token);
    let give = GiveToken { token, expires: None, fate, whom: Whom::Any };
    let given = provisioning.device_new_token(&"SN-1".parse().unwrap(), give, "operator-1").await;
    given.map(|given| given.device)
}

#[tokio::test]
async fn a_burnt_token_uses_up_nothing_that_its_device_needs() {
    let world = World::with(Profile::default(), "3/1h").await;
    world.register("SN-1").await;
    let id = world.issued("SN-1", "K").await;
    world.confirm(id).await.unwrap();
    world.clock.set(NOW.plus(Span(2 * 3_600)));
    let mut slugs = Vec::new();
    for _ in 0..4 {
        // The thief names the device's public key, and cannot sign with it.
        slugs.push(world.vend("SN-1", Ask::Csr(test_bad_csr("K"))).await.unwrap_err().slug());
    }
    assert_eq!(slugs, ["access-denied", "access-denied", "access-denied", "slow-down"]);
    assert!(world.renew(id, "K2").await.is_ok());
}

#[tokio::test]
async fn a_denied_key_stays_denied_when_the_token_is_released() {
    let profile = Profile { server_keys: true, reissue: Reissue::Approval, ..Profile::default() };
    let world = World::with(profile, "1000000/1s").await;
    world.register("SN-1").await;
    world.vend("SN-1", Ask::ServerKey(KeyAlgorithm::EcP256)).await.unwrap();
    let asked = world.vend("SN-1", Ask::Csr(test_csr("thief"))).await.unwrap_err();
    let review = asked.review().unwrap();
    world.provisioning.review_decide(review, Verdict::Deny, "operator-1").await.unwrap();
    // The sealed key's time is over: the token is good for one new key.
    world.clock.set(NOW.plus(Span(901)));
    let refused = world.vend("SN-1", Ask::Csr(test_csr("thief"))).await.unwrap_err();
    assert_eq!((refused.slug(), refused.reason()), ("already-issued", "key-denied"));
    assert!(world.vend("SN-1", Ask::Csr(test_csr("K"))).await.unwrap().is_new);
}

#[tokio::test]
async fn the_current_certificate_is_answered_and_not_the_retiring_one_of_the_same_key() {
    for reissue in [Reissue::Always, Reissue::Approval] {
        let world = World::with(Profile { reissue, ..Profile::default() }, "1000000/1s").await;
        world.register("SN-1").await;
        let first = world.issued("SN-1", "K").await;
        world.confirm(first).await.unwrap();
        let second = world.renew(first, "K").await.unwrap();
        world.confirm(second).await.unwrap();
        assert_eq!(world.stored_state(first).await, CertificateState::Retiring);
        assert_eq!(world.issued("SN-1", "K").await, second);
    }
}

#[tokio::test]
async fn the_word_to_revoke_holds_where_the_token_was_given_before_without_it() {
    let world = World::new().await;
    world.register("SN-1").await;
    let id = world.issued("SN-1", "K").await;
    world.confirm(id).await.unwrap();
    give(&world.provisioning, token("second"), Fate::Keep).await.unwrap();
    assert_eq!(world.confirm(id).await, Ok(()));
    let said = give(&world.provisioning, token("second"), Fate::Revoke).await.unwrap();
    assert_eq!(world.confirm(id).await, Err(Refusal::CertificateRevoked));
    // Said again, for want of an answer, it ends nothing that the new token obtained.
    let ask = Ask::Csr(test_csr("K2"));
    let request = VendRequest { serial_number: "SN-1".into(), token: token("second"), ask };
    let (vended, _) = world.provisioning.vend(request, &caller()).await;
    let again = give(&world.provisioning, token("second"), Fate::Revoke).await.unwrap();
    assert_eq!(again.version, said.version + 1, "the vend, and nothing else");
    assert_eq!(world.confirm(vended.unwrap().certificate.id).await, Ok(()));
}

/// A store over which another operator gives a fifth token right after it was asked whether a
/// token is spent.
struct Raced {
    store: Arc<MemoryStore>,
    other: Mutex<Option<Provisioning>>,
}

#[async_trait]
impl Store for Raced {
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError> {
        self.store.device_find(serial).await
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        self.store.holding_find(id).await
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        self.store.key_owner(key).await
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        let is_spent = self.store.token_is_spent(serial, mac).await;
        let other = self.other.lock().take();
        if let Some(other) = other {
            give(&other, token("fifth"), Fate::Keep).await.unwrap();
        }
        is_spent
    }

    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        self.store.device_commit(change).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.store.mark_raise(now).await
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        self.store.mark_set(now, event).await
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store.mark_find().await
    }
}

#[tokio::test]
async fn a_burnt_token_that_loses_its_slot_meanwhile_stays_burnt() {
    let world = World::new().await;
    world.register("SN-1").await;
    for name in ["second", "third", "fourth"] {
        give(&world.provisioning, token(name), Fate::Keep).await.unwrap();
    }
    let over =
        |ports: Ports| Provisioning::new(ports, Profiles::default(), "1000000/1s".parse().unwrap());
    let other = Mutex::new(Some(over(world.ports.clone())));
    let raced = Arc::new(Raced { store: world.store.clone(), other });
    let racer = over(Ports { store: raced, ..world.ports.clone() });
    let given = give(&racer, token("SN-1"), Fate::Keep).await;
    assert!(matches!(given, Err(OperatorRefusal::TokenReused)), "{given:?}");
    let device = world.ports.store.device_find(&"SN-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(device.newest_token().unwrap().generation, 5, "the other operator's");
}

#[tokio::test]
async fn nobody_is_asked_about_a_key_that_could_not_be_certified_anyway() {
    let profile = Profile { reissue: Reissue::Approval, ..Profile::default() };
    let world = World::with(profile, "1000000/1s").await;
    world.register("SN-1").await;
    world.register("SN-2").await;
    let others = world.issued("SN-2", "another device's").await;
    world.confirm(others).await.unwrap();
    world.issued("SN-1", "K").await;
    for key in ["another device's", "the server's"] {
        let refused = world.vend("SN-1", Ask::Csr(test_csr(key))).await.unwrap_err();
        assert_eq!(refused, Refusal::KeyNotAcceptable, "{key}");
    }
    let device = world.ports.store.device_find(&"SN-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(device.review, None);
}

#[tokio::test]
async fn what_time_ended_is_the_servers_whoever_writes_it_down() {
    let world = World::new().await;
    world.register("SN-1").await;
    let first = world.issued("SN-1", "K").await;
    world.confirm(first).await.unwrap();
    let second = world.renew(first, "K2").await.unwrap();
    world.confirm(second).await.unwrap();
    world.clock.set(NOW.plus(Span(301)));
    let serial = "SN-1".parse().unwrap();
    world.provisioning.device_disable(&serial, "operator-1").await.unwrap();
    let page = PageRequest { after: None, limit: 1_000 };
    let rows = world.ports.journal.journal_page(&page).await.unwrap().items;
    let row = rows.iter().find(|row| row.kind == "certificate-superseded").unwrap();
    assert_eq!((row.actor.as_str(), row.certificate), ("server", Some(first)));
}
