//! Who is revoked, in `SQLite`: one covering index that only ended rows are in, and a counter for
//! each shard that is raised beside each row that comes into it.

use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::certificate::IssuerId;
use cvm_core::id::CertificateId;
use cvm_core::ports::{
    CommitError, NewCrl, Revocations, Revoked, RevokedEntry, StoreError, StoredCrl,
};
use cvm_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::SqliteStore;
use super::read::{Read, many, one, str_of};
use super::text;
use super::writer::Task;

type Written = Result<(), CommitError>;

/// Before every time: what a shard has not been signed since.
const NEVER: i64 = i64::MIN;

/// The outer row is there also where nobody is revoked, because the counter is wanted all the same.
const REVOKED: &str = "SELECT s.changes, c.certificate_serial, c.ended_at, c.state, c.reason \
    FROM (SELECT coalesce((SELECT changes FROM crl_shard WHERE issuer = ?1 AND shard = ?2), 0) \
          AS changes) AS s \
    LEFT JOIN certificate AS c ON c.issuer = ?1 AND c.shard = ?2 AND c.not_after >= ?3 \
        AND c.state IN ('dropped', 'revoked', 'superseded')";

const DUE: &str = "SELECT issuer, shard FROM crl_shard WHERE signed_at <= ?1 \
    ORDER BY signed_at, issuer, shard LIMIT ?2";

#[async_trait]
impl Revocations for SqliteStore {
    async fn crl_find(
        &self,
        issuer: &IssuerId,
        shard: u8,
    ) -> Result<Option<StoredCrl>, StoreError> {
        let issuer = *issuer;
        self.readers.read(move |connection| crl(connection, &issuer, shard)).await
    }

    async fn crl_put(&self, crl: NewCrl) -> Result<(), CommitError> {
        self.write(Task::Crl(crl)).await.map(drop)
    }

    async fn due_crls(
        &self,
        signed_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<(IssuerId, u8)>, StoreError> {
        let read = move |connection: &Connection| {
            many(connection, DUE, (signed_until.0, limit), |row| {
                Ok((IssuerId(row.get(0)?), row.get(1)?))
            })
        };
        self.readers.read(read).await
    }

    async fn revoked_of(
        &self,
        issuer: &IssuerId,
        shard: u8,
        not_after_from: Timestamp,
    ) -> Result<Revoked, StoreError> {
        let issuer = *issuer;
        let read =
            move |connection: &Connection| revoked(connection, &issuer, shard, not_after_from);
        self.readers.read(read).await
    }
}

fn crl(connection: &Connection, issuer: &IssuerId, shard: u8) -> Read<Option<StoredCrl>> {
    let sql = "SELECT c.number, c.this_update, c.next_update, c.url, c.der, s.changes <> c.changes \
               FROM crl AS c JOIN crl_shard AS s ON s.issuer = c.issuer AND s.shard = c.shard \
               WHERE c.issuer = ?1 AND c.shard = ?2";
    one(connection, sql, params![issuer.0, shard], |row| {
        Ok(StoredCrl {
            number: row.get::<_, i64>(0)?.cast_unsigned(),
            this_update: Timestamp(row.get(1)?),
            next_update: Timestamp(row.get(2)?),
            url: row.get(3)?,
            der: Arc::from(row.get::<_, Vec<u8>>(4)?),
            is_stale: row.get(5)?,
        })
    })
}

fn revoked(
    connection: &Connection,
    issuer: &IssuerId,
    shard: u8,
    not_after_from: Timestamp,
) -> Read<Revoked> {
    let key = params![issuer.0, shard, not_after_from.0];
    let rows = many(connection, REVOKED, key, |row| {
        Ok((row.get::<_, i64>(0)?.cast_unsigned(), entry(row)?))
    })?;
    let changes = rows.first().map_or(0, |(changes, _)| *changes);
    Ok(Revoked { changes, entries: rows.into_iter().filter_map(|(_, entry)| entry).collect() })
}

fn entry(row: &Row<'_>) -> Read<Option<RevokedEntry>> {
    let Some(certificate_serial) = row.get::<_, Option<Vec<u8>>>(1)? else { return Ok(None) };
    let what = "a revoked certificate";
    let state = text::state(str_of(row, 3)?, what)?;
    let ended_at = row.get::<_, Option<_>>(2)?.map(Timestamp);
    let reason: Option<String> = row.get(4)?;
    let reason = reason.map(|name| text::reason(&name, what)).transpose()?;
    Ok(Some(RevokedEntry::new(certificate_serial, state, ended_at, reason)))
}

/// Counts a certificate whose row was just written in a state that CRLs list.
pub(super) fn count(connection: &Connection, id: &CertificateId) -> Result<(), rusqlite::Error> {
    let mut count = connection.prepare_cached(
        "INSERT INTO crl_shard (issuer, shard, changes, signed_at) \
         SELECT issuer, shard, 1, ?2 FROM certificate WHERE id = ?1 \
         ON CONFLICT (issuer, shard) DO UPDATE SET changes = changes + 1, signed_at = ?2",
    )?;
    count.execute(params![id.0, NEVER])?;
    Ok(())
}

/// Keeps a CRL, or says that another is newer.
pub(super) fn put(connection: &Connection, crl: &NewCrl) -> Result<Written, rusqlite::Error> {
    let mut select =
        connection.prepare_cached("SELECT number FROM crl WHERE issuer = ?1 AND shard = ?2")?;
    let stored: Option<i64> =
        select.query_row(params![crl.issuer.0, crl.shard], |row| row.get(0)).optional()?;
    if stored.is_some_and(|stored| stored.cast_unsigned() >= crl.number) {
        return Ok(Err(CommitError::Conflict));
    }
    let mut put = connection.prepare_cached(
        "INSERT OR REPLACE INTO crl (issuer, shard, number, this_update, next_update, url, \
         changes, der) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    put.execute(params![
        crl.issuer.0,
        crl.shard,
        crl.number.cast_signed(),
        crl.this_update.0,
        crl.next_update.0,
        crl.url,
        crl.changes.cast_signed(),
        &*crl.der,
    ])?;
    // What changed while it was built leaves it stale.
    let mut sign = connection.prepare_cached(
        "INSERT INTO crl_shard (issuer, shard, changes, signed_at) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (issuer, shard) DO UPDATE SET signed_at = iif(changes = ?3, ?4, ?5)",
    )?;
    let changes = crl.changes.cast_signed();
    sign.execute(params![crl.issuer.0, crl.shard, changes, crl.this_update.0, NEVER])?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::super::database::REGISTRY;
    use super::*;

    /// The steps of a statement's plan.
    fn plan(sql: &str, key: impl rusqlite::Params) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let connection = REGISTRY.open(&directory.path().join("cvm.db")).unwrap();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        explain.query_map(key, |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn who_is_revoked_is_read_from_the_covering_index_alone() {
        let plan = plan(REVOKED, params![[0_u8; 20], 0, 0]);
        let of_certificates: Vec<_> = plan.iter().filter(|step| step.contains(" c ")).collect();
        let search = "SEARCH c USING COVERING INDEX certificate_revoked \
                      (issuer=? AND shard=? AND not_after>?) LEFT-JOIN";
        assert_eq!(of_certificates, [search], "{plan:#?}");
    }

    #[test]
    fn what_is_due_is_read_from_an_index() {
        let search = "SEARCH crl_shard USING COVERING INDEX crl_due (signed_at<?)";
        assert_eq!(plan(DUE, params![0, 1]), [search]);
    }
}
