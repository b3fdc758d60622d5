//! A device's row: what is looked up of it, how it is written, and the thing that goes with it.
//!
//! Rows are written in a few sizes only, with room behind the record. Where the next version has the
//! same size SQLite overwrites the bytes, and otherwise it moves rows about and splits pages.

use cvm_core::device::{Device, DeviceState, Review};
use cvm_core::ports::{Change, ThingChange};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use super::RECORD_FORMAT;
use crate::conditions::{self, Found, Holder};

/// The sizes of rows: 4, 3, 2 and 1 of them fill a page of 4 KiB, with 8 bytes of each for SQLite.
/// What is longer has pages of its own anyway.
const ROOMS: [usize; 4] = [1_014, 1_354, 2_036, 4_061];

/// By how much a row grows at most with its device's first certificate and the use of the token.
const FIRST_CERTIFICATE: usize = 498;

/// What is stored of a device beside its record.
#[derive(Default)]
pub(super) struct Stored {
    /// Its row, where it has one.
    row: Option<i64>,
    /// The thing name that it had, where it has another now.
    old_name: Option<String>,
    /// The row of its newest certificate.
    pub(super) newest_certificate: Option<i64>,
    /// When the thing of its name was made, if it was.
    pub(super) thing_at: Option<i64>,
    /// Whether it was registered and no more.
    was_registered: bool,
    /// Whether the change leaves it where it stands among the devices of its state.
    stays: bool,
}

/// What is stored of what the change names.
pub(super) fn look(
    connection: &Connection,
    change: &Change,
) -> Result<(Found, Stored), rusqlite::Error> {
    let (serial, name) = (&change.device.serial_number, change.device.thing_name.as_str());
    let mut select = connection.prepare_cached(
        "SELECT rowid, newest_certificate, thing_at, version, coalesce(thing_name, serial_number), \
         state, listed_at FROM device WHERE serial_number = ?1",
    )?;
    let found = select.query_row([serial.as_str()], |row| {
        let state = row.get_ref(5)?.as_str()?;
        let old_name = Some(row.get_ref(4)?.as_str()?).filter(|old| *old != name);
        let stored = Stored {
            row: row.get(0)?,
            old_name: old_name.map(str::to_owned),
            newest_certificate: row.get(1)?,
            thing_at: row.get(2)?,
            was_registered: state == DeviceState::Registered.as_str(),
            stays: state == change.device.state().as_str()
                && row.get::<_, Option<i64>>(6)? == listed_at(&change.device),
        };
        Ok((row.get::<_, i64>(3)?.cast_unsigned(), stored))
    });
    let (version, stored) = found.optional()?.unwrap_or_default();
    let has_name = stored.row.is_some() && stored.old_name.is_none();
    let thing_name = if has_name { Holder::This } else { holder_of_name(connection, change)? };
    let (left, is_key_taken) = look_beside(connection, change)?;
    let thing = if has_name && stored.thing_at.is_some() { Holder::This } else { left };
    Ok((Found { version, thing_name, thing, is_key_taken }, stored))
}

/// Whose record has the change's thing name.
fn holder_of_name(connection: &Connection, change: &Change) -> Result<Holder, rusqlite::Error> {
    let mut select = connection.prepare_cached(
        "SELECT coalesce((SELECT serial_number FROM device WHERE thing_name = ?1), \
         (SELECT serial_number FROM device WHERE serial_number = ?1 AND thing_name IS NULL))",
    )?;
    let serial = &change.device.serial_number;
    select.query_row([change.device.thing_name.as_str()], |row| {
        Ok(Holder::of(row.get_ref(0)?.as_str_or_null()?, serial))
    })
}

/// Who left a thing of the name behind, and whether a key is another's that must not be.
fn look_beside(
    connection: &Connection,
    change: &Change,
) -> Result<(Holder, bool), rusqlite::Error> {
    let serial = &change.device.serial_number;
    let mut select = connection.prepare_cached(
        "SELECT (SELECT serial_number FROM left_thing WHERE name = ?2), \
         EXISTS (SELECT 1 FROM key_owner WHERE key IN (?3, ?4) AND serial_number <> ?1)",
    )?;
    let mut keys = conditions::keys_of(change).map(|key| key.0);
    let name = change.device.thing_name.as_str();
    select.query_row(params![serial.as_str(), name, keys.next(), keys.next()], |row| {
        Ok((Holder::of(row.get_ref(0)?.as_str_or_null()?, serial), row.get(1)?))
    })
}

