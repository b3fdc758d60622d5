//! Where somebody is told at once that they should look.

use crate::journal::Event;

/// The faces of an alarm beside its journal row (protocol, section 10).
pub trait Alarms: Send + Sync {
    /// Tells of an alarm that was raised: once, after the writing of its row was tried, whatever
    /// came of it. Never blocks and never fails; what cannot be told is counted.
    fn alarm_raise(&self, event: &Event);
}
