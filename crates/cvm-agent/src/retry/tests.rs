//! Waits are bounded, spread, and never shorter than asked for.

use std::sync::Arc;

use parking_lot::Mutex;
use rustls_pki_types::UnixTime;

use super::*;
use crate::clock::Clock;
use crate::error::Refusal;
use crate::report::Silent;

#[derive(Debug, Default)]
struct Waits(Mutex<Vec<Duration>>);

impl Clock for Waits {
    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::ZERO)
    }

    fn wait(&self, duration: Duration) {
        self.0.lock().push(duration);
    }
}

fn later(seconds: Option<u64>, status: u16) -> Error {
    Error::TryLater {
        what: "not now".to_owned(),
        retry_after: seconds.map(Duration::from_secs),
        refusal: Some(Box::new(Refusal {
            server: "https://cvm".to_owned(),
            status,
            problem: None,
            review: None,
        })),
    }
}

/// The waits between tries that all fail with `fault`.
fn waits(allowed: u32, fault: impl Fn() -> Error) -> Vec<Duration> {
    let clock = Arc::new(Waits::default());
    let floored = FlooredClock::new(Arc::<Waits>::clone(&clock));
    let mut retries = Retries::new(allowed, &floored, &Silent);
    assert!(retries.run(|| Err::<(), _>(fault())).is_err());
    let waits = clock.0.lock();
    waits.clone()
}

#[test]
fn the_wait_grows_to_its_bound_and_ends() {
    let waits = waits(10, || later(None, 503));
    assert_eq!(waits.len(), 10);
    for (made, wait) in waits.iter().enumerate() {
        let full = (1000 << made.min(10)).min(60_000);
        let range = Duration::from_millis(full / 2)..Duration::from_millis(full);
        assert!(range.contains(wait), "{made}: {wait:?}");
    }
}

#[test]
fn the_server_is_not_asked_sooner_than_it_wants() {
    for wait in waits(20, || later(Some(100), 429)) {
        let range = Duration::from_secs(100)..Duration::from_secs(125);
        assert!(range.contains(&wait), "{wait:?}");
    }
    assert_eq!(waits(3, || later(Some(300), 503)).len(), 3);
}

#[test]
fn what_takes_too_long_or_a_human_is_left_to_the_caller() {
    assert!(waits(3, || later(Some(301), 503)).is_empty());
    assert!(waits(3, || later(Some(1), 202)).is_empty());
    assert!(waits(3, || Error::Usage("x".to_owned())).is_empty());
    assert!(waits(0, || later(None, 503)).is_empty());
}

#[test]
fn a_pause_grows_to_the_longest_that_the_caller_allows() {
    let longest = Duration::from_secs(300);
    for made in [0, 1, 5, 8, 9, 20, 63, 1_000_000] {
        let full =
            1000_u64.checked_shl(made).filter(|_| made < 20).map_or(300_000, |it| it.min(300_000));
        let range = Duration::from_millis(full / 2)..Duration::from_millis(full);
        let wait = pause(None, made, longest);
        assert!(range.contains(&wait), "{made}: {wait:?}");
    }
    let asked = pause(Some(Duration::from_secs(1000)), 0, longest);
    assert!(asked >= Duration::from_secs(1000), "{asked:?}");
    assert!(pause(Some(Duration::MAX), 0, longest) >= Duration::from_secs(u64::MAX));
}
