//! The statements of the attempts' file.
//!
//! A device's attempts have turns that count up; what is 32 turns old goes when a new one comes, so
//! that the last 32 are kept. Old ones go a few at a time, with the writing of new ones.

use cvm_core::attempt::{ATTEMPTS_PER_DEVICE, Attempt};
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::time::{Span, Timestamp};
use rusqlite::{Connection, Row, params};

use super::Job;
use crate::error::ReadError;
use crate::sqlite::{read, text};
use crate::unknown;

/// How long an attempt is kept.
const ATTEMPT_LIFE: Span = Span(30 * 86_400);

/// How long a counter of unknown serial numbers is kept.
const UNKNOWN_LIFE: Span = Span(7 * 86_400);

/// How many addresses are told apart in a minute; with [`UNKNOWN_LIFE`] this bounds the table to
/// 2.6 million rows whoever asks from wherever.
const ADDRESSES_PER_MINUTE_MAX: i64 = 256;

/// Stands for all further addresses of a minute.
const OTHERS: &str = "others";

const COLUMNS: &str = "serial_number, code, at, address, act, outcome, reason, steps";

/// What the writing of notes remembers.
#[derive(Default)]
pub(super) struct Notes {
    latest_at: Option<Timestamp>,
    /// The minute that is counted, and how many addresses it has.
    minute: i64,
    addresses: i64,
}

impl Notes {
    /// Writes the notes in one transaction.
    pub(super) fn write(
        &mut self,
        connection: &mut Connection,
        jobs: Vec<Job>,
    ) -> Result<(), rusqlite::Error> {
        if jobs.is_empty() {
            return Ok(());
        }
        let transaction = connection.transaction()?;
        for job in jobs {
            match job {
                Job::Ask(_) => {}
                Job::Count { address, at } => self.count(&transaction, &address, at)?,
                Job::Note(attempt) => self.note(&transaction, &attempt)?,
            }
        }
        if let Some(now) = self.latest_at {
            purge(&transaction, now)?;
        }
        transaction.commit()
    }

