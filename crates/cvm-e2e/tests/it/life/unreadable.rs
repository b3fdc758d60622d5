//! Requests that are refused before anybody can say whose they are: explained by their code.

use super::*;

/// What is told of a request that no device's attempts have.
fn told(environment: &Environment, refused: &Response) -> String {
    let told = environment.succeed(&["explain", &refused.text("attempt")]).unwrap();
    assert_eq!(told.matches("REFUSED").count(), 1, "{told}");
    assert!(told.contains(&refused.text("detail")) && told.contains("What to do: "), "{told}");
    told
}

#[test]
fn a_request_that_cannot_be_read_is_explained_by_its_code_and_not_held_against_a_device() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let malformed = format!(r#"{{"serialNumber": "SN-1", "token": "{token}""#);
    let too_large = format!(r#"{{"serialNumber": "SN-1", "token": "{}"}}"#, "x".repeat(70_000));
    for (body, status, slug, cure) in [
        (malformed, 400, "invalid-request", "Read the answer's `detail`"),
        (too_large, 413, "too-large", "and nothing else"),
    ] {
        let refused = hand.ask(None, &Ask::vend_with(body));
        assert_eq!(said(&refused), no(status, slug));
        let told = told(&environment, &refused);
        assert!(told.contains(cure) && !told.contains(&token), "{told}");
    }
    let refused = hand.ask(None, &Ask::CONFIRM);
    assert_eq!(said(&refused), no(401, "certificate-required"));
    assert!(told(&environment, &refused).contains("--cert"));
    let (code, of_device, _) = environment.run(&["explain", "SN-1"]).unwrap();
    assert_eq!(code, 1);
    assert!(of_device.contains("has not asked yet"), "{of_device}");
}

#[test]
fn an_address_that_was_refused_too_often_is_explained_as_such() {
    let environment = Environment::start(&[("limits.refusals_per_address", "2/1m")]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let hand = Hand::new(&environment, "SN-1");
    let key = hand.key();
    for _ in 0..2 {
        assert_eq!(hand.vend("not the token of SN-1", &key).status, 403);
    }
    // Everybody at that address waits: also who has the right token, and `explain` says why.
    let refused = hand.vend(&token, &key);
    assert_eq!(said(&refused), no(429, "slow-down"));
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    let told = told(&environment, &refused);
    assert!(told.contains("refusals_per_address") && told.contains("trusted_networks"), "{told}");
}
