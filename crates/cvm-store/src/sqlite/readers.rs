//! Threads that read the registry, each with a connection of its own, so that no query ever blocks
//! an async thread or the writer.
//!
//! A read that is asked for after a commit was acknowledged sees it: each group of queries starts
//! its snapshot after they were asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use cvm_core::ports::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::database::Database;
use crate::error::{Failure, OpenError, ReadError, words_of};
use crate::queue::{Queue, Taken};

/// A query takes some 10 µs, so two threads are not what limits a fleet; two, so that a page of a
/// thousand rows does not hold up everybody.
const THREADS: usize = 2;

/// How many queries share a snapshot: the rest is left for the other thread.
const GROUP_MAX: usize = 16;

/// How many queries may wait: some 20 ms of work.
const QUERIES_WAITING_MAX: usize = 4_096;

/// Whether the connection can go on being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Broken,
    Well,
}

type Query = Box<dyn FnOnce(Result<&Connection, &Failure>) -> Health + Send>;

pub(super) struct Readers {
    queue: Arc<Queue<Query>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let queue = Arc::new(Queue::new(QUERIES_WAITING_MAX));
        let mut readers = Self { queue: queue.clone(), threads: Vec::with_capacity(THREADS) };
        for _ in 0..THREADS {
            let connection = Database::open_to_read(path)?;
            let (queue, path, path_told) = (queue.clone(), path.to_owned(), path);
            let thread = std::thread::Builder::new()
                .name(String::from("cvm-store-read"))
                .spawn(move || serve(&queue, path, connection))
                .map_err(|source| OpenError::file(path_told, source))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// What `query` reads, on one of the threads.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let span = tracing::Span::current();
        let job: Query = Box::new(move |connection| {
            if answer.is_closed() {
                return Health::Well;
            }
            let result = match connection {
                Ok(connection) => query(connection),
                Err(failure) => {
                    drop(answer.send(Err(failure.clone().into())));
                    return Health::Broken;
                }
            };
            let health = match &result {
                Err(ReadError::Sqlite(error)) => {
                    let _entered = span.enter();
                    let error = words_of(error);
                    tracing::warn!(error, "a read failed; the connection is renewed");
                    Health::Broken
                }
                Err(ReadError::Corrupt(_)) | Ok(_) => Health::Well,
            };
            drop(answer.send(result.map_err(StoreError::from)));
            health
        });
        self.queue.push(job).map_err(|_| Failure::QueueFull)?;
        answered.await.map_err(|_| Failure::Stopped)?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn serve(queue: &Queue<Query>, path: PathBuf, connection: Connection) {
    let mut link = Ok(connection);
    let mut group = Vec::with_capacity(GROUP_MAX);
    while queue.take(&mut group, GROUP_MAX, None) == Taken::Items {
        if link.is_err() {
            link = Database::open_to_read(&path).map_err(Failure::from);
        }
        let health = answer(&mut group, &link);
        if health == Health::Broken && link.is_ok() {
            link = Err(Failure::Stopped);
        }
    }
}

fn answer(group: &mut Vec<Query>, link: &Result<Connection, Failure>) -> Health {
    // One snapshot for several spares each the log's locks; without it each has its own.
    let has_snapshot = group.len() > 1 && link.as_ref().is_ok_and(|c| run(c, "BEGIN").is_ok());
    let mut health = Health::Well;
    for query in group.drain(..) {
        if query(link.as_ref()) == Health::Broken {
            health = Health::Broken;
        }
    }
    if has_snapshot && link.as_ref().is_ok_and(|c| run(c, "COMMIT").is_err()) {
        health = Health::Broken;
    }
    health
}

fn run(connection: &Connection, sql: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
