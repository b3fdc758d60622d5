//! A device renews while what was asked for with a new token waits: it is told so, and how it ends.

use super::*;

#[test]
fn a_renewal_waits_for_a_new_tokens_certificate_to_be_used() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
        let first = hand.enroll_and_confirm(&operator.add(&serial), &key_1);
        // A new token alone holds nothing up.
        let token = operator.new_token(&serial, Fate::Keep);
        let by_renewal = hand.hold(&hand.renew(&first, &key_3), &key_3);
        let second = hand.enroll(&token, &key_2);
        assert_eq!(standing(&environment, &serial), "active, used: current superseded candidate");
        assert_eq!(said(&hand.confirm(&by_renewal)), no(403, "certificate-superseded"));
        let refused = hand.renew(&first, &key_3);
        assert_eq!(said(&refused), no(409, "token-pending"));
        explained(&environment, &serial, &refused)
            .refused_at("decision")
            .names(&second.id)
            .cure("cvm certificate revoke ID");

        assert_eq!(said(&hand.confirm(&second)), yes());
        assert_eq!(hand.renew(&second, &key_3).status, 201);
        let all = "active, burnt: retiring superseded current candidate";
        assert_eq!(standing(&environment, &serial), all);
    }
}

#[test]
fn what_nobody_will_use_is_revoked_as_explain_says_and_the_device_renews() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
        let first = hand.enroll_and_confirm(&operator.add(&serial), &key_1);
        let token = operator.new_token(&serial, Fate::Keep);
        let waiting = hand.enroll(&token, &key_2);
        assert_eq!(said(&hand.renew(&first, &key_3)), no(409, "token-pending"));
        assert_eq!(operator.revoke(&waiting.id, "unspecified").unwrap()["state"], "revoked");
        assert_eq!(said(&hand.vend(&token, &key_2)), no(403, "access-denied"));
        assert_eq!(hand.renew(&first, &key_3).status, 201);
        assert_eq!(standing(&environment, &serial), "active, burnt: current revoked candidate");
    }
}
