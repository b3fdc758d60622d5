//! What became of requests: items that end by their time, found by device, and by code.
//!
//! One write each, lossy on purpose: a task writes what requests hand it, and what finds its queue
//! full is dropped. A device's newest 32 are what is told; older ones wait for their time, which costs
//! less than to overwrite them would.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use cvm_core::attempt::{ATTEMPTS_PER_DEVICE, Attempt};
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::ports::{Attempts, StoreError};
use cvm_core::time::{Span, Timestamp};
use futures_util::future::{join_all, try_join_all};
use tokio::sync::{mpsc, oneshot};

use super::DynamoStore;
use super::calls::Calls;
use super::expression::Changes;
use super::failure::Failure;
use super::item::{Attributes, Item, attributes, number, text};
use super::key::{self, Index, Key, SHARDS, sortable};
use super::query::{Order, Stretch};
use super::table::EXPIRES;

/// How long an attempt is kept.
const ATTEMPT_LIFE: Span = Span(30 * Span::DAY.0);

/// How long a counter of unknown serial numbers is kept.
const UNKNOWN_LIFE: Span = Span(7 * Span::DAY.0);

/// How many notes may wait.
const NOTES_WAITING_MAX: usize = 4_096;

/// How many notes are written at once.
const GROUP_MAX: usize = 16;

/// The most addresses that are told at once.
const ADDRESSES_MAX: usize = 100;

/// How many addresses one process tells apart in a minute.
const ADDRESSES_PER_MINUTE_MAX: usize = 256;

/// Stands for all further addresses of a minute.
const OTHERS: &str = "others";

/// The queue before the task that writes.
pub(super) struct Notes {
    queue: mpsc::Sender<Note>,
}

enum Note {
    Attempt(Box<Attempt>),
    Count {
        address: String,
        minute: i64,
    },
    /// Everything before it is written or lost.
    Settled(oneshot::Sender<()>),
}

impl Notes {
    /// Begins to write. The task ends with the store.
    pub(super) fn begin(calls: Arc<Calls>) -> Self {
        let (queue, waiting) = mpsc::channel(NOTES_WAITING_MAX);
        tokio::spawn(
            Writer { calls, written: 0, minute: 0, addresses: HashSet::new() }.run(waiting),
        );
        Self { queue }
    }

    fn note(&self, note: Note) {
        // Never blocks and never fails; under pressure the note is lost.
        drop(self.queue.try_send(note));
    }

    /// Waits until what was noted before is written or lost.
    async fn settle(&self) -> Result<(), Failure> {
        let (answer, settled) = oneshot::channel();
        let ended = || Failure::unavailable("the task that writes attempts has ended");
        self.queue.send(Note::Settled(answer)).await.map_err(|_| ended())?;
        settled.await.map_err(|_| ended())
    }
}

struct Writer {
    calls: Arc<Calls>,
    /// How many attempts this process has written: their order within a second.
    written: u64,
    /// The minute that is counted, and the addresses that it has.
    minute: i64,
    addresses: HashSet<String>,
}

impl Writer {
    async fn run(mut self, mut waiting: mpsc::Receiver<Note>) {
        let mut notes = Vec::with_capacity(GROUP_MAX);
        while waiting.recv_many(&mut notes, GROUP_MAX).await > 0 {
            self.write(std::mem::take(&mut notes)).await;
        }
    }

    async fn write(&mut self, notes: Vec<Note>) {
        let (mut items, mut counts, mut asked) = (Vec::new(), HashMap::new(), Vec::new());
        for note in notes {
            match note {
                Note::Attempt(attempt) => {
                    self.written += 1;
                    items.push(attempt_item(&attempt, self.written));
                }
                Note::Count { address, minute } => {
                    *counts.entry((minute, self.counted_as(address, minute))).or_insert(0_u64) += 1;
                }
                Note::Settled(answer) => asked.push(answer),
            }
        }
        let puts = items.into_iter().map(|item| self.calls.put(item, None));
        let counts =
            counts.iter().map(|((minute, address), count)| self.count(*minute, address, *count));
        let (puts, counts) = tokio::join!(join_all(puts), join_all(counts));
        let failed = puts.into_iter().filter_map(Result::err);
        let failed: Vec<_> = failed.chain(counts.into_iter().filter_map(Result::err)).collect();
        if let Some(error) = failed.first() {
            let (error, count) = (error.to_string(), failed.len());
            tracing::warn!(error, count, "notes of attempts were lost");
        }
        for answer in asked {
            // Who asked may have gone away.
            let _gone = answer.send(());
        }
    }

    /// As what an address is counted.
    fn counted_as(&mut self, address: String, minute: i64) -> String {
        if self.minute != minute {
            self.minute = minute;
            self.addresses.clear();
        }
        if self.addresses.contains(&address) {
            return address;
        }
        if self.addresses.len() >= ADDRESSES_PER_MINUTE_MAX {
            return OTHERS.to_owned();
        }
        self.addresses.insert(address.clone());
        address
    }

