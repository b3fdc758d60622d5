//! Time and randomness.

use crate::time::Timestamp;

/// What the clock says, and whether it is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// The time.
    pub now: Timestamp,
    /// Whether certificates may be issued by it (protocol, section 11).
    pub is_trusted: bool,
}

/// The time. Read once per request.
pub trait Clock: Send + Sync {
    /// The time now.
    fn read(&self) -> ClockReading;
}

/// Randomness from the operating system's generator, or seeded in tests.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
