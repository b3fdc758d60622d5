//! The journal's numbers: from 1 up for each writer, without a gap.
//!
//! A number whose row's transaction failed, or whose outcome is not known, is not used again: it
//! gets a void row, unless its row is there after all.

use cvm_core::journal::{Event, EventClass, EventKind};
use cvm_core::operator::Actor;
use cvm_core::time::Timestamp;
use rusqlite::{Connection, params};

pub(super) struct Numbers {
    /// This process, among all that ever wrote to the journal; above 0.
    writer: i64,
    next: i64,
    /// The first number whose row is not known to be written.
    first_unsettled: i64,
    latest_at: Timestamp,
    /// What the rows say that are not known to be written.
    unsettled: Vec<EventKind>,
}

impl Numbers {
    pub(super) fn new(connection: &Connection) -> Result<Self, rusqlite::Error> {
        // SQLite seeds its generator from the system; 63 bits never meet again.
        let random: i64 = connection.query_row("SELECT random()", [], |row| row.get(0))?;
        let writer = (random & i64::MAX).max(1);
        Ok(Self {
            writer,
            next: 1,
            first_unsettled: 1,
            latest_at: Timestamp(0),
            unsettled: Vec::new(),
        })
    }

    /// Writes `event` under the next number.
    pub(super) fn record(
        &mut self,
        connection: &Connection,
        event: &Event,
    ) -> Result<(), rusqlite::Error> {
        let number = self.next;
        self.next += 1;
        self.latest_at = event.at;
        self.unsettled.push(event.kind);
        let mut insert = connection.prepare_cached(
            "INSERT INTO journal (writer, number, at, class, kind, serial_number, certificate, \
             attempt, actor, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        insert.execute(params![
            self.writer,
            number,
            event.at.0,
            event.class.as_str(),
            event.kind.as_str(),
            event.serial_number.as_ref().map_or("", |serial| serial.as_str()),
            event.certificate.map(|id| id.0),
            event.attempt.map(|code| code.to_string()),
            event.actor.to_string(),
            event.detail,
        ])?;
        Ok(())
    }

    /// What the rows say that are not known to be written.
    pub(super) fn unsettled(&self) -> &[EventKind] {
        &self.unsettled
    }

    /// All rows so far are known to be written, or never will be.
    pub(super) fn settle(&mut self) {
        self.first_unsettled = self.next;
        self.unsettled.clear();
    }

    /// Puts a void row wherever a row is missing.
    pub(super) fn fill_gap(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let mut insert = connection.prepare(
            "INSERT OR IGNORE INTO journal (writer, number, at, class, kind, serial_number, \
             actor, detail) VALUES (?1, ?2, ?3, ?4, '', '', ?5, '')",
        )?;
        let (class, actor) = (EventClass::Void.as_str(), Actor::Server.to_string());
        for number in self.first_unsettled..self.next {
            insert.execute(params![self.writer, number, self.latest_at.0, class, actor])?;
        }
        Ok(())
    }
}
