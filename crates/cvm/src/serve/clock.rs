//! The server's clock: the system's, judged by the latest time that was recorded.
//!
//! Behind that mark by more than five minutes nothing is issued (protocol, section 11): a clock
//! that fell back would make certificates that begin in the past and tokens that live again.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cvm_core::ports::{Clock, ClockDoubt, ClockReading, ClockStatus};
use cvm_core::time::{Span, Timestamp};

/// How far behind its mark the clock may be.
const BEHIND_MAX: Span = Span(5 * 60);

/// The system's clock with its mark.
#[derive(Debug)]
pub(crate) struct MarkedClock {
    mark: AtomicI64,
}

impl MarkedClock {
    /// The clock whose latest recorded time is `mark`.
    pub(crate) fn new(mark: Timestamp) -> Self {
        Self { mark: AtomicI64::new(mark.0) }
    }

    /// Takes note that `mark` was recorded.
    pub(crate) fn raise(&self, mark: Timestamp) {
        self.mark.fetch_max(mark.0, Ordering::Relaxed);
    }
}

impl Clock for MarkedClock {
    fn read(&self) -> ClockReading {
        self.status().reading()
    }

    fn status(&self) -> ClockStatus {
        let now = system_now();
        let mark = Timestamp(self.mark.load(Ordering::Relaxed));
        let is_behind = mark.since(now) > BEHIND_MAX;
        ClockStatus { system: now, now, doubt: is_behind.then_some(ClockDoubt::BehindMark) }
    }

    fn accept(&self, now: Timestamp) {
        self.mark.store(now.0, Ordering::Relaxed);
    }
}

/// The system's time. Everything else asks the clock port.
#[expect(clippy::disallowed_methods, reason = "the one place where the clock port reads a clock")]
pub(crate) fn system_now() -> Timestamp {
    let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    };
    Timestamp(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_more_than_five_minutes_behind_its_mark_is_not_trusted() {
        let now = system_now();
        let at = |mark: Timestamp| MarkedClock::new(mark).read().is_trusted;
        assert!(at(Timestamp(0)));
        assert!(at(now.plus(Span(290))));
        assert!(!at(now.plus(Span(330))));
    }

    #[test]
    fn the_mark_only_rises() {
        let clock = MarkedClock::new(Timestamp(0));
        clock.raise(system_now().plus(Span::DAY));
        clock.raise(Timestamp(5));
        assert!(!clock.read().is_trusted);
    }
}
