//! The statements that read, and rows back into records. One statement is one moment.

use cvm_core::certificate::{CertificateRecord, IssuerId};
use cvm_core::device::Device;
use cvm_core::id::{CertificateId, KeyIdentity, Name, SerialNumber, TokenMac};
use cvm_core::journal::JournalRow;
use cvm_core::operator::AdminToken;
use cvm_core::policy::Policy;
use cvm_core::ports::{Due, Holding, KeyOwner, StoreError};
use cvm_core::time::Timestamp;
use rusqlite::{Connection, Params, Row, Statement, StatementStatus};

use super::text;
use super::write::RECORD_FORMAT;
use crate::error::ReadError;

/// The most certificates of one device that are listed.
const CERTIFICATES_OF_MAX: i64 = 1_000;

/// The most devices that the sweeper is given at once.
const SWEPT_MAX: i64 = 100;

pub(super) type Read<T> = Result<T, ReadError>;

macro_rules! device_columns {
    () => {
        "d.serial_number, d.version, d.format, d.record"
    };
}

macro_rules! certificate_columns {
    () => {
        "c.id, c.certificate_serial, c.serial_number, c.thing_name, c.policy, c.key, c.state, \
         c.origin, c.token, c.issuer, c.issued_at, c.not_before, c.not_after, c.confirmed_at, \
         c.ended_at, c.reason, c.attempt, c.der"
    };
}

mod listed;

pub(super) use self::listed::{devices_where, outlived};

/// Where the certificate's columns end in [`holding`]'s row.
const AFTER_CERTIFICATE: usize = 18;

pub(super) fn device(connection: &Connection, serial: &SerialNumber) -> Read<Option<Device>> {
    let sql = concat!("SELECT ", device_columns!(), " FROM device AS d WHERE d.serial_number = ?1");
    one(connection, sql, [serial.as_str()], |row| device_row(row, 0))
}

/// Each device of which there is a record, all of one moment where the connection has begun one;
/// a record that cannot be read harms no other.
pub(super) fn each_device(
    connection: &Connection,
    serials: &[SerialNumber],
) -> Read<Vec<Result<Option<Device>, StoreError>>> {
    let find = |serial| match device(connection, serial) {
        Err(error @ ReadError::Sqlite(_)) => Err(error),
        found => Ok(found.map_err(StoreError::from)),
    };
    serials.iter().map(find).collect()
}

pub(super) fn holding(connection: &Connection, id: &CertificateId) -> Read<Option<Holding>> {
    let sql = concat!(
        "SELECT ",
        certificate_columns!(),
        ", ",
        device_columns!(),
        ", k.serial_number FROM certificate AS c \
         LEFT JOIN device AS d ON d.serial_number = c.serial_number \
         LEFT JOIN key_owner AS k ON k.key = c.key WHERE c.id = ?1"
    );
    one(connection, sql, [id.0], |row| {
        let certificate = certificate_row(row)?;
        if row.get_ref(AFTER_CERTIFICATE)?.as_str_or_null().map_err(wrong_type)?.is_none() {
            return Err(text::unreadable(format_args!("certificate {id}"), "has no device"));
        }
        let device = device_row(row, AFTER_CERTIFICATE)?;
        let owner: Option<String> = row.get(AFTER_CERTIFICATE + 4)?;
        let key_owner = owner.map(|owner| text::key_owner(&owner)).transpose()?;
        Ok(Holding { certificate, device, key_owner })
    })
}

pub(super) fn key_owner(connection: &Connection, key: &KeyIdentity) -> Read<Option<KeyOwner>> {
    let sql = "SELECT serial_number FROM key_owner WHERE key = ?1";
    one(connection, sql, [key.0], |row| text::key_owner(str_of(row, 0)?))
}

pub(super) fn is_spent(
    connection: &Connection,
    serial: &SerialNumber,
    mac: &TokenMac,
) -> Read<bool> {
    let sql = "SELECT 1 FROM spent_token WHERE serial_number = ?1 AND mac = ?2";
    Ok(one(connection, sql, (serial.as_str(), mac.0), |_| Ok(()))?.is_some())
}

pub(super) fn devices(connection: &Connection, after: &str, limit: i64) -> Read<Vec<Device>> {
    let sql = concat!(
        "SELECT ",
        device_columns!(),
        " FROM device AS d WHERE d.serial_number > ?1 ORDER BY d.serial_number LIMIT ?2"
    );
    many(connection, sql, (after, limit), |row| device_row(row, 0))
}

pub(super) fn certificates(
    connection: &Connection,
    after: &[u8],
    limit: i64,
) -> Read<Vec<CertificateRecord>> {
    let sql = concat!(
        "SELECT ",
        certificate_columns!(),
        " FROM certificate AS c WHERE c.id > ?1 ORDER BY c.id LIMIT ?2"
    );
    many(connection, sql, (after, limit), certificate_row)
}

