//! Points in time, as whole seconds since 1970-01-01T00:00:00Z, and spans of seconds.
//!
//! Core never reads a clock: every use case takes the time from the [`crate::ports::Clock`] port
//! once and judges everything in that request by it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time and `span` after it.
    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// This time and `span` before it.
    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// Seconds from `earlier` to this time; negative where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with whole seconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp(self.0)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok());
        f.write_str(text.as_deref().unwrap_or("out-of-range"))
    }
}

impl FromStr for Timestamp {
    type Err = SpanError;

    /// An RFC 3339 time; fractions of a second are cut off.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        OffsetDateTime::parse(text, &Rfc3339)
            .map(|moment| Self(moment.unix_timestamp()))
            .map_err(|_| SpanError::Timestamp)
    }
}

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub i64);

impl Span {
    /// One day.
    pub const DAY: Self = Self(86_400);
    /// One minute.
    pub const MINUTE: Self = Self(60);
}

/// Why a text is not a span or a time.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SpanError {
    /// Not a span.
    #[error("expected a whole number and a unit (s, m, h, d, y), such as 90d or 5m, up to 100y")]
    Span,
    /// Not a time.
    #[error("expected a time such as 2026-01-31T12:00:00Z")]
    Timestamp,
}

impl FromStr for Span {
    type Err = SpanError;

    /// A whole number and one unit: `s`, `m`, `h`, `d`, or `y` of 365 days; at most 100 years.
    fn from_str(text: &str) -> Result<Self, SpanError> {
        let (unit_at, unit) = text.char_indices().last().ok_or(SpanError::Span)?;
        let seconds_each = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'y' => 31_536_000,
            _ => return Err(SpanError::Span),
        };
        let digits = text.get(..unit_at).ok_or(SpanError::Span)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SpanError::Span);
        }
        let count: i64 = digits.parse().map_err(|_| SpanError::Span)?;
        count
            .checked_mul(seconds_each)
            .filter(|seconds| *seconds <= 100 * 31_536_000)
            .map(Self)
            .ok_or(SpanError::Span)
    }
}

impl fmt::Display for Span {
    /// The longest unit that divides the span, as it would be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (seconds, unit) in [(86_400, 'd'), (3_600, 'h'), (60, 'm')] {
            if self.0 != 0 && self.0 % seconds == 0 {
                return write!(f, "{}{unit}", self.0 / seconds);
            }
        }
        write!(f, "{}s", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_unit() {
        for (text, seconds) in [("0d", 0), ("5m", 300), ("90d", 7_776_000), ("20y", 630_720_000)] {
            assert_eq!(text.parse(), Ok(Span(seconds)), "{text}");
        }
        for bad in ["", "5", "d", "-5m", "5.5h", "5 m", "5w", "99999999999999999999d", "101y", "é"]
        {
            assert_eq!(bad.parse::<Span>(), Err(SpanError::Span), "{bad}");
        }
    }

    #[test]
    fn spans_print_as_they_are_typed() {
        for text in ["0s", "45s", "5m", "36h", "365d"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(Timestamp(1_767_225_600).to_string(), "2026-01-01T00:00:00Z");
        assert_eq!("2026-01-01T00:00:00Z".parse(), Ok(Timestamp(1_767_225_600)));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
