//! Vending as a device sees it: every field of the answer, every refusal of the contract's table.

use std::time::Duration;

use cvm_e2e::{Client, Environment, Key, Response, wait_for};
use serde_json::{Value, json};

fn certificate_client(environment: &Environment, answer: &Response, key: &Key) -> Client {
    let chain = format!("{}{}", answer.text("certificate"), answer.text("chain"));
    let root = environment.root_ca().unwrap();
    Client::with_certificate(&environment.ready("http"), &root, &chain, &key.pem()).unwrap()
}

fn confirm(environment: &Environment, answer: &Response, key: &Key) -> Response {
    let client = certificate_client(environment, answer, key);
    client.request("POST", "/v1/certificates/confirm", &[], None).unwrap()
}

#[test]
fn a_device_gets_its_certificate_and_burns_its_token_by_using_it() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let key = Key::new().unwrap();
    let first = environment.vend("SN-1", &token, &key.csr().unwrap()).unwrap();
    assert_eq!(first.status, 201, "{first:?}");
    let body = first.json().unwrap();
    let mut names: Vec<&String> = body.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "attempt",
            "certificate",
            "certificateId",
            "chain",
            "endpoints",
            "notAfter",
            "notBefore",
            "renewAfter",
            "rootCa",
            "serverTime",
            "thingName",
        ]
    );
    assert_eq!(body["thingName"], "SN-1");
    assert!(body["endpoints"]["https"].as_str().unwrap().starts_with("https://localhost:"));
    assert!(body["endpoints"].get("mqtt").is_none(), "that listener is off");

    let again = environment.vend("SN-1", &token, &key.csr().unwrap()).unwrap();
    assert_eq!(again.status, 200);
    for name in ["certificate", "chain", "certificateId", "notAfter", "renewAfter"] {
        assert_eq!(again.text(name), first.text(name), "{name}");
    }

    let other = Key::new().unwrap().csr().unwrap();
    let refused = environment.vend("SN-1", &token, &other).unwrap();
    assert_eq!((refused.status, refused.slug().as_str()), (409, "already-issued"));

    for _ in 0..2 {
        assert_eq!(confirm(&environment, &first, &key).status, 204);
    }
    let burnt = environment.vend("SN-1", &token, &other).unwrap();
    assert_eq!((burnt.status, burnt.slug().as_str()), (403, "access-denied"));
    let own = environment.vend("SN-1", &token, &key.csr().unwrap()).unwrap();
    assert_eq!(own.text("certificate"), first.text("certificate"), "rule 3");

    let device = environment.operate("GET", "/v1/devices/SN-1", None).unwrap().json().unwrap();
    assert_eq!((&device["state"], &device["tokenState"]), (&json!("active"), &json!("burnt")));
    assert_eq!(device["certificates"][0]["state"], "current");
    let expected = [
        "device-registered",
        "certificate-issued",
        "another-key-refused",
        "certificate-confirmed",
        "burnt-token-shown",
    ];
    // What follows from an answer is written after it.
    wait_for("the journal's rows", Duration::from_secs(60), || {
        let journal = environment.operate("GET", "/v1/journal", None)?.json()?;
        let rows = journal["items"].as_array().unwrap().clone();
        let has = |kind: &&str| rows.iter().any(|row| row["kind"] == *kind);
        Ok(expected.iter().all(has).then_some(()))
    })
    .unwrap();
}

