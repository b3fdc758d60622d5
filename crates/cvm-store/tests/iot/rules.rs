//! What the protocol's section 5 says, sentence by sentence, where no fault is needed to see it.

use cvm_core::certificate::{CertificateState, Reason};
use cvm_core::device::LEASE;
use cvm_core::id::CertificateId;
use cvm_core::iot_platform::{IotIssuer, PolicyBinding};
use cvm_core::key::{CheckedCsr, CsrError, PublicKey, Subject};
use cvm_core::ports::{IotStatus, Ports};
use cvm_core::provisioning::{Refusal, ThingFate};
use cvm_core::testing::test_key;
use cvm_core::time::Span;

use crate::registry::ENDS;
use crate::stage::Fault;
use crate::world::{NOW, SERIAL, World, serial};

fn ports(world: &World) -> &Ports {
    world.provisioning.ports()
}

#[tokio::test]
async fn twenty_requests_with_one_token_make_one_certificate() {
    for issuer in [IotIssuer::Aws, IotIssuer::OwnCa] {
        let world = World::new(issuer).await;
        let asked = (0..20).map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.vend("K").await })
        });
        let asked: Vec<_> = asked.collect();
        let mut answered = Vec::new();
        for request in asked {
            match request.await.unwrap() {
                Ok(vended) => answered.push(vended.certificate.id),
                Err(Refusal::Unavailable { retry_after, .. }) => assert_eq!(retry_after, Span(2)),
                Err(refusal) => panic!("{refusal}"),
            }
        }
        answered.dedup();
        assert_eq!(answered.len(), 1);
        assert_eq!(world.registry.account.lock().certificates.len(), 1);
        assert_eq!(world.active(), answered);
    }
}

#[tokio::test]
async fn a_vend_by_aws_makes_these_calls_in_this_order() {
    let world = World::new(IotIssuer::Aws).await;
    world.registry.account.lock().policies.insert(String::from("cvm-default"));
    world.stage.plan(None);
    world.vend("K").await.unwrap();
    let calls = world.stage.calls();
    assert_eq!(
        calls,
        [
            "device_find",
            "device_commit",
            "certificate_create",
            "thing_create",
            "device_commit",
            "thing_attach",
            "policy_attach",
            "device_commit",
            "certificate_status_set",
            "device_commit",
        ]
    );
}

#[tokio::test]
async fn a_vend_by_our_own_ca_makes_these_calls_in_this_order() {
    let world = World::new(IotIssuer::OwnCa).await;
    world.registry.account.lock().policies.insert(String::from("cvm-default"));
    world.stage.plan(None);
    world.vend("K").await.unwrap();
    let calls = world.stage.calls();
    assert_eq!(
        calls,
        [
            "device_find",
            "device_commit",
            "certificate_register",
            "thing_create",
            "thing_attach",
            "policy_attach",
            "device_commit",
            "certificate_status_set",
            "device_commit",
        ]
    );
}

#[tokio::test]
async fn while_a_lease_runs_another_request_is_told_to_come_in_two_seconds() {
    let world = World::new(IotIssuer::Aws).await;
    let request = {
        // Frozen in the call that makes the certificate.
        world.stage.plan(Some((2, Fault::FrozenBefore)));
        let world = world.clone();
        tokio::spawn(async move { world.vend("K").await })
    };
    world.stage.struck.notified().await;
    world.wait(LEASE.0 - 1);
    for key in ["K", "another"] {
        match world.vend(key).await {
            Err(Refusal::Unavailable { retry_after, reason, .. }) => {
                assert_eq!((retry_after, reason), (Span(2), "in-progress"));
            }
            other => panic!("{other:?}"),
        }
    }
    world.wait(1);
    let taken_over = world.vend("K").await.unwrap();
    assert!(taken_over.is_new, "it was answered to nobody before");
    world.stage.thaw.notify_one();
    let late = request.await.unwrap().unwrap();
    assert_eq!(late.certificate.id, taken_over.certificate.id);
    world.settle().await;
    world.check("after the takeover").await;
}

