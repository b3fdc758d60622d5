//! A look at a registry from outside, while nobody or another process serves it: nothing is
//! made, migrated or changed.

use std::path::Path;

use cvm_core::time::Timestamp;

use super::database::{Database, REGISTRY};
use super::write;
use crate::error::OpenError;

/// The mark of the registry in the file at `path`, after a check of the whole file.
pub(crate) fn mark(path: &Path) -> Result<Option<Timestamp>, OpenError> {
    let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let connection = Database::open_to_look(path)?;
    if REGISTRY.version(&connection, path)? == 0 {
        return Err(OpenError::NotOurs { path: path.to_owned() });
    }
    let said = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let said = said.map_err(told)?;
    if said != "ok" {
        return Err(OpenError::Damaged { path: path.to_owned(), what: said });
    }
    write::mark_find(&connection).map_err(told)
}