#[test]
fn every_kind_of_no_is_the_same_answer() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    let date =
        std::process::Command::new("date").args(["-u", "-d", "2 seconds", "+%FT%TZ"]).output();
    let soon = String::from_utf8(date.unwrap().stdout).unwrap().trim().to_owned();
    let expiring =
        json!({"serialNumber": "SN-2", "token": "a token that is old soon", "tokenExpires": soon});
    let added = environment.operate("POST", "/v1/devices", Some(&expiring)).unwrap();
    assert_eq!(added.status, 201, "{added:?}");
    wait_for("the token to expire", Duration::from_secs(30), || {
        let device = environment.operate("GET", "/v1/devices/SN-2", None)?;
        Ok((device.text("tokenState") == "expired").then_some(()))
    })
    .unwrap();
    let cases = [
        ("SN-9", token.as_str(), csr.as_str()),
        ("SN-1", "wrong token of that device", csr.as_str()),
        ("SN-1", "", csr.as_str()),
        ("", token.as_str(), csr.as_str()),
        (" SN-1", token.as_str(), csr.as_str()),
        ("SN-1\u{0}", token.as_str(), csr.as_str()),
        ("SN-2", "a token that is old soon", csr.as_str()),
        ("SN-1", "wrong token of that device", "not a CSR"),
        ("SN-1; DROP TABLE device", token.as_str(), csr.as_str()),
    ];
    let mut answers = Vec::new();
    for (serial, token, csr) in cases {
        let answer = environment.vend(serial, token, csr).unwrap();
        assert_eq!(answer.status, 403, "{serial:?}: {answer:?}");
        let mut body = answer.json().unwrap();
        body["attempt"] = Value::Null;
        let without_attempt: Vec<&str> =
            answer.head.lines().filter(|line| !line.starts_with("date:")).collect();
        answers.push((body, without_attempt.join("\n")));
    }
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn refusals_of_the_request_itself() {
    let environment = Environment::start(&[]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let devices = environment.device_client().unwrap();
    let post = |body: &Value| devices.request("POST", "/v1/certificates", &[], Some(body)).unwrap();
    let said = |response: &Response| (response.status, response.slug());

    let bad_csr = json!({"serialNumber": "SN-1", "token": token, "csr": "not a CSR"});
    assert_eq!(said(&post(&bad_csr)), (400, "invalid-csr".into()));
    let no_csr = json!({"serialNumber": "SN-1", "token": token});
    assert_eq!(said(&post(&no_csr)), (400, "csr-required".into()));
    let no_serial = json!({"token": token});
    assert_eq!(said(&post(&no_serial)), (400, "invalid-request".into()));
    let unknown = json!({"serialNumber": "SN-1", "token": token, "keyAlgorithm": "RSA_512"});
    assert_eq!(said(&post(&unknown)), (400, "invalid-request".into()));

    let wrong_method = devices.request("PUT", "/v1/certificates/confirm", &[], None).unwrap();
    assert_eq!(said(&wrong_method), (405, "method-not-allowed".into()));
    assert!(wrong_method.head.contains("allow: post"));
    let no_route = devices.request("GET", "/v1/nothing", &[], None).unwrap();
    assert_eq!(said(&no_route), (404, "not-found".into()));
    for response in [&wrong_method, &no_route] {
        assert!(response.head.contains("content-type: application/problem+json"));
        assert_eq!(response.text("attempt").len(), 11);
    }
    assert_eq!(environment.device_add("SN-3").unwrap().len(), 35, "it still works");
}

#[test]
fn the_server_makes_keys_where_the_profile_says_so() {
    let environment = Environment::start(&[("issuance.server_keys", "true")]).unwrap();
    let devices = environment.device_client().unwrap();
    for (serial, algorithm) in [("SN-1", "EC_P256"), ("SN-2", "RSA_2048")] {
        let token = environment.device_add(serial).unwrap();
        let body = json!({"serialNumber": serial, "token": token, "keyAlgorithm": algorithm});
        let ask = || devices.request("POST", "/v1/certificates", &[], Some(&body)).unwrap();
        let first = ask();
        assert_eq!(first.status, 201, "{first:?}");
        let again = ask();
        assert_eq!(again.status, 200, "{again:?}");
        assert!(first.text("privateKey").starts_with("-----BEGIN PRIVATE KEY-----"));
        for name in ["privateKey", "certificate"] {
            assert_eq!(again.text(name), first.text(name), "{name}");
        }
        let chain = format!("{}{}", first.text("certificate"), first.text("chain"));
        let root = environment.root_ca().unwrap();
        let address = environment.ready("http");
        let client =
            Client::with_certificate(&address, &root, &chain, &first.text("privateKey")).unwrap();
        let confirmed = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
        assert_eq!(confirmed.status, 204);
        assert_eq!(ask().status, 403, "the key is gone for good");
    }
}

#[test]
fn a_certificate_that_the_registry_does_not_know_opens_nothing() {
    let one = Environment::start(&[]).unwrap();
    let other = Environment::start(&[]).unwrap();
    let key = Key::new().unwrap();
    let token = one.device_add("SN-1").unwrap();
    let answer = one.vend("SN-1", &token, &key.csr().unwrap()).unwrap();
    let refused = confirm(&other, &answer, &key);
    assert_eq!((refused.status, refused.slug().as_str()), (403, "certificate-unknown"));
    // Routes that need no certificate do not look at it.
    let client = certificate_client(&other, &answer, &key);
    assert_eq!(client.request("GET", "/healthz", &[], None).unwrap().status, 200);
}

#[test]
fn an_address_that_is_refused_too_often_waits_and_a_trusted_one_never() {
    let settings = [("limits.refusals_per_address", "\"3/1m\"")];
    let environment = Environment::start(&settings).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    for _ in 0..3 {
        assert_eq!(
            environment.vend("SN-1", "wrong token of that device", &csr).unwrap().status,
            403
        );
    }
    let waits = environment.vend("SN-1", &token, &csr).unwrap();
    assert_eq!((waits.status, waits.slug().as_str()), (429, "slow-down"));
    assert!(waits.head.contains("retry-after: "), "{}", waits.head);

    let trusted = [settings[0], ("limits.trusted_networks", "[\"127.0.0.0/8\"]")];
    let environment = Environment::start(&trusted).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    for _ in 0..5 {
        assert_eq!(
            environment.vend("SN-1", "wrong token of that device", &csr).unwrap().status,
            403
        );
    }
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201);
}

#[test]
fn a_device_that_asks_too_often_waits_and_is_answered_later() {
    let environment = Environment::start(&[("limits.issues_per_serial", "\"2/20s\"")]).unwrap();
    let token = environment.device_add("SN-1").unwrap();
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201);
    // A wrong token never uses up what a right one needs.
    for _ in 0..5 {
        assert_eq!(
            environment.vend("SN-1", "wrong token of that device", &csr).unwrap().status,
            403
        );
    }
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 200);
    let waits = environment.vend("SN-1", &token, &csr).unwrap();
    assert_eq!((waits.status, waits.slug().as_str()), (429, "slow-down"));
    let answered = wait_for("the wait to end", Duration::from_secs(40), || {
        // Even who asks much too often is answered as often as the rate says.
        std::thread::sleep(Duration::from_millis(500));
        Ok(Some(environment.vend("SN-1", &token, &csr)?.status).filter(|status| *status == 200))
    });
    assert_eq!(answered.unwrap(), 200);
}