#[tokio::test]
async fn what_is_reserved_counts_with_its_key_also_after_its_lease() {
    let world = World::new(IotIssuer::Aws).await;
    world.stage.plan(Some((2, Fault::NotSent)));
    world.vend("K1").await.unwrap_err();
    world.wait(3_600);
    let reserved = world.device().await;
    assert_eq!(reserved.unproven().unwrap().key, test_key("K1").identity);
    assert!(reserved.live_in(CertificateState::Unconfirmed).is_some());
    // Under `until-confirmed` another key takes its place; nothing of the first is left.
    let second = world.vend("K2").await.unwrap();
    world.settle().await;
    world.check("after another key").await;
    assert_eq!(world.active(), [second.certificate.id]);
}

#[tokio::test]
async fn the_life_is_the_profiles_where_aws_chooses_not_after() {
    let world = World::new(IotIssuer::Aws).await;
    let first = world.vend("K").await.unwrap();
    assert_eq!(first.certificate.not_after, ENDS);
    let year = 365 * Span::DAY.0;
    let after = first.renew_after.since(NOW).0;
    assert!((year / 2..year).contains(&after), "renew after {after} s");
    // The same bytes while a tenth of that life is left, then a new one.
    world.wait(year / 10 * 9);
    assert_eq!(world.vend("K").await.unwrap().certificate.id, first.certificate.id);
    world.wait(year / 10 / 2);
    let second = world.vend("K").await.unwrap();
    assert_ne!(second.certificate.id, first.certificate.id);
    world.settle().await;
    world.check("after the last tenth").await;
}

#[tokio::test]
async fn a_subject_that_aws_would_copy_is_refused_and_ed25519_too() {
    let ed25519 = [&[0x30, 0x2A, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70][..], &[0; 35]].concat();
    let thing = SERIAL.parse().unwrap();
    let asked = |subject| CheckedCsr { key: test_key("K"), subject };
    let aws = World::new(IotIssuer::Aws).await;
    let judge = |csr: &CheckedCsr| ports(&aws).platform.request_judge(csr, &thing);
    let name = |text: &str| Subject::CommonName(text.to_owned());
    assert_eq!(judge(&asked(Subject::Empty)), Ok(()));
    assert_eq!(judge(&asked(name(SERIAL))), Ok(()));
    for bad in [Subject::Other, name("another"), name("sn-1"), name("")] {
        assert_eq!(judge(&asked(bad)), Err(CsrError::Subject));
    }
    let key = PublicKey { spki: ed25519, ..test_key("K") };
    let edwards = CheckedCsr { key, subject: Subject::Empty };
    assert_eq!(judge(&edwards), Err(CsrError::Platform));
    let ours = World::new(IotIssuer::OwnCa).await;
    let platform = &ports(&ours).platform;
    for csr in [edwards, asked(Subject::Other)] {
        assert_eq!(platform.request_judge(&csr, &thing), Ok(()));
    }
}

#[tokio::test]
async fn a_request_that_aws_refuses_leaves_the_token_free_for_another_key() {
    let world = World::new(IotIssuer::Aws).await;
    assert_eq!(world.vend("refused").await.unwrap_err(), Refusal::KeyNotAcceptable);
    assert!(world.device().await.live.is_empty());
    world.vend("K").await.unwrap();
    world.settle().await;
    world.check("after the refusal").await;
}

#[tokio::test]
async fn a_word_is_told_to_the_platform_before_it_is_answered() {
    let world = World::new(IotIssuer::Aws).await;
    let id = world.vend("K").await.unwrap().certificate.id;
    let status =
        |id: &CertificateId| world.registry.account.lock().certificates[id].certificate.status;
    let operator = &world.provisioning;
    operator.device_disable(&serial(), "op").await.unwrap();
    assert_eq!(status(&id), IotStatus::Inactive);
    operator.device_enable(&serial(), "op").await.unwrap();
    assert_eq!(status(&id), IotStatus::Active);
    operator.certificate_revoke(&id, Reason::Unspecified, "op").await.unwrap();
    assert_eq!(status(&id), IotStatus::Revoked);
    assert!(world.registry.account.lock().certificates[&id].policies.is_empty());
    assert_eq!(world.registry.account.lock().disconnected, [SERIAL, SERIAL]);
}

