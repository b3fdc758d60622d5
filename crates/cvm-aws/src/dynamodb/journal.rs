//! The journal: rows in the commit of their change, numbered from 1 up for each writer without a gap.
//!
//! A process has several writers, so that its commits need not wait for each other; who commits
//! holds one until it knows what became of the rows. A number whose row was not written is given to
//! the next one. Where that is not known, a void row is put in its place if it is absent: that
//! settles it, because the transaction has the same condition (protocol, section 10).

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cvm_core::id::CertificateId;
use cvm_core::journal::{Event, EventClass, JournalRow};
use cvm_core::operator::Actor;
use cvm_core::page::{Page, PageRequest};
use cvm_core::ports::{Entropy, Journal, StoreError};
use cvm_core::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard};

use super::DynamoStore;
use super::calls::{Calls, Written};
use super::expression::Condition;
use super::failure::Failure;
use super::item::{Attributes, Item, attributes, bytes, number, text};
use super::key::{self, Key, SHARDS};
use super::page;
use super::query::Stretch;
use super::transact::{Action, Guard, Outcome, Refusal, Write};

/// The writers of this process.
pub(super) struct Writers {
    writers: Vec<Mutex<Numbers>>,
    turn: AtomicUsize,
}

/// The numbers of one writer.
pub(super) struct Numbers {
    writer: u64,
    next: u64,
    /// Rows from `next` on that may have been written.
    unsettled: Option<Unsettled>,
}

/// Rows that may have been written.
#[derive(Clone)]
struct Unsettled {
    count: u64,
    at: Timestamp,
    /// The token of the transaction that they are of.
    token: String,
}

/// What became of rows that may have been written.
enum Settled {
    Void,
    Written,
}

impl Writers {
    pub(super) fn new(entropy: &dyn Entropy, count: usize) -> Self {
        let writer = |_| {
            let mut random = [0; 8];
            entropy.fill(&mut random);
            // 63 bits never meet again, and a writer is above 0.
            let writer = (u64::from_be_bytes(random) >> 1).max(1);
            Mutex::new(Numbers { writer, next: 1, unsettled: None })
        };
        Self { writers: (0..count.max(1)).map(writer).collect(), turn: AtomicUsize::new(0) }
    }

    /// The first writer that is free, or the next one that will be.
    async fn take(&self) -> Option<MutexGuard<'_, Numbers>> {
        if let Some(free) = self.writers.iter().find_map(|writer| writer.try_lock().ok()) {
            return Some(free);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(self.writers.len())?;
        Some(self.writers.get(turn)?.lock().await)
    }
}

impl Numbers {
    /// The rows of the events, under the next numbers. Unless it is told otherwise, nobody knows
    /// whether they were written: a caller that goes away tells nothing.
    fn rows(&mut self, events: &[(usize, &Event)], token: &str) -> Vec<Write> {
        let mut rows = Vec::new();
        let mut number = self.next;
        for (change, event) in events {
            let row = row((self.writer, number), event, token);
            let row = Write::new(Guard::Row, Action::Put(row), Condition::Absent);
            rows.push(Write { change: *change, ..row });
            let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            let token = token.to_owned();
            self.unsettled = Some(Unsettled { count, at: event.at, token });
            number = number.saturating_add(1);
        }
        rows
    }

    /// The rows were written, or void ones in their place.
    fn go_on(&mut self) {
        let count = self.unsettled.take().map_or(0, |rows| rows.count);
        self.next = self.next.saturating_add(count);
    }

    /// The rows were not written: their numbers are free.
    fn give_back(&mut self) {
        self.unsettled = None;
    }

    /// Settles what became of the rows that may have been written, by putting void ones.
    async fn settle(&mut self, calls: &Calls) -> Result<Settled, Failure> {
        let Some(rows) = self.unsettled.clone() else { return Ok(Settled::Written) };
        let mut settled = Settled::Void;
        for number in (self.next..).take(usize::try_from(rows.count).unwrap_or(usize::MAX)) {
            let void = void_row(self.writer, number, rows.at);
            if let Written::Refused(Some(found)) = calls.put(void, Some(&Condition::Absent)).await?
                && found.text_if("commit")? == Some(rows.token.as_str())
            {
                // All of them were written with it.
                settled = Settled::Written;
                break;
            }
        }
        self.go_on();
        Ok(settled)
    }
}

