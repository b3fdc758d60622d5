//! A thief was first and has used the certificate: only `--revoke` takes it away.

use super::*;

#[test]
fn a_new_token_with_revoke_ends_what_the_thief_uses() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let token = operator.add(&serial);
        let [device, thief] = [&serial; 2].map(|serial| Hand::new(&environment, serial));
        let [own, stolen] = [device.key(), thief.key()];
        let loot = thief.enroll_and_confirm(&token, &stolen);
        let refused = device.vend(&token, &own);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, &serial, &refused)
            .because("token-burnt-by-confirmation")
            .cure("who used the certificate");
        // A confirmed certificate works until its successor is confirmed.
        operator.new_token(&serial, Fate::Keep);
        assert_eq!(said(&thief.confirm(&loot)), yes());

        let candidate = thief.hold(&thief.renew(&loot, &thief.key()), &stolen);
        let mut next = String::new();
        let (before, after) = thief.around(
            &loot,
            Http::Two,
            &[Ask::CONFIRM],
            || next = operator.new_token(&serial, Fate::Revoke),
            &[Ask::CONFIRM, Ask::renew(&stolen)],
        );
        assert_eq!(said(&before[0]), yes());
        for answer in after {
            assert_eq!(said(&answer), no(403, "certificate-revoked"));
        }
        assert_eq!(certificate(&environment, &candidate)["state"], "revoked");
        assert_eq!(standing(&environment, &serial), "registered, unused: revoked revoked");
        // Rule 3 hands out live bytes only.
        assert_eq!(said(&thief.vend(&token, &stolen)), no(403, "access-denied"));
        device.enroll_and_confirm(&next, &own);
        assert_eq!(standing(&environment, &serial), "active, burnt: revoked revoked current");
    }
}
