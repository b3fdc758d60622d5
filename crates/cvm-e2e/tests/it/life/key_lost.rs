//! A device lost its key when it was flashed again: a new token, and no gap.

use super::*;

#[test]
fn the_old_certificate_works_until_the_new_one_is_used() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let token = operator.add(&serial);
        let hand = Hand::new(&environment, &serial);
        let [lost, new] = [hand.key(), hand.key()];
        let old = hand.enroll_and_confirm(&token, &lost);
        let refused = hand.vend(&token, &new);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, &serial, &refused)
            .refused_at("decision")
            .cure("If the device lost its key, give it another token: `cvm device new-token");

        let next = operator.new_token(&serial, Fate::Keep);
        assert_eq!(standing(&environment, &serial), "active, unused: current");
        assert_eq!(said(&hand.confirm(&old)), yes());
        let second = hand.enroll(&next, &new);
        assert_eq!(standing(&environment, &serial), "active, used: current candidate");
        assert_eq!(said(&hand.confirm(&old)), yes());
        assert_eq!(said(&hand.confirm(&second)), yes());
        assert_eq!(standing(&environment, &serial), "active, burnt: retiring current");
        assert_eq!(said(&hand.confirm(&old)), no(403, "certificate-superseded"));
    }
}
