//! Alarms of a function: lines of its log, by which `CloudWatch` counts and tells. Their rows are in
//! the journal, as everywhere.

use cvm_core::journal::Event;
use cvm_core::ports::Alarms;

/// Tells of alarms in the log.
#[derive(Debug)]
pub(super) struct LoggedAlarms;

impl Alarms for LoggedAlarms {
    fn alarm_raise(&self, event: &Event) {
        let attempt = event.attempt.map(|code| code.to_string());
        tracing::error!(alarm = event.kind.as_str(), attempt, "alarm");
    }
}
