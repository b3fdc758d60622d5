//! Enrollments that succeed, at once or in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cvm_agent::enroll::{
    CERTIFICATE_FILE, CHAIN_FILE, ConfirmOptions, KEY_FILE, Outcome, RECORD_FILE, ROOT_CA_FILE,
    Silent, confirm, enroll,
};
use cvm_agent::keys::{DeviceKey, KeyAlgorithm};
use parking_lot::Mutex;
use serde_json::Value;

use crate::server::{Answer, Request};
use crate::world::{TOKEN, TestClock, World, mode, problem};

/// The public keys of the requests that arrived.
#[derive(Clone, Default)]
struct Keys(Arc<Mutex<Vec<String>>>);

impl Keys {
    fn note(&self, request: &Request) {
        if request.what == "POST /v1/certificates" {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let csr = asked["csr"].as_str().unwrap();
            let csr = rcgen::CertificateSigningRequestParams::from_pem(csr).unwrap();
            self.0.lock().push(format!("{:?}", csr.public_key));
        }
    }
}

#[test]
fn a_device_comes_to_its_files_and_confirms() {
    let world = World::new();
    let server = world.server(|_| None);
    for trust in [world.root_file(), world.fingerprint()] {
        let options = world.options(&server, trust);
        let done = enroll(&options, &world.told).unwrap();
        assert_eq!(done.outcome, Outcome::Written);
        assert_eq!(done.attempt.as_deref(), Some("K7QF2-M8WXA"));
        let out = world.out();
        assert_eq!(mode(&out), 0o700);
        assert_eq!(mode(&out.join(KEY_FILE)), 0o600);
        let root = std::fs::read_to_string(out.join(ROOT_CA_FILE)).unwrap();
        assert_eq!(root, world.pki.root.pem().replace("\r\n", "\n"));
        for name in [CERTIFICATE_FILE, CHAIN_FILE] {
            let pem = std::fs::read_to_string(out.join(name)).unwrap();
            assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1);
        }
        let record = std::fs::read_to_string(out.join(RECORD_FILE)).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["serialNumber"], "SN-0001");
        assert_eq!(record["keyAlgorithm"], "EC_P256");
        assert_eq!(record["fingerprint"], world.pki.fingerprint().to_string());
        assert_eq!(record["endpoints"]["mqtt"], "localhost:8883");
        assert_eq!(record["server"], server.url());
        let confirmed = confirm(&out, &ConfirmOptions::default(), &world.told).unwrap();
        assert_eq!(confirmed, done.record);
        std::fs::remove_dir_all(out).unwrap();
    }
    assert!(!world.told.text().contains(TOKEN));
}

#[test]
fn what_is_there_and_valid_is_left_alone() {
    let world = World::new();
    let server = world.server(|_| None);
    let options = world.options(&server, world.root_file());
    enroll(&options, &Silent).unwrap();
    server.heard.lock().clear();
    for trust in [world.root_file(), world.fingerprint()] {
        let again = enroll(&world.options(&server, trust), &world.told).unwrap();
        assert_eq!(again.outcome, Outcome::AlreadyThere);
    }
    assert!(server.heard.lock().is_empty());
    assert!(world.told.text().contains("nothing to do"));
}

