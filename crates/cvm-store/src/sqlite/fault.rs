//! Faults that a test asks the writer for: what a failing disk does at the moment that matters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use rusqlite::Connection;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// Nothing.
    None,
    /// COMMIT fails and nothing was written.
    CommitFails,
    /// COMMIT writes everything and its outcome is lost.
    CommitLost,
    /// The file may not grow by a single page.
    Full,
}

/// A switch for faults, shared with the writer that it was handed to when the store was opened.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    now: Arc<AtomicU8>,
    has_limit: Arc<AtomicBool>,
}

impl Faults {
    /// From the next transaction on, `fault` happens in each.
    pub fn set(&self, fault: Fault) {
        self.now.store(fault as u8, Ordering::SeqCst);
    }

    fn is(&self, fault: Fault) -> bool {
        self.now.load(Ordering::Relaxed) == fault as u8
    }

    pub(super) fn begin(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        if self.is(Fault::Full) {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            limit(connection, pages)?;
            self.has_limit.store(true, Ordering::Relaxed);
        } else if self.has_limit.load(Ordering::Relaxed) {
            self.has_limit.store(false, Ordering::Relaxed);
            limit(connection, i64::from(u32::MAX) - 1)?;
        }
        Ok(())
    }

    /// Commits, unless a fault is in the way.
    pub(super) fn commit(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let failed = || {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            Err(rusqlite::Error::SqliteFailure(code, Some(String::from("a test asked for it"))))
        };
        if self.is(Fault::CommitFails) {
            connection.execute_batch("ROLLBACK")?;
            return failed();
        }
        connection.prepare_cached("COMMIT")?.execute([])?;
        if self.is(Fault::CommitLost) { failed() } else { Ok(()) }
    }
}

fn limit(connection: &Connection, pages_max: i64) -> Result<(), rusqlite::Error> {
    connection.query_row(&format!("PRAGMA max_page_count = {pages_max}"), [], |_| Ok(()))
}
