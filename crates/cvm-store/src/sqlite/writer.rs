//! The one thread that writes the registry, with group commit.
//!
//! What waits shares a commit, and nobody is answered before it returned. A refused job has written
//! nothing. If anything fails that is not a refusal, the outcome is not known: everybody in the
//! commit hears so, the connection is closed, opened again and tried, and until that succeeds all
//! are refused. Journal numbers of which it is not known whether their rows were written are filled
//! with void rows in the first transaction that succeeds.

mod gathering;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cvm_core::journal::Event;
use cvm_core::nonce::Nonce;
use cvm_core::operator::AdminToken;
use cvm_core::policy::Policy;
use cvm_core::ports::{Change, CommitError, CredentialRefusal, NewCrl, NonceUse};
use cvm_core::time::Timestamp;
use rusqlite::Connection;
use tokio::sync::oneshot;

use self::gathering::Gathering;
use super::database::Database;
use super::fault::Faults;
use super::numbers::Numbers;
use super::shared::Shared;
use super::{nonces, operators, revocations, write};
use crate::error::{Failure, whole};
use crate::queue::{Queue, Taken};

/// How many jobs may share a commit. 64 make the sync's share of each small (a sync of 1 ms is
/// 16 µs each), and bound what one failed commit takes with it and how long the first waits for
/// the last one's statements (64 × 30 µs).
const GROUP_MAX: usize = 64;

/// How many writes may share a commit, where jobs have several. 256 take some 5 ms, which is what
/// a device waits that asks while devices are imported; a job begins another group that would not
/// fit into this one.
pub(super) const WRITES_MAX: usize = 256;

/// How many jobs may wait: some half a second of a disk that syncs in 15 ms.
pub(super) const JOBS_WAITING_MAX: usize = 2_048;

/// After so long without a job, the log is copied into the database and cut, so that what was
/// deleted is not kept in it.
const IDLE_BEFORE_CHECKPOINT: Duration = Duration::from_secs(5);

/// The pause between attempts to open the database again doubles from the first to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LAST: Duration = Duration::from_secs(2);

/// What is to be written.
pub(super) enum Task {
    AdminToken(AdminToken, Event),
    AdminTokenRevoke {
        id: String,
        at: Timestamp,
        event: Event,
    },
    /// A change, and the device's record in its stored form.
    Change(Box<Change>, String),
    /// Changes of their own, each with its record: at most [`WRITES_MAX`].
    Changes(Vec<(String, Change)>),
    Crl(NewCrl),
    Event(Event),
    Mark(Timestamp),
    MarkSet(Timestamp, Event),
    Nonce(Nonce, Timestamp),
    Policy(Policy, Event),
}

impl Task {
    /// How many writes it is.
    fn writes(&self) -> usize {
        if let Self::Changes(changes) = self { changes.len() } else { 1 }
    }
}

/// What a job that was not refused has to tell.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    /// What became of each change.
    Each(Vec<Result<(), CommitError>>),
    /// The mark before it was raised.
    MarkWas(Option<Timestamp>),
    /// Whether a nonce was used before.
    Nonce(NonceUse),
    /// A credential's condition does not hold.
    Refused(CredentialRefusal),
}

pub(super) type Answer = Result<Outcome, CommitError>;

pub(super) struct Job {
    pub(super) task: Task,
    pub(super) answer: oneshot::Sender<Answer>,
    /// In which request it was asked for.
    pub(super) span: tracing::Span,
}

pub(super) struct Writer {
    path: PathBuf,
    database: &'static Database,
    queue: Arc<Queue<Job>>,
    shared: Arc<Shared>,
    faults: Faults,
    numbers: Numbers,
    link: Link,
    is_log_filled: bool,
}

/// The connection, or since when and why there is none.
enum Link {
    Broken { failure: Failure, retry_at: Instant, pause: Duration },
    Open(Connection),
}

