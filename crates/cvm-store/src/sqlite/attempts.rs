//! What became of requests, in a file of its own that is never synced.
//!
//! Lossy on purpose: a note that finds the queue full is dropped and counted, a crash of the machine
//! may lose the last ones, and a file that cannot be read is set aside and begun anew. Notes gather
//! for a moment and share a transaction; a question ends the gathering, and sees them all.

mod notes;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cvm_core::attempt::Attempt;
use cvm_core::id::{AttemptCode, SerialNumber};
use cvm_core::ports::{Attempts, StoreError};
use cvm_core::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::notes::Notes;
use super::database::ATTEMPTS;
use crate::counters::Counters;
use crate::error::{Failure, OpenError, ReadError, is_damage, whole, words_of};
use crate::queue::{Queue, Taken};

/// How many notes may wait: what ten thousand requests a second make while notes gather and are
/// written.
const NOTES_WAITING_MAX: usize = 4_096;

/// How many notes share a transaction.
const GROUP_MAX: usize = 1_024;

/// How long notes gather, so that a busy server does not wake a thread for each, and so that they
/// share the pages that they change.
const GATHERING: Duration = Duration::from_millis(250);

/// The attempts in a file.
pub(crate) struct SqliteAttempts {
    queue: Arc<Queue<Job>>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Ask(Question),
    Count { address: String, at: Timestamp },
    Note(Box<Attempt>),
}

/// Answers by itself, and returns the driver's error if there was one.
type Question = Box<dyn FnOnce(Result<&Connection, &Failure>) -> Option<rusqlite::Error> + Send>;

impl SqliteAttempts {
    /// Opens the file at `path`, or begins it anew if it cannot be read; blocks.
    pub(crate) fn open(path: &Path, counters: Arc<Counters>) -> Result<Self, OpenError> {
        let connection = open_or_begin_anew(path)?;
        let queue = Arc::new(Queue::new(NOTES_WAITING_MAX));
        let worker = Worker {
            path: path.to_owned(),
            queue: queue.clone(),
            counters: counters.clone(),
            link: Ok(connection),
            damage: None,
            notes: Notes::default(),
        };
        let thread = std::thread::Builder::new()
            .name(String::from("cvm-attempts"))
            .spawn(move || worker.run())
            .map_err(|source| OpenError::file(path, source))?;
        Ok(Self { queue, counters, thread: Some(thread) })
    }

    fn push(&self, job: Job) {
        if self.queue.push(job).is_err() {
            self.counters.drop_attempts(1);
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |connection| {
            let (result, error) = match connection.map(query) {
                Ok(Ok(found)) => (Ok(found), None),
                Ok(Err(ReadError::Corrupt(what))) => (Err(StoreError::Corrupt(what)), None),
                Ok(Err(ReadError::Sqlite(error))) => {
                    (Err(StoreError::Unavailable(words_of(&error).into())), Some(error))
                }
                Err(failure) => (Err(failure.clone().into()), None),
            };
            drop(answer.send(result));
            error
        });
        self.queue.push(Job::Ask(question)).map_err(|_| Failure::QueueFull)?;
        self.queue.hurry();
        answered.await.map_err(|_| Failure::Stopped)?
    }
}

#[async_trait]
impl Attempts for SqliteAttempts {
    fn attempt_record(&self, attempt: Attempt) {
        self.push(Job::Note(Box::new(attempt)));
    }

    fn unknown_count(&self, address: &str, at: Timestamp) {
        self.push(Job::Count { address: address.to_owned(), at });
    }

    async fn attempts_of(&self, serial: &SerialNumber) -> Result<Vec<Attempt>, StoreError> {
        let serial = serial.clone();
        self.ask(move |connection| notes::attempts_of(connection, &serial)).await
    }

    async fn attempt_by_code(&self, code: AttemptCode) -> Result<Option<Attempt>, StoreError> {
        self.ask(move |connection| notes::attempt_by_code(connection, code)).await
    }

    async fn unknown_since(&self, since: Timestamp) -> Result<Vec<(String, u64)>, StoreError> {
        self.ask(move |connection| notes::unknown_since(connection, since)).await
    }
}

impl Drop for SqliteAttempts {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

struct Worker {
    path: PathBuf,
    queue: Arc<Queue<Job>>,
    counters: Arc<Counters>,
    link: Result<Connection, Failure>,
    /// What was found to be damaged while the file was open.
    damage: Option<String>,
    notes: Notes,
}

impl Worker {
    fn run(mut self) {
        let mut jobs = Vec::with_capacity(GROUP_MAX);
        while self.queue.take(&mut jobs, GROUP_MAX, None) == Taken::Items {
            let room = GROUP_MAX.saturating_sub(jobs.len());
            if room > 0 && !jobs.iter().any(|job| matches!(job, Job::Ask(_))) {
                self.queue.linger(GATHERING, room);
                self.queue.take(&mut jobs, room, Some(Instant::now()));
            }
            self.serve(&mut jobs);
        }
    }

    fn serve(&mut self, jobs: &mut Vec<Job>) {
        if self.link.is_err() {
            let opened = match self.damage.take() {
                Some(why) => begin_anew(&self.path, &why),
                None => open_or_begin_anew(&self.path),
            };
            self.link = opened.map_err(Failure::from);
        }
        let (questions, notes): (Vec<_>, Vec<_>) =
            jobs.drain(..).partition(|job| matches!(job, Job::Ask(_)));
        self.write(notes);
        for question in questions {
            if let Job::Ask(question) = question
                && let Some(error) = question(self.link.as_ref())
            {
                self.fail(error);
            }
        }
    }

    fn write(&mut self, notes: Vec<Job>) {
        let count = notes.len();
        let written = match &mut self.link {
            Ok(connection) => self.notes.write(connection, notes),
            Err(_) if notes.is_empty() => Ok(()),
            Err(failure) => {
                tracing::warn!(error = whole(failure), count, "notes of attempts were lost");
                self.counters.drop_attempts(count);
                Ok(())
            }
        };
        if let Err(error) = written {
            tracing::warn!(error = words_of(&error), count, "notes of attempts were lost");
            self.counters.drop_attempts(count);
            self.fail(error);
        }
    }

    /// Closes the file, to be opened again, or begun anew, before the next job.
    fn fail(&mut self, error: rusqlite::Error) {
        self.damage = Some(error.to_string()).filter(|_| is_damage(&error));
        self.link = Err(error.into());
    }
}

/// Opens the file; one that cannot be read is begun anew, for it holds nothing that must not be
/// lost. Another program's database is left alone.
fn open_or_begin_anew(path: &Path) -> Result<Connection, OpenError> {
    let opened = ATTEMPTS.open(path).and_then(|connection| match notes::probe(&connection) {
        Ok(()) => Ok(connection),
        Err(error) => Err(OpenError::sqlite(path, &error)),
    });
    match opened {
        Err(OpenError::Damaged { what, .. }) => begin_anew(path, &what),
        other => other,
    }
}

/// Sets the file aside, in place of what was set aside before, and makes an empty one.
fn begin_anew(path: &Path, why: &str) -> Result<Connection, OpenError> {
    tracing::warn!(file = %path.display(), why, "the attempts could not be read and begin anew");
    let told = |source: std::io::Error| OpenError::file(path, source);
    std::fs::rename(path, path.with_extension("db.damaged")).map_err(told)?;
    for suffix in ["db-wal", "db-shm"] {
        match std::fs::remove_file(path.with_extension(suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(told(error)),
            Err(_) | Ok(()) => {}
        }
    }
    ATTEMPTS.open(path)
}
