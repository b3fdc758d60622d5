//! Renewals that succeed, at once or in the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cvm_agent::enroll::{
    CERTIFICATE_FILE, KEY_FILE, Outcome, RECORD_FILE, ROOT_CA_FILE, Silent, enroll,
};
use cvm_agent::keys::{DeviceKey, KeyAlgorithm};
use cvm_agent::renew::{Renewal, When, renew};
use cvm_agent::token::Token;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::pki::Pki;
use crate::registry::{Enrolled, Standing};
use crate::server::{Answer, Server};
use crate::world::{TOKEN, TestClock, mode, problem};

/// 2027-01-01, as the server says.
const RENEW_AFTER_SECONDS: u64 = 1_798_761_600;

fn clock_at(now_seconds: u64) -> Arc<TestClock> {
    Arc::new(TestClock { now_seconds, waits: Mutex::default() })
}

fn token() -> Token {
    Token::new(Zeroizing::new(TOKEN.to_owned())).unwrap()
}

#[test]
fn a_device_gets_a_new_key_and_certificate_proves_it_and_only_then_uses_it() {
    let device = Enrolled::new();
    let old = std::fs::read(device.world.out().join(KEY_FILE)).unwrap();
    device.registry.asked.lock().clear();
    let done = renew(&device.options(), &device.world.told).unwrap();
    let Renewal::Renewed { record, attempt } = &done else {
        panic!("{done:?}");
    };
    assert_eq!(attempt.as_deref(), Some("K7QF2-M8WXA"));
    assert_eq!((record.serial_number.as_str(), record.key_file.as_ref()), ("SN-0001", None));
    device.assert_renewed();
    assert_eq!(device.registry.standings(), [Standing::Retiring, Standing::Current]);
    assert_eq!(
        *device.registry.asked.lock(),
        ["POST /v1/certificates/renew", "POST /v1/certificates/confirm"]
    );
    assert_eq!(mode(&device.world.out().join(KEY_FILE)), 0o600);
    assert_ne!(std::fs::read(device.world.out().join(KEY_FILE)).unwrap(), old);
    // The enrollment finds the new set as it found the old one.
    let options = device.world.options(&device.server, device.world.root_file());
    assert_eq!(enroll(&options, &Silent).unwrap().outcome, Outcome::AlreadyThere);
    // And so on, each time with a new key.
    renew(&device.options(), &Silent).unwrap();
    device.assert_renewed();
    assert_eq!(device.registry.issued.lock().len(), 3);
}

#[test]
fn it_is_due_by_the_latest_time_that_is_known() {
    let device = Enrolled::new();
    device.registry.asked.lock().clear();
    let renew_at = |now_seconds| {
        let mut options = device.options_at(clock_at(now_seconds));
        options.when = When::IfDue;
        renew(&options, &Silent).unwrap()
    };
    for now_seconds in [0, RENEW_AFTER_SECONDS - 1] {
        let done = renew_at(now_seconds);
        assert!(matches!(done, Renewal::NotDue { .. }), "{done:?}");
        assert_eq!(done.record().renew_after, "2027-01-01T00:00:00Z");
    }
    assert!(device.registry.asked.lock().is_empty());
    assert!(!device.world.out().join("device.key.next").exists());
    assert!(matches!(renew_at(RENEW_AFTER_SECONDS), Renewal::Renewed { .. }));
    // A clock that forgot, and a server that told the time when it answered.
    let path = device.world.out().join(RECORD_FILE);
    let record = std::fs::read_to_string(&path).unwrap();
    let told = record.replace("2026-06-01T00:00:00Z", "2027-01-02T00:00:00Z");
    assert_ne!(record, told);
    std::fs::write(&path, told).unwrap();
    assert!(matches!(renew_at(0), Renewal::Renewed { .. }));
}

#[test]
fn a_renewal_that_was_begun_is_due() {
    let device = Enrolled::new();
    device.registry.instead.lock().push(Answer::HangUp);
    renew(&device.options(), &Silent).unwrap_err();
    let mut options = device.options();
    options.when = When::IfDue;
    assert!(matches!(renew(&options, &Silent).unwrap(), Renewal::Renewed { .. }));
}

#[test]
fn a_lost_answer_is_for_later_and_the_same_again_completes() {
    for lost in ["/renew", "/confirm"] {
        let device = Enrolled::new();
        *device.registry.loses.lock() = Some(lost);
        let fault = renew(&device.options(), &Silent).unwrap_err();
        assert_eq!(fault.exit_code(), 75, "{lost}: {fault}");
        assert!(fault.to_string().contains("try again"), "{fault}");
        assert_eq!(device.certificate(), 0, "{lost}: the old one keeps its place");
        assert!(device.is_pair());
        let done = renew(&device.options(), &Silent).unwrap();
        assert!(matches!(done, Renewal::Renewed { .. }), "{lost}");
        device.assert_renewed();
        assert_eq!(device.registry.issued.lock().len(), 2, "{lost}: the same certificate");
    }
}

