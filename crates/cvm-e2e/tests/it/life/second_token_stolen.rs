//! A device works, its new token is stolen too: what the thief asked for goes with the next word,
//! and what the device renewed meanwhile stays.

use super::*;

#[test]
fn a_waiting_candidate_ends_with_the_token_that_asked_for_it_and_a_renewed_one_does_not() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let [device, thief] = [&serial; 2].map(|serial| Hand::new(&environment, serial));
        let [own, next, stolen] = [device.key(), device.key(), thief.key()];
        let held = device.enroll_and_confirm(&operator.add(&serial), &own);
        let token = operator.new_token(&serial, Fate::Keep);
        let loot = thief.enroll(&token, &stolen);
        let refused = device.vend(&token, &next);
        assert_eq!(said(&refused), no(409, "already-issued"));
        explained(&environment, &serial, &refused).refused_at("decision").cure("new-token");
        assert_eq!(standing(&environment, &serial), "active, used: current candidate");

        operator.new_token(&serial, Fate::Keep);
        assert_eq!(standing(&environment, &serial), "active, unused: current revoked");
        assert_eq!(said(&thief.confirm(&loot)), no(403, "certificate-revoked"));
        assert_eq!(said(&device.confirm(&held)), yes());
        let renewed = device.hold(&device.renew(&held, &next), &next);
        operator.new_token(&serial, Fate::Keep);
        assert_eq!(standing(&environment, &serial), "active, unused: current revoked candidate");
        assert_eq!(said(&device.confirm(&renewed)), yes());
        operator.new_token(&serial, Fate::Revoke);
        let all = "registered, unused: revoked revoked revoked";
        assert_eq!(standing(&environment, &serial), all);
    }
}
