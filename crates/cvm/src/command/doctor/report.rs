//! What was found: one line for each check.

use serde::Serialize;

use super::check::Check;
use crate::failure::Failure;
use crate::output::Text;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Somebody must act.
    Failed,
    /// All is well.
    Ok,
    /// Somebody should look.
    Warning,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Ok => "ok",
            Self::Warning => "warning",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// Which check.
    check: Check,
    state: State,
    /// What is so.
    what: String,
    /// What to do; empty where there is nothing.
    cure: String,
}

impl Finding {
    pub(super) fn ok(check: Check, what: impl Into<String>) -> Self {
        Self { check, state: State::Ok, what: what.into(), cure: String::new() }
    }

    pub(super) fn warning(check: Check, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, state: State::Warning, what: what.into(), cure: cure.into() }
    }

    pub(super) fn failed(check: Check, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { check, state: State::Failed, what: what.into(), cure: cure.into() }
    }

    /// What kept a check from being made.
    pub(super) fn failure(check: Check, failure: &Failure) -> Self {
        Self::failed(check, failure.what.clone(), failure.cure.clone())
    }
}

/// Everything that was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Finding>,
}

impl Report {
    pub(super) fn add(&mut self, finding: Finding) {
        self.checks.push(finding);
    }

    /// Adds what was found, if anything was to be seen.
    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.checks.extend(findings);
    }

    /// Adds what is wrong, or where nothing is, that `all` is well.
    pub(super) fn add_all(&mut self, wrong: Vec<Finding>, all: Finding) {
        match wrong.is_empty() {
            true => self.add(all),
            false => self.checks.extend(wrong),
        }
    }

    /// How many checks failed.
    pub(super) fn failed(&self) -> usize {
        self.checks.iter().filter(|finding| finding.state == State::Failed).count()
    }

    pub(super) fn write(&self, text: &mut Text) {
        for finding in &self.checks {
            let Finding { check, state, what, cure } = finding;
            let line =
                format!("{:<7}  {:<14}  {}", state.word(), check.as_str(), what.replace('\n', ";"));
            match cure.is_empty() {
                true => text.line(line),
                false => text.line(format!("{line}. What to do: {cure}")),
            }
        }
    }
}
