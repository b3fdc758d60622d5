//! Who registers devices gives another token to those that have obtained nothing, and to no others.

use super::operator::assert_refused;
use super::*;

#[test]
fn a_registrar_gives_new_tokens_to_unissued_devices_only() {
    let environment = Environment::start(&[]).unwrap();
    let create = ["admin", "token", "create", "line-2", "--role", "registrar", "--out", "line-2"];
    environment.succeed(&create).unwrap();
    for registrar in Operator::with(&environment, "line-2") {
        let serial = registrar.serial("SN");
        let hand = Hand::new(&environment, &serial);
        let old = registrar.add(&serial);
        let token = registrar.new_token(&serial, Fate::Keep);
        let key = hand.key();
        let refused = hand.vend(&old, &key);
        assert_eq!(said(&refused), no(403, "access-denied"));
        explained(&environment, &serial, &refused).names("with `new-token`");
        let held = hand.enroll(&token, &key);
        // From its first issue on, used or not.
        for told in [
            registrar.try_new_token(&serial, Fate::Keep),
            registrar.try_new_token(&serial, Fate::Revoke),
            registrar.disable(&serial),
            registrar.enable(&serial),
            registrar.delete(&serial),
            registrar.revoke(&held.id, "unspecified"),
        ] {
            assert_refused(&told, "role-required");
        }
        assert_eq!(standing(&environment, &serial), "issued, used: unconfirmed");
        assert_eq!(said(&hand.confirm(&held)), yes());
    }
}
