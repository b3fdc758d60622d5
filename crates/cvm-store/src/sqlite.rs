//! The embedded registry: one `SQLite` file, one thread that writes, two that read.
//!
//! A commit is durable before it is acknowledged. No async thread ever waits for the disk or a
//! lock: callers hand their work over and await the answer. When the disk fails, nothing that was
//! acknowledged is lost, everybody else hears that the store is unavailable, and it goes on by
//! itself when the disk does.

mod attempts;
mod database;
mod fault;
mod keys;
pub(crate) mod look;
mod nonces;
mod numbers;
mod operators;
mod read;
mod readers;
mod revocations;
mod shared;
mod text;
mod write;
mod writer;

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use cvm_core::certificate::CertificateRecord;
use cvm_core::device::{Device, DeviceFilter};
use cvm_core::error::chain_of;
use cvm_core::id::{AttemptCode, CertificateId, KeyIdentity, Name, SerialNumber, TokenMac};
use cvm_core::journal::{Event, JournalRow};
use cvm_core::page::{Page, PageRequest};
use cvm_core::policy::Policy;
use cvm_core::ports::{
    Catalogue, Change, CommitError, Due, Holding, Journal, KeyOwner, Policies, Store, StoreError,
};
use cvm_core::time::Timestamp;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use self::database::{REGISTRY, REGISTRY_UNSYNCED};
use self::readers::Readers;
use self::shared::Shared;
use self::writer::{Answer, JOBS_WAITING_MAX, Job, Outcome, Task, WRITES_MAX, Writer};
use crate::counters::Counters;
use crate::error::{Failure, OpenError};
use crate::page;
use crate::queue::Queue;
use crate::url::Synchronous;

pub(crate) use self::attempts::SqliteAttempts;
pub use self::fault::{Fault, Faults};

/// The registry in a file.
pub(crate) struct SqliteStore {
    // In this order: the writer is the last to close, and so leaves no log behind.
    readers: Readers,
    writer: WriterThread,
    shared: Arc<Shared>,
}

struct WriterThread {
    queue: Arc<Queue<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the registry in the file at `path`; blocks.
    pub(crate) fn open(
        path: &Path,
        synchronous: Synchronous,
        faults: &Faults,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        let database = match synchronous {
            Synchronous::Full => &REGISTRY,
            Synchronous::Off => &REGISTRY_UNSYNCED,
        };
        let connection = database.open(path)?;
        let queue = Arc::new(Queue::new(JOBS_WAITING_MAX));
        let shared = Arc::new(Shared::new(counters));
        let (theirs, faults) = (queue.clone(), faults.clone());
        let writer =
            Writer::new((path.to_owned(), database), connection, theirs, shared.clone(), faults)
                .map_err(|error| OpenError::sqlite(path, &error))?;
        let readers = Readers::start(path)?;
        let thread = std::thread::Builder::new()
            .name(String::from("cvm-store-write"))
            .spawn(move || writer.run())
            .map_err(|source| OpenError::file(path, source))?;
        let writer = WriterThread { queue, thread: Some(thread) };
        Ok(Self { readers, writer, shared })
    }

    async fn write(&self, task: Task) -> Answer {
        let span = tracing::debug_span!("commit", writes = tracing::field::Empty);
        let _waiting = self.shared.counters.write_waits();
        async {
            let (answer, answered) = oneshot::channel();
            let job = Job { task, answer, span: tracing::Span::current() };
            self.writer.queue.push(job).map_err(|_| self.refusal())?;
            answered.await.map_err(|_| Failure::Stopped)?
        }
        .instrument(span)
        .await
    }

    /// Why the queue took nothing more.
    fn refusal(&self) -> Failure {
        self.shared.down().unwrap_or(Failure::QueueFull)
    }

    /// Writes so many changes as may share a job.
    async fn write_some(&self, changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
        let count = changes.len();
        let with_record = |change: Change| Ok((record_of(&change)?, change));
        let written = match changes.into_iter().map(with_record).collect() {
            Ok(changes) => self.write(Task::Changes(changes)).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(Outcome::Each(answers)) => answers,
            Ok(Outcome::Done | Outcome::MarkWas(_) | Outcome::Nonce(_) | Outcome::Refused(_)) => {
                Vec::new()
            }
            Err(error) => repeat(&error, count, |cause| Err(CommitError::Unavailable(cause))),
        }
    }

