//! A device on its first day: with another's token, too late, too often. Nothing of it has to be
//! cleared.

use std::time::Duration;

use super::*;

#[test]
fn a_wrong_and_an_expired_token_are_told_apart_by_explain_alone() {
    let environment = Environment::start(&[]).unwrap();
    let add = ["device", "add", "SN-1", "--token-expires", "1s", "--output", "json"];
    let device: Value = serde_json::from_str(&environment.succeed(&add).unwrap()).unwrap();
    let token = operator::token_of(&device);
    let hand = Hand::new(&environment, "SN-1");
    let key = hand.key();
    let others = environment.device_add("SN-2").unwrap();
    let wrong = hand.vend(&others, &key);
    wait_for("the token to expire", Duration::from_secs(30), || {
        Ok((standing(&environment, "SN-1") == "registered, expired:").then_some(()))
    })
    .unwrap();
    let late = hand.vend(&token, &key);
    assert_eq!(said(&wrong), no(403, "access-denied"));
    assert_eq!((said(&late), late.text("detail")), (said(&wrong), wrong.text("detail")));
    explained(&environment, "SN-1", &wrong)
        .refused_at("token")
        .because("wrong-token")
        .cure("the token on the device is the one that was printed for this serial number");
    explained(&environment, "SN-1", &late)
        .refused_at("token")
        .because("token-expired")
        .cure("`cvm device new-token SN-1`");
    let [operator, _] = Operator::both(&environment);
    hand.enroll_and_confirm(&operator.new_token("SN-1", Fate::Keep), &key);
}

#[test]
fn who_asks_too_often_waits_and_others_cannot_make_it_wait() {
    let environment = Environment::start(&[("limits.issues_per_serial", "2/1h")]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let key = hand.key();
    for _ in 0..3 {
        assert_eq!(hand.vend("a stranger's guess at it", &key).status, 403);
    }
    let held = hand.enroll(&token, &key);
    assert_eq!(hand.vend(&token, &key).status, 200);
    // With the token or with the certificate: it is one budget.
    for refused in [hand.vend(&token, &key), hand.renew(&held, &key)] {
        assert_eq!(said(&refused), no(429, "slow-down"));
        assert!(refused.head.contains("retry-after: "), "{}", refused.head);
        explained(&environment, "SN-1", &refused)
            .refused_at("limit")
            .cure("nothing has to be cleared");
    }
    // What it has works on.
    assert_eq!(said(&hand.confirm(&held)), yes());
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current");
}