    async fn count(&self, minute: i64, address: &str, count: u64) -> Result<(), Failure> {
        let expires = Timestamp(minute.saturating_mul(60)).plus(UNKNOWN_LIFE);
        let add = vec![("count", number(count))];
        let set = vec![("address", text(address)), (EXPIRES, number(expires.0))];
        let changes = Changes { add, set, ..Changes::default() };
        self.calls.update(&Key::unknown(minute, address), &changes, None).await.map(drop)
    }
}

/// The minute that `at` lies in, counted since 1970.
fn minute_of(at: Timestamp) -> i64 {
    at.0.div_euclid(60)
}

#[async_trait]
impl Attempts for DynamoStore {
    fn attempt_record(&self, attempt: Attempt) {
        self.notes.note(Note::Attempt(Box::new(attempt)));
    }

    fn unknown_count(&self, address: &str, at: Timestamp) {
        self.notes.note(Note::Count { address: address.to_owned(), minute: minute_of(at) });
    }

    async fn settled(&self) {
        // Where the task has ended, what was noted is lost.
        drop(self.notes.settle().await);
    }

    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        self.notes.settle().await?;
        Ok(self.newest_attempts(serial).await?)
    }

    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        self.notes.settle().await?;
        let stretch = Stretch::in_index(Index::Reviewed, called(code));
        let Some(found) = self.calls.query(&stretch, 1).await?.pop() else { return Ok(None) };
        let serial = found.key()?.pk;
        let serial = serial.strip_prefix("attempts#").and_then(|serial| serial.parse().ok());
        let serial = serial.ok_or_else(|| found.wrong(key::PK))?;
        let newest = self.newest_attempts(&serial).await?;
        Ok(newest.into_iter().find(|attempt| attempt.code == code))
    }

    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.notes.settle().await?;
        let from = Some(sortable(Timestamp(minute_of(since))));
        let shards: Vec<_> = (0..SHARDS)
            .map(|shard| Stretch { from: from.clone(), ..Stretch::of(key::unknown(shard)) })
            .collect();
        let found =
            try_join_all(shards.iter().map(|shard| self.calls.query(shard, usize::MAX))).await?;
        let mut sums = HashMap::<String, u64>::new();
        for item in found.iter().flatten() {
            *sums.entry(item.text("address")?.to_owned()).or_default() +=
                item.number::<u64>("count")?;
        }
        let mut list: Vec<_> = sums.into_iter().collect();
        list.sort_by(|(one, a), (other, b)| b.cmp(a).then_with(|| one.cmp(other)));
        list.truncate(ADDRESSES_MAX);
        Ok(list)
    }
}

impl DynamoStore {
    async fn newest_attempts(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, Failure> {
        let all = Stretch::of(key::attempts_of(serial));
        let newest = Stretch { order: Order::Falling, ..all };
        let limit = usize::try_from(ATTEMPTS_PER_DEVICE).unwrap_or(usize::MAX);
        self.calls.query(&newest, limit).await?.iter().map(attempt).collect()
    }
}

/// The partition of [`Index::Reviewed`] that has the attempt.
fn called(code: AttemptCode) -> String {
    format!("attempt#{code}")
}

fn attempt_item(attempt: &Attempt, written: u64) -> Attributes {
    let place = format!("{}#{written:016x}#{}", sortable(attempt.at), attempt.code);
    let steps = serde_json::to_string(&attempt.steps).unwrap_or_else(|_| String::from("[]"));
    let mut item = attributes(
        &Key::attempt(&attempt.serial_number, &place),
        [
            ("code", text(attempt.code.to_string())),
            ("at", number(attempt.at.0)),
            ("serial_number", text(attempt.serial_number.as_str())),
            ("address", text(&attempt.address)),
            ("act", text(attempt.act.as_str())),
            ("outcome", text(&attempt.outcome)),
            ("reason", text(&attempt.reason)),
            ("steps", text(steps)),
            (EXPIRES, number(attempt.at.plus(ATTEMPT_LIFE).0)),
        ],
    );
    let by_code = Index::Reviewed.place((called(attempt.code), place));
    item.extend(by_code.map(|(name, value)| (name.to_owned(), value)));
    item
}

fn attempt(item: &Item) -> Result<Attempt, Failure> {
    let steps = serde_json::from_str(item.text("steps")?).map_err(|_| item.wrong("steps"))?;
    Ok(Attempt {
        code: item.id("code")?,
        at: Timestamp(item.number("at")?),
        serial_number: item.id("serial_number")?,
        address: item.text("address")?.to_owned(),
        act: item.named("act")?,
        outcome: item.text("outcome")?.to_owned(),
        reason: item.text("reason")?.to_owned(),
        steps,
    })
}
