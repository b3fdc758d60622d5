//! Failures of commands: what happened, what to do, and the exit code for scripts.

use std::fmt::Display;

/// Exit codes, as the contract has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused or failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration is wrong.
    Configuration = 64,
    /// Try again later.
    Later = 75,
    /// The server is not the pinned one.
    NotPinned = 76,
    /// Files on this machine.
    Files = 77,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For scripts.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) what: String,
    /// What to do; may be empty.
    pub(crate) cure: String,
}

impl Failure {
    /// `what` happened.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), cure: String::new() }
    }

    /// The same, with what to do.
    pub(crate) fn cure(self, cure: impl Into<String>) -> Self {
        Self { cure: cure.into(), ..self }
    }

    /// A file at `path` could not be used for `doing`.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &dyn Display) -> Self {
        Self::new(Exit::Failed, format!("{doing} {}: {error}", path.display()))
    }
}

/// What a command returns.
pub(crate) type Done = Result<(), Failure>;
