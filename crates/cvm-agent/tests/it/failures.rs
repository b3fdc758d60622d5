//! Enrollments that fail: by whose fault, and with nothing lost or leaked.

use std::path::PathBuf;

use cvm_agent::enroll::{
    CERTIFICATE_FILE, ConfirmOptions, EnrollOptions, KEY_FILE, RECORD_FILE, Silent, confirm, enroll,
};
use cvm_agent::error::Error;
use cvm_agent::keys::{DeviceKey, KeyAlgorithm};
use serde_json::Value;

use crate::pki::Pki;
use crate::server::{Answer, Request};
use crate::world::{TOKEN, World, problem, vended};

/// The fault of an enrollment whose request is answered by `answer`.
fn refused(
    world: &World,
    answer: impl Fn(&Pki, &Request) -> Answer + Send + Sync + 'static,
) -> Error {
    let pki = std::sync::Arc::clone(&world.pki);
    let server = world.server(move |request| {
        (request.what == "POST /v1/certificates").then(|| answer(&pki, request))
    });
    let options = world.options(&server, world.root_file());
    let fault = enroll(&options, &world.told).unwrap_err();
    for name in [CERTIFICATE_FILE, RECORD_FILE] {
        assert!(!world.out().join(name).exists(), "nothing of it is kept");
    }
    let printed = format!("{fault} {fault:?} {options:?} {}", world.told.text());
    assert!(!printed.contains(TOKEN));
    fault
}

/// A true answer with one field changed.
fn with(field: &'static str, value: &'static str) -> impl Fn(&Pki, &Request) -> Answer {
    move |pki, request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let mut answer = vended(pki, &pki.device(asked["csr"].as_str().unwrap()));
        answer[field] = Value::from(value);
        Answer::json(201, answer.to_string())
    }
}

#[test]
fn a_refusal_ends_it_and_shows_its_attempt() {
    let world = World::new();
    let fault = refused(&world, |_, _| problem(403, "access-denied", ""));
    assert_eq!(fault.exit_code(), 1);
    assert_eq!(fault.attempt(), Some("K7QF2-M8WXA"));
    assert!(fault.to_string().contains("K7QF2-M8WXA"), "{fault}");
    assert!(fault.to_string().contains("access-denied"), "{fault}");
    assert!(world.clock.waits.lock().is_empty());
    assert!(world.out().join(KEY_FILE).exists(), "the key stays");
}

#[test]
fn what_waits_for_a_human_is_for_later_and_not_repeated() {
    let world = World::new();
    let fault = refused(&world, |_, _| problem(202, "pending-approval", ""));
    assert_eq!(fault.exit_code(), 75);
    assert!(fault.to_string().contains("approve"), "{fault}");
    assert!(world.clock.waits.lock().is_empty());
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let world = World::new();
    let fault =
        refused(&world, |pki, _| Answer::json(201, vended(pki, &pki.stranger()).to_string()));
    assert_eq!(fault.exit_code(), 1);
    assert!(fault.to_string().contains("another key"), "{fault}");
}

#[test]
fn a_certificate_that_neither_root_nor_chain_leads_to_is_refused() {
    let world = World::new();
    let fault = refused(&world, |pki, request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let certificate = Pki::new("other").device(asked["csr"].as_str().unwrap());
        Answer::json(201, vended(pki, &certificate).to_string())
    });
    assert_eq!(fault.exit_code(), 1);
    assert!(fault.to_string().contains("leads neither"), "{fault}");
}

#[test]
fn a_certificate_under_the_operators_own_ca_is_kept() {
    let world = World::new();
    let server = world.server(|request| {
        (request.what == "POST /v1/certificates").then(|| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let other = Pki::new("other");
            let certificate = other.device(asked["csr"].as_str().unwrap());
            Answer::json(201, vended(&other, &certificate).to_string())
        })
    });
    let options = world.options(&server, world.root_file());
    enroll(&options, &Silent).unwrap();
    assert!(world.out().join(CERTIFICATE_FILE).exists());
    let again = enroll(&options, &Silent).unwrap();
    assert_eq!(again.outcome, cvm_agent::enroll::Outcome::AlreadyThere);
}

#[test]
fn a_certificate_whose_ca_nobody_shows_is_kept_while_it_is_valid() {
    let answer = |server_time: &'static str| {
        move |pki: &Pki, request: &Request| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let certificate = Pki::new("aws").device(asked["csr"].as_str().unwrap());
            let mut vended = vended(pki, &certificate);
            vended["chain"] = "".into();
            vended["serverTime"] = server_time.into();
            Answer::json(201, vended.to_string())
        }
    };
    let world = World::new();
    let pki = world.pki.clone();
    let server = world.server(move |request| {
        (request.what == "POST /v1/certificates")
            .then(|| answer("2026-06-01T00:00:00Z")(&pki, request))
    });
    let options = world.options(&server, world.root_file());
    enroll(&options, &Silent).unwrap();
    let again = enroll(&options, &Silent).unwrap();
    assert_eq!(again.outcome, cvm_agent::enroll::Outcome::AlreadyThere);

    let fault = refused(&World::new(), answer("2030-01-01T00:00:00Z"));
    assert!(fault.to_string().contains("not kept"), "{fault}");
}

