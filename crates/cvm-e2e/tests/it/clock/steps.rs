//! Steps while the server runs and while it does not.

use std::time::Duration;

use cvm_e2e::{Environment, wait_for};
use serde_json::json;

use super::*;

#[test]
fn after_a_jump_forward_of_two_days_nothing_is_issued_until_it_is_accepted() {
    let mut environment = started();
    let (first, second) = (Asker::new(&environment, "SN-1"), Asker::new(&environment, "SN-2"));
    let (of_first, of_second) = (first.vend(&environment), second.vend(&environment));
    let expires = environment.now().plus(Span::DAY).to_string();
    let body = json!({"serialNumber": "SN-3", "tokenExpires": expires});
    assert_eq!(environment.operate("POST", "/v1/devices", Some(&body)).unwrap().status, 201);
    let token_state = |environment: &Environment| {
        environment.operate("GET", "/v1/devices/SN-3", None).unwrap().text("tokenState")
    };

    step(&mut environment, days(2));
    assert_issues_nothing(&environment, "stepped-forward");
    let again = second.vend(&environment);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.text("certificate"), of_second.text("certificate"), "the same bytes");
    assert_eq!(first.confirm(&environment, &of_first).status, 204);
    assert_eq!(token_state(&environment), "unused", "no time that nobody believes ends a token");

    environment.succeed(&["doctor", "--accept-time"]).unwrap();
    assert_issues(&environment);
    assert_eq!(token_state(&environment), "expired");
    let journal = environment.operate("GET", "/v1/journal?limit=1000", None).unwrap();
    assert!(journal.body.contains("clock-accepted"), "{}", journal.body);
}

#[test]
fn after_a_fall_back_of_an_hour_nothing_is_issued_until_it_is_accepted() {
    let mut environment = started();
    let asker = Asker::new(&environment, "SN-1");
    let first = asker.vend(&environment);
    step(&mut environment, Span(-HOUR.0));
    assert_issues_nothing(&environment, "behind-mark");
    let again = asker.vend(&environment);
    assert_eq!((again.status, again.text("certificate")), (200, first.text("certificate")));
    assert_eq!(asker.confirm(&environment, &first).status, 204);
    environment.succeed(&["doctor", "--accept-time"]).unwrap();
    assert_issues(&environment);
}

#[test]
fn a_clock_that_comes_back_by_itself_issues_again() {
    let mut environment = started();
    for away in [days(60), Span(-HOUR.0)] {
        step(&mut environment, away);
        assert_eq!(
            Asker::new(&environment, &format!("SN{}", away.0)).vend(&environment).status,
            503
        );
        step(&mut environment, Span(-away.0));
        let asker = Asker::new(&environment, &format!("back-from-{}", away.0));
        assert_eq!(asker.vend(&environment).status, 201);
    }
}

#[test]
fn steps_of_minutes_and_hours_are_followed() {
    let mut environment = started();
    for by in [Span(10 * Span::MINUTE.0), Span(-4 * Span::MINUTE.0), Span(20 * HOUR.0)] {
        step(&mut environment, by);
        assert_issues(&environment);
    }
}

#[test]
fn a_server_that_was_off_for_a_month_is_believed_and_for_longer_it_is_not() {
    let mut environment = started();
    environment.terminate().unwrap();
    step(&mut environment, days(29));
    environment.serve().unwrap();
    assert_issues(&environment);

    environment.terminate().unwrap();
    step(&mut environment, days(40));
    environment.serve().unwrap();
    assert!(environment.log().contains("ahead-of-mark"), "{}", environment.log());
    assert_issues_nothing(&environment, "ahead-of-mark");
    // It does not become believed by starting again.
    environment.kill().unwrap();
    environment.serve().unwrap();
    let clock = environment.operate("GET", "/v1/clock", None).unwrap();
    assert_eq!(clock.text("reason"), "ahead-of-mark");
    environment.accept_clock().unwrap();
    assert_issues(&environment);
    environment.kill().unwrap();
    step(&mut environment, days(1));
    environment.serve().unwrap();
    assert_issues(&environment);
}

#[test]
fn a_suspicious_time_is_not_recorded_and_destroys_nothing() {
    let mut environment = Environment::new(&[("issuance.server_keys", "true")]).unwrap();
    environment.set_clock(environment.now()).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    let began = environment.now();
    let token = environment.device_add("SN-1").unwrap();
    let body = json!({"serialNumber": "SN-1", "token": token});
    let ask = |environment: &Environment| {
        let devices = environment.device_client().unwrap();
        devices.request("POST", "/v1/certificates", &[], Some(&body)).unwrap()
    };
    let vended = ask(&environment);
    assert_eq!(vended.status, 201, "{vended:?}");

    step(&mut environment, days(60));
    assert_eq!(ask(&environment).text("privateKey"), vended.text("privateKey"));
    wait_for("a tick", Duration::from_secs(90), || {
        Ok(environment.log().contains("stepped-forward").then_some(()))
    })
    .unwrap();
    let clock = environment.operate("GET", "/v1/clock", None).unwrap();
    let mark: Timestamp = clock.text("mark").parse().unwrap();
    assert!((-1..120).contains(&mark.since(began).0), "{mark} after {began}");
    let journal = environment.operate("GET", "/v1/journal", None).unwrap();
    assert!(!journal.body.contains("private-key-destroyed"), "{}", journal.body);
    assert_eq!(ask(&environment).text("privateKey"), vended.text("privateKey"));
}
