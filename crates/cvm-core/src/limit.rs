//! A rate limit that forgets by itself: the generic cell rate algorithm over bounded memory.
//!
//! One number per key, no timer. When the table is full, keys that have recovered are forgotten;
//! if none has, a new key is let through: a limit must not become a way to shut everyone out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

use crate::time::{Span, Timestamp};

/// So many in a span, such as `60/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may come at once.
    pub count: u32,
    /// In what span all of them have recovered.
    pub per: Span,
}

impl Rate {
    /// No limit: nothing is ever used up.
    pub const OFF: Self = Self { count: u32::MAX, per: Span::MINUTE };
}

/// Not a rate.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected a count and a span, such as 60/1m or 10/1h, or off")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (count, per) = text.split_once('/').ok_or(RateError)?;
        let count = count.parse().ok().filter(|count| *count > 0).ok_or(RateError)?;
        let per = per.parse().ok().filter(|per: &Span| per.0 > 0).ok_or(RateError)?;
        Ok(Self { count, per })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::OFF {
            return f.write_str("off");
        }
        write!(f, "{}/{}", self.count, self.per)
    }
}

/// A limit for each key.
#[derive(Debug)]
pub struct RateLimit<K> {
    rate: Rate,
    keys_max: usize,
    used: HashMap<K, Used>,
    /// When the full table was last gone through for keys that have recovered.
    swept_at: i64,
}

/// What a key has used.
#[derive(Clone, Copy, Debug)]
struct Used {
    /// In microseconds since the epoch: when all of it has recovered.
    recovered_at: i64,
    /// How often it asked in vain since it was last let through.
    refusals: u32,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// A limit of `rate` for each of at most `keys_max` keys that have not recovered.
    #[must_use]
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, keys_max, used: HashMap::new(), swept_at: 0 }
    }

    /// Lets one through and counts it, or says how long to wait: longer each time, and never longer
    /// than the span. Asking in vain uses nothing up, so whoever asks too often is still let
    /// through as often as the rate says.
    ///
    /// # Errors
    /// How long to wait.
    pub fn ask(&mut self, key: K, now: Timestamp) -> Result<(), Span> {
        let Some(wait) = self.wait(&key, now) else {
            self.count(key, now);
            return Ok(());
        };
        let per = self.rate.per;
        let Some(used) = self.used.get_mut(&key) else { return Err(wait) };
        let doubled = wait.0.saturating_mul(1 << used.refusals.min(16));
        used.refusals = used.refusals.saturating_add(1);
        Err(Span(doubled.min(per.0).max(wait.0)))
    }

    /// How long `key` has to wait before one more is allowed; `None` where it need not.
    #[must_use]
    pub fn wait(&self, key: &K, now: Timestamp) -> Option<Span> {
        let now = micros(now);
        let recovered_at = self.used.get(key)?.recovered_at;
        // What no counting leads to was counted by a clock that was ahead: it is forgotten, so that
        // nobody waits for that time to come true.
        if recovered_at > self.latest(now) {
            return None;
        }
        let over = recovered_at + self.step() - now - micros_of(self.rate.per);
        (over > 0).then(|| Span((over + 999_999) / 1_000_000))
    }

    /// Counts one for `key`, as far as nobody waits longer than the span for it.
    pub fn count(&mut self, key: K, now: Timestamp) {
        let step = self.step();
        let now = micros(now);
        if self.used.len() >= self.keys_max && !self.used.contains_key(&key) {
            // At most once a second: going through all of it for each new key would cost more than
            // what the limit saves.
            if self.swept_at == now {
                return;
            }
            self.swept_at = now;
            self.used.retain(|_, used| used.recovered_at > now);
            if self.used.len() >= self.keys_max {
                return;
            }
        }
        let latest = self.latest(now);
        let used = self.used.entry(key).or_insert(Used { recovered_at: now, refusals: 0 });
        let before = if used.recovered_at > latest { now } else { used.recovered_at.max(now) };
        let recovered_at = before.saturating_add(step).min(latest);
        *used = Used { recovered_at, refusals: 0 };
    }

    /// The latest recovery that counting at `now` leads to.
    fn latest(&self, now: i64) -> i64 {
        now.saturating_add(micros_of(self.rate.per).saturating_mul(2))
    }

    fn step(&self) -> i64 {
        micros_of(self.rate.per) / i64::from(self.rate.count)
    }
}