#[test]
fn an_answer_with_a_field_that_is_wrong_is_refused() {
    let cases = [
        ("certificate", "no PEM"),
        ("chain", "no PEM"),
        ("notAfter", "soon"),
        ("serverTime", ""),
        // The certificate is not valid by then.
        ("serverTime", "2030-01-01T00:00:00Z"),
    ];
    for (field, value) in cases {
        let world = World::new();
        let fault = refused(&world, with(field, value));
        assert_eq!(fault.exit_code(), 1, "{field}: {fault}");
        assert!(fault.to_string().contains("not kept"), "{field}: {fault}");
    }
}

#[test]
fn an_answer_that_is_too_long_or_no_json_is_refused() {
    let world = World::new();
    let fault = refused(&world, |_, _| Answer::json(201, "x".repeat(1024 * 1024 + 1)));
    assert_eq!(fault.exit_code(), 1, "{fault}");
    let fault = refused(&world, |_, _| Answer::json(201, "{}".to_owned()));
    assert_eq!(fault.exit_code(), 1, "{fault}");
}

#[test]
fn another_server_gets_no_token() {
    let world = World::new();
    let server = world.server(|_| None);
    let other = World::new();
    let options = world.options(&server, other.root_file());
    let fault = enroll(&options, &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 76, "{fault}");
    let options = world.options(&server, other.fingerprint());
    let fault = enroll(&options, &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 76, "{fault}");
    let heard = server.heard.lock().concat();
    assert!(!String::from_utf8_lossy(&heard).contains(TOKEN));
}

#[test]
fn files_that_cannot_be_read_or_written_are_local_faults() {
    let world = World::new();
    let server = world.server(|_| None);
    let options = || world.options(&server, world.root_file());
    let check = |options: &EnrollOptions| {
        let fault = enroll(options, &Silent).unwrap_err();
        assert_eq!(fault.exit_code(), 77, "{fault}");
    };
    // A directory of the kernel: read-only, for root too.
    let mut kernel = options();
    kernel.out = PathBuf::from("/proc/self/task");
    check(&kernel);
    let mut missing_key = options();
    missing_key.key = Some(world.home.path().join("missing.key"));
    check(&missing_key);
    let mut no_key = options();
    no_key.key = Some(world.home.path().join("root.pem"));
    check(&no_key);
    std::fs::remove_dir_all(world.out()).unwrap();
    std::fs::create_dir(world.out()).unwrap();
    std::fs::create_dir(world.out().join(KEY_FILE)).unwrap();
    check(&options());
    assert!(server.heard.lock().is_empty(), "nothing was sent");
}

#[test]
fn what_contradicts_itself_is_a_usage_fault() {
    let world = World::new();
    let server = world.server(|_| None);
    let options = world.options(&server, world.root_file());
    let check = |options: &EnrollOptions, expected: &str| {
        let fault = enroll(options, &Silent).unwrap_err();
        assert_eq!(fault.exit_code(), 2, "{fault}");
        assert!(fault.to_string().contains(expected), "{fault}");
    };
    let mut nameless = options.clone();
    nameless.serial_number = String::new();
    check(&nameless, "serial number");
    enroll(&options, &Silent).unwrap();
    let mut another = options.clone();
    another.serial_number = "SN-0002".to_owned();
    check(&another, "identity of SN-0001");
    std::fs::remove_file(world.out().join(RECORD_FILE)).unwrap();
    let mut rsa = options.clone();
    rsa.key_algorithm = Some(KeyAlgorithm::Rsa2048);
    check(&rsa, "not RSA_2048");
    let path = world.home.path().join("another.key");
    let key = DeviceKey::generate(KeyAlgorithm::EcP256).unwrap();
    std::fs::write(&path, key.to_pem().as_bytes()).unwrap();
    let mut second = options;
    second.key = Some(path);
    check(&second, "another key");
}

#[test]
fn confirming_what_is_not_there_is_a_local_fault_and_not_ours_a_refusal() {
    let world = World::new();
    let confirmed = || confirm(&world.out(), &ConfirmOptions::default(), &Silent);
    assert_eq!(confirmed().unwrap_err().exit_code(), 77);
    let server = world.server(|request| {
        request.what.ends_with("/confirm").then(|| problem(403, "certificate-revoked", ""))
    });
    enroll(&world.options(&server, world.root_file()), &Silent).unwrap();
    let fault = confirmed().unwrap_err();
    assert_eq!(fault.exit_code(), 1);
    assert!(fault.to_string().contains("certificate-revoked"), "{fault}");
}