/// Writes what happens to things, but for the device's row, and returns what that shall say.
pub(super) fn write_thing(
    connection: &Connection,
    change: &Change,
    (stored, thing): (&Stored, Holder),
) -> Result<Option<i64>, rusqlite::Error> {
    let serial = change.device.serial_number.as_str();
    let mut thing_at = stored.thing_at;
    if let (Some(old_name), Some(made_at)) = (&stored.old_name, thing_at) {
        let mut insert = connection.prepare_cached(
            "INSERT INTO left_thing (name, serial_number, created_at) VALUES (?1, ?2, ?3)",
        )?;
        insert.execute(params![old_name, serial, made_at])?;
        thing_at = None;
    }
    match &change.thing {
        Some(ThingChange::Put(made)) if thing == Holder::Nobody => Ok(Some(made.created_at.0)),
        Some(ThingChange::Remove) => {
            let mut delete = connection
                .prepare_cached("DELETE FROM left_thing WHERE name = ?1 AND serial_number = ?2")?;
            delete.execute([change.device.thing_name.as_str(), serial])?;
            Ok(None)
        }
        Some(ThingChange::Put(_)) | None => Ok(thing_at),
    }
}

macro_rules! update {
    ($also:literal) => {
        concat!(
            "UPDATE device SET ",
            $also,
            "version = ?2, disabled = ?4, due_at = ?5, review = ?6, open_review = ?7, \
             thing_at = ?8, newest_certificate = ?9, format = ?10, record = ?11, \
             room = zeroblob(?15) WHERE rowid = ?1"
        )
    };
}

/// Writes the row.
pub(super) fn write(
    connection: &Connection,
    device: &Device,
    record: &str,
    stored: &Stored,
) -> Result<(), rusqlite::Error> {
    let review = device.review.as_ref().map(|review| review.id.to_string());
    let is_open = device.review.as_ref().is_some_and(Review::is_open);
    let open_review = review.as_deref().filter(|_| is_open);
    let mut columns = vec![
        text(device.serial_number.as_str()),
        integer((device.version + 1).cast_signed()),
        text(device.state().as_str()),
        integer(device.disabled.into()),
        device.due_at().map_or(NULL, |due| integer(due.0)),
        review.as_deref().map_or(NULL, text),
        open_review.map_or(NULL, text),
        stored.thing_at.map_or(NULL, integer),
        stored.newest_certificate.map_or(NULL, integer),
        integer(RECORD_FORMAT),
        text(record),
        integer(device.created_at.0),
        listed_at(device).map_or(NULL, integer),
        other_name(device).map_or(NULL, text),
    ];
    let growth = if device.live.is_empty() { FIRST_CERTIFICATE } else { 0 };
    columns.push(integer(room_behind(&columns, growth)));
    let Some(row) = stored.row else {
        let mut insert = connection.prepare_cached(
            "INSERT INTO device (serial_number, version, state, disabled, due_at, review, \
             open_review, thing_at, newest_certificate, format, record, created_at, listed_at, \
             thing_name, room) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
             ?14, zeroblob(?15))",
        )?;
        insert.execute(params_from_iter(columns))?;
        return count_registered(connection, device, stored, connection.last_insert_rowid());
    };
    count_registered(connection, device, stored, row)?;
    if stored.old_name.is_some() {
        // Apart, because it would touch the name's index each time.
        let mut rename =
            connection.prepare_cached("UPDATE device SET thing_name = ?2 WHERE rowid = ?1")?;
        rename.execute(params![row, other_name(device)])?;
    }
    // To name the columns of an index touches it, even where they stay.
    let update = if stored.stays { update!("") } else { update!("state = ?3, listed_at = ?13, ") };
    let mut update = connection.prepare_cached(update)?;
    if let Some(first) = columns.first_mut() {
        *first = integer(row);
    }
    update.execute(params_from_iter(columns)).map(drop)
}