#[tokio::test]
async fn what_comes_back_active_is_revoked_again_for_fifteen_minutes() {
    let world = World::new(IotIssuer::Aws).await;
    let id = world.vend("K").await.unwrap().certificate.id;
    world.provisioning.certificate_revoke(&id, Reason::Unspecified, "op").await.unwrap();
    let disturb = || {
        let mut account = world.registry.account.lock();
        account.certificates.get_mut(&id).unwrap().certificate.status = IotStatus::Active;
    };
    for _ in 0..14 {
        disturb();
        world.wait(60);
        world.provisioning.sweep().await;
        assert!(world.active().is_empty());
    }
    world.settle().await;
    world.check("after fifteen minutes").await;
}

#[tokio::test]
async fn a_deleted_device_leaves_no_thing_and_a_thing_of_others_is_left_alone() {
    let world = World::new(IotIssuer::Aws).await;
    world.vend("K").await.unwrap();
    world.provisioning.device_delete(&serial(), ThingFate::Remove, "op").await.unwrap();
    assert!(world.registry.account.lock().things.is_empty());
    world.settle().await;
    world.check("after the deletion").await;

    let world = World::new(IotIssuer::Aws).await;
    world.registry.account.lock().foreign_things.insert(SERIAL.to_owned());
    world.vend("K").await.unwrap_err();
    assert!(world.active().is_empty());
    assert_eq!(world.registry.account.lock().certificates.len(), 1);
    // Once it is out of the way, what was begun is finished.
    world.registry.account.lock().foreign_things.clear();
    world.vend("K").await.unwrap();
    assert_eq!(world.registry.account.lock().certificates.len(), 1);
}

#[tokio::test]
async fn what_others_have_in_the_account_is_never_touched() {
    let world = World::new(IotIssuer::Aws).await;
    world.vend("K").await.unwrap();
    let theirs = {
        let mut account = world.registry.account.lock();
        let strangers = account.put(b"a stranger's", test_key("strange").identity, NOW).id;
        let actives = account.put(b"a working one's", test_key("K").identity, NOW).id;
        account.certificates.get_mut(&actives).unwrap().certificate.status = IotStatus::Active;
        [strangers, actives]
    };
    world.settle().await;
    let kept = world.registry.account.lock().certificates.clone();
    assert!(theirs.iter().all(|id| kept.contains_key(id)));
}

#[tokio::test]
async fn a_device_may_have_a_policy_of_its_own() {
    let world = World::with(IotIssuer::OwnCa, PolicyBinding::PerDevice).await;
    let id = world.vend("K").await.unwrap().certificate.id;
    let bound = world.registry.account.lock().certificates[&id].policies.clone();
    assert_eq!(bound.into_iter().collect::<Vec<_>>(), [SERIAL]);
}

#[tokio::test]
async fn a_bracket_that_is_over_sixty_seconds_old_is_taken_anew_before_anything_is_activated() {
    for (seconds, then) in [
        (60, &["certificate_status_set", "device_commit"][..]),
        (61, &["device_commit", "certificate_status_set", "device_commit"]),
    ] {
        let world = World::new(IotIssuer::Aws).await;
        world.registry.account.lock().policies.insert(String::from("cvm-default"));
        world.stage.plan(Some((7, Fault::FrozenAfter)));
        let vend = tokio::spawn({
            let world = world.clone();
            async move { world.vend("K").await }
        });
        world.stage.struck.notified().await;
        world.wait(seconds);
        world.stage.thaw.notify_one();
        vend.await.unwrap().unwrap();
        assert_eq!(&world.stage.calls()[8..], then, "after {seconds} s");
    }
}
