//! An operator's word while a request is under way, at every call of it: what the request says to
//! the platform afterwards is set back before its answer, without any sweep.

use cvm_core::iot_platform::IotIssuer;

use crate::acts::{Act, Ended};
use crate::stage::Fault;
use crate::world::World;

/// `false` once a vend has no such call.
async fn interrupt(issuer: IotIssuer, word: Act, at: usize, fault: Fault) -> bool {
    let world = World::new(issuer).await;
    world.stage.plan(Some((at, fault)));
    let mut vend = tokio::spawn({
        let world = world.clone();
        async move { world.vend("K1").await }
    });
    tokio::select! {
        _ = &mut vend => return false,
        () = world.stage.struck.notified() => {}
    }
    let context = format!("{issuer:?} {word:?}: {fault:?} at call {at}");
    // What was finished before the word may still be on its way.
    let struck = world.device().await;
    let was_finished = struck.reservation.is_none() && !struck.live.is_empty();
    // Late enough for a sweeper to have looked, too late for the bracket.
    for seconds in [1, 61] {
        world.wait(seconds);
        assert_eq!(word.run(world.clone(), None).await, Ended::Done(None), "{context}");
    }
    world.stage.thaw.notify_one();
    let told = vend.await.unwrap();
    assert!(told.is_err() || was_finished, "{context}: it was answered after the word");
    assert!(world.active().is_empty(), "{context}: it is ACTIVE after the word");
    world.settle().await;
    world.check(&context).await;
    assert!(world.active().is_empty(), "{context}");
    true
}

#[tokio::test]
async fn nothing_is_answered_or_left_active_after_an_operators_word() {
    for issuer in [IotIssuer::Aws, IotIssuer::OwnCa] {
        for word in [Act::Delete, Act::Disable, Act::NewToken] {
            for fault in [Fault::FrozenBefore, Fault::FrozenAfter] {
                let mut at = 0;
                while interrupt(issuer, word, at, fault).await {
                    at += 1;
                }
                assert!(at >= 9, "{word:?} came at {at} calls");
            }
        }
    }
}