/// The newest of the device's certificates, oldest first.
pub(super) fn certificates_of(
    connection: &Connection,
    serial: &SerialNumber,
) -> Read<Vec<CertificateRecord>> {
    let sql = concat!(
        "WITH RECURSIVE chain (row) AS (\
         SELECT newest_certificate FROM device WHERE serial_number = ?1 UNION ALL \
         SELECT o.before FROM chain CROSS JOIN certificate AS o ON o.rowid = chain.row LIMIT ?2) \
         SELECT ",
        certificate_columns!(),
        " FROM chain CROSS JOIN certificate AS c ON c.rowid = chain.row"
    );
    let newest_first = (serial.as_str(), CERTIFICATES_OF_MAX);
    let mut rows = many(connection, sql, newest_first, certificate_row)?;
    rows.reverse();
    // As they were written, but where the clock was set back in between.
    rows.sort_by_key(|row| row.issued_at);
    Ok(rows)
}

pub(super) fn claims(connection: &Connection, key: &KeyIdentity) -> Read<Vec<SerialNumber>> {
    let sql = "SELECT DISTINCT serial_number FROM certificate \
               WHERE key = ?1 AND state IN ('candidate', 'current', 'retiring', 'unconfirmed') LIMIT ?2";
    many(connection, sql, (key.0, SWEPT_MAX), serial_row)
}

pub(super) fn due(connection: &Connection, now: Timestamp, after: Option<&Due>) -> Read<Vec<Due>> {
    let sql = "SELECT due_at, serial_number FROM device \
               WHERE due_at IS NOT NULL AND due_at <= ?1 AND (due_at, serial_number) > (?2, ?3) \
               ORDER BY due_at, serial_number LIMIT ?4";
    let (at, serial) = after.map_or((i64::MIN, ""), |it| (it.at.0, it.serial_number.as_str()));
    many(connection, sql, (now.0, at, serial, SWEPT_MAX), |row| {
        let serial_number = text::id(str_of(row, 1)?, "a device")?;
        Ok(Due { at: Timestamp(row.get(0)?), serial_number })
    })
}

pub(super) fn reviewed(connection: &Connection, id: &str) -> Read<Option<SerialNumber>> {
    let sql = "SELECT serial_number FROM device WHERE review = ?1";
    one(connection, sql, [id], serial_row)
}

pub(super) fn reviews(connection: &Connection, after: &str, limit: i64) -> Read<Vec<Device>> {
    let sql = concat!(
        "SELECT ",
        device_columns!(),
        " FROM device AS d WHERE d.open_review > ?1 ORDER BY d.open_review LIMIT ?2"
    );
    many(connection, sql, (after, limit), |row| device_row(row, 0))
}

pub(super) fn policy(connection: &Connection, name: &Name) -> Read<Option<Policy>> {
    let sql = "SELECT name, document, updated_at FROM policy WHERE name = ?1";
    one(connection, sql, [name.as_str()], policy_row)
}

pub(super) fn policies(connection: &Connection, after: &str, limit: i64) -> Read<Vec<Policy>> {
    let sql = "SELECT name, document, updated_at FROM policy WHERE name > ?1 \
               ORDER BY name LIMIT ?2";
    many(connection, sql, (after, limit), policy_row)
}

macro_rules! admin_token_columns {
    () => {
        "id, name, role, mac, created_at, expires_at, revoked_at"
    };
}

pub(super) fn admin_token(connection: &Connection, mac: &TokenMac) -> Read<Option<AdminToken>> {
    let sql = concat!("SELECT ", admin_token_columns!(), " FROM admin_token WHERE mac = ?1");
    one(connection, sql, [mac.0], admin_token_row)
}

pub(super) fn admin_token_by_id(connection: &Connection, id: &str) -> Read<Option<AdminToken>> {
    let sql = concat!("SELECT ", admin_token_columns!(), " FROM admin_token WHERE id = ?1");
    one(connection, sql, [id], admin_token_row)
}

pub(super) fn admin_tokens(
    connection: &Connection,
    after: &str,
    limit: i64,
) -> Read<Vec<AdminToken>> {
    let sql = concat!(
        "SELECT ",
        admin_token_columns!(),
        " FROM admin_token WHERE id > ?1 ORDER BY id LIMIT ?2"
    );
    many(connection, sql, (after, limit), admin_token_row)
}

pub(super) fn journal(
    connection: &Connection,
    (writer, number): (u64, u64),
    limit: i64,
) -> Read<Vec<JournalRow>> {
    let sql = "SELECT writer, number, at, class, kind, serial_number, certificate, attempt, \
               actor, detail FROM journal WHERE (writer, number) > (?1, ?2) \
               ORDER BY writer, number LIMIT ?3";
    let saturated = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    many(connection, sql, (saturated(writer), saturated(number), limit), |row| {
        let (writer, number) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
        let attempt: Option<String> = row.get(7)?;
        let what = format_args!("journal row {writer}-{number}");
        Ok(JournalRow {
            writer: writer.cast_unsigned(),
            number: number.cast_unsigned(),
            at: Timestamp(row.get(2)?),
            class: row.get(3)?,
            kind: row.get(4)?,
            serial_number: row.get(5)?,
            certificate: row.get::<_, Option<_>>(6)?.map(CertificateId),
            attempt: attempt.map(|code| text::id(&code, what)).transpose()?,
            actor: row.get(8)?,
            detail: row.get(9)?,
        })
    })
}

