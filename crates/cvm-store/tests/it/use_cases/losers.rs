//! Who loses a key loses it once: not again to somebody who has it no more, and nothing of it comes
//! back.

use cvm_core::device::Device;
use cvm_core::journal::EventKind;
use cvm_core::provisioning::ThingFate;

use super::*;

const TWO_YEARS: Span = Span(2 * 365 * 86_400);

impl World {
    async fn record(&self, serial: &str) -> Device {
        self.ports.store.device_find(&serial.parse().unwrap()).await.unwrap().unwrap()
    }

    async fn delete(&self, serial: &str) {
        let serial = serial.parse().unwrap();
        self.provisioning.device_delete(&serial, ThingFate::Remove, "operator-1").await.unwrap();
    }

    /// Confirms, and the process ends between the answer and what follows from it.
    async fn confirm_and_crash(&self, id: CertificateId) {
        let (result, _never_run) = self.provisioning.confirm(Some(id), &caller()).await;
        result.unwrap();
    }

    /// A world in which SN-1 holds an expired claim to the key `K`, which nobody has written as
    /// expired, and `others` are registered.
    async fn with_an_expired_claim(others: &[&str]) -> Self {
        let world = Self::new().await;
        world.register("SN-1").await;
        world.issued("SN-1", "K").await;
        world.clock.set(NOW.plus(TWO_YEARS));
        for serial in others {
            world.register(serial).await;
        }
        world
    }
}

#[tokio::test]
async fn a_claim_that_has_expired_is_not_contested_for_ever() {
    let world = World::with_an_expired_claim(&["SN-2"]).await;
    let won = world.issued("SN-2", "K").await;
    world.confirm(won).await.unwrap();
    assert_eq!(world.record("SN-2").await.contested, []);
    assert_eq!(world.record("SN-2").await.due_at(), None, "no sweep looks at it again");
}

#[tokio::test]
async fn whose_key_it_was_takes_it_from_nobody_who_proves_it_later() {
    let world = World::with_an_expired_claim(&["SN-2", "SN-3"]).await;
    let won = world.issued("SN-2", "K").await;
    world.confirm_and_crash(won).await;
    // The board goes on under another serial number.
    world.delete("SN-2").await;
    let next = world.issued("SN-3", "K").await;
    world.confirm(next).await.unwrap();
    world.provisioning.sweep().await;
    assert_eq!(world.stored_state(next).await, CertificateState::Current);
    assert_eq!(world.confirm(next).await, Ok(()));
}

#[tokio::test]
async fn what_is_nobodys_any_more_is_not_taken_by_what_follows_late() {
    let world = World::new().await;
    for serial in ["SN-1", "SN-2"] {
        world.register(serial).await;
    }
    let won = world.issued("SN-1", "K").await;
    let (result, late) = world.provisioning.confirm(Some(won), &caller()).await;
    result.unwrap();
    world.delete("SN-1").await;
    let next = world.issued("SN-2", "K").await;
    world.confirm(next).await.unwrap();
    world.provisioning.follow(late).await;
    assert_eq!(world.stored_state(next).await, CertificateState::Current);
}

#[tokio::test]
async fn what_was_lost_does_not_come_back_with_its_winners_deletion() {
    let world = World::new().await;
    for serial in ["SN-1", "SN-2"] {
        world.register(serial).await;
    }
    let lost = world.issued("SN-1", "K").await;
    let won = world.issued("SN-2", "K").await;
    world.confirm_and_crash(won).await;
    world.delete("SN-2").await;
    assert_eq!(world.stored_state(lost).await, CertificateState::Revoked);
    assert_eq!(world.confirm(lost).await, Err(Refusal::CertificateRevoked));
    let lost = EventKind::CertificateKeyLost.as_str();
    assert_eq!(world.kinds().await.iter().filter(|kind| *kind == lost).count(), 1);
}
