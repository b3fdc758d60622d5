//! The device side against the real server: renewals, and enrollments that wait for a human.

use std::path::PathBuf;

use cvm_e2e::{Client, Environment, Key};
use serde_json::{Value, json};

/// An environment whose device `SN-1` is enrolled in `sn-1`.
fn enrolled(settings: &[(&str, &str)]) -> Environment {
    let environment = Environment::start(settings).unwrap();
    environment.succeed(&["device", "add", "SN-1", "--token-out", "token"]).unwrap();
    let (code, _, stderr) = enroll(&environment, "sn-1");
    assert_eq!(code, 0, "{stderr}");
    environment
}

fn enroll(environment: &Environment, out: &str) -> (i32, String, String) {
    let server = environment.device_url();
    let root = environment.data().join("root-ca.pem");
    let command = [
        "device",
        "enroll",
        "--server",
        &server,
        "--serial",
        "SN-1",
        "--token-file",
        "token",
        "--root-ca",
        root.to_str().unwrap(),
        "--out",
        out,
    ];
    environment.run(&command).unwrap()
}

fn file(environment: &Environment, name: &str) -> PathBuf {
    environment.scratch().join("sn-1").join(name)
}

fn read(environment: &Environment, name: &str) -> String {
    std::fs::read_to_string(file(environment, name)).unwrap()
}

const RENEW: [&str; 4] = ["device", "renew", "--dir", "sn-1"];

/// A client that shows what is in `sn-1` now.
fn client(environment: &Environment) -> Client {
    let chain = format!("{}{}", read(environment, "device.pem"), read(environment, "chain.pem"));
    let (address, root) = (environment.ready("http"), environment.root_ca().unwrap());
    Client::with_certificate(&address, &root, &chain, &read(environment, "device.key")).unwrap()
}

fn confirm(client: &Client) -> (u16, String) {
    let answer = client.request("POST", "/v1/certificates/confirm", &[], None).unwrap();
    (answer.status, answer.slug())
}

fn states(environment: &Environment) -> Vec<String> {
    let shown = environment.succeed(&["device", "show", "SN-1", "--output", "json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let certificates = shown["certificates"].as_array().unwrap();
    certificates.iter().map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn renew_brings_a_new_key_and_certificate_and_the_old_ones_retire() {
    let environment = enrolled(&[]);
    let due = environment.succeed(&[&RENEW[..], &["--if-due"]].concat()).unwrap();
    assert!(due.starts_with("not due yet: SN-1, certificate "), "{due}");
    let (old, old_key) = (client(&environment), read(&environment, "device.key"));
    let told = environment.succeed(&[&RENEW[..], &["--output", "json"]].concat()).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["outcome"], &told["serialNumber"]), (&json!("renewed"), &json!("SN-1")));
    assert_ne!(read(&environment, "device.key"), old_key);
    assert_eq!(states(&environment), ["retiring", "current"]);
    assert_eq!(confirm(&client(&environment)), (204, String::new()));
    assert_eq!(confirm(&old), (403, "certificate-superseded".to_owned()));
    // And again, by the new one; the enrollment has nothing to do.
    let told = environment.succeed(&RENEW).unwrap();
    assert!(told.starts_with("renewed: SN-1, certificate "), "{told}");
    assert_eq!(states(&environment).last().map(String::as_str), Some("current"));
    let (code, _, stderr) = enroll(&environment, "sn-1");
    assert_eq!(code, 0);
    assert!(stderr.contains("nothing to do"), "{stderr}");
}

#[test]
fn renew_goes_on_after_the_server_was_away_with_the_key_it_made() {
    let mut environment = enrolled(&[]);
    environment.kill().unwrap();
    let (code, stdout, stderr) = environment.run(&RENEW).unwrap();
    assert_eq!((code, stdout.as_str()), (75, ""), "{stderr}");
    assert!(stderr.contains("run the same command again"), "{stderr}");
    let key = read(&environment, "device.key.next");
    environment.serve().unwrap();
    // It has another port now.
    let mut record: Value = serde_json::from_str(&read(&environment, "device.json")).unwrap();
    record["server"] = json!(environment.device_url());
    std::fs::write(file(&environment, "device.json"), record.to_string()).unwrap();
    environment.succeed(&RENEW).unwrap();
    assert_eq!(read(&environment, "device.key"), key);
    assert_eq!(states(&environment), ["retiring", "current"]);
}

#[test]
fn renew_waits_while_a_new_tokens_certificate_does() {
    let environment = enrolled(&[]);
    assert_eq!(confirm(&client(&environment)).0, 204);
    let renewed = environment.operate("POST", "/v1/devices/SN-1:new-token", Some(&json!({})));
    let token = renewed.unwrap().text("token");
    let csr = Key::new().unwrap().csr().unwrap();
    assert_eq!(environment.vend("SN-1", &token, &csr).unwrap().status, 201);
    let (code, _, stderr) = environment.run(&RENEW).unwrap();
    assert_eq!(code, 75, "{stderr}");
    assert!(stderr.contains("token-pending") && stderr.contains("new token"), "{stderr}");
}

#[test]
fn what_renew_cannot_do_says_what_to_do() {
    let environment = enrolled(&[]);
    let (code, _, stderr) =
        environment.run(&["device", "renew", "--dir", "nowhere", "--if-due"]).unwrap();
    assert_eq!(code, 77);
    assert!(stderr.contains("enroll first"), "{stderr}");
    let record: Value = serde_json::from_str(&read(&environment, "device.json")).unwrap();
    let id = record["certificateId"].as_str().unwrap();
    let revoke = format!("/v1/certificates/{id}:revoke");
    let body = json!({"reason": "superseded"});
    assert_eq!(environment.operate("POST", &revoke, Some(&body)).unwrap().status, 200);
    let (code, _, stderr) = environment.run(&RENEW).unwrap();
    assert_eq!(code, 1);
    assert!(
        stderr.contains("certificate-revoked") && stderr.contains("cvm device new-token"),
        "{stderr}"
    );
}

#[test]
fn an_enrollment_that_waits_for_a_human_names_its_review_and_completes_once_approved() {
    let environment = enrolled(&[("issuance.reissue", "approval")]);
    let review = || {
        let (code, _, stderr) = enroll(&environment, "sn-1-again");
        assert_eq!(code, 75, "{stderr}");
        let at = stderr.find("cvm review approve ").unwrap() + "cvm review approve ".len();
        stderr[at..at + 11].to_owned()
    };
    let named = review();
    assert_eq!(review(), named, "one question, however often it is asked");
    let approve = format!("/v1/reviews/{named}:approve");
    assert_eq!(environment.operate("POST", &approve, None).unwrap().status, 200);
    let (code, _, stderr) = enroll(&environment, "sn-1-again");
    assert_eq!(code, 0, "{stderr}");
}