fn device_row(row: &Row<'_>, first: usize) -> Read<Device> {
    let serial = str_of(row, first)?;
    let unreadable =
        |why: &str| text::unreadable(format_args!("the record of device {serial}"), why);
    if row.get::<_, i64>(first + 2)? != RECORD_FORMAT {
        return Err(unreadable("is in a format that this release does not know"));
    }
    // The JSON's own error may quote what it stumbled over; where it did is enough.
    let mut device: Device = serde_json::from_str(str_of(row, first + 3)?)
        .map_err(|error| unreadable(&format!("cannot be read at column {}", error.column())))?;
    if device.serial_number.as_str() != serial {
        return Err(unreadable("is another device's"));
    }
    device.version = row.get::<_, i64>(first + 1)?.cast_unsigned();
    Ok(device)
}

fn certificate_row(row: &Row<'_>) -> Read<CertificateRecord> {
    let id = CertificateId(row.get(0)?);
    let what = format_args!("certificate {id}");
    let reason = row.get_ref(15)?.as_str_or_null().map_err(wrong_type)?;
    Ok(CertificateRecord {
        id,
        certificate_serial: row.get(1)?,
        serial_number: text::id(str_of(row, 2)?, what)?,
        thing_name: text::id(str_of(row, 3)?, what)?,
        policy: text::id(str_of(row, 4)?, what)?,
        key: KeyIdentity(row.get(5)?),
        state: text::state(str_of(row, 6)?, what)?,
        origin: text::origin(str_of(row, 7)?, what)?,
        token: row.get(8)?,
        issuer: IssuerId(row.get(9)?),
        issued_at: Timestamp(row.get(10)?),
        not_before: Timestamp(row.get(11)?),
        not_after: Timestamp(row.get(12)?),
        confirmed_at: row.get::<_, Option<_>>(13)?.map(Timestamp),
        ended_at: row.get::<_, Option<_>>(14)?.map(Timestamp),
        reason: reason.map(|name| text::reason(name, what)).transpose()?,
        attempt: text::id(str_of(row, 16)?, what)?,
        der: row.get(17)?,
    })
}

fn serial_row(row: &Row<'_>) -> Read<SerialNumber> {
    text::id(str_of(row, 0)?, "a serial number")
}

fn admin_token_row(row: &Row<'_>) -> Read<AdminToken> {
    let id: String = row.get(0)?;
    let what = format_args!("admin token {id}");
    Ok(AdminToken {
        name: text::id(str_of(row, 1)?, what)?,
        role: text::role(str_of(row, 2)?, what)?,
        mac: TokenMac(row.get(3)?),
        created_at: Timestamp(row.get(4)?),
        expires_at: row.get::<_, Option<_>>(5)?.map(Timestamp),
        revoked_at: row.get::<_, Option<_>>(6)?.map(Timestamp),
        id,
    })
}

fn policy_row(row: &Row<'_>) -> Read<Policy> {
    Ok(Policy {
        name: text::id(str_of(row, 0)?, "a policy")?,
        document: row.get(1)?,
        updated_at: Timestamp(row.get(2)?),
    })
}

pub(super) fn str_of<'a>(row: &'a Row<'_>, column: usize) -> Read<&'a str> {
    row.get_ref(column)?.as_str().map_err(wrong_type)
}

fn wrong_type(_: rusqlite::types::FromSqlError) -> ReadError {
    ReadError::Corrupt(String::from("a column of a row has a value of the wrong type"))
}

/// The only row, if there is one.
pub(super) fn one<T>(
    connection: &Connection,
    sql: &str,
    key: impl Params,
    read: impl FnOnce(&Row<'_>) -> Read<T>,
) -> Read<Option<T>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(key)?;
    let row = rows.next()?.map(read).transpose();
    drop(rows);
    debug_assert_eq!(scanned(&select), 0, "{sql}");
    row
}

/// All rows; the statement has a limit.
pub(super) fn many<T>(
    connection: &Connection,
    sql: &str,
    key: impl Params,
    read: impl Fn(&Row<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(key)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(row)?);
    }
    drop(rows);
    debug_assert_eq!(scanned(&select), 0, "{sql}");
    Ok(items)
}

/// How many rows the statement went through for want of an index; so each test of a query shows
/// that it has one.
fn scanned(statement: &Statement<'_>) -> i32 {
    statement.get_status(StatementStatus::FullscanStep)
}
