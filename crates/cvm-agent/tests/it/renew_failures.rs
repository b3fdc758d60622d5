//! Renewals that fail: by whose fault, with the old certificate in its place, and with nothing
//! leaked.

use std::path::Path;

use cvm_agent::enroll::{CERTIFICATE_FILE, KEY_FILE, RECORD_FILE, ROOT_CA_FILE, Silent, enroll};
use cvm_agent::error::Error;
use cvm_agent::keys::{DeviceKey, KeyAlgorithm};
use cvm_agent::renew::{RenewOptions, When, renew};
use serde_json::Value;

use crate::pki::Pki;
use crate::registry::Enrolled;
use crate::server::Answer;
use crate::world::{World, problem, vended};

/// The fault of a renewal that the server answers with `answer`; the old certificate stays.
fn fault_of(device: &Enrolled, answer: Answer) -> Error {
    device.registry.instead.lock().push(answer);
    let fault = renew(&device.options(), &device.world.told).unwrap_err();
    assert_eq!(device.certificate(), 0);
    assert!(device.is_pair());
    assert!(!device.world.out().join("device.json.next").exists(), "nothing of it is kept");
    fault
}

#[test]
fn a_waiting_token_is_for_later_and_says_what_is_waited_for() {
    let device = Enrolled::new();
    let fault = fault_of(&device, problem(409, "token-pending", ""));
    assert_eq!((fault.exit_code(), fault.slug()), (75, "token-pending"));
    assert!(fault.to_string().contains("enroll with the new token"), "{fault}");
    assert_eq!(fault.attempt(), Some("K7QF2-M8WXA"));
    assert!(device.world.clock.waits.lock().is_empty());
}

#[test]
fn what_the_server_refuses_is_refused_and_the_key_kept() {
    let device = Enrolled::new();
    for slug in [
        "certificate-expired",
        "certificate-inactive",
        "certificate-revoked",
        "certificate-superseded",
        "certificate-unknown",
    ] {
        let fault = fault_of(&device, problem(403, slug, ""));
        assert_eq!((fault.exit_code(), fault.slug()), (1, slug), "{fault}");
    }
    renew(&device.options(), &Silent).unwrap();
    device.assert_renewed();
    let keys = device.registry.renewed_keys.lock();
    assert_eq!(keys.len(), 1);
}

#[test]
fn a_key_that_the_server_does_not_take_is_not_offered_again() {
    for slug in ["key-not-acceptable", "weak-key"] {
        let device = Enrolled::new();
        let fault = fault_of(&device, problem(400, slug, ""));
        assert_eq!((fault.exit_code(), fault.slug()), (1, slug));
        assert!(!device.world.out().join("device.key.next").exists());
        assert!(device.world.told.text().contains("makes another"));
        renew(&device.options(), &Silent).unwrap();
    }
}

#[test]
fn an_answer_that_is_wrong_is_not_kept() {
    let device = Enrolled::new();
    let pki = &device.world.pki;
    let stranger = vended(pki, &pki.stranger());
    let with = |field: &str, value: String| {
        let mut answer = stranger.clone();
        answer[field] = Value::from(value);
        answer
    };
    let no_ca = pki.stranger().pem();
    let cases = [
        (stranger.clone(), "another key"),
        (with("notAfter", "soon".to_owned()), "notAfter"),
        (with("rootCa", String::new()), "rootCa"),
        (with("rootCa", no_ca.clone()), "no CA's"),
        (with("rootCa", format!("{}{no_ca}", pki.root.pem())), "no CA's"),
    ];
    for (answer, expected) in cases {
        let fault = fault_of(&device, Answer::json(201, answer.to_string()));
        assert_eq!(fault.exit_code(), 1);
        assert!(fault.to_string().contains(expected), "{fault}");
        assert!(fault.to_string().contains("K7QF2-M8WXA"), "{fault}");
    }
    renew(&device.options(), &Silent).unwrap();
    device.assert_renewed();
}

