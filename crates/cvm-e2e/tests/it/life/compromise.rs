//! A key is in other hands: it is refused for every device, for ever.

use super::*;

#[test]
fn a_compromised_key_is_refused_for_every_device_also_after_its_own_is_deleted() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let [serial, other] = ["SN", "OTHER"].map(|name| operator.serial(name));
        let [hand, others] = [&serial, &other].map(|serial| Hand::new(&environment, serial));
        let key = hand.key();
        let held = hand.enroll_and_confirm(&operator.add(&serial), &key);
        // First for no reason that says anything of the key; then somebody knows more.
        assert_eq!(operator.revoke(&held.id, "unspecified").unwrap()["reason"], "unspecified");
        let told = operator.revoke(&held.id, "keyCompromise").unwrap();
        assert_eq!(told["reason"], "keyCompromise");
        assert_eq!(operator.revoke(&held.id, "superseded").unwrap()["reason"], "keyCompromise");

        let token = operator.new_token(&serial, Fate::Keep);
        let refused = hand.vend(&token, &key);
        assert_eq!(said(&refused), no(400, "key-not-acceptable"));
        explained(&environment, &serial, &refused).refused_at("record").cure("Make a new key");
        let token_2 = operator.add(&other);
        assert_eq!(said(&others.vend(&token_2, &key)), no(400, "key-not-acceptable"));
        operator.delete(&serial).unwrap();
        assert_eq!(said(&others.vend(&token_2, &key)), no(400, "key-not-acceptable"));
        let again = Add { again: true, ..Add::default() };
        let token = operator::token_of(&operator.try_add(&serial, again).unwrap());
        assert_eq!(said(&hand.vend(&token, &key)), no(400, "key-not-acceptable"));
        // A refused key spends no token.
        let held = others.enroll_and_confirm(&token_2, &others.key());
        assert_eq!(said(&others.renew(&held, &key)), no(400, "key-not-acceptable"));
        hand.enroll_and_confirm(&token, &hand.key());
    }
}

#[test]
fn whatever_else_lives_on_a_compromised_key_ends_with_it() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let [serial, other] = ["SN", "OTHER"].map(|name| operator.serial(name));
        let [hand, others] = [&serial, &other].map(|serial| Hand::new(&environment, serial));
        let key = hand.key();
        let held = hand.enroll_and_confirm(&operator.add(&serial), &key);
        // The same key under the next certificate of the same device, and waiting at another.
        let renewed = hand.hold(&hand.renew(&held, &key), &key);
        let stray = Hand::new(&environment, &operator.serial("STRAY"));
        let token = operator.add(&other);
        let [first, second] = [others.key(), others.key()];
        let waiting = others.enroll(&token, &first);
        let owner = stray.enroll(&operator.add(&stray.serial), &first);
        operator.revoke(&held.id, "keyCompromise").unwrap();
        assert_eq!(said(&hand.confirm(&renewed)), no(403, "certificate-revoked"));
        assert_eq!(standing(&environment, &serial), "registered, burnt: revoked revoked");

        operator.revoke(&owner.id, "keyCompromise").unwrap();
        assert_eq!(said(&others.confirm(&waiting)), no(403, "certificate-revoked"));
        // Its token is good for another key, as that of whoever loses a key.
        others.enroll_and_confirm(&token, &second);
        assert_eq!(standing(&environment, &other), "active, burnt: revoked current");
    }
}
