//! Operators' credentials: the port, and the statements that write them.

use async_trait::async_trait;
use cvm_core::id::TokenMac;
use cvm_core::journal::Event;
use cvm_core::operator::{AdminToken, Role};
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{CommitError, CredentialError, CredentialRefusal, Operators, StoreError};
use cvm_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::numbers::Numbers;
use super::writer::{Answer, Outcome, Task};
use super::{SqliteStore, one_more, read, start_of};
use crate::page;

#[async_trait]
impl Operators for SqliteStore {
    async fn admin_token_add(
        &self,
        token: AdminToken,
        event: Event,
    ) -> Result<(), CredentialError> {
        self.write_credential(Task::AdminToken(token, event)).await
    }

    async fn admin_token_find(&self, mac: &TokenMac) -> Result<Option<AdminToken>, StoreError> {
        let mac = *mac;
        self.readers.read(move |connection| read::admin_token(connection, &mac)).await
    }

    async fn admin_token_show(&self, id: &str) -> Result<Option<AdminToken>, StoreError> {
        let id = id.to_owned();
        self.readers.read(move |connection| read::admin_token_by_id(connection, &id)).await
    }

    async fn admin_token_page(
        &self,
        request: &PageRequest,
    ) -> Result<Page<AdminToken>, StoreError> {
        let (after, limit) = (start_of(request), page::limit_of(request));
        let query = move |c: &Connection| read::admin_tokens(c, &after, one_more(limit));
        let rows = self.readers.read(query).await?;
        Ok(page::cut(rows, limit, |token| token.id.clone()))
    }

    async fn admin_token_revoke(
        &self,
        id: &str,
        at: Timestamp,
        event: Event,
    ) -> Result<(), CredentialError> {
        self.write_credential(Task::AdminTokenRevoke { id: id.to_owned(), at, event }).await
    }
}

impl SqliteStore {
    async fn write_credential(&self, task: Task) -> Result<(), CredentialError> {
        match self.write_simply(task).await? {
            Outcome::Refused(refusal) => Err(refusal.into()),
            Outcome::Done | Outcome::Each(_) | Outcome::MarkWas(_) | Outcome::Nonce(_) => Ok(()),
        }
    }
}

/// Adds a credential; the same again changes nothing.
pub(super) fn add(
    connection: &Connection,
    numbers: &mut Numbers,
    token: &AdminToken,
    event: &Event,
) -> Result<Answer, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(id = ?1 AND mac = ?2), 0) FROM admin_token \
         WHERE id = ?1 OR mac = ?2",
    )?;
    let key = params![token.id, token.mac.0];
    let (taken, same): (i64, i64) = select.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
    if same > 0 {
        return Ok(Ok(Outcome::Done));
    }
    if taken > 0 {
        return Ok(Err(CommitError::Unavailable("the admin token's id or hash is taken".into())));
    }
    if is_name_taken(connection, token)? {
        return Ok(Ok(Outcome::Refused(CredentialRefusal::NameTaken)));
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO admin_token (id, name, role, mac, created_at, expires_at, revoked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute(params![
        token.id,
        token.name.as_str(),
        token.role.as_str(),
        token.mac.0,
        token.created_at.0,
        token.expires_at.map(|at| at.0),
        token.revoked_at.map(|at| at.0),
    ])?;
    numbers.record(connection, event)?;
    Ok(Ok(Outcome::Done))
}

/// Whether a credential that is live when `token` is made has its name.
fn is_name_taken(connection: &Connection, token: &AdminToken) -> Result<bool, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT count(*) > 0 FROM admin_token WHERE name = ?1 AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at >= ?2)",
    )?;
    select.query_row(params![token.name.as_str(), token.created_at.0], |row| row.get(0))
}

/// Revokes a credential; one that is revoked stays as it is.
pub(super) fn revoke(
    connection: &Connection,
    numbers: &mut Numbers,
    (id, at): (&str, Timestamp),
    event: &Event,
) -> Result<Answer, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT revoked_at IS NOT NULL, \
         role = ?2 AND (expires_at IS NULL OR expires_at >= ?3) \
         FROM admin_token WHERE id = ?1",
    )?;
    let owner = Role::Owner.as_str();
    let found = select.query_row(params![id, owner, at.0], |row| Ok((row.get(0)?, row.get(1)?)));
    match found.optional()? {
        None => return Ok(Ok(Outcome::Refused(CredentialRefusal::Unknown))),
        Some((true, _)) => return Ok(Ok(Outcome::Done)),
        Some((false, true)) if !has_owner_beside(connection, id, at)? => {
            return Ok(Ok(Outcome::Refused(CredentialRefusal::LastOwner)));
        }
        Some((false, _)) => {}
    }
    let mut update =
        connection.prepare_cached("UPDATE admin_token SET revoked_at = ?2 WHERE id = ?1")?;
    update.execute(params![id, at.0])?;
    numbers.record(connection, event)?;
    Ok(Ok(Outcome::Done))
}

/// Whether another owner's credential is live at `at`.
fn has_owner_beside(
    connection: &Connection,
    id: &str,
    at: Timestamp,
) -> Result<bool, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT count(*) > 0 FROM admin_token WHERE role = ?1 AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at >= ?2) AND id <> ?3",
    )?;
    select.query_row(params![Role::Owner.as_str(), at.0, id], |row| row.get(0))
}
