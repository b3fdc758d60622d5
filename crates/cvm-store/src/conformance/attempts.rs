//! Attempts: the last 32 of each device, and counters for unknown serial numbers.

use cvm_core::attempt::{Act, Attempt, Step, StepName};
use cvm_core::id::AttemptCode;
use cvm_core::time::Timestamp;

use super::given::{NOW, serial};
use crate::Stores;

fn attempt(name: &str, n: u64) -> Attempt {
    let step = |name, passed| Step { name, passed, evidence: format!("evidence {n}") };
    Attempt {
        code: AttemptCode::from_random(n),
        at: NOW,
        serial_number: serial(name),
        address: String::from("192.0.2.1"),
        act: Act::Vend,
        outcome: String::from("access-denied"),
        reason: String::from("wrong-token"),
        steps: vec![step(StepName::SerialNumber, true), step(StepName::Token, false)],
    }
}

/// Each serial number has 32 places that are overwritten in turn; told newest first.
pub async fn the_last_32_attempts_are_kept_newest_first(stores: Stores) {
    stores.attempts.attempt_record(attempt("B", 1_000));
    for n in 0..40 {
        stores.attempts.attempt_record(attempt("A", n));
    }
    let found = stores.attempts.attempts_of(&serial("A")).await.expect("the read works");
    let wanted: Vec<_> = (8..40).rev().map(|n| attempt("A", n)).collect();
    assert_eq!(found, wanted);
    let others = stores.attempts.attempts_of(&serial("B")).await.expect("the read works");
    assert_eq!(others, [attempt("B", 1_000)]);
}

/// The attempt called by its code.
pub async fn an_attempt_is_found_by_its_code(stores: Stores) {
    for n in 0..3 {
        stores.attempts.attempt_record(attempt("A", n));
    }
    let find = |n| stores.attempts.attempt_by_code(AttemptCode::from_random(n));
    assert_eq!(find(1).await.expect("the read works"), Some(attempt("A", 1)));
    assert_eq!(find(9).await.expect("the read works"), None);
}

/// If it is still known.
pub async fn a_code_that_was_overwritten_is_not_known(stores: Stores) {
    for n in 0..33 {
        stores.attempts.attempt_record(attempt("A", n));
    }
    let find = |n| stores.attempts.attempt_by_code(AttemptCode::from_random(n));
    assert_eq!(find(0).await.expect("the read works"), None);
    assert!(find(1).await.expect("the read works").is_some());
}

/// Per address, most first, at most 100 addresses.
pub async fn attempts_on_unknown_serial_numbers_are_counted_by_address(stores: Stores) {
    for n in 0..120 {
        stores.attempts.unknown_count(&format!("2001:db8:{n}::/64"), NOW);
    }
    for second in [0, 61, 122] {
        stores.attempts.unknown_count("192.0.2.7", Timestamp(NOW.0 + second));
    }
    let counts = stores.attempts.unknown_since(NOW).await.expect("the read works");
    assert_eq!(counts.first(), Some(&(String::from("192.0.2.7"), 3)));
    assert_eq!(counts.len(), 100);
}

/// Since the asked time, to the minute.
pub async fn unknown_attempts_before_the_asked_time_are_not_counted(stores: Stores) {
    for second in [0, 60, 120] {
        stores.attempts.unknown_count("192.0.2.7", Timestamp(NOW.0 + second));
    }
    let counts = stores.attempts.unknown_since(Timestamp(NOW.0 + 60)).await;
    assert_eq!(counts.expect("the read works"), [(String::from("192.0.2.7"), 2)]);
}