    async fn write_simply(&self, task: Task) -> Result<Outcome, StoreError> {
        self.write(task).await.map_err(|error| match error {
            CommitError::Unavailable(source) => StoreError::Unavailable(source),
            CommitError::Conflict | CommitError::KeyOwned | CommitError::ThingNameTaken => {
                StoreError::Unavailable(Box::new(error))
            }
        })
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn device_find(&self, serial: &SerialNumber) -> Result<Option<Device>, StoreError> {
        let serial = serial.clone();
        self.readers.read(move |connection| read::device(connection, &serial)).await
    }

    async fn holding_find(&self, id: &CertificateId) -> Result<Option<Holding>, StoreError> {
        let id = *id;
        self.readers.read(move |connection| read::holding(connection, &id)).await
    }

    async fn key_owner(&self, key: &KeyIdentity) -> Result<Option<KeyOwner>, StoreError> {
        let key = *key;
        self.readers.read(move |connection| read::key_owner(connection, &key)).await
    }

    async fn token_is_spent(
        &self,
        serial: &SerialNumber,
        mac: &TokenMac,
    ) -> Result<bool, StoreError> {
        let (serial, mac) = (serial.clone(), *mac);
        self.readers.read(move |connection| read::is_spent(connection, &serial, &mac)).await
    }

    async fn device_commit(&self, change: Change) -> Result<(), CommitError> {
        let record = record_of(&change)?;
        self.write(Task::Change(Box::new(change), record)).await.map(drop)
    }

    async fn devices_find(
        &self,
        serials: Vec<SerialNumber>,
    ) -> Vec<Result<Option<Device>, StoreError>> {
        let count = serials.len();
        match self.readers.read(move |connection| read::each_device(connection, &serials)).await {
            Ok(found) => found,
            Err(error) => repeat(&error, count, |cause| Err(StoreError::Unavailable(cause))),
        }
    }

    async fn devices_commit(&self, changes: Vec<Change>) -> Vec<Result<(), CommitError>> {
        let mut answers = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter();
        loop {
            let some: Vec<_> = changes.by_ref().take(WRITES_MAX).collect();
            if some.is_empty() {
                return answers;
            }
            answers.extend(self.write_some(some).await);
        }
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.shared.down().map_or(Ok(()), |failure| Err(failure.into()))
    }

    async fn mark_raise(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        match self.write_simply(Task::Mark(now)).await? {
            Outcome::Done | Outcome::Each(_) | Outcome::Nonce(_) | Outcome::Refused(_) => Ok(None),
            Outcome::MarkWas(before) => Ok(before),
        }
    }

    async fn mark_set(&self, now: Timestamp, event: Event) -> Result<(), StoreError> {
        self.write_simply(Task::MarkSet(now, event)).await.map(drop)
    }

    async fn mark_find(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(|connection| Ok(write::mark_find(connection)?)).await
    }
}

#[async_trait]
impl Catalogue for SqliteStore {
    async fn device_page(&self, request: &PageRequest) -> Result<Page<Device>, StoreError> {
        let (after, limit) = (start_of(request), page::limit_of(request));
        let rows = self.readers.read(move |c| read::devices(c, &after, one_more(limit))).await?;
        Ok(page::cut(rows, limit, |device| device.serial_number.to_string()))
    }

    async fn device_page_where(
        &self,
        filter: DeviceFilter,
        request: &PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        let Ok(after) = page::place_of(request) else { return Ok(page::empty()) };
        let limit = page::limit_of(request);
        let query = move |c: &rusqlite::Connection| {
            read::devices_where(c, filter, after.as_ref(), one_more(limit))
        };
        let rows = self.readers.read(query).await?;
        Ok(page::cut(rows, limit, |device| filter.place_of(device).to_string()))
    }

