//! Time as a port, so that tests own it, and the floor under a clock that forgets.
//!
//! A device without a battery wakes up in 1970. Chains are judged at the latest of its own clock,
//! the date of the build, and the last time a verified server told (`protocol.md`, section 11).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 2026-01-01: no build of this crate is older.
const SOURCE_SECONDS: u64 = 1_767_225_600;

/// What the device side needs of time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time of day, as far as it is known.
    fn now(&self) -> UnixTime;
    /// Returns after `duration`.
    fn wait(&self, duration: Duration);
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        UnixTime::now()
    }

    fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that never shows less than what is known to have passed already.
#[derive(Clone, Debug)]
pub(crate) struct FlooredClock {
    clock: Arc<dyn Clock>,
    floor_seconds: u64,
}

impl FlooredClock {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, floor_seconds: earliest().as_secs() }
    }

    pub(crate) fn raise(&mut self, seconds: u64) {
        self.floor_seconds = self.floor_seconds.max(seconds);
    }

    pub(crate) fn now(&self) -> UnixTime {
        let seconds = self.clock.now().as_secs().max(self.floor_seconds);
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    pub(crate) fn wait(&self, duration: Duration) {
        self.clock.wait(duration);
    }
}

impl TimeProvider for FlooredClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

/// The earliest that it can be: this program is not older.
#[must_use]
pub fn earliest() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(build_seconds().max(SOURCE_SECONDS)))
}

/// <https://reproducible-builds.org/specs/source-date-epoch/>
fn build_seconds() -> u64 {
    let told = option_env!("SOURCE_DATE_EPOCH");
    told.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// RFC 3339, as the API writes times, to seconds since 1970.
pub(crate) fn parse_seconds(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp()).ok()
}

/// Seconds since 1970 as RFC 3339, for messages.
pub(crate) fn text(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{} s after 1970", time.as_secs()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[derive(Debug)]
    pub(crate) struct At(pub(crate) u64);

    impl Clock for At {
        fn now(&self) -> UnixTime {
            UnixTime::since_unix_epoch(Duration::from_secs(self.0))
        }

        fn wait(&self, _: Duration) {}
    }

    #[test]
    fn a_clock_that_forgot_shows_the_latest_known_time() {
        let mut clock = FlooredClock::new(Arc::new(At(60)));
        assert!(clock.now().as_secs() >= SOURCE_SECONDS);
        clock.raise(4_000_000_000);
        clock.raise(3_000_000_000);
        assert_eq!(clock.now().as_secs(), 4_000_000_000);
    }

    #[test]
    fn a_clock_that_is_ahead_is_believed() {
        let clock = FlooredClock::new(Arc::new(At(5_000_000_000)));
        assert_eq!(clock.now().as_secs(), 5_000_000_000);
    }

    #[test]
    fn times_are_read_and_written_as_the_api_writes_them() {
        assert_eq!(parse_seconds("2026-01-01T00:00:00Z"), Some(SOURCE_SECONDS));
        assert_eq!(parse_seconds("yesterday"), None);
        assert_eq!(parse_seconds("1969-12-31T23:59:59Z"), None);
        let time = UnixTime::since_unix_epoch(Duration::from_secs(SOURCE_SECONDS));
        assert_eq!(text(time), "2026-01-01T00:00:00Z");
    }
}
