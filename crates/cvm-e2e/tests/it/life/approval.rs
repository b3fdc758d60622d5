//! A token is shown with another key, and the profile wants a human to say.

use super::operator::assert_refused;
use super::policies::with_profiles;
use super::*;

/// The review that the answer names, as the contract words it.
fn review_of(answer: &Response) -> String {
    assert_eq!(said(answer), no(202, "pending-approval"));
    assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
    assert!(answer.head.contains("retry-after: 60\r\n"), "{}", answer.head);
    let review = answer.text("review");
    assert!(answer.text("detail").contains(&review), "{answer:?}");
    review
}

#[test]
fn an_approved_key_obtains_its_certificate_and_no_third_does() {
    let environment = with_profiles();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let token = operator.add_under("approval", &serial);
        let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
        let first = hand.enroll(&token, &key_1);
        let asked = hand.vend(&token, &key_2);
        let review = review_of(&asked);
        explained(&environment, &serial, &asked).refused_at("decision").cure("cvm review approve");
        wait_for_alarm(&environment, &serial, "another-key-pending");
        assert_eq!(review_of(&hand.vend(&token, &key_2)), review, "asked once");
        let open = operator.reviews(&serial);
        assert_eq!((open.len(), &open[0]["id"]), (1, &review.as_str().into()));
        assert_eq!(open[0]["state"], "waiting");
        assert!(open[0]["key"].is_string() && open[0]["boundKey"].is_string(), "{open:?}");
        // Meanwhile: the first key as ever, a third not at all.
        assert_eq!(hand.vend(&token, &key_1).text("certificateId"), first.id);
        let third = hand.vend(&token, &key_3);
        assert_eq!(said(&third), no(409, "already-issued"));
        explained(&environment, &serial, &third).because("review-open").cure("cvm review list");

        let approved = operator.decide(&review, "approve").unwrap();
        assert_eq!(approved["state"], "approved");
        assert!(approved["approvedUntil"].is_string(), "{approved}");
        for verdict in ["approve", "deny"] {
            assert_refused(&operator.decide(&review, verdict), "wrong-state");
        }
        assert_eq!(said(&hand.vend(&token, &key_3)), no(409, "already-issued"));
        let second = hand.enroll(&token, &key_2);
        assert_eq!(standing(&environment, &serial), "issued, used: superseded unconfirmed");
        assert_eq!(operator.reviews(&serial).len(), 0, "spent");
        assert_eq!(said(&hand.confirm(&first)), no(403, "certificate-superseded"));
        assert_eq!(said(&hand.confirm(&second)), yes());
    }
}

#[test]
fn a_denied_key_never_obtains_one_with_this_token() {
    let environment = with_profiles();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let token = operator.add_under("approval", &serial);
        let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
        let first = hand.enroll(&token, &key_1);
        let review = review_of(&hand.vend(&token, &key_2));
        assert_eq!(operator.decide(&review, "deny").unwrap()["state"], "denied");
        for verdict in ["approve", "deny"] {
            assert_refused(&operator.decide(&review, verdict), "wrong-state");
        }
        let refused = hand.vend(&token, &key_2);
        assert_eq!(said(&refused), no(409, "already-issued"));
        explained(&environment, &serial, &refused)
            .refused_at("decision")
            .because("key-denied")
            .cure("cvm device new-token");
        // Another key may still be asked about; a first use makes the question pointless.
        let next = review_of(&hand.vend(&token, &key_3));
        assert_ne!(next, review);
        assert_eq!(said(&hand.confirm(&first)), yes());
        assert_refused(&operator.decide(&next, "approve"), "wrong-state");
        assert_eq!(operator.reviews(&serial).len(), 0);
        assert_refused(&operator.decide("00000-00000", "approve"), "not-found");
        assert_eq!(standing(&environment, &serial), "active, used: current");
    }
}

#[test]
fn after_the_first_use_an_approved_key_stands_beside_what_works() {
    let environment = with_profiles();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let token = operator.add_under("approval", &serial);
        let [key_1, key_2] = [hand.key(), hand.key()];
        let first = hand.enroll_and_confirm(&token, &key_1);
        assert_eq!(standing(&environment, &serial), "active, used: current", "it does not burn");
        let review = review_of(&hand.vend(&token, &key_2));
        operator.decide(&review, "approve").unwrap();
        let second = hand.enroll(&token, &key_2);
        assert_eq!(standing(&environment, &serial), "active, used: current candidate");
        assert_eq!(said(&hand.confirm(&first)), yes());
        assert_eq!(said(&hand.confirm(&second)), yes());
        assert_eq!(standing(&environment, &serial), "active, used: retiring current");
    }
}

#[test]
fn a_key_that_is_to_be_made_here_is_named_by_its_algorithm() {
    let environment = with_profiles();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let token = operator.add_under("keys-here", &serial);
        hand.enroll(&token, &hand.key());
        let body = serde_json::json!({"serialNumber": serial, "token": token});
        let ask = Ask::vend_with(body.to_string());
        let review = review_of(&hand.ask(None, &ask));
        let open = operator.reviews(&serial);
        assert_eq!((&open[0]["keyAlgorithm"], &open[0]["key"]), (&"EC_P256".into(), &Value::Null));
        operator.decide(&review, "approve").unwrap();
        let made = hand.ask(None, &ask);
        assert_eq!(made.status, 201);
        assert!(made.text("privateKey").starts_with("-----BEGIN PRIVATE KEY"), "{:?}", made.head);
        assert_eq!(standing(&environment, &serial), "issued, used: superseded unconfirmed");
    }
}

#[test]
fn every_word_of_an_operator_on_the_device_closes_its_review() {
    let environment = with_profiles();
    for operator in Operator::both(&environment) {
        type Word = fn(&Operator<'_>, &str, &str);
        let words: [(&str, Word); 4] = [
            ("new-token", |operator, serial, _| drop(operator.new_token(serial, Fate::Keep))),
            ("revoke", |operator, _, id| drop(operator.revoke(id, "unspecified").unwrap())),
            ("disable", |operator, serial, _| drop(operator.disable(serial).unwrap())),
            ("delete", |operator, serial, _| drop(operator.delete(serial).unwrap())),
        ];
        for (name, say) in words {
            let serial = operator.serial(name);
            let hand = Hand::new(&environment, &serial);
            let token = operator.add_under("approval", &serial);
            let held = hand.enroll(&token, &hand.key());
            let key = hand.key();
            let review = review_of(&hand.vend(&token, &key));
            operator.decide(&review, "approve").unwrap();
            say(&operator, &serial, &held.id);
            assert_eq!(operator.reviews(&serial).len(), 0, "{name}");
            assert_refused(&operator.decide(&review, "approve"), "wrong-state");
            assert_eq!(said(&hand.vend(&token, &key)), no(403, "access-denied"), "{name}");
        }
    }
}