#[test]
fn the_servers_wish_to_be_left_alone_is_honoured() {
    let device = Enrolled::new();
    *device.registry.instead.lock() = vec![
        problem(429, "slow-down", "retry-after: 40\r\n"),
        problem(503, "unavailable", "retry-after: 20\r\n"),
    ];
    let mut options = device.options();
    options.retries = 5;
    renew(&options, &Silent).unwrap();
    let waits = device.world.clock.waits.lock();
    let seconds = |from, to| Duration::from_secs(from)..Duration::from_secs(to);
    assert!(seconds(20, 25).contains(&waits[0]), "{waits:?}");
    assert!(seconds(40, 50).contains(&waits[1]), "{waits:?}");
    drop(waits);
    device.registry.instead.lock().push(problem(503, "unavailable", "retry-after: 4000\r\n"));
    let fault = renew(&options, &Silent).unwrap_err();
    assert_eq!(fault.exit_code(), 75, "nobody waits for that long");
    assert_eq!(fault.retry_after(), Some(Duration::from_secs(4000)));
}

#[test]
fn a_candidate_that_ended_is_asked_for_again_with_its_key() {
    for slug in ["certificate-superseded", "certificate-expired", "certificate-unknown"] {
        let device = Enrolled::new();
        *device.registry.loses.lock() = Some("/confirm");
        renew(&device.options(), &Silent).unwrap_err();
        // Its confirmation never arrived, and then it ended.
        device.registry.end(1, slug);
        device.registry.issued.lock()[0].standing = Standing::Current;
        renew(&device.options(), &device.world.told).unwrap();
        device.assert_renewed();
        let keys = device.registry.renewed_keys.lock();
        assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "{slug}");
        assert!(device.world.told.text().contains("of no use"));
    }
}

#[test]
fn a_candidate_that_was_revoked_takes_its_key_along() {
    let device = Enrolled::new();
    *device.registry.loses.lock() = Some("/confirm");
    renew(&device.options(), &Silent).unwrap_err();
    device.registry.end(1, "certificate-revoked");
    device.registry.issued.lock()[0].standing = Standing::Current;
    renew(&device.options(), &Silent).unwrap();
    device.assert_renewed();
    let keys = device.registry.renewed_keys.lock();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn one_that_expired_asks_with_its_token_and_the_key_it_had_sent() {
    let device = Enrolled::new();
    *device.registry.loses.lock() = Some("/renew");
    renew(&device.options(), &Silent).unwrap_err();
    device.registry.end(0, "certificate-expired");
    // The candidate is the only certificate by now; the token is burnt.
    device.registry.issued.lock()[1].standing = Standing::Unconfirmed;
    let fault = renew(&device.options(), &Silent).unwrap_err();
    assert_eq!((fault.exit_code(), fault.slug()), (1, "certificate-expired"));
    let mut options = device.options();
    options.token = Some(token());
    renew(&options, &device.world.told).unwrap();
    device.assert_renewed();
    assert_eq!(device.registry.issued.lock().len(), 2);
    assert!(!format!("{} {options:?}", device.world.told.text()).contains(TOKEN));
}

#[test]
fn the_token_is_shown_only_where_the_certificate_has_expired() {
    let device = Enrolled::new();
    device.server.heard.lock().clear();
    let mut options = device.options();
    options.token = Some(token());
    renew(&options, &Silent).unwrap();
    for slug in ["certificate-revoked", "certificate-superseded", "token-pending"] {
        device.registry.instead.lock().push(problem(403, slug, ""));
        renew(&options, &Silent).unwrap_err();
    }
    let heard = device.server.heard.lock().concat();
    assert!(!String::from_utf8_lossy(&heard).contains(TOKEN));
}

#[test]
fn every_algorithm_renews_in_kind_and_another_is_made_on_request() {
    for algorithm in KeyAlgorithm::ALL {
        let device = Enrolled::new();
        let mut options = device.options();
        options.key_algorithm = Some(algorithm);
        renew(&options, &Silent).unwrap();
        options.key_algorithm = None;
        let done = renew(&options, &Silent).unwrap();
        assert_eq!(done.record().key_algorithm, algorithm.name());
        device.assert_renewed();
    }
}

#[test]
fn a_key_that_lies_elsewhere_stays_there_and_is_not_used_any_more() {
    let device = Enrolled::new();
    let out = device.world.home.path().join("other");
    let path = device.world.home.path().join("factory.key");
    let key = DeviceKey::generate(KeyAlgorithm::EcP384).unwrap();
    std::fs::write(&path, key.to_pem().as_bytes()).unwrap();
    let mut enrollment = device.world.options(&device.server, device.world.root_file());
    enrollment.out = out.clone();
    enrollment.key = Some(path.clone());
    device.registry.token_is_good.store(true, Ordering::SeqCst);
    enroll(&enrollment, &Silent).unwrap();
    let mut options = device.options();
    options.directory = out.clone();
    let done = renew(&options, &device.world.told).unwrap();
    assert_eq!(done.record().key_file, None);
    assert_eq!(done.record().key_algorithm, "EC_P384");
    assert_eq!(std::fs::read(&path).unwrap(), key.to_pem().as_bytes());
    assert!(out.join(KEY_FILE).exists());
    assert!(device.world.told.text().contains("not used any more"));
    // The command that enrolled it finds what the renewal brought.
    assert_eq!(enroll(&enrollment, &Silent).unwrap().outcome, Outcome::AlreadyThere);
}

#[test]
fn the_servers_bundle_is_pinned_and_any_root_of_it_is_believed() {
    let device = Enrolled::new();
    let new = Pki::new("new");
    let bundle = format!("{}{}", new.root.pem(), device.world.pki.root.pem());
    *device.registry.bundle.lock() = Some(bundle.clone());
    renew(&device.options(), &device.world.told).unwrap();
    let pinned = std::fs::read_to_string(device.world.out().join(ROOT_CA_FILE)).unwrap();
    assert_eq!(pinned, bundle.replace("\r\n", "\n"), "newest first");
    assert!(device.world.told.text().contains("roots are new"));
    // The same server, once under the old root and once under the new one.
    device.registry.asked.lock().clear();
    renew(&device.options(), &Silent).unwrap();
    assert_eq!(device.registry.asked.lock().len(), 2, "what is pinned is not tried again");
    let registry = Arc::clone(&device.registry);
    let moved = Server::start(new.server("localhost"), &device.world.pki, move |request| {
        registry.answer(request).unwrap_or(Answer::HangUp)
    });
    let record = device.world.out().join(RECORD_FILE);
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace(&device.server.url(), &moved.url())).unwrap();
    renew(&device.options(), &Silent).unwrap();
    device.assert_renewed();
}

