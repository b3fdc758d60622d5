//! A token is stolen before its first use, and the thief is first.

use super::*;

#[test]
fn the_device_is_told_another_key_and_a_new_token_takes_away_what_the_thief_obtained() {
    let environment = Environment::start(&[]).unwrap();
    for operator in Operator::both(&environment) {
        let serial = operator.serial("SN");
        let token = operator.add(&serial);
        let [device, thief] = [&serial; 2].map(|serial| Hand::new(&environment, serial));
        let [own, stolen] = [device.key(), thief.key()];
        let loot = thief.enroll(&token, &stolen);
        let refused = device.vend(&token, &own);
        assert_eq!(said(&refused), no(409, "already-issued"));
        explained(&environment, &serial, &refused)
            .refused_at("decision")
            .names("was shown, the token is bound to key")
            .cure("cvm device new-token");
        wait_for_alarm(&environment, &serial, "another-key-refused");

        // The thief's connection is open, and has not used its certificate yet.
        let mut next = String::new();
        let (_, after) = thief.around(
            &loot,
            Http::One,
            &[Ask::TRUST],
            || next = operator.new_token(&serial, Fate::Keep),
            &[Ask::CONFIRM, Ask::renew(&stolen), Ask::CONFIRM],
        );
        for answer in after {
            assert_eq!(said(&answer), no(403, "certificate-revoked"));
        }
        wait_for_alarm(&environment, &serial, "revoked-certificate-used");
        assert_eq!(standing(&environment, &serial), "registered, unused: revoked");
        for key in [&stolen, &own] {
            let refused = thief.vend(&token, key);
            assert_eq!(said(&refused), no(403, "access-denied"));
            explained(&environment, &serial, &refused)
                .refused_at("token")
                .because("token-burnt-by-operator")
                .names("with `new-token`")
                .cure("cvm device new-token");
        }
        device.enroll_and_confirm(&next, &own);
        assert_eq!(standing(&environment, &serial), "active, burnt: revoked current");
        assert_eq!(said(&thief.confirm(&loot)), no(403, "certificate-revoked"));
    }
}
