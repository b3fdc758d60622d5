//! The device registry's stores: in memory for tests, in `SQLite` for one machine.
//!
//! Every store passes the checks of [`conformance`], a named check per sentence of the contracts in
//! `cvm_core::ports`. What is chosen by a URL comes as [`Stores`]: a port each, so that whoever
//! composes hands them on one by one.

mod conditions;
pub mod conformance;
mod counters;
mod error;
mod memory;
mod page;
mod queue;
mod sqlite;
mod survey;
mod unknown;
mod url;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvm_core::ports::{
    Attempts, Catalogue, Journal, Nonces, Operators, Policies, Revocations, Store,
};
use cvm_core::time::Timestamp;

pub use counters::{Counters, Observed};
pub use error::OpenError;
pub use memory::MemoryStore;
pub use sqlite::{Fault, Faults};
pub use survey::{Depth, KeyRow, LiveToken, Survey};
pub use url::Synchronous;

use sqlite::{SqliteAttempts, SqliteStore};
use url::StoreUrl;

/// The attempts' file, beside the registry's.
const ATTEMPTS_FILE: &str = "attempts.db";

/// Opens the store that `url` names: `sqlite:PATH`, where a relative path is one in `directory`, and
/// `?synchronous=off` behind it is for rehearsals ([`Synchronous::Off`]).
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
    let url = StoreUrl::parse(url)?;
    let path = directory.join(url.path);
    let counters = Arc::new(Counters::default());
    let store = SqliteStore::open(&path, url.synchronous, faults, counters.clone())?;
    let store = Arc::new(store);
    let attempts_path = path.with_file_name(ATTEMPTS_FILE);
    let attempts = Arc::new(SqliteAttempts::open(&attempts_path, counters.clone())?);
    Ok(Stores {
        attempts,
        catalogue: store.clone(),
        counters,
        journal: store.clone(),
        nonces: store.clone(),
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
    sqlite::look::mark(&directory.join(StoreUrl::parse(url)?.path))
}

/// What the store that `url` names says of itself at `now`, without a word of any device.
///
/// As [`look`]; as long as reading all of it takes only at [`Depth::Whole`].
///
/// # Errors
/// As [`look`].
pub fn survey(
    url: &str,
    directory: &Path,
    depth: Depth,
    now: Timestamp,
) -> Result<Survey, OpenError> {
    sqlite::look::survey(&directory.join(StoreUrl::parse(url)?.path), depth, now)
}

/// Hands every certificate of the store that `url` names to `take`, with a number that there are no
/// more of: for who judges their keys. Takes nothing from a server that has it open.
///
/// # Errors
/// As [`look`].
pub fn keys_each(
    url: &str,
    directory: &Path,
    take: &mut dyn FnMut(KeyRow, u64),
) -> Result<(), OpenError> {
    sqlite::look::keys(&directory.join(StoreUrl::parse(url)?.path), take)
}

/// Live certificates whose key is in a live certificate of another device too, one key after the
/// other; a thousand at most.
///
/// # Errors
/// As [`look`].
pub fn keys_shared(url: &str, directory: &Path) -> Result<Vec<KeyRow>, OpenError> {
    sqlite::look::shared(&directory.join(StoreUrl::parse(url)?.path))
}

/// Whether [`open`] knows what `url` names; opens nothing.
///
/// # Errors
/// [`OpenError::Url`].
pub fn url_check(url: &str) -> Result<(), OpenError> {
    StoreUrl::parse(url).map(drop)
}

/// When commits to the store that `url` names are synced; opens nothing.
///
/// # Errors
/// [`OpenError::Url`].
pub fn synchronous(url: &str) -> Result<Synchronous, OpenError> {
    StoreUrl::parse(url).map(|url| url.synchronous)
}

/// The files of the store that `url` names, each with what it holds, in short words of ours: the
/// registry, the log of its latest commits, the attempts. Opens nothing.
///
/// # Errors
/// [`OpenError::Url`].
pub fn files(url: &str, directory: &Path) -> Result<[(&'static str, PathBuf); 3], OpenError> {
    let registry = directory.join(StoreUrl::parse(url)?.path);
    let mut log = registry.clone().into_os_string();
    log.push("-wal");
    let attempts = registry.with_file_name(ATTEMPTS_FILE);
    Ok([("registry", registry), ("log", log.into()), ("attempts", attempts)])
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
    /// Which nonces were used.
    pub nonces: Arc<dyn Nonces>,
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
            nonces: store.clone(),
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