impl DynamoStore {
    /// Writes all of it with the rows of the events, or nothing. Where several changes share the
    /// transaction, the events come with the place of theirs.
    pub(super) async fn commit(&self, writes: Vec<Write>, events: &[(usize, &Event)]) -> Outcome {
        let token = format!("{:016x}{:016x}", self.calls.random(), self.calls.random());
        if events.is_empty() {
            return self.calls.transact(&writes, &token).await;
        }
        let Some(mut numbers) = self.writers.take().await else {
            return Outcome::Failed(Failure::unavailable("this process has no writer"));
        };
        if let Err(failure) = numbers.settle(&self.calls).await {
            return Outcome::Failed(failure);
        }
        let mut all = numbers.rows(events, &token);
        all.extend(writes);
        let outcome = self.calls.transact(&all, &token).await;
        let is_row = |refused: &[Refusal]| refused.iter().any(|it| it.guard == Guard::Row);
        match outcome {
            Outcome::Written => numbers.go_on(),
            // An answer was lost for longer than DynamoDB remembers the token.
            Outcome::Refused(refused) if is_row(&refused) => {
                let why = Failure::unavailable("the number of a journal row is taken");
                return resolve(&mut numbers, &self.calls, why).await;
            }
            Outcome::Unknown(why) => return resolve(&mut numbers, &self.calls, why).await,
            Outcome::Contended | Outcome::Failed(_) | Outcome::Refused(_) => numbers.give_back(),
        }
        outcome
    }
}

/// Finds out by the rows whether a transaction was carried out, of which nobody knows.
async fn resolve(numbers: &mut Numbers, calls: &Calls, why: Failure) -> Outcome {
    match numbers.settle(calls).await {
        Ok(Settled::Written) => Outcome::Written,
        Ok(Settled::Void) => Outcome::Failed(why),
        Err(_) => Outcome::Unknown(why),
    }
}

fn row((writer, number_): (u64, u64), event: &Event, token: &str) -> Attributes {
    let mut item = attributes(
        &Key::journal(writer, number_),
        [
            ("at", number(event.at.0)),
            ("class", text(event.class.as_str())),
            ("commit", text(token)),
            ("kind", text(event.kind.as_str())),
            ("actor", text(event.actor.to_string())),
            ("detail", text(&event.detail)),
        ],
    );
    let mut insert = |name: &str, value| item.insert(name.to_owned(), value);
    if let Some(serial) = &event.serial_number {
        insert("serial_number", text(serial.as_str()));
    }
    if let Some(certificate) = event.certificate {
        insert("certificate", bytes(certificate.0));
    }
    if let Some(attempt) = event.attempt {
        insert("attempt", text(attempt.to_string()));
    }
    item
}

fn void_row(writer: u64, number_: u64, at: Timestamp) -> Attributes {
    let class = text(EventClass::Void.as_str());
    let actor = text(Actor::Server.to_string());
    let pairs = [("at", number(at.0)), ("class", class), ("actor", actor)];
    attributes(&Key::journal(writer, number_), pairs)
}

#[async_trait]
impl Journal for DynamoStore {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        self.record(Vec::new(), &event).await
    }

    async fn journal_page(&self, request: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        let after = match request.after.as_deref().map(page::journal_key_parse) {
            None => (0, 0),
            Some(Some(key)) => key,
            Some(None) => return Ok(page::empty()),
        };
        let (writer, number) = after;
        let place = key::journal_place(writer, number);
        // A writer above 63 bits is none of ours, and nothing lies behind it.
        let first = u8::try_from(writer >> 59).unwrap_or(SHARDS);
        let parts = (first..SHARDS).map(|part| Stretch::of(key::journal_part(part)));
        let parts = parts.map(|part| part.after(Some(&place)));
        let limit = page::limit_of(request);
        let items = self.calls.chained(parts, limit.saturating_add(1)).await?;
        let rows = items.iter().map(journal_row).collect::<Result<Vec<_>, _>>()?;
        Ok(page::cut(rows, limit, page::journal_key))
    }
}

impl DynamoStore {
    /// Writes what is never refused, with its row.
    pub(super) async fn record(&self, writes: Vec<Write>, event: &Event) -> Result<(), StoreError> {
        match self.commit(writes, &[(0, event)]).await {
            Outcome::Written => Ok(()),
            Outcome::Failed(failure) | Outcome::Unknown(failure) => Err(failure.into()),
            Outcome::Contended | Outcome::Refused(_) => Err(contended().into()),
        }
    }
}

pub(super) fn contended() -> Failure {
    Failure::unavailable("writing a change: others were in the way, again and again")
}

fn journal_row(item: &Item) -> Result<JournalRow, Failure> {
    let sk = item.text(key::SK)?;
    let (writer, number) = sk.split_once('#').ok_or_else(|| item.wrong(key::SK))?;
    let parse = |digits: &str| digits.parse().map_err(|_| item.wrong(key::SK));
    let or_empty = |name| Ok::<_, Failure>(item.text_if(name)?.unwrap_or_default().to_owned());
    let has_certificate = item.0.contains_key("certificate");
    let certificate = has_certificate.then(|| item.digest("certificate")).transpose()?;
    Ok(JournalRow {
        writer: parse(writer)?,
        number: parse(number)?,
        at: Timestamp(item.number("at")?),
        class: item.text("class")?.to_owned(),
        kind: or_empty("kind")?,
        serial_number: or_empty("serial_number")?,
        certificate: certificate.map(CertificateId),
        attempt: item.id_if("attempt")?,
        actor: item.text("actor")?.to_owned(),
        detail: or_empty("detail")?,
    })
}
