//! A database file of ours: how it is opened, recognised and brought to the newest schema.
//!
//! Nothing is written to a file before it is known to be ours: not by its name, by SQLite's
//! application id. A schema that is newer than this release is refused.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::OpenError;

/// How long a statement waits for a lock that another process holds. None does in normal
/// operation; a shell or a backup that an operator runs may, for a moment.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// As many statements as a thread has, and then some.
const STATEMENTS_CACHED_MAX: usize = 32;

/// What sets one kind of database apart.
pub(super) struct Database {
    /// Marks the file as ours (`PRAGMA application_id`).
    pub(super) application_id: i32,
    /// In order; the schema's version is how many were applied (`PRAGMA user_version`).
    pub(super) migrations: &'static [&'static str],
    /// When a connection that writes syncs (`PRAGMA synchronous`).
    synchronous: &'static str,
    /// Its other settings.
    settings: &'static str,
}

/// The registry, `cvm.db`.
///
/// `FULL` syncs the log in every commit. A checkpoint after 8,000 pages (32 MiB, eight times the
/// default) copies a page that many commits changed once, holds up fewer than one vend in a hundred,
/// and a log of that size is read in well under a second at start. What a device's record let go of,
/// such as a sealed key, is overwritten with zeros. 8 MiB of cache hold the upper levels of every
/// tree of a million devices; more only makes commits slower, each of which looks through the whole
/// cache where a page was split and the file is shorter than 1 GiB: SQLite sorts the new pages by way
/// of the number of the page at 1 GiB, and then drops from its cache what is behind the file's end.
pub(super) const REGISTRY: Database = Database {
    application_id: 0x4356_4D31,
    migrations: &[
        include_str!("../../migrations/sqlite/0001_registry.sql"),
        include_str!("../../migrations/sqlite/0002_used_nonces.sql"),
    ],
    synchronous: "FULL",
    settings: "PRAGMA secure_delete = ON;
        PRAGMA foreign_keys = OFF;
        PRAGMA trusted_schema = OFF;
        PRAGMA temp_store = MEMORY;
        PRAGMA wal_autocheckpoint = 8000;
        PRAGMA journal_size_limit = 67108864;
        PRAGMA cache_size = -8192;",
};

/// The same, never synced: what a power cut then takes, tests show.
pub(super) const REGISTRY_UNSYNCED: Database = Database { synchronous: "OFF", ..REGISTRY };

/// The attempts, `attempts.db`: never synced, so a stranger's requests cost no flush.
pub(super) const ATTEMPTS: Database = Database {
    application_id: 0x4356_4D41,
    migrations: &[include_str!("../../migrations/sqlite/attempts_0001.sql")],
    synchronous: "OFF",
    settings: "PRAGMA secure_delete = OFF;
        PRAGMA trusted_schema = OFF;
        PRAGMA temp_store = MEMORY;
        PRAGMA wal_autocheckpoint = 4000;
        PRAGMA journal_size_limit = 16777216;
        PRAGMA cache_size = -4096;",
};

impl Database {
    /// Opens the file for writing, makes it if there is none, and migrates it.
    pub(super) fn open(&self, path: &Path) -> Result<Connection, OpenError> {
        make_private(path)?;
        let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(told)?;
        if self.version(&connection, path)? < self.newest() {
            self.migrate(&mut connection, path)?;
        }
        self.set_up(&connection).map_err(told)?;
        Ok(connection)
    }

    /// Opens the file again after a failure. It neither makes nor migrates: a registry that
    /// vanished must not come back empty.
    pub(super) fn reopen(&self, path: &Path) -> Result<Connection, OpenError> {
        let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(told)?;
        if self.version(&connection, path)? != self.newest() {
            return Err(OpenError::NotOurs { path: path.to_owned() });
        }
        self.set_up(&connection).map_err(told)?;
        Ok(connection)
    }

    /// Opens the file, which the writer has open, for reading.
    pub(super) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
        let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(told)?;
        let settings = "PRAGMA trusted_schema = OFF;
            PRAGMA temp_store = MEMORY;
            PRAGMA cache_size = -8192;";
        connection.execute_batch(settings).map_err(told)?;
        Ok(connection)
    }

    /// Opens the file for a look, whether or not anybody has it open. Able to write, so that it
    /// leaves no log behind where nobody has; nothing but a log that a crash left is written.
    pub(super) fn open_to_look(path: &Path) -> Result<Connection, OpenError> {
        let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(told)?;
        let settings = "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;";
        connection.execute_batch(settings).map_err(told)?;
        Ok(connection)
    }

    fn newest(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }

    fn set_up(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        // Stays in the file, and cannot be set inside a transaction.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.execute_batch(self.settings)
    }

    /// The version of the file's schema, 0 for an empty file; refuses what is not ours.
    pub(super) fn version(&self, connection: &Connection, path: &Path) -> Result<i64, OpenError> {
        let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let application_id = number("PRAGMA application_id").map_err(told)?;
        let found = number("PRAGMA user_version").map_err(told)?;
        let tables = number("SELECT count(*) FROM sqlite_schema").map_err(told)?;
        let path = path.to_owned();
        if application_id == 0 && found == 0 && tables == 0 {
            Ok(0)
        } else if application_id != i64::from(self.application_id) {
            Err(OpenError::NotOurs { path })
        } else if found > self.newest() {
            Err(OpenError::Newer { path, found, known: self.newest() })
        } else {
            Ok(found)
        }
    }

    /// Applies what is missing, all of it or nothing.
    fn migrate(&self, connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
        let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(told)?;
        // Read again under the lock: another process may have been faster.
        let version = self.version(&transaction, path)?;
        for script in self.migrations.iter().skip(usize::try_from(version).unwrap_or(0)) {
            transaction.execute_batch(script).map_err(told)?;
        }
        let id = self.application_id;
        transaction.pragma_update(None, "application_id", id).map_err(told)?;
        transaction.pragma_update(None, "user_version", self.newest()).map_err(told)?;
        transaction.commit().map_err(told)
    }
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, rusqlite::Error> {
    // Each connection stays with its thread, so SQLite's own locks are not needed.
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    Ok(connection)
}

/// Makes the file where there is none, for its owner alone, and makes its name durable.
fn make_private(path: &Path) -> Result<(), OpenError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let told = |source: std::io::Error| OpenError::file(path, source);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(told(error)),
        Ok(_) => match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => {
                std::fs::File::open(directory).and_then(|d| d.sync_all()).map_err(told)
            }
            _ => Ok(()),
        },
    }
}
