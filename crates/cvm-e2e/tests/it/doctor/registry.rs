//! What the registry tells: credentials that end, timers that wait, CRLs past their end, reviews,
//! alarms.

use std::time::Duration;

use cvm_core::time::Span;
use cvm_e2e::{Key, wait_for};
use serde_json::json;

use super::*;

/// Asks until the report has such a line: what it tells of happens in the background.
fn wait_until_told(environment: &Environment, state: &str, check: &str, words: &[&str]) {
    let what = format!("{state} {check}");
    let told = wait_for(&what, Duration::from_secs(120), || {
        let (_, report) = doctor(environment, &[]);
        Ok(is_told(&report, state, check, words).then_some(()))
    });
    told.unwrap_or_else(|error| panic!("{error}: {}", doctor(environment, &[]).1));
}

#[test]
fn a_token_that_ends_soon_is_told_until_it_has_been_replaced() {
    let environment = Environment::start(&[]).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "admin-tokens", &[]);
    let create = [
        "admin",
        "token",
        "create",
        "line-1",
        "--role",
        "registrar",
        "--expires",
        "3d",
        "--output",
        "json",
    ];
    let made: Value = serde_json::from_str(&environment.succeed(&create).unwrap()).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0);
    let words = ["line-1", "(registrar)", "cvm admin token create NAME --role registrar"];
    assert_told(&report, "warning", "admin-tokens", &words);
    environment.succeed(&["admin", "token", "revoke", made["id"].as_str().unwrap()]).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "admin-tokens", &[]);
}

#[test]
fn what_a_stopped_server_left_undone_is_told_and_a_start_does_it() {
    let mut environment = Environment::new(&[]).unwrap();
    environment.set_clock(environment.now()).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    // A device whose renewal lets the certificate before it retire, and a CRL.
    let token = environment.device_add("SN-1").unwrap();
    let keys = [Key::new().unwrap(), Key::new().unwrap()];
    let first = environment.vend("SN-1", &token, &keys[0].csr().unwrap()).unwrap();
    let chain = |answer: &cvm_e2e::Response| {
        format!("{}{}", answer.text("certificate"), answer.text("chain"))
    };
    let client = environment.certificate_client(&chain(&first), &keys[0]).unwrap();
    let confirmed = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(confirmed.status, 204);
    let body = json!({"csr": keys[1].csr().unwrap()});
    let second = client.request("POST", "/v1/certificates/renew", &[], Some(&body)).unwrap();
    assert_eq!(second.status, 201, "{second:?}");
    let client = environment.certificate_client(&chain(&second), &keys[1]).unwrap();
    let confirmed = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(confirmed.status, 204);
    let other = environment.device_add("SN-2").unwrap();
    let other = environment.vend("SN-2", &other, &Key::new().unwrap().csr().unwrap()).unwrap();
    let revoke = format!("/v1/certificates/{}:revoke", other.text("certificateId"));
    let revoked = environment.operate("POST", &revoke, Some(&json!({"reason": "unspecified"})));
    assert!(revoked.unwrap().status < 300);
    // Who asks for it has it signed.
    let store = rusqlite::Connection::open(environment.data().join("cvm.db")).unwrap();
    let path = "SELECT format('/v1/crl/%s/%02x.crl', lower(hex(issuer)), shard) FROM crl_shard";
    let path: String = store.query_row(path, [], |row| row.get(0)).unwrap();
    drop(store);
    let crl = environment.device_client().unwrap().exchange(
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert_eq!(crl.unwrap().status, 200);
    assert_told(&doctor(&environment, &[]).1, "ok", "crls", &[]);
    assert_told(&doctor(&environment, &[]).1, "ok", "timers", &[]);
    environment.terminate().unwrap();

    environment.set_clock(environment.now().plus(Span(20 * Span::DAY.0))).unwrap();
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0, "{report}");
    assert_told(&report, "warning", "timers", &["1 devices", "start the server"]);
    assert_told(&report, "warning", "crls", &["past their end", "start the server"]);
    environment.serve().unwrap();
    wait_until_told(&environment, "ok", "timers", &[]);
    wait_until_told(&environment, "ok", "crls", &[]);
}

#[test]
fn a_question_to_a_human_is_told_until_it_has_its_answer() {
    let environment = Environment::start(&[("issuance.reissue", "approval")]).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "reviews", &[]);
    let token = environment.device_add("SN-1").unwrap();
    for status in [201, 202] {
        let csr = Key::new().unwrap().csr().unwrap();
        assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, status);
    }
    let (code, report) = doctor(&environment, &[]);
    assert_eq!(code, 0);
    assert_told(&report, "warning", "reviews", &["1 devices", "cvm review list"]);
    let list = environment.succeed(&["review", "list", "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&list).unwrap();
    let id = list["items"][0]["id"].as_str().unwrap();
    environment.succeed(&["review", "deny", id]).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "reviews", &[]);
}

#[test]
fn alarms_are_told_for_a_day() {
    let mut environment = Environment::new(&[]).unwrap();
    environment.set_clock(environment.now()).unwrap();
    environment.init(&["--unsealed"]).unwrap();
    environment.serve().unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "alarms", &[]);
    let token = environment.device_add("SN-1").unwrap();
    for status in [201, 409] {
        let csr = Key::new().unwrap().csr().unwrap();
        assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, status);
    }
    wait_until_told(&environment, "warning", "alarms", &["1 another-key-refused", "cvm explain"]);
    environment.terminate().unwrap();
    environment.set_clock(environment.now().plus(Span(Span::DAY.0 + 60))).unwrap();
    assert_told(&doctor(&environment, &[]).1, "ok", "alarms", &[]);
}
