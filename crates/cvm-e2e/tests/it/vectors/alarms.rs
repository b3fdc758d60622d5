//! The journal's alarms against those that the steps ask for.
//!
//! A row has the code of the request, and so has every answer with a body: each step that asks for
//! an alarm has its row, and no other request has one. Within a minute of another of its device and
//! kind (the clock stands still during a step, so the minute is exact) an alarm is a row of class
//! `decision`, if the token is still good and nothing was issued, or none: there a trace that asks
//! for an alarm and one that asks for none are the same.

use std::collections::BTreeMap;

use cvm_core::time::{Span, Timestamp};
use cvm_e2e::Response;
use serde_json::Value;

use super::site::Site;
use super::trace::Trace;

/// The kinds that are told as decisions where they are not told as alarms.
const MUTED_DECISIONS: [&str; 2] = ["another-key-pending", "another-key-refused"];

/// A request of a step.
pub(super) struct Asked {
    step: String,
    at: Timestamp,
    serial: String,
    /// Its code.
    attempt: String,
    /// Of which kind the alarm is that it has to raise.
    kind: Option<&'static str>,
}

/// What there is to compare of a row.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    class: String,
    kind: String,
    serial: String,
}

impl Row {
    fn new(class: &str, kind: &str, serial: &str) -> Self {
        Self { class: class.to_owned(), kind: kind.to_owned(), serial: serial.to_owned() }
    }
}

impl Asked {
    pub(super) fn new(
        trace: &Trace,
        number: usize,
        at: Timestamp,
        serial: String,
        answer: &Response,
    ) -> Self {
        let expect = &trace.steps[number]["expect"];
        Self {
            step: format!("{}: step {number}", trace.name),
            at,
            serial,
            attempt: answer.text("attempt"),
            kind: (expect["alarm"] == true).then(|| kind(expect)),
        }
    }
}

/// What the alarm is called that belongs to an answer.
fn kind(expect: &Value) -> &'static str {
    match (expect["status"].as_u64(), expect["slug"].as_str()) {
        (Some(201), None) => "another-key-issued",
        (Some(202), Some("pending-approval")) => "another-key-pending",
        (Some(409), Some("already-issued")) => "another-key-refused",
        (Some(403), Some("access-denied")) => "burnt-token-shown",
        (Some(403), Some("certificate-revoked")) => "revoked-certificate-used",
        _ => "of no kind that belongs to this answer",
    }
}

impl Site {
    /// Compares all of them once everything that follows from an answer has happened.
    pub(super) fn compare_alarms(&mut self) {
        self.restart();
        let mut rows = self.alarms();
        let mut raised = BTreeMap::new();
        for Asked { step, at, serial, attempt, kind } in std::mem::take(&mut self.asked) {
            let expected = kind.and_then(|kind| {
                let of = (serial, kind);
                let last: Option<&Timestamp> = raised.get(&of);
                if last.is_some_and(|last| at.since(*last) < Span::MINUTE) {
                    self.counts.alarms_muted += 1;
                    return MUTED_DECISIONS
                        .contains(&kind)
                        .then(|| Row::new("decision", kind, &of.0));
                }
                self.counts.alarms += 1;
                let row = Row::new("alarm", kind, &of.0);
                raised.insert(of, at);
                Some(row)
            });
            let row = rows.remove(&attempt);
            if row != expected {
                self.failures.push(format!("{step}: expected {expected:?}, found {row:?}"));
            }
        }
        let unasked = rows.into_iter().map(|row| format!("an alarm of no step: {row:?}"));
        self.failures.extend(unasked);
    }

    /// The rows of alarms, also of muted ones, by the codes of their requests.
    fn alarms(&mut self) -> BTreeMap<String, Row> {
        let mut alarms = BTreeMap::new();
        let mut path = String::from("/v1/journal?limit=1000");
        loop {
            let page = self.operate("GET", &path, None).json().unwrap();
            let rows = page["items"].as_array().unwrap().iter();
            for row in rows {
                let text = |name: &str| row[name].as_str().unwrap_or_default();
                let (class, kind) = (text("class"), text("kind"));
                if class == "alarm" || MUTED_DECISIONS.contains(&kind) {
                    let alarm = Row::new(class, kind, text("serialNumber"));
                    let before = alarms.insert(text("attempt").to_owned(), alarm);
                    assert_eq!(before, None, "one alarm for one request: {row}");
                }
            }
            let Some(cursor) = page["cursor"].as_str() else { return alarms };
            path = format!("/v1/journal?limit=1000&cursor={cursor}");
        }
    }
}
