//! A device is taken out of service for a while, and put back.

use super::operator::assert_refused;
use super::*;

#[test]
fn nothing_is_accepted_until_it_is_enabled_and_then_everything_that_would_be_live() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        // As a manufacturer may write it, and as a path must not be read.
        let serial = operator.serial("R/2:enable");
        let hand = Hand::new(&environment, &serial);
        let [key_1, key_2] = [hand.key(), hand.key()];
        let token = operator.add(&serial);
        let first = hand.enroll_and_confirm(&token, &key_1);
        let second = hand.hold(&hand.renew(&first, &key_2), &key_2);
        let version = operator.disable(&serial).unwrap()["version"].clone();
        assert_eq!(operator.disable(&serial).unwrap()["version"], version, "nothing to do");
        assert_eq!(standing(&environment, &serial), "active disabled, burnt: current candidate");
        for refused in [hand.confirm(&first), hand.renew(&first, &key_2), hand.confirm(&second)] {
            assert_eq!(said(&refused), no(403, "certificate-inactive"));
            explained(&environment, &serial, &refused)
                .refused_at("certificate")
                .cure("cvm device enable");
        }
        // The bytes of its certificate are not handed out either.
        assert_eq!(said(&hand.vend(&token, &key_1)), no(403, "access-denied"));

        operator.enable(&serial).unwrap();
        operator.enable(&serial).unwrap();
        assert_eq!(standing(&environment, &serial), "active, burnt: current candidate");
        assert_eq!(hand.vend(&token, &key_1).status, 200);
        assert_eq!(said(&hand.confirm(&first)), yes());
        assert_eq!(said(&hand.confirm(&second)), yes());
        assert_eq!(standing(&environment, &serial), "active, burnt: retiring current");
    }
}

#[test]
fn a_token_is_kept_and_refused() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let (token, key) = (operator.add(&serial), hand.key());
        operator.disable(&serial).unwrap();
        let refused = hand.vend(&token, &key);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, &serial, &refused)
            .refused_at("device")
            .because("device-disabled")
            .cure("cvm device enable");
        assert_eq!(standing(&environment, &serial), "registered disabled, unused:");
        operator.enable(&serial).unwrap();
        hand.enroll_and_confirm(&token, &key);
        let nobody = operator.serial("NOBODY");
        for told in [operator.disable(&nobody), operator.enable(&nobody), operator.delete(&nobody)]
        {
            assert_refused(&told, "not-found");
        }
    }
}
