//! What holds when the platform fails for long, or what was said to it lands late.

use cvm_core::certificate::Reason;
use cvm_core::device::Owed;
use cvm_core::iot_platform::IotIssuer;
use cvm_core::ports::{CarryOutError, IotStatus};
use cvm_core::provisioning::{OperatorRefusal, Refusal};
use cvm_core::testing::test_key;
use cvm_core::time::Span;

use crate::stage::Fault;
use crate::world::{SERIAL, World, serial};

#[tokio::test]
async fn what_is_never_made_is_owed_once_and_sought_all_the_same() {
    let world = World::new(IotIssuer::Aws).await;
    world.registry.account.lock().broken.insert("certificate_create");
    world.vend("K").await.unwrap_err();
    // What the first call left.
    world.registry.account.lock().put(b"lost", test_key("K").identity, crate::world::NOW);
    for _ in 0..30 {
        world.wait(61);
        assert!(!world.provisioning.sweep().await.failures.is_empty());
        let owed = world.device().await.owed;
        let [Owed::Orphan { since, .. }] = &owed[..] else { panic!("{owed:?}") };
        assert_eq!(*since, crate::world::NOW);
    }
    world.registry.account.lock().broken.clear();
    // The sweep after the one that makes it ends what was left.
    for _ in 0..3 {
        world.wait(61);
        world.provisioning.sweep().await;
    }
    assert_eq!(world.registry.account.lock().certificates.len(), 1);
    world.settle().await;
    world.check("once it is made").await;
}

#[tokio::test]
async fn what_disable_says_too_late_is_set_back() {
    for minutes in [0, 16] {
        let world = World::new(IotIssuer::Aws).await;
        let id = world.vend("K").await.unwrap().certificate.id;
        // A read, the write, a read, and the call.
        world.stage.plan(Some((3, Fault::FrozenBefore)));
        let slow = tokio::spawn({
            let world = world.clone();
            async move { world.provisioning.device_disable(&serial(), "op").await }
        });
        world.stage.struck.notified().await;
        assert_eq!(world.stage.calls()[3], "certificate_status_set");
        world.provisioning.device_enable(&serial(), "op").await.unwrap();
        // Until all of it is paid, where it takes that long.
        for _ in 0..minutes {
            world.wait(60);
            world.provisioning.sweep().await;
        }
        assert_eq!(world.device().await.owed.is_empty(), minutes > 0);
        world.stage.thaw.notify_one();
        slow.await.unwrap().unwrap();
        assert_eq!(world.active(), [id], "after {minutes} minutes");
    }
}