    fn note(&mut self, connection: &Connection, attempt: &Attempt) -> Result<(), rusqlite::Error> {
        self.latest_at = self.latest_at.max(Some(attempt.at));
        let mut select =
            connection.prepare_cached("SELECT max(turn) FROM attempt WHERE serial_number = ?1")?;
        let serial = attempt.serial_number.as_str();
        let turn = select.query_row([serial], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0) + 1;
        let mut insert = connection.prepare_cached(
            "INSERT INTO attempt (serial_number, turn, code, at, address, act, outcome, reason, \
             steps) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        let steps = serde_json::to_string(&attempt.steps).unwrap_or_else(|_| String::from("[]"));
        insert.execute(params![
            serial,
            turn,
            attempt.code.to_string(),
            attempt.at.0,
            attempt.address,
            attempt.act.as_str(),
            attempt.outcome,
            attempt.reason,
            steps,
        ])?;
        if turn > i64::from(ATTEMPTS_PER_DEVICE) {
            let mut delete = connection
                .prepare_cached("DELETE FROM attempt WHERE serial_number = ?1 AND turn <= ?2")?;
            delete.execute(params![serial, turn - i64::from(ATTEMPTS_PER_DEVICE)])?;
        }
        Ok(())
    }

    fn count(
        &mut self,
        connection: &Connection,
        address: &str,
        at: Timestamp,
    ) -> Result<(), rusqlite::Error> {
        self.latest_at = self.latest_at.max(Some(at));
        let minute = unknown::minute_of(at);
        let mut update = connection.prepare_cached(
            "UPDATE unknown SET count = count + 1 WHERE minute = ?1 AND address = ?2",
        )?;
        if update.execute(params![minute, address])? > 0 {
            return Ok(());
        }
        if self.minute != minute {
            let mut count =
                connection.prepare_cached("SELECT count(*) FROM unknown WHERE minute = ?1")?;
            self.addresses = count.query_row([minute], |row| row.get(0))?;
            self.minute = minute;
        }
        let is_full = self.addresses >= ADDRESSES_PER_MINUTE_MAX;
        let address = if is_full { OTHERS } else { address };
        self.addresses += 1;
        let mut insert = connection.prepare_cached(
            "INSERT INTO unknown (minute, address, count) VALUES (?1, ?2, 1) \
             ON CONFLICT (minute, address) DO UPDATE SET count = count + 1",
        )?;
        insert.execute(params![minute, address])?;
        Ok(())
    }
}

/// Looks at the edge of each tree: what is damaged elsewhere is found when it is met.
pub(super) fn probe(connection: &Connection) -> Result<(), rusqlite::Error> {
    let sql = "SELECT (SELECT max(at) FROM attempt), (SELECT max(code) FROM attempt), \
               (SELECT max(minute) FROM unknown), (SELECT max(serial_number) FROM attempt), \
               (SELECT steps FROM attempt ORDER BY rowid DESC LIMIT 1)";
    connection.query_row(sql, [], |_| Ok(()))
}

/// At most 256 old rows of each kind go with a group of new ones. The number stands in the statements,
/// because SQLite prepares one again each time where it is bound.
fn purge(connection: &Connection, now: Timestamp) -> Result<(), rusqlite::Error> {
    let mut attempts = connection.prepare_cached(
        "DELETE FROM attempt WHERE rowid IN \
         (SELECT rowid FROM attempt WHERE at < ?1 ORDER BY at LIMIT 256)",
    )?;
    attempts.execute(params![now.minus(ATTEMPT_LIFE).0])?;
    let mut counters = connection.prepare_cached(
        "DELETE FROM unknown WHERE (minute, address) IN \
         (SELECT minute, address FROM unknown WHERE minute < ?1 ORDER BY minute LIMIT 256)",
    )?;
    counters.execute(params![unknown::minute_of(now.minus(UNKNOWN_LIFE))])?;
    Ok(())
}

pub(super) fn attempts_of(
    connection: &Connection,
    serial: &SerialNumber,
) -> Result<Vec<Attempt>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM attempt WHERE serial_number = ?1 ORDER BY turn DESC LIMIT \
         {ATTEMPTS_PER_DEVICE}"
    );
    read::many(connection, &sql, [serial.as_str()], attempt_row)
}

pub(super) fn attempt_by_code(
    connection: &Connection,
    code: AttemptCode,
) -> Result<Option<Attempt>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM attempt WHERE code = ?1 ORDER BY at DESC LIMIT 1");
    read::one(connection, &sql, [code.to_string()], attempt_row)
}

pub(super) fn unknown_since(
    connection: &Connection,
    since: Timestamp,
) -> Result<Vec<(String, u64)>, ReadError> {
    let sql = "SELECT address, sum(count) FROM unknown WHERE minute >= ?1 GROUP BY address \
               ORDER BY sum(count) DESC, address LIMIT ?2";
    let limit = i64::try_from(unknown::ADDRESSES_MAX).unwrap_or(i64::MAX);
    read::many(connection, sql, (unknown::minute_of(since), limit), |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })
}

fn attempt_row(row: &Row<'_>) -> Result<Attempt, ReadError> {
    let what = "an attempt";
    let steps = serde_json::from_str(read::str_of(row, 7)?)
        .map_err(|_| text::unreadable(what, "has steps that cannot be read"))?;
    Ok(Attempt {
        code: text::id(read::str_of(row, 1)?, what)?,
        at: Timestamp(row.get(2)?),
        serial_number: text::id(read::str_of(row, 0)?, what)?,
        address: row.get(3)?,
        act: text::act(read::str_of(row, 4)?, what)?,
        outcome: row.get(5)?,
        reason: row.get(6)?,
        steps,
    })
}