#[test]
fn a_set_that_is_unfinished_damaged_or_expired_is_asked_for_again() {
    let world = World::new();
    let keys = Keys::default();
    let noted = keys.clone();
    let server = world.server(move |request| {
        noted.note(request);
        None
    });
    let options = world.options(&server, world.root_file());
    enroll(&options, &Silent).unwrap();
    for name in [RECORD_FILE, CERTIFICATE_FILE, CHAIN_FILE, ROOT_CA_FILE] {
        std::fs::remove_file(world.out().join(name)).unwrap();
        let again = enroll(&options, &Silent).unwrap();
        assert_eq!(again.outcome, Outcome::Written, "{name}");
        std::fs::write(world.out().join(name), "garbage").unwrap();
        let again = enroll(&options, &Silent).unwrap();
        assert_eq!(again.outcome, Outcome::Written, "{name}");
    }
    let keys = keys.0.lock().clone();
    assert_eq!(keys.len(), 9);
    assert!(keys.iter().all(|key| *key == keys[0]), "always one key");
    let mut later = options;
    later.clock = Arc::new(TestClock { now_seconds: 1_900_000_000, waits: Mutex::default() });
    // The server's answer has expired as well by then.
    let fault = enroll(&later, &world.told).unwrap_err();
    assert_eq!(fault.exit_code(), 1, "{fault}");
    assert!(world.told.text().contains("cannot be used"));
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let world = World::new();
    let keys = Keys::default();
    let (noted, count) = (keys.clone(), AtomicUsize::new(0));
    let server = world.server(move |request| {
        noted.note(request);
        let is_lost = count.fetch_add(1, Ordering::SeqCst) < 3;
        is_lost.then_some(Answer::HangUp)
    });
    // A run that does not try again, and a second one that does.
    let mut options = world.options(&server, world.root_file());
    options.retries = 0;
    let fault = enroll(&options, &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 75, "{fault}");
    options.retries = 5;
    enroll(&options, &world.told).unwrap();
    let keys = keys.0.lock();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(world.clock.waits.lock().len(), 2);
    assert!(world.told.text().contains("try 2 of 5"));
}

#[test]
fn the_servers_wish_to_be_left_alone_is_honoured() {
    let world = World::new();
    let count = AtomicUsize::new(0);
    let server = world.server(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Some(problem(503, "unavailable", "retry-after: 20\r\n")),
        1 => Some(problem(429, "slow-down", "retry-after: 40\r\n")),
        _ => None,
    });
    enroll(&world.options(&server, world.root_file()), &Silent).unwrap();
    let waits = world.clock.waits.lock();
    let seconds = |from, to| Duration::from_secs(from)..Duration::from_secs(to);
    assert!(seconds(20, 25).contains(&waits[0]), "{waits:?}");
    assert!(seconds(40, 50).contains(&waits[1]), "{waits:?}");
}

#[test]
fn tries_come_to_an_end() {
    let world = World::new();
    let server = world.server(|_| Some(problem(503, "unavailable", "")));
    for trust in [world.root_file(), world.fingerprint()] {
        let fault = enroll(&world.options(&server, trust), &Silent).unwrap_err();
        assert_eq!(fault.exit_code(), 75);
    }
    assert_eq!(world.clock.waits.lock().len(), 10);
}

#[test]
fn a_key_that_exists_is_used_where_it_is() {
    let world = World::new();
    let server = world.server(|_| None);
    let path = world.home.path().join("factory.key");
    let key = DeviceKey::generate(KeyAlgorithm::EcP384).unwrap();
    std::fs::write(&path, key.to_pem().as_bytes()).unwrap();
    let mut options = world.options(&server, world.root_file());
    options.key = Some(path.clone());
    let done = enroll(&options, &world.told).unwrap();
    assert_eq!(done.record.key_file.as_ref(), Some(&path));
    assert_eq!(done.record.key_algorithm, "EC_P384");
    assert!(!world.out().join(KEY_FILE).exists());
    assert!(world.told.text().contains("chmod 600"));
    confirm(&world.out(), &ConfirmOptions::default(), &Silent).unwrap();
    // Later runs find it by the record.
    options.key = None;
    assert_eq!(enroll(&options, &Silent).unwrap().outcome, Outcome::AlreadyThere);
}

#[test]
fn every_algorithm_enrolls_and_confirms() {
    let world = World::new();
    let server = world.server(|_| None);
    for algorithm in KeyAlgorithm::ALL {
        let mut options = world.options(&server, world.root_file());
        options.key_algorithm = Some(algorithm);
        options.out = world.home.path().join(algorithm.name());
        let done = enroll(&options, &Silent).unwrap();
        assert_eq!(done.record.key_algorithm, algorithm.name());
        confirm(&options.out, &ConfirmOptions::default(), &Silent).unwrap();
    }
}
