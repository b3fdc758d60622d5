//! The attempts' file: lossy, bounded, and never in the way.

use std::io::{Seek as _, SeekFrom, Write as _};

use cvm_core::attempt::{Act, Attempt};
use cvm_core::id::AttemptCode;
use cvm_core::time::Timestamp;
use cvm_store::conformance::given::{NOW, serial};
use cvm_store::{OpenError, Stores};
use rusqlite::Connection;

use super::{open, open_in};

fn attempt(n: u64, at: Timestamp) -> Attempt {
    Attempt {
        code: AttemptCode::from_random(n),
        at,
        serial_number: serial(&format!("D-{}", n % 100)),
        address: String::from("192.0.2.1"),
        act: Act::Confirm,
        outcome: String::from("confirmed"),
        reason: String::new(),
        steps: Vec::new(),
    }
}

async fn is_known(stores: &Stores, n: u64) -> bool {
    let found = stores.attempts.attempt_by_code(AttemptCode::from_random(n)).await;
    found.unwrap().is_some()
}

#[tokio::test]
async fn notes_are_there_after_an_orderly_end() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open_in(directory.path());
    stores.attempts.attempt_record(attempt(1, NOW));
    drop(stores);
    assert!(is_known(&open_in(directory.path()), 1).await);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("attempts.db");
    std::fs::write(&path, [7; 20_000]).unwrap();
    let stores = open_in(directory.path());
    stores.attempts.attempt_record(attempt(1, NOW));
    assert!(is_known(&stores, 1).await);
    assert_eq!(std::fs::read(directory.path().join("attempts.db.damaged")).unwrap(), [7; 20_000]);
}

#[tokio::test]
async fn damage_that_is_met_later_is_set_aside_too() {
    let directory = tempfile::tempdir().unwrap();
    let stores = open_in(directory.path());
    for n in 0..3_000 {
        stores.attempts.attempt_record(attempt(n, NOW));
    }
    drop(stores);
    let path = directory.path().join("attempts.db");
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    // All but the schema's page.
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&vec![0xEE; usize::try_from(length - 4_096).unwrap()]).unwrap();
    drop(file);

    let stores = open_in(directory.path());
    let mut tries = 0;
    while stores.attempts.attempts_of(&serial("D-1")).await.is_err() {
        tries += 1;
        assert!(tries < 10);
    }
    stores.attempts.attempt_record(attempt(1, NOW));
    assert!(is_known(&stores, 1).await);
}

#[test]
fn another_programs_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("attempts.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = cvm_store::open("sqlite:cvm.db", directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
}

#[tokio::test]
async fn what_is_older_than_30_days_goes_with_the_writing_of_new_notes() {
    let (stores, _directory) = open();
    for n in 0..1_000 {
        stores.attempts.attempt_record(attempt(n, NOW));
    }
    assert!(is_known(&stores, 5).await);
    let later = Timestamp(NOW.0 + 30 * 86_400 + 1);
    for n in 1_000..1_010 {
        stores.attempts.attempt_record(attempt(n, later));
        assert!(is_known(&stores, n).await);
    }
    for n in 0..1_000 {
        assert!(!is_known(&stores, n).await, "{n}");
    }
}

#[tokio::test]
async fn addresses_beyond_a_minutes_limit_are_counted_together() {
    let (stores, _directory) = open();
    for n in 0..1_000 {
        stores.attempts.unknown_count(&format!("2001:db8:{n}::/64"), NOW);
    }
    let counts = stores.attempts.unknown_since(NOW).await.unwrap();
    assert_eq!(counts.first(), Some(&(String::from("others"), 1_000 - 256)));
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    let (stores, _directory) = open();
    let mut sent = 0;
    while stores.counters.attempts_dropped() == 0 && sent < 2_000_000 {
        stores.attempts.attempt_record(attempt(sent, NOW));
        sent += 1;
    }
    assert!(stores.counters.attempts_dropped() > 0);
}