/// Whose requests are counted together: an IPv4 address, or the /64 that one IPv6 host owns.
#[must_use]
pub fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

fn micros(time: Timestamp) -> i64 {
    time.0.saturating_mul(1_000_000)
}

fn micros_of(span: Span) -> i64 {
    span.0.saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(keys_max: usize) -> RateLimit<&'static str> {
        RateLimit::new("10/1h".parse().unwrap(), keys_max)
    }

    #[test]
    fn the_tenth_passes_and_the_eleventh_waits() {
        let mut limit = limit(9);
        for _ in 0..10 {
            assert_eq!(limit.wait(&"a", Timestamp(100)), None);
            limit.count("a", Timestamp(100));
        }
        assert_eq!(limit.wait(&"a", Timestamp(100)), Some(Span(360)));
        assert_eq!(limit.wait(&"a", Timestamp(459)), Some(Span(1)));
        assert_eq!(limit.wait(&"a", Timestamp(460)), None);
        assert_eq!(limit.wait(&"b", Timestamp(100)), None);
    }

    #[test]
    fn asking_in_vain_makes_the_wait_longer_up_to_the_span_and_uses_nothing_up() {
        let mut limit = limit(9);
        for _ in 0..10 {
            assert_eq!(limit.ask("a", Timestamp(0)), Ok(()));
        }
        let waits: Vec<i64> =
            (0..6).filter_map(|_| limit.ask("a", Timestamp(0)).err()).map(|span| span.0).collect();
        assert_eq!(waits, [360, 720, 1_440, 2_880, 3_600, 3_600]);
        assert_eq!(limit.ask("a", Timestamp(360)), Ok(()), "who asked all the time");
        assert_eq!(limit.ask("a", Timestamp(360)), Err(Span(360)));
    }

    #[test]
    fn counting_on_makes_the_wait_longer_up_to_the_span_and_one_step() {
        let mut limit = limit(9);
        for _ in 0..12 {
            limit.count("a", Timestamp(0));
        }
        assert_eq!(limit.wait(&"a", Timestamp(0)), Some(Span(3 * 360)));
        for _ in 0..10_000 {
            limit.count("a", Timestamp(0));
        }
        assert_eq!(limit.wait(&"a", Timestamp(0)), Some(Span(3_600 + 360)));
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nobody_wait_for_it() {
        let mut limit = limit(9);
        limit.count("a", Timestamp(86_400));
        assert_eq!(limit.wait(&"a", Timestamp(0)), None);
        for _ in 0..10 {
            assert_eq!(limit.ask("a", Timestamp(0)), Ok(()));
        }
        assert_eq!(limit.ask("a", Timestamp(0)), Err(Span(360)), "it counts from now on");
    }

    #[test]
    fn memory_is_bounded_and_who_recovered_is_forgotten_first() {
        let mut limit = limit(2);
        for key in ["a", "b", "c"] {
            limit.count(key, Timestamp(0));
        }
        assert_eq!(limit.used.len(), 2);
        limit.count("c", Timestamp(3_600));
        assert_eq!(limit.used.keys().collect::<Vec<_>>(), [&"c"]);
    }

    #[test]
    fn a_limit_that_is_off_lets_everything_through() {
        let mut limit = RateLimit::new("off".parse().unwrap(), 9);
        for _ in 0..100_000 {
            assert_eq!(limit.ask("a", Timestamp(0)), Ok(()));
        }
        assert_eq!(Rate::OFF.to_string().parse(), Ok(Rate::OFF));
    }

    #[test]
    fn rates_are_read_as_they_are_printed() {
        assert_eq!("60/1m".parse::<Rate>().unwrap().to_string(), "60/1m");
        for bad in ["", "60", "0/1m", "60/0s", "x/1m", "60/1m/1"] {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
    }
}
