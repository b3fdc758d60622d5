//! A look at a registry from outside, while nobody or another process serves it: nothing is
//! made, migrated or changed, and nothing is held up for longer than a page of rows is read.

use std::collections::BTreeMap;
use std::path::Path;

use cvm_core::id::{CertificateId, KeyIdentity};
use cvm_core::time::{Span, Timestamp};
use rusqlite::{Connection, Row, params};

use super::database::{Database, REGISTRY};
use super::write;
use crate::error::OpenError;
use crate::survey::{Depth, KeyRow, LiveToken, Survey};

/// Alarms that are counted of one process's life, at most: who has more has to look anyway.
const ALARMS_READ_MAX: u32 = 100_000;
/// Rows that are read between two moments at which a checkpoint may pass.
const ROWS_AT_ONCE: u32 = 2_000;
/// Certificates with a key of others' that are told, at most.
const SHARED_MAX: u32 = 1_000;

const LIVE: &str = "state IN ('candidate', 'current', 'retiring', 'unconfirmed')";

/// The mark of the registry in the file at `path`, after a check of the whole file.
pub(crate) fn mark(path: &Path) -> Result<Option<Timestamp>, OpenError> {
    let connection = open(path)?;
    check_whole(&connection, path)?;
    write::mark_find(&connection).map_err(|error| OpenError::sqlite(path, &error))
}

/// What the registry in the file at `path` says of itself at `now`.
pub(crate) fn survey(path: &Path, depth: Depth, now: Timestamp) -> Result<Survey, OpenError> {
    let connection = open(path)?;
    let schema = REGISTRY.version(&connection, path)?;
    if depth == Depth::Whole {
        check_whole(&connection, path)?;
    }
    let known = i64::try_from(REGISTRY.migrations.len()).unwrap_or(i64::MAX);
    let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let mark = write::mark_find(&connection).map_err(told)?;
    if schema < known {
        return Ok(Survey { mark, is_old: true, ..Survey::default() });
    }
    read(&connection, now, mark).map_err(told)
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    let connection = Database::open_to_look(path)?;
    match REGISTRY.version(&connection, path)? {
        0 => Err(OpenError::NotOurs { path: path.to_owned() }),
        _ => Ok(connection),
    }
}

fn check_whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let said = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    let said = said.map_err(|error| OpenError::sqlite(path, &error))?;
    match said.as_str() {
        "ok" => Ok(()),
        _ => Err(OpenError::Damaged { path: path.to_owned(), what: said }),
    }
}

fn read(
    connection: &Connection,
    now: Timestamp,
    mark: Option<Timestamp>,
) -> Result<Survey, rusqlite::Error> {
    let count = |sql: &str, until: i64| {
        connection.query_row(sql, [until], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))
    };
    let reviews = "SELECT count(*) FROM device WHERE open_review IS NOT NULL AND ?1 = 0";
    Ok(Survey {
        mark,
        is_old: false,
        tokens: tokens(connection, now)?,
        devices_late: count(
            "SELECT count(*) FROM device WHERE due_at <= ?1",
            now.minus(Survey::LATE_AFTER).0,
        )?,
        crls_past: count("SELECT count(*) FROM crl WHERE next_update < ?1", now.0)?,
        reviews_open: count(reviews, 0)?,
        alarms: alarms(connection, now.minus(Span::DAY))?,
    })
}

fn tokens(connection: &Connection, now: Timestamp) -> Result<Vec<LiveToken>, rusqlite::Error> {
    let sql = "SELECT name, role, expires_at FROM admin_token \
               WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at >= ?1) ORDER BY name";
    let mut select = connection.prepare(sql)?;
    let token = |row: &Row<'_>| {
        Ok(LiveToken {
            name: row.get(0)?,
            role: row.get(1)?,
            expires_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
        })
    };
    select.query_map([now.0], token)?.collect()
}

/// How many alarms of each kind there were since then. The journal has no index by time, but each
/// process wrote its rows in the order of time.
fn alarms(
    connection: &Connection,
    since: Timestamp,
) -> Result<BTreeMap<String, u64>, rusqlite::Error> {
    let mut next = connection.prepare("SELECT min(writer) FROM journal WHERE writer > ?1")?;
    let mut newest = connection.prepare(
        "SELECT at, class, kind FROM journal WHERE writer = ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let mut found = BTreeMap::new();
    let mut writer = i64::MIN;
    while let Some(this) = next.query_row([writer], |row| row.get::<_, Option<i64>>(0))? {
        writer = this;
        let mut rows = newest.query(params![this, ALARMS_READ_MAX])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)? < since.0 {
                break;
            }
            if row.get::<_, String>(1)? == "alarm" {
                *found.entry(row.get(2)?).or_default() += 1;
            }
        }
    }
    Ok(found)
}

