//! A certificate is renewed: the next one stands beside it, and takes its place by being used.

use super::*;

fn seconds(answer: &Response, name: &str) -> i64 {
    answer.text(name).parse::<cvm_core::time::Timestamp>().unwrap().0
}

/// What every answer with a certificate says beside it.
fn check_what_goes_with_it(environment: &Environment, hand: &Hand<'_>, answer: &Response) {
    assert_eq!(answer.text("rootCa"), hand.ask(None, &Ask::TRUST).body, "the whole bundle");
    assert_eq!(answer.text("rootCa"), environment.root_ca().unwrap());
    let (begin, end) = (seconds(answer, "notBefore"), seconds(answer, "notAfter"));
    let at = f64::from(i32::try_from(seconds(answer, "renewAfter") - begin).unwrap())
        / f64::from(i32::try_from(end - begin).unwrap());
    assert!((2.0 / 3.0 - 0.1..=2.0 / 3.0 + 0.1).contains(&at), "renewAfter is at {at} of the life");
}

#[test]
fn a_renewal_stands_beside_what_it_renews_until_its_first_use_promotes_it() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let [key_1, key_2, key_3] = [hand.key(), hand.key(), hand.key()];
    let vended = hand.vend(&token, &key_1);
    check_what_goes_with_it(&environment, &hand, &vended);
    let first = hand.hold(&vended, &key_1);
    assert_eq!(said(&hand.confirm(&first)), yes());
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current");

    let renewed = hand.renew(&first, &key_2);
    assert_eq!(renewed.status, 201, "{renewed:?}");
    check_what_goes_with_it(&environment, &hand, &renewed);
    let second = hand.hold(&renewed, &key_2);
    assert_eq!(certificate(&environment, &second)["origin"], "renewal");
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current candidate");
    // Its answer was lost: the same key is answered the same bytes.
    let again = hand.renew(&first, &key_2);
    assert_eq!(again.status, 200, "{again:?}");
    for name in ["certificate", "chain", "rootCa", "certificateId", "notAfter", "renewAfter"] {
        assert_eq!(again.text(name), renewed.text(name), "{name}");
    }
    // Another key takes the candidate's place.
    let third = hand.hold(&hand.renew(&first, &key_3), &key_3);
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current superseded candidate");
    let refused = hand.confirm(&second);
    assert_eq!(said(&refused), no(403, "certificate-superseded"));
    explained(&environment, "SN-1", &refused).refused_at("certificate").cure("newest certificate");

    // Both work, and what is current stays so until the candidate is used.
    assert_eq!(said(&hand.confirm(&first)), yes());
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current superseded candidate");
    for _ in 0..2 {
        assert_eq!(said(&hand.confirm(&third)), yes());
        assert_eq!(standing(&environment, "SN-1"), "active, burnt: retiring superseded current");
    }
    for refused in [hand.confirm(&first), hand.renew(&first, &key_2)] {
        assert_eq!(said(&refused), no(403, "certificate-superseded"));
        explained(&environment, "SN-1", &refused).refused_at("certificate").names("retiring");
    }
    // The token that all of them descend from obtains nothing but the current one's bytes.
    let own = hand.vend(&token, &key_3);
    assert_eq!((own.status, own.text("certificateId")), (200, third.id));
    let former = hand.vend(&token, &key_1);
    assert_eq!(said(&former), no(403, "access-denied"));
    assert_eq!(alarms(&environment, "SN-1"), [""; 0], "a former key of its own alarms nobody");
}

#[test]
fn the_key_may_stay_and_a_second_promotion_ends_what_retires() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let key = hand.key();
    let first = hand.enroll_and_confirm(&token, &key);
    let second = hand.hold(&hand.renew(&first, &key), &key);
    assert_ne!(first.id, second.id);
    assert_eq!(said(&hand.confirm(&second)), yes());
    let third = hand.hold(&hand.renew(&second, &key), &key);
    assert_eq!(said(&hand.confirm(&third)), yes());
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: superseded retiring current");
}

#[test]
fn a_successful_renewal_is_a_first_use() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let [key_1, key_2] = [hand.key(), hand.key()];
    let first = hand.enroll(&token, &key_1);
    assert_eq!(standing(&environment, "SN-1"), "issued, used: unconfirmed");
    assert_eq!(hand.renew(&first, &key_2).status, 201);
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current candidate");
}

#[test]
fn a_renewal_that_is_refused_changes_nothing_and_is_explained() {
    let environment = Environment::start(&[]).unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let other = Hand::new(&environment, "SN-2");
    let [key, others] = [hand.key(), other.key()];
    let held = hand.enroll_and_confirm(&environment.device_add("SN-1").unwrap(), &key);
    other.enroll_and_confirm(&environment.device_add("SN-2").unwrap(), &others);
    let weak = hand.key_of(&["genrsa", "1024"]);
    let (nothing, not_a_csr) = (String::from("{}"), String::from(r#"{"csr": "not a CSR"}"#));
    for (ask, slug, step, cure) in [
        (Ask::renew_with(nothing), "csr-required", "csr", "renewal takes a CSR only"),
        (Ask::renew_with(not_a_csr), "invalid-csr", "csr", "openssl req -new"),
        (Ask::renew(&weak), "weak-key", "csr", "prime256v1"),
        (Ask::renew(&others), "key-not-acceptable", "record", "Make a new key"),
    ] {
        let refused = hand.ask(Some(&held), &ask);
        assert_eq!(said(&refused), no(400, slug));
        explained(&environment, "SN-1", &refused).refused_at(step).cure(cure);
    }
    assert_eq!(said(&hand.ask(None, &Ask::renew(&key))), no(401, "certificate-required"));
    let stranger = hand.self_signed(&hand.key());
    assert_eq!(said(&hand.renew(&stranger, &key)), no(403, "certificate-unknown"));
    assert_eq!(standing(&environment, "SN-1"), "active, burnt: current");
    assert_eq!(said(&hand.confirm(&held)), yes());
}