#[test]
fn another_server_is_shown_no_certificate() {
    let device = Enrolled::new();
    device.server.heard.lock().clear();
    let path = device.world.out().join(ROOT_CA_FILE);
    std::fs::write(path, Pki::new("other").root.pem()).unwrap();
    let fault = renew(&device.options(), &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 76, "{fault}");
    assert!(device.server.heard.lock().is_empty());
}

#[test]
fn what_is_not_there_or_not_whole_is_a_local_fault() {
    let check = |directory: &Path, expected: &str| {
        let fault = renew(&RenewOptions::new(directory, When::Now), &Silent).unwrap_err();
        assert_eq!(fault.exit_code(), 77, "{fault}");
        assert!(fault.to_string().contains(expected), "{fault}");
    };
    let home = tempfile::tempdir().unwrap();
    check(&home.path().join("nowhere"), "enroll first");
    assert!(!home.path().join("nowhere").exists(), "nothing is made");
    check(home.path(), RECORD_FILE);
    let broken = |name: &str, text: &[u8], expected: &str| {
        let device = Enrolled::new();
        let path = device.world.out().join(name);
        match text {
            [] => std::fs::remove_file(&path).unwrap(),
            text => std::fs::write(&path, text).unwrap(),
        }
        device.registry.asked.lock().clear();
        check(&device.world.out(), expected);
        assert!(device.registry.asked.lock().is_empty(), "nothing was asked");
    };
    broken(KEY_FILE, b"", "device.key");
    broken(KEY_FILE, b"garbage", "device.key");
    let another = DeviceKey::generate(KeyAlgorithm::EcP256).unwrap().to_pem();
    broken(KEY_FILE, another.as_bytes(), "is not for the key");
    broken(CERTIFICATE_FILE, b"", "device.pem is missing");
    broken(ROOT_CA_FILE, b"", "root-ca.pem");
    broken("device.key.next", b"garbage", "remove it");
}

#[test]
fn another_algorithm_does_not_start_a_second_renewal_beside_the_first() {
    let device = Enrolled::new();
    fault_of(&device, Answer::HangUp);
    let mut options = device.options();
    options.key_algorithm = Some(KeyAlgorithm::EcP384);
    let fault = renew(&options, &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 2);
    assert!(fault.to_string().contains("EC_P256"), "{fault}");
    options.key_algorithm = Some(KeyAlgorithm::EcP256);
    renew(&options, &Silent).unwrap();
}

#[test]
fn an_enrollment_that_waits_for_a_human_names_the_review_and_completes_once_approved() {
    let world = World::new();
    let approved = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_approved = std::sync::Arc::clone(&approved);
    let review = std::sync::Arc::new(parking_lot::Mutex::new("K7QF2-M8WXA"));
    let named = std::sync::Arc::clone(&review);
    let server = world.server(move |request| {
        let waits = request.what == "POST /v1/certificates"
            && !is_approved.load(std::sync::atomic::Ordering::SeqCst);
        waits.then(|| {
            let Answer::Reply(status, headers, body) =
                problem(202, "pending-approval", "retry-after: 60\r\n")
            else {
                panic!("a problem is a reply");
            };
            let mut body: Value = serde_json::from_str(&body).unwrap();
            body["review"] = Value::from(*named.lock());
            Answer::Reply(status, headers, body.to_string())
        })
    });
    let options = world.options(&server, world.root_file());
    let fault = enroll(&options, &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 75);
    assert!(fault.to_string().contains("`cvm review approve K7QF2-M8WXA`"), "{fault}");
    assert_eq!(fault.refusal().unwrap().review.as_deref(), Some("K7QF2-M8WXA"));
    assert!(world.clock.waits.lock().is_empty(), "a human is not waited for");
    // Nothing that a shell would understand is put where somebody copies it from.
    *review.lock() = "1; rm -rf /";
    let fault = enroll(&options, &Silent).unwrap_err();
    assert!(!fault.to_string().contains("rm -rf"), "{fault}");
    approved.store(true, std::sync::atomic::Ordering::SeqCst);
    enroll(&options, &Silent).unwrap();
}