/// Hands every certificate to `take`, with how many there are at most; in pages, each of which is a
/// look of its own, so that the log of whoever serves goes on being cut.
pub(crate) fn keys(path: &Path, take: &mut dyn FnMut(KeyRow, u64)) -> Result<(), OpenError> {
    let connection = open(path)?;
    let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    let last = "SELECT coalesce(max(rowid), 0) FROM certificate";
    let last = connection.query_row(last, [], |row| row.get::<_, i64>(0)).map_err(told)?;
    let sql = format!(
        "SELECT rowid, id, serial_number, key, {LIVE}, der FROM certificate \
         WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid LIMIT {ROWS_AT_ONCE}"
    );
    let mut select = connection.prepare(&sql).map_err(told)?;
    let mut after = 0;
    loop {
        let page: Result<Vec<(i64, KeyRow)>, _> = select
            .query_map([after, last], |row| Ok((row.get(0)?, key_row(row)?)))
            .and_then(Iterator::collect);
        let page = page.map_err(told)?;
        let Some((newest, _)) = page.last() else { return Ok(()) };
        after = *newest;
        page.into_iter().for_each(|(_, row)| take(row, last.cast_unsigned()));
    }
}

fn key_row(row: &Row<'_>) -> Result<KeyRow, rusqlite::Error> {
    Ok(KeyRow {
        id: CertificateId(row.get(1)?),
        serial_number: row.get(2)?,
        key: KeyIdentity(row.get(3)?),
        is_live: row.get(4)?,
        der: row.get(5)?,
    })
}

/// Live certificates whose key is in a live certificate of another device too, by key.
pub(crate) fn shared(path: &Path) -> Result<Vec<KeyRow>, OpenError> {
    let connection = open(path)?;
    let told = |error: rusqlite::Error| OpenError::sqlite(path, &error);
    // What several certificates have is in the index alone; only of those the rows are read.
    let sql = format!(
        "SELECT rowid, id, serial_number, key, 1, x'' FROM certificate AS c WHERE key IN \
         (SELECT key FROM certificate WHERE {LIVE} GROUP BY key HAVING count(*) > 1) AND {LIVE} \
         AND EXISTS (SELECT 1 FROM certificate AS o WHERE o.key = c.key AND o.{LIVE} \
         AND o.serial_number <> c.serial_number) ORDER BY key, serial_number LIMIT {SHARED_MAX}"
    );
    let mut select = connection.prepare(&sql).map_err(told)?;
    select.query_map([], key_row).and_then(Iterator::collect).map_err(told)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A registry with `certificates` of as many devices, with a key for each `of_each` of them.
    fn registry(directory: &Path, certificates: u32, of_each: u32) -> PathBuf {
        let path = directory.join("cvm.db");
        let connection = REGISTRY.open(&path).unwrap();
        let rows = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
            INSERT INTO certificate (id, certificate_serial, shard, serial_number, thing_name, \
            policy, key, state, origin, token, issuer, issued_at, not_before, not_after, attempt, \
            der) SELECT unhex(printf('%064x', i)), x'01', 1, 'SN-' || i, '', '', \
            unhex(printf('%064x', i / ?2)), 'current', 'token', 0, x'00', 0, 0, 0, '', x'30' FROM n";
        connection.execute(rows, [certificates, of_each]).unwrap();
        path
    }

    #[test]
    fn every_certificate_is_handed_out_once_however_many_pages_they_fill() {
        let directory = tempfile::tempdir().unwrap();
        let most = 2 * ROWS_AT_ONCE + 1;
        let path = registry(directory.path(), most, 1);
        let mut seen = std::collections::BTreeSet::new();
        keys(&path, &mut |row, of| {
            assert_eq!(of, u64::from(most));
            assert!(row.is_live && row.der == [0x30]);
            assert!(seen.insert(row.id.0), "{} twice", row.serial_number);
        })
        .unwrap();
        assert_eq!(seen.len(), most as usize);
        assert!(shared(&path).unwrap().is_empty());
    }

    #[test]
    fn a_key_is_shared_by_devices_and_not_by_what_one_device_had_or_what_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = registry(directory.path(), 6, 2);
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "UPDATE certificate SET serial_number = 'SN-2' WHERE serial_number = 'SN-3';
                 UPDATE certificate SET state = 'revoked' WHERE serial_number = 'SN-5';",
            )
            .unwrap();
        let serials: Vec<String> =
            shared(&path).unwrap().into_iter().map(|row| row.serial_number).collect();
        assert_eq!(serials, ["SN-0", "SN-1"]);
    }

    #[test]
    fn alarms_are_counted_over_all_processes_that_wrote_since_then() {
        let directory = tempfile::tempdir().unwrap();
        let path = registry(directory.path(), 1, 1);
        let connection = Connection::open(&path).unwrap();
        let rows = [
            (7, 1, 99, "alarm", "early"),
            (7, 2, 100, "alarm", "a"),
            (7, 3, 101, "change", "b"),
            (i64::MAX, 1, 150, "alarm", "a"),
            (3, 1, 150, "alarm", "c"),
        ];
        for (writer, number, at, class, kind) in rows {
            let insert = "INSERT INTO journal (writer, number, at, class, kind, serial_number, \
                          actor, detail) VALUES (?1, ?2, ?3, ?4, ?5, '', '', '')";
            connection.execute(insert, params![writer, number, at, class, kind]).unwrap();
        }
        let found = survey(&path, Depth::Rows, Timestamp(100).plus(Span::DAY)).unwrap().alarms;
        assert_eq!(found, BTreeMap::from([("a".to_owned(), 2), ("c".to_owned(), 1)]));
    }
}