    async fn outlived_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |connection| read::outlived(connection, now, after.as_ref())).await
    }

    async fn certificate_page(
        &self,
        request: &PageRequest,
    ) -> Result<Page<CertificateRecord>, StoreError> {
        let after = match request.after.as_deref().map(str::parse::<CertificateId>) {
            // Sorts before every id.
            None => Vec::new(),
            Some(Ok(id)) => id.0.to_vec(),
            Some(Err(_)) => return Ok(page::empty()),
        };
        let limit = page::limit_of(request);
        let query = move |c: &rusqlite::Connection| read::certificates(c, &after, one_more(limit));
        let rows = self.readers.read(query).await?;
        Ok(page::cut(rows, limit, |row| row.id.to_string()))
    }

    async fn certificates_of(
        &self,
        serial: &SerialNumber,
    ) -> Result<Vec<CertificateRecord>, StoreError> {
        let serial = serial.clone();
        self.readers.read(move |connection| read::certificates_of(connection, &serial)).await
    }

    async fn claims_of(&self, key: &KeyIdentity) -> Result<Vec<SerialNumber>, StoreError> {
        let key = *key;
        self.readers.read(move |connection| read::claims(connection, &key)).await
    }

    async fn due_devices(
        &self,
        now: Timestamp,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        let after = after.cloned();
        self.readers.read(move |connection| read::due(connection, now, after.as_ref())).await
    }

    async fn reviewed_device(&self, id: AttemptCode) -> Result<Option<SerialNumber>, StoreError> {
        self.readers.read(move |connection| read::reviewed(connection, &id.to_string())).await
    }

    async fn review_page(&self, request: &PageRequest) -> Result<Page<Device>, StoreError> {
        let (after, limit) = (start_of(request), page::limit_of(request));
        let rows = self.readers.read(move |c| read::reviews(c, &after, one_more(limit))).await?;
        Ok(page::cut(rows, limit, page::review_of))
    }
}

#[async_trait]
impl Policies for SqliteStore {
    async fn policy_put(&self, policy: Policy, event: Event) -> Result<(), StoreError> {
        self.write_simply(Task::Policy(policy, event)).await.map(drop)
    }

    async fn policy_find(&self, name: &Name) -> Result<Option<Policy>, StoreError> {
        let name = name.clone();
        self.readers.read(move |connection| read::policy(connection, &name)).await
    }

    async fn policy_page(&self, request: &PageRequest) -> Result<Page<Policy>, StoreError> {
        let (after, limit) = (start_of(request), page::limit_of(request));
        let rows = self.readers.read(move |c| read::policies(c, &after, one_more(limit))).await?;
        Ok(page::cut(rows, limit, |policy| policy.name.to_string()))
    }
}

#[async_trait]
impl Journal for SqliteStore {
    async fn event_record(&self, event: Event) -> Result<(), StoreError> {
        self.write_simply(Task::Event(event)).await.map(drop)
    }

    async fn journal_page(&self, request: &PageRequest) -> Result<Page<JournalRow>, StoreError> {
        let after = match request.after.as_deref().map(page::journal_key_parse) {
            None => (0, 0),
            Some(Some(key)) => key,
            Some(None) => return Ok(page::empty()),
        };
        let limit = page::limit_of(request);
        let rows = self.readers.read(move |c| read::journal(c, after, one_more(limit))).await?;
        Ok(page::cut(rows, limit, page::journal_key))
    }
}

/// The record of a change in its stored form. Not made on the writer's thread, of which there is
/// one.
fn record_of(change: &Change) -> Result<String, CommitError> {
    serde_json::to_string(&change.device).map_err(|error| CommitError::Unavailable(Box::new(error)))
}

/// One failure, told to everybody whom it meets.
fn repeat<T>(
    error: &(dyn StdError + 'static),
    count: usize,
    told: impl Fn(Box<dyn StdError + Send + Sync>) -> T,
) -> Vec<T> {
    let cause = error.source().map_or_else(|| error.to_string(), chain_of);
    (0..count).map(|_| told(cause.clone().into())).collect()
}

fn start_of(request: &PageRequest) -> String {
    request.after.clone().unwrap_or_default()
}

/// One row more than the page has says whether the list goes on.
fn one_more(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}