#[test]
fn roots_that_do_not_verify_the_server_are_not_pinned() {
    let device = Enrolled::new();
    let before = std::fs::read(device.world.out().join(ROOT_CA_FILE)).unwrap();
    *device.registry.bundle.lock() = Some(Pki::new("new").root.pem());
    renew(&device.options(), &device.world.told).unwrap();
    device.assert_renewed();
    assert_eq!(std::fs::read(device.world.out().join(ROOT_CA_FILE)).unwrap(), before);
    assert!(device.world.told.text().contains("not pinned"));
}

#[test]
fn roots_that_stop_verifying_the_server_before_the_proof_are_given_up() {
    let device = Enrolled::new();
    let old = device.world.pki.root.pem();
    *device.registry.bundle.lock() = Some(format!("{}{old}", Pki::new("new").root.pem()));
    *device.registry.loses.lock() = Some("/confirm");
    renew(&device.options(), &Silent).unwrap_err();
    // What waits beside the certificate verifies nobody.
    let next = device.world.out().join("root-ca.pem.next");
    std::fs::write(&next, Pki::new("another").root.pem()).unwrap();
    *device.registry.bundle.lock() = None;
    device.registry.issued.lock()[0].standing = Standing::Current;
    device.registry.issued.lock()[1].standing = Standing::Candidate;
    renew(&device.options(), &Silent).unwrap();
    device.assert_renewed();
    let pinned = std::fs::read_to_string(device.world.out().join(ROOT_CA_FILE)).unwrap();
    assert_eq!(pinned, old.replace("\r\n", "\n"));
}

#[test]
fn an_enrollment_that_replaces_the_certificate_ends_the_renewal() {
    let device = Enrolled::new();
    device.registry.instead.lock().push(Answer::HangUp);
    renew(&device.options(), &Silent).unwrap_err();
    assert!(device.world.out().join("device.key.next").exists());
    std::fs::remove_file(device.world.out().join(CERTIFICATE_FILE)).unwrap();
    let options = device.world.options(&device.server, device.world.root_file());
    assert_eq!(enroll(&options, &Silent).unwrap().outcome, Outcome::Written);
    assert_eq!(device.names().len(), 5, "{:?}", device.names());
}
