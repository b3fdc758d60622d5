//! How a clock is judged (protocol, section 11), as a pure function of what was last believed.
//!
//! An anchor is a moment that was believed, told by the time and by a clock that counts on whatever
//! the time is set to, also while the machine sleeps. What the time should be now follows from it.
//! It moves at ticks only, and only to a time that is believed, so a clock that comes back by itself
//! is believed again, and one that is set wrong twice is held against the same moment both times.

use cvm_core::ports::{ClockDoubt, ClockStatus};
use cvm_core::time::{Span, Timestamp};

/// How far behind the mark the clock may be.
const BEHIND_MAX: Span = Span(5 * Span::MINUTE.0);
/// How far it may step forward between two ticks.
const STEP_MAX: Span = Span::DAY;
/// How far ahead of the mark it may be when the server starts, which may have been off for long.
const OFF_MAX: Span = Span(30 * Span::DAY.0);

/// What two clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// The system's time, which may be set.
    pub(super) system: Timestamp,
    /// How long the machine is up, sleep included, which nobody sets.
    pub(super) up: Span,
}

/// A moment that was believed, and the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    mark: Timestamp,
    moment: Moment,
    origin: Origin,
}

/// What the anchor's moment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The mark, set against the start: the server may have been off since.
    Mark,
    /// A tick's, or one that an operator accepted.
    Tick,
}

impl Anchor {
    /// The anchor of a server that starts at `start`: the mark, as far as there is one.
    pub(super) fn at_start(mark: Option<Timestamp>, start: Moment) -> Self {
        match mark {
            Some(mark) => {
                let moment = Moment { system: mark, up: start.up };
                Self { mark, moment, origin: Origin::Mark }
            }
            None => Self::accepted(start),
        }
    }

    /// The anchor from the moment on that an operator accepted.
    pub(super) fn accepted(moment: Moment) -> Self {
        Self { mark: moment.system, moment, origin: Origin::Tick }
    }

    /// What the time should be when the machine is up for `up`.
    pub(super) fn expected(&self, up: Span) -> Timestamp {
        self.moment.system.plus(Span(up.0.saturating_sub(self.moment.up.0)))
    }

    /// What to make of the system's clock.
    pub(super) fn judge(&self, at: Moment) -> ClockStatus {
        let system = at.system;
        if self.mark.since(system) > BEHIND_MAX {
            return ClockStatus { system, now: system, doubt: Some(ClockDoubt::BehindMark) };
        }
        let (step_max, doubt) = match self.origin {
            Origin::Mark => (OFF_MAX, ClockDoubt::AheadOfMark),
            Origin::Tick => (STEP_MAX, ClockDoubt::SteppedForward),
        };
        let expected = self.expected(at.up);
        if system.since(expected) > step_max {
            return ClockStatus { system, now: expected, doubt: Some(doubt) };
        }
        ClockStatus { system, now: system, doubt: None }
    }

    /// The anchor after a tick: at `at` where that is believed, otherwise where it was.
    pub(super) fn ticked(self, at: Moment) -> Self {
        match self.judge(at).doubt {
            None => Self { moment: at, origin: Origin::Tick, ..self },
            Some(_) => self,
        }
    }

    /// The anchor once `mark` is on record.
    pub(super) fn recorded(self, mark: Timestamp) -> Self {
        Self { mark: self.mark.max(mark), ..self }
    }
}

#[cfg(test)]
mod tests;