/// Counts where a device comes to be registered and no more, or ceases to be.
fn count_registered(
    connection: &Connection,
    device: &Device,
    stored: &Stored,
    row: i64,
) -> Result<(), rusqlite::Error> {
    let change = match (stored.was_registered, device.state() == DeviceState::Registered) {
        (false, true) => 1,
        (true, false) => -1,
        (false, false) | (true, true) => return Ok(()),
    };
    let mut count = connection.prepare_cached(
        "INSERT INTO registered (part, devices) VALUES (?1 / 256, ?2) \
         ON CONFLICT (part) DO UPDATE SET devices = devices + ?2",
    )?;
    count.execute([row, change]).map(drop)
}

/// Where it stands among the devices of its state, where these have an index.
fn listed_at(device: &Device) -> Option<i64> {
    let is_registered = device.state() == DeviceState::Registered;
    Some(device.listed_at().0).filter(|_| !is_registered)
}

/// The thing name, where it is not the serial number.
fn other_name(device: &Device) -> Option<&str> {
    Some(device.thing_name.as_str()).filter(|name| *name != device.serial_number.as_str())
}

const NULL: ToSqlOutput<'_> = ToSqlOutput::Borrowed(ValueRef::Null);

fn integer<'a>(value: i64) -> ToSqlOutput<'a> {
    ToSqlOutput::Owned(Value::Integer(value))
}

fn text(value: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes()))
}

/// How many zeros bring a row of these columns to the next size that has room for their growth. A byte of the header is for its own
/// length and one or two are for the zeros' (section 2 of SQLite's file format).
fn room_behind(columns: &[ToSqlOutput<'_>], growth: usize) -> i64 {
    let taken = 1 + columns.iter().map(bytes_of).sum::<usize>();
    let fits = |room: &&usize| **room > taken + growth;
    let left = ROOMS.iter().find(fits).map_or(0, |room| room.saturating_sub(taken + 1));
    let zeros = if left < ONE_BYTE_MAX { left } else { left - 1 };
    i64::try_from(zeros).unwrap_or(0)
}

/// A string of so many bytes, or more, has a type of two bytes in the header.
const ONE_BYTE_MAX: usize = 58;

/// What a value takes in a row, with its type in the header.
fn bytes_of(value: &ToSqlOutput<'_>) -> usize {
    match value {
        ToSqlOutput::Borrowed(ValueRef::Text(text)) => text.len() + bytes_of_type(text.len()),
        ToSqlOutput::Owned(Value::Integer(value)) => 1 + bytes_of_integer(*value),
        ToSqlOutput::Borrowed(_) | ToSqlOutput::Owned(_) | _ => 1,
    }
}

fn bytes_of_type(length: usize) -> usize {
    match length {
        0..ONE_BYTE_MAX => 1,
        ONE_BYTE_MAX..8_186 => 2,
        _ => 3,
    }
}

fn bytes_of_integer(value: i64) -> usize {
    if value == 0 || value == 1 {
        return 0;
    }
    match 65 - (value ^ (value >> 63)).leading_zeros() {
        ..=8 => 1,
        9..=16 => 2,
        17..=24 => 3,
        25..=32 => 4,
        33..=48 => 6,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of a row as SQLite has it, of a table with these values alone.
    fn stored_bytes(columns: &[ToSqlOutput<'_>]) -> usize {
        let connection = Connection::open_in_memory().unwrap();
        let names: Vec<_> = (0..columns.len()).map(|n| format!("c{n}")).collect();
        let marks = vec!["?"; columns.len() - 1].join(", ");
        connection.execute_batch(&format!("CREATE TABLE t ({})", names.join(", "))).unwrap();
        let insert = format!("INSERT INTO t VALUES ({marks}, zeroblob(?))");
        connection.execute(&insert, params_from_iter(columns)).unwrap();
        let sql = "SELECT payload FROM dbstat WHERE name = 't'";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }

    #[test]
    fn a_row_fills_one_of_the_sizes_whatever_its_columns_are() {
        for length in [0, 1, 57, 58, 400, 900, 980, 1_300, 2_000] {
            for number in [0, 1, 2, -1, 127, 128, -129, 40_000, 9_000_000, 1_800_000_000, i64::MAX]
            {
                let record = "x".repeat(length);
                let mut columns = vec![text(&record), integer(number), NULL, text("SN")];
                columns.push(integer(room_behind(&columns, 0)));
                let bytes = stored_bytes(&columns);
                assert!(ROOMS.contains(&bytes), "{bytes} with {length} and {number}");
            }
        }
    }
}
