//! An operator revokes a certificate, for each of the reasons there are, once and twice, live and
//! ended; the token that it descends from is burnt with it.

use super::operator::{By, assert_refused};
use super::*;

const REASONS: [&str; 8] = [
    "unspecified",
    "keyCompromise",
    "cACompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
    "aACompromise",
];

#[test]
fn every_reason_that_ends_for_good_is_taken_and_twice_is_once() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        for reason in REASONS {
            let serial = operator.serial(reason);
            let hand = Hand::new(&environment, &serial);
            let held = hand.enroll(&operator.add(&serial), &hand.key());
            for hold in ["certificateHold", "removeFromCRL", "KeyCompromise", "1"] {
                let refused = operator.revoke(&held.id, hold);
                assert_refused(&refused, "there is no hold");
                let exit = if operator.by == By::Cvm { "exit Some(2)" } else { "400" };
                assert_refused(&refused, exit);
            }
            let first = operator.revoke(&held.id, reason).unwrap();
            assert_eq!((&first["state"], &first["reason"]), (&"revoked".into(), &reason.into()));
            assert!(first["revokedAt"].is_string(), "{first}");
            assert_eq!(operator.revoke(&held.id, reason).unwrap(), first, "twice is once");
            // What it ended for stays, but for the one reason that says more.
            let other = operator.revoke(&held.id, "unspecified").unwrap();
            assert_eq!(other, first);
            assert_eq!(standing(&environment, &serial), "registered, burnt: revoked");
        }
        assert_refused(&operator.revoke(&"0".repeat(64), "unspecified"), "not-found");
    }
}

#[test]
fn a_reason_that_is_no_reason_is_a_bad_request() {
    let environment = Environment::start(&[]).unwrap();
    let path = format!("/v1/certificates/{}:revoke", "0".repeat(64));
    for reason in ["certificateHold", "removeFromCRL", ""] {
        let body = serde_json::json!({"reason": reason});
        let refused = environment.operate("POST", &path, Some(&body)).unwrap();
        assert_eq!(said(&refused), no(400, "invalid-request"));
    }
}

#[test]
fn the_token_is_burnt_and_explain_names_who_burnt_it_with_which_word() {
    let environment = Environment::start(&[]).unwrap();
    let list = environment.succeed(&["admin", "token", "list", "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let who = list["items"][0]["id"].as_str().unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let (token, key) = (operator.add(&serial), hand.key());
        let held = hand.enroll(&token, &key);
        operator.revoke(&held.id, "superseded").unwrap();
        for asked in [&key, &hand.key()] {
            let refused = hand.vend(&token, asked);
            assert_eq!(said(&refused), no(403, "access-denied"));
            explained(&environment, &serial, &refused)
                .refused_at("token")
                .because("token-burnt-by-operator")
                .names(&format!("by operator {who} with `revoke`"))
                .cure("cvm device new-token");
        }
        let refused = hand.confirm(&held);
        assert_eq!(said(&refused), no(403, "certificate-revoked"));
        explained(&environment, &serial, &refused)
            .refused_at("certificate")
            .names(&held.id)
            .cure("cvm device new-token");
        // The key itself is good: a new token obtains a certificate for it.
        hand.enroll_and_confirm(&operator.new_token(&serial, Fate::Keep), &key);
        assert_eq!(standing(&environment, &serial), "active, burnt: revoked current");
    }
}

#[test]
fn with_a_current_certificate_goes_what_was_renewed_from_it_and_what_retires() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
        let token = operator.add(&serial);
        let first = hand.enroll_and_confirm(&token, &key_1);
        let second = hand.hold(&hand.renew(&first, &key_2), &key_2);
        assert_eq!(said(&hand.confirm(&second)), yes());
        let third = hand.hold(&hand.renew(&second, &key_3), &key_3);
        assert_eq!(standing(&environment, &serial), "active, burnt: retiring current candidate");
        operator.revoke(&second.id, "privilegeWithdrawn").unwrap();
        assert_eq!(
            standing(&environment, &serial),
            "registered, burnt: superseded revoked revoked"
        );
        assert_eq!(said(&hand.confirm(&first)), no(403, "certificate-superseded"));
        assert_eq!(said(&hand.confirm(&second)), no(403, "certificate-revoked"));
        assert_eq!(said(&hand.confirm(&third)), no(403, "certificate-revoked"));
        assert_eq!(said(&hand.vend(&token, &key_3)), no(403, "access-denied"));
    }
}

#[test]
fn what_a_newer_token_obtained_stays_and_stands_alone() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2] = [hand.key(), hand.key()];
        let first = hand.enroll_and_confirm(&operator.add(&serial), &key_1);
        let second = hand.enroll(&operator.new_token(&serial, Fate::Keep), &key_2);
        assert_eq!(standing(&environment, &serial), "active, used: current candidate");
        operator.revoke(&first.id, "unspecified").unwrap();
        assert_eq!(standing(&environment, &serial), "issued, used: revoked unconfirmed");
        assert_eq!(said(&hand.confirm(&second)), yes());
        assert_eq!(standing(&environment, &serial), "active, burnt: revoked current");
    }
}

#[test]
fn an_ended_certificate_can_be_revoked_and_burns_the_token_for_what_lives_on() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
        let token = operator.add(&serial);
        let first = hand.enroll_and_confirm(&token, &key_1);
        let second = hand.hold(&hand.renew(&first, &key_2), &key_2);
        let third = hand.hold(&hand.renew(&first, &key_3), &key_3);
        assert_eq!(certificate(&environment, &second)["reason"], "superseded");
        assert_eq!(said(&hand.confirm(&third)), yes());
        assert_eq!(hand.vend(&token, &key_3).status, 200, "rule 3");

        operator.revoke(&second.id, "affiliationChanged").unwrap();
        let ended = certificate(&environment, &second);
        assert_eq!(
            (&ended["state"], &ended["reason"]),
            (&"revoked".into(), &"affiliationChanged".into())
        );
        assert_eq!(standing(&environment, &serial), "active, burnt: retiring revoked current");
        assert_eq!(said(&hand.confirm(&third)), yes());
        let refused = hand.vend(&token, &key_3);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, &serial, &refused).because("token-burnt-by-operator");
    }
}
