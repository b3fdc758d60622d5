//! The server's clock: the system's, held against the latest time on record and against a clock
//! that nobody sets (protocol, section 11). How it is judged, [`anchor`] says.
//!
//! It is judged at each reading and not only at ticks: a clock that jumps gets no minute of issuing.

mod anchor;

use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
#[cfg(feature = "aws")]
use cvm_core::ports::ClockDoubt;
use cvm_core::ports::{Clock, ClockReading, ClockStatus};
use cvm_core::time::{Span, Timestamp};
use rustix::time::{ClockId, clock_gettime};

use anchor::{Anchor, Moment};

/// Counts on while the machine sleeps.
#[cfg(target_os = "linux")]
const UP: ClockId = ClockId::Boottime;
/// Counts on while the machine sleeps, on macOS; elsewhere a sleep of more than a day is suspicious.
#[cfg(not(target_os = "linux"))]
const UP: ClockId = ClockId::Monotonic;

/// The system's clock with its mark. A reading takes no lock.
#[derive(Debug)]
pub(crate) struct MarkedClock {
    anchor: ArcSwap<Anchor>,
}

impl MarkedClock {
    /// The clock of a server that starts now and whose latest recorded time is `mark`.
    pub(crate) fn start(mark: Option<Timestamp>) -> Self {
        Self { anchor: ArcSwap::from_pointee(Anchor::at_start(mark, moment())) }
    }

    /// Begins again, held against `mark`, as at a start. A step forward is forgotten only where the
    /// mark is of the same day as the time now: an operator has accepted it.
    #[cfg(feature = "aws")]
    pub(crate) fn begin_again(&self, mark: Option<Timestamp>) {
        let at = moment();
        let has_stepped = self.anchor.load().judge(at).doubt == Some(ClockDoubt::SteppedForward);
        if !has_stepped || mark.is_some_and(|mark| at.system.since(mark) <= Span::DAY) {
            self.anchor.store(Anchor::at_start(mark, at).into());
        }
    }

    /// What the time should be: the system's where that is believed, otherwise what was last
    /// believed, and what has passed since.
    pub(crate) fn believed(&self) -> Timestamp {
        let (anchor, at) = (self.anchor.load(), moment());
        match anchor.judge(at).doubt {
            None => at.system,
            Some(_) => anchor.expected(at.up),
        }
    }

    /// Takes a tick's look at the clock. What is not doubted is to be recorded.
    pub(crate) fn tick(&self) -> ClockStatus {
        let at = moment();
        self.anchor.rcu(|anchor| anchor.ticked(at)).judge(at)
    }

    /// Takes note that `mark` was recorded.
    pub(crate) fn recorded(&self, mark: Timestamp) {
        self.anchor.rcu(|anchor| anchor.recorded(mark));
    }
}

impl Clock for MarkedClock {
    fn read(&self) -> ClockReading {
        self.status().reading()
    }

    fn status(&self) -> ClockStatus {
        self.anchor.load().judge(moment())
    }

    fn accept(&self, now: Timestamp) {
        let accepted = Anchor::accepted(Moment { system: now, ..moment() });
        self.anchor.store(accepted.into());
    }
}

#[cfg(feature = "aws")]
impl cvm_core::ports::Stopwatch for MarkedClock {
    fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::try_from(clock_gettime(UP)).unwrap_or_default()
    }
}

fn moment() -> Moment {
    Moment { system: system_now(), up: Span(clock_gettime(UP).tv_sec) }
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

/// The system's time in milliseconds since 1970, for reports of when something was.
#[expect(clippy::disallowed_methods, reason = "beside the one place that reads the clock")]
pub(crate) fn system_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_far_from_its_mark_is_believed_once_it_is_accepted() {
        let now = system_now();
        for mark in [now.plus(Span::DAY), now.minus(Span(31 * Span::DAY.0))] {
            let clock = MarkedClock::start(Some(mark));
            assert!(!clock.read().is_trusted);
            assert!(clock.tick().doubt.is_some());
            let off_by = clock.believed().since(mark).0;
            assert!((0..60).contains(&off_by), "{off_by}");
            clock.accept(now);
            assert!(clock.read().is_trusted);
        }
    }

    #[test]
    fn the_clocks_that_are_read_go_on() {
        let clock = MarkedClock::start(Some(system_now()));
        let before = clock.tick();
        assert_eq!(before.doubt, None);
        clock.recorded(before.now);
        assert!(clock.read().is_trusted && clock.believed() >= before.now);
        assert!(moment().up.0 > 0);
    }
}
