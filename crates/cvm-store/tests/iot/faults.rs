//! Every fault at every call of every use case.

use std::sync::Arc;

use cvm_core::id::CertificateId;
use cvm_core::iot_platform::IotIssuer;

use crate::acts::{Act, Ended};
use crate::stage::Fault;
use crate::world::World;

/// One act with one fault; `false` once the act has no such call.
async fn strike(issuer: IotIssuer, act: Act, at: usize, fault: Fault) -> bool {
    let world = World::new(issuer).await;
    let before = act.prepare(&world).await;
    world.stage.plan(Some((at, fault)));
    let mut answered = Vec::new();
    let mut task = tokio::spawn(act.run(world.clone(), before));
    let told = tokio::select! {
        ended = &mut task => Some(ended.unwrap()),
        () = world.stage.struck.notified() => None,
    };
    let calls = world.stage.calls();
    let Some(name) = calls.get(at).copied() else {
        return false;
    };
    let context = format!("{issuer:?} {act:?}: {fault:?} at call {at}, {name}");
    let told = match told {
        Some(told) => told,
        None => interrupted(&world, act, before, (task, fault, &mut answered)).await,
    };
    if let Ended::Done(Some(id)) = told {
        answered.push(id);
    }
    answered.extend(act.insist(&world, before).await);
    world.settle().await;
    world.check(&context).await;
    let active = world.active();
    let expected = match act {
        Act::Delete | Act::Disable | Act::NewToken | Act::Revoke => 0,
        Act::Enable | Act::Replace | Act::Sweep | Act::Vend | Act::VendServerKey => 1,
        Act::Renew => 2,
    };
    // A reservation that nobody asks for again is finished by the sweeper.
    assert_eq!(active.len(), expected, "{context}");
    answered.dedup();
    assert!(answered.len() <= 1 || act == Act::VendServerKey, "{context}: {answered:?}");
    assert!(answered.last().is_none_or(|id| active.contains(id)), "{context}");
    // Nothing was ACTIVE beside another that it takes the place of.
    let most = world.registry.account.lock().active_max;
    assert!(most <= expected.max(1), "{context}: {most} were ACTIVE at once");
    true
}

/// The process is killed, or frozen while another one takes over.
async fn interrupted(
    world: &Arc<World>,
    act: Act,
    before: Option<CertificateId>,
    (task, fault, answered): (tokio::task::JoinHandle<Ended>, Fault, &mut Vec<CertificateId>),
) -> Ended {
    if matches!(fault, Fault::KilledAfter | Fault::KilledBefore) {
        task.abort();
        drop(task.await);
        return Ended::NotNow;
    }
    world.wait(61);
    answered.extend(act.insist(world, before).await);
    world.stage.thaw.notify_one();
    task.await.unwrap()
}

async fn strike_everywhere(issuer: IotIssuer) {
    let mut struck = 0;
    for act in Act::ALL {
        for fault in Fault::ALL {
            let mut at = 0;
            while strike(issuer, act, at, fault).await {
                at += 1;
            }
            assert!(at > 0, "{act:?} makes no call");
            struck += at;
        }
    }
    assert!(struck > 400, "only {struck} faults struck");
}

#[tokio::test]
async fn whatever_fails_one_certificate_of_awss_is_active_bound_and_recorded() {
    strike_everywhere(IotIssuer::Aws).await;
}

#[tokio::test]
async fn whatever_fails_one_certificate_of_ours_is_active_bound_and_recorded() {
    strike_everywhere(IotIssuer::OwnCa).await;
}
