//! Time and randomness.

use crate::time::Timestamp;

/// What the clock says, and whether it is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The time by which everything is judged: the system's, or after a suspicious step forward
    /// what it would be without that step.
    pub now: Timestamp,
    /// Whether certificates may be issued by it (protocol, section 11).
    pub is_trusted: bool,
}

/// Why a clock is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockDoubt {
    /// When the server started, it was too far ahead of the latest time on record.
    AheadOfMark,
    /// It is before the notBefore of the CA that signs.
    BeforeIssuer,
    /// It is behind the latest time on record.
    BehindMark,
    /// It stepped forward while the server ran.
    SteppedForward,
}

impl ClockDoubt {
    /// The name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AheadOfMark => "ahead-of-mark",
            Self::BeforeIssuer => "before-issuer",
            Self::BehindMark => "behind-mark",
            Self::SteppedForward => "stepped-forward",
        }
    }
}

/// A reading with what led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStatus {
    /// What the system's clock says, believed or not.
    pub system: Timestamp,
    /// [`ClockReading::now`].
    pub now: Timestamp,
    /// Why it is not to be trusted, as far as the clock itself can tell.
    pub doubt: Option<ClockDoubt>,
}

impl ClockStatus {
    /// What the use cases need of it.
    #[must_use]
    pub fn reading(self) -> ClockReading {
        ClockReading { now: self.now, is_trusted: self.doubt.is_none() }
    }
}

/// The time. Read once per request.
pub trait Clock: Send + Sync {
    /// The time now.
    fn read(&self) -> ClockReading;

    /// The time now, and why it is doubted if it is.
    fn status(&self) -> ClockStatus;

    /// Believes that it is `now`, whatever the clock was held against before.
    fn accept(&self, now: Timestamp);
}

/// A clock that only goes forward, and counts while the machine sleeps.
pub trait Stopwatch: Send + Sync {
    /// How long it has been running.
    fn elapsed(&self) -> std::time::Duration;
}

/// Randomness from the operating system's generator, or seeded in tests.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
