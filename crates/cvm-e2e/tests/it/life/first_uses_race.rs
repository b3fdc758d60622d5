//! Two devices came from the factory with one key: whoever proves it first has it.

use super::*;

#[test]
fn the_other_is_refused_from_then_on_and_its_token_is_good_for_another_key() {
    let environment = Environment::start(&[]).unwrap();
    let hands = ["SN-1", "SN-2"].map(|serial| Hand::new(&environment, serial));
    let tokens = ["SN-1", "SN-2"].map(|serial| environment.device_add(serial).unwrap());
    let key = hands[0].key();
    let held = [0, 1].map(|at| hands[at].enroll(&tokens[at], &key));
    assert_eq!(said(&hands[0].confirm(&held[0])), yes());

    let refused = hands[1].confirm(&held[1]);
    assert_eq!(said(&refused), no(403, "certificate-revoked"));
    explained(&environment, "SN-2", &refused)
        .refused_at("certificate")
        .cure("let it make a new key");
    let refused = hands[1].vend(&tokens[1], &key);
    assert_eq!(said(&refused), no(400, "key-not-acceptable"));
    explained(&environment, "SN-2", &refused).refused_at("record").cure("copied from one device");
    hands[1].enroll_and_confirm(&tokens[1], &hands[1].key());
    assert_eq!(standing(&environment, "SN-2"), "active, burnt: revoked current");
    assert_eq!(said(&hands[0].confirm(&held[0])), yes());
}
