//! What goes wrong in a store, in words for the operator; driver errors are translated here alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvm_core::ports::{CommitError, StoreError};
use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file is no database, or a damaged one.
    #[error("{path} is damaged: restore a backup ({what})")]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What `SQLite` says.
        what: String,
    },
    /// The file could not be opened or read.
    #[error("opening {path}")]
    File {
        /// The database.
        path: PathBuf,
        /// What the system or `SQLite` says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It was written by a newer release.
    #[error(
        "{path} has schema {found} and this release knows up to {known}: it was written by a newer \
         release of cvm; run that one, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this release knows.
        known: i64,
    },
    /// It belongs to another program.
    #[error("{path} is the database of another program; nothing in it was changed")]
    NotOurs {
        /// The database.
        path: PathBuf,
    },
    /// The URL names no store that there is.
    #[error("`{0}` is no store: expected sqlite:PATH, such as sqlite:cvm.db")]
    Url(String),
}

impl OpenError {
    /// The system's error about the file at `path`.
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source: Box::new(source) }
    }

    /// `SQLite`'s error about the file at `path`.
    pub(crate) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        if is_damage(error) {
            Self::Damaged { path, what: error.to_string() }
        } else {
            Self::File { path, source: words_of(error).into() }
        }
    }
}

/// Why a store that was open cannot now; cheap to clone, as a whole group of callers hears it.
#[derive(Clone, Debug, Error)]
pub(crate) enum Failure {
    /// The file could not be opened again.
    #[error(transparent)]
    Open(Arc<OpenError>),
    /// The bounded queue before the thread is full.
    #[error("more requests wait for the store than its queue holds")]
    QueueFull,
    /// The driver said so.
    #[error("{}", words_of(.0))]
    Sqlite(Arc<rusqlite::Error>),
    /// The thread has ended.
    #[error("the store is closed")]
    Stopped,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(Arc::new(error))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(Box::new(failure))
    }
}

/// Why a query has no answer.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// A row cannot be read; says which and why, without its contents.
    Corrupt(String),
    /// The driver said so.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        // Column types are the schema's promise: what breaks it was not written by us.
        let is_wrong_type = matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
        );
        if is_wrong_type {
            Self::Corrupt(String::from("a column of a row has a value of the wrong type"))
        } else {
            Self::Sqlite(error)
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Corrupt(what) => Self::Corrupt(what),
            ReadError::Sqlite(error) if is_damage(&error) => Self::Corrupt(words_of(&error)),
            ReadError::Sqlite(error) => Failure::from(error).into(),
        }
    }
}

/// The error and what is behind it, for the log, where it is handled.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whether the file itself is damaged.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// The driver's error in words that say what to do.
pub(crate) fn words_of(error: &rusqlite::Error) -> String {
    let cause = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full: make space, the store goes on by itself",
        Some(ErrorCode::ReadOnly) => "the database or its disk is read-only",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the database file is damaged: restore a backup"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds the database"
        }
        Some(ErrorCode::SystemIoFailure) => "the disk failed",
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "the database cannot be opened: look at its permissions"
        }
        _ => "the database cannot do this",
    };
    format!("{cause} ({error})")
}
