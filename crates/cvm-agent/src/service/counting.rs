//! A clock that counts on from the latest time it was told, for devices whose own shows 1970: what
//! it shows has certainly passed, and a renewal becomes due even where nobody ever sets the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls_pki_types::UnixTime;

use crate::clock::Clock;

/// The clock.
#[derive(Debug)]
pub(super) struct CountingClock {
    clock: Arc<dyn Clock>,
    started: Instant,
    /// The earliest that it can have been at `started`.
    started_seconds: AtomicU64,
}

impl CountingClock {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, started: Instant::now(), started_seconds: AtomicU64::new(0) }
    }

    /// Takes up a time that has passed.
    pub(super) fn learn(&self, seconds: u64) {
        let at_start = seconds.saturating_sub(self.started.elapsed().as_secs());
        self.started_seconds.fetch_max(at_start, Ordering::SeqCst);
    }
}

impl Clock for CountingClock {
    fn now(&self) -> UnixTime {
        let least = self.started_seconds.load(Ordering::SeqCst);
        let least = least.saturating_add(self.started.elapsed().as_secs());
        let seconds = self.clock.now().as_secs().max(least);
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn wait(&self, duration: Duration) {
        self.clock.wait(duration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::At;

    #[test]
    fn time_goes_on_from_what_was_told_where_the_own_clock_is_behind() {
        let mut clock = CountingClock::new(Arc::new(At(60)));
        clock.started = Instant::now().checked_sub(Duration::from_secs(1000)).unwrap();
        clock.learn(1_000_000);
        let told = clock.now().as_secs();
        assert!((1_000_000..1_000_100).contains(&told), "{told}");
        // As if 500 s had passed since.
        clock.started = clock.started.checked_sub(Duration::from_secs(500)).unwrap();
        let later = clock.now().as_secs();
        assert!((1_000_500..1_000_600).contains(&later), "{later}");
        clock.learn(900_000);
        assert!(clock.now().as_secs() >= later);
    }

    #[test]
    fn a_clock_that_is_ahead_is_believed() {
        let clock = CountingClock::new(Arc::new(At(5_000_000)));
        clock.learn(1_000_000);
        assert_eq!(clock.now().as_secs(), 5_000_000);
    }
}