impl Writer {
    pub(super) fn new(
        (path, database): (PathBuf, &'static Database),
        connection: Connection,
        queue: Arc<Queue<Job>>,
        shared: Arc<Shared>,
        faults: Faults,
    ) -> Result<Self, rusqlite::Error> {
        let numbers = Numbers::new(&connection)?;
        let link = Link::Open(connection);
        Ok(Self { path, database, queue, shared, faults, numbers, link, is_log_filled: false })
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        // Whatever ends this thread: nobody may wait for it.
        let _stop = StopOnDrop { queue: self.queue.clone(), shared: self.shared.clone() };
        let mut jobs = Vec::with_capacity(GROUP_MAX);
        let mut gathering = Gathering::new();
        loop {
            let taken = self.queue.take(&mut jobs, GROUP_MAX, self.deadline());
            if taken == Taken::Items {
                if let Some((more, patience)) = gathering.wait(jobs.len()) {
                    let room = GROUP_MAX.saturating_sub(jobs.len());
                    self.queue.linger(patience, more.min(room));
                    self.queue.take(&mut jobs, room, Some(Instant::now()));
                }
                gathering.gathered(jobs.len());
            }
            if taken == Taken::Closed {
                return;
            }
            self.recover_if_due();
            if taken == Taken::TimedOut {
                self.checkpoint();
            } else {
                while !jobs.is_empty() {
                    let mut group: Vec<Job> = jobs.drain(..group_of(&jobs)).collect();
                    let began = Instant::now();
                    self.serve(&mut group);
                    gathering.written(began.elapsed());
                }
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.link {
            Link::Broken { retry_at, .. } => Some(*retry_at),
            Link::Open(_) if self.is_log_filled => Some(Instant::now() + IDLE_BEFORE_CHECKPOINT),
            Link::Open(_) => None,
        }
    }

    /// Writes the jobs in one transaction and answers them.
    fn serve(&mut self, jobs: &mut Vec<Job>) {
        let failure = match &self.link {
            Link::Broken { failure, .. } => failure.clone(),
            Link::Open(connection) => {
                let began = Instant::now();
                match transact(connection, &mut self.numbers, &self.faults, jobs) {
                    Ok(answers) => {
                        let writes = jobs.iter().map(|job| job.task.writes()).sum();
                        let took = began.elapsed();
                        self.shared.counters.commit(writes, took, self.numbers.unsettled());
                        self.numbers.settle();
                        self.is_log_filled = true;
                        for (job, answer) in jobs.drain(..).zip(answers) {
                            job.span.record("writes", writes);
                            // Who asked may have gone away; the change stands all the same.
                            drop(job.answer.send(answer));
                        }
                        return;
                    }
                    Err(error) => {
                        // What fails for one request alone is told under its code.
                        let alone = match &jobs[..] {
                            [job] => Some(job.span.clone()),
                            _ => None,
                        };
                        let _entered = alone.as_ref().map(tracing::Span::enter);
                        self.fail(error.into())
                    }
                }
            }
        };
        for job in jobs.drain(..) {
            drop(job.answer.send(Err(failure.clone().into())));
        }
    }

    /// Closes the connection, which rolls back, and plans to open it again at once.
    fn fail(&mut self, failure: Failure) -> Failure {
        tracing::error!(database = %self.path.display(), error = whole(&failure), "the store failed");
        self.shared.counters.fail();
        self.shared.set_down(failure.clone());
        let now = Instant::now();
        self.link = Link::Broken { failure: failure.clone(), retry_at: now, pause: RETRY_FIRST };
        failure
    }

    fn recover_if_due(&mut self) {
        let Link::Broken { retry_at, pause, .. } = &self.link else { return };
        if Instant::now() < *retry_at {
            return;
        }
        let pause = *pause;
        match self.recover() {
            Ok(connection) => {
                tracing::info!(database = %self.path.display(), "the store has recovered");
                self.numbers.settle();
                self.link = Link::Open(connection);
                self.is_log_filled = true;
                self.shared.set_up();
            }
            Err(failure) => {
                self.shared.set_down(failure.clone());
                let retry_at = Instant::now() + pause;
                self.link = Link::Broken { failure, retry_at, pause: (pause * 2).min(RETRY_LAST) };
            }
        }
    }

    /// Opens the database again and proves with a transaction, which fills the journal's gap, that
    /// it can be written to.
    fn recover(&self) -> Result<Connection, Failure> {
        let connection = self.database.reopen(&self.path)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        self.faults.begin(&connection)?;
        write::recovery(&connection)?;
        self.numbers.fill_gap(&connection)?;
        self.faults.commit(&connection)?;
        Ok(connection)
    }

    fn checkpoint(&mut self) {
        let Link::Open(connection) = &self.link else { return };
        let is_busy = |row: &rusqlite::Row<'_>| row.get::<_, bool>(0);
        match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], is_busy) {
            // Somebody reads just now: again later.
            Ok(is_busy) => self.is_log_filled = is_busy,
            Err(error) => drop(self.fail(error.into())),
        }
    }
}

/// How many of the first jobs share a commit: at least one.
fn group_of(jobs: &[Job]) -> usize {
    let mut writes = 0;
    let fits = |job: &&Job| {
        writes += job.task.writes();
        writes <= WRITES_MAX
    };
    jobs.iter().take_while(fits).count().max(1)
}

/// One transaction; an error means that its outcome is not known.
fn transact(
    connection: &Connection,
    numbers: &mut Numbers,
    faults: &Faults,
    jobs: &[Job],
) -> Result<Vec<Answer>, rusqlite::Error> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    faults.begin(connection)?;
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        answers.push(perform(connection, numbers, &job.task)?);
    }
    faults.commit(connection)?;
    Ok(answers)
}

fn perform(
    connection: &Connection,
    numbers: &mut Numbers,
    task: &Task,
) -> Result<Answer, rusqlite::Error> {
    Ok(match task {
        Task::AdminToken(token, event) => operators::add(connection, numbers, token, event)?,
        Task::AdminTokenRevoke { id, at, event } => {
            operators::revoke(connection, numbers, (id, *at), event)?
        }
        Task::Change(change, record) => {
            write::change(connection, numbers, change, record)?.map(|()| Outcome::Done)
        }
        Task::Changes(changes) => {
            let write = |(record, change): &(String, Change)| {
                write::change(connection, numbers, change, record)
            };
            Ok(Outcome::Each(changes.iter().map(write).collect::<Result<_, _>>()?))
        }
        Task::Crl(crl) => revocations::put(connection, crl)?.map(|()| Outcome::Done),
        Task::Event(event) => {
            numbers.record(connection, event)?;
            Ok(Outcome::Done)
        }
        Task::Mark(now) => Ok(Outcome::MarkWas(write::mark(connection, *now)?)),
        Task::MarkSet(now, event) => {
            write::mark_set(connection, *now)?;
            numbers.record(connection, event)?;
            Ok(Outcome::Done)
        }
        Task::Nonce(nonce, now) => Ok(Outcome::Nonce(nonces::put(connection, nonce, *now)?)),
        Task::Policy(policy, event) => {
            write::policy(connection, policy)?;
            numbers.record(connection, event)?;
            Ok(Outcome::Done)
        }
    })
}

struct StopOnDrop {
    queue: Arc<Queue<Job>>,
    shared: Arc<Shared>,
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.shared.set_down(Failure::Stopped);
        self.queue.close();
        // Dropping a job tells its caller.
        let mut left = Vec::new();
        while self.queue.take(&mut left, GROUP_MAX, None) == Taken::Items {
            left.clear();
        }
    }
}