#[tokio::test]
async fn what_is_enabled_is_told_again_for_fifteen_minutes() {
    let world = World::new(IotIssuer::Aws).await;
    let id = world.vend("K").await.unwrap().certificate.id;
    world.provisioning.device_disable(&serial(), "op").await.unwrap();
    world.provisioning.device_enable(&serial(), "op").await.unwrap();
    for _ in 0..14 {
        // A call lands whose caller is gone.
        world.registry.account.lock().certificates.get_mut(&id).unwrap().certificate.status =
            IotStatus::Inactive;
        world.wait(60);
        world.provisioning.sweep().await;
        assert_eq!(world.active(), [id]);
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_deleted_holds_up_no_other() {
    let world = World::new(IotIssuer::Aws).await;
    world.vend("K").await.unwrap();
    let others = {
        let mut account = world.registry.account.lock();
        let key = test_key("K").identity;
        let ids =
            [&b"one"[..], b"two", b"three"].map(|der| account.put(der, key, crate::world::NOW).id);
        let first = *ids.iter().min().unwrap();
        account.certificates.get_mut(&first).unwrap().things.insert(String::from("theirs"));
        ids.into_iter().filter(|id| *id != first).collect::<Vec<_>>()
    };
    let swept = world.provisioning.sweep().await;
    assert_eq!((swept.failures.len(), swept.orphans), (1, 0));
    let account = world.registry.account.lock();
    assert!(others.iter().all(|id| !account.certificates.contains_key(id)));
}

#[tokio::test]
async fn a_word_that_does_not_reach_the_platform_is_no_success() {
    let world = World::new(IotIssuer::Aws).await;
    let id = world.vend("K").await.unwrap().certificate.id;
    let operator = &world.provisioning;
    world.registry.account.lock().broken.insert("certificate_status_set");
    for _ in 0..2 {
        let told = operator.certificate_revoke(&id, Reason::Unspecified, "op").await;
        assert!(matches!(told, Err(OperatorRefusal::Unavailable(_))), "{told:?}");
        let told = operator.device_disable(&serial(), "op").await;
        assert!(matches!(told, Err(OperatorRefusal::Unavailable(_))), "{told:?}");
    }
    assert!(world.device().await.disabled, "the word is on record");
    assert_eq!(world.active(), [id]);
    // Its session is ended once more when it cannot come back.
    let before = world.registry.account.lock().disconnected.len();
    world.registry.account.lock().broken.clear();
    operator.certificate_revoke(&id, Reason::Unspecified, "op").await.unwrap();
    assert!(world.active().is_empty());
    assert_eq!(world.registry.account.lock().disconnected.len(), before + 1);
    assert_eq!(world.registry.account.lock().disconnected.last().unwrap(), SERIAL);
}

#[tokio::test]
async fn never_counts_its_ten_minutes_from_what_can_be_answered() {
    for broken in ["certificate_create", "thing_attach"] {
        let world = World::never().await;
        world.registry.account.lock().broken.insert(broken);
        world.vend("K").await.unwrap_err();
        world.wait(3_600);
        world.vend("K").await.unwrap_err();
        world.registry.account.lock().broken.clear();
        world.wait(3_600);
        let first = world.vend("K").await.unwrap().certificate.id;
        world.wait(10 * 60);
        assert_eq!(world.vend("K").await.unwrap().certificate.id, first);
        world.wait(1);
        let late = world.vend("K").await.unwrap_err();
        assert!(!matches!(late, Refusal::Unavailable { .. }), "{late:?}");
    }
}

#[tokio::test]
async fn nothing_that_was_left_is_issued_by_a_clock_that_is_not_to_be_trusted() {
    let world = World::new(IotIssuer::Aws).await;
    world.stage.plan(Some((2, Fault::NotSent)));
    world.vend("K").await.unwrap_err();
    // Before the CA's notBefore.
    world.clock.set(crate::world::NOW.minus(Span(2 * Span::DAY.0)));
    world.stage.plan(None);
    world.vend("K").await.unwrap_err();
    world.provisioning.sweep().await;
    assert!(!world.stage.calls().contains(&"certificate_create"));
}

#[tokio::test]
async fn a_certificate_that_is_gone_ends_no_other_reservation() {
    let world = World::new(IotIssuer::Aws).await;
    world.registry.account.lock().policies.insert(String::from("cvm-default"));
    world.stage.plan(Some((8, Fault::NotSent)));
    world.vend("K1").await.unwrap_err();
    // Another request finishes it, slowly.
    world.stage.plan(Some((7, Fault::FrozenBefore)));
    let attempt = world.caller().attempt;
    let slow = tokio::spawn({
        let world = world.clone();
        async move {
            let platform = &world.provisioning.ports().platform;
            platform.certificate_complete(&serial(), attempt).await
        }
    });
    world.stage.struck.notified().await;
    assert_eq!(world.stage.calls()[7], "certificate_status_set");
    world.wait(61);
    world.registry.account.lock().broken.insert("certificate_create");
    world.vend("K2").await.unwrap_err();
    world.registry.account.lock().certificates.clear();
    world.stage.thaw.notify_one();
    assert!(matches!(slow.await.unwrap(), Err(CarryOutError::Conflict)));
    let device = world.device().await;
    assert_eq!(device.reserved().map(|live| live.key), Some(test_key("K2").identity));
}
