//! The device registry's stores: in memory for tests, in `SQLite` for one machine.
//!
//! Every store passes the checks of [`conformance`], a named check per sentence of the contracts in
//! `cvm_core::ports`. What is chosen by a URL comes as [`Stores`]: a port each, so that whoever
//! composes hands them on one by one.

mod conditions;
pub mod conformance;
mod error;
mod memory;
mod page;
mod queue;
mod sqlite;
mod unknown;

use std::path::Path;
use std::sync::Arc;

use cvm_core::ports::{Attempts, Catalogue, Journal, Operators, Policies, Revocations, Store};
use cvm_core::time::Timestamp;

pub use error::OpenError;
pub use memory::MemoryStore;
pub use sqlite::{Counters, Fault, Faults};

use sqlite::{SqliteAttempts, SqliteStore};

/// The attempts' file, beside the registry's.
const ATTEMPTS_FILE: &str = "attempts.db";

/// Opens the store that `url` names: `sqlite:PATH`, where a relative path is one in `directory`.
///
/// Makes and migrates what is not there. It blocks, for as long as a log has to be read or a schema
/// migrated.
///
/// # Errors
/// [`OpenError`] says what is wrong with the URL or the file.
pub fn open(url: &str, directory: &Path) -> Result<Stores, OpenError> {
    open_with_faults(url, directory, &Faults::default())
}

/// [`open`], with a switch for faults of the disk: for tests.
///
/// # Errors
/// As [`open`].
pub fn open_with_faults(url: &str, directory: &Path, faults: &Faults) -> Result<Stores, OpenError> {
    let path = directory.join(sqlite_path(url)?);
    let counters = Arc::new(Counters::default());
    let store = Arc::new(SqliteStore::open(&path, faults, counters.clone())?);
    let attempts_path = path.with_file_name(ATTEMPTS_FILE);
    let attempts = Arc::new(SqliteAttempts::open(&attempts_path, counters.clone())?);
    Ok(Stores {
        attempts,
        catalogue: store.clone(),
        counters,
        journal: store.clone(),
        operators: store.clone(),
        policies: store.clone(),
        revocations: store.clone(),
        store,
    })
}

/// The latest time on record in the store that `url` names, after a check that the store is whole.
///
/// Changes nothing and takes nothing from a server that has it open; blocks for as long as it takes
/// to read all of it.
///
/// # Errors
/// [`OpenError`] says what is wrong with the URL or the file.
pub fn look(url: &str, directory: &Path) -> Result<Option<Timestamp>, OpenError> {
    sqlite::look::mark(&directory.join(sqlite_path(url)?))
}

/// Whether [`open`] knows what `url` names; opens nothing.
///
/// # Errors
/// [`OpenError::Url`].
pub fn url_check(url: &str) -> Result<(), OpenError> {
    sqlite_path(url).map(drop)
}

fn sqlite_path(url: &str) -> Result<&str, OpenError> {
    // `sqlite://cvm.db` would be /cvm.db, which nobody who writes that means.
    let is_path = |path: &&str| {
        !path.is_empty()
            && !path.ends_with('/')
            && (!path.starts_with("//") || path.starts_with("///"))
    };
    let path = url.strip_prefix("sqlite:").filter(is_path);
    path.ok_or_else(|| OpenError::Url(url_scheme_only(url)))
}

/// The URL up to its scheme, as what follows may hold a password.
fn url_scheme_only(url: &str) -> String {
    match url.split_once(':') {
        Some(("sqlite", _)) | None => url.to_owned(),
        Some((scheme, _)) => format!("{scheme}:…"),
    }
}

/// One store behind all of its ports.
#[derive(Clone)]
pub struct Stores {
    /// What became of requests.
    pub attempts: Arc<dyn Attempts>,
    /// Lists and look-ups.
    pub catalogue: Arc<dyn Catalogue>,
    /// Counts for metrics.
    pub counters: Arc<Counters>,
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// Operators' credentials.
    pub operators: Arc<dyn Operators>,
    /// What devices may do.
    pub policies: Arc<dyn Policies>,
    /// Who is revoked.
    pub revocations: Arc<dyn Revocations>,
    /// The registry.
    pub store: Arc<dyn Store>,
}

impl Stores {
    /// An empty store in memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::from(Arc::new(MemoryStore::default()))
    }
}

impl From<Arc<MemoryStore>> for Stores {
    fn from(store: Arc<MemoryStore>) -> Self {
        Self {
            attempts: store.clone(),
            catalogue: store.clone(),
            counters: Arc::default(),
            journal: store.clone(),
            operators: store.clone(),
            policies: store.clone(),
            revocations: store.clone(),
            store,
        }
    }
}

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stores")
    }
}
